"""A machine is known by its own number, and tells it to nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.machine import machine_id


def put(root: Path, place: str, text: str) -> None:
    file = root / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_pi_is_known_by_its_serial_also_with_another_ones_card(tmp_path: Path) -> None:
    put(tmp_path, "etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    by_card = machine_id(tmp_path)
    put(tmp_path, "proc/device-tree/serial-number", "10000000abcdef01\0")
    assert machine_id(tmp_path) != by_card
    assert "abcdef01" not in machine_id(tmp_path)
    assert len(machine_id(tmp_path)) == 32


def test_without_numbers_its_network_cards_tell(tmp_path: Path) -> None:
    assert machine_id(tmp_path) == ""
    put(tmp_path, "sys/class/net/lo/address", "00:00:00:00:00:00\n")
    assert machine_id(tmp_path) == ""
    put(tmp_path, "sys/class/net/eth0/address", "dc:a6:32:00:00:01\n")
    first = machine_id(tmp_path)
    assert first
    put(tmp_path, "sys/class/net/eth0/address", "dc:a6:32:00:00:02\n")
    assert machine_id(tmp_path) != first


@pytest.mark.parametrize("text", ["", "\n", "\0"])
def test_an_empty_number_is_none(tmp_path: Path, text: str) -> None:
    put(tmp_path, "etc/machine-id", text)
    assert machine_id(tmp_path) == ""
