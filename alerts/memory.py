"""What the alerts service must not forget over a kill: the facts it judges by, and how far it has read.

One SQLite file of our own, so that alarms go on while the time-series database is away (design.md, the data's way).
The facts of a batch of journal entries and the new journal offset are one transaction; findings are saved after
it, by id. A kill between the two is harmless: at the next start ``alerts.rules.restore`` judges the facts and says
what was never said.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from alerts.rules.facts import ReadingFact, milli
from telemetry.errors import NeighbourDownError
from telemetry.readings import Event, Quality, Reading, date_by_anchor

ANCHORED = "clock_anchored"
_NO_SEQ = -1
_NO_VALUE = -(1 << 40)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS place(id INTEGER PRIMARY KEY CHECK(id = 1), journal_offset INTEGER, audit_id INTEGER);
INSERT OR IGNORE INTO place VALUES (1, 0, 0);
CREATE TABLE IF NOT EXISTS fact(
  stream TEXT NOT NULL, t_ms INTEGER NOT NULL, device_seq INTEGER NOT NULL DEFAULT -1,
  value_m INTEGER NOT NULL DEFAULT -1099511627776, quality TEXT NOT NULL, equipment TEXT NOT NULL,
  PRIMARY KEY(stream, t_ms, device_seq, value_m, quality)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS fact_homeless ON fact(stream) WHERE equipment = '';
CREATE TABLE IF NOT EXISTS anchor(site TEXT, edge TEXT, boot_id TEXT, boottime_ns INTEGER, utc_ms INTEGER,
  PRIMARY KEY(site, edge, boot_id, boottime_ns)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS undated(site TEXT, edge TEXT, boot_id TEXT, boottime_ns INTEGER, stream TEXT,
  device_seq INTEGER, value_m INTEGER, quality TEXT,
  PRIMARY KEY(site, edge, boot_id, boottime_ns, stream, value_m)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Place:
    """How far the two feeds were read."""

    journal_offset: int
    audit_id: int


class Memory:
    """Used from one thread. Raises NeighbourDownError when the disk does not answer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._told():
            self._db = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            advice = "look for a full or broken disk"
            raise NeighbourDownError("alerts' memory", f"{self._path}: {error}", advice=advice) from error

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # --- places ---

    def place(self) -> Place:
        row = self._db.execute("SELECT journal_offset, audit_id FROM place").fetchone()
        return Place(row[0], row[1])

    def set_journal_offset(self, offset: int) -> None:
        self._db.execute("UPDATE place SET journal_offset = ?", (offset,))

    def set_audit_id(self, audit_id: int) -> None:
        self._db.execute("UPDATE place SET audit_id = ?", (audit_id,))

    # --- facts ---

    def add(self, facts: Iterable[ReadingFact]) -> list[ReadingFact]:
        """Keep facts; returns those not known before."""
        fresh = []
        for fact in facts:
            row = (
                fact.stream_id,
                fact.t_ms,
                _seq(fact.device_seq),
                _value(fact.value_c),
                fact.quality,
                fact.equipment,
            )
            if self._db.execute("INSERT OR IGNORE INTO fact VALUES (?,?,?,?,?,?)", row).rowcount:
                fresh.append(fact)
        return fresh

    def facts(self, streams: Sequence[str] | None = None) -> list[ReadingFact]:
        """All facts that have an equipment (of some streams), in time order."""
        where, values = "equipment <> ''", tuple[str, ...]()
        if streams is not None:
            where, values = f"{where} AND stream IN ({','.join('?' * len(streams))})", tuple(streams)
        rows = self._db.execute(f"SELECT * FROM fact WHERE {where} ORDER BY t_ms", values)  # noqa: S608  (marks only)
        return [_fact(row) for row in rows]

    def house(self, stream: str, equipment: str) -> list[ReadingFact]:
        """Give an equipment to the facts of a stream that had none yet; returns them."""
        found = self._db.execute("SELECT * FROM fact WHERE stream = ? AND equipment = ''", (stream,)).fetchall()
        if found:
            self._db.execute("UPDATE fact SET equipment = ? WHERE stream = ? AND equipment = ''", (equipment, stream))
        return [_fact((*row[:5], equipment)) for row in found]

    def homeless(self) -> list[str]:
        """Streams with facts that have no equipment."""
        return [row[0] for row in self._db.execute("SELECT DISTINCT stream FROM fact WHERE equipment = ''")]

    # --- undated readings ---

    def wait(self, site: str, edge: str, reading: Reading) -> None:
        """Keep an undated reading until an anchor of its boot comes."""
        stamp = reading.stamp
        row = (site, edge, stamp.boot_id, stamp.boottime_ns, reading.stream_id)
        rest = (_seq(reading.device_seq), _value(reading.value), reading.quality)
        self._db.execute("INSERT OR IGNORE INTO undated VALUES (?,?,?,?,?,?,?,?)", (*row, *rest))

    def anchor(self, site: str, edge: str, event: Event) -> None:
        """Keep an anchor: in this boot, this boot time was this UTC."""
        utc_ms = event.detail.get("utc_ms", event.sampled_at_ms)
        boottime_ns = event.detail.get("boottime_ns", event.stamp.boottime_ns)
        if isinstance(utc_ms, int) and isinstance(boottime_ns, int):
            row = (site, edge, event.stamp.boot_id, boottime_ns, utc_ms)
            self._db.execute("INSERT OR IGNORE INTO anchor VALUES (?,?,?,?,?)", row)

    def take_dated(self) -> list[tuple[str, int, int | None, Decimal | None, Quality]]:
        """Undated readings that an anchor dates now, as (stream, t_ms, device_seq, value_c, quality)."""
        rows = self._db.execute(
            "SELECT u.*, a.boottime_ns, a.utc_ms FROM undated u JOIN anchor a USING(site, edge, boot_id)"
            " ORDER BY u.stream, u.boottime_ns, abs(a.boottime_ns - u.boottime_ns)"
        ).fetchall()
        nearest: dict[tuple[object, ...], tuple[str, int, int | None, Decimal | None, Quality]] = {}
        for site, edge, boot, ns, stream, seq, value, quality, anchor_ns, utc_ms in rows:
            t_ms = date_by_anchor(utc_ms, anchor_ns, ns)
            found = (stream, t_ms, None if seq == _NO_SEQ else seq, _degrees(value), Quality(quality))
            nearest.setdefault((site, edge, boot, ns, stream, value), found)
        for key in nearest:
            self._db.execute(
                "DELETE FROM undated WHERE site=? AND edge=? AND boot_id=?"
                " AND boottime_ns=? AND stream=? AND value_m=?",
                key,
            )
        return list(nearest.values())


def _seq(device_seq: int | None) -> int:
    return _NO_SEQ if device_seq is None else device_seq


def _value(value_c: Decimal | None) -> int:
    return _NO_VALUE if value_c is None else milli(value_c)


def _degrees(value_m: int) -> Decimal | None:
    return None if value_m == _NO_VALUE else Decimal(value_m).scaleb(-3)


def _fact(row: tuple[str, int, int, int, str, str]) -> ReadingFact:
    stream, t_ms, seq, value_m, quality, equipment = row
    return ReadingFact(equipment, stream, t_ms, _degrees(value_m), Quality(quality), None if seq == _NO_SEQ else seq)
