"""What a logger or probe measures at its k-th sample: a function of (seed, plan, k). Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from firmware_sim.faults import FaultBook, FaultKind
from firmware_sim.thermal import ThermalModel

BATTERY_START_PERCENT = 97
BATTERY_LOW_PERCENT = 4
BATTERY_DAYS_PER_PERCENT = 7.0


@dataclass(frozen=True, slots=True)
class LoggerSample:
    """One measurement. ``temperature_c`` is None when the probe is broken; ``temperature_present`` False when the
    logger leaves the temperature out of its packet altogether (``probe_fault`` with mode ``omit``)."""

    index: int
    at_s: float
    temperature_c: Decimal | None
    mains_power_on: bool
    door_open: bool
    battery_percent: int
    temperature_present: bool = True


def battery_percent(at_s: float) -> int:
    """A cell that loses a percent a week."""
    return max(0, BATTERY_START_PERCENT - int(max(0.0, at_s) / 86_400 / BATTERY_DAYS_PER_PERCENT))


class Sampler:
    """The measuring part of one logger: ``resolution_c`` is the sensor's step (0.01 or 0.1)."""

    def __init__(
        self,
        serial: str,
        model: ThermalModel,
        interval_s: float,
        seed: int,
        book: FaultBook,
        resolution_c: Decimal = Decimal("0.01"),
    ) -> None:
        self.serial = serial
        self.interval_s = interval_s
        self._model = model
        self._seed = seed
        self._book = book
        self._resolution_c = resolution_c

    def first_index(self, at_s: float) -> int:
        """The first sample not before ``at_s``: a device that starts late has not measured earlier."""
        return max(0, -int(-at_s // self.interval_s))

    def sample(self, index: int) -> LoggerSample:
        """The sample taken at ``index * interval_s``."""
        at_s = index * self.interval_s
        fault = self._book.active(FaultKind.PROBE_FAULT, self.serial, at_s)
        low = self._book.is_on(FaultKind.LOW_BATTERY, self.serial, at_s)
        return LoggerSample(
            index=index,
            at_s=at_s,
            temperature_c=None if fault else self._temperature(index),
            mains_power_on=self._model.mains_on(at_s),
            door_open=self._model.door_open(at_s),
            battery_percent=BATTERY_LOW_PERCENT if low else battery_percent(at_s),
            temperature_present=not (fault and fault.mode == "omit"),
        )

    def _temperature(self, index: int) -> Decimal:
        at_s = index * self.interval_s
        stuck = self._book.active(FaultKind.STUCK_VALUE, self.serial, at_s)
        if stuck:  # the sensor repeats what it last measured before it stuck
            index = max(0, int(stuck.at_s // self.interval_s))
        chance = random.Random(f"{self._seed}/{self.serial}/{index}")
        probe_c = self._model.at(index * self.interval_s).probe_c + chance.gauss(0.0, self._model.equipment.noise_c)
        return Decimal(repr(probe_c)).quantize(self._resolution_c, ROUND_HALF_EVEN)
