"""The outbox to the broker, and receipts back. A fact stays until a receipt of the journal names it.

A PUBACK proves nothing (data-path.md 0.2), so publishing is not delivering: one window of pending facts is sent,
grouped by kind, and sent again until ``down/receipt`` names its numbers. If receipts come but never name them, the
window is halved down to one fact, so that one message the server cannot take holds up nothing but itself.

MQTT 3.1.1, QoS 1, clean session off: any broker serves. Network timers are real time.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from pathlib import Path
from typing import Any

import aiomqtt

from edge.config import MqttSettings
from edge.outbox import Outbox
from edge.supervisor import Outage, end
from telemetry.clock import Clock
from telemetry.contract import Request, Upload, decode_receipt, decode_request, encode_upload
from telemetry.errors import ConfigError, ContractError
from telemetry.readings import Event, Numbered, Ranges, Reading
from telemetry.topics import EdgeAddress

log = logging.getLogger(__name__)
EXPECTED = (aiomqtt.MqttError, OSError, TimeoutError)
_KNOWN_REQUESTS = 64
# How often a window may go unnamed by receipts that do come before it is halved.
_PATIENCE = 3


class Uplink:
    """One edge's door to the broker. ``run`` is one connection's life; ``wake`` says that facts were appended."""

    def __init__(
        self,
        address: EdgeAddress,
        settings: MqttSettings,
        clock: Clock,
        outbox: Outbox,
        outage: Outage,
        info: dict[str, Any] | None = None,
    ) -> None:
        self._address = address
        self._settings = settings
        self._clock = clock
        self._outbox = outbox
        self._outage = outage
        self._info = info or {}
        self._wake = asyncio.Event()
        self._receipt = asyncio.Event()
        self._named = Ranges()
        self._requests: deque[Request] = deque()
        self._answered: deque[str] = deque(maxlen=_KNOWN_REQUESTS)
        self._window = settings.window_facts
        self._aside = Ranges()
        self._hello_epoch = ""
        self.sent_to = 0

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Connect, say hello, send and listen; raises one of EXPECTED when the connection is gone."""
        s = self._settings
        client = aiomqtt.Client(
            s.host,
            s.port,
            username=s.username or None,
            password=_secret(s.password_file),
            identifier=s.client_id or f"smile-iot-{self._address.site}-{self._address.edge}",
            clean_session=False,
            protocol=aiomqtt.ProtocolVersion.V311,
            keepalive=s.keepalive_s,
            tls_context=_tls(s),
            timeout=max(1.0, s.receipt_timeout_s),
        )
        async with client:
            await client.subscribe([(self._address.down("receipt"), 1), (self._address.down("request"), 1)])
            self._outage.ended()
            self._aside, self._hello_epoch = Ranges(), ""
            listen = asyncio.create_task(self._listen(client), name="uplink-listen")
            send = asyncio.create_task(self._send(client), name="uplink-send")
            try:
                done, _ = await asyncio.wait({listen, send}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                await end(listen, send)

    # --- right: facts ------------------------------------------------------------------------------------

    async def _send(self, client: aiomqtt.Client) -> None:
        loop = asyncio.get_running_loop()
        hello_at = loop.time()
        while True:
            self._wake.clear()
            if loop.time() >= hello_at or self._hello_epoch != self._outbox.epoch:
                await self._hello(client)
                hello_at = loop.time() + self._settings.hello_every_s
            while self._requests:
                await self._answer(client, self._requests[0])
                self._requests.popleft()
            if self._hello_epoch != self._outbox.epoch:
                continue
            facts = self._outbox.pending(self._window + len(self._aside))
            facts = [n for n in facts if n.seq not in self._aside][: self._window]
            if facts:
                await self._deliver(client, facts)
            else:
                await _wait(self._wake, hello_at - loop.time())
                if self._settings.linger_s and self._wake.is_set():
                    await asyncio.sleep(self._settings.linger_s)

    async def _hello(self, client: aiomqtt.Client) -> None:
        """Who we are and how far our numbers go; what was set aside gets another chance after it."""
        self._hello_epoch, self._aside = self._outbox.epoch, Ranges()
        usage = self._outbox.usage()
        info = self._info | {
            "numbered_to": usage.numbered_to,
            "unreceipted": usage.unreceipted,
            "rows": usage.rows,
            "bytes": usage.bytes,
            "oldest_ms": usage.oldest_ms,
        }
        hello = Upload("hello", self._address.edge, self._outbox.epoch, self._clock.now_ms(), info=info)
        await client.publish(self._address.up("hello"), encode_upload(hello), qos=1)

    async def _deliver(self, client: aiomqtt.Client, facts: list[Numbered]) -> None:
        """Publish one window and wait until receipts name all of it; one time-out ends the attempt."""
        epoch = self._outbox.epoch
        open_ = Ranges.of(n.seq for n in facts)
        attempts, answered = 0, False
        while open_ and self._outbox.epoch == epoch:
            self._named = Ranges()
            self._receipt.clear()
            await self._publish(client, epoch, [n for n in facts if n.seq in open_])
            self.sent_to = max(self.sent_to, facts[-1].seq)
            deadline = asyncio.get_running_loop().time() + self._settings.receipt_timeout_s
            while open_ and await _wait(self._receipt, deadline - asyncio.get_running_loop().time()):
                self._receipt.clear()
                answered = True
                open_ -= self._named
                if self._outbox.epoch != epoch:
                    return
            attempts += 1
            if open_:
                log.debug("no receipt for %s yet (attempt %d)", open_, attempts)
            if open_ and answered and attempts >= _PATIENCE:
                self._shrink(open_)
                return
        self._window = min(self._settings.window_facts, self._window * 2)

    def _shrink(self, open_: Ranges) -> None:
        if self._window > 1:
            self._window = max(1, min(self._window, len(open_)) // 2)
            return
        self._aside = self._aside | open_
        log.warning("numbers %s are not taken by the server: set aside, tried again later", open_.to_lists())

    async def _publish(self, client: aiomqtt.Client, epoch: str, facts: list[Numbered]) -> None:
        """Numbers mean something in their epoch only: stop when it changes between two messages."""
        for kind in ("events", "weighings", "readings"):
            chosen = tuple(n for n in facts if _kind(n) == kind)
            if chosen and self._outbox.epoch == epoch:
                upload = Upload(kind, self._address.edge, epoch, self._clock.now_ms(), chosen)
                await client.publish(self._address.up(kind), encode_upload(upload), qos=1)

    async def _answer(self, client: aiomqtt.Client, request: Request) -> None:
        """Send what a request asks for, page by page; whoever asked asks again if a page is lost."""
        top = self._outbox.usage().numbered_to
        left = request.seq or Ranges([(1, top)] if top else [])
        count = 0
        while left:
            facts = self._outbox.select(
                seq=left,
                from_ms=request.from_ms,
                to_ms=request.to_ms,
                only=request.only,
                limit=self._settings.window_facts,
            )
            if not facts:
                break
            await self._publish(client, self._outbox.epoch, facts)
            count += len(facts)
            left -= Ranges([(1, facts[-1].seq)])
        self._answered.append(request.request_id)
        log.info("request %s: %d facts sent again", request.request_id, count)

    # --- left: receipts and requests ---------------------------------------------------------------------

    async def _listen(self, client: aiomqtt.Client) -> None:
        receipt_topic = self._address.down("receipt")
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            try:
                if str(message.topic) == receipt_topic:
                    self._on_receipt(payload)
                else:
                    self._on_request(payload)
            except ContractError as error:
                log.warning("message on %s refused: %s", message.topic, error)

    def _on_receipt(self, payload: bytes) -> None:
        receipt = decode_receipt(payload)
        if receipt.epoch != self._outbox.epoch:
            return  # retained from an earlier life of this outbox
        self._outbox.received(receipt.have, receipt.quarantined)
        self._named = self._named | receipt.have | receipt.quarantined
        self._receipt.set()

    def _on_request(self, payload: bytes) -> None:
        request = decode_request(payload)
        known = {r.request_id for r in self._requests} | set(self._answered)
        if request.request_id not in known:
            self._requests.append(request)
            self._wake.set()


def _kind(numbered: Numbered) -> str:
    if isinstance(numbered.fact, Reading):
        return "readings"
    return "events" if isinstance(numbered.fact, Event) else "weighings"


async def _wait(event: asyncio.Event, timeout_s: float) -> bool:
    """Whether the event came in time."""
    if timeout_s <= 0:
        return event.is_set()
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False


def _secret(path: str) -> str | None:
    """The password, read at each connection so that it can be changed without a restart."""
    if not path:
        return None
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ConfigError("mqtt.password_file", f"cannot read {path}: {error.strerror}") from error


def _tls(settings: MqttSettings) -> ssl.SSLContext | None:
    if not settings.tls:
        return None
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file or None)
    return context
