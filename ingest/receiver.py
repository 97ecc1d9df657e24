"""The MQTT side of ingest: a bounded queue between paho's network thread and the worker that keeps and answers.

    broker ─▶ network thread ─▶ queue (bounded) ─▶ worker: batch ─▶ Intake (durable) ─┬─▶ PUBACKs in arrival order
                                                                                      └─▶ receipts, requests

Theory (``facts/data-path.md`` 0):
- Mosquitto 2.0 does not honour the receive window, so memory is bounded by not reading the socket: when the queue is
  full the network thread waits in ``on_message``.
- A PUBACK goes out only after the journal has the message, and strictly in arrival order (message ids can repeat).
- A message id is only good on the connection it came by. Each connection has a generation; a message of an old one is
  kept all the same but not acknowledged: the broker sends it again and the ledger counts a duplicate.
- The broker's word is no proof of anything. What an edge may forget it learns from the receipt alone; so a receipt is
  sent again for every edge at each (re)connection.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from ingest.check import Arrived
from ingest.config import BrokerConfig, Config
from ingest.gaps import GapWatch
from ingest.intake import Intake
from ingest.ledger import EpochKey
from ingest.outage import Outage
from telemetry.clock import Clock
from telemetry.contract import encode_receipt, encode_request
from telemetry.errors import NeighbourDownError
from telemetry.topics import EdgeAddress, subscription

_log = logging.getLogger("ingest")
_IDLE_S = 0.2


@dataclass(frozen=True, slots=True)
class _Held:
    """A message in the queue with what its acknowledgement needs."""

    arrived: Arrived
    mid: int
    qos: int
    generation: int


class Receiver:
    """``run`` works until ``stop`` is set. ``journaled`` is called after each batch that the journal took."""

    def __init__(self, config: Config, intake: Intake, clock: Clock, journaled: Callable[[], None]) -> None:
        self._config = config
        self._intake = intake
        self._clock = clock
        self._journaled = journaled
        self._queue: queue.Queue[_Held] = queue.Queue(config.queue_messages)
        self._stop = threading.Event()
        self._generation = 0
        self._generation_lock = threading.Lock()
        self._connected = threading.Event()
        self._tell_all = threading.Event()
        self._dirty: dict[EpochKey, None] = {}
        self._gaps = GapWatch(round(config.gap_wait_s * 1000), round(config.gap_again_s * 1000))
        self._outage = Outage("broker")
        self._keeping = Outage("journal, quarantine or registry")
        self._next_sweep_s = 0.0
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
        client.reconnect_delay_set(1, 30)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    # --- network thread ---------------------------------------------------------------------------------------

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._outage.down(f"refused: {reason}")
            return
        client.subscribe(subscription(self._config.shard), qos=1)
        self._outage.up()
        self._tell_all.set()
        self._connected.set()

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        self._outage.down(f"no connection to {self._config.broker.host}:{self._config.broker.port}")

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        with self._generation_lock:
            self._generation += 1
        self._connected.clear()
        if not self._stop.is_set():
            self._outage.down(reason)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "<not UTF-8>"
        arrived = Arrived(topic, bytes(message.payload), self._clock.now_ms())
        held = _Held(arrived, message.mid, message.qos, self._generation)
        while not self._stop.is_set():
            try:
                self._queue.put(held, timeout=_IDLE_S)
            except queue.Full:
                continue
            return

    # --- worker -----------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Receive until ``stop``; the calling thread is the worker."""
        self._stop = stop
        broker = self._config.broker
        self._client.connect_async(broker.host, broker.port, broker.keepalive_s)
        self._client.loop_start()
        try:
            while not stop.is_set():
                self._turn()
        finally:
            stop.set()
            self._client.disconnect()
            self._client.loop_stop()

    def _turn(self) -> None:
        batch = self._collect()
        if batch and self._keep(batch):
            self._acknowledge(batch)
            self._journaled()
        self._housekeep()
        self._tell()

    def _collect(self) -> list[_Held]:
        """Wait a little for a first message, then take what has come in during the last write."""
        try:
            batch = [self._queue.get(timeout=_IDLE_S)]
        except queue.Empty:
            return []
        size = len(batch[0].arrived.payload)
        while len(batch) < self._config.batch_messages and size < self._config.batch_bytes:
            try:
                held = self._queue.get_nowait()
            except queue.Empty:
                break
            batch.append(held)
            size += len(held.arrived.payload)
        return batch

    def _keep(self, batch: list[_Held]) -> bool:
        """Try until the batch is durable; False only when stopped before that."""
        messages = [held.arrived for held in batch]
        while not self._stop.is_set():
            try:
                keys = self._intake.take(messages)
            except NeighbourDownError as error:
                self._keeping.down(error)
                self._stop.wait(self._config.retry_s)
                continue
            self._keeping.up()
            self._dirty.update(dict.fromkeys(keys))
            return True
        return False

    def _acknowledge(self, batch: list[_Held]) -> None:
        for held in batch:
            with self._generation_lock:
                if held.qos > 0 and held.generation == self._generation:
                    self._client.ack(held.mid, held.qos)

    def _housekeep(self) -> None:
        """Replay devices registered meanwhile; ask for gaps that stay."""
        now_s = time.monotonic()
        if now_s < self._next_sweep_s:
            return
        self._next_sweep_s = now_s + self._config.sweep_s
        try:
            replayed = self._intake.sweep()
        except NeighbourDownError as error:
            self._keeping.down(error)
            return
        self._keeping.up()
        if replayed:
            self._dirty.update(dict.fromkeys(replayed))
            self._journaled()
        if self._connected.is_set():
            for key, request in self._gaps.due(self._missing(), round(now_s * 1000)):
                self._publish(key, "request", encode_request(request), retain=False)

    def _missing(self) -> dict[EpochKey, Any]:
        ledger = self._intake.ledger
        return {key: ledger.states[key].missing for key in ledger.current_keys()}

    def _tell(self) -> None:
        """Send receipts; the epoch an edge lives in last and retained, an older one only to who listens now."""
        if not self._connected.is_set():
            return
        ledger = self._intake.ledger
        if self._tell_all.is_set():
            self._tell_all.clear()
            self._dirty.update(dict.fromkeys(ledger.current_keys()))
        if not self._dirty:
            return
        current = set(ledger.current_keys())
        for key in sorted(self._dirty, key=lambda k: k in current):
            self._publish(key, "receipt", encode_receipt(ledger.receipt(key)), retain=key in current)
        self._dirty.clear()

    def _publish(self, key: EpochKey, kind: str, payload: bytes, *, retain: bool) -> None:
        shard = self._intake.ledger.state(key).shard
        if shard:  # a ledger rebuilt from the journal learns the shard with the edge's next message
            address = EdgeAddress(shard, key.site, key.edge)
            self._client.publish(address.down(kind), payload, qos=1, retain=retain)


def _log_in(client: mqtt.Client, broker: BrokerConfig) -> None:
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    if broker.ca_file is not None:
        client.tls_set(broker.ca_file, broker.cert_file, broker.key_file)
