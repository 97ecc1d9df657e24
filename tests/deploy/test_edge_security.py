"""The path's security, end to end: Mosquitto as deployed, ``smile-iot ingest`` as a process, edges that sign or cheat."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.records import Device
from smile_iot.processes import Program
from smile_iot.settings import to_toml
from telemetry.contract import Upload, decode_receipt, encode_upload, sign
from telemetry.readings import Numbered, Ranges, Reading, Stamp, Sync

T0 = 1_790_000_000_000
pytestmark = pytest.mark.timeout(600)


def upload(number: int, edge: str = "E1", epoch: str = "ep1", serial: str = "LOG-1") -> bytes:
    """One reading, unsigned."""
    stamp = Stamp("boot", number * 1_000_000_000, T0, Sync.SYNCED, 5)
    reading = Reading(f"{serial}/temperature_c", Decimal("4.5"), T0 + number * 1000, stamp)
    return encode_upload(Upload("readings", edge, epoch, T0, (Numbered(number, reading),)))


def changed(payload: bytes) -> bytes:
    """The same upload with one digit of its temperature changed on the way."""
    assert payload.count(b"4.5") == 1
    return payload.replace(b"4.5", b"4.6")


@dataclass
class Pi:
    """A client over TLS at one edge's topics; ``have`` is what its receipts name."""

    broker: Any
    account: str
    site: str
    edge: str = "E1"
    have: Ranges = field(default_factory=Ranges)
    receipts: int = 0

    def __post_init__(self) -> None:
        self._heard, self._ready = threading.Event(), threading.Event()
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"pi-{id(self)}")
        self.mqtt.username_pw_set(self.account, self.broker.password(self.account))
        self.mqtt.tls_set(str(self.broker.ca))
        self.mqtt.on_message = self._on_message
        self.mqtt.on_subscribe = lambda *_: self._ready.set()
        self.mqtt.connect("localhost", self.broker.port)
        self.mqtt.loop_start()
        self.mqtt.subscribe(f"{self.base}/down/receipt", qos=1)
        assert self._ready.wait(60)

    @property
    def base(self) -> str:
        return f"smile-iot/v1/s0/{self.site}/{self.edge}"

    def _on_message(self, _c: Any, _d: Any, message: Any) -> None:
        self.have = self.have | decode_receipt(message.payload).have
        self.receipts += 1
        self._heard.set()

    def send(self, payload: bytes, kind: str = "readings") -> None:
        self.mqtt.publish(f"{self.base}/up/{kind}", payload, qos=1).wait_for_publish(10)

    def close(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


@dataclass
class Line:
    """The broker, ingest, and the office with its records; ``keys`` of the enrolled edges by account."""

    broker: Any
    office: Any
    ingest: Program
    keys: dict[str, bytes]

    def waiting(self, site: str) -> dict[str, int]:
        return dict(Counter(item.reason for item in self.office.records.quarantine_items(site)))


def _ingest(broker: Any) -> Program:
    folder = broker.copy.folder
    config = folder / "ingest.toml"
    values = {
        "server.data_dir": str(folder),
        "mqtt.host": "localhost",
        "mqtt.port": broker.own_port,
        "mqtt.password_file": str(broker.copy.secrets / "ingest_password"),
        "mqtt.ca_file": str(broker.ca),
        "ingest.require_edge_keys": True,
    }
    config.write_text(to_toml(values))
    program = Program("ingest", [sys.executable, "-m", "smile_iot", "ingest", "--config", str(config)], folder)
    program.start()
    return program


@pytest.fixture(scope="module")
def line(broker: Any, office: Any, wait_for: Any) -> Iterator[Line]:
    keys = {}
    for number, site in enumerate(("PKM-1", "PKM-2", "PKM-3"), 1):
        office.site(site)
        edge = office.enrol(site, "E1")
        keys[edge.account] = edge.upload_key
        device = Device(f"LOG-{number}", site, "E1", "bthome", interval_s=600)
        office.records.upsert_device(device, office.boss, "new", T0)
    ingest = _ingest(broker)
    _until_let_in(broker, "PKM-1.E1", wait_for)
    first = Pi(broker, "PKM-1.E1", "PKM-1")
    hello = sign(encode_upload(Upload("hello", "E1", "ep1", T0, info={"numbered_to": 0})), keys["PKM-1.E1"])
    wait_for(lambda: first.send(hello, "hello") or first.receipts, "ingest listens")
    first.close()
    yield Line(broker, office, ingest, keys)
    ingest.stop()


@pytest.fixture
def pi(line: Line, wait_for: Any) -> Iterator[Callable[..., Pi]]:
    made: list[Pi] = []

    def make(site: str, account: str = "") -> Pi:
        account = account or f"{site}.E1"
        _until_let_in(line.broker, account, wait_for)
        made.append(Pi(line.broker, account, site))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _until_let_in(broker: Any, account: str, wait_for: Any) -> None:
    """The broker reads a new account within a second or two."""

    def let_in() -> bool:
        answers: list[bool] = []
        answered = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="look")
        client.username_pw_set(account, broker.password(account))
        client.tls_set(str(broker.ca))
        client.on_connect = lambda _c, _d, _f, reason, _p: answers.append(not reason.is_failure) or answered.set()
        client.connect("localhost", broker.port)
        client.loop_start()
        answered.wait(60)
        client.disconnect()
        client.loop_stop()
        return answers[:1] == [True]

    wait_for(let_in, f"{account} is let in")


