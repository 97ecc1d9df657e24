"""Ruuvi frames against vectors RU1-RU7 of facts/devices.md, and the rules of the log read."""

from __future__ import annotations

from decimal import Decimal

import pytest

from firmware_sim import ruuvi
from firmware_sim.ruuvi import Environment, encode_df5
from firmware_sim.ruuvi_tag import Record, log_records, tick_of

ADDRESS = "CB:B8:33:4C:88:4F"


def test_ru1_valid() -> None:
    said = Environment(Decimal("24.3"), Decimal("53.49"), 100_044, (4, -4, 1036), 2977, 4, 66, 205, ADDRESS)
    assert encode_df5(said) == bytes.fromhex("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F")


def test_ru2_maximum() -> None:
    high = Decimal("163.835")
    said = Environment(high, high, 115_534, (32_767,) * 3, 3646, 20, 254, 65_534, ADDRESS)
    assert encode_df5(said) == bytes.fromhex("057FFFFFFEFFFE7FFF7FFF7FFFFFDEFEFFFECBB8334C884F")


def test_ru3_minimum() -> None:
    said = Environment(Decimal("-163.835"), Decimal(0), 50_000, (-32_767,) * 3, 1600, -40, 0, 0, ADDRESS)
    assert encode_df5(said) == bytes.fromhex("058001000000008001800180010000000000CBB8334C884F")


def test_ru4_no_value_anywhere() -> None:
    assert encode_df5(Environment(None)) == bytes.fromhex("058000FFFFFFFF800080008000FFFFFFFFFFFFFFFFFFFFFF")


def test_ru5_a_request_and_a_record() -> None:
    request = ruuvi.parse_request(bytes.fromhex("3A 3A 11 5D C1 4C 56 00 00 00 00"))
    assert request == ruuvi.LogRequest(0x3A, 0x3A, 0x5DC14C56, 0)
    # the record is 6132 s old: the tag knows only that, the reader's now dates it
    memory = [Record(1000.0, 2139)]
    assert log_records(request, memory, 7132.0) == [bytes.fromhex("3A 30 10 5D C1 34 62 00 00 08 5B")]


def test_ru6_record_end_and_error() -> None:
    assert ruuvi.encode_record(0x3A, 0x30, 0x5D57FEAD, 2445) == bytes.fromhex("3A 30 10 5D57FEAD 0000098D")
    assert ruuvi.encode_end(0x3A, 0x3A) == bytes.fromhex("3A 3A 10") + b"\xff" * 8
    assert ruuvi.encode_error() == bytes.fromhex("30 30 F0") + b"\xff" * 8


def test_ru7_temperature_and_humidity_records() -> None:
    assert ruuvi.encode_record(0x3A, 0x30, 0x679DB522, 2275) == bytes.fromhex("3A 30 10 67 9D B5 22 00 00 08 E3")
    assert ruuvi.encode_record(0x3A, 0x31, 0x679DB522, 4240) == bytes.fromhex("3A 31 10 67 9D B5 22 00 00 10 90")


@pytest.mark.parametrize(
    "data",
    ["", "3A 3A 11", "3A 3A 10 5DC14C56 00000000", "77 3A 11 5DC14C56 00000000", "3A 3A 11 00000001 00000002"],
)
def test_what_is_no_log_read_is_refused(data: str) -> None:
    assert ruuvi.parse_request(bytes.fromhex(data)) is None


def test_the_log_begins_at_the_asked_time_and_minus_degrees_are_signed() -> None:
    memory = [Record(300.0 * i, -1800 - i) for i in range(10)]
    answers = log_records(ruuvi.LogRequest(0x3A, 0x3A, 1_700_010_000, 1_700_010_000 - 700), memory, 3000.0)
    assert [a[3:7] for a in answers] == [(1_700_010_000 - age).to_bytes(4, "big") for age in (600, 300)]
    assert answers[0][7:] == bytes.fromhex("FFFFF8F0")


def test_a_tag_that_drifts_misdates_old_records() -> None:
    request = ruuvi.LogRequest(0x3A, 0x3A, 2_000_000, 0)
    memory = [Record(tick_of(0.0, 100), 100)]
    (record,) = log_records(request, memory, tick_of(864_000.0, 100))
    assert int.from_bytes(record[3:7], "big") == 2_000_000 - 864_000 - 86
