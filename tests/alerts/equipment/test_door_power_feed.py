"""Requirements 30, 31 and 32 of cold-chain 6: door, power, feed sanity, by records of 15 minutes."""

from __future__ import annotations

from typing import Any

from alerts.profiles import builtin_profiles
from alerts.rules import Kind, Level, Profiles, judge


def door(open_s: int, openings: int | None = None) -> dict[str, str]:
    row = {"door_open_s": str(open_s)}
    return row if openings is None else row | {"door_openings": str(openings)}


def test_req_30_one_opening_after_a_closed_record_is_certain(hand: Any) -> None:
    """cold-chain 6, 30: DORV 467, DRCV 1, previous record DORV 0 -> DOOR."""
    facts = hand.records([door(0, 0), door(467, 1), door(0, 0)])
    (found,) = hand.found(facts, "DOOR")
    assert (found.kind, found.level, found.details) == (
        Kind.CONFIRMED,
        Level.ALARM,
        (("device", "EMD-1"), ("open_s", "467")),
    )
    assert (hand.minutes(found.event_ms), hand.minutes(found.end_ms)) == (30, 45)
    assert hand.found(facts, "DOOR_POSSIBLE") == []


def test_req_30_three_openings_are_only_possible(hand: Any) -> None:
    """DORV 467, DRCV 3 -> "door long open possible", no DOOR."""
    facts = hand.records([door(0, 0), door(467, 3), door(0, 0)])
    assert hand.found(facts, "DOOR") == []
    (maybe,) = hand.found(facts, "DOOR_POSSIBLE")
    assert (maybe.kind, maybe.level, maybe.alarms) == (Kind.POSSIBLE, Level.NOTICE, False)


def test_req_30_a_whole_period_open_is_certain_however_it_was_counted(hand: Any) -> None:
    """DORV 900 in two consecutive records -> DOOR, one episode."""
    (found,) = hand.found(hand.records([door(900), door(900), door(0)]), "DOOR")
    assert (hand.minutes(found.episode_start_ms), hand.minutes(found.end_ms)) == (15, 45)


def test_req_30_an_opening_that_may_have_begun_before_is_two_pieces(hand: Any) -> None:
    """After a record with the door open, or after none, 467 s may be 300 + 167; 601 s cannot be two of 300."""
    assert hand.found(hand.records([door(100, 1), door(467, 1)]), "DOOR") == []
    assert hand.found(hand.records([door(467, 1)]), "DOOR") == []
    assert len(hand.found(hand.records([door(100, 1), door(601, 1)]), "DOOR")) == 1


def test_req_30_no_opening_means_that_it_stayed_open_from_the_record_before(hand: Any) -> None:
    """200 s to the end of one record and 200 s on from there without an opening: 400 s without a break."""
    assert len(hand.found(hand.records([door(0, 0), door(200, 1), door(200, 0)]), "DOOR")) == 1
    assert hand.found(hand.records([door(0, 0), door(150, 1), door(150, 0)]), "DOOR") == []


def test_req_30_a_closed_record_ends_what_came_before_it(hand: Any) -> None:
    """250 s, half an hour without an open second, then 100 s that no opening began: not 350 s without a break."""
    facts = hand.records([door(250, 1), door(0, 0), door(0, 0), door(100, 0)])
    assert hand.found(facts, "DOOR") == []


def test_req_30_exactly_300_seconds_are_no_door(hand: Any) -> None:
    facts = hand.records([door(0, 0), door(300, 1)])
    assert [*hand.found(facts, "DOOR"), *hand.found(facts, "DOOR_POSSIBLE")] == []


def test_req_30_temperature_rules_are_not_suppressed_by_doors(hand: Any) -> None:
    hot = hand.series(["8.1"] * 41)
    facts = [*hot, *hand.records([door(900)] * 40)]
    assert hand.found(facts, "DOOR")
    profiles = Profiles(builtin_profiles(), {"F1": ("refrigerator",)})
    assert "HEAT" in {f.code for f in judge(hot, profiles, hot[-1].t_ms)}


def power(*seconds: int, **more: str) -> list[dict[str, str]]:
    return [{"mains_available_s": str(s), **more} for s in seconds]


