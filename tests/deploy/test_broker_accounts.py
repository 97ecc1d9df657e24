"""Mosquitto as deployed: TLS only, nobody anonymous, an edge's account for its own site's topics only."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

OWN = "smile-iot/v1/s0/PKM-1/E1"
FOREIGN = "smile-iot/v1/s0/PKM-2/E1"


class Client:
    """A client over TLS that remembers what it got; ``account`` None is anonymous."""

    def __init__(self, broker: Any, account: str | None, password: str = "", client_id: str = "") -> None:
        self.got: list[tuple[str, bytes]] = []
        self.answer: Any = None
        self.answered = threading.Event()
        self.subscribed = threading.Event()
        self.granted: list[Any] = []
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id or f"test-{id(self)}")
        if account is not None:
            self.mqtt.username_pw_set(account, password or broker.password(account))
        self.mqtt.tls_set(str(broker.ca))
        self.disconnections = 0
        self.mqtt.on_connect = self._on_connect
        self.mqtt.on_disconnect = self._on_disconnect
        self.mqtt.on_message = lambda _c, _d, m: self.got.append((m.topic, m.payload))
        self.mqtt.on_subscribe = self._on_subscribe
        self.mqtt.connect("localhost", broker.port_of(account))
        self.mqtt.loop_start()
        assert self.answered.wait(60)

    def _on_connect(self, _c: Any, _d: Any, _f: Any, reason: Any, _p: Any) -> None:
        self.answer = reason
        self.answered.set()

    def _on_disconnect(self, *_: Any) -> None:
        self.disconnections += 1

    def _on_subscribe(self, _c: Any, _d: Any, _m: Any, codes: Any, _p: Any) -> None:
        self.granted = list(codes)
        self.subscribed.set()

    def subscribe(self, topic: str) -> None:
        self.subscribed.clear()
        self.mqtt.subscribe(topic, qos=1)
        assert self.subscribed.wait(60)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.mqtt.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def close(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


@pytest.fixture(scope="module", autouse=True)
def _edges(broker: Any, office: Any) -> None:
    """Two edges are enrolled while the broker runs; it reads their accounts by itself."""
    for site in ("PKM-1", "PKM-2"):
        office.site(site)
        office.enrol(site, "E1")
    eventually(lambda: all(_let_in(broker, f"{site}.E1") for site in ("PKM-1", "PKM-2")))


def _let_in(broker: Any, account: str) -> bool:
    one = Client(broker, account)
    one.close()
    return not one.answer.is_failure


@pytest.fixture
def client(broker: Any) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(*words: Any) -> Client:
        made.append(Client(broker, *words))
        return made[-1]

    yield make
    for one in made:
        assert not one.answer.is_failure or not one.mqtt.is_connected()
        one.close()


def eventually(condition: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(4500):
        if condition():
            return
        done.wait(0.02)
    raise AssertionError("did not happen in 90 s")


def test_an_edge_writes_its_own_sites_topics_only(client: Callable[..., Client]) -> None:
    """MQTT 3.1.1 acknowledges a refused message all the same: only who reads sees that it went nowhere.

    And the line stays up (Mosquitto 2.0.11 cuts it when ``max_queued_messages`` is 0).
    """
    ingest, edge = client("ingest"), client("PKM-1.E1")
    ingest.subscribe("smile-iot/v1/+/+/+/up/+")
    for topic in (
        f"{FOREIGN}/up/readings",
        "smile-iot/v1/s0/PKM-1/E2/up/readings",
        "smile-iot/v1/s1/PKM-1/E1/up/readings",
        f"{OWN}/up",
        "smile-iot/v1/s0/PKM-1/import/up/readings",
    ):
        edge.publish(topic, b"foreign")
    edge.publish(f"{OWN}/up/readings", b"own")
    eventually(lambda: bool(ingest.got))
    assert ingest.got == [(f"{OWN}/up/readings", b"own")]
    assert edge.disconnections == 0


def test_an_edge_throws_nobody_out_by_another_ones_client_id(client: Callable[..., Client]) -> None:
    """MQTT lets who comes under an id take its session over: one stolen account would stop ingest and every Pi."""
    ingest, neighbour = client("ingest", "", "smile-iot-ingest-s0"), client("PKM-2.E1", "", "E1")
    for taken in ("smile-iot-ingest-s0", "PKM-2.E1", "E1"):
        thief = client("PKM-1.E1", "", taken)
        thief.publish(f"{OWN}/up/hello", b"{}")
        thief.close()
    ingest.subscribe("smile-iot/v1/s0/+/+/up/+")
    neighbour.subscribe(f"{FOREIGN}/down/+")
    assert (ingest.disconnections, neighbour.disconnections) == (0, 0)


def test_an_edge_cannot_forge_a_receipt(client: Callable[..., Client]) -> None:
    ingest, edge, other = client("ingest"), client("PKM-1.E1"), client("PKM-2.E1")
    edge.subscribe(f"{OWN}/down/receipt")
    other.publish(f"{OWN}/down/receipt", b"forged", retain=True)
    edge.publish(f"{OWN}/down/receipt", b"forged by itself", retain=True)
    ingest.publish(f"{OWN}/down/receipt", b"true")
    eventually(lambda: bool(edge.got))
    assert edge.got == [(f"{OWN}/down/receipt", b"true")]


def test_an_edge_hears_nothing_of_others(client: Callable[..., Client]) -> None:
    edge, ingest, other = client("PKM-1.E1"), client("ingest"), client("PKM-2.E1")
    for filter_ in ("#", "smile-iot/#", f"{FOREIGN}/down/+", f"{FOREIGN}/up/+", "$SYS/#", f"{OWN}/down/+"):
        edge.subscribe(filter_)
    other.publish(f"{FOREIGN}/up/readings", b"theirs")
    ingest.publish(f"{FOREIGN}/down/receipt", b"theirs")
    ingest.publish(f"{OWN}/down/receipt", b"mine")
    eventually(lambda: bool(edge.got))
    assert {topic for topic, _ in edge.got} == {f"{OWN}/down/receipt"}


def test_the_importer_writes_as_the_edge_import_only(client: Callable[..., Client]) -> None:
    ingest, importer = client("ingest"), client("import")
    ingest.subscribe("smile-iot/v1/+/+/+/up/+")
    importer.publish(f"{OWN}/up/readings", b"as E1")
    importer.publish("smile-iot/v1/s0/PKM-1/import/up/readings", b"as import")
    eventually(lambda: bool(ingest.got))
    assert [body for _, body in ingest.got] == [b"as import"]


@pytest.mark.parametrize(
    ("account", "password"), [(None, ""), ("PKM-1.E1", "wrong"), ("stranger", "x"), ("ingest", "wrong")]
)
def test_nobody_gets_in_without_an_account(client: Callable[..., Client], account: str | None, password: str) -> None:
    refused = client(account, password)
    assert refused.answer.is_failure
    assert str(refused.answer) == "Not authorized"


def test_a_client_that_speaks_no_tls_is_not_heard(broker: Any) -> None:
    """The CONNECT packet of an anonymous client in the open gets no CONNACK."""
    with socket.create_connection(("localhost", broker.port), 5) as plain:
        plain.settimeout(5)
        plain.sendall(bytes.fromhex("100c00044d5154540402003c0000"))
        answer = b""
        try:
            answer = plain.recv(4)
        except OSError:
            pass
    assert not answer.startswith(b"\x20\x02")


def test_an_old_tls_is_refused(broker: Any) -> None:
    """With openssl's own client, which still offers TLS 1.1 when told to; the same command gets through with 1.2."""
    done = {}
    for version in ("-tls1_1", "-tls1_2"):
        words = ["s_client", "-connect", f"localhost:{broker.port}", version, "-cipher", "ALL:@SECLEVEL=0"]
        said = subprocess.run(["openssl", *words], input=b"", capture_output=True, check=False, timeout=20)
        done[version] = b"BEGIN CERTIFICATE" in said.stdout
    assert done == {"-tls1_1": False, "-tls1_2": True}


