"""What people said of readings, laid over the readings when they are judged (decision 0029). Pure.

    readings as they came (kept, raw) ─┬─▶ corrected ───────────────────▶ rules ─▶ raw findings ────┐
    people: corrections, marks ────────┴─▶ corrected, marked is unknown ▶ rules ─▶ counted findings ┴▶ laid_over ─▶ named

The readings stay as they are. What the rules judge is a function of both, so that a correction which is entered late,
or dated in the past, changes what is said like any late reading does. A correction changes values. A mark takes no value
away: what was beyond a limit in marked readings stays said, as possible (``laid_over``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from alerts.equipment.calibration import Correction, corrected
from alerts.rules.facts import ReadingFact, milli
from alerts.rules.finding import Kind, RuleFinding

Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
CORRECTED, NOT_COUNTED = "corrected_c", "not_counted"
"""The details by which a finding names the corrections of the values it rests on, and how many marks lie in it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A person's word that the readings in [from, to) are not to be counted: they are unknown, whatever they say."""

    from_ms: int
    to_ms: int
    said_by: str = ""


Spans = tuple[tuple[int, int], ...]
"""[from, to), in order of time, apart from each other."""


@dataclass(frozen=True, slots=True)
class Amendments:
    """``corrections``: stream -> its corrections, oldest date first, one for each date.

    ``marks``: stream -> its marks, by time; at least one. ``marked``: the same as spans, those that overlap joined.
    """

    corrections: Mapping[str, tuple[Correction, ...]] = field(default_factory=dict)
    marks: Mapping[str, tuple[Mark, ...]] = field(default_factory=dict)
    marked: Mapping[str, Spans] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "marked", {s: _joined(rows) for s, rows in self.marks.items()})

    @property
    def unmarked(self) -> Amendments:
        """The corrections alone: by them the raw findings are found (``laid_over``)."""
        return Amendments(self.corrections)

    def of(self, stream: str) -> tuple[tuple[Correction, ...], tuple[Mark, ...]]:
        """All that was said of a stream's readings: two that are equal judge it the same."""
        return self.corrections.get(stream, ()), self.marks.get(stream, ())

    def fact(self, fact: ReadingFact) -> ReadingFact:
        """A reading as the rules judge it."""
        if fact.stream_id not in self.corrections and fact.stream_id not in self.marks:
            return fact
        value_c = self.value_c(fact.stream_id, fact.t_ms, fact.value_c)
        # Not ``replace``, which takes ten times as long: a verdict may rest on a year of minutes.
        return ReadingFact(
            fact.equipment, fact.stream_id, fact.t_ms, value_c, fact.quality, fact.device_seq, fact.variant
        )

    def value_c(self, stream: str, t_ms: int, value_c: Decimal | None) -> Decimal | None:
        """What counts of a value that a sensor said; None: nothing, that time is unknown."""
        return None if value_c is None or self.is_marked(stream, t_ms) else self.corrected_c(stream, t_ms, value_c)

    def corrected_c(self, stream: str, t_ms: int, value_c: Decimal) -> Decimal:
        """The value by the correction in force, marked or not."""
        corrections = self.corrections.get(stream, ())
        due = bisect_right(corrections, t_ms, key=_from_ms)
        return corrected(value_c, t_ms, corrections[due - 1 : due]).value_c if due else value_c

    def is_marked(self, stream: str, t_ms: int) -> bool:
        """Whether a reading of this instant is not to be counted."""
        spans = self.marked.get(stream, ())
        i = bisect_right(spans, t_ms, key=_begin) - 1
        return i >= 0 and t_ms < spans[i][1]

    def facts(self, facts: Iterable[ReadingFact]) -> list[ReadingFact]:
        return [self.fact(f) for f in facts] if self.corrections or self.marks else list(facts)

    def columns(self, stream: str, t_ms: Whole, value_m: Whole, missing: Flags) -> tuple[Whole, Flags]:
        """``fact`` for a whole stream: thousandths of a degree at these times, and where nothing counts."""
        corrections = self.corrections.get(stream, ())
        if corrections:
            offsets = np.array([0, *(milli(c.offset_c) for c in corrections)], dtype=np.int64)
            value_m = value_m + offsets[np.searchsorted([c.from_ms for c in corrections], t_ms, side="right")]
        if stream in self.marked:
            missing = missing | within(self.marked[stream], t_ms)
        return value_m, missing

    def named(self, finding: RuleFinding, spans: Iterable[tuple[str, int, int]] = ()) -> RuleFinding:
        """The finding, naming the corrections that were in force in it and how many marks lie in it.

        ``spans``: of a finding that is of no single stream, the (stream, from, to) that it is made of, both ends included.
        """
        if finding.limit_c is None or not (self.corrections or self.marks):
            return finding
        from_ms, last_ms = finding.episode_start_ms, _last_ms(finding)
        of = [(finding.stream_id, from_ms, last_ms)]
        if not finding.stream_id:
            parts = ((s, max(low, from_ms), min(high, last_ms)) for s, low, high in spans)
            of = [part for part in parts if part[1] <= part[2]]
        said = {
            (s, offset if finding.stream_id else f"{s} {offset}"): None
            for s, low, high in of
            for offset in self._offsets(s, low, high)
        }
        told = {(s, m) for s, low, high in of for m in self.marks.get(s, ()) if m.from_ms <= high and m.to_ms > low}
        details = [(CORRECTED, ", ".join(text for _, text in said))] if said else []
        details += [(NOT_COUNTED, str(len(told)))] if told else []
        return replace(finding, details=(*finding.details, *details)) if details else finding

    def _offsets(self, stream: str, from_ms: int, last_ms: int) -> list[str]:
        """The offsets other than none that were in force in a span, its ends included."""
        told = self.corrections.get(stream, ())
        ends = [*(c.from_ms for c in told[1:]), last_ms + 1]
        return [
            f"{c.offset_c:+}"
            for c, to_ms in zip(told, ends, strict=False)
            if c.offset_c and c.from_ms <= last_ms and to_ms > from_ms
        ]


