"""Rows that other benchmarks measure: the embedded store, the edge's flash, bytes on the wire."""

from __future__ import annotations

import importlib
from pathlib import Path

from benchmarks.bench_table import Row

# Each module offers ``bench_rows(folder, tiny) -> list[Row]``.
MODULES = {"benchmarks.store": "Embedded store", "benchmarks.flash": "Flash", "benchmarks.wire": "Bytes on the wire"}


def rows(folder: Path, *, tiny: bool) -> list[Row]:
    found: list[Row] = []
    for name, section in MODULES.items():
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            found.append(Row(section, name, "not there"))
            continue
        if hasattr(module, "bench_rows"):
            found += module.bench_rows(folder, tiny)
        else:
            found.append(Row(section, name, "has no rows for this table", note=f"run python -m {name}"))
    return found
