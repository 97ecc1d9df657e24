"""A weighing platform: loads that come, settle, stand and go. Pure: told the virtual time once per frame.

What a load reads while it settles depends on the number of frames since it came and not on time, so that at any
speed of virtual time a reader sees it move first (US) and then stand (ST). Nothing is removed before it stood for
``min_stable`` frames.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

OVERLOAD_INTERVALS = 9  # OIML R 76-1, 3.9... indication ends at Max + 9 e
ZERO_FRAMES_BETWEEN_LOADS = 4


@dataclass(frozen=True, slots=True)
class Load:
    """Something put on the scale at ``at_s`` for ``hold_s`` virtual seconds. ``mass_kg`` is the gross mass;
    ``tare_kg`` of it is the container that the operator has tared before."""

    at_s: float
    mass_kg: Decimal
    hold_s: float = 600.0
    bag: str | None = None
    tare_kg: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Indication:
    """What the platform shows at one frame. ``came_to_rest`` is true in the first stable frame of a load."""

    gross_kg: Decimal
    stable: bool
    overload: bool
    load: Load | None
    came_to_rest: bool = False


def to_interval(mass_kg: Decimal, e_kg: Decimal) -> Decimal:
    """Rounded to the verification interval, with its decimals."""
    return ((mass_kg / e_kg).to_integral_value(ROUND_HALF_EVEN) * e_kg).quantize(e_kg)


class Platform:
    """``tick`` once per frame; the loads of the plan and those a person adds wait in one queue."""

    def __init__(
        self,
        serial: str,
        capacity_kg: Decimal,
        e_kg: Decimal,
        seed: int,
        loads: Iterable[Load],
        settle_frames: int = 3,
        min_stable: int = 8,
    ) -> None:
        self.e_kg = e_kg
        self.capacity_kg = capacity_kg
        self._serial = serial
        self._seed = seed
        self._queue = sorted(loads, key=lambda load: load.at_s)
        self._settle_frames = settle_frames
        self._min_stable = min_stable
        self._load: Load | None = None
        self._placed_s = 0.0
        self._count = 0
        self._frames = settle_frames + ZERO_FRAMES_BETWEEN_LOADS  # since the last change: an empty scale at rest
        self._heard = 0
        self._from_kg = Decimal(0)

    @property
    def load(self) -> Load | None:
        """What stands on it."""
        return self._load

    def add(self, load: Load) -> None:
        """A load from the control socket."""
        self._queue.append(load)
        self._queue.sort(key=lambda waiting: waiting.at_s)

    def unload(self) -> None:
        """Take the load away now."""
        if self._load is not None:
            self._change(None)

    def waiting(self) -> int:
        """Loads that have not come yet."""
        return len(self._queue)

    def tick(self, at_s: float, heard: bool = True) -> Indication:
        """The next frame. ``heard`` is false while the cable is out: such frames do not count as having stood."""
        self._move_loads(at_s)
        frame, self._frames = self._frames, self._frames + 1
        stable = frame >= self._settle_frames
        if stable and heard:
            self._heard += 1
        target_kg = self._load.mass_kg if self._load is not None else Decimal(0)
        shown_kg = target_kg if stable else self._moving(frame, target_kg)
        return Indication(
            gross_kg=to_interval(shown_kg, self.e_kg),
            stable=stable,
            overload=shown_kg > self.capacity_kg + OVERLOAD_INTERVALS * self.e_kg,
            load=self._load,
            came_to_rest=self._load is not None and frame == self._settle_frames,
        )

    def _move_loads(self, at_s: float) -> None:
        if self._load is not None:
            if at_s >= self._placed_s + self._load.hold_s and self._heard >= self._min_stable:
                self._change(None)
        elif self._queue and self._queue[0].at_s <= at_s and self._heard >= ZERO_FRAMES_BETWEEN_LOADS:
            self._change(self._queue.pop(0))
            self._placed_s = at_s

    def _change(self, load: Load | None) -> None:
        self._from_kg = self._load.mass_kg if self._load is not None else Decimal(0)
        self._load = load
        self._count += 1
        self._frames = self._heard = 0

    def _moving(self, frame: int, target_kg: Decimal) -> Decimal:
        """Four fifths of the way at the first frame, then closer, with a shake of some intervals."""
        chance = random.Random(f"{self._seed}/{self._serial}/{self._count}/{frame}")
        left = math.exp(-1.6 * (frame + 1))
        shake = self.e_kg * round(chance.uniform(1.5, 4.0) * chance.choice((-1, 1)))
        moving_kg = target_kg + (self._from_kg - target_kg) * Decimal(repr(left)) + shake
        return max(moving_kg, Decimal(0))
