"""The points of one stream as arrays: what ``alerts.rules.facts.plain_points`` makes, without an object a reading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alerts.rules.facts import Point, ReadingFact, value_of

Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

NO_SEQ = -1
"""In ``device_seq``: the device gave no number."""
_HIGHEST = np.iinfo(np.int64).max
_LOWEST = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Instants in order of time, each once. ``low_m``/``high_m``: extremes of the good values, thousandths of a degree.

    ``known``: there is a good value. ``unknown``: one of the values is unknown, so that "in range" cannot be said.
    ``conflict``: where one identity has several values, or several disagree, how many were said; else 0.
    The same as ``facts.Point``.
    """

    t_ms: Whole
    low_m: Whole
    high_m: Whole
    known: Flags
    unknown: Flags
    conflict: Whole

    def __len__(self) -> int:
        return int(self.t_ms.size)

    def point(self, i: int) -> Point:
        """One of them for the engine. Of what was said in a conflict only the number is kept, in ``entries``."""
        known, told = bool(self.known[i]), int(self.conflict[i])
        low_m, high_m = (int(self.low_m[i]), int(self.high_m[i])) if known else (None, None)
        entries = ((None, frozenset(range(told)) if told else frozenset((low_m,))),)
        return Point(int(self.t_ms[i]), entries, low_m, high_m, bool(self.unknown[i]), told > 0)

    def before(self, until_ms: int) -> Points:
        """Those earlier than ``until_ms``."""
        return self.part(0, int(np.searchsorted(self.t_ms, until_ms)))

    def part(self, begin: int, end: int) -> Points:
        """The points ``begin`` to ``end``, as views."""
        s = slice(begin, end)
        return Points(self.t_ms[s], self.low_m[s], self.high_m[s], self.known[s], self.unknown[s], self.conflict[s])


def points_of(
    t_ms: npt.ArrayLike,
    value_m: npt.ArrayLike,
    missing: npt.ArrayLike | None = None,
    device_seq: npt.ArrayLike | None = None,
) -> Points:
    """The points of one stream's readings, in any order, repeated or in conflict.

    ``value_m``: thousandths of a degree, of no meaning where ``missing`` says True (no value, or not a good one).
    ``device_seq``: the device's numbers, NO_SEQ where it gave none. Raises ValueError for unequal lengths.
    """
    times = np.asarray(t_ms, dtype=np.int64)
    values = np.asarray(value_m, dtype=np.int64)
    gone = np.zeros(times.size, dtype=np.bool_) if missing is None else np.asarray(missing, dtype=np.bool_)
    if not times.size == values.size == gone.size:
        raise ValueError(f"{times.size} times, {values.size} values, {gone.size} marks")
    numbers = np.full(times.size, NO_SEQ) if device_seq is None else np.asarray(device_seq, dtype=np.int64)
    if device_seq is not None:
        times = _first_times(times, numbers)
    if bool((times[1:] > times[:-1]).all()):  # nearly always: one value an instant, in order
        return Points(times, values, values, ~gone, gone, np.zeros(times.size, dtype=np.int64))
    return _joined(times, values, gone, numbers)


def _first_times(times: Whole, numbers: Whole) -> Whole:
    """The same device number at another time is the same reading; its earliest time counts."""
    if times.size != numbers.size:
        raise ValueError(f"{times.size} times, {numbers.size} device numbers")
    if bool((numbers[1:] > numbers[:-1]).all()) and bool((numbers[:1] != NO_SEQ).all()):
        return times  # each number once
    order = np.lexsort((times, numbers))
    ordered = numbers[order]
    begins = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    first = np.repeat(times[order][begins], np.diff(np.append(begins, times.size)))
    moved = times.copy()
    moved[order] = np.where(ordered == NO_SEQ, times[order], first)
    return moved


def _joined(times: Whole, values: Whole, gone: Flags, numbers: Whole) -> Points:
    """One point for each instant."""
    values = np.where(gone, 0, values)
    order = np.lexsort((values, gone, numbers, times))
    times, values, gone, numbers = times[order], values[order], gone[order], numbers[order]
    begins = np.flatnonzero(np.concatenate(([True], times[1:] != times[:-1])))
    low = np.minimum.reduceat(np.where(gone, _HIGHEST, values), begins)
    high = np.maximum.reduceat(np.where(gone, _LOWEST, values), begins)
    unknown = np.logical_or.reduceat(gone, begins)
    known = low <= high
    conflict = known & ((low != high) | unknown)
    other = [column[1:] != column[:-1] for column in (times, numbers, gone, values)]
    told = np.add.reduceat(np.concatenate(([1], np.logical_or.reduce(other))), begins)
    return Points(
        times[begins],
        np.where(known, low, 0),
        np.where(known, high, 0),
        known,
        unknown,
        np.where(conflict, told, 0),
    )


Columns = tuple[Whole, Whole, Flags, Whole]
"""(t_ms, value_m, missing, device_seq) of a stream's readings as they came: what ``points_of`` takes."""


def columns_by_stream(facts: Iterable[ReadingFact]) -> dict[tuple[str, str], Columns]:
    """{(equipment, stream): its readings}. Raises ValueError for a value of more than three places."""
    columns: dict[tuple[str, str], tuple[list[int], list[int | None], list[int]]] = {}
    for fact in facts:
        times, values, numbers = columns.setdefault((fact.equipment, fact.stream_id), ([], [], []))
        times.append(fact.t_ms)
        values.append(value_of(fact))
        numbers.append(NO_SEQ if fact.device_seq is None else fact.device_seq)
    return {
        key: (
            np.array(times, dtype=np.int64),
            np.array([v or 0 for v in values], dtype=np.int64),
            np.array([v is None for v in values], dtype=np.bool_),
            np.array(numbers, dtype=np.int64),
        )
        for key, (times, values, numbers) in columns.items()
    }


def points_by_stream(facts: Iterable[ReadingFact]) -> dict[tuple[str, str], Points]:
    """{(equipment, stream): its points}. Raises ValueError for a value of more than three places."""
    return {key: points_of(*columns) for key, columns in columns_by_stream(facts).items()}
