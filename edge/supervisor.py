"""Keeping a source or the uplink alive: one life after another, with backoff and jitter; outages logged once."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from telemetry.errors import NeighbourDownError

log = logging.getLogger(__name__)


class Outage:
    """The word about one neighbour: ``began`` and ``ended`` log only when it changes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.reason: str | None = "starting"
        self.count = 0

    def began(self, reason: str) -> None:
        if self.reason is None or self.reason == "starting":
            log.warning("%s is down: %s", self._name, reason)
            self.count += 1
        self.reason = reason

    def ended(self) -> None:
        if self.reason is not None:
            log.info("%s is up", self._name)
        self.reason = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits of ``low_s`` doubling to ``high_s``, each x 0.5 to 1.5; from ``low_s`` again after ``steady_s``."""

    low_s: float = 0.5
    high_s: float = 60.0
    steady_s: float = 30.0

    def wait_s(self, failures: int, rng: random.Random) -> float:
        return min(self.high_s, self.low_s * 2.0 ** min(failures, 16)) * rng.uniform(0.5, 1.5)


CANCEL_AGAIN_S = 3.0


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel these tasks and wait for their end; again every ``CANCEL_AGAIN_S`` until it worked.

    Once is not enough: ``asyncio.wait_for`` of Python 3.11 forgets a cancellation that comes in the moment in which
    its future is done (cpython issue 86296), and aiomqtt waits with it.
    """
    running: set[asyncio.Task[Any]] = set(tasks)
    while running:
        for task in running:
            task.cancel()
        done, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # looked at, so that asyncio does not call it forgotten


async def supervise(
    life: Callable[[], Awaitable[None]],
    outage: Outage,
    expected: tuple[type[Exception], ...],
    backoff: Backoff,
    rng: random.Random,
) -> None:
    """Run ``life`` for ever. ``expected`` errors are outages; any other is a fault of ours: logged in full, and the
    life is started again all the same, for one broken source must not stop the line.
    """
    failures = 0
    while True:
        started = asyncio.get_running_loop().time()
        try:
            await life()
            outage.began("ended by itself")
        except Exception as error:
            if isinstance(error, (*expected, NeighbourDownError)):
                outage.began(str(error) or type(error).__name__)
            else:
                log.exception("a fault in the agent's own code; starting this part again")
                outage.began("internal fault")
        if asyncio.get_running_loop().time() - started >= backoff.steady_s:
            failures = 0
        await asyncio.sleep(backoff.wait_s(failures, rng))
        failures += 1
