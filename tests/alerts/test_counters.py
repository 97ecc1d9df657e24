"""Time added up per day and window: the worked examples of facts/cold-chain.md 6, to the minute."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.counters import Mark, Tally, marks_of, tally, window
from alerts.profiles import builtin_profiles
from alerts.rules import Comparator, ReadingFact, Segment, judge, segments
from alerts.rules.facts import plain_points
from alerts.rules.limits import Profiles
from telemetry.readings import Quality

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WIT = ZoneInfo("Asia/Jayapura")
T0 = int(datetime(2026, 11, 20, tzinfo=WIT).timestamp()) * 1000  # a midnight at the site
STREAM = "T1/temperature_c"
FRIDGE = builtin_profiles()["refrigerator"]
HOT = Mark(Comparator.GT, Decimal("8.0"))
COLD = Mark(Comparator.LE, Decimal("-0.5"))


def run_of(value: str | None, start_min: int, end_min: int, step_min: int = 15) -> list[ReadingFact]:
    """Readings of one value from start to end, both included, in minutes after T0."""
    number = None if value is None else Decimal(value)
    return [fact(number, minute) for minute in range(start_min, end_min + 1, step_min)]


def fact(value: Decimal | None, minute: int) -> ReadingFact:
    quality = Quality.SENSOR_FAULT if value is None else Quality.GOOD
    return ReadingFact("K1", STREAM, T0 + minute * MINUTE, value, quality)


def stretches(facts: list[ReadingFact], until_min: int | None = None) -> list[Segment]:
    until_ms = None if until_min is None else T0 + until_min * MINUTE
    return segments(plain_points(facts), 900_000, until_ms)


def minutes(counted: Tally, mark: Mark) -> Decimal:
    """Exactly: what is no whole minute would show."""
    return Decimal(sum(b.ms for b in counted.beyond if b.mark == mark)) / MINUTE


def codes_of(facts: list[ReadingFact], until_min: int) -> set[str]:
    found = judge(facts, Profiles({"refrigerator": FRIDGE}), T0 + until_min * MINUTE)
    return {f.code for f in found}


def test_4_hot_time_adds_up_over_a_recovery_that_resets_the_alarm() -> None:
    """12 C 00:00..09:30, one 8.0 at 09:45, 12 C 10:00..19:30, 5 C from 19:45: no HEAT; 585 + 585 = 1170 min."""
    facts = run_of("12", 0, 570) + run_of("8.0", 585, 585) + run_of("12", 600, 1170) + run_of("5", 1185, 1425)
    made = stretches(facts, 1440)
    assert minutes(tally(made, [HOT], T0, T0 + 585 * MINUTE), HOT) == 585
    assert minutes(tally(made, [HOT], T0 + 585 * MINUTE, T0 + DAY), HOT) == 585
    whole = tally(made, [HOT], T0, T0 + DAY)
    assert (minutes(whole, HOT), whole.unknown_ms, whole.known_ms) == (1170, 0, DAY)
    assert "HEAT" not in codes_of(facts, 1440)


def test_5_cold_pieces_add_up_to_90_minutes_without_a_freeze_alarm() -> None:
    """-0.6 for 45 min, +0.2 for 15 min, -0.6 for 45 min: no FRZE, cold cumulative 90 min, stock check raised."""
    facts = run_of("-0.6", 0, 30) + run_of("0.2", 45, 45) + run_of("-0.6", 60, 90) + run_of("5", 105, 300)
    counted = tally(stretches(facts, 300), [HOT, COLD], T0, T0 + 300 * MINUTE)
    assert (minutes(counted, COLD), minutes(counted, HOT), counted.unknown_ms) == (90, 0, 0)
    codes = codes_of(facts, 300)
    assert "STOCK_CHECK" in codes
    assert "FRZE" not in codes


def test_7_a_gap_is_unknown_and_neither_hot_nor_fine() -> None:
    """8.5 at 00:00..04:45, six missing, 8.5 at 06:30..11:15, 5.0 at 11:30: hot 300 + 300 min, unknown 90 min."""
    facts = run_of("8.5", 0, 285) + run_of("8.5", 390, 675) + run_of("5.0", 690, 690)
    made = stretches(facts, 690)
    assert minutes(tally(made, [HOT], T0, T0 + 390 * MINUTE), HOT) == 300
    assert minutes(tally(made, [HOT], T0 + 390 * MINUTE, T0 + 690 * MINUTE), HOT) == 300
    whole = tally(made, [HOT], T0, T0 + 690 * MINUTE)
    assert (minutes(whole, HOT), whole.unknown_ms, whole.known_ms) == (600, 90 * MINUTE, 600 * MINUTE)


def test_8_late_readings_fill_the_gap_of_7() -> None:
    facts = run_of("8.5", 0, 285) + run_of("8.5", 390, 675) + run_of("5.0", 690, 690) + run_of("8.6", 300, 375)
    whole = tally(stretches(facts, 690), [HOT], T0, T0 + 690 * MINUTE)
    assert (minutes(whole, HOT), whole.unknown_ms) == (690, 0)


def test_9_of_two_values_of_one_identity_the_worse_one_counts() -> None:
    """Same time, 9.0 and 5.0: hot while it holds, whatever the order; with -1.0 too it is hot and cold at once."""
    for facts in ([*run_of("9.0", 0, 0), *run_of("5.0", 0, 0)], [*run_of("5.0", 0, 0), *run_of("9.0", 0, 0)]):
        counted = tally(stretches(facts, 15), [HOT, COLD], T0, T0 + 15 * MINUTE)
        assert (minutes(counted, HOT), minutes(counted, COLD)) == (15, 0)
    both = tally(stretches(run_of("9.0", 0, 0) + run_of("-1.0", 0, 0), 15), [HOT, COLD], T0, T0 + 15 * MINUTE)
    assert (minutes(both, HOT), minutes(both, COLD), both.unknown_ms) == (15, 15, 0)


@pytest.mark.parametrize(("value", "hot_min", "unknown_min"), [("9.0", 15, 0), ("5.0", 0, 15)])
def test_what_one_value_leaves_open_is_unknown_unless_the_other_is_out(
    value: str, hot_min: int, unknown_min: int
) -> None:
    """A conflict of a number with "no value": out of limits is certain, in range is not."""
    counted = tally(stretches(run_of(value, 0, 0) + run_of(None, 0, 0), 15), [HOT], T0, T0 + 15 * MINUTE)
    assert (minutes(counted, HOT), counted.unknown_ms) == (hot_min, unknown_min * MINUTE)


def test_the_limits_themselves_count_as_their_rules_say() -> None:
    """8.0 is in range; -0.5 is freezing (cold-chain.md 6, requirements 1 and 2)."""
    assert minutes(tally(stretches(run_of("8.0", 0, 0), 15), [HOT], T0, T0 + 15 * MINUTE), HOT) == 0
    assert minutes(tally(stretches(run_of("-0.5", 0, 0), 15), [COLD], T0, T0 + 15 * MINUTE), COLD) == 15
    assert minutes(tally(stretches(run_of("-0.4", 0, 0), 15), [COLD], T0, T0 + 15 * MINUTE), COLD) == 0


def test_a_rolling_window_forgets_what_left_it() -> None:
    made = stretches(run_of("9.0", 0, 45) + run_of("5.0", 60, 1500), 1500)
    shown = [minutes(window(made, [HOT], DAY, T0 + at * MINUTE), HOT) for at in (30, 1440, 1470, 1500)]
    assert shown == [30, 60, 30, 0]
    assert window(made, [HOT], DAY, T0 + 30 * MINUTE).unknown_ms == DAY - 30 * MINUTE  # before the first reading


def test_the_marks_of_a_profile_are_its_edges_and_limits_once_each() -> None:
    marks = [(m.comparator.value, str(m.limit_c)) for m in marks_of(FRIDGE)]
    assert marks == [(">", "8.0"), ("<", "2.0"), ("<=", "-0.5")]
    assert marks_of(FRIDGE)[2].codes == ("FRZE", "STOCK_CHECK")
    without = replace(FRIDGE, limits=())
    assert [(m.comparator.value, m.codes) for m in marks_of(without)] == [(">", ()), ("<", ())]
    for profile in builtin_profiles().values():
        keys = [(m.comparator, m.limit_c) for m in marks_of(profile)]
        assert len(keys) == len(set(keys))
        assert {(x.comparator, x.limit_c) for x in profile.limits if x.quantity == "temperature_c"} <= set(keys)


VALUES = st.sampled_from(["-1.0", "-0.5", "1.9", "5.0", "8.0", "8.1", "30", None])
READINGS = st.lists(st.tuples(st.integers(0, 2 * 1440), VALUES), max_size=40)


@settings(max_examples=60, deadline=None)
@given(READINGS, st.randoms(use_true_random=False), st.integers(0, 2 * 1440), st.integers(1, 2 * 1440))
def test_nothing_is_lost_doubled_or_dependent_on_order(
    said: list[tuple[int, str | None]], shuffler: object, start_min: int, length_min: int
) -> None:
    """Known and unknown make up the span; any order and repetition gives the same."""
    facts = [fact(None if v is None else Decimal(v), m) for m, v in said]
    mixed = [*facts, *facts[: len(facts) // 2]]
    shuffler.shuffle(mixed)  # type: ignore[attr-defined]
    marks, from_ms = marks_of(FRIDGE), T0 + start_min * MINUTE
    to_ms = from_ms + length_min * MINUTE
    whole = tally(stretches(facts, 3 * 1440), marks, from_ms, to_ms)
    assert tally(stretches(mixed, 3 * 1440), marks, from_ms, to_ms) == whole
    assert 0 <= whole.unknown_ms <= to_ms - from_ms
    assert all(0 <= b.ms <= whole.known_ms for b in whole.beyond)
    below_two, freezing = whole.beyond[1].ms, whole.beyond[2].ms
    assert freezing <= below_two
