"""What can be wrong in a labelled run, and the label that says so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Where the fault lies: in the cold (vaccines are at risk), in the sensor (readings lie), or nowhere."""

    NONE = "none"
    EQUIPMENT = "equipment"
    SENSOR = "sensor"


class Kind(StrEnum):
    """One fault each. The times and sizes are drawn by the seed from the ranges in ``runs.py``."""

    CALM = "calm"  # thermostat cycles, a door for a minute, warm stock put in, a self-defrosting unit: no fault
    POWER_CUT = "power_cut"  # no mains, 3 to 14 hours, three times in the run
    POWER_LONG = "power_long"  # no mains for 26 to 34 hours
    COMPRESSOR_FAILURE = "compressor_failure"  # mains on, and no cooling any more
    DOOR_LEFT_OPEN = "door_left_open"  # 25 to 150 minutes
    THERMOSTAT_WARM = "thermostat_warm"  # set above the range
    THERMOSTAT_COLD = "thermostat_cold"  # set below freezing
    STUCK = "stuck"  # the sensor repeats one value
    NOISE = "noise"  # the sensor's noise grows to 1..2 degrees
    STEP = "step"  # the sensor reads 2 to 5 degrees off from one reading to the next, and stays so
    SPIKE = "spike"  # one reading 16 to 40 degrees off and back, six times
    RANGE_BOUND = "range_bound"  # the sensor sits at the end of its range (-55 or 60)
    DRIFT = "drift"  # the sensor moves away by 0.15 to 0.4 degrees a day
    NO_VALUE = "no_value"  # the logger says that it has no value
    LOGGER_LOST = "logger_lost"  # the logger says nothing more
    CLOCK_STEP = "clock_step"  # the logger's clock goes back by 2 to 26 hours
    BATTERY_LOW = "battery_low"  # its cell ends

    @property
    def cause(self) -> Cause:
        if self is Kind.CALM:
            return Cause.NONE
        return Cause.EQUIPMENT if self in _EQUIPMENT else Cause.SENSOR


_EQUIPMENT = frozenset(
    {
        Kind.POWER_CUT,
        Kind.POWER_LONG,
        Kind.COMPRESSOR_FAILURE,
        Kind.DOOR_LEFT_OPEN,
        Kind.THERMOSTAT_WARM,
        Kind.THERMOSTAT_COLD,
    }
)


@dataclass(frozen=True, slots=True)
class FaultLabel:
    """The fault's window: ``target`` is the equipment's id or the logger's serial; ``size`` in the kind's own unit."""

    kind: Kind
    target: str
    from_ms: int
    to_ms: int
    size: float = 0.0
