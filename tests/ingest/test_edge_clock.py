"""An edge's clock found wrong by the receiver: from sending times against arrival."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.edge_clock import AHEAD_TOLERANCE_MS, BEHIND_TOLERANCE_MS, KEPT, ClockView, observed

HOUR = 3_600_000


def after(*lags_ms: int, synced: bool = True, max_error_ms: int | None = 50) -> ClockView:
    view = ClockView()
    for n, lag_ms in enumerate(lags_ms):
        now_ms = n * HOUR + 10 * HOUR
        view = observed(view, now_ms - lag_ms, now_ms, synced=synced, max_error_ms=max_error_ms)
    return view


def test_a_clock_five_minutes_ahead_is_seen_at_the_second_message() -> None:
    assert after(-299_000).off_ms == 0
    view = after(-299_000, -299_500)
    assert (view.off_ms, view.since_ms) == (299_500, 11 * HOUR)


def test_a_clock_behind_is_told_from_one_slow_message() -> None:
    slow_once = after(400, 300_000, 500, 400, 600)
    assert slow_once.off_ms == 0
    assert after(*[300_000] * (KEPT - 1)).off_ms == 0
    behind = after(*[300_000] * (KEPT - 1), 299_000)
    assert (behind.off_ms, behind.since_ms) == (-299_000, (10 + KEPT - 1) * HOUR)


def test_a_clock_put_right_is_right_at_the_next_message_or_two() -> None:
    view = after(-299_000, -299_000, 400)
    assert (view.off_ms, view.since_ms) == (0, 0)


def test_a_clock_at_1970_or_2038_is_off_by_decades() -> None:
    years_ms = 50 * 365 * 86_400_000
    assert after(*[years_ms] * KEPT, synced=False, max_error_ms=None).off_ms == -years_ms
    assert after(-years_ms, -years_ms).off_ms == years_ms


def test_a_clock_that_says_it_may_be_far_off_is_believed_that_far() -> None:
    assert after(-8_000, -8_000, max_error_ms=10_000).off_ms == 0
    assert after(-8_000, -8_000, max_error_ms=500).off_ms == 8_000


@given(st.lists(st.integers(0, 59_000), max_size=20))
def test_a_right_clock_is_never_called_off_however_slow_the_link(transport_ms: list[int]) -> None:
    assert after(*transport_ms).off_ms == 0


@given(
    st.integers(AHEAD_TOLERANCE_MS + 51 + 59_000, 10**12) | st.integers(-(10**12), -BEHIND_TOLERANCE_MS - 51),
    st.lists(st.integers(0, 59_000), min_size=KEPT, max_size=12),
)
def test_a_wrong_clock_is_found_and_its_error_bounded_by_the_transport(
    ahead_ms: int, transport_ms: list[int]
) -> None:
    view = after(*[lag - ahead_ms for lag in transport_ms])
    assert ahead_ms - 59_000 <= view.off_ms <= ahead_ms
