"""The warming curve: an exponential approach to the room's temperature, fitted so that a few bad readings do no harm.

    T(t) = A - (A - T0) exp(-(t - t0) / tau)     =>     y = ln((A - T) / (A - T0)) = -(t - t0) / tau

A is the room (measured, or assumed between ``ROOM_C``); then y is a straight line through the readings, whose slope is
the median of the slopes of all pairs (Theil 1950, Sen 1968), with the interval of Kendall's statistic about it. The
limit is passed where the line meets ln((A - limit) / (A - T0)). A wrong A does little harm near the limit: the slope
at the readings stays as measured, and only the bending beyond them differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
ROOM_C = (20.0, 29.0, 42.0)  # a room in Indonesia where no ambient reading is there: cool, usual, hot
ROOM_ERROR_C = 4.0  # an ambient sensor hangs where it hangs
MAX_POINTS = 48
_Z = 1.645  # of a normal distribution: 90 % between the two ends


@dataclass(frozen=True, slots=True)
class Fit:
    """Seconds from the last reading to the limit, and how the readings lie about the curve.

    ``error_c``: typical distance of a reading from it (median, scaled to a standard deviation); ``late_over_early``:
    the slope of the second half against that of the first (1: as an exponential with this room would). ``tau_s``: the
    time constant of the approach to this room.
    """

    low_s: float
    likely_s: float
    high_s: float
    error_c: float
    late_over_early: float
    tau_s: float


def thin(t_s: Floats, value_c: Floats, most: int = MAX_POINTS) -> tuple[Floats, Floats]:
    """At most ``most`` points: the mean of each stretch of neighbours."""
    if len(t_s) <= most:
        return t_s, value_c
    parts = np.array_split(np.arange(len(t_s)), most)
    return np.array([t_s[p].mean() for p in parts]), np.array([value_c[p].mean() for p in parts])


def fit(t_s: Sequence[float], value_c: Sequence[float], limit_c: float, room_c: float | None) -> Fit | None:
    """The time to the limit from the last reading; None where no room temperature in question lies above the limit,
    or the readings do not rise. Needs at least four readings of different times.
    """
    times, values = thin(np.asarray(t_s, dtype=float), np.asarray(value_c, dtype=float))
    rooms = _rooms(room_c, max(limit_c, float(values.max())))
    if rooms is None:
        return None
    last_s = float(t_s[-1])
    lines = [_line(times, values, room) for room in rooms]
    if any(line.slow >= 0 for line in lines):
        return None
    ends = [line.crossing_s(limit_c, slope) - last_s for line in lines for slope in (line.fast, line.slow)]
    likely = lines[1]
    return Fit(
        min(ends),
        likely.crossing_s(limit_c, likely.slope) - last_s,
        max(ends),
        likely.error_c,
        likely.late_over_early,
        -1.0 / likely.slope,
    )


def _rooms(room_c: float | None, above_c: float) -> tuple[float, float, float] | None:
    low, middle, high = ROOM_C if room_c is None else (room_c - ROOM_ERROR_C, room_c, room_c + ROOM_ERROR_C)
    if middle < above_c + 2.0:
        return None
    return max(low, above_c + 1.5), middle, high


@dataclass(frozen=True, slots=True)
class _Line:
    """The straight line through y for one room temperature. ``fast`` and ``slow`` bound its slope (all below zero)."""

    room_c: float
    first_c: float
    slope: float
    fast: float
    slow: float
    error_c: float
    late_over_early: float
    newest: tuple[Floats, Floats]

    def crossing_s(self, limit_c: float, slope: float) -> float:
        """When the line of this slope through the middle of the newest readings meets the limit."""
        times, y = self.newest
        offset = float(np.median(y - slope * times))
        return (log((self.room_c - limit_c) / (self.room_c - self.first_c)) - offset) / slope


def _slopes(times: Floats, y: Floats) -> Floats:
    i, j = np.triu_indices(len(times), 1)
    return np.sort((y[j] - y[i]) / (times[j] - times[i]))


def _line(times: Floats, values: Floats, room_c: float) -> _Line:
    y = np.log((room_c - values) / (room_c - values[0]))
    slopes = _slopes(times, y)
    n, pairs = len(times), len(slopes)
    slope = float(np.median(slopes))
    spread = _Z * sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, int((pairs - spread) / 2))
    half = n // 2
    early = float(np.median(_slopes(times[: half + 1], y[: half + 1])))
    late = float(np.median(_slopes(times[half:], y[half:])))
    offset = float(np.median(y - slope * times))
    expected_c = room_c - (room_c - values[0]) * np.exp(offset + slope * times)
    newest = slice(-max(3, n // 3), None)
    return _Line(
        room_c,
        float(values[0]),
        slope,
        min(float(slopes[low]), late),
        max(float(slopes[pairs - 1 - low]), late),
        1.4826 * float(np.median(np.abs(values - expected_c))),
        late / early if early < 0 else 99.0,
        (times[newest], y[newest]),
    )
