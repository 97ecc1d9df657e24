"""Batches through the service: exposure over placements, verdicts, and who asks a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.records import Actor, FindingKind, Role, VerdictState

MIN = 60_000
HOUR = 60 * MIN
SARI = Actor("Sari", Role.MANAGER)
HEPB, BOPV, BCG = "93005477", "93004968", "93005208"


def move(world: Any, batch: str, equipment: str, hour: float, start: int) -> None:
    at_ms = start + int(hour * HOUR)
    world.records.move_batch(batch, equipment, at_ms, SARI, "moved", world.clock.wall_ms)


def heat_alarms(world: Any) -> list[tuple[str, str | None, str | None, str]]:
    return [a for a in world.alarms() if a[0] == "HEAT"]


def two_fridges(world: Any) -> None:
    """cold-chain 6, 26: A is hot for six hours, then B is."""
    world.say(*world.temperatures(0, 5.75, "9.0"), *world.temperatures(6, 13, "5.0"))
    world.say(*world.temperatures(0, 5.75, "5.0", "LOG-B"), *world.temperatures(6, 11.75, "9.0", "LOG-B"))
    world.say(*world.temperatures(12, 13, "5.0", "LOG-B"))


def test_req_26_a_moved_batch_has_an_alarm_of_its_own(world: Any, start: int) -> None:
    world.batch("B1")
    world.alerts.start()
    two_fridges(world)
    world.clock.wall_ms = start + 13 * HOUR
    move(world, "B1", "F2", 6, start)
    world.at(13)
    (heat,) = world.found("HEAT", equipment=None, batch="B1")
    assert (heat.equipment, heat.episode_start_ms, heat.event_ms) == (None, start, start + 10 * HOUR)
    assert heat_alarms(world) == [("HEAT", None, "B1", "open")]
    assert world.verdict("B1") == ("hold_and_inspect", ["heat_confirmed"])
    assert world.opened >= 2


def test_req_26_the_move_told_late_judges_anew(world: Any, start: int) -> None:
    world.batch("B1")
    world.alerts.start()
    two_fridges(world)
    world.at(13)
    assert heat_alarms(world) == []
    assert world.verdict("B1") == ("no_action", [])
    move(world, "B1", "F2", 6, start)
    world.at(13.1)
    assert heat_alarms(world) == [("HEAT", None, "B1", "open")]
    (heat,) = world.found("HEAT", equipment=None, batch="B1")
    assert (heat.event_ms, heat.detected_ms) == (start + 10 * HOUR, world.clock.wall_ms)
    assert world.verdict("B1") == ("hold_and_inspect", ["heat_confirmed"])


def test_a_heat_of_the_refrigerator_asks_once_not_once_per_batch(world: Any) -> None:
    world.batch("B1")
    world.batch("B2")
    world.alerts.start()
    for t in world.temperatures(0, 10.5, "8.5"):
        world.say(t)
    world.at(10.5)
    assert heat_alarms(world) == [("HEAT", "F1", None, "open")]
    for batch in ("B1", "B2"):
        (heat,) = world.found("HEAT", equipment=None, batch=batch)
        assert not heat.alarms
        assert world.verdict(batch) == ("hold_and_inspect", ["heat_confirmed"])


def test_when_the_refrigerators_alarm_falls_the_batchs_own_asks(world: Any, start: int) -> None:
    """It had been warm elsewhere before: late data clear refrigerator B and not the batch."""
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 5.75, "9.0"), *world.temperatures(6, 17, "5.0"))
    world.say(*world.temperatures(0, 10, "9.0", "LOG-B"))
    world.clock.wall_ms = start + 17 * HOUR
    move(world, "B1", "F2", 6, start)
    world.at(17)
    (heat,) = world.found("HEAT", equipment=None, batch="B1")
    assert not heat.alarms  # refrigerator B's alarm asks, and it was due at 10:00 like the batch's
    world.say(world.reading(start + 3 * HOUR + 5 * MIN, "5.0", "LOG-B"))  # late: B was fine for a moment at 03:05
    world.at(17.1)
    assert [f.kind for f in world.found("HEAT", "F2")] == [FindingKind.WITHDRAWN]
    (heat,) = world.found("HEAT", equipment=None, batch="B1")
    assert heat.alarms
    assert ("HEAT", None, "B1", "open") in world.alarms()


def test_a_batch_alarm_that_came_first_is_not_closed_by_the_refrigerators(world: Any, start: int) -> None:
    """A 6 h + B: the batch's 10 h are over at 10:00, refrigerator B's own at 16:00. The question of 10:00 stays."""
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 5.75, "9.0"), *world.temperatures(6, 16.5, "5.0"))
    world.say(*world.temperatures(0, 5.75, "5.0", "LOG-B"), *world.temperatures(6, 12, "9.0", "LOG-B"))
    world.clock.wall_ms = start + 12 * HOUR
    move(world, "B1", "F2", 6, start)
    world.at(12)
    assert heat_alarms(world) == [("HEAT", None, "B1", "open")]
    world.say(*world.temperatures(12.25, 16.5, "9.0", "LOG-B"))
    world.at(16.5)
    assert sorted(heat_alarms(world), key=str) == sorted(
        [("HEAT", None, "B1", "open"), ("HEAT", "F2", None, "open")], key=str
    )


def test_a_freeze_after_the_move_is_not_asked_by_the_refrigerator_it_left(world: Any, start: int) -> None:
    """The refrigerator still freezes and was answered; the batch froze once more elsewhere, after an unknown hour."""
    freezer = replace(world.records.equipment("F2"), kind="freezer", profile="freezer")
    world.records.upsert_equipment(freezer, SARI, "a freezer", world.clock.wall_ms)
    world.batch("HEP", HEPB)
    world.alerts.start()
    world.say(*world.temperatures(0, 1.25, "-1.0"))
    world.at(1.25)
    (asked,) = [a for a in world.records.alarms() if a.finding.code == "FRZE"]
    assert asked.finding.equipment == "F1"
    world.records.acknowledge(asked.id, SARI, "moved it", world.clock.wall_ms)
    world.say(*world.temperatures(1.5, 4, "-1.0"))
    world.clock.wall_ms = start + int(1.5 * HOUR)
    move(world, "HEP", "F2", 1.5, start)
    world.say(*world.temperatures(2.75, 4, "-20.0", "LOG-B"))
    world.at(4)
    first, second = world.found("FRZE", equipment=None, batch="HEP")
    assert (first.alarms, second.alarms) == (False, True)
    assert (second.kind, second.episode_start_ms) == (FindingKind.CONFIRMED, start + int(2.75 * HOUR))
    assert ("FRZE", None, "HEP", "open") in world.alarms()


def test_an_alarm_from_before_the_batch_came_asks_for_it_only_while_it_goes_on(world: Any, start: int) -> None:
    """The refrigerator was hot and answered for in the morning; the batch came at noon and lives through its own."""
    world.batch("B1", from_h=12)
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "9.0"), *world.temperatures(11.25, 12.5, "5.0"))
    world.at(12.5)
    assert heat_alarms(world) == [("HEAT", "F1", None, "open")]
    world.say(*world.temperatures(12.75, 24, "9.0"))
    world.at(24)
    (heat,) = world.found("HEAT", equipment=None, batch="B1")
    assert not heat.alarms  # the refrigerator's second alarm asks for it
    assert [f.event_ms for f in world.found("HEAT")] == [start + 10 * HOUR, start + int(22.75 * HOUR)]


def test_req_22_a_vvm_read_by_a_person_changes_the_verdict(world: Any) -> None:
    """cold-chain 6, 22: stage B: use first; stage C: discard proposed, whatever was there before."""
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 1, "5.0"))
    world.at(1)
    assert world.verdict("B1") == ("no_action", [])
    world.records.observe_vvm("B1", "B", SARI, "looked", world.clock.wall_ms)
    world.at(1.1)
    assert world.verdict("B1") == ("use_first", ["vvm_stage_b"])
    world.records.observe_vvm("B1", "C", SARI, "looked again", world.clock.wall_ms + 1)
    world.at(1.2)
    verdict, codes = world.verdict("B1")
    assert (verdict, codes[0]) == ("discard_proposed", "vvm_stage_c")
    assert [str(v.state) for v in world.records.verdict_history("B1")] == ["withdrawn", "withdrawn", "proposed"]


def test_req_22_the_model_can_add_a_hold(world: Any) -> None:
    """cold-chain 6, 22: the model says the VVM's life is over, nobody read stage C: hold and inspect."""
    world.batch("B1", BOPV)  # VVM2: 2 days at 37
    world.alerts.start()
    world.say(*world.temperatures(0, 60, "37.0"))
    world.at(60)
    verdict, codes = world.verdict("B1")
    assert verdict == "hold_and_inspect"
    assert set(codes) == {"heat_confirmed", "vvm_model_over"}


