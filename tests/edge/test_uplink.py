"""The uplink against a real Mosquitto; the server's side is played with paho and the contract's own codec."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import paho.mqtt.client as paho
import pytest

from edge.anchor import Anchorer
from edge.config import MqttSettings
from edge.outbox import MemoryOutbox, SqliteOutbox
from edge.supervisor import Backoff, Outage, end, supervise
from edge.uplink import EXPECTED, Uplink
from telemetry.contract import Receipt, Request, Upload, decode_upload, encode_receipt, encode_request
from telemetry.readings import Ranges
from telemetry.topics import EdgeAddress, parse_up

pytestmark = pytest.mark.neighbour("mosquitto")
ADDRESS = EdgeAddress("s0", "PKM-1", "E1")


class Server:
    """Ingest's part: hears uploads, answers with what it is told to hold."""

    def __init__(self, port: int) -> None:
        self.uploads: list[Upload] = []
        self.payloads: list[bytes] = []
        self.have = Ranges()
        self.answers = True
        self.refuses: set[int] = set()
        self._lock = threading.Lock()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, "ingest", clean_session=True)
        self._client.username_pw_set("edge", "a-test-password")
        self._client.on_message = self._on_message
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe("smile-iot/v1/s0/+/+/up/+", qos=1)
        assert subscribed.wait(60)

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        _, kind = parse_up(message.topic)
        upload = decode_upload(message.payload)
        assert upload.kind == kind
        with self._lock:
            self.uploads.append(upload)
            self.payloads.append(message.payload)
            if self.answers:
                self.have = self.have | (upload.ranges - Ranges.of(self.refuses))
                self.send_receipt(upload.epoch)

    def send_receipt(self, epoch: str, have: Ranges | None = None) -> None:
        receipt = Receipt(epoch, self.have if have is None else have)
        self._client.publish(ADDRESS.down("receipt"), encode_receipt(receipt), qos=1, retain=True)

    def ask(self, request: Request) -> None:
        self._client.publish(ADDRESS.down("request"), encode_request(request), qos=1)

    def numbers(self, kind: str | None = None) -> list[int]:
        with self._lock:
            return [n.seq for u in self.uploads if kind in (None, u.kind) for n in u.facts]

    def hellos(self) -> list[dict[str, Any]]:
        with self._lock:
            return [u.info for u in self.uploads if u.kind == "hello"]

    def kinds(self) -> list[str]:
        with self._lock:
            return [u.kind for u in self.uploads]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def server(broker: Any) -> Iterator[Server]:
    running = Server(broker.port)
    yield running
    running.close()


@pytest.fixture
def settings(broker: Any) -> MqttSettings:
    return MqttSettings(
        "127.0.0.1",
        broker.port,
        "edge",
        str(broker.password_file),
        receipt_timeout_s=0.3,
        window_facts=4,
        reconnect_min_s=0.05,
        reconnect_max_s=0.2,
    )


def run_uplink(settings: MqttSettings, outbox: Any, clock: Any, script: Callable[[Uplink], Any], **more: Any) -> None:
    """Run the uplink under its supervisor while ``script`` plays; the script must come to its end."""

    async def main() -> None:
        outage = Outage("broker")
        uplink = Uplink(ADDRESS, settings, clock, outbox, outage, {"software": "test"})
        backoff = Backoff(settings.reconnect_min_s, settings.reconnect_max_s)
        task = asyncio.create_task(supervise(uplink.run, outage, EXPECTED, backoff, random.Random(1)))
        try:
            await asyncio.wait_for(script(uplink), 60)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(main())


async def until(met: Callable[[], Any]) -> None:
    while not met():  # noqa: ASYNC110  (what we wait for lives in other threads)
        await asyncio.sleep(0.01)


def test_it_says_hello_and_sends_until_all_is_receipted(
    settings: MqttSettings, server: Server, clock: Any, make: Any
) -> None:
    outbox = MemoryOutbox()
    outbox.append([make.reading(), make.event(), make.weighing(), *[make.reading()] * 8])

    async def script(uplink: Uplink) -> None:
        await until(lambda: outbox.usage().unreceipted == 0)
        outbox.append([make.reading()])
        uplink.wake()
        await until(lambda: outbox.usage().unreceipted == 0)

    run_uplink(settings, outbox, clock, script)
    assert server.uploads[0].kind == "hello"
    assert server.uploads[0].info["numbered_to"] == 11
    assert server.numbers("events") == [2]
    assert server.numbers("weighings") == [3]
    assert sorted(server.numbers()) == list(range(1, 13))


