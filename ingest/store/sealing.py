"""From the hot rows of the SQLite store to blocks of a stream and day, a slice of work at a time.

Hot rows never change and only grow in number, so the new blocks are made in small slices outside any transaction,
between two appends; one transaction then puts them in place of the hot rows and of the small blocks they took in. A
kill before it has changed nothing, and a reader sees the state before it or after it.

A day's parts are joined by the dozen while the day lasts and to one when it is past, so a reading is written into a
block about three times. Blocks may overlap in time (late data): readers sort.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence

from ingest.sqlite_file import Transaction
from ingest.store.blocks import Columns, DamagedError, decode, encode, joined
from ingest.store.hot import HotList

_log = logging.getLogger("ingest")
DAY_MS = 86_400_000
SCHEMA = """
CREATE TABLE IF NOT EXISTS blocks(
  id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, day INTEGER NOT NULL, n INTEGER NOT NULL,
  first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, high_number INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS blocks_of ON blocks(stream, day);
"""
BLOCK_ROWS = 4_096
# Hot data are sealed beyond so many rows, readings, or rows of one stream.
HOT_ROWS = 32_768
HOT_READINGS = 200_000
HOT_ROWS_OF_ONE = 256
# Parts of a day below this are joined when there are so many of them, or when the day is past.
_PART = 256
_PARTS = 12
_WHOLE = 1_024
# Readings, and hot rows, in one slice of work: a millisecond or two.
_SLICE = 1_000
_SLICE_ROWS = 500
# (stream, day, n, first ms, last ms, highest number, body)
BlockRow = tuple[int, int, int, int, int, int, bytes]


class Sealer:
    """Of the one writer. ``step`` between two appends, as long as it says that there is more to do."""

    def __init__(self, db: sqlite3.Connection, hot: HotList) -> None:
        self._db = db
        self._hot = hot
        self._slices: Iterator[int] | None = None
        self._worked = 0

    @property
    def due(self) -> bool:
        """There is something to do: enough lies in ``hot``, or a run is under way."""
        hot = self._hot
        enough = hot.rows >= HOT_ROWS or hot.readings >= HOT_READINGS or hot.longest >= HOT_ROWS_OF_ONE
        return enough or self._slices is not None

    def keep_up(self, appended: int) -> None:
        """After an append of so many readings: if due, about three times as many are worked on, so that it ends."""
        worked_to = self._worked + 3 * appended
        while self._worked < worked_to and self.due:
            self.step()

    def step(self, *, at_once: bool = False) -> bool:
        """Do a slice of work, all of it ``at_once``; whether there is more to do."""
        if self._slices is None:
            self._slices = self._run()
        try:
            for worked in self._slices:
                self._worked += worked
                if not at_once:
                    return True
        except BaseException:
            self._slices = None
            raise
        self._slices = None
        return False

    def _run(self) -> Iterator[int]:
        """Yields the readings of each slice."""
        hot_id = self._hot.last_id
        fresh: dict[int, Columns] = {}
        after = 0
        while after < hot_id:
            after = self._hot.read_up_to(hot_id, fresh, after, _SLICE_ROWS) or hot_id
            yield _SLICE_ROWS
        made: list[BlockRow] = []
        gone: list[int] = []
        worked = 0
        while fresh:
            blocks, replaced, read = self._stream(*fresh.popitem())
            made += blocks
            gone += replaced
            worked += read
            if worked >= _SLICE:
                yield worked
                worked = 0
        made.sort(key=lambda block: block[:2])
        with Transaction(self._db):
            self._db.executemany("DELETE FROM blocks WHERE id = ?", [(block_id,) for block_id in gone])
            insert_blocks(self._db, made)
            self._db.execute("DELETE FROM hot WHERE id <= ?", (hot_id,))
            self._db.execute("UPDATE sealed SET hot_id = ?", (hot_id,))
        self._hot.refresh()

    def _stream(self, stream: int, columns: Columns) -> tuple[list[BlockRow], list[int], int]:
        """(new blocks of a stream, ids of blocks that they take in, readings that were read)."""
        fresh = by_day(joined([columns]))
        newest = max(max(fresh), self._last_day(stream))
        made: list[BlockRow] = []
        gone: list[int] = []
        read = 0
        for day in sorted({*fresh, *self._unfinished(stream, min(fresh) - 1, newest)}):
            parts = [fresh[day]] if day in fresh else []
            for block_id, columns in self._to_join(stream, day, past=day < newest, others=len(parts)):
                gone.append(block_id)
                parts.append(columns)
            if parts:
                whole = joined(parts)
                read += len(whole)
                made += block_rows(stream, day, whole)
        return made, gone, read

    def _last_day(self, stream: int) -> int:
        found = self._db.execute("SELECT max(day) FROM blocks WHERE stream = ?", (stream,)).fetchone()[0]
        return -1 if found is None else int(found)

    def _unfinished(self, stream: int, from_day: int, newest: int) -> list[int]:
        """Days that are past and lie in more than one block."""
        query = "SELECT day FROM blocks WHERE stream = ? AND day >= ? AND day < ? GROUP BY day HAVING count(*) > 1"
        return [day for (day,) in self._db.execute(query, (stream, from_day, newest))]

    def _to_join(self, stream: int, day: int, *, past: bool, others: int) -> list[tuple[int, Columns]]:
        query = "SELECT id, body FROM blocks WHERE stream = ? AND day = ? AND n < ?"
        found = self._db.execute(query, (stream, day, _WHOLE if past else _PART)).fetchall()
        if len(found) + others < (2 if past else _PARTS):
            return []
        return [(block_id, columns) for block_id, body in found if (columns := _decoded(block_id, body))]


def _decoded(block_id: int, body: bytes) -> Columns | None:
    """None for a damaged block: it stays as it is, for a person to look at, and its neighbours are joined."""
    try:
        return decode(body)
    except DamagedError as error:
        _log.error("block %d: %s", block_id, error)
        return None


def insert_blocks(db: sqlite3.Connection, blocks: Sequence[BlockRow]) -> None:
    db.executemany(
        "INSERT INTO blocks(stream, day, n, first_ms, last_ms, high_number, body) VALUES (?,?,?,?,?,?,?)", blocks
    )


def by_day(columns: Columns) -> dict[int, Columns]:
    """Columns in order of time, cut at midnight UTC."""
    days: dict[int, list[int]] = defaultdict(list)
    for i, t_ms in enumerate(columns.t_ms):
        days[t_ms // DAY_MS].append(i)
    return {day: columns.cut(places[0], places[-1] + 1) for day, places in days.items()}


def block_rows(stream: int, day: int, columns: Columns) -> Iterator[BlockRow]:
    """One day's readings, in order of time, as rows of ``blocks``."""
    for low in range(0, len(columns), BLOCK_ROWS):
        part = columns.cut(low, low + BLOCK_ROWS)
        yield stream, day, len(part), part.t_ms[0], part.t_ms[-1], max(part.number), encode(part)
