"""Clocks: the virtual one is the same in every process, and the environment chooses."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from telemetry.clock import (
    ENVIRONMENT_KEY,
    PlannedStep,
    SystemClock,
    VirtualClock,
    clock_from_environment,
    coarse_ms,
    kernel_sync,
    moment,
    stamp,
)
from telemetry.contract import iso_utc, parse_iso_utc
from telemetry.errors import ConfigError
from telemetry.limits import MAX_MS
from telemetry.readings import Sync

T0 = 1_790_000_000_000


def test_virtual_time_is_t0_plus_real_time_times_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock(T0, 1_000_000_000, 60.0)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 1_000_000_000)
    assert clock.now_ms() == T0
    began_ns = clock.boottime_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: 2_500_000_000)
    assert clock.now_ms() == T0 + 90_000
    assert clock.boottime_ns() - began_ns == 90_000_000_000
    assert clock.real_seconds(120) == 2


def test_boot_time_runs_evenly_also_before_the_plan_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo's edge that starts early saw its boot time stand still, held its clock for stepped, and its readings came
    undated and were dated alike (CI of stop 6)."""
    clock = VirtualClock(T0, 10_000_000_000, 450.0)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 5_000_000_000)
    wall_ms, boottime_ns = clock.moment()
    monkeypatch.setattr(time, "monotonic_ns", lambda: 12_000_000_000)
    assert clock.now_ms() - wall_ms == (clock.boottime_ns() - boottime_ns) // 1_000_000 == 7 * 450_000


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


# --- planned steps, and times that cannot be ------------------------------------------------------------------------


def test_a_planned_step_moves_the_wall_and_its_claim_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (PlannedStep(T0 + 10_000, 3_600_000, Sync.UNSYNCED), PlannedStep(T0 + 20_000, -3_600_500, Sync.SYNCED))
    clock = VirtualClock(T0, 0, 1.0, steps=steps)
    seen = []
    monkeypatch.setattr(time, "monotonic_ns", lambda: 0)
    began_ns = clock.boottime_ns()
    for second in (9, 10, 20):
        monkeypatch.setattr(time, "monotonic_ns", lambda second=second: second * 1_000_000_000)
        assert (clock.true_ms(), clock.boottime_ns() - began_ns) == (T0 + second * 1000, second * 1_000_000_000)
        assert clock.moment() == (clock.now_ms(), clock.boottime_ns())
        seen.append((clock.now_ms() - clock.true_ms(), clock.sync()[0]))
    assert seen == [(0, Sync.SYNCED), (3_600_000, Sync.UNSYNCED), (-500, Sync.SYNCED)]


@pytest.mark.parametrize(
    "clock",
    [
        VirtualClock(5, 6, 7.0, steps=(PlannedStep(9, -1),)),
        VirtualClock(5, 6, 7.0, Sync.UNSYNCED, 100, 2.0, (PlannedStep(9, 5, Sync.SYNCED), PlannedStep(11, -5))),
    ],
)
def test_planned_steps_go_through_the_environment(clock: VirtualClock) -> None:
    assert clock_from_environment(clock.to_environment()) == clock


@pytest.mark.parametrize("text", ["5:6:7;steps=", "5:6:7;step=1:2", "5:6:7;steps=1", "5:6:7;steps=1:2:so"])
def test_steps_that_cannot_be_read_are_a_named_setting(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        clock_from_environment(text)
    assert caught.value.key == ENVIRONMENT_KEY


def test_boot_time_is_stamped_in_whole_milliseconds_of_the_same_instant() -> None:
    made = stamp(SystemClock())
    assert made.boottime_ns % 1_000_000 == 0
    wall_ms, boottime_ns = moment(SystemClock())
    offset_ms = wall_ms - boottime_ns // 1_000_000
    assert abs(made.wall_ms - made.boottime_ns // 1_000_000 - offset_ms) <= 3


@pytest.mark.parametrize(
    ("real_s", "wall_ms", "believed"),
    [
        (-3600, 0, False),  # before 1970
        (0, 0, False),
        (1_767_225_599, 1_767_225_599_000, False),  # older than this software
        (1_800_000_000, 1_800_000_000_000, True),
        (2_147_483_648, 2_147_483_648_000, True),  # 2038-01-19, one second after 32 bits end
        (4_102_444_800, 4_102_444_800_000, True),  # 2100
        (10_000_000_000, MAX_MS, False),  # 2286: beyond what the contract can say
        (400_000_000_000, MAX_MS, False),  # the year 14645
    ],
)
def test_a_time_that_cannot_be_is_unsynced_whatever_the_kernel_claims(
    monkeypatch: pytest.MonkeyPatch, real_s: int, wall_ms: int, believed: bool
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: real_s * 1_000_000_000)
    monkeypatch.setattr("telemetry.clock.kernel_sync", lambda: (Sync.SYNCED, 7))
    made = stamp(SystemClock())
    assert (made.wall_ms, made.sync is Sync.SYNCED) == (wall_ms, believed)
    assert parse_iso_utc(iso_utc(made.wall_ms)) == wall_ms, "every stamped time can be said"


@pytest.mark.parametrize("zone", ["Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura", "UTC"])
@pytest.mark.parametrize(
    "text",
    [
        "2026-12-31T16:59:59.999Z",  # a millisecond before midnight in WIB (UTC+7)
        "2026-12-31T17:00:00.000Z",
        "2026-12-31T15:59:59.999Z",  # WITA (UTC+8)
        "2026-12-31T14:59:59.999Z",  # WIT (UTC+9)
        "2026-12-31T23:59:59.999Z",  # UTC
        "2028-02-29T00:00:00.000Z",
        "2038-01-19T03:14:08.000Z",
    ],
)
def test_the_machines_zone_changes_no_time(monkeypatch: pytest.MonkeyPatch, zone: str, text: str) -> None:
    """Times are UTC on the wire and on disk; a day begins somewhere only where it is displayed."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        at_ms = parse_iso_utc(text)
        assert iso_utc(at_ms) == text
        monkeypatch.setattr(time, "time_ns", lambda: at_ms * 1_000_000)
        assert stamp(SystemClock()).wall_ms == at_ms
        local = text.replace("Z", "+00:00")
        assert parse_iso_utc(local) == at_ms
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


@pytest.mark.parametrize(
    ("error_us", "ms"), [(0, 1), (1, 1), (1000, 1), (1001, 2), (2001, 4), (50_000, 64), (64_000, 64), (999_999, 1024)]
)
def test_the_bound_of_error_is_coarse_and_never_too_small(error_us: int, ms: int) -> None:
    assert coarse_ms(error_us) == ms
    assert ms * 1000 >= error_us
