"""What people said of readings, laid over the readings when they are judged (decision 0029). Pure.

    readings as they came (kept, raw) ─┐
    people: corrections by date ───────┴─▶ Amendments ─▶ values that the rules judge ─▶ findings that name them

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
CORRECTED = "corrected_c"
"""The detail by which a finding names the corrections of the values it rests on."""


@dataclass(frozen=True, slots=True)
class Amendments:
    """``corrections``: stream -> its corrections, oldest date first, one for each date."""

    corrections: Mapping[str, tuple[Correction, ...]] = field(default_factory=dict)

    def of(self, stream: str) -> tuple[Correction, ...]:
        """All that was said of a stream's readings: two that are equal judge it the same."""
        return self.corrections.get(stream, ())

    def fact(self, fact: ReadingFact) -> ReadingFact:
        """A reading as the rules judge it."""
        if not self.of(fact.stream_id):
            return fact
        return replace(fact, value_c=self.value_c(fact.stream_id, fact.t_ms, fact.value_c))

    def value_c(self, stream: str, t_ms: int, value_c: Decimal | None) -> Decimal | None:
        """What counts of a value that a sensor said."""
        return None if value_c is None else corrected(value_c, t_ms, self.of(stream)).value_c

    def facts(self, facts: Iterable[ReadingFact]) -> list[ReadingFact]:
        return [self.fact(f) for f in facts] if self.corrections else list(facts)

    def values_m(self, stream: str, t_ms: Whole, value_m: Whole) -> Whole:
        """``fact`` for a whole stream: thousandths of a degree at these times."""
        told = self.corrections.get(stream)
        if told is None:
            return value_m
        offsets = np.array([0, *(milli(c.offset_c) for c in told)], dtype=np.int64)
        return value_m + offsets[np.searchsorted([c.from_ms for c in told], t_ms, side="right")]

    def named(self, finding: RuleFinding, streams: Iterable[str] = ()) -> RuleFinding:
        """The finding, naming the corrections that were in force in it.

        ``streams``: of a finding that is of no single stream, those it is made of.
        """
        if finding.limit_c is None or not self.corrections:
            return finding
        if finding.stream_id:
            said = self._in_force(finding.stream_id, finding)
        else:
            of = {s: self._in_force(s, finding) for s in sorted(set(streams))}
            said = [f"{s} {offset}" for s, offsets in of.items() for offset in offsets]
        return replace(finding, details=(*finding.details, (CORRECTED, ", ".join(said)))) if said else finding

    def _in_force(self, stream: str, finding: RuleFinding) -> list[str]:
        """The offsets other than none, from its first reading to its last."""
        told = self.of(stream)
        last_ms = finding.event_ms if finding.readings is None else finding.readings.last_ms
        ends = (*(c.from_ms for c in told[1:]), last_ms + 1)
        return (
            [
                f"{c.offset_c:+}"
                for c, to_ms in zip(told, ends, strict=True)
                if c.offset_c and c.from_ms <= last_ms and to_ms > finding.episode_start_ms
            ]
            if told
            else []
        )


NOTHING_SAID = Amendments()
