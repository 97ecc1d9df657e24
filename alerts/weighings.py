"""Weighings pass through alerts into the records: by id, and dated when an anchor is found; and what scales refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from alerts.memory import Memory
from gateway.records import Records, Refused, ScaleRefusal, UnknownRecord, WeighingRecord

log = logging.getLogger(__name__)


class Weighings:
    """Belongs to one thread. ``save`` may raise NeighbourDownError: call again. A kill: the journal is read again."""

    def __init__(self, records: Records, memory: Memory, now_ms: Callable[[], int]) -> None:
        self._records = records
        self._memory = memory
        self._now_ms = now_ms
        self._taken: list[WeighingRecord] = []
        self._refusals: list[ScaleRefusal] = []

    def take(self, weighings: Iterable[WeighingRecord], refusals: Iterable[ScaleRefusal] = ()) -> None:
        self._taken += weighings
        self._refusals += refusals

    def has_all(self) -> bool:
        """Whether everything that was taken is saved."""
        return not self._taken and not self._refusals

    def save(self) -> None:
        self._put(self._taken)
        self._taken = []
        self._tell(self._refusals)
        self._refusals = []
        self._date()

    def _tell(self, refusals: Sequence[ScaleRefusal]) -> None:
        """Into the records, by id. One that they cannot hold (a NUL in its words) stays in the journal, and is said."""
        try:
            self._records.save_scale_refusals(refusals, self._now_ms())
        except Refused as error:
            if len(refusals) == 1:
                log.error("what scale %.80r refused was not recorded: %s", refusals[0].device, error)
                return
            for refusal in refusals:
                self._tell([refusal])

    def _put(self, weighings: Sequence[WeighingRecord]) -> None:
        """Into the records, by id. One that the records refuse stays in the journal alone, and is said."""
        if not weighings:
            return
        try:
            saved = self._records.save_weighings(weighings, self._now_ms())
        except (Refused, UnknownRecord, UnicodeError) as error:
            if len(weighings) == 1:
                log.error("weighing %.80r was not recorded: %s", weighings[0].id, error)
                return
            for weighing in weighings:
                self._put([weighing])
            return
        for weighing_id in saved.conflicts:
            log.error("weighing %s came again with another weight; the first one stays", weighing_id)

    def _date(self) -> None:
        """Give the records the times that anchors found since; marked after, so that a kill loses none."""
        for weighing_id, t_ms in self._memory.dated_weighings():
            try:
                kept = self._records.weighing(weighing_id)
            except UnknownRecord:
                log.error("weighing %s has a time now and is not in the records", weighing_id)
            else:
                self._put([replace(kept, t_ms=t_ms)])
            with self._memory.transaction():
                self._memory.weighing_done(weighing_id)
