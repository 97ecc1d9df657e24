"""cold-chain 6, 29: in a box a batch is judged by the shipment type of its product, from its placement on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from alerts.config import Config
from alerts.document import AsOf, document, product_of_json, profile_of_json
from alerts.explain import explain
from alerts.exposure import Placement
from alerts.judgement import BatchInfo, Judged, Told, judge_told
from alerts.memory import Memory
from alerts.products import builtin_products
from alerts.profiles import builtin_profiles, profile_of_table, table_of
from alerts.registered import boxes_of, shipments_of
from alerts.rulebook import rules_of
from alerts.rules import Profile, ReadingFact, StreamSettings
from alerts.shipment import LASTS_AT_MOST_S, instants_of, spells_of
from alerts.storage import Place
from gateway.records import Actor, Device, Equipment, Role

MIN = 60_000
HOUR = 60 * MIN
SARI = Actor("Sari", Role.MANAGER)
HEPB, ROTA, BOPV, MR, UNKNOWN = "93005477", "93001652", "93004968", "93005779", "93999999"
PENTABIO, PCV, HPV, TD = "93001282", "93001619", "93001623", "93001641"
PLACES = {
    "BOX": Place("puskesmas", freezes=False, chills=False, carries=True),
    "BOX2": Place("puskesmas", freezes=False, chills=False, carries=True),
    "F": Place("puskesmas", freezes=False, chills=True),
}
Spell = tuple[str, float, str]


def lived(
    kfa: str, *spells: Spell, sigma_c: str | None = None, profiles: Mapping[str, Profile] | None = None
) -> Judged:
    """These spells one after the other: (equipment, hours, value), a reading every 15 minutes, and 5.0 at the end."""
    batch = BatchInfo("B", "S1", kfa, "vaccine", "x", date(2027, 1, 1), 10)
    stays: list[Placement] = []
    facts: list[ReadingFact] = []
    at = 0
    for where, hours, value in (*spells, (spells[-1][0], 0.25, "5.0")):
        end = at + int(hours * HOUR)
        facts += [ReadingFact(where, f"{where}/temperature_c", t, Decimal(value)) for t in range(at, end, 15 * MIN)]
        if stays and stays[-1].equipment == where:
            stays[-1] = replace(stays[-1], to_ms=end)
        else:
            stays.append(Placement("B", where, at, end))
        at = end
    devices = {where: StreamSettings(900, None if sigma_c is None else Decimal(sigma_c)) for where in PLACES}
    told = Told(batch, tuple(stays), places=PLACES, devices=devices)
    return judge_told(told, facts[::-1], profiles or builtin_profiles(), builtin_products(), at)


def alarms(made: Judged) -> list[tuple[str, float]]:
    """(rule, hour) of what alarms."""
    return [(f.rule, f.event_ms / HOUR) for f in made.findings if f.alarms]


def word(made: Judged) -> tuple[str, list[str]]:
    return made.verdict.verdict.value, [r.code for r in made.verdict.reasons]


def test_req_29_type_1_at_29_9_for_twenty_hours_is_no_alarm() -> None:
    made = lived(HEPB, ("BOX", 20, "29.9"))
    assert (alarms(made), word(made)[0]) == ([], "no_action")
    assert made.exposure is not None
    assert made.exposure.above_s == 20 * 3600  # and yet it was not in its range: said, and counted by the VVM's model


def test_req_29_type_1_at_30_for_six_and_four_hours_is_an_alarm_at_ten_hours_in_all() -> None:
    made = lived(HEPB, ("BOX", 6, "30.0"), ("BOX", 3, "20.0"), ("BOX", 4, "30.0"))
    assert alarms(made) == [("transport_1/HEAT_30_TOTAL", 13)]
    assert word(made) == ("hold_and_inspect", ["heat_confirmed"])
    assert alarms(lived(HEPB, ("BOX", 6, "30.0"), ("BOX", 3, "20.0"), ("BOX", 3.75, "30.0"))) == []


@pytest.mark.parametrize(
    ("kfa", "value", "hours", "wanted"),
    [
        (HEPB, "45.0", 1.25, [("transport_1/HEAT_45", 1)]),
        (HEPB, "45.0", 1, []),
        (HEPB, "-0.5", 1.25, [("refrigerator/FRZE", 1)]),  # the product's own, which is the same limit
        (HEPB, "-0.5", 0.75, []),
        (BOPV, "10.0", 20, [("transport_2/HEAT_10_TOTAL", 20)]),
        (BOPV, "10.0", 19.75, []),
        (BOPV, "9.9", 20, []),
        (BOPV, "45.0", 1.25, [("transport_2/HEAT_45", 1)]),
        (BOPV, "-20.0", 20, []),
    ],
)
def test_req_29_the_limits_of_both_types(kfa: str, value: str, hours: float, wanted: list[tuple[str, float]]) -> None:
    assert alarms(lived(kfa, ("BOX", hours, value))) == wanted


def test_req_29_type_2_has_no_freeze_alarm_but_a_diluent_and_a_vaccine_that_must_not_freeze_keep_theirs() -> None:
    assert word(lived(BOPV, ("BOX", 20, "-5.0"))) == ("no_action", [])
    assert word(lived(MR, ("BOX", 20, "-5.0"))) == ("no_action", ["diluent_hold", "freeze_tolerant"])
    assert "freeze_no_shake_test" in word(lived(ROTA, ("BOX", 20, "-5.0")))[1]
    assert word(lived(HEPB, ("BOX", 1.25, "-0.5")))[0] == "shake_test"
    guarded = [
        f.rule for f in lived(HEPB, ("BOX", 2, "-0.2"), sigma_c="0.25").findings if f.code == "FREEZE_POSSIBLE"
    ]
    assert guarded == ["refrigerator/FREEZE_POSSIBLE"]


def test_req_29_the_settling_time_begins_with_each_shipment() -> None:
    """The logger's first quarter of an hour in the box: ten minutes settle, five count; in the second shipment too."""
    warm = (("BOX", 0.25, "45.0"), ("BOX", 1, "20.0"))
    assert alarms(lived(HEPB, *warm, ("BOX", 9.75, "30.0"))) == []
    one = lived(HEPB, *warm, ("BOX", 10, "30.0"))
    assert alarms(one) == [("transport_1/HEAT_30_TOTAL", pytest.approx(1.25 + 10 - 5 / 60))]
    two = lived(HEPB, *warm, ("F", 5, "5.0"), *warm, ("BOX", 10, "30.0"))
    assert alarms(two) == [("transport_1/HEAT_30_TOTAL", pytest.approx(7.5 + 10 - 10 / 60))]


