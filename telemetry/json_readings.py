"""Readings in JSON, to columns and back. On the server's hot path: whole columns are checked, not single entries.

A number with a point reaches us as its text. ``_Exact`` turns it into thousandths, exactly (a float of the text would
have forgotten its fifth decimal), and remembers it, for a fridge shows the same few hundred values for months. In a
parsed body a ``float`` therefore *is* a whole number of thousandths, and a ``Decimal`` is a number that is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from types import NoneType
from typing import Any

from telemetry.columns import StreamColumns, bounds_of, check_bounds, check_qualities
from telemetry.errors import ContractError
from telemetry.limits import (
    MAX_FACTS,
    MAX_INT,
    MAX_MS,
    all_whole,
    choice,
    maybe_whole,
    text,
    thousandths,
    whole,
)
from telemetry.readings import Origin, Quality, Sync

_REMEMBERED = 8192
_SHORT = 12


class _Exact(dict[str, "float | Decimal"]):
    """Text of a number with a point or an exponent -> thousandths (float), or the Decimal where they are not whole."""

    def __missing__(self, number: str) -> float | Decimal:
        found: float | Decimal = Decimal(number)
        try:
            found = float(thousandths(Decimal(number)))
        except ContractError:
            pass  # a field unknown to us may hold it; as a value it is refused
        if len(number) <= _SHORT:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[number] = found
        return found


def _refuse_constant(name: str) -> None:
    raise ContractError("bad_value", f"{name} is not a number")


def exact_numbers() -> Mapping[str, float | Decimal]:
    """A table of its own, from a number's text to what stands for it in a parsed body."""
    return _Exact()


DECODER = json.JSONDecoder(parse_float=exact_numbers().__getitem__, parse_constant=_refuse_constant)


# --- decode ------------------------------------------------------------------------------------------------


def decode_streams(streams: object, *, bools: bool) -> list[StreamColumns]:
    """The streams of a body that ``DECODER`` read; raises ContractError. ``bools``: whether it may hold true or false.

    First the shape of each stream, then all entries of all streams at once: an upload has many short columns.
    """
    if not isinstance(streams, list):
        raise ContractError("bad_field", "streams is not a list")
    found: list[StreamColumns] = []
    total = 0
    for stream in streams:
        if not isinstance(stream, dict):
            raise ContractError("bad_field", "a stream is not an object")
        columns = _shape(stream)
        total += len(columns.seq)
        if total > MAX_FACTS:
            raise ContractError("too_large", f"more than {MAX_FACTS} facts")
        if columns.seq:
            found.append(columns)
    _check_numbers(found, bools=bools)
    if _to_thousandths(found):
        for columns in found:
            check_qualities(columns)
    check_bounds(found)
    return list(chain.from_iterable(map(_split, found))) if any(s.device_seq for s in found) else found


def _shape(stream: dict[str, Any]) -> StreamColumns:
    """The columns as they came: lists of one length, whose entries nobody has looked at yet."""
    get = stream.get
    seq = get("seq")
    if not isinstance(seq, list):
        raise ContractError("bad_columns", "seq is not a list")
    head = get("id"), get("origin", "live"), get("boot_id"), get("sync", "unsynced"), get("max_error_ms")
    try:
        name, origin, boot_id, sync, max_error_ms = _head(*head)
    except TypeError as error:  # a list or an object, which no cache can hold
        raise ContractError("bad_field", f"{head!r} do not describe a stream"[:160]) from error
    length = len(seq)
    times: Any = get("t_ms")
    values: Any = get("value")
    boottimes: Any = get("boottime_ns")
    walls: Any = get("wall_ms")
    # the usual case in one look: all are there, and as long as they should be
    if not (
        type(times) is type(values) is type(boottimes) is type(walls) is list
        and len(times) == len(values) == len(boottimes) == len(walls) == length
    ):
        times = _column(stream, "t_ms", length)
        values = _column(stream, "value", length)
        boottimes = _column(stream, "boottime_ns", length, 0)
        walls = _column(stream, "wall_ms", length)
    if None in walls:  # an edge that sends no raw wall clock: its readings' own times stand in
        walls = [(t or 0) if wall is None else wall for wall, t in zip(walls, times, strict=True)]
    device_seq = None if get("device_seq") is None else _column(stream, "device_seq", length)
    return StreamColumns(
        name,
        origin,
        boot_id,
        sync,
        max_error_ms,
        seq,
        times,
        values,
        boottimes,
        walls,
        device_seq,
        _qualities(quality, length) if (quality := get("quality")) else {},
    )


@lru_cache(maxsize=4096, typed=True)
def _head(
    name: object, origin: object, boot_id: object, sync: object, max_error_ms: object
) -> tuple[str, Origin, str, Sync, int | None]:
    """What all readings of a stream share, checked. The same few come again and again, so they are remembered."""
    name = text(name, "id")
    bounds_of(name)  # refuses a name that is no stream
    return (
        name,
        choice(Origin, origin, "origin"),
        "" if boot_id is None or boot_id == "" else _boot_id(boot_id),
        choice(Sync, sync, "sync"),
        maybe_whole(max_error_ms, "max_error_ms"),
    )


