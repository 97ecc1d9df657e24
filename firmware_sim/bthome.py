"""BTHome v2 service data, plain (device information 0x40). Pure.

    40 | 00 pp | 01 bb | 02 tt tt | 10 m | 1A d         UUID 0xFCD2, object ids ascending, values little-endian
    |    |       |       |          |      door open
    |    |       |       |          mains power on
    |    |       |       temperature, s16, 0.01 C (0x8000: the probe gives no value, as in Bluetooth SIG 0x2A6E)
    |    |       battery, u8, %
    |    packet id, u8, wraps
    version 2, not encrypted

Source: bthome.io format page; vectors BT1-BT8 of facts/devices.md 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

SERVICE_UUID = "0000fcd2-0000-1000-8000-00805f9b34fb"
DEVICE_INFO_PLAIN = 0x40
NO_TEMPERATURE = -0x8000


@dataclass(frozen=True, slots=True)
class ObjectFormat:
    """One row of the BTHome table: bytes on the wire, sign, and what one count means."""

    size: int
    signed: bool
    unit: Decimal


OBJECTS: dict[int, ObjectFormat] = {
    0x00: ObjectFormat(1, False, Decimal(1)),  # packet id
    0x01: ObjectFormat(1, False, Decimal(1)),  # battery, %
    0x02: ObjectFormat(2, True, Decimal("0.01")),  # temperature, C
    0x03: ObjectFormat(2, False, Decimal("0.01")),  # humidity, %
    0x06: ObjectFormat(2, False, Decimal("0.01")),  # mass, kg
    0x0C: ObjectFormat(2, False, Decimal("0.001")),  # voltage, V
    0x10: ObjectFormat(1, False, Decimal(1)),  # power
    0x1A: ObjectFormat(1, False, Decimal(1)),  # door
    0x2E: ObjectFormat(1, False, Decimal(1)),  # humidity, %
    0x3A: ObjectFormat(1, False, Decimal(1)),  # button event
    0x45: ObjectFormat(2, True, Decimal("0.1")),  # temperature, C
}


def encode_object(object_id: int, value: Decimal) -> bytes:
    """One object: id and value. Raises ValueError for a value between two counts, OverflowError for one too
    large."""
    row = OBJECTS[object_id]
    counts = value / row.unit
    if counts != counts.to_integral_value():
        raise ValueError(f"object {object_id:#04x}: {value} is not a multiple of {row.unit}")
    return bytes([object_id]) + int(counts).to_bytes(row.size, "little", signed=row.signed)


def encode(objects: Sequence[tuple[int, Decimal]]) -> bytes:
    """Service data of these objects; ids must ascend (a receiver stops at an id it does not know)."""
    ids = [object_id for object_id, _ in objects]
    if ids != sorted(ids):
        raise ValueError(f"object ids must ascend: {ids}")
    return bytes([DEVICE_INFO_PLAIN]) + b"".join(encode_object(i, v) for i, v in objects)


def encode_logger(
    packet_id: int,
    battery_percent: int,
    temperature_c: Decimal | None,
    mains_power_on: bool,
    door_open: bool,
    temperature_present: bool = True,
) -> bytes:
    """Service data of our cold-chain logger; ``packet_id`` is any sample number, its low 8 bits go on the air."""
    objects = [(0x00, Decimal(packet_id % 256)), (0x01, Decimal(battery_percent))]
    if temperature_present:
        no_value = NO_TEMPERATURE * OBJECTS[0x02].unit
        objects.append((0x02, no_value if temperature_c is None else temperature_c))
    objects += [(0x10, Decimal(int(mains_power_on))), (0x1A, Decimal(int(door_open)))]
    return encode(objects)
