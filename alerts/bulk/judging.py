"""Judging whole series at once: the findings of ``alerts.rules.judge``, for a year of readings in tenths of a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from alerts.bulk.pace import Pace
from alerts.bulk.points import Points, points_of
from alerts.bulk.walk import Track, beyond, last_known_before, walk
from alerts.rules.facts import Point
from alerts.rules.finding import RuleFinding
from alerts.rules.fold import conflict, silence
from alerts.rules.limits import MIN_GAP_MS, SILENCE_INTERVALS, Plan, Profiles


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
    made = walk(track_of(points, pace, event_driven=plan.event_driven), plan, int(points.t_ms[0]))
    said = [*made.closed, *_conflicts(points, plan)]
    held_ms = 0
    if plan.silence:
        said += _silences(points, pace, plan)
        silent = _silent_now(points, pace, plan, now_ms)
        if silent is not None:
            said.append(silent)
            held_ms = pace.one(len(points) - 1)  # the last reading counts one interval, and no more will come of it
    if plan.event_driven:  # what was said last holds, and fires rules by that
        held_ms = max((at for at in made.due_ms() if at <= now_ms), default=0)
        held_ms -= int(points.t_ms[-1]) if held_ms else 0
    found = {f.finding_id: f for f in (*said, *made.open_findings(held_ms))}
    return [replace(f, detected_ms=now_ms) for f in found.values()]


def track_of(points: Points, pace: Pace, *, event_driven: bool = False) -> Track:
    """The samples of a stream by its gap rule, as ``fold.StreamWalker`` makes them one by one."""
    difference = np.diff(points.t_ms, prepend=points.t_ms[:1])
    if event_driven:
        gap_ms = held_ms = difference
    else:
        since = _since_known(points)
        gap_ms = pace.gaps((difference > MIN_GAP_MS) | (since > MIN_GAP_MS), shift=1)
        held_ms = difference.copy()
        over = np.flatnonzero(difference > gap_ms)
        held_ms[over] = pace.at(over - 1)
    return Track(points.t_ms, points.low_m, points.high_m, points.known, points.unknown, held_ms, gap_ms)


def _since_known(points: Points) -> npt.NDArray[np.int64]:
    """How long before each point the last one stands that is surely known; a threshold may know of a later one."""
    before = last_known_before(points.known & ~points.unknown)
    return points.t_ms - points.t_ms[np.maximum(before, 0)]


def _out_somewhere(points: Points, plan: Plan, i: int) -> bool:
    one = points.part(i, i + 1)
    return any(bool(beyond(t, one.low_m, one.high_m, one.known)[0]) for t in plan.thresholds)


def _silences(points: Points, pace: Pace, plan: Plan) -> list[RuleFinding]:
    places, intervals = pace.silences()
    return [
        silence(plan, int(points.t_ms[i - 1]), interval, _out_somewhere(points, plan, i - 1), int(points.t_ms[i]))
        for i, interval in zip(places.tolist(), intervals.tolist(), strict=True)
    ]


def _conflicts(points: Points, plan: Plan) -> list[RuleFinding]:
    times = points.t_ms[points.conflict].tolist()
    return [conflict(plan, Point(t_ms, (), None, None, unknown=False, conflict=True)) for t_ms in times]


def _silent_now(points: Points, pace: Pace, plan: Plan, now_ms: int) -> RuleFinding | None:
    last = len(points) - 1
    interval, last_ms = pace.one(last), int(points.t_ms[last])
    if now_ms < last_ms + SILENCE_INTERVALS * interval + plan.held_back_ms:
        return None
    return silence(plan, last_ms, interval, _out_somewhere(points, plan, last), None)