def test_req_31_powr_is_more_than_24_hours(hand: Any) -> None:
    """cold-chain 6, 31: 96 records without power are 24 h and no POWR yet; the 97th is."""
    assert hand.found(hand.records(power(*[0] * 96)), "POWR") == []
    (found,) = hand.found(hand.records(power(*[0] * 97)), "POWR")
    assert (found.level, found.kind, hand.minutes(found.event_ms)) == (Level.ALARM, Kind.CONFIRMED, 97 * 15)
    assert (found.known_s, found.end_ms) == (97 * 900, None)


def test_req_31_one_record_with_power_resets(hand: Any) -> None:
    assert hand.found(hand.records(power(*[0] * 60, 1, *[0] * 60)), "POWR") == []


def test_req_31_a_missing_record_makes_it_possible_and_not_certain(hand: Any) -> None:
    facts = [f for f in hand.records(power(*[0] * 100)) if hand.minutes(f.t_ms) != 50 * 15]
    (found,) = hand.found(facts, "POWR")
    assert (found.kind, found.reason, found.unknown_s) == (Kind.POSSIBLE, "gap", 900)


def test_req_31_an_outage_with_little_holdover_warns_at_once(hand: Any) -> None:
    """Outage with HOLD 0.2 d -> "4.8 h left" at once."""
    facts = hand.records(power(900, holdover_d="0.2") + power(0, holdover_d="0.2"))
    (found,) = hand.found(facts, "HOLDOVER_LOW")
    assert (found.level, found.details, hand.minutes(found.event_ms)) == (Level.WARNING, (("hours_left", "4.8"),), 30)
    assert hand.found(hand.records(power(900, holdover_d="0.2")), "HOLDOVER_LOW") == []
    assert hand.found(hand.records(power(0, holdover_d="3.5")), "HOLDOVER_LOW") == []
    (over,) = hand.found([*facts, *hand.records(power(900), 45)], "HOLDOVER_LOW")
    assert hand.minutes(over.end_ms) == 45


def test_req_31_a_state_of_mains_counts_for_the_holdover_too(hand: Any) -> None:
    facts = hand.records([{"mains_power_on": "0", "holdover_d": "0.5"}])
    (found,) = hand.found(facts, "HOLDOVER_LOW")
    assert found.details == (("hours_left", "12.0"),)


def test_req_31_solar_records_invent_no_seconds(hand: Any) -> None:
    """Solar records (no SVA) are judged on DCSV presence only: two days at 0.0 V make no POWR."""
    facts = hand.records([{"dc_voltage_v": "0.0", "holdover_d": "0.2"}] * 200)
    assert [*hand.found(facts, "POWR"), *hand.found(facts, "HOLDOVER_LOW")] == []


def test_req_32_a_compressor_that_ran_longer_than_there_was_mains(hand: Any) -> None:
    """cold-chain 6, 32: CMPR 600 with SVA 120 -> flag."""
    (found,) = hand.found(hand.records([{"compressor_run_s": "600", "mains_available_s": "120"}]), "FEED")
    assert (found.reason, found.level) == ("ran_longer_than_mains", Level.NOTICE)
    assert found.details == (("device", "EMD-1"), ("ran_s", "600"), ("mains_s", "120"))
    fine = hand.records([{"compressor_run_s": "120", "mains_available_s": "120"}])
    assert hand.found(fine, "FEED") == []


def test_req_32_twelve_records_that_look_like_minutes(hand: Any) -> None:
    """12 records with CMPR 3..15 -> "minutes?"; eleven are too few; the values stay as they came."""
    rows = [{"compressor_run_s": str(3 + i)} for i in range(12)]
    facts = hand.records(rows)
    (found,) = hand.found(facts, "FEED")
    assert (found.reason, hand.minutes(found.event_ms)) == ("minutes_perhaps", 180)
    assert hand.found(facts[:11], "FEED") == []
    assert hand.found(hand.records([*rows[:11], {"compressor_run_s": "16"}]), "FEED") == []
    assert hand.found(hand.records([{"compressor_run_s": "0"}] * 12), "FEED") == []
    sure = [{"compressor_run_s": "15", "mains_available_s": "900"}] * 12
    assert hand.found(hand.records(sure), "FEED")[0].reason == "minutes_surely"
