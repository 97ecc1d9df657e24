"""Faults on demand: what a bad link or a sick server does to a request (facts 11 item 10).

A fault is armed through the control interface for the next `count` requests whose path contains `path`.
`lost_answer` lets the server store and then cuts the connection; `cut` cuts before anything is read; `slow` answers
late, after storing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class FaultKind(StrEnum):
    """What goes wrong."""

    SLOW = "slow"
    LOST_ANSWER = "lost_answer"
    CUT = "cut"
    ERROR_500 = "error_500"
    ERROR_503 = "error_503"
    WMS_HANG = "wms_hang"
    WMS_REFUSE = "wms_refuse"


INSIDE_INSTRUCTION = frozenset({FaultKind.WMS_HANG, FaultKind.WMS_REFUSE})


@dataclass(slots=True)
class Fault:
    """One armed fault: `count` requests left, on paths containing `path`, with `method` or any."""

    kind: FaultKind
    count: int = 1
    path: str = ""
    method: str = ""
    seconds: float = 1.0

    def matches(self, method: str, path: str) -> bool:
        """Whether a request meets this fault."""
        return self.count > 0 and self.path in path and self.method in ("", method)


@dataclass(slots=True)
class FaultBox:
    """The armed faults, first armed first used."""

    armed: list[Fault] = field(default_factory=list)

    def take(self, method: str, path: str) -> Fault | None:
        """Use up one request of the first fault that matches at the door of the server."""
        return self._use(lambda fault: fault.kind not in INSIDE_INSTRUCTION and fault.matches(method, path))

    def take_inside(self) -> Fault | None:
        """Use up one fault of the call from main to WMS."""
        return self._use(lambda fault: fault.kind in INSIDE_INSTRUCTION and fault.count > 0)

    def _use(self, wanted: Any) -> Fault | None:
        for fault in self.armed:
            if wanted(fault):
                fault.count -= 1
                if fault.count <= 0:
                    self.armed.remove(fault)
                return fault
        return None


class ConnectionCutError(ConnectionError):
    """Raised instead of a cut when there is no socket to cut (in-process transport)."""


class Door(Protocol):
    """What the middleware needs of the state."""

    faults: FaultBox
    requests: Any


class FaultMiddleware:
    """Outermost layer: meets armed faults and notes each request with its status (None when cut)."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app = app
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        fault = self.door.faults.take(scope["method"], scope["path"])
        note: MutableMapping[str, Any] = {"method": scope["method"], "path": scope["path"], "status": None}
        note["fault"] = fault.kind.value if fault else None
        self.door.requests.append(note)
        await self._pass(fault, note, scope, receive, send)

    async def _pass(
        self, fault: Fault | None, note: MutableMapping[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                note["status"] = message["status"]
            await send(message)

        match fault.kind if fault else None:
            case FaultKind.CUT:
                await _cut(send)
            case FaultKind.LOST_ANSWER:
                await self.app(scope, receive, _swallow)
                await _cut(send)
            case FaultKind.ERROR_500 | FaultKind.ERROR_503 as kind:
                await _refuse(kind, scope["path"], noting)
            case FaultKind.SLOW if fault:
                await self.app(scope, receive, _Late(noting, fault.seconds))
            case _:
                await self.app(scope, receive, noting)


class _Late:
    """Holds the start of the answer back; what was asked is already stored by then."""

    def __init__(self, send: Send, seconds: float) -> None:
        self.send = send
        self.seconds = seconds

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await asyncio.sleep(self.seconds)
        await self.send(message)


async def _swallow(_: Message) -> None:
    return None


async def _cut(send: Send) -> None:
    """Abort the TCP connection: uvicorn's `send` is a method of the object that holds the transport."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionCutError("connection cut on demand")
    transport.abort()
    await asyncio.sleep(0)  # lets the server see the loss, so it does not call the missing answer an error


async def _refuse(kind: FaultKind, path: str, send: Send) -> None:
    status, content_type, body = _refusal(kind, path)
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _refusal(kind: FaultKind, path: str) -> tuple[int, bytes, bytes]:
    if kind is FaultKind.ERROR_503:  # comes from the proxy in front, so it is a page, not JSON
        return 503, b"text/html", b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"
    if path.startswith("/wms"):
        body = {"status": "error", "message": "fault on demand", "data": None}
    else:
        body = {"message": "Internal Server Error", "errors": "Error: fault on demand"}
    return 500, b"application/json", json.dumps(body).encode()
