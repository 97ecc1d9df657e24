"""One writing transaction: records go in through ``put``, and each change leaves one audit row.

Order of locks on PostgreSQL: the sites first (``lock_site``, in sorted order where there are several), then at the
very end the feed. The feed's lock makes audit ids become visible in their order: a reader that has seen id 7 will
never be given a 6 later (a sequence alone does not promise that).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Date, Table, UnaryExpression, and_, func, insert, select, update

from gateway.records import tables
from gateway.records.canonical import canonical, digest
from gateway.records.chain import genesis, row_hash
from gateway.records.columns import DecimalExact, EnumText, JsonText
from gateway.records.database import lock
from gateway.records.errors import Code, Refused, UnknownRecord
from gateway.records.model import HOUSE, Actor, Change

T = TypeVar("T")
_INT64 = 1 << 63


@dataclass(frozen=True, slots=True)
class Act:
    """Who, why and when: what every change must say."""

    actor: Actor
    reason: str
    at_ms: int

    def __post_init__(self) -> None:
        if not self.actor.name.strip():
            raise Refused(Code.PERSON_REQUIRED, "a change needs the name of who makes it", field="actor")


def _storable(value: Any) -> Any:
    """The value, if both databases can hold it; ValueError otherwise (the same word on both)."""
    match value:
        case bool() | None | bytes():
            pass
        case int() if not -_INT64 <= value < _INT64:
            raise ValueError(f"{value} is too large")
        case str():
            if "\0" in value:
                raise ValueError("has a NUL in it")
            value.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
        case Mapping() | tuple():
            canonical(value).encode()
    return value


def _revived(column_type: Any, value: Any) -> Any:
    """A value of JSON's own types as the column gives it back."""
    match column_type:
        case _ if value is None:
            return None
        case JsonText():
            return column_type.make(value)
        case EnumText():
            return column_type.choice(value)
        case DecimalExact():
            return Decimal(value)
        case Date():
            return date.fromisoformat(value)
        case _:
            return value


