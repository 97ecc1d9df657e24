"""The one place that reads clocks. Everything else takes times as arguments.

A ``Clock`` gives the wall time, the boot id, CLOCK_BOOTTIME and the sync state. ``SystemClock`` reads the
machine; ``VirtualClock`` runs ``t0 + (monotonic - m0) x speed`` with the same numbers in all processes of a
demo (CLOCK_MONOTONIC is one for the whole machine). Network, serial and BLE timers stay real.

The environment variable ``SMILE_IOT_CLOCK`` chooses the virtual one:
``t0_ms:m0_ns:speed[:synced|unsynced[:until_ms:then_speed]]``.
"""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from telemetry.errors import ConfigError
from telemetry.readings import Stamp, Sync

ENVIRONMENT_KEY = "SMILE_IOT_CLOCK"
_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
# adjtimex(2): STA_UNSYNC, TIME_ERROR.
_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
# devices.md 7: an anchor needs STA_UNSYNC clear and maxerror < 1 s.
_MAX_ERROR_SYNCED_US = 1_000_000


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


def stamp(clock: Clock) -> Stamp:
    """Stamp the present instant."""
    state, max_error_ms = clock.sync()
    return Stamp(clock.boot_id(), clock.boottime_ns(), clock.now_ms(), state, max_error_ms)


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


def kernel_sync() -> tuple[Sync, int | None]:
    """The kernel's own word on its clock (adjtimex with modes=0 changes nothing; about 1 us)."""
    timex = _Timex()
    libc = ctypes.CDLL(None, use_errno=True)
    state = libc.adjtimex(ctypes.byref(timex))
    if state in (-1, _TIME_ERROR) or timex.status & _STA_UNSYNC or timex.maxerror >= _MAX_ERROR_SYNCED_US:
        return Sync.UNSYNCED, None
    return Sync.SYNCED, max(1, timex.maxerror // 1000)


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clocks as they are."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def boot_id(self) -> str:
        return _BOOT_ID_FILE.read_text().strip()

    def boottime_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def sync(self) -> tuple[Sync, int | None]:
        return kernel_sync()

    def real_seconds(self, virtual_s: float) -> float:
        return virtual_s


@dataclass(frozen=True, slots=True)
class VirtualClock:
    """``t0_ms + (monotonic - m0_ns) x speed``; from virtual time ``until_ms`` on it runs at ``then_speed``.

    Boot time runs with it; the sync state is planned.
    """

    t0_ms: int
    m0_ns: int
    speed: float
    planned_sync: Sync = Sync.SYNCED
    until_ms: int | None = None
    then_speed: float = 1.0

    def _elapsed_ns(self) -> int:
        real_ns = time.monotonic_ns() - self.m0_ns
        elapsed_ns = int(real_ns * self.speed)
        if self.until_ms is None:
            return elapsed_ns
        until_ns = (self.until_ms - self.t0_ms) * 1_000_000
        if elapsed_ns <= until_ns:
            return elapsed_ns
        return until_ns + int((real_ns - until_ns / self.speed) * self.then_speed)

    def now_ms(self) -> int:
        return self.t0_ms + self._elapsed_ns() // 1_000_000

    def boot_id(self) -> str:
        return _BOOT_ID_FILE.read_text().strip()

    def boottime_ns(self) -> int:
        return max(0, self._elapsed_ns())

    def sync(self) -> tuple[Sync, int | None]:
        return (Sync.SYNCED, 50) if self.planned_sync is Sync.SYNCED else (Sync.UNSYNCED, None)

    def real_seconds(self, virtual_s: float) -> float:
        past = self.until_ms is not None and self.now_ms() >= self.until_ms
        return virtual_s / (self.then_speed if past else self.speed)

    def to_environment(self) -> str:
        text = f"{self.t0_ms}:{self.m0_ns}:{self.speed}:{self.planned_sync}"
        return text if self.until_ms is None else f"{text}:{self.until_ms}:{self.then_speed}"


def clock_from_environment(value: str | None = None) -> Clock:
    """The clock that ``SMILE_IOT_CLOCK`` (or ``value``) names; the machine's own when it is not set."""
    text = os.environ.get(ENVIRONMENT_KEY, "") if value is None else value
    if not text:
        return SystemClock()
    parts = text.split(":")
    try:
        planned = Sync(parts[3]) if len(parts) > 3 else Sync.SYNCED
        until_ms = int(parts[4]) if len(parts) > 4 else None
        then_speed = float(parts[5]) if len(parts) > 5 else 1.0
        return VirtualClock(int(parts[0]), int(parts[1]), float(parts[2]), planned, until_ms, then_speed)
    except (ValueError, IndexError) as error:
        raise ConfigError(
            ENVIRONMENT_KEY, f"{text!r} is not t0_ms:m0_ns:speed[:sync[:until_ms:then_speed]]"
        ) from error
