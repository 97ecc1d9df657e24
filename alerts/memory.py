"""What the alerts service must not forget over a kill: the facts it judges by, and how far it has read.

One SQLite file of our own, so that alarms go on while the time-series database is away (design.md, the data's way).
Each fact knows the journal offset that brought it (``learnt_offset``), so that what was known at a place of the
journal can be read again later. The facts of a batch of journal entries and the new journal offset are one
transaction; findings are saved after it, by id. A kill between the two is harmless: at the next start
``alerts.rules.restore`` judges the facts and says what was never said.

Undated facts wait here for an anchor of their boot and are dated as ingest dates them: in the journal's order, by
the nearest anchor known, once and for ever (design.md, promise 8). So alerts and time series never disagree.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from heapq import merge
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alerts.homes import Spans
from alerts.memory_schema import NOBODY, prepare
from alerts.rebuild import History
from alerts.rules.facts import ReadingFact, milli
from telemetry.errors import NeighbourDownError
from telemetry.quantities import parse_stream_id
from telemetry.readings import Event, Fact, Quality, Reading, Weighing, date_by_anchor, is_anchor

_NO_SEQ = -1
_NO_VALUE = -(1 << 40)
_PAGE = 4000
_COLUMN_ROWS = 50_000
_FOREVER_MS = 1 << 62
_KEPT = (
    "SELECT t_ms, device_seq, value_m, quality FROM kept WHERE stream = ?1"
    " AND (t_ms, device_seq, value_m, quality) > (?2,?3,?4,?5) AND t_ms < ?6"
    " AND equipment = ?7 AND learnt_offset <= ?8 AND housed_audit <= ?9"
)
_KEPT_BEFORE = f"{_KEPT.replace(' kept ', ' kept_before ')} AND until_audit > ?9"
_IN_ORDER = " ORDER BY t_ms, device_seq, value_m, quality LIMIT ?10"
_ELSEWHERE = (
    "SELECT t_ms, device_seq, value_m, quality, equipment FROM kept"
    " WHERE stream = ?1 AND t_ms >= ?2 AND t_ms < ?3 AND equipment <> ?4"
)
_KEEP_BEFORE = (
    "INSERT OR IGNORE INTO kept_before"
    " SELECT equipment, stream, t_ms, device_seq, value_m, quality, learnt_offset, housed_audit, ?5 FROM kept"
    " WHERE stream = ?1 AND t_ms >= ?2 AND t_ms < ?3 AND equipment <> ?4 AND equipment <> 0 AND housed_audit < ?5"
)
_HOUSE = (
    "UPDATE kept SET equipment = ?4, housed_audit = ?5"
    " WHERE stream = ?1 AND t_ms >= ?2 AND t_ms < ?3 AND equipment <> ?4"
)


_SINCE_NO_LATER = (
    "UPDATE kept SET housed_audit = ?1 WHERE housed_audit > ?1",
    "UPDATE kept_before SET housed_audit = ?1 WHERE housed_audit > ?1",
    "UPDATE OR REPLACE kept_before SET until_audit = ?1 WHERE until_audit > ?1",
)


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

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """``read_only``: beside the running service, for questions; there must be a file of this version."""
        self._path = path
        with self._told():
            if read_only:
                uri = f"{path.absolute().as_uri()}?mode=ro"
                self._db = sqlite3.connect(uri, uri=True, timeout=30.0, isolation_level=None, check_same_thread=False)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._db = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                prepare(self._db)
        self._texts: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self._homes: set[tuple[int, int]] = set()
        self._read_names()
        self._learnt_base = max((base for base, _ in self._restored()), default=0)

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
                self._read_names()
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

    def known_to(self) -> int:
        """How far the journal was read, as ``learnt_offset`` and ``up_to_offset`` count: on over a restored journal.

        A journal that was restored from a backup gives offsets again that it gave before; here none stands for two entries.
        """
        return self.place().journal_offset + self._learnt_base

    def journal_restored(self) -> None:
        """The journal is read from its beginning again. What it brings from now on is younger than all that is kept."""
        self._learnt_base = self.known_to()
        self._db.execute("INSERT INTO restored(learnt_base, audit_id) VALUES (?, NULL)", (self._learnt_base,))
        self.set_journal_offset(0)

    def records_restored(self, audit_id: int) -> None:
        """The records know no later change than this one any more: what was given its equipment by a later one has it
        since this one, and the changes are read from the beginning.
        """
        for statement in _SINCE_NO_LATER:
            self._db.execute(statement, (audit_id,))
        self._db.execute("INSERT INTO restored(learnt_base, audit_id) VALUES (?, ?)", (self._learnt_base, audit_id))
        self.set_audit_id(0)

    def is_blurred(self, homes_audit_id: int) -> bool:
        """Whether it cannot be known any more which facts were where when people's changes were read up to there."""
        return any(audit_id == homes_audit_id for _, audit_id in self._restored())

    def _restored(self) -> list[tuple[int, int | None]]:
        """(Learnt base, audit id) of each restored feed that was found."""
        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'restored'"):
            return []  # a file of before, opened to be read only
        return self._rows("SELECT learnt_base, audit_id FROM restored")

    def done(self) -> Place:
        """How far all that was read is judged and said too: from here a start reads on."""
        return Place(*self._rows("SELECT journal_offset, audit_id FROM done")[0])

    def set_done(self, place: Place) -> None:
        self._db.execute("UPDATE done SET journal_offset = ?, audit_id = ?", (place.journal_offset, place.audit_id))

    def judged_by(self) -> str:
        """Which rules and tables the whole past was judged by, "" before it was."""
        return str(self._rows("SELECT judged_by FROM done")[0][0])

    def set_judged_by(self, rules: str) -> None:
        self._db.execute("UPDATE done SET judged_by = ?", (rules,))

    # --- facts ---

    def add(self, facts: Iterable[ReadingFact], learnt_offset: int = 0) -> list[ReadingFact]:
        """Keep facts that the journal entry at this offset brought; returns those not known before."""
        return [fact for fact in facts if self._add(fact, learnt_offset)]

    def _add(self, fact: ReadingFact, learnt_offset: int) -> bool:
        stream, equipment = self._number(fact.stream_id), self._number(fact.equipment)
        key = (stream, fact.t_ms, _seq(fact.device_seq), _value(fact.value_c), self._number(fact.quality.value))
        made = self._db.execute(
            "INSERT OR IGNORE INTO kept VALUES (?,?,?,?,?,?,?,0)",
            (*key, equipment, learnt_offset + self._learnt_base),
        )
        if made.rowcount > 0 and (equipment, stream) not in self._homes:
            self._settle(equipment, stream)
        return made.rowcount > 0

    def facts(
        self,
        *,
        equipment: str | None = None,
        stream: str | None = None,
        quantities: Collection[str] | None = None,
        from_ms: int = 0,
        to_ms: int | None = None,
        up_to_offset: int | None = None,
        up_to_audit: int | None = None,
    ) -> Iterator[ReadingFact]:
        """Facts that have an equipment, read from disk as they are asked for, in time order: [from_ms, to_ms).

        ``quantities``: of these only. ``up_to_offset``, ``up_to_audit``: what was known when the journal was read up
        to there, and people's changes (which gave a device its equipment) up to there. Facts added while this is read
        may be in it or not.
        """
        span = (from_ms, _FOREVER_MS if to_ms is None else to_ms)
        known = (
            _FOREVER_MS if up_to_offset is None else up_to_offset,
            _FOREVER_MS if up_to_audit is None else up_to_audit,
        )
        streams = [
            self._read(place, kept, span, known)
            for place, kept in self.homes()
            if equipment in (None, place)
            and stream in (None, kept)
            and (quantities is None or parse_stream_id(kept).quantity in quantities)
        ]
        return streams[0] if len(streams) == 1 else merge(*streams, key=lambda f: f.t_ms)

    def _read(
        self, equipment: str, stream: str, span: tuple[int, int], known: tuple[int, int]
    ) -> Iterator[ReadingFact]:
        """One stream in one equipment, a page at a time, so that nothing is held open between two pages."""
        place, subject = self._number(equipment), self._number(stream)
        after: tuple[int, ...] = (span[0], -(1 << 62), 0, 0)
        then = known[1] != _FOREVER_MS
        query = f"{_KEPT} UNION ALL {_KEPT_BEFORE}{_IN_ORDER}" if then else _KEPT + _IN_ORDER
        while True:
            rows = self._rows(query, (subject, *after, span[1], place, *known, _PAGE))
            for t_ms, seq, value_m, quality in rows:
                seq = None if seq == _NO_SEQ else seq
                yield ReadingFact(equipment, stream, t_ms, _degrees(value_m), Quality(self._texts[quality]), seq)
            if len(rows) < _PAGE:
                return
            after = rows[-1]

    def columns(self, equipment: str, stream: str) -> History:
        """All readings of a stream in an equipment, without an object for each."""
        places = (self._number(stream), self._number(equipment), self._number(Quality.GOOD.value))
        query = (
            "SELECT t_ms, device_seq, value_m, quality = ?3 AND value_m <> ?4 FROM kept"
            " WHERE stream = ?1 AND equipment = ?2 ORDER BY t_ms, device_seq, value_m, quality"
        )
        parts: list[npt.NDArray[np.int64]] = [np.empty((0, 4), dtype=np.int64)]
        with self._told():
            cursor = self._db.execute(query, (*places, _NO_VALUE))
            while rows := cursor.fetchmany(_COLUMN_ROWS):
                parts.append(np.array(rows, dtype=np.int64))
        t_ms, device_seq, value_m, good = np.concatenate(parts).T
        return History(t_ms, device_seq, value_m, good == 0)

    def ends(self) -> dict[str, int]:
        """Stream -> the time of its newest fact."""
        newest = "SELECT t_ms FROM kept WHERE stream = ? ORDER BY t_ms DESC LIMIT 1"
        found = {stream: self._rows(newest, (self._number(stream),)) for stream in self.streams()}
        return {stream: int(rows[0][0]) for stream, rows in found.items() if rows}

    def first_ms(self, fact: ReadingFact) -> int:
        """When the reading of a fact was: a device's number that was said of several times counts by the first."""
        if fact.device_seq is None:
            return fact.t_ms
        known = self._rows(
            "SELECT min(t_ms) FROM kept WHERE stream = ? AND device_seq = ? AND device_seq >= 0",
            (self._number(fact.stream_id), fact.device_seq),
        )
        return fact.t_ms if known[0][0] is None else min(fact.t_ms, int(known[0][0]))

    def homes(self) -> list[tuple[str, str]]:
        """(equipment, stream) of all facts that have an equipment."""
        return sorted((self._texts[e], self._texts[s]) for e, s in self._homes if e != NOBODY)

    def streams(self) -> set[str]:
        """The streams that facts are of."""
        return {stream for _, stream in self.homes()} | set(self.homeless())

    def house(self, stream: str, stays: Spans, audit_id: int = 0) -> tuple[set[str], list[ReadingFact]]:
        """Give the facts of a stream the equipment that its device stood in at their time (inside a transaction).

        ``audit_id``: up to where people's changes were read, which told so. Returns the equipment that facts were taken
        from, and the facts that have another one now. Costs nothing where the stays are those of the last time.
        """
        subject, text = self._number(stream), json.dumps(stays)
        if self._rows("SELECT 1 FROM housed WHERE stream = ? AND stays = ?", (subject, text)):
            return set(), []
        left: set[str] = set()
        found: list[ReadingFact] = []
        for low, high, equipment in stays:
            place = self._number(equipment)
            here = (subject, low, high, place)
            rows = self._rows(_ELSEWHERE, here)
            if not rows:
                continue
            self._db.execute(_KEEP_BEFORE, (*here, audit_id))
            self._db.execute(_HOUSE, (*here, audit_id))
            self._settle(place, subject)
            left |= {self._texts[row[4]] for row in rows if row[4] != NOBODY}
            for t_ms, seq, value_m, quality, _ in rows:
                number = None if seq == _NO_SEQ else seq
                value_c = _degrees(value_m)
                found.append(ReadingFact(equipment, stream, t_ms, value_c, Quality(self._texts[quality]), number))
        self._db.execute("INSERT OR REPLACE INTO housed VALUES (?,?)", (subject, text))
        return left, found

    def learnt_at(self, fact: ReadingFact, offset: int) -> bool:
        """Whether a fact was kept from the journal entry at this offset."""
        key = (self._number(fact.stream_id), fact.t_ms, _seq(fact.device_seq), _value(fact.value_c))
        query = "SELECT 1 FROM kept WHERE (stream, t_ms, device_seq, value_m, quality, learnt_offset) = (?,?,?,?,?,?)"
        return bool(self._rows(query, (*key, self._number(fact.quality.value), offset + self._learnt_base)))

    def start_of(self, stream: str) -> int | None:
        """The time of a stream's oldest fact, whatever equipment it is in."""
        found = self._rows("SELECT t_ms FROM kept WHERE stream = ? ORDER BY t_ms LIMIT 1", (self._number(stream),))
        return int(found[0][0]) if found else None

    def homeless(self) -> list[str]:
        """Streams with facts that have no equipment."""
        found = self._rows("SELECT DISTINCT stream FROM kept WHERE equipment = 0")
        return [self._texts[number] for (number,) in found]

    # --- names ---

    def _number(self, text: str) -> int:
        number = self._numbers.get(text)
        if number is None:
            self._db.execute("INSERT OR IGNORE INTO name(text) VALUES (?)", (text,))
            number = int(self._rows("SELECT id FROM name WHERE text = ?", (text,))[0][0])
            self._numbers[text], self._texts[number] = number, text
        return number

    def _settle(self, equipment: int, stream: int) -> None:
        if equipment != NOBODY:
            self._db.execute("INSERT OR IGNORE INTO home VALUES (?,?)", (equipment, stream))
        self._homes.add((equipment, stream))

    def _read_names(self) -> None:
        """As the file has them, also after a transaction that came to nothing."""
        self._texts = dict(self._rows("SELECT id, text FROM name"))
        self._numbers = {text: number for number, text in self._texts.items()}
        self._homes = set(self._rows("SELECT equipment, stream FROM home"))

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
                number = None if device_seq == _NO_SEQ else device_seq
                found.append(ReadingFact("", stream, t_ms, _degrees(value_m), Quality(quality), number))
        return found

    def dated_of(self, source: Source, fact: Fact) -> list[ReadingFact]:
        """All readings of this fact's boot that were kept undated and have a date now, without an equipment."""
        boot = fact.stamp.boot_id.encode("utf-8", "surrogatepass")
        rows = self._rows(
            "SELECT stream, t_ms, value_m, quality, device_seq FROM undated_facts"
            " WHERE (site, edge, boot_id) = (?,?,?) AND t_ms IS NOT NULL AND stream IS NOT NULL ORDER BY epoch, seq",
            (source.site, source.edge, boot),
        )
        return [
            ReadingFact("", stream, t_ms, _degrees(value_m), Quality(quality), None if seq == _NO_SEQ else seq)
            for stream, t_ms, value_m, quality, seq in rows
        ]

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
