"""Sensors: what they read of the probe's true temperature, healthy or with a fault. Pure; chance comes in."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from benchmarks.labelled.kinds import Kind
from telemetry.readings import Quality


@dataclass(frozen=True, slots=True)
class SensorFault:
    """A window in seconds from the run's beginning; ``size`` is the kind's own: degrees, degrees a day, hours."""

    kind: Kind
    from_s: float
    to_s: float
    size: float

    def covers(self, at_s: float) -> bool:
        return self.from_s <= at_s < self.to_s


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading: ``at_s`` as the logger's clock says it."""

    at_s: float
    value_c: Decimal | None
    quality: Quality = Quality.GOOD


def read(
    times_s: Sequence[float],
    true_c: Sequence[float],
    sigma_c: float,
    resolution_c: Decimal,
    fault: SensorFault | None,
    chance: random.Random,
) -> list[Sample]:
    """All readings of one sensor: truth, noise of ``sigma_c``, the fault, then the sensor's resolution."""
    made: list[Sample] = []
    held: Decimal | None = None
    spikes = _spikes(times_s, fault, chance)
    for i, (at_s, value_c) in enumerate(zip(times_s, true_c, strict=True)):
        noisy = value_c + chance.gauss(0.0, sigma_c)
        here = fault if fault is not None and fault.covers(at_s) else None
        if here is None:
            held = _rounded(noisy, resolution_c)
            made.append(Sample(at_s, held))
            continue
        match here.kind:
            case Kind.LOGGER_LOST:
                continue
            case Kind.NO_VALUE:
                made.append(Sample(at_s, None, Quality.SENSOR_FAULT))
            case Kind.STUCK:
                held = _rounded(noisy, resolution_c) if held is None else held
                made.append(Sample(at_s, held))
            case Kind.RANGE_BOUND:
                made.append(Sample(at_s, _rounded(here.size, resolution_c)))
            case Kind.CLOCK_STEP:
                made.append(Sample(at_s - here.size * 3600, _rounded(noisy, resolution_c)))
            case Kind.NOISE:
                made.append(Sample(at_s, _rounded(noisy + chance.gauss(0.0, here.size), resolution_c)))
            case Kind.STEP:
                made.append(Sample(at_s, _rounded(noisy + here.size, resolution_c)))
            case Kind.DRIFT:
                away_c = here.size * (at_s - here.from_s) / 86_400
                made.append(Sample(at_s, _rounded(noisy + away_c, resolution_c)))
            case Kind.SPIKE:
                made.append(Sample(at_s, _rounded(noisy + (here.size if i in spikes else 0.0), resolution_c)))
            case _:
                made.append(Sample(at_s, _rounded(noisy, resolution_c)))
    return made


def _spikes(times_s: Sequence[float], fault: SensorFault | None, chance: random.Random) -> set[int]:
    if fault is None or fault.kind is not Kind.SPIKE:
        return set()
    inside = [i for i, t in enumerate(times_s) if fault.covers(t)]
    return set(chance.sample(inside[:: max(1, len(inside) // 40)], 6))


def _rounded(value_c: float, resolution_c: Decimal) -> Decimal:
    return Decimal(repr(value_c)).quantize(resolution_c, ROUND_HALF_EVEN)
