"""What was known when: held values and unknown time of one stream, of an equipment, and their range_state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from alerts.rules.facts import Point, milli
from alerts.rules.interval import Learner, max_gap_ms, warm_up
from alerts.rules.limits import Profile


class RangeState(StrEnum):
    """Of a span of time. Unknown time is never called in range (``design.md``, promise 5)."""

    IN = "in"
    OUT = "out"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch [from, to) with one held value, or unknown (``low_m`` and ``high_m`` None).

    ``low_m``/``high_m`` are the extremes of what the sources said. ``doubtful``: one of them said nothing, so that
    "in range" cannot be said. ``breaks``: unknown for longer than the gap rule bridges. ``reading``: a reading
    stands at its start.
    """

    from_ms: int
    to_ms: int
    low_m: int | None
    high_m: int | None
    doubtful: bool = False
    breaks: bool = False
    reading: bool = True

    @property
    def known(self) -> bool:
        return self.low_m is not None

    @property
    def length_ms(self) -> int:
        return self.to_ms - self.from_ms


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one range_state."""

    from_ms: int
    to_ms: int
    state: RangeState


def _unknown(from_ms: int, to_ms: int, breaks: bool) -> Segment:
    return Segment(from_ms, to_ms, None, None, doubtful=True, breaks=breaks, reading=False)


def segments(points: Sequence[Point], interval_ms: int | None = None, until_ms: int | None = None) -> list[Segment]:
    """The stretches of one stream by the gap rule, without holes, from its first point to ``until_ms``.

    The last reading holds until ``until_ms`` (now) while that is no longer gap, else for one interval; without
    ``until_ms`` it counts one interval, as before a gap. Readings later than ``until_ms`` are left out.
    """
    if until_ms is not None:
        points = [p for p in points if p.t_ms < until_ms]
    learner = Learner(interval_ms, warm_up([p.t_ms for p in points[:17]]))
    made: list[Segment] = []
    last_good_ms: int | None = None
    for i, p in enumerate(points):
        interval = learner.interval_ms()
        gap_ms = max_gap_ms(interval)
        if p.low_m is not None:
            if last_good_ms is not None and p.t_ms - last_good_ms > gap_ms:
                _mark_break(made)
            last_good_ms = p.t_ms
        following = points[i + 1].t_ms if i + 1 < len(points) else until_ms
        if following is None:
            following = p.t_ms + interval
        held_to = following if following - p.t_ms <= gap_ms else p.t_ms + interval
        made.append(Segment(p.t_ms, held_to, p.low_m, p.high_m, doubtful=p.unknown))
        if held_to < following:
            made.append(_unknown(held_to, following, breaks=True))
        if i + 1 < len(points):
            learner.saw(points[i + 1].t_ms - p.t_ms)
    return made


def _mark_break(made: list[Segment]) -> None:
    """The unknown stretches just before belong to a longer gap."""
    i = len(made) - 1
    while i >= 0 and not made[i].known:
        made[i] = replace(made[i], breaks=True)
        i -= 1


def cut(made: Iterable[Segment], from_ms: int, to_ms: int) -> list[Segment]:
    """The stretches inside [from, to); what no stretch covers is unknown."""
    out: list[Segment] = []
    at = from_ms
    for s in made:
        low, high = max(s.from_ms, from_ms), min(s.to_ms, to_ms)
        if low >= high:
            continue
        if low > at:
            out.append(_unknown(at, low, breaks=True))
        out.append(replace(s, from_ms=low, to_ms=high, reading=s.reading and low == s.from_ms))
        at = high
    if at < to_ms:
        out.append(_unknown(at, to_ms, breaks=True))
    return out


def merge(streams: Sequence[Sequence[Segment]], *, each_counts: bool = False) -> list[Segment]:
    """Several histories as one, worst values first. All must cover the same [from, to) (see ``cut``).

    Streams of one equipment: unknown only where none is known. ``each_counts`` (parts of a batch that stood in
    several places at once): what is unknown of one is never called in range for the whole.
    """
    if len(streams) == 1:
        return list(streams[0])
    bounds = sorted({t for made in streams for s in made for t in (s.from_ms, s.to_ms)})
    positions = [0] * len(streams)
    out: list[Segment] = []
    for low, high in pairwise(bounds):
        here: list[Segment] = []
        for k, made in enumerate(streams):
            while made[positions[k]].to_ms <= low:
                positions[k] += 1
            here.append(made[positions[k]])
        known = [s for s in here if s.known]
        if not known:
            out.append(_unknown(low, high, breaks=all(s.breaks for s in here)))
            continue
        out.append(
            Segment(
                low,
                high,
                min(s.low_m for s in known if s.low_m is not None),
                max(s.high_m for s in known if s.high_m is not None),
                doubtful=any(s.doubtful for s in (here if each_counts else known)),
                reading=any(s.reading and s.from_ms == low for s in known),
            )
        )
    return out


def shade(made: Iterable[Segment], marks: Sequence[tuple[int, int]], from_ms: int, to_ms: int) -> list[Segment]:
    """Over [from, to) where a stream's marked readings were held, for ``merge`` with ``each_counts``.

    ``marks``: the spans [from, to) of which a person said that readings are not to be counted. Of a place in which that
    stream stood nobody can say "in range" there, whatever its other streams say; what they say out of range is out.
    """
    held = [
        replace(s, low_m=0, high_m=0) if s.reading and any(a <= s.from_ms < b for a, b in marks) else _no_value(s)
        for s in made
    ]
    return [replace(_no_value(s), doubtful=s.known) for s in cut(held, from_ms, to_ms)]


def _no_value(s: Segment) -> Segment:
    return Segment(s.from_ms, s.to_ms, None, None, breaks=True, reading=False)


def state_of(segment: Segment, low_m: int | None, high_m: int | None) -> RangeState:
    """The range_state of one stretch: out if any source says so, unknown if one says nothing, else in."""
    if segment.low_m is None or segment.high_m is None:
        return RangeState.UNKNOWN
    if (low_m is not None and segment.low_m < low_m) or (high_m is not None and segment.high_m > high_m):
        return RangeState.OUT
    return RangeState.UNKNOWN if segment.doubtful else RangeState.IN


def range_spans(made: Iterable[Segment], profile: Profile) -> list[Span]:
    """Stretches of one range_state by the profile's range (2.0 and 8.0 themselves are in), neighbours joined."""
    low_m = None if profile.low_c is None else milli(profile.low_c)
    high_m = None if profile.high_c is None else milli(profile.high_c)
    out: list[Span] = []
    for s in made:
        if s.from_ms == s.to_ms:
            continue
        state = state_of(s, low_m, high_m)
        if out and out[-1].state is state and out[-1].to_ms == s.from_ms:
            out[-1] = Span(out[-1].from_ms, s.to_ms, state)
        else:
            out.append(Span(s.from_ms, s.to_ms, state))
    return out
