"""What a batch lived through, over columns: the sums, findings and timeline of ``alerts.exposure.expose``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise

import numpy as np

from alerts.amended import Spans, within
from alerts.bulk.points import Flags, Points, Whole
from alerts.bulk.stretches import Stretches, cut, joined, merge, shade, stretches_of, unknown
from alerts.bulk.walk import NO_GAP_MS, Track, walk
from alerts.exposure import FREEZING_M, NO_MARKS, Exposure, Placement, limits_in_time
from alerts.rules.facts import degrees, milli
from alerts.rules.finding import RuleFinding
from alerts.rules.limits import Dated, Plan, Profile, Profiles, guard_limit

Streams = Mapping[tuple[str, str], Points]
"""(equipment, stream) -> its points."""


@dataclass(frozen=True, slots=True, eq=False)
class Lived:
    """``summed`` is the exposure without its timeline, which stands in ``line`` as columns."""

    summed: Exposure
    line: Stretches

    def exposure(self) -> Exposure:
        """As ``alerts.exposure`` has it, with an object for each stretch."""
        line = tuple(self.line.segments())
        return replace(self.summed, timeline=line, line=line)


def timeline(
    placements: Iterable[Placement],
    streams: Streams,
    profiles: Profiles,
    now_ms: int,
    marked: Mapping[str, Spans] = NO_MARKS,
) -> Stretches | None:
    """The stretches since the first of the placements; None where there were none by ``now_ms``."""
    stays = [p for p in placements if p.from_ms < min(now_ms, now_ms if p.to_ms is None else p.to_ms)]
    if not stays:
        return None
    start = min(p.from_ms for p in stays)
    end = now_ms
    parts = [(p.from_ms, min(end, end if p.to_ms is None else p.to_ms), p.equipment) for p in stays]
    bounds = sorted({start, end, *(t for low, high, _ in parts for t in (low, high))})
    places = {e: _place(e, streams, profiles, (start, end), now_ms, marked) for _, _, e in parts}
    out: list[Stretches] = []
    for low, high in pairwise(bounds):
        here = sorted({e for a, b, e in parts if a <= low and b >= high})
        seen = [cut(places[e], low, high) for e in here]
        out.append(merge(seen, each_counts=True) if seen else unknown(low, high))
    return joined(out)


def _place(
    equipment: str,
    streams: Streams,
    profiles: Profiles,
    span: tuple[int, int],
    now_ms: int,
    marked: Mapping[str, Spans],
) -> Stretches:
    """One equipment's history over a span: the worst of its streams; never in range where one of them is marked."""
    made: list[Stretches] = []
    shades: list[Stretches] = []
    for (place, stream_id), points in sorted(streams.items(), key=lambda item: item[0]):
        if place == equipment:
            interval_s = profiles.settings(stream_id).interval_s
            whole = stretches_of(points, None if interval_s is None else interval_s * 1000, now_ms)
            made.append(cut(whole, *span))
            if stream_id in marked:
                shades.append(shade(whole, whole.reading & within(marked[stream_id], whole.from_ms), *span))
    seen = merge(made) if made else unknown(*span)
    return merge([seen, *shades], each_counts=True)


def expose_points(
    batch: str,
    placements: Iterable[Placement],
    streams: Streams,
    profiles: Profiles,
    product_profile: Profile,
    now_ms: int,
    later: Iterable[Dated] = (),
    marked: Mapping[str, Spans] = NO_MARKS,
) -> Lived | None:
    """``alerts.exposure.expose`` of the same readings; ``streams``: of every equipment the batch stood in.

    ``later``: what the product's limits were changed to, and from when; the findings go by what held at their time, the
    sums by ``product_profile``. ``marked``: of a stream the spans that people marked; its points there have no value.
    """
    line = timeline([p for p in placements if p.batch == batch], streams, profiles, now_ms, marked)
    if line is None:
        return None
    sigmas = (profiles.settings(stream).sigma_c for _, stream in streams)
    sigma_c = max((s for s in sigmas if s is not None), default=None)
    first, changes = limits_in_time(product_profile, later, sigma_c)
    plan = Plan("", "", None, first, batch, changes=changes)
    edges = [None if c is None else milli(c) for c in (product_profile.low_c, product_profile.high_c)]
    below = line.known & (line.low_m < edges[0]) if edges[0] is not None else np.zeros(len(line), np.bool_)
    above = line.known & (line.high_m > edges[1]) if edges[1] is not None else np.zeros(len(line), np.bool_)
    surely = line.known & (below | above | ~line.doubtful)
    guarded_m = milli(guard_limit(degrees(FREEZING_M), sigma_c or Decimal(0)))
    lows, highs = line.low_m[line.known], line.high_m[line.known]
    summed = Exposure(
        batch=batch,
        from_ms=int(line.from_ms[0]),
        to_ms=int(line.to_ms[-1]),
        timeline=(),
        findings=tuple(judge_line(line, plan)),
        known_s=_sum_s(line, surely),
        unknown_s=_sum_s(line, ~surely),
        above_s=_sum_s(line, above),
        below_s=_sum_s(line, below),
        freezing_s=_sum_s(line, line.known & (line.low_m <= FREEZING_M)),
        freeze_possible_s=_sum_s(line, line.known & (line.low_m <= guarded_m)),
        min_c=degrees(int(lows.min())) if lows.size else None,
        max_c=degrees(int(highs.max())) if highs.size else None,
    )
    return Lived(summed, line)


def _sum_s(line: Stretches, which: Flags) -> int:
    return int(line.length_ms[which].sum()) // 1000


def judge_line(line: Stretches, plan: Plan) -> list[RuleFinding]:
    """The findings of a merged timeline, in order of event: ``alerts.exposure.judge_timeline``."""
    known = np.flatnonzero(line.known)
    closed: list[RuleFinding] = []
    lengths = line.length_ms[known]
    walker = walk(_track(line, known), plan, int(line.from_ms[0]), closed)
    found = closed + walker.open_findings(int(lengths[-1]) if known.size else 0)
    return sorted(found, key=lambda f: (f.event_ms, f.finding_id))


def _track(line: Stretches, known: Whole) -> Track:
    """Each known stretch as one sample, at its start; merged stretches say themselves where a longer gap lies."""
    broken = np.concatenate(([0], np.cumsum(line.breaks & ~line.known)))[known]
    every, n = np.ones(known.size, np.bool_), known.size
    return Track(
        line.from_ms[known],
        line.low_m[known],
        line.high_m[known],
        every,
        line.doubtful[known],
        np.concatenate(([0], line.length_ms[known][:-1])) if n else np.zeros(0, np.int64),
        np.full(n, NO_GAP_MS),
        np.diff(broken, prepend=0) > 0,
    )
