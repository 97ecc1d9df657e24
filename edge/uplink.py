"""The outbox to the broker, and receipts back. A fact stays until a receipt of the journal names it.

What to send when is decided by ``edge/uplink_core.py``; here is what it takes to do it: MQTT, timers, logs.

A PUBACK proves nothing (data-path.md 0.2), so publishing is not delivering: facts are sent again until
``down/receipt`` names their numbers. MQTT 3.1.1, QoS 1, clean session off: any broker serves. A link that is half open
ends by the keepalive or by a PUBACK that does not come, one that carries nothing back by the core's own count of
receipts that did not come. Network timers are real time.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any

import aiomqtt

from edge.config import MqttSettings
from edge.data_package import Meter
from edge.limits import Limits
from edge.outbox import Outbox
from edge.supervisor import Outage, end
from edge.uplink_core import Action, Hello, Policy, Publish, Reconnect, UplinkCore, Wait, Why
from telemetry.clock import Clock
from telemetry.contract import Encoding, Upload, decode_receipt, decode_request, encode_upload, sign
from telemetry.errors import ConfigError, ContractError, NeighbourDownError
from telemetry.mac import KEY_BYTES
from telemetry.readings import Fact, Ranges, Reading
from telemetry.topics import EdgeAddress

log = logging.getLogger(__name__)
EXPECTED = (aiomqtt.MqttError, OSError, TimeoutError)
_HINT = "uplink:undated_sent_to"
_PRODUCED_EVERY_S = 6 * 3600.0  # with every hello it would be a quarter of a megabyte a month
# Messages whose PUBACK is awaited at once: a link with a long way there and back is not left idle.
_IN_HAND = 4


class Uplink:
    """One edge's door to the broker. ``run`` is one connection's life; ``wake`` says that facts were appended.

    A reading beyond ``limits`` waits for no other to share a message.
    """

    def __init__(
        self,
        address: EdgeAddress,
        settings: MqttSettings,
        clock: Clock,
        outbox: Outbox,
        outage: Outage,
        info: dict[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._address = address
        self._settings = settings
        self._clock = clock
        self._outbox = outbox
        self._outage = outage
        self._info = info or {}
        self._key: bytes | None = None
        self._encoding = Encoding(settings.encoding)
        self._meter = Meter(clock, outbox)
        self._wake = asyncio.Event()
        self._limits = limits or Limits()
        self._core = UplinkCore(policy_of(settings), outbox, self._urgent)
        self._aside = Ranges()
        self._produced_told: tuple[str, float, frozenset[str]] = ("", 0.0, frozenset())

    @property
    def sent_to(self) -> int:
        """The highest number whose fact must not be dated any more: it may have been sent undated, also before a
        restart of the agent.
        """
        return max(self._core.sent_to, self._undated_sent_to())

    def _undated_sent_to(self) -> int:
        epoch, _, number = (self._outbox.hint(_HINT) or "").partition(":")
        return int(number) if epoch == self._outbox.epoch else 0

    def wake(self) -> None:
        self._wake.set()

    def settle(self) -> None:
        """The agent stops: what was counted is kept."""
        self._meter.keep()

    def _urgent(self, fact: Fact) -> bool:
        return not isinstance(fact, Reading) or self._limits.beyond(fact)

    async def run(self) -> None:
        """Connect, say hello, send and listen; raises one of EXPECTED when the connection is gone."""
        s = self._settings
        self._key = _upload_key(s.upload_key_file)
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
        try:
            async with client:
                connection = client._client.socket()  # paho's own method; aiomqtt has no word for it
                if connection is not None:
                    self._meter.open(connection)
                await self._live(client)
        finally:
            self._meter.close()

    async def _live(self, client: aiomqtt.Client) -> None:
        await client.subscribe([(self._address.down("receipt"), 1), (self._address.down("request"), 1)])
        self._outage.ended()
        self._core.connected(_now_s())
        listen = asyncio.create_task(self._listen(client), name="uplink-listen")
        send = asyncio.create_task(self._send(client), name="uplink-send")
        try:
            done, _ = await asyncio.wait({listen, send}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._core.disconnected()
            await end(listen, send)

    # --- right: facts ------------------------------------------------------------------------------------

    async def _send(self, client: aiomqtt.Client) -> None:
        """Do what the core says. A few messages are on their way at once, in the order in which they were begun."""
        flying: set[asyncio.Task[None]] = set()
        try:
            while True:
                self._wake.clear()
                for task in [task for task in flying if task.done()]:
                    flying.remove(task)
                    task.result()
                action = self._core.step(_now_s()) if len(flying) < _IN_HAND else Wait(None, Why.RECEIPT)
                self._tell(action)
                match action:
                    case Wait(until_s):
                        await _wait(self._wake, until_s)
                    case Reconnect(why):
                        raise aiomqtt.MqttError(why.value)
                    case Hello() | Publish():
                        task = asyncio.create_task(self._do(client, action), name="uplink-publish")
                        task.add_done_callback(lambda _: self._wake.set())
                        flying.add(task)
        finally:
            await end(*flying)

    def _upload(self, action: Hello | Publish) -> Upload:
        """The message that an action asks for."""
        sent_at_ms, edge = self._clock.now_ms(), self._address.edge
        if isinstance(action, Hello):
            return Upload("hello", edge, action.epoch, sent_at_ms, info=self._hello_info())
        self._note_undated(action)
        return Upload(action.kind, edge, action.epoch, sent_at_ms, action.facts, lazy=action.lazy)

    async def _do(self, client: aiomqtt.Client, action: Hello | Publish) -> None:
        """Hand the message to the broker; returns when its PUBACK is here."""
        if action.epoch != self._outbox.epoch:
            return  # renewed since the core decided: its numbers mean nothing any more
        upload = self._upload(action)
        try:
            payload = self._written(upload)
        except ContractError as error:
            # As if the server did not take it: the core cuts it in halves, and what is at fault stands aside.
            log.error("numbers %s cannot be written: %s", upload.ranges.to_lists(), error)
            return
        await client.publish(self._address.up(upload.kind), payload, qos=1)
        if isinstance(action, Publish):
            self._core.published(_now_s(), action.ticket)

    def _written(self, upload: Upload) -> bytes:
        """The message as it goes out, signed where the edge has a key; raises ContractError."""
        payload = encode_upload(upload, self._encoding)
        return payload if self._key is None else sign(payload, self._key)

    def _hello_info(self) -> dict[str, Any]:
        """Who we are, how far our numbers go, how long we let facts wait, and the month's data package so far."""
        self._meter.keep_at_times()
        usage = self._outbox.usage()
        return (
            self._info
            | self._numbering_info()
            | {
                "numbered_to": usage.numbered_to,
                "unreceipted": usage.unreceipted,
                "rows": usage.rows,
                "bytes": usage.bytes,
                "oldest_ms": usage.oldest_ms,
                "flush_after_s": round(self._settings.flush_after_s),
                "receipt_every_s": round(self._settings.receipt_every_s),
                "wire_bytes": self._meter.total().total,
            }
        )

    def _numbering_info(self) -> dict[str, Any]:
        """Which numbering this is, and how much of it each stream got (35 bytes a stream): at first, with the next hello
        after a stream that was not told of yet (the first hello of a new epoch knows of none), and every six hours.
        """
        identity = self._outbox.identity()
        info: dict[str, Any] = {"epoch_reason": identity.reason.value}
        if refused := self._outbox.usage().refused:
            info["refused"] = refused
        if identity.machine:
            info["machine"] = identity.machine
        if identity.previous_epoch:
            info["previous_epoch"] = identity.previous_epoch
        if identity.lost:
            info |= {"lost": {identity.lost_reason: identity.lost}, "lost_epoch": identity.previous_epoch}
        epoch, told_s, streams = self._produced_told
        produced = self._outbox.produced()
        if epoch != identity.epoch or not produced.keys() <= streams or _now_s() >= told_s + _PRODUCED_EVERY_S:
            self._produced_told = identity.epoch, _now_s(), frozenset(produced)
            info["produced"] = produced
        return info

    def _note_undated(self, action: Publish) -> None:
        """What was sent undated is dated by the server only, also if this process ends now (edge/anchor.py)."""
        undated = [n.seq for n in action.facts if n.fact.sampled_at_ms is None]
        if undated and undated[-1] > self._undated_sent_to():
            try:
                self._outbox.append([], {_HINT: f"{action.epoch}:{undated[-1]}"})
            except NeighbourDownError as error:
                log.warning("what is sent undated cannot be noted: %s", error)  # a full disk must not stop the line

    def _tell(self, action: Action) -> None:
        """Log what a technician may look for."""
        log.debug("%s: %s", type(action).__name__.lower(), action.why)
        new = self._core.aside - self._aside
        if new:
            log.warning("numbers %s are not taken by the server: set aside, tried again later", new.to_lists())
        self._aside = self._core.aside

    # --- left: receipts and requests ---------------------------------------------------------------------

    async def _listen(self, client: aiomqtt.Client) -> None:
        receipt_topic = self._address.down("receipt")
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            try:
                if str(message.topic) == receipt_topic:
                    self._core.receipt(decode_receipt(payload), _now_s(), retained=bool(message.retain))
                else:
                    request = decode_request(payload)
                    log.info("request %s: facts are sent again", request.request_id)
                    self._core.request(request, _now_s())
            except ContractError as error:
                log.warning("message on %s refused: %s", message.topic, error)
            self._wake.set()


