"""smile.db: what waits for SMILE, what it became, and what must never be sent again.

Theory. A row is one reading SMILE could tell apart: (device, second). Its states:

    waiting ──▶ sent ──▶ stored                       acknowledged once, never sent again
                 │ ├──▶ refused                       quarantined with SMILE's text, or by our own checks
                 │ ├──▶ unknown_device ──▶ waiting    parked until someone registers the logger
                 │ └──▶ waiting                       nothing reached SMILE
                 └────▶ uncertain ──▶ stored | waiting | held
    no_reading                                        a gap: the device had no value, nothing is ever sent
    held                                              maybe stored and cannot be read back: a person decides

``sent`` is written before the request leaves; what a crash leaves as ``sent`` is uncertain at the next start. An
uncertain row holds back the newer ones of its device (oldest first, never newer before older: smile-and-waste item
7); a held one does not, or one lost answer would silence a logger for good.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from gateway.smile.items import NotPushed
from gateway.smile.port import Item, PushResult, PushStatus, Route
from telemetry.readings import Quality, Reading, Stamp, Sync, date_by_anchor

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items(
  device TEXT NOT NULL, t_s INTEGER NOT NULL, t_ms INTEGER NOT NULL, temperature TEXT NOT NULL, route TEXT NOT NULL,
  extra TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', failures INTEGER NOT NULL DEFAULT 0,
  added_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, PRIMARY KEY(device, t_s)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS items_by_state ON items(state, t_s);
CREATE INDEX IF NOT EXISTS items_by_device ON items(device, state, t_s);
CREATE TABLE IF NOT EXISTS conflicts(
  device TEXT NOT NULL, t_s INTEGER NOT NULL, kept TEXT NOT NULL, other TEXT NOT NULL, seen_ms INTEGER NOT NULL,
  PRIMARY KEY(device, t_s, other)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS devices(
  device TEXT PRIMARY KEY, newest_stored_s INTEGER, parked INTEGER NOT NULL DEFAULT 0,
  not_before_ms INTEGER NOT NULL DEFAULT 0, noticed_ms INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS beside(
  serial TEXT NOT NULL, quantity TEXT NOT NULL, t_ms INTEGER NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY(serial, quantity)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS anchors(
  edge TEXT NOT NULL, boot_id TEXT NOT NULL, boottime_ns INTEGER NOT NULL, utc_ms INTEGER NOT NULL,
  PRIMARY KEY(edge, boot_id, boottime_ns)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS undated(
  edge TEXT NOT NULL, boot_id TEXT NOT NULL, boottime_ns INTEGER NOT NULL, stream TEXT NOT NULL, value TEXT,
  quality TEXT NOT NULL, PRIMARY KEY(edge, boot_id, boottime_ns, stream)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS offsets(reader TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS posts(
  key TEXT PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL, text TEXT NOT NULL DEFAULT '',
  attempts INTEGER NOT NULL DEFAULT 0, next_ms INTEGER NOT NULL DEFAULT 0,
  added_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL) WITHOUT ROWID;
"""
_SCHEMA_VERSION = 1
_MAX_INSERT_TRIES = 3  # an item SMILE "failed to save": its database may be busy; then the item itself is bad


