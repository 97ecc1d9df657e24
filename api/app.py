"""The application put together: ``create_app`` is what the service runs and what the tests drive.

Nothing is anonymous but ``/health``, ``/health/live``, the log-in page and its style sheet, and the enrolment of an edge by its
one-time code (``api/edges.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alerts.products import Products
from alerts.rules import Profile
from api import (
    alarm_pages,
    answers,
    destruction_pages,
    edges,
    limit_pages,
    pages,
    people,
    quarantine_pages,
    reading_pages,
    report_pages,
    scan_pages,
    stock_pages,
    use_first_pages,
    verdict_pages,
)
from api.config import Enrolment, Settings
from api.desk import Desk, Form, LoginNeededError, desk_of, own_path, page
from api.problems import ProblemBody, ProblemError, Wrong, as_json
from api.questions import Questions, ReadLedger
from api.roles import ForbiddenError
from api.security import Gate, Visitor
from api.shapes import HealthOut
from api.words import catalogue
from gateway.broker_accounts import BrokerAccounts
from gateway.records import Code, Records, Refused, UnknownRecord
from ingest.store import Store
from telemetry.clock import Clock
from telemetry.errors import NeighbourDownError

# No script at all, no style but our sheet (SVG is coloured by its classes), no frame, no foreign form target.
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=(), camera=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
# Sending the same form again cannot help (or, for a form without its token, must not be made easy).
_FINAL = frozenset(
    {
        "csrf", "role", "site", "region", "ALREADY_ACKNOWLEDGED", "ALARM_CLOSED", "ALREADY_DECIDED",
        "DISCARDED_IS_FINAL", "NO_VERDICT", "ALREADY_TIED", "NOT_TIED", "NOT_WAITING", "NOT_PLACED", "not_replayable",
        "device_not_registered", "discarded_stays", "no_place_for_vaccines", "ALREADY_PLACED",
        "enrolment_off", "ALREADY_REVOKED", "NOT_REPLAYABLE", "already_here",
        "NOT_COMPLETE", "NOT_DAMAGED", "NOT_WEIGHED", "ALREADY_CLOSED", "NO_THIRD_PARTY", "OTHER_BAST", "NOT_ALONE",
        "destroyed_stays", "ALREADY_DESTROYED",
    }
)  # fmt: skip
# What the records refuse is a conflict with what they hold (409), but for these.
_REFUSED_AS = {
    Code.BAD_VALUE: 422,
    Code.BAD_BAG_CODE: 422,
    Code.REASON_REQUIRED: 422,
    Code.COMMENT_REQUIRED: 422,
    Code.MORE_THAN_STOCK: 422,
    Code.NOT_ALONE: 403,
}
_STATUS_REASONS = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def create_app(
    records: Records,
    store: Store,
    clock: Clock,
    settings: Settings,
    *,
    profiles: Mapping[str, Profile] | None = None,
    products: Products | None = None,
    read_ledger: ReadLedger | None = None,
    enrolment: Enrolment | None = None,
) -> FastAPI:
    """The application. ``profiles`` say which range an equipment has, ``products`` what a vaccine is; ``read_ledger`` gives
    the ledger's lines; without ``enrolment`` no edge is enrolled here.
    """
    app = FastAPI(title="SMILE IoT", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    questions = Questions(records, store, profiles or {}, read_ledger)
    gate = Gate(records, clock, settings)
    accounts = BrokerAccounts(enrolment.files, records) if enrolment else None
    app.state.desk = Desk(records, questions, clock, settings, gate, products or Products(), enrolment, accounts)
    app.add_api_route("/health", _health, methods=["GET"], response_model=HealthOut, tags=["health"])
    app.add_api_route("/health/live", _live, methods=["GET"], response_model=HealthOut, tags=["health"])
    app.include_router(answers.router)
    app.include_router(people.router)
    app.include_router(verdict_pages.json_router)
    app.include_router(alarm_pages.json_router)
    app.include_router(limit_pages.json_router)
    app.include_router(reading_pages.json_router)
    app.include_router(use_first_pages.json_router)
    app.include_router(scan_pages.json_router)
    app.include_router(stock_pages.json_router)
    app.include_router(destruction_pages.json_router)
    app.include_router(report_pages.json_router)
    app.include_router(edges.json_router)
    app.include_router(pages.router)
    app.include_router(edges.page_router)
    app.include_router(quarantine_pages.router)
    app.include_router(verdict_pages.page_router)
    app.include_router(alarm_pages.page_router)
    app.include_router(limit_pages.page_router)
    app.include_router(reading_pages.page_router)
    app.include_router(use_first_pages.page_router)
    app.include_router(scan_pages.page_router)
    app.include_router(stock_pages.page_router)
    app.include_router(destruction_pages.page_router)
    app.include_router(report_pages.page_router)
    app.add_exception_handler(Exception, _unexpected)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_middleware(_Guard, max_body_bytes=settings.max_body_bytes, secure=settings.secure_cookies)
    return app


def _health(request: Request) -> JSONResponse:
    """Ready when records and store answer: 200, else 503. Says no more than that to strangers."""
    desk, checks = desk_of(request), {}
    for name, ask in (("records", desk.records.newest_change), ("store", desk.questions.store.streams)):
        try:
            ask()
            checks[name] = "ok"
        except NeighbourDownError:
            checks[name] = "down"
    ready = all(state == "ok" for state in checks.values())
    body = {"status": "ok" if ready else "down", "checks": checks}
    return JSONResponse(body, status_code=200 if ready else 503)


def _live() -> HealthOut:
    """The process answers."""
    return HealthOut(status="ok", checks={})


# --- errors ---------------------------------------------------------------------------------------------------


def _answer(request: Request, body: ProblemBody, headers: dict[str, str] | None = None) -> Response:
    """The problem as JSON for the API, as a page for people."""
    if request.url.path.startswith("/api/") or request.url.path.startswith("/health"):
        return as_json(body, headers)
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    form: Form | None = getattr(request.state, "form", None)
    # A form that was sent again from an error's page still knows the page it began on.
    back = own_path((form.fields.get("back") if form else None) or request.headers.get("referer"))
    choice = body.wrong is not None and body.wrong.rule == "choice"
    again = form is not None and bool(form.typed) and body.reason not in _FINAL and not choice
    made = page(
        request,
        "problem.html",
        visitor=visitor,
        problem=body,
        back=back,
        form=form,
        again=again,
        action=request.url.path,
        same=f"{own_path(request.url.path)}?{request.url.query}" if body.again and request.method == "GET" else "",
        status=body.status,
    )
    made.headers.update(headers or {})
    return made


def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101  (registered for it alone)
    again = error.retry_after_s is not None
    body = ProblemBody(error.status, error.reason, error.detail, error.advice, again=again, wrong=error.wrong)
    return _answer(request, body, error.headers)


def _forbidden(request: Request, error: Exception) -> Response:
    assert isinstance(error, ForbiddenError)  # noqa: S101
    return _answer(request, ProblemBody(403, error.reason, error.message, error.advice))


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101
    status = _REFUSED_AS.get(error.code, 409)
    fields = [{"field": error.field, "problem": error.message}] if error.field else []
    wrong = _wrong_field(request, error) if error.code is Code.BAD_VALUE else None
    return _answer(
        request, ProblemBody(status, str(error.code), error.message, error.advice, fields=fields, wrong=wrong)
    )


_ASKED_AS = {
    "from_ms": ("first", "since"),
    "to_ms": ("last",),
    **dict.fromkeys(("since_ms", "damaged_ms", "destroyed_ms"), ("since",)),
}
"""Which field of a form asks for what the records name."""


def _wrong_field(request: Request, error: Refused) -> Wrong | None:
    """The field as the person's form names it, and the rule it broke; None where no page asks for it."""
    form: Form | None = getattr(request.state, "form", None)
    fields = form.fields if form else {}
    name = next((n for n in (*_ASKED_AS.get(error.field, ()), error.field) if n in fields), "")
    if f"field.{name}" not in catalogue():
        return None
    return Wrong(error.rule or "not_right", name)


