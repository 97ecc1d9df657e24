"""The table of undated readings and of the anchors that date them, and the filler's place in the journal.

A Pi without a clock battery boots in the past; its readings then have a boot id and a boot time, and no date. Later
the clock is set and the edge says ``clock_anchored``: "in this boot, boot time b was UTC u". Then

    t_ms = u + (reading's boot time - b)

A reading is dated once and keeps that time for ever (``design.md`` promise 8), even if a better anchor comes later:
the time is the key by which it is stored. When several anchors are known the nearest in boot time dates.

The same reading can come twice with two dates: sent undated and dated here, and sent again, dated by the edge, from a
copy or a backup of its outbox that meanwhile met another anchor. Its stamp tells: one boot, one boot time, one stream
are one live reading, whatever its number. So every live reading of an unsynced clock passes here, and the first date
stays.

One SQLite file, three tables. The order of writing makes a kill harmless: (1) undated readings, anchors and found
dates, (2) rows into the store, (3) "stored" marks and the journal offset. Each step is repeatable; the first two are on
disk before the next begins.
"""

from __future__ import annotations

from bisect import bisect_left
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
CREATE INDEX IF NOT EXISTS undated_stamp ON undated(site, edge, boot_id, boottime_ns, stream);
CREATE INDEX IF NOT EXISTS undated_dated ON undated(stored) WHERE t_ms IS NOT NULL AND stored = 0;
"""
_UNDATED = """INSERT OR IGNORE INTO undated(site, edge, epoch, seq, boot_id, boottime_ns, stream, value, quality,
  origin, device_seq, sync, max_error_ms, received_at_ms, t_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"""
_SAME_STAMP = """(site, edge, boot_id, boottime_ns, stream) = (?,?,?,?,?) AND value IS ? AND quality = ?
  AND origin = 'live' AND sync = 'unsynced'"""
_Boot = tuple[str, str, bytes]
"""(site, edge, boot id)."""


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
        self.clashes: list[tuple[Source, Numbered]] = []
        """What the last ``learn`` could not keep: another reading waits under this number (two cards of one epoch)."""

    @property
    def offset(self) -> int:
        """The journal offset up to which everything is in the store."""
        with self._told:
            return int(self._db.execute("SELECT journal_offset FROM filler_place").fetchone()[0])

    def learn(self, facts: Sequence[tuple[Source, Numbered]], limit: int) -> list[Row]:
        """Step 1: keep undated readings and anchors in journal order, date what can be; the rows to store now.

        At most ``limit`` of these, the rest by the next call; also those that an earlier, killed run had dated.
        """
        self.clashes = []
        if facts:
            with self._told, self._transaction():
                self._keep(facts)
        with self._told:
            found = self._db.execute(f"{_SELECT} WHERE t_ms IS NOT NULL AND stored = 0 LIMIT ?", (limit,))
            return [_row(columns) for columns in found]

    def _keep(self, facts: Sequence[tuple[Source, Numbered]]) -> None:
        """Journal order decides what dates what, so readings are written out before each anchor."""
        readings: list[tuple[object, ...]] = []
        anchors: dict[_Boot, list[tuple[int, int]]] = {}
        seen: set[tuple[object, ...] | None] = set()
        numbers: set[tuple[object, ...]] = set()
        for source, numbered in facts:
            fact = numbered.fact
            if isinstance(fact, Event) and is_anchor(fact):
                self._db.executemany(_UNDATED, readings)
                readings.clear()
                self._anchor(source, fact, anchors)
            elif isinstance(fact, Reading):
                t_ms = fact.sampled_at_ms
                if t_ms is None:
                    t_ms = _dated(fact, self._anchors_of(_boot(source, fact.stamp.boot_id), anchors))
                columns = _columns(source, numbered.seq, fact)
                stamp = _stamp_of(columns)
                if stamp in seen or columns[:4] in numbers:
                    self._db.executemany(_UNDATED, readings)
                    readings.clear()
                if stamp is not None and self._known(stamp, t_ms):
                    continue
                if self._is_another(columns):
                    self.clashes.append((source, numbered))
                    continue
                seen.add(stamp)
                numbers.add(columns[:4])
                readings.append((*columns, t_ms))
        self._db.executemany(_UNDATED, readings)

    def _known(self, stamp: tuple[object, ...], t_ms: int | None) -> bool:
        """Whether this reading is here under whatever number; if it waited for a date, it has one now."""
        found = self._db.execute(f"SELECT t_ms FROM undated WHERE {_SAME_STAMP}", stamp).fetchone()  # noqa: S608
        if found is not None and found[0] is None and t_ms is not None:
            self._db.execute(f"UPDATE undated SET t_ms = ? WHERE {_SAME_STAMP}", (t_ms, *stamp))  # noqa: S608
        return found is not None

    def _is_another(self, columns: tuple[object, ...]) -> bool:
        """Whether this number holds another reading here."""
        query = """SELECT (boot_id, boottime_ns, stream, quality) = (?,?,?,?) AND value IS ? FROM undated
            WHERE (site, edge, epoch, seq) = (?,?,?,?)"""
        boot, boottime_ns, stream, value, quality = columns[4:9]
        found = self._db.execute(query, (boot, boottime_ns, stream, quality, value, *columns[:4])).fetchone()
        return found is not None and not found[0]

    def _anchors_of(self, boot: _Boot, known: dict[_Boot, list[tuple[int, int]]]) -> list[tuple[int, int]]:
        """(boot time ns, UTC ms) of a boot's anchors, in order; read once in a call."""
        if boot not in known:
            query = (
                "SELECT boottime_ns, utc_ms FROM anchors WHERE (site, edge, boot_id) = (?,?,?) ORDER BY boottime_ns"
            )
            known[boot] = self._db.execute(query, boot).fetchall() if boot[2] else []
        return known[boot]

    def _anchor(self, source: Source, event: Event, known: dict[_Boot, list[tuple[int, int]]]) -> None:
        boot = _boot(source, event.stamp.boot_id)
        has_one = bool(self._anchors_of(boot, known))
        at_ns, utc_ms = event.stamp.boottime_ns, event.stamp.wall_ms
        self._db.execute("INSERT OR IGNORE INTO anchors VALUES (?,?,?,?,?)", (*boot, at_ns, utc_ms))
        del known[boot]
        if has_one:
            return  # readings wait only as long as their boot has no anchor
        # Whole ms, rounded down as date_by_anchor does; SQLite's own division rounds towards zero.
        since_ns = "(boottime_ns - :at_ns)"
        self._db.execute(
            f"UPDATE undated SET t_ms = :utc_ms + ({since_ns} - (({since_ns} % 1000000) + 1000000) % 1000000) / 1000000"  # noqa: S608
            " WHERE (site, edge, boot_id) = (:site, :edge, :boot) AND t_ms IS NULL",
            {"at_ns": at_ns, "utc_ms": utc_ms, "site": boot[0], "edge": boot[1], "boot": boot[2]},
        )

    def done(self, offset: int, stored: Sequence[Row]) -> None:
        """Step 3: the store has everything up to ``offset`` and these rows that had been undated.

        Not waited for: after a power cut an older place fills the store again with what it swallows.
        """
        with self._told, self._unhurried():
            self._db.executemany(
                "UPDATE undated SET stored = 1 WHERE (site, edge, epoch, seq) = (?,?,?,?)",
                [(r.site, r.edge, r.epoch, r.seq) for r in stored],
            )
            self._db.execute("UPDATE filler_place SET journal_offset = ?", (offset,))

    def start_over(self) -> None:
        """Read the journal from its beginning again (another journal, or a new store)."""
        with self._told, self._transaction():
            self._db.execute("UPDATE filler_place SET journal_offset = 0")
            self._db.execute("UPDATE undated SET stored = 0")


def read_place(path: str | Path) -> int:
    """The journal offset up to which the time series is filled, 0 where nothing was; for any process."""
    query = "SELECT coalesce(max(journal_offset), 0) FROM filler_place"  # its one row may not be written yet
    return peek(path, lambda db: int(db.execute(query).fetchone()[0]), 0)


def read_undated(path: str | Path) -> list[UndatedCount]:
    """How many readings wait for an anchor, by site and edge; for any process."""
    query = "SELECT site, edge, count(*) FROM undated WHERE t_ms IS NULL GROUP BY site, edge ORDER BY site, edge"
    return peek(path, lambda db: [UndatedCount(*columns) for columns in db.execute(query)], [])


def _boot(source: Source, boot_id: str) -> _Boot:
    return source.site, source.edge, _blob(boot_id)


def _dated(reading: Reading, anchors: Sequence[tuple[int, int]]) -> int | None:
    """The time by the anchor nearest in boot time (the earlier of two as near), None while there is none."""
    if not anchors:
        return None
    boottime_ns = reading.stamp.boottime_ns
    after = bisect_left(anchors, (boottime_ns, -1))
    near = anchors[max(0, after - 1) : after + 1]
    at_ns, utc_ms = min(near, key=lambda a: (abs(a[0] - boottime_ns), a[0]))
    return date_by_anchor(utc_ms, at_ns, boottime_ns)


def _blob(boot_id: str) -> bytes:
    return boot_id.encode("utf-8", "surrogatepass")


def _columns(source: Source, seq: int, r: Reading) -> tuple[object, ...]:
    return (
        *(source.site, source.edge, source.epoch, seq, _blob(r.stamp.boot_id), r.stamp.boottime_ns, r.stream_id),
        *(thousandths(r.value), r.quality.value, r.origin.value, r.device_seq, r.stamp.sync.value),
        *(r.stamp.max_error_ms, source.received_at_ms),
    )


def _stamp_of(columns: tuple[object, ...]) -> tuple[object, ...] | None:
    """What makes two readings of an unsynced clock the same; None for what is no live reading, or of no known boot."""
    site, edge, _, _, boot, boottime_ns, stream, value, quality, origin, _, sync, *_ = columns
    if not boot or origin != Origin.LIVE.value or sync != Sync.UNSYNCED.value:
        return None
    return site, edge, boot, boottime_ns, stream, value, quality


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
