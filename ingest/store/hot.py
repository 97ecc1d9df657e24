"""The newest readings of the SQLite store: one row per batch, appended in the order of arrival, without an index.

An index by stream would be written anew at every commit, page by page (``facts/data-path.md`` 4: 9.7 KB a reading).
So each process keeps its own list of which row holds which stream, and reads only what was appended since it last
looked. ``sealing`` moves everything up to some id into blocks at once and says so in ``sealed``.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ingest.store.blocks import NO_NUMBER, Columns, empty, flag_of, kind_of, pack, unpack
from ingest.store.identity import Fresh
from telemetry.readings import Quality

SCHEMA = """
CREATE TABLE IF NOT EXISTS sealed(id INTEGER PRIMARY KEY CHECK(id = 1), hot_id INTEGER NOT NULL);
INSERT OR IGNORE INTO sealed VALUES (1, 0);
CREATE TABLE IF NOT EXISTS hot(
  id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, n INTEGER NOT NULL, first_ms INTEGER NOT NULL,
  span_ms INTEGER NOT NULL, high_number INTEGER NOT NULL, source INTEGER NOT NULL, kind INTEGER NOT NULL,
  max_error_ms INTEGER NOT NULL, later_ms INTEGER NOT NULL, numbers BLOB NOT NULL, odd BLOB);
"""
INSERT = "INSERT INTO hot VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
_SELECT = "SELECT n, first_ms, source, kind, max_error_ms, later_ms, numbers, odd, stream, id FROM hot"


class Piece(NamedTuple):
    """A row of ``hot`` or ``blocks``: readings of one stream between two times."""

    first_ms: int
    last_ms: int
    n: int
    high_number: int
    id: int


class HotList:
    """Which rows of ``hot`` hold which stream, as one connection sees it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._sealed_to = -1
        self.clear()

    def clear(self) -> None:
        """Look at everything again at the next ``refresh``."""
        self._by_stream: dict[int, list[Piece]] = defaultdict(list)
        self.last_id = self._sealed_to
        self.readings = 0
        self.longest = 0
        self.rows = 0

    def refresh(self) -> None:
        """See what was appended or sealed since; inside the transaction in which the pieces will be read."""
        sealed_to = self._db.execute("SELECT hot_id FROM sealed").fetchone()[0]
        if sealed_to != self._sealed_to:
            self._sealed_to = sealed_to
            self.clear()
        query = "SELECT id, stream, n, first_ms, first_ms + span_ms, high_number FROM hot WHERE id > ? ORDER BY id"
        for row_id, stream, n, first_ms, last_ms, number in self._db.execute(query, (self.last_id,)):
            self.add(stream, Piece(first_ms, last_ms, n, number, row_id))

    def add(self, stream: int, piece: Piece) -> None:
        pieces = self._by_stream[stream]
        pieces.append(piece)
        self.last_id = piece.id
        self.rows += 1
        self.readings += piece.n
        self.longest = max(self.longest, len(pieces))

    def of(self, stream: int) -> Sequence[Piece]:
        """In the order of arrival."""
        return self._by_stream.get(stream, ())

    def read(self, pieces: Iterable[Piece]) -> Columns:
        """All readings of these pieces, in their order."""
        columns = empty()
        for piece in pieces:
            _add(columns, *self._db.execute(f"{_SELECT} WHERE id = ?", (piece.id,)).fetchone()[:8])
        return columns

    def read_up_to(self, last_id: int, into: dict[int, Columns], after: int, limit: int) -> int:
        """Add the next ``limit`` rows to what was read of their streams; the id of the last one, 0 for none."""
        query = f"{_SELECT} WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
        rows = self._db.execute(query, (after, last_id, limit)).fetchall()
        for *found, stream, _ in rows:
            columns = into.get(stream)
            if columns is None:
                columns = into[stream] = empty()
            _add(columns, *found)
        return int(rows[-1][-1]) if rows else 0


def row_of(piece: Piece, stream: int, source: int, fresh: Fresh) -> tuple[object, ...]:
    """The row that ``INSERT`` takes: ``numbers`` are values, numbers of the outbox, and times if there is more than one.

    ``later_ms`` is from the first reading to the arrival.
    """
    batch = fresh.batch
    numbers = [*[value or 0 for value in batch.milli], *batch.seq]
    if piece.n > 1:
        numbers += batch.t_ms
    max_error_ms = -1 if batch.max_error_ms is None else batch.max_error_ms
    place = (piece.id, stream, piece.n, piece.first_ms, piece.last_ms - piece.first_ms, piece.high_number)
    said = (source, kind_of(batch.origin, batch.sync), max_error_ms, batch.received_at_ms - piece.first_ms)
    return (*place, *said, array("q", numbers).tobytes(), _odd(fresh))


def _odd(fresh: Fresh) -> bytes | None:
    """Flags, numbers and variants; None where all are the usual."""
    batch = fresh.batch
    usual = fresh.variants is None and batch.device_seq is None and not batch.quality
    if usual and None not in batch.milli:
        return None
    n = len(batch)
    flags = [flag_of(milli, batch.quality.get(i, Quality.GOOD)) for i, milli in enumerate(batch.milli)]
    columns = (flags, batch.device_seq or [NO_NUMBER] * n, fresh.variants or [0] * n)
    return b"".join(pack(column) for column in columns)


def _add(
    columns: Columns,
    n: int,
    first_ms: int,
    source: int,
    kind: int,
    max_error_ms: int,
    later_ms: int,
    numbers: bytes,
    odd: bytes | None,
) -> None:
    """A row of the table at the end of ``columns``."""
    read = array("q")
    read.frombytes(numbers)
    if n == 1:
        columns.t_ms.append(first_ms)
        columns.milli.append(read[0])
        columns.seq.append(read[1])
    else:
        columns.milli.extend(read[:n])
        columns.seq.extend(read[n : 2 * n])
        columns.t_ms.extend(read[2 * n :])
    if odd is None:
        columns.flags += [0] * n
        columns.number += [NO_NUMBER] * n
        columns.variant += [0] * n
    else:
        place = 0
        for column in (columns.flags, columns.number, columns.variant):
            found, place = unpack(odd, place, n)
            column += [found] * n if isinstance(found, int) else found
    columns.source += [source] * n
    columns.kind += [kind] * n
    columns.max_error_ms += [max_error_ms] * n
    columns.received_at_ms += [first_ms + later_ms] * n
