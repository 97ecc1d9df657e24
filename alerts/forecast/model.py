"""What a forecast is made from, what it says, and why it is silent."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from alerts.forecast.holdover import Holdover

CODE = "ABOVE_SOON"
Readings = tuple[tuple[int, int], ...]
"""(t_ms, thousandths of a degree), good values only, in time order."""


class Basis(StrEnum):
    """What a forecast rests on."""

    CURVE = "curve"  # the warming of the last hours
    HOLDOVER = "holdover"  # how long it held in the power cuts before
    HOLD = "hold"  # what the appliance says itself (DS01's HOLD)


class Silence(StrEnum):
    """Why nothing is forecast."""

    NO_READINGS = "no_readings"  # none, or the last is older than the gap rule bridges
    ABOVE = "above"  # the limit is passed already: that is a finding's business
    DOOR = "door"  # a door is open, or was opened or shut a moment ago
    POWER_BACK = "power_back"  # mains came back a moment ago
    NOT_RISING = "not_rising"
    USUAL = "usual"  # no warmer than this equipment gets between two runs of its compressor
    TOO_FEW = "too_few"  # too few readings of the rise, or too small a rise for the sensor's noise
    UNEVEN = "uneven"  # no exponential approach fits
    LEVELLING = "levelling"  # the rise is slowing down more than a warm room explains
    HELD = "held"  # so slow that ice or a large load may hold it, and for how long it will is not known
    TOO_WIDE = "too_wide"  # the range would say nothing
    TOO_FAR = "too_far"  # beyond what can be told from so short a rise
    COLD_ROOM = "cold_room"  # the room itself is not above the limit
    DISAGREE = "disagree"  # another thermometer in the same equipment sees nothing of it


@dataclass(frozen=True, slots=True)
class Situation:
    """All that one stream's forecast may know.

    ``limit_c`` is the upper end of the profile's range. ``usual_high_m``: the warmest of this equipment's usual cycle
    (None: not known yet). ``mains_off_ms``/``mains_on_ms``: since when mains are away / are back (None: not said).
    ``door_ms``: the last time the door was said open, or changed. ``hold_until_ms``: until when the appliance says it holds.
    """

    readings: Readings
    limit_c: Decimal
    interval_ms: int
    usual_high_m: int | None = None
    mains_off_ms: int | None = None
    mains_on_ms: int | None = None
    door_ms: int | None = None
    door_open: bool = False
    room_c: Decimal | None = None
    holdovers: tuple[Holdover, ...] = ()
    hold_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """Minutes from ``made_ms`` until the limit is passed if nothing changes: earliest, likely, latest.

    The range holds in about nine cases of ten (measured: ``benchmarks/forecast.md``).
    """

    code: str
    limit_c: Decimal
    low_min: int
    likely_min: int
    high_min: int
    basis: Basis
    made_ms: int
    value_c: Decimal
