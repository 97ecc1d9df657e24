"""The BTHome encoder against the vectors of facts/devices.md 2.1."""

from __future__ import annotations

from decimal import Decimal

import pytest

from firmware_sim.bthome import encode, encode_logger


@pytest.mark.parametrize(
    ("vector", "objects", "expected"),
    [
        ("BT1", [(0x02, "25.06"), (0x03, "50.55")], "40 02 CA09 03 BF13"),
        ("BT2", [(0x45, "27.3")], "40 45 1101"),
        ("BT3", [(0x06, "80.3")], "40 06 5E1F"),
        ("BT4", [(0x00, "9"), (0x01, "97"), (0x02, "25.06"), (0x0C, "3.074")], "40 00 09 01 61 02 CA09 0C 020C"),
        ("BT5", [(0x3A, "1")], "40 3A 01"),
        ("BT6", [(0x02, "-18.0")], "40 02 F8F8"),
        ("BT7", [(0x45, "-80.0")], "40 45 E0FC"),
        ("BT8", [(0x01, "97"), (0x2E, "50")], "40 01 61 2E 32"),
    ],
)
def test_bt1_to_bt8(vector: str, objects: list[tuple[int, str]], expected: str) -> None:
    assert encode([(i, Decimal(v)) for i, v in objects]) == bytes.fromhex(expected), vector


def test_the_loggers_packet_has_its_five_objects_in_ascending_order() -> None:
    packet = encode_logger(265, 97, Decimal("4.25"), True, False)
    assert packet == bytes.fromhex("40 00 09 01 61 02 A901 10 01 1A 00")


def test_a_broken_probe_is_8000_or_left_out() -> None:
    assert encode_logger(0, 97, None, False, True) == bytes.fromhex("40 00 00 01 61 02 0080 10 00 1A 01")
    assert encode_logger(0, 97, None, False, True, False) == bytes.fromhex("40 00 00 01 61 10 00 1A 01")


def test_what_the_wire_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        encode([(0x02, Decimal("4.255"))])
    with pytest.raises(OverflowError):
        encode([(0x02, Decimal("400"))])
    with pytest.raises(ValueError, match="ascend"):
        encode([(0x02, Decimal(4)), (0x01, Decimal(97))])
