"""MT-SICS answers against the vectors of facts/devices.md 3.1."""

from __future__ import annotations

from decimal import Decimal

import pytest

from firmware_sim import mt_sics
from firmware_sim.mt_sics import Command, Said


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (mt_sics.weight("S", Said.STABLE, Decimal("100.00"), "g"), b"S S     100.00 g\r\n"),
        (mt_sics.weight("S", Said.DYNAMIC, Decimal("129.07"), "g"), b"S D     129.07 g\r\n"),
        (mt_sics.weight("S", Said.STABLE, Decimal("129.07"), "g"), b"S S     129.07 g\r\n"),
        (mt_sics.weight("S", Said.STABLE, Decimal("-100.00"), "g"), b"S S    -100.00 g\r\n"),
        (mt_sics.status("S", Said.NOT_NOW), b"S I\r\n"),
        (mt_sics.status("S", Said.OVER), b"S +\r\n"),
        (mt_sics.status("S", Said.UNDER), b"S -\r\n"),
        (mt_sics.status("Z", Said.DONE), b"Z A\r\n"),
        (mt_sics.status("ZI", Said.STABLE), b"ZI S\r\n"),
        (mt_sics.weight("T", Said.STABLE, Decimal("100.00"), "g"), b"T S     100.00 g\r\n"),
        (mt_sics.bare_weight("TI", Said.DONE, Decimal("1.234"), "g"), b"TI A 1.234 g\r\n"),
        (mt_sics.bare_weight("TA", Said.DONE, Decimal("2.486"), "g"), b"TA A 2.486 g\r\n"),
        (mt_sics.status("TAC", Said.DONE), b"TAC A\r\n"),
        (mt_sics.text("I4", "1234567"), b'I4 A "1234567"\r\n'),
        (mt_sics.text("I2", "ICS469 OU 60.18 kg"), b'I2 A "ICS469 OU 60.18 kg"\r\n'),
        (mt_sics.SYNTAX_ERROR, b"ES\r\n"),
    ],
)
def test_mt1_to_mt15(made: bytes, expected: bytes) -> None:
    assert made == expected


def test_i0_lists_every_command_and_ends_with_i0_a() -> None:
    lines = mt_sics.command_list().splitlines()
    assert lines[-1] == b"I0 A"
    assert b'I0 B 0 "I0"' in lines
    assert len(lines) == len(mt_sics.COMMANDS) + 1


@pytest.mark.parametrize("line", [b"", b"s", b"XX", b"S 5", b"\xff\xfe", b"TARE"])
def test_nonsense_is_no_command(line: bytes) -> None:
    assert mt_sics.parse_command(line) is None


def test_a_preset_tare_is_read_in_our_unit_only() -> None:
    assert mt_sics.parse_command(b"TA 2.486 kg") == Command("TA", "2.486 kg")
    assert mt_sics.preset_of("2.486 kg", "kg") == Decimal("2.486")
    assert mt_sics.preset_of("2.486 g", "kg") is None
    assert mt_sics.preset_of("-1 kg", "kg") is None
    assert mt_sics.preset_of("much", "kg") is None