def test_a_signed_upload_is_received_and_a_changed_byte_goes_to_quarantine(
    line: Line, pi: Callable[..., Pi], wait_for: Any
) -> None:
    edge, key = pi("PKM-1"), line.keys["PKM-1.E1"]
    edge.send(changed(sign(upload(1), key)))
    wait_for(lambda: line.waiting("PKM-1").get("bad_mac") == 1, "the changed one is in quarantine")
    edge.send(sign(upload(2), key))
    wait_for(lambda: 2 in edge.have, "the receipt of the true one")
    assert 1 not in edge.have
    edge.send(sign(upload(1), key))  # the edge sends it again, since no receipt named it
    wait_for(lambda: 1 in edge.have, "its receipt")


def test_what_is_not_signed_is_not_heard(line: Line, pi: Callable[..., Pi], wait_for: Any) -> None:
    edge, key = pi("PKM-1"), line.keys["PKM-1.E1"]
    edge.send(upload(10))
    edge.send(upload(11).replace(b'"mac":null', b'"mac":"' + b"0" * 32 + b'"'))
    wait_for(lambda: line.waiting("PKM-1").get("no_mac") == 1, "the unsigned one is in quarantine")
    edge.send(sign(upload(12), key))
    wait_for(lambda: 12 in edge.have, "the receipt of the signed one")
    assert 10 not in edge.have
    assert 11 not in edge.have


def test_a_stolen_key_is_of_no_use_with_another_account(line: Line, pi: Callable[..., Pi], wait_for: Any) -> None:
    """The key of PKM-1 with the account of PKM-2: the broker lets it write for PKM-2 alone, where the key does not fit."""
    thief, victim = pi("PKM-2"), pi("PKM-1")
    forged = sign(upload(100), line.keys["PKM-1.E1"])
    thief.mqtt.publish(f"{victim.base}/up/readings", forged, qos=1).wait_for_publish(10)
    thief.send(forged)
    wait_for(lambda: line.waiting("PKM-2").get("bad_mac") == 1, "it waits, as a message of PKM-2")
    own = sign(upload(101, serial="LOG-2"), line.keys["PKM-2.E1"])
    thief.send(own)
    wait_for(lambda: 101 in thief.have, "PKM-2's own reading")
    assert 100 not in victim.have
    assert "PKM-1" not in {i.site for i in line.office.records.quarantine_items() if i.payload == forged}


def test_a_stolen_account_without_the_key_brings_nothing_in(line: Line, pi: Callable[..., Pi], wait_for: Any) -> None:
    thief = pi("PKM-2")
    before = line.waiting("PKM-2").get("bad_mac", 0)
    thief.send(sign(upload(200, serial="LOG-2"), bytes(32)))
    wait_for(lambda: line.waiting("PKM-2").get("bad_mac", 0) == before + 1, "it waits")
    assert 200 not in thief.have


def test_a_revoked_edges_uploads_wait_and_no_receipt_names_them(
    line: Line, pi: Callable[..., Pi], wait_for: Any
) -> None:
    """Ingest refuses it also where the broker has not thrown it out yet (its files are not written here)."""
    edge, key = pi("PKM-3"), line.keys["PKM-3.E1"]
    edge.send(sign(upload(1, serial="LOG-3"), key))
    wait_for(lambda: 1 in edge.have, "the first one's receipt")
    line.office.records.revoke_edge("PKM-3", "E1", line.office.boss, "stolen", T0)

    def felt() -> bool:
        """At most a second later (smile_iot.run_ingest.EDGES_FRESH_S)."""
        edge.send(sign(upload(2, serial="LOG-3"), key))
        return line.waiting("PKM-3").get("edge_revoked", 0) > 0

    wait_for(felt, "the revocation is felt")
    edge.send(sign(upload(3, serial="LOG-3"), key))
    edge.send(upload(4, serial="LOG-3"))
    wait_for(lambda: line.waiting("PKM-3")["edge_revoked"] >= 3, "all of them wait")
    assert not {3, 4} & {n for low, high in edge.have.spans for n in range(low, high + 1)}


