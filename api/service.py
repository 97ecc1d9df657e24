"""Run the API and pages until told to stop. ``smile_iot`` hands in the clock and the settings."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from alerts.profiles import builtin_profiles, load_profiles
from api.app import create_app
from api.config import Config
from gateway.records import open_records
from ingest.ledger import read_ledger
from ingest.service import open_store
from telemetry.clock import Clock


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: who started us decides when we stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(config: Config, clock: Clock, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set. Raises NeighbourDownError or ConfigError when it cannot start."""
    profiles = load_profiles(config.profiles_path) if config.profiles_path else builtin_profiles()
    with open_records(config.records) as records:
        store = open_store(config.store)
        try:
            app = create_app(
                records,
                store,
                clock,
                config.settings,
                profiles=profiles,
                read_ledger=lambda: read_ledger(config.ledger_path),
            )
            await _serve(app, config, stop)
        finally:
            store.close()


async def _serve(app: FastAPI, config: Config, stop: asyncio.Event) -> None:
    server = _Server(
        uvicorn.Config(
            app,
            host=config.host,
            port=config.port,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=5,
        )
    )
    serving = asyncio.create_task(server.serve(), name="api server")
    stopping = asyncio.create_task(stop.wait(), name="api stop")
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving
