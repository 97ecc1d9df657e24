"""A scale that sends ST/US/OL lines unasked, on a pseudo-terminal."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from pathlib import Path

from firmware_sim.ascii_scale import Status, encode_line
from firmware_sim.clock import VirtualClock
from firmware_sim.plan import Scale
from firmware_sim.produced import Ledger
from firmware_sim.pty_port import PtyPort
from firmware_sim.scale import Indication, Load, Platform
from firmware_sim.wire import Wire


def platform_of(plan: Scale, seed: int, loads: Iterable[Load]) -> Platform:
    """The platform of a planned scale: real settling and standing times become numbers of frames (at least two
    each)."""
    return Platform(
        plan.serial,
        plan.capacity_kg,
        plan.e_kg,
        seed,
        loads,
        settle_frames=max(2, math.ceil(plan.settle_s * plan.rate_hz)),
        min_stable=max(2, math.ceil(plan.stable_s * plan.rate_hz)),
    )


async def frames(rate_hz: float) -> None:
    """Wait for the next frame; real time."""
    await asyncio.sleep(1 / rate_hz)


class AsciiScale:
    """One scale of kind ``scale_ascii``."""

    def __init__(
        self, plan: Scale, platform: Platform, wire: Wire, clock: VirtualClock, ledger: Ledger, link: Path
    ) -> None:
        self.platform = platform
        self.port = PtyPort(link, plan.baud)
        self.wire = wire
        self._plan = plan
        self._clock = clock
        self._ledger = ledger

    async def run(self) -> None:
        """A line ``rate_hz`` times a second, for ever."""
        while True:
            now_s = self._clock.now_s()
            shown = self.platform.tick(now_s, heard=self.port.plugged and not self.wire.silent(now_s))
            if shown.load is not None and shown.came_to_rest and not shown.overload:
                self._note(shown, shown.load)
            frame = encode_line(self._plan.format, status_of(shown), shown.gross_kg)
            await asyncio.gather(self.port.send(self.wire.carry(frame, now_s)), frames(self._plan.rate_hz))

    def _note(self, shown: Indication, load: Load) -> None:
        t_ms = self._clock.unix_ms(load.at_s)
        zero = shown.gross_kg - shown.gross_kg
        self._ledger.weighing(self._plan.serial, t_ms, self._clock.now_ms(), shown.gross_kg, zero, load.bag)


def status_of(shown: Indication) -> Status:
    """The status word of an indication."""
    if shown.overload:
        return Status.OVERLOAD
    return Status.STABLE if shown.stable else Status.UNSTABLE
