"""A reader of the edge's outbox file from outside: what was accepted, by whatever number, before anything can undo it."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

from benchmarks.chaos.judge import Accepted

EVERY_S = 0.4
_AGAIN = 500  # numbers that are looked at once more each time: what a restored file gives out in a few looks
_ROWS = """SELECT f.seq, EXISTS(SELECT 1 FROM named n WHERE f.seq BETWEEN n.low AND n.high),
  w.text, f.boottime_ns, f.value, f.kind FROM fact f JOIN word w ON w.id = f.stream WHERE f.seq > ?"""


@dataclass
class Watch:
    """``look`` may be called from any thread; the loop of ``start`` calls it too."""

    path: Path
    booted_ms: int
    accepted: dict[tuple[str, int], Accepted] = field(default_factory=dict)
    numbers: dict[tuple[str, int], list[Accepted]] = field(default_factory=dict)
    seqs: dict[str, set[int]] = field(default_factory=dict)
    numbered_to: dict[str, int] = field(default_factory=dict)
    epochs: list[str] = field(default_factory=list)
    _seen: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.look()

    def look(self) -> bool:
        """Take in what is new; False while the file cannot be read (being made, being replaced)."""
        try:
            with self._lock, closing(_open(self.path)) as db:
                db.execute("BEGIN")
                epoch, top = _place(db)
                # A restored file goes on below what we saw: read anew, not only when the fault says so, for it may say
                # so a moment before the file is there (seed 330756 took the reused numbers for the first ones).
                seen = self._seen.get(epoch, 0)
                rows = db.execute(_ROWS, (seen - _AGAIN if top >= seen else 0,)).fetchall()
        except (sqlite3.Error, TypeError):
            return False
        self.numbered_to[epoch] = max(self.numbered_to.get(epoch, 0), top)
        if epoch not in self._seen:
            self.epochs.append(epoch)
        for seq, _, stream, boottime_ns, value, kind in rows:
            self.seqs.setdefault(epoch, set()).add(seq)
            if kind != "r":
                continue
            true_ms = self.booted_ms + boottime_ns // 1_000_000
            one = Accepted(stream, boottime_ns, true_ms, None if value is None else Decimal(value))
            one = self.accepted.setdefault((stream, boottime_ns), one)
            meant = self.numbers.setdefault((epoch, seq), [])
            if one not in meant:  # a restored file may give a number twice
                meant.append(one)
        self._seen[epoch] = top
        return True

    def read_again(self) -> None:
        """The file was replaced: look at every number anew."""
        with self._lock:
            self._seen = dict.fromkeys(self._seen, 0)

    def pending(self) -> tuple[str, set[tuple[str, int]]] | None:
        """(epoch, identities of the readings that no receipt has named) as the file stands now; None: unreadable."""
        try:
            with closing(_open(self.path)) as db:
                epoch, _ = _place(db)
                rows = db.execute(_ROWS, (0,)).fetchall()
        except (sqlite3.Error, TypeError):
            return None
        return epoch, {(r[2], r[3]) for r in rows if not r[1] and r[5] == "r"}

    def vanished(self) -> dict[str, set[int]]:
        """Numbers that were given and whose facts were never seen, by epoch: gone before anyone could look."""
        return {
            epoch: gone
            for epoch, top in self.numbered_to.items()
            if (gone := set(range(1, top + 1)) - self.seqs.get(epoch, set()))
        }

    def place(self) -> tuple[str, int] | None:
        """(epoch, highest number given) as the file stands now; None: unreadable."""
        try:
            with closing(_open(self.path)) as db:
                return _place(db)
        except (sqlite3.Error, TypeError):
            return None


def _place(db: sqlite3.Connection) -> tuple[str, int]:
    """(epoch, highest number given) of the file as it stands."""
    state = json.loads(db.execute("SELECT value FROM meta WHERE key='state'").fetchone()[0])
    top = db.execute("SELECT coalesce(max(seq), 0) FROM fact").fetchone()[0]
    return str(state["epoch"]), max(int(top), int(state["numbered_to"]))


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)
