"""Verdicts on batches: what is proposed, and what a named person decided (design.md, promise 6)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from gateway.records import tables
from gateway.records.canonical import canonical
from gateway.records.documents import HASH, seal
from gateway.records.errors import Code, Refused
from gateway.records.kinds import BATCH, VERDICT
from gateway.records.model import Actor, Batch, Change, Decision, Verdict, VerdictState
from gateway.records.part import Part, equal
from gateway.records.tx import Act, Tx

ALERTS = Actor.system("alerts")


class VerdictsPart(Part):
    """Each judgement that differs from the one before is a new verdict; nothing is overwritten."""

    def save_verdicts(
        self,
        verdicts: Sequence[Verdict],
        at_ms: int,
        actor: Actor = ALERTS,
        documents: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> list[Verdict]:
        """Keep judgements; returns the batch's latest verdict for each, with id and site.

        The same judgement again changes nothing. Another one withdraws the proposal before it, and lets stand what a
        person decided. ``documents``: batch -> the document of its judgement, without verdict and hash.
        """
        made = documents or {}
        with self._write() as tx:
            batches = {v.batch: tx.need(BATCH, v.batch) for v in verdicts}
            tx.lock_site(*{b.site for b in batches.values()})
            return [_judge(tx, batches[v.batch], v, Act(actor, _why(v), at_ms), made.get(v.batch)) for v in verdicts]

    def decide(
        self,
        batch: str,
        decision: Decision | str,
        actor: Actor,
        reason: str,
        at_ms: int,
        despite: Sequence[Mapping[str, Any]] = (),
    ) -> Verdict:
        """A named person releases or discards a batch, with a reason, on its latest verdict.

        ``despite``: what still goes on at the release; it stands in the verdict's audit row.

        Our own processes are refused (PERSON_REQUIRED); who may is the api's question. A released batch may still be
        discarded; a discarded one stays discarded.
        """
        if actor.is_system or not actor.name.strip():
            raise Refused(Code.PERSON_REQUIRED, "a batch is released or discarded by a named person", field="actor")
        if not reason.strip():
            raise Refused(Code.REASON_REQUIRED, "say why", field="reason")
        try:
            decision = Decision(decision)
        except ValueError as error:
            raise Refused(Code.BAD_VALUE, f"{decision!r}: released or discarded", field="decision") from error
        with self._write() as tx:
            held = tx.need(BATCH, batch)
            tx.lock_site(held.site)
            decided = replace(
                _to_decide(tx, held, decision),
                state=VerdictState.DECIDED,
                decided_by=actor.name,
                decision=decision,
                decided_ms=at_ms,
                reason=reason.strip(),
                despite=tuple(despite) or None,
            )
            tx.put(VERDICT, decided, Act(actor, reason, at_ms), action=f"batch_{decision}")
            return tx.need(VERDICT, decided.id)

    def verdict(self, batch: str) -> Verdict | None:
        """The batch's latest verdict, or None when nobody judged it yet."""
        history = self.verdict_history(batch)
        return history[-1] if history else None

    def decision(self, batch: str) -> Verdict | None:
        """What a person last decided on the batch, whatever was judged since."""
        decided = [v for v in self.verdict_history(batch) if v.state == VerdictState.DECIDED]
        return max(decided, key=lambda v: (v.decided_ms or 0, v.number), default=None)

    def verdict_history(self, batch: str) -> list[Verdict]:
        """All verdicts of a batch, oldest first."""
        return self._all(VERDICT, *equal(VERDICT, batch=batch), order_by=(VERDICT.table.c.number,))

    def verdict_by_id(self, verdict_id: str) -> Verdict:
        return self._need(VERDICT, verdict_id)

    def verdict_document(self, verdict_id: str) -> dict[str, Any] | None:
        """What a verdict was judged from, as it was sealed; None for one from before documents were kept.

        A decision on a verdict that was decided before has a number of its own and the same document. Raises
        UnknownRecord for an unknown verdict.
        """
        sealed = self._need(VERDICT, verdict_id).document_hash
        with self._db.read() as connection:
            return None if sealed is None else document_of(connection, sealed)

    def save_history(self, batch: str, document: Mapping[str, Any], at_ms: int) -> None:
        """What the batch lived through up to now, under the verdict that stands; takes the place of the one before."""
        h = tables.batch_histories
        with self._write() as tx:
            tx.need(BATCH, batch)
            tx.connection.execute(delete(h).where(h.c.batch == batch))
            tx.connection.execute(insert(h).values(batch=batch, at_ms=at_ms, document=canonical(document)))

    def batch_history(self, batch: str) -> dict[str, Any] | None:
        """The document of the batch as of its last full judgement (not sealed, not in the audit), or None."""
        h = tables.batch_histories
        with self._db.read() as connection:
            text = connection.execute(select(h.c.document).where(h.c.batch == batch)).scalar()
        return None if text is None else dict(json.loads(text))

    def verdicts(self, site: str | None = None, state: VerdictState | str | None = None) -> list[Verdict]:
        """The latest verdict of each batch (of a site), by batch; ``state`` filters those."""
        c = VERDICT.table.c
        latest: dict[str, Verdict] = {}
        for verdict in self._all(VERDICT, *equal(VERDICT, site=site), order_by=(c.batch, c.number)):
            latest[verdict.batch] = verdict
        return [v for v in latest.values() if state is None or v.state == state]


