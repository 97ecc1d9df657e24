"""Ingest as a process behind a real Mosquitto: receipts, requests, kills, poison, outages.

The publisher here keeps to the contract as an edge does: it forgets a fact only on a receipt.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ingest.config import BrokerConfig, Config
from ingest.ledger import EpochKey, read_ledger
from ingest.receiver import Receiver, keep_at_s
from ingest.store import SqliteStore
from telemetry.clock import SystemClock
from telemetry.contract import encode_upload
from telemetry.errors import NeighbourDownError
from telemetry.readings import Ranges

pytestmark = pytest.mark.neighbour("mosquitto")
Eventually = Callable[..., None]
KEY = EpochKey("SITE1", "E1", "epoch1")


def stored(folder: Path, stream: str = "T1/temperature_c") -> list[int]:
    if not (folder / "store.db").exists():
        return []
    store = SqliteStore(folder / "store.db")
    try:
        return [row.seq for row in store.read(stream, 0, 1 << 43, limit=1_000_000).rows]
    finally:
        store.close()


def test_an_upload_is_journaled_receipted_and_stored(ingest: Any, edge: Any, eventually: Eventually) -> None:
    def sent_and_receipted() -> bool:
        return edge.have == Ranges([(1, 2)])

    def send() -> bool:  # the broker keeps nothing for an ingest that has not subscribed yet
        edge.send([edge.make.reading(1), edge.make.reading(2)])
        time.sleep(0.2)
        return sent_and_receipted()

    eventually(send, "a receipt")
    eventually(lambda: stored(ingest.folder) == [1, 2], "rows in the store")
    late = type(edge)(edge.port, edge.make)  # an edge that connects later finds the retained receipt
    try:
        eventually(lambda: late.have == Ranges([(1, 2)]), "the retained receipt")
    finally:
        late.close()


def test_what_stays_missing_is_asked_for(ingest: Any, edge: Any, eventually: Eventually) -> None:
    """design.md promise 3. hello says 6 were produced; 2 to 3 and 5 to 6 never came."""

    def send() -> bool:
        edge.hello(6)
        edge.send([edge.make.reading(1), edge.make.reading(4)])
        time.sleep(0.2)
        return bool(edge.receipts)

    eventually(send, "a receipt")
    eventually(lambda: bool(edge.requests), "a request")
    assert edge.requests[0].seq == Ranges([(2, 3), (5, 6)])
    edge.send([edge.make.reading(n) for n in edge.requests[0].seq])
    eventually(lambda: stored(ingest.folder) == [1, 2, 3, 4, 5, 6], "the gap filled")
    eventually(lambda: not read_ledger(ingest.folder / "ledger.db")[0].missing, "a ledger without a gap")


def test_a_device_registered_later_is_replayed_and_receipted(ingest: Any, edge: Any, eventually: Eventually) -> None:
    def send() -> bool:
        edge.send([edge.make.reading(1), edge.make.reading(2, stream="NEW1/temperature_c")])
        time.sleep(0.2)
        return any(r.quarantined == Ranges([(2, 2)]) for r in edge.receipts)

    eventually(send, "a receipt that says quarantined")
    (ingest.folder / "registered").write_text("NEW1")
    eventually(lambda: edge.receipts[-1].have == Ranges([(1, 2)]), "a receipt that says received")
    eventually(lambda: stored(ingest.folder, "NEW1/temperature_c") == [2], "the replayed row")


def test_poison_does_not_stop_the_line(ingest: Any, edge: Any, eventually: Eventually) -> None:
    eventually(lambda: "journal.db" in {p.name for p in ingest.folder.iterdir()}, "the start")
    prefix = "smile-iot/v1/s1/SITE1/E1/up"
    rng = random.Random(7)
    good = encode_upload(edge.make.upload([edge.make.reading(1)]))

    def send() -> bool:
        for n in range(40):
            edge.publish(f"{prefix}/readings", rng.randbytes(rng.randrange(200)))
            cut = rng.randrange(len(good))
            edge.publish(f"{prefix}/readings", good[:cut] + rng.randbytes(3) + good[cut + 3 :])
            edge.publish(f"{prefix}/{['nonsense', 'receipt', 'ré', ' '][n % 4]}", good)
            edge.publish(f"smile-iot/v1/s 1/{n}/E1/up/readings", good)
        edge.publish(f"{prefix}/readings", b'{"v":1,"kind":"readings","x":' + b"[" * 50_000)
        edge.publish(f"{prefix}/readings", b" " * (1 << 20) + b"more")
        edge.send([edge.make.reading(1)])
        time.sleep(0.5)
        return edge.have == Ranges([(1, 1)])

    eventually(send, "the good one among the bad received", 30)
    assert ingest.alive
    with sqlite3.connect(ingest.folder / "quarantine.db") as db:
        reasons = dict(db.execute("SELECT reason, count(*) FROM quarantine GROUP BY reason").fetchall())
    db.close()
    assert {"bad_topic", "unknown_encoding", "not_json", "too_large"} <= set(reasons)
    eventually(lambda: stored(ingest.folder) == [1], "the good row")


def test_a_dead_store_stops_neither_receipts_nor_journal(ingest: Any, edge: Any, eventually: Eventually) -> None:
    """design.md: a dead database stops neither receipts nor alarms. Here the store's file becomes unusable."""

    def send_until(numbers: range) -> None:
        def send() -> bool:
            edge.send([edge.make.reading(n) for n in numbers])
            time.sleep(0.2)
            return all(n in edge.have for n in numbers)

        eventually(send, f"receipts for {numbers}")

    send_until(range(1, 3))
    eventually(lambda: stored(ingest.folder) == [1, 2], "first rows")
    ingest.kill()
    store = ingest.folder / "store.db"
    backup = ingest.folder / "store.bak"
    with sqlite3.connect(store) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    shutil.move(store, backup)
    for name in ("store.db-wal", "store.db-shm"):
        (ingest.folder / name).unlink(missing_ok=True)
    store.mkdir()  # a folder where the file should be
    ingest.start()
    send_until(range(3, 6))
    assert ingest.alive
    store.rmdir()
    shutil.move(backup, store)
    eventually(lambda: stored(ingest.folder) == [1, 2, 3, 4, 5], "rows caught up from the journal")