def test_req_26_req_29_what_it_lived_through_in_two_shipments_adds_up() -> None:
    made = lived(HEPB, ("BOX", 6, "30.0"), ("F", 48, "5.0"), ("BOX2", 4.25, "30.0"))
    assert [rule for rule, _ in alarms(made)] == ["transport_1/HEAT_30_TOTAL"]
    assert alarms(lived(HEPB, ("BOX", 6, "30.0"), ("BOX2", 4, "30.0"))) == [("transport_1/HEAT_30_TOTAL", 10)]


def test_req_26_req_29_a_warm_spell_of_a_store_goes_on_in_the_box() -> None:
    assert alarms(lived(HEPB, ("F", 2, "9.0"), ("BOX", 8.25, "9.0"))) == [("refrigerator/HEAT", 10)]
    assert alarms(lived(HEPB, ("F", 2, "9.0"), ("BOX", 1, "8.0"), ("BOX", 12, "9.0"))) == []


def test_req_26_req_29_a_warm_spell_of_a_box_goes_on_in_the_store() -> None:
    """18 hours at 12 C are one run, whatever stood around the vials: HEAT at ten hours."""
    made = lived(HEPB, ("BOX", 9, "12.0"), ("F", 9, "12.0"))
    assert (alarms(made), word(made)) == ([("refrigerator/HEAT", 10)], ("hold_and_inspect", ["heat_confirmed"]))
    assert alarms(lived(HEPB, ("F", 4, "9.0"), ("BOX", 4, "9.0"), ("F", 2.25, "9.0"))) == [("refrigerator/HEAT", 10)]
    assert alarms(lived(HEPB, ("BOX", 19, "12.0"), ("F", 9, "5.0"))) == []  # it began and ended in the box
    assert alarms(lived(HEPB, ("BOX", 9, "12.0"), ("F", 0.25, "8.0"), ("F", 9, "12.0"))) == []
    assert alarms(lived(HEPB, ("BOX", 9, "12.0"), ("F", 0.75, "12.0"))) == []


