"""What decoders take and give: adverts and frames in, measurements out. Values only; no I/O and no clock.

A decoder refuses bad bytes with ``FrameError`` (a short stable ``reason`` for the counters), turns the maker's
"no value" pattern into ``None`` with a quality, and never guesses a unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from telemetry.errors import SmileIotError
from telemetry.readings import Quality


class FrameError(SmileIotError):
    """Bytes that are not a frame of this device. ``reason`` is counted; ``detail`` is for a person."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of one quantity (``telemetry.quantities``); ``value`` None with a quality that says why."""

    quantity: str
    value: Decimal | None
    quality: Quality = Quality.GOOD
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Advert:
    """One BLE advertisement as the host's Bluetooth stack gives it.

    ``service_data`` by 128-bit UUID in lower case, ``manufacturer_data`` by company id; ``rssi_dbm`` None if unknown.
    """

    address: str
    rssi_dbm: int | None
    service_data: Mapping[str, bytes] = field(default_factory=dict)
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DecodedAdvert:
    """The measurements of one advert.

    ``packet_id`` is the device's own short (wrapping) number, a hint that two hearings are one packet; None where
    the format has none. ``payload`` are the bytes that carry the measurement, without what changes per hearing.
    """

    measurements: tuple[Measurement, ...]
    packet_id: int | None
    payload: bytes


class Stability(StrEnum):
    """What the indicator says of its load."""

    STABLE = "stable"
    UNSTABLE = "unstable"
    OVERLOAD = "overload"
    UNDERLOAD = "underload"


class Basis(StrEnum):
    """What the shown mass is. UNKNOWN frames need the setting ``basis`` of the device (never guessed)."""

    GROSS = "gross"
    NET = "net"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class WeightFrame:
    """One frame of a scale. ``mass_kg`` is None for overload and underload (their digits are no weight).

    ``step_kg`` is the weight of the last digit shown; ``tare_kg`` the tare where the protocol gives it.
    """

    stability: Stability
    basis: Basis
    mass_kg: Decimal | None
    step_kg: Decimal | None
    raw: bytes
    tare_kg: Decimal | None = None