def test_a_client_that_trusts_others_refuses_the_broker(broker: Any) -> None:
    context = ssl.create_default_context()
    with socket.create_connection(("localhost", broker.port), 5) as raw, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(raw, server_hostname="localhost")


def test_a_revoked_edge_is_thrown_out_and_does_not_come_back(
    broker: Any, office: Any, client: Callable[..., Client]
) -> None:
    """Mosquitto 2.0.11 checks who is connected when it reads its accounts again."""
    office.site("PKM-3")
    office.enrol("PKM-3", "E1")
    eventually(lambda: _let_in(broker, "PKM-3.E1"))
    ingest, stolen, neighbour = client("ingest"), client("PKM-3.E1"), client("PKM-1.E1")
    ingest.subscribe("smile-iot/v1/+/+/+/up/+")
    stolen.publish("smile-iot/v1/s0/PKM-3/E1/up/readings", b"before")
    eventually(lambda: bool(ingest.got))
    office.revoke("PKM-3", "E1")
    eventually(lambda: stolen.disconnections > 0)
    eventually(lambda: not _let_in(broker, "PKM-3.E1"))
    neighbour.publish(f"{OWN}/up/readings", b"the others go on")
    eventually(lambda: len(ingest.got) == 2)
    assert neighbour.disconnections == 0
    assert ingest.disconnections == 0


def test_a_new_password_ends_the_old_one(broker: Any, office: Any) -> None:
    office.site("PKM-4")
    office.enrol("PKM-4", "E1")
    eventually(lambda: _let_in(broker, "PKM-4.E1"))
    old = broker.passwords["PKM-4.E1"]
    office.enrol("PKM-4", "E1")
    eventually(lambda: _let_in(broker, "PKM-4.E1"))
    refused = Client(broker, "PKM-4.E1", old)
    refused.close()
    assert refused.answer.is_failure


def test_a_dot_in_a_name_is_no_wildcard(broker: Any, office: Any, client: Callable[..., Client]) -> None:
    """PKM.1 and PKM-1 are two sites."""
    office.site("PKM.1")
    office.enrol("PKM.1", "E1")
    eventually(lambda: _let_in(broker, "PKM.1.E1"))
    ingest, edge = client("ingest"), client("PKM.1.E1")
    ingest.subscribe("smile-iot/v1/+/+/+/up/+")
    edge.publish(f"{OWN}/up/readings", b"foreign")
    edge.publish("smile-iot/v1/s0/PKM.1/E1/up/readings", b"own")
    eventually(lambda: bool(ingest.got))
    assert [body for _, body in ingest.got] == [b"own"]


def test_no_password_stands_in_the_brokers_files(broker: Any) -> None:
    text = broker.files.passwords.read_text() + broker.files.acl.read_text()
    assert broker.passwords
    assert not [account for account, word in broker.passwords.items() if word in text]
