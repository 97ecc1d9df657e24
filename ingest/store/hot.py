"""The newest readings of the SQLite store: one row per batch, appended in the order of arrival, without an index.

An index by stream would be written anew at every commit, page by page (``facts/data-path.md`` 4: 9.7 KB a reading).
So each process keeps its own list of which row holds which stream, and reads only what was appended since it last
looked. ``sealing`` moves everything up to some id into blocks at once and says so in ``sealed``.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from ingest.store.blocks import NO_NUMBER, Columns, flag_of, kind_of, pack, unpack
from ingest.store.identity import Fresh
from telemetry.readings import Quality

SCHEMA = """
CREATE TABLE IF NOT EXISTS sealed(id INTEGER PRIMARY KEY CHECK(id = 1), hot_id INTEGER NOT NULL);
INSERT OR IGNORE INTO sealed VALUES (1, 0);
CREATE TABLE IF NOT EXISTS hot(
  id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, n INTEGER NOT NULL, first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL, high_number INTEGER NOT NULL, source INTEGER NOT NULL, kind INTEGER NOT NULL,
  max_error_ms INTEGER NOT NULL, received_at_ms INTEGER NOT NULL, times BLOB NOT NULL, rest BLOB NOT NULL, odd BLOB);
"""
INSERT = "INSERT INTO hot VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
_SELECT = "SELECT n, source, kind, max_error_ms, received_at_ms, times, rest, odd FROM hot WHERE id = ?"


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
        query = "SELECT id, stream, n, first_ms, last_ms, high_number FROM hot WHERE id > ? ORDER BY id"
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

    def streams(self) -> list[int]:
        return list(self._by_stream)

    def read(self, piece: Piece) -> Columns:
        return _columns(*self._db.execute(_SELECT, (piece.id,)).fetchone())


def row_of(piece: Piece, stream: int, source: int, fresh: Fresh) -> tuple[object, ...]:
    """The row that ``INSERT`` takes."""
    batch = fresh.batch
    milli = [value or 0 for value in batch.milli]
    kind = kind_of(batch.origin, batch.sync)
    max_error_ms = -1 if batch.max_error_ms is None else batch.max_error_ms
    rest = array("q", milli).tobytes() + array("q", batch.seq).tobytes()
    said = (source, kind, max_error_ms, batch.received_at_ms, array("q", batch.t_ms).tobytes(), rest, _odd(fresh))
    return (piece.id, stream, piece.n, piece.first_ms, piece.last_ms, piece.high_number, *said)


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


def _columns(
    n: int,
    source: int,
    kind: int,
    max_error_ms: int,
    received_at_ms: int,
    times: bytes,
    rest: bytes,
    odd: bytes | None,
) -> Columns:
    t_ms, both = array("q"), array("q")
    t_ms.frombytes(times)
    both.frombytes(rest)
    flags, numbers, variants = [0] * n, [NO_NUMBER] * n, [0] * n
    if odd is not None:
        place = 0
        for column in (flags, numbers, variants):
            found, place = unpack(odd, place, n)
            column[:] = [found] * n if isinstance(found, int) else found
    lists = (t_ms.tolist(), both[:n].tolist(), flags, numbers, variants)
    return Columns(*lists, [source] * n, [kind] * n, [max_error_ms] * n, [received_at_ms] * n, both[n:].tolist())
