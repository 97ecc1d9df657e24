"""Fixtures of ingest's tests: facts, a pipeline without a broker, and a real Mosquitto."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.journal import SqliteJournal
from ingest.check import Arrived
from ingest.intake import Intake
from ingest.ledger import Ledger
from telemetry.contract import Receipt, Request, Upload, decode_receipt, decode_request, encode_upload
from telemetry.readings import Event, Numbered, Origin, Quality, Ranges, Reading, Stamp, Sync, Weighing
from telemetry.topics import EdgeAddress

T0 = 1_790_000_000_000


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ingest_tests_{name}", Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass
class Maker:
    """Makes facts and messages of one edge."""

    address: EdgeAddress = field(default_factory=lambda: EdgeAddress("s1", "SITE1", "E1"))
    epoch: str = "epoch1"
    t0: int = T0

    def stamp(self, wall_ms: int | None = None, *, sync: Sync = Sync.SYNCED, boottime_ns: int = 0) -> Stamp:
        error = 50 if sync is Sync.SYNCED else None
        return Stamp("boot1", boottime_ns, self.t0 if wall_ms is None else wall_ms, sync, error)

    def reading(
        self, seq: int, value: str | None = "5.0", *, stream: str = "T1/temperature_c", **more: Any
    ) -> Numbered:
        """Number ``seq`` taken ``seq`` minutes after t0; ``more`` overrides fields of Reading."""
        t_ms = self.t0 + seq * 60_000
        fields: dict[str, Any] = {"sampled_at_ms": t_ms, "stamp": self.stamp(t_ms, boottime_ns=seq * 60_000_000_000)}
        number = None if value is None else Decimal(value)
        if value is None:
            fields["quality"] = Quality.SENSOR_FAULT
        return Numbered(seq, Reading(stream, number, **(fields | {"origin": Origin.LIVE} | more)))

    def event(
        self, seq: int, kind: str, subject: str, *, detail: dict[str, Any] | None = None, **more: Any
    ) -> Numbered:
        fields: dict[str, Any] = {"sampled_at_ms": self.t0, "stamp": self.stamp()}
        return Numbered(seq, Event(kind, subject, detail=detail or {}, **(fields | more)))

    def weighing(self, seq: int, device: str = "W1") -> Numbered:
        return Numbered(
            seq,
            Weighing(
                f"w{seq}",
                device,
                Decimal("2.5"),
                Decimal("0.5"),
                Decimal("2.0"),
                self.t0,
                self.stamp(),
                "5354",
                "none",
            ),
        )

    def upload(self, facts: Sequence[Numbered], kind: str = "readings", **more: Any) -> Upload:
        fields: dict[str, Any] = {"edge": self.address.edge, "epoch": self.epoch, "sent_at_ms": self.t0}
        return Upload(kind, facts=tuple(facts), **(fields | more))

    def message(self, facts: Sequence[Numbered], kind: str = "readings", *, at_ms: int | None = None) -> Arrived:
        received = self.t0 + 100_000_000 if at_ms is None else at_ms
        return Arrived(self.address.up(kind), encode_upload(self.upload(facts, kind)), received)

    def hello(self, numbered_to: int, at_ms: int | None = None) -> Arrived:
        payload = encode_upload(self.upload((), "hello", info={"numbered_to": numbered_to}))
        return Arrived(self.address.up("hello"), payload, self.t0 if at_ms is None else at_ms)


@pytest.fixture
def make() -> Maker:
    return Maker()


@pytest.fixture
def maker_class() -> type[Maker]:
    return Maker


@pytest.fixture
def quarantine_module() -> ModuleType:
    return _load("sqlite_quarantine")


@dataclass
class Pipeline:
    """Intake with its files; ``restart`` is what a SIGKILL leaves."""

    folder: Path
    module: ModuleType
    homes: dict[str, str]

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.journal = SqliteJournal(self.folder / "journal.db")
        self.ledger = Ledger(self.folder / "ledger.db")
        self.quarantine = self.module.SqliteQuarantine(self.folder / "quarantine.db")
        self.intake = Intake(self.journal, self.ledger, self.quarantine, self.homes.get)
        self.intake.start()


@pytest.fixture
def pipeline(tmp_path: Path, quarantine_module: ModuleType) -> Pipeline:
    return Pipeline(tmp_path, quarantine_module, {"T1": "SITE1", "T2": "SITE1", "W1": "SITE1", "FAR": "SITE2"})


@dataclass
class Broker:
    """A real Mosquitto that can be killed and started again on the same port."""

    folder: Path
    port: int
    binary: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            "max_queued_messages 0\nset_tcp_nodelay true\n" + ("user root\n" if os.geteuid() == 0 else "")
        )
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen([self.binary, "-c", str(config)], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"mosquitto did not start: {(self.folder / 'mosquitto.log').read_text()}")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if binary is None:
        pytest.fail("Mosquitto is missing: apt-get install -y --no-install-recommends mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    broker = Broker(tmp_path, port, binary)
    broker.start()
    yield broker
    broker.kill()


@dataclass
class IngestProcess:
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        script = Path(__file__).parent / "run_ingest.py"
        root = Path(__file__).parents[2]
        with (self.folder / "ingest.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(script), str(self.folder), str(self.port)], cwd=root, stdout=log, stderr=log,
                env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
            )  # fmt: skip

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        return (self.folder / "ingest.log").read_text()

    def journal(self) -> SqliteJournal:
        return SqliteJournal(self.folder / "journal.db")


@pytest.fixture
def ingest(tmp_path: Path, broker: Any) -> Iterator[IngestProcess]:
    process = IngestProcess(tmp_path, broker.port)
    process.start()
    yield process
    process.kill()


@dataclass
class Edge:
    """A publisher that honours receipts and requests."""

    port: int
    make: Any
    receipts: list[Receipt] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    have: Ranges = field(default_factory=Ranges)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"edge-{self.make.epoch}")
        self.client.on_connect = self._connected
        self.client.on_message = self._heard
        self.client.reconnect_delay_set(1, 1)
        self.client.connect_async("127.0.0.1", self.port)
        self.client.loop_start()

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(self.make.address.down("receipt"), 1), (self.make.address.down("request"), 1)])

    def _heard(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic.endswith("/request"):
            self.requests.append(decode_request(message.payload))
            return
        receipt = decode_receipt(message.payload)
        self.receipts.append(receipt)
        if receipt.epoch == self.make.epoch:
            with self.lock:
                self.have = self.have | receipt.have | receipt.quarantined

    def send(self, facts: Any, kind: str = "readings") -> None:
        self.publish(self.make.address.up(kind), encode_upload(self.make.upload(facts, kind)))

    def hello(self, numbered_to: int) -> None:
        self.publish(self.make.address.up("hello"), self.make.hello(numbered_to).payload)

    def publish(self, topic: str, payload: bytes) -> None:
        self.client.publish(topic, payload, qos=1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def edge(broker: Any, maker_class: Any) -> Iterator[Edge]:
    edge = Edge(broker.port, maker_class(t0=1_700_000_000_000))
    yield edge
    edge.close()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Poll a condition of a real process until a deadline."""

    def wait(condition: Callable[[], bool], what: str, timeout_s: float = 90.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"did not happen in {timeout_s} s: {what}")
            time.sleep(0.02)

    return wait
