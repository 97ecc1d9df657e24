"""What a batch lived through: its placements joined with the readings of the places (cold-chain 6, 26). Pure.

History = union of (place, from, to). At every instant the batch saw the held value of its place; of several
streams in one place the worst; of several places at once (a split batch) the worst, and unknown in one is unknown
for it. Time without a placement since the first is unknown, not safe; after the last one too. The same fold as for streams
then runs on this history with the product's limits: a duration may add up over two refrigerators, each fine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise

from alerts.amended import Spans
from alerts.products import Budget
from alerts.rules.facts import ReadingFact, degrees, milli, plain_points
from alerts.rules.finding import RuleFinding
from alerts.rules.fold import Sample, Walker
from alerts.rules.limits import Dated, Plan, Profile, Profiles, Threshold, guard_limit, thresholds
from alerts.rules.spans import RangeState, Segment, cut, merge, segments, shade, state_of

_NO_GAP_MS = 1 << 60  # the gap rule was applied per stream; merged segments say themselves where they break
NO_MARKS: Mapping[str, Spans] = {}
FREEZING_M = -500  # -0.5 C and below (WHO PQS E003)


@dataclass(frozen=True, slots=True)
class Placement:
    """A batch stood in an equipment from ``from_ms`` until ``to_ms`` (None: still there). ``said_by`` said so."""

    batch: str
    equipment: str
    from_ms: int
    to_ms: int | None = None
    id: str = ""
    said_by: str = ""


@dataclass(frozen=True, slots=True)
class LevelWarm:
    """Seconds above the range of its level, once they add up to a heat alarm's; else 0 (``alerts.storage.level_warm``).

    ``since_release_s``: those of them which no person's release covers.
    """

    total_s: int = 0
    since_release_s: int = 0


@dataclass(frozen=True, slots=True)
class Exposure:
    """The history of one batch as one timeline, its sums in seconds, and the batch-level findings.

    ``above_s``/``below_s`` are beyond the product's range, ``freezing_s`` at or below -0.5 C, ``freeze_possible_s`` at
    or below the guarded freezing limit (with the sensor's sigma; never less than ``freezing_s``); known time only.
    Known is what is in range or out of it: where one source says nothing, out is known and in range is not. ``line`` is
    the history as it was judged: what is right for the product where it stood (``alerts.storage``) is put at the edge of
    its profile's range. ``ranges``: of each stretch the range (low, high) that holds there, empty: the profile's all along.
    ``level_warm``: how long it was too warm for the level it stood at.
    """

    batch: str
    from_ms: int
    to_ms: int
    timeline: tuple[Segment, ...]
    findings: tuple[RuleFinding, ...]
    known_s: int
    unknown_s: int
    above_s: int
    below_s: int
    freezing_s: int
    freeze_possible_s: int
    min_c: Decimal | None
    max_c: Decimal | None
    line: tuple[Segment, ...] = ()
    ranges: tuple[tuple[int | None, int | None], ...] = ()
    level_warm: LevelWarm = field(default_factory=LevelWarm)


def timeline(
    placements: Iterable[Placement],
    facts: Sequence[ReadingFact],
    profiles: Profiles,
    now_ms: int,
    marked: Mapping[str, Spans] = NO_MARKS,
) -> list[Segment]:
    """The stretches a batch saw, from its first placement until now. Empty without placements."""
    stays = [p for p in placements if p.from_ms < min(now_ms, now_ms if p.to_ms is None else p.to_ms)]
    if not stays:
        return []
    start = min(p.from_ms for p in stays)
    end = now_ms
    by_equipment = _by_equipment(facts)
    parts = [(p.from_ms, min(end, end if p.to_ms is None else p.to_ms), p.equipment) for p in stays]
    bounds = sorted({start, end, *(t for low, high, _ in parts for t in (low, high))})
    places = {e: _place(by_equipment.get(e, {}), profiles, (start, end), now_ms, marked) for _, _, e in parts}
    out: list[Segment] = []
    for low, high in pairwise(bounds):
        here = {e for a, b, e in parts if a <= low and b >= high}
        out += (
            merge([cut(places[e], low, high) for e in sorted(here)], each_counts=True) if here else cut([], low, high)
        )
    return out


def _by_equipment(facts: Iterable[ReadingFact]) -> dict[str, dict[str, list[ReadingFact]]]:
    out: dict[str, dict[str, list[ReadingFact]]] = {}
    for f in facts:
        out.setdefault(f.equipment, {}).setdefault(f.stream_id, []).append(f)
    return out


def _place(
    streams: Mapping[str, list[ReadingFact]],
    profiles: Profiles,
    span: tuple[int, int],
    now_ms: int,
    marked: Mapping[str, Spans],
) -> list[Segment]:
    """One equipment's history over a span: the worst of its streams; never in range where one of them is marked."""
    made: list[list[Segment]] = []
    shades: list[list[Segment]] = []
    for stream_id, facts in sorted(streams.items()):
        interval_s = profiles.settings(stream_id).interval_s
        points = plain_points(facts)
        whole = segments(points, None if interval_s is None else interval_s * 1000, now_ms)
        made.append(cut(whole, *span))
        if stream_id in marked:
            shades.append(shade(whole, marked[stream_id], *span))
    return merge([merge(made) if made else cut([], *span), *shades], each_counts=True)


def expose(
    batch: str,
    placements: Iterable[Placement],
    facts: Sequence[ReadingFact],
    profiles: Profiles,
    product_profile: Profile,
    now_ms: int,
    marked: Mapping[str, Spans] = NO_MARKS,
) -> Exposure | None:
    """The exposure of a batch as known at ``now_ms``; None when it was placed nowhere yet.

    ``facts``: readings of every equipment it stood in, from one interval before each placement on (more does no
    harm). Facts later than ``now_ms`` play no part. Batch findings carry ``batch`` and no equipment; reconcile them
    with ``alerts.rules.reconcile``. ``marked``: of a stream the spans that people marked; ``facts`` have no value there.
    """
    stays = [p for p in placements if p.batch == batch]
    line = timeline(stays, facts, profiles, now_ms, marked)
    if not line:
        return None
    sigmas = (profiles.settings(s).sigma_c for s in {f.stream_id for f in facts})
    sigma_c = max((s for s in sigmas if s is not None), default=None)
    found = judge_timeline(line, Plan("", "", None, thresholds(product_profile, sigma_c), batch))
    return Exposure(
        batch,
        line[0].from_ms,
        line[-1].to_ms,
        tuple(line),
        tuple(found),
        *_sums(line, product_profile, sigma_c),
        *_extremes(line),
        line=tuple(line),
    )


def limits_in_time(
    first: Profile, later: Iterable[Dated], sigma_c: Decimal | None
) -> tuple[tuple[Threshold, ...], tuple[tuple[int, tuple[Threshold, ...]], ...]]:
    """The thresholds that held first, and (from when, the thresholds) of each change of them, for a ``Plan``.

    ``first`` is what held before the first of ``later``, unless that says otherwise (``from_ms`` 0: since ever).
    """
    made = [(d.from_ms, thresholds(d.profile, sigma_c)) for d in sorted(later, key=lambda d: d.from_ms)]
    start = thresholds(first, sigma_c) if not made or made[0][0] > 0 else made.pop(0)[1]
    changes: list[tuple[int, tuple[Threshold, ...]]] = []
    for from_ms, now in made:
        if now != (changes[-1][1] if changes else start):
            changes.append((from_ms, now))
    return start, tuple(changes)


def relieved(
    exposure: Exposure,
    line: Sequence[Segment],
    product_profile: Profile,
    sigma_c: Decimal | None,
    later: Iterable[Dated] = (),
    ranges: Sequence[tuple[int | None, int | None]] = (),
) -> Exposure:
    """The exposure judged by another line (what is right where it stood is no excursion); history and extremes stay.

    ``ranges``: of each stretch the range (low, high) that its sums go by; they look at the history itself.
    """
    first, changes = limits_in_time(product_profile, later, sigma_c)
    plan = Plan("", "", None, first, exposure.batch, changes=changes)
    known_s, unknown_s, above_s, below_s, freezing_s, possible_s = _sums(line, product_profile, sigma_c)
    if ranges:
        known_s, unknown_s, above_s, below_s = _range_sums(exposure.timeline, ranges)
    return replace(
        exposure,
        findings=tuple(judge_timeline(line, plan)),
        known_s=known_s,
        unknown_s=unknown_s,
        above_s=above_s,
        below_s=below_s,
        freezing_s=freezing_s,
        freeze_possible_s=possible_s,
        line=tuple(line),
        ranges=tuple(ranges),
    )


def _sums(line: Sequence[Segment], profile: Profile, sigma_c: Decimal | None) -> tuple[int, int, int, int, int, int]:
    """known, unknown, above, below, freezing, freeze possible; seconds."""
    low_m = None if profile.low_c is None else milli(profile.low_c)
    high_m = None if profile.high_c is None else milli(profile.high_c)
    guarded_m = milli(guard_limit(degrees(FREEZING_M), sigma_c or Decimal(0)))
    return (
        *_range_sums(line, [(low_m, high_m)] * len(line)),
        _sum_s(s for s in line if s.low_m is not None and s.low_m <= FREEZING_M),
        _sum_s(s for s in line if s.low_m is not None and s.low_m <= guarded_m),
    )


def _range_sums(
    line: Sequence[Segment], ranges: Sequence[tuple[int | None, int | None]]
) -> tuple[int, int, int, int]:
    """known, unknown, above, below; seconds. ``ranges``: (low, high) of each stretch."""
    rows = list(zip(line, ranges, strict=True))
    states = [(s, state_of(s, *edges)) for s, edges in rows]
    return (
        _sum_s(s for s, state in states if state is not RangeState.UNKNOWN),
        _sum_s(s for s, state in states if state is RangeState.UNKNOWN),
        _sum_s(s for s, (_, high_m) in rows if high_m is not None and s.high_m is not None and s.high_m > high_m),
        _sum_s(s for s, (low_m, _) in rows if low_m is not None and s.low_m is not None and s.low_m < low_m),
    )


def _extremes(line: Sequence[Segment]) -> tuple[Decimal | None, Decimal | None]:
    return (
        min((degrees(s.low_m) for s in line if s.low_m is not None), default=None),
        max((degrees(s.high_m) for s in line if s.high_m is not None), default=None),
    )


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """How much of what a label allows is used. ``over``: more than allowed."""

    code: str
    used_s: int
    allowed_s: int
    source: str
    verified: bool

    @property
    def over(self) -> bool:
        return self.used_s > self.allowed_s


OUTSIDE_LABEL = "OUTSIDE_LABEL"


def budgets_used(line: Iterable[Segment], budgets: Sequence[Budget], profile: Profile) -> tuple[BudgetUse, ...]:
    """Known time in each band, added up over the whole history; of a conflict each value counts.

    Time out of the product's range and in none of its bands is OUTSIDE_LABEL, of which nothing is allowed. Without
    budgets the label allows nothing and there is nothing to add up.
    """
    if not budgets:
        return ()
    low_m = None if profile.low_c is None else milli(profile.low_c)
    high_m = None if profile.high_c is None else milli(profile.high_c)
    used_ms, outside_ms = dict.fromkeys(budgets, 0), 0
    for s in line:
        values = {v for v in (s.low_m, s.high_m) if v is not None}
        out = {v for v in values if (low_m is not None and v < low_m) or (high_m is not None and v > high_m)}
        for budget in budgets:
            if any(budget.holds(v) for v in out):
                used_ms[budget] += s.length_ms
        if any(not any(b.holds(v) for b in budgets) for v in out):
            outside_ms += s.length_ms
    made = [BudgetUse(b.code, used_ms[b] // 1000, b.allowed_s, b.source, b.verified) for b in budgets]
    return (*made, BudgetUse(OUTSIDE_LABEL, outside_ms // 1000, 0, "in none of the bands of the label", True))


def _sum_s(made: Iterable[Segment]) -> int:
    return sum(s.length_ms for s in made) // 1000


def judge_timeline(line: Sequence[Segment], plan: Plan) -> list[RuleFinding]:
    """The findings of a merged timeline: each known stretch is one sample, at its start."""
    walker = Walker(plan, line[0].from_ms if line else 0)
    closed: list[RuleFinding] = []
    held_ms, broken = 0, False
    for s in line:
        if s.known:
            walker.advance(Sample(s.from_ms, s.low_m, s.high_m, s.doubtful, held_ms, _NO_GAP_MS, broken), closed)
            held_ms, broken = s.length_ms, False
        else:
            broken = broken or s.breaks
    found = closed + walker.open_findings(held_ms)
    return sorted(found, key=lambda f: (f.event_ms, f.finding_id))