def _site_column(row: Mapping[str, Any]) -> str:
    return str(row.get("site") or HOUSE)


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of record: its name, its table, its value class and its key.

    ``secret`` fields show up in the audit as a digest only. ``complete``: each row has audit rows (``verify_chain``
    tells of one that has none).
    """

    name: str
    table: Table
    make: Callable[..., T]
    key: tuple[str, ...]
    secret: frozenset[str] = frozenset()
    site_of: Callable[[Mapping[str, Any]], str] = _site_column
    complete: bool = True

    def where(self, key: tuple[Any, ...]) -> ColumnElement[bool]:
        return and_(*(self.table.c[name] == part for name, part in zip(self.key, key, strict=True)))

    def key_of(self, row: Mapping[str, Any]) -> str:
        return "/".join(str(row[name]) for name in self.key)

    def subject(self, row: Mapping[str, Any]) -> str:
        return f"{self.name}:{self.key_of(row)}"

    def row(self, value: T) -> dict[str, Any]:
        """The value as its columns, in their stored form; raises Refused(BAD_VALUE) naming the field."""
        row: dict[str, Any] = {}
        for column in self.table.columns:
            given = getattr(value, column.name)
            normal = getattr(column.type, "normal", None)
            try:
                row[column.name] = _storable(given if given is None or normal is None else normal(given))
            except (ValueError, TypeError) as error:
                raise Refused(Code.BAD_VALUE, f"{self.name} {column.name}: {error}", field=column.name) from error
        return row

    def value(self, row: Mapping[str, Any]) -> T:
        return self.make(**row)

    def revive(self, audited: Mapping[str, Any]) -> T:
        """The value of an audit row's ``new``; what is not in it (a later field) has its default."""
        made = {}
        for column in self.table.columns:
            if column.name in audited:
                made[column.name] = _revived(column.type, audited[column.name])
        return self.make(**made)

    def audited(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the audit shows of a row: everything but secrets and bytes, which leave a digest."""
        return {n: digest(canonical(v).encode()) if n in self.secret and v else v for n, v in row.items()}


@dataclass(frozen=True, slots=True)
class _Entry:
    site: str
    action: str
    kind: str
    subject: str
    old: str | None
    new: str | None
    act: Act


@dataclass
class Tx:
    """A writing transaction (``Database.write``)."""

    connection: Connection
    postgresql: bool
    _locked: set[str] = field(default_factory=set)
    _entries: list[_Entry] = field(default_factory=list)

    # --- reading what is there ---

    def get(self, kind: Kind[T], *key: Any) -> T | None:
        return get(self.connection, kind, *key)

    def need(self, kind: Kind[T], *key: Any) -> T:
        """The record; raises UnknownRecord."""
        return need(self.connection, kind, *key)

    def all(self, kind: Kind[T], *where: ColumnElement[bool], **options: Any) -> list[T]:
        return fetch(self.connection, kind, *where, **options)

    # --- changing it ---

    def lock_site(self, *sites: str) -> None:
        """Let nobody else change these sites until we are done. SQLite's BEGIN IMMEDIATE has done so already."""
        if self.postgresql:
            for site in sorted(set(sites) - self._locked):
                lock(self.connection, f"site {site}")
        self._locked |= set(sites)

    def put(self, kind: Kind[T], value: T, act: Act, *, action: str = "", first_reason: bool = False) -> Change:
        """Create or change a record. The same value again changes nothing and leaves no audit row.

        A change without a reason is refused (cold-chain.md 37); so is a first creation if ``first_reason``.
        """
        row = kind.row(value)
        site = kind.site_of(row)
        self.lock_site(site)
        here = kind.where(tuple(row[name] for name in kind.key))
        found = self.connection.execute(select(kind.table).where(here)).mappings().one_or_none()
        old = None if found is None else dict(found)
        if old == row:
            return Change.UNCHANGED
        if (old is not None or first_reason) and not act.reason.strip():
            raise Refused(
                Code.REASON_REQUIRED, f"{kind.subject(row)} is not changed without a reason", field="reason"
            )
        if old is None:
            self.connection.execute(insert(kind.table).values(row))
        else:
            self.connection.execute(update(kind.table).where(here).values(row))
        self._note(kind, site, old, row, act, action)
        return Change.CREATED if old is None else Change.CHANGED

    def _note(
        self, kind: Kind[Any], site: str, old: dict[str, Any] | None, new: dict[str, Any], act: Act, action: str
    ) -> None:
        old_text = None if old is None else canonical(kind.audited(old))
        new_text = canonical(kind.audited(new))
        action = action or f"{kind.name}_{'created' if old is None else 'changed'}"
        subject = kind.subject(new)
        if old is not None and kind.site_of(old) != site:
            # The record leaves its old site: that chain must tell so, and end there.
            left = kind.site_of(old)
            self.lock_site(left)
            self._entries.append(_Entry(left, f"{kind.name}_left", kind.name, subject, old_text, None, act))
            old_text = None
        self._entries.append(_Entry(site, action, kind.name, subject, old_text, new_text, act))

    def flush(self) -> None:
        """Write the audit rows: the last thing before the commit."""
        if not self._entries:
            return
        if self.postgresql:
            lock(self.connection, "feed")
        audit = tables.audit
        last = self.connection.execute(select(func.max(audit.c.id))).scalar() or 0
        heads = {site: self._head(site) for site in {e.site for e in self._entries}}
        rows = []
        for audit_id, entry in enumerate(self._entries, start=last + 1):
            number, prev = heads[entry.site]
            row: dict[str, object] = {
                "id": audit_id,
                "site": entry.site,
                "number": number + 1,
                "at_ms": entry.act.at_ms,
                "actor": entry.act.actor.name,
                "role": str(entry.act.actor.role),
                "action": entry.action,
                "kind": entry.kind,
                "subject": entry.subject,
                "old": entry.old,
                "new": entry.new,
                "reason": entry.act.reason.strip(),
            }
            row |= {"prev_hash": prev, "hash": row_hash(row, prev)}
            heads[entry.site] = (number + 1, str(row["hash"]))
            rows.append(row)
        self.connection.execute(insert(audit), rows)
        self._entries.clear()

    def _head(self, site: str) -> tuple[int, str]:
        audit = tables.audit
        last = (
            select(audit.c.number, audit.c.hash).where(audit.c.site == site).order_by(audit.c.number.desc()).limit(1)
        )
        row = self.connection.execute(last).one_or_none()
        return (0, genesis(site)) if row is None else (row.number, row.hash)


def get(connection: Connection, kind: Kind[T], *key: Any) -> T | None:
    row = connection.execute(select(kind.table).where(kind.where(key))).mappings().one_or_none()
    return None if row is None else kind.value(dict(row))


def need(connection: Connection, kind: Kind[T], *key: Any) -> T:
    """The record; raises UnknownRecord."""
    value = get(connection, kind, *key)
    if value is None:
        raise UnknownRecord(kind.name, "/".join(str(part) for part in key))
    return value


def fetch(
    connection: Connection,
    kind: Kind[T],
    *where: ColumnElement[bool],
    order_by: Iterable[ColumnElement[Any] | UnaryExpression[Any]] = (),
    limit: int | None = None,
) -> list[T]:
    """The records that fit, by default in the order of their key."""
    order = tuple(order_by) or tuple(kind.table.c[name] for name in kind.key)
    query = select(kind.table).where(*where).order_by(*order).limit(limit)
    return [kind.value(dict(row)) for row in connection.execute(query).mappings()]
