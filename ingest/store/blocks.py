"""Readings of one stream as a block: columns of whole numbers, narrowed, deflated, lossless. Pure.

::

    01  n  |front|  front  rest         numbers are varints (zigzag where they may be negative); front and rest zlib
                    |      +- source, kind, max_error_ms, received_at_ms, seq
                    +-------- t_ms, milli, flags, number, variant: what a chart or a comparison needs

    column:  00 v                       all the same
             01 v step                  v, v + step, v + 2 step, ...
             02 base scale w values     base + scale x value, unsigned, w bytes each
             03 v w differences         w bytes each, signed
             04 v w differences         w bytes each, none below zero

Values of w bytes are written plane by plane (all lowest bytes first), which is how deflate sees that the high ones
hardly change. ``flags`` is 2 x (position in Quality) + (1 for "no value"), ``kind`` 2 x (position in Origin) +
(position in Sync), ``number`` the device's number or -1, ``max_error_ms`` -1 for None, ``source`` a row of ``sources``.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import accumulate, chain, islice
from math import gcd
from operator import lt, sub
from typing import NamedTuple

from ingest.store.model import Said
from telemetry.readings import Origin, Quality, Sync

VERSION = 1
QUALITIES = tuple(Quality)
ORIGINS = tuple(Origin)
SYNCS = tuple(Sync)
NO_NUMBER = -1
_USUAL_KIND = len(SYNCS) * ORIGINS.index(Origin.LIVE) + SYNCS.index(Sync.SYNCED)
_LEVEL = 6
# A part of a day that will be joined soon is stored as it is.
_WORTH_DEFLATING = 100
_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}
SIGNED = {1: "b", 2: "h", 4: "i", 8: "q"}
# From so many values on, both forms of a column are tried, on so many of them.
_WORTH_TRYING = 64
_SAMPLE = 256
PLAIN = 2
# No block of ours has more entries (a writer cuts at 4,096).
_MOST = 1 << 20
# A column as it is read: one number stands for a column of nothing else.
Column = int | Sequence[int]


class DamagedError(ValueError):
    """A body that this module did not write, or no longer as it wrote it."""


@dataclass(slots=True)
class Front:
    """What a chart and a comparison need; entry i of every list speaks of the same reading."""

    t_ms: Sequence[int]
    milli: Sequence[int]
    flags: Column
    number: Column
    variant: Column

    def said(self, i: int) -> Said:
        return said_of(self.milli[i], at(self.flags, i))


@dataclass(slots=True)
class Columns:
    """Readings of one stream, everything of them."""

    t_ms: list[int]
    milli: list[int]
    flags: list[int]
    number: list[int]
    variant: list[int]
    source: list[int]
    kind: list[int]
    max_error_ms: list[int]
    received_at_ms: list[int]
    seq: list[int]

    def __len__(self) -> int:
        return len(self.t_ms)

    def pick(self, places: Sequence[int]) -> Columns:
        """These entries only, in this order."""
        return Columns(*([column[i] for i in places] for column in self.all()))

    def cut(self, low: int, high: int) -> Columns:
        """Entries [low, high)."""
        return Columns(*(column[low:high] for column in self.all()))

    def all(self) -> list[list[int]]:
        return [getattr(self, name) for name in _NAMES]


_NAMES = tuple(field.name for field in fields(Columns))
_IN_FRONT = len(fields(Front))


def flag_of(milli: int | None, quality: Quality) -> int:
    return 2 * QUALITIES.index(quality) + (milli is None)


def kind_of(origin: Origin, sync: Sync) -> int:
    if origin is Origin.LIVE and sync is Sync.SYNCED:  # nearly always
        return _USUAL_KIND
    return len(SYNCS) * ORIGINS.index(origin) + SYNCS.index(sync)


def origin_of(kind: int) -> tuple[Origin, Sync]:
    return ORIGINS[kind // len(SYNCS)], SYNCS[kind % len(SYNCS)]


def said_of(milli: int, flag: int) -> Said:
    return (None if flag & 1 else milli), QUALITIES[flag >> 1]


def at(column: Column, i: int) -> int:
    """Entry ``i`` of a column."""
    return column if isinstance(column, int) else column[i]


def empty() -> Columns:
    return Columns([], [], [], [], [], [], [], [], [], [])


def joined(parts: Sequence[Columns]) -> Columns:
    """All entries, in the order of Cursor."""
    whole = (
        parts[0]
        if len(parts) == 1
        else Columns(*(list(chain(*c)) for c in zip(*(p.all() for p in parts), strict=True)))
    )
    if all(map(lt, whole.t_ms, islice(whole.t_ms, 1, None))):
        return whole
    keys = list(zip(whole.t_ms, whole.number, whole.variant, strict=True))
    return whole.pick(sorted(range(len(keys)), key=keys.__getitem__))


# --- bytes --------------------------------------------------------------------------------------------------------


def encode(columns: Columns) -> bytes:
    """At least one entry, in order of time."""
    packed = [pack(column) for column in columns.all()]
    level = _LEVEL if len(columns) >= _WORTH_DEFLATING else 0
    front = zlib.compress(b"".join(packed[:_IN_FRONT]), level)
    rest = zlib.compress(b"".join(packed[_IN_FRONT:]), level)
    return bytes([VERSION]) + varint(len(columns)) + varint(len(front)) + front + rest


def decode_front(body: bytes) -> Front:
    """Raises DamagedError for a body that is none of ours."""
    n, start, end = head(body)
    t_ms, milli, flags, number, variant = _columns(body[start:end], n, _IN_FRONT)
    return Front(_spread(t_ms, n), _spread(milli, n), flags, number, variant)


def decode(body: bytes) -> Columns:
    """Raises DamagedError for a body that is none of ours."""
    n, start, end = head(body)
    found = _columns(body[start:end], n, _IN_FRONT) + _columns(body[end:], n, len(_NAMES) - _IN_FRONT)
    return Columns(*(_spread(column, n) for column in found))


def head(body: bytes) -> tuple[int, int, int]:
    """(entries, where the front starts, where it ends)."""
    if not body or body[0] != VERSION:
        raise DamagedError("not a block of version 1")
    try:
        n, start = read_varint(body, 1)
        length, start = read_varint(body, start)
    except IndexError:
        raise DamagedError("a block cut short") from None
    if not 0 < n <= _MOST:
        raise DamagedError(f"a block of {n} entries")
    return n, start, start + length


def inflated(deflated: bytes) -> bytes:
    try:
        return zlib.decompress(deflated)
    except zlib.error as error:
        raise DamagedError(f"a damaged block: {error}") from error


def _columns(deflated: bytes, n: int, count: int) -> list[Column]:
    raw = inflated(deflated)
    place, found = 0, []
    try:
        for _ in range(count):
            column, place = unpack(raw, place, n)
            found.append(column)
    except (IndexError, KeyError):
        raise DamagedError("a column cut short") from None
    return found


def _spread(column: Column, n: int) -> list[int]:
    return [column] * n if isinstance(column, int) else list(column)


def pack(values: Sequence[int]) -> bytes:
    """One column of at least one number."""
    n, first = len(values), values[0]
    if values.count(first) == n:
        return b"\x00" + _zigzag(first)
    differences = list(map(sub, islice(values, 1, None), values))
    if differences.count(differences[0]) == n - 1:
        return b"\x01" + _zigzag(first) + _zigzag(differences[0])
    plain = _plain(values)
    low, high = min(differences), max(differences)
    width = _unsigned_width(high) if low >= 0 else _width(low, high)
    if width is None or width > plain.width:
        return plain.bytes(values)
    kind, code = (b"\x04", _UNSIGNED[width]) if low >= 0 else (b"\x03", SIGNED[width])
    if width == plain.width and n > 2 * _SAMPLE and pack(values[:_SAMPLE])[0] == PLAIN:
        return plain.bytes(values)
    stepped = kind + _zigzag(first) + bytes([width]) + _planes(array(code, differences))
    if width < plain.width or n < _WORTH_TRYING or n > 2 * _SAMPLE:
        return stepped
    return min(plain.bytes(values), stepped, key=lambda form: len(zlib.compress(form, 1)))


class _Plain(NamedTuple):
    """A column without differences; scaled only where that saves a byte a value."""

    base: int
    scale: int
    width: int

    def bytes(self, values: Sequence[int]) -> bytes:
        base, scale, width = self
        head = bytes([PLAIN]) + _zigzag(base) + varint(scale) + bytes([width])
        shifted = values if (base, scale) == (0, 1) else [(value - base) // scale for value in values]
        return head + _planes(array(_UNSIGNED[width], shifted))


def _plain(values: Sequence[int]) -> _Plain:
    low, high = min(values), max(values)
    width = _unsigned_width(high) if low >= 0 else 9
    narrow, scale = _unsigned_width(high - low), 1
    if narrow > 1:
        scale = gcd(*[value - low for value in values[:_SAMPLE]])
        if scale > 1:
            scale = gcd(*[value - low for value in values])
            narrow = _unsigned_width((high - low) // scale)
    return _Plain(low, scale, narrow) if narrow < width else _Plain(0, 1, width)


def unpack(raw: bytes, place: int, n: int) -> tuple[Column, int]:
    """(the column, where the next one starts)."""
    kind = raw[place]
    first, place = read_zigzag(raw, place + 1)
    if kind == 0:
        return first, place
    if kind == 1:
        step, place = read_zigzag(raw, place)
        return list(range(first, first + n * step, step)), place
    if kind == PLAIN:
        scale, place = read_varint(raw, place)
        numbers = _unplaned(raw, place + 1, n, _UNSIGNED[raw[place]])
        end = place + 1 + n * raw[place]
        if first == 0 and scale == 1:
            return numbers.tolist(), end
        return [first + scale * number for number in numbers], end
    if kind in (3, 4):
        differences = _unplaned(raw, place + 1, n - 1, (SIGNED if kind == 3 else _UNSIGNED)[raw[place]])
        return list(accumulate(differences, initial=first)), place + 1 + (n - 1) * raw[place]
    raise DamagedError(f"a column of kind {kind}")


def _planes(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    raw, width = numbers.tobytes(), numbers.itemsize
    return raw if width == 1 else b"".join(raw[k::width] for k in range(width))


def _unplaned(raw: bytes, place: int, n: int, code: str) -> array[int]:
    numbers = array(code)
    width = numbers.itemsize
    planes = raw[place : place + n * width]
    if len(planes) != n * width:
        raise DamagedError("a block cut short")
    if width > 1:
        whole = bytearray(n * width)
        for k in range(width):
            whole[k::width] = planes[k * n : (k + 1) * n]
        planes = bytes(whole)
    numbers.frombytes(planes)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _width(low: int, high: int) -> int | None:
    """Bytes for a signed number; None where 8 do not do."""
    return next((w for w in SIGNED if -(1 << 8 * w - 1) <= low and high < 1 << 8 * w - 1), None)


def _unsigned_width(high: int) -> int:
    return next(w for w in _UNSIGNED if high < 1 << 8 * w)


def varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _zigzag(number: int) -> bytes:
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def read_varint(raw: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = raw[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return number, place


def read_zigzag(raw: bytes, place: int) -> tuple[int, int]:
    number, place = read_varint(raw, place)
    return (number >> 1) ^ -(number & 1), place
