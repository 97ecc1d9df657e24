"""A stream's state from all its readings, without folding them one by one. Pure.

``alerts.bulk`` walks the past in columns and leaves the walker that ``alerts.rules`` would have there; only the newest
readings are points of the state, so that its size follows from what is open and not from the history. What comes
later is judged as if every reading had been taken in by ``step`` (``tests/alerts/test_rebuild.py`` holds both equal).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from alerts.amended import NOTHING_SAID, Amendments
from alerts.bulk.judging import closed_by_points, first_of, track_of
from alerts.bulk.pace import Pace
from alerts.bulk.points import Flags, Points, Whole, points_of
from alerts.bulk.walk import walk
from alerts.rules import ReadingFact, RuleFinding, reconcile
from alerts.rules.fold import StreamWalker
from alerts.rules.interval import LEARN_FROM
from alerts.rules.limits import Plan
from alerts.rules.stream import StreamState, absorb, resume, settle


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """All readings of one stream in one equipment, in order of time.

    ``device_seq`` is -1 where there is none; ``missing``: no good value.
    """

    t_ms: Whole
    device_seq: Whole
    value_m: Whole
    missing: Flags


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A stream's state; what to say so that what was said becomes what stands; which of it is news."""

    state: StreamState
    findings: tuple[RuleFinding, ...]
    news: frozenset[str]


def rebuild(
    history: History,
    plan: Plan,
    said: Iterable[RuleFinding],
    keep_from_ms: int,
    now_ms: int,
    amended: Amendments = NOTHING_SAID,
) -> Rebuilt:
    """``said``: what was said of the stream and not withdrawn. Points before ``keep_from_ms`` are not kept.

    ``amended``: what people said of its readings.
    """
    value_m, missing = amended.columns(plan.stream_id, history.t_ms, history.value_m, history.missing)
    history = replace(history, value_m=value_m, missing=missing)
    state, past = _state_of(history, plan, keep_from_ms)
    settled = settle(StreamState(plan), state, now_ms, {})
    said = list(said)
    findings, news = reconcile(said, [amended.named(f) for f in (*past, *settled.state.standing())], now_ms)
    known = {f.finding_id: (f.kind.value, f.detected_ms) for f in said}
    dates = {
        i: known[i] if i in known and known[i][0] == kind else (kind, now_ms)
        for i, (kind, _) in settled.state.detected.items()
    }
    return Rebuilt(replace(settled.state, detected=dates), findings, news)


def _state_of(history: History, plan: Plan, keep_from_ms: int) -> tuple[StreamState, list[RuleFinding]]:
    """The state, and what closed before the points that it keeps."""
    points = points_of(history.t_ms, history.value_m, history.missing, history.device_seq)
    cut = min(int(np.searchsorted(points.t_ms, keep_from_ms)), len(points) - 1)
    if cut <= LEARN_FROM + 1:
        return absorb(StreamState(plan), _facts(history, plan, np.ones(history.t_ms.size, dtype=np.bool_))), []
    start, past = _walked(points.part(0, cut), plan)
    return resume(
        plan, start, start.learner.warm, _facts(history, plan, _after(history, int(points.t_ms[cut])))
    ), past


def _after(history: History, cut_ms: int) -> Flags:
    """The readings from ``cut_ms`` on; a device's number that was first said before is a reading of before."""
    numbered = history.device_seq >= 0
    gone = history.device_seq[numbered & (history.t_ms < cut_ms)]
    return (history.t_ms >= cut_ms) & ~(numbered & np.isin(history.device_seq, gone))


def _walked(head: Points, plan: Plan) -> tuple[StreamWalker, list[RuleFinding]]:
    """The walker after these points, and what closed in them."""
    pace = Pace(head.t_ms, plan.interval_ms)
    past = closed_by_points(head, pace, plan)
    walker = walk(track_of(head, pace, event_driven=plan.event_driven), plan, first_of(head, plan), past)
    return StreamWalker(walker, pace.learner(), head.point(len(head) - 1)), past


def _facts(history: History, plan: Plan, chosen: Flags) -> list[ReadingFact]:
    columns = (history.t_ms, history.device_seq, history.value_m, history.missing)
    rows = zip(*(column[chosen].tolist() for column in columns), strict=True)
    return [
        ReadingFact(
            plan.equipment,
            plan.stream_id,
            at_ms,
            None if missing else Decimal(value_m).scaleb(-3),
            device_seq=None if seq < 0 else seq,
        )
        for at_ms, seq, value_m, missing in rows
    ]
