"""The form in which the SQLite store kept its readings before decision 0017, and the way out of it.

A file of that form is turned into blocks when the writer opens it, a stream at a time, each in one transaction: a
kill in between leaves some streams in the one form and some in the other, and the next start goes on.
"""

from __future__ import annotations

import logging
import sqlite3
from itertools import groupby
from typing import Any

from ingest.sqlite_file import Transaction
from ingest.store.blocks import Columns, flag_of, kind_of
from ingest.store.sealing import DAY_MS, block_rows, insert_blocks
from telemetry.readings import Origin, Quality, Sync

_log = logging.getLogger("ingest")
_SELECT = """SELECT t_ms, device_seq, variant, value, quality, origin, source, seq, sync, max_error_ms, received_at_ms
FROM readings WHERE stream = ? ORDER BY t_ms, device_seq, variant"""


def convert(db: sqlite3.Connection) -> None:
    """Turn what is left of the old table into blocks; nothing to do in a file that has none."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'readings'").fetchone() is None:
        return
    streams = [stream for (stream,) in db.execute("SELECT DISTINCT stream FROM readings")]
    _log.warning("the store's file is of an older form: turning %d streams into blocks", len(streams))
    for stream in streams:
        with Transaction(db):
            for day, rows in groupby(db.execute(_SELECT, (stream,)).fetchall(), key=lambda row: row[0] // DAY_MS):
                insert_blocks(db, list(block_rows(stream, day, _columns(list(rows)))))
            db.execute("DELETE FROM readings WHERE stream = ?", (stream,))
    db.execute("DROP TABLE readings")


def _columns(rows: list[Any]) -> Columns:
    t_ms, number, variant, value, quality, origin, source, seq, sync, max_error_ms, received = map(
        list, zip(*rows, strict=True)
    )
    return Columns(
        t_ms,
        [milli or 0 for milli in value],
        [flag_of(milli, Quality(q)) for milli, q in zip(value, quality, strict=True)],
        number,
        variant,
        source,
        [kind_of(Origin(o), Sync(s)) for o, s in zip(origin, sync, strict=True)],
        [-1 if error is None else error for error in max_error_ms],
        received,
        seq,
    )