def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, UnknownRecord)  # noqa: S101
    wrong = Wrong("unknown_bag", "bag", {"code": error.key.rpartition("/")[2]}) if error.kind == "bag" else None
    return _answer(request, ProblemBody(404, "not_found", error.message, error.advice, wrong=wrong))


def _down(_request: Request, error: Exception) -> Response:
    assert isinstance(error, NeighbourDownError)  # noqa: S101
    body = ProblemBody(
        503, "neighbour_down", f"{error.neighbour} does not answer", "Try again in a minute.", again=True
    )
    # A page needs the records (menu, person); they may be what is down.
    return as_json(body, {"Retry-After": "30"})


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    fields = [
        {"field": ".".join(str(part) for part in e["loc"]), "problem": str(e["msg"])} for e in error.errors()[:20]
    ]
    detail = "; ".join(f"{f['field']}: {f['problem']}" for f in fields)[:500]
    return _answer(request, ProblemBody(422, "bad_input", detail, "Correct the named fields.", fields=fields))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    reason = _STATUS_REASONS.get(error.status_code, "bad_request")
    return _answer(request, ProblemBody(error.status_code, reason, str(error.detail)), dict(error.headers or {}))


def _login_needed(request: Request, _error: Exception) -> Response:
    # Only a GET is worth coming back to.
    target = request.url.path if request.method == "GET" else "/"
    return RedirectResponse(f"/login?next={quote(target)}", status_code=303)


def _unexpected(_request: Request, _error: Exception) -> Response:
    """A fault of ours: logged by the server with its trace; the asker learns no inside."""
    return as_json(ProblemBody(500, "our_fault", "something went wrong here", "Tell the helpdesk the time of this."))


_HANDLERS = {
    ProblemError: _problem,
    ForbiddenError: _forbidden,
    Refused: _refused,
    UnknownRecord: _unknown,
    NeighbourDownError: _down,
    RequestValidationError: _invalid,
    HTTPException: _http,
    LoginNeededError: _login_needed,
}


# --- what holds for every answer ------------------------------------------------------------------------------


class _TooLargeError(HTTPException):
    """The body outgrew its bound while it was read. (FastAPI calls any but an HTTPException a bad request.)"""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(413, f"at most {max_bytes} bytes")


class _Guard:
    """Bounds request bodies and puts the security headers on every answer; pages are never kept by caches."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, *, secure: bool) -> None:
        self._app, self._max = app, max_body_bytes
        headers = _HEADERS | ({"strict-transport-security": "max-age=31536000"} if secure else {})
        self._headers = [(k.encode(), v.encode()) for k, v in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, got = False, 0

        async def bounded() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self._max:
                raise _TooLargeError(self._max)
            return message

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                given = list(message.get("headers", []))
                names = {name.lower() for name, _ in given}
                extra = [*self._headers, (b"cache-control", b"no-store")]
                message = {**message, "headers": given + [h for h in extra if h[0] not in names]}
            await send(message)

        declared = dict(scope["headers"]).get(b"content-length", b"0")
        try:
            if not declared.isdigit() or int(declared) > self._max:
                raise _TooLargeError(self._max)
            await self._app(scope, bounded, guarded)
        except _TooLargeError:
            if started:
                raise
            body = ProblemBody(413, "too_large", f"at most {self._max} bytes", "Send less at once.")
            await as_json(body)(scope, receive, guarded)
