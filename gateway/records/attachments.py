"""What SMILE got: temperatures, discards, weights; and what it cannot hold."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import func, insert, select, update

from gateway.records import tables
from gateway.records.kinds import ATTACHMENT
from gateway.records.model import Actor, Attachment, AttachmentKind, SmileState
from gateway.records.part import Part, equal
from gateway.records.tx import Act, Tx

SMILE = Actor.system("smile")


class AttachmentsPart(Part):
    """One row per (kind, subject, target): its newest state."""

    def save_attachments(self, attachments: Attachment | Sequence[Attachment], actor: Actor = SMILE) -> None:
        """Note what became of a sending. Discards and weights leave audit rows, temperatures (so many) none."""
        given = [attachments] if isinstance(attachments, Attachment) else list(attachments)
        with self._write() as tx:
            tx.lock_site(*{a.site for a in given})
            for attachment in given:
                if attachment.kind == AttachmentKind.TEMPERATURES:
                    _keep(tx, attachment)
                else:
                    tx.put(ATTACHMENT, attachment, Act(actor, f"SMILE: {attachment.state}", attachment.at_ms))

    def attachment(self, kind: AttachmentKind | str, subject: str, target: str) -> Attachment | None:
        return self._get(ATTACHMENT, AttachmentKind(kind), subject, target)

    def attachments(
        self,
        kind: AttachmentKind | str | None = None,
        *,
        subject: str | None = None,
        site: str | None = None,
        states: Collection[SmileState | str] | None = None,
        limit: int | None = None,
    ) -> list[Attachment]:
        """Newest first."""
        c = ATTACHMENT.table.c
        where = [*equal(ATTACHMENT, kind=None if kind is None else AttachmentKind(kind), subject=subject, site=site)]
        if states is not None:
            where.append(c.state.in_([SmileState(s) for s in states]))
        return self._all(ATTACHMENT, *where, order_by=(c.at_ms.desc(), c.kind, c.subject, c.target), limit=limit)

    def attachment_counts(self, site: str | None = None) -> dict[str, dict[str, int]]:
        """{kind: {state: count}}."""
        c = tables.attachments.c
        query = select(c.kind, c.state, func.count()).where(*equal(ATTACHMENT, site=site)).group_by(c.kind, c.state)
        counts: dict[str, dict[str, int]] = {}
        with self._db.read() as connection:
            for kind, state, count in connection.execute(query).all():
                counts.setdefault(str(kind), {})[str(state)] = count
        return counts


def _keep(tx: Tx, attachment: Attachment) -> None:
    row = ATTACHMENT.row(attachment)
    here = ATTACHMENT.where(tuple(row[name] for name in ATTACHMENT.key))
    if tx.connection.execute(select(tables.attachments.c.subject).where(here)).first() is None:
        tx.connection.execute(insert(tables.attachments).values(row))
    else:
        tx.connection.execute(update(tables.attachments).where(here).values(row))
