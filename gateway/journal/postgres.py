"""The journal in PostgreSQL (psycopg 3), for a server whose services run on several machines.

Offsets come from a sequence, and a sequence hands out numbers before commits: two writers could commit 8 before 7,
and a reader that saw 8 would never see 7. So a writer holds an advisory lock until its commit; offsets then appear
in order. ``synchronous_commit`` is set to on for our session, whatever the server's default is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from gateway.journal import model
from gateway.journal.model import Entry
from telemetry.errors import NeighbourDownError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal(
  n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  site TEXT NOT NULL, edge TEXT NOT NULL, epoch TEXT NOT NULL, kind TEXT NOT NULL,
  received_at_ms BIGINT NOT NULL, payload BYTEA NOT NULL)
"""
# Any number that only we use: "SMIJ" as ASCII.
_LOCK = 0x534D494A
_INSERT = "INSERT INTO journal(site, edge, epoch, kind, received_at_ms, payload) VALUES (%s,%s,%s,%s,%s,%s)"
_LAST = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM journal_n_seq"
_AFTER = """
SELECT n, site, edge, epoch, kind, received_at_ms, payload FROM (
  SELECT *, sum(octet_length(payload)) OVER (ORDER BY n) - octet_length(payload) AS before FROM (
    SELECT * FROM journal WHERE n > %s ORDER BY n LIMIT %s) AS oldest) AS weighed
WHERE before < %s ORDER BY n
"""
_ADVICE = "see whether PostgreSQL runs and its disk has room"


class PostgresJournal:
    """Connects at the first call and again after an outage; an object may be shared by threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor]:
        """A cursor in one transaction. Whatever goes wrong in it is the neighbour's: our rows are checked before."""
        with self._lock:
            try:
                connection = self._connected()
                with connection.transaction(), connection.cursor() as cursor:
                    yield cursor
            except psycopg.Error as error:
                self._drop()
                message = str(error).strip().splitlines() or [repr(error)]
                raise NeighbourDownError("journal", message[0], advice=_ADVICE) from error

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            connection = psycopg.connect(self._url, autocommit=True, connect_timeout=10)
            connection.execute("SET synchronous_commit = on")
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                connection.execute(_SCHEMA)
            self._connection = connection
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def append(self, entries: Sequence[Entry]) -> int:
        with self._cursor() as cursor:
            if entries:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                cursor.executemany(
                    _INSERT, [(e.site, e.edge, e.epoch, e.kind, e.received_at_ms, e.payload) for e in entries]
                )
            return _last(cursor)

    def last_offset(self) -> int:
        with self._cursor() as cursor:
            return _last(cursor)

    def after(self, offset: int, limit: int) -> list[tuple[int, Entry]]:
        with self._cursor() as cursor:
            rows = cursor.execute(_AFTER, (offset, limit, model.AFTER_BYTES)).fetchall()
        return [(n, Entry(site, edge, epoch, kind, at, bytes(body))) for n, site, edge, epoch, kind, at, body in rows]

    def skip_to(self, offset: int) -> None:
        with self._cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            if _last(cursor) < offset:
                cursor.execute("SELECT setval('journal_n_seq', %s)", (offset,))

    def forget(self, before_offset: int) -> int:
        with self._cursor() as cursor:
            return cursor.execute("DELETE FROM journal WHERE n < %s", (before_offset,)).rowcount

    def close(self) -> None:
        with self._lock:
            self._drop()


def _last(cursor: psycopg.Cursor) -> int:
    row = cursor.execute(_LAST).fetchone()
    return int(row[0]) if row else 0
