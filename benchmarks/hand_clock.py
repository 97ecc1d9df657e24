"""A clock that who asks sets: for tests and benchmarks, which let no time pass by itself."""

from __future__ import annotations

from dataclasses import dataclass

from telemetry.readings import Sync


@dataclass
class HandClock:
    """``telemetry.clock.Clock`` by hand. ``go`` lets both clocks run on."""

    wall_ms: int = 1_800_000_000_000
    boot_ns: int = 5_000_000_000
    state: Sync = Sync.SYNCED
    boot: str = "boot-1"

    def now_ms(self) -> int:
        return self.wall_ms

    def boot_id(self) -> str:
        return self.boot

    def boottime_ns(self) -> int:
        return self.boot_ns

    def sync(self) -> tuple[Sync, int | None]:
        return (self.state, 20) if self.state is Sync.SYNCED else (self.state, None)

    def real_seconds(self, virtual_s: float) -> float:
        return virtual_s

    def go(self, seconds: float) -> None:
        self.wall_ms += int(seconds * 1000)
        self.boot_ns += int(seconds * 1e9)