class State(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    STORED = "stored"
    REFUSED = "refused"
    UNKNOWN_DEVICE = "unknown_device"
    UNCERTAIN = "uncertain"
    HELD = "held"
    NO_READING = "no_reading"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What ``accept`` made of a list: new rows, repeats of rows held, and conflicts (the first value is kept)."""

    added: int = 0
    repeated: int = 0
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class Post:
    """A discard or a weight on its way: ``body`` is our own record of it, ``state`` a word of ``Outcome`` or new."""

    key: str
    kind: str
    body: dict[str, Any]
    state: str
    text: str
    attempts: int
    next_ms: int


class SmileOutbox:
    """The adapter's durable memory in one SQLite file. One process, one thread."""

    def __init__(self, path: Path | str, *, backfill_hold_ms: int = 1_800_000) -> None:
        self._hold_ms = backfill_hold_ms
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # what was acknowledged must be known after a power cut
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, _SCHEMA_VERSION):
            raise ValueError(f"{path} has schema {found}, this program knows {_SCHEMA_VERSION}")
        self._db.executescript(_SCHEMA)
        self._db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _write(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # --- in ---------------------------------------------------------------------------------------------------

    def accept(
        self,
        found: Iterable[Item | NotPushed],
        *,
        now_ms: int,
        beside: Iterable[tuple[str, str, int, Decimal]] = (),
        edge: str = "",
        undated: Iterable[Reading] = (),
        dated: Iterable[Reading] = (),
        anchors: Iterable[Stamp] = (),
    ) -> Accepted:
        """Take what one journal entry gave, in one transaction; repeatable, so the position may follow later.

        ``undated`` readings of an edge wait for one of its ``anchors``; ``dated`` ones (of ``datable``) wait no more.
        """
        added = repeated = conflicts = 0
        with self._write():
            for one in found:
                match self._take(one, now_ms):
                    case "added":
                        added += 1
                    case "conflict":
                        conflicts += 1
                    case _:
                        repeated += 1
            for serial, quantity, t_ms, value in beside:
                self._db.execute(
                    "INSERT INTO beside VALUES(?,?,?,?) ON CONFLICT DO UPDATE SET t_ms=excluded.t_ms, "
                    "value=excluded.value WHERE excluded.t_ms >= t_ms",
                    (serial, quantity, t_ms, str(value)),
                )
            self._take_undated(edge, undated, dated, anchors)
        return Accepted(added, repeated, conflicts)

    def _take(self, one: Item | NotPushed, now_ms: int) -> str:
        if isinstance(one, NotPushed):
            return self._take_refusal(one, now_ms)
        device, t_s = one.key
        row = self._db.execute("SELECT * FROM items WHERE device=? AND t_s=?", (device, t_s)).fetchone()
        if row is not None and row["temperature"]:
            if Decimal(row["temperature"]) == one.temperature_c:
                return "repeated"
            cursor = self._db.execute(
                "INSERT OR IGNORE INTO conflicts VALUES(?,?,?,?,?)",
                (device, t_s, row["temperature"], str(one.temperature_c), now_ms),
            )
            return "conflict" if cursor.rowcount else "repeated"
        parked = self._db.execute("SELECT parked FROM devices WHERE device=?", (device,)).fetchone()
        state = State.UNKNOWN_DEVICE if parked is not None and parked["parked"] else State.WAITING
        self._put(device, t_s, one.sampled_at_ms, str(one.temperature_c), one.route, _extra(one), state, "", now_ms)
        return "added"

    def _take_refusal(self, one: NotPushed, now_ms: int) -> str:
        """A reading that never goes out is on record too, unless a real one stands at its second already."""
        if one.sampled_at_ms is None:
            return "repeated"
        t_s = one.sampled_at_ms // 1000
        if self._db.execute("SELECT 1 FROM items WHERE device=? AND t_s=?", (one.device_id, t_s)).fetchone():
            return "repeated"
        state = State.NO_READING if one.is_gap else State.REFUSED
        reason = f"{one.reason}: {one.detail}" if one.detail else one.reason
        self._put(one.device_id, t_s, one.sampled_at_ms, "", Route.COLD, "{}", state, reason, now_ms)
        return "added"

    def _put(
        self,
        device: str,
        t_s: int,
        t_ms: int,
        value: str,
        route: str,
        extra: str,
        state: str,
        reason: str,
        now_ms: int,
    ) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO items VALUES(?,?,?,?,?,?,?,?,0,?,?)",
            (device, t_s, t_ms, value, route, extra, state, reason, now_ms, now_ms),
        )

    def _take_undated(
        self, edge: str, undated: Iterable[Reading], found: Iterable[Reading], anchors: Iterable[Stamp]
    ) -> None:
        for r in undated:
            key = (edge, r.stamp.boot_id, r.stamp.boottime_ns, r.stream_id)
            value = None if r.value is None else str(r.value)
            self._db.execute("INSERT OR IGNORE INTO undated VALUES(?,?,?,?,?,?)", (*key, value, r.quality.value))
        for r in found:
            self._db.execute(
                "DELETE FROM undated WHERE edge=? AND boot_id=? AND boottime_ns=? AND stream=?",
                (edge, r.stamp.boot_id, r.stamp.boottime_ns, r.stream_id),
            )
        for stamp in anchors:
            self._db.execute(
                "INSERT OR IGNORE INTO anchors VALUES(?,?,?,?)",
                (edge, stamp.boot_id, stamp.boottime_ns, stamp.wall_ms),
            )

    def datable(self, edge: str, limit: int = 5_000) -> list[Reading]:
        """Undated readings of an edge that an anchor of their boot dates now: the nearest in boot time, so that
        ingest, which dates by the same rule, stores the same time."""
        rows = self._db.execute(
            "SELECT * FROM undated u WHERE edge=? AND EXISTS "
            "(SELECT 1 FROM anchors a WHERE a.edge=u.edge AND a.boot_id=u.boot_id) ORDER BY boottime_ns LIMIT ?",
            (edge, limit),
        ).fetchall()
        return [self._dated(row) for row in rows]

    def _dated(self, row: sqlite3.Row) -> Reading:
        at_ns = row["boottime_ns"]
        anchor = self._db.execute(
            "SELECT boottime_ns, utc_ms FROM anchors WHERE edge=? AND boot_id=? "
            "ORDER BY ABS(boottime_ns - ?), boottime_ns LIMIT 1",
            (row["edge"], row["boot_id"], at_ns),
        ).fetchone()
        t_ms = date_by_anchor(anchor["utc_ms"], anchor["boottime_ns"], at_ns)
        value = None if row["value"] is None else Decimal(row["value"])
        stamp = Stamp(row["boot_id"], at_ns, t_ms, Sync.UNSYNCED)
        return Reading(row["stream"], value, t_ms, stamp, quality=Quality(row["quality"]))

    def beside(self, serial: str) -> dict[str, tuple[int, Decimal]]:
        """{quantity: (time, value)}: what else the device said last."""
        rows = self._db.execute("SELECT quantity, t_ms, value FROM beside WHERE serial=?", (serial,))
        return {r["quantity"]: (r["t_ms"], Decimal(r["value"])) for r in rows}

    def position(self, reader: str) -> int:
        row = self._db.execute("SELECT position FROM offsets WHERE reader=?", (reader,)).fetchone()
        return 0 if row is None else int(row["position"])

    def set_position(self, reader: str, position: int) -> None:
        with self._write():
            self._db.execute(
                "INSERT INTO offsets VALUES(?,?) ON CONFLICT DO UPDATE SET position=excluded.position",
                (reader, position),
            )

    # --- out --------------------------------------------------------------------------------------------------

    def recover(self, now_ms: int) -> int:
        """At the start: what was ``sent`` when the process died is uncertain. Returns how many."""
        with self._write():
            return self._db.execute(
                "UPDATE items SET state='uncertain', reason='the process ended before the answer', changed_ms=? "
                "WHERE state='sent'",
                (now_ms,),
            ).rowcount

    def due(self, limit: int, now_ms: int) -> list[Item]:
        """The items to push now, oldest first per device, and mark nothing.

        Left out: devices with an uncertain or sent row, parked ones (of which, when their time has come, the oldest
        alone goes as a probe), devices whose pause lasts, and late readings that no newer reading would follow (duty
        10: a backfill ends with the newest) unless they have waited long enough.
        """
        rows = self._db.execute(
            """
            SELECT i.* FROM items i LEFT JOIN devices d USING(device)
            WHERE i.state='waiting' AND COALESCE(d.not_before_ms, 0) <= :now AND COALESCE(d.parked, 0) = 0
              AND NOT EXISTS (SELECT 1 FROM items u WHERE u.state IN ('uncertain','sent') AND u.device = i.device)
              AND (d.newest_stored_s IS NULL OR i.t_s > d.newest_stored_s OR i.added_ms <= :now - :hold
                   OR EXISTS (SELECT 1 FROM items n WHERE n.device = i.device AND n.state='waiting'
                              AND n.t_s > d.newest_stored_s))
            ORDER BY i.t_s, i.device LIMIT :limit
            """,
            {"now": now_ms, "hold": self._hold_ms, "limit": limit},
        ).fetchall()
        probes = self._db.execute(
            """
            SELECT i.*, MIN(i.t_s) FROM items i JOIN devices d USING(device)
            WHERE i.state IN ('unknown_device','waiting') AND d.parked = 1 AND d.not_before_ms <= ?
            GROUP BY i.device LIMIT ?
            """,
            (now_ms, max(0, limit - len(rows))),
        ).fetchall()
        return [_item(row) for row in (*rows, *probes)]

    def mark_sent(self, items: Sequence[Item], now_ms: int) -> None:
        """Before the request leaves: on disk at return."""
        with self._write():
            self._db.executemany(
                "UPDATE items SET state='sent', changed_ms=? WHERE device=? AND t_s=?",
                [(now_ms, *item.key) for item in items],
            )

    def settle(self, results: Iterable[PushResult], now_ms: int, *, parked_retry_ms: int, pause_ms: int = 0) -> None:
        """Write down what became of each item. ``pause_ms`` holds a device whose item SMILE failed to insert."""
        with self._write():
            for result in results:
                self._settle_one(result, now_ms, parked_retry_ms, pause_ms)

    def _settle_one(self, result: PushResult, now_ms: int, parked_retry_ms: int, pause_ms: int) -> None:
        device, t_s = result.key
        match result.status:
            case PushStatus.STORED:
                self._stored(device, t_s, result.text, now_ms)
            case PushStatus.REFUSED:
                self._set(device, t_s, State.REFUSED, result.text, now_ms)
            case PushStatus.UNKNOWN_DEVICE:
                self._park(device, now_ms + parked_retry_ms)
                self._set(device, t_s, State.UNKNOWN_DEVICE, result.text, now_ms)
            case PushStatus.UNCERTAIN:
                self._set(device, t_s, State.UNCERTAIN, result.text, now_ms)
            case PushStatus.NOT_SENT:
                self._not_sent(device, t_s, result.text, now_ms)
            case PushStatus.FAILED:
                self._failed(device, t_s, result.text, now_ms, now_ms + pause_ms)

    def _failed(self, device: str, t_s: int, text: str, now_ms: int, again_ms: int) -> None:
        self._db.execute("UPDATE items SET failures=failures+1 WHERE device=? AND t_s=?", (device, t_s))
        row = self._db.execute("SELECT failures FROM items WHERE device=? AND t_s=?", (device, t_s)).fetchone()
        if row is None or row["failures"] >= _MAX_INSERT_TRIES:
            self._set(device, t_s, State.REFUSED, text, now_ms)
        else:
            self._set(device, t_s, State.WAITING, text, now_ms)
            self._pause(device, again_ms)

    def _set(self, device: str, t_s: int, state: State, reason: str, now_ms: int) -> None:
        self._db.execute(
            "UPDATE items SET state=?, reason=?, changed_ms=? WHERE device=? AND t_s=?",
            (state, reason, now_ms, device, t_s),
        )

    def _stored(self, device: str, t_s: int, text: str, now_ms: int) -> None:
        self._set(device, t_s, State.STORED, text, now_ms)
        self._db.execute(
            "INSERT INTO devices(device, newest_stored_s) VALUES(?,?) ON CONFLICT DO UPDATE SET parked=0, "
            "newest_stored_s=MAX(COALESCE(newest_stored_s, excluded.newest_stored_s), excluded.newest_stored_s)",
            (device, t_s),
        )
        self._db.execute(
            "UPDATE items SET state='waiting', changed_ms=? WHERE device=? AND state='unknown_device'",
            (now_ms, device),
        )

    def _park(self, device: str, until_ms: int) -> None:
        self._db.execute(
            "INSERT INTO devices(device, parked, not_before_ms) VALUES(?,1,?) "
            "ON CONFLICT DO UPDATE SET parked=1, not_before_ms=excluded.not_before_ms",
            (device, until_ms),
        )
        self._db.execute("UPDATE items SET state='unknown_device' WHERE device=? AND state='waiting'", (device,))

    def _not_sent(self, device: str, t_s: int, text: str, now_ms: int) -> None:
        parked = self._db.execute("SELECT parked FROM devices WHERE device=?", (device,)).fetchone()
        state = State.UNKNOWN_DEVICE if parked is not None and parked["parked"] else State.WAITING
        self._set(device, t_s, state, text, now_ms)

    def _pause(self, device: str, until_ms: int) -> None:
        self._db.execute(
            "INSERT INTO devices(device, not_before_ms) VALUES(?,?) ON CONFLICT DO UPDATE SET "
            "not_before_ms=excluded.not_before_ms",
            (device, until_ms),
        )

    # --- after a lost answer (duty 9) -------------------------------------------------------------------------

    def uncertain(self, settled_before_ms: int, limit: int = 1000) -> dict[str, list[Item]]:
        """{device: items} whose answer was lost long enough ago that SMILE has finished with them."""
        rows = self._db.execute(
            "SELECT * FROM items WHERE state='uncertain' AND changed_ms <= ? ORDER BY device, t_s LIMIT ?",
            (settled_before_ms, limit),
        )
        return _by_device(rows)

    def held(self, looked_before_ms: int, limit: int = 1000) -> dict[str, list[Item]]:
        """{device: items} that are held although a newer reading of their device has been stored since: the history
        may say now what it could not say before."""
        rows = self._db.execute(
            "SELECT i.* FROM items i WHERE i.state='held' AND i.changed_ms <= ? AND EXISTS "
            "(SELECT 1 FROM items s WHERE s.device=i.device AND s.state='stored' AND s.changed_ms > i.changed_ms) "
            "ORDER BY i.device, i.t_s LIMIT ?",
            (looked_before_ms, limit),
        )
        return _by_device(rows)

    def witnesses(self, device: str, near_ms: int, limit: int = 5) -> list[Item]:
        """Readings of the device known to be stored, nearest to a time."""
        rows = self._db.execute(
            "SELECT * FROM items WHERE device=? AND state='stored' ORDER BY ABS(t_ms - ?) LIMIT ?",
            (device, near_ms, limit),
        )
        return [_item(row) for row in rows]

    def resolve(self, key: tuple[str, int], state: State, reason: str, now_ms: int) -> None:
        """An uncertain or held item was read back (stored, waiting) or could not be (held)."""
        with self._write():
            if state is State.STORED:
                self._stored(*key, reason, now_ms)
            else:
                self._set(*key, state, reason, now_ms)

    def release_held(self, now_ms: int) -> int:
        """The operator accepts duplicates (``resend_uncertain``): held items wait again. Returns how many."""
        with self._write():
            return self._db.execute(
                "UPDATE items SET state='waiting', reason='sent again, a duplicate is accepted', changed_ms=? "
                "WHERE state='held'",
                (now_ms,),
            ).rowcount

    # --- what a person should know ----------------------------------------------------------------------------

    def notices(self, now_ms: int, every_ms: int = 86_400_000) -> list[tuple[str, int]]:
        """Parked devices to speak of now, each at most once a day: (device, readings waiting)."""
        rows = self._db.execute(
            "SELECT d.device, (SELECT COUNT(*) FROM items i WHERE i.device=d.device AND i.state='unknown_device') "
            "AS n FROM devices d WHERE d.parked=1 AND (d.noticed_ms = 0 OR d.noticed_ms <= ?)",
            (now_ms - every_ms,),
        ).fetchall()
        with self._write():
            self._db.executemany(
                "UPDATE devices SET noticed_ms=? WHERE device=?", [(max(1, now_ms), r["device"]) for r in rows]
            )
        return [(r["device"], r["n"]) for r in rows]

    def retry_parked_now(self, device: str | None = None) -> None:
        """Someone registered the logger: do not wait for the slow retry."""
        with self._write():
            self._db.execute(
                "UPDATE devices SET not_before_ms=0 WHERE parked=1 AND device=COALESCE(?, device)", (device,)
            )

    def counts(self) -> dict[str, int]:
        """{state: rows} and ``conflicts``."""
        counts = {state.value: 0 for state in State}
        counts |= {
            r["state"]: r["n"] for r in self._db.execute("SELECT state, COUNT(*) AS n FROM items GROUP BY state")
        }
        counts["conflicts"] = self._db.execute("SELECT COUNT(*) FROM conflicts").fetchone()[0]
        return counts

    def counts_by_device(self) -> dict[str, dict[str, int]]:
        """{device: {state: rows}}."""
        found: dict[str, dict[str, int]] = {}
        for row in self._db.execute("SELECT device, state, COUNT(*) AS n FROM items GROUP BY device, state"):
            found.setdefault(row["device"], {})[row["state"]] = row["n"]
        return found

    def rows(self, state: State) -> list[tuple[str, int, str]]:
        """(device, second, reason) of a state, oldest first."""
        found = self._db.execute("SELECT device, t_s, reason FROM items WHERE state=? ORDER BY t_s, device", (state,))
        return [(r["device"], r["t_s"], r["reason"]) for r in found]

    def assumed(self, device: str, t_s: int) -> tuple[str, ...]:
        """The fields of one item that nobody measured (duty 4)."""
        row = self._db.execute("SELECT * FROM items WHERE device=? AND t_s=?", (device, t_s)).fetchone()
        return () if row is None or row["extra"] == "{}" else _item(row).assumed

    def conflicts(self) -> list[tuple[str, int, Decimal, Decimal]]:
        """(device, second, value kept, other value)."""
        return [
            (r["device"], r["t_s"], Decimal(r["kept"]), Decimal(r["other"]))
            for r in self._db.execute("SELECT * FROM conflicts ORDER BY device, t_s")
        ]

    def forget(self, stored_before_ms: int) -> int:
        """Drop finished rows of readings so old that the age bound refuses them anyway, were they to come again."""
        with self._write():
            return self._db.execute(
                "DELETE FROM items WHERE t_ms < ? AND state IN ('stored','refused','no_reading')", (stored_before_ms,)
            ).rowcount

    # --- discards and weights ---------------------------------------------------------------------------------

    def add_post(self, key: str, kind: str, body: dict[str, Any], now_ms: int) -> bool:
        """Put a discard or a weight on its way; False when it is known already (each is posted once)."""
        with self._write():
            return (
                self._db.execute(
                    "INSERT OR IGNORE INTO posts(key, kind, body, state, added_ms, changed_ms) "
                    "VALUES(?,?,?,'new',?,?)",
                    (key, kind, json.dumps(body), now_ms, now_ms),
                ).rowcount
                == 1
            )

    def due_posts(self, now_ms: int, limit: int = 50) -> list[Post]:
        rows = self._db.execute(
            "SELECT * FROM posts WHERE next_ms >= 0 AND next_ms <= ? ORDER BY added_ms, key LIMIT ?", (now_ms, limit)
        )
        return [_post(row) for row in rows]

    def post(self, key: str) -> Post | None:
        row = self._db.execute("SELECT * FROM posts WHERE key=?", (key,)).fetchone()
        return None if row is None else _post(row)

    def retry_refused_now(self, key: str) -> None:
        """Someone mended what a post was refused for: do not wait for the slow retry. Lost answers keep their pause."""
        with self._write():
            self._db.execute("UPDATE posts SET next_ms=0 WHERE key=? AND state='refused' AND next_ms > 0", (key,))

    def set_post(self, key: str, state: str, text: str, next_ms: int | None, now_ms: int) -> None:
        """``next_ms`` None: finished, never tried again."""
        with self._write():
            self._db.execute(
                "UPDATE posts SET state=?, text=?, attempts=attempts+1, next_ms=?, changed_ms=? WHERE key=?",
                (state, text, -1 if next_ms is None else next_ms, now_ms, key),
            )


