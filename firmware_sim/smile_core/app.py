"""The three programs behind one port, each route listed once (facts section 11, "Endpoints")."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from firmware_sim.smile_core import auth, bast, discard, disposal, loggers, monitoring, push, stock, wms
from firmware_sim.smile_core.faults import FaultMiddleware
from firmware_sim.smile_core.seed import Seed, load_seed
from firmware_sim.smile_core.settings import Settings
from firmware_sim.smile_core.state import State
from firmware_sim.smile_core.wire import ApiError, route
from firmware_sim.smile_core.wms_wire import not_found_body, wms_route


def create_app(seed: Seed | None = None, settings: Settings | None = None, *, state: State | None = None) -> SmileApp:
    """The SMILE port: core under /core, main under /main, WMS under /wms. `app.state.smile` is its State."""
    if state is None:
        state = State(seed if seed is not None else load_seed(), settings if settings is not None else Settings())
    return SmileApp(state)


class SmileApp(Starlette):
    """All three programs; faults are met outside everything else, where the socket can still be cut."""

    def __init__(self, state: State) -> None:
        super().__init__(
            routes=[
                Mount("/core", _program(core_routes(state), _plain_404)),
                Mount("/main", _program(main_routes(state), _main_404)),
                Mount("/wms", _program(wms_routes(state), _Wms404(state))),
            ],
            middleware=[Middleware(_PathMiddleware)],
        )
        self.router.redirect_slashes = False
        self.state.smile = state
        self._door = FaultMiddleware(super().__call__, state)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._door(scope, receive, send)


def core_routes(state: State) -> list[BaseRoute]:
    """SMILE core."""
    monitored = "/asset-monitoring-temperature"
    return [
        route(state, "/api/auth/login", "POST", auth.login),
        route(state, "/api/v2/histories/push", "POST", push.push_refrigerator),
        route(state, "/api/warehouse/histories/push", "POST", push.push_room),
        route(state, "/api/assets", "POST", loggers.create_logger),
        route(state, "/api/assets", "GET", loggers.list_loggers),
        route(state, "/api/asset-type", "GET", loggers.asset_types),
        route(state, "/api/asset-model", "GET", loggers.asset_models),
        route(state, monitored, "GET", monitoring.list_assets, traced=True),
        route(state, monitored + "/{asset_id:int}", "GET", monitoring.asset_detail, traced=True),
        route(state, monitored + "/{rtmd_id:int}/history", "GET", monitoring.logger_history, traced=True),
    ]


def main_routes(state: State) -> list[BaseRoute]:
    """SMILE main."""
    instructions = "/disposal/instructions"
    return [
        route(state, "/stocks/details", "GET", stock.stock_details, traced=True),
        route(state, "/stocks/entities", "GET", stock.stock_entities, traced=True),
        route(state, "/batches", "GET", stock.batches, traced=True),
        route(state, "/stock-qualities", "GET", stock.stock_qualities, traced=True),
        route(state, "/transactions/reason", "GET", stock.transaction_reasons, traced=True),
        route(state, "/transactions/discard", "GET", discard.list_discards, traced=True),
        route(state, "/transactions/discard-stock", "POST", discard.discard_stock, traced=True),
        route(state, instructions, "POST", disposal.create_instruction, traced=True),
        route(state, instructions, "GET", disposal.list_instructions, traced=True),
        route(state, instructions + "/{instruction_id:int}", "GET", disposal.get_instruction, traced=True),
        route(state, "/api/wms/disposal/cancellation", "POST", disposal.cancel_from_wms),
    ]


def wms_routes(state: State) -> list[BaseRoute]:
    """SMILE WMS."""
    return [
        wms_route(state, "/api/v1/waste-bag-qrcode", "POST", wms.create_labels),
        wms_route(state, "/api/v1/mobile/scan-qr-code/{qr}", "GET", wms.scan),
        wms_route(state, "/api/v1/mobile/enter-weight", "POST", wms.enter_weight),
        wms_route(state, "/api/v1/waste", "GET", wms.list_waste),
        wms_route(state, "/api/v1/bast", "POST", bast.create),
        wms_route(state, "/api/v1/bast/confirm", "PUT", bast.confirm),
        wms_route(state, "/api/v1/bast", "GET", bast.read),
    ]


def _program(routes: list[BaseRoute], otherwise: ASGIApp) -> ASGIApp:
    return _Only(Router(routes=routes, redirect_slashes=False), otherwise)


class _Only:
    """A router that knows no 405: a known path with another method is as unknown as any other path."""

    def __init__(self, router: Router, otherwise: ASGIApp) -> None:
        self.router = router
        self.otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = any(item.matches(scope)[0] is Match.FULL for item in self.router.routes if isinstance(item, Route))
        await (self.router if known else self.otherwise)(scope, receive, send)


async def _plain_404(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("404 Not Found", status_code=404)(scope, receive, send)


async def _main_404(scope: Scope, receive: Receive, send: Send) -> None:
    """Main looks for its program header before it looks for the path (facts 8.5, PUT of the WMS)."""
    response: Response
    try:
        auth.program_id(request := Request(scope))
        response = _not_member(scope["app"].state.smile, request) or PlainTextResponse("404 Not Found", 404)
    except ApiError as error:
        response = JSONResponse(error.body, status_code=error.status)
    await response(scope, receive, send)


def _not_member(state: State, request: Request) -> Response | None:
    try:
        auth.main_caller(state, request)
    except ApiError as error:
        return JSONResponse(error.body, status_code=error.status)
    return None


class _Wms404:
    def __init__(self, state: State) -> None:
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse(not_found_body(self.state, scope["path"]), status_code=404)(scope, receive, send)


class _PathMiddleware:
    """Core and main refuse a path with `//` or a slash at its end (facts section 1)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        ours = scope["type"] == "http" and path.startswith(("/core/", "/main/"))
        if ours and ("//" in path or path.endswith("/")):
            await JSONResponse({"message": "Id is required"}, status_code=400)(scope, receive, send)
            return
        await self.app(scope, receive, send)
