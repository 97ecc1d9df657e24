"""A stream's state from all its readings, without folding them one by one. Pure.

``alerts.bulk`` walks the past in columns and leaves the walker that ``alerts.rules`` would have there; only the newest
readings are points of the state, so that its size follows from what is open and not from the history. What comes
later is judged as if every reading had been taken in by ``step`` (``tests/alerts/test_rebuild.py`` holds both equal).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np

from alerts.amended import NOTHING_SAID, Amendments, laid_over
from alerts.bulk.judging import closed_by_points, first_of, track_of
from alerts.bulk.pace import Pace
from alerts.bulk.points import Flags, Points, Whole, points_of
from alerts.bulk.walk import walk
from alerts.rules import ReadingFact, RuleFinding, reconcile
from alerts.rules.fold import StreamWalker
from alerts.rules.interval import LEARN_FROM
from alerts.rules.limits import Plan
from alerts.rules.stream import StreamState, absorb, forget, resume, settle


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
class Past:
    """A stream's state, and what closed before the points that it keeps."""

    state: StreamState
    closed: tuple[RuleFinding, ...]

    @property
    def standing(self) -> list[RuleFinding]:
        return [*self.closed, *self.state.standing()]

    def forget(self, before_ms: int) -> Past:
        """With a smaller state; what it forgets is kept as closed."""
        state = forget(self.state, before_ms)
        left = state.detected
        return Past(state, (*self.closed, *(f for f in self.state.standing() if f.finding_id not in left)))


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A stream's state; what to say so that what was said becomes what stands; which of it is news.

    ``marked``: of a stream with marked readings both sides of it, and all that stands of both.
    """

    state: StreamState
    findings: tuple[RuleFinding, ...]
    news: frozenset[str]
    marked: Both | None = None


@dataclass(frozen=True, slots=True)
class Both:
    """A stream as if nothing were marked, and with its marked readings unknown (``alerts.amended.laid_over``).

    ``said``: what stands of both by id, as it was said.
    """

    raw: Past
    counted: Past
    said: Mapping[str, RuleFinding] = field(default_factory=dict)

    def say(self, amended: Amendments, now_ms: int) -> tuple[Both, tuple[RuleFinding, ...], frozenset[str]]:
        """(itself with what stands as said, what to say so that it is, which of it is news)."""
        stands = [amended.named(f) for f in laid_over(self.raw.standing, self.counted.standing)]
        findings, news = reconcile(self.said.values(), stands, now_ms)
        told = {f.finding_id: f for f in findings}
        said = {f.finding_id: told.get(f.finding_id) or self.said[f.finding_id] for f in stands}
        return replace(self, said=said), findings, news


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
    said = list(said)
    counted = _judged(history, plan, keep_from_ms, now_ms, amended)
    if plan.stream_id in amended.marks:
        raw = _judged(history, plan, keep_from_ms, now_ms, amended.unmarked)
        both, findings, news = Both(raw, counted, {f.finding_id: f for f in said}).say(amended, now_ms)
        return Rebuilt(counted.state, findings, news, both)
    findings, news = reconcile(said, [amended.named(f) for f in counted.standing], now_ms)
    known = {f.finding_id: (f.kind.value, f.detected_ms) for f in said}
    dates = {
        i: known[i] if i in known and known[i][0] == kind else (kind, now_ms)
        for i, (kind, _) in counted.state.detected.items()
    }
    return Rebuilt(replace(counted.state, detected=dates), findings, news)


def _judged(history: History, plan: Plan, keep_from_ms: int, now_ms: int, amended: Amendments) -> Past:
    """The stream by what people said of its readings, as of now."""
    value_m, missing = amended.columns(plan.stream_id, history.t_ms, history.value_m, history.missing)
    state, past = _state_of(replace(history, value_m=value_m, missing=missing), plan, keep_from_ms)
    return Past(settle(StreamState(plan), state, now_ms, {}).state, tuple(past))


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
