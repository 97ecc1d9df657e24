"""The table of undated readings and of the anchors that date them, and the filler's place in the journal.

A Pi without a clock battery boots in the past; its readings then have a boot id and a boot time, and no date. Later
the clock is set and the edge says ``clock_anchored``: "in this boot, boot time b was UTC u". Then

    t_ms = u + (reading's boot time - b)

A reading is dated once and keeps that time for ever (``design.md`` promise 8), even if a better anchor comes later:
the time is the key by which it is stored. When several anchors are known the nearest in boot time dates.

One SQLite file, three tables. The order of writing makes a kill harmless: (1) undated readings, anchors and found
dates, (2) rows into the store, (3) "stored" marks and the journal offset. Each step is repeatable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.sqlite_file import SqliteFile, peek
from ingest.store.model import Row, from_thousandths, thousandths
from telemetry.readings import Event, Numbered, Origin, Quality, Reading, Sync, date_by_anchor, is_anchor

_SCHEMA = """
CREATE TABLE IF NOT EXISTS filler_place(id INTEGER PRIMARY KEY CHECK(id = 1), journal_offset INTEGER NOT NULL);
INSERT OR IGNORE INTO filler_place VALUES (1, 0);
CREATE TABLE IF NOT EXISTS anchors(
  site TEXT NOT NULL, edge TEXT NOT NULL, boot_id BLOB NOT NULL,
  boottime_ns INTEGER NOT NULL, utc_ms INTEGER NOT NULL,
  PRIMARY KEY(site, edge, boot_id, boottime_ns)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS undated(
  site TEXT NOT NULL, edge TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
  boot_id BLOB NOT NULL, boottime_ns INTEGER NOT NULL, stream TEXT NOT NULL, value INTEGER, quality TEXT NOT NULL,
  origin TEXT NOT NULL, device_seq INTEGER, sync TEXT NOT NULL, max_error_ms INTEGER, received_at_ms INTEGER NOT NULL,
  t_ms INTEGER, stored INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(site, edge, epoch, seq));
CREATE INDEX IF NOT EXISTS undated_waiting ON undated(site, edge, boot_id) WHERE t_ms IS NULL;
CREATE INDEX IF NOT EXISTS undated_dated ON undated(stored) WHERE t_ms IS NOT NULL AND stored = 0;
"""
_UNDATED = """INSERT OR IGNORE INTO undated(site, edge, epoch, seq, boot_id, boottime_ns, stream, value, quality,
  origin, device_seq, sync, max_error_ms, received_at_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"""


@dataclass(frozen=True, slots=True)
class Source:
    """Where facts of one journal entry come from."""

    site: str
    edge: str
    epoch: str
    received_at_ms: int


@dataclass(frozen=True, slots=True)
class UndatedCount:
    """How many readings of an edge wait for an anchor; for the ledger's page."""

    site: str
    edge: str
    waiting: int


class FillerState(SqliteFile):
    """Belongs to the filler's thread. Other processes use ``read_undated``."""

    def __init__(self, path: str | Path) -> None:
        super().__init__("filler", path, _SCHEMA)

    @property
    def offset(self) -> int:
        """The journal offset up to which everything is in the store."""
        with self._told():
            return int(self._db.execute("SELECT journal_offset FROM filler_place").fetchone()[0])

    def learn(self, facts: Sequence[tuple[Source, Numbered]]) -> list[Row]:
        """Step 1: keep undated readings and anchors in journal order, date what can be; the rows to store now.

        Also gives rows that an earlier, killed run had dated and not yet stored.
        """
        if facts:
            with self._transaction():
                for source, numbered in facts:
                    self._learn_one(source, numbered)
        with self._told():
            return [_row(columns) for columns in self._db.execute(f"{_SELECT} WHERE t_ms IS NOT NULL AND stored = 0")]

    def _learn_one(self, source: Source, numbered: Numbered) -> None:
        fact = numbered.fact
        if isinstance(fact, Event) and is_anchor(fact):
            self._anchor(source, fact)
        elif isinstance(fact, Reading) and fact.sampled_at_ms is None:
            self._db.execute(_UNDATED, _columns(source, numbered.seq, fact))
            self._date(source, _blob(fact.stamp.boot_id))

    def _anchor(self, source: Source, event: Event) -> None:
        boot = _blob(event.stamp.boot_id)
        self._db.execute(
            "INSERT OR IGNORE INTO anchors VALUES (?,?,?,?,?)",
            (source.site, source.edge, boot, event.stamp.boottime_ns, event.stamp.wall_ms),
        )
        self._date(source, boot)

    def _date(self, source: Source, boot: bytes) -> None:
        key = (source.site, source.edge, boot)
        anchors = self._db.execute(
            "SELECT boottime_ns, utc_ms FROM anchors WHERE (site, edge, boot_id) = (?,?,?)", key
        ).fetchall()
        if not anchors or not boot:
            return
        waiting = self._db.execute(
            "SELECT epoch, seq, boottime_ns FROM undated WHERE (site, edge, boot_id) = (?,?,?) AND t_ms IS NULL", key
        ).fetchall()
        for epoch, seq, boottime_ns in waiting:
            at_ns, utc_ms = min(anchors, key=lambda a: (abs(a[0] - boottime_ns), a[0]))
            self._db.execute(
                "UPDATE undated SET t_ms = ? WHERE (site, edge, epoch, seq) = (?,?,?,?)",
                (date_by_anchor(utc_ms, at_ns, boottime_ns), source.site, source.edge, epoch, seq),
            )

    def done(self, offset: int, stored: Sequence[Row]) -> None:
        """Step 3: the store has everything up to ``offset`` and these rows that had been undated."""
        with self._transaction():
            self._db.executemany(
                "UPDATE undated SET stored = 1 WHERE (site, edge, epoch, seq) = (?,?,?,?)",
                [(r.site, r.edge, r.epoch, r.seq) for r in stored],
            )
            self._db.execute("UPDATE filler_place SET journal_offset = ?", (offset,))

    def start_over(self) -> None:
        """Read the journal from its beginning again (another journal, or a new store)."""
        with self._transaction():
            self._db.execute("UPDATE filler_place SET journal_offset = 0")
            self._db.execute("UPDATE undated SET stored = 0")


def read_undated(path: str | Path) -> list[UndatedCount]:
    """How many readings wait for an anchor, by site and edge; for any process."""
    query = "SELECT site, edge, count(*) FROM undated WHERE t_ms IS NULL GROUP BY site, edge ORDER BY site, edge"
    return peek(path, lambda db: [UndatedCount(*columns) for columns in db.execute(query)], [])


def _blob(boot_id: str) -> bytes:
    return boot_id.encode("utf-8", "surrogatepass")


def _columns(source: Source, seq: int, r: Reading) -> tuple[object, ...]:
    return (
        *(source.site, source.edge, source.epoch, seq, _blob(r.stamp.boot_id), r.stamp.boottime_ns, r.stream_id),
        *(thousandths(r.value), r.quality.value, r.origin.value, r.device_seq, r.stamp.sync.value),
        *(r.stamp.max_error_ms, source.received_at_ms),
    )


_SELECT = """SELECT site, edge, epoch, seq, stream, value, quality, origin, device_seq, sync, max_error_ms,
  received_at_ms, t_ms FROM undated"""


def _row(columns: Sequence[Any]) -> Row:
    site, edge, epoch, seq, stream, value, quality, origin, device_seq, sync, max_error_ms, received_at_ms, t_ms = (
        columns
    )
    return Row(
        site=site,
        stream_id=stream,
        t_ms=t_ms,
        value=from_thousandths(value),
        quality=Quality(quality),
        origin=Origin(origin),
        device_seq=device_seq,
        variant=0,
        edge=edge,
        epoch=epoch,
        seq=seq,
        sync=Sync(sync),
        max_error_ms=max_error_ms,
        received_at_ms=received_at_ms,
    )
