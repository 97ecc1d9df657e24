"""Judging whole series at once: the findings of ``alerts.rules.judge``, for a year of readings in tenths of a second."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from alerts.bulk.pace import Pace
from alerts.bulk.points import Points, points_of
from alerts.bulk.walk import Track, beyond, last_known_before, walk
from alerts.rules.finding import RuleFinding
from alerts.rules.fold import StreamWalker, conflict, silence
from alerts.rules.limits import MIN_GAP_MS, Plan, Profiles, Threshold
from alerts.rules.stream import Chunk, StreamState, settle


def judge_series(
    t_ms: npt.ArrayLike,
    value_m: npt.ArrayLike,
    plan: Plan,
    now_ms: int,
    *,
    missing: npt.ArrayLike | None = None,
    device_seq: npt.ArrayLike | None = None,
) -> list[RuleFinding]:
    """The findings of one stream, from columns (``points_of`` says what they are), in order of event."""
    return _ordered(judge_points(points_of(t_ms, value_m, missing, device_seq), plan, now_ms))


def judge_all(streams: Mapping[tuple[str, str], Points], profiles: Profiles, now_ms: int) -> list[RuleFinding]:
    """What ``alerts.rules.judge`` says of the same readings. ``streams``: (equipment, stream) -> points."""
    found: list[RuleFinding] = []
    for key, points in streams.items():
        found += judge_points(points, profiles.plan(*key), now_ms)
    return _ordered(found)


def _ordered(found: list[RuleFinding]) -> list[RuleFinding]:
    return sorted(found, key=lambda f: (f.event_ms, f.finding_id))


def judge_points(points: Points, plan: Plan, now_ms: int) -> list[RuleFinding]:
    """The findings of one stream, in no order."""
    if not len(points):
        return []
    pace = Pace(points.t_ms, plan.interval_ms)
    closed = closed_by_points(points, pace, plan)
    walker = walk(track_of(points, pace, event_driven=plan.event_driven), plan, first_of(points, plan), closed)
    # From here on the engine itself: what the clock alone says, and what stands open.
    last = points.point(len(points) - 1)
    end = StreamWalker(walker, pace.learner(), last)
    state = StreamState(plan, (Chunk((last,), end, end, tuple(closed)),))
    return settle(StreamState(plan), state, now_ms).state.standing()


def closed_by_points(points: Points, pace: Pace, plan: Plan) -> list[RuleFinding]:
    """What the points say by themselves: conflicts, and silences that ended."""
    return [*_conflicts(points, plan), *(_silences(points, pace, plan) if plan.silence else ())]


def first_of(points: Points, plan: Plan) -> int:
    """The stream's first reading, for settling times; 0 where no rule asks for it, as the engine has it."""
    return int(points.t_ms[0]) if any(t.ignore_first_ms for t in plan.thresholds) else 0


def track_of(points: Points, pace: Pace, *, event_driven: bool = False) -> Track:
    """The samples of a stream by its gap rule, as ``fold.StreamWalker`` makes them one by one."""
    difference = np.diff(points.t_ms, prepend=points.t_ms[:1])
    lost = np.zeros(len(points), dtype=np.bool_)
    if event_driven:
        gap_ms = held_ms = difference
    else:
        gap_ms = pace.gaps((difference > MIN_GAP_MS) | (_since_known(points) > MIN_GAP_MS), shift=1)
        held_ms = difference.copy()
        over = np.flatnonzero(difference > gap_ms)
        held_ms[over] = pace.at(over - 1)
        silent = pace.silences()[0]
        lost[silent] = difference[silent] > gap_ms[silent]
    return Track(points.t_ms, points.low_m, points.high_m, points.known, points.unknown, held_ms, gap_ms, None, lost)


def _since_known(points: Points) -> npt.NDArray[np.int64]:
    """How long before each point the last one stands that is surely known; a threshold may know of a later one."""
    before = last_known_before(points.known & ~points.unknown)
    return points.t_ms - points.t_ms[np.maximum(before, 0)]


def _limits_before(points: Points, plan: Plan, i: int) -> tuple[Threshold, ...]:
    """The limits in force when the point before ``i`` had been taken."""
    past = [now for at_ms, now in plan.changes if i > 0 and at_ms <= points.t_ms[i - 1]]
    return past[-1] if past else plan.thresholds


def _silences(points: Points, pace: Pace, plan: Plan) -> list[RuleFinding]:
    out: list[RuleFinding] = []
    places, intervals = pace.silences()
    for i, interval in zip(places.tolist(), intervals.tolist(), strict=True):
        limits, before = _limits_before(points, plan, i), points.part(i - 1, i)
        beyond_one = any(bool(beyond(t, before.low_m, before.high_m, before.known)[0]) for t in limits)
        out.append(silence(plan, limits, int(before.t_ms[0]), interval, beyond_one, int(points.t_ms[i])))
    return out


def _conflicts(points: Points, plan: Plan) -> list[RuleFinding]:
    places = np.flatnonzero(points.conflict).tolist()
    return [conflict(plan, _limits_before(points, plan, i), points.point(i)) for i in places]
