"""The real line in a network of its own: edge's uplink, Mosquitto with TLS, ingest; and the capture in between.

Time is short here: an upload every ``TICK_S`` stands for one every ten minutes. What happens once an hour in the field
(a receipt that is asked for, a hello) happens every six uploads; so does a keepalive not at all, in both.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.wire.capture import Capture, Counted
from benchmarks.wire.dataset import BOOT, Row
from edge.config import MqttSettings
from edge.outbox import MemoryOutbox
from edge.supervisor import Outage
from edge.uplink import Uplink
from ingest.check import Standing
from ingest.config import BrokerConfig, Config, StoreConfig
from ingest.service import run as run_ingest
from telemetry.clock import VirtualClock
from telemetry.readings import Reading, Stamp, Sync
from telemetry.topics import EdgeAddress

TICK_S = 0.25
UPLOADS_AN_HOUR = 6
NEVER_S = 86_400.0
KEY = bytes(range(32))
_TLS_PORT, _PLAIN_PORT = 18883, 11883


class NoQuarantine:
    """Refuses to be used: nothing of the data set may be refused."""

    def put(self, faults: Sequence[Any]) -> None:
        raise AssertionError(f"refused: {faults}")

    def waiting_serials(self) -> list[str]:
        return []

    def waiting(self, serial: str) -> list[Any]:
        del serial
        return []

    def replayed(self, item_ids: Sequence[str]) -> None:
        del item_ids

    def asked(self) -> list[Any]:
        return []

    def refused_again(self, asked: Any, reason: str, detail: str) -> None:
        del asked, reason, detail


@dataclass(frozen=True, slots=True)
class Way:
    """How the edge is set. ``hourly_hello``: False says hello at connection only. ``readings``: in an upload."""

    name: str
    encoding: str
    lazy: bool
    hourly_hello: bool
    readings: int = 100


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one run: the connection with its first hello, and the uploads after it."""

    way: Way
    uploads: int
    connect: Counted
    steady: Counted


def measure(table: Sequence[Row], way: Way) -> Measured:
    """Run it; must be called in a namespace where ``lo`` is up."""
    folder = Path(tempfile.mkdtemp(prefix="wire-"))
    broker = _broker(folder)
    capture = Capture(_TLS_PORT)
    capture.start()
    try:
        return asyncio.run(_line(folder, table, way, capture))
    finally:
        capture.stop()
        broker.terminate()
        broker.wait()
        shutil.rmtree(folder)


def _broker(folder: Path) -> subprocess.Popen[bytes]:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "mosquitto.conf").write_text(
        f"listener {_TLS_PORT} 127.0.0.1\nallow_anonymous true\ncertfile {folder}/cert.pem\n"
        f"keyfile {folder}/key.pem\nlistener {_PLAIN_PORT} 127.0.0.1\nallow_anonymous true\nuser root\n"
        "set_tcp_nodelay true\n"
    )
    broker = subprocess.Popen(["mosquitto", "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", _TLS_PORT), timeout=1).close()
            return broker
        except OSError:
            time.sleep(0.05)
    broker.terminate()
    raise RuntimeError("mosquitto does not start")


class _Told(Uplink):
    """The uplink; tells the capture the size of each MQTT packet that it hands over."""

    capture: Capture

    async def _do(self, client: Any, action: Any) -> None:
        before = client.publish

        async def publish(topic: str, payload: bytes, qos: int) -> None:
            rest = 2 + len(topic) + 2 + len(payload)
            size = 1 + (1 if rest < 128 else 2 if rest < 16384 else 3) + rest
            self.capture.known[size] = f"publish {topic.rpartition('/')[2]}"
            await before(topic, payload, qos=qos)

        client.publish = publish
        try:
            await super()._do(client, action)
        finally:
            client.publish = before


async def _line(folder: Path, table: Sequence[Row], way: Way, capture: Capture) -> Measured:
    readings = way.readings
    clock = VirtualClock(table[-1].wall_ms + 60_000, time.monotonic_ns(), 1.0)
    stop = asyncio.Event()
    config = Config(
        journal=str(folder / "journal.db"),
        ledger_path=folder / "ledger.db",
        broker=BrokerConfig(port=_PLAIN_PORT),
        store=StoreConfig(path=folder / "store.db"),
    )
    ingest = asyncio.create_task(
        run_ingest(config, clock, lambda _: "SITE1", NoQuarantine(), stop, lambda *_: Standing(keys=(KEY,)))
    )
    await asyncio.sleep(1.0)  # ingest has subscribed
    (folder / "key").write_text(KEY.hex())
    hour_s = TICK_S * (UPLOADS_AN_HOUR + 0.25)
    settings = MqttSettings(
        host="127.0.0.1",
        port=_TLS_PORT,
        tls=True,
        ca_file=str(folder / "cert.pem"),
        upload_key_file=str(folder / "key"),
        keepalive_s=900,
        encoding=way.encoding,
        flush_facts=readings,
        flush_after_s=TICK_S / 2,  # the hurry of this machine must not make one upload in six two
        receipt_every_s=hour_s if way.lazy else 0.0,
        hello_every_s=hour_s if way.hourly_hello else NEVER_S,
    )
    outbox = MemoryOutbox()
    uplink = _Told(EdgeAddress("s1", "SITE1", "EDGE-1"), settings, clock, outbox, Outage("broker"))
    uplink.capture = capture
    sending = asyncio.create_task(uplink.run())
    await asyncio.sleep(1.5)
    connect = capture.counted()
    count = 0
    for start in range(0, len(table) - readings + 1, readings):
        outbox.append([_reading(r) for r in table[start : start + readings]])
        uplink.wake()
        count += 1
        await asyncio.sleep(TICK_S)
        if sending.done():
            sending.result()
    await asyncio.sleep(1.0)
    steady = capture.counted().minus(connect)
    unsent = outbox.usage().unreceipted
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    stop.set()
    await ingest
    if not steady.pieces["publish readings"]:
        raise AssertionError("no upload was seen: the capture is not told of what the uplink sends")
    if unsent > readings * UPLOADS_AN_HOUR:
        raise AssertionError(f"{unsent} readings have no receipt")
    return Measured(way, count, connect, steady)


def _reading(r: Row) -> Reading:
    stamp = Stamp(BOOT, r.boottime_ms * 1_000_000, r.wall_ms, Sync.SYNCED, 64)
    return Reading(f"BT-{r.stream + 1:04d}/temperature_c", Decimal(r.milli) / 1000, r.wall_ms, stamp)
