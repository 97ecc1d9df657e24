"""Exposure follows the batch (cold-chain 6, 26)."""

from __future__ import annotations

from decimal import Decimal

from alerts.exposure import Exposure, Placement, expose
from alerts.profiles import builtin_profiles
from alerts.rules import Kind, Profiles, ReadingFact, judge
from telemetry.readings import Quality

MIN = 60_000
HOUR = 60 * MIN
PROFILES = Profiles(builtin_profiles())
FRIDGE = PROFILES.catalogue["refrigerator"]


def readings(
    equipment: str, start_h: float, end_h: float, value: str, stream: str | None = None
) -> list[ReadingFact]:
    """Every 15 minutes from start up to, not at, end."""
    name = stream or f"S-{equipment}/temperature_c"
    return [
        ReadingFact(equipment, name, t, Decimal(value))
        for t in range(int(start_h * HOUR), int(end_h * HOUR), 15 * MIN)
    ]


def exposed(placements: list[Placement], facts: list[ReadingFact], now_h: float) -> Exposure:
    made = expose("B1", placements, facts, PROFILES, FRIDGE, int(now_h * HOUR))
    assert made is not None
    return made


MOVED = [Placement("B1", "A", 0, 6 * HOUR), Placement("B1", "B", 6 * HOUR)]
TWO_FRIDGES = [
    *readings("A", 0, 6, "9.0"),
    *readings("A", 6, 13, "5.0"),
    *readings("B", 0, 6, "5.0"),
    *readings("B", 6, 12, "9.0"),
    *readings("B", 12, 13, "5.0"),
]


def test_req_26_a_moved_batch_has_a_heat_that_neither_refrigerator_had() -> None:
    assert not [f for f in judge(TWO_FRIDGES, PROFILES, 13 * HOUR) if f.code == "HEAT"]
    e = exposed(MOVED, TWO_FRIDGES, 13)
    (heat,) = [f for f in e.findings if f.code == "HEAT"]
    assert (heat.batch, heat.kind, heat.event_ms, heat.episode_start_ms) == ("B1", Kind.CONFIRMED, 10 * HOUR, 0)
    assert (e.above_s, e.unknown_s, e.known_s) == (12 * 3600, 0, 13 * 3600)


def test_req_26_the_order_of_facts_and_placements_does_not_matter() -> None:
    assert exposed(MOVED, TWO_FRIDGES, 13) == exposed(MOVED[::-1], [*TWO_FRIDGES[::-1], *TWO_FRIDGES[:9]], 13)


def test_req_26_a_batch_that_came_late_saw_only_its_own_part() -> None:
    facts = [*readings("A", 0, 11, "9.0"), *readings("A", 11, 12, "5.0")]
    assert [f for f in judge(facts, PROFILES, 12 * HOUR) if f.code == "HEAT"]
    late = exposed([Placement("B1", "A", 9 * HOUR)], facts, 12)
    assert not [f for f in late.findings if f.code == "HEAT"]
    assert (late.above_s, late.unknown_s) == (2 * 3600, 0)


def test_time_between_two_placements_is_unknown_and_breaks_certainty() -> None:
    stays = [Placement("B1", "A", 0, 6 * HOUR), Placement("B1", "B", 7 * HOUR)]
    facts = [*readings("A", 0, 6, "9.0"), *readings("B", 6, 12, "9.0"), *readings("B", 12, 13, "5.0")]
    e = exposed(stays, facts, 13)
    assert e.unknown_s == 3600
    (heat,) = [f for f in e.findings if f.code == "HEAT"]
    assert (heat.kind, heat.reason) == (Kind.POSSIBLE, "unknown_time")


def test_a_place_without_readings_is_unknown_all_the_time() -> None:
    e = exposed([Placement("B1", "A", 0)], [], 5)
    assert (e.known_s, e.unknown_s, e.min_c) == (0, 5 * 3600, None)


def test_of_two_probes_the_worse_one_counts_and_one_that_fails_does_not_hide_the_other() -> None:
    facts = [
        *readings("A", 0, 11, "5.0", "P1/temperature_c"),
        *readings("A", 0, 4, "9.0", "P2/temperature_c"),
    ]
    e = exposed([Placement("B1", "A", 0)], facts, 11)
    assert e.above_s == 4 * 3600
    assert e.unknown_s == 0  # P1 still tells


def test_a_split_batch_is_unknown_where_one_of_its_parts_is() -> None:
    stays = [Placement("B1", "A", 0), Placement("B1", "B", 0)]
    e = exposed(stays, [*readings("A", 0, 4, "5.0")], 4)
    assert e.unknown_s == 4 * 3600


def test_the_present_is_known_until_the_maximum_gap_has_passed() -> None:
    facts = readings("A", 0, 2, "5.0")  # last reading 1:45
    assert exposed([Placement("B1", "A", 0)], facts, 2.2).unknown_s == 0
    assert exposed([Placement("B1", "A", 0)], facts, 3).unknown_s == 3600


def test_facts_from_the_future_of_now_play_no_part() -> None:
    assert exposed([Placement("B1", "A", 0)], readings("A", 0, 20, "9.0"), 5).above_s == 5 * 3600


def test_a_batch_that_was_never_placed_has_no_exposure() -> None:
    assert expose("B1", [], [], PROFILES, FRIDGE, HOUR) is None
    assert expose("B1", [Placement("B1", "A", 2 * HOUR)], [], PROFILES, FRIDGE, HOUR) is None


def test_bad_quality_is_unknown_exposure() -> None:
    facts = [
        *readings("A", 0, 1, "5.0"),
        *(ReadingFact("A", "S-A/temperature_c", t * HOUR // 4, None, Quality.SENSOR_FAULT) for t in range(4, 8)),
        *readings("A", 2, 3, "5.0"),
    ]
    assert exposed([Placement("B1", "A", 0)], facts, 3).unknown_s == 3600


def test_one_voice_that_says_nothing_leaves_out_known_and_in_range_unknown() -> None:
    """Same instant, a value and none: the value beyond the limit wins and its time counts once."""
    for value, unknown_s in (("9.0", 0), ("5.0", 900)):
        facts = [
            *readings("A", 0, 1, "5.0"),
            *readings("A", 1, 1.25, value),
            ReadingFact("A", "S-A/temperature_c", HOUR, None, Quality.INVALID),
            *readings("A", 1.25, 2, "5.0"),
        ]
        e = exposed([Placement("B1", "A", 0)], facts, 2)
        assert (e.known_s, e.unknown_s, e.above_s) == (7200 - unknown_s, unknown_s, 0 if unknown_s else 900)
        assert e.known_s + e.unknown_s == 7200


def test_a_sum_that_the_last_hold_reached_is_found_without_a_later_reading() -> None:
    facts = readings("A", 0, 1, "-0.6")  # four readings: the last holds from 0:45 until now
    for now_h, count in ((0.99, 0), (1, 1), (1.1, 1)):
        found = [f for f in exposed([Placement("B1", "A", 0)], facts, now_h).findings if f.code == "STOCK_CHECK"]
        assert [f.event_ms for f in found] == [HOUR] * count
