"""The outbox in one SQLite file; see ``edge.outbox`` for what it promises. Used from one thread.

What is written in a commit is counted in ``edge.outbox_file``. A row is checked when it is read; a file that turns out
to be damaged, at the start or later, is salvaged (``edge.salvage``) and the agent goes on in a new epoch.
"""

from __future__ import annotations

import functools
import json
import logging
import secrets
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from edge import outbox_file as file
from edge import outbox_rows as rows
from edge import salvage
from edge.outbox_file import DIGEST, DamagedError, is_damage
from edge.outbox_model import NO_HINTS, EpochReason, Identity, OutboxUsage, Quota, anchored
from edge.thinning import closed, lost_events, ranges_in, surplus, thinned_events
from telemetry.errors import NeighbourDownError
from telemetry.readings import Event, Fact, Numbered, Ranges, Stamp, Sync

log = logging.getLogger(__name__)
F = TypeVar("F", bound=Callable[..., Any])

# What a full disk gives up at a time: about 300 kB, so that an append that fits now is not the last one.
_ROOM_ROWS = 4_000
_FLOOR_BYTES = 16 << 20  # four times what SQLite lets the WAL grow to before it empties it
_MAX_PAGES = (1 << 32) - 2  # SQLite's own limit
_BEYOND_MS = 1 << 62
# A receipt goes to disk with the next commit; so many numbers are too many to send once more.
_UNSAVED_NUMBERS = 1_000
_LOST_SIGNS = 2_000  # of the lost ranges in a hello; the events name them all
_COLUMNS = "seq, kind, stream, t_ms, value, boot, boottime_ns, wall_ms, synced, max_error_ms, extra, chk"


@dataclass(slots=True)
class _Block:
    """The times within 1024 numbers: of the device, and of the synced clock that recorded."""

    low_ms: int | None = None
    high_ms: int | None = None
    synced_low_ms: int | None = None

    def take(self, t_ms: int | None, wall_ms: int, synced: int) -> None:
        if t_ms is not None:
            self.low_ms = t_ms if self.low_ms is None else min(self.low_ms, t_ms)
            self.high_ms = t_ms if self.high_ms is None else max(self.high_ms, t_ms)
        if synced:
            self.synced_low_ms = wall_ms if self.synced_low_ms is None else min(self.synced_low_ms, wall_ms)


@dataclass(slots=True)
class _State:
    """What is known without reading rows. After a failed commit it is read anew."""

    epoch: str = ""
    reason: EpochReason = EpochReason.NEW
    previous: str = ""
    inode: int = 0
    machine: str = ""
    lost: str = ""
    lost_reason: str = ""
    numbered_to: int = 0
    digest_to: int = 0
    thinned_to: int = 0
    word: int = 0
    named: Ranges = field(default_factory=Ranges)
    saved: Ranges = field(default_factory=Ranges)
    count: int = 0
    unreceipted: int = 0
    archived: bool = False
    # Spans of rows of an earlier epoch that were numbered again because somebody asked: theirs is no place in time.
    asked: list[Sequence[int]] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)
    produced: Counter[int] = field(default_factory=Counter)
    blocks: dict[int, _Block] = field(default_factory=dict)
    dirty: set[int] = field(default_factory=set)
    gone: dict[int, tuple[int, int]] = field(default_factory=dict)

    def text(self) -> str:
        keys = ("epoch", "reason", "previous", "inode", "machine", "lost", "lost_reason", "numbered_to", "digest_to")
        return json.dumps({key: getattr(self, key) for key in (*keys, "thinned_to", "asked")}, separators=(",", ":"))

    def out_of_order(self) -> Ranges:
        return Ranges((low, high) for low, high in self.asked)

    @classmethod
    def of(cls, text: str) -> _State:
        body = json.loads(text)
        state = cls(**body)
        state.reason = EpochReason(state.reason)
        state.word = rows.word_of(state.epoch)
        return state


def _sound(call: F) -> F:
    """A damaged file is salvaged and the call done again; whatever else SQLite says is NeighbourDownError."""
    return _guarded(call, None)


def _sound_or(nothing: Callable[[], object]) -> Callable[[F], F]:
    """As ``_sound``, for calls whose numbers are those of an epoch: after a salvage they get ``nothing``."""
    return lambda call: _guarded(call, nothing)


def _guarded(call: F, nothing: Callable[[], object] | None) -> F:
    @functools.wraps(call)
    def guarded(self: SqliteOutbox, *args: Any, **kwargs: Any) -> Any:
        try:
            return call(self, *args, **kwargs)
        except (sqlite3.Error, DamagedError) as error:
            if not is_damage(error):
                raise _disk_error(error) from error
            self._salvage(str(error))
        if nothing is not None:
            return nothing()
        try:
            return call(self, *args, **kwargs)
        except (sqlite3.Error, DamagedError) as error:  # the card, not the file
            raise _disk_error(error) from error

    return cast("F", guarded)


