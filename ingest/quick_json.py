"""JSON uploads of readings, decoded at the speed of C: the usual ones. All others go the way of ``telemetry.contract``.

    payload ─▶ msgspec, by type ─▶ columns ─▶ ReadingsUpload
       └─ anything unusual or refused ─▶ telemetry.contract.decode_readings, which alone refuses and says why

What is taken here is taken there, and says the same (``tests/ingest/test_quick_json.py`` tries both on whatever
Hypothesis finds). msgspec checks types and bounds while it reads and makes nothing that is not kept; a number with a
point reaches us as its text, through the same exact table (``telemetry.json_readings``): no value passes a float.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from telemetry.columns import ReadingsUpload, StreamColumns, bounds_of
from telemetry.contract import MAX_FACTS, MAX_PAYLOAD_BYTES, parse_iso_utc
from telemetry.contract import decode_readings as decode_any
from telemetry.errors import ContractError
from telemetry.json_readings import exact_numbers
from telemetry.limits import MAX_INT, MAX_MS
from telemetry.readings import Origin, Ranges, Sync

_Number = Annotated[int, Meta(ge=1, le=MAX_INT)]
_Whole = Annotated[int, Meta(ge=0, le=MAX_INT)]
_Ms = Annotated[int, Meta(ge=0, le=MAX_MS)]
_Name = Annotated[str, Meta(min_length=1, max_length=64)]


class _Stream(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A stream with a number, a time and a value for each entry, and nothing to say of their quality."""

    id: Annotated[str, Meta(min_length=1, max_length=128)]
    seq: Annotated[list[_Number], Meta(min_length=1)]
    t_ms: list[_Ms]
    value: list[Any]
    boottime_ns: list[_Whole]
    wall_ms: list[_Ms]
    origin: Origin = Origin.LIVE
    boot_id: Annotated[str, Meta(max_length=64)] = ""
    sync: Sync = Sync.UNSYNCED
    max_error_ms: _Whole | None = None
    quality: Annotated[dict[str, str], Meta(max_length=0)] | None = None
    device_seq: list[_Whole] | None = None


class _Upload(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    v: Literal[1]
    kind: Literal["readings"]
    edge: _Name
    epoch: _Name
    ranges: list[list[_Number]]
    sent_at: Annotated[str, Meta(min_length=1, max_length=40)]
    streams: list[_Stream]
    lazy: bool = False
    mac: Annotated[str, Meta(max_length=256)] | None = None


_decode = msgspec.json.Decoder(_Upload, float_hook=exact_numbers().__getitem__).decode


def decode_readings(payload: bytes) -> ReadingsUpload:
    """As ``telemetry.contract.decode_readings``, quicker."""
    if payload[:1] == b"{" and len(payload) <= MAX_PAYLOAD_BYTES:
        try:
            found = _usual(_decode(payload))
        except (msgspec.MsgspecError, ContractError, ValueError, ArithmeticError, RecursionError):
            found = None
        if found is not None:
            return found
    return decode_any(payload)


def _usual(body: _Upload) -> ReadingsUpload | None:
    """The upload; None where only the other way can tell."""
    streams = body.streams
    for s in streams:
        if not (
            len(s.seq) == len(s.t_ms) == len(s.value) == len(s.boottime_ns) == len(s.wall_ms)
            and (s.device_seq is None or len(s.device_seq) == len(s.seq))
        ):
            return None
    numbers = list(chain.from_iterable([s.seq for s in streams]))
    ranges = _ranges(numbers, body.ranges)
    values = _thousandths(list(chain.from_iterable([s.value for s in streams])))
    if ranges is None or values is None or not _within(streams, values):
        return None
    columns: list[StreamColumns] = []
    start = 0
    for s in streams:
        end = start + len(s.seq)
        columns.append(
            StreamColumns(
                s.id,
                s.origin,
                s.boot_id,
                s.sync,
                s.max_error_ms,
                s.seq,
                s.t_ms,  # type: ignore[arg-type]  # a list of numbers that nobody adds a None to
                values[start:end],
                s.boottime_ns,
                s.wall_ms,
                s.device_seq,
                {},
            )
        )
        start = end
    return ReadingsUpload(body.edge, body.epoch, parse_iso_utc(body.sent_at), columns, ranges, body.lazy, body.mac)


def _ranges(numbers: list[int], said: list[list[int]]) -> Ranges | None:
    """One range without a hole, as said."""
    if not 0 < len(numbers) <= MAX_FACTS or len(said) != 1:
        return None
    low, high = min(numbers), max(numbers)
    if said[0] != [low, high] or high - low + 1 != len(numbers) or len(set(numbers)) != len(numbers):
        return None
    return Ranges.one(low, high)


def _thousandths(values: list[Any]) -> list[int | None] | None:
    """Of what the table (a float is thousandths) and the parser (an int is whole units) made."""
    kinds = set(map(type, values))
    if kinds == {float}:
        return list(map(int, values))
    if kinds <= {float, int}:
        return [int(v) if v.__class__ is float else v * 1000 for v in values]
    return None


def _within(streams: list[_Stream], values: list[Any]) -> bool:
    """Whether every value is one that its quantity can have."""
    low, high = _narrowest(tuple([s.id for s in streams]))
    if low <= min(values) and max(values) <= high:
        return True
    start = 0
    for s in streams:
        low, high = bounds_of(s.id)
        end = start + len(s.seq)
        if not (low <= min(values[start:end]) and max(values[start:end]) <= high):
            return False
        start = end
    return True


@lru_cache(maxsize=4096)
def _narrowest(names: tuple[str, ...]) -> tuple[int, int]:
    """The bounds that all these streams share; raises ContractError for a name that is no stream."""
    bounds = [bounds_of(name) for name in names]
    return max(low for low, _ in bounds), min(high for _, high in bounds)