def test_only_one_window_is_in_flight_and_a_puback_proves_nothing(
    settings: MqttSettings, server: Server, clock: Any, make: Any
) -> None:
    """No receipt: the first window is sent again and again, nothing else goes out, nothing is forgotten."""
    outbox = MemoryOutbox()
    outbox.append([make.reading()] * 10)
    server.answers = False

    async def script(_uplink: Uplink) -> None:
        await until(lambda: server.numbers().count(1) >= 3)
        assert set(server.numbers()) == {1, 2, 3, 4}
        assert outbox.usage().unreceipted == 10
        server.answers = True
        await until(lambda: outbox.usage().unreceipted == 0)

    run_uplink(settings, outbox, clock, script)


def test_one_fact_the_server_cannot_take_holds_up_only_itself(
    settings: MqttSettings, server: Server, clock: Any, make: Any
) -> None:
    outbox = MemoryOutbox()
    outbox.append([make.reading()] * 9)
    server.refuses = {3}
    settings = replace(settings, hello_every_s=2.0)

    async def script(_uplink: Uplink) -> None:
        await until(lambda: outbox.usage().unreceipted == 1)
        assert [n.seq for n in outbox.pending(9)] == [3]
        server.refuses = set()
        await until(lambda: outbox.usage().unreceipted == 0)

    run_uplink(settings, outbox, clock, script)


def test_a_fact_that_no_message_can_hold_costs_neither_its_neighbours_nor_the_connection(
    settings: MqttSettings, server: Server, clock: Any, make: Any
) -> None:
    """A half gram has four decimals; three are what the contract says."""
    outbox = MemoryOutbox()
    outbox.append([make.weighing(), replace(make.weighing(), e_kg=Decimal("0.0005")), make.weighing()])
    outbox.append([make.reading()] * 9)
    uplinks: list[Uplink] = []

    async def script(uplink: Uplink) -> None:
        uplinks.append(uplink)
        await until(lambda: outbox.usage().unreceipted == 1 and uplink._core.aside)

    run_uplink(settings, outbox, clock, script)
    assert uplinks[0]._core.aside == Ranges([(2, 2)])
    connected = [info for info in server.hellos() if "produced" in info]
    assert len(connected) == 1, "it is told once a connection, or every six hours"


def test_a_new_streams_count_is_told_with_the_next_hello(
    settings: MqttSettings, server: Server, clock: Any, make: Any
) -> None:
    """The first hello of a new outbox knows of no reading: without this the ledger would not know for six hours."""
    outbox = MemoryOutbox()

    async def script(uplink: Uplink) -> None:
        await until(lambda: len(server.hellos()) == 1)
        outbox.append([make.reading()] * 3)
        uplink.wake()
        await until(lambda: sum("produced" in info for info in server.hellos()) == 2)

    run_uplink(replace(settings, hello_every_s=0.3), outbox, clock, script)
    first, second = (info["produced"] for info in server.hellos() if "produced" in info)
    assert first == {}
    assert list(second.values()) == [3]


