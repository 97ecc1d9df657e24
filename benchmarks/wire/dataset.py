"""The readings that are measured: the committed data set (``benchmarks/data``), and a real logger's file if it is there."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.decoders.files.detect import decode_file
from telemetry.columns import ReadingsUpload, StreamColumns
from telemetry.readings import Origin, Ranges, Sync

DATA = Path(__file__).parents[1] / "data"
Q_TAG = Path(__file__).parents[3] / "shared" / "data" / "fridge-tag" / "q-tag-clm-RCPJ00010-run-2.txt"
BOOT = "c5b1a5a0-1234-4222-8333-123456789abc"  # as Linux gives them: 16 random bytes
EPOCH = "9f86d081884c7d65"
NO_MAC = "0" * 32


@dataclass(frozen=True, slots=True)
class Row:
    """One reading of the data set."""

    seq: int
    stream: int
    boottime_ms: int
    wall_ms: int
    milli: int


def rows(name: str, streams: int = 10) -> list[Row]:
    """``polled`` or ``ble``, the first ``streams`` streams, numbered anew."""
    text = gzip.decompress((DATA / f"wire_{name}.csv.gz").read_bytes()).decode()
    table = [r for r in csv.DictReader(io.StringIO(text)) if int(r["stream"]) < streams]
    return [
        Row(n, int(r["stream"]), int(r["boottime_ms"]), int(r["wall_ms"]), int(r["centi_c"]) * 10)
        for n, r in enumerate(table, 1)
    ]


def uploads(table: list[Row], readings: int) -> Iterator[ReadingsUpload]:
    """Messages of so many readings each, signed with a MAC of noughts' length (32 digits) and lazy, as in the field."""
    for start in range(0, len(table) - readings + 1, readings):
        part = table[start : start + readings]
        columns: dict[int, StreamColumns] = {}
        for r in part:
            column = columns.get(r.stream)
            if column is None:
                name = f"BT-{r.stream + 1:04d}/temperature_c"
                column = columns[r.stream] = StreamColumns(name, Origin.LIVE, BOOT, Sync.SYNCED, 64)
            column.seq.append(r.seq)
            column.t_ms.append(r.wall_ms)
            column.wall_ms.append(r.wall_ms)
            column.boottime_ns.append(r.boottime_ms * 1_000_000)
            column.milli.append(r.milli)
        yield ReadingsUpload(
            "EDGE-1",
            EPOCH,
            part[-1].wall_ms + 40,
            list(columns.values()),
            Ranges([(part[0].seq, part[-1].seq)]),
            lazy=True,
            mac=NO_MAC,
        )


def q_tag() -> ReadingsUpload | None:
    """All readings of the real Q-tag CLm file as one upload; None where the file is not beside the project."""
    if not Q_TAG.is_file():
        return None
    found = [r for r in decode_file(Q_TAG.read_bytes()).readings if r.value_c is not None]
    n = len(found)
    column = StreamColumns("RCPJ00010/temperature_c", Origin.FILE, BOOT, Sync.SYNCED, 64, list(range(1, n + 1)))
    column.t_ms = [r.local_ms for r in found]
    column.milli = [int(r.value_c * 1000) for r in found if r.value_c is not None]
    column.boottime_ns, column.wall_ms = [350_000_000_000] * n, [1_795_600_000_000] * n
    return ReadingsUpload("EDGE-1", EPOCH, 1_795_600_000_100, [column], Ranges([(1, n)]), mac=NO_MAC)
