"""A damaged outbox: what can be read goes into a new file, the damaged one is kept aside, the rest is counted.

The order makes a power cut at any moment harmless: the new file is whole and on disk under a name of its own before
anything else is touched; whoever finds it goes on from there (``finish``). The damaged file keeps its bytes under
``NAME.damaged-DATE`` (of its last writing); the two newest of such files are kept.

What counts as salvaged: a row whose check holds for its number and the epoch. That also keeps out what old pages still
hold of earlier epochs. A number that is neither salvaged, nor receipted, nor thinned is lost and told.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from edge import carving, outbox_file
from edge import outbox_rows as rows
from edge.carving import Record
from edge.thinning import THINNED, ranges_in
from telemetry.readings import Event, Ranges

TOP = "#numbered_to"  # beside the hints: known also when the rows' last page is lost
_KEPT_ASIDE = 2
_CLEAR = 5_000
_BLANK: dict[str, Any] = {
    "epoch": "", "reason": "new", "previous": "", "inode": 0, "machine": "", "lost": "", "lost_reason": "",
    "numbered_to": 0, "digest_to": 0, "thinned_to": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kept:
    """What a salvage kept: how many facts, which numbers of the epoch are lost, where the damaged file is."""

    facts: int
    lost: Ranges
    aside: Path


def wal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _shm_of(path: Path) -> Path:
    return path.with_name(path.name + "-shm")


def _whole(path: Path) -> Path:
    """A new file that is whole: it replaces the old one."""
    return path.with_name(path.name + ".rebuilt")


def damage_of_wal(path: Path) -> str:
    """Why the log beside the file is damaged, "" if it is not. SQLite itself would drop what comes after the break
    without a word. Only for whoever has the file to himself.
    """
    wal = wal_of(path)
    try:
        data = wal.read_bytes()
    except FileNotFoundError:
        return ""
    if data and not (path.exists() and path.stat().st_size):
        return "the file is empty or gone and its log is not"
    return "its log is broken in the middle" if carving.wal(data).damaged else ""


def finish(path: Path) -> None:
    """Put a rebuilt file in its place; also what a power cut left of doing so."""
    whole = _whole(path)
    if not whole.exists():
        return
    wal_of(path).unlink(missing_ok=True)
    _shm_of(path).unlink(missing_ok=True)
    _sync_folder(path)
    whole.replace(path)
    _sync_folder(path)


def rebuild(path: Path) -> Kept:
    """Salvage ``path``; its caller opens the new file and begins a new epoch with ``lost``."""
    path.touch()  # it may be gone, and its log not
    source = _Source(path)
    try:
        found = _Found.of(source)
        building = path.with_name(path.name + ".rebuilding")
        kept, lost = _write(building, source, found)
    finally:
        source.close()
    building.replace(_whole(path))
    _sync_folder(path)
    aside = _put_aside(path)
    finish(path)
    return Kept(kept, lost, aside)


def _put_aside(path: Path) -> Path:
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%S")
    aside = path.with_name(f"{path.name}.damaged-{written}")
    count = 1
    while aside.exists():
        count += 1
        aside = path.with_name(f"{path.name}.damaged-{written}-{count}")
    for old, new in ((path, aside), (wal_of(path), wal_of(aside))):
        if old.exists():
            try:
                os.link(old, new)
            except OSError:  # a file system without links: it is moved, and ``finish`` puts the new one in its place
                old.replace(new)
    earlier = sorted(path.parent.glob(f"{path.name}.damaged-*"), key=lambda p: (p.stat().st_mtime, p.name))
    earlier = [p for p in earlier if not p.name.endswith("-wal")]
    for old in earlier[:-_KEPT_ASIDE]:
        old.unlink()
        wal_of(old).unlink(missing_ok=True)
    _sync_folder(path)
    return aside


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# --- reading -----------------------------------------------------------------------------------------------


class _Source:
    """The newest version of every page that can be read: of the log if it is there, else of the file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        try:
            self._log = wal_of(path).read_bytes()
        except OSError:
            self._log = b""
        log = carving.wal(self._log)
        self._newer = {frame.page: frame.at for frame in (*log.sound, *log.more)}
        self.size = self._page_bytes()
        self.count = max(os.fstat(self._file).st_size // self.size, max(self._newer, default=0))

    def _page_bytes(self) -> int:
        size = int.from_bytes(self._read(16, 2), "big")
        return size if size in (512, 1024, 2048, 4096, 8192) else outbox_file.PAGE_BYTES

    def _read(self, at: int, size: int) -> bytes:
        try:
            return os.pread(self._file, size, at)
        except OSError:  # a bad sector: that page is lost, the next may be good
            return b""

    def page(self, number: int) -> bytes | None:
        at = self._newer.get(number)
        found = self._read((number - 1) * self.size, self.size) if at is None else self._log[at : at + self.size]
        return found if number > 0 and len(found) == self.size else None

    def records(self, wanted: Callable[[int], bool]) -> Iterator[Record]:
        for number in range(1, self.count + 1):
            page = self.page(number)
            if page is not None:
                yield from carving.records(page, self.size, self.page, number == 1, wanted)

    def close(self) -> None:
        os.close(self._file)


@dataclass(slots=True)
class _Found:
    """What the small tables say, as far as it can be read."""

    words: defaultdict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    states: list[dict[str, Any]] = field(default_factory=list)
    hints: dict[str, str] = field(default_factory=dict)
    spans: list[tuple[int, int, int]] = field(default_factory=list)  # low, high, word of the epoch

    @classmethod
    def of(cls, source: _Source) -> _Found:
        found = cls()
        for record in source.records(lambda header: header <= _COLUMNS):
            match record:
                case Record(None, (str(key), str(value), int(chk))) if rows.word_of(key + value) == chk:
                    found.add_text(key, value)
                case Record(int(), (None, str(key), str(value), int(chk))) if rows.word_of(key + value) == chk:
                    found.hints[key] = value
                case Record(int(word), (None, str(text))):
                    found.words[word].add(text)
                case Record(int(low), (None, int(high), int(chk))) if 1 <= low <= high:
                    found.spans.append((low, high, (chk - rows.check((low, high), low, 0)) & rows.MASK))
        return found

    def add_text(self, key: str, value: str) -> None:
        state = json.loads(value) if key == "state" else None
        if isinstance(state, dict):
            self.states.append(state)

    def contents(self, values: tuple[Any, ...]) -> Iterator[tuple[rows.Content, int]]:
        """What a row may have said, by each reading of its words, with its check."""
        _, kind, stream, t_ms, value, boot, boottime_ns, wall_ms, synced, max_error_ms, extra, chk = values
        for subject, boot_id in product(self.words[stream], self.words[boot]):
            content = (kind, subject, t_ms, value, boot_id, boottime_ns, wall_ms, synced, max_error_ms, extra)
            yield content, chk


_COLUMNS = 12


def _is_fact(record: Record) -> bool:
    values = record.values
    return (
        record.rowid is not None
        and len(values) == _COLUMNS
        and values[0] is None
        and values[1] in ("r", "e", "w")
        and isinstance(values[2], int)
        and isinstance(values[5], int)
        and isinstance(values[11], int)
    )


def _write(building: Path, source: _Source, found: _Found) -> tuple[int, Ranges]:
    """The new file, closed and on disk; how many facts it holds and which numbers are lost."""
    word, state = _epoch_of(source, found)
    with _new_file(building) as db:
        _copy_rows(db, source, found, word)
        named = Ranges((low, high) for low, high, span_word in found.spans if span_word == word)
        thinned = _thinned(db, word)
        db.executemany("DELETE FROM fact WHERE seq BETWEEN ? AND ?", thinned.spans)
        top = _top(db, state, found)
        held = Ranges.of(row[0] for row in db.execute("SELECT seq FROM fact WHERE seq > 0"))
        lost = Ranges([(1, top)] if top else []) - held - named - thinned
        _keep(db, state | {"numbered_to": top}, found, named, lost, word)
        count = db.execute("SELECT count(*) FROM fact").fetchone()[0]
    return count, lost


@contextmanager
def _new_file(building: Path) -> Iterator[sqlite3.Connection]:
    """A new outbox file, filled in one transaction; it has no log beside it when it changes its name."""
    for old in (building, wal_of(building), _shm_of(building)):
        old.unlink(missing_ok=True)
    db = outbox_file.connect(building)
    try:
        db.executescript(outbox_file.SCHEMA)
        db.execute("BEGIN IMMEDIATE")
        yield db
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode=DELETE")
    finally:
        db.close()


def _rows(source: _Source, found: _Found) -> Iterator[tuple[int, rows.Content, int, int]]:
    """Number, content, check and the epoch's word that the check speaks of, for each reading of each likely row."""
    for record in source.records(lambda header: header > _COLUMNS):
        if _is_fact(record) and record.rowid is not None:
            for content, chk in found.contents(record.values):
                yield record.rowid, content, chk, (chk - rows.check(content, record.rowid, 0)) & rows.MASK


def _epoch_of(source: _Source, found: _Found) -> tuple[int, dict[str, Any]]:
    """The word of the epoch of most rows, and its state if that can be read."""
    by_word = {rows.word_of(str(state.get("epoch"))): state for state in found.states}
    count: Counter[int] = Counter()
    for _, _, _, word in _rows(source, found):
        count[word] += 1
        if word in by_word and count[word] >= _CLEAR and count[word] * 2 > count.total():
            break  # an earlier epoch's left-over pages are never so many
    likely = [(n, word) for word, n in count.items() if n > 1 or word in by_word]
    word = max(likely)[1] if likely else next(iter(by_word), 0)
    return word, _BLANK | by_word.get(word, {}) | {"digest_to": 0, "thinned_to": 0}


class _Writer:
    """Rows into a new file, their words numbered anew."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._numbers: dict[str, int] = {}

    def _number(self, text: str) -> int:
        if text not in self._numbers:
            number = self._numbers[text] = len(self._numbers) + 1
            self._db.execute("INSERT INTO word VALUES(?,?)", (number, text))
            self._db.execute("INSERT INTO word_again VALUES(?,?)", (number, text))
        return self._numbers[text]

    def put(self, seq: int, content: rows.Content, chk: int) -> None:
        """Of two versions of a number the dated one is the later."""
        kind, subject, t_ms, value, boot_id, *rest = content
        choice = "IGNORE" if t_ms is None else "REPLACE"
        self._db.execute(
            f"INSERT OR {choice} INTO fact VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
            (seq, kind, self._number(subject), t_ms, value, self._number(boot_id), *rest, chk),
        )


def _copy_rows(db: sqlite3.Connection, source: _Source, found: _Found, word: int) -> None:
    writer = _Writer(db)
    for seq, content, chk, row_word in _rows(source, found):
        if row_word == word:
            writer.put(seq, content, chk)


def _facts(db: sqlite3.Connection, kind: str) -> Iterator[tuple[int, Any]]:
    words = dict(db.execute("SELECT id, text FROM word").fetchall())
    for seq, _, stream, t_ms, value, boot, *rest, _chk in db.execute("SELECT * FROM fact WHERE kind = ?", (kind,)):
        yield seq, rows.fact_of(kind, words[stream], t_ms, value, words[boot], *rest)


def _thinned(db: sqlite3.Connection, word: int) -> Ranges:
    """What the events of this epoch say was thinned: an old page may still hold it."""
    gone = Ranges()
    for _, fact in _facts(db, "e"):
        if isinstance(fact, Event) and fact.kind == THINNED and rows.word_of(str(fact.detail.get("epoch"))) == word:
            gone |= ranges_in(fact)
    return gone


def _top(db: sqlite3.Connection, state: dict[str, Any], found: _Found) -> int:
    """The highest number that was surely given."""
    epoch, _, number = found.hints.get(TOP, "").rpartition(":")
    told = int(number) if number.isdigit() and epoch == state["epoch"] else 0
    highest: int = db.execute("SELECT coalesce(max(seq), 0) FROM fact").fetchone()[0]
    return max(told, int(state["numbered_to"]), highest)


def _keep(
    db: sqlite3.Connection, state: dict[str, Any], found: _Found, named: Ranges, lost: Ranges | None, word: int
) -> None:
    """The small tables of the new file, still under the old epoch: whoever opens it begins the new one."""
    own = rows.word_of(state["epoch"])
    if own != word:  # the epoch's name is lost: the rows get the word of no name
        db.execute("UPDATE fact SET chk = (chk + ?) & ?", (own - word, rows.MASK))
    texts = {"version": str(outbox_file.VERSION), "state": json.dumps(state, separators=(",", ":"))}
    if lost is not None:
        texts["salvaged"] = json.dumps(lost.to_lists(), separators=(",", ":"))
    for insert, pairs in (
        ("INSERT INTO meta VALUES(?,?,?)", texts),
        ("INSERT INTO hint(key, value, chk) VALUES(?,?,?)", found.hints),
    ):
        checked = [(key, text, rows.word_of(key + text)) for key, text in pairs.items() if key != TOP]
        db.executemany(insert, checked)
    db.executemany(
        "INSERT INTO named VALUES(?,?,?)",
        [(low, high, rows.check((low, high), low, own)) for low, high in named.spans],
    )


# --- version 1, without checks -----------------------------------------------------------------------------


def migrate(path: Path) -> None:
    """Bring a sound file of version 1 to this version: same epoch, same numbers, same receipts."""
    building = path.with_name(path.name + ".rebuilding")
    old = sqlite3.connect(path)
    try:
        meta = dict(old.execute("SELECT key, value FROM meta").fetchall())
        words = dict(old.execute("SELECT id, text FROM word").fetchall())
        found = _Found(hints=dict(old.execute("SELECT key, value FROM hint").fetchall()))
        word = rows.word_of(meta["epoch"])
        named: list[tuple[int, int]] = []
        with _new_file(building) as db:
            writer = _Writer(db)
            for seq, state, kind, stream, t_ms, value, boot, *rest in old.execute("SELECT * FROM fact ORDER BY seq"):
                content: Any = (kind, words[stream], t_ms, value, words[boot], *rest)
                writer.put(seq, content, rows.check(content, seq, word))
                if state and seq > 0:
                    if named and named[-1][1] == seq - 1:
                        named[-1] = (named[-1][0], seq)
                    else:
                        named.append((seq, seq))
            body = {"epoch": meta["epoch"], "numbered_to": int(meta["numbered_to"])}
            # Its inode says whether the old file stood where it was written: only then is the new one no copy.
            at_home = meta.get("inode") == str(path.stat().st_ino)
            body["inode"] = building.stat().st_ino if at_home else 0
            first = old.execute("SELECT min(seq) FROM fact WHERE seq > 0").fetchone()[0] or body["numbered_to"] + 1
            forgotten = [(1, first - 1)] if first > 1 else []
            _keep(db, _BLANK | body | {"digest_to": -(1 << 62)}, found, Ranges([*named, *forgotten]), None, word)
    finally:
        old.close()
    building.replace(_whole(path))
    _sync_folder(path)
    finish(path)
