"""Virtual time: t0 + (CLOCK_MONOTONIC - m0) x speed, the same numbers for all processes of a run.

Only this module reads a clock. Everything else is told the virtual second (``at_s``, counted from t0).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VirtualClock:
    """``t0_ms`` is the Unix time of virtual second 0; ``m0_ns`` the CLOCK_MONOTONIC reading then; ``speed`` >=
    0.001."""

    t0_ms: int
    m0_ns: int
    speed: float

    def at_s(self, monotonic_ns: int) -> float:
        """Virtual seconds since t0 at this CLOCK_MONOTONIC reading (negative before m0)."""
        return (monotonic_ns - self.m0_ns) * self.speed / 1e9

    def unix_ms(self, at_s: float) -> int:
        """Unix milliseconds of a virtual second."""
        return self.t0_ms + round(at_s * 1000)

    def now_s(self) -> float:
        """Virtual seconds since t0, now."""
        return self.at_s(time.monotonic_ns())

    def now_ms(self) -> int:
        """Virtual Unix time now, ms."""
        return self.unix_ms(self.now_s())

    async def until(self, at_s: float) -> None:
        """Sleep until the virtual second has come; returns at once if it has passed."""
        if (wait_s := (at_s - self.now_s()) / self.speed) > 0:
            await asyncio.sleep(wait_s)
