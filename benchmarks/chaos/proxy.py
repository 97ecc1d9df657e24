"""Two proxies of ours in one thread: a TCP link that can fail in the ways links fail, and a database that answers as
databases do on bad days. This kernel has no netem, so the link's faults are made here, above TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from smile_iot.processes import free_port

_CHUNK = 4096


class Loop:
    """An event loop in a thread of its own, so that a busy judge or scheduler never holds up a byte."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(20)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End with RST, not FIN: the other side loses what is under way, as when a NAT forgets a connection."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@dataclass
class Link:
    """A TCP link to ``target``. Modes: pass, refuse, blackhole, blackhole_up, blackhole_down, delay, throttle.

    A blackhole holds bytes and says nothing, as a link without carrier does: TCP would deliver them later, unless the
    connection is forgotten meanwhile (``cut``). ``tear_next`` cuts in the middle of the next packet.
    """

    loop: Loop
    target: int
    port: int = field(default_factory=free_port)
    mode: str = "pass"
    delay_s: float = 0.3
    bytes_per_s: int = 2_000
    tear_next: bool = False
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _changed: asyncio.Event | None = None

    def start(self) -> None:
        self.loop.do(self._listen())

    def set(self, mode: str) -> None:
        self.loop.do(self._set(mode))

    def cut(self) -> None:
        """Reset every connection there is."""
        self.loop.do(self._cut())

    def tear(self) -> None:
        self.tear_next = True

    async def _listen(self) -> None:
        self._changed = self._changed or asyncio.Event()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _set(self, mode: str) -> None:
        self.mode = mode
        assert self._changed is not None
        self._changed.set()
        self._changed = asyncio.Event()
        if mode == "refuse":
            if self._server is not None:
                self._server.close()
                self._server = None
            await self._cut()
        else:
            await self._listen()

    async def _cut(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        far: asyncio.StreamWriter | None = None
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target)
            self._open.add(far)
            pumps = [
                asyncio.create_task(self._pump(reader, far, "up")),
                asyncio.create_task(self._pump(far_reader, writer, "down")),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass
        finally:
            for end in (writer, far):
                if end is not None:
                    self._open.discard(end)
                    end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                while self.mode in ("blackhole", f"blackhole_{way}"):
                    assert self._changed is not None
                    await self._changed.wait()
                if self.tear_next and len(data) > 1:
                    self.tear_next = False
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    await asyncio.sleep(0.01)
                    await self._cut()
                    return
                if self.mode == "delay":
                    await asyncio.sleep(self.delay_s)
                elif self.mode == "throttle":
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                writer.write(data)
                await writer.drain()


@dataclass
class Database:
    """An HTTP proxy in front of InfluxDB. Modes of a write: pass; a status number ("503": refused, nothing stored);
    "partial": lines of ``poison`` are refused with 400 and the others stored, as 1.x does; "lost_answer": stored, and
    the connection ends without an answer; "slow": ``delay_s`` before it is passed on; "refuse": hangs up.
    """

    loop: Loop
    target: int
    port: int = field(default_factory=free_port)
    mode: str = "pass"
    poison: str = ""
    delay_s: float = 1.5
    answered: dict[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.loop.do(self._listen())

    def set(self, mode: str) -> None:
        self.mode = mode

    async def _listen(self) -> None:
        await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._one(reader, writer)
        except (OSError, EOFError, ValueError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection: the answer says so, and both clients open another."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *fields = head.decode("latin-1").split("\r\n")
        named = {name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields if f)}
        body = await reader.readexactly(int(named.get("content-length", "0")))
        mode = self.mode
        if mode == "refuse":
            _reset(writer)
            return
        if mode == "slow":
            await asyncio.sleep(self.delay_s)
        write = "/api/v2/write" in first
        if write and mode.isdigit():
            self._count(mode)
            await self._say(writer, int(mode), "a database on a bad day")
            return
        refused = b""
        if write and mode == "partial" and self.poison:
            lines = body.split(b"\n")
            bad = [line for line in lines if line.startswith(b"readings,") and self.poison.encode() in line]
            if bad:
                refused, body = bad[0], b"\n".join(line for line in lines if line not in bad)
        answer = b""
        if body or not refused:
            answer = await self._forward(first, named, body)
        if refused:
            self._count("400 partial")
            await self._say(writer, 400, f"partial write: unable to parse {refused[:60]!r}: no such field dropped=1")
        elif write and mode == "lost_answer":
            self._count("lost answer")
            _reset(writer)
        else:
            writer.write(answer)
            await writer.drain()

    async def _forward(self, first: str, named: dict[str, str], body: bytes) -> bytes:
        named = {**named, "connection": "close", "content-length": str(len(body))}
        head = first + "\r\n" + "".join(f"{name}: {value}\r\n" for name, value in named.items()) + "\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            writer.write(head.encode("latin-1") + body)
            await writer.drain()
            return await reader.read(-1)
        finally:
            writer.close()

    def _count(self, what: str) -> None:
        self.answered[what] = self.answered.get(what, 0) + 1

    async def _say(self, writer: asyncio.StreamWriter, status: int, words: str) -> None:
        body = ('{"error":"' + words.replace('"', "'").replace("\\", "/") + '"}').encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
        await writer.drain()