def test_req_23_freezing_by_product(world: Any) -> None:
    """cold-chain 6, 23: HepB: shake test; bOPV: no action; dry BCG: no action, hold the diluent."""
    for name, kfa in (("HEP", HEPB), ("OPV", BOPV), ("BCG", BCG)):
        world.batch(name, kfa)
    world.alerts.start()
    world.say(*world.temperatures(0, 1.25, "-1.0"))
    world.at(1.25)
    assert world.verdict("HEP") == ("shake_test", ["freeze_shake_test", "freeze_possible"])
    assert world.verdict("OPV")[0] == "no_action"
    assert world.verdict("BCG") == ("no_action", ["diluent_hold", "freeze_tolerant"])
    assert [a for a in world.alarms() if a[0] == "FRZE"] == [("FRZE", "F1", None, "open")]


def test_req_27_polio_vaccine_in_a_freezer_asks_nobody(world: Any) -> None:
    """cold-chain 6, 27: bOPV at -18 C is in range there; its own freeze finding must not alarm."""
    freezer = replace(world.records.equipment("F1"), kind="freezer", profile="freezer")
    world.records.upsert_equipment(freezer, SARI, "a freezer", world.clock.wall_ms)
    world.batch("OPV", BOPV)
    world.alerts.start()
    world.say(*world.temperatures(0, 3, "-18.0"))
    world.at(3)
    assert world.alarms() == []
    assert world.verdict("OPV")[0] == "no_action"


