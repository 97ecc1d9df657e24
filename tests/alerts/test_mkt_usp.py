"""Mean kinetic temperature: cold-chain 2.2 and 6, 19 and 20."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.mkt import ExcursionRule, mkt_c, mkt_of, sliding_mkt_max
from alerts.rules import Segment

H = 3_600_000


def history(*parts: tuple[float, float]) -> list[Segment]:
    """(hours, C) one after the other."""
    made, at = [], 0
    for hours, c in parts:
        end = at + int(hours * H)
        made.append(Segment(at, end, int(c * 1000), int(c * 1000)))
        at = end
    return made


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(24, 5)], "5.000"),
        ([(20, 5), (4, 15)], "7.705"),
        ([(21, 5), (3, 15)], "7.107"),
        ([(18, 4), (6, 14.9)], "8.272"),
        ([(23, 5), (1, 25)], "7.757"),
        ([(22, 5), (2, 25)], "9.825"),
        ([(12, 5), (12, 10)], "7.869"),
        ([(23, 5), (1, -5)], "4.758"),
        ([(1, 25), (1, 37), (1, 8)], "29.223"),
    ],
)
def test_req_19_worked_values_to_a_hundredth(parts: list[tuple[float, float]], expected: str) -> None:
    ours = mkt_of(history(*parts))
    assert ours is not None
    assert abs(ours - Decimal(expected)) <= Decimal("0.01")


@pytest.mark.parametrize(("hot", "allowed_h"), [(12, 7.92), (15, 4.52), (25, 1.11)])
def test_req_19_time_allowed_before_mkt_passes_8(hot: float, allowed_h: float) -> None:
    for hours, over in ((allowed_h - 0.02, False), (allowed_h + 0.02, True)):
        value = mkt_of(history((24 - hours, 5), (hours, hot)))
        assert value is not None
        assert (value > 8) is over


def test_req_19_energy_83_0_differs_by_less_than_0_05() -> None:
    made = history((20, 5), (4, 15))
    a, b = mkt_of(made), mkt_of(made, Decimal("83.0"))
    assert a is not None
    assert b is not None
    assert Decimal(0) < abs(a - b) < Decimal("0.05")


def test_req_19_window_is_24_hours_including_the_excursion() -> None:
    calm = history((200, 5), (4, 15), (200, 5))
    whole, window = mkt_of(calm), sliding_mkt_max(calm)
    assert whole is not None
    assert whole < Decimal("5.3")
    assert window == Decimal("7.705")  # 20 h at 5 and 4 h at 15


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(-80, 60)), min_size=1, max_size=12))
def test_req_19_mkt_lies_between_mean_and_maximum(parts: list[tuple[int, int]]) -> None:
    made = history(*parts)
    value = mkt_of(made)
    assert value is not None
    mean = sum(h * c for h, c in parts) / sum(h for h, _ in parts)
    assert mean - 0.01 <= float(value) <= max(c for _, c in parts) + 0.01
    assert sliding_mkt_max(made, window_ms=10**12) == value  # a shorter history is one window


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(-20, 40) | st.none()), min_size=1, max_size=8))
def test_req_19_the_window_is_the_worst_of_all_full_ones(parts: list[tuple[int, int | None]]) -> None:
    """Against every window that begins at a full hour, each summed from scratch."""
    hours = [c for count, c in parts for _ in range(count)]
    made = [
        Segment(i * H, (i + 1) * H, None if c is None else c * 1000, None if c is None else c * 1000)
        for i, c in enumerate(hours)
    ]
    while hours and hours[0] is None:
        hours.pop(0)
    while hours and hours[-1] is None:
        hours.pop()
    windows = [hours[i : i + 24] for i in range(max(1, len(hours) - 23))]
    values = [mkt_c([c for c in w if c is not None], [3600.0 for c in w if c is not None]) for w in windows]
    expected = max((v for v in values if v is not None), default=None)
    window = sliding_mkt_max(made)
    assert (window is None) is (expected is None)
    if window is not None and expected is not None:
        assert abs(window - expected) <= Decimal("0.002")
        backwards = [Segment(-s.to_ms, -s.from_ms, s.low_m, s.high_m) for s in reversed(made)]
        again = sliding_mkt_max(backwards)
        assert again is not None
        assert abs(again - window) <= Decimal("0.002")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(4, 15), (20, 5)], "7.705"),
        ([(20, 5), (4, 15)], "7.705"),
        ([(12, 10), (12, 5)], "7.869"),
        ([(4, 15), (200, 5)], "7.705"),
        ([(2, 15), (3, 5)], "10.440"),
    ],
)
def test_req_20_the_order_within_24_hours_plays_no_part(parts: list[tuple[float, float]], expected: str) -> None:
    value = sliding_mkt_max(history(*parts))
    assert value == Decimal(expected)


def test_req_19_unknown_time_has_no_mkt() -> None:
    assert mkt_c([], []) is None
    assert mkt_of([Segment(0, H, None, None)]) is None
    assert sliding_mkt_max([]) is None


@pytest.mark.parametrize(
    ("parts", "failures"),
    [
        ([(24, 5)], ()),
        ([(20, 5), (4, 15)], ()),
        ([(4, 15), (20, 5)], ()),
        ([(12, 10), (12, 5)], ()),
        ([(10, 5), (4, 15), (10, 5)], ()),
        ([(18, 4), (6, 14.9)], ("mkt",)),
        ([(23, 5), (1, 25)], ("peak",)),
        ([(22, 5), (2, 25)], ("mkt", "peak")),
        ([(48, 5), (24, 8.1)], ("mkt", "time_above")),
    ],
)
def test_req_20_usp_type_rule(parts: list[tuple[float, float]], failures: tuple[str, ...]) -> None:
    assert ExcursionRule().failures(history(*parts)) == failures
