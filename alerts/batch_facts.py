"""The readings a batch is judged from, read from disk when they are asked for and kept for one round only."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Protocol

from alerts.exposure import Placement
from alerts.judgement import spans_of
from alerts.memory import Memory
from alerts.rules import ReadingFact

QUANTITIES = frozenset({"temperature_c"})
_FOREVER_MS = 1 << 62
_HELD = 4
_HELD_FACTS = 100_000  # a year of three loggers at 15 minutes; more only for the place that was asked for last


class Facts(Protocol):
    """The readings of the places of a batch, over ``spans_of`` its placements, in time order by place."""

    def of(self, stays: Iterable[Placement]) -> list[ReadingFact]: ...


class KnownThen:
    """What was known at a place of the journal and an id of the audit: for an explanation."""

    def __init__(self, memory: Memory, up_to_offset: int | None = None, up_to_audit: int | None = None) -> None:
        self._memory = memory
        self._offset, self._audit = up_to_offset, up_to_audit

    def of(self, stays: Iterable[Placement]) -> list[ReadingFact]:
        found: list[ReadingFact] = []
        for equipment, (low, high) in sorted(spans_of(stays).items()):
            to_ms = None if high is None else high + 1
            found += self._memory.facts(
                equipment=equipment,
                quantities=QUANTITIES,
                from_ms=low,
                to_ms=to_ms,
                up_to_offset=self._offset,
                up_to_audit=self._audit,
            )
        return found


class Round:
    """What is known now, for one round of judging: batches of one refrigerator share its readings.

    Holds the last four places that were asked for, fewer where they are long; ``end`` lets go of them.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._held: dict[str, tuple[int, int, list[ReadingFact]]] = {}

    def of(self, stays: Iterable[Placement]) -> list[ReadingFact]:
        found: list[ReadingFact] = []
        for equipment, (low, high) in sorted(spans_of(stays).items()):
            found += self._between(equipment, low, _FOREVER_MS if high is None else high + 1)
        return found

    def _between(self, equipment: str, low: int, high: int) -> list[ReadingFact]:
        from_ms, to_ms, facts = self._held.pop(equipment, (low, low, []))
        if low < from_ms or high > to_ms:
            from_ms, to_ms = min(low, from_ms), max(high, to_ms)
            facts = list(self._memory.facts(equipment=equipment, quantities=QUANTITIES, from_ms=from_ms, to_ms=to_ms))
        self._held[equipment] = (from_ms, to_ms, facts)
        while len(self._held) > 1 and (len(self._held) > _HELD or self._count() > _HELD_FACTS):
            del self._held[next(iter(self._held))]
        return facts[bisect_left(facts, low, key=_time) : bisect_left(facts, high, key=_time)]

    def _count(self) -> int:
        return sum(len(facts) for _, _, facts in self._held.values())

    def end(self) -> None:
        self._held.clear()


def _time(fact: ReadingFact) -> int:
    return fact.t_ms
