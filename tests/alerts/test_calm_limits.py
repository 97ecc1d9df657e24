"""A batch whose places are fine is judged rarely; a limit that somebody set inside the range is not waited out."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from alerts.config import Config
from alerts.profiles import table_of
from alerts.rulebook import rules_of
from gateway.records import Actor, Role

HOUR = 3_600_000
SARI = Actor("Sari", Role.MANAGER)


def test_a_heat_limit_inside_the_range_adds_up_over_two_refrigerators_when_it_is_due(world: Any, start: int) -> None:
    """HEAT > 7.0 for two hours, by a person: one hour at 7.5 in F1 and one in F2 is the batch's alarm at once."""
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 1, "5.0"))
    world.at(1)
    fridge = rules_of(Config()).catalogue["refrigerator"]
    heat = {"limit_c": Decimal("7.0"), "alarm_after_s": 7200}
    limits = tuple(replace(x, **heat) if x.code == "HEAT" else x for x in fridge.limits)
    body = table_of(replace(fridge, version="2027.1", limits=limits))
    world.records.put_profile("refrigerator", "2027.1", body, start + HOUR, SARI, "circular 12", world.clock.wall_ms)
    world.say(*world.temperatures(1.25, 2.25, "7.5"))
    world.at(2.25)
    world.records.move_batch("B1", "F2", start + int(2.25 * HOUR), SARI, "moved", world.clock.wall_ms)
    world.say(*world.temperatures(2.25, 3, "7.5", "LOG-B"))
    world.at(3)
    assert world.verdict("B1")[0] == "no_action"
    world.say(*world.temperatures(3.25, 3.5, "7.5", "LOG-B"))
    world.at(3.5)
    assert world.verdict("B1") == ("hold_and_inspect", ["heat_confirmed"])
