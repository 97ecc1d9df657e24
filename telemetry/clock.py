"""The one place that reads clocks. Everything else takes times as arguments.

A ``Clock`` gives the wall time, the boot id, CLOCK_BOOTTIME and the sync state. ``SystemClock`` reads the
machine; ``VirtualClock`` runs ``t0 + (monotonic - m0) x speed`` with the same numbers in all processes of a
demo (CLOCK_MONOTONIC is one for the whole machine). Network, serial and BLE timers stay real.

The environment variable ``SMILE_IOT_CLOCK`` chooses the virtual one:
``t0_ms:m0_ns:speed[:synced|unsynced[:until_ms:then_speed]][;steps=at_ms:delta_ms[:synced|unsynced],...]``.
A step is a fault of the wall clock that a plan asks for (docs/decisions/0015): from the true virtual time ``at_ms`` on
the wall clock is ``delta_ms`` further than before, and claims what is written there; boot time runs on.
"""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, runtime_checkable

from telemetry.errors import ConfigError
from telemetry.limits import MAX_MS
from telemetry.readings import Stamp, Sync

ENVIRONMENT_KEY = "SMILE_IOT_CLOCK"
_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
# adjtimex(2): STA_UNSYNC, TIME_ERROR.
_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
# devices.md 7: an anchor needs STA_UNSYNC clear and maxerror < 1 s.
_MAX_ERROR_SYNCED_US = 1_000_000
# The process may be stopped between reading one clock and the other: then they are read again.
_APART_NS = 1_000_000
_TRIES = 3
# The virtual machine has run for 30 days when its plan begins: its processes start a little before that.
_BOOTED_BEFORE_NS = 30 * 86_400 * 1_000_000_000
# This software is younger: a clock that says less is wrong, whatever it claims (2026-01-01).
_EARLIEST_MS = 1_767_225_600_000


class Clock(Protocol):
    """What a process may ask of time."""

    def now_ms(self) -> int: ...

    def boot_id(self) -> str: ...

    def boottime_ns(self) -> int: ...

    def sync(self) -> tuple[Sync, int | None]:
        """(state, max error in ms or None)."""
        ...

    def real_seconds(self, virtual_s: float) -> float:
        """How long to really wait for this many seconds of this clock."""
        ...


@runtime_checkable
class PairedClock(Protocol):
    """A clock that can say wall and boot time of one instant."""

    def moment(self) -> tuple[int, int]:
        """(wall ms, boot time ns)."""
        ...


def moment(clock: Clock) -> tuple[int, int]:
    """Wall ms and boot time ns of one instant, as well as the clock can."""
    return clock.moment() if isinstance(clock, PairedClock) else (clock.now_ms(), clock.boottime_ns())


