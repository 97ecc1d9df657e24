"""The ledger: what every edge produced, what arrived, what is missing. Its own small SQLite file.

Theory. The journal is the truth; the ledger is a view of it that knows how far it has read (``offset``), so after
a kill between journal and ledger it catches up from the journal at start. It keeps what the journal cannot tell
any more: ranges of entries that were forgotten, quarantined numbers, duplicates. Should the journal ever be
*behind* the ledger (restored from a backup, or another journal), the ledger starts over from what the journal
holds: a receipt must never claim what the journal lost, and the gaps are asked for again.

    missing = 1..numbered_to - received - quarantined - thinned      (per site, edge and epoch)
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gateway.journal import Entry, Journal
from ingest.sqlite_file import SqliteFile, peek
from telemetry.contract import MAX_SPANS, Receipt, Upload, decode_upload
from telemetry.errors import ContractError
from telemetry.readings import Event, Ranges

_SCHEMA = """
CREATE TABLE IF NOT EXISTS epochs(
  site TEXT NOT NULL, edge TEXT NOT NULL, epoch TEXT NOT NULL, shard TEXT NOT NULL,
  numbered_to INTEGER NOT NULL, have TEXT NOT NULL, quarantined TEXT NOT NULL, thinned TEXT NOT NULL,
  duplicates INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL, hello_ms INTEGER NOT NULL,
  PRIMARY KEY(site, edge, epoch));
CREATE TABLE IF NOT EXISTS place(id INTEGER PRIMARY KEY CHECK(id = 1), journal_offset INTEGER NOT NULL);
INSERT OR IGNORE INTO place VALUES (1, 0);
"""
_COLUMNS = "site, edge, epoch, shard, numbered_to, have, quarantined, thinned, duplicates, last_seen_ms, hello_ms"
_MAX_NUMBER = 1 << 62
_CATCH_UP_STEP = 500


class EpochKey(NamedTuple):
    """Numbers count within one site, edge and epoch."""

    site: str
    edge: str
    epoch: str


@dataclass(slots=True)
class EpochState:
    """What is known of one epoch. ``hello_ms`` is 0 before its first hello; ``shard`` "" before its first message."""

    shard: str = ""
    numbered_to: int = 0
    have: Ranges = field(default_factory=Ranges)
    quarantined: Ranges = field(default_factory=Ranges)
    thinned: Ranges = field(default_factory=Ranges)
    duplicates: int = 0
    last_seen_ms: int = 0
    hello_ms: int = 0

    @property
    def missing(self) -> Ranges:
        return self.missing_below(self.numbered_to)

    def missing_below(self, highest: int) -> Ranges:
        """The numbers up to ``highest`` that were not received, quarantined or thinned."""
        if not highest or self.have.spans[:1] == ((1, highest),):
            return Ranges()
        return Ranges([(1, highest)]) - self.have - self.quarantined - self.thinned


@dataclass(frozen=True, slots=True)
class EdgeSummary:
    """One line of the ledger's page. Counts are numbers of facts; ``missing`` says which."""

    site: str
    edge: str
    epoch: str
    current: bool
    numbered_to: int
    received: int
    quarantined: int
    thinned: int
    duplicates: int
    last_seen_ms: int
    missing: Ranges


@dataclass(frozen=True, slots=True)
class Change:
    """What one message adds: applied in memory at once and to disk by ``commit``."""

    key: EpochKey
    received_at_ms: int
    received: Ranges = field(default_factory=Ranges)
    quarantined: Ranges = field(default_factory=Ranges)
    thinned: Ranges = field(default_factory=Ranges)
    duplicates: int = 0
    numbered_to: int = 0
    hello: bool = False
    shard: str = ""


def change_of(key: EpochKey, upload: Upload, received_at_ms: int) -> Change:
    """The change that one accepted upload makes (without quarantine and duplicates)."""
    said = upload.info.get("numbered_to") if upload.kind == "hello" else None
    numbered_to = said if isinstance(said, int) and not isinstance(said, bool) and 0 < said < _MAX_NUMBER else 0
    return Change(
        key,
        received_at_ms,
        received=upload.ranges,
        thinned=_thinned(upload),
        numbered_to=max(numbered_to, max((n.seq for n in upload.facts), default=0)),
        hello=upload.kind == "hello",
    )


def _thinned(upload: Upload) -> Ranges:
    """Numbers that the edge says it thinned away: ``readings_thinned`` with detail ``ranges`` = "[[101,148]]"."""
    spans: list[tuple[int, int]] = []
    for numbered in upload.facts:
        fact = numbered.fact
        if isinstance(fact, Event) and fact.kind == "readings_thinned":
            spans.extend(_spans_of(fact.detail.get("ranges")))
    return Ranges(spans)


def _spans_of(text: object) -> Iterator[tuple[int, int]]:
    try:
        spans = json.loads(text) if isinstance(text, str) else []
    except (ValueError, RecursionError):
        return
    for span in spans if isinstance(spans, list) else []:
        match span:
            case [int(low), int(high)] if 1 <= low <= high < _MAX_NUMBER:
                yield low, high


