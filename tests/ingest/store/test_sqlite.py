"""What only the SQLite store does: hot rows and sealed blocks, any sealing at any moment, files of an older form."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.store import Row, SqliteStore, sealing
from ingest.store.model import refusal, thousandths
from telemetry.errors import NeighbourDownError
from telemetry.readings import Origin, Quality, Sync

S = "T1/temperature_c"
T0 = 1_790_000_000_000
DAY = 86_400_000
FOREVER = (0, 1 << 43)
RowMaker = Callable[..., Row]


class PlainTable:
    """The rule as it reads: every identity has its contents in the order of arrival."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def append(self, rows: list[Row]) -> None:
        for row in rows:
            held = [r for r in self.rows if r.identity == row.identity]
            if refusal(row) is None and not any((r.value, r.quality) == (row.value, row.quality) for r in held):
                self.rows.append(replace(row, variant=len(held)))

    def read(self, low: int, high: int) -> list[Row]:
        return sorted((r for r in self.rows if low <= r.t_ms < high), key=lambda r: r.cursor)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows are cut, joined and joined again."""
    for name, value in {"BLOCK_ROWS": 5, "_PART": 3, "_PARTS": 2, "_WHOLE": 4, "_SLICE": 2}.items():
        monkeypatch.setattr(sealing, name, value)


ENTRY = st.tuples(
    st.integers(0, 4),  # day
    st.integers(0, 5),  # minute
    st.none() | st.integers(0, 6),
    st.none() | st.integers(0, 2),
    st.sampled_from(["a", "b"]),
    st.sampled_from([Origin.LIVE, Origin.MEMORY]),
    st.integers(1, 3),
)
STEP = st.tuples(st.lists(ENTRY, max_size=8), st.sampled_from(["", "", "slice", "slices", "seal", "reopen", "fault"]))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=10), st.integers(1, 7))
def test_any_order_and_any_sealing_is_the_plain_table(
    tmp_path: Path, row: RowMaker, small_blocks: None, steps: list[Any], limit: int
) -> None:
    path = tmp_path / f"{uuid.uuid4().hex}.db"
    store, oracle = SqliteStore(path), PlainTable()
    reader = SqliteStore(path, read_only=True)
    seq = 0
    for entries, then in steps:
        made = []
        for day, minute, number, value, device, origin, error in entries:
            seq += 1
            made.append(
                row(
                    0,
                    None if value is None else str(value),
                    t_ms=T0 + day * DAY + minute * 60_000,
                    device_seq=number,
                    stream_id=f"{device}/temperature_c",
                    origin=origin,
                    sync=Sync.UNSYNCED if error == 3 else Sync.SYNCED,
                    max_error_ms=None if error == 3 else error,
                    seq=seq,
                    received_at_ms=T0 + seq,
                )
            )
        store.append(made)
        oracle.append(made)
        if then == "reopen":
            store.close()
            store = SqliteStore(path)
        elif then == "seal":
            store.seal()
        elif then == "fault":
            insert = sealing.insert_blocks
            sealing.insert_blocks = lambda *_: (_ for _ in ()).throw(KeyError)  # type: ignore[assignment]
            try:
                store.seal()
            except KeyError:
                pass
            sealing.insert_blocks = insert
        elif then:
            with store._lock:
                while store._sealer.step() and then == "slices":
                    pass
        for name in ("a/temperature_c", "b/temperature_c"):
            for one in (store, reader):
                compare(one, oracle, name, limit)
    store.close()
    reader.close()


def compare(store: SqliteStore, oracle: PlainTable, name: str, limit: int) -> None:
    for low, high in (FOREVER, (T0 + 60_000, T0 + 2 * DAY + 120_000)):
        expected = [r for r in oracle.read(low, high) if r.stream_id == name]
        found, after = [], None
        while True:
            page = store.read(name, low, high, limit=limit, after=after)
            found += page.rows
            after = page.next
            if after is None:
                break
        assert found == expected
        series = store.read_columns(name, low, high)
        said = [series.odd.get(i, (milli, Quality.GOOD)) for i, milli in enumerate(series.milli)]
        assert list(zip(series.t_ms, said, strict=True)) == [
            (r.t_ms, (thousandths(r.value), r.quality)) for r in expected
        ]
    whole = [r for r in oracle.read(*FOREVER) if r.stream_id == name]
    assert store.count(name) == len(whole)
    assert store.latest([name]) == ({name: whole[-1]} if whole else {})


def test_days_become_one_block_each_and_hot_is_empty(tmp_path: Path, row: RowMaker) -> None:
    store = SqliteStore(tmp_path / "s.db")
    for start in range(0, 4_320, 30):
        store.append([row(n, str(n % 9)) for n in range(start, start + 30)])
        if start % 300 == 0:
            store.seal()
    store.append([row(8_000)])
    store.seal()
    db = sqlite3.connect(tmp_path / "s.db")
    sizes = db.execute("SELECT day, count(*), sum(n) FROM blocks GROUP BY day").fetchall()
    db.close()
    assert [blocks for _, blocks, _ in sizes] == [1] * len(sizes)
    assert sum(n for _, _, n in sizes) == store.count(S) == 4_321
    assert len(store.read(S, *FOREVER).rows) == 4_321
    store.close()


def test_housekeeping_is_done_between_appends_and_only_when_there_is_enough(
    tmp_path: Path, row: RowMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "HOT_ROWS_OF_ONE", 10)
    monkeypatch.setattr(sealing, "_SLICE", 1)
    store = SqliteStore(tmp_path / "s.db")
    for n in range(9):
        store.append([row(n), row(n, stream_id="T2/temperature_c")])
    assert not store.tidy()
    store.append([row(9)])
    assert store.tidy()
    store.append([row(10)])  # in between
    while store.tidy():
        pass
    assert not store.tidy()
    assert store.count(S) == 11
    assert store._hot.rows == 1
    assert [r.seq for r in store.read(S, *FOREVER).rows] == list(range(1, 12))
    store.close()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from ingest.store import SqliteStore, StreamBatch, sealing
from telemetry.readings import Origin, Sync
store = SqliteStore(sys.argv[1])
n = store.count("T1/temperature_c")
sealing.HOT_ROWS_OF_ONE = 20
while True:
    seq = list(range(n, n + 10))
    times = [1_790_000_000_000 + 600_000 * i for i in seq]
    batch = StreamBatch("S", "T1/temperature_c", "E", "ep", Sync.SYNCED, Origin.LIVE, 5, 1, seq, times, [1000 * i for i in seq])
    store.append_columns([batch])
    n += 10
    print(n, flush=True)
    store.tidy()
"""


