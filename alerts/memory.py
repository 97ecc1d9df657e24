"""What the alerts service must not forget over a kill: the facts it judges by, and how far it has read.

One SQLite file of our own, so that alarms go on while the time-series database is away (design.md, the data's way).
The facts of a batch of journal entries and the new journal offset are one transaction; findings are saved after
it, by id. A kill between the two is harmless: at the next start ``alerts.rules.restore`` judges the facts and says
what was never said.

Undated facts wait here for an anchor of their boot and are dated as ingest dates them: in the journal's order, by
the nearest anchor known, once and for ever (design.md, promise 8). So alerts and time series never disagree.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from alerts.rules.facts import ReadingFact, milli
from telemetry.errors import NeighbourDownError
from telemetry.readings import Event, Fact, Quality, Reading, Weighing, date_by_anchor, is_anchor

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
CREATE TABLE IF NOT EXISTS anchors(
  site TEXT NOT NULL, edge TEXT NOT NULL, boot_id BLOB NOT NULL,
  boottime_ns INTEGER NOT NULL, utc_ms INTEGER NOT NULL,
  PRIMARY KEY(site, edge, boot_id, boottime_ns)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS undated_facts(
  site TEXT NOT NULL, edge TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
  boot_id BLOB NOT NULL, boottime_ns INTEGER NOT NULL, stream TEXT, weighing TEXT,
  device_seq INTEGER, value_m INTEGER, quality TEXT, t_ms INTEGER, done INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(site, edge, epoch, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS undated_waiting ON undated_facts(site, edge, boot_id) WHERE t_ms IS NULL;
CREATE INDEX IF NOT EXISTS undated_found ON undated_facts(done) WHERE t_ms IS NOT NULL AND done = 0;
"""


@dataclass(frozen=True, slots=True)
class Place:
    """How far the two feeds were read."""

    journal_offset: int
    audit_id: int


