"""What was heard while the process stood still is of unknown age (found by the kill campaign, seed 5: adverts of a
stopped edge were dated when it woke)."""

from __future__ import annotations

from edge.stall import BEAT_S, DRAIN_S, LIMIT_S, Stall


def test_while_the_loop_turns_nothing_is_stale() -> None:
    stall = Stall(100.0)
    for beat in range(1, 50):
        stall.beat(100.0 + beat * BEAT_S)
        assert not stall.stale(100.0 + beat * BEAT_S + 0.1)


def test_what_is_found_waiting_after_a_stop_is_stale_also_before_the_first_beat() -> None:
    stall = Stall(100.0)
    assert stall.stale(100.0 + LIMIT_S + 0.1)


def test_the_backlog_stays_stale_until_it_has_drained() -> None:
    stall = Stall(100.0)
    stall.beat(103.0)
    assert stall.stale(103.0 + DRAIN_S / 2)
    stall.beat(103.0 + BEAT_S)
    assert stall.stale(103.0 + DRAIN_S / 2)
    stall.beat(103.0 + 3 * BEAT_S)
    assert not stall.stale(103.0 + DRAIN_S)


def test_how_old_it_may_be_is_as_long_as_the_process_stood() -> None:
    stall = Stall(100.0)
    assert stall.age_s(100.5) == 0
    assert stall.age_s(130.0) == 30.0
    stall.beat(130.0)
    assert stall.age_s(130.1) == 30.0 + DRAIN_S
    stall.beat(130.0 + DRAIN_S)
    assert stall.age_s(130.0 + DRAIN_S) == 0