def test_killed_while_it_appends_and_seals_it_has_every_acknowledged_row_once(tmp_path: Path) -> None:
    """SIGKILL at random moments; the reader keeps its file open over all of them."""
    rng = random.Random(5)
    path, root = tmp_path / "s.db", Path(__file__).parents[3]
    reader = SqliteStore(path, read_only=True)
    for _ in range(6):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path, root], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        acknowledged = 0
        for _ in range(rng.randrange(5, 120)):
            acknowledged = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
        acknowledged = int(rest[-1]) if rest else acknowledged
        rows = reader.read(S, *FOREVER, limit=1 << 20).rows
        assert [r.seq for r in rows] == list(range(len(rows)))
        assert acknowledged <= len(rows) <= acknowledged + 10
        assert all(r.value == Decimal(r.seq) for r in rows)
    reader.close()


def test_a_damaged_block_is_told_and_not_skipped(tmp_path: Path, row: RowMaker) -> None:
    store = SqliteStore(tmp_path / "s.db")
    store.append([row(n, str(n % 7)) for n in range(100)])
    store.seal()
    store.close()
    db = sqlite3.connect(tmp_path / "s.db")
    (body,) = db.execute("SELECT body FROM blocks").fetchone()
    db.execute("UPDATE blocks SET body = ?", (body[:40] + bytes([body[40] ^ 1]) + body[41:],))
    db.commit()
    db.close()
    again = SqliteStore(tmp_path / "s.db")
    with pytest.raises(NeighbourDownError, match="damaged"):
        again.read(S, *FOREVER)
    again.append([row(20_000), row(1, stream_id="T2/temperature_c")])
    again.seal()  # goes round it
    assert again.count("T2/temperature_c") == 1
    again.close()


