"""Run the API and pages until told to stop. ``smile_iot`` hands in the clock and the settings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from alerts.products import load_products
from alerts.profiles import builtin_profiles, load_profiles
from api.app import create_app
from api.config import Config
from api.desk import Desk
from api.questions import LedgerBook
from gateway.records import open_records
from ingest.ledger import read_clocks, read_identities, read_ledger
from ingest.store import open_store
from telemetry.clock import Clock
from telemetry.errors import ConfigError, NeighbourDownError

log = logging.getLogger(__name__)
_ACCOUNTS_EVERY_S = 2.0


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: who started us decides when we stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(config: Config, clock: Clock, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set. Raises NeighbourDownError or ConfigError when it cannot start."""
    with _listen(config) as listener:
        await _run(config, clock, stop, listener)


def _listen(config: Config) -> socket.socket:
    """The listening socket, taken first: a port in use is said before anything else is opened."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=128)
    except OSError as error:
        raise ConfigError(
            "api.port",
            f"{config.host}:{config.port}: {error.strerror}",
            advice="is another smile-iot running? stop it, or choose another port",
        ) from error


async def _run(config: Config, clock: Clock, stop: asyncio.Event, listener: socket.socket) -> None:
    profiles = load_profiles(config.profiles_path) if config.profiles_path else builtin_profiles()
    products = load_products(*([config.products_path] if config.products_path else []))
    with open_records(config.records) as records:
        store = open_store(config.store, read_only=True)  # ingest alone writes it
        try:
            app = create_app(
                records,
                store,
                clock,
                config.settings,
                profiles=profiles,
                products=products,
                read_ledger=lambda: _read_book(config),
                enrolment=config.enrolment,
            )
            keeping = asyncio.create_task(_keep_accounts(app.state.desk, stop), name="broker accounts")
            try:
                await _serve(app, config, listener, stop)
            finally:
                keeping.cancel()
                await asyncio.wait({keeping})
        finally:
            store.close()


def _read_book(config: Config) -> LedgerBook:
    files = config.ledger_files
    return LedgerBook(
        [line for file in files for line in read_ledger(file)],
        [off for file in files for off in read_clocks(file)],
        [found for file in files for found in read_identities(file)],
    )


async def _keep_accounts(desk: Desk, stop: asyncio.Event) -> None:
    """The broker's accounts follow the records, whoever changed them (``smile-iot gateway revoke``, another process)."""
    said = ""
    while desk.accounts is not None and not stop.is_set():
        try:
            await asyncio.to_thread(desk.accounts.sync)
            said = ""
        except (ConfigError, NeighbourDownError) as error:
            if str(error) != said:
                log.error("the broker's accounts: %s", error)
            said = str(error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _ACCOUNTS_EVERY_S)


async def _serve(app: FastAPI, config: Config, listener: socket.socket, stop: asyncio.Event) -> None:
    server = _Server(
        uvicorn.Config(
            app,
            ssl_certfile=config.cert_file or None,
            ssl_keyfile=config.key_file or None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=5,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="api server")
    stopping = asyncio.create_task(stop.wait(), name="api stop")
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving
