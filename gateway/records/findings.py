"""Findings with all their states, and the alarms that people answer.

An alarm is open until a person acknowledges it, and closed when it is both acknowledged and over. A finding that is
withdrawn, or superseded by one that is not, asks nobody any more: its alarm closes, its history stays. If it comes
back, or turns from possible to confirmed, the alarm opens again. A finding that takes the place of an answered one
(the episode only moved) keeps the answer; one that grew over an unanswered one (late facts joined them) loses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import func, insert, or_, select

from gateway.records import tables
from gateway.records.canonical import canonical
from gateway.records.errors import Code, Refused
from gateway.records.kinds import ALARM, FINDING
from gateway.records.model import (
    Actor,
    Alarm,
    AlarmRow,
    AlarmState,
    Change,
    Finding,
    FindingKind,
    FindingState,
    SavedFindings,
)
from gateway.records.part import Part, chunks, equal
from gateway.records.states import state_of
from gateway.records.tx import Act, Tx

ALERTS = Actor.system("alerts")


class FindingsPart(Part):
    """What the rules found, and what people answered."""

    def save_findings(self, findings: Sequence[Finding], at_ms: int, actor: Actor = ALERTS) -> SavedFindings:
        """Keep findings by id; the same finding again changes nothing.

        ``detected_ms`` of the first saving stays; every other difference is a new state in the history. ``opened``
        of the answer are the alarms to tell people of. Raises Refused(BROKEN_REFERENCE) for an unknown site,
        equipment or batch.
        """
        done: dict[Change, list[str]] = {change: [] for change in Change}
        opened: list[str] = []
        with self._write() as tx:
            tx.lock_site(*{f.site for f in findings})
            waiting = _waiting(tx, {f.id for f in findings if f.kind == FindingKind.WITHDRAWN})
            for finding in findings:
                done[_save(tx, finding, at_ms, actor, opened)].append(finding.id)
            for alarm in waiting:
                _hand_on(tx, alarm, Act(actor, f"joined with {alarm.finding}, which nobody answered", at_ms), opened)
        return SavedFindings(
            tuple(done[Change.CREATED]), tuple(done[Change.CHANGED]), tuple(done[Change.UNCHANGED]), tuple(opened)
        )

    def finding(self, finding_id: str) -> Finding:
        return self._need(FINDING, finding_id)

    def findings(
        self,
        site: str | None = None,
        equipment: str | None = None,
        batch: str | None = None,
        *,
        from_ms: int | None = None,
        to_ms: int | None = None,
        lasting_ms: int | None = None,
        standing: bool = False,
        limit: int | None = None,
    ) -> list[Finding]:
        """Newest event first. ``standing``: only those neither withdrawn nor superseded; ``lasting_ms``: only those
        that were met or went on at that time or later.
        """
        c = FINDING.table.c
        where = [*equal(FINDING, site=site, equipment=equipment, batch=batch)]
        if from_ms is not None:
            where.append(c.event_ms >= from_ms)
        if to_ms is not None:
            where.append(c.event_ms < to_ms)
        if lasting_ms is not None:
            where.append(or_(c.event_ms >= lasting_ms, c.end_ms.is_(None), c.end_ms >= lasting_ms))
        if standing:
            where += [c.kind != FindingKind.WITHDRAWN, c.superseded_by.is_(None)]
        return self._all(FINDING, *where, order_by=(c.event_ms.desc(), c.id), limit=limit)

    def finding_history(self, finding_id: str) -> list[FindingState]:
        """All states of a finding, oldest first."""
        h = tables.finding_history
        query = select(h).where(h.c.finding == finding_id).order_by(h.c.number)
        with self._db.read() as connection:
            rows = connection.execute(query).all()
        return [FindingState(r.finding, r.number, r.at_ms, state_of(r.state)) for r in rows]

    def alarm(self, finding_id: str) -> Alarm:
        """The alarm of a finding; raises UnknownRecord when it does not alarm."""
        return _joined(self._need(FINDING, finding_id), self._need(ALARM, finding_id))

    def alarms(
        self, site: str | None = None, states: Iterable[AlarmState | str] | None = None, limit: int | None = None
    ) -> list[Alarm]:
        """Newest first."""
        c = ALARM.table.c
        where = [*equal(ALARM, site=site)]
        if states is not None:
            where.append(c.state.in_([AlarmState(s) for s in states]))
        with self._db.read():
            rows = self._all(ALARM, *where, order_by=(c.opened_ms.desc(), c.finding), limit=limit)
            by_id = {
                f.id: f
                for part in chunks([r.finding for r in rows])
                for f in self._all(FINDING, FINDING.table.c.id.in_(part))
            }
        return [_joined(by_id[row.finding], row) for row in rows]

    def alarms_of(self, findings: Iterable[Finding]) -> list[Alarm]:
        """The alarms of these findings; of those that do not alarm there is none."""
        by_id = {f.id: f for f in findings}
        rows = [row for part in chunks(list(by_id)) for row in self._all(ALARM, ALARM.table.c.finding.in_(part))]
        return [_joined(by_id[row.finding], row) for row in rows]

    def open_alarms(self, site: str | None = None) -> list[Alarm]:
        """Alarms that wait for a person's answer, newest first."""
        return self.alarms(site, (AlarmState.OPEN,))

    def acknowledge(self, finding_id: str, actor: Actor, comment: str, at_ms: int) -> Alarm:
        """A person answers an alarm, with a word. Raises UnknownRecord, Refused."""
        _person_with_words(actor, comment)
        with self._write() as tx:
            alarm = _locked(tx, finding_id)
            if alarm.acknowledged_by is not None:
                raise Refused(
                    Code.ALREADY_ACKNOWLEDGED, f"{alarm.acknowledged_by} answered at {alarm.acknowledged_ms}"
                )
            if alarm.state == AlarmState.CLOSED:
                raise Refused(Code.ALARM_CLOSED, "its finding was withdrawn or superseded")
            answered = replace(alarm, acknowledged_by=actor.name, acknowledged_ms=at_ms, comment=comment.strip())
            act = Act(actor, comment, at_ms)
            tx.put(ALARM, _settled(answered, at_ms), act, action="alarm_acknowledged")
            return _joined(tx.need(FINDING, finding_id), tx.need(ALARM, finding_id))

    def resolve(self, finding_id: str, actor: Actor, comment: str, at_ms: int) -> Alarm:
        """A person says that the trouble is over (where no reading will: a lost device). Needs a word."""
        _person_with_words(actor, comment)
        with self._write() as tx:
            alarm = _locked(tx, finding_id)
            if alarm.state == AlarmState.CLOSED:
                raise Refused(Code.ALARM_CLOSED, "it is closed already")
            over = _settled(replace(alarm, resolved_ms=at_ms), at_ms)
            tx.put(ALARM, over, Act(actor, comment, at_ms), action="alarm_resolved")
            return _joined(tx.need(FINDING, finding_id), tx.need(ALARM, finding_id))


def _person_with_words(actor: Actor, comment: str) -> None:
    if actor.is_system:
        raise Refused(Code.PERSON_REQUIRED, "an alarm is answered by a person", field="actor")
    if not comment.strip():
        raise Refused(Code.COMMENT_REQUIRED, "say what you saw or did", field="comment")


def _locked(tx: Tx, finding_id: str) -> AlarmRow:
    tx.lock_site(tx.need(ALARM, finding_id).site)
    return tx.need(ALARM, finding_id)


def _joined(finding: Finding, row: AlarmRow) -> Alarm:
    return Alarm(
        finding,
        row.state,
        row.opened_ms,
        row.acknowledged_by,
        row.acknowledged_ms,
        row.comment,
        row.resolved_ms,
        row.closed_ms,
    )


# --- saving ---------------------------------------------------------------------------------------------------


def _save(tx: Tx, finding: Finding, at_ms: int, actor: Actor, opened: list[str]) -> Change:
    old = tx.get(FINDING, finding.id)
    new = replace(
        finding,
        detected_ms=finding.detected_ms if old is None else old.detected_ms,
        superseded_by=_superseder(tx, finding.id),
    )
    act = Act(actor, _why(old, new), at_ms)
    change = tx.put(FINDING, new, act)
    if change is Change.UNCHANGED:
        return change
    new = tx.need(FINDING, new.id)
    _remember(tx, new, at_ms)
    _ask(tx, old, new, act, opened)
    for target in {f for f in (new.supersedes, old.supersedes if old else None) if f is not None}:
        _refresh(tx, target, at_ms, actor, opened)
    return change


def _refresh(tx: Tx, finding_id: str, at_ms: int, actor: Actor, opened: list[str]) -> None:
    """Let a superseded finding know (or that it stands again)."""
    target = tx.get(FINDING, finding_id)
    if target is not None:
        _save(tx, target, at_ms, actor, opened)


def _superseder(tx: Tx, finding_id: str) -> str | None:
    c = FINDING.table.c
    taken = tx.all(FINDING, c.supersedes == finding_id, c.kind != FindingKind.WITHDRAWN, limit=1)
    return taken[0].id if taken else None


def _why(old: Finding | None, new: Finding) -> str:
    if old is None:
        return f"rule {new.rule}"
    if old.kind != new.kind:
        return f"rule {new.rule}: {old.kind} -> {new.kind}"
    if old.superseded_by != new.superseded_by:
        return f"superseded by {new.superseded_by}" if new.superseded_by else "stands again"
    return f"rule {new.rule}: more facts"


def _remember(tx: Tx, finding: Finding, at_ms: int) -> None:
    h = tables.finding_history
    last = tx.connection.execute(select(func.max(h.c.number)).where(h.c.finding == finding.id)).scalar() or 0
    text = canonical(finding)
    tx.connection.execute(insert(h).values(finding=finding.id, number=last + 1, at_ms=at_ms, state=text))