def test_the_broker_goes_and_comes_back_and_it_is_logged_once(
    settings: MqttSettings, broker: Any, clock: Any, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edge.supervisor")
    outbox = MemoryOutbox()
    outbox.append([make.reading()] * 3)
    broker.stop()

    async def script(uplink: Uplink) -> None:
        await until(lambda: "is down" in caplog.text)
        await asyncio.to_thread(broker.start)
        server = await asyncio.to_thread(Server, broker.port)
        await until(lambda: outbox.usage().unreceipted == 0)
        server.close()
        broker.stop()
        await until(lambda: caplog.text.count("is down") == 2)
        outbox.append([make.reading()])
        uplink.wake()
        await asyncio.to_thread(broker.start)
        server = await asyncio.to_thread(Server, broker.port)
        await until(lambda: outbox.usage().unreceipted == 0)
        server.close()

    run_uplink(settings, outbox, clock, script)
    assert (caplog.text.count("is down"), caplog.text.count("is up")) == (2, 2)


def test_a_request_by_number_is_answered_also_for_receipted_facts(
    settings: MqttSettings, server: Server, clock: Any, make: Any
) -> None:
    outbox = MemoryOutbox()
    outbox.append([make.reading(t_ms=t * 1000) for t in range(1, 11)])

    async def script(_uplink: Uplink) -> None:
        await until(lambda: outbox.usage().unreceipted == 0)
        server.uploads.clear()
        server.ask(Request("r1", Ranges([(2, 8)])))
        server.ask(Request("r1", Ranges([(2, 8)])))
        await until(lambda: len(server.numbers()) >= 7)
        server.ask(Request("r2", Ranges(), 3000, 4000))
        await until(lambda: len(server.numbers()) >= 9)
        server.ask(Request("r3", Ranges(), 1, 9000, "unreceipted"))
        server.ask(Request("r4", Ranges([(9, 9)])))
        await until(lambda: 9 in server.numbers())

    run_uplink(settings, outbox, clock, script)
    assert server.numbers() == [2, 3, 4, 5, 6, 7, 8, 3, 4, 9]


def test_a_receipt_of_another_epoch_is_not_ours(
    settings: MqttSettings, server: Server, clock: Any, make: Any
) -> None:
    outbox = MemoryOutbox()
    outbox.append([make.reading()] * 2)
    server.answers = False
    server.send_receipt("an-older-epoch", Ranges([(1, 100)]))

    async def script(_uplink: Uplink) -> None:
        await until(lambda: server.numbers().count(2) >= 2)
        assert outbox.usage().unreceipted == 2
        server.answers = True
        await until(lambda: outbox.usage().unreceipted == 0)

    run_uplink(settings, outbox, clock, script)


def test_a_receipt_beyond_our_numbers_makes_a_new_epoch_that_is_sent_whole(
    settings: MqttSettings, server: Server, clock: Any, make: Any
) -> None:
    """The outbox was restored from a backup: the retained receipt knows more numbers than the file."""
    outbox = MemoryOutbox()
    outbox.append([make.reading()] * 3)
    epoch = outbox.epoch
    server.send_receipt(epoch, Ranges([(1, 100)]))

    async def script(_uplink: Uplink) -> None:
        await until(lambda: outbox.epoch != epoch and outbox.usage().unreceipted == 0)

    run_uplink(settings, outbox, clock, script)
    assert any(u.kind == "hello" and u.epoch == outbox.epoch for u in server.uploads)
    assert [n.seq for u in server.uploads if u.epoch == outbox.epoch for n in u.facts] == [1, 2, 3]


def test_nonsense_on_the_way_down_is_refused_and_nothing_stops(
    settings: MqttSettings, server: Server, clock: Any, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = MemoryOutbox()

    async def script(uplink: Uplink) -> None:
        await until(lambda: "hello" in server.kinds())
        server._client.publish(ADDRESS.down("receipt"), b"\xff\x00", qos=1)
        server._client.publish(ADDRESS.down("request"), b"{}", qos=1)
        await until(lambda: caplog.text.count("refused") == 2)
        outbox.append([make.reading()])
        uplink.wake()
        await until(lambda: outbox.usage().unreceipted == 0)

    run_uplink(settings, outbox, clock, script)


def test_a_wrong_password_is_an_outage_that_names_it(
    settings: MqttSettings, broker: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edge.supervisor")
    broker.password_file.write_text("wrong")

    async def script(_uplink: Uplink) -> None:
        await until(lambda: "is down" in caplog.text)
        assert "authori" in caplog.text.lower() or "password" in caplog.text.lower()
        broker.password_file.write_text("a-test-password")
        await until(lambda: "is up" in caplog.text)

    run_uplink(settings, MemoryOutbox(), clock, script)


def test_hello_tells_the_data_package_and_how_long_facts_may_wait(
    settings: MqttSettings, server: Server, clock: Any, make: Any
) -> None:
    outbox = MemoryOutbox()
    outbox.append([make.reading()] * 50)
    settings = replace(settings, hello_every_s=0.3, receipt_every_s=60.0)

    async def script(_uplink: Uplink) -> None:
        await until(lambda: len(server.hellos()) >= 3)

    run_uplink(settings, outbox, clock, script)
    assert (server.hellos()[-1]["flush_after_s"], server.hellos()[-1]["receipt_every_s"]) == (0, 60)
    used = [int(info["wire_bytes"]) for info in server.hellos()]
    assert used[-1] > sum(map(len, server.payloads[:-1]))
    assert used == sorted(used)


def test_a_kill_after_sending_undated_does_not_let_the_next_life_date_it(
    settings: MqttSettings, server: Server, clock: Any, make: Any
) -> None:
    """One number never means two facts, over a restart too."""
    server.answers = False
    outbox = MemoryOutbox()
    outbox.append([make.undated(clock.boot_ns), make.undated(clock.boot_ns)])

    async def script(_uplink: Uplink) -> None:
        await until(lambda: 2 in server.numbers())
        outbox.append([make.undated(clock.boot_ns)])

    run_uplink(replace(settings, window_facts=2), outbox, clock, script)
    reborn = Uplink(ADDRESS, settings, clock, outbox, Outage("broker"))
    assert reborn.sent_to == 2
    Anchorer("E1", clock, outbox).look(reborn.sent_to)
    assert [n.fact.sampled_at_ms is None for n in outbox.pending(3)] == [True, True, False]
    outbox.renew()
    assert Uplink(ADDRESS, settings, clock, outbox, Outage("broker")).sent_to == 0


def test_calm_readings_share_a_message_and_one_beyond_its_limit_waits_for_nobody(
    settings: MqttSettings, server: Server, clock: Any, make: Any
) -> None:
    outbox = MemoryOutbox()
    lazy = replace(settings, window_facts=100, flush_facts=50, flush_after_s=1.5, receipt_every_s=60.0)

    def sent() -> list[tuple[list[int], bool]]:
        return [([n.seq for n in u.facts], u.lazy) for u in server.uploads if u.facts]

    async def script(uplink: Uplink) -> None:
        await until(server.kinds)
        for _ in range(3):
            outbox.append([make.reading()])
            uplink.wake()
        await until(sent)
        assert sent() == [([1, 2, 3], True)]
        outbox.append([make.reading()])
        outbox.append([make.reading(value="8.25")])
        uplink.wake()
        began = asyncio.get_running_loop().time()
        await until(lambda: len(sent()) == 2)
        assert asyncio.get_running_loop().time() - began < 1.4
        assert sent()[1] == ([4, 5], False)
        await until(lambda: outbox.usage().unreceipted == 0)

    run_uplink(lazy, outbox, clock, script)


# --- links that break in other ways than by ending --------------------------------------------------------


class Mute:
    """A TCP proxy that can fall silent: it holds connections open and carries nothing, as a half-open link does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.silent = asyncio.Event()
        self.connections = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.silent.clear()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [self._carry(reader, far_writer), self._carry(far_reader, writer)]
        await asyncio.gather(*ways, return_exceptions=True)
        far_writer.close()
        writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.silent.is_set():
                writer.write(data)
                await writer.drain()

    async def stop(self) -> None:
        self._server.close()


def test_a_half_open_link_ends_by_the_puback_that_does_not_come_and_nothing_is_lost(
    settings: MqttSettings, server: Server, broker: Any, clock: Any, make: Any
) -> None:
    outbox = MemoryOutbox()

    async def main() -> None:
        proxy = Mute(broker.port)
        through = replace(settings, port=await proxy.start(), receipt_timeout_s=1.0)
        outage = Outage("broker")
        uplink = Uplink(ADDRESS, through, clock, outbox, outage)
        task = asyncio.create_task(supervise(uplink.run, outage, EXPECTED, Backoff(0.05, 0.2), random.Random(1)))
        async with asyncio.timeout(90):
            await until(lambda: "hello" in server.kinds())
            proxy.silent.set()
            outbox.append([make.reading()] * 3)
            uplink.wake()
            await until(lambda: outbox.usage().unreceipted == 0)
        await end(task)
        assert proxy.connections >= 2
        await proxy.stop()

    asyncio.run(main())
    assert sorted(set(server.numbers())) == [1, 2, 3]


def test_a_link_without_traffic_that_is_half_open_ends_by_the_keepalive(
    settings: MqttSettings, server: Server, broker: Any, clock: Any
) -> None:
    async def main() -> None:
        proxy = Mute(broker.port)
        through = replace(settings, port=await proxy.start(), keepalive_s=1)
        outage = Outage("broker")
        uplink = Uplink(ADDRESS, through, clock, MemoryOutbox(), outage)
        task = asyncio.create_task(supervise(uplink.run, outage, EXPECTED, Backoff(0.05, 0.2), random.Random(1)))
        async with asyncio.timeout(90):
            await until(lambda: "hello" in server.kinds())
            proxy.silent.set()
            await until(lambda: proxy.connections >= 2)
        await end(task)
        await proxy.stop()

    asyncio.run(main())


def test_a_week_without_a_broker_goes_in_order_when_it_is_back(
    settings: MqttSettings, broker: Any, clock: Any, make: Any, tmp_path: Any
) -> None:
    """A small week, from the real file: each number once, in order, and only what is in the window is in memory."""
    outbox = SqliteOutbox(tmp_path / "outbox.db")
    broker.stop()
    for _ in range(30):
        outbox.append([make.reading()] * 100)

    async def script(uplink: Uplink) -> None:
        await asyncio.to_thread(broker.start)
        server = await asyncio.to_thread(Server, broker.port)
        await until(lambda: outbox.usage().unreceipted == 0)
        assert server.numbers() == list(range(1, 3001))
        server.close()

    run_uplink(replace(settings, window_facts=400, flush_facts=100, receipt_timeout_s=5.0), outbox, clock, script)
    outbox.close()
