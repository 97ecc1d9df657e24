"""The ledger: what every edge produced, what arrived, what is missing. Its own small SQLite file.

Theory. The journal is the truth; the ledger is a view of it that knows how far it has read (``offset``), so after
a kill it catches up from the journal at start. It keeps what the journal cannot tell any more: ranges of entries that
were forgotten, quarantined numbers, duplicates. Should the journal ever be *behind* the ledger (restored from a
backup, or another journal), the ledger starts over from what the journal holds: a receipt must never claim what the
journal lost, and the gaps are asked for again.

So the disk may lag behind memory: ``commit`` applies changes in memory, ``flush`` writes the epochs and streams touched
since the last one, in one transaction with the offset. What is not in the journal (quarantined numbers, conflicts)
is flushed at once; of repeats a kill may forget the last half second.

``runs`` says between which offsets of the journal an epoch's numbers lie, one row an epoch and flush: by it a number
that comes again is compared with what came first.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from gateway.journal import Entry, Journal
from ingest.edge_clock import ClockOff, ClockView, observed
from ingest.epochs import (
    Change,
    EdgeSummary,
    EpochKey,
    EpochState,
    StreamTally,
    apply,
    change_of,
    current_of,
    rank,
    receipt_of,
    summaries,
)
from ingest.identities import HelloSeen, Identity, identities, seen
from ingest.quick_json import decode_readings
from ingest.sqlite_file import SqliteFile, peek
from telemetry.columns import ReadingsUpload
from telemetry.contract import Receipt, Upload, decode_upload
from telemetry.errors import ContractError
from telemetry.readings import Ranges

__all__ = [
    "Change",
    "ClockOff",
    "EdgeSummary",
    "EpochKey",
    "EpochState",
    "Ledger",
    "Run",
    "change_of",
    "current_of",
    "read_clocks",
    "read_identities",
    "read_ledger",
    "summaries",
]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS epochs(
  site TEXT NOT NULL, edge TEXT NOT NULL, epoch TEXT NOT NULL, shard TEXT NOT NULL,
  numbered_to INTEGER NOT NULL, have TEXT NOT NULL, quarantined TEXT NOT NULL, thinned TEXT NOT NULL,
  duplicates INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL, hello_ms INTEGER NOT NULL,
  lost TEXT NOT NULL DEFAULT '{}', conflicts INTEGER NOT NULL DEFAULT 0, conflict_ms INTEGER NOT NULL DEFAULT 0,
  wire_bytes INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(site, edge, epoch));
CREATE TABLE IF NOT EXISTS streams(
  site TEXT NOT NULL, edge TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL,
  received INTEGER NOT NULL, late INTEGER NOT NULL, worst_late_ms INTEGER NOT NULL, undated INTEGER NOT NULL,
  thinned INTEGER NOT NULL, produced INTEGER NOT NULL, newest_ms INTEGER NOT NULL,
  PRIMARY KEY(site, edge, epoch, stream)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs(
  id INTEGER PRIMARY KEY, site TEXT NOT NULL, edge TEXT NOT NULL, epoch TEXT NOT NULL,
  low INTEGER NOT NULL, high INTEGER NOT NULL, after_offset INTEGER NOT NULL, to_offset INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS runs_by_number ON runs(site, edge, epoch, high);
CREATE TABLE IF NOT EXISTS edges(
  site TEXT NOT NULL, edge TEXT NOT NULL, hellos TEXT NOT NULL, clock TEXT NOT NULL, PRIMARY KEY(site, edge));
CREATE TABLE IF NOT EXISTS place(id INTEGER PRIMARY KEY CHECK(id = 1), journal_offset INTEGER NOT NULL);
INSERT OR IGNORE INTO place VALUES (1, 0);
"""
# Columns that a ledger made by an older version lacks.
_ADDED = {
    "lost": "TEXT NOT NULL DEFAULT '{}'",
    "conflicts": "INTEGER NOT NULL DEFAULT 0",
    "conflict_ms": "INTEGER NOT NULL DEFAULT 0",
    "wire_bytes": "INTEGER NOT NULL DEFAULT 0",
}
_COLUMNS = (
    "site, edge, epoch, shard, numbered_to, have, quarantined, thinned, duplicates, last_seen_ms, hello_ms,"
    " lost, conflicts, conflict_ms, wire_bytes"
)
_STREAM_COLUMNS = "received, late, worst_late_ms, undated, thinned, produced, newest_ms"
_tally_columns = attrgetter(*_STREAM_COLUMNS.split(", "))
# How far another reader of the journal may be beyond what the ledger's file knows: entries of half a second, and more.
READERS_AHEAD = 1_000_000
_CATCH_UP_STEP = 500
# A run that grew to this is closed, so that to look into one stays cheap.
_RUN_ENTRIES = 2_000