@pytest.mark.timeout(600)
def test_ingest_and_broker_killed_again_and_again_every_reading_is_stored_once(
    ingest: Any, broker: Any, edge: Any, eventually: Eventually
) -> None:
    """design.md promise 1 and 2: SIGKILL of ingest (8 times) and of the broker (twice) while 8,000 uploads run."""
    total, per_upload = 24_000, 3
    stop = threading.Event()

    def publish() -> None:
        """Like the uplink: round after round send what has no receipt, oldest first."""
        while not stop.is_set():
            with edge.lock:
                pending = [n for n in range(1, total + 1) if n not in edge.have]
            if not pending:
                return
            for start in range(0, min(len(pending), 600), per_upload):
                edge.send([edge.make.reading(n, str(n % 80)) for n in pending[start : start + per_upload]])
            stop.wait(0.3)

    publisher = threading.Thread(target=publish)
    publisher.start()
    rng = random.Random(1)
    at_kill: list[int] = []
    try:
        for n in range(8):
            before = len(edge.have)
            eventually(lambda before=before: len(edge.have) > before, "work to be cut off")
            time.sleep(rng.random() * 0.4)
            ingest.kill()
            at_kill.append(len(edge.have))
            if n in (2, 5):
                broker.kill()
                broker.start()
            ingest.start()
        eventually(lambda: len(edge.have) == total, "a receipt for every number", 100)
    finally:
        stop.set()
        publisher.join()
    eventually(lambda: len(stored(ingest.folder)) >= total, "every row in the store", 60)
    assert sorted(stored(ingest.folder)) == list(range(1, total + 1))
    assert len({n for n in at_kill if 0 < n < total}) >= 3, f"the kills did not fall into the work: {at_kill}"
    eventually(lambda: read_ledger(ingest.folder / "ledger.db")[0].received == total, "the ledger's file")
    assert read_ledger(ingest.folder / "ledger.db")[0].missing == Ranges()
    # the ledger never claims more than the journal holds
    journal = ingest.journal()
    assert journal.last_offset() > 0
    journal.close()


