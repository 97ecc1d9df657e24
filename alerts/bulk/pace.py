"""The interval in force at each point of a stream, worked out only where it matters (``alerts.rules.interval``).

The learned interval is a median of 16 differences at every point. But the gap rule never bites below 960 s, and a
silence takes three intervals, so that a stream which keeps its pace needs hardly one of these medians.
"""

from __future__ import annotations

import numpy as np

from alerts.bulk.points import Flags, Whole
from alerts.rules.interval import LEARN_FROM, Learner, interval_ms, warm_up
from alerts.rules.limits import MIN_GAP_MS, SILENCE_INTERVALS


class Pace:
    """``at(i)``: the interval once the differences up to point i are seen, as ``Learner.interval_ms`` says it."""

    def __init__(self, t_ms: Whole, declared_ms: int | None) -> None:
        self._t_ms = t_ms
        self._declared_ms = declared_ms
        self._warm = warm_up(t_ms[: LEARN_FROM + 1].tolist())
        self._warm_ms = interval_ms(declared_ms, self._warm)

    def learner(self) -> Learner:
        """The engine's learner after the last point."""
        if self._declared_ms is not None:
            return Learner(self._declared_ms, self._warm)
        return Learner(None, self._warm, tuple(np.diff(self._t_ms[-LEARN_FROM - 1 :]).tolist()))

    def one(self, i: int) -> int:
        return int(self.at(np.array([i]))[0])

    def at(self, places: Whole) -> Whole:
        """The interval at each of these points."""
        out = np.full(places.size, self._warm_ms, dtype=np.int64)
        late = places >= LEARN_FROM
        if self._declared_ms is None and bool(late.any()):
            windows = places[late][:, None] + np.arange(-LEARN_FROM, 1)
            middle = np.sort(np.diff(self._t_ms[windows], axis=1), axis=1)[
                :, LEARN_FROM // 2 - 1 : LEARN_FROM // 2 + 1
            ]
            out[late] = middle.sum(axis=1) // 2
        return out

    def gaps(self, asked: Flags, *, shift: int) -> Whole:
        """The longest gap in force at each point: exact where ``asked``, elsewhere its least value.

        ``shift`` 1: as the readings before a point taught it (a walk); 0: the point's own difference is seen too.
        """
        out = np.full(self._t_ms.size, MIN_GAP_MS, dtype=np.int64)
        places = np.flatnonzero(asked)
        out[places] = np.maximum(2 * self.at(np.maximum(places - shift, 0)), MIN_GAP_MS)
        return out

    def silences(self) -> tuple[Whole, Whole]:
        """(points before which the stream was silent, the interval in force before each)."""
        differences = np.diff(self._t_ms)
        if self._declared_ms is not None:
            least: Whole | int = self._declared_ms
        else:
            least = _least_of_16(differences)
        places = np.flatnonzero(differences >= SILENCE_INTERVALS * least) + 1
        intervals = self.at(places - 1)
        silent = differences[places - 1] >= SILENCE_INTERVALS * intervals
        return places[silent], intervals[silent]


def _least_of_16(differences: Whole) -> Whole:
    """No more than the median in force before each point but the first; 0 for the first 17, which all share one."""
    least = np.zeros(differences.size, dtype=np.int64)
    if differences.size > LEARN_FROM:
        low = differences[:-1]
        for reach in (1, 2, 4, 8):
            low = np.minimum(low[reach:], low[:-reach])
        least[LEARN_FROM:] = low
    return least
