"""The fleet's streams are made known to a line before it is measured: a stream's first reading ever makes its books."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bench_client import Client
from benchmarks.bench_line import Line
from benchmarks.bench_messages import MINUTE_MS, SENSORS, Fleet, Shape, read_messages, write_messages
from telemetry.contract import decode_readings


def introduce(line: Line, client: Client, fleet: Fleet, shape: Shape, messages: Path) -> Path:
    """One upload of every stream, of another epoch and from before all of ``messages``, sent until it is stored.

    Its file is the answer. Books are made once in a stream's life, with requests and commits of their own: with runs
    of a hundred readings a stream they were a tenth of the cost of each.
    """
    path = line.folder / "first"
    count = -(-fleet.edges * SENSORS // shape.readings)
    payload, _ = next(read_messages(messages))
    oldest = decode_readings(payload)
    end_ms = min(t_ms for columns in oldest.streams for t_ms in columns.t_ms) - MINUTE_MS
    write_messages(path, fleet, shape, max(count, fleet.edges), oldest.sent_at_ms, epoch="first", end_ms=end_ms)
    client.send(path)
    line.wait_stored()
    return path