@dataclass(frozen=True, slots=True)
class Source:
    """Which edge said something, and the number it gave it."""

    site: str
    edge: str
    epoch: str
    seq: int


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
        except sqlite3.DatabaseError as error:
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
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # also after a COMMIT that failed
                    self._db.execute("ROLLBACK")
                raise

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with self._told():
            return self._db.execute(query, values).fetchall()

    # --- places ---

    def place(self) -> Place:
        return Place(*self._rows("SELECT journal_offset, audit_id FROM place")[0])

    def set_journal_offset(self, offset: int) -> None:
        self._db.execute("UPDATE place SET journal_offset = ?", (offset,))

    def set_audit_id(self, audit_id: int) -> None:
        self._db.execute("UPDATE place SET audit_id = ?", (audit_id,))

    # --- facts ---

    def add(self, facts: Iterable[ReadingFact]) -> list[ReadingFact]:
        """Keep facts; returns those not known before."""
        return [fact for fact in facts if self._add(fact)]

    def _add(self, fact: ReadingFact) -> bool:
        key = (fact.stream_id, fact.t_ms, _seq(fact.device_seq), _value(fact.value_c))
        made = self._db.execute(
            "INSERT OR IGNORE INTO fact VALUES (?,?,?,?,?,?)", (*key, fact.quality.value, fact.equipment)
        )
        return made.rowcount > 0

    def facts(self) -> list[ReadingFact]:
        """All facts that have an equipment, in time order."""
        return [_fact(row) for row in self._rows("SELECT * FROM fact WHERE equipment <> '' ORDER BY t_ms")]

    def streams(self) -> set[str]:
        """The streams that facts are of."""
        return {row[0] for row in self._rows("SELECT DISTINCT stream FROM fact")}

    def house(self, stream: str, equipment: str) -> list[ReadingFact]:
        """Give an equipment to the facts of a stream that had none yet; returns them."""
        found = self._rows("SELECT * FROM fact WHERE stream = ? AND equipment = ''", (stream,))
        if found:
            self._db.execute("UPDATE fact SET equipment = ? WHERE stream = ? AND equipment = ''", (equipment, stream))
        return [_fact((*row[:5], equipment)) for row in found]

    def homeless(self) -> list[str]:
        """Streams with facts that have no equipment."""
        return [row[0] for row in self._rows("SELECT DISTINCT stream FROM fact WHERE equipment = ''")]

    # --- undated facts ---

    def learn(self, source: Source, fact: Fact) -> list[ReadingFact]:
        """Take in an undated reading or weighing, or an anchor (inside a transaction).

        Returns the readings that have a date by it, without an equipment, not kept as facts yet. Weighings wait in
        ``dated_weighings``. To be called in the journal's order.
        """
        boot = fact.stamp.boot_id.encode("utf-8", "surrogatepass")
        if isinstance(fact, Event):
            if not is_anchor(fact):
                return []
            self._db.execute(
                "INSERT OR IGNORE INTO anchors VALUES (?,?,?,?,?)",
                (source.site, source.edge, boot, fact.stamp.boottime_ns, fact.stamp.wall_ms),
            )
        else:
            columns = (*_subject(fact), None, 0)
            key = (source.site, source.edge, source.epoch, source.seq, boot, fact.stamp.boottime_ns)
            self._db.execute(
                "INSERT OR IGNORE INTO undated_facts VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", (*key, *columns)
            )
        return self._date(source.site, source.edge, boot) if boot else []

    def _date(self, site: str, edge: str, boot: bytes) -> list[ReadingFact]:
        here = (site, edge, boot)
        anchors = self._rows("SELECT boottime_ns, utc_ms FROM anchors WHERE (site, edge, boot_id) = (?,?,?)", here)
        if not anchors:
            return []
        waiting = self._rows(
            "SELECT epoch, seq, boottime_ns, stream, device_seq, value_m, quality FROM undated_facts"
            " WHERE (site, edge, boot_id) = (?,?,?) AND t_ms IS NULL ORDER BY epoch, seq",
            here,
        )
        found = []
        for epoch, seq, boottime_ns, stream, device_seq, value_m, quality in waiting:
            at_ns, utc_ms = min(anchors, key=lambda a: (abs(a[0] - boottime_ns), a[0]))
            t_ms = date_by_anchor(utc_ms, at_ns, boottime_ns)
            self._db.execute(
                "UPDATE undated_facts SET t_ms = ?, done = ? WHERE (site, edge, epoch, seq) = (?,?,?,?)",
                (t_ms, stream is not None, site, edge, epoch, seq),
            )
            if stream is not None:
                found.append(_fact((stream, t_ms, device_seq, value_m, quality, "")))
        return found

    def dated_weighings(self) -> list[tuple[str, int]]:
        """(id, t_ms) of weighings that were kept undated, have a date now, and were not marked ``weighing_done``."""
        return self._rows("SELECT weighing, t_ms FROM undated_facts WHERE t_ms IS NOT NULL AND done = 0")

    def weighing_done(self, weighing_id: str) -> None:
        self._db.execute(
            "UPDATE undated_facts SET done = 1 WHERE t_ms IS NOT NULL AND done = 0 AND weighing = ?", (weighing_id,)
        )


def _subject(fact: Reading | Weighing) -> tuple[object, ...]:
    """stream, weighing, device_seq, value_m, quality."""
    if isinstance(fact, Weighing):
        return None, fact.weighing_id, None, None, None
    return fact.stream_id, None, _seq(fact.device_seq), _value(fact.value), fact.quality.value


def _seq(device_seq: int | None) -> int:
    return _NO_SEQ if device_seq is None else device_seq


def _value(value_c: Decimal | None) -> int:
    return _NO_VALUE if value_c is None else milli(value_c)


def _degrees(value_m: int) -> Decimal | None:
    return None if value_m == _NO_VALUE else Decimal(value_m).scaleb(-3)


def _fact(row: tuple[str, int, int, int, str, str]) -> ReadingFact:
    stream, t_ms, seq, value_m, quality, equipment = row
    return ReadingFact(equipment, stream, t_ms, _degrees(value_m), Quality(quality), None if seq == _NO_SEQ else seq)