def _extra(item: Item) -> str:
    return json.dumps(
        {
            "humidity": str(item.humidity_percent),
            "battery": str(item.battery_percent),
            "signal": str(item.signal_percent),
            "power": item.mains_power_on,
            "ok": item.device_ok,
            "lat": str(item.lat),
            "lon": str(item.lon),
            "assumed": list(item.assumed),
        }
    )


def _item(row: sqlite3.Row) -> Item:
    extra = json.loads(row["extra"])
    return Item(
        device_id=row["device"],
        sampled_at_ms=row["t_ms"],
        temperature_c=Decimal(row["temperature"]),
        humidity_percent=Decimal(extra["humidity"]),
        battery_percent=Decimal(extra["battery"]),
        signal_percent=Decimal(extra["signal"]),
        mains_power_on=extra["power"],
        device_ok=extra["ok"],
        lat=Decimal(extra["lat"]),
        lon=Decimal(extra["lon"]),
        assumed=tuple(extra["assumed"]),
        route=Route(row["route"]),
    )


def _by_device(rows: Iterable[sqlite3.Row]) -> dict[str, list[Item]]:
    grouped: dict[str, list[Item]] = {}
    for row in rows:
        grouped.setdefault(row["device"], []).append(_item(row))
    return grouped


def _post(row: sqlite3.Row) -> Post:
    return Post(
        row["key"], row["kind"], json.loads(row["body"]), row["state"], row["text"], row["attempts"], row["next_ms"]
    )
