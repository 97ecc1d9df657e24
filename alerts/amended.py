"""What people said of readings, laid over the readings when they are judged (decision 0029). Pure.

    readings as they came (kept, raw) ─┐
    people: corrections, marks ────────┴─▶ Amendments ─▶ values that the rules judge ─▶ findings that name them

The readings stay as they are. What the rules judge is a function of both, so that a correction which is entered late,
or dated in the past, changes what is said like any late reading does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from alerts.equipment.calibration import Correction, corrected
from alerts.rules.facts import ReadingFact, milli
from alerts.rules.finding import RuleFinding

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


@dataclass(frozen=True, slots=True)
class Amendments:
    """``corrections``: stream -> its corrections, oldest date first, one for each date.

    ``marks``: stream -> its marks, by time.
    """

    corrections: Mapping[str, tuple[Correction, ...]] = field(default_factory=dict)
    marks: Mapping[str, tuple[Mark, ...]] = field(default_factory=dict)

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
        corrections, marks = self.of(stream)
        if value_c is None or (marks and any(m.from_ms <= t_ms < m.to_ms for m in marks)):
            return None
        return corrected(value_c, t_ms, corrections).value_c if corrections else value_c

    def facts(self, facts: Iterable[ReadingFact]) -> list[ReadingFact]:
        return [self.fact(f) for f in facts] if self.corrections or self.marks else list(facts)

    def columns(self, stream: str, t_ms: Whole, value_m: Whole, missing: Flags) -> tuple[Whole, Flags]:
        """``fact`` for a whole stream: thousandths of a degree at these times, and where nothing counts."""
        corrections, marks = self.of(stream)
        if corrections:
            offsets = np.array([0, *(milli(c.offset_c) for c in corrections)], dtype=np.int64)
            value_m = value_m + offsets[np.searchsorted([c.from_ms for c in corrections], t_ms, side="right")]
        for m in marks:
            missing = missing | ((t_ms >= m.from_ms) & (t_ms < m.to_ms))
        return value_m, missing

    def named(self, finding: RuleFinding, streams: Iterable[str] = ()) -> RuleFinding:
        """The finding, naming the corrections that were in force in it and how many marks lie in it.

        ``streams``: of a finding that is of no single stream, those it is made of.
        """
        if finding.limit_c is None or not (self.corrections or self.marks):
            return finding
        of = [finding.stream_id] if finding.stream_id else sorted(set(streams))
        from_ms, last_ms = finding.episode_start_ms, _last_ms(finding)
        said = [
            offset if finding.stream_id else f"{s} {offset}"
            for s in of
            for offset in self._offsets(s, from_ms, last_ms)
        ]
        marked = sum(m.from_ms <= last_ms and m.to_ms > from_ms for s in of for m in self.marks.get(s, ()))
        details = [(CORRECTED, ", ".join(said))] if said else []
        details += [(NOT_COUNTED, str(marked))] if marked else []
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


NOTHING_SAID = Amendments()
