"""Rows of what other benchmarks measure in full: bytes on the wire, the edge's flash, the embedded store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench_table import Row, at_most


def wire(_folder: Path, *, tiny: bool) -> list[Row]:
    """Payload beside the data's own entropy (``make bench-wire`` has the capture of the whole line)."""
    from benchmarks.wire import dataset, entropy, payload

    rows: list[Row] = []
    for name in ("polled",) if tiny else ("polled", "ble"):
        table = dataset.rows(name, 8)
        found, best = payload.measure(list(dataset.uploads(table, 480))), entropy.estimate(table)
        entropy_bytes = best.values + best.stamps
        what = f"{name}, eight one-minute streams uploaded hourly: compact over entropy"
        note = f"compact {found.compact:.2f}, JSON {found.json:.1f}, JSON deflated {found.json_deflated:.2f} B a reading;"
        note += f" entropy {entropy_bytes:.2f}; the whole line by packet capture: wire.md"
        rows.append(at_most("Bytes on the wire", what, found.compact - entropy_bytes, 0.6, "B", note, digits=2))
    return rows


def flash(folder: Path, *, tiny: bool) -> list[Row]:
    """Bytes written a reading (``make bench-flash`` has all cases, and the device's own count)."""
    from benchmarks import flash as bench

    rows: list[Row] = []
    for case in bench.CASES[:2]:
        here = folder / f"flash-{case.group}"
        here.mkdir()
        told = bench.run(case, here, 60 if tiny else 1_500)
        row = at_most(
            "Flash", f"edge outbox, {case.name}", told["process"], bench.GOAL_BYTES, "B a reading", digits=0
        )
        rows.append(row if case.group > 1 else Row("Flash", row.what, row.figure))
    return rows


def store(folder: Path, *, tiny: bool) -> list[Row]:
    """Embedded store: bytes a reading and query time, blocks against a plain table, from the page of ``bench-store``."""
    page = folder / "store.md"
    sizes = ["--streams", "20", "--days", "1", "--long", "2"] if tiny else ["--streams", "1000", "--days", "2"]
    subprocess.run([sys.executable, "-m", "benchmarks.store", *sizes, "--out", str(page)], check=True, stdout=-3)
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.read_text().splitlines() if "|" in line
    ]
    told = {line[0]: line for line in cells}
    plain, blocks = told["plain table, uploads"], told["blocks, uploads"]
    query_ms = float(
        next(line[1] for name, line in told.items() if name.startswith("30 days as columns (")).split()[0]
    )
    note = f"plain table {plain[6]}; written {blocks[5]} B a reading (plain {plain[5]}), CPU {blocks[3]} us (plain {plain[3]})"
    what = f"blocks, {blocks[1]} readings in uploads of ten: kept"
    return [
        at_most("Embedded store", what, float(blocks[6]), 4.5, "B a reading", note, digits=2),
        at_most(
            "Embedded store", "30 days of one stream (43,200 readings) as columns, warm", query_ms, 3, "ms", digits=2
        ),
    ]


OTHERS: tuple[Callable[..., list[Row]], ...] = (store, flash, wire)


def rows(folder: Path, *, tiny: bool) -> list[Row]:
    return [row for other in OTHERS for row in other(folder, tiny=tiny)]
