"""RuuviTag: the vectors RU1 to RU7 of facts/devices.md 2.1 and 9, and the rule that live and memory are the same."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decoders import ADVERT_DECODERS, ruuvi
from edge.decoders.frames import Advert, FrameError, Measurement
from telemetry.readings import Quality


def hexes(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


def values(text: str) -> dict[str, str | None]:
    decoded = ruuvi.decode_df5(hexes(text))
    return {m.quantity: None if m.value is None else str(m.value.normalize()) for m in decoded.measurements}


RU1 = "0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F"


def test_ru1_a_valid_packet() -> None:
    assert values(RU1) == {"temperature_c": "24.3", "humidity_percent": "53.49", "voltage_v": "2.977"}
    assert ruuvi.decode_df5(hexes(RU1)).packet_id == 205
    advert = Advert("CB:B8:33:4C:88:4F", -70, manufacturer_data={0x0499: hexes(RU1)})
    assert ADVERT_DECODERS["ruuvi"].decode(advert) == ruuvi.decode_df5(hexes(RU1))


def test_ru2_the_largest_values() -> None:
    found = values("057FFFFFFEFFFE7FFF7FFF7FFFFFDEFEFFFECBB8334C884F")
    assert found == {"temperature_c": "163.835", "humidity_percent": "163.835", "voltage_v": "3.646"}


def test_ru3_the_smallest_values() -> None:
    found = values("058001000000008001800180010000000000CBB8334C884F")
    assert found == {"temperature_c": "-163.835", "humidity_percent": "0", "voltage_v": "1.6"}


def test_ru4_the_makers_no_value_is_none() -> None:
    decoded = ruuvi.decode_df5(hexes("058000FFFFFFFF800080008000FFFFFFFFFFFFFFFFFFFFFF"))
    assert decoded.measurements == (Measurement("temperature_c", None, Quality.SENSOR_FAULT),)
    assert decoded.packet_id is None


@pytest.mark.parametrize(
    ("advert", "reason"),
    [
        (Advert("A", None), "not_ruuvi"),
        (Advert("A", None, manufacturer_data={0x0499: hexes("03" + RU1[2:])}), "unknown_format"),
        (Advert("A", None, manufacturer_data={0x0499: hexes(RU1)[:-1]}), "truncated"),
        (Advert("A", None, manufacturer_data={0x0499: b""}), "unknown_format"),
    ],
)
def test_what_is_no_df5_is_refused(advert: Advert, reason: str) -> None:
    with pytest.raises(FrameError) as caught:
        ruuvi.decode(advert)
    assert caught.value.reason == reason


def test_ru5_a_log_request_and_its_record() -> None:
    assert ruuvi.encode_log_request(0x5DC14C56 * 1000, 0) == hexes("3A 3A 11 5D C1 4C 56 00 00 00 00")
    record = ruuvi.decode_log(hexes("3A 30 10 5D C1 34 62 00 00 08 5B"))
    assert record == ruuvi.Record(0x5DC13462 * 1000, Measurement("temperature_c", Decimal("21.39")))


def test_ru6_record_end_and_error() -> None:
    record = ruuvi.decode_log(hexes("3A 30 10 5D 57 FE AD 00 00 09 8D"))
    # 2019-08-17 13:18:37Z
    assert record == ruuvi.Record(1_566_047_917_000, Measurement("temperature_c", Decimal("24.45")))
    assert ruuvi.decode_log(hexes("3A 3A 10" + "FF" * 8)) == ruuvi.LogEnd()
    with pytest.raises(FrameError, match="log_error"):
        ruuvi.decode_log(hexes("30 30 F0" + "FF" * 8))


def test_ru7_temperature_and_humidity_of_one_time() -> None:
    temperature = ruuvi.decode_log(hexes("3A 30 10 67 9D B5 22 00 00 08 E3"))
    humidity = ruuvi.decode_log(hexes("3A 31 10 67 9D B5 22 00 00 10 90"))
    # 2025-02-01 05:46:10Z
    assert temperature == ruuvi.Record(1_738_388_770_000, Measurement("temperature_c", Decimal("22.75")))
    assert humidity == ruuvi.Record(1_738_388_770_000, Measurement("humidity_percent", Decimal("42.40")))


def test_live_packets_and_pressure_in_a_log_read_are_passed_over() -> None:
    assert ruuvi.decode_log(hexes(RU1)[:18]) is None
    assert ruuvi.decode_log(hexes("3A 32 10 67 9D B5 22 00 01 86 A0")) is None


def test_a_freezing_record_is_negative() -> None:
    record = ruuvi.decode_log(hexes("3A 30 10 67 9D B5 22 FF FF FF 38"))
    assert isinstance(record, ruuvi.Record)
    assert record.measurement.value == Decimal("-2.00")


@given(st.binary(max_size=30))
def test_no_bytes_break_the_log_decoder(data: bytes) -> None:
    try:
        ruuvi.decode_log(data)
    except FrameError:
        return


def records(*seconds: int) -> list[ruuvi.Record]:
    return [ruuvi.Record(s * 1000, Measurement("temperature_c", Decimal(s))) for s in seconds]


def test_a_record_near_a_known_reading_is_that_reading() -> None:
    """Interval 300 s: live readings at 0 and 1500; the tag's records lie 20 s beside the live ones."""
    fresh = ruuvi.unknown_records(records(20, 320, 620, 920, 1220, 1520), [0, 1_500_000], 300_000)
    assert [r.t_ms for r in fresh] == [320_000, 620_000, 920_000, 1_220_000]


def test_a_second_read_of_the_same_memory_adds_nothing() -> None:
    """Its times are a second or two off, since the reader's now sets them."""
    known = [r.t_ms for r in records(0, 300, 600, 900)]
    assert ruuvi.unknown_records(records(2, 299, 602, 901), known, 300_000) == []


def test_the_packet_that_ends_a_hole_may_be_an_interval_old() -> None:
    """Heard 250 s after it was made: the record with its value is that packet, the one with another value is not."""
    ending = ruuvi.Record(1_450_000, Measurement("temperature_c", Decimal("1200.005")))
    fresh = ruuvi.unknown_records(records(900, 1200), [1_450_000], 300_000, ending)
    assert [r.t_ms for r in fresh] == [900_000]
    other = ruuvi.Record(1_450_000, Measurement("temperature_c", Decimal("1201")))
    assert len(ruuvi.unknown_records(records(900, 1200), [1_450_000], 300_000, other)) == 2


@given(
    phase_s=st.integers(-140, 140),
    heard=st.sets(st.integers(0, 30)),
    cut=st.integers(0, 31),
    offset_s=st.integers(-8, 8),
)
def test_live_and_memory_make_each_slot_once(phase_s: int, heard: set[int], cut: int, offset_s: int) -> None:
    """Slots of 300 s, some heard live: two reads, the first cut short, fill exactly the others, in any order."""
    live = [k * 300_000 for k in sorted(heard)]
    memory = records(*[k * 300 + phase_s for k in range(31)])
    first = ruuvi.unknown_records(memory[:cut], live, 300_000)
    again = [ruuvi.Record(r.t_ms + offset_s * 1000, r.measurement) for r in memory]
    second = ruuvi.unknown_records(again, [*live, *(r.t_ms for r in first)], 300_000)
    got = sorted([*live, *(r.t_ms for r in (*first, *second))])
    assert [round((t - phase_s * 1000 * (t not in live)) / 300_000) for t in got] == list(range(31))