def test_it_stops_when_told_and_starts_without_a_broker(
    ingest: Any, broker: Any, edge: Any, eventually: Eventually
) -> None:
    ingest.kill()
    broker.kill()
    ingest.start()
    eventually(lambda: "no connection" in ingest.log() or "does not answer" in ingest.log(), "the outage logged")
    broker.start()

    def send() -> bool:
        edge.send([edge.make.reading(1)])
        time.sleep(0.2)
        return edge.have == Ranges([(1, 1)])

    eventually(send, "a receipt after the broker came", 30)
    assert ingest.log().count("broker answers again") == 1
    assert ingest.process is not None
    ingest.process.send_signal(signal.SIGTERM)
    assert ingest.process.wait(60) == 0


def test_it_speaks_tls_with_a_name_and_a_password(
    tmp_path: Path, pipeline: Any, make: Any, eventually: Eventually
) -> None:
    """A broker as a server has it: TLS, no anonymous, a password file. A wrong password is an outage, logged once."""
    port = tls_broker_port()
    broker = start_tls_broker(tmp_path, port)
    config = BrokerConfig(
        host="localhost", port=port, username="ingest", password="s3cret", ca_file=f"{tmp_path}/ca.crt"
    )
    receiver = Receiver(Config(broker=config), pipeline.intake, SystemClock())
    stop = threading.Event()
    worker = threading.Thread(target=receiver.run, args=(stop,))
    worker.start()
    sender = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="sender")
    sender.username_pw_set("ingest", "s3cret")
    sender.tls_set(f"{tmp_path}/ca.crt")
    sender.connect("localhost", port)
    sender.loop_start()
    message = make.message([make.reading(1)])

    def send() -> bool:
        sender.publish(message.topic, message.payload, qos=1)
        time.sleep(0.1)
        return pipeline.journal.last_offset() == 1

    try:
        eventually(send, "a journaled upload over TLS")
    finally:
        stop.set()
        sender.disconnect()
        sender.loop_stop()
        worker.join(10)
        broker.kill()
        broker.wait()


def tls_broker_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_tls_broker(folder: Path, port: int) -> subprocess.Popen[bytes]:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-days", "3650", "-subj", "/CN=test CA")
    openssl("req", *curve, "-keyout", "srv.key", "-out", "srv.csr", "-subj", "/CN=localhost")
    (folder / "ext").write_text("subjectAltName=DNS:localhost")
    signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "3650", "-extfile", "ext")
    openssl("x509", "-req", "-in", "srv.csr", "-out", "srv.crt", *signing)
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(folder / "passwords"), "ingest", "s3cret"],
        check=True,
        capture_output=True,
    )
    (folder / "tls.conf").write_text(
        f"listener {port} localhost\nallow_anonymous false\npassword_file {folder}/passwords\n"
        f"cafile {folder}/ca.crt\ncertfile {folder}/srv.crt\nkeyfile {folder}/srv.key\npersistence false\n"
        + ("user root\n" if os.geteuid() == 0 else "")
    )
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert binary is not None
    with (folder / "tls.log").open("ab") as log:
        process = subprocess.Popen([binary, "-c", str(folder / "tls.conf")], stdout=log, stderr=log)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("localhost", port)) == 0:
                return process
        time.sleep(0.02)
    raise AssertionError((folder / "tls.log").read_text())


