"""The interval of a stream: declared, else the median of the last 16 differences (``design.md``, Profile).

It walks forward with the readings: before each one the last 16 differences up to it are in force, so that a stream
which changes its pace is judged by the pace of its time, and nothing that comes later changes what was said (but for
the first 16, which serve all readings before the 17th). Two readings alone make their distance the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from statistics import median

from alerts.rules.limits import MIN_GAP_MS

LEARN_FROM = 16
DEFAULT_MS = 900_000  # one reading alone: the 15 minutes of DS01's records


@lru_cache(maxsize=4096)
def _median(differences: tuple[int, ...]) -> int:
    return int(median(differences))  # of two middles the mean; half a millisecond is left out


def interval_ms(declared_ms: int | None, differences: tuple[int, ...]) -> int:
    """The interval in force, from the last differences up to a reading (the first ones, for the first readings)."""
    if declared_ms is not None:
        return declared_ms
    if not differences:
        return DEFAULT_MS
    return _median(differences)


def max_gap_ms(interval: int) -> int:
    """2 x interval, at least 960 s (cold-chain 6, conventions)."""
    return max(2 * interval, MIN_GAP_MS)


def warm_up(times_ms: Sequence[int]) -> tuple[int, ...]:
    """The differences that serve the first readings, which have none of their own yet."""
    first = times_ms[: LEARN_FROM + 1]
    return tuple(b - a for a, b in pairwise(first))


class Learner:
    """The last 16 differences while walking a stream forward. ``warm`` serves until 16 have passed."""

    __slots__ = ("declared_ms", "last", "warm")

    def __init__(self, declared_ms: int | None, warm: tuple[int, ...], last: tuple[int, ...] = ()) -> None:
        self.declared_ms = declared_ms
        self.warm = warm
        self.last = last

    def interval_ms(self) -> int:
        return interval_ms(self.declared_ms, self.last if len(self.last) >= LEARN_FROM else self.warm)

    def saw(self, difference_ms: int) -> None:
        if self.declared_ms is None:
            self.last = (*self.last[-(LEARN_FROM - 1) :], difference_ms)
