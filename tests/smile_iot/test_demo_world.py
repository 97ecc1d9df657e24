"""The demo's processes live on one clock, from the set-up on: nothing of its story is dated by the machine's own."""

from __future__ import annotations

from pathlib import Path

from smile_iot.demo.scenario import whole_site
from smile_iot.demo.site_file import SITE
from smile_iot.demo.world import World
from telemetry.clock import ENVIRONMENT_KEY, clock_from_environment

T0_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


def now_of(world: World) -> int:
    """What a program that is started now takes for the time."""
    return clock_from_environment(world.python("some", "module").environment[ENVIRONMENT_KEY]).now_ms()


def test_the_site_is_set_up_on_the_day_before_the_story_and_the_story_begins_when_time_is_set(tmp_path: Path) -> None:
    world = World(tmp_path, whole_site(1, 450.0, T0_MS, kills=False), SITE)
    assert T0_MS - 24 * HOUR_MS <= now_of(world) < T0_MS - 12 * HOUR_MS
    world.set_time(in_s=3600.0)
    assert world.clock.now_ms() < T0_MS
    assert now_of(world) >= T0_MS - 3600 * 450 * 1000
