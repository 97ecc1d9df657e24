"""The tables of ``alerts.db``, and how a file of an earlier version becomes one of this.

Names (streams, equipment, qualities) are kept once and meant by number: a fact takes about 30 bytes, so that years of a
site stay a file that a small server can hold. ``home`` says which streams were ever read in an equipment; with it a
range of an equipment is read by the primary key and needs no second index. ``kept_before`` holds the facts that were
in another equipment until people's changes were read up to ``until_audit``; ``housed``: by which stays a stream's facts
were given their equipment last. ``restored``: that a feed was found restored from a backup, ``learnt_base``: what is added to
the journal's offsets since then (0: the journal was not), ``audit_id``: the newest row that the records still had (NULL: all).
"""

from __future__ import annotations

import sqlite3

VERSION = 4
NOBODY = 0
"""The number of the empty name: a fact of a device that stands in no equipment."""

_TABLES = """
CREATE TABLE IF NOT EXISTS place(id INTEGER PRIMARY KEY CHECK(id = 1), journal_offset INTEGER, audit_id INTEGER);
INSERT OR IGNORE INTO place VALUES (1, 0, 0);
CREATE TABLE IF NOT EXISTS done(
  id INTEGER PRIMARY KEY CHECK(id = 1), journal_offset INTEGER, audit_id INTEGER, judged_by TEXT);
INSERT OR IGNORE INTO done SELECT 1, journal_offset, audit_id, '' FROM place;
CREATE TABLE IF NOT EXISTS name(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
INSERT OR IGNORE INTO name VALUES (0, '');
CREATE TABLE IF NOT EXISTS kept(
  stream INTEGER NOT NULL, t_ms INTEGER NOT NULL, device_seq INTEGER NOT NULL, value_m INTEGER NOT NULL,
  quality INTEGER NOT NULL, equipment INTEGER NOT NULL, learnt_offset INTEGER NOT NULL, housed_audit INTEGER NOT NULL,
  PRIMARY KEY(stream, t_ms, device_seq, value_m, quality)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS kept_homeless ON kept(stream) WHERE equipment = 0;
CREATE INDEX IF NOT EXISTS kept_number ON kept(stream, device_seq) WHERE device_seq >= 0;
CREATE TABLE IF NOT EXISTS kept_before(
  equipment INTEGER NOT NULL, stream INTEGER NOT NULL, t_ms INTEGER NOT NULL, device_seq INTEGER NOT NULL,
  value_m INTEGER NOT NULL, quality INTEGER NOT NULL, learnt_offset INTEGER NOT NULL, housed_audit INTEGER NOT NULL,
  until_audit INTEGER NOT NULL,
  PRIMARY KEY(equipment, stream, t_ms, device_seq, value_m, quality, until_audit)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS restored(n INTEGER PRIMARY KEY, learnt_base INTEGER NOT NULL, audit_id INTEGER);
CREATE TABLE IF NOT EXISTS housed(stream INTEGER PRIMARY KEY, stays TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS home(
  equipment INTEGER NOT NULL, stream INTEGER NOT NULL, PRIMARY KEY(equipment, stream)) WITHOUT ROWID;
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

_FROM_0 = """
INSERT OR IGNORE INTO name(text) SELECT stream FROM fact UNION SELECT equipment FROM fact UNION SELECT quality FROM fact;
INSERT OR IGNORE INTO kept
  SELECT s.id, f.t_ms, f.device_seq, f.value_m, q.id, e.id, 0, 0 FROM fact f
  JOIN name s ON s.text = f.stream JOIN name q ON q.text = f.quality JOIN name e ON e.text = f.equipment;
INSERT OR IGNORE INTO home SELECT DISTINCT equipment, stream FROM kept WHERE equipment <> 0;
DROP TABLE fact;
"""


def prepare(db: sqlite3.Connection) -> None:
    """Make the tables; a file of version 0 (facts by text, without ``learnt_offset``) is taken over in one commit.

    A kill in between leaves the old file. Raises sqlite3.DatabaseError.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        _run(db, _TABLES)
        if db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'fact'").fetchone():
            _run(db, _FROM_0)
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _run(db: sqlite3.Connection, script: str) -> None:
    for statement in script.split(";"):  # not executescript, which commits what is open
        if statement.strip():
            db.execute(statement)
