"""The broker's ceiling: how fast Mosquitto passes messages of our sizes from one publisher to one subscriber."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from benchmarks.bench_cpu import threads_s
from benchmarks.bench_line import client_of, start_broker


def ceiling(folder: Path, program: Path, size: int, count: int, runs: int) -> tuple[float, float]:
    """(messages a second, broker's CPU microseconds a message), medians."""
    broker = start_broker(folder)
    assert broker.program is not None
    assert broker.program.process is not None
    pid = broker.program.process.pid
    rates: list[float] = []
    costs: list[float] = []
    try:
        client = client_of(program, broker)
        for _ in range(runs):
            before = sum(threads_s([pid]).values())
            rates.append(client.ceiling("ceiling/1", size, count, 1000)["per_s"])
            costs.append((sum(threads_s([pid]).values()) - before) * 1e6 / count)
    finally:
        broker.program.stop()
    return median(rates), median(costs)