class Run(NamedTuple):
    """Numbers low..high of an epoch lie in journal entries past ``after_offset`` up to ``to_offset``."""

    low: int
    high: int
    after_offset: int
    to_offset: int


@dataclass(slots=True)
class _EdgeState:
    """What is known of who speaks under an edge's name."""

    hellos: tuple[HelloSeen, ...] = ()
    clock: ClockView = field(default_factory=ClockView)


@dataclass(slots=True)
class _Unwritten:
    """What memory knows and the disk does not: epochs that changed and which of their streams, and so on."""

    streams: dict[EpochKey, set[str]] = field(default_factory=dict)
    edges: set[tuple[str, str]] = field(default_factory=set)
    runs: dict[EpochKey, Run] = field(default_factory=dict)
    closed: list[tuple[EpochKey, Run]] = field(default_factory=list)


class Ledger(SqliteFile):
    """The writer's ledger; belongs to one thread. Other processes read the file with ``read_ledger``."""

    def __init__(self, path: str | Path) -> None:
        super().__init__("ledger", path, _SCHEMA)
        with self._told:
            _add_columns(self._db)
            self._states = _load(self._db)
            self._edges = _load_edges(self._db)
            self._offset = int(self._db.execute("SELECT journal_offset FROM place").fetchone()[0])
        self._unwritten = _Unwritten()
        self._written_offset = self._offset
        self._current = {(k.site, k.edge): k for k in current_of(self._states)}

    @property
    def offset(self) -> int:
        """The journal offset up to which the ledger knows everything."""
        return self._offset

    @property
    def states(self) -> Mapping[EpochKey, EpochState]:
        return self._states

    def state(self, key: EpochKey) -> EpochState:
        """The state of an epoch; an empty one (not kept) if it is new."""
        return self._states.get(key) or EpochState()

    def catch_up(self, journal: Journal, mine: Callable[[str], bool] = lambda _site: True) -> int:
        """Read what the journal holds past our offset of the sites that are ``mine``; how many entries it held.

        Call once at start.
        """
        if journal.last_offset() < self._offset:
            # Other readers' places lie beyond its end too: what comes must not hide under offsets that they passed.
            journal.skip_to(self._offset + READERS_AHEAD)
            self._start_over()
        count = 0
        while entries := journal.after(self._offset, _CATCH_UP_STEP):
            for offset, entry in entries:
                change = self._change_of_entry(entry) if mine(entry.site) else None
                self.commit([] if change is None else [change], offset)
            self.flush()
            count += len(entries)
        return count

    def _change_of_entry(self, entry: Entry) -> Change | None:
        """None for what did not come from an edge's outbox, and for what cannot be read (it was counted elsewhere)."""
        if entry.kind == "import":
            return None
        try:
            upload = decoded(entry)
        except ContractError:
            return None
        key = EpochKey(entry.site, entry.edge, entry.epoch)
        return change_of(key, upload, entry.received_at_ms, self.state(key).have)

    def _start_over(self) -> None:
        self._states.clear()
        self._current.clear()
        self._unwritten = _Unwritten()
        self._offset = self._written_offset = 0
        with self._told:
            self._db.executescript(
                "BEGIN; DELETE FROM epochs; DELETE FROM streams; DELETE FROM runs;"
                " UPDATE place SET journal_offset = 0; COMMIT;"
            )

    # --- changes ----------------------------------------------------------------------------------------------

    def commit(self, changes: Iterable[Change], offset: int) -> None:
        """Apply changes that belong to the journal up to ``offset``; on disk at the next ``flush``.

        Quarantined numbers, conflicts and what came out of quarantine are on disk at return: no journal tells of them
        once it is restored from a backup.
        """
        at_once = False
        offset = max(self._offset, offset)
        for change in changes:
            settles = bool(self.state(change.key).quarantined & change.received)
            self._apply(change, offset)
            at_once = at_once or settles or bool(change.quarantined or change.conflicts)
        self._offset = offset
        if at_once:
            self.flush()

    def _apply(self, change: Change, offset: int) -> None:
        key, new = change.key, self._unwritten
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = EpochState()
        apply(state, change)
        for other in change.elsewhere:
            self._apply(other, offset)
        streams = new.streams.get(key)
        if streams is None:
            streams = new.streams[key] = set()
        streams.update([tally[0] for tally in change.tallies])
        if change.thinned_streams:
            streams.update(stream_id for stream_id, _ in change.thinned_streams)
        if change.received and offset > self._offset:
            self._extend_run(key, change.received, offset)
        current = self._current.get(key[:2])
        if current is None or (current != key and rank(key, state) > rank(current, self._states[current])):
            self._current[key.site, key.edge] = key
        if change.info is not None or change.sent_at_ms:
            self._apply_edge(change)

    def _extend_run(self, key: EpochKey, received: Ranges, offset: int) -> None:
        low, high = received.spans[0][0], received.spans[-1][1]
        run = self._unwritten.runs.get(key)
        if run is not None and offset - run.after_offset > _RUN_ENTRIES:
            self._unwritten.closed.append((key, run))
            run = None
        if run is None:
            self._unwritten.runs[key] = Run(low, high, self._offset, offset)
        else:
            self._unwritten.runs[key] = Run(min(run.low, low), max(run.high, high), run.after_offset, offset)

    def _apply_edge(self, change: Change) -> None:
        edge = (change.key.site, change.key.edge)
        state = self._edges.setdefault(edge, _EdgeState())
        at_ms, info = change.received_at_ms, change.info
        if info is not None:
            epoch = change.key.epoch
            state.hellos = seen(
                state.hellos,
                epoch,
                info.machine,
                info.epoch_reason,
                info.previous_epoch,
                at_ms,
                info.sent_at_ms,
            )
            self._unwritten.streams[change.key].update(info.produced)
        if change.sent_at_ms:
            state.clock = observed(
                state.clock, change.sent_at_ms, at_ms, synced=change.synced, max_error_ms=change.max_error_ms
            )
        self._unwritten.edges.add(edge)

    def flush(self) -> None:
        """Write what changed since the last flush; on disk at return. Raises NeighbourDownError with nothing forgotten."""
        new = self._unwritten
        if not new.streams and self._offset == self._written_offset:
            return
        runs = [*new.closed, *new.runs.items()]
        with self._told, self._transaction():
            self._db.executemany(_put("epochs", _COLUMNS, 15), [_row(key, self._states[key]) for key in new.streams])
            self._db.executemany(
                _put("streams", f"site, edge, epoch, stream, {_STREAM_COLUMNS}", 11),
                [
                    (*key, name, *_tally_columns(tally))
                    for key, names in new.streams.items()
                    for name in names
                    if (tally := self._states[key].streams.get(name)) is not None
                ],
            )
            self._db.executemany(
                "INSERT INTO runs(site, edge, epoch, low, high, after_offset, to_offset) VALUES (?,?,?,?,?,?,?)",
                [(*key, *run) for key, run in runs],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO edges VALUES (?,?,?,?)",
                [_edge_row(edge, self._edges[edge]) for edge in new.edges],
            )
            self._db.execute("UPDATE place SET journal_offset = ?", (self._offset,))
        self._unwritten = _Unwritten()
        self._written_offset = self._offset

    def close(self) -> None:
        self.flush()
        super().close()

    def reopen(self, key: EpochKey, numbers: Ranges) -> None:
        """Call numbers missing again, so that they are asked for, journaled and stored anew (a lost store)."""
        state = self._states.get(key)
        if state is not None:
            state.have = state.have - numbers
            self._unwritten.streams.setdefault(key, set())
            self.flush()

    # --- questions --------------------------------------------------------------------------------------------

    def current_keys(self) -> list[EpochKey]:
        """The epoch that each edge lives in (``epochs.rank``)."""
        return list(self._current.values())

    def is_current(self, key: EpochKey) -> bool:
        return self._current.get(key[:2]) == key

    def receipt(self, key: EpochKey) -> Receipt:
        """What the journal holds of this epoch."""
        return receipt_of(key, self.state(key))

    def runs(self, key: EpochKey, numbers: Ranges) -> list[Run]:
        """Where in the journal these numbers lie, newest first; some entries of a run may be forgotten by now."""
        low, high = numbers.spans[0][0], numbers.spans[-1][1]
        with self._told:
            rows = self._db.execute(
                "SELECT low, high, after_offset, to_offset FROM runs"
                " WHERE (site, edge, epoch) = (?,?,?) AND high >= ? AND low <= ?",
                (*key, low, high),
            ).fetchall()
        found = [Run(*row) for row in rows]
        found += [run for k, run in self._unwritten.closed if k == key]
        if key in self._unwritten.runs:
            found.append(self._unwritten.runs[key])
        overlapping = [r for r in found if any(lo <= r.high and hi >= r.low for lo, hi in numbers.spans)]
        return sorted(overlapping, key=lambda r: -r.to_offset)

    def forget_runs(self, before_offset: int) -> None:
        """Drop runs whose entries the journal has forgotten."""
        with self._told, self._transaction():
            self._db.execute("DELETE FROM runs WHERE to_offset < ?", (before_offset,))


