"""One performance: the world, the people, waiting, and what happens on the side while we wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.records import Records
from smile_iot.demo.person import Person
from smile_iot.demo.scenario import Kill
from smile_iot.demo.sink import ChatSink
from smile_iot.demo.smile_eyes import SmileEyes
from smile_iot.demo.world import World
from smile_iot.settings import Settings
from telemetry.clock import VirtualClock
from telemetry.contract import iso_utc

T = TypeVar("T")


class StepError(Exception):
    """A step did not happen."""


@dataclass(slots=True)
class Play:
    """What the steps share. ``kills`` are still to come, ``killed`` are done; ``tied``: weighing id -> bag code."""

    world: World
    say: Callable[[str], None]
    kills: list[Kill] = field(default_factory=list)
    killed: list[dict[str, Any]] = field(default_factory=list)
    passwords: dict[str, str] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    tied: dict[str, str] = field(default_factory=dict)
    settings: Settings = field(init=False)
    records: Records = field(init=False)
    eyes: SmileEyes = field(init=False)
    chat: ChatSink = field(init=False)
    operator: Person = field(init=False)
    manager: Person = field(init=False)
    super_admin: Person = field(init=False)

    @property
    def clock(self) -> VirtualClock:
        return self.world.clock

    def at_s(self) -> float:
        """Virtual seconds since t0."""
        return (self.clock.now_ms() - self.world.scenario.t0_ms) / 1000

    def wait_for(self, what: str, look: Callable[[], T | None], *, until_s: float = 0, patience_s: float = 45.0) -> T:
        """Poll ``look`` until it gives something; at most ``patience_s`` real seconds past virtual ``until_s``."""
        speed = self.world.scenario.speed
        deadline = time.monotonic() + max(0.0, until_s - self.at_s()) / speed + patience_s
        while True:
            found = look()
            if found:
                return found
            self.turn()
            if time.monotonic() > deadline:
                raise StepError(f"{what}: did not happen")
            time.sleep(0.1)

    def turn(self) -> None:
        """Look who is alive, and fire the shots that are due."""
        self.world.check_alive()
        while self.kills and self.kills[0].at_s <= self.at_s():
            kill = self.kills.pop(0)
            self.say(f"SIGKILL for {kill.program}, and a new start")
            self.world.kill_and_restart(kill.program)
            self.killed.append({"program": kill.program, "at": iso_utc(self.clock.now_ms()), "planned_s": kill.at_s})
