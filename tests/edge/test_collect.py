"""From packets to readings: bounds, stamps, and which hearing is a repeat."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from edge.collect import Heard, dump_heard, load_heard, reading, readings_of, take, weighing
from edge.decoders.frames import DecodedAdvert, Measurement
from edge.weighing import Captured
from telemetry.contract import Upload, decode_upload, encode_upload
from telemetry.readings import Numbered, Quality


def packet(packet_id: int | None, payload: bytes = b"a") -> DecodedAdvert:
    return DecodedAdvert((Measurement("temperature_c", Decimal("5.01")),), packet_id, payload)


def later(stamp: Any, seconds: float) -> Any:
    return replace(
        stamp, boottime_ns=stamp.boottime_ns + int(seconds * 1e9), wall_ms=stamp.wall_ms + int(seconds * 1000)
    )


def taken(
    adverts: list[tuple[DecodedAdvert, float]], make: Any, interval_s: int | None = 60, sampled: bool = False
) -> list[int]:
    """Which of the adverts are taken; the hint goes through its text each time, as over a restart."""
    text, found = None, []
    for i, (advert, at_s) in enumerate(adverts):
        heard = take(load_heard(text), advert, later(make.stamp, at_s), interval_s, sampled)
        if heard is not None:
            found.append(i)
            text = dump_heard(heard)
    return found


def test_the_same_packet_heard_again_is_the_same_reading(make: Any) -> None:
    assert taken([(packet(9), 0), (packet(9), 1), (packet(9), 10_000), (packet(10), 60)], make) == [0, 3]


def test_a_late_copy_of_an_older_packet_is_a_repeat(make: Any) -> None:
    """devices.md 2.1: bthome-ble would return the newer packet's value again."""
    assert taken([(packet(9), 0), (packet(10, b"b"), 60), (packet(9), 61), (packet(11, b"c"), 120)], make) == [
        0,
        1,
        3,
    ]


def test_the_same_id_with_other_bytes_is_a_new_reading(make: Any) -> None:
    """A device that started again counts from 0."""
    assert taken([(packet(0), 0), (packet(0, b"b"), 60)], make) == [0, 1]


def test_an_id_that_wrapped_around_is_a_new_reading(make: Any) -> None:
    """256 packets of one and the same value: all are readings."""
    adverts = [(packet(i % 256), i * 60.0) for i in range(600)]
    assert taken(adverts, make) == list(range(600))


def test_without_a_packet_id_equal_bytes_count_once_an_interval(make: Any) -> None:
    adverts = [(packet(None), 0.0), (packet(None), 30.0), (packet(None), 60.0), (packet(None, b"b"), 61.0)]
    assert taken(adverts, make) == [0, 2, 3]
    assert taken(adverts, make, interval_s=None) == [0, 3]


def test_a_chatty_device_is_sampled_once_an_interval(make: Any) -> None:
    adverts = [(packet(i, bytes([i])), i * 1.0) for i in range(130)]
    assert taken(adverts, make, sampled=True) == [0, 60, 120]


@pytest.mark.parametrize("phase_s", [0, 20, 50, 59])
def test_a_sampled_device_that_measures_once_an_interval_is_never_missed(make: Any, phase_s: int) -> None:
    """Each packet is heard from a random time after it was made until the next: no drift, none twice, none lost."""
    late = [0.0, 12.0, 3.0, 0.5, 14.0, 0.0, 9.0, 13.9] * 40
    hearings = [(i, phase_s + i * 60 + late[i] + again) for i in range(300) for again in range(0, 45, 5)]
    adverts = [(packet(i, i.to_bytes(2, "big")), at_s) for i, at_s in hearings]
    found = taken(adverts, make, sampled=True)
    assert [hearings[k][0] for k in found] == list(range(300))
    assert max(hearings[k][1] - phase_s - hearings[k][0] * 60 for k in found) < 30