def test_hepatitis_b_vaccine_in_a_freezer_asks_at_once(world: Any) -> None:
    """cold-chain 6, 27: the freezer is well and silent; the batch is not."""
    freezer = replace(world.records.equipment("F1"), kind="freezer", profile="freezer")
    world.records.upsert_equipment(freezer, SARI, "a freezer", world.clock.wall_ms)
    world.batch("HEP", HEPB)
    world.alerts.start()
    world.say(*world.temperatures(0, 3, "-18.0"))
    world.at(3)
    assert [a for a in world.alarms() if a[0] == "FRZE"] == [("FRZE", None, "HEP", "open")]


def test_unknown_time_holds_the_batch_also_before_the_next_reading(world: Any) -> None:
    """A 1-minute logger dies: silent after 3 min; after 16 min the time is unknown and the batch is on hold."""
    world.device("LOG-A", "F1", interval_s=60)
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 1, "5.0", every_min=1))
    world.at(1)
    assert world.verdict("B1") == ("no_action", [])
    world.at(1 + 3 / 60)
    assert ("SILENT", "F1", None, "open") in world.alarms()
    assert world.verdict("B1") == ("no_action", [])
    world.at(1 + 16.1 / 60)
    assert world.verdict("B1") == ("hold_and_inspect", ["unknown_exposure"])


def test_the_same_after_a_restart_in_between(world: Any) -> None:
    world.device("LOG-A", "F1", interval_s=60)
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 1, "5.0", every_min=1))
    world.at(1 + 3 / 60)
    world.again()
    world.at(1 + 16.1 / 60)
    assert world.verdict("B1") == ("hold_and_inspect", ["unknown_exposure"])


def test_req_25_a_release_covers_what_was_known_and_not_the_next_gap(world: Any, start: int) -> None:
    """Released in spite of an unknown hour; a new unknown hour asks again, and once only."""
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 1, "5.0"), *world.temperatures(3, 4, "5.0"))
    world.at(4)
    assert world.verdict("B1") == ("hold_and_inspect", ["unknown_exposure"])
    world.records.decide("B1", "released", SARI, "thermometer was read", world.clock.wall_ms)
    world.say(*world.temperatures(4.25, 5, "5.0"))
    world.at(5)
    assert world.records.verdict("B1").state == VerdictState.DECIDED
    world.say(*world.temperatures(7, 8, "5.0"))
    world.at(8)
    history = world.records.verdict_history("B1")
    assert [str(v.state) for v in history][-2:] == ["decided", "proposed"]
    world.say(*world.temperatures(10, 11, "5.0"))
    world.at(11)
    assert len(world.records.verdict_history("B1")) == len(history)