@pytest.mark.parametrize("kfa", [PENTABIO, HEPB, PCV, HPV, TD, BOPV])
def test_req_29_the_leniency_of_a_box_has_an_end(kfa: str) -> None:
    """25 C for a month, or 29.9 C for 110 hours, is nothing that a shipment type could mean: read the VVM."""
    for hours, value in ((30 * 24, "25.0" if kfa != BOPV else "9.9"), (110, "29.9")):
        made = lived(kfa, ("BOX", hours, value))
        assert (word(made)[0], "heat_confirmed" in word(made)[1]) == ("hold_and_inspect", True)
    made = lived(kfa, ("BOX", 20, "9.9"))
    assert (alarms(made), word(made)) == ([], ("no_action", []))


def test_req_29_what_a_box_may_last_adds_up_over_shipments_and_is_data() -> None:
    trips = [("BOX", 8, "25.0"), ("F", 24, "5.0")] * 3
    assert alarms(lived(HEPB, *trips)) == [("transport_1/HEAT_IN_BOX", pytest.approx(68 + 1 / 3600))]
    assert alarms(lived(HEPB, *trips[:4])) == []
    profiles = builtin_profiles()
    assert [profiles[p].lasts_at_most_s for p in ("transport_1", "transport_2")] == [LASTS_AT_MOST_S] * 2
    short = {**profiles, "transport_1": replace(profiles["transport_1"], lasts_at_most_s=7200)}
    made = lived(HEPB, ("BOX", 3, "25.0"), profiles=short)
    assert [rule for rule, _ in alarms(made)] == ["transport_1/HEAT_IN_BOX"]
    kept = document(made, AsOf(0, 0, 0), "x")["rules"]["profiles"][1]
    assert profile_of_json(kept).lasts_at_most_s == 7200
    assert profile_of_table("transport_1", "x", table_of(short["transport_1"])).lasts_at_most_s == 7200


def test_req_29_a_product_without_a_shipment_type_keeps_its_own_limits_in_a_box() -> None:
    assert alarms(lived(UNKNOWN, ("BOX", 10.25, "9.0"))) == [("refrigerator/HEAT", 10)]


def test_what_a_shipment_was_judged_by_stands_in_the_document() -> None:
    body = document(lived(HEPB, ("BOX", 2, "9.0")), AsOf(0, 0, 0), "x")
    assert [p["id"] for p in body["rules"]["profiles"]] == ["refrigerator", "transport_1"]
    kept = product_of_json(body["product"])
    assert (body["places"]["BOX"]["carries"], kept is not None and kept.transport) == (True, "transport_1")
    elsewhere = document(lived(HEPB, ("F", 2, "9.0")), AsOf(0, 0, 0), "x")
    assert "carries" not in elsewhere["places"]["F"]


def test_a_box_is_loaded_by_its_first_batch_and_empty_after_its_last() -> None:
    spells = spells_of([(5, 9), (1, 3), (2, 4), (9, None), (4, 5)])
    assert (spells, instants_of(spells)) == (((1, None),), (1,))
    assert instants_of(spells_of([(5, 9), (1, 3), (6, 7)])) == (1, 3, 5, 9)


def test_req_29_a_reading_that_holds_while_its_place_becomes_another_thing_is_judged_by_both() -> None:
    """bOPV of a kabupaten at 5 C, hourly: right in a box, too warm in the store that it is from 05:30 on."""
    box = Place("kabupaten", freezes=False, chills=False, carries=True)
    fridge = (int(5.5 * HOUR), Place("kabupaten", freezes=False, chills=True))
    facts = [ReadingFact("X", "X/temperature_c", t * HOUR, Decimal("5.0")) for t in range(9)]
    told = Told(
        BatchInfo("B", "S1", BOPV, "vaccine", "x", date(2027, 1, 1), 10),
        (Placement("B", "X", 0),),
        places={"X": box},
        devices={"X": StreamSettings(3600)},
        places_later={"X": (fridge,)},
    )
    made = judge_told(told, facts, builtin_profiles(), builtin_products(), 8 * HOUR)
    assert made.exposure is not None
    assert made.exposure.above_s == 2.5 * 3600


# --- through the service ----------------------------------------------------------------------------------------


