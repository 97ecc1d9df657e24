"""A quarantine in one SQLite file, for tests: small, durable, repeatable. The real one is gateway.records."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from ingest.quarantine import Asked, Fault, Reason, Waiting

_SCHEMA = """CREATE TABLE IF NOT EXISTS quarantine(
  id INTEGER PRIMARY KEY, digest TEXT UNIQUE, reason TEXT, detail TEXT, topic TEXT, payload BLOB,
  received_at_ms INTEGER, site TEXT, edge TEXT, epoch TEXT, serial TEXT, state TEXT DEFAULT 'waiting')"""


class SqliteQuarantine:
    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(_SCHEMA)

    def put(self, faults: Sequence[Fault]) -> None:
        rows = [(_digest(f), f.reason, f.detail, f.topic, f.payload, f.received_at_ms) for f in faults]
        places = [(f.site, f.edge, f.epoch, f.serial) for f in faults]
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT OR IGNORE INTO quarantine(digest, reason, detail, topic, payload, received_at_ms, site, edge,"
                " epoch, serial) VALUES (?,?,?,?,?,?,?,?,?,?)",
                [(*a, *b) for a, b in zip(rows, places, strict=True)],
            )
            self._db.execute("COMMIT")

    def waiting_serials(self) -> list[str]:
        with self._lock:
            found = self._db.execute(
                "SELECT DISTINCT serial FROM quarantine WHERE reason = ? AND state = 'waiting'",
                (Reason.UNKNOWN_DEVICE,),
            ).fetchall()
        return [serial for (serial,) in found]

    def waiting(self, serial: str) -> list[Waiting]:
        with self._lock:
            found = self._db.execute(
                "SELECT id, site, edge, epoch, serial, received_at_ms, payload FROM quarantine"
                " WHERE reason = ? AND state = 'waiting' AND serial = ? ORDER BY id",
                (Reason.UNKNOWN_DEVICE, serial),
            ).fetchall()
        return [Waiting(str(n), *rest) for n, *rest in found]

    def replayed(self, item_ids: Sequence[str]) -> None:
        with self._lock:
            self._db.executemany(
                "UPDATE quarantine SET state = 'replayed' WHERE id = ?", [(int(i),) for i in item_ids]
            )

    def asked(self) -> list[Asked]:
        """Nobody asks here: what people do is tried on the records (tests/smile_iot/test_quarantine_replay.py)."""
        return []

    def refused_again(self, asked: Asked, reason: str, detail: str) -> None:
        with self._lock:
            self._db.execute(
                "UPDATE quarantine SET reason = ?, detail = ? WHERE id = ?", (reason, detail, int(asked.item_id))
            )

    def rows(self) -> list[tuple[str, str, str, bytes, str]]:
        """(reason, detail, topic, payload, state) of everything."""
        with self._lock:
            return self._db.execute(
                "SELECT reason, detail, topic, payload, state FROM quarantine ORDER BY id"
            ).fetchall()

    def close(self) -> None:
        self._db.close()


def _digest(fault: Fault) -> str:
    digest = hashlib.sha256(repr((fault.reason, fault.topic, fault.serial)).encode())
    digest.update(fault.payload)
    return digest.hexdigest()
