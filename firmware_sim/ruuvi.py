"""RuuviTag frames: the data format 5 advert and the log read over the Nordic UART. Pure.

    05 tttt hhhh pppp xxxx yyyy zzzz vvvv mm ssss aaaaaaaaaaaa      manufacturer 0x0499, big-endian, 24 bytes
    |  |    |    |    acceleration  |    |  |    address
    |  |    |    |    s16, mg       |    |  measurement sequence, u16 (65535: none)
    |  |    |    |                  |    movement counter, u8
    |  |    |    |                  battery 11 bits mV - 1600, tx power 5 bits (dBm + 40) / 2
    |  |    |    pressure, u16, Pa - 50000
    |  |    humidity, u16, 0.0025 %
    |  temperature, s16, 0.005 C (8000: no value)

    3A 3A 11 nnnnnnnn ssssssss      read the log: the reader's now, and from when, u32 seconds
    3A 30 10 tttttttt vvvvvvvv      one record: when, and s32 in 0.01 C (31: 0.01 %, 32: Pa)
    3A 3A 10 FFFFFFFF FFFFFFFF      that was all
    30 30 F0 FFFFFFFF FFFFFFFF      an error

Sources: Ruuvi data format 5 and log read specifications; vectors RU1-RU7 of facts/devices.md 9. The tag has no
clock: the time of a record is the reader's now less the record's age.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from decimal import Decimal

COMPANY_ID = 0x0499
NUS_SERVICE = "6e400001-b5a3-f393-e0a9-e50e24dcca9e"
NUS_RX = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
NUS_TX = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"

TEMPERATURE, HUMIDITY, PRESSURE, ENVIRONMENT = 0x30, 0x31, 0x32, 0x3A
LOG_WRITE, LOG_READ, LOG_ERROR = 0x10, 0x11, 0xF0
_ALL_FF = b"\xff" * 8
_DF5 = struct.Struct(">BhHHhhhHBH6s")
HEARTBEAT_BYTES = 18  # without the address: what fits the UART's notification
NO_ADDRESS = "FF:FF:FF:FF:FF:FF"


@dataclass(frozen=True, slots=True)
class Environment:
    """What one data format 5 packet says; None is the maker's "no value"."""

    temperature_c: Decimal | None
    humidity_percent: Decimal | None = None
    pressure_pa: int | None = None
    acceleration_mg: tuple[int, int, int] | None = None
    battery_mv: int | None = None
    tx_power_dbm: int | None = None
    movement: int | None = None
    sequence: int | None = None
    address: str = NO_ADDRESS


def _counts(value: Decimal | None, unit: str, none: int) -> int:
    if value is None:
        return none
    counts = value / Decimal(unit)
    if counts != counts.to_integral_value():
        raise ValueError(f"{value} is not a multiple of {unit}")
    return int(counts)


def encode_df5(said: Environment) -> bytes:
    """Manufacturer data, 24 bytes."""
    millivolts = 0x7FF if said.battery_mv is None else said.battery_mv - 1600
    tx_power = 0x1F if said.tx_power_dbm is None else (said.tx_power_dbm + 40) // 2
    acceleration = said.acceleration_mg or (-0x8000, -0x8000, -0x8000)
    return _DF5.pack(
        5,
        _counts(said.temperature_c, "0.005", -0x8000),
        _counts(said.humidity_percent, "0.0025", 0xFFFF),
        0xFFFF if said.pressure_pa is None else said.pressure_pa - 50_000,
        *acceleration,
        millivolts << 5 | tx_power,
        0xFF if said.movement is None else said.movement,
        0xFFFF if said.sequence is None else said.sequence,
        bytes.fromhex(said.address.replace(":", "")),
    )


def heartbeat(df5: bytes) -> bytes:
    """The live packet as it comes between log records."""
    return df5[:HEARTBEAT_BYTES]


@dataclass(frozen=True, slots=True)
class LogRequest:
    """A reader's request. Times are the reader's own seconds."""

    destination: int
    source: int
    now_s: int
    start_s: int


def parse_request(data: bytes) -> LogRequest | None:
    """The request, or None for anything else (which the tag answers with an error)."""
    if len(data) != 11 or data[2] != LOG_READ or data[0] not in (TEMPERATURE, HUMIDITY, PRESSURE, ENVIRONMENT):
        return None
    now_s, start_s = struct.unpack(">II", data[3:])
    return LogRequest(data[0], data[1], now_s, start_s) if start_s <= now_s else None


def encode_record(destination: int, sensor: int, when_s: int, value: int) -> bytes:
    """One log record; ``value`` in the sensor's counts (0.01 C, 0.01 %, Pa)."""
    return bytes((destination, sensor, LOG_WRITE)) + struct.pack(">Ii", when_s, value)


def encode_end(destination: int, source: int) -> bytes:
    """Nothing more to come."""
    return bytes((destination, source, LOG_WRITE)) + _ALL_FF


def encode_error() -> bytes:
    """The request made no sense."""
    return bytes((TEMPERATURE, TEMPERATURE, LOG_ERROR)) + _ALL_FF