def test_a_foreign_edge_id_in_a_signed_upload_is_refused(line: Line, pi: Callable[..., Pi], wait_for: Any) -> None:
    edge, key = pi("PKM-1"), line.keys["PKM-1.E1"]
    edge.send(sign(upload(300, edge="E2"), key))
    wait_for(lambda: line.waiting("PKM-1").get("address_mismatch") == 1, "it waits")


def test_no_secret_is_in_the_logs(line: Line) -> None:
    said = line.ingest.said() + (line.broker.copy.folder / "mosquitto.log").read_text()
    for secret in (*(key.hex() for key in line.keys.values()), *line.broker.passwords.values()):
        assert secret not in said


# --- certificates in place of passwords -------------------------------------------------------------------------


def _certificate(folder: Path, ca: Path, name: str) -> tuple[Path, Path]:
    key, request, made = folder / f"{name}.key", folder / f"{name}.request", folder / f"{name}.pem"
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}")
    subprocess.run(["openssl", *new, "-keyout", key, "-out", request], check=True, capture_output=True)
    signed = ("-CA", str(ca), "-CAkey", str(ca.with_name("ca_key")), "-CAcreateserial", "-days", "30")
    subprocess.run(
        ["openssl", "x509", "-req", "-in", request, *signed, "-out", made], check=True, capture_output=True
    )
    return made, key


def test_with_certificates_the_name_in_it_is_the_account(
    broker: Any, office: Any, tmp_path: Path, wait_for: Any
) -> None:
    """deploy/README.md: two lines more for each listener; the ACL stays, and the password is no longer asked for."""
    from smile_iot.processes import free_port, wait_port

    for site in ("PKM-1", "PKM-2"):
        office.site(site)
        office.enrol(site, "E1")
    port = free_port()
    deployed = (broker.copy.folder / "mosquitto.conf").read_text()
    for old, new in ((broker.port, port), (broker.own_port, free_port())):
        deployed = deployed.replace(f"listener {old}", f"listener {new}")
    config = tmp_path / "mosquitto.conf"
    kept = [row for row in deployed.splitlines() if not row.startswith(("password_file", "persistence", "autosave"))]
    more = "require_certificate true\nuse_identity_as_username true\n"  # for each listener
    config.write_text("\n".join([*kept, ""]).replace("tls_version tlsv1.2\n", f"tls_version tlsv1.2\n{more}"))
    program = Program("mosquitto", ["/usr/sbin/mosquitto", "-c", str(config)], tmp_path)
    program.start()
    wait_port(port, "mosquitto")
    got: list[tuple[str, bytes]] = []

    def client(name: str) -> mqtt.Client:
        one, ready = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name), threading.Event()
        certificate, key = _certificate(tmp_path, broker.ca, name)
        one.tls_set(str(broker.ca), str(certificate), str(key))
        one.on_connect = lambda *_: ready.set()
        one.on_message = lambda _c, _d, m: got.append((m.topic, m.payload))
        one.connect("localhost", port)
        one.loop_start()
        assert ready.wait(60)
        return one

    ingest, edge = client("ingest"), client("PKM-1.E1")
    try:
        ready = threading.Event()
        ingest.on_subscribe = lambda *_: ready.set()
        ingest.subscribe("smile-iot/v1/+/+/+/up/+", qos=1)
        assert ready.wait(60)
        for topic in ("smile-iot/v1/s0/PKM-2/E1/up/readings", "smile-iot/v1/s0/PKM-1/E1/up/readings"):
            edge.publish(topic, b"x", qos=1).wait_for_publish(10)
        wait_for(lambda: bool(got), "the edge's own message")
        assert got == [("smile-iot/v1/s0/PKM-1/E1/up/readings", b"x")]
        nobody = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="nobody")
        nobody.tls_set(str(broker.ca))
        refused = threading.Event()
        nobody.on_disconnect = lambda *_: refused.set()
        nobody.on_connect_fail = lambda *_: refused.set()
        try:
            nobody.connect("localhost", port)
            nobody.loop_start()
            assert refused.wait(60)
        except OSError:
            pass  # the handshake itself was refused
        finally:
            nobody.loop_stop()
    finally:
        for one in (ingest, edge):
            one.disconnect()
            one.loop_stop()
        program.stop()
