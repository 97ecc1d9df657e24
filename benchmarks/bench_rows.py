"""Rows of what other benchmarks measure in full: bytes on the wire, the edge's flash, the embedded store."""

from __future__ import annotations

import importlib
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
    """Embedded store: bytes a reading, query time, plain table against blocks (``benchmarks/store.py``)."""
    try:
        module = importlib.import_module("benchmarks.store")
    except ModuleNotFoundError:
        return [Row("Embedded store", "benchmarks/store.py", "not there")]
    rows: list[Row] = module.bench_rows(folder, tiny)
    return rows


OTHERS: tuple[Callable[..., list[Row]], ...] = (store, flash, wire)


def rows(folder: Path, *, tiny: bool) -> list[Row]:
    return [row for other in OTHERS for row in other(folder, tiny=tiny)]
