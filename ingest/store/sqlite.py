"""The time series in one SQLite file: WAL, synchronous=FULL, readers in other processes beside one writer.

    append ─▶ hot (one row a batch, no index) ─ sealed ─▶ blocks (one stream and day, columns, deflated)

A row and an index entry for each reading cost 9.7 KB written and 26 bytes kept (``facts/data-path.md`` 4); this form
is measured in ``benchmarks/store.md`` and argued in ``docs/decisions/0017-blocks.md``. Values are whole thousandths,
so that a decimal comes back as it went in.
"""

from __future__ import annotations

import sqlite3
import threading
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from ingest.sqlite_file import Told, Transaction, prepare
from ingest.store import hot, plain_table, sealing, stream_ids
from ingest.store.blocks import (
    Columns,
    DamagedError,
    Front,
    at,
    decode,
    decode_front,
    joined,
    origin_of,
    said_of,
)
from ingest.store.fronts import Fronts, Part, decode_fronts
from ingest.store.hot import HotList, Piece
from ingest.store.identity import Fresh, append_rows, divide
from ingest.store.model import AppendResult, Cursor, Page, Row, Said, Series, StreamBatch, from_thousandths
from ingest.store.sealing import DAY_MS, Sealer
from ingest.store.stream_ids import StreamIds
from telemetry.errors import ConfigError, NeighbourDownError

_SCHEMA = f"""
{stream_ids.SCHEMA}
CREATE TABLE IF NOT EXISTS stream_sites(site TEXT NOT NULL, stream INTEGER NOT NULL, PRIMARY KEY(site, stream))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sources(
  id INTEGER PRIMARY KEY, site TEXT NOT NULL, edge TEXT NOT NULL, epoch TEXT NOT NULL, UNIQUE(site, edge, epoch));
{hot.SCHEMA}{sealing.SCHEMA}
"""
# So many hot rows in a line are read as one.
_TOGETHER = 100
_BEFORE_ALL = Cursor(-1, -2, -1)