def decoded(entry: Entry) -> Upload | ReadingsUpload:
    """What a journal entry holds; raises ContractError."""
    return decode_readings(entry.payload) if entry.kind == "readings" else decode_upload(entry.payload)


def _put(table: str, columns: str, count: int) -> str:
    return f"INSERT OR REPLACE INTO {table}({columns}) VALUES ({','.join('?' * count)})"  # noqa: S608


def _add_columns(db: sqlite3.Connection) -> None:
    present = {row[1] for row in db.execute("PRAGMA table_info(epochs)")}
    for name, kind in _ADDED.items():
        if name not in present:
            db.execute(f"ALTER TABLE epochs ADD COLUMN {name} {kind}")


def _row(key: EpochKey, s: EpochState) -> tuple[object, ...]:
    texts = (_text(r) for r in (s.have, s.quarantined, s.thinned))
    lost = json.dumps({reason: numbers.to_lists() for reason, numbers in s.lost.items()})
    counts = (s.duplicates, s.last_seen_ms, s.hello_ms, lost, s.conflicts, s.conflict_ms, s.wire_bytes)
    return (*key, s.shard, s.numbered_to, *texts, *counts)


def _text(ranges: Ranges) -> str:
    return "[" + ",".join(f"[{low},{high}]" for low, high in ranges.spans) + "]"