def stamp(clock: Clock) -> Stamp:
    """Stamp the present instant; boot time is whole milliseconds.

    The claim of sync is read last: a step between the two is then never believed.
    """
    wall_ms, boottime_ns = moment(clock)
    state, max_error_ms = clock.sync()
    return Stamp(clock.boot_id(), boottime_ns // 1_000_000 * 1_000_000, wall_ms, state, max_error_ms)


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2) as far as we read it, padded to its full size."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def coarse_ms(error_us: int) -> int:
    """The bound in ms, rounded up to 1, 2, 4, 8 ...: the kernel's grows by half a ms a second until the clock is set
    again, and a bound that is another for every reading would be sent with every reading.
    """
    return 1 << max(0, -(-error_us // 1000) - 1).bit_length()


def kernel_sync() -> tuple[Sync, int | None]:
    """The kernel's own word on its clock (adjtimex with modes=0 changes nothing; about 1 us)."""
    timex = _Timex()
    libc = ctypes.CDLL(None, use_errno=True)
    state = libc.adjtimex(ctypes.byref(timex))
    if state in (-1, _TIME_ERROR) or timex.status & _STA_UNSYNC or timex.maxerror >= _MAX_ERROR_SYNCED_US:
        return Sync.UNSYNCED, None
    return Sync.SYNCED, coarse_ms(timex.maxerror)


@cache
def _boot_id() -> str:
    return _BOOT_ID_FILE.read_text().strip()


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clocks as they are."""

    def now_ms(self) -> int:
        """Within what the contract can say: a clock before 1970 or beyond 2248 is wrong and unsynced anyway."""
        return min(max(0, time.time_ns() // 1_000_000), MAX_MS)

    def boot_id(self) -> str:
        return _boot_id()

    def boottime_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def moment(self) -> tuple[int, int]:
        for _ in range(_TRIES):
            before_ns, wall_ms, boottime_ns = self.boottime_ns(), self.now_ms(), self.boottime_ns()
            if boottime_ns - before_ns <= _APART_NS:
                break
        return wall_ms, boottime_ns

    def sync(self) -> tuple[Sync, int | None]:
        """The kernel's claim, which is not believed of a time that cannot be."""
        return kernel_sync() if _EARLIEST_MS <= self.now_ms() < MAX_MS else (Sync.UNSYNCED, None)

    def real_seconds(self, virtual_s: float) -> float:
        return virtual_s


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """At true time ``at_ms`` the wall clock jumps by ``delta_ms`` and claims ``sync`` from then on (None: as before)."""

    at_ms: int
    delta_ms: int
    sync: Sync | None = None

    def to_text(self) -> str:
        text = f"{self.at_ms}:{self.delta_ms}"
        return text if self.sync is None else f"{text}:{self.sync}"


def _since_boot_ns(elapsed_ns: int) -> int:
    return max(0, _BOOTED_BEFORE_NS + elapsed_ns)


@dataclass(frozen=True, slots=True)
class VirtualClock:
    """``t0_ms + (monotonic - m0_ns) x speed``; from virtual time ``until_ms`` on it runs at ``then_speed``.

    Boot time runs with it and began ``_BOOTED_BEFORE_NS`` earlier, so that it runs evenly also for a process that starts
    before ``m0_ns``. The sync state and the steps of the wall clock are planned.
    """

    t0_ms: int
    m0_ns: int
    speed: float
    planned_sync: Sync = Sync.SYNCED
    until_ms: int | None = None
    then_speed: float = 1.0
    steps: tuple[PlannedStep, ...] = ()

    def _elapsed_ns(self) -> int:
        real_ns = time.monotonic_ns() - self.m0_ns
        elapsed_ns = int(real_ns * self.speed)
        if self.until_ms is None:
            return elapsed_ns
        until_ns = (self.until_ms - self.t0_ms) * 1_000_000
        if elapsed_ns <= until_ns:
            return elapsed_ns
        return until_ns + int((real_ns - until_ns / self.speed) * self.then_speed)

    def true_ms(self) -> int:
        """The virtual time without the steps: what the simulator knows to be true."""
        return self.t0_ms + self._elapsed_ns() // 1_000_000

    def _wall_ms(self, true_ms: int) -> int:
        return min(max(0, true_ms + sum(s.delta_ms for s in self.steps if s.at_ms <= true_ms)), MAX_MS)

    def now_ms(self) -> int:
        return self._wall_ms(self.true_ms())

    def moment(self) -> tuple[int, int]:
        elapsed_ns = self._elapsed_ns()
        return self._wall_ms(self.t0_ms + elapsed_ns // 1_000_000), _since_boot_ns(elapsed_ns)

    def booted_ms(self) -> int:
        """The true virtual time at which this machine was booted."""
        return self.t0_ms - _BOOTED_BEFORE_NS // 1_000_000

    def boot_id(self) -> str:
        return _boot_id()

    def boottime_ns(self) -> int:
        return _since_boot_ns(self._elapsed_ns())

    def sync(self) -> tuple[Sync, int | None]:
        true_ms = self.true_ms()
        claims = [self.planned_sync, *(s.sync for s in self.steps if s.at_ms <= true_ms and s.sync is not None)]
        return (Sync.SYNCED, 50) if claims[-1] is Sync.SYNCED else (Sync.UNSYNCED, None)

    def real_seconds(self, virtual_s: float) -> float:
        past = self.until_ms is not None and self.true_ms() >= self.until_ms
        return virtual_s / (self.then_speed if past else self.speed)

    def to_environment(self) -> str:
        text = f"{self.t0_ms}:{self.m0_ns}:{self.speed}:{self.planned_sync}"
        if self.until_ms is not None:
            text += f":{self.until_ms}:{self.then_speed}"
        return f"{text};steps={','.join(s.to_text() for s in self.steps)}" if self.steps else text


def clock_from_environment(value: str | None = None) -> Clock:
    """The clock that ``SMILE_IOT_CLOCK`` (or ``value``) names; the machine's own when it is not set."""
    text = os.environ.get(ENVIRONMENT_KEY, "") if value is None else value
    if not text:
        return SystemClock()
    main, _, more = text.partition(";")
    parts = main.split(":")
    try:
        planned = Sync(parts[3]) if len(parts) > 3 else Sync.SYNCED
        until_ms = int(parts[4]) if len(parts) > 4 else None
        then_speed = float(parts[5]) if len(parts) > 5 else 1.0
        steps = _steps(more)
        return VirtualClock(int(parts[0]), int(parts[1]), float(parts[2]), planned, until_ms, then_speed, steps)
    except (ValueError, IndexError) as error:
        form = "t0_ms:m0_ns:speed[:sync[:until_ms:then_speed]][;steps=at_ms:delta_ms[:sync],...]"
        raise ConfigError(ENVIRONMENT_KEY, f"{text!r} is not {form}") from error


def _steps(text: str) -> tuple[PlannedStep, ...]:
    """``steps=at_ms:delta_ms[:sync],...``, or nothing; raises ValueError or IndexError."""
    if not text:
        return ()
    if not text.startswith("steps="):
        raise ValueError(text)
    parts = [step.split(":") for step in text.removeprefix("steps=").split(",")]
    return tuple(PlannedStep(int(p[0]), int(p[1]), Sync(p[2]) if len(p) > 2 else None) for p in parts)
