"""The audit: the feed of changes, and the proof that nobody altered what stands in the records."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Connection, func, select

from gateway.records import tables
from gateway.records.canonical import canonical
from gateway.records.chain import check_rows, genesis
from gateway.records.documents import HASH, document_hash
from gateway.records.kinds import ALL_KINDS, SITE, USER, VERDICT
from gateway.records.model import HOUSE, AuditRow, ChainBreak, ChainReport
from gateway.records.part import Part
from gateway.records.tx import Kind
from gateway.records.verdicts import document_of

_PAGE = 1000
_KEPT_WHOLE = {kind.name: kind for kind in ALL_KINDS if kind.complete and not kind.secret}


class AuditPart(Part):
    """Reading the audit; writing it is ``Tx``'s alone."""

    def changes_after(
        self, audit_id: int, limit: int = 500, *, actions: Collection[str] | None = None, site: str | None = None
    ) -> list[AuditRow]:
        """The changes after this id, in order: the feed of people's commands (``docs/decisions/0002-...``).

        Ids become visible in their order, so keeping the last id seen misses nothing. With ``actions``, ask
        ``newest_change`` too where a reader wants to know how far it has read.
        """
        a = tables.audit
        query = select(a).where(a.c.id > audit_id).order_by(a.c.id).limit(limit)
        if actions is not None:
            query = query.where(a.c.action.in_(sorted(actions)))
        if site is not None:
            query = query.where(a.c.site == site)
        with self._db.read() as connection:
            return [AuditRow(**row) for row in connection.execute(query).mappings()]

    def newest_change(self) -> int:
        """The highest audit id (0: none)."""
        with self._db.read() as connection:
            return connection.execute(select(func.max(tables.audit.c.id))).scalar() or 0

    def audit_of(self, subject: str) -> list[AuditRow]:
        """Every change of one record, oldest first; ``subject`` is ``kind:key``, as in ``batch:B1``."""
        a = tables.audit
        query = select(a).where(a.c.subject == subject).order_by(a.c.id)
        with self._db.read() as connection:
            return [AuditRow(**row) for row in connection.execute(query).mappings()]

    def states_at(self, kind: str, audit_id: int, *, key: str = "", prefix: str = "") -> list[Any]:
        """Records of a kind as they were when the audit was read up to this id, by the audit alone.

        ``key``: this one record; ``prefix``: those whose key begins so. A field that came with a later version of the
        tables has its default. Raises KeyError for a kind that leaves no full audit rows.
        """
        kept = _KEPT_WHOLE[kind]
        a = tables.audit
        subject = f"{kind}:{key or prefix}"
        begins = a.c.subject == subject if key else func.substr(a.c.subject, 1, len(subject)) == subject
        query = select(a).where(a.c.kind == kind, a.c.id <= audit_id, begins).order_by(a.c.id)
        with self._db.read() as connection:
            rows = [AuditRow(**row) for row in connection.execute(query).mappings()]
        last = {row.subject: row for row in rows}
        return [kept.revive(row.new_value) for row in last.values() if row.new is not None]

    def verify_chain(self, site: str) -> ChainReport:
        """Check a site's chain, and that each record still is what its last row says (cold-chain.md 37,
        smile-and-waste.md 40). ``model.HOUSE`` names the chain of what belongs to no site.
        """
        rows, head = 0, genesis(site)
        last: dict[str, AuditRow] = {}

        def walked() -> Iterator[AuditRow]:
            nonlocal rows, head
            for row in _chain(connection, site):
                rows, head = rows + 1, row.hash
                last[row.subject] = row
                yield row

        with self._db.snapshot() as connection:
            breaks = [*check_rows(site, walked()), *_compare(connection, site, last)]
        return ChainReport(site, rows, head, tuple(breaks))


def _chain(connection: Connection, site: str) -> Iterator[AuditRow]:
    a = tables.audit
    number = -1
    while True:
        query = select(a).where(a.c.site == site, a.c.number > number).order_by(a.c.number).limit(_PAGE)
        page = [AuditRow(**row) for row in connection.execute(query).mappings()]
        if not page:
            return
        yield from page
        number = page[-1].number


def _compare(connection: Connection, site: str, last: dict[str, AuditRow]) -> Iterator[ChainBreak]:
    """Records that are not as their last audit row says, are gone, or have no row at all."""
    for kind in ALL_KINDS:
        seen: set[str] = set()
        for row in _rows_of(connection, kind, site):
            subject = kind.subject(row)
            seen.add(subject)
            audit = last.get(subject)
            if audit is None or audit.new is None:
                if kind.complete:
                    yield ChainBreak(None, None, subject, "the record has no audit row")
                continue
            now = json.loads(canonical(kind.audited(row)))
            # A field that came with a later version of the tables is not in the old text.
            other = [name for name, value in audit.new_value.items() if now.get(name) != value]
            if other:
                yield ChainBreak(audit.id, audit.number, subject, f"the record was altered: {', '.join(other)}")
            if kind is VERDICT and row["document_hash"] is not None:
                why = _document_trouble(connection, row["document_hash"])
                if why:
                    yield ChainBreak(audit.id, audit.number, subject, why)
        for subject, audit in last.items():
            if audit.kind == kind.name and audit.new is not None and subject not in seen:
                yield ChainBreak(audit.id, audit.number, subject, "the record is gone")


def _document_trouble(connection: Connection, sealed: str) -> str:
    """What is wrong with a verdict's document, or ""."""
    document = document_of(connection, sealed)
    if document is None:
        return "the document of the verdict is gone"
    if document.get(HASH) != sealed or document_hash(document) != sealed:
        return "the document of the verdict was altered"
    return ""


def _rows_of(connection: Connection, kind: Kind[Any], site: str) -> Iterator[dict[str, Any]]:
    t = kind.table
    if kind is SITE:
        where = t.c.id == site
    elif kind is USER and site == HOUSE:
        where = t.c.site.is_(None)
    else:
        where = t.c.site == ("" if site == HOUSE else site)
    for row in connection.execute(select(t).where(where)).mappings():
        yield dict(row)