class SqliteOutbox:
    """``machine``: who we are, "" to not look (``edge.machine``). ``now`` stamps the events that tell of a loss."""

    def __init__(
        self,
        path: Path,
        *,
        quota: Quota | None = None,
        machine: str = "",
        now: Callable[[], Stamp] | None = None,
    ) -> None:
        self._path = path
        self._quota = quota or Quota()
        self._machine = machine
        self._now = now
        self._words: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._hint_ids: dict[str, int] = {}
        self._tight = False
        self._stale = False
        self._version = 0
        self.refused = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = file.lock(path)
            if self._lock is not None:
                salvage.finish(path)
            try:
                self._open()
            except (sqlite3.Error, DamagedError, ValueError, TypeError, KeyError, OverflowError) as error:
                if not is_damage(error):
                    raise
                self._salvage(str(error))
        except (sqlite3.Error, OSError) as error:
            raise NeighbourDownError(
                "outbox",
                f"{path}: {error}",
                advice="check the disk and the owner of the file, then restart the agent",
            ) from error

    # --- opening -----------------------------------------------------------------------------------------

    def _open(self) -> None:
        found = salvage.damage_of_wal(self._path) if self._lock is not None else ""
        if found:
            raise DamagedError(found)
        self._db = file.connect(self._path)
        try:
            version = file.version_of(self._db)
            if version == 1:
                self._db.close()
                salvage.migrate(self._path)
                self._db = file.connect(self._path)
            file.look_over(self._db)
            self._db.executescript(file.SCHEMA)
            if file.version_of(self._db) == 0:
                self._begin_file()
            self._load()
            self._know_place()
        except BaseException:
            self._db.close()
            raise

    def _begin_file(self) -> None:
        epoch = _new_epoch()
        self._state = _State(epoch, inode=self._path.stat().st_ino, machine=self._machine, word=rows.word_of(epoch))
        with self._transaction():
            if file.version_of(self._db):
                return  # another process made it meanwhile: its epoch is the file's
            self._put_meta("version", str(file.VERSION))
            self._put_meta("state", self._state.text())

    def _know_place(self) -> None:
        """Whether this file is where it was written last."""
        state, inode = self._state, self._path.stat().st_ino
        salvaged = self._db.execute("SELECT value FROM meta WHERE key='salvaged'").fetchone()
        if salvaged is not None:
            self.renew(
                EpochReason.SALVAGED, Ranges((low, high) for low, high in json.loads(salvaged[0])), "corrupt_file"
            )
        elif self._machine and state.machine and state.machine != self._machine:
            log.warning("outbox %s comes from another machine: numbering starts a new epoch", self._path)
            self.renew(EpochReason.MOVED)
        elif state.inode != inode:
            log.warning("outbox %s is a copy of another file: numbering starts a new epoch", self._path)
            self.renew(EpochReason.COPIED)
        elif self._machine and not state.machine:
            state.machine = self._machine
            with self._transaction():
                self._put_meta("state", state.text())

    def _put_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES(?,?,?)", (key, value, rows.word_of(key + value)))

    def _load(self) -> None:
        """Read what is known without the rows, and count what was added since it was written."""
        db = self._db
        row = db.execute("SELECT value, chk FROM meta WHERE key='state'").fetchone()
        if row is None or rows.word_of("state" + row[0]) != row[1]:
            raise DamagedError("the table meta is not what was written")
        before: _State | None = getattr(self, "_state", None)
        state = self._state = _State.of(row[0])
        for low, high, chk in db.execute("SELECT low, high, chk FROM named"):
            if rows.check((low, high), low, state.word) != chk:
                raise DamagedError("the table of receipts is not what was written")
        state.named = state.saved = Ranges(db.execute("SELECT low, high FROM named").fetchall())
        if before is not None and before.epoch == state.epoch:
            state.named = state.named | before.named  # what receipts said is true though it could not be written
        state.gone = {event: (low, high) for event, low, high in db.execute("SELECT event, low, high FROM gone")}
        for stream, seq, produced in db.execute("SELECT stream, seq, produced FROM last"):
            state.last[stream], state.produced[stream] = seq, produced
        state.blocks = {row[0]: _Block(*row[1:]) for row in db.execute("SELECT * FROM block")}
        for row in db.execute(
            "SELECT seq, kind, stream, t_ms, wall_ms, synced FROM fact WHERE seq > ? ORDER BY seq", (state.digest_to,)
        ):
            self._count_in(*row)
        state.numbered_to = max(state.numbered_to, db.execute("SELECT coalesce(max(seq), 0) FROM fact").fetchone()[0])
        state.count = db.execute("SELECT count(*) FROM fact").fetchone()[0]
        state.unreceipted = self._count_of(Ranges(self._gaps(0)))
        state.archived = db.execute("SELECT min(seq) < 0 FROM fact").fetchone()[0] == 1
        self._version = db.execute("PRAGMA data_version").fetchone()[0]
        self._stale = False

    def _fresh(self) -> _State:
        """What is known; read anew if a commit failed or another process wrote."""
        if self._stale or self._db.execute("PRAGMA data_version").fetchone()[0] != self._version:
            self._forget_words()
            self._load()
        return self._state

    def _forget_words(self) -> None:
        self._words.clear()
        self._texts.clear()
        self._hint_ids.clear()

    def _count_in(self, seq: int, kind: str, stream: int, t_ms: int | None, wall_ms: int, synced: int) -> None:
        state = self._state
        if kind == "r" and seq > 0:
            state.last[stream] = seq
            state.produced[stream] += 1
        elif kind == "r":
            state.last.setdefault(stream, seq)  # the newest of an earlier epoch is the most negative
        state.blocks.setdefault(seq >> 10, _Block()).take(t_ms, wall_ms, synced)
        state.dirty.add(seq >> 10)

    def _save(self) -> None:
        """The digest: within a transaction."""
        db, state = self._db, self._state
        self._save_named()
        state.digest_to = state.numbered_to
        db.executemany(
            "INSERT OR REPLACE INTO last VALUES(?,?,?)",
            [(stream, seq, state.produced[stream]) for stream, seq in state.last.items()],
        )
        blocks = [(b, state.blocks[b]) for b in state.dirty]
        db.executemany(
            "INSERT OR REPLACE INTO block VALUES(?,?,?,?)",
            [(b, block.low_ms, block.high_ms, block.synced_low_ms) for b, block in blocks],
        )
        state.dirty.clear()
        self._put_meta("state", state.text())

    def _save_named(self) -> None:
        state = self._state
        if state.saved is state.named:
            return
        old, new = set(state.saved.spans), set(state.named.spans)
        self._db.executemany("DELETE FROM named WHERE low = ?", [(low,) for low, _ in old - new])
        self._db.executemany(
            "INSERT OR REPLACE INTO named VALUES(?,?,?)",
            [(low, high, rows.check((low, high), low, state.word)) for low, high in new - old],
        )
        state.saved = state.named

    # --- who we are --------------------------------------------------------------------------------------

    @property
    def epoch(self) -> str:
        return self._state.epoch

    def identity(self) -> Identity:
        s = self._state
        return Identity(s.epoch, s.reason, s.previous, s.machine, s.lost, s.lost_reason)

    @_sound
    def produced(self) -> dict[str, int]:
        return {self._text(stream): count for stream, count in self._fresh().produced.items()}

    def _transaction(self) -> _Transaction:
        return _Transaction(self)

    # --- taking ------------------------------------------------------------------------------------------

    @_sound
    def append(self, facts: Sequence[Fact], hints: Mapping[str, str] = NO_HINTS) -> Ranges:
        try:
            return self._take(facts, hints)
        except NeighbourDownError:
            self.refused += len(facts)
            raise

    def _take(self, facts: Sequence[Fact], hints: Mapping[str, str]) -> Ranges:
        self._stop_growing_before_the_end()
        if facts:
            self._keep_bytes(facts[-1].stamp)
        while True:
            try:
                return self._append(facts, hints)
            except NeighbourDownError as error:
                # Again only while something was dropped: where unreceipted rows stand between, few pages become free.
                if not _is_full(error) or not self._make_room(max(_ROOM_ROWS, 2 * len(facts)), facts):
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

    def _append(self, facts: Sequence[Fact], hints: Mapping[str, str]) -> Ranges:
        self._fresh()
        with self._transaction():
            taken = self._number(facts)
            state = self._state
            if state.numbered_to - state.digest_to >= DIGEST:
                self._save()
            else:
                self._save_named()
            if facts:
                hints = {**hints, salvage.TOP: f"{state.epoch}:{state.numbered_to}"}
            self._db.executemany(
                "INSERT OR REPLACE INTO hint VALUES(?,?,?,?)",
                [(self._hint_id(key), key, value, rows.word_of(key + value)) for key, value in hints.items()],
            )
        return taken

    def _hint_id(self, key: str) -> int:
        if not self._hint_ids:
            self._hint_ids.update({key: number for number, key in self._db.execute("SELECT id, key FROM hint")})
        if key not in self._hint_ids:
            self._hint_ids[key] = 1 + max(self._hint_ids.values(), default=0)
        return self._hint_ids[key]

    def _number(self, facts: Sequence[Fact]) -> Ranges:
        """Within a transaction: give the next numbers."""
        state = self._state
        first = state.numbered_to + 1
        for seq, fact in enumerate(facts, first):
            self._insert(seq, fact)
        state.numbered_to += len(facts)
        state.count += len(facts)
        state.unreceipted += len(facts)
        return Ranges([(first, state.numbered_to)]) if facts else Ranges()

    def _insert(self, seq: int, fact: Fact) -> None:
        content = rows.content_of(fact)
        kind, subject, t_ms, value, boot_id, boottime_ns, wall_ms, synced, max_error_ms, extra = content
        stream = self._word(subject)
        self._db.execute(
            "INSERT INTO fact VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                seq,
                kind,
                stream,
                t_ms,
                value,
                self._word(boot_id),
                boottime_ns,
                wall_ms,
                synced,
                max_error_ms,
                extra,
                rows.check(content, seq, self._state.word),
            ),
        )
        self._count_in(seq, kind, stream, t_ms, wall_ms, synced)

    def _word(self, text: str) -> int:
        """The small number of a text that repeats in many rows (stream ids, boot ids)."""
        if not self._words:
            self._words.update({text: word for word, text in self._db.execute("SELECT id, text FROM word")})
        known = self._words.get(text)
        if known is None:
            known = 1 + max(self._words.values(), default=0)
            self._db.execute("INSERT INTO word VALUES(?,?)", (known, text))
            self._db.execute("INSERT OR REPLACE INTO word_again VALUES(?,?)", (known, text))
            self._words[text] = known
        return known

    def _text(self, word: int) -> str:
        text = self._texts.get(word)
        if text is None:
            row = self._db.execute("SELECT text FROM word WHERE id=?", (word,)).fetchone()
            if row is None:
                raise DamagedError(f"word {word} is missing")
            text = self._texts[word] = str(row[0])
        return text

    @_sound
    def hint(self, key: str) -> str | None:
        row = self._db.execute("SELECT value, chk FROM hint WHERE key=?", (key,)).fetchone()
        if row is not None and rows.word_of(key + row[0]) != row[1]:
            raise DamagedError(f"hint {key} is not what was written")
        return None if row is None else str(row[0])

    # --- giving ------------------------------------------------------------------------------------------

    def _facts(self, where: str, parameters: Sequence[object], limit: int = -1) -> list[Numbered]:
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM fact WHERE {where} ORDER BY seq LIMIT ?",  # noqa: S608  (where is ours)
            (*parameters, limit),
        )
        return [self._numbered(row) for row in found.fetchall()]

    def _numbered(self, row: tuple[Any, ...]) -> Numbered:
        seq, kind, stream, t_ms, value, boot, *rest, chk = row
        content = (kind, self._text(stream), t_ms, value, self._text(boot), *rest)
        if rows.check(content, seq, self._state.word) != chk:
            raise DamagedError(f"number {seq} is not what was written")
        return Numbered(seq, rows.fact_of(*content))

    def _gaps(self, after: int) -> Iterator[tuple[int, int]]:
        """The spans of numbers above ``after`` that no receipt named, rising."""
        low, top = after + 1, self._state.numbered_to
        for n_low, n_high in self._state.named.spans:
            if n_high < low:
                continue
            if n_low > low:
                yield low, n_low - 1
            low = n_high + 1
        if low <= top:
            yield low, top

    def _count_of(self, numbers: Ranges) -> int:
        count = "SELECT count(*) FROM fact WHERE seq BETWEEN ? AND ?"
        return sum(self._db.execute(count, span).fetchone()[0] for span in numbers.spans)

    def _page(self, spans: Iterator[tuple[int, int]], limit: int, more: str = "", *values: object) -> list[Numbered]:
        """The first ``limit`` facts within these spans; ``more`` is a further condition."""
        found: list[Numbered] = []
        for span in spans:
            if len(found) >= limit:
                break
            found += self._facts(f"seq BETWEEN ? AND ?{more}", (*span, *values), limit - len(found))
        return found

    @_sound_or(list)
    def pending(self, limit: int, after: int = 0) -> list[Numbered]:
        self._fresh()
        return self._page(self._gaps(after), limit)

    @_sound_or(list)
    def select(
        self,
        *,
        seq: Ranges | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        only: str = "all",
        limit: int = 1000,
    ) -> list[Numbered]:
        state = self._fresh()
        if from_ms is None and to_ms is None:
            asked = Ranges([(1, max(1, state.numbered_to))]) if seq is None else seq
            found = self._page(iter(self._only(asked, only).spans), limit)
            return found if seq is None else found + self._telling(seq, found, limit)
        low_ms, high_ms = from_ms or 0, _BEYOND_MS if to_ms is None else to_ms
        if from_ms is not None and only == "all":
            self._number_archived(low_ms, high_ms)
        spans = self._in_time(low_ms, high_ms)
        asked = self._only(spans if seq is None else spans & seq, only)
        return self._page(iter(asked.spans), limit, " AND t_ms BETWEEN ? AND ?", low_ms, high_ms)

    def _only(self, asked: Ranges, only: str) -> Ranges:
        return asked if only == "all" else asked - self._state.named

    def _in_time(self, low_ms: int, high_ms: int, sign: int = 1) -> Ranges:
        """The numbers (``sign`` -1: of earlier epochs) of the blocks in which these times occur."""
        return Ranges(
            (b << 10, (b << 10) + 1023)
            for b, block in self._state.blocks.items()
            if (b >= 0) == (sign > 0)
            and block.low_ms is not None
            and block.high_ms is not None
            and block.low_ms <= high_ms
            and block.high_ms >= low_ms
        )

    def _telling(self, asked: Ranges, found: list[Numbered], limit: int) -> list[Numbered]:
        """The events that tell of the asked numbers thinned away, up to where this page reaches."""
        if not self._state.gone:
            return []
        page = asked & Ranges([(1, found[-1].seq)]) if found and len(found) >= limit else asked
        told: list[Numbered] = []
        for event, hull in self._state.gone.items():
            if event not in asked and Ranges([hull]) & page:
                told += [
                    n
                    for n in self._facts("seq = ?", (event,))
                    if isinstance(n.fact, Event) and ranges_in(n.fact) & page
                ]
        return told

    def _number_archived(self, low_ms: int, high_ms: int) -> None:
        """Rows receipted under an earlier epoch that are asked for by time: give them numbers of this one."""
        state = self._state
        if not state.archived:
            return
        old: list[int] = []
        for span in self._in_time(low_ms, high_ms, -1).spans:
            query = "SELECT seq FROM fact WHERE seq BETWEEN ? AND ? AND seq < 0 AND t_ms BETWEEN ? AND ?"
            old += [row[0] for row in self._db.execute(query, (*span, low_ms, high_ms))]
        if not old:
            return
        old.sort(reverse=True)  # the oldest is the one nearest below zero
        with self._transaction():
            self._renumber(old, state.numbered_to + 1)
            for row in self._db.execute(
                "SELECT seq, kind, stream, t_ms, wall_ms, 0 FROM fact WHERE seq > ?", (state.numbered_to,)
            ).fetchall():
                self._count_in(*row)
            given = Ranges([(state.numbered_to + 1, state.numbered_to + len(old))])
            state.asked = [*((state.out_of_order() - Ranges.of(old)) | given).spans]
            state.numbered_to += len(old)
            state.unreceipted += len(old)
            self._save()

    def _renumber(self, old: Sequence[int], first: int, step: int = 1) -> None:
        self._db.executemany(
            f"UPDATE fact SET seq = ?1, chk = (chk + ?1 - ?2) & {rows.MASK} WHERE seq = ?2",  # noqa: S608
            [(first + step * place, seq) for place, seq in enumerate(old)],
        )

    @_sound
    def last_reading(self, stream_id: str) -> Numbered | None:
        state = self._fresh()
        word = self._db.execute("SELECT id FROM word WHERE text = ?", (stream_id,)).fetchone()
        seq = None if word is None else state.last.get(word[0])
        found = [] if seq is None else self._facts("seq = ?", (seq,))
        return found[0] if found else None

    @_sound
    def reading_times(self, stream_id: str, from_ms: int, to_ms: int) -> list[int]:
        self._fresh()
        word = self._db.execute("SELECT id FROM word WHERE text = ?", (stream_id,)).fetchone()
        if word is None:
            return []
        query = (
            "SELECT t_ms FROM fact WHERE seq BETWEEN ? AND ? AND kind = 'r' AND stream = ? AND t_ms BETWEEN ? AND ?"
        )
        times: list[int] = []
        for sign in (1, -1):
            for span in self._in_time(from_ms, to_ms, sign).spans:
                times += [row[0] for row in self._db.execute(query, (*span, word[0], from_ms, to_ms))]
        return sorted(times)

    # --- receipts and anchors ----------------------------------------------------------------------------

    @_sound_or(lambda: None)
    def received(self, have: Ranges, quarantined: Ranges) -> None:
        state = self._fresh()
        named = have | quarantined if quarantined else have
        if named and named.spans[-1][1] > state.numbered_to:
            log.warning("a receipt names numbers this outbox never gave (restored from a backup?): new epoch")
            self.renew(EpochReason.RESTORED)
            return
        new = named - state.named
        if not new:
            return
        state.unreceipted -= self._count_of(new)
        state.named = state.named | new
        if len(state.named - state.saved) >= _UNSAVED_NUMBERS:
            try:
                with self._transaction():
                    self._save_named()
            except NeighbourDownError as error:  # a full disk: known all the same, so that these are what goes first
                log.debug("receipts are not written now: %s", error)

    @_sound_or(lambda: 0)
    def date_undated(self, boot_id: str, boottime_ns: int, utc_ms: int, after: int = 0) -> int:
        state = self._fresh()
        undated = self._page(self._gaps(after), 1 << 40, " AND t_ms IS NULL")
        dates = [
            (fact, n.seq) for n in undated if (fact := anchored(n.fact, boot_id, boottime_ns, utc_ms)) is not None
        ]
        if dates:
            with self._transaction():
                for fact, seq in dates:
                    chk = rows.check(rows.content_of(fact), seq, state.word)
                    self._db.execute("UPDATE fact SET t_ms=?, chk=? WHERE seq=?", (fact.sampled_at_ms, chk, seq))
                    state.blocks.setdefault(seq >> 10, _Block()).take(fact.sampled_at_ms, 0, 0)
                    state.dirty.add(seq >> 10)
                self._save()
        return len(dates)

    # --- room --------------------------------------------------------------------------------------------

    @_sound_or(lambda: 0)
    def forget_receipted(self, before_ms: int) -> int:
        self._fresh()
        return self._forget(before_ms)

    def _forget(self, before_ms: int) -> int:
        # Rows stand in the order in which they were recorded, so one old synced row dates all before it; an unsynced
        # clock or a reading from a device's memory (old times, new row) can not lead to dropping too much.
        state, count = self._state, 0
        with self._transaction():
            cut = self._recorded_before(before_ms, 1)
            if cut is not None:
                count += self._drop(state.named & Ranges([(1, cut)]))
            cut = self._recorded_before(before_ms, -1) if state.archived else None
            if cut is not None:
                count += self._drop(Ranges([(cut, -1)]))
            if count:
                self._prune()
        return count

    def _recorded_before(self, before_ms: int, sign: int) -> int | None:
        """The newest number that a synced clock recorded before this time; what was asked for again tells nothing."""
        asked, order = self._state.out_of_order(), "DESC" if sign > 0 else "ASC"
        blocks = sorted((b for b in self._state.blocks if (b >= 0) == (sign > 0)), reverse=sign > 0)
        for b in blocks:
            low_ms = self._state.blocks[b].synced_low_ms
            if low_ms is None or low_ms >= before_ms:
                continue
            query = "SELECT seq FROM fact WHERE seq BETWEEN ? AND ? AND synced = 1 AND wall_ms < ? ORDER BY seq "
            for (seq,) in self._db.execute(query + order, (b << 10, (b << 10) + 1023, before_ms)).fetchall():
                if seq not in asked:
                    return int(seq)
        return None

    def _drop(self, numbers: Ranges) -> int:
        """Within a transaction: delete receipted rows; their count."""
        count = 0
        for span in numbers.spans:
            count += self._db.execute("DELETE FROM fact WHERE seq BETWEEN ? AND ?", span).rowcount
        self._state.count -= count
        return count

    def _prune(self) -> None:
        """Within a transaction: the digest, less what speaks of rows that are gone."""
        state, db = self._state, self._db
        low, high = db.execute("SELECT min(seq), max(seq) FROM fact").fetchone()
        state.archived = low is not None and low < 0
        held = set() if low is None else {b for b in state.blocks if low >> 10 <= b <= high >> 10}
        first = db.execute("SELECT min(seq) FROM fact WHERE seq > 0").fetchone()[0]
        if first is not None:
            held = {b for b in held if b < 0 or b >= first >> 10}
        for b in set(state.blocks) - held:
            del state.blocks[b]
            state.dirty.discard(b)
            db.execute("DELETE FROM block WHERE block = ?", (b,))
        if first is not None:
            state.asked = [span for span in state.asked if span[1] < 0 or span[1] >= first]
            for event in [e for e in state.gone if e < first]:
                del state.gone[event]
                db.execute("DELETE FROM gone WHERE event = ?", (event,))
        self._save()

    def _drop_oldest(self, rows_wanted: int) -> int:
        """Drop the oldest receipted facts; their count."""
        state, count = self._state, 0
        with self._transaction():
            # The oldest row of an earlier epoch is the one nearest below zero.
            if state.archived:
                oldest = "SELECT seq FROM fact WHERE seq < 0 ORDER BY seq DESC LIMIT ?"
                deleted = self._db.execute(f"DELETE FROM fact WHERE seq IN ({oldest})", (rows_wanted,))  # noqa: S608
                count += deleted.rowcount
                state.count -= deleted.rowcount
            for low, high in state.named.spans:
                if count >= rows_wanted:
                    break
                oldest = "SELECT seq FROM fact WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"
                found = self._db.execute(oldest, (low, high, rows_wanted - count)).fetchall()
                if found:
                    count += self._drop(Ranges([(found[0][0], found[-1][0])]))
            if count:
                self._prune()
        return count

    def _make_room(self, rows_wanted: int, facts: Sequence[Fact]) -> int:
        """What a full disk gives up; 0 if there is nothing left, or if it does not even take a deletion."""
        count = self._if_the_disk_can(lambda: self._drop_oldest(rows_wanted))
        if count:
            log.warning("the disk is full: %d receipted facts dropped before their time, oldest first", count)
        elif facts:
            count = self._if_the_disk_can(lambda: self._thin_some(facts[-1].stamp, "quota_bytes"))
        return count

    def _if_the_disk_can(self, give_up: Callable[[], int]) -> int:
        """How many facts went; 0 if the disk is too full for it."""
        try:
            self._fresh()
            return give_up()
        except NeighbourDownError as error:
            log.debug("the disk is full and takes no deletion either: %s", error)
            return 0

    def _used_bytes(self) -> int:
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        free = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        return int(pages - free) * int(self._db.execute("PRAGMA page_size").fetchone()[0])

    def _keep_bytes(self, now: Stamp) -> None:
        """The quota's bytes: make room below it, or refuse."""
        most = self._quota.max_bytes
        if not most or self._used_bytes() <= most:
            return
        self._fresh()
        while self._used_bytes() > most - most // 50:
            count = self._drop_oldest(_ROOM_ROWS)
            if count:
                log.warning("the quota is used up: %d receipted facts dropped before their time", count)
            elif not self._thin_some(now, "quota_bytes"):
                break
        if self._used_bytes() > most:
            raise NeighbourDownError(
                "outbox",
                f"the quota of {most >> 20} MB is used up by facts that were not received yet and may not go",
                advice="restore the link to the server, or raise edge.quota_mb",
            )

    @_sound_or(lambda: 0)
    def keep_age(self, now: Stamp) -> int:
        if not self._quota.max_age_ms or now.sync is not Sync.SYNCED:
            return 0
        self._fresh()
        before_ms = now.wall_ms - self._quota.max_age_ms
        count = self._forget(before_ms)
        cut = self._recorded_before(before_ms, 1) or 0
        while True:
            thinned = self._thin(now, "quota_days", cut)
            if thinned is None:
                return count
            count += thinned

    def _thin_some(self, now: Stamp, reason: str) -> int:
        """Thin until something went; 0: nothing may go any more."""
        while True:
            thinned = self._thin(now, reason, self._state.numbered_to)
            if thinned != 0:
                return thinned or 0

    def _thin(self, now: Stamp, reason: str, up_to: int) -> int | None:
        """Thin the next stretch of unsent readings; how many went, None at the end."""
        state, limit = self._state, _ROOM_ROWS
        while True:
            facts = self._page(self._gaps(state.thinned_to), limit)
            end = closed(facts)
            if end or len(facts) < limit:
                break
            limit *= 2
        facts = [n for n in facts[:end] if n.seq <= up_to]
        if not facts:
            return None
        gone = surplus(facts, self._quota.limits)
        count = sum(len(numbers) for numbers in gone.values())
        with self._transaction():
            state.thinned_to = facts[-1].seq
            numbers = sorted(seq for group in gone.values() for seq in group)
            self._db.executemany("DELETE FROM fact WHERE seq = ?", [(seq,) for seq in numbers])
            state.count -= count
            state.unreceipted -= count
            for ranges, event in thinned_events(gone, reason, self._quota.edge, state.epoch, now):
                seq = self._number([event]).spans[0][0]
                state.gone[seq] = (ranges.spans[0][0], ranges.spans[-1][1])
                self._db.execute("INSERT INTO gone VALUES(?,?,?)", (seq, *state.gone[seq]))
            self._save()
        if count:
            log.warning("%s: %d unsent readings within their limits thinned to 15 minutes", reason, count)
        return count

    @_sound
    def usage(self) -> OutboxUsage:
        # The oldest row is the first one ever taken: the most negative number is the newest of an earlier epoch.
        state = self._fresh()
        oldest = self._db.execute(
            "SELECT coalesce((SELECT wall_ms FROM fact WHERE seq < 0 ORDER BY seq DESC LIMIT 1),"
            " (SELECT wall_ms FROM fact WHERE seq > 0 ORDER BY seq LIMIT 1))"
        ).fetchone()[0]
        size = sum(f.stat().st_size for f in (self._path, salvage.wal_of(self._path)) if f.exists())
        return OutboxUsage(state.count, size, state.unreceipted, state.numbered_to, oldest, self.refused)

    # --- epochs ------------------------------------------------------------------------------------------

    def renew(
        self, reason: EpochReason = EpochReason.RESTORED, lost: Ranges | None = None, lost_reason: str = ""
    ) -> None:
        """Start a new epoch: number the unreceipted from 1, keep the receipted below zero. ``lost`` are numbers of the
        old one that are gone for good: told by events, the first of the new epoch's facts that come.
        """
        db, old = self._db, self._fresh()
        inode, machine = self._path.stat().st_ino, self._machine or old.machine
        with self._transaction():
            lowest = min(0, db.execute("SELECT coalesce(min(seq), 0) FROM fact").fetchone()[0])
            numbers = [row[0] for row in db.execute("SELECT seq FROM fact WHERE seq > 0 ORDER BY seq")]
            named = iter([*old.named.spans, (1 << 62, 1 << 62)])
            span = next(named)
            receipted: list[int] = []
            unsent: list[int] = []
            for seq in numbers:
                while seq > span[1]:
                    span = next(named)
                (receipted if seq >= span[0] else unsent).append(seq)
            self._renumber(receipted, lowest - 1, -1)
            # In rising order the new number is never above the old one, so no two rows meet.
            self._renumber(unsent, 1)
            epoch = _new_epoch()
            word = rows.word_of(epoch)
            db.execute(f"UPDATE fact SET chk = (chk + ?) & {rows.MASK}", (word - old.word,))  # noqa: S608
            db.execute("DELETE FROM meta WHERE key = 'salvaged'")
            for table in ("named", "gone", "last", "block"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608
            text = _first_text(lost)
            state = self._state = _State(
                epoch, reason, old.epoch, inode, machine, text, lost_reason, len(unsent), 0, 0, word
            )
            state.count, state.unreceipted, state.archived = len(numbers), len(unsent), lowest < 0 or bool(receipted)
            state.count += old.count - len(numbers)
            moved = old.out_of_order()
            asked = [1 + place for place, seq in enumerate(unsent) if seq in moved]
            asked += [lowest - 1 - place for place, seq in enumerate(receipted) if seq in moved]
            earlier = moved & Ranges([(lowest, -1)]) if lowest < 0 else Ranges()
            moved = Ranges.of(sorted(asked)) | earlier
            state.asked = [*moved.spans]
            counted = "SELECT seq, kind, stream, t_ms, wall_ms, synced FROM fact ORDER BY seq"
            for seq, kind, stream, t_ms, wall_ms, synced in db.execute(counted):
                self._count_in(seq, kind, stream, t_ms, wall_ms, 0 if seq in moved else synced)
            if lost:
                self._number(lost_events(lost, lost_reason, self._quota.edge, old.epoch, self._stamp()))
            self._save()

    def _stamp(self) -> Stamp:
        if self._now is not None:
            return self._now()
        newest = self._facts("seq = (SELECT max(seq) FROM fact)", ())
        return newest[0].fact.stamp if newest else Stamp("unknown", 0, 0, Sync.UNSYNCED)

    def _salvage(self, why: str) -> None:
        """Keep what can be read in a new file, put the damaged one aside, begin a new epoch and say what is lost."""
        if self._lock is None:
            raise NeighbourDownError("outbox", f"{self._path} is damaged ({why}) and another process has it open")
        log.error("outbox %s is damaged (%s): what can be read is kept", self._path, why)
        try:
            if hasattr(self, "_db"):
                self._db.close()
            kept = salvage.rebuild(self._path)
            self._forget_words()
            self._tight = False
            self._open()
        except (sqlite3.Error, OSError) as error:
            raise NeighbourDownError(
                "outbox",
                f"{self._path} is damaged and cannot be rebuilt: {error}",
                advice="check the card: it may be full or worn out; the damaged file is kept",
            ) from error
        log.error(
            "outbox: %d facts kept, %d numbers lost; the damaged file is %s", kept.facts, len(kept.lost), kept.aside
        )

    def close(self) -> None:
        """Keep what receipts said since the last commit, and close."""
        try:
            if not self._stale and self._state.saved is not self._state.named:
                with self._transaction():
                    self._save_named()
        except (NeighbourDownError, sqlite3.Error, DamagedError) as error:
            log.debug("receipts since the last commit are not kept: %s", error)
        self._db.close()
        if self._lock is not None:
            self._lock.close()


class _Transaction:
    """BEGIN IMMEDIATE ... COMMIT; a failure rolls back, forgets what is known, and is NeighbourDownError or damage."""

    def __init__(self, outbox: SqliteOutbox) -> None:
        self._outbox = outbox

    def __enter__(self) -> None:
        try:
            self._outbox._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if is_damage(error):
                raise
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
        self._outbox._forget_words()
        self._outbox._stale = True
        if isinstance(error, sqlite3.Error):
            if is_damage(error):
                raise error
            raise _disk_error(error) from error


def _disk_error(error: BaseException) -> NeighbourDownError:
    return NeighbourDownError("outbox", str(error), advice="check that the disk is not full and is writable")


def _is_full(error: NeighbourDownError) -> bool:
    return isinstance(error.__cause__, sqlite3.Error) and error.__cause__.sqlite_errorcode == sqlite3.SQLITE_FULL


def _first_text(lost: Ranges | None) -> str:
    """The first lost ranges as a text for the hello."""
    if not lost:
        return ""
    kept: list[tuple[int, int]] = []
    for span in lost.spans:
        if sum(len(str(n)) + 2 for pair in kept for n in pair) > _LOST_SIGNS:
            break
        kept.append(span)
    return json.dumps(kept, separators=(",", ":"))


def _new_epoch() -> str:
    return secrets.token_hex(8)
