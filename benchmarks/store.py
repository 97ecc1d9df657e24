"""Bytes and times of the embedded store: hot rows and sealed blocks against a plain table (decision 0017).

    make bench-store            prints the table and writes benchmarks/store.md

1,000 probes with a reading a minute (times a few ms late, a refrigerator's saw-tooth with noise of 0.03 degrees in
steps of 0.01), SQLite in WAL with synchronous=FULL. Two patterns: ``uploads`` (each probe's ten readings of ten
minutes in one batch, 100 uploads of ten probes in a commit) and ``minutes`` (one commit a minute, a reading of each
probe). The whole month of facts/data-path.md 4 would be 43.2 million rows; here all probes have three days and some
of them the 27 days before, which is what the query for 30 days reads.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ingest.sqlite_file import Transaction, prepare
from ingest.store import SqliteStore, StreamBatch
from telemetry.readings import Origin, Sync

T0 = 1_790_035_200_000  # a midnight UTC
MINUTE = 60_000
DAY = 1_440
HERE = Path(__file__).parent


class Probe:
    """Makes the readings of one stream; the same ones for every store."""

    def __init__(self, number: int) -> None:
        self.stream = f"T{number}/temperature_c"
        self.site = f"SITE{number // 10}"
        self.edge = f"E{number // 10}"
        self._place = number % 10
        self._rng = random.Random(number)
        self._late = number * 37 % 1000

    def batch(self, minute: int, n: int, received_ms: int) -> StreamBatch:
        """``n`` readings from ``minute`` on."""
        rng = self._rng
        minutes = range(minute, minute + n)
        times = [T0 + m * MINUTE + self._late + rng.randrange(40) for m in minutes]
        # 40 minutes of warming from 3 to 7 degrees, 15 of cooling.
        phase = [(m + self._place * 7) % 55 for m in minutes]
        ideal = [3000 + 100 * p if p < 40 else 7000 - 266 * (p - 40) for p in phase]
        milli: list[int | None] = [round((v + rng.gauss(0, 30)) / 10) * 10 for v in ideal]
        seq = [m * 10 + self._place + 1 for m in minutes]
        return StreamBatch(
            self.site, self.stream, self.edge, f"epoch{self.edge}", Sync.SYNCED, Origin.LIVE, 50, received_ms,
            seq, times, milli,
        )  # fmt: skip


class PlainTable:
    """The store before decision 0017 without its checks: a row and an index entry a reading."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        prepare(
            self.db,
            "CREATE TABLE readings(stream INTEGER, t_ms INTEGER, device_seq INTEGER, variant INTEGER, value INTEGER,"
            " quality TEXT, origin TEXT, source INTEGER, seq INTEGER, sync TEXT, max_error_ms INTEGER,"
            " received_at_ms INTEGER);"
            "CREATE UNIQUE INDEX readings_in_order ON readings(stream, t_ms, device_seq, variant);",
        )
        self.streams: dict[str, int] = {}

    def append_columns(self, batches: Sequence[StreamBatch]) -> None:
        rows = []
        for b in batches:
            stream = self.streams.setdefault(b.stream_id, len(self.streams))
            rows += [
                (stream, t, -1, 0, v, "good", "live", 1, s, "synced", 50, b.received_at_ms)
                for t, v, s in zip(b.t_ms, b.milli, b.seq, strict=True)
            ]
        with Transaction(self.db):
            self.db.executemany("INSERT INTO readings VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows)

    def tidy(self) -> bool:
        return False

    def seal(self) -> None:
        pass

    def read(self, stream: str, low: int, high: int) -> int:
        query = "SELECT t_ms, value FROM readings WHERE stream = ? AND t_ms >= ? AND t_ms < ? ORDER BY t_ms"
        return len(self.db.execute(query, (self.streams[stream], low, high)).fetchall())

    def close(self) -> None:
        self.db.close()


def uploads(probes: Sequence[Probe], first: int, last: int) -> Iterator[list[StreamBatch]]:
    for minute in range(first, last, 10):
        for start in range(0, len(probes), 1000):
            received = T0 + (minute + 10) * MINUTE
            yield [p.batch(minute, 10, received + i // 10 * 17) for i, p in enumerate(probes[start : start + 1000])]


def minutes(probes: Sequence[Probe], first: int, last: int) -> Iterator[list[StreamBatch]]:
    for minute in range(first, last):
        yield [p.batch(minute, 1, T0 + (minute + 1) * MINUTE + i // 10 * 17) for i, p in enumerate(probes)]


def written() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"])


def fill(
    store: SqliteStore | PlainTable, commits: Iterator[list[StreamBatch]]
) -> tuple[int, float, float, float, list[float]]:
    """(readings, seconds in the store, its CPU us a reading, bytes written a reading, seconds of each commit)."""
    n, spent, cpu, before = 0, 0.0, 0.0, written()
    waits: list[float] = []
    for batches in commits:
        begun, begun_cpu = time.perf_counter(), time.process_time()
        store.append_columns(batches)
        store.tidy()
        waits.append(time.perf_counter() - begun)
        spent, cpu = spent + waits[-1], cpu + time.process_time() - begun_cpu
        n += sum(len(b) for b in batches)
    return n, spent, cpu / n * 1e6, (written() - before) / n, waits


def size(path: Path) -> int:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        used = db.execute("PRAGMA page_count").fetchone()[0] - db.execute("PRAGMA freelist_count").fetchone()[0]
    return int(used) * 4096


def timed(call: Callable[[int], object], times: int = 30) -> str:
    call(0)
    spent, cpu = [], []
    for n in range(times):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        call(n)
        spent.append((time.perf_counter() - begun) * 1000)
        cpu.append((time.process_time() - begun_cpu) * 1000)
    return f"{statistics.median(spent):.2f} | {min(spent):.2f} | {statistics.median(cpu):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--long", type=int, default=20, help="streams that have 30 days")
    parser.add_argument("--out", type=Path, default=HERE / "store.md")
    args = parser.parse_args()
    lines = [
        "# The embedded store: sealed blocks against a plain table",
        "",
        f"`make bench-store`, {datetime.fromtimestamp(os.stat(__file__).st_mtime, UTC):%Y-%m-%d} code, "  # noqa: PTH116
        f"{os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the start. "
        "What is measured and why so: the head of `benchmarks/store.py`.",
        "",
        "| form, pattern | readings | inserts/s | CPU us a reading | commit p50 / p99 ms | written B/reading | kept B/reading |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory(prefix="bench-store-") as folder:
        for name, pattern, days in (
            ("plain table, uploads", uploads, 0.5),
            ("plain table, minutes", minutes, 0.1),
            ("blocks, minutes", minutes, 0.25),
        ):
            path = Path(folder) / f"{name}.db"
            store: SqliteStore | PlainTable = PlainTable(path) if name.startswith("plain") else SqliteStore(path)
            lines.append(row(name, store, path, pattern([Probe(n) for n in range(args.streams)], 0, int(days * DAY))))
            print(lines[-1], flush=True)
            store.close()
            path.unlink()
        path = Path(folder) / "blocks.db"
        blocks = SqliteStore(path)
        probes = [Probe(n) for n in range(args.streams)]
        start = (30 - args.days) * DAY
        fill(blocks, uploads(probes[: args.long], 0, start))
        blocks.seal()
        before = size(path), sum(blocks.count(p.stream) for p in probes)
        commits = uploads(probes, start, 30 * DAY)
        n, spent, cpu, wrote, waits = fill(blocks, commits)
        lines.append(told("blocks, uploads", n, spent, cpu, wrote, waits, None))
        blocks.append_columns([p.batch(30 * DAY + 1, 1, T0) for p in probes])
        blocks.seal()
        kept = (size(path) - before[0]) / (n + len(probes))
        lines[-1] = lines[-1].replace("?", f"{kept:.2f}")
        print(lines[-1], flush=True)
        lines += [
            "",
            "Queries of one stream, ms, warm, of 30:",
            "",
            "| what | median | best | CPU |",
            "|---|---|---|---|",
        ]
        lines += queries(blocks, args)
    args.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def row(name: str, store: SqliteStore | PlainTable, path: Path, commits: Iterator[list[StreamBatch]]) -> str:
    n, spent, cpu, wrote, waits = fill(store, commits)
    store.seal()
    return told(name, n, spent, cpu, wrote, waits, size(path) / n)


def told(name: str, n: int, spent: float, cpu: float, wrote: float, waits: list[float], kept: float | None) -> str:
    ordered = sorted(waits)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
    size_text = "?" if kept is None else f"{kept:.2f}"
    return f"| {name} | {n:,} | {n / spent:,.0f} | {cpu:.2f} | {p50:.1f} / {p99:.1f} | {wrote:,.0f} | {size_text} |"


def queries(store: SqliteStore, args: argparse.Namespace) -> list[str]:
    end = T0 + 30 * DAY * MINUTE

    def stream(n: int) -> str:
        return f"T{n % args.long}/temperature_c"

    found = [
        (
            "30 days as columns (`read_columns`, 43,200 readings)",
            timed(lambda n: store.read_columns(stream(n), T0, end)),
        ),
        ("1 day as columns", timed(lambda n: store.read_columns(stream(n), end - DAY * MINUTE, end))),
        ("a page of 1,000 rows (`read`)", timed(lambda n: store.read(stream(n), T0, end, limit=1000))),
        ("30 days as rows", timed(lambda n: store.read(stream(n), T0, end, limit=1 << 20), 5)),
        ("the last row (`latest`)", timed(lambda n: store.latest([stream(n)]))),
    ]
    for hours in (1, 24):
        first = 30 * DAY + 10
        for minute in range(first, first + hours * 60, 10):
            store.append_columns([Probe(n).batch(minute, 10, end) for n in range(args.long)])
        found.append(
            (
                f"30 days as columns with {hours} h of it not sealed",
                timed(lambda n: store.read_columns(stream(n), T0, end * 2)),
            )
        )
    return [f"| {what} | {ms} |" for what, ms in found]


if __name__ == "__main__":
    main()
