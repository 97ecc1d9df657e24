"""Blocks hold everything, whatever it is, and refuse what is damaged."""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.store.blocks import (
    Columns,
    Front,
    at,
    decode,
    decode_front,
    encode,
    joined,
    pack,
    unpack,
    varint,
)
from ingest.store.fronts import Fronts, decode_fronts, unpack_quick

SMALL = st.integers(-5, 5)
ANY = st.integers(-(1 << 63), (1 << 63) - 1)
LISTS = st.one_of(
    st.lists(ANY, min_size=1, max_size=40),
    st.lists(SMALL, min_size=1, max_size=700),
    st.lists(st.integers(0, 70_000), min_size=1, max_size=700),
    st.builds(lambda first, steps: [first + sum(steps[:i]) for i in range(len(steps) + 1)], ANY, st.lists(SMALL)),
    st.builds(lambda n, first, step: [first + 10 * step * i for i in range(n)], st.integers(1, 600), SMALL, SMALL),
)


@given(LISTS)
def test_a_column_comes_back(values: list[int]) -> None:
    if max(values) >= 1 << 63 or min(values) < -(1 << 63):
        return
    column, end = unpack(pack(values) + b"more", 0, len(values))
    assert [at(column, i) for i in range(len(values))] == values
    assert end == len(pack(values))


@pytest.mark.parametrize(
    ("values", "packed"),
    [
        ([7, 7, 7], "00 0e"),
        ([1000, 1060, 1120], "01 d00f 78"),
        ([-10, 20, 500], "02 13 1e 01 000111"),
        ([100, 300, 350, 1000], "02 c801 32 01 00040512"),
        ([5, 1, 3], "03 0a 01 fc02"),
        ([70_000, 70_300, 70_301], "04 e0c508 02 2c01 0100"),
        ([1 << 40, (1 << 40) + 500, (1 << 40) + 499], "03 808080808040 02 f4ff 01ff"),
    ],
)
def test_columns_are_written_as_the_module_says(values: list[int], packed: str) -> None:
    assert pack(values) == bytes.fromhex(packed)


def columns(n: int, seed: int = 1) -> Columns:
    """A day's beginning of a probe: a reading a minute, a few ms late; uploads of ten."""
    rng = random.Random(seed)
    t_ms = [1_790_000_000_000 + 60_000 * i + rng.randrange(40) for i in range(n)]
    received = [t_ms[i - i % 10] + 600_000 for i in range(n)]
    numbers = [10 * i + 3 for i in range(n)]
    milli = [5_000 + 10 * round(rng.gauss(0, 3)) for _ in range(n)]
    return Columns(t_ms, milli, [0] * n, [-1] * n, [0] * n, [1] * n, [0] * n, [50] * n, received, numbers)


INTS = {
    "t_ms": st.integers(0, (1 << 43) - 1),
    "milli": st.integers(-(10**12) + 1, 10**12 - 1),
    "flags": st.integers(0, 11),
    "number": st.integers(-1, (1 << 63) - 1),
    "variant": st.integers(0, 3),
    "source": st.integers(1, 3),
    "kind": st.integers(0, 5),
    "max_error_ms": st.integers(-1, 1 << 40),
    "received_at_ms": st.integers(0, (1 << 43) - 1),
    "seq": st.integers(0, (1 << 63) - 1),
}


@given(st.lists(st.tuples(*INTS.values()), min_size=1, max_size=90))
def test_a_block_comes_back_whatever_is_in_it(entries: list[Any]) -> None:
    whole = Columns(*(list(column) for column in zip(*entries, strict=True)))
    body = encode(whole)
    assert decode(body) == whole
    front = decode_front(body)
    others = [whole.flags, whole.number, whole.variant]
    assert (list(front.t_ms), list(front.milli)) == (whole.t_ms, whole.milli)
    assert [[at(c, i) for i in range(len(whole))] for c in (front.flags, front.number, front.variant)] == others
    twice = decode_fronts([body, body])
    assert (list(twice.t_ms), list(twice.milli)) == (whole.t_ms * 2, whole.milli * 2)
    assert [(part.start, part.n) for part in twice.parts] == [(0, len(whole)), (len(whole), len(whole))]
    for part in twice.parts:
        assert [[at(c, i) for i in range(len(whole))] for c in (part.flags, part.number, part.variant)] == others


