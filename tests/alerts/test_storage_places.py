"""cold-chain 6, 27: where a product may stand, by kind of equipment and level of site."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from alerts.config import Config
from alerts.explain import explain
from alerts.exposure import Placement, expose
from alerts.judgement import BatchInfo, Told, judge_told
from alerts.memory import Memory
from alerts.products import builtin_products, parse_table
from alerts.profiles import builtin_profiles
from alerts.rulebook import rules_of
from alerts.rules import Level, Profiles, ReadingFact
from alerts.storage import Place, Stood, by_place, may_freeze, range_in, stood_in, wrong_storage
from alerts.verdicts import WRONG_STORAGE
from api.words import catalogue
from gateway.records import Actor, Role, SiteLevel
from telemetry.errors import ConfigError

MIN = 60_000
HOUR = 60 * MIN
SARI = Actor("Sari", Role.MANAGER)
HEPB, ROTA, BOPV, BCG = "93005477", "93001652", "93004968", "93005208"
PRODUCTS = builtin_products()
CATALOGUE = builtin_profiles()


def place(level: str, what: str) -> Place:
    return Place(level, what == "freezer", what == "refrigerator")


@pytest.mark.parametrize(
    ("kfa", "level", "what", "wanted"),
    [
        (HEPB, "kabupaten", "freezer", Level.ALARM),
        (HEPB, "puskesmas", "freezer", Level.ALARM),
        (HEPB, "provinsi", "refrigerator", None),
        (ROTA, "provinsi", "freezer", Level.ALARM),
        (BOPV, "kabupaten", "freezer", None),
        (BOPV, "puskesmas", "freezer", None),
        (BOPV, "puskesmas", "refrigerator", None),
        (BOPV, "hospital", "refrigerator", None),
        (BOPV, "provinsi", "refrigerator", Level.WARNING),
        (BOPV, "kabupaten", "refrigerator", Level.WARNING),
        (BOPV, "provinsi", "cold_box", None),
        (BCG, "provinsi", "freezer", None),
        (BCG, "provinsi", "refrigerator", None),
        ("93999999", "provinsi", "freezer", None),
    ],
)
def test_req_27_what_is_wrong_where(kfa: str, level: str, what: str, wanted: Level | None) -> None:
    made = wrong_storage("B", PRODUCTS.get(kfa), [Stood(Placement("B", "E", 5), place(level, what))], 5)
    assert [f.level for f in made] == ([] if wanted is None else [wanted])
    assert all((f.code, f.event_ms, f.end_ms) == (WRONG_STORAGE, 5, None) for f in made)


def test_a_stay_that_has_not_begun_is_not_wrong_yet_and_one_that_ended_stays_on_record() -> None:
    it = place("puskesmas", "freezer")
    assert wrong_storage("B", PRODUCTS[HEPB], [Stood(Placement("B", "E", 6), it)], 5) == []
    (ended,) = wrong_storage("B", PRODUCTS[HEPB], [Stood(Placement("B", "E", 1, 4), it)], 5)
    (open_one,) = wrong_storage("B", PRODUCTS[HEPB], [Stood(Placement("B", "E", 1, 9), it)], 5)
    assert (ended.end_ms, open_one.end_ms, ended.finding_id) == (4, None, open_one.finding_id)


def test_the_levels_of_the_table_are_levels_of_sites_and_need_a_source() -> None:
    for product in PRODUCTS.values():
        assert set(product.freezer_at) <= set(SiteLevel)
    assert PRODUCTS[BOPV].freezer_at == ("kabupaten", "provinsi")
    assert any("2.5" in s for s in PRODUCTS[BOPV].sources)
    row = '[[product]]\nname="X"\nkfa=["93009999"]\nfreeze_class="sensitive"\nshake_test_valid=true\n'
    with pytest.raises(ConfigError):
        parse_table(row + 'has_diluent=false\nsources=["s"]\nfreezer_at=["provinsi"]\n', "test")


def test_the_new_code_has_words() -> None:
    assert {"code.WRONG_STORAGE", "advice.WRONG_STORAGE"} <= set(catalogue())


def test_only_a_tolerant_vaccine_without_diluent_is_spared_and_only_in_a_freezer() -> None:
    freezer, fridge = place("puskesmas", "freezer"), place("puskesmas", "refrigerator")
    assert may_freeze(PRODUCTS[BOPV], freezer)
    assert not may_freeze(PRODUCTS[BOPV], fridge)
    assert not may_freeze(PRODUCTS[BCG], freezer)
    assert not may_freeze(PRODUCTS[HEPB], freezer)
    assert not may_freeze(None, freezer)
    assert not may_freeze(PRODUCTS[BOPV], None)


def test_req_27_cold_in_the_freezer_is_none_and_cold_in_the_refrigerator_after_it_is() -> None:
    """Two hours at -18 in the freezer, then two at -1 in the refrigerator: the second alone is freezing."""
    facts = [ReadingFact("Z", "Z/temperature_c", t, Decimal("-18")) for t in range(0, 2 * HOUR, 15 * MIN)]
    facts += [ReadingFact("F", "F/temperature_c", t, Decimal("-1")) for t in range(2 * HOUR, 4 * HOUR, 15 * MIN)]
    stays = [Placement("B", "Z", 0, 2 * HOUR), Placement("B", "F", 2 * HOUR)]
    whole = expose("B", stays, facts, Profiles(CATALOGUE), CATALOGUE["refrigerator"], 4 * HOUR)
    assert whole is not None
    places = {"Z": place("puskesmas", "freezer"), "F": place("puskesmas", "refrigerator")}
    spared = by_place(whole, stood_in(stays, places, {}), PRODUCTS[BOPV], CATALOGUE["refrigerator"], None)
    cold = {f.code: f.episode_start_ms for f in spared.findings}
    assert set(cold) == {"EXCURSION_LOW", "WARNING_LOW", "FRZE", "STOCK_CHECK"}
    assert set(cold.values()) == {2 * HOUR}
    assert {f.code: f.episode_start_ms for f in whole.findings}["FRZE"] == 0
    assert (spared.min_c, spared.timeline) == (whole.min_c, whole.timeline)
    both = {e: place("puskesmas", "freezer") for e in places}
    assert (
        by_place(
            whole, stood_in(stays, both, {}), PRODUCTS[BOPV], CATALOGUE["refrigerator"], Decimal("0.25")
        ).findings
        == ()
    )


def test_req_27_warmth_in_the_freezer_is_still_warmth() -> None:
    facts = [ReadingFact("Z", "Z/temperature_c", t, Decimal("9")) for t in range(0, 11 * HOUR, 15 * MIN)]
    stays = [Placement("B", "Z", 0)]
    whole = expose("B", stays, facts, Profiles(CATALOGUE), CATALOGUE["refrigerator"], 11 * HOUR)
    assert whole is not None
    spared = by_place(
        whole, [Stood(stays[0], place("puskesmas", "freezer"))], PRODUCTS[BOPV], CATALOGUE["refrigerator"], None
    )
    assert (spared.findings, spared.above_s) == (whole.findings, whole.above_s)
    assert "HEAT" in {f.code for f in whole.findings}


@pytest.mark.parametrize(
    ("kfa", "level", "what", "edges"),
    [
        (BOPV, "kabupaten", "freezer", (-25_000, -15_000)),
        (BOPV, "provinsi", "refrigerator", (-25_000, -15_000)),
        (BOPV, "provinsi", "cold_box", (2_000, 8_000)),
        (BOPV, "puskesmas", "freezer", (None, 8_000)),
        (BOPV, "puskesmas", "refrigerator", (2_000, 8_000)),
        (HEPB, "puskesmas", "freezer", (2_000, 8_000)),
        (HEPB, "bidan_desa", "room", (2_000, 30_000)),
        (HEPB, "bidan_desa", "refrigerator", (2_000, 30_000)),
        ("93999999", "provinsi", "refrigerator", (2_000, 8_000)),
    ],
)
def test_req_27_the_range_of_a_product_is_that_of_the_level_it_stands_at(
    kfa: str, level: str, what: str, edges: tuple[int | None, int]
) -> None:
    here = range_in(PRODUCTS.get(kfa), place(level, what), CATALOGUE["refrigerator"])
    assert (here.low_m, here.high_m) == edges


# --- through the service ------------------------------------------------------------------------------------


def freezer(world: Any, equipment: str, profile: str = "freezer", kind: str = "freezer") -> None:
    made = replace(world.records.equipment(equipment), kind=kind, profile=profile)
    world.records.upsert_equipment(made, SARI, "a freezer", world.clock.wall_ms)


def level(world: Any, name: str) -> None:
    world.records.upsert_site(replace(world.records.site("S1"), level=name), SARI, "a store", world.clock.wall_ms)


def wrong_alarms(world: Any) -> list[Any]:
    return [a for a in world.alarms() if a[0] == WRONG_STORAGE]


@pytest.mark.parametrize(("profile", "kind"), [("freezer", "freezer"), ("freezer", "cold_room")])
def test_req_27_hepatitis_b_vaccine_moved_into_a_freezer_is_held_at_once(
    world: Any, start: int, profile: str, kind: str
) -> None:
    """The task is there in the turn of the move, before any reading of the freezer and not after 60 minutes."""
    freezer(world, "F2", profile, kind)
    world.batch("HEP", HEPB)
    world.alerts.start()
    world.say(*world.temperatures(0, 1, "5.0"))
    world.at(1)
    assert world.verdict("HEP") == ("no_action", [])
    opened = world.opened
    world.records.move_batch("HEP", "F2", start + HOUR, SARI, "moved", world.clock.wall_ms)
    world.turn()
    assert world.opened > opened
    assert wrong_alarms(world) == [(WRONG_STORAGE, None, "HEP", "open")]
    assert world.verdict("HEP") == ("hold_and_inspect", ["wrong_storage_freezer"])
    (told,) = world.found(WRONG_STORAGE, equipment=None, batch="HEP")
    assert (told.event_ms, told.end_ms) == (start + HOUR, None)
    world.say(*world.temperatures(1, 1.25, "-18.0", "LOG-B"))
    world.clock.wall_ms = start + int(1.25 * HOUR)
    world.records.move_batch("HEP", "F1", start + int(1.25 * HOUR), SARI, "moved back", world.clock.wall_ms)
    world.say(*world.temperatures(1.25, 2, "5.0"))
    world.at(2)
    (told,) = world.found(WRONG_STORAGE, equipment=None, batch="HEP")
    assert told.end_ms == start + int(1.25 * HOUR)
    assert world.verdict("HEP") == ("hold_and_inspect", ["wrong_storage_freezer"])  # nothing clears itself
    assert len(world.records.verdict_history("HEP")) == 2


def test_req_27_a_first_placement_into_a_freezer_is_judged_before_any_time_has_passed(world: Any) -> None:
    freezer(world, "F1")
    world.alerts.start()
    world.batch("HEP", HEPB)
    world.turn()
    assert world.verdict("HEP") == ("hold_and_inspect", ["wrong_storage_freezer"])
    world.again()
    assert wrong_alarms(world) == [(WRONG_STORAGE, None, "HEP", "open")]
    assert len(world.records.verdict_history("HEP")) == 1


def test_a_refrigerator_that_was_called_a_freezer_by_mistake_takes_the_alarm_back(world: Any) -> None:
    freezer(world, "F1")
    world.batch("HEP", HEPB)
    world.alerts.start()
    assert wrong_alarms(world) == [(WRONG_STORAGE, None, "HEP", "open")]
    fridge = replace(world.records.equipment("F1"), kind="refrigerator", profile="refrigerator", since_ms=0)
    world.records.upsert_equipment(fridge, SARI, "it is a refrigerator", world.clock.wall_ms)
    world.turn()
    assert wrong_alarms(world) == [(WRONG_STORAGE, None, "HEP", "closed")]
    assert world.verdict("HEP") == ("no_action", [])


NOWHERE_NOW = ("hold_and_inspect", ["unknown_exposure"])


def test_req_27_req_37_a_refrigerator_that_becomes_a_freezer_was_none_before(world: Any, start: int) -> None:
    """HepB in F1 since 00:00, a refrigerator; at 10:00 it is made a freezer; at 12:00 somebody says: since 09:00."""
    world.batch("HEP", HEPB)
    world.batch("OLD", HEPB)
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "5.0"))
    world.clock.wall_ms = start + 10 * HOUR
    world.records.end_placement("OLD", start + 8 * HOUR, SARI, "used up", world.clock.wall_ms)
    freezer(world, "F1")
    world.at(10)
    (told,) = world.found(WRONG_STORAGE, equipment=None, batch="HEP")
    assert (told.event_ms, told.end_ms) == (start + 10 * HOUR, None)
    assert (world.verdict("HEP")[0], world.verdict("OLD")) == ("hold_and_inspect", NOWHERE_NOW)
    world.clock.wall_ms = start + 12 * HOUR
    sooner = replace(world.records.equipment("F1"), since_ms=start + 9 * HOUR)
    world.records.upsert_equipment(sooner, SARI, "it was changed at nine", world.clock.wall_ms)
    world.turn()
    found = {f.kind: f.event_ms for f in world.found(WRONG_STORAGE, equipment=None, batch="HEP")}
    assert found == {"withdrawn": start + 10 * HOUR, "confirmed": start + 9 * HOUR}
    assert world.verdict("OLD") == NOWHERE_NOW
    always = replace(sooner, since_ms=0)
    world.records.upsert_equipment(always, SARI, "it never was a refrigerator", world.clock.wall_ms)
    world.turn()
    assert "wrong_storage_freezer" in world.verdict("OLD")[1]
    memory = Memory(world.folder / "alerts.db", read_only=True)
    for name in ("HEP", "OLD"):
        for verdict in world.records.verdict_history(name):
            made = explain(world.records, memory, rules_of(Config()), verdict.id, world.clock.now_ms())
            assert made.same, made.differences
    memory.close()


@pytest.mark.parametrize("store", ["kabupaten", "provinsi"])
def test_req_27_polio_vaccine_at_5_c_in_a_store_is_noticed_and_no_heat_alarm(world: Any, store: str) -> None:
    level(world, store)
    world.batch("OPV", BOPV)
    world.alerts.start()
    world.say(*world.temperatures(0, 9, "5.0"))
    world.at(9)
    assert world.verdict("OPV") == ("no_action", ["wrong_storage_not_frozen"])
    world.say(*world.temperatures(9.25, 12, "5.0"))
    world.at(12)
    assert world.alarms() == []
    assert world.verdict("OPV") == ("hold_and_inspect", ["above_level_range", "wrong_storage_not_frozen"])
    (told,) = world.found(WRONG_STORAGE, equipment=None, batch="OPV")
    assert (told.alarms, told.evidence["level"]) == (False, "warning")


@pytest.mark.parametrize(("store", "value"), [("kabupaten", "-18.0"), ("puskesmas", "5.0"), ("puskesmas", "-18.0")])
def test_req_27_polio_vaccine_in_its_range_has_no_finding_at_all(world: Any, store: str, value: str) -> None:
    """bOPV at kabupaten freezer -18 C: in range; at puskesmas 5 C: in range; in a freezer there: fine."""
    level(world, store)
    if value == "-18.0":
        freezer(world, "F1")
    world.batch("OPV", BOPV)
    world.alerts.start()
    world.say(*world.temperatures(0, 24, value))
    world.at(24)
    assert world.records.findings(batch="OPV") == []
    assert world.verdict("OPV") == ("no_action", [])


@pytest.mark.parametrize("value", ["7.0", "-5.0", "9.0"])
def test_req_27_polio_vaccine_in_a_stores_freezer_that_is_too_warm_is_held(world: Any, value: str) -> None:
    """bOPV at kabupaten, freezer at +7 or -5 for 72 h: its range there is -25 to -15. Read the VVM."""
    level(world, "kabupaten")
    freezer(world, "F1")
    world.batch("OPV", BOPV)
    world.alerts.start()
    world.say(*world.temperatures(0, 9, value))
    world.at(9)
    assert world.verdict("OPV") == ("no_action", [])  # as short as no heat alarm would be
    world.say(*world.temperatures(9.25, 72, value))
    world.at(72)
    word, reasons = world.verdict("OPV")
    assert (word, "above_level_range" in reasons) == ("hold_and_inspect", True)
    body = world.records.verdict_document(world.records.verdict("OPV").id)
    assert (body["exposure"]["above_s"], {s["state"] for s in body["timeline"]}) == (72 * 3600, {"out"})
    world.records.decide("OPV", "released", SARI, "VVM at A", world.clock.wall_ms)
    world.say(*world.temperatures(72.25, 74, value))
    world.at(74)
    assert world.records.verdict("OPV").state == "proposed"  # it went on: the release covers no more than then


def lived(kfa: str, level_of: dict[str, str], *spells: tuple[str, float, str]) -> list[str]:
    """The reasons after these spells, one after the other: (equipment, hours, value)."""
    batch = BatchInfo("B", "S1", kfa, "vaccine", "x", date(2027, 1, 1), 10)
    stays, facts, at = [], [], 0
    for where, hours, value in spells:
        end = at + int(hours * HOUR)
        stays.append(Placement("B", where, at, end))
        facts += [ReadingFact(where, f"{where}/temperature_c", t, Decimal(value)) for t in range(at, end, 15 * MIN)]
        at = end
    facts.append(ReadingFact(where, f"{where}/temperature_c", at, Decimal("5")))  # the last hold ends
    places = {name: place(*what.split()) for name, what in level_of.items()}
    told = Told(batch, tuple(stays), places=places)
    judged = judge_told(told, facts, CATALOGUE, PRODUCTS, at)
    by_one_more = judge_told(replace(told, stays=tuple(stays[::-1])), facts[::-1], CATALOGUE, PRODUCTS, at)
    assert by_one_more.verdict == judged.verdict
    return [r.code for r in judged.verdict.reasons if "storage" not in r.code]


KAB, PROV, PKM = "kabupaten freezer", "provinsi freezer", "puskesmas refrigerator"


@pytest.mark.parametrize(
    ("spells", "reasons"),
    [
        ([("K", 6, "-5"), ("K", 48, "-18"), ("K", 4, "-5")], ["above_level_range"]),
        ([("K", 6, "-5"), ("K", 48, "-18"), ("K", 3.75, "-5")], []),
        ([("V", 5, "-14"), ("K", 5, "-10")], ["above_level_range"]),  # two stores
        ([("V", 5, "-14"), ("V", 24, "-15"), ("K", 4.75, "-10")], []),  # -15 is in range
        ([("K", 6, "-5"), ("P", 4, "9")], ["above_level_range"]),  # above 8 is above the range of a puskesmas
        ([("K", 6, "-5"), ("P", 72, "8")], []),
        ([("P", 6, "9"), ("P", 1, "5"), ("P", 6, "9")], []),  # the profile's own range alone: requirement 4
        ([("K", 5, "9"), ("K", 1, "-18"), ("K", 5, "9")], ["above_level_range"]),
    ],
)
def test_req_05_req_26_req_27_warm_spells_add_up_over_time_and_stores(
    spells: list[tuple[str, float, str]], reasons: list[str]
) -> None:
    """bOPV, -25 to -15 in a store above the puskesmas: ten hours in all are as much as ten hours in one."""
    assert lived(BOPV, {"K": KAB, "V": PROV, "P": PKM}, *spells) == reasons


def test_req_04_shorter_spells_of_a_product_without_a_colder_level_do_not_add_up() -> None:
    assert lived(HEPB, {"P": PKM}, ("P", 9.75, "12"), ("P", 0.25, "8"), ("P", 9.75, "12")) == []


def test_req_27_a_release_covers_the_warm_spells_up_to_then_and_the_next_ten_hours_ask_again(world: Any) -> None:
    """Opening a freezer for a quarter of an hour after a release reopens nothing; going on as before does."""
    level(world, "kabupaten")
    freezer(world, "F1")
    world.batch("OPV", BOPV)
    world.alerts.start()
    world.say(*world.temperatures(0, 6, "-10.0"), *world.temperatures(6.25, 10, "-18.0"))
    world.at(10.01)
    assert world.verdict("OPV") == ("no_action", [])
    world.say(*world.temperatures(10.25, 15, "-10.0"), *world.temperatures(15.25, 16, "-18.0"))
    world.at(16.01)
    assert world.verdict("OPV") == ("hold_and_inspect", ["above_level_range"])
    world.records.decide("OPV", "released", SARI, "VVM at A", world.clock.wall_ms)
    world.say(world.reading(world.clock.wall_ms + 15 * MIN, "-14.0"), *world.temperatures(16.5, 20, "-18.0"))
    world.at(20.01)
    assert world.records.verdict("OPV").state == "decided"
    world.say(*world.temperatures(20.25, 26, "-14.0"), *world.temperatures(26.25, 27, "-18.0"))
    world.at(27.01)
    assert world.records.verdict("OPV").state == "decided"
    world.say(*world.temperatures(27.25, 32, "-14.0"))
    world.at(32.01)
    again = world.records.verdict("OPV")
    assert (again.state, again.reasons[0]["level_warm_since_release_s"] >= 10 * 3600) == ("proposed", True)


@pytest.mark.parametrize(("value", "wanted"), [("25.0", "no_action"), ("31.0", "hold_and_inspect")])
def test_req_27_hepatitis_b_vaccine_with_a_village_midwife_may_stand_at_room_temperature(
    value: str, wanted: str
) -> None:
    """HepB at bidan_desa: 15 to 30 by the table; the VVM's model goes on counting."""
    batch = BatchInfo("HEP", "S1", HEPB, "HepB", "x", date(2027, 1, 1), 10)
    told = Told(batch, (Placement("HEP", "R", 0),), places={"R": place("bidan_desa", "room")})
    facts = [ReadingFact("R", "R/temperature_c", t, Decimal(value)) for t in range(0, 24 * HOUR, 15 * MIN)]
    judged = judge_told(told, facts, CATALOGUE, PRODUCTS, 24 * HOUR)
    reasons = {r.code for r in judged.verdict.reasons}
    assert (judged.verdict.verdict, "heat_confirmed" in reasons) == (wanted, wanted != "no_action")


def test_req_23_a_freeze_dried_vaccine_in_a_freezer_keeps_the_note_on_its_diluent(world: Any) -> None:
    freezer(world, "F1")
    world.batch("BCG", BCG)
    world.alerts.start()
    world.say(*world.temperatures(0, 3, "-18.0"))
    world.at(3)
    assert world.alarms() == []
    assert world.verdict("BCG") == ("no_action", ["diluent_hold", "freeze_tolerant"])


def test_polio_vaccine_in_a_cold_freezer_costs_no_judgement_for_each_reading(
    world: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    freezer(world, "F1")
    world.batch("OPV", BOPV)
    world.alerts.start()
    world.say(*world.temperatures(0, 24, "-18.0"))
    world.at(24.01)
    asked: list[str] = []
    verdict = world.records.verdict
    monkeypatch.setattr(world.records, "verdict", lambda batch: asked.append(batch) or verdict(batch))
    world.say(world.reading(start + int(24.25 * HOUR), "-19.0"))
    world.at(24.25)
    assert asked == []
    world.say(world.reading(start + int(24.5 * HOUR), "9.0"))
    world.at(24.5)
    assert asked == ["OPV"]
