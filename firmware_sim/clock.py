"""Virtual time: t0 + (CLOCK_MONOTONIC - m0) x speed, the same numbers for all processes of a run.

Only this module reads a clock. Everything else is told the virtual second (``at_s``, counted from t0).
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VirtualClock:
    """``t0_ms`` is the Unix time of virtual second 0; ``m0_ns`` the CLOCK_MONOTONIC reading then; ``speed`` >=
    0.001. From virtual second ``until_s`` on it runs at ``then_speed`` (a site to look at after its story)."""

    t0_ms: int
    m0_ns: int
    speed: float
    until_s: float = math.inf
    then_speed: float = 1.0

    def at_s(self, monotonic_ns: int) -> float:
        """Virtual seconds since t0 at this CLOCK_MONOTONIC reading (negative before m0)."""
        real_s = (monotonic_ns - self.m0_ns) / 1e9
        if real_s * self.speed <= self.until_s:
            return real_s * self.speed
        return self.until_s + (real_s - self.until_s / self.speed) * self.then_speed

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
        while (virtual_s := at_s - self.now_s()) > 0:
            if at_s <= self.until_s:
                await asyncio.sleep(virtual_s / self.speed)
                return
            here_s = max(0.0, self.until_s - self.now_s())
            await asyncio.sleep(here_s / self.speed if here_s > 0 else virtual_s / self.then_speed)
