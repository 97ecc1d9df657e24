"""Modbus RTU, the slave's side, with the register map of an XY-MD02 / SHT20 probe. Pure.

    request   01 04 00 01 00 01 60 0A          unit, function, first register, how many, CRC-16 (low byte first)
    answer    01 04 02 01 31 79 74             unit, function, byte count, registers (305: 30.5 C), CRC-16
    refusal   01 84 02 C2 C1                   function | 80, why: 1 function, 2 address, 3 count, 4 the device
    failed

    input registers      1 temperature (s16, 0.1 C), 2 humidity (u16, 0.1 %)
    holding registers    0101 unit id, 0102 baud rate, 0103 and 0104 corrections (0)

Source: XY-MD02 manual by way of public repositories; vectors MB1-MB5 of facts/devices.md 4.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

READ_HOLDING, READ_INPUT = 3, 4
REQUEST_BYTES = 8
MAX_REGISTERS = 125


class Refusal(IntEnum):
    """Exception codes."""

    FUNCTION = 1
    ADDRESS = 2
    COUNT = 3
    DEVICE = 4


@dataclass(frozen=True, slots=True)
class Request:
    """A master's request."""

    unit_id: int
    function: int
    first: int
    count: int


def crc16(data: bytes) -> bytes:
    """CRC-16/MODBUS, as it stands on the wire."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


class RequestReader:
    """Finds 8-byte requests in a byte stream; noise and halves are skipped a byte at a time."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Request]:
        """The requests that are complete now."""
        self._buffer += data
        requests = []
        while len(self._buffer) >= REQUEST_BYTES:
            frame = self._buffer[:REQUEST_BYTES]
            if crc16(frame[:-2]) == frame[-2:]:
                requests.append(Request(*struct.unpack(">BBHH", frame[:-2])))
                self._buffer = self._buffer[REQUEST_BYTES:]
            else:
                self._buffer = self._buffer[1:]
        return requests


def encode_registers(unit_id: int, function: int, registers: list[int]) -> bytes:
    """An answer; registers as u16 or s16."""
    data = b"".join((r & 0xFFFF).to_bytes(2, "big") for r in registers)
    frame = bytes((unit_id, function, len(data))) + data
    return frame + crc16(frame)


def encode_refusal(unit_id: int, function: int, why: Refusal) -> bytes:
    """An exception answer."""
    frame = bytes((unit_id, function | 0x80, why))
    return frame + crc16(frame)


def answer(request: Request, tables: Mapping[int, Mapping[int, int]]) -> bytes:
    """The answer of a slave whose registers are ``tables[function][address]``."""
    if request.function not in tables:
        return encode_refusal(request.unit_id, request.function, Refusal.FUNCTION)
    if not 1 <= request.count <= MAX_REGISTERS:
        return encode_refusal(request.unit_id, request.function, Refusal.COUNT)
    table = tables[request.function]
    wanted = range(request.first, request.first + request.count)
    if any(address not in table for address in wanted):
        return encode_refusal(request.unit_id, request.function, Refusal.ADDRESS)
    return encode_registers(request.unit_id, request.function, [table[address] for address in wanted])