def _why(verdict: Verdict) -> str:
    return "judged: " + (", ".join(verdict.findings) or "no findings")


def _history(tx: Tx, batch: str) -> list[Verdict]:
    c = VERDICT.table.c
    return tx.all(VERDICT, c.batch == batch, order_by=(c.number,))


def document_of(connection: Connection, sealed: str) -> dict[str, Any] | None:
    """The document that was kept under this hash."""
    d = tables.verdict_documents
    text = connection.execute(select(d.c.document).where(d.c.hash == sealed)).scalar()
    return None if text is None else dict(json.loads(text))


def _judge(tx: Tx, batch: Batch, judged: Verdict, act: Act, document: Mapping[str, Any] | None) -> Verdict:
    history = _history(tx, batch.id)
    last = history[-1] if history else None
    if last is not None and _same(last, judged):
        return last
    if last is not None and last.state == VerdictState.PROPOSED:
        tx.put(VERDICT, replace(last, state=VerdictState.WITHDRAWN), act, action="verdict_withdrawn")
    return _add(tx, batch, replace(judged, state=VerdictState.PROPOSED), len(history) + 1, act, document)


def _add(
    tx: Tx, batch: Batch, verdict: Verdict, number: int, act: Act, document: Mapping[str, Any] | None
) -> Verdict:
    verdict_id = f"{batch.id}.v{number}"
    sealed = None if document is None else seal(document, verdict_id)
    if sealed is not None:
        tx.connection.execute(insert(tables.verdict_documents).values(hash=sealed[HASH], document=canonical(sealed)))
    new = replace(
        verdict,
        id=verdict_id,
        document_hash=None if sealed is None else sealed[HASH],
        site=batch.site,
        number=number,
        decided_by=None,
        decision=None,
        decided_ms=None,
        reason=None,
    )
    change = tx.put(VERDICT, new, act, action="verdict_proposed")
    assert change is Change.CREATED  # noqa: S101  (numbers are given under the site's lock)
    return tx.need(VERDICT, new.id)


def _same(one: Verdict, other: Verdict) -> bool:
    def judgement(v: Verdict) -> str:
        return canonical([str(v.verdict), v.reasons, sorted(v.findings)])

    return judgement(one) == judgement(other)


def _to_decide(tx: Tx, batch: Batch, decision: Decision) -> Verdict:
    """The verdict row that this decision goes on; raises Refused."""
    history = _history(tx, batch.id)
    if not history:
        raise Refused(
            Code.NO_VERDICT, f"batch {batch.id} has no verdict", advice="nothing happened to it that we know of"
        )
    done = [v for v in history if v.state == VerdictState.DECIDED]
    if any(v.decision == Decision.DISCARDED for v in done):
        code = Code.ALREADY_DECIDED if decision is Decision.DISCARDED else Code.DISCARDED_IS_FINAL
        raise Refused(code, f"batch {batch.id} was discarded by {done[-1].decided_by}")
    last = history[-1]
    if last.state != VerdictState.DECIDED:
        return last
    if last.decision == decision:
        raise Refused(Code.ALREADY_DECIDED, f"batch {batch.id} was {decision} by {last.decided_by}")
    return replace(last, id=f"{batch.id}.v{last.number + 1}", number=last.number + 1)
