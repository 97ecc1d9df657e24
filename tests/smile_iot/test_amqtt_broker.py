"""The stand-in for Mosquitto under ``NO_INSTALL=1``: chosen only then, with a warning; same accounts, same rights."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.broker_accounts import new_password, password_hash
from smile_iot.demo import amqtt_broker
from smile_iot.demo.amqtt_broker import AmqttBroker, choose_broker, covers
from smile_iot.demo.mosquitto import Mosquitto
from telemetry.errors import NeighbourDownError

EDGES = {"edge-1": ("1", "PKM-1")}
OWN = "smile-iot/v1/1/PKM-1/edge-1"
FOREIGN = "smile-iot/v1/1/PKM-2/edge-1"


@pytest.mark.parametrize("binary", ["/usr/sbin/mosquitto", None])
@pytest.mark.parametrize("no_install", ["1", "0", None])
def test_amqtt_is_chosen_only_where_mosquitto_is_missing_and_nothing_may_be_installed(
    binary: str | None,
    no_install: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Mosquitto, "binary", staticmethod(lambda: binary))
    if no_install is None:
        monkeypatch.delenv("NO_INSTALL", raising=False)
    else:
        monkeypatch.setenv("NO_INSTALL", no_install)
    chosen = choose_broker(tmp_path, EDGES)
    wanted = binary is None and no_install == "1"
    assert isinstance(chosen, AmqttBroker) is wanted
    assert ("WARNING: Mosquitto is not installed" in capsys.readouterr().err) is wanted


def test_without_amqtt_the_demo_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mosquitto, "binary", staticmethod(lambda: None))
    monkeypatch.setattr(amqtt_broker, "HAVE_AMQTT", False)
    monkeypatch.setenv("NO_INSTALL", "1")
    with pytest.raises(NeighbourDownError, match="amqtt is not there to stand in"):
        choose_broker(tmp_path, EDGES)


@pytest.mark.parametrize(
    ("rule", "asked", "within"),
    [
        (f"{OWN}/up/+", f"{OWN}/up/readings", True),
        (f"{OWN}/up/+", f"{OWN}/up/+", True),
        (f"{OWN}/up/+", f"{FOREIGN}/up/readings", False),
        (f"{OWN}/up/+", f"{OWN}/up", False),
        (f"{OWN}/up/+", f"{OWN}/up/a/b", False),
        (f"{OWN}/down/+", "#", False),
        (f"{OWN}/down/+", f"{OWN}/down/#", False),
        (f"{OWN}/down/+", "smile-iot/v1/+/+/+/down/+", False),
        ("smile-iot/v1/+/+/+/up/+", "smile-iot/v1/1/+/+/up/+", True),
    ],
)
def test_a_rule_covers_what_lies_within_it(rule: str, asked: str, within: bool) -> None:
    assert covers(rule, asked) is within


class Client:
    """A paho client that remembers what it got."""

    def __init__(self, broker: Mosquitto, account: str | None, password: str | None = None) -> None:
        self.got: list[tuple[str, bytes, bool]] = []
        self.answer: Any = None
        self.answered = threading.Event()
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"test-{account}-{id(self)}")
        if account is not None:
            known = broker.password_files.get(account)
            self.mqtt.username_pw_set(account, password or (known.read_text() if known else "none"))
        self.mqtt.on_connect = self._on_connect
        self.mqtt.on_message = lambda _c, _d, m: self.got.append((m.topic, m.payload, m.retain))
        self.mqtt.connect("127.0.0.1", broker.port)
        self.mqtt.loop_start()
        self.answered.wait(60)

    def _on_connect(self, _c: Any, _d: Any, _f: Any, reason: Any, _p: Any) -> None:
        self.answer = reason
        self.answered.set()

    def subscribe(self, topic: str) -> None:
        done = threading.Event()
        self.mqtt.on_subscribe = lambda *_: done.set()
        self.mqtt.subscribe(topic, qos=1)
        assert done.wait(60)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.mqtt.publish(topic, payload, qos=1, retain=retain)

    def close(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[AmqttBroker]:
    """A broker for each test: amqtt may still deliver what an earlier test published."""
    broker = AmqttBroker(tmp_path / "amqtt", EDGES)
    broker.start()
    yield broker
    assert broker.program is not None
    broker.program.stop()


@pytest.fixture
def client(broker: AmqttBroker) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(account: str | None, password: str | None = None) -> Client:
        made.append(Client(broker, account, password))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_an_edge_writes_its_own_topics_and_no_others(client: Callable[..., Client]) -> None:
    ingest, edge = client("ingest"), client("edge-1")
    ingest.subscribe("smile-iot/v1/+/+/+/up/+")
    edge.publish(f"{FOREIGN}/up/readings", b"foreign")
    edge.publish(f"{OWN}/down/receipt", b"forged")
    edge.publish(f"{OWN}/up/readings", b"own")
    eventually(lambda: bool(ingest.got))
    assert [body for _, body, _ in ingest.got] == [b"own"]


def test_a_receipt_is_retained_and_read_by_its_edge_only(client: Callable[..., Client]) -> None:
    ingest = client("ingest")
    ingest.publish(f"{OWN}/down/receipt", b"mine", retain=True)
    ingest.publish(f"{FOREIGN}/down/receipt", b"theirs", retain=True)
    edge = client("edge-1")
    edge.subscribe("smile-iot/v1/+/+/+/down/+")
    edge.subscribe(f"{OWN}/down/receipt")
    eventually(lambda: bool(edge.got))
    assert [(body, retained) for _, body, retained in edge.got] == [(b"mine", True)]


@pytest.mark.parametrize(("account", "password"), [(None, None), ("ingest", "wrong"), ("stranger", "x")])
def test_nobody_gets_in_without_an_account(
    client: Callable[..., Client], account: str | None, password: str | None
) -> None:
    refused = client(account, password)
    assert refused.answer is None or refused.answer.is_failure
    assert not refused.mqtt.is_connected()


def test_an_enrolled_edge_is_let_in_as_mosquitto_would(broker: AmqttBroker, client: Callable[..., Client]) -> None:
    """The api writes Mosquitto's own files (gateway/broker_accounts.py); no restart, no signal."""
    base, word = "smile-iot/v1/1/PKM-9/E9", new_password()
    with broker.files.passwords.open("a") as file:
        file.write(f"PKM-9.E9:{password_hash(word)}\n")
    with broker.files.acl.open("a") as file:
        file.write(f"\nuser PKM-9.E9\ntopic write {base}/up/+\ntopic read {base}/down/+\n")
    ingest, edge, wrong = client("ingest"), client("PKM-9.E9", word), client("PKM-9.E9", "wrong")
    ingest.subscribe("smile-iot/v1/+/+/+/up/+")
    edge.publish(f"{OWN}/up/readings", b"foreign")
    edge.publish(f"{base}/up/readings", b"own")
    eventually(lambda: bool(ingest.got))
    assert [body for _, body, _ in ingest.got] == [b"own"]
    assert wrong.answer is None or wrong.answer.is_failure


