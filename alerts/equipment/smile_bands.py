"""SMILE's report of excursions: how many in each band, by how long they lasted (smile-and-waste 8, 15). Pure.

An excursion here is a maximal stretch in one band; unknown time longer than the gap rule bridges ends it, for nobody
knows how it went on. Excursions that begin while the equipment is defrosting (SMILE's working status 7) stand apart.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources

from alerts.equipment.presence import gap_class
from alerts.rules.facts import milli
from alerts.rules.spans import Segment

CLASSES = ("under_1h", "1_to_10h", "over_10h")
"""The same three as for silence: under an hour, 1 to 10 h, over 10 h, by whole minutes."""


@dataclass(frozen=True, slots=True)
class Band:
    """``above_m`` < v, ``from_m`` <= v, v < ``below_m``, in thousandths of a degree; None: no such bound."""

    label: str
    above_m: int | None = None
    from_m: int | None = None
    below_m: int | None = None

    def holds(self, value_m: int) -> bool:
        return (
            (self.above_m is None or value_m > self.above_m)
            and (self.from_m is None or value_m >= self.from_m)
            and (self.below_m is None or value_m < self.below_m)
        )


@dataclass(frozen=True, slots=True)
class BandCount:
    """One band: excursions by class, in the order of ``CLASSES``; ``defrosting``: those that stand apart."""

    label: str
    counts: tuple[int, int, int]
    defrosting: tuple[int, int, int]


@cache
def bands_of(kind: str) -> tuple[Band, ...]:
    """The bands of a ``refrigerator`` or a ``freezer``; raises KeyError for others."""
    text = resources.files("alerts").joinpath("equipment/smile_bands.toml").read_text("utf-8")
    return tuple(
        Band(row["label"], *(_milli(row.get(key)) for key in ("above", "from", "below")))
        for row in tomllib.loads(text)[kind]["bands"]
    )


def _milli(text: str | None) -> int | None:
    return None if text is None else milli(Decimal(text))


def smile_report(
    made: Iterable[Segment], bands: Sequence[Band], defrosting: Sequence[tuple[int, int]] = ()
) -> list[BandCount]:
    """Count the excursions of one stream's stretches; ``defrosting`` are spans [from, to) in ms."""
    stretches = list(made)
    return [_count(stretches, band, defrosting) for band in bands]


def _count(stretches: Sequence[Segment], band: Band, defrosting: Sequence[tuple[int, int]]) -> BandCount:
    counts, apart = [0, 0, 0], [0, 0, 0]
    for from_ms, to_ms in _excursions(stretches, band):
        there = apart if any(a <= from_ms < b for a, b in defrosting) else counts
        there[CLASSES.index(gap_class(to_ms - from_ms))] += 1
    return BandCount(band.label, (counts[0], counts[1], counts[2]), (apart[0], apart[1], apart[2]))


def _excursions(stretches: Sequence[Segment], band: Band) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    since_ms: int | None = None
    for s in stretches:
        here = any(m is not None and band.holds(m) for m in (s.low_m, s.high_m))
        if since_ms is not None and not here and (s.known or s.breaks):
            found.append((since_ms, s.from_ms))
            since_ms = None
        elif here and since_ms is None:
            since_ms = s.from_ms
    if since_ms is not None:
        found.append((since_ms, stretches[-1].to_ms))
    return found
