"""How few bytes the data could take: the entropy of what the best simple predictor leaves over.

For each stream, over the whole day, the plug-in entropy of the residuals of the best of these predictors:

values   the last value; the straight line through the last two; half of that slope; the mean of the last two
stamps   boot time: the last plus a minute, or the same place in the minute; wall clock: the same distance from boot
         time as before, or its usual one. Told once for readings that share a stamp.

Numbers, names and order follow from the rest and count as nothing. It is an estimate: a better model of the fridge would
leave less, and a code must also tell its own tables, which this leaves out.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.wire.dataset import Row


@dataclass(frozen=True, slots=True)
class Entropy:
    """Bytes a reading."""

    values: float
    stamps: float

    @property
    def total(self) -> float:
        return self.values + self.stamps


def bits(signs: Sequence[int]) -> float:
    """Plug-in entropy of one sign."""
    return -sum(n / len(signs) * math.log2(n / len(signs)) for n in Counter(signs).values())


def values(series: Sequence[int]) -> float:
    """Bits a value, by the best predictor."""
    predictors: tuple[Callable[[int, int], int], ...] = (
        lambda _, b: b,
        lambda a, b: 2 * b - a,
        lambda a, b: round(b + (b - a) / 2),
        lambda a, b: round((a + b) / 2),
    )
    triples = list(zip(series, series[1:], series[2:], strict=False))
    return min(bits([c - guess(a, b) for a, b, c in triples]) for guess in predictors)


def stamps(series: Sequence[tuple[int, int]]) -> float:
    """Bits a stamp of (boot time ms, wall clock ms)."""
    boots = [b for b, _ in series]
    apart = [w - b for b, w in series]
    by_step, by_place = (bits([b - a for a, b in pairwise(boots)]), bits([b % 60_000 for b in boots]))
    return min(by_step, by_place) + min(bits(apart), bits([b - a for a, b in pairwise(apart)]))


def estimate(table: Sequence[Row]) -> Entropy:
    """Of the whole data set."""
    by_stream: dict[int, list[Row]] = defaultdict(list)
    for row in table:
        by_stream[row.stream].append(row)
    per_value = sum(values([r.milli // 10 for r in of_one]) for of_one in by_stream.values()) / len(by_stream)
    tracks = {tuple((r.boottime_ms, r.wall_ms) for r in of_one) for of_one in by_stream.values()}
    per_stamp = sum(stamps(track) for track in tracks) / len(by_stream)
    return Entropy(per_value / 8, per_stamp / 8)
