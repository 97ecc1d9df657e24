"""The envelope, errors, pages and call limit of WMS (facts 6.1)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from firmware_sim.smile_core.auth import bearer
from firmware_sim.smile_core.jsvalue import iso_z
from firmware_sim.smile_core.settings import WmsProgram
from firmware_sim.smile_core.state import Json, State
from firmware_sim.smile_core.wire import LOG, ApiError

MINUTE_MS = 60_000


def success(data: Any) -> Response:
    """`{"status":"success","data":...}`."""
    return JSONResponse({"status": "success", "data": data})


def fail(status: int, data: Any) -> ApiError:
    """A refusal: `{"status":"fail","data":...}`."""
    return ApiError(status, {"status": "fail", "data": data})


def fault(message: str) -> ApiError:
    """A 500: `{"status":"error","message","data"}`."""
    return ApiError(500, {"status": "error", "message": message, "data": None})


def issue(path: Sequence[str | int], message: str) -> Json:
    """One validation issue."""
    return {"code": "invalid_type", "path": list(path), "message": message}


def invalid(state: State, issues: Sequence[Json]) -> ApiError:
    """422: the list of issues (Express), or the first one's text (rewrite), facts 6.8."""
    encore = state.settings.wms is WmsProgram.ENCORE
    return fail(422, issues[0]["message"] if encore else list(issues))


async def read_any(request: Request) -> Any:
    """The parsed body; {} without a JSON content type, 500 for broken JSON."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return {}
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise fault(f"Unexpected token in JSON: {error}") from error


async def read_object(request: Request) -> Json:
    """The body as an object; anything else counts as empty."""
    body = await read_any(request)
    return body if isinstance(body, dict) else {}


def page(state: State, request: Request, rows: Sequence[Any]) -> Json:
    """One page with `limit` (default 10) and `page`."""
    limit, number = _positive(state, request, "limit", 10), _positive(state, request, "page", 1)
    return {
        "data": list(rows[(number - 1) * limit : number * limit]),
        "pagination": {
            "total": len(rows),
            "pages": -(-len(rows) // limit),
            "currentPage": number,
            "perPage": limit,
        },
    }


def _positive(state: State, request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, str(default))
    if not value.isdecimal() or int(value) < 1:
        raise invalid(state, [issue([name], "Expected number, received nan")])
    return int(value)


def count_call(state: State, request: Request) -> None:
    """Raise 429 for a token's 501st call in its 60 s window; the rewrite has no limit."""
    token = bearer(request)
    if state.settings.wms is WmsProgram.ENCORE or token is None:
        return
    now_ms = state.now_ms
    began_ms, calls = state.wms_calls.get(token, (now_ms, 0))
    if now_ms - began_ms >= MINUTE_MS:
        began_ms, calls = now_ms, 0
    state.wms_calls[token] = (began_ms, calls + 1)
    if calls >= state.settings.wms_calls_per_minute:
        raise fail(429, "Rate limit exceeded")


def wms_route(
    state: State, path: str, method: str, handler: Callable[[State, Request], Awaitable[Response]]
) -> Route:
    """A WMS route: counted, and with refusals answered in WMS's envelope."""

    async def endpoint(request: Request) -> Response:
        try:
            count_call(state, request)
            return await handler(state, request)
        except ApiError as error:
            return JSONResponse(error.body, status_code=error.status)
        except Exception as error:  # noqa: BLE001 (as in core and main)
            LOG.exception("%s %s", method, path)
            return JSONResponse(fault(repr(error)).body, status_code=500)

    return Route(path, endpoint, methods=[method])


def not_found_body(state: State, path: str) -> Json:
    """Unknown path of WMS."""
    return {
        "status": "fail",
        "message": f"Can't find {path} on this server",
        "error": "Not Found",
        "timestamp": iso_z(state.now_ms),
    }
