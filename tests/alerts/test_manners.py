"""Who is told when: a table, and what no setting may do."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.manners import Asked, Due, Manners, Why, by_day, due, recovery_c

MIN, HOUR = 60_000, 3_600_000
ZONE = "Asia/Jayapura"


def at(day: int, hour: int, minute: int = 0) -> int:
    return int(datetime(2026, 9, day, hour, minute, tzinfo=ZoneInfo(ZONE)).timestamp()) * 1000


PLAIN = Manners()
FLAP = Manners(flap_delay_s=600)
BAND = Manners(hysteresis_c=Decimal("0.5"))
NIGHT = at(2, 2)
ROWS = {
    "it goes on, at night: at once": (Asked(NIGHT, NIGHT - 10 * HOUR, None), 0, PLAIN, NIGHT, Due(Why.NOW, NIGHT)),
    "over for five hours when found, at night: at once": (
        Asked(NIGHT, at(1, 8), at(1, 21)),
        0,
        PLAIN,
        NIGHT,
        Due(Why.NOW, NIGHT),
    ),
    "over for six hours when found, at night: in the morning": (
        Asked(NIGHT, at(1, 8), at(1, 20)),
        0,
        PLAIN,
        NIGHT,
        Due(Why.PAST, at(2, 7), by_day=True),
    ),
    "found late by day: now, in the list": (
        Asked(at(2, 10), at(1, 0), at(1, 10)),
        0,
        PLAIN,
        at(2, 10),
        Due(Why.PAST, at(2, 10), by_day=True),
    ),
    "it went on when found and is over since: that is no past": (
        Asked(NIGHT, NIGHT - 10 * HOUR, NIGHT + 9 * HOUR),
        0,
        PLAIN,
        NIGHT + 20 * HOUR,
        Due(Why.NOW, NIGHT),
    ),
    "nobody answered for half an hour: the next rung, also at night": (
        Asked(NIGHT, NIGHT - 10 * HOUR, None),
        1,
        PLAIN,
        NIGHT,
        Due(Why.LADDER, NIGHT + 30 * MIN),
    ),
    "a past that nobody answered climbs by day": (
        Asked(at(1, 20, 45), at(1, 0), at(1, 10)),
        1,
        PLAIN,
        NIGHT,
        Due(Why.PAST, at(2, 7), by_day=True),
    ),
    "younger than the flap delay: wait": (
        Asked(NIGHT, NIGHT - HOUR, None),
        0,
        FLAP,
        NIGHT,
        Due(Why.FLAP, NIGHT + 10 * MIN),
    ),
    "older than the flap delay: told": (
        Asked(NIGHT, NIGHT - HOUR, None),
        0,
        FLAP,
        NIGHT + 10 * MIN,
        Due(Why.NOW, NIGHT + 10 * MIN),
    ),
    "over before the delay passed: by day": (
        Asked(NIGHT, NIGHT - HOUR, NIGHT + MIN),
        0,
        FLAP,
        NIGHT + 2 * MIN,
        Due(Why.FLAP, at(2, 7), by_day=True),
    ),
    "over before the delay passed, asked after it: still by day": (
        Asked(NIGHT, NIGHT - HOUR, NIGHT + MIN),
        0,
        FLAP,
        NIGHT + 11 * MIN,
        Due(Why.FLAP, at(2, 7), by_day=True),
    ),
    "over after the delay passed: told": (
        Asked(NIGHT, NIGHT - HOUR, NIGHT + 11 * MIN),
        0,
        FLAP,
        NIGHT + 12 * MIN,
        Due(Why.NOW, NIGHT + 10 * MIN),
    ),
    "over before the delay passed, the next rung: by day": (
        Asked(NIGHT, NIGHT - HOUR, NIGHT + MIN),
        1,
        FLAP,
        NIGHT + HOUR,
        Due(Why.FLAP, at(2, 7), by_day=True),
    ),
    "without a delay what is over just now is told at once": (
        Asked(NIGHT, NIGHT - HOUR, NIGHT),
        0,
        PLAIN,
        NIGHT + MIN,
        Due(Why.NOW, NIGHT),
    ),
    "the same trouble again within the delay: by day": (
        Asked(NIGHT, NIGHT, None, before_ms=NIGHT - 10 * MIN),
        0,
        FLAP,
        NIGHT + HOUR,
        Due(Why.FLAP, at(2, 7), by_day=True),
    ),
    "it came back by less than the band: the same trouble, told in the morning": (
        Asked(NIGHT, NIGHT, None, recovered_c=Decimal("0.4")),
        0,
        BAND,
        NIGHT,
        Due(Why.BAND, at(2, 7), by_day=True),
    ),
    "also by day it waits for the next morning": (
        Asked(at(2, 10), at(2, 10), None, recovered_c=Decimal("0.4")),
        0,
        BAND,
        at(2, 10),
        Due(Why.BAND, at(3, 7), by_day=True),
    ),
    "it came back by the whole band: another trouble": (
        Asked(NIGHT, NIGHT, None, recovered_c=Decimal("0.5")),
        0,
        BAND,
        NIGHT,
        Due(Why.NOW, NIGHT),
    ),
    "without a band every recovery is one": (
        Asked(NIGHT, NIGHT, None, recovered_c=Decimal(0)),
        0,
        PLAIN,
        NIGHT,
        Due(Why.NOW, NIGHT),
    ),
    "the same trouble after the delay: told": (
        Asked(NIGHT, NIGHT, None, before_ms=NIGHT - 11 * MIN),
        0,
        FLAP,
        NIGHT + HOUR,
        Due(Why.NOW, NIGHT + 10 * MIN),
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_when_an_alarm_is_told(row: str) -> None:
    alarm, rung, manners, now_ms, wanted = ROWS[row]
    assert due(alarm, rung, manners, ZONE, now_ms) == wanted


@pytest.mark.parametrize(
    ("values", "limit", "comparator", "recovered"),
    [
        (("7.9", "7.6", "7.8"), "8.0", ">", "0.4"),
        (("-0.4", "0.1"), "-0.5", "<", "0.6"),
        (("-0.5",), "-0.5", "<=", "0.0"),
        (("8.2",), "8.0", ">", "0"),
    ],
)
def test_how_far_a_value_came_back(values: tuple[str, ...], limit: str, comparator: str, recovered: str) -> None:
    assert recovery_c(map(Decimal, values), Decimal(limit), comparator) == Decimal(recovered)


def test_how_far_it_came_back_is_not_known_without_readings() -> None:
    assert recovery_c((), Decimal("8.0"), ">") is None


def test_there_is_no_night_where_its_hours_are_equal() -> None:
    assert by_day(NIGHT, ZONE, Manners(night_from_h=0, night_to_h=0)) == NIGHT


@given(
    st.integers(0, 3000),
    st.one_of(st.none(), st.integers(-3000, 3000)),
    st.one_of(st.none(), st.integers(-3000, 0)),
    st.integers(0, 2),
    st.builds(
        Manners,
        st.integers(0, 90_000),
        st.integers(0, 23),
        st.integers(0, 23),
        st.integers(0, 7200),
        st.integers(0, 7200),
        st.sampled_from((Decimal(0), Decimal("0.5"))),
    ),
    st.sampled_from((None, Decimal(0), Decimal("0.5"))),
)
def test_nothing_is_hidden_whatever_the_settings(
    opened: int, end: int | None, before: int | None, rung: int, manners: Manners, recovered_c: Decimal | None
) -> None:
    """Every unanswered alarm is told within a day, the delay and its rung; what goes on never waits for a morning."""
    opened_ms = NIGHT + opened * MIN
    end_ms = None if end is None else opened_ms + end * MIN
    alarm = Asked(
        opened_ms, opened_ms - HOUR, end_ms, None if before is None else opened_ms - HOUR + before * MIN, recovered_c
    )
    bound_ms = opened_ms + (manners.flap_delay_s + rung * manners.next_after_s) * 1000
    said = due(alarm, rung, manners, ZONE, bound_ms)
    assert opened_ms <= said.at_ms <= bound_ms + 24 * HOUR
    if end_ms is None and alarm.before_ms is None and recovered_c is None:
        assert said.at_ms <= bound_ms
        assert not said.by_day
