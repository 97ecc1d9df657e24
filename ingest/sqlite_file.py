"""A SQLite file of ours with one writer: WAL, synchronous=FULL, so that a commit is on disk at return.

``FULL`` and not ``NORMAL``: in WAL, NORMAL keeps the file sound at a power cut but loses the last commits
(``facts/data-path.md`` 4), and on these somebody was told "kept".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from urllib.parse import quote

from telemetry.errors import NeighbourDownError

T = TypeVar("T")


class Told:
    """What the disk says in the block, as NeighbourDownError of this neighbour; may be used again and within itself.

    A class, as ``Transaction``: a generator would cost three times as much, a dozen times for each lone reading.
    """

    __slots__ = ("_neighbour", "_path")

    def __init__(self, neighbour: str, path: str) -> None:
        self._neighbour, self._path = neighbour, path

    def __enter__(self) -> None:
        return

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.DatabaseError):
            raise NeighbourDownError(
                self._neighbour, f"{self._path}: {error}", advice="see whether the disk is full"
            ) from error


class Transaction:
    """All of the block or nothing; on disk at its end."""

    __slots__ = ("_db",)

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:  # also after a COMMIT that failed
                self._db.execute("ROLLBACK")


class Unhurried:
    """A transaction that waits for no disk: a kill keeps it, a power cut may take it back (and never what came before it
    alone). For what is found again without it."""

    __slots__ = ("_db", "_inner")

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db, self._inner = db, Transaction(db)

    def __enter__(self) -> None:
        self._db.execute("PRAGMA synchronous=NORMAL")
        try:
            self._inner.__enter__()
        except BaseException:
            self._db.execute("PRAGMA synchronous=FULL")
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            self._inner.__exit__(kind, error, at)
        finally:
            self._db.execute("PRAGMA synchronous=FULL")


def prepare(db: sqlite3.Connection, schema: str) -> None:
    """Make a new connection the writer's; the tables are made where they are missing."""
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.executescript(schema)


def peek(path: str | Path, look: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
    """What ``look`` reads in another process's file; ``otherwise`` while the writer has not made it or its tables.

    Read-only: it can not disturb, and readers of a WAL hold up no writer.
    """
    if not Path(path).exists():
        return otherwise
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=30.0)) as db:
        try:
            return look(db)
        except sqlite3.OperationalError:  # the file is there, its tables not yet
            return otherwise


class SqliteFile:
    """Base of the parts that keep one such file. Used from one thread; raises NeighbourDownError."""

    def __init__(self, neighbour: str, path: str | Path, schema: str) -> None:
        self._told = Told(neighbour, str(path))
        with self._told:
            self._db = sqlite3.connect(str(path), timeout=30.0, isolation_level=None, check_same_thread=False)
            prepare(self._db, schema)

    def _transaction(self) -> Transaction:
        """Within ``_told``, as all that speaks to the file."""
        return Transaction(self._db)

    def _unhurried(self) -> Unhurried:
        return Unhurried(self._db)

    def close(self) -> None:
        self._db.close()
