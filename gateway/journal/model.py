"""What a journal is: six methods and one value. The contract suite is ``tests/gateway/journal``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from telemetry.errors import ConfigError

# What one page of the journal may weigh in a reader's memory, but for its last entry.
AFTER_BYTES = 8 << 20
KINDS = ("readings", "events", "weighings", "hello", "import")


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted upload. ``payload`` is the message as it came (or what was left of it after quarantine).

    ``kind`` is readings, events, weighings, hello or import; ``received_at_ms`` when ingest got it.
    """

    site: str
    edge: str
    epoch: str
    kind: str
    received_at_ms: int
    payload: bytes


class Journal(Protocol):
    """Append-only; offsets grow and are never given twice, not even after ``forget``. They may have holes.

    Every method raises NeighbourDownError while the database does not answer; nothing is half written then.
    """

    def append(self, entries: Sequence[Entry]) -> int:
        """Write all entries in one transaction; on disk at return. The last offset (unchanged for no entries)."""
        ...

    def after(self, offset: int, limit: int) -> list[tuple[int, Entry]]:
        """The oldest entries past ``offset``: at most ``limit``, and no more once ``AFTER_BYTES`` of payload are there.

        An offset seen means no smaller one can still appear. Empty only at the end.
        """
        ...

    def last_offset(self) -> int:
        """The highest offset ever given, 0 for a new journal."""
        ...

    def skip_to(self, offset: int) -> None:
        """Give no offset up to this one any more: readers have seen them in a journal that a backup has replaced."""
        ...

    def forget(self, before_offset: int) -> int:
        """Drop the entries below ``before_offset`` (the caller knows that all readers passed them); how many."""
        ...

    def close(self) -> None: ...


def open_journal(url: str) -> Journal:
    """The journal at ``sqlite:///path``, at a plain path, or at ``postgresql://...``; raises ConfigError."""
    from gateway.journal.sqlite import SqliteJournal

    scheme, separator, rest = url.partition("://")
    if not separator:
        return SqliteJournal(url)
    if scheme == "sqlite":
        return SqliteJournal(rest.removeprefix("/"))
    if scheme in ("postgresql", "postgres"):
        from gateway.journal.postgres import PostgresJournal

        return PostgresJournal(url)
    raise ConfigError("journal", f"unknown scheme {scheme!r}", advice="use sqlite:///FILE or postgresql://...")
