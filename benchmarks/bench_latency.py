"""From publish to receipt and to stored, live at a fixed rate. Open loop: the clock starts when a message was *due*.

No polling is in the figures: the client notes the arrival of each receipt, and the watch inside ingest notes when the
filler had committed each offset (``bench_ingest``), all on the kernel's one monotonic clock.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench_client import Client
from benchmarks.bench_cpu import spent
from benchmarks.bench_line import Line
from benchmarks.bench_memory import Peak
from benchmarks.bench_messages import Fleet, read_messages


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds, and how many messages they are of. ``rss`` is ingest's highest resident memory in bytes."""

    readings_per_s: float
    messages: int
    receipt_ms: tuple[float, float]
    stored_ms: tuple[float, float]
    rss: int
    ingest_share: float
    store_commits_per_s: float


def measure(
    line: Line, client: Client, fleet: Fleet, messages: Path, readings_per_s: float, warm_up_s: float
) -> Latency:
    """Publish a file at a rate and look at p50 and p99 of what was due after ``warm_up_s``.

    (The first readings of a process load libraries; ``bench_introduce`` has told the store of the streams before.)
    """
    folder = line.folder
    sizes = [readings for _, readings in read_messages(messages)]
    before = line.cpu()["ingest"]
    with Peak(line.ingest_pid) as peak:
        said = client.send(
            messages,
            rate=readings_per_s / sizes[0],
            stamps=folder / "stamps",
            receipts=folder / "receipts",
            ahead=1 << 40,
        )
    if said["receipted"] != said["readings"]:
        raise RuntimeError(f"receipts for {said['receipted']} of {said['readings']} readings; see {folder}")
    line.wait_stored()
    after = line.cpu()["ingest"]
    noted = line.watched()
    due_ns = _due(folder / "stamps")
    first = next((n for n, due in enumerate(due_ns) if due - due_ns[0] >= warm_up_s * 1e9), 0)
    seconds = (said["all_sent_ns"] - said["start_ns"]) / 1e9
    return Latency(
        said["readings"] / max(seconds, 1e-9),
        len(sizes) - first,
        p50_p99(_receipt_ms(due_ns, sizes, fleet, folder / "receipts")[first:]),
        p50_p99(_stored_ms(due_ns, messages, folder / "journal.db", noted)[first:]),
        peak.rss,
        sum(spent(before, after).values()) / max(seconds, 1e-9),
        sum(at_ns >= due_ns[0] for at_ns, _ in noted["stored"]) / max(seconds, 1e-9),
    )


def _due(path: Path) -> list[int]:
    import array

    stamps = array.array("Q")
    stamps.frombytes(path.read_bytes())
    return list(stamps[0::2])


def _receipt_ms(due_ns: Sequence[int], sizes: Sequence[int], fleet: Fleet, path: Path) -> list[float]:
    """For each message the first receipt of its edge that covers it (numbers come in order: a count is enough)."""
    receipts: dict[int, tuple[list[int], list[int]]] = {}
    for text in path.read_text().splitlines():
        at_ns, edge, covered = map(int, text.split())
        covers, times = receipts.setdefault(edge, ([], []))
        if not covers or covered > covers[-1]:
            covers.append(covered)
            times.append(at_ns)
    sent: dict[int, int] = {}
    found: list[float] = []
    for number, (due, size) in enumerate(zip(due_ns, sizes, strict=True)):
        edge = number % fleet.edges
        sent[edge] = sent.get(edge, 0) + size
        covers, times = receipts[edge]
        found.append((times[bisect_left(covers, sent[edge])] - due) / 1e6)
    return found


def _stored_ms(due_ns: Sequence[int], messages: Path, journal: Path, noted: dict[str, Any]) -> list[float]:
    """For each message the first commit of the filler at or past its place in the journal."""
    number_of = {payload: number for number, (payload, _) in enumerate(read_messages(messages))}
    offsets = [offset for _, offset in noted["stored"]]
    with sqlite3.connect(journal) as db:
        entries = db.execute("SELECT n, payload FROM journal ORDER BY n").fetchall()
    return [
        (noted["stored"][bisect_left(offsets, n)][0] - due_ns[number_of[payload]]) / 1e6
        for n, payload in entries
        if payload in number_of
    ]


def p50_p99(values: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(values)
    last = len(ordered) - 1
    return ordered[round(last * 0.5)], ordered[round(last * 0.99)]
