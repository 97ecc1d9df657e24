"""Clocks: the virtual one is the same in every process, and the environment chooses."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from telemetry.clock import (
    ENVIRONMENT_KEY,
    SystemClock,
    VirtualClock,
    clock_from_environment,
    kernel_sync,
    stamp,
)
from telemetry.errors import ConfigError
from telemetry.readings import Sync

T0 = 1_790_000_000_000


def test_virtual_time_is_t0_plus_real_time_times_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock(T0, 1_000_000_000, 60.0)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 1_000_000_000)
    assert clock.now_ms() == T0
    monkeypatch.setattr(time, "monotonic_ns", lambda: 2_500_000_000)
    assert clock.now_ms() == T0 + 90_000
    assert clock.boottime_ns() == 90_000_000_000
    assert clock.real_seconds(120) == 2


def test_two_processes_with_the_same_numbers_have_the_same_time() -> None:
    clock = VirtualClock(T0, time.monotonic_ns(), 1000.0, Sync.UNSYNCED)
    other = clock_from_environment(clock.to_environment())
    assert other == clock


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5:6:7", VirtualClock(5, 6, 7.0)),
        ("5:6:0.5:synced", VirtualClock(5, 6, 0.5, Sync.SYNCED)),
        ("5:6:1:unsynced", VirtualClock(5, 6, 1.0, Sync.UNSYNCED)),
        ("", SystemClock()),
    ],
)
def test_the_environment_chooses_the_clock(text: str, expected: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert clock_from_environment(text) == expected
    monkeypatch.setenv(ENVIRONMENT_KEY, text)
    assert clock_from_environment() == expected


@pytest.mark.parametrize("text", ["now", "1:2", "1:2:x", "1:2:3:perhaps", ":::"])
def test_a_clock_that_cannot_be_read_is_a_named_setting(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        clock_from_environment(text)
    assert caught.value.key == ENVIRONMENT_KEY


@pytest.mark.parametrize(("planned", "bound"), [(Sync.SYNCED, True), (Sync.UNSYNCED, False)])
def test_a_stamp_says_how_good_the_clock_was(planned: Sync, bound: bool) -> None:
    """design.md promise 8. Only a synced clock claims a bound of its error."""
    made = stamp(VirtualClock(T0, time.monotonic_ns(), 1.0, planned))
    assert made.sync is planned
    assert (made.max_error_ms is not None) is bound
    assert T0 <= made.wall_ms < T0 + 60_000
    assert made.boot_id


def test_the_system_clock_is_the_machines() -> None:
    clock = SystemClock()
    assert abs(clock.now_ms() - time.time_ns() // 1_000_000) < 5_000
    assert clock.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert clock.boottime_ns() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert clock.real_seconds(3) == 3


def test_the_kernel_is_asked_and_answers_one_of_two() -> None:
    """devices.md 7: adjtimex, not the year. A bound comes with synced only, below one second."""
    state, bound = kernel_sync()
    assert (state is Sync.SYNCED and bound is not None and 1 <= bound < 1000) or (
        state is Sync.UNSYNCED and bound is None
    )
