"""The document of a verdict: the pinned keys, exact, the same for the same judgement."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

from alerts.document import AsOf, document, facts_json, timeline_json
from alerts.exposure import Placement, timeline
from alerts.judgement import BatchInfo, Told, judge_told
from alerts.products import builtin_products, builtin_table
from alerts.profiles import builtin_profiles
from alerts.rules import Profiles, ReadingFact, StreamSettings
from alerts.storage import Place
from alerts.verdicts import VvmSeen, VvmStage
from gateway.records import canonical
from telemetry.readings import Quality

MIN = 60_000
HOUR = 60 * MIN
CATALOGUE = builtin_profiles()
PENTABIO = "93001282"
BATCH = BatchInfo("B1", "S1", PENTABIO, "Pentabio", "PB1", date(2027, 11, 30), 400)


def readings(equipment: str, start_h: float, end_h: float, value: str) -> list[ReadingFact]:
    times = range(int(start_h * HOUR), int(end_h * HOUR), 15 * MIN)
    return [ReadingFact(equipment, f"L-{equipment}/temperature_c", t, Decimal(value)) for t in times]


def told(*stays: Placement, seen: tuple[VvmSeen, ...] = ()) -> Told:
    places = {p.equipment: Place("puskesmas", freezes=False, chills=True) for p in stays}
    devices = {f"L-{e}": StreamSettings(900, Decimal("0.25")) for e in places}
    return Told(BATCH, stays, seen, places, devices)


MOVED = told(
    Placement("B1", "A", 0, 6 * HOUR, "B1.at.0", "Siti"),
    Placement("B1", "B", 6 * HOUR, None, "B1.at.6", "Siti"),
    seen=(VvmSeen(VvmStage.A, 7 * HOUR, "Budi"),),
)
HOT = [
    *readings("A", 0, 6, "9.0"),
    *readings("A", 6, 13, "5.0"),
    *readings("B", 0, 6, "5.0"),
    *readings("B", 6, 12, "9.0"),
    *readings("B", 12, 13, "5.0"),
]


def made(facts: list[ReadingFact], said: Told = MOVED, now_h: float = 13) -> dict[str, Any]:
    judged = judge_told(said, facts, CATALOGUE, builtin_products(), int(now_h * HOUR))
    return document(judged, AsOf(12, 34, 33), builtin_table().version)


def test_it_has_the_pinned_keys_and_says_what_the_batch_lived_through() -> None:
    d = made(HOT)
    pinned = (
        "v batch product judged_at as_of word reasons placements vvm_readings exposure timeline findings facts rules"
    )
    assert set(pinned.split()) <= set(d)
    assert (d["v"], d["word"], d["judged_at"]) == (1, "hold_and_inspect", "1970-01-01T13:00:00Z")
    assert d["as_of"] == {"journal_offset": 12, "audit_id": 34, "homes_audit_id": 33}
    assert d["batch"]["expires_on"] == "2027-11-30"
    assert d["placements"][0] == {
        "id": "B1.at.0",
        "equipment": "A",
        "from": "1970-01-01T00:00:00Z",
        "to": "1970-01-01T06:00:00Z",
        "said_by": "Siti",
    }
    assert d["vvm_readings"] == [{"stage": "A", "at": "1970-01-01T07:00:00Z", "by": "Budi"}]
    e = d["exposure"]
    assert (e["known_s"], e["unknown_s"], e["above_s"], e["below_s"], e["freezing_s"]) == (46800, 0, 43200, 0, 0)
    assert (e["min_c"], e["max_c"], [u["model"] for u in e["vvm"]]) == ("5.0", "9.0", ["A", "B"])
    (heat,) = [f for f in d["findings"] if f["code"] == "HEAT"]
    assert (heat["fired"], heat["limit_c"], heat["comparator"]) == ("1970-01-01T10:00:00Z", "8.0", ">")
    assert d["reasons"][0]["findings"] == [heat["id"]]
    assert [(r["id"], r["version"], len(r["sha256"])) for r in d["rules"]["profiles"]] == [
        ("refrigerator", CATALOGUE["refrigerator"].version, 64)
    ]


def test_it_is_plain_json_without_floats_and_the_order_of_facts_plays_no_part() -> None:
    text = canonical(made(HOT))  # refuses floats
    assert json.loads(text) == made(HOT)
    assert canonical(made([*HOT[::-1], *HOT[:9]])) == text


def test_a_fact_more_or_another_value_shows_in_its_stream_and_its_day() -> None:
    (a, b) = facts_json(HOT)
    assert (a["stream"], a["count"], a["first"], a["last"]) == (
        "L-A/temperature_c",
        52,
        "1970-01-01T00:00:00Z",
        "1970-01-01T12:45:00Z",
    )
    other = [*HOT[1:], ReadingFact("A", "L-A/temperature_c", 0, Decimal("9.1"))]
    (changed, same) = facts_json(other)
    assert same == b
    assert changed["sha256"] != a["sha256"]
    assert (changed["days"][0][:2], changed["days"][0][2] != a["days"][0][2]) == (["1970-01-01", 52], True)
    no_value = ReadingFact("A", "L-A/temperature_c", 0, None, Quality.SENSOR_FAULT)
    assert facts_json([no_value])[0]["count"] == 1


def test_the_timeline_names_state_place_and_extremes_and_unknown_placement_is_unknown() -> None:
    stays = (Placement("B1", "A", 0, 2 * HOUR), Placement("B1", "B", 3 * HOUR, 5 * HOUR))
    facts = [*readings("A", 0, 5, "5.0"), *readings("B", 0, 5, "9.0")]
    line = timeline_json(timeline(stays, facts, Profiles(CATALOGUE), 6 * HOUR), stays, CATALOGUE["refrigerator"])
    assert [(s["state"], s["equipment"], s["low_c"]) for s in line] == [
        ("in", "A", "5.0"),
        ("in", "A", "5.0"),
        ("unknown", "", None),
        ("out", "B", "9.0"),
        ("out", "B", "9.0"),
        ("unknown", "", None),  # where it stands since is not known
    ]


def test_a_history_that_flaps_for_a_year_stays_short_and_is_never_told_better_than_it_was() -> None:
    stays = (Placement("B1", "A", 0),)
    year_ms = 365 * 24 * HOUR
    facts = [
        ReadingFact("A", "L-A/temperature_c", t, Decimal("9.0" if t // (15 * MIN) % 2 else "5.0"))
        for t in range(0, year_ms, 15 * MIN)
    ]
    line = timeline_json(timeline(stays, facts, Profiles(CATALOGUE), year_ms), stays, CATALOGUE["refrigerator"])
    assert len(line) <= 260
    assert {s["state"] for s in line} == {"out"}
    assert (line[0]["low_c"], line[0]["high_c"], line[-1]["to"]) == ("5.0", "9.0", "1971-01-01T00:00:00Z")


def test_a_batch_that_was_never_placed_has_no_exposure_and_no_timeline() -> None:
    d = made([], told(seen=(VvmSeen(VvmStage.C, 5, "Siti"),)))
    assert (d["word"], d["exposure"], d["timeline"]) == ("discard_proposed", None, [])
    assert d["reasons"][0]["params"] == {"stage": "C", "by": "Siti", "seen_ms": 5}


def test_the_service_keeps_it_beside_the_verdict_with_both_places(world: Any, start: int) -> None:
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "9.0"))
    world.at(11)
    verdict = world.records.verdict("B1")
    d = world.records.verdict_document(verdict.id)
    assert (d["verdict"], d["word"], d["hash"]) == (verdict.id, "hold_and_inspect", verdict.document_hash)
    assert (d["as_of"]["journal_offset"], d["as_of"]["audit_id"]) == (verdict.journal_offset, verdict.audit_id)
    assert verdict.journal_offset == world.journal.last_offset()
    assert d["facts"][0]["count"] == 45
    assert d["placements"][0]["said_by"] == "Sari"
    assert world.records.verify_chain("S1").ok