# --- the form before decision 0017 --------------------------------------------------------------------------------

PLAIN = """
CREATE TABLE streams(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE stream_sites(site TEXT NOT NULL, stream INTEGER NOT NULL, PRIMARY KEY(site, stream)) WITHOUT ROWID;
CREATE TABLE sources(
  id INTEGER PRIMARY KEY, site TEXT NOT NULL, edge TEXT NOT NULL, epoch TEXT NOT NULL, UNIQUE(site, edge, epoch));
CREATE TABLE readings(
  stream INTEGER NOT NULL, t_ms INTEGER NOT NULL, device_seq INTEGER NOT NULL, variant INTEGER NOT NULL,
  value INTEGER, quality TEXT NOT NULL, origin TEXT NOT NULL, source INTEGER NOT NULL, seq INTEGER NOT NULL,
  sync TEXT NOT NULL, max_error_ms INTEGER, received_at_ms INTEGER NOT NULL);
CREATE UNIQUE INDEX readings_in_order ON readings(stream, t_ms, device_seq, variant);
CREATE UNIQUE INDEX readings_by_number ON readings(stream, device_seq, variant) WHERE device_seq >= 0;
"""


@pytest.fixture
def plain_file(tmp_path: Path, row: RowMaker) -> tuple[Path, list[Row]]:
    rows = [
        replace(row(n * 700, None if n == 4 else f"{n}.5"), stream_id=f"T{n % 3}/temperature_c", variant=0)
        for n in range(12)
    ]
    rows += [replace(rows[0], value=Decimal("9.125"), variant=1, quality=Quality.UNSTABLE, sync=Sync.UNSYNCED)]
    rows += [replace(rows[1], device_seq=7, t_ms=T0 - DAY, origin=Origin.FILE, max_error_ms=None)]
    path = tmp_path / "plain.db"
    db = sqlite3.connect(path)
    db.executescript(PLAIN)
    db.execute("INSERT INTO sources VALUES (1, 'SITE1', 'E1', 'ep1')")
    for n in range(3):
        db.execute("INSERT INTO streams VALUES (?, ?)", (n + 1, f"T{n}/temperature_c"))
        db.execute("INSERT INTO stream_sites VALUES ('SITE1', ?)", (n + 1,))
    for r in rows:
        stream = int(r.stream_id[1]) + 1
        number = -1 if r.device_seq is None else r.device_seq
        said = (thousandths(r.value), r.quality.value, r.origin.value, 1, r.seq, r.sync.value, r.max_error_ms)
        db.execute(
            "INSERT INTO readings VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (stream, r.t_ms, number, r.variant, *said, r.received_at_ms),
        )
    db.commit()
    db.close()
    return path, rows


def stored(store: SqliteStore) -> list[Row]:
    return [r for n in range(3) for r in store.read(f"T{n}/temperature_c", *FOREVER).rows]


def by_stream(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda r: (r.stream_id, r.cursor))


def test_a_file_of_the_plain_form_is_turned_into_blocks(plain_file: tuple[Path, list[Row]]) -> None:
    path, rows = plain_file
    store = SqliteStore(path)
    assert stored(store) == by_stream(rows)
    assert store.append(rows).committed == 0
    assert store.append([replace(rows[0], value=Decimal(1))]).conflicts == 1
    store.close()
    again = SqliteStore(path)
    assert len(stored(again)) == len(rows) + 1
    again.close()


def test_a_kill_while_it_is_turned_leaves_nothing_twice(
    plain_file: tuple[Path, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rows = plain_file
    insert, left = sealing.insert_blocks, [3]

    def killed(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyError
        insert(*arguments)

    monkeypatch.setattr("ingest.store.plain_table.insert_blocks", killed)
    with pytest.raises(KeyError):
        SqliteStore(path)
    monkeypatch.setattr("ingest.store.plain_table.insert_blocks", insert)
    store = SqliteStore(path)
    assert stored(store) == by_stream(rows)
    store.close()
