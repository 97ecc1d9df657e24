"""Misdated 0: a clock that jumps while it claims to be right dates nothing; the jump itself is a fact."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.anchor import Anchorer
from edge.clock_guard import (
    CONFIRM_S,
    REFERENCE_HINT,
    ClockGuard,
    GuardedClock,
    load_reference,
    reference_of,
    stepped,
)
from edge.collect import sampled_at
from edge.outbox import MemoryOutbox
from telemetry.clock import stamp
from telemetry.contract import Upload, decode_upload, encode_upload
from telemetry.readings import Numbered, Sync

HOUR_MS = 3_600_000


@pytest.fixture
def guard() -> ClockGuard:
    return ClockGuard()


@pytest.fixture
def guarded(clock: Any, guard: ClockGuard) -> GuardedClock:
    return GuardedClock(clock, guard)


def test_a_steady_clock_is_believed_and_slewing_is_no_step(clock: Any, guard: ClockGuard, guarded: Any) -> None:
    for _ in range(1000):
        clock.go(5)
        clock.wall_ms += 3
        assert stamp(guarded).sync is Sync.SYNCED
    assert not guard.steps


@pytest.mark.parametrize("delta_ms", [HOUR_MS, -HOUR_MS, 26, -26, -1_800_000_000_000 + 1, 10**12])
def test_from_the_instant_of_a_step_on_nothing_is_dated_by_it(
    clock: Any, guard: ClockGuard, guarded: Any, delta_ms: int
) -> None:
    """NTP steps forward and back, to 1970, and beyond 2038; the kernel admits an error of 20 ms."""
    stamp(guarded)
    clock.go(5)
    clock.wall_ms += delta_ms
    made = stamp(guarded)
    assert (made.sync, made.max_error_ms, sampled_at(made)) == (Sync.UNSYNCED, None, None)
    assert made.wall_ms == clock.wall_ms, "the raw stamp is kept"
    assert [(s.from_ms, s.to_ms, s.delta_ms) for s in guard.steps] == [
        (clock.wall_ms - delta_ms, clock.wall_ms, delta_ms)
    ]


def test_a_step_within_the_admitted_error_is_the_kernels_own_correction(
    clock: Any, guard: ClockGuard, guarded: Any
) -> None:
    stamp(guarded)
    clock.wall_ms += 20
    assert stamp(guarded).sync is Sync.SYNCED
    assert not guard.steps


def test_a_step_that_is_taken_back_leaves_the_clock_believed_and_both_are_told(
    clock: Any, guard: ClockGuard, guarded: Any
) -> None:
    stamp(guarded)
    clock.wall_ms += HOUR_MS
    stamp(guarded)
    clock.go(CONFIRM_S - 1)
    assert stamp(guarded).sync is Sync.UNSYNCED
    clock.wall_ms -= HOUR_MS
    assert stamp(guarded).sync is Sync.SYNCED
    assert [s.delta_ms for s in guard.steps] == [HOUR_MS, -HOUR_MS]
    assert guard.anew == 0


def test_a_new_time_that_lasts_is_believed_and_told_once(clock: Any, guard: ClockGuard, guarded: Any) -> None:
    stamp(guarded)
    clock.wall_ms += HOUR_MS
    for _ in range(CONFIRM_S // 5):
        assert stamp(guarded).sync is Sync.UNSYNCED
        clock.go(5)
    assert stamp(guarded).sync is Sync.SYNCED
    assert (len(guard.steps), guard.anew) == (1, 1)


def test_a_new_time_counts_only_while_the_kernel_claims_it(clock: Any, guard: ClockGuard, guarded: Any) -> None:
    stamp(guarded)
    clock.wall_ms += HOUR_MS
    stamp(guarded)
    clock.go(CONFIRM_S - 1)
    clock.state = Sync.UNSYNCED
    stamp(guarded)
    clock.go(1)
    clock.state = Sync.SYNCED
    assert stamp(guarded).sync is Sync.UNSYNCED
    assert len(guard.steps) == 1


def test_before_its_first_claim_a_boot_may_jump_as_it_likes(clock: Any, guard: ClockGuard, guarded: Any) -> None:
    """A Pi without a battery: 1970, then the real time; and a reboot starts over."""
    clock.state, clock.wall_ms = Sync.UNSYNCED, 1000
    stamp(guarded)
    clock.state, clock.wall_ms = Sync.SYNCED, 1_800_000_000_000
    assert stamp(guarded).sync is Sync.SYNCED
    clock.boot, clock.boot_ns, clock.wall_ms = "boot-2", 1_000_000_000, 1_800_000_900_000
    assert stamp(guarded).sync is Sync.SYNCED
    assert not guard.steps


def test_a_step_while_the_agent_was_down_is_found_when_it_starts_again(clock: Any) -> None:
    outbox = MemoryOutbox()
    Anchorer("E1", GuardedClock(clock, ClockGuard()), outbox).look(0)
    clock.go(60)
    clock.wall_ms += HOUR_MS
    guard = ClockGuard(load_reference(outbox.hint(REFERENCE_HINT)))
    assert stamp(GuardedClock(clock, guard)).sync is Sync.UNSYNCED
    assert [s.delta_ms for s in guard.steps] == [HOUR_MS]
    assert load_reference(None) is None


def test_undated_readings_of_a_step_are_dated_by_the_new_anchor(clock: Any, make: Any) -> None:
    outbox, guard = MemoryOutbox(), ClockGuard()
    guarded = GuardedClock(clock, guard)
    anchorer = Anchorer("E1", guarded, outbox)
    anchorer.look(0)
    clock.wall_ms += HOUR_MS
    stamp(guarded)
    clock.go(10)
    outbox.append([make.undated(clock.boot_ns)])
    wall_ms = clock.wall_ms
    for _ in range(12):
        clock.go(10)
        stamp(guarded)
    assert guard.anew == 1
    anchorer.anew()
    assert anchorer.look(0)
    facts = [n.fact for n in outbox.pending(9)]
    assert [f.kind for f in facts if hasattr(f, "kind")] == ["clock_anchored", "clock_anchored"]
    assert facts[1].sampled_at_ms == wall_ms


def test_a_step_is_a_fact_that_keeps_the_contract(clock: Any, guard: ClockGuard, guarded: Any) -> None:
    stamp(guarded)
    clock.wall_ms -= HOUR_MS
    made = stamp(guarded)
    event = stepped("E1", guard.steps[0], made)
    assert (event.kind, event.sampled_at_ms) == ("clock_stepped", None)
    assert {k: event.detail[k] for k in ("from_ms", "to_ms", "delta_ms")} == {
        "from_ms": clock.wall_ms + HOUR_MS,
        "to_ms": clock.wall_ms,
        "delta_ms": -HOUR_MS,
    }
    upload = Upload("events", "E1", "e", clock.now_ms(), (Numbered(1, event),))
    assert decode_upload(encode_upload(upload)).facts[0].fact == event
    assert load_reference(reference_of(made).to_text()) == reference_of(made)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, CONFIRM_S - 1),  # seconds that a jump lasts
            st.integers(1, 120),  # seconds of right time after it
            st.integers(-(10**12), 10**12),  # the jump, ms
            st.booleans(),  # whether the kernel claims sync during it
        ),
        max_size=5,
    ),
    st.integers(0, 300),
    st.integers(1, 900),
)
def test_whatever_the_clock_does_for_less_than_a_minute_no_reading_is_misdated(
    jumps: list[tuple[int, int, int, bool]], unset_s: int, max_error_ms: int
) -> None:
    """A reading a second; true time is known. Every date is within the error that its own stamp states."""
    walls: list[tuple[int, Sync]] = [(-(10**12), Sync.UNSYNCED)] * unset_s + [(0, Sync.SYNCED)]
    for lasts_s, right_s, jump_ms, claims in jumps:
        walls += [(jump_ms, Sync.SYNCED if claims else Sync.UNSYNCED)] * lasts_s
        walls += [(0, Sync.SYNCED)] * right_s

    class Sim:
        at = 0

        def now_ms(self) -> int:
            return 1_800_000_000_000 + self.at * 1000 + walls[self.at][0]

        def boot_id(self) -> str:
            return "boot-1"

        def boottime_ns(self) -> int:
            return 7_000_000_000 + self.at * 1_000_000_000

        def sync(self) -> tuple[Sync, int | None]:
            state = walls[self.at][1]
            return state, max_error_ms if state is Sync.SYNCED else None

    sim: Any = Sim()
    clock = GuardedClock(sim, ClockGuard())
    for sim.at in range(len(walls)):
        made = stamp(clock)
        dated_ms = sampled_at(made)
        if dated_ms is not None:
            true_ms = 1_800_000_000_000 + sim.at * 1000
            assert made.max_error_ms is not None
            assert abs(dated_ms - true_ms) <= made.max_error_ms + 5
        elif walls[sim.at] == (0, Sync.SYNCED):
            raise AssertionError("a right clock is believed")
