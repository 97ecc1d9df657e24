"""The figures of cold-chain 3.3, with the worked examples of requirements 14, 31, 35 and 38."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from alerts.counters import marks_of, tally
from alerts.equipment import kpis
from alerts.equipment.calibration import Lapse
from alerts.profiles import builtin_profiles
from alerts.rules import Profiles, judge, segments
from alerts.rules.facts import plain_points

JAYAPURA = ZoneInfo("Asia/Jayapura")
REFRIGERATOR = builtin_profiles()["refrigerator"]
DAY = 86_400_000


def test_req_14_72_of_96_is_75_percent(hand: Any) -> None:
    """cold-chain 6, 14: expected 96 a day, received 72 -> 75.0 %."""
    times = [f.t_ms for f in hand.series(["5"] * 72)]
    got = kpis.availability([*times, *times[:9]], 900_000, hand.T0, hand.T0 + DAY)
    assert (got.expected, got.received, got.percent, got.enough) == (96, 72, Decimal("75.0"), True)


def test_req_14_below_half_nothing_is_said_of_the_range(hand: Any) -> None:
    """47 of 96 is 49.0 %: no "in range" statement, though all that is known was in range."""
    hot, cold, freezing = (
        _mark(comparator, limit) for comparator, limit in ((">", "8.0"), ("<", "2.0"), ("<=", "-0.5"))
    )
    marks = marks_of(REFRIGERATOR)
    for count, share in ((47, None), (48, Decimal("100.0"))):
        facts = hand.series(["5"] * count)
        known = kpis.availability([f.t_ms for f in facts], 900_000, hand.T0, hand.T0 + DAY)
        counted = tally(segments(plain_points(facts), 900_000), marks, hand.T0, hand.T0 + DAY)
        assert kpis.time_shares(counted, hot, cold, freezing, known).in_range == share


def _mark(comparator: str, limit: str) -> Any:
    return next(m for m in marks_of(REFRIGERATOR) if (m.comparator, m.limit_c) == (comparator, Decimal(limit)))


def test_shares_are_of_known_time(hand: Any) -> None:
    facts = hand.series([*["5"] * 60, *["9"] * 20, *["-1"] * 20])
    to_ms = hand.T0 + 100 * 900_000
    known = kpis.availability([f.t_ms for f in facts], 900_000, hand.T0, to_ms)
    counted = tally(segments(plain_points(facts), 900_000), marks_of(REFRIGERATOR), hand.T0, to_ms)
    got = kpis.time_shares(counted, _mark(">", "8.0"), _mark("<", "2.0"), _mark("<=", "-0.5"), known)
    assert (got.in_range, got.hot, got.freezing) == (Decimal("60.0"), Decimal("20.0"), Decimal("20.0"))


def test_least_greatest_and_time_weighted_mean(hand: Any) -> None:
    facts = hand.series(["2", "8", "8", "8"])
    got = kpis.extremes(segments(plain_points(facts), 900_000))
    assert got == kpis.Extremes(Decimal("2.0"), Decimal("8.0"), Decimal("6.50"))
    assert kpis.extremes([]) is None


def test_req_31_510_seconds_are_56_7_percent(hand: Any) -> None:
    """SVA 510 -> availability 56.7 % for that period; of nothing there is no share."""
    assert kpis.share_of_periods([510]) == Decimal("56.7")
    assert kpis.share_of_periods([900, 0, 450]) == Decimal("50.0")
    assert kpis.share_of_periods([]) is None


def test_the_longest_outage_is_without_a_missing_record(hand: Any) -> None:
    quarter = 900_000
    records = {i * quarter: 0 if 2 <= i < 10 or i > 12 else 900 for i in range(20) if i != 16}
    assert kpis.longest_outage_ms(records) == 8 * quarter
    assert kpis.longest_outage_ms({}) == 0
    assert kpis.longest_outage_ms({0: 900}) == 0


def test_door_openings_and_seconds_by_local_day(hand: Any) -> None:
    """A record at local midnight speaks of the day before (15:00 UTC in Jayapura)."""
    midnight = hand.T0 + 15 * hand.HOUR
    days = kpis.door_days({midnight: (2, 40), midnight + 900_000: (1, 3)}, JAYAPURA)
    assert [(d.openings, d.open_s) for d in days] == [(2, 40), (1, 3)]
    assert days[1].day.toordinal() == days[0].day.toordinal() + 1


def test_alarms_per_device_month_and_alarm_days(hand: Any) -> None:
    facts = hand.series([*["8.5"] * 60, "5"])
    found = judge(facts, Profiles(builtin_profiles(), {"F1": ("refrigerator",)}), facts[-1].t_ms)
    assert kpis.alarms_per_device_month(found, frozenset({"HEAT"}), 2, hand.T0, hand.T0 + 15 * DAY) == Decimal("1.00")
    assert kpis.alarms_per_device_month(found, frozenset({"HEAT"}), 0, 0, 1) is None
    days = kpis.alarm_days(found, JAYAPURA, facts[-1].t_ms)
    assert days == {date.fromordinal(date(2026, 9, 21).toordinal() + n) for n in (0, 1)}


def test_req_35_times_to_answer_and_to_resolve() -> None:
    """Alarm 10:00, ack 10:25, resolved 12:00 -> 25 min, 120 min (the records say them); here their middle."""
    assert kpis.middle_ms([25 * 60_000, None]) == 25 * 60_000
    assert kpis.middle_ms([120 * 60_000, 60_000, 130 * 60_000]) == 120 * 60_000
    assert kpis.middle_ms([None]) is None


def test_offline_uncalibrated_and_not_working(hand: Any) -> None:
    facts = hand.series(["8.5"] * 60)
    found = judge(facts, Profiles(builtin_profiles(), {"F1": ("refrigerator",)}), facts[-1].t_ms)
    assert kpis.not_working(found, hand.T0 + 3 * DAY, 3) == []
    assert kpis.not_working(found, hand.T0 + 3 * DAY + 1, 3) == ["F1"]
    offline = hand.found(facts, "OFFLINE", 5 * 1440)
    assert kpis.devices_offline(offline) == 1
    assert kpis.devices_uncalibrated({"A": [Lapse(5, None)], "B": [Lapse(5, 9)]}, 10) == ["A"]


def test_req_38_a_gxp_report_leaves_uncalibrated_readings_out_and_nothing_else_does(hand: Any) -> None:
    made = segments(plain_points(hand.series(["5"] * 4)), 900_000)
    gone = [Lapse(hand.T0 + 30 * hand.MIN, None)]
    assert [s.from_ms for s in kpis.calibrated_only(made, gone)] == [hand.T0, hand.T0 + 15 * hand.MIN]
