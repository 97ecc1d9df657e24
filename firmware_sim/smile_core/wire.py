"""Bodies, languages and error answers shared by the three programs (facts sections 1 and 7)."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from firmware_sim.smile_core.state import State

LOG = logging.getLogger("firmware_sim.smile_core")

Handler = Callable[[State, Request], Awaitable[Response]]

_TEXTS = {
    "en": {
        "invalid": "Unable to process the submitted data. Please check your input.",
        "empty": "{field} cannot be empty",
        "string": "{field} doesn't match format",
        "number": "{field} must be number",
        "boolean": "{field} must be boolean",
    },
    "id": {
        "invalid": "Tidak dapat memproses data yang dikirim. Silakan periksa input Anda.",
        "empty": "{field} tidak boleh kosong",
        "string": "format {field} tidak sesuai",
        "number": "{field} harus berupa angka",
        "boolean": "{field} harus berupa boolean",
    },
}


class ApiError(Exception):
    """An answer other than success; `body` is what goes on the wire as JSON."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = dict(body)


def language(request: Request) -> str:
    """`id` only on exactly that header value; `id-ID` and the rest fall back to `en` (facts section 1)."""
    return "id" if request.headers.get("accept-language") == "id" else "en"


def text(request: Request, key: str, field: str = "") -> str:
    """A message in the caller's language."""
    return _TEXTS[language(request)][key].format(field=field)


def unprocessable(request: Request, errors: Mapping[str, Any]) -> ApiError:
    """422 with a field tree."""
    return ApiError(422, {"message": text(request, "invalid"), "errors": errors})


def internal(detail: str) -> ApiError:
    """500 as core and main print it, stack included (facts section 7)."""
    return ApiError(500, {"message": "Internal Server Error", "errors": f"Error: {detail}\n    at <anonymous>"})


async def read_json(request: Request) -> Any:
    """The parsed body; None when the content type is not JSON, 500 when the JSON is broken (facts 8.4)."""
    body = await request.body()
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return None
    try:
        return json.loads(body, parse_constant=_not_json)
    except ValueError as error:
        raise internal("Malformed JSON in request body") from error


def _not_json(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


Field = tuple[str, str]  # name, kind: string, number, boolean; "?" after the kind: may be left out


def field_errors(request: Request, item: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, list[str]]:
    """The 422 tree of one object: every field that is missing or of the wrong type."""
    errors: dict[str, list[str]] = {}
    for name, kind in fields:
        optional = kind.endswith("?")
        value = item.get(name)
        if value is None and optional and name not in item:
            continue
        if value is None:
            errors[name] = [text(request, "empty", name)]
        elif not _is(value, kind.rstrip("?")):
            errors[name] = [text(request, kind.rstrip("?"), name)]
        elif value == "" and kind == "string" and name in _NOT_BLANK:
            errors[name] = [text(request, "empty", name)]
    return errors


# Only these refuse ""; curr_temp and humidity take it, which is the trap of facts 3.1.
_NOT_BLANK = frozenset({"username", "password", "serial_number", "name", "bast_no"})


def _is(value: Any, kind: str) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return isinstance(value, bool)


def query_int(request: Request, name: str, default: int | None = None) -> int | None:
    """A whole number from the query, or 422."""
    value = request.query_params.get(name)
    if value is None or value == "":
        return default
    try:
        return int(value)
    except ValueError as error:
        raise unprocessable(request, {name: [text(request, "number", name)]}) from error


def page_of(request: Request, rows: Sequence[Any], sizes: Sequence[int] = (10, 25, 50, 100)) -> dict[str, Any]:
    """One page in the shape of core and main; 422 for a page size not in `sizes`."""
    page = query_int(request, "page", 1) or 1
    size = query_int(request, "paginate", 50 if 50 in sizes else sizes[0]) or 0
    if size not in sizes or page < 1:
        raise unprocessable(request, {"paginate": ["paginate is not a valid option"]})
    return {
        "page": page,
        "item_per_page": size,
        "total_item": len(rows),
        "total_page": -(-len(rows) // size),
        "list_pagination": [10, 25, 50, 100],
        "data": list(rows[(page - 1) * size : page * size]),
    }


def route(state: State, path: str, method: str, handler: Handler, *, traced: bool = False) -> Route:
    """A route whose handler raises ApiError for refusals; `traced` adds traceId (routes outside `/api`, facts 7)."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(state, request)
        except ApiError as error:
            body = error.body
            if traced and error.status not in (401, 403):
                body = {**body, "traceId": uuid.uuid4().hex}
            return JSONResponse(body, status_code=error.status)
        except Exception as error:  # the real programs answer 500 with the error's text for any slip
            LOG.exception("%s %s", method, path)
            return JSONResponse(internal(repr(error)).body, status_code=500)

    return Route(path, endpoint, methods=[method])
