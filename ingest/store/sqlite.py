"""The time series in one SQLite file: WAL, synchronous=FULL, readers in other processes beside one writer.

A plain table: rowid, one unique index for the identity and one for reading in time order (``facts/data-path.md`` 4
measures what sealed blocks would save; they come behind the same contract). Values are whole thousandths, so that a
decimal comes back as it went in.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ingest.sqlite_file import prepare, told, transaction
from ingest.store import stream_ids
from ingest.store.identity import Fresh, append_rows, divide
from ingest.store.model import AppendResult, Cursor, Page, Row, Said, StreamBatch, from_thousandths
from ingest.store.stream_ids import StreamIds
from telemetry.errors import ConfigError
from telemetry.readings import Origin, Quality, Sync

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stream_sites(site TEXT NOT NULL, stream INTEGER NOT NULL, PRIMARY KEY(site, stream))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sources(
  id INTEGER PRIMARY KEY, site TEXT NOT NULL, edge TEXT NOT NULL, epoch TEXT NOT NULL, UNIQUE(site, edge, epoch));
CREATE TABLE IF NOT EXISTS readings(
  stream INTEGER NOT NULL, t_ms INTEGER NOT NULL, device_seq INTEGER NOT NULL, variant INTEGER NOT NULL,
  value INTEGER, quality TEXT NOT NULL, origin TEXT NOT NULL, source INTEGER NOT NULL, seq INTEGER NOT NULL,
  sync TEXT NOT NULL, max_error_ms INTEGER, received_at_ms INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS readings_in_order ON readings(stream, t_ms, device_seq, variant);
CREATE UNIQUE INDEX IF NOT EXISTS readings_by_number ON readings(stream, device_seq, variant) WHERE device_seq >= 0;
"""
_SELECT = """
SELECT o.site, s.name, r.t_ms, r.value, r.quality, r.origin, r.device_seq, r.variant, o.edge, o.epoch, r.seq, r.sync,
       r.max_error_ms, r.received_at_ms
FROM readings r JOIN streams s ON s.id = r.stream JOIN sources o ON o.id = r.source
"""
_ORDER = "ORDER BY r.t_ms, r.device_seq, r.variant LIMIT ?"
_BEFORE_ALL = Cursor(-1, -2, -1)


