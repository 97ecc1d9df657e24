"""A clock that claims to be right and jumps all the same. The decision (docs/decisions/0015) is pure.

Wall time minus CLOCK_BOOTTIME is the same number for a whole boot: NTP's slewing moves both alike, and only a step
(``date -s``, chrony's makestep, a leap second, a rogue server) changes it. So each stamp is held against the boot's
*reference*, the difference when the clock was last believed:

    within the kernel's own error bound     believed; the reference goes along
    beyond it                               a step: told once as a fact, and stamps are undated from that instant on
    beyond it for ``CONFIRM_S`` on end      the new time is the kernel's considered word: a new reference, a new anchor
    back within the old bound               the step is taken back; that is told too

What is stamped between is dated later by an anchor of its boot, like everything undated, and the raw stamp is kept.
A step before the first claim of a boot is none: until then everything is undated anyway.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from telemetry.clock import Clock, moment, stamp
from telemetry.readings import Event, Stamp, Sync

CONFIRM_S = 60
CLOCK_STEPPED = "clock_stepped"
REFERENCE_HINT = "clock:reference"
# Between reading the one clock and the other (stamp() takes care that it is no more).
_JITTER_MS = 5
# A clock that jumps all the time is told of so often between two looks and no more.
_MOST_STEPS = 16


@dataclass(frozen=True, slots=True)
class Reference:
    """Wall minus boot time of one boot, ms, with the error that the kernel admitted."""

    boot_id: str
    offset_ms: int
    error_ms: int

    def agrees(self, other: Reference) -> bool:
        return abs(self.offset_ms - other.offset_ms) <= max(self.error_ms, other.error_ms) + _JITTER_MS

    def to_text(self) -> str:
        return f"{self.boot_id}|{self.offset_ms}|{self.error_ms}"


def reference_of(made: Stamp) -> Reference:
    return Reference(made.boot_id, made.wall_ms - made.boottime_ns // 1_000_000, made.max_error_ms or 0)


def load_reference(text: str | None) -> Reference | None:
    """What ``to_text`` made; None for nothing."""
    if not text:
        return None
    boot_id, offset_ms, error_ms = text.split("|")
    return Reference(boot_id, int(offset_ms), int(error_ms))


@dataclass(frozen=True, slots=True)
class Step:
    """The wall clock jumped: where it would have been, where it was."""

    from_ms: int
    to_ms: int

    @property
    def delta_ms(self) -> int:
        return self.to_ms - self.from_ms


class ClockGuard:
    """Judges one stamp after the other. ``steps`` are those not told yet; ``anew`` counts new references."""

    def __init__(self, reference: Reference | None = None) -> None:
        self._reference = reference
        self._doubted: Reference | None = None
        self._doubted_since_ns = 0
        self.steps: deque[Step] = deque(maxlen=_MOST_STEPS)
        self.anew = 0

    def judge(self, made: Stamp) -> Sync:
        """Whether this stamp's wall time may date a fact."""
        if self._doubted is not None and self._doubted.boot_id != made.boot_id:
            self._doubted = None
        if made.sync is not Sync.SYNCED:
            self._doubted_since_ns = made.boottime_ns
            return Sync.UNSYNCED
        now = reference_of(made)
        if self._reference is None or self._reference.boot_id != now.boot_id:
            self._reference = now
        elif not now.agrees(self._reference):
            return self._doubt(now, made)
        if self._doubted is not None:
            self._note(self._doubted, now, made)
            self._doubted = None
        self._reference = now
        return Sync.SYNCED

    def _doubt(self, now: Reference, made: Stamp) -> Sync:
        before = self._doubted or self._reference
        if before is not None and (self._doubted is None or not now.agrees(self._doubted)):
            self._note(before, now, made)
            self._doubted, self._doubted_since_ns = now, made.boottime_ns
        if made.boottime_ns - self._doubted_since_ns < CONFIRM_S * 1_000_000_000:
            return Sync.UNSYNCED
        self._reference, self._doubted = now, None
        self.anew += 1
        return Sync.SYNCED

    def _note(self, before: Reference, now: Reference, made: Stamp) -> None:
        self.steps.append(Step(made.wall_ms - now.offset_ms + before.offset_ms, made.wall_ms))


class GuardedClock:
    """A ``Clock`` that claims to be synced only while it agrees with itself; everything else as the clock below."""

    def __init__(self, clock: Clock, guard: ClockGuard) -> None:
        self._clock = clock
        self._guard = guard

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def boot_id(self) -> str:
        return self._clock.boot_id()

    def boottime_ns(self) -> int:
        return self._clock.boottime_ns()

    def moment(self) -> tuple[int, int]:
        return moment(self._clock)

    def sync(self) -> tuple[Sync, int | None]:
        made = stamp(self._clock)
        judged = self._guard.judge(made)
        return judged, made.max_error_ms if judged is Sync.SYNCED else None

    def real_seconds(self, virtual_s: float) -> float:
        return self._clock.real_seconds(virtual_s)


def stepped(edge: str, step: Step, made: Stamp) -> Event:
    """The fact that the clock of ``edge`` stepped. Undated while the new time is doubted."""
    detail: dict[str, str | int | None] = {
        "from_ms": step.from_ms,
        "to_ms": step.to_ms,
        "delta_ms": step.delta_ms,
        "boot_id": made.boot_id,
        "boottime_ns": made.boottime_ns,
    }
    at_ms = made.wall_ms if made.sync is Sync.SYNCED else None
    return Event(CLOCK_STEPPED, edge, at_ms, made, detail)