@pytest.fixture
def box(world: Any, start: int) -> Any:
    """BOX with its logger; B1 goes with it at 00:00, comes into F1 at 07:00, and B2 goes with the box at 09:00."""
    r = world.records
    r.upsert_equipment(Equipment("BOX", "S1", "Kotak 1", "cold_box", "transport_1"), SARI, "", start)
    r.upsert_device(Device("LOG-X", "S1", "E1", "ble", "BOX", 900), SARI, "", start)
    world.batch("B1", HEPB, "BOX")
    world.batch("B2", HEPB, "F1")
    world.alerts.start()
    world.say(*world.temperatures(0, 30, "5.0"))
    world.say(*world.temperatures(0, 6.75, "30.0", "LOG-X"), *world.temperatures(7, 8.75, "20.0", "LOG-X"))
    return world


def test_req_29_two_shipments_in_one_box_are_two_for_the_box_and_each_batch_has_its_own(box: Any, start: int) -> None:
    box.clock.wall_ms = start + 10 * HOUR
    box.records.move_batch("B1", "F1", start + 7 * HOUR, SARI, "arrived", box.clock.wall_ms)
    box.records.move_batch("B2", "BOX", start + 9 * HOUR, SARI, "to the village", box.clock.wall_ms)
    box.say(*box.temperatures(9, 15, "30.0", "LOG-X"), *box.temperatures(15.25, 19, "20.0", "LOG-X"))
    box.at(19)
    assert box.found("HEAT_30_TOTAL", "BOX") == []  # seven hours, then six: another shipment
    assert box.alarms() == []
    assert (box.verdict("B1"), box.verdict("B2")) == (("no_action", []), ("no_action", []))
    box.say(*box.temperatures(19.25, 24, "30.0", "LOG-X"))
    box.at(24.01)
    (heat,) = box.found("HEAT_30_TOTAL", "BOX")
    assert heat.event_ms == start + int(23 * HOUR)
    assert box.verdict("B2") == ("hold_and_inspect", ["heat_confirmed"])
    assert [a for a in box.alarms() if a[2] == "B2"] == []  # the box has asked already
    box.records.end_placement("B2", start + 25 * HOUR, SARI, "used up", start + 25 * HOUR)
    box.say(*box.temperatures(24.25, 26, "30.0", "LOG-X"))
    box.at(26)
    (heat,) = box.found("HEAT_30_TOTAL", "BOX")
    assert (heat.end_ms, heat.evidence["reason"]) == (start + 25 * HOUR, "shipment_over")


def test_req_29_what_was_a_box_has_the_shipments_of_then(box: Any, start: int) -> None:
    """BOX is made a cold room at 10:00, F1 was made a box at 04:00: each has shipments while it was one."""
    r = box.records
    r.upsert_equipment(
        replace(r.equipment("F1"), kind="cold_box", since_ms=start + 4 * HOUR), SARI, "said", start + 5 * HOUR
    )
    r.move_batch("B1", "F2", start + 7 * HOUR, SARI, "arrived", start + 8 * HOUR)
    r.upsert_equipment(replace(r.equipment("BOX"), kind="cold_room"), SARI, "said", start + 10 * HOUR)
    wanted = {"BOX": (start, start + 7 * HOUR), "F1": (start + 4 * HOUR,)}
    assert shipments_of(r, boxes_of(r)) == wanted
    r.end_placement("B2", start + 11 * HOUR, SARI, "said", start + 12 * HOUR)
    assert shipments_of(r, boxes_of(r))["F1"] == (start + 4 * HOUR, start + 11 * HOUR)


def test_req_08_req_29_a_placement_told_late_makes_one_shipment_of_what_was_two(box: Any, start: int) -> None:
    """Nobody had said that B1 left the box: its seven hours and the six after are one shipment until somebody does."""
    box.say(*box.temperatures(9, 15, "30.0", "LOG-X"), *box.temperatures(15.25, 19, "20.0", "LOG-X"))
    box.at(19)
    (heat,) = box.found("HEAT_30_TOTAL", "BOX")
    assert (heat.kind, box.verdict("B1")[0]) == ("confirmed", "hold_and_inspect")
    box.records.move_batch("B1", "F1", start + 7 * HOUR, SARI, "it came at seven", box.clock.wall_ms)
    box.turn()
    (heat,) = box.found("HEAT_30_TOTAL", "BOX")
    assert (heat.kind, box.verdict("B1")) == ("withdrawn", ("no_action", []))
    memory = Memory(box.folder / "alerts.db", read_only=True)
    for verdict in box.records.verdict_history("B1"):
        found = explain(box.records, memory, rules_of(Config()), verdict.id, box.clock.now_ms())
        assert found.same, found.differences
    memory.close()
    box.again()
    assert box.found("HEAT_30_TOTAL", "BOX")[0].kind == "withdrawn"
