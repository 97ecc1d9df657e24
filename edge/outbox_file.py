"""The outbox's file: its tables, how it is opened, and which errors mean that it is damaged.

Pages of 1 KiB and few tables that change in a commit: a round of ten readings writes its rows and its hints and
nothing else (``benchmarks/flash.py``). What can be counted from the rows is kept in memory and written once in
``DIGEST`` numbers, with every deletion, and when a new epoch begins.
"""

from __future__ import annotations

import fcntl
import sqlite3
from io import FileIO
from pathlib import Path

VERSION = 2
PAGE_BYTES = 1024
DIGEST = 1024
SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL, chk INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hint(  -- few, and written with every commit: side by side on as few pages as can be
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, value TEXT NOT NULL, chk INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS word(id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS word_again(id INTEGER PRIMARY KEY, text TEXT NOT NULL);  -- one bad page must not cost all
CREATE TABLE IF NOT EXISTS named(low INTEGER PRIMARY KEY, high INTEGER NOT NULL, chk INTEGER NOT NULL);  -- receipted
CREATE TABLE IF NOT EXISTS gone(event INTEGER PRIMARY KEY, low INTEGER NOT NULL, high INTEGER NOT NULL);  -- thinned
CREATE TABLE IF NOT EXISTS last(stream INTEGER PRIMARY KEY, seq INTEGER NOT NULL, produced INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS block(  -- of 1024 numbers: the times in it, NULL if none
  block INTEGER PRIMARY KEY, low_ms INTEGER, high_ms INTEGER, synced_low_ms INTEGER);
CREATE TABLE IF NOT EXISTS fact(
  seq INTEGER PRIMARY KEY,        -- negative: receipted under an earlier epoch
  kind TEXT NOT NULL,             -- r reading, e event, w weighing
  stream INTEGER NOT NULL,        -- word: stream id, subject or device serial
  t_ms INTEGER,                   -- time at the device, NULL while undated
  value TEXT,
  boot INTEGER NOT NULL,          -- word: boot id
  boottime_ns INTEGER NOT NULL,
  wall_ms INTEGER NOT NULL,
  synced INTEGER NOT NULL,
  max_error_ms INTEGER,
  extra TEXT,                     -- JSON of what is rarely there
  chk INTEGER NOT NULL            -- outbox_rows.check
);
"""
# What the machine refuses, not what the file is: full, read-only, locked, no rights, no memory, no such place.
_MACHINE = frozenset(
    {
        sqlite3.SQLITE_PERM, sqlite3.SQLITE_ABORT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_AUTH, sqlite3.SQLITE_MISUSE,
    }
)  # fmt: skip
_READS = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ})


class DamagedError(Exception):
    """The file is not what was written; the text says where it showed."""


def is_damage(error: BaseException) -> bool:
    """Whether an error says that the file is damaged, and not that the machine refuses."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:  # from Python's side: a text that is no UTF-8, a number that is none
            return not isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError)
        primary = code & 0xFF
        return code in _READS if primary == sqlite3.SQLITE_IOERR else primary not in _MACHINE
    return isinstance(error, DamagedError | ValueError | TypeError | KeyError | OverflowError)


def lock(path: Path) -> FileIO | None:
    """Who holds it has the file to himself and may mend it; None if another process does. Ends with the process."""
    held = FileIO(path.with_name(path.name + "-lock"), "w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        return None
    return held


def connect(path: Path) -> sqlite3.Connection:
    """Open or make the file; WAL, and durable at each commit (synchronous=FULL)."""
    db = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        db.execute(f"PRAGMA page_size={PAGE_BYTES}")  # of a new file
        db.execute("PRAGMA cell_size_check=ON")
        # Debian's default: what is deleted is gone, so that a salvage does not find more old rows than present ones.
        db.execute("PRAGMA secure_delete=ON")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA wal_autocheckpoint=4000")
    except BaseException:
        db.close()
        raise
    return db


def version_of(db: sqlite3.Connection) -> int:
    """The version of the tables in an open file, 0 where there are none yet."""
    if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return 0
    row = db.execute("SELECT value FROM meta WHERE key='version'").fetchone()
    return 0 if row is None else int(row[0])


def look_over(db: sqlite3.Connection) -> None:
    """Read every page once (115 MB/s of computing on a PC; a card reads about 20); DamagedError if one is not sound."""
    said = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if said != "ok":
        raise DamagedError(str(said))