def test_a_packet_heard_late_does_not_delay_the_next(make: Any) -> None:
    """The agent starts between two samples of a tag that measures once an interval."""
    adverts = [(packet(1, b"a"), 50.0), (packet(2, b"b"), 60.5), (packet(3, b"c"), 120.5)]
    assert taken(adverts, make, sampled=True) == [0, 1, 2]


def test_without_a_synced_clock_a_sampled_device_is_taken_once_an_interval_of_boot_time(make: Any) -> None:
    heard = take(Heard(), packet(1), make.unsynced, 60, True)
    assert heard is not None
    assert take(heard, packet(2, b"b"), later(make.unsynced, 59), 60, True) is None
    assert take(heard, packet(2, b"b"), later(make.unsynced, 60), 60, True) is not None
    assert take(heard, packet(2, b"b"), replace(make.unsynced, boot_id="boot-2"), 60, True) is not None


def test_an_unsynced_clock_gives_an_undated_reading_with_its_stamp(make: Any) -> None:
    undated = reading("LOG-1", Measurement("temperature_c", Decimal("5.01")), make.unsynced)
    assert (undated.sampled_at_ms, undated.stamp) == (None, make.unsynced)
    dated = reading("LOG-1", Measurement("temperature_c", Decimal("5.01")), make.stamp)
    assert dated.sampled_at_ms == make.stamp.wall_ms


@pytest.mark.parametrize(
    ("quantity", "value", "expected"),
    [
        ("temperature_c", "163.835", (None, Quality.INVALID)),
        ("temperature_c", "-100", (Decimal(-100), Quality.GOOD)),
        ("humidity_percent", "53.4925", (Decimal("53.492"), Quality.GOOD)),
        ("battery_percent", "100", (Decimal(100), Quality.GOOD)),
    ],
)
def test_a_value_out_of_bounds_is_no_value(make: Any, quantity: str, value: str, expected: tuple[Any, ...]) -> None:
    found = reading("LOG-1", Measurement(quantity, Decimal(value)), make.stamp)
    assert (found.value, found.quality) == expected


def test_all_streams_of_a_packet_can_be_sent(make: Any) -> None:
    """What is collected always keeps the contract: it goes through the codec unchanged."""
    measurements = [
        Measurement("temperature_c", None, Quality.SENSOR_FAULT),
        Measurement("temperature_c", Decimal("163.835"), channel="2"),
        Measurement("battery_percent", Decimal(97)),
    ]
    facts = tuple(Numbered(i, r) for i, r in enumerate(readings_of("LOG-1", measurements, make.stamp, -61), 1))
    assert [n.fact.stream_id for n in facts] == [
        "LOG-1/temperature_c", "LOG-1/temperature_c/2", "LOG-1/battery_percent", "LOG-1/rssi_dbm",
    ]  # fmt: skip
    assert decode_upload(encode_upload(Upload("readings", "E1", "ep", 1, facts))).facts == facts


def test_an_unknown_signal_strength_is_no_reading(make: Any) -> None:
    """BlueZ without RSSI: bleak says -127."""
    assert readings_of("LOG-1", [], make.stamp, -127) == readings_of("LOG-1", [], make.stamp, None) == []


def test_a_weighing_id_is_stable_and_each_loads_own(make: Any) -> None:
    captured = Captured(Decimal("5.4"), Decimal(0), Decimal("5.4"), "none", (), b"ST,GS,0\xc4,000005.4 kg")
    first = weighing("SC-1", captured, make.stamp, Decimal("0.05"))
    assert first == weighing("SC-1", captured, make.stamp, Decimal("0.05"))
    assert first.weighing_id != weighing("SC-1", captured, later(make.stamp, 1), None).weighing_id
    assert bytes.fromhex(first.raw_frame) == captured.raw
    numbered = (Numbered(1, first),)
    assert decode_upload(encode_upload(Upload("weighings", "E1", "ep", 1, numbered))).facts == numbered
