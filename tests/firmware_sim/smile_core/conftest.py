"""A laboratory: the stand-in with the lab seed, called in process, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from firmware_sim.smile_core.app import SmileApp, create_app
from firmware_sim.smile_core.control import create_control_app
from firmware_sim.smile_core.seed import LAB_SEED, Seed, load_seed
from firmware_sim.smile_core.settings import Settings
from firmware_sim.smile_core.state import State

# 2026-11-22T03:25:35.062Z, the time in the recorded login (facts 8.2).
LAB_NOW_MS = 1_795_317_935_062
BASES = {"CORE": "/core", "MAIN": "/main", "WMS": "/wms"}
ITEM: dict[str, Any] = {
    "device_id": "LABLOG0001",
    "curr_temp": "4.5",
    "actual_date": "2026-11-22T08:00:00Z",
    "lat": "-6.48",
    "lon": "106.8",
    "humidity": "55",
    "status_device": True,
    "battery": 95,
    "signal": 35,
    "power": True,
}
PASSWORDS = {row.username: row.password for row in load_seed(LAB_SEED).accounts}


class Lab:
    """The stand-in in process; `call("POST CORE/api/...")` answers with an httpx.Response."""

    def __init__(self, seed: Seed, settings: Settings) -> None:
        self.now_ms = LAB_NOW_MS
        settings.now = lambda: self.now_ms
        self.state = State(seed, settings)
        self.settings = settings
        self.app: SmileApp = create_app(state=self.state)
        self.control_app = create_control_app(self.state)
        self.tokens: dict[str, str] = {}

    def advance_s(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)

    def request(self, method: str, path: str, *, control: bool = False, **kwargs: Any) -> httpx.Response:
        app = self.control_app if control else self.app

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://lab") as client:
                return await client.request(method, path, **kwargs)

        return asyncio.run(once())

    def control(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        return self.request(method, path, control=True, **kwargs)

    def login(self, name: str) -> str:
        body = {"username": name, "password": PASSWORDS[name]}
        answer = self.request("POST", "/core/api/auth/login", json=body)
        self.tokens[name] = answer.json()["token_login"]
        return self.tokens[name]

    def call(self, what: str, *, who: str | None = "managerlab", **kwargs: Any) -> httpx.Response:
        method, where = what.split(" ", 1)
        base, _, path = where.partition("/")
        headers: dict[str, str] = {}
        if who is not None:
            headers["authorization"] = f"Bearer {self.tokens.get(who) or self.login(who)}"
        if base == "MAIN":
            headers["x-program-id"] = "1"
        for key, value in (kwargs.pop("headers", None) or {}).items():
            headers.pop(key, None) if value is None else headers.__setitem__(key, value)
        return self.request(method, f"{BASES[base]}/{path}", headers=headers, **kwargs)

    def push(self, *overrides: dict[str, Any], who: str = "vendorlab", room: bool = False) -> httpx.Response:
        kind = "warehouse" if room else "v2"
        items = [{**ITEM, **override} for override in overrides]
        return self.call(f"POST CORE/api/{kind}/histories/push", who=who, json=items)

    def history(self, serial: str = "LABLOG0001") -> list[Any]:
        logger = self.state.logger_by_serial(serial)
        assert logger is not None
        return logger.history

    def excursion(self, serial: str) -> str | None:
        rows = self.call("GET CORE/asset-monitoring-temperature").json()["data"]
        found: str | None = next(row["excursion"] for row in rows if row["rtmd"]["serial_number"] == serial)
        return found


@pytest.fixture
def make_lab() -> Callable[..., Lab]:
    """Make a Lab; `without` names loggers that are not yet registered, the rest are Settings."""

    def make(*, without: tuple[str, ...] = (), seed: Seed | None = None, **settings: Any) -> Lab:
        base = seed if seed is not None else load_seed(LAB_SEED)
        kept = tuple(row for row in base.loggers if row.serial_number not in without)
        return Lab(replace(base, loggers=kept), Settings(**settings))

    return make


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()


@pytest.fixture(scope="session")
def push_item() -> dict[str, Any]:
    """The usual push item of facts 8.4."""
    return dict(ITEM)