def policy_of(settings: MqttSettings) -> Policy:
    """The settings that the core decides by."""
    return Policy(
        window_facts=settings.window_facts,
        flush_facts=min(settings.flush_facts, settings.window_facts),
        flush_after_s=settings.flush_after_s,
        receipt_timeout_s=settings.receipt_timeout_s,
        receipt_every_s=settings.receipt_every_s,
        hello_every_s=settings.hello_every_s,
    )


def _now_s() -> float:
    return asyncio.get_running_loop().time()


async def _wait(event: asyncio.Event, until_s: float | None) -> None:
    """Until the event comes or the loop's time ``until_s``."""
    try:
        async with asyncio.timeout_at(until_s):
            await event.wait()
    except TimeoutError:
        return


def _secret(path: str) -> str | None:
    """The password, read at each connection so that it can be changed without a restart."""
    if not path:
        return None
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ConfigError("mqtt.password_file", f"cannot read {path}: {error.strerror}") from error


def _upload_key(path: str) -> bytes | None:
    """The key that signs uploads, read at each connection, as the password is."""
    if not path:
        return None
    try:
        key = bytes.fromhex(Path(path).read_text().strip())
    except OSError as error:
        raise ConfigError("mqtt.upload_key_file", f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError("mqtt.upload_key_file", f"{path} does not hold a key in hex digits") from error
    if len(key) != KEY_BYTES:
        raise ConfigError("mqtt.upload_key_file", f"{path} holds {len(key)} bytes, not {KEY_BYTES}")
    return key


def _tls(settings: MqttSettings) -> ssl.SSLContext | None:
    if not settings.tls:
        return None
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file or None)
    return context