def _ask(tx: Tx, before: Finding | None, finding: Finding, act: Act, opened: list[str]) -> None:
    """Bring the alarm to where the finding is now; ``opened`` learns of an alarm that asks a person now."""
    old = tx.get(ALARM, finding.id)
    alarm = next_alarm(old, before, finding, _answer_before(tx, finding), act.at_ms)
    if alarm is None:
        return
    was_open = old is not None and old.state == AlarmState.OPEN
    tx.put(ALARM, alarm, act)
    if alarm.state == AlarmState.OPEN and not was_open:
        opened.append(finding.id)


def _waiting(tx: Tx, withdrawn: set[str]) -> list[AlarmRow]:
    """Of the findings that are about to be withdrawn: the alarms that nobody answered yet."""
    alarms = (tx.get(ALARM, finding_id) for finding_id in sorted(withdrawn))
    return [a for a in alarms if a is not None and a.state == AlarmState.OPEN]


def _hand_on(tx: Tx, waiting: AlarmRow, act: Act, opened: list[str]) -> None:
    """Open the answered alarm of a finding that grew over this one: its answer spoke of the part before only."""
    c, gone = FINDING.table.c, tx.need(FINDING, waiting.finding)
    same = [c.site == gone.site, c.rule == gone.rule, c.kind != FindingKind.WITHDRAWN]
    for f in tx.all(FINDING, *same, c.episode_start_ms <= gone.episode_start_ms):
        like = (f.equipment, f.batch, f.device) == (gone.equipment, gone.batch, gone.device)
        covers = f.end_ms is None or f.end_ms >= gone.episode_start_ms
        alarm = tx.get(ALARM, f.id) if like and covers and _asks(f) else None
        if alarm is None or alarm.acknowledged_ms is None:
            continue
        resolved_ms = None if f.end_ms is None else max(f.end_ms, waiting.opened_ms)
        again = AlarmRow(f.id, f.site, AlarmState.OPEN, waiting.opened_ms, resolved_ms=resolved_ms)
        tx.put(ALARM, again, act, action="alarm_opened_again")
        opened.append(f.id)


def _answer_before(tx: Tx, finding: Finding) -> AlarmRow | None:
    """The alarm whose place this finding takes, if that one said the same (code and kind) while it stood."""
    if finding.supersedes is None:
        return None
    h = tables.finding_history
    query = select(h.c.state).where(h.c.finding == finding.supersedes).order_by(h.c.number.desc())
    states = (state_of(text) for text in tx.connection.execute(query).scalars().all())
    stood = next((s for s in states if s.kind != FindingKind.WITHDRAWN), None)
    if stood is None or (stood.code, stood.kind) != (finding.code, finding.kind):
        return None
    return tx.get(ALARM, finding.supersedes)


def next_alarm(
    old: AlarmRow | None, before: Finding | None, finding: Finding, answered: AlarmRow | None, at_ms: int
) -> AlarmRow | None:
    """The alarm of a finding that is now like this. Pure.

    ``before``: the finding as it was; ``answered``: the alarm of the like finding whose place this one takes.
    """
    if not _asks(finding):
        if old is None or old.state == AlarmState.CLOSED:
            return old
        resolved = old.resolved_ms if old.resolved_ms is not None else at_ms
        return replace(old, state=AlarmState.CLOSED, resolved_ms=resolved, closed_ms=at_ms)
    if old is None:
        fresh = AlarmRow(finding.id, finding.site, AlarmState.OPEN, at_ms)
        if answered is not None:
            fresh = replace(
                fresh,
                opened_ms=answered.opened_ms,
                acknowledged_by=answered.acknowledged_by,
                acknowledged_ms=answered.acknowledged_ms,
                comment=answered.comment,
            )
    elif before is not None and (not _asks(before) or _worse(before, finding)):
        fresh = AlarmRow(finding.id, finding.site, AlarmState.OPEN, at_ms)
    else:
        fresh = old
    if finding.end_ms is not None:
        fresh = replace(fresh, resolved_ms=max(finding.end_ms, fresh.opened_ms))
    elif before is not None and before.end_ms is not None:
        fresh = replace(fresh, resolved_ms=None)  # late facts: it is not over after all
    return _settled(fresh, at_ms)


def _asks(finding: Finding) -> bool:
    return finding.alarms and finding.kind != FindingKind.WITHDRAWN and finding.superseded_by is None


def _worse(before: Finding, now: Finding) -> bool:
    return before.kind == FindingKind.POSSIBLE and now.kind == FindingKind.CONFIRMED


def _settled(alarm: AlarmRow, at_ms: int) -> AlarmRow:
    """The state that follows from answer and end."""
    if alarm.acknowledged_ms is None:
        return replace(alarm, state=AlarmState.OPEN, closed_ms=None)
    if alarm.resolved_ms is None:
        return replace(alarm, state=AlarmState.ACKNOWLEDGED, closed_ms=None)
    closed_ms = alarm.closed_ms if alarm.closed_ms is not None else at_ms
    return replace(alarm, state=AlarmState.CLOSED, closed_ms=closed_ms)