class SqliteStore:
    """One writer; an object may be shared by threads.

    ``read_only`` for the api: it never makes the file, and is empty as long as ingest has not made it.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self._lock = threading.Lock()
        self._path = str(path)
        self._sources: dict[tuple[str, str, str], int] = {}
        self._known_sites: set[tuple[str, int]] = set()
        self._read_only = read_only
        self._reader: sqlite3.Connection | None = None
        if not read_only:
            with self._down():
                self._db = self._connect("")
                prepare(self._db, stream_ids.SCHEMA + _SCHEMA)
                self._streams = StreamIds(self._db)
                self._reader = self._db

    def _connect(self, mode: str) -> sqlite3.Connection:
        target = f"file:{quote(self._path)}{mode}"
        return sqlite3.connect(target, uri=True, timeout=30.0, isolation_level=None, check_same_thread=False)

    @contextmanager
    def _down(self) -> Iterator[None]:
        with told("store", self._path):
            yield

    # --- write ------------------------------------------------------------------------------------------------

    def append(self, rows: Sequence[Row]) -> AppendResult:
        return append_rows(self, rows)

    def append_columns(self, batches: Sequence[StreamBatch]) -> AppendResult:
        if self._read_only:
            raise ConfigError("ingest.store.path", "this store was opened for reading only")
        with self._lock, self._down():
            try:
                with transaction(self._db):
                    result = self._append(batches)
            except BaseException:
                self._forget_ids()
                raise
        return result

    def _append(self, batches: Sequence[StreamBatch]) -> AppendResult:
        divided = divide(batches, self)
        for fresh in divided.fresh:
            self._insert(fresh)
        committed = sum(len(fresh.batch) for fresh in divided.fresh)
        return AppendResult(committed, divided.duplicates, divided.conflicts, tuple(divided.rejected))

    def mark(self, stream_id: str, *, numbered: bool) -> int:
        stream = self._streams.find(stream_id)
        query = "SELECT max(t_ms) FROM readings WHERE stream = ?"
        if numbered:
            query = "SELECT max(device_seq) FROM readings WHERE stream = ? AND device_seq >= 0"
        found = self._db.execute(query, (stream,)).fetchone()[0]
        return -1 if found is None else int(found)

    def at_times(self, stream_id: str, times: Sequence[int]) -> Mapping[int, list[Said]]:
        return self._contents(stream_id, "t_ms = ? AND device_seq = -1", times)

    def at_numbers(self, stream_id: str, numbers: Sequence[int]) -> Mapping[int, list[Said]]:
        return self._contents(stream_id, "device_seq = ?", numbers)

    def _contents(self, stream_id: str, where: str, keys: Sequence[int]) -> Mapping[int, list[Said]]:
        """What is stored of identities, by variant."""
        stream = self._streams.find(stream_id)
        query = f"SELECT value, quality FROM readings WHERE stream = ? AND {where} ORDER BY variant"  # noqa: S608
        return {key: [(v, Quality(q)) for v, q in self._db.execute(query, (stream, key))] for key in keys}

    def _insert(self, fresh: Fresh) -> None:
        batch = fresh.batch
        stream = self._streams.make(batch.stream_id)
        if (batch.site, stream) not in self._known_sites:
            self._db.execute("INSERT OR IGNORE INTO stream_sites VALUES (?,?)", (batch.site, stream))
            self._known_sites.add((batch.site, stream))
        source = self._source_id((batch.site, batch.edge, batch.epoch))
        tail = (batch.sync.value, batch.max_error_ms, batch.received_at_ms)
        numbers = batch.device_seq or [-1] * len(batch)
        self._db.executemany(
            "INSERT INTO readings VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            [
                (stream, t_ms, numbers[i], fresh.variant(i), *batch.said(i), batch.origin.value, source, seq, *tail)
                for i, (t_ms, seq) in enumerate(zip(batch.t_ms, batch.seq, strict=True))
            ],
        )

    def _source_id(self, source: tuple[str, str, str]) -> int:
        if source not in self._sources:
            self._db.execute("INSERT OR IGNORE INTO sources(site, edge, epoch) VALUES (?,?,?)", source)
            found = self._db.execute("SELECT id FROM sources WHERE (site, edge, epoch) = (?,?,?)", source)
            self._sources[source] = found.fetchone()[0]
        return self._sources[source]

    def _forget_ids(self) -> None:
        """A rolled back transaction took its new ids with it."""
        self._streams.forget()
        self._sources.clear()
        self._known_sites.clear()

    # --- read -------------------------------------------------------------------------------------------------

    def read(
        self, stream_id: str, from_ms: int, to_ms: int, *, limit: int = 10_000, after: Cursor | None = None
    ) -> Page:
        where = "WHERE s.name = ? AND r.t_ms >= ? AND r.t_ms < ? AND (r.t_ms, r.device_seq, r.variant) > (?,?,?)"
        at = after or _BEFORE_ALL
        low = max(from_ms, at.t_ms)
        rows = self._rows(f"{_SELECT} {where} {_ORDER}", (stream_id, low, to_ms, *at, limit + 1))
        more = len(rows) > limit
        return Page(tuple(rows[:limit]), rows[limit - 1].cursor if more else None)

    def latest(self, stream_ids: Sequence[str]) -> dict[str, Row]:
        query = f"{_SELECT} WHERE s.name = ? ORDER BY r.t_ms DESC, r.device_seq DESC, r.variant DESC LIMIT 1"
        found = {name: self._rows(query, (name,)) for name in stream_ids}
        return {name: rows[0] for name, rows in found.items() if rows}

    def streams(self, site: str | None = None) -> list[str]:
        query = "SELECT DISTINCT s.name FROM stream_sites x JOIN streams s ON s.id = x.stream"
        if site is None:
            return [name for (name,) in self._query(f"{query} ORDER BY s.name", ())]
        return [name for (name,) in self._query(f"{query} WHERE x.site = ? ORDER BY s.name", (site,))]

    def count(self, stream_id: str) -> int:
        query = "SELECT count(*) FROM readings r JOIN streams s ON s.id = r.stream WHERE s.name = ?"
        return sum(n for (n,) in self._query(query, (stream_id,)))

    def _query(self, query: str, arguments: Iterable[object]) -> list[Any]:
        with self._lock, self._down():
            if self._reader is None:
                if not Path(self._path).exists():
                    return []
                self._reader = self._connect("?mode=ro")
            try:
                return self._reader.execute(query, tuple(arguments)).fetchall()
            except sqlite3.OperationalError as error:
                if self._read_only and "no such table" in str(error):  # ingest is just making the file
                    return []
                raise

    def _rows(self, query: str, arguments: Iterable[object]) -> list[Row]:
        return [_row(columns) for columns in self._query(query, arguments)]

    def close(self) -> None:
        with self._lock:
            if self._reader is not None:
                self._reader.close()


def _row(columns: Sequence[Any]) -> Row:
    site, name, t_ms, value, quality, origin, device_seq, variant, edge, epoch, seq, sync, max_error_ms, at_ms = (
        columns
    )
    return Row(
        site=site,
        stream_id=name,
        t_ms=t_ms,
        value=from_thousandths(value),
        quality=Quality(quality),
        origin=Origin(origin),
        device_seq=None if device_seq < 0 else device_seq,
        variant=variant,
        edge=edge,
        epoch=epoch,
        seq=seq,
        sync=Sync(sync),
        max_error_ms=max_error_ms,
        received_at_ms=at_ms,
    )
