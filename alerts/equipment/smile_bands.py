"""SMILE's report of excursions: how many in each band, by how long they lasted (smile-and-waste 8, 15). Pure.

An excursion here is a maximal stretch in one band; unknown time longer than the gap rule bridges ends it, for nobody
knows how it went on. It is counted once, where it began, by its whole length.
SMILE lists those of a defrosting equipment (its working status 7) apart; nobody tells us that status.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources

import numpy as np

from alerts.bulk.points import Flags, Whole
from alerts.bulk.stretches import Stretches
from alerts.equipment.kpis import runs_of
from alerts.equipment.presence import gap_class
from alerts.rules.facts import milli
from alerts.rules.limits import Profile

CLASSES = ("under_1h", "1_to_10h", "over_10h")
"""The same three as for silence: under an hour, 1 to 10 h, over 10 h, by whole minutes."""
LONGEST_MS = 601 * 60_000
"""What has lasted for so long is of the last class, however it goes on."""


@dataclass(frozen=True, slots=True)
class Band:
    """``above_m`` < v, ``from_m`` <= v, v < ``below_m``, in thousandths of a degree; None: no such bound."""

    label: str
    above_m: int | None = None
    from_m: int | None = None
    below_m: int | None = None

    def holds(self, value_m: Whole) -> Flags:
        yes = np.ones(value_m.size, np.bool_)
        if self.above_m is not None:
            yes &= value_m > self.above_m
        if self.from_m is not None:
            yes &= value_m >= self.from_m
        if self.below_m is not None:
            yes &= value_m < self.below_m
        return yes


@dataclass(frozen=True, slots=True)
class BandCount:
    """One band: excursions by class, in the order of ``CLASSES``."""

    label: str
    counts: tuple[int, int, int]


@cache
def bands_of(kind: str) -> tuple[Band, ...]:
    """The bands of a ``refrigerator`` or a ``freezer``; raises KeyError for others."""
    text = resources.files("alerts").joinpath("equipment/smile_bands.toml").read_text("utf-8")
    return tuple(
        Band(row["label"], *(_milli(row.get(key)) for key in ("above", "from", "below")))
        for row in tomllib.loads(text)[kind]["bands"]
    )


def bands_for(profile: Profile) -> tuple[Band, ...]:
    """SMILE's bands for what is kept at this range; none for a range that SMILE has no bands for (room, transport)."""
    if profile.low_c is None or profile.high_c is None:
        return ()
    if profile.high_c < 0:
        return bands_of("freezer")
    return bands_of("refrigerator") if profile.low_c >= 0 and profile.high_c <= 10 else ()


def _milli(text: str | None) -> int | None:
    return None if text is None else milli(Decimal(text))


def smile_report(line: Stretches, bands: Sequence[Band], from_ms: int, to_ms: int) -> list[BandCount]:
    """Count the excursions of one history that began in [from, to).

    ``line`` goes on for ``LONGEST_MS`` behind, as far as there is anything, and begins one longest gap before.
    """
    told = line.known | line.breaks  # a short unknown stretch between neither ends an excursion nor begins one
    bounds_ms = np.append(line.from_ms[told], line.to_ms[told][-1:])
    known, low_m, high_m = line.known[told], line.low_m[told], line.high_m[told]
    made = []
    for band in bands:
        counts = [0, 0, 0]
        for first, last in runs_of(known & (band.holds(low_m) | band.holds(high_m))):
            if from_ms <= bounds_ms[first] < to_ms:
                counts[CLASSES.index(gap_class(int(bounds_ms[last + 1] - bounds_ms[first])))] += 1
        made.append(BandCount(band.label, (counts[0], counts[1], counts[2])))
    return made
