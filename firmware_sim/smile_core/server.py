"""Serving the stand-in on the loopback address: two ports, one event loop, one process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import uvicorn
from starlette.types import ASGIApp

from firmware_sim.smile_core.app import create_app
from firmware_sim.smile_core.control import create_control_app
from firmware_sim.smile_core.state import State

LOOPBACK = "127.0.0.1"
IDLE_TIMEOUT_S = 60  # core's own (facts 3.3)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Base addresses of the three programs and of the control interface."""

    core: str
    main: str
    wms: str
    control: str

    def as_dict(self) -> dict[str, str]:
        """For the ready line."""
        return asdict(self)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # two servers share one process: signals are ours


def _listen(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((LOOPBACK, port))
    return sock


def _server(app: ASGIApp) -> _Server:
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_level="error",
        proxy_headers=False,
        timeout_keep_alive=IDLE_TIMEOUT_S,
        timeout_graceful_shutdown=1,
    )
    return _Server(config)


async def serve(
    state: State,
    *,
    port: int = 0,
    control_port: int = 0,
    ready: Callable[[Addresses], None],
    stop: asyncio.Event,
) -> None:
    """Serve until `stop` is set; calls `ready` once both ports accept. Raises OSError when a port is taken."""
    sockets = [_listen(port), _listen(control_port)]
    servers = [_server(create_app(state=state)), _server(create_control_app(state))]
    base, control = (f"http://{LOOPBACK}:{sock.getsockname()[1]}" for sock in sockets)
    async with asyncio.TaskGroup() as group:
        for server, sock in zip(servers, sockets, strict=True):
            group.create_task(server.serve([sock]))
        while not all(server.started for server in servers):  # noqa: ASYNC110 (uvicorn has a flag, no event)
            await asyncio.sleep(0.01)
        ready(Addresses(f"{base}/core", f"{base}/main", f"{base}/wms", control))
        await stop.wait()
        for server in servers:
            server.should_exit = True


async def serve_until_signal(state: State, port: int, control_port: int, ready: Callable[[Addresses], None]) -> None:
    """`serve` until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(state, port=port, control_port=control_port, ready=ready, stop=stop)


@contextlib.contextmanager
def running(state: State) -> Iterator[Addresses]:
    """The stand-in on real sockets from a thread of this process, for tests; stops at the end of the block."""
    found: list[Addresses] = []
    up = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def ready(addresses: Addresses) -> None:
        found.append(addresses)
        up.set()

    def run() -> None:
        try:
            loop.run_until_complete(serve(state, ready=ready, stop=stop))
        finally:
            loop.close()
            up.set()

    thread = threading.Thread(target=run, name="smile-core", daemon=True)
    thread.start()
    up.wait(10)
    if not found:
        raise RuntimeError("the stand-in did not start")
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