def test_req_25_a_release_covers_an_excursion_up_to_then_and_not_what_goes_on(world: Any) -> None:
    """Released while it froze: proposed again at the next reading that freezes, once for each release."""
    world.batch("HEP", HEPB)
    world.alerts.start()

    def states() -> list[str]:
        return [str(v.state) for v in world.records.verdict_history("HEP")]

    world.say(*world.temperatures(0, 2, "-1.0"))
    world.at(2)
    before = states()
    world.records.decide("HEP", "released", SARI, "it looked well", world.clock.wall_ms)
    world.at(2.1)
    world.again()
    assert states() == [*before[:-1], "decided"]  # nothing new was read
    world.say(*world.temperatures(2.25, 2.25, "-1.0"))
    world.at(2.25)
    assert states() == [*before[:-1], "decided", "proposed"]
    verdict, codes = world.verdict("HEP")
    assert verdict == "shake_test"
    assert codes[-1] == "went_on_after_release"
    proposed = world.records.verdict("HEP")
    assert proposed.reasons[-1]["released_ms"] == world.records.decision("HEP").decided_ms
    world.say(*world.temperatures(2.5, 4, "-1.0"))
    world.at(4)
    world.again()
    assert states() == [*before[:-1], "decided", "proposed"]
    world.records.decide("HEP", "released", SARI, "shaken, passed", world.clock.wall_ms)
    world.say(*world.temperatures(4.25, 6, "5.0"))
    world.at(6)
    assert states() == [*before[:-1], "decided", "decided"]  # it is over: the second release stands


def test_req_25_each_release_is_answered_while_it_goes_on(world: Any) -> None:
    world.batch("HEP", HEPB)
    world.alerts.start()
    world.say(*world.temperatures(0, 2, "-1.0"))
    world.at(2)
    for hour in (2, 3, 4):
        world.records.decide("HEP", "released", SARI, "it looked well", world.clock.wall_ms)
        world.say(*world.temperatures(hour + 0.25, hour + 1, "-1.0"))
        world.at(hour + 1)
        assert world.records.verdict("HEP").state == VerdictState.PROPOSED
    states = [str(v.state) for v in world.records.verdict_history("HEP")]
    assert (states.count("decided"), states.count("proposed"), states[-1]) == (3, 1, "proposed")


def test_req_25_a_new_excursion_after_a_release_proposes_again(world: Any) -> None:
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "9.0"), *world.temperatures(11.25, 12, "5.0"))
    world.at(12)
    world.records.decide("B1", "released", SARI, "VVM at A", world.clock.wall_ms)
    world.say(*world.temperatures(12.25, 20, "9.0"))
    world.at(20)
    assert world.records.verdict("B1").state == VerdictState.DECIDED  # eight hours of it are no heat alarm yet
    world.say(*world.temperatures(20.25, 23, "9.0"))
    world.at(23)
    assert world.records.verdict("B1").state == VerdictState.PROPOSED


def test_a_discarded_batch_is_not_judged_again(world: Any, start: int) -> None:
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "9.0"))
    world.at(10)
    world.records.decide("B1", "discarded", SARI, "VVM at the discard point", world.clock.wall_ms)
    before = world.records.newest_change()
    world.records.end_placement("B1", start + 11 * HOUR, SARI, "into the waste", world.clock.wall_ms)
    world.say(*world.temperatures(10.25, 11, "12.0"))
    world.at(11)
    rows = [r for r in world.records.changes_after(before) if r.kind == "verdict" or r.new_value.get("batch") == "B1"]
    assert [r.kind for r in rows] == ["placement"]


def test_req_26_since_it_stands_nowhere_its_time_is_unknown(world: Any, start: int) -> None:
    """ "Unknown placement is unknown, not safe": taken out after a day, it is held at once, and so it is a month later."""
    world.batch("B1")
    world.batch("NEVER", equipment=None)
    world.alerts.start()
    world.say(*world.temperatures(0, 24, "5.0"))
    world.at(24)
    assert world.verdict("B1") == ("no_action", [])
    world.records.end_placement("B1", start + 24 * HOUR, SARI, "to the session", world.clock.wall_ms)
    world.turn()
    world.clock.wall_ms += 999
    world.turn()
    assert world.verdict("B1") == ("no_action", [])  # not one second of it has passed
    world.again()  # a kill forgets nothing of it
    world.clock.wall_ms += 1
    world.turn()
    assert world.verdict("B1") == ("hold_and_inspect", ["unknown_exposure"])
    assert world.records.verdict("NEVER") is None
    world.records.add_placement("B1", "F2", start + 24 * HOUR + 1000, SARI, "it is in F2", world.clock.wall_ms)
    world.say(*world.temperatures(24, 30 * 24, "5.0", "LOG-B"))
    world.at(30 * 24)
    (reason,) = world.records.verdict("B1").reasons
    assert (reason["code"], reason["unknown_s"]) == ("unknown_exposure", 1)


