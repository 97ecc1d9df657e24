"""Limits of other quantities than temperature: the same walker on what doors and mains say (cold-chain 6, 30 and 31)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.profiles import builtin_profiles, parse_profiles
from alerts.rules import Kind, Profiles, ReadingFact, RuleFinding, State, StreamSettings, judge, standing, step
from telemetry.errors import ConfigError

S, MIN, HOUR = 1000, 60_000, 3_600_000
DOOR, MAINS, TEMPERATURE = "S1/door_open", "S1/mains_power_on", "S1/temperature_c"
CATALOGUE = builtin_profiles()
AT_CHANGES = StreamSettings(event_driven=True)
FRIDGE = Profiles(CATALOGUE, streams={DOOR: AT_CHANGES, MAINS: AT_CHANGES})
SAMPLED = Profiles(CATALOGUE, streams={DOOR: StreamSettings(60), MAINS: StreamSettings(900)})


def word(stream: str, t_ms: int, value: int) -> ReadingFact:
    return ReadingFact("F1", stream, t_ms, Decimal(value))


def found(
    facts: Sequence[ReadingFact], now_ms: int, profiles: Profiles = FRIDGE
) -> list[tuple[str, int, int | None]]:
    return [(f.code, f.event_ms, f.end_ms) for f in judge(facts, profiles, now_ms)]


def test_req_30_a_door_open_for_467_seconds_without_a_break_is_door() -> None:
    opened = [word(DOOR, 0, 0), word(DOOR, MIN, 1), word(DOOR, MIN + 467 * S, 0)]
    assert found(opened, HOUR) == [("DOOR", 6 * MIN, MIN + 467 * S)]


def test_req_30_exactly_300_seconds_are_not_longer_than_300() -> None:
    assert found([word(DOOR, 0, 1), word(DOOR, 300 * S, 0)], HOUR) == []
    assert found([word(DOOR, 0, 1), word(DOOR, 300 * S + 1, 0)], HOUR) == [("DOOR", 300 * S, 300 * S + 1)]


def test_req_30_three_openings_that_add_up_are_no_door() -> None:
    facts = [word(DOOR, at * MIN, value) for at, value in ((0, 1), (3, 0), (4, 1), (7, 0), (8, 1), (11, 0))]
    assert found(facts, HOUR) == []


def test_req_30_an_open_door_is_told_when_the_time_is_over_although_nothing_more_is_heard() -> None:
    first = step(State(), [word(DOOR, 0, 1)], FRIDGE, 0)
    assert first.wake_at_ms == 300 * S + 1
    assert step(first.state, [], FRIDGE, 300 * S).findings == ()
    woken = step(first.state, [], FRIDGE, 300 * S + 1)
    (door,) = woken.findings
    assert (door.code, door.event_ms, door.end_ms, door.kind, door.alarms) == (
        "DOOR", 300 * S, None, Kind.CONFIRMED, True,
    )  # fmt: skip
    assert woken.wake_at_ms is None
    shut = step(woken.state, [word(DOOR, 20 * MIN, 0)], FRIDGE, 20 * MIN)
    (ended,) = shut.findings
    assert (ended.finding_id, ended.end_ms, ended.known_s) == (door.finding_id, 20 * MIN, 1200)
    assert shut.news == frozenset()


def test_req_30_a_door_that_was_shut_before_the_time_is_learnt_late_withdraws_it() -> None:
    first = step(State(), [word(DOOR, 0, 1)], FRIDGE, 10 * MIN)
    late = step(first.state, [word(DOOR, 2 * MIN, 0)], FRIDGE, 11 * MIN)
    assert [(f.code, f.kind) for f in late.findings] == [("DOOR", Kind.WITHDRAWN)]


def test_req_30_a_sampled_door_is_open_for_longer_than_300_seconds_when_two_samples_say_so() -> None:
    """Every minute: what lies between two samples is held, what comes after the last is not guessed."""
    facts = [word(DOOR, i * MIN, 1) for i in range(6)]
    assert found(facts, 5 * MIN, SAMPLED) == []
    assert found([*facts, word(DOOR, 6 * MIN, 1)], 6 * MIN, SAMPLED) == [("DOOR", 6 * MIN, None)]


def test_req_30_temperature_rules_are_not_held_back_by_an_open_door() -> None:
    hot = [ReadingFact("F1", TEMPERATURE, i * 15 * MIN, Decimal("9.0")) for i in range(41)]
    codes = {f.code for f in judge([*hot, word(DOOR, 0, 1)], FRIDGE, 10 * HOUR)}
    assert codes == {"EXCURSION_HIGH", "WARNING_HIGH", "HEAT", "DOOR"}


def test_req_31_no_power_for_more_than_24_hours_is_powr() -> None:
    off = [word(MAINS, 0, 0)]
    assert found(off, 24 * HOUR) == []
    assert found(off, 24 * HOUR + 1) == [("POWR", 24 * HOUR, None)]
    assert found([*off, word(MAINS, 24 * HOUR, 1)], 48 * HOUR) == []


def test_req_31_power_in_between_starts_the_count_anew() -> None:
    facts = [word(MAINS, 0, 0), word(MAINS, 20 * HOUR, 1), word(MAINS, 20 * HOUR + MIN, 0)]
    assert found(facts, 44 * HOUR) == []
    assert found(facts, 45 * HOUR) == [("POWR", 44 * HOUR + MIN, None)]


def test_silence_is_told_of_the_temperature_alone() -> None:
    """One lost logger with three streams is lost once."""
    facts = [ReadingFact("F1", TEMPERATURE, 0, Decimal("5.0")), word(DOOR, 0, 0), word(MAINS, 0, 1)]
    assert [code for code, _, _ in found(facts, 100 * HOUR, SAMPLED)] == ["SILENT"]


def test_a_temperature_beside_the_door_is_not_judged_by_the_doors_limit() -> None:
    assert found([ReadingFact("F1", TEMPERATURE, i * MIN, Decimal("5.0")) for i in range(60)], HOUR) == []
    assert found([word("S1/battery_percent", i * MIN, 3) for i in range(60)], HOUR) == []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_req_09_events_in_any_order_say_what_judge_says(data: st.DataObject) -> None:
    times = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=12))
    facts = [word(DOOR, at * MIN, data.draw(st.integers(0, 1))) for at in times]
    state, now_ms = State(), 0
    for fact in facts:  # as drawn: any order
        now_ms = max(now_ms, fact.t_ms + data.draw(st.integers(0, 8)) * MIN)
        state = step(state, [fact], FRIDGE, now_ms).state
    now_ms += data.draw(st.integers(0, 8)) * MIN

    def stripped(findings: Sequence[RuleFinding]) -> list[tuple[object, ...]]:
        return [(f.finding_id, f.event_ms, f.end_ms, f.known_s, f.kind) for f in findings]

    assert stripped(standing(step(state, [], FRIDGE, now_ms).state)) == stripped(judge(facts, FRIDGE, now_ms))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('quantity = "door_ajar", limit = "0"', "known are"),
        ('quantity = "door_open", limit_c = "0"', "is written limit"),
        ('limit = "8.0"', "is written limit_c"),
        ('quantity = "door_open"', "missing"),
    ],
)
def test_a_limit_says_its_quantity_and_writes_the_number_in_its_unit(row: str, says: str) -> None:
    limit = f'{{ code = "A", comparator = ">", alarm_after_s = 0, source = "s", {row} }}'
    with pytest.raises(ConfigError, match=says):
        parse_profiles(f'version = "1"\n[x]\nsources = ["s"]\nlimits = [{limit}]\n', "test")
