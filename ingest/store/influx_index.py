"""The writer's own memory beside InfluxDB: which identities it holds, where rows lie, what was being written.

InfluxDB overwrites silently: the same series and time replaces what stood there. So the question "duplicate, conflict
or new?" is answered here, before anything is written (``docs/decisions/0003-influx-identity.md``).

    intent (identities, windows, exact lines; one commit) ─▶ InfluxDB ─▶ settle (lines deleted; refused ones undone)

A kill anywhere leaves the lines; they are written again, word for word, before anything else is. So a point is never
at two places, whatever the order in which the caller repeats its rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ingest.sqlite_file import SqliteFile
from ingest.store import stream_ids
from ingest.store.identity import Identity, Said, said
from ingest.store.line_protocol import WINDOW_MS, reading_line, series_key, window_line
from ingest.store.model import Row
from ingest.store.stream_ids import StreamIds

_SCHEMA = """
CREATE TABLE IF NOT EXISTS identities(
  stream INTEGER NOT NULL, by_number INTEGER NOT NULL, number INTEGER NOT NULL, variant INTEGER NOT NULL,
  value INTEGER, quality TEXT NOT NULL, t_ms INTEGER NOT NULL, slot INTEGER NOT NULL,
  PRIMARY KEY(stream, by_number, number, variant)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS identities_by_place ON identities(stream, t_ms, variant, slot) WHERE by_number = 1;
CREATE TABLE IF NOT EXISTS windows(
  stream INTEGER NOT NULL, site TEXT NOT NULL, window INTEGER NOT NULL, first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL, PRIMARY KEY(stream, site, window)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intent(
  id INTEGER PRIMARY KEY, line TEXT NOT NULL, stream INTEGER, by_number INTEGER, number INTEGER, variant INTEGER);
"""


@dataclass(frozen=True, slots=True)
class Intended:
    """A line to write. ``row`` is None for a window's line and for one left over by a killed run."""

    intent_id: int
    line: str
    row: Row | None = None


class InfluxIndex(SqliteFile):
    """One SQLite file of the one writer."""

    def __init__(self, path: str | Path) -> None:
        super().__init__("store", path, stream_ids.SCHEMA + _SCHEMA)
        self._streams = StreamIds(self._db)
        self._keys: dict[tuple[str, str, int, int], str] = {}

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with super()._transaction():
                yield
        except BaseException:
            self._streams.forget()  # a rolled back transaction took its new ids with it
            raise

    def contents(self, identity: Identity) -> list[Said]:
        """What is stored of an identity, by variant."""
        name, by_number, number = identity
        query = "SELECT value, quality FROM identities WHERE stream=? AND by_number=? AND number=? ORDER BY variant"
        with self._told():
            stream = self._streams.find(name)
            return [(v, q) for v, q in self._db.execute(query, (stream, by_number, number))]

    def left_over(self) -> list[Intended]:
        """Lines that a run before this one may or may not have written."""
        with self._told():
            return [Intended(n, line) for n, line in self._db.execute("SELECT id, line FROM intent ORDER BY id")]

    def intend(self, rows: Sequence[Row]) -> list[Intended]:
        """Remember new rows (their variants given) and the exact lines that write them; on disk at return."""
        lines: list[Intended] = []
        with self._transaction():
            windows: dict[tuple[str, str, int], list[int]] = {}
            for row in rows:
                lines.append(self._intend_row(row))
                windows.setdefault((row.site, row.stream_id, row.t_ms // WINDOW_MS), []).append(row.t_ms)
            for (site, name, window), times in windows.items():
                lines += self._intend_window(site, name, window, min(times), max(times))
        return lines

    def _intend_row(self, row: Row) -> Intended:
        name, by_number, number = row.identity
        stream = self._streams.make(name)
        slot = self._free_slot(stream, row)
        self._db.execute(
            "INSERT INTO identities VALUES (?,?,?,?,?,?,?,?)",
            (stream, by_number, number, row.variant, *said(row), row.t_ms, slot),
        )
        line = reading_line(self._series_key(row, slot), row)
        cursor = self._db.execute(
            "INSERT INTO intent(line, stream, by_number, number, variant) VALUES (?,?,?,?,?)",
            (line, stream, by_number, number, row.variant),
        )
        return Intended(_row_id(cursor), line, row)

    def _intend_window(self, site: str, name: str, window: int, first_ms: int, last_ms: int) -> list[Intended]:
        """The line that tells readers of this window, if it has changed."""
        stream = self._streams.make(name)
        query = "SELECT first_ms, last_ms FROM windows WHERE (stream, site, window) = (?,?,?)"
        old = self._db.execute(query, (stream, site, window)).fetchone()
        new = (min(first_ms, old[0]), max(last_ms, old[1])) if old else (first_ms, last_ms)
        if new == old:
            return []
        self._db.execute("INSERT OR REPLACE INTO windows VALUES (?,?,?,?,?)", (stream, site, window, *new))
        line = window_line(site, name, window, *new)
        cursor = self._db.execute("INSERT INTO intent(line) VALUES (?)", (line,))
        return [Intended(_row_id(cursor), line)]

    def _free_slot(self, stream: int, row: Row) -> int:
        """Two device numbers at one time would be one point in InfluxDB; the second gets a slot of its own.

        Rows without a number stand in slot 0, those with one from 1 on: so no order of arrival brings them together.
        """
        if row.device_seq is None:
            return 0
        query = "SELECT max(slot) FROM identities WHERE by_number = 1 AND stream = ? AND t_ms = ? AND variant = ?"
        highest = self._db.execute(query, (stream, row.t_ms, row.variant)).fetchone()[0]
        return (highest or 0) + 1

    def settle(self, refused: Sequence[Intended]) -> None:
        """InfluxDB has every intended line but the refused ones, which are forgotten."""
        with self._transaction():
            for intended in refused:
                self._db.execute(
                    "DELETE FROM identities WHERE (stream, by_number, number, variant) IN"
                    " (SELECT stream, by_number, number, variant FROM intent WHERE id = ?)",
                    (intended.intent_id,),
                )
            self._db.execute("DELETE FROM intent")

    def _series_key(self, row: Row, slot: int) -> str:
        parts = (row.site, row.stream_id, row.variant, slot)
        if parts not in self._keys:
            if len(self._keys) > 100_000:
                self._keys.clear()
            self._keys[parts] = series_key(*parts)
        return self._keys[parts]


def _row_id(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None  # noqa: S101  (an INSERT gave it)
    return cursor.lastrowid
