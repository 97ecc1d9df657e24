"""A batch whose places are fine is judged rarely; a limit that somebody set inside the range is not waited out."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from alerts.config import Config
from alerts.profiles import table_of
from alerts.rulebook import rules_of
from alerts.rules import Mode
from gateway.records import Actor, Equipment, Role

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
    world.say(*world.temperatures(3.25, 3.25, "7.5", "LOG-B"))  # exactly two hours
    world.at(3.25)
    assert world.verdict("B1")[0] == "no_action"  # a reading of this very instant is not past yet
    world.clock.wall_ms += 1
    world.turn()
    assert world.verdict("B1") == ("hold_and_inspect", ["heat_confirmed"])


def test_a_reading_of_a_clock_that_runs_ahead_counts_as_soon_as_ours_has_come_to_it(world: Any, start: int) -> None:
    """Requirement 10 takes readings up to five minutes ahead: the alarm waits for its time, not for the next reading."""
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 9.75, "9.0"))
    world.at(9.8)
    world.say(*world.temperatures(10, 10, "9.0"))
    world.at(9.95)
    assert world.verdict("B1")[0] == "no_action"
    world.at(10.001)
    assert world.verdict("B1") == ("hold_and_inspect", ["heat_confirmed"])


def test_a_sum_that_the_last_hold_reached_is_told_at_the_next_reading_though_that_one_is_fine(
    world: Any, start: int
) -> None:
    """A profile whose only limit adds up: exactly two hours above 8, half in F1 and half in F2, then 5.0 (requirement 26)."""
    world.batch("B1")
    world.alerts.start()
    fridge = rules_of(Config()).catalogue["refrigerator"]
    total = replace(fridge.limits[2], alarm_after_s=7200, mode=Mode.CUMULATIVE)
    body = table_of(replace(fridge, version="2027.1", limits=(total,)))
    world.records.put_profile("refrigerator", "2027.1", body, start, SARI, "circular 12", world.clock.wall_ms)
    world.say(*world.temperatures(0, 1, "9.0"), *world.temperatures(1.25, 3, "5.0"))
    world.at(1.1)
    world.records.move_batch("B1", "F2", start + HOUR, SARI, "moved", world.clock.wall_ms)
    world.say(*world.temperatures(1, 1.75, "9.0", "LOG-B"))
    world.at(1.9)
    assert world.verdict("B1")[0] == "no_action"
    world.say(*world.temperatures(2, 2, "5.0", "LOG-B"))
    world.at(2.01)
    assert world.verdict("B1") == ("hold_and_inspect", ["heat_confirmed"])


def test_req_29_a_limit_of_its_shipment_type_inside_its_range_is_judged_when_it_is_due(
    world: Any, start: int
) -> None:
    """transport_1 by a person: an alarm after two hours in all at 7.0 or more. In the box it is 7.5: in range, and too warm."""
    shipment = rules_of(Config()).catalogue["transport_1"]
    total = replace(shipment.limits[1], limit_c=Decimal("7.0"), alarm_after_s=7200)
    body = table_of(replace(shipment, version="2027.1", limits=(total,), ignore_first_s=0))
    world.records.keep_profile("transport_1", shipment.version, table_of(shipment), world.clock.wall_ms)
    world.records.put_profile("transport_1", "2027.1", body, start, SARI, "circular 12", world.clock.wall_ms)
    box = Equipment("BOX", "S1", "Kotak 1", "cold_box", "cold_box")
    world.records.upsert_equipment(box, SARI, "", world.clock.wall_ms)
    world.device("LOG-X", "BOX")
    world.batch("B1", equipment="BOX")
    world.alerts.start()
    world.say(*world.temperatures(0, 1, "5.0", "LOG-X"))
    world.at(1.1)
    for hour in (2, 3):
        world.say(*world.temperatures(hour - 0.75, hour, "7.5", "LOG-X"))
        world.at(hour + 0.1)
    assert world.verdict("B1") == ("no_action", [])
    world.say(*world.temperatures(3.25, 3.5, "7.5", "LOG-X"))
    world.at(3.6)
    assert world.found("HEAT", "BOX") == []
    assert world.verdict("B1") == ("hold_and_inspect", ["heat_confirmed"])
