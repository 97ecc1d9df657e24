"""What the rules said, into the records: once by id, in order, and not lost while the records are away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from alerts.convert import only_longer, record_of, rule_finding_of, with_history
from alerts.equipment import RULES as SENSOR_RULES
from alerts.rules import Kind, RuleFinding
from gateway.records import AlarmState, Finding, Records, Refused, UnknownRecord

log = logging.getLogger(__name__)
_KEEP_ENDED = 10_000


class Sayings:
    """Belongs to one thread. ``take`` keeps findings, ``save`` puts them into the records (NeighbourDownError: again).

    A kill forgets what was taken and not saved; the facts say it again at the next start.
    """

    def __init__(
        self,
        records: Records,
        home: Callable[[str], str | None],
        now_ms: Callable[[], int],
        on_alarm: Callable[[], None],
    ) -> None:
        """``home`` gives an equipment's site, None where it is not registered (any more)."""
        self._records = records
        self._home = home
        self._now_ms = now_ms
        self._on_alarm = on_alarm
        self._said: dict[str, RuleFinding] = {}
        self._taken: list[RuleFinding] = []

    def take(self, findings: Iterable[RuleFinding]) -> None:
        self._taken += findings

    def has_all(self) -> bool:
        """Whether everything that was taken is saved."""
        return not self._taken

    def of(self, equipment: str, stream: str) -> list[RuleFinding]:
        """What stands in the records of a stream, neither withdrawn nor superseded; what is said of sensors aside."""
        self.save()
        kept = (
            rule_finding_of(f)
            for f in self._records.findings(equipment=equipment, standing=True)
            if f.batch is None and f.profile != SENSOR_RULES
        )
        found = [f for f in kept if f.stream_id == stream]
        self._said |= {f.finding_id: f for f in found}
        return found

    def save(self) -> None:
        """Findings into the records, by id. One whose equipment is no longer registered has no site to go to."""
        if not self._taken:
            return
        rows: dict[str, Finding] = {}
        said = dict(self._said)
        for finding in self._taken:
            site, before = self._home(finding.equipment), said.get(finding.finding_id)
            if before is not None:
                finding = with_history(before, finding)
            if site is None or (before is not None and only_longer(before, finding)):
                continue
            rows.pop(finding.finding_id, None)
            rows[finding.finding_id] = record_of(self._unanswered_first(finding), site)
            if finding.kind is Kind.WITHDRAWN:
                said.pop(finding.finding_id, None)
            else:
                said[finding.finding_id] = finding
        if self._put(list(rows.values())):
            self._on_alarm()
        self._said, self._taken = said, []
        self._forget_ended()

    def _forget_ended(self) -> None:
        """What ended long ago is not said again but by a stream made anew, which reads it (``of``)."""
        if len(self._said) > _KEEP_ENDED:
            self._said = {i: f for i, f in self._said.items() if f.end_ms is None}

    def _unanswered_first(self, finding: RuleFinding) -> RuleFinding:
        """Of several findings whose place it takes, one that nobody answered yet leads: its question stays open."""
        if len(finding.supersedes) < 2:
            return finding
        return replace(finding, supersedes=tuple(sorted(finding.supersedes, key=self._is_answered)))

    def _is_answered(self, finding_id: str) -> bool:
        try:
            return self._records.alarm(finding_id).state != AlarmState.OPEN
        except UnknownRecord:
            return True

    def _put(self, rows: Sequence[Finding]) -> bool:
        """Save; True when an alarm opened. A finding that the records refuse is said and does not stop the others."""
        if not rows:
            return False
        try:
            saved = self._records.save_findings(rows, self._now_ms())
        except (Refused, UnknownRecord) as error:
            if len(rows) > 1:
                opened = [self._put([row]) for row in rows]
                return any(opened)
            log.error("finding %s of %s was not recorded: %s", rows[0].id, rows[0].equipment, error)
            return False
        for finding_id in saved.opened:
            log.info("alarm %s", finding_id)
        return bool(saved.opened)
