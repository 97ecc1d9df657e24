"""A stream's state from all its readings, in bounded memory. Pure.

The past is folded a page at a time and forgotten again; only the newest readings stay points of the state, so that its
size follows from what is open and not from the history. What comes later is judged as if every reading had been taken
in by ``step`` (``tests/alerts/test_rebuild.py`` holds both equal).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from alerts.rules import ReadingFact, RuleFinding, reconcile
from alerts.rules.limits import Plan
from alerts.rules.stream import StreamState, absorb, forget, settle

_PAGE = 4096
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """All readings of one stream in one equipment, in order of time.

    ``device_seq`` is -1 where there is none; ``missing``: no good value.
    """

    t_ms: Whole
    device_seq: Whole
    value_m: Whole
    missing: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A stream's state; what to say so that what was said becomes what stands; which of it is news."""

    state: StreamState
    findings: tuple[RuleFinding, ...]
    news: frozenset[str]


def rebuild(history: History, plan: Plan, said: Iterable[RuleFinding], keep_from_ms: int, now_ms: int) -> Rebuilt:
    """``said``: what was said of the stream and not withdrawn. Points before ``keep_from_ms`` are not kept."""
    state, past = _state_of(history, plan, keep_from_ms)
    settled = settle(StreamState(plan), state, now_ms, {})
    said = list(said)
    findings, news = reconcile(said, [*past, *settled.state.standing()], now_ms)
    known = {f.finding_id: (f.kind.value, f.detected_ms) for f in said}
    dates = {
        i: known[i] if i in known and known[i][0] == kind else (kind, now_ms)
        for i, (kind, _) in settled.state.detected.items()
    }
    return Rebuilt(replace(settled.state, detected=dates), findings, news)


def _state_of(history: History, plan: Plan, keep_from_ms: int) -> tuple[StreamState, list[RuleFinding]]:
    """The state, and what closed before the points that it keeps."""
    state, past = StreamState(plan), list[RuleFinding]()
    moved = _first_times(history)
    order = np.argsort(moved, kind="stable")
    for begin in range(0, order.size, _PAGE):
        chosen = order[begin : begin + _PAGE]
        whole = absorb(state, _facts(history, moved, plan, chosen))
        state = forget(whole, keep_from_ms)
        dropped = len(whole.chunks) - len(state.chunks)
        past += [f for chunk in whole.chunks[:dropped] for f in chunk.closed]
    return state, past


def _first_times(history: History) -> Whole:
    """The same device number at another time is the same reading; its earliest time counts (``rules.facts``)."""
    moved = history.t_ms.copy()
    numbered = np.flatnonzero(history.device_seq >= 0)
    numbers, place = np.unique(history.device_seq[numbered], return_inverse=True)
    first = np.full(numbers.size, np.iinfo(np.int64).max)
    np.minimum.at(first, place, history.t_ms[numbered])
    moved[numbered] = first[place]
    return moved


def _facts(history: History, t_ms: Whole, plan: Plan, chosen: npt.NDArray[np.intp]) -> list[ReadingFact]:
    columns = (t_ms, history.device_seq, history.value_m, history.missing)
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
