"""The hash chain of one site: pure functions, so that a stranger can check an export with nothing but this page.

    genesis    = sha256("smile-iot audit chain 1:" + site)
    hash of n  = sha256(canonical JSON of {id, site, number, at_ms, actor, role, action, kind, subject, old, new,
                 reason} + prev_hash),  prev_hash = hash of n - 1, or genesis

``old`` and ``new`` go into the hash as the texts they are. A changed, missing or added row breaks the chain at that
row; a chain cut off at its end is only seen by who noted its head (``ChainReport.head``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from gateway.records.canonical import canonical
from gateway.records.model import AuditRow, ChainBreak

_HASHED = ("id", "site", "number", "at_ms", "actor", "role", "action", "kind", "subject", "old", "new", "reason")


def genesis(site: str) -> str:
    return hashlib.sha256(f"smile-iot audit chain 1:{site}".encode()).hexdigest()


def row_hash(row: dict[str, object], prev_hash: str) -> str:
    """The hash of a row given as a mapping of its columns."""
    text = canonical({name: row[name] for name in _HASHED})
    return hashlib.sha256((text + prev_hash).encode()).hexdigest()


def check_rows(site: str, rows: Iterable[AuditRow]) -> Iterator[ChainBreak]:
    """Every place where these rows (a whole chain, in order of number) do not hold together."""
    prev, number = genesis(site), 0
    for row in rows:
        number += 1
        if row.number != number:
            yield ChainBreak(row.id, row.number, row.subject, f"row {number} of the chain is missing")
            number = row.number
        if row.prev_hash != prev:
            yield ChainBreak(row.id, row.number, row.subject, "does not follow the row before it")
        if row_hash({name: getattr(row, name) for name in _HASHED}, row.prev_hash) != row.hash:
            yield ChainBreak(row.id, row.number, row.subject, "the row was altered after it was written")
        prev = row.hash