@given(LISTS)
def test_numpy_reads_the_same(values: list[int]) -> None:
    if max(values) < 1 << 63 and min(values) >= -(1 << 63):
        packed = pack(values)
        found, end = unpack_quick(packed, 0, len(values))
        assert ([at(found, i) for i in range(len(values))], end) == (values, len(packed))


@given(st.lists(st.lists(st.tuples(*INTS.values()), min_size=1, max_size=9), min_size=1, max_size=6), st.data())
def test_blocks_read_together_say_what_each_says_alone(blocks: list[list[Any]], data: st.DataObject) -> None:
    """Runs of one form, forms that change from block to block, and blocks of one entry."""
    wholes = [Columns(*(list(column) for column in zip(*entries, strict=True))) for entries in blocks]
    wholes += [columns(data.draw(st.integers(1, 300)), seed) for seed in range(data.draw(st.integers(0, 4)))]
    bodies = data.draw(st.permutations([encode(whole) for whole in wholes]))
    together, alone = decode_fronts(bodies), [decode_front(body) for body in bodies]
    assert list(together.t_ms) == [t for front in alone for t in front.t_ms]
    assert list(together.milli) == [value for front in alone for value in front.milli]
    for part, front in zip(together.parts, alone, strict=True):
        assert part.n == len(front.t_ms)
        for mine, theirs in zip(part[2:], (front.flags, front.number, front.variant), strict=True):
            assert [at(mine, i) for i in range(part.n)] == [at(theirs, i) for i in range(part.n)]


@given(st.lists(LISTS, min_size=1, max_size=5))
def test_columns_of_any_numbers_are_spread_as_they_are_unpacked(lists: list[list[int]]) -> None:
    """Also where the numbers on the way (step times scale, differences) need more than 64 bits."""
    lists = [v for v in lists if max(v) < 1 << 63 and min(v) >= -(1 << 63)]
    usual = bytes.fromhex("0000 0001 0000")
    bodies = []
    for values in lists:
        front = zlib.compress(pack(values) + pack(values) + usual, 0)
        bodies.append(bytes([1]) + varint(len(values)) + varint(len(front)) + front)
    found = decode_fronts(bodies)
    assert list(found.t_ms) == list(found.milli) == [v for values in lists for v in values]


def test_a_day_of_minutes_takes_about_two_bytes_a_reading() -> None:
    assert len(encode(columns(1_440))) / 1_440 < 2.1


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(1, 20))
def test_parts_joined_are_in_the_order_of_the_cursor(minutes: list[int], cut: int) -> None:
    n = len(minutes)
    whole = columns(n)
    whole.t_ms, whole.variant = minutes, list(range(n))
    parts = [whole.cut(low, low + cut) for low in range(0, n, cut)]
    made = joined(parts)
    assert list(zip(made.t_ms, made.variant, strict=True)) == sorted(zip(minutes, range(n), strict=True))
    assert sorted(made.seq) == whole.seq


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_or_read_and_nothing_else(body: bytes) -> None:
    for read in (decode, decode_front, lambda body: decode_fronts([body])):
        try:
            assert isinstance(read(body), Columns | Front | Fronts)
        except ValueError:
            pass


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_changed_byte_is_seen(place: int, change: int) -> None:
    whole = columns(200)
    body = bytearray(encode(whole))
    body[place % len(body)] ^= change
    try:
        assert decode(bytes(body)) == whole
    except ValueError:
        return
    raise AssertionError("a damaged block was read as if it were whole")