class Ledger(SqliteFile):
    """The writer's ledger; belongs to one thread. Other processes read the file with ``read_ledger``."""

    def __init__(self, path: str | Path) -> None:
        super().__init__("ledger", path, _SCHEMA)
        with self._told():
            self._states = dict(_load(self._db))
            self._offset = int(self._db.execute("SELECT journal_offset FROM place").fetchone()[0])

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

    def catch_up(self, journal: Journal) -> int:
        """Read what the journal holds past our offset; how many entries. Call once at start."""
        if journal.last_offset() < self._offset:
            self._start_over()
        count = 0
        while entries := journal.after(self._offset, _CATCH_UP_STEP):
            self.commit([c for _, entry in entries if (c := _change_of_entry(entry))], entries[-1][0])
            count += len(entries)
        return count

    def _start_over(self) -> None:
        self._states.clear()
        self._offset = 0
        with self._told():
            self._db.executescript("BEGIN; DELETE FROM epochs; UPDATE place SET journal_offset = 0; COMMIT;")

    def commit(self, changes: Iterable[Change], offset: int) -> None:
        """Apply changes; on disk at return, together with the journal offset they belong to."""
        touched: dict[EpochKey, EpochState] = {}
        for change in changes:
            state = self._states.setdefault(change.key, EpochState())
            _apply(state, change)
            touched[change.key] = state
        self._offset = max(self._offset, offset)
        self._write(touched)

    def _write(self, touched: Mapping[EpochKey, EpochState]) -> None:
        rows = [_row(key, state) for key, state in touched.items()]
        marks = ",".join("?" * 11)
        with self._transaction():
            self._db.executemany(f"INSERT OR REPLACE INTO epochs({_COLUMNS}) VALUES ({marks})", rows)  # noqa: S608
            self._db.execute("UPDATE place SET journal_offset = ?", (self._offset,))

    def reopen(self, key: EpochKey, numbers: Ranges) -> None:
        """Call numbers missing again, so that they are asked for, journaled and stored anew (a lost store)."""
        state = self._states.get(key)
        if state is not None:
            state.have = state.have - numbers
            self._write({key: state})

    def current_keys(self) -> list[EpochKey]:
        """The epoch that each edge lives in: of its last hello, else of its last message."""
        return current_of(self._states)

    def receipt(self, key: EpochKey) -> Receipt:
        """What the journal holds of this epoch (at most MAX_SPANS ranges: the oldest, which free the edge most)."""
        state = self.state(key)
        return Receipt(key.epoch, _capped(state.have), _capped(state.quarantined))


def _change_of_entry(entry: Entry) -> Change | None:
    """None for what did not come from an edge's outbox, and for what cannot be read (it was counted elsewhere)."""
    if entry.kind == "import":
        return None
    try:
        upload = decode_upload(entry.payload)
    except ContractError:
        return None
    return change_of(EpochKey(entry.site, entry.edge, entry.epoch), upload, entry.received_at_ms)


def _apply(state: EpochState, change: Change) -> None:
    state.have = state.have | change.received
    state.quarantined = (state.quarantined | change.quarantined) - change.received
    state.thinned = state.thinned | change.thinned
    state.duplicates += change.duplicates
    state.numbered_to = max(state.numbered_to, change.numbered_to)
    state.last_seen_ms = max(state.last_seen_ms, change.received_at_ms)
    state.shard = change.shard or state.shard
    if change.hello:
        state.hello_ms = max(state.hello_ms, change.received_at_ms)


def _capped(ranges: Ranges) -> Ranges:
    return ranges if len(ranges.spans) <= MAX_SPANS else Ranges(ranges.spans[:MAX_SPANS])


def _row(key: EpochKey, s: EpochState) -> tuple[object, ...]:
    texts = (json.dumps(r.to_lists(), separators=(",", ":")) for r in (s.have, s.quarantined, s.thinned))
    return (*key, s.shard, s.numbered_to, *texts, s.duplicates, s.last_seen_ms, s.hello_ms)


def _load(db: sqlite3.Connection) -> Iterator[tuple[EpochKey, EpochState]]:
    for site, edge, epoch, shard, numbered_to, have, quarantined, thinned, *rest in db.execute(
        f"SELECT {_COLUMNS} FROM epochs"  # noqa: S608
    ):
        state = EpochState(shard, numbered_to, _parsed(have), _parsed(quarantined), _parsed(thinned), *rest)
        yield EpochKey(site, edge, epoch), state


def _parsed(text: str) -> Ranges:
    return Ranges((low, high) for low, high in json.loads(text))


def read_ledger(path: str | Path) -> list[EdgeSummary]:
    """The ledger's lines as they are on disk now, for any process; [] before ingest ever ran."""
    return summaries(peek(path, lambda db: dict(_load(db)), {}))


def current_of(states: Mapping[EpochKey, EpochState]) -> list[EpochKey]:
    """The epoch that each edge lives in: of its last hello, else of its last message."""
    return [EpochKey(*edge, epoch) for edge, epoch in _current(states).items()]


def _current(states: Mapping[EpochKey, EpochState]) -> dict[tuple[str, str], str]:
    newest: dict[tuple[str, str], tuple[int, int, str]] = {}
    for key, s in states.items():
        edge = (key.site, key.edge)
        newest[edge] = max(newest.get(edge, (0, 0, "")), (s.hello_ms, s.last_seen_ms, key.epoch))
    return {edge: epoch for edge, (_, _, epoch) in newest.items()}


def summaries(states: Mapping[EpochKey, EpochState]) -> list[EdgeSummary]:
    """One line per epoch, by site and edge; the epoch that the edge lives in is ``current``."""
    current = _current(states)
    return [
        EdgeSummary(
            *key,
            current=current[key.site, key.edge] == key.epoch,
            numbered_to=s.numbered_to,
            received=len(s.have),
            quarantined=len(s.quarantined),
            thinned=len(s.thinned - s.have - s.quarantined),
            duplicates=s.duplicates,
            last_seen_ms=s.last_seen_ms,
            missing=s.missing,
        )
        for key, s in sorted(states.items())
    ]
