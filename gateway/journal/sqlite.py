"""The journal in one SQLite file: WAL, synchronous=FULL, one fsync a commit (``facts/data-path.md`` 4).

FULL and not NORMAL: in WAL, NORMAL keeps the file sound at a power cut but loses the last commits, and these
were receipted. AUTOINCREMENT keeps an offset from being given twice after ``forget`` emptied the table.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateway.journal import model
from gateway.journal.model import Entry
from telemetry.errors import NeighbourDownError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal(
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  site TEXT NOT NULL, edge TEXT NOT NULL, epoch TEXT NOT NULL, kind TEXT NOT NULL,
  received_at_ms INTEGER NOT NULL, payload BLOB NOT NULL)
"""
_ADVICE = "see whether the disk is full or the file's folder is gone"


class SqliteJournal:
    """One writer process and any number of reader processes; an object may be shared by threads."""

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        self._path = str(path)
        with self._down():
            self._db = sqlite3.connect(self._path, timeout=30.0, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute(_SCHEMA)

    @contextmanager
    def _down(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            raise NeighbourDownError("journal", f"{self._path}: {error}", advice=_ADVICE) from error

    def append(self, entries: Sequence[Entry]) -> int:
        rows = [(e.site, e.edge, e.epoch, e.kind, e.received_at_ms, e.payload) for e in entries]
        with self._lock, self._down():
            if rows:
                self._insert(rows)
            return self._last()

    def _insert(self, rows: list[tuple[str, str, str, str, int, bytes]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(
                "INSERT INTO journal(site, edge, epoch, kind, received_at_ms, payload) VALUES (?,?,?,?,?,?)", rows
            )
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _last(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name='journal'").fetchone()
        return int(row[0]) if row else 0

    def last_offset(self) -> int:
        with self._lock, self._down():
            return self._last()

    def after(self, offset: int, limit: int) -> list[tuple[int, Entry]]:
        found: list[tuple[int, Entry]] = []
        size = 0
        with self._lock, self._down():
            for n, *rest in self._db.execute(
                "SELECT n, site, edge, epoch, kind, received_at_ms, payload FROM journal"
                " WHERE n > ? ORDER BY n LIMIT ?",
                (offset, limit),
            ):
                entry = Entry(*rest)
                found.append((n, entry))
                size += len(entry.payload)
                if size >= model.AFTER_BYTES:
                    break
        return found

    def skip_to(self, offset: int) -> None:
        with self._lock, self._down():
            if self._last() >= offset:
                return
            moved = self._db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name='journal'", (offset,))
            if not moved.rowcount:  # nothing was ever appended
                self._db.execute("INSERT INTO sqlite_sequence VALUES('journal', ?)", (offset,))

    def forget(self, before_offset: int) -> int:
        with self._lock, self._down():
            return self._db.execute("DELETE FROM journal WHERE n < ?", (before_offset,)).rowcount

    def close(self) -> None:
        with self._lock:
            self._db.close()
