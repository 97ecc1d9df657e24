"""When a Modbus probe is polled: once a slot, and never twice within half an interval."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edge.sources.modbus import ms_until_poll


def test_a_slot_is_read_once_and_in_its_first_half() -> None:
    assert ms_until_poll(600_000, 60_000, 9) == 0
    assert ms_until_poll(629_999, 60_000, 9) == 0
    assert ms_until_poll(600_000, 60_000, 10) == 60_000, "read already"
    assert ms_until_poll(645_000, 60_000, 9) == 15_000, "started late: wait for the next slot"
    assert ms_until_poll(540_000, 60_000, 10) == 0, "the clock was set back: a reading now is worth more than none"


@given(
    starts_ms=st.lists(st.integers(0, 10_000_000), min_size=1, max_size=20),
    interval_ms=st.integers(1_000, 900_000),
)
def test_polls_of_any_restarts_lie_half_an_interval_apart(starts_ms: list[int], interval_ms: int) -> None:
    """Demo, CI of stop 6: the first poll of a start late in a slot and the next slot's gave one measurement twice."""
    polled, polls = -1, []
    for now_ms in sorted(starts_ms):
        while left_ms := ms_until_poll(now_ms, interval_ms, polled):
            now_ms += left_ms
        if polls and now_ms <= polls[-1]:
            continue  # this start waits for a poll that the one before made
        polls.append(now_ms)
        polled = now_ms // interval_ms
    assert all(2 * (b - a) > interval_ms for a, b in itertools.pairwise(polls))
