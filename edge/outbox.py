"""The durable buffer of one edge: every fact gets a number and stays until retention, receipted or not.

``append`` returns after fsync (SQLite WAL, synchronous=FULL: 0 of 400 simulated power cuts lost a row, data-path 4).
Numbers are gapless from 1 per ``epoch``, one sequence for readings, events and weighings. A receipt only sets a flag;
``forget_receipted`` drops what is receipted and older than the retention (design.md: six months). On a full disk
receipted facts go first, oldest first, before an ``append`` is refused (design.md, promise 1).

*Hints* are small texts committed with the facts they belong to ("this packet id was heard", "this load is captured"),
so that a SIGKILL between two instructions can neither double nor lose a reading.

*Epoch*: a random id, new when the file is new or was restored from a backup. A restored copy would give numbers out
twice, so a file whose inode is not the one written in it, or a receipt that names a number we never gave, starts a
new epoch (``renew``): what is not receipted is numbered anew from 1, receipted rows stay for re-sending by time.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from edge import outbox_rows as rows
from telemetry.errors import NeighbourDownError
from telemetry.readings import Fact, Numbered, Ranges, Reading, Sync, date_by_anchor, dated

log = logging.getLogger(__name__)

PENDING, RECEIVED, QUARANTINED = 0, 1, 2
_NO_HINTS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class OutboxUsage:
    """``bytes`` is the size on disk (0 in memory), ``oldest_ms`` the edge's wall time of the oldest row or None."""

    rows: int
    bytes: int
    unreceipted: int
    numbered_to: int
    oldest_ms: int | None


class Outbox(Protocol):
    """See the module. Errors of the disk are NeighbourDownError("outbox"): nothing was taken, try again."""

    @property
    def epoch(self) -> str: ...

    def append(self, facts: Sequence[Fact], hints: Mapping[str, str] = _NO_HINTS) -> Ranges:
        """Number and keep ``facts`` and ``hints`` in one commit; durable at return. Empty facts keep hints alone.

        A full disk costs receipted facts, oldest first; when there are none left, it is NeighbourDownError.
        """
        ...

    def hint(self, key: str) -> str | None: ...

    def pending(self, limit: int, after: int = 0) -> list[Numbered]:
        """Unreceipted facts with numbers above ``after``, oldest first."""
        ...

    def received(self, have: Ranges, quarantined: Ranges) -> None:
        """Note a receipt of this epoch. A number we never gave means a restored backup: the epoch is renewed."""
        ...

    def select(
        self,
        *,
        seq: Ranges | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        only: str = "all",
        limit: int = 1000,
    ) -> list[Numbered]:
        """Facts by number, or by time at the device with both ends included; ``only`` all or unreceipted."""
        ...

    def last_reading(self, stream_id: str) -> Numbered | None: ...

    def reading_times(self, stream_id: str, from_ms: int, to_ms: int) -> list[int]:
        """Times of this stream's readings within both ends, sorted."""
        ...

    def date_undated(self, boot_id: str, boottime_ns: int, utc_ms: int, after: int = 0) -> int:
        """Date the unreceipted undated facts of a boot above number ``after`` from an anchor; their count."""
        ...

    def forget_receipted(self, before_ms: int) -> int:
        """Drop receipted facts recorded before ``before_ms`` (by a synced clock); their count."""
        ...

    def usage(self) -> OutboxUsage: ...

    def close(self) -> None: ...


def _anchored(fact: Fact, boot_id: str, boottime_ns: int, utc_ms: int) -> Fact | None:
    """``fact`` dated by an anchor of its boot, or None if it is dated already or of another boot (devices.md 7)."""
    if fact.sampled_at_ms is not None or fact.stamp.boot_id != boot_id:
        return None
    at_ms = max(0, date_by_anchor(utc_ms, boottime_ns, fact.stamp.boottime_ns))
    return dated(fact, at_ms) if isinstance(fact, Reading) else replace(fact, sampled_at_ms=at_ms)