def _boot_id(value: object) -> str:
    boot_id = text(value, "boot_id", 64)
    try:
        boot_id.encode()
    except UnicodeEncodeError as error:  # a lone surrogate, by its escape: no store could hold it
        raise ContractError("bad_field", "boot_id holds half a character") from error
    return boot_id


def _column(stream: dict[str, Any], key: str, length: int, default: object = None) -> list[Any]:
    column = stream.get(key)
    if column is None:
        return [default] * length
    if not isinstance(column, list) or len(column) != length:
        raise ContractError("bad_columns", f"{key} has not {length} entries")
    return column


def _qualities(entries: object, length: int) -> dict[int, Quality]:
    if not entries:
        return {}
    if not isinstance(entries, dict):
        raise ContractError("bad_columns", "quality is not an object")
    found: dict[int, Quality] = {}
    for key, word in entries.items():
        if not (len(key) <= 5 and key.isascii() and key.isdigit() and str(int(key)) == key and int(key) < length):
            raise ContractError("bad_columns", f"quality names entry {key!r}"[:60])
        quality = choice(Quality, word, "quality")
        if quality is not Quality.GOOD:
            found[int(key)] = quality
    return found


def _check_numbers(streams: list[StreamColumns], *, bools: bool) -> None:
    """Numbers and times of all entries; undated and unnumbered ones are looked at one by one."""
    for key, low, high, optional, entries in (
        ("seq", 1, MAX_INT, False, [s.seq for s in streams]),
        ("t_ms", 0, MAX_MS, True, [s.t_ms for s in streams]),
        ("boottime_ns", 0, MAX_INT, False, [s.boottime_ns for s in streams]),
        ("wall_ms", 0, MAX_MS, False, [s.wall_ms for s in streams]),
        ("device_seq", 0, MAX_INT, True, [s.device_seq for s in streams if s.device_seq is not None]),
    ):
        column: list[object] = list(chain.from_iterable(entries))
        if bools or not all_whole(column, low, high):
            for entry in column:
                if not (optional and entry is None):
                    whole(_as_written(entry), key, low, high)


def _as_written(entry: object) -> object:
    """The entry for a message to people: a float is a number of thousandths here."""
    return entry / 1000 if isinstance(entry, float) else entry


def _to_thousandths(streams: list[StreamColumns]) -> bool:
    """Values as the parser left them (float: thousandths; int: whole units) become whole thousandths, in place.

    Whether some have none.
    """
    column: list[Any] = list(chain.from_iterable(s.milli for s in streams))
    kinds = set(map(type, column))
    if kinds == {float}:
        column = list(map(int, column))
    elif kinds <= {float, int}:
        column = [int(v) if v.__class__ is float else v * 1000 for v in column]
    else:
        column = list(map(_milli, column))
    start = 0
    for s in streams:
        end = start + len(s.seq)
        s.milli = column[start:end]
        start = end
    return NoneType in kinds


def _milli(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, float):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value * 1000
    if isinstance(value, Decimal):
        raise ContractError("bad_value", "a value has more than 3 places or is too large")
    raise ContractError("bad_value", f"{value!r} is not a number"[:80])


def _split(columns: StreamColumns) -> list[StreamColumns]:
    """A stream whose device numbers only some of its readings, as two: columns say so for all entries or for none."""
    numbers: Sequence[int | None] | None = columns.device_seq
    if numbers is None or None not in numbers:
        return [columns]
    with_number = [i for i, n in enumerate(numbers) if n is not None]
    without = [i for i, n in enumerate(numbers) if n is None]
    rest = columns.at(without)
    rest.device_seq = None
    return [rest] if not with_number else [columns.at(with_number), rest]


# --- encode ------------------------------------------------------------------------------------------------


def encode_streams(streams: Iterable[StreamColumns]) -> list[dict[str, Any]]:
    """The streams as a JSON body has them."""
    return [_body(s) for s in streams]


def _body(s: StreamColumns) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": s.stream_id,
        "origin": s.origin.value,
        "boot_id": s.boot_id,
        "sync": s.sync.value,
        "max_error_ms": s.max_error_ms,
        "seq": s.seq,
        "t_ms": s.t_ms,
        "value": [_printable(m) for m in s.milli],
        "quality": {str(i): s.quality[i].value for i in sorted(s.quality)},
        "boottime_ns": s.boottime_ns,
        "wall_ms": s.wall_ms,
    }
    if s.device_seq is not None:
        body["device_seq"] = s.device_seq
    return body


def _printable(milli: int | None) -> float | int | None:
    """What ``json`` prints with the same digits: below 1e9 three decimals are exact in a double's repr."""
    if milli is None:
        return None
    return milli / 1000 if milli % 1000 else milli // 1000
