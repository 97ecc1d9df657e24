"""Fronts of many blocks of a stream at once, through numpy: for who reads months (api, alerts). Pure.

What a column costs in numpy is paid for each call more than for each number, and a month is thirty blocks: so blocks in
a row that wrote a column the same way (kind and width, ``blocks.py``) are joined as bytes and go through it together.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from ingest.store.blocks import (
    NO_NUMBER,
    PLAIN,
    SIGNED,
    Column,
    DamagedError,
    head,
    inflated,
    read_varint,
    read_zigzag,
    unpack,
)

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, np.dtype[np.int64]]

# All good, without numbers of the device, variant 0: ``flags``, ``number`` and ``variant`` of nearly every block.
_USUAL_REST = bytes.fromhex("00 00  00 01  00 00")
_MASK = (1 << 64) - 1


class Part(NamedTuple):
    """What a block says of its entries beside times and values; they begin at ``start`` of the whole."""

    start: int
    n: int
    flags: Column
    number: Column
    variant: Column


@dataclass(slots=True)
class Fronts:
    """The fronts of several pieces, one after the other in order of time."""

    t_ms: array[int]
    milli: array[int]
    parts: Sequence[Part]


class _Packed(NamedTuple):
    """A column as a block has it: its form, and where in ``raw`` its planes of ``length`` bytes begin."""

    kind: int
    width: int
    n: int
    first: int
    step: int
    raw: bytes
    place: int
    length: int


def decode_fronts(bodies: Sequence[bytes]) -> Fronts:
    """``decode_front`` of blocks in a row, into one array."""
    parts: list[Part] = []
    times: list[_Packed] = []
    values: list[_Packed] = []
    start = 0
    for body in bodies:
        n, front, end = head(body)
        raw = inflated(body[front:end])
        try:
            t_ms, place = _packed(raw, 0, n)
            milli, place = _packed(raw, place, n)
            if raw[place:] == _USUAL_REST:
                parts.append(Part(start, n, 0, NO_NUMBER, 0))
            else:
                flags, place = unpack_quick(raw, place, n)
                number, place = unpack_quick(raw, place, n)
                variant, place = unpack_quick(raw, place, n)
                parts.append(Part(start, n, flags, number, variant))
        except (IndexError, KeyError):
            raise DamagedError("a column cut short") from None
        times.append(t_ms)
        values.append(milli)
        start += n
    _keep_pages(start)
    return Fronts(_spread(times, start), _spread(values, start), parts)


def _keep_pages(n: int) -> None:
    """glibc gives a freed array of a month back to the kernel and takes 170 page faults (0.4 ms of 2) to get the next,
    until it saw a larger one freed (M_MMAP_THRESHOLD in mallopt(3)); this one is never written, so it costs nothing."""
    import numpy as np

    np.empty(4 * n, np.int64)


def unpack_quick(raw: bytes, place: int, n: int) -> tuple[Column, int]:
    """``unpack``, through numpy for the kinds that have something for every entry."""
    if raw[place] < PLAIN:
        return unpack(raw, place, n)
    packed, end = _packed(raw, place, n)
    return _spread([packed], n), end


def _packed(raw: bytes, place: int, n: int) -> tuple[_Packed, int]:
    """(the column, where the next one starts)."""
    kind = raw[place]
    first, place = read_zigzag(raw, place + 1)
    step = 0
    if kind == 1:
        step, place = read_zigzag(raw, place)
    if kind < PLAIN:
        return _Packed(kind, 0, n, first, step, raw, place, 0), place
    if kind == PLAIN:
        step, place = read_varint(raw, place)
    elif kind > 4:
        raise DamagedError(f"a column of kind {kind}")
    width = raw[place]
    count = n if kind == PLAIN else n - 1
    end = place + 1 + width * count
    if end > len(raw) or width not in SIGNED:
        raise DamagedError("a column cut short")
    return _Packed(kind, width, n, first, step, raw, place + 1, count), end


def _spread(columns: Sequence[_Packed], n: int) -> array[int]:
    """The numbers of columns one after the other, ``n`` in all."""
    import numpy as np  # loaded by who reads months, not by ingest

    made = array("q", [0]) * n  # filled where it stays: to copy this much costs as much as to decode it
    whole = np.frombuffer(made, np.int64)
    start = 0
    for (kind, width), run in groupby(columns, _form):
        group = list(run)
        end = start + sum(column.n for column in group)
        _FILL[kind](whole[start:end], group, width)
        start = end
    return made


def _form(column: _Packed) -> tuple[int, int]:
    return column.kind, column.width


def _fill_rising(whole: Numbers, columns: Sequence[_Packed], _width: int) -> None:
    import numpy as np

    # Modulo 2**64, as everywhere here: no number on the way is too large, and those at the end are right.
    numbers = whole.view(np.uint64)
    start = 0
    for column in columns:
        part = numbers[start : start + column.n]
        part[:] = np.arange(column.n, dtype=np.uint64)
        part *= np.uint64(column.step & _MASK)
        part += np.uint64(column.first & _MASK)
        start += column.n


def _fill_plain(whole: Numbers, columns: Sequence[_Packed], width: int) -> None:
    import numpy as np

    whole[:] = _numbers(columns, width, "u", b"")
    numbers = whole.view(np.uint64)
    start = 0
    scales = {column.step for column in columns}
    if len(scales) == 1 and scales != {1}:
        numbers *= np.uint64(scales.pop() & _MASK)
    for column in columns:
        part = numbers[start : start + column.n]
        if len(scales) > 1 and column.step != 1:
            part *= np.uint64(column.step & _MASK)
        if column.first:
            part += np.uint64(column.first & _MASK)
        start += column.n


def _fill_differences(whole: Numbers, columns: Sequence[_Packed], width: int, sign: str) -> None:
    import numpy as np

    # Each block's differences behind a place for the step from the last block's end to its own first number.
    whole[:] = _numbers(columns, width, sign, bytes(1))
    numbers = whole.view(np.uint64)
    starts = np.cumsum([0, *(column.n for column in columns[:-1])])
    steps = np.array([column.first & _MASK for column in columns], np.uint64)
    steps[1:] -= steps[:-1] + np.add.reduceat(numbers, starts)[:-1]
    numbers[starts] = steps
    numbers.cumsum(out=numbers)


def _numbers(columns: Sequence[_Packed], width: int, sign: str, before: bytes) -> np.ndarray[Any, Any]:
    """Numbers written plane by plane, each column for itself; ``before`` stands before each plane of a column."""
    import numpy as np

    planes = []
    for k in range(width):
        pieces: list[bytes] = []
        for _, _, _, _, _, raw, place, length in columns:
            start = place + k * length
            pieces += before, raw[start : start + length]
        planes.append(np.frombuffer(b"".join(pieces), np.uint8))
    whole = planes[-1].astype(f"<u{width}")
    for plane in reversed(planes[:-1]):
        whole <<= 8
        whole |= plane
    return whole.view(f"<{sign}{width}")


# By kind; differences are signed (3) or rise (4).
_FILL = (
    _fill_rising,
    _fill_rising,
    _fill_plain,
    partial(_fill_differences, sign="i"),
    partial(_fill_differences, sign="u"),
)
