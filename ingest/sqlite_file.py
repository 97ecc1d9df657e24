"""A SQLite file of ours with one writer: WAL, synchronous=FULL, so that a commit is on disk at return.

``FULL`` and not ``NORMAL``: in WAL, NORMAL keeps the file sound at a power cut but loses the last commits
(``facts/data-path.md`` 4), and on these somebody was told "kept".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from telemetry.errors import NeighbourDownError

T = TypeVar("T")


@contextmanager
def told(neighbour: str, path: str) -> Iterator[None]:
    """What the disk says in the block, as NeighbourDownError of this neighbour."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise NeighbourDownError(neighbour, f"{path}: {error}", advice="see whether the disk is full") from error


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing; on disk at its end."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # also after a COMMIT that failed
            db.execute("ROLLBACK")
        raise


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
        self._neighbour = neighbour
        self._path = str(path)
        with self._told():
            self._db = sqlite3.connect(self._path, timeout=30.0, isolation_level=None, check_same_thread=False)
            prepare(self._db, schema)

    @contextmanager
    def _told(self) -> Iterator[None]:
        with told(self._neighbour, self._path):
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._told(), transaction(self._db):
            yield

    @contextmanager
    def _unhurried(self) -> Iterator[None]:
        """A transaction that waits for no disk: a kill keeps it, a power cut may take it back (and never what came
        before it alone). For what is found again without it."""
        with self._told():
            self._db.execute("PRAGMA synchronous=NORMAL")
            try:
                with transaction(self._db):
                    yield
            finally:
                self._db.execute("PRAGMA synchronous=FULL")

    def close(self) -> None:
        self._db.close()
