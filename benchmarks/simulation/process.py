"""A simulated process: what runs in one of its lives, how a crash ends it, and what it does every so often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.simulation.world import Client, CrashError, World
from telemetry.errors import NeighbourDownError


class Process(Client):
    """Base of both sides; ``dead_for_ms`` is how long at most a crash keeps it down."""

    world: World
    alive: bool
    life: int
    dead_for_ms: int

    def start(self) -> None:
        raise NotImplementedError

    def die(self, why: str) -> None:
        raise NotImplementedError

    def guard(self, life: int, what: Callable[[], Any]) -> None:
        """Run something of this life; a crash in it ends the process."""
        if not self.alive or life != self.life:
            return
        try:
            what()
        except CrashError as crash:
            self.die(str(crash))
            down_ms = self.world.rng.randrange(100, self.dead_for_ms)
            self.world.at(down_ms, lambda: None if self.alive else self.start())
        except NeighbourDownError:
            return  # the shell would log it once and go on

    def every(self, ms: int, life: int, what: Callable[[], Any]) -> None:
        def again() -> None:
            self.guard(life, what)
            if self.alive and life == self.life:
                self.world.at(ms * self.world.calm, again)

        self.world.at(ms, again)
