"""The service as ``smile_iot`` runs it: starts on real files, answers over TCP, stops when told."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.config import Config, Settings
from api.service import run
from ingest.config import StoreConfig
from ingest.ledger import Change, EpochKey, Ledger
from ingest.store import SqliteStore
from telemetry.errors import ConfigError
from telemetry.readings import Ranges


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def _get(url: str, **options: Any) -> httpx.Response:
    """The answer, as soon as somebody listens (a deadline of 90 s)."""
    async with httpx.AsyncClient() as client:
        for _ in range(1800):
            try:
                return await client.get(url, **options)
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
    raise AssertionError("the service did not start")


def test_the_service_runs_on_real_files_until_told_to_stop(world: Any, tmp_path: Path, furnished: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    key = EpochKey("PKM-A", "E1", "epoch-9")
    ledger.commit([Change(key, world.clock.now, received=Ranges([(1, 7)]), numbered_to=9)], 1)
    ledger.close()
    config = Config(
        records=str(tmp_path / "world" / "records.db"),
        store=StoreConfig(path=tmp_path / "world" / "store.db"),
        ledger_path=tmp_path / "ledger.db",
        port=_free_port(),
        settings=Settings(secure_cookies=False),
    )

    async def play() -> tuple[httpx.Response, httpx.Response]:
        stop = asyncio.Event()
        running = asyncio.create_task(run(config, world.clock, stop))
        base = f"http://127.0.0.1:{config.port}"
        health = await _get(f"{base}/health")
        bearer = {"authorization": f"Bearer {world.tokens['admin']}"}
        ledger_answer = await _get(f"{base}/api/v1/sites/PKM-A/ledger", headers=bearer)
        stop.set()
        await asyncio.wait_for(running, 60)
        return health, ledger_answer

    health, answer = asyncio.run(play())
    assert health.json()["status"] == "ok"
    assert "server" not in health.headers
    assert "strict-transport-security" not in health.headers  # plain HTTP on one machine
    line = answer.json()[0]
    assert (line["produced"], line["received"], line["missing_ranges"]) == (9, 7, [[8, 9]])


def test_a_port_that_is_taken_ends_the_service_with_an_error(world: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = Config(
            records=str(tmp_path / "world" / "records.db"),
            store=StoreConfig(path=tmp_path / "world" / "store.db"),
            port=taken.getsockname()[1],
        )
        with pytest.raises(ConfigError, match=r"api\.port"):
            asyncio.run(asyncio.wait_for(run(config, world.clock, asyncio.Event()), 60))


def test_the_pages_may_start_before_ingest(world: Any, tmp_path: Path) -> None:
    """No store file yet: the page says "no temperature yet", makes no file, and sees it once it is there."""
    from api.app import create_app
    from ingest.service import open_store

    path = tmp_path / "later.db"
    store = open_store(StoreConfig(path=path), read_only=True)
    app = create_app(world.records, store, world.clock, Settings())
    world.app = app
    asker = world.as_role("operator")
    assert asker.get("/api/v1/sites/PKM-A/equipment").json()[0]["latest"] is None
    assert not path.exists()
    with closing(SqliteStore(path)) as writer:
        writer.append(world.store.read("LOG-1/temperature_c", 0, 1 << 42).rows)
        assert len(asker.get("/api/v1/sites/PKM-A/streams").json()) == 1
    store.close()


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="port"):
        Config(records="x", store=StoreConfig(), port=70_000)