def test_when_the_journal_is_dead_the_queue_is_bounded_and_nothing_is_acknowledged(
    broker: Any, pipeline: Any, make: Any, eventually: Eventually
) -> None:
    """facts/data-path.md 0.3: memory is bounded by not reading the socket. Afterwards everything is there."""
    append = pipeline.journal.append
    pipeline.journal.append = lambda entries: (_ for _ in ()).throw(NeighbourDownError("journal", "gone"))
    config = Config(broker=BrokerConfig(port=broker.port), batch_messages=5, retry_s=0.05)
    receiver = Receiver(config, pipeline.intake, SystemClock())
    acks: list[int] = []
    acknowledge = receiver._client.ack
    receiver._client.ack = lambda mid, qos: (acks.append(mid), acknowledge(mid, qos))[1]  # type: ignore[method-assign]
    stop = threading.Event()
    worker = threading.Thread(target=receiver.run, args=(stop,))
    worker.start()
    sender = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="sender")
    sender.max_inflight_messages_set(1000)
    sender.connect("127.0.0.1", broker.port)
    sender.loop_start()
    try:
        eventually(lambda: receiver._connected, "the connection")
        for n in range(1, 301):
            message = make.message([make.reading(n)])
            sender.publish(message.topic, message.payload, qos=1)
        eventually(lambda: receiver._keeping.is_down, "an outage noticed")
        assert acks == []
        assert 1 <= len(receiver._batch) <= 5
        pipeline.journal.append = append
        eventually(lambda: len(pipeline.ledger.state(KEY).have) == 300, "everything journaled")
        eventually(lambda: len(acks) >= 300, "everything acknowledged")
        assert acks[:300] == sorted(acks[:300])  # in arrival order: the broker numbers upwards
    finally:
        stop.set()
        sender.disconnect()
        sender.loop_stop()
        worker.join(10)


def test_what_it_writes_waits_for_no_delayed_acknowledgement(
    broker: Any, pipeline: Any, make: Any, eventually: Eventually
) -> None:
    """Decision 0022: by Nagle's algorithm a receipt waited 40 ms behind the PUBACK. The cork of a write is out again."""
    receiver = Receiver(Config(broker=BrokerConfig(port=broker.port)), pipeline.intake, SystemClock())
    stop = threading.Event()
    worker = threading.Thread(target=receiver.run, args=(stop,))
    worker.start()
    sender = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="sender")
    sender.connect("127.0.0.1", broker.port)
    sender.loop_start()
    try:
        eventually(lambda: receiver._connected, "the connection")
        message = make.message([make.reading(1)])
        sender.publish(message.topic, message.payload, qos=1)
        eventually(lambda: receiver._intake.counters.messages == 1, "the message taken")
        sock: Any = receiver._client.socket()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        eventually(lambda: not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK), "the cork out")
    finally:
        stop.set()
        sender.disconnect()
        sender.loop_stop()
        worker.join(10)


def test_a_message_that_lingers_is_stored_within_the_time_counted_from_its_arrival() -> None:
    """Issue 3: 60 ms with a linger of 50. What came while the last batch was kept has waited since then."""
    emptied_s, kept_s, linger_s = 100.0, 100.025, 0.05
    assert keep_at_s(emptied_s, linger_s) == pytest.approx(100.025)
    assert keep_at_s(emptied_s, linger_s) - kept_s < keep_at_s(kept_s, linger_s) - kept_s < linger_s


def test_told_to_linger_it_writes_once_for_what_comes_close_together(
    broker: Any, pipeline: Any, make: Any, eventually: Eventually
) -> None:
    batches: list[int] = []
    append = pipeline.journal.append
    pipeline.journal.append = lambda entries: (batches.append(len(entries)), append(entries))[1]
    receiver = Receiver(Config(broker=BrokerConfig(port=broker.port), linger_s=3.0), pipeline.intake, SystemClock())
    stop = threading.Event()
    worker = threading.Thread(target=receiver.run, args=(stop,))
    worker.start()
    sender = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="sender")
    sender.connect("127.0.0.1", broker.port)
    sender.loop_start()
    try:
        eventually(lambda: receiver._connected, "the connection")
        time.sleep(0.2)
        for n in range(1, 6):
            message = make.message([make.reading(n)])
            sender.publish(message.topic, message.payload, qos=1)
            time.sleep(0.05)
        eventually(lambda: sum(batches) == 5, "everything journaled")
        assert batches == [5]
    finally:
        stop.set()
        sender.disconnect()
        sender.loop_stop()
        worker.join(10)
