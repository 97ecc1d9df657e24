""" "What if the limit were ...": both answers and the difference, and nothing changed by asking."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from alerts.profiles import builtin_profiles
from alerts.rules import Dated, Profiles, ReadingFact, StreamSettings
from alerts.what_if import from_date, what_if

MIN, HOUR = 60_000, 3_600_000
STREAM = "S1/temperature_c"
HOUSE = builtin_profiles()
PROFILES = Profiles(HOUSE, streams={STREAM: StreamSettings(900)})
FACTS = [ReadingFact("F1", STREAM, i * 15 * MIN, Decimal("8.5")) for i in range(60)]
END = FACTS[-1].t_ms


def with_heat(**changes: object):  # type: ignore[no-untyped-def]
    fridge = HOUSE["refrigerator"]
    limits = tuple(replace(x, **changes) if x.code == "HEAT" else x for x in fridge.limits)  # type: ignore[arg-type]
    return replace(fridge, version="asked", limits=limits)


def test_a_higher_limit_would_not_have_alarmed() -> None:
    answer = what_if(FACTS, PROFILES, with_heat(limit_c=Decimal("9.0")), END)
    assert [f.code for f in answer.gone] == ["HEAT"]
    assert (answer.new, answer.other, answer.alarms) == ((), (), (1, 0))


def test_a_shorter_delay_would_have_alarmed_earlier() -> None:
    answer = what_if(FACTS, PROFILES, with_heat(alarm_after_s=7200), END)
    ((before, after),) = answer.other
    assert (before.event_ms, after.event_ms) == (10 * HOUR, 2 * HOUR)
    assert (answer.gone, answer.new, answer.alarms) == ((), (), (1, 1))


def test_a_rule_that_is_not_there_would_have_said_something_new() -> None:
    fridge = HOUSE["refrigerator"]
    heat = next(x for x in fridge.limits if x.code == "HEAT")
    more = replace(
        fridge, version="asked", limits=(*fridge.limits, replace(heat, code="HEAT_8H", alarm_after_s=28800))
    )
    answer = what_if(FACTS, PROFILES, more, END)
    assert [f.code for f in answer.new] == ["HEAT_8H"]


def test_the_same_limits_make_no_difference() -> None:
    answer = what_if(FACTS, PROFILES, replace(HOUSE["refrigerator"], version="asked"), END)
    assert (answer.gone, answer.new, answer.other) == ((), (), ())
    assert answer.as_is


def test_it_asks_of_the_limits_as_they_were_dated_and_may_be_asked_from_a_date_on() -> None:
    held = replace(PROFILES, versions={"refrigerator": (Dated(12 * HOUR, with_heat(limit_c=Decimal("9.0"))),)})
    always = what_if(FACTS, held, with_heat(limit_c=Decimal("8.2")), END)
    assert [(f.code, f.end_ms) for f in always.as_is if f.code == "HEAT"] == [("HEAT", 12 * HOUR)]
    assert [f.end_ms for f in always.then if f.code == "HEAT"] == [None]
    later = what_if(FACTS, PROFILES, from_date(PROFILES, with_heat(limit_c=Decimal("9.0")), 11 * HOUR), END)
    assert [f.end_ms for f in later.then if f.code == "HEAT"] == [11 * HOUR]
