"""The control interface, on a port of its own: faults, switches, clock, and what the tables hold.

It stands for what a tester could do by hand with the real programs: look into the database, change an environment
variable, pull a cable, link a logger in SMILE's web pages. Nothing of it exists on the SMILE port.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from firmware_sim.smile_core.faults import Fault, FaultKind
from firmware_sim.smile_core.settings import LoginLimitStatus, PushMode, Settings, WmsProgram, wall_clock_ms
from firmware_sim.smile_core.state import Json, State

_SWITCHES: dict[str, Callable[[Any], Any]] = {
    "push_mode": PushMode,
    "wms": WmsProgram,
    "login_limit_status": LoginLimitStatus,
    "dedup_window_s": float,
    "token_life_s": float,
    "wms_token_cache_s": float,
    "wms_calls_per_minute": int,
    "login_failures": int,
    "login_window_s": float,
}


def create_control_app(state: State) -> Starlette:
    """The control application of one State."""
    control = _Control(state)
    routes: Iterable[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = (
        ("GET", "/faults", control.list_faults),
        ("POST", "/faults", control.arm_fault),
        ("DELETE", "/faults", control.clear_faults),
        ("GET", "/notifications", control.notifications),
        ("GET", "/requests", control.requests),
        ("GET", "/tables/{name}", control.table),
        ("GET", "/settings", control.settings),
        ("PATCH", "/settings", control.change_settings),
        ("PUT", "/clock", control.set_clock),
        ("PUT", "/loggers/{serial}/asset", control.link),
        ("POST", "/reset", control.reset),
    )
    return Starlette(routes=[Route(path, handler, methods=[method]) for method, path, handler in routes])


class _Control:
    def __init__(self, state: State) -> None:
        self.state = state

    async def list_faults(self, _: Request) -> Response:
        return JSONResponse([asdict(fault) for fault in self.state.faults.armed])

    async def arm_fault(self, request: Request) -> Response:
        """`{"kind", "count"?, "path"?, "method"?, "seconds"?}`."""
        body = await request.json()
        try:
            fault = Fault(**{**body, "kind": FaultKind(body["kind"])})
        except (TypeError, KeyError, ValueError) as error:
            return _bad(f"{error}; kinds: {[kind.value for kind in FaultKind]}")
        self.state.faults.armed.append(fault)
        return JSONResponse(asdict(fault), status_code=201)

    async def clear_faults(self, _: Request) -> Response:
        self.state.faults.armed.clear()
        return Response(status_code=204)

    async def notifications(self, _: Request) -> Response:
        return JSONResponse(self.state.notifications)

    async def requests(self, _: Request) -> Response:
        return JSONResponse(list(self.state.requests))

    async def table(self, request: Request) -> Response:
        rows = _tables(self.state).get(request.path_params["name"])
        if rows is None:
            return _bad(f"tables: {sorted(_tables(self.state))}", 404)
        return JSONResponse([asdict(row) for row in rows()])

    async def settings(self, _: Request) -> Response:
        return JSONResponse(_settings_json(self.state.settings))

    async def change_settings(self, request: Request) -> Response:
        """Any of the settings, `server_zone` included; all or none."""
        try:
            changes = {key: _setting(key, value) for key, value in (await request.json()).items()}
        except (KeyError, ValueError, TypeError, ZoneInfoNotFoundError) as error:
            return _bad(str(error))
        for key, value in changes.items():
            setattr(self.state.settings, key, value)
        return JSONResponse(_settings_json(self.state.settings))

    async def set_clock(self, request: Request) -> Response:
        """`{"offset_ms": n}`: the server's clock runs that much ahead of this machine's."""
        offset_ms = (await request.json()).get("offset_ms")
        if not isinstance(offset_ms, int):
            return _bad("offset_ms must be a whole number")
        self.state.settings.now = lambda: wall_clock_ms() + offset_ms
        return JSONResponse({"now_ms": self.state.now_ms})

    async def link(self, request: Request) -> Response:
        """`{"asset_id": n|null}`: what a SMILE user does on the refrigerator's page."""
        logger = self.state.logger_by_serial(request.path_params["serial"])
        asset_id = (await request.json()).get("asset_id")
        if logger is None or (asset_id is not None and asset_id not in self.state.assets):
            return _bad("no such logger or asset", 404)
        logger.asset_id = asset_id
        return Response(status_code=204)

    async def reset(self, _: Request) -> Response:
        self.state.reset(self.state.seed)
        self.state.faults.armed.clear()
        self.state.requests.clear()
        return Response(status_code=204)


def _setting(key: str, value: Any) -> Any:
    if key == "server_zone":
        return ZoneInfo(value).key
    if key not in _SWITCHES:
        raise KeyError(f"no setting {key}")
    return _SWITCHES[key](value)


def _settings_json(settings: Settings) -> Json:
    values = asdict(settings)
    del values["now"]
    return {**values, "now_ms": settings.now()}


def _bad(message: str, status: int = 422) -> Response:
    return JSONResponse({"message": message}, status_code=status)


def _tables(state: State) -> dict[str, Callable[[], Iterable[Any]]]:
    return {
        "histories": lambda: [row for logger in state.loggers.values() for row in logger.history],
        "loggers": lambda: [row.seed for row in state.loggers.values()],
        "assets": state.assets.values,
        "stocks": state.stocks.values,
        "batches": state.batches.values,
        "materials": state.materials.values,
        "entities": state.entities.values,
        "entity_activities": lambda: state.seed.entity_activities,
        "reasons": state.reasons.values,
        "discards": lambda: state.discards,
        "disposal_stocks": state.disposal_stocks.values,
        "instructions": state.instructions.values,
        "basts": state.basts.values,
        "labels": state.labels.values,
        "bags": state.bags.values,
        "waste_sources": lambda: state.seed.waste_sources,
        "waste_classifications": lambda: state.seed.waste_classifications,
        "scales": lambda: state.seed.scales,
    }