def _load(db: sqlite3.Connection) -> dict[EpochKey, EpochState]:
    """Every epoch with its streams. An older version's file is read as far as it goes."""
    present = {row[1] for row in db.execute("PRAGMA table_info(epochs)")}
    columns = ", ".join(c if c in present else "0" for c in _COLUMNS.replace(" ", "").split(","))
    states: dict[EpochKey, EpochState] = {}
    for site, edge, epoch, shard, numbered_to, *ranges, duplicates, last_ms, hello_ms, lost, conflicts, at, wire in (
        db.execute(f"SELECT {columns} FROM epochs")  # noqa: S608
    ):
        have, quarantined, thinned = map(_parsed, ranges)
        said = {reason: _parsed_spans(spans) for reason, spans in json.loads(lost or "{}").items()}
        states[EpochKey(site, edge, epoch)] = EpochState(
            shard, numbered_to, have, quarantined, thinned, duplicates, last_ms, hello_ms, said, conflicts, at, wire
        )
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'streams'").fetchone():
        rows = db.execute(f"SELECT site, edge, epoch, stream, {_STREAM_COLUMNS} FROM streams")  # noqa: S608
        for site, edge, epoch, stream, *counts in rows:
            states[EpochKey(site, edge, epoch)].streams[stream] = StreamTally(*counts)
    return states


def _parsed(text: str) -> Ranges:
    return _parsed_spans(json.loads(text))


def _parsed_spans(spans: Iterable[Sequence[int]]) -> Ranges:
    return Ranges((low, high) for low, high in spans)


def _edge_row(edge: tuple[str, str], state: _EdgeState) -> tuple[str, ...]:
    return (*edge, json.dumps([astuple(h) for h in state.hellos]), json.dumps(astuple(state.clock)))


def _load_edges(db: sqlite3.Connection) -> dict[tuple[str, str], _EdgeState]:
    found: dict[tuple[str, str], _EdgeState] = {}
    for site, edge, hellos, clock in db.execute("SELECT site, edge, hellos, clock FROM edges"):
        lags, *rest = json.loads(clock)
        history = tuple(HelloSeen(*fields) for fields in json.loads(hellos))
        found[site, edge] = _EdgeState(history, ClockView(tuple(lags), *rest))
    return found


# --- for other processes ----------------------------------------------------------------------------------


def read_ledger(path: str | Path) -> list[EdgeSummary]:
    """The ledger's lines as they are on disk now, for any process; [] before ingest ever ran."""
    return summaries(peek(path, _load, {}))


def read_clocks(path: str | Path) -> list[ClockOff]:
    """The edges whose clock is off now."""
    none: dict[tuple[str, str], _EdgeState] = {}
    edges = peek(path, _load_edges, none)
    return [
        ClockOff(edge[0], edge[1], state.clock.off_ms, state.clock.since_ms, state.clock.synced)
        for edge, state in sorted(edges.items())
        if state.clock.off_ms
    ]


def read_identities(path: str | Path) -> list[Identity]:
    """What stands out of the cards and machines behind the edges' names."""

    def look(db: sqlite3.Connection) -> list[Identity]:
        conflicts = {
            (key.site, key.edge): (key.epoch, state.conflict_ms)
            for key, state in _load(db).items()
            if state.conflicts
        }
        return identities({edge: state.hellos for edge, state in _load_edges(db).items()}, conflicts)

    return peek(path, look, [])
