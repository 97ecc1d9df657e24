"""The probe's frames against facts/devices.md 4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.modbus_rtu import READ_INPUT, Request, RequestReader, answer, crc16

REQUEST_1 = bytes.fromhex("01 04 00 01 00 01 60 0A")
REQUEST_2 = bytes.fromhex("01 04 00 01 00 02 20 0B")


@pytest.mark.parametrize(
    ("vector", "request_frame", "registers", "expected"),
    [
        ("MB1", REQUEST_1, {1: 305, 2: 546}, "01 04 02 01 31 79 74"),
        ("MB2", REQUEST_1, {1: 263, 2: 546}, "01 04 02 01 07 F9 62"),
        ("MB3", REQUEST_2, {1: 305, 2: 546}, "01 04 04 01 31 02 22 2A CE"),
        ("MB4", REQUEST_1, {7: 1}, "01 84 02 C2 C1"),
    ],
)
def test_mb1_to_mb4(vector: str, request_frame: bytes, registers: dict[int, int], expected: str) -> None:
    (request,) = RequestReader().feed(request_frame)
    assert answer(request, {READ_INPUT: registers}) == bytes.fromhex(expected), vector


def test_mb5_minus_20_is_ff38() -> None:
    assert answer(Request(1, 4, 1, 1), {READ_INPUT: {1: -200}})[3:5] == bytes.fromhex("FF38")


def test_refusals() -> None:
    assert answer(Request(1, 6, 1, 1), {READ_INPUT: {1: 0}})[1:3] == bytes((0x86, 1))
    assert answer(Request(1, 4, 1, 0), {READ_INPUT: {1: 0}})[1:3] == bytes((0x84, 3))


@given(st.binary(max_size=5), st.lists(st.integers(1, 20), max_size=4))
def test_requests_are_found_behind_noise_and_however_they_are_cut(noise: bytes, cuts: list[int]) -> None:
    reader, found = RequestReader(), []
    data = noise + REQUEST_1 + REQUEST_2
    for cut in cuts:
        found += reader.feed(data[:cut])
        data = data[cut:]
    found += reader.feed(data)
    assert [r.count for r in found][-2:] == [1, 2]


def test_crc() -> None:
    assert crc16(REQUEST_1[:-2]) == REQUEST_1[-2:]