# --- SQLite ------------------------------------------------------------------------------------------------

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hint(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS word(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS last(stream INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS fact(
  seq INTEGER PRIMARY KEY,        -- negative: receipted under an earlier epoch
  state INTEGER NOT NULL,         -- 0 pending, 1 received, 2 quarantined
  kind TEXT NOT NULL,             -- r reading, e event, w weighing
  stream INTEGER NOT NULL,        -- word: stream id, subject or device serial
  t_ms INTEGER,                   -- time at the device, NULL while undated
  value TEXT,
  boot INTEGER NOT NULL,          -- word: boot id
  boottime_ns INTEGER NOT NULL,
  wall_ms INTEGER NOT NULL,
  synced INTEGER NOT NULL,
  max_error_ms INTEGER,
  extra TEXT                      -- JSON of what is rarely there
);
CREATE INDEX IF NOT EXISTS fact_pending ON fact(seq) WHERE state = 0;
"""
_VERSION = 1
# What a full disk gives up at a time: about 300 kB, so that an append that fits now is not the last one.
_ROOM_ROWS = 4_000
_FLOOR_BYTES = 16 << 20  # four times what SQLite lets the WAL grow to before it empties it
_MAX_PAGES = (1 << 32) - 2  # SQLite's own limit
_COLUMNS = "seq, kind, stream, t_ms, value, boot, boottime_ns, wall_ms, synced, max_error_ms, extra"


class SqliteOutbox:
    """The outbox in one SQLite file. Used from one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._words: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._tight = False
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            self._open_epoch()
        except sqlite3.Error as error:
            raise NeighbourDownError(
                "outbox",
                f"{path}: {error}",
                advice="check the disk and the owner of the file, then restart the agent",
            ) from error

    def _open_epoch(self) -> None:
        inode = str(self._path.stat().st_ino)
        known = self._meta("inode")
        if known is None:
            with self._transaction():
                self._set_meta(version=str(_VERSION), epoch=_new_epoch(), numbered_to="0", inode=inode)
        elif known != inode:
            log.warning("outbox %s is a copy of another file: numbering starts a new epoch", self._path)
            self.renew()
        self._epoch = str(self._meta("epoch"))

    @property
    def epoch(self) -> str:
        return self._epoch

    def _meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _set_meta(self, **values: str) -> None:
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES(?,?)", values.items())

    def _numbered_to(self) -> int:
        return int(self._meta("numbered_to") or 0)

    def _transaction(self) -> _Transaction:
        return _Transaction(self)

    def append(self, facts: Sequence[Fact], hints: Mapping[str, str] = _NO_HINTS) -> Ranges:
        self._stop_growing_before_the_end()
        while True:
            try:
                return self._append(facts, hints)
            except NeighbourDownError as error:
                # Again only while something was dropped: where unreceipted rows stand between, few pages become free.
                if not _is_full(error) or not self._make_room(max(_ROOM_ROWS, 2 * len(facts))):
                    raise

    def _stop_growing_before_the_end(self) -> None:
        """On a disk with no byte left SQLite cannot even delete, for the WAL must grow for that: so the file stops
        growing, which is SQLITE_FULL too, while ``_FLOOR_BYTES`` are left.
        """
        tight = shutil.disk_usage(self._path.parent).free < _FLOOR_BYTES
        if tight != self._tight:
            self._tight = tight
            # SQLite raises 1 to the pages that there are.
            self._db.execute(f"PRAGMA max_page_count={1 if tight else _MAX_PAGES}")

    def _make_room(self, rows_wanted: int) -> int:
        """Drop the oldest receipted facts of a full disk; their count, 0 if the disk does not even take that."""
        count = 0
        try:
            with self._transaction():
                # The oldest row of an earlier epoch is the one nearest below zero.
                for span in ("seq < 0 ORDER BY seq DESC", "seq > 0 ORDER BY seq"):
                    oldest = f"SELECT seq FROM fact WHERE state != 0 AND {span} LIMIT ?"  # noqa: S608
                    deleted = self._db.execute(f"DELETE FROM fact WHERE seq IN ({oldest})", (rows_wanted - count,))  # noqa: S608
                    count += deleted.rowcount
        except NeighbourDownError as error:
            log.debug("the disk is full and takes no deletion either: %s", error)
            return 0
        if count:
            log.warning("the disk is full: %d receipted facts dropped before their time, oldest first", count)
        return count

    def _append(self, facts: Sequence[Fact], hints: Mapping[str, str]) -> Ranges:
        with self._transaction():
            first = self._numbered_to() + 1
            for seq, fact in enumerate(facts, first):
                self._insert(seq, fact)
            self._set_meta(numbered_to=str(first + len(facts) - 1))
            self._db.executemany("INSERT OR REPLACE INTO hint VALUES(?,?)", hints.items())
        return Ranges([(first, first + len(facts) - 1)]) if facts else Ranges()

    def _insert(self, seq: int, fact: Fact) -> None:
        stream = self._word(rows.subject_of(fact))
        stamp = fact.stamp
        self._db.execute(
            "INSERT INTO fact VALUES(?,0,?,?,?,?,?,?,?,?,?,?)",
            (
                seq,
                rows.kind_of(fact),
                stream,
                fact.sampled_at_ms,
                rows.value_of(fact),
                self._word(stamp.boot_id),
                stamp.boottime_ns,
                stamp.wall_ms,
                int(stamp.sync is Sync.SYNCED),
                stamp.max_error_ms,
                rows.extra_of(fact),
            ),
        )
        if isinstance(fact, Reading):
            self._db.execute("INSERT OR REPLACE INTO last VALUES(?,?)", (stream, seq))

    def _word(self, text: str) -> int:
        """The small number of a text that repeats in many rows (stream ids, boot ids)."""
        known = self._words.get(text)
        if known is None:
            self._db.execute("INSERT OR IGNORE INTO word(text) VALUES(?)", (text,))
            known = int(self._db.execute("SELECT id FROM word WHERE text=?", (text,)).fetchone()[0])
            self._words[text] = known
        return known

    def _text(self, word: int) -> str:
        text = self._texts.get(word)
        if text is None:
            text = str(self._db.execute("SELECT text FROM word WHERE id=?", (word,)).fetchone()[0])
            self._texts[word] = text
        return text

    def hint(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM hint WHERE key=?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _facts(self, where: str, parameters: Sequence[object], limit: int = -1) -> list[Numbered]:
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM fact WHERE {where} ORDER BY seq LIMIT ?",  # noqa: S608  (where is ours)
            (*parameters, limit),
        )
        return [
            Numbered(row[0], rows.fact_of(row[1], self._text(row[2]), row[3], row[4], self._text(row[5]), *row[6:]))
            for row in found.fetchall()
        ]

    def pending(self, limit: int, after: int = 0) -> list[Numbered]:
        return self._facts("state = 0 AND seq > ?", (after,), limit)

    def received(self, have: Ranges, quarantined: Ranges) -> None:
        named = have | quarantined
        if named and named.spans[-1][1] > self._numbered_to():
            log.warning("a receipt names numbers this outbox never gave (restored from a backup?): new epoch")
            self.renew()
            return
        lowest = self._db.execute("SELECT min(seq) FROM fact WHERE state = 0 AND seq > 0").fetchone()[0]
        if lowest is None:
            return
        with self._transaction():
            for state, spans in ((RECEIVED, have.spans), (QUARANTINED, quarantined.spans)):
                self._db.executemany(
                    f"UPDATE fact SET state={state} WHERE state = 0 AND seq BETWEEN ? AND ?",  # noqa: S608
                    [span for span in spans if span[1] >= lowest],
                )

    def select(
        self,
        *,
        seq: Ranges | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        only: str = "all",
        limit: int = 1000,
    ) -> list[Numbered]:
        if from_ms is not None and only == "all":
            self._number_archived(from_ms, to_ms)
        where, parameters = ["seq > 0"], list[object]()
        if only == "unreceipted":
            where.append("state = 0")
        if from_ms is not None:
            where.append("t_ms >= ?")
            parameters.append(from_ms)
        if to_ms is not None:
            where.append("t_ms <= ?")
            parameters.append(to_ms)
        if seq is None:
            return self._facts(" AND ".join(where), parameters, limit)
        found: list[Numbered] = []
        for low, high in seq.spans:
            if len(found) >= limit:
                break
            clause = " AND ".join((*where, "seq BETWEEN ? AND ?"))
            found += self._facts(clause, (*parameters, low, high), limit - len(found))
        return found

    def _number_archived(self, from_ms: int, to_ms: int | None) -> None:
        """Rows receipted under an earlier epoch that are asked for by time: give them numbers of this one."""
        found = self._db.execute(
            "SELECT seq FROM fact WHERE seq < 0 AND t_ms >= ? AND t_ms <= ? ORDER BY seq DESC",
            (from_ms, 1 << 62 if to_ms is None else to_ms),
        ).fetchall()
        if not found:
            return
        with self._transaction():
            first = self._numbered_to() + 1
            for seq, (old,) in enumerate(found, first):
                self._db.execute("UPDATE fact SET seq = ?, state = 0 WHERE seq = ?", (seq, old))
            self._set_meta(numbered_to=str(first + len(found) - 1))

    def last_reading(self, stream_id: str) -> Numbered | None:
        found = self._facts(
            "seq = (SELECT seq FROM last WHERE stream = (SELECT id FROM word WHERE text = ?))", (stream_id,), 1
        )
        return found[0] if found else None

    def reading_times(self, stream_id: str, from_ms: int, to_ms: int) -> list[int]:
        found = self._db.execute(
            "SELECT t_ms FROM fact WHERE kind = 'r' AND stream = (SELECT id FROM word WHERE text = ?)"
            " AND t_ms BETWEEN ? AND ? ORDER BY t_ms",
            (stream_id, from_ms, to_ms),
        )
        return [int(row[0]) for row in found]

    def date_undated(self, boot_id: str, boottime_ns: int, utc_ms: int, after: int = 0) -> int:
        undated = self._facts("state = 0 AND t_ms IS NULL AND seq > ?", (after,))
        times = [(n.seq, _anchored(n.fact, boot_id, boottime_ns, utc_ms)) for n in undated]
        dates = [(fact.sampled_at_ms, seq) for seq, fact in times if fact is not None]
        if dates:
            with self._transaction():
                self._db.executemany("UPDATE fact SET t_ms = ? WHERE seq = ?", dates)
        return len(dates)

    def forget_receipted(self, before_ms: int) -> int:
        # Rows stand in the order in which they were recorded, so one old synced row dates all before it; an unsynced
        # clock or a reading from a device's memory (old times, new row) can not lead to dropping too much.
        with self._transaction():
            count = 0
            for span in ("seq > 0", "seq < 0"):
                edge = "max" if span == "seq > 0" else "min"
                cut = self._db.execute(
                    f"SELECT {edge}(seq) FROM fact WHERE {span} AND synced = 1 AND wall_ms < ?",  # noqa: S608
                    (before_ms,),
                ).fetchone()[0]
                if cut is not None:
                    side = "seq <= ?" if span == "seq > 0" else "seq >= ?"
                    deleted = self._db.execute(
                        f"DELETE FROM fact WHERE {span} AND state != 0 AND {side}",  # noqa: S608
                        (cut,),
                    )
                    count += deleted.rowcount
        return count

    def usage(self) -> OutboxUsage:
        # The oldest row is the first one ever taken: the most negative number is the newest of an earlier epoch.
        total, unreceipted = self._db.execute(
            "SELECT (SELECT count(*) FROM fact), (SELECT count(*) FROM fact WHERE state = 0)"
        ).fetchone()
        oldest = self._db.execute(
            "SELECT coalesce((SELECT wall_ms FROM fact WHERE seq < 0 ORDER BY seq DESC LIMIT 1),"
            " (SELECT wall_ms FROM fact WHERE seq > 0 ORDER BY seq LIMIT 1))"
        ).fetchone()[0]
        size = sum(
            f.stat().st_size for f in (self._path, self._path.with_name(self._path.name + "-wal")) if f.exists()
        )
        return OutboxUsage(total, size, unreceipted, self._numbered_to(), oldest)

    def renew(self) -> None:
        """Start a new epoch: number the unreceipted from 1, keep the receipted below zero."""
        with self._transaction():
            lowest = self._db.execute("SELECT min(0, coalesce(min(seq), 0)) FROM fact").fetchone()[0]
            receipted = self._db.execute("SELECT seq FROM fact WHERE seq > 0 AND state != 0 ORDER BY seq").fetchall()
            moves = [(lowest - place, seq) for place, (seq,) in enumerate(receipted, 1)]
            self._db.executemany("UPDATE fact SET seq = ? WHERE seq = ?", moves)
            # In rising order the new number is never above the old one, so no two rows meet.
            pending = self._db.execute("SELECT seq FROM fact WHERE seq > 0 ORDER BY seq").fetchall()
            self._db.executemany(
                "UPDATE fact SET seq = ? WHERE seq = ?", [(place, seq) for place, (seq,) in enumerate(pending, 1)]
            )
            self._db.execute("DELETE FROM last")
            self._db.execute(
                "INSERT INTO last SELECT stream, coalesce(max(CASE WHEN seq > 0 THEN seq END), min(seq))"
                " FROM fact WHERE kind = 'r' GROUP BY stream"
            )
            self._epoch = _new_epoch()
            self._set_meta(epoch=self._epoch, numbered_to=str(len(pending)), inode=str(self._path.stat().st_ino))

    def close(self) -> None:
        self._db.close()


class _Transaction:
    """BEGIN IMMEDIATE ... COMMIT; a failure rolls back, forgets the cached words, and is NeighbourDownError."""

    def __init__(self, outbox: SqliteOutbox) -> None:
        self._outbox = outbox

    def __enter__(self) -> None:
        try:
            self._outbox._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise _disk_error(error) from error

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        db = self._outbox._db
        if error is None:
            try:
                db.execute("COMMIT")
            except sqlite3.Error as failed:
                error = failed
            else:
                return
        if db.in_transaction:
            db.execute("ROLLBACK")
        self._outbox._words.clear()
        if isinstance(error, sqlite3.Error):
            raise _disk_error(error) from error


def _disk_error(error: sqlite3.Error) -> NeighbourDownError:
    return NeighbourDownError("outbox", str(error), advice="check that the disk is not full and is writable")


def _is_full(error: NeighbourDownError) -> bool:
    return isinstance(error.__cause__, sqlite3.Error) and error.__cause__.sqlite_errorcode == sqlite3.SQLITE_FULL


def _new_epoch() -> str:
    return secrets.token_hex(8)


# --- memory ------------------------------------------------------------------------------------------------


class MemoryOutbox:
    """The same contract in a dict, for tests and for demos without a disk."""

    def __init__(self) -> None:
        self._epoch = _new_epoch()
        self._facts: dict[int, Fact] = {}
        self._states: dict[int, int] = {}
        self._archive: list[Fact] = []
        self._hints: dict[str, str] = {}
        self._numbered_to = 0

    @property
    def epoch(self) -> str:
        return self._epoch

    def append(self, facts: Sequence[Fact], hints: Mapping[str, str] = _NO_HINTS) -> Ranges:
        first = self._numbered_to + 1
        self._number(facts)
        self._hints |= hints
        return Ranges([(first, self._numbered_to)]) if facts else Ranges()

    def _number(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            self._numbered_to += 1
            self._facts[self._numbered_to] = fact
            self._states[self._numbered_to] = PENDING

    def hint(self, key: str) -> str | None:
        return self._hints.get(key)

    def _all(self) -> Iterator[Numbered]:
        return (Numbered(seq, fact) for seq, fact in self._facts.items())

    def pending(self, limit: int, after: int = 0) -> list[Numbered]:
        return [n for n in self._all() if n.seq > after and self._states[n.seq] == PENDING][:limit]

    def received(self, have: Ranges, quarantined: Ranges) -> None:
        named = have | quarantined
        if named and named.spans[-1][1] > self._numbered_to:
            self.renew()
            return
        for seq, state in self._states.items():
            if state == PENDING and seq in named:
                self._states[seq] = RECEIVED if seq in have else QUARANTINED

    def select(
        self,
        *,
        seq: Ranges | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        only: str = "all",
        limit: int = 1000,
    ) -> list[Numbered]:
        def in_time(fact: Fact) -> bool:
            t_ms = fact.sampled_at_ms
            if from_ms is None and to_ms is None:
                return True
            return t_ms is not None and (from_ms or 0) <= t_ms and (to_ms is None or t_ms <= to_ms)

        if from_ms is not None and only == "all":
            asked = [fact for fact in self._archive if in_time(fact)]
            self._archive = [fact for fact in self._archive if not in_time(fact)]
            self._number(asked)
        return [
            n
            for n in self._all()
            if (seq is None or n.seq in seq) and in_time(n.fact) and (only == "all" or self._states[n.seq] == PENDING)
        ][:limit]

    def last_reading(self, stream_id: str) -> Numbered | None:
        found = [n for n in self._all() if isinstance(n.fact, Reading) and n.fact.stream_id == stream_id]
        return found[-1] if found else None

    def reading_times(self, stream_id: str, from_ms: int, to_ms: int) -> list[int]:
        times = (
            f.sampled_at_ms
            for f in (*self._archive, *self._facts.values())
            if isinstance(f, Reading) and f.stream_id == stream_id
        )
        return sorted(t for t in times if t is not None and from_ms <= t <= to_ms)

    def date_undated(self, boot_id: str, boottime_ns: int, utc_ms: int, after: int = 0) -> int:
        count = 0
        for seq, fact in self._facts.items():
            found = _anchored(fact, boot_id, boottime_ns, utc_ms)
            if found is not None and seq > after and self._states[seq] == PENDING:
                self._facts[seq] = found
                count += 1
        return count

    def forget_receipted(self, before_ms: int) -> int:
        def old(fact: Fact) -> bool:
            return fact.stamp.sync is Sync.SYNCED and fact.stamp.wall_ms < before_ms

        cut = max((seq for seq, fact in self._facts.items() if old(fact)), default=0)
        gone = [seq for seq in self._facts if seq <= cut and self._states[seq] != PENDING]
        for seq in gone:
            del self._facts[seq], self._states[seq]
        kept = [fact for fact in self._archive if not old(fact)]
        count = len(gone) + len(self._archive) - len(kept)
        self._archive = kept
        return count

    def usage(self) -> OutboxUsage:
        facts = [*self._archive, *self._facts.values()]
        unreceipted = sum(state == PENDING for state in self._states.values())
        return OutboxUsage(len(facts), 0, unreceipted, self._numbered_to, facts[0].stamp.wall_ms if facts else None)

    def renew(self) -> None:
        self._epoch = _new_epoch()
        self._archive += [fact for seq, fact in self._facts.items() if self._states[seq] != PENDING]
        pending = [fact for seq, fact in self._facts.items() if self._states[seq] == PENDING]
        self._facts, self._states, self._numbered_to = {}, {}, 0
        self._number(pending)

    def close(self) -> None:
        """Nothing to close."""
