"""Ranges behave as the sets of numbers that they stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.readings import Ranges

SETS = st.sets(st.integers(1, 60), max_size=40)
SPANS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)).map(lambda p: (p[0], p[0] + p[1])), max_size=10)


@given(SETS)
def test_of_holds_exactly_these_numbers(numbers: set[int]) -> None:
    ranges = Ranges.of(numbers)
    assert list(ranges) == sorted(numbers)
    assert len(ranges) == len(numbers)
    assert bool(ranges) is bool(numbers)


@given(SPANS)
def test_spans_are_sorted_apart_and_as_few_as_can_be(spans: list[tuple[int, int]]) -> None:
    ranges = Ranges(spans)
    assert set(ranges) == {n for low, high in spans for n in range(low, high + 1)}
    pairs = zip(ranges.spans, ranges.spans[1:], strict=False)
    assert all(low <= high for low, high in ranges.spans)
    assert all(b_low > a_high + 1 for (_, a_high), (b_low, _) in pairs)


@given(SETS, SETS)
def test_union_and_difference_are_those_of_sets(a: set[int], b: set[int]) -> None:
    assert set(Ranges.of(a) | Ranges.of(b)) == a | b
    assert set(Ranges.of(a) - Ranges.of(b)) == a - b
    assert (Ranges.of(a) == Ranges.of(b)) is (a == b)


@given(SETS, SETS, SETS)
def test_receipts_may_come_in_any_order_and_twice(a: set[int], b: set[int], c: set[int]) -> None:
    x, y, z = Ranges.of(a), Ranges.of(b), Ranges.of(c)
    assert x | y | z == z | (y | x) == (x | x) | z | y
    assert hash(x | y) == hash(y | x)


@given(SETS, st.integers(0, 61))
def test_membership(numbers: set[int], n: int) -> None:
    assert (n in Ranges.of(numbers)) is (n in numbers)


@given(SETS)
def test_lists_and_back(numbers: set[int]) -> None:
    ranges = Ranges.of(numbers)
    assert Ranges((low, high) for low, high in ranges.to_lists()) == ranges


def test_a_range_upside_down_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="upside down"):
        Ranges([(2, 1)])


def test_of_swallows_repeats() -> None:
    assert Ranges.of([3, 1, 2, 2, 3]) == Ranges([(1, 3)])


def test_a_month_of_minutes_is_one_span() -> None:
    assert len(Ranges([(1, 43_200)])) == 43_200
    assert Ranges([(1, 43_200)]).spans == ((1, 43_200),)


def test_long_lists_take_linear_time() -> None:
    """A month of holes: 100,000 spans less 100,000 others, a quarter of a second and not an hour."""
    low = Ranges([(i * 3, i * 3 + 1) for i in range(100_000)])
    high = Ranges([(i * 5, i * 5 + 1) for i in range(60_000)])
    both = low & high
    assert len(low - high) == len(low) - len(both)
    assert all(n in low for n in range(0, 3000, 3))
