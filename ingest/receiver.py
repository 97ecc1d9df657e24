"""The MQTT side of ingest: a thin shell that reads messages, has them kept, acknowledges and answers. One thread.

    broker ─▶ read what has come in (bounded) ─▶ Intake (durable) ─┬─▶ PUBACKs in arrival order
                                                                   └─▶ Answers: receipts, requests

Theory (``facts/data-path.md`` 0):
- Mosquitto 2.0 does not honour the receive window, so memory is bounded by not reading the socket: while a batch is
  being kept nothing is read, and a batch is bounded by messages and by bytes.
- A PUBACK goes out only after the journal has the message, and strictly in arrival order (message ids can repeat).
- A message id is only good on the connection it came by. A batch that outlives its connection is kept all the same
  but not acknowledged: the broker sends it again and the ledger counts duplicates.
- The broker's word is no proof of anything. What an edge may forget it learns from the receipt alone; so a receipt is
  sent again for every edge at each (re)connection.

paho runs without a thread of its own (its documented ``loop_read``, ``loop_write``, ``loop_misc``): handing each
message from thread to thread costs more than reading it.

What is written goes out at once and in few packets: TCP_NODELAY on the socket (by Nagle's algorithm a receipt waited 40 ms
for the broker's delayed acknowledgement of the PUBACK before it), and a cork for the time of a write of many.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from ingest.answers import Answer, Answers
from ingest.check import Arrived
from ingest.config import BrokerConfig, Config
from ingest.gaps import GapWatch
from ingest.intake import Counters, Intake
from ingest.outage import Outage
from telemetry.clock import Clock
from telemetry.contract import Receipt, encode_receipt, encode_request
from telemetry.errors import NeighbourDownError
from telemetry.topics import EdgeAddress, subscription

_log = logging.getLogger("ingest")
_IDLE_S = 0.2
_CONNECT_S = 10.0
_RETRY_S = (1.0, 30.0)
# Messages that come this soon after a connection have waited at the broker: they say nothing of the edge's clock.
_BACKLOG_S = 30.0
_COUNTED_EVERY_S = 600.0
_FLUSH_S = 0.5
# From so many acknowledgements on a cork is worth its two system calls (which, other than a write, hold Python's lock).
_MANY = 5
# Of the time that a message may linger. With three quarters of 50 ms one message in a hundred was late (docs/decisions/0035).
_WAITING_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class _Held:
    """A message with what its acknowledgement needs."""

    arrived: Arrived
    mid: int
    qos: int


class Receiver:
    """``run`` works until ``stop`` is set."""

    def __init__(self, config: Config, intake: Intake, clock: Clock) -> None:
        self._config = config
        self._intake = intake
        self._clock = clock
        # A demo's hours pass in seconds: its transport times say nothing of clocks.
        self._real_time = clock.real_seconds(1.0) == 1.0
        self._answers = Answers(
            round(config.receipt_linger_s * 1000),
            GapWatch(round(config.gap_wait_s * 1000), round(config.gap_again_s * 1000)),
        )
        self._stop = threading.Event()
        self._batch: list[_Held] = []
        self._batch_bytes = 0
        self._connection = 0
        self._connected = False
        self._connected_at_s = 0.0
        self._connect_at_s = 0.0
        self._retry_s = _RETRY_S[0]
        self._pressed = False
        self._emptied_s = 0.0
        self._outage = Outage("broker")
        self._keeping = Outage("journal, quarantine or registry")
        self._next_sweep_s = 0.0
        self._next_flush_s = 0.0
        self._said = Counters()
        self._next_count_s = time.monotonic() + _COUNTED_EVERY_S
        self._client = self._make_client(config)

    def _make_client(self, config: Config) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=config.mqtt_client_id,
            clean_session=False,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        _log_in(client, config.broker)
        client.connect_timeout = _CONNECT_S
        client.max_inflight_messages_set(1_000)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_socket_open = _send_at_once
        # Set, it keeps paho from a write of its own for every single acknowledgement: we write them in one go.
        client.on_socket_register_write = _nothing
        return client

    # --- what paho calls, from within loop_read, loop_write, loop_misc and connect ---------------------------

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._outage.down(f"refused: {reason}")
            return
        client.subscribe(subscription(self._config.shard), qos=1)
        self._outage.up()
        self._answers.connected()
        self._connected = True
        self._connected_at_s = time.monotonic()
        self._retry_s = _RETRY_S[0]

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._connected = False
        self._connection += 1
        self._again_later()
        if not self._stop.is_set():
            self._outage.down(reason)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "<not UTF-8>"
        payload = bytes(message.payload)
        fresh = self._real_time and not (self._pressed or message.dup) and self._is_settled()
        self._batch.append(_Held(Arrived(topic, payload, self._clock.now_ms(), fresh), message.mid, message.qos))
        self._batch_bytes += len(payload)

    def _is_settled(self) -> bool:
        return time.monotonic() - self._connected_at_s > _BACKLOG_S

    # --- the loop ---------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Receive until ``stop``; the calling thread does it all."""
        self._stop = stop
        try:
            while not stop.is_set():
                self._turn()
        finally:
            self._client.disconnect()
            self._client.loop_write()
            self._close()

    def _turn(self) -> None:
        if self._client.socket() is None:
            self._flush()
            self._connect()
            self._housekeep()
            return
        connection = self._connection
        batch = self._read()
        if batch and self._keep(batch) and connection == self._connection:
            for held in batch:
                if held.qos > 0:
                    self._client.ack(held.mid, held.qos)
        self._flush()
        self._housekeep()
        self._answer()
        self._write(many=len(batch) >= _MANY)
        self._client.loop_misc()

    def _connect(self) -> None:
        wait_s = self._connect_at_s - time.monotonic()
        if wait_s > 0:
            self._stop.wait(min(wait_s, _IDLE_S))
            return
        broker = self._config.broker
        try:
            self._client.connect(broker.host, broker.port, broker.keepalive_s)
        except (OSError, ValueError) as error:
            self._outage.down(f"no connection to {broker.host}:{broker.port}: {error}")
            self._again_later()

    def _again_later(self) -> None:
        self._connect_at_s = time.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, _RETRY_S[1])

    def _close(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _read(self) -> list[_Held]:
        """Wait a little for a first message, then take what has come in during the last write (and, if told to linger,
        what comes in a moment longer: fewer and larger writes)."""
        self._batch, self._batch_bytes = [], 0
        linger_s = self._config.linger_s
        waited = bool(linger_s) and self._is_readable(0.0)
        if not waited and not self._is_readable(0.0 if self._pressed else _IDLE_S):
            self._pressed = False
            self._emptied_s = time.monotonic()
            return []
        self._drain()
        if linger_s and self._batch:
            until_s = keep_at_s(self._emptied_s if waited else time.monotonic(), linger_s)
            while not self._is_full() and (left_s := until_s - time.monotonic()) > 0 and self._is_readable(left_s):
                self._drain()
        self._pressed = self._is_full()
        self._emptied_s = time.monotonic()
        return self._batch

    def _is_readable(self, patience_s: float) -> bool:
        """Whether something comes within this time; what waits to be written is written meanwhile."""
        sock: Any = self._client.socket()
        if sock is None:
            return False
        pending = getattr(sock, "pending", None)  # TLS: what is decrypted already wakes no select
        if pending and pending():
            return True
        waits = self._client.want_write()
        readable, writable, _ = select.select([sock], [sock] if waits else [], [], patience_s)
        if writable:
            self._client.loop_write()
        return bool(readable)

    def _write(self, *, many: bool) -> None:
        """Write all that waits; ``many`` small packets of MQTT in one of TCP."""
        sock: Any = self._client.socket()
        if sock is None or not many:
            self._client.loop_write()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        self._client.loop_write()
        if self._client.socket() is not None:  # the same: nothing connects in here
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    def _drain(self) -> None:
        """Read until nothing more is there, the batch is full or the connection breaks."""
        known = -1
        while len(self._batch) != known and not self._is_full():
            known = len(self._batch)
            if self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return

    def _is_full(self) -> bool:
        return len(self._batch) >= self._config.batch_messages or self._batch_bytes >= self._config.batch_bytes

    def _keep(self, batch: list[_Held]) -> bool:
        """Try until the batch is durable; False only when stopped before that."""
        messages = [held.arrived for held in batch]
        while not self._stop.is_set():
            try:
                lazy = self._intake.take(messages)
            except NeighbourDownError as error:
                self._keeping.down(error)
                self._stop.wait(self._config.retry_s)
                self._client.loop_misc()
                self._client.loop_write()
                continue
            self._keeping.up()
            self._answers.taken(lazy, _now_ms())
            return True
        return False

    def _flush(self) -> None:
        """Let the ledger's file follow, twice a second: the journal has it all already."""
        now_s = time.monotonic()
        if now_s < self._next_flush_s:
            return
        self._next_flush_s = now_s + _FLUSH_S
        try:
            self._intake.ledger.flush()
        except NeighbourDownError as error:
            self._keeping.down(error)

    def _housekeep(self) -> None:
        """Replay devices registered meanwhile; ask for gaps that stay; say now and then what was done."""
        now_s = time.monotonic()
        if now_s < self._next_sweep_s:
            return
        self._next_sweep_s = now_s + self._config.sweep_s
        try:
            self._count(now_s)
            replayed = self._intake.sweep()
        except NeighbourDownError as error:
            self._keeping.down(error)
            return
        self._keeping.up()
        if replayed:
            self._answers.taken(dict.fromkeys(replayed, False), _now_ms())
        if self._connected:
            self._send(self._answers.requests(self._intake.ledger, round(now_s * 1000)))

    def _count(self, now_s: float) -> None:
        if now_s >= self._next_count_s:
            self._next_count_s = now_s + _COUNTED_EVERY_S
            self._intake.tidy()
            if self._said != self._intake.counters:
                self._said = replace(self._intake.counters)
                _log.info("since the start: %s", self._said)

    def _answer(self) -> None:
        if self._connected:
            self._send(self._answers.receipts(self._intake.ledger, _now_ms(), pressed=self._pressed))

    def _send(self, answers: list[Answer]) -> None:
        for answer in answers:
            address = EdgeAddress(answer.shard, answer.key.site, answer.key.edge)
            if isinstance(answer.body, Receipt):
                kind, payload = "receipt", encode_receipt(answer.body)
            else:
                kind, payload = "request", encode_request(answer.body)
            self._client.publish(address.down(kind), payload, qos=1, retain=answer.retain)


def keep_at_s(since_s: float, linger_s: float) -> float:
    """Until when a batch may wait for more. ``since_s``: when its first message may have come at the earliest. What the
    last batch kept waiting has lingered already, and a part of the time is left for the way into journal and store.
    """
    return since_s + linger_s * _WAITING_SHARE


def _now_ms() -> int:
    """Of a clock that never goes back; answers are timed by it."""
    return time.monotonic_ns() // 1_000_000


def _nothing(_client: mqtt.Client, _data: Any, _socket: Any) -> None:
    return


def _send_at_once(_client: mqtt.Client, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _log_in(client: mqtt.Client, broker: BrokerConfig) -> None:
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    if broker.ca_file is not None:
        client.tls_set(broker.ca_file, broker.cert_file, broker.key_file)
