"""The forecast of the data package: what it says of settings, and that a real line over TLS agrees."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from edge.budget import COST, USUAL_HELLO, Habits, _Site, forecast, savings
from edge.config import Config, MqttSettings, parse
from edge.outbox import MemoryOutbox, SqliteOutbox
from edge.service import Agent
from edge.supervisor import Outage
from edge.uplink import Uplink
from telemetry.contract import Receipt, decode_upload, encode_receipt
from telemetry.readings import Ranges, Reading, Stamp, Sync
from telemetry.topics import EdgeAddress

MOBILE = {
    "tls": True,
    "flush_after_s": 600.0,
    "receipt_every_s": 3600.0,
    "hello_every_s": 86_400.0,
    "keepalive_s": 900,
    "upload_key_file": "edge.key",
}


def site(probes: int = 10, interval_s: int = 60, **mqtt: Any) -> Config:
    devices = [
        {"serial": f"PROBE-{i}", "driver": "modbus_probe", "port": "/dev/ttyX", "interval_s": interval_s}
        for i in range(probes)
    ]
    return parse({"edge": {"id": "E1", "site": "PKM-0001"}, "mqtt": mqtt, "device": devices})


def test_ten_one_minute_streams_every_ten_minutes_cost_less_than_three_megabytes() -> None:
    """The goal of the issue, with TLS, MAC, receipts, hellos and two reconnects a day."""
    month = forecast(site(**MOBILE))
    assert month.readings == 432_000
    assert month.total < 3_000_000
    assert all(month.rows[i].bytes >= month.rows[i + 1].bytes for i in range(len(month.rows) - 1))


def test_a_message_a_reading_in_json_costs_a_hundred_times_as_much() -> None:
    plain = forecast(site(tls=True, encoding="json"))
    assert plain.total > 100 * forecast(site(**MOBILE)).total


def test_savings_are_the_differences_of_forecasts_and_vanish_when_taken() -> None:
    config = site(tls=True)
    changes = savings(config)
    assert {c.setting.split(" ")[0] for c in changes} >= {"flush_after_s", "receipt_every_s", "all"}
    first = next(c for c in changes if c.setting == "flush_after_s = 600.0")
    assert first.bytes == pytest.approx(
        forecast(config).total - forecast(replace(config, mqtt=replace(config.mqtt, flush_after_s=600.0))).total
    )
    assert savings(site(**MOBILE)) == []


def test_a_site_of_scales_only_pays_for_weighings_and_for_being_there() -> None:
    scale = {"serial": "SC-1", "driver": "scale_ascii", "port": "/dev/ttyX"}
    config = parse({"edge": {"id": "E1", "site": "P"}, "device": [scale]})
    few, many = forecast(config, Habits(weighings=1)), forecast(config, Habits(weighings=100))
    assert many.total > few.total > 0
    assert (few.readings, few.hour_beyond_limit) == (0, 0)
    assert forecast(parse({"edge": {"id": "E1", "site": "P"}})).rows


def test_seldom_packets_are_not_flushed_more_often_than_they_come() -> None:
    month = forecast(site(1, 3600, flush_after_s=600.0, tls=True))
    messages = next(row.messages for row in month.rows if row.what.startswith("messages"))
    assert messages == pytest.approx(720)


def test_more_readings_than_a_message_takes_make_more_messages() -> None:
    month = forecast(site(10, 1, **MOBILE | {"flush_facts": 100}))
    messages = next(row.messages for row in month.rows if row.what.startswith("messages"))
    assert messages == pytest.approx(30 * 86_400 / 10)


def test_the_usual_hello_has_the_fields_of_a_real_one(clock: Any, tmp_path: Path) -> None:
    async def said() -> dict[str, Any]:
        agent = Agent(site(), clock, SqliteOutbox(tmp_path / "outbox.db", machine="m"))
        return agent._uplink._hello_info()

    assert set(asyncio.run(said())) - {"produced"} == set(USUAL_HELLO)


def test_the_captured_line_of_the_wire_bench_agrees() -> None:
    """benchmarks/wire.md, ten polled streams, compact, TLS: MB a month with and without a receipt for each upload."""
    seldom = forecast(site(**MOBILE), Habits(reconnects=1, events=0))
    assert seldom.total / 1e6 == pytest.approx(2.67, rel=0.1)
    each = site(**MOBILE | {"receipt_every_s": 0.0, "hello_every_s": 3600.0})
    assert forecast(each, Habits(reconnects=1, events=0)).total / 1e6 == pytest.approx(4.79, rel=0.1)


# --- and a real line ---------------------------------------------------------------------------------------


class Answering:
    """The server's side over TLS: a receipt for each message."""

    def __init__(self, port: int, authority: Path, address: EdgeAddress) -> None:
        self.have: Ranges = Ranges()
        self.count = 0
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, "ingest")
        self._client.username_pw_set("edge", "a-test-password")
        self._client.tls_set(str(authority))
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()

        def answer(_client: Any, _data: Any, message: Any) -> None:
            upload = decode_upload(message.payload)
            self.count += upload.kind == "readings"
            self.have = self.have | upload.ranges
            receipt = encode_receipt(Receipt(upload.epoch, self.have))
            self._client.publish(address.down("receipt"), receipt, qos=1, retain=True)

        self._client.on_message = answer
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(f"smile-iot/v1/+/{address.site}/+/up/+", qos=1)
        assert subscribed.wait(60)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.mark.neighbour("mosquitto, openssl")
def test_a_real_line_over_tls_uses_what_is_forecast(tls_broker: Any, clock: Any) -> None:
    """Thirty messages of ten readings with their receipts: the kernel's count against the sum, within an eighth."""
    config = site(tls=True)
    address, uploads = config.address, 30
    server = Answering(tls_broker.port, tls_broker.folder / "cert.pem", address)
    settings = MqttSettings(
        "127.0.0.1",
        tls_broker.port,
        "edge",
        str(tls_broker.password_file),
        tls=True,
        ca_file=str(tls_broker.folder / "cert.pem"),
        flush_after_s=60.0,
        flush_facts=10,
    )
    outbox = MemoryOutbox()
    used: list[int] = []

    async def main() -> None:
        uplink = Uplink(address, settings, clock, outbox, Outage("broker"))
        task = asyncio.create_task(uplink.run())
        async with asyncio.timeout(90):
            for packet in range(uploads + 1):
                at_ms = 1_800_000_000_000 + 60_000 * packet
                stamp = Stamp("boot-1", 60_000_000_000 * (packet + 1), at_ms, Sync.SYNCED, 25)
                outbox.append(
                    [
                        Reading(f"PROBE-{i}/temperature_c", Decimal(40 + (packet * i) % 9).scaleb(-1), at_ms, stamp)
                        for i in range(10)
                    ]
                )
                uplink.wake()
                while outbox.usage().unreceipted or server.count <= packet:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.06)  # a line at rest acknowledges by itself, as one does between two minutes
                uplink._meter.look()
                used.append(uplink._meter.total().total)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    server.close()
    sums = _Site(config, Habits())
    forecast_bytes = uploads * (sums._message("readings") + sums._payload(10) + sums._message_down())
    measured_bytes = used[-1] - used[0]
    assert measured_bytes == pytest.approx(forecast_bytes, rel=1 / 8), (measured_bytes, forecast_bytes)
    first = sums._message("readings") + sums._payload(10) + sums._message_down()
    assert used[0] == pytest.approx(COST[True].connect + first, rel=1 / 8), "connect, hello, one message"