def _last_ms(finding: RuleFinding) -> int:
    """Until when a finding speaks of readings: of an episode that is over, until the reading that ended it."""
    if finding.end_ms is not None:
        return finding.end_ms
    return finding.event_ms if finding.readings is None else finding.readings.last_ms


def _joined(marks: Sequence[Mark]) -> Spans:
    made: list[tuple[int, int]] = []
    for from_ms, to_ms in sorted((m.from_ms, m.to_ms) for m in marks):
        if made and from_ms <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], to_ms))
        else:
            made.append((from_ms, to_ms))
    return tuple(made)


def within(spans: Spans, t_ms: Whole) -> Flags:
    """Which of these instants lie in one of the spans."""
    begins, ends = (np.array([span[i] for span in spans], dtype=np.int64) for i in (0, 1))
    i = np.searchsorted(begins, t_ms, side="right") - 1
    return np.asarray((i >= 0) & (t_ms < ends[np.maximum(i, 0)]), dtype=np.bool_)


def _from_ms(correction: Correction) -> int:
    return correction.from_ms


def _begin(span: tuple[int, int]) -> int:
    return span[0]


# --- what a mark leaves of a finding --------------------------------------------------------------------------------

UNKNOWN_TIME = "unknown_time"
"""The reason of what is possible because some of its time is unknown (``alerts.rules.fold`` says the same)."""
_FOREVER_MS = 1 << 62


def laid_over(raw: Iterable[RuleFinding], counted: Iterable[RuleFinding]) -> list[RuleFinding]:
    """What stands where readings are marked, in order of event: a mark takes no more away than "confirmed" to "possible".

    ``raw``: the findings as if nothing were marked. ``counted``: those with marked readings unknown. All of ``counted``
    stand. One of ``raw`` that none of these goes on for, to its end, stays as possible: under its own id where it has
    none any more, else by the other, which then ends when the raw one does. What is of no limit (silence, a conflict) is
    of the instrument and stays as it was.
    """
    out = {f.finding_id: f for f in counted if f.limit_c is not None}
    by_rule: dict[tuple[str, str], list[RuleFinding]] = {}
    for f in out.values():
        by_rule.setdefault((f.code, f.profile), []).append(f)
    for f in raw:
        if f.limit_c is None:
            out[f.finding_id] = f
        elif not any(_goes_on_for(g, f) for g in by_rule.get((f.code, f.profile), ())):
            out[f.finding_id] = _possible(f, out.get(f.finding_id))
    return sorted(out.values(), key=lambda f: (f.event_ms, f.finding_id))


def _goes_on_for(counted: RuleFinding, raw: RuleFinding) -> bool:
    """Whether a finding is of the same excursion as a raw one, and lasts as long."""
    ends_ms, raw_ends_ms = (_FOREVER_MS if f.end_ms is None else f.end_ms for f in (counted, raw))
    return counted.episode_start_ms <= raw_ends_ms <= ends_ms and raw.episode_start_ms <= ends_ms


def _possible(raw: RuleFinding, counted: RuleFinding | None) -> RuleFinding:
    """A raw finding as what it may be; ``counted``: what is known of it without the marked readings."""
    if counted is None:
        return replace(raw, kind=Kind.POSSIBLE, reason=raw.reason or UNKNOWN_TIME)
    unknown_s = max(counted.unknown_s, raw.known_s + raw.unknown_s - counted.known_s)
    return replace(counted, end_ms=raw.end_ms, unknown_s=unknown_s, reason=raw.reason or UNKNOWN_TIME)


NOTHING_SAID = Amendments()
