"""A stream's number inside one SQLite file: names are long, and each row would carry one."""

from __future__ import annotations

import sqlite3

SCHEMA = "CREATE TABLE IF NOT EXISTS streams(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"


class StreamIds:
    """The table ``streams`` with what was read of it. ``forget`` when a transaction that made some rolled back."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[str, int] = {}

    def find(self, name: str) -> int | None:
        """The number of a stream, None if it has none yet."""
        if name not in self._known:
            found = self._db.execute("SELECT id FROM streams WHERE name = ?", (name,)).fetchone()
            if found is None:
                return None
            self._known[name] = int(found[0])
        return self._known[name]

    def make(self, name: str) -> int:
        """The number of a stream, given now if it had none (inside a transaction)."""
        number = self.find(name)
        if number is None:
            self._db.execute("INSERT INTO streams(name) VALUES (?)", (name,))
            number = self.find(name)
            assert number is not None  # noqa: S101  (made just now)
        return number

    def forget(self) -> None:
        self._known.clear()
