"""Uploads made beforehand, so that making them costs the measured run nothing: signed, numbered, gapless, valid.

A fleet of edges with ten sensors each; one reading a minute a sensor, numbered in the order in which an outbox would
(minute by minute), a slow wave with noise in steps of 0.01 C. The last reading is a minute old: no clock is ahead.
"""

from __future__ import annotations

import hashlib
import math
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ingest.store.model import Row, row_of
from telemetry import contract
from telemetry.contract import Upload, encode_upload
from telemetry.mac import sign_json
from telemetry.quantities import stream_id
from telemetry.readings import Numbered, Origin, Reading, Stamp, Sync
from telemetry.topics import EdgeAddress

SENSORS = 10
EDGES_A_SITE = 5
MINUTE_MS = 60_000
EPOCH = "f3a91c5e"
_BOOT_ID = "7f4df7f2-1f8e-4f0e-9a57-0d6a3f1c2b4e"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a message holds: ``readings`` of them (1, or a multiple of SENSORS), as "json" or "compact"."""

    name: str
    readings: int
    encoding: str = "json"

    @property
    def possible(self) -> bool:
        """False as long as the contract has no such encoding."""
        return self.encoding == "json" or hasattr(contract, "Encoding")


SINGLE = Shape("single JSON", 1)
JSON_50 = Shape("JSON uploads of 50", 50)
COMPACT_50 = Shape("compact uploads of 50", 50, "compact")
COMPACT_500 = Shape("compact uploads of 500", 500, "compact")


@dataclass(frozen=True, slots=True)
class Fleet:
    """``edges`` Pis with SENSORS sensors each; edge i is ``E<i>`` of site ``S<i // EDGES_A_SITE>``."""

    edges: int

    def address(self, edge: int) -> EdgeAddress:
        return EdgeAddress("s0", f"S{edge // EDGES_A_SITE:04d}", f"E{edge}")

    def serial(self, edge: int, sensor: int) -> str:
        return f"T{edge:04d}-{sensor}"

    def stream(self, edge: int, sensor: int) -> str:
        return stream_id(self.serial(edge, sensor), "temperature_c")

    def key(self, edge: int) -> bytes:
        return hashlib.sha256(f"bench {edge}".encode()).digest()

    def streams(self) -> list[str]:
        return [self.stream(edge, sensor) for edge in range(self.edges) for sensor in range(SENSORS)]


def write_messages(path: Path, fleet: Fleet, shape: Shape, messages: int, now_ms: int) -> int:
    """A file for ``mqtt_bench send``: messages dealt to the edges in turn; how many readings it holds."""
    rounds = -(-messages // fleet.edges)
    minutes = -(-rounds * shape.readings // SENSORS)
    first_ms = now_ms - (minutes + 1) * MINUTE_MS
    with path.open("wb") as out:
        for number in range(messages):
            edge, nth = number % fleet.edges, number // fleet.edges
            payload = _message(fleet, edge, shape, nth * shape.readings, first_ms, now_ms)
            topic = fleet.address(edge).up("readings").encode()
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


def _message(fleet: Fleet, edge: int, shape: Shape, first: int, first_ms: int, now_ms: int) -> bytes:
    facts = tuple(Numbered(n + 1, _reading(fleet, edge, n, first_ms)) for n in range(first, first + shape.readings))
    upload = Upload("readings", f"E{edge}", EPOCH, now_ms, facts)
    if shape.encoding == "json":
        return sign_json(encode_upload(upload), fleet.key(edge))
    compact: bytes = contract.encode_upload(upload, contract.Encoding.COMPACT)  # type: ignore[attr-defined, call-arg]
    signed: bytes = contract.sign(compact, fleet.key(edge))  # type: ignore[attr-defined]
    return signed


def _reading(fleet: Fleet, edge: int, n: int, first_ms: int) -> Reading:
    minute, sensor = divmod(n, SENSORS)
    t_ms = first_ms + minute * MINUTE_MS + sensor * 137
    boot_ns = (1_000_000 + minute * MINUTE_MS + sensor * 137) * 1_000_000
    stamp = Stamp(_BOOT_ID, boot_ns, t_ms, Sync.SYNCED, 50)
    return Reading(
        fleet.stream(edge, sensor), _value(edge * SENSORS + sensor, minute), t_ms, stamp, None, Origin.LIVE
    )


def rows(fleet: Fleet, first_minute: int, minutes: int, first_ms: int, received_at_ms: int) -> list[Row]:
    """The same readings as rows of a store, minute by minute."""
    numbers = range(first_minute * SENSORS, (first_minute + minutes) * SENSORS)
    return [
        row_of(at.site, at.edge, EPOCH, Numbered(n + 1, _reading(fleet, edge, n, first_ms)), received_at_ms)
        for n in numbers
        for edge in range(fleet.edges)
        if (at := fleet.address(edge))
    ]


_NOISE = [random.Random(1).gauss(0.0, 0.03) for _ in range(4096)]


def _value(stream: int, minute: int) -> Decimal:
    wave = math.sin(minute / 37 + stream)
    return Decimal(round((5 + wave + _NOISE[(stream * 31 + minute) % len(_NOISE)]) * 100)) / 100
