"""Ours end to end: prebuilt messages through broker and ingest until all are receipted and in the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bench_client import Client
from benchmarks.bench_count import Count, counted
from benchmarks.bench_cpu import spent
from benchmarks.bench_introduce import introduce
from benchmarks.bench_line import Line, client_of, open_line
from benchmarks.bench_messages import Fleet, Shape, read_messages


@dataclass(frozen=True, slots=True)
class Result:
    """One run. ``us`` is CPU microseconds a reading by part; rates are readings a second.

    ``introduced``: the readings that were sent before the run, not in any figure but the count.
    """

    shape: str
    store: str
    readings: int
    messages: int
    receipted_s: float
    stored_s: float
    count: Count
    us: Mapping[str, float] = field(default_factory=dict)
    journal_commits: int = 0
    store_commits: int = 0
    receipts: int = 0
    introduced: int = 0

    @property
    def per_s(self) -> float:
        return self.readings / max(self.receipted_s, self.stored_s)

    @property
    def ingest_us(self) -> float:
        return sum(us for part, us in self.us.items() if part.startswith("ingest"))


def run(
    folder: Path,
    records: Path,
    program: Path,
    fleet: Fleet,
    shape: Shape,
    messages: Path,
    store: str,
    **settings: Any,
) -> Result:
    """One run of one shape, in a fresh folder with a fresh broker, ingest and store that know the fleet's streams."""
    with open_line(folder, records, store, settings) as line:
        client = client_of(program, line.broker)
        first = introduce(line, client, fleet, shape, messages)
        return measure(line, client, shape, messages, first, store)


def measure(line: Line, client: Client, shape: Shape, messages: Path, first: Path, store: str) -> Result:
    before = line.cpu()
    said = client.send(messages, window=1000, ahead=max(50_000, 1000 * shape.readings))
    if said["receipted"] != said["readings"]:
        raise RuntimeError(f"receipts for {said['receipted']} of {said['readings']} readings; see {line.folder}")
    line.wait_stored()
    after = line.cpu()
    noted = line.watched()
    start_ns = said["start_ns"]
    us = _by_part(before, after, noted["threads"], said["readings"])
    us["client"] = said["client_cpu_s"] * 1e6 / said["readings"]
    return Result(
        shape.name,
        store,
        said["readings"],
        said["messages"],
        (said["last_receipt_ns"] - start_ns) / 1e9,
        (noted["stored"][-1][0] - start_ns) / 1e9,
        counted(line, (first, messages)),
        us,
        journal_commits=sum(at_ns >= start_ns for at_ns, _ in noted["journaled"]),
        store_commits=sum(at_ns >= start_ns for at_ns, _ in noted["stored"]),
        receipts=said["receipts"],
        introduced=sum(readings for _, readings in read_messages(first)),
    )


def _by_part(
    before: Mapping[str, dict[int, float]],
    after: Mapping[str, dict[int, float]],
    names: Mapping[str, str],
    readings: int,
) -> dict[str, float]:
    """CPU microseconds a reading of each program; ingest's by thread."""
    us: dict[str, float] = defaultdict(float)
    for program in after:
        for thread, seconds in spent(before[program], after[program]).items():
            part = program if program != "ingest" else f"ingest {_part(names.get(str(thread), ''))}"
            us[part] += seconds * 1e6 / readings
    return dict(us)


def _part(thread: str) -> str:
    """What a thread of ingest does (``bench_ingest`` names them)."""
    return "network" if thread.startswith("paho") else thread if thread in ("take", "fill") else "rest"
