"""Uploads made beforehand, so that making them costs the measured run nothing: signed, numbered, gapless, valid.

A fleet of edges with ten sensors each; one reading a minute a sensor, numbered in the order in which an outbox would
(minute by minute), a slow wave with noise in steps of 0.01 C. The last reading is a minute old: no clock is ahead.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.store.model import StreamBatch, batch_of
from telemetry.columns import ReadingsUpload, StreamColumns
from telemetry.contract import Encoding, encode_readings, sign
from telemetry.quantities import stream_id
from telemetry.readings import Origin, Ranges, Sync
from telemetry.topics import EdgeAddress

SENSORS = 10
EDGES_A_SITE = 5
MINUTE_MS = 60_000
EPOCH = "f3a91c5e"
_BOOT_ID = "7f4df7f2-1f8e-4f0e-9a57-0d6a3f1c2b4e"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a message holds: ``readings`` of them, 1 or a multiple of SENSORS."""

    name: str
    readings: int
    encoding: Encoding = Encoding.JSON

    @property
    def possible(self) -> bool:
        """False as long as the contract has no such encoding."""
        try:
            encode_readings(ReadingsUpload("E0", EPOCH, 0, _streams(0, range(1), 0), Ranges([(1, 1)])), self.encoding)
        except NotImplementedError:
            return False
        return True


SINGLE = Shape("single JSON", 1)
JSON_50 = Shape("JSON uploads of 50", 50)
COMPACT_50 = Shape("compact uploads of 50", 50, Encoding.COMPACT)
COMPACT_500 = Shape("compact uploads of 500", 500, Encoding.COMPACT)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Pis with SENSORS sensors each, one for each of ``keys``; edge i is ``E<i>`` of site ``S<i // EDGES_A_SITE>``."""

    keys: tuple[bytes, ...]

    @property
    def edges(self) -> int:
        return len(self.keys)

    def first(self, edges: int) -> Fleet:
        return Fleet(self.keys[:edges])


def address(edge: int) -> EdgeAddress:
    return EdgeAddress("s0", f"S{edge // EDGES_A_SITE:04d}", f"E{edge}")


def serial(edge: int, sensor: int) -> str:
    return f"T{edge:04d}-{sensor}"


def write_messages(
    path: Path,
    fleet: Fleet,
    shape: Shape,
    messages: int,
    now_ms: int,
    *,
    epoch: str = EPOCH,
    end_ms: int | None = None,
) -> int:
    """A file for ``mqtt_bench send``: messages dealt to the edges in turn; how many readings it holds.

    Their last minute is the one before ``end_ms`` (by default ``now_ms``, which is when they say that they were sent).
    """
    rounds = -(-messages // fleet.edges)
    minutes = -(-rounds * shape.readings // SENSORS)
    first_ms = (now_ms if end_ms is None else end_ms) - (minutes + 1) * MINUTE_MS
    with path.open("wb") as out:
        for number in range(messages):
            nth, edge = divmod(number, fleet.edges)
            first = nth * shape.readings
            streams = _streams(edge, range(first, first + shape.readings), first_ms)
            numbers = Ranges([(first + 1, first + shape.readings)])
            upload = ReadingsUpload(f"E{edge}", epoch, now_ms, streams, numbers)
            payload = sign(encode_readings(upload, shape.encoding), fleet.keys[edge])
            topic = address(edge).up("readings").encode()
            out.write(struct.pack("<HII", len(topic), len(payload), shape.readings) + topic + payload)
    return messages * shape.readings


def read_messages(path: Path) -> Iterator[tuple[bytes, int]]:
    """(payload, readings) of each message of a file."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        topic_len, length, readings = struct.unpack_from("<HII", data, at)
        at += 10 + topic_len
        yield data[at : at + length], readings
        at += length


def batches(edges: int, first_minute: int, minutes: int, first_ms: int, now_ms: int) -> list[StreamBatch]:
    """The same readings as a store takes them, a batch a stream."""
    numbers = range(first_minute * SENSORS, (first_minute + minutes) * SENSORS)
    return [
        batch
        for edge in range(edges)
        for columns in _streams(edge, numbers, first_ms)
        if (batch := batch_of(address(edge).site, f"E{edge}", EPOCH, now_ms, columns))
    ]


def _streams(edge: int, numbers: range, first_ms: int) -> list[StreamColumns]:
    """Readings number ``numbers`` (from 0) of an edge: number n is minute n // SENSORS of sensor n % SENSORS."""
    streams: dict[int, StreamColumns] = {}
    for n in numbers:
        minute, sensor = divmod(n, SENSORS)
        columns = streams.get(sensor)
        if columns is None:
            name = stream_id(serial(edge, sensor), "temperature_c")
            columns = streams[sensor] = StreamColumns(name, Origin.LIVE, _BOOT_ID, Sync.SYNCED, 50)
        t_ms = first_ms + minute * MINUTE_MS + sensor * 137
        columns.seq.append(n + 1)
        columns.t_ms.append(t_ms)
        columns.milli.append(_milli(edge * SENSORS + sensor, minute))
        columns.boottime_ns.append((1_000_000 + minute * MINUTE_MS + sensor * 137) * 1_000_000)
        columns.wall_ms.append(t_ms)
    return list(streams.values())


_RANDOM = random.Random(1)
_NOISE = [_RANDOM.gauss(0.0, 0.03) for _ in range(4096)]


def _milli(stream: int, minute: int) -> int:
    wave = math.sin(minute / 37 + stream)
    return round((5 + wave + _NOISE[(stream * 31 + minute) % len(_NOISE)]) * 100) * 10
