"""BTHome v2 adverts (service data of UUID 0xFCD2), plain. Source: bthome.io/format; vectors in facts/devices.md 2.1.

::

    40  00 09  01 61  02 CA 09  10 01  1A 00
    ^   ^      ^      ^         ^      ^
    |   |      |      |         |      +- 0x1A door             u8, 1 = open
    |   |      |      |         +-------- 0x10 power            u8, 1 = on
    |   |      |      +------------------ 0x02 temperature      s16 little-endian, 0.01 C
    |   |      +------------------------- 0x01 battery          u8, %
    |   +-------------------------------- 0x00 packet id        u8, wraps: a hint, not an identity
    +------------------------------------ device information    bit 0 encrypted, bits 7-5 version (2)

An unknown object id ends the parsing (its length is not known); a truncated object refuses the whole advert.
Stateless on purpose: ``bthome-ble`` returns the previous reading as if new for late packets (measured there).
"""

from __future__ import annotations

from decimal import Decimal

from edge.decoders.frames import Advert, DecodedAdvert, FrameError, Measurement
from telemetry.readings import Quality

SERVICE_UUID = "0000fcd2-0000-1000-8000-00805f9b34fb"
_VERSION = 2

# object id: (bytes, signed, factor, quantity)
_MEASURED: dict[int, tuple[int, bool, str, str]] = {
    0x01: (1, False, "1", "battery_percent"),
    0x02: (2, True, "0.01", "temperature_c"),
    0x03: (2, False, "0.01", "humidity_percent"),
    0x06: (2, False, "0.01", "mass_kg"),
    0x0C: (2, False, "0.001", "voltage_v"),
    0x10: (1, False, "1", "mains_power_on"),
    0x1A: (1, False, "1", "door_open"),
    0x2E: (1, False, "1", "humidity_percent"),
    0x45: (2, True, "0.1", "temperature_c"),
}
# Objects we do not measure but can step over: id -> bytes (bthome.io/format, table of object ids).
_SKIPPED: dict[int, int] = {
    **dict.fromkeys((0x09, 0x0F, 0x2F, 0x3A, 0x46), 1),
    **{i: 1 for i in range(0x10, 0x2E) if i not in (0x10, 0x12, 0x13, 0x14, 0x1A)},
    **dict.fromkeys((0x07, 0x08, 0x0D, 0x0E, 0x12, 0x13, 0x14, 0x3C, 0x3D, 0x3F, 0x40, 0x41, 0x43, 0x44), 2),
    **dict.fromkeys((0x47, 0x48, 0x49, 0x4A, 0x51, 0x52, 0xF0), 2),
    **dict.fromkeys((0x04, 0x05, 0x0A, 0x0B, 0x42, 0x4B, 0xF2), 3),
    **dict.fromkeys((0x3E, 0x4C, 0x4D, 0x4E, 0x4F, 0x50, 0xF1), 4),
}
# BTHome names no "no value"; the SIG's temperature characteristic 0x2A6E, the same s16, does.
_NO_TEMPERATURE = -0x8000
_BINARY = ("mains_power_on", "door_open")


def decode(advert: Advert) -> DecodedAdvert:
    """The measurements of an advert; raises FrameError(not_bthome|unknown_version|encrypted|truncated|bad_value)."""
    data = advert.service_data.get(SERVICE_UUID)
    if data is None:
        raise FrameError("not_bthome", "no service data of 0xFCD2")
    return decode_service_data(data)


def decode_service_data(data: bytes) -> DecodedAdvert:
    """As ``decode``, from the service data alone."""
    if not data:
        raise FrameError("truncated", "no device information")
    if data[0] >> 5 != _VERSION:
        raise FrameError("unknown_version", f"BTHome version {data[0] >> 5}")
    if data[0] & 0x01:
        raise FrameError("encrypted", "BTHome encryption needs a bind key, which this agent does not support yet")
    measurements: list[Measurement] = []
    packet_id: int | None = None
    at = 1
    while at < len(data):
        object_id, at = data[at], at + 1
        if object_id == 0x00:
            packet_id = _take(data, at, 1)[0]
            at += 1
        elif object_id in _MEASURED:
            size, signed, factor, quantity = _MEASURED[object_id]
            raw = int.from_bytes(_take(data, at, size), "little", signed=signed)
            if quantity in _BINARY and raw > 1:
                raise FrameError("bad_value", f"{quantity} = {raw}")
            value = None if quantity == "temperature_c" and raw == _NO_TEMPERATURE else raw * Decimal(factor)
            quality = Quality.GOOD if value is not None else Quality.SENSOR_FAULT
            again = sum(m.quantity == quantity for m in measurements)
            channel = str(again + 1) if again else ""
            measurements.append(Measurement(quantity, value, quality, channel))
            at += size
        elif object_id in _SKIPPED:
            _take(data, at, _SKIPPED[object_id])
            at += _SKIPPED[object_id]
        else:
            break
    return DecodedAdvert(tuple(measurements), packet_id, bytes(data))


def _take(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise FrameError("truncated", data.hex())
    return data[at : at + size]