def test_req_25_a_release_of_a_batch_that_stands_nowhere_holds_until_it_is_placed_again(
    world: Any, start: int
) -> None:
    """Its unknown time grows by itself and asks nobody; a marked hour of before, or the gap behind a new place, does."""
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 4, "5.0"))
    world.at(4)
    world.records.end_placement("B1", start + 4 * HOUR, SARI, "to the session", world.clock.wall_ms)
    world.at(6)
    assert world.verdict("B1") == ("hold_and_inspect", ["unknown_exposure"])
    world.at(7)

    def released() -> int:
        world.records.decide("B1", "released", SARI, "it was in a passive box", world.clock.wall_ms)
        world.turn()
        return len(world.records.verdict_history("B1"))

    count = released()
    for hour in (8, 12, 30):
        world.at(hour)
        world.again()
        world.turn()
        assert world.records.verdict("B1").state == VerdictState.DECIDED
    assert len(world.records.verdict_history("B1")) == count
    world.records.mark_readings(
        "LOG-A/temperature_c", start + HOUR, start + 3 * HOUR, SARI, "the probe lay on the desk", world.clock.wall_ms
    )
    world.at(31)
    assert world.records.verdict("B1").state == VerdictState.PROPOSED  # two hours of its history became unknown
    released()
    world.records.add_placement("B1", "F2", start + 32 * HOUR, SARI, "back", start + 32 * HOUR)
    world.say(*world.temperatures(32, 33, "5.0", "LOG-B"))
    world.at(33)
    assert world.records.verdict("B1").state == VerdictState.PROPOSED  # the hours in between are its history now


def test_a_batch_that_left_long_ago_is_not_judged_by_each_reading(
    world: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.batch("OLD")
    world.batch("NEW")
    world.records.end_placement("OLD", start + HOUR, SARI, "used up", start + HOUR)
    world.alerts.start()
    world.say(*world.temperatures(0, 30, "5.0"))
    world.at(30)
    asked: list[str] = []
    verdict = world.records.verdict
    monkeypatch.setattr(world.records, "verdict", lambda batch: asked.append(batch) or verdict(batch))
    world.say(world.reading(start + int(30.25 * HOUR), "9.0"))
    world.at(30.25)
    assert asked == ["NEW"]
    world.say(world.reading(start + int(0.9 * HOUR), "30.0"))  # a late one of its time
    world.at(30.3)
    assert sorted(asked[1:]) == ["NEW", "OLD"]


def test_readings_that_go_on_being_fine_cost_no_judgement(
    world: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A season of placements is not folded anew for each reading in range; anything else is judged at once."""
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 24, "5.0"))
    world.at(24.01)
    asked: list[str] = []
    verdict = world.records.verdict
    monkeypatch.setattr(world.records, "verdict", lambda batch: asked.append(batch) or verdict(batch))

    def judged(hour: float, value: str | None) -> bool:
        asked.clear()
        world.say(world.reading(start + int(hour * HOUR), value))
        world.at(hour + 0.01)
        return bool(asked)

    assert not judged(24.25, "5.0")
    assert not judged(24.5, "8.0")
    assert judged(24.75, "8.1")  # out of range
    assert judged(25, "5.0")  # it has ended
    assert not judged(25.25, "5.0")
    assert not judged(25.5, "5.0")
    assert judged(25.75, None)  # unknown
    assert judged(26.75, "5.0")  # after a gap
    assert judged(26.75, "6.0")  # the same time again
    asked.clear()
    world.say(world.reading(start + int(3.1 * HOUR), "5.0"))  # late
    world.at(26.8)
    assert asked == ["B1"]
    assert not judged(27, "5.0")
    world.records.observe_vvm("B1", "B", SARI, "looked", world.clock.wall_ms)
    asked.clear()
    world.at(27.02)
    assert asked == ["B1"]
    assert not judged(27.25, "5.0")
    hours = [judged(27.25 + i / 4, "5.0") for i in range(1, 30)]
    assert hours.count(True) == 1  # in full at least every six hours


def test_unregistered_products_are_judged_with_care(world: Any) -> None:
    world.batch("B1", "93999999")
    world.alerts.start()
    world.say(*world.temperatures(0, 1.25, "-1.0"))
    world.at(1.25)
    verdict, codes = world.verdict("B1")
    assert verdict == "hold_and_inspect"
    assert "unknown_product" in codes
