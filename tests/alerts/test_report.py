"""The report of a period: its figures put together, and the rule that every millisecond is told once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.amended import Mark
from alerts.bulk import Points, points_of
from alerts.bulk.stretches import Stretches, cut, stretches_of
from alerts.counters import marks_of, midnight_ms, tally
from alerts.equipment.calibration import Lapse
from alerts.profiles import builtin_profiles
from alerts.report import (
    EquipmentReport,
    EquipmentSeen,
    Period,
    StreamSeen,
    report_of,
    span_to_read,
    spent_by_eras,
    spent_of,
)
from alerts.rules import Profile
from alerts.rules.limits import Era

JAYAPURA = ZoneInfo("Asia/Jayapura")
MIN, HOUR, DAY = 60_000, 3_600_000, 86_400_000
FIRST = date(2026, 11, 1)
T0 = midnight_ms(FIRST, JAYAPURA)
PROFILES = builtin_profiles()
FRIDGE = (Era(0, (PROFILES["refrigerator"], PROFILES["smile_grace"])),)


@dataclass(frozen=True, slots=True)
class Answer:
    answer_ms: int | None
    resolve_ms: int | None


@dataclass(frozen=True, slots=True)
class Met:
    """A finding, with what the report asks of it."""

    code: str
    event_ms: int
    end_ms: int | None = None
    kind: str = "confirmed"
    late_ms: int = 0
    alarms: bool = True
    equipment: str | None = "F1"
    device: str | None = None

    @property
    def episode_start_ms(self) -> int:
        return self.event_ms

    @property
    def detected_ms(self) -> int:
        return self.event_ms + self.late_ms


def stream(
    values: list[str | None], every_min: int = 15, name: str = "LOG-A/temperature_c", **more: Any
) -> StreamSeen:
    t_ms = [T0 + i * every_min * MIN for i in range(len(values))]
    value_m = [0 if v is None else int(Decimal(v) * 1000) for v in values]
    return StreamSeen(name, points_of(t_ms, value_m, [v is None for v in values]), every_min * MIN, **more)


def seen(*streams: StreamSeen, **more: Any) -> EquipmentSeen:
    values: dict[str, Any] = {"eras": FRIDGE, "found": (), "alarms": ()}
    return EquipmentSeen("F1", "Kulkas 1", "refrigerator", streams, **(values | more))


def days(n: int, now_ms: int = T0 + 60 * DAY, first: int = 1) -> Period:
    return Period(date(2026, 11, first), date(2026, 11, n), JAYAPURA, now_ms)


def test_req_36_days_are_the_sites_and_a_period_that_runs_is_told_up_to_now() -> None:
    """20240103T163228Z is 4 Jan 01:32:28 in Jayapura; here 1 Nov begins at 31 Oct 15:00 UTC."""
    period = days(30, now_ms=T0 + 2 * DAY + HOUR)
    assert period.days()[0] == (FIRST, T0, T0 + DAY)
    assert [day.day for day, _, _ in period.days()] == [1, 2, 3]
    assert (period.from_ms, period.to_ms, period.over) == (T0, T0 + 2 * DAY + HOUR, False)
    assert days(2).over


def test_req_6_a_night_is_cut_at_the_sites_midnight() -> None:
    """8.5 from 19:00 to 06:00: daily minutes 300 and 360, of one excursion."""
    got = report_of(seen(stream([*["5"] * 76, *["8.5"] * 44, *["5"] * 72])), days(2))
    assert [d.spent.above_ms // MIN for d in got.days] == [300, 360]
    assert got.bands[-1].counts == (0, 0, 1)


def as_read(stream: StreamSeen, period: Period) -> StreamSeen:
    """What the store is asked for."""
    low, high = np.searchsorted(stream.points.t_ms, span_to_read(period, stream.interval_ms))
    return replace(stream, points=stream.points.part(int(low), int(high)))


def test_req_14_the_end_of_a_period_is_not_in_range_where_a_longer_report_says_unknown() -> None:
    """Interval 1 h, last reading 22:00, the next at 20:00 on the next day: 23 h in range, 1 h unknown, by either report."""
    told = stream(["5"] * 23 + [None] * 21 + ["5"] * 4, 60)
    points = told.points
    kept = np.flatnonzero(points.known)
    told = replace(told, points=points_of(points.t_ms[kept], points.low_m[kept]))
    for n in (1, 2):
        first_day = report_of(seen(as_read(told, days(n))), days(n)).days[0]
        assert (first_day.spent.in_ms, first_day.spent.unknown_ms) == (23 * HOUR, HOUR), n
    # A period that has just ended knows nothing of what comes: the gap rule holds the last value, as everywhere.
    just = days(1, now_ms=T0 + DAY)
    assert report_of(seen(as_read(told, just)), just).spent.unknown_ms == 0


def test_smile_15_what_goes_on_across_a_midnight_is_counted_once_by_its_whole_length() -> None:
    """8.5 from 19:00 to 06:00: an excursion of 11 h of the day in which it began; the next day has none."""
    night = stream([*["5"] * 76, *["8.5"] * 44, *["5"] * 72])
    first, second = (report_of(seen(as_read(night, p)), p) for p in (days(1), days(2, first=2)))
    assert [b.counts for b in first.bands] == [(0, 0, 0), (0, 0, 0), (0, 0, 1)]
    assert [b.counts for b in second.bands] == [(0, 0, 0)] * 3
    # The next day says its own minutes all the same; and a run that goes on for days is over 10 h in the day it began.
    assert second.spent.above_ms == 6 * HOUR
    hot = stream([*["5"] * 95, *["9"] * 300])
    assert report_of(seen(as_read(hot, days(1))), days(1)).bands[-1].counts == (0, 0, 1)
    # Made one hour after midnight: as long as it has lasted by then.
    assert report_of(seen(hot), days(1, now_ms=T0 + DAY + HOUR)).bands[-1].counts == (0, 1, 0)


def test_an_opening_across_a_midnight_is_counted_where_it_began_and_its_minutes_where_they_were() -> None:
    door = stream([*["0"] * 95, *["1"] * 3, *["0"] * 90], name="D/door_open")
    first, second = (report_of(seen(as_read(door, p)), p).doors for p in (days(1), days(2, first=2)))
    assert first is not None
    assert second is not None
    assert [(d.openings, d.open_s) for d in (*first, *second)] == [(1, 900), (0, 1800)]


def test_a_day_without_its_own_midnight_or_with_two_ends_all_the_same() -> None:
    """Sao Paulo left out 00:00 on 2018-11-04; St. John's went back over midnight on 2010-11-07: no hour is lost or told twice."""
    skipped = Period(date(2018, 11, 3), date(2018, 11, 5), ZoneInfo("America/Sao_Paulo"), T0)
    assert [(high - low) // HOUR for _, low, high in skipped.days()] == [24, 23, 24]
    back = Period(date(2010, 11, 6), date(2010, 11, 8), ZoneInfo("America/St_Johns"), T0)
    assert sum(high - low for _, low, high in back.days()) == back.to_ms - back.from_ms == 73 * HOUR


def test_a_day_with_heat_cold_and_freezing_is_told_minute_by_minute() -> None:
    """24 h every 15 min: 60 x 5, 16 x 9, 12 x 1, 8 x -1 -> 15 h in, 4 h above, 5 h below, of these 2 h freezing."""
    got = report_of(seen(stream([*["5"] * 60, *["9"] * 16, *["1"] * 12, *["-1"] * 8])), days(1))
    spent = got.spent
    assert (spent.in_ms, spent.above_ms, spent.below_ms, spent.freezing_ms, spent.unknown_ms) == (
        15 * HOUR, 4 * HOUR, 5 * HOUR, 2 * HOUR, 0,
    )  # fmt: skip
    assert (got.shares.in_range, got.shares.hot, got.shares.freezing) == (
        Decimal("62.5"), Decimal("16.7"), Decimal("8.3"),
    )  # fmt: skip
    assert got.extremes is not None
    assert (got.extremes.low_c, got.extremes.high_c) == (Decimal("-1.0"), Decimal("9.0"))
    assert [(b.label, b.counts) for b in got.bands] == [
        ("<-0.5", (0, 1, 0)),
        ("-0.5..2", (0, 1, 0)),
        (">8", (0, 1, 0)),
    ]
    assert got.mkt_c is not None
    assert got.availability.percent == Decimal("100.0")


def test_req_14_of_less_than_half_of_the_data_nothing_is_called_in_range() -> None:
    """47 of 96 quarters of the first day: 49.0 %, no share; minutes above are still said, for they are known."""
    got = report_of(seen(stream([*["5"] * 43, *["9"] * 4])), days(1))
    assert (got.availability.received, got.availability.percent) == (47, Decimal("49.0"))
    assert (got.shares.in_range, got.days[0].said) == (None, False)
    assert got.spent.above_ms == HOUR
    assert report_of(seen(), days(1)).shares.in_range is None


def test_req_38_uncalibrated_readings_are_left_out_and_their_share_is_said() -> None:
    """The certificate ended at noon: the second half is unknown, 50.0 % left out, and what it said is shown beside it."""
    gone = (Lapse(T0 + 12 * HOUR, None),)
    got = report_of(seen(stream([*["5"] * 48, *["9"] * 48], gone=gone)), days(1))
    assert (got.spent.in_ms, got.spent.above_ms, got.spent.unknown_ms) == (12 * HOUR, 0, 12 * HOUR)
    assert (got.left_out_readings, got.left_out_percent) == (48, Decimal("50.0"))
    assert got.left_out is not None
    assert got.left_out.high_c == Decimal("9.0")
    assert (got.availability.percent, got.counted.percent) == (Decimal("100.0"), Decimal("50.0"))
    # A second logger with a certificate tells what the first may not.
    other = stream(["5"] * 96, name="LOG-B/temperature_c")
    assert report_of(seen(stream(["9"] * 96, gone=(Lapse(T0, None),)), other), days(1)).shares.in_range == 100


def test_req_35_alarms_by_rule_and_the_times_of_their_answers() -> None:
    """Alarm 10:00, ack 10:25, resolved 12:00 -> 25 min, 120 min; one more that nobody answered, found five hours late."""
    ten = T0 + 10 * HOUR
    found = (
        Met("HEAT", ten, ten + 2 * HOUR),
        Met("HEAT", ten + DAY, ten + DAY + HOUR, kind="possible", late_ms=5 * HOUR),
        Met("FRZE", T0 - HOUR, T0 + HOUR),  # met the day before: its day counts, its alarm is that month's
        Met("BATTERY_LOW", ten, alarms=False),
    )
    alarms = (Answer(25 * MIN, 120 * MIN), Answer(None, None))
    got = report_of(seen(found=found, alarms=alarms), days(5))
    assert [(a.code, a.confirmed, a.possible) for a in got.alarms] == [("HEAT", 1, 1)]
    assert (got.answers.answer_middle_ms, got.answers.resolve_middle_ms) == (25 * MIN, 120 * MIN)
    assert (got.answers.answer_longest_ms, got.answers.resolve_longest_ms, got.answers.unanswered) == (
        25 * MIN, 120 * MIN, 1,
    )  # fmt: skip
    assert (got.alarm_days, got.late, got.latest_ms) == (2, 1, 5 * HOUR)


def test_doors_power_and_compressor_by_ds01_records_and_by_switches() -> None:
    """Records at the end of each quarter; the one of the first midnight is of the day before and is not told here."""
    rows = {
        "door_openings": ["9", *["1"] * 96],
        "door_open_s": ["500", *["30"] * 96],
        "mains_available_s": ["0", *["900"] * 92, *["0"] * 4],
        "compressor_run_s": ["0", *["450"] * 96],
    }
    got = report_of(seen(*(stream(list(v), name=f"EMD-1/{q}") for q, v in rows.items())), days(1))
    assert got.doors is not None
    assert [(d.day, d.openings, d.open_s) for d in got.doors] == [(FIRST, 96, 2880)]
    assert got.power is not None
    assert (got.power.percent, got.power.outages, got.power.longest_ms) == (Decimal("95.8"), 1, HOUR)
    assert got.compressor_percent == Decimal("50.0")
    switch = report_of(seen(stream(["0", "1", "0", "0"], name="D/door_open")), days(1))
    assert switch.doors is not None
    assert [(d.openings, d.open_s) for d in switch.doors] == [(1, 900)]
    assert (switch.power, switch.compressor_percent) == (None, None)
    assert report_of(seen(), days(1)).doors is None


def test_req_12_marked_time_of_a_place_is_not_in_range_though_another_logger_says_so() -> None:
    """LOG-B is marked from 02:00 to 05:00 and so has no value there; LOG-A reads 5.0 all day, and 9.0 from 04:00 to 04:30."""
    calm = stream(["5"] * 16 + ["9"] * 2 + ["5"] * 78)
    marked = stream(
        ["5"] * 8 + [None] * 12 + ["5"] * 76, name="LOG-B/temperature_c", marks=(Mark(T0 + 2 * HOUR, T0 + 5 * HOUR),)
    )
    got = report_of(seen(calm, marked), days(1)).spent
    assert (got.in_ms, got.out_ms, got.unknown_ms) == (21 * HOUR, 30 * MIN, 2 * HOUR + 30 * MIN)


def test_time_is_judged_by_the_limits_that_held_then() -> None:
    """9.0 all day; the upper edge was raised to 10 at noon: half of the day was out (decision 0023)."""
    wide = Profile("refrigerator", "2", Decimal("2.0"), Decimal("10.0"), ())
    eras = (*FRIDGE, Era(T0 + 12 * HOUR, (wide,)))
    got = report_of(seen(stream(["9"] * 96), eras=eras), days(1))
    assert (got.spent.above_ms, got.spent.in_ms, got.profile.version) == (12 * HOUR, 12 * HOUR, "2")


# --- rules ----------------------------------------------------------------------------------------------------

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""No test depends on how fast a loaded machine is."""
VALUES = st.none() | st.sampled_from([-3_000, -500, -499, 1_999, 2_000, 5_000, 8_000, 8_001, 12_000])


@st.composite
def points(draw: st.DrawFn) -> Points:
    rows = draw(st.lists(st.tuples(st.integers(-40, 400), VALUES), max_size=60))
    t_ms = [T0 + minute * 7 * MIN for minute, _ in rows]
    return points_of(t_ms, [v or 0 for _, v in rows], [v is None for _, v in rows])


@CALM
@given(points(), points(), st.lists(st.integers(0, 2880), max_size=4).map(sorted))
def test_in_out_and_unknown_are_the_whole_span_whatever_the_limits_and_certificates(
    one: Points, two: Points, turns: list[int]
) -> None:
    """Requirement 14 and design.md's promise 5: no time is lost, none is told twice, none is made up."""
    period = days(2)
    gone = tuple(Lapse(T0 + a * MIN, T0 + b * MIN) for a, b in zip(turns[::2], turns[1::2], strict=False) if a < b)
    eras = (*FRIDGE, *(Era(T0 + t * MIN, (PROFILES["freezer"],)) for t in turns[-1:]))
    streams = (StreamSeen("A/temperature_c", one, 7 * MIN, gone), StreamSeen("B/temperature_c", two, None))
    got = report_of(seen(*(s for s in streams if len(s.points)), eras=eras), period)
    for spent, length_ms in [(got.spent, 2 * DAY), *((d.spent, DAY) for d in got.days)]:
        assert spent.in_ms + spent.out_ms + spent.unknown_ms == length_ms
        assert max(spent.above_ms, spent.below_ms) <= spent.out_ms <= spent.above_ms + spent.below_ms
        assert spent.freezing_ms <= spent.below_ms
    total = got.days[0].spent + got.days[1].spent
    assert total == got.spent
    assert got.counted.received <= got.availability.received <= got.availability.expected


@CALM
@given(points())
def test_the_columns_say_what_the_counters_of_the_equipments_page_say(one: Points) -> None:
    """``alerts.counters`` over objects, the report over columns: one answer."""
    profile = PROFILES["refrigerator"]
    line: Stretches = cut(stretches_of(one, 7 * MIN, T0 + 2 * DAY), T0, T0 + 2 * DAY)
    made = line.segments()
    counted = tally(made, marks_of(profile), T0, T0 + 2 * DAY)
    beyond = {(b.mark.comparator, b.mark.limit_c): b.ms for b in counted.beyond}
    spent = spent_of(line, profile)
    assert (spent.above_ms, spent.below_ms, spent.freezing_ms, spent.unknown_ms) == (
        beyond[">", Decimal("8.0")],  # type: ignore[index]
        beyond["<", Decimal("2.0")],  # type: ignore[index]
        beyond["<=", Decimal("-0.5")],  # type: ignore[index]
        counted.unknown_ms,
    )
    parts = [spent_by_eras(line, FRIDGE, T0 + i * DAY, T0 + (i + 1) * DAY) for i in range(2)]
    assert parts[0] + parts[1] == spent
    assert np.all(line.to_ms[:-1] == line.from_ms[1:])


@st.composite
def whole_days(draw: st.DrawFn) -> Points:
    """Four days, many readings of them around midnights."""
    near = st.tuples(st.integers(0, 4), st.integers(-25, 25)).map(lambda at: at[0] * 206 + at[1])
    rows = draw(st.lists(st.tuples(near | st.integers(-40, 900), VALUES), max_size=60))
    return points_of([T0 + n * 7 * MIN for n, _ in rows], [v or 0 for _, v in rows], [v is None for _, v in rows])


@CALM
@given(whole_days(), whole_days(), st.integers(1, 3), st.integers(3 * 24 * 60 + 1, 6 * 24 * 60), st.booleans())
def test_any_cut_of_a_period_into_two_adds_up(
    one: Points, two: Points, cut_after: int, made_min: int, lapsed: bool
) -> None:
    """Two months are the two-month report: time, each day's line, readings, SMILE's bands, open doors."""
    made_ms = T0 + made_min * MIN
    gone = (Lapse(T0 + 30 * HOUR, T0 + 50 * HOUR),) if lapsed else ()
    doors = points_of(two.t_ms, (two.low_m > 5_000).astype(np.int64) * 1000, ~two.known)
    streams = (
        StreamSeen("A/temperature_c", one, 7 * MIN, gone),
        StreamSeen("B/temperature_c", two, 60 * MIN),
        StreamSeen("D/door_open", doors, 7 * MIN),
    )

    def made(first: int, last: int) -> EquipmentReport:
        period = days(last, made_ms, first)
        return report_of(seen(*(as_read(s, period) for s in streams)), period)

    whole, early, late = made(1, 4), made(1, cut_after), made(cut_after + 1, 4)
    assert early.spent + late.spent == whole.spent
    both, all_of_it = (
        [(d.day, d.spent, d.availability.percent, d.said, d.extremes) for d in told]
        for told in ((*early.days, *late.days), whole.days)
    )
    assert both == all_of_it
    assert early.readings + late.readings == whole.readings
    both_doors = [(d.day, d.open_s) for d in (early.doors or ()) + (late.doors or ())]
    assert both_doors == [(d.day, d.open_s) for d in whole.doors or ()]
    counts = [np.array([b.counts for b in part.bands] or [[0] * 3] * 3) for part in (early, late, whole)]
    assert (counts[0] + counts[1] == counts[2]).all()
