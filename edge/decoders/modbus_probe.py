"""XY-MD02 / SHT20 temperature and humidity probe, Modbus RTU. Source: the probe's manual by way of three public
repositories; vectors MB1 to MB5 of facts/devices.md 4. pymodbus does the frames and their CRC.

::

    01 04 00 01 00 02 20 0B           ask: unit 1, input registers, from 1, two of them, CRC
    01 04 04 01 31 02 22 2A CE        0x0131 = 305 x 0.1 = 30.5 C (s16), 0x0222 = 546 x 0.1 = 54.6 % (u16)
    01 84 02 C2 C1                    refused: exception 2, no such address

Another probe is another ``Profile``: which input registers, their sign and factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from edge.decoders.frames import FrameError, Measurement
from telemetry.readings import Quality


@dataclass(frozen=True, slots=True)
class Register:
    """One input register, relative to the profile's first."""

    quantity: str
    offset: int
    signed: bool
    factor: Decimal


@dataclass(frozen=True, slots=True)
class Profile:
    """One read: ``count`` input registers from ``first``."""

    first: int
    count: int
    registers: tuple[Register, ...]


XY_MD02 = Profile(
    1,
    2,
    (
        Register("temperature_c", 0, True, Decimal("0.1")),
        Register("humidity_percent", 1, False, Decimal("0.1")),
    ),
)


def decode(registers: Sequence[int], profile: Profile = XY_MD02) -> tuple[Measurement, ...]:
    """The measurements of one answer; raises FrameError(truncated|bad_value)."""
    if len(registers) != profile.count:
        raise FrameError("truncated", f"{len(registers)} registers, not {profile.count}")
    if not all(0 <= r <= 0xFFFF for r in registers):
        raise FrameError("bad_value", str(list(registers)))
    found = []
    for register in profile.registers:
        raw = registers[register.offset]
        value = raw - 0x10000 if register.signed and raw & 0x8000 else raw
        found.append(Measurement(register.quantity, value * register.factor))
    return tuple(found)


def refused(profile: Profile = XY_MD02) -> tuple[Measurement, ...]:
    """What an exception answer says: the probe's first quantity has no value. One fact, not one a register."""
    return (Measurement(profile.registers[0].quantity, None, Quality.SENSOR_FAULT),)