def test_passwords_are_for_this_user_only(broker: AmqttBroker) -> None:
    for path in (*broker.password_files.values(), broker.folder / "accounts.json"):
        assert path.stat().st_mode & 0o077 == 0


def test_an_edges_uplink_gets_its_receipts_over_it(broker: AmqttBroker, tmp_path: Path) -> None:
    """The edge's own uplink, unmodified, with a receipt written by hand as ingest would."""
    from decimal import Decimal

    from edge.config import MqttSettings
    from edge.outbox import MemoryOutbox
    from edge.supervisor import Outage
    from edge.uplink import Uplink
    from telemetry.clock import SystemClock, stamp
    from telemetry.contract import Receipt, decode_upload, encode_receipt
    from telemetry.readings import Ranges, Reading
    from telemetry.topics import EdgeAddress

    clock = SystemClock()
    outbox = MemoryOutbox()
    outbox.append([Reading("L/temperature_c", Decimal(5), clock.now_ms(), stamp(clock))])
    ingest = Client(broker, "ingest")

    def answer(_c: Any, _d: Any, message: Any) -> None:
        upload = decode_upload(message.payload)
        receipt = encode_receipt(Receipt(upload.epoch, upload.ranges, Ranges()))
        ingest.publish(message.topic.rpartition("/up/")[0] + "/down/receipt", receipt, retain=True)

    ingest.mqtt.on_message = answer
    ingest.subscribe("smile-iot/v1/+/+/+/up/readings")
    settings = MqttSettings(
        host="127.0.0.1", port=broker.port, username="edge-1", password_file=str(broker.password_files["edge-1"])
    )

    async def until_receipted() -> None:
        uplink = Uplink(EdgeAddress("1", "PKM-1", "edge-1"), settings, clock, outbox, Outage("amqtt"))
        life = asyncio.create_task(uplink.run())
        async with asyncio.timeout(90):
            while outbox.usage().unreceipted:  # noqa: ASYNC110  (the outbox has no event)
                await asyncio.sleep(0.02)
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)

    asyncio.run(until_receipted())
    ingest.close()
    assert outbox.usage().unreceipted == 0