class SqliteStore:
    """One writer; an object may be shared by threads.

    ``read_only`` for the api: it never makes the file, and is empty as long as ingest has not made it.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self._lock = threading.Lock()
        self._path = str(path)
        self._source_ids: dict[tuple[str, str, str], int] = {}
        self._sources: dict[int, tuple[str, str, str]] = {}
        self._known_sites: set[tuple[str, int]] = set()
        self._marks: dict[int, tuple[int, int]] = {}
        self._read_only = read_only
        self._opened = False
        if not read_only:
            with self._down():
                self._open("")
                prepare(self._db, _SCHEMA)
                plain_table.convert(self._db)

    def _open(self, mode: str) -> None:
        target = f"file:{quote(self._path)}{mode}"
        self._db = sqlite3.connect(target, uri=True, timeout=30.0, isolation_level=None, check_same_thread=False)
        self._streams = StreamIds(self._db)
        self._hot = HotList(self._db)
        self._sealer = Sealer(self._db, self._hot)
        self._opened = True

    @contextmanager
    def _down(self) -> Iterator[None]:
        with Told("store", self._path):
            try:
                yield
            except DamagedError as error:
                advice = (
                    "the disk may be failing: keep the file, and fill a new store from the journal (ingest/README.md)"
                )
                raise NeighbourDownError("store", f"{self._path}: {error}", advice=advice) from error

    # --- write ------------------------------------------------------------------------------------------------

    def append(self, rows: Sequence[Row]) -> AppendResult:
        return append_rows(self, rows)

    def append_columns(self, batches: Sequence[StreamBatch]) -> AppendResult:
        self._may_write()
        with self._lock, self._down():
            try:
                with Transaction(self._db):
                    self._hot.refresh()
                    divided = divide(batches, self)
                    pieces = self._insert(divided.fresh)
            except BaseException:
                self._forget()
                raise
            for fresh, (stream, piece) in zip(divided.fresh, pieces, strict=True):
                self._hot.add(stream, piece)
                last_ms, number = self._mark(stream)
                self._marks[stream] = max(last_ms, fresh.last_ms), max(number, piece.high_number)
            committed = sum(len(fresh.batch) for fresh in divided.fresh)
            self._sealer.keep_up(committed)
        return AppendResult(committed, divided.duplicates, divided.conflicts, tuple(divided.rejected))

    def tidy(self) -> bool:
        self._may_write()
        with self._lock, self._down():
            return self._sealer.step() if self._sealer.due else False

    def seal(self) -> None:
        """Turn all that was appended so far into blocks now."""
        self._may_write()
        with self._lock, self._down():
            self._hot.refresh()
            self._sealer.step(at_once=True)

    def _may_write(self) -> None:
        if self._read_only:
            raise ConfigError("ingest.store.path", "this store was opened for reading only")

    def _insert(self, fresh: Sequence[Fresh]) -> list[tuple[int, Piece]]:
        """(stream, piece) of each, and their rows into the table."""
        pieces: list[tuple[int, Piece]] = []
        rows: list[tuple[object, ...]] = []
        row_id = self._hot.last_id
        for one in fresh:
            batch = one.batch
            row_id += 1
            stream = self._streams.make(batch.stream_id)
            self._make_site(batch.site, stream)
            number = -1 if batch.device_seq is None else max(batch.device_seq)
            piece = Piece(one.first_ms, one.last_ms, len(batch), number, row_id)
            pieces.append((stream, piece))
            rows.append(hot.row_of(piece, stream, self._source_id((batch.site, batch.edge, batch.epoch)), one))
        self._db.executemany(hot.INSERT, rows)
        return pieces

    def _make_site(self, site: str, stream: int) -> None:
        if (site, stream) not in self._known_sites:
            self._db.execute("INSERT OR IGNORE INTO stream_sites VALUES (?,?)", (site, stream))
            self._known_sites.add((site, stream))

    def _source_id(self, source: tuple[str, str, str]) -> int:
        if source not in self._source_ids:
            self._db.execute("INSERT OR IGNORE INTO sources(site, edge, epoch) VALUES (?,?,?)", source)
            found = self._db.execute("SELECT id FROM sources WHERE (site, edge, epoch) = (?,?,?)", source)
            self._source_ids[source] = found.fetchone()[0]
        return self._source_ids[source]

    def _forget(self) -> None:
        """A rolled back transaction took its new ids with it."""
        self._streams.forget()
        self._source_ids.clear()
        self._sources.clear()
        self._known_sites.clear()
        self._marks.clear()
        self._hot.clear()

    # --- what it holds of identities (inside a transaction) ---------------------------------------------------

    def mark(self, stream_id: str, *, numbered: bool) -> int:
        stream = self._streams.find(stream_id)
        if stream is None:
            return -1
        if stream not in self._marks:
            self._marks[stream] = self._mark(stream)
        return self._marks[stream][numbered]

    def _mark(self, stream: int) -> tuple[int, int]:
        """(latest time, highest device number)."""
        if stream in self._marks:
            return self._marks[stream]
        query = "SELECT max(last_ms), max(high_number) FROM blocks WHERE stream = ?"
        last_ms, number = self._db.execute(query, (stream,)).fetchone()
        pieces = self._hot.of(stream)
        return (
            max([-1 if last_ms is None else last_ms, *(piece.last_ms for piece in pieces)]),
            max([-1 if number is None else number, *(piece.high_number for piece in pieces)]),
        )

    def at_times(self, stream_id: str, times: Sequence[int]) -> Mapping[int, list[Said]]:
        stream = self._streams.find(stream_id)
        found: dict[int, list[tuple[int, Said]]] = defaultdict(list)
        if stream is None:
            return {}
        for piece, is_hot in self._pieces(stream, times[0], times[-1] + 1):
            low = bisect_left(times, piece.first_ms)
            wanted = times[low : bisect_left(times, piece.last_ms + 1)]
            if not wanted:
                continue
            front = self._front(piece, is_hot)
            for t_ms in wanted:
                for i in range(bisect_left(front.t_ms, t_ms), bisect_left(front.t_ms, t_ms + 1)):
                    if at(front.number, i) < 0:
                        found[t_ms].append((at(front.variant, i), front.said(i)))
        return {t_ms: [said for _, said in sorted(contents, key=_first)] for t_ms, contents in found.items()}

    def at_numbers(self, stream_id: str, numbers: Sequence[int]) -> Mapping[int, list[Said]]:
        stream = self._streams.find(stream_id)
        found: dict[int, list[tuple[int, Said]]] = defaultdict(list)
        if stream is None:
            return {}
        wanted = set(numbers)
        query = "SELECT first_ms, last_ms, n, high_number, id FROM blocks WHERE stream = ? AND high_number >= ?"
        pieces = [(Piece(*columns), False) for columns in self._db.execute(query, (stream, numbers[0]))]
        pieces += [(piece, True) for piece in self._hot.of(stream) if piece.high_number >= numbers[0]]
        for piece, is_hot in pieces:
            front = self._front(piece, is_hot)
            for i in range(piece.n):
                number = at(front.number, i)
                if number in wanted:
                    found[number].append((at(front.variant, i), front.said(i)))
        return {number: [said for _, said in sorted(contents, key=_first)] for number, contents in found.items()}

    # --- pieces (inside a transaction) ------------------------------------------------------------------------

    def _pieces(self, stream: int, from_ms: int, to_ms: int) -> list[tuple[Piece, bool]]:
        """What may hold rows of [from_ms, to_ms), by its first time; whether it is hot."""
        query = "SELECT first_ms, last_ms, n, high_number, id FROM blocks WHERE stream = ? AND day BETWEEN ? AND ?"
        days = (stream, from_ms // DAY_MS, (to_ms - 1) // DAY_MS)
        pieces = [(Piece(*columns), False) for columns in self._db.execute(query, days)]
        pieces += [(piece, True) for piece in self._hot.of(stream)]
        return sorted(pair for pair in pieces if pair[0].first_ms < to_ms and pair[0].last_ms >= from_ms)

    def _body(self, piece: Piece) -> bytes:
        body = self._db.execute("SELECT body FROM blocks WHERE id = ?", (piece.id,)).fetchone()[0]
        assert isinstance(body, bytes)  # noqa: S101  (the table says NOT NULL)
        return body

    def _front(self, piece: Piece, is_hot: bool) -> Front:
        if not is_hot:
            return decode_front(self._body(piece))
        columns = joined([self._hot.read([piece])])
        return Front(columns.t_ms, columns.milli, columns.flags, columns.number, columns.variant)

    # --- read -------------------------------------------------------------------------------------------------

    @contextmanager
    def _looking(self) -> Iterator[bool]:
        """One state of the file for the block; False for a file that ingest has not made yet."""
        with self._lock, self._down():
            if not self._opened:
                if not Path(self._path).exists():
                    yield False
                    return
                self._open("?mode=ro")
            self._db.execute("BEGIN")
            try:
                yield self._made()
            finally:
                if self._db.in_transaction:
                    self._db.execute("COMMIT")

    def _made(self) -> bool:
        try:
            self._hot.refresh()
        except sqlite3.OperationalError as error:
            if self._read_only and "no such table" in str(error):  # ingest is just making the file
                return False
            raise
        return True

    def read(
        self, stream_id: str, from_ms: int, to_ms: int, *, limit: int = 10_000, after: Cursor | None = None
    ) -> Page:
        rows: list[Row] = []
        with self._looking() as made:
            stream = self._streams.find(stream_id) if made else None
            if stream is None:
                return Page(())
            cursor = after or _BEFORE_ALL
            for columns in self._in_order(stream, max(from_ms, cursor.t_ms), to_ms):
                for i in range(bisect_left(columns.t_ms, max(from_ms, cursor.t_ms)), len(columns)):
                    place = (columns.t_ms[i], columns.number[i], columns.variant[i])
                    if place[0] >= to_ms:
                        break
                    if place <= cursor:
                        continue
                    if len(rows) == limit:
                        return Page(tuple(rows), rows[-1].cursor)
                    rows.append(self._row(stream_id, columns, i))
        return Page(tuple(rows))

    def _in_order(self, stream: int, from_ms: int, to_ms: int) -> Iterator[Columns]:
        """Everything that may lie in a span, in order; pieces that overlap are joined."""
        for group in _overlapping(self._pieces(stream, from_ms, to_ms)):
            yield self._joined(group)

    def _joined(self, group: Sequence[tuple[Piece, bool]]) -> Columns:
        fresh = [piece for piece, is_hot in group if is_hot]
        parts = [decode(self._body(piece)) for piece, is_hot in group if not is_hot]
        return joined([*parts, self._hot.read(fresh)] if fresh else parts)

    def read_columns(self, stream_id: str, from_ms: int, to_ms: int) -> Series:
        series = Series()
        with self._looking() as made:
            stream = self._streams.find(stream_id) if made else None
            if stream is None:
                return series
            for fronts in self._fronts(stream, from_ms, to_ms):
                _extend(series, fronts, from_ms, to_ms)
        return series

    def _fronts(self, stream: int, from_ms: int, to_ms: int) -> Iterator[Fronts]:
        """Everything that may lie in a span, in order; blocks that share no time with others many at a time."""
        blocks: list[Piece] = []
        for group in _overlapping(self._pieces(stream, from_ms, to_ms)):
            alone = len(group) == 1 and not group[0][1]
            if alone:
                blocks.append(group[0][0])
            if blocks and (not alone or len(blocks) == _TOGETHER):
                yield decode_fronts(self._bodies(stream, blocks))
                blocks = []
            if not alone:
                whole = self._joined(group)
                part = Part(0, len(whole), whole.flags, whole.number, whole.variant)
                yield Fronts(array("q", whole.t_ms), array("q", whole.milli), [part])
        if blocks:
            yield decode_fronts(self._bodies(stream, blocks))

    def _bodies(self, stream: int, blocks: Sequence[Piece]) -> list[bytes]:
        """Of sealed pieces in a row, by one question."""
        query = "SELECT id, body FROM blocks WHERE stream = ? AND day BETWEEN ? AND ?"
        days = (stream, blocks[0].first_ms // DAY_MS, blocks[-1].first_ms // DAY_MS)
        found: dict[int, bytes] = dict(self._db.execute(query, days))
        return [found[block.id] for block in blocks]

    def latest(self, stream_ids: Sequence[str]) -> dict[str, Row]:
        found: dict[str, Row] = {}
        with self._looking() as made:
            for name in stream_ids if made else ():
                stream = self._streams.find(name)
                row = None if stream is None else self._last_row(stream, name)
                if row is not None:
                    found[name] = row
        return found

    def _last_row(self, stream: int, name: str) -> Row | None:
        newest = "(SELECT max(day) FROM blocks WHERE stream = ?1)"
        query = f"SELECT first_ms, last_ms, n, high_number, id FROM blocks WHERE stream = ?1 AND day = {newest}"  # noqa: S608
        pieces = [(Piece(*columns), False) for columns in self._db.execute(query, (stream,))]
        pieces += [(piece, True) for piece in self._hot.of(stream)]
        last_ms = max((piece.last_ms for piece, _ in pieces), default=None)
        if last_ms is None:
            return None
        last = self._joined([pair for pair in pieces if pair[0].last_ms == last_ms])
        return self._row(name, last, len(last) - 1)

    def streams(self, site: str | None = None) -> list[str]:
        query = "SELECT DISTINCT s.name FROM stream_sites x JOIN streams s ON s.id = x.stream"
        where, arguments = ("", ()) if site is None else (" WHERE x.site = ?", (site,))
        with self._looking() as made:
            found = self._db.execute(f"{query}{where} ORDER BY s.name", arguments).fetchall() if made else []
        return [name for (name,) in found]

    def count(self, stream_id: str) -> int:
        with self._looking() as made:
            stream = self._streams.find(stream_id) if made else None
            if stream is None:
                return 0
            sealed = self._db.execute("SELECT sum(n) FROM blocks WHERE stream = ?", (stream,)).fetchone()[0]
            return (sealed or 0) + sum(piece.n for piece in self._hot.of(stream))

    def _row(self, name: str, columns: Columns, i: int) -> Row:
        site, edge, epoch = self._source(columns.source[i])
        milli, quality = said_of(columns.milli[i], columns.flags[i])
        origin, sync = origin_of(columns.kind[i])
        number, max_error_ms = columns.number[i], columns.max_error_ms[i]
        return Row(
            site=site,
            stream_id=name,
            t_ms=columns.t_ms[i],
            value=from_thousandths(milli),
            quality=quality,
            origin=origin,
            device_seq=None if number < 0 else number,
            variant=columns.variant[i],
            edge=edge,
            epoch=epoch,
            seq=columns.seq[i],
            sync=sync,
            max_error_ms=None if max_error_ms < 0 else max_error_ms,
            received_at_ms=columns.received_at_ms[i],
        )

    def _source(self, source: int) -> tuple[str, str, str]:
        if source not in self._sources:
            query = "SELECT site, edge, epoch FROM sources WHERE id = ?"
            site, edge, epoch = self._db.execute(query, (source,)).fetchone()
            self._sources[source] = (site, edge, epoch)
        return self._sources[source]

    def close(self) -> None:
        with self._lock:
            if self._opened:
                self._db.close()


def _first(pair: tuple[int, Said]) -> int:
    return pair[0]


def _overlapping(pieces: Sequence[tuple[Piece, bool]]) -> Iterator[list[tuple[Piece, bool]]]:
    """Pieces, sorted by their first time, in groups that share no time with the next."""
    group: list[tuple[Piece, bool]] = []
    end = -1
    for pair in pieces:
        if group and pair[0].first_ms > end and not (pair[1] and group[-1][1] and len(group) < _TOGETHER):
            yield group
            group = []
        group.append(pair)
        end = max(end, pair[0].last_ms)
    if group:
        yield group


def _extend(series: Series, fronts: Fronts, from_ms: int, to_ms: int) -> None:
    """The part of ``fronts`` that lies in the span."""
    first, end = bisect_left(fronts.t_ms, from_ms), bisect_left(fronts.t_ms, to_ms)
    shift = len(series.t_ms) - first
    if not series.t_ms and end - first == len(fronts.t_ms):
        series.t_ms, series.milli = fronts.t_ms, fronts.milli
    else:
        series.t_ms.extend(fronts.t_ms[first:end])
        series.milli.extend(fronts.milli[first:end])
    for start, n, flags, number, variant in fronts.parts:
        here = range(max(first - start, 0), min(end - start, n))
        to = start + shift
        # A hot piece has a number for every entry, mostly the usual one: a look at C speed before a look at each.
        if flags != 0 and (isinstance(flags, int) or any(flags)):
            odd = ((i, at(flags, i)) for i in here)
            series.odd.update((to + i, said_of(fronts.milli[start + i], flag)) for i, flag in odd if flag)
        if number != -1 and (isinstance(number, int) or max(number) >= 0):
            numbers = ((i, at(number, i)) for i in here)
            series.device_seq.update((to + i, found) for i, found in numbers if found >= 0)
        if variant != 0 and (isinstance(variant, int) or any(variant)):
            variants = ((i, at(variant, i)) for i in here)
            series.variant.update((to + i, found) for i, found in variants if found)
