"""What was known when, as columns: ``alerts.rules.spans`` for years of readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alerts.bulk.pace import Pace
from alerts.bulk.points import Flags, Points, Whole
from alerts.bulk.walk import last_known_before
from alerts.rules.limits import MIN_GAP_MS
from alerts.rules.spans import Segment

_HIGHEST = np.iinfo(np.int64).max
_LOWEST = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """``spans.Segment`` by columns, in order of time and without holes. ``low_m``/``high_m`` count where ``known``."""

    from_ms: Whole
    to_ms: Whole
    low_m: Whole
    high_m: Whole
    known: Flags
    doubtful: Flags
    breaks: Flags
    reading: Flags

    def __len__(self) -> int:
        return int(self.from_ms.size)

    @property
    def length_ms(self) -> Whole:
        return self.to_ms - self.from_ms

    def segments(self) -> list[Segment]:
        """One by one, for those who want objects."""
        columns = (self.from_ms, self.to_ms, self.low_m, self.high_m, self.known)
        flags = (self.doubtful, self.breaks, self.reading)
        return [
            Segment(a, b, low if known else None, high if known else None, doubtful, breaks, reading)
            for a, b, low, high, known, doubtful, breaks, reading in zip(
                *(c.tolist() for c in columns), *(f.tolist() for f in flags), strict=True
            )
        ]


def unknown(from_ms: int, to_ms: int) -> Stretches:
    """One stretch of which nothing is known; none where it has no length."""
    n = 1 if from_ms < to_ms else 0
    zero, yes, no = np.zeros(n, np.int64), np.ones(n, np.bool_), np.zeros(n, np.bool_)
    return Stretches(np.full(n, from_ms), np.full(n, to_ms), zero, zero, no, yes, yes, no)


def _blank(n: int) -> Stretches:
    def zeros() -> Whole:
        return np.zeros(n, np.int64)

    def no() -> Flags:
        return np.zeros(n, np.bool_)

    return Stretches(zeros(), zeros(), zeros(), zeros(), no(), no(), no(), no())


def joined(parts: Sequence[Stretches]) -> Stretches:
    """One after the other."""
    return Stretches(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("from_ms", "to_ms", "low_m", "high_m", "known", "doubtful", "breaks", "reading")
        )
    )


def stretches_of(points: Points, interval_ms: int | None = None, until_ms: int | None = None) -> Stretches:
    """The stretches of one stream by the gap rule: ``spans.segments``."""
    if until_ms is not None:
        points = points.before(until_ms)
    n = len(points)
    if not n:
        return unknown(0, 0)
    t_ms, pace = points.t_ms, Pace(points.t_ms, interval_ms)
    following = np.append(t_ms[1:], int(t_ms[-1]) + pace.one(n - 1) if until_ms is None else until_ms)
    good = last_known_before(points.known)
    since_good = np.where(good >= 0, t_ms - t_ms[good], 0)
    gap_ms = pace.gaps((following - t_ms > MIN_GAP_MS) | (since_good > MIN_GAP_MS), shift=0)
    short = np.flatnonzero(following - t_ms > gap_ms)  # held for one interval, the rest is unknown
    held_to = following.copy()
    held_to[short] = t_ms[short] + pace.at(short)
    # Unknown stretches lie behind the points they follow.
    place = np.arange(n)
    place[1:] += np.cumsum(np.bincount(short, minlength=n))[:-1]
    size = n + short.size
    behind = place[short] + 1
    out = _blank(size)
    out.from_ms[place], out.to_ms[place] = t_ms, held_to
    out.low_m[place], out.high_m[place] = points.low_m, points.high_m
    out.known[place], out.doubtful[place], out.reading[place] = points.known, points.unknown, True
    out.from_ms[behind], out.to_ms[behind] = held_to[short], following[short]
    out.doubtful[behind] = out.breaks[behind] = True
    # What is unknown between two good values further apart than the gap rule bridges belongs to that gap.
    far = np.zeros(size, np.bool_)
    far[place] = points.known & (since_good > gap_ms)
    known_next = np.where(out.known, np.arange(size), size)
    known_next = np.append(np.minimum.accumulate(known_next[::-1])[::-1], size)
    out.breaks[:] |= ~out.known & np.append(far, False)[known_next[:-1]]
    return out


def cut(made: Stretches, from_ms: int, to_ms: int) -> Stretches:
    """Inside [from, to); what no stretch covers is unknown: ``spans.cut``."""
    low, high = np.maximum(made.from_ms, from_ms), np.minimum(made.to_ms, to_ms)
    inside = low < high
    if not bool(inside.any()):
        return unknown(from_ms, to_ms)
    part = Stretches(
        low[inside],
        high[inside],
        made.low_m[inside],
        made.high_m[inside],
        made.known[inside],
        made.doubtful[inside],
        made.breaks[inside],
        (made.reading & (low == made.from_ms))[inside],
    )
    return joined([unknown(from_ms, int(part.from_ms[0])), part, unknown(int(part.to_ms[-1]), to_ms)])


def merge(streams: Sequence[Stretches], *, each_counts: bool = False) -> Stretches:
    """Several histories over the same [from, to) as one, worst values first: ``spans.merge``."""
    if len(streams) == 1:
        return streams[0]
    bounds = np.unique(np.concatenate([b for made in streams for b in (made.from_ms, made.to_ms)]))
    low_ms = bounds[:-1]
    here = [np.searchsorted(made.to_ms, low_ms, side="right") for made in streams]
    pairs = list(zip(streams, here, strict=True))
    knows = np.stack([made.known[i] for made, i in pairs])
    lows = np.stack([made.low_m[i] for made, i in pairs])
    highs = np.stack([made.high_m[i] for made, i in pairs])
    doubts = np.stack([made.doubtful[i] for made, i in pairs])
    breaks = np.stack([made.breaks[i] for made, i in pairs])
    begins = np.stack([made.reading[i] & (made.from_ms[i] == low_ms) for made, i in pairs])
    known = _any(knows)
    return Stretches(
        low_ms,
        bounds[1:],
        np.where(known, np.where(knows, lows, _HIGHEST).min(axis=0), 0),
        np.where(known, np.where(knows, highs, _LOWEST).max(axis=0), 0),
        known,
        ~known | _any(doubts if each_counts else doubts & knows),
        ~known & ~_any(~breaks),
        _any(begins & knows),
    )


def shade(made: Stretches, marked: Flags, from_ms: int, to_ms: int) -> Stretches:
    """Over [from, to) where a stream's marked readings were held, for ``merge`` with ``each_counts``: ``spans.shade``."""
    part = cut(replace(made, known=marked), from_ms, to_ms)
    no, yes = np.zeros(len(part), np.bool_), np.ones(len(part), np.bool_)
    return replace(part, known=no, doubtful=part.known, breaks=yes, reading=no)


def _any(rows: Flags) -> Flags:
    """Where any of the rows says so."""
    return np.asarray(rows.any(axis=0), dtype=np.bool_)
