"""The figures of cold-chain 3.3, with the worked examples of requirements 14, 31, 35, 36 and 38."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alerts.bulk import points_by_stream, points_of
from alerts.bulk.stretches import Stretches, stretches_of
from alerts.convert import record_of
from alerts.equipment import kpis
from alerts.equipment.calibration import Lapse
from alerts.profiles import builtin_profiles
from alerts.rules import Profiles, judge

JAYAPURA = ZoneInfo("Asia/Jayapura")
DAY = 86_400_000
QUARTER = 900_000


def line_of(facts: list[Any], interval_ms: int = QUARTER) -> Stretches:
    (points,) = points_by_stream(facts).values()
    return stretches_of(points, interval_ms)


def times(*t_ms: int) -> Any:
    return np.array(t_ms, dtype=np.int64)


def test_req_14_72_of_96_is_75_percent(hand: Any) -> None:
    """cold-chain 6, 14: expected 96 a day, received 72 -> 75.0 %; readings that come twice count once."""
    told = [f.t_ms for f in hand.series(["5"] * 72)]
    got = kpis.availability([(times(*told, *told[:9]), QUARTER)], hand.T0, hand.T0 + DAY)
    assert (got.expected, got.received, got.percent, got.enough) == (96, 72, Decimal("75.0"), True)


def test_where_any_logger_has_a_reading_there_is_data(hand: Any) -> None:
    one = times(*(hand.T0 + i * QUARTER for i in range(24)))
    other = times(*(hand.T0 + i * QUARTER for i in range(12, 48)))
    got = kpis.availability([(one, QUARTER), (other, 2 * QUARTER)], hand.T0, hand.T0 + DAY)
    assert (got.expected, got.received) == (96, 49)  # the last reading of the other stands for half an hour
    assert kpis.availability([], hand.T0, hand.T0 + DAY).percent == Decimal("0.0")


STREAMS = st.lists(
    st.tuples(st.lists(st.integers(-20, 120).map(lambda t: t * 1000), max_size=20), st.integers(1, 30))
)


@given(STREAMS)
def test_req_14_availability_is_the_time_that_any_reading_stands_for(streams: list[tuple[list[int], int]]) -> None:
    """Second by second: in the span, and within one interval of a reading of any stream; order and repeats play no part."""
    told = [(times(*t_ms), interval_s * 1000) for t_ms, interval_s in streams]
    covered = {t // 1000 + s for t_ms, interval_s in streams for t in t_ms for s in range(interval_s)} & set(
        range(100)
    )
    got = kpis.availability(told, 0, 100_000)
    assert got.percent == kpis.percent(len(covered), 100)
    assert got.received * min((i for _, i in streams), default=900) <= len(covered)


def test_req_14_below_half_nothing_is_said_of_the_range() -> None:
    """47 of 96 is 49.0 %: no "in range" statement, though all that is known was in range."""
    for count, share in ((47, None), (48, Decimal("100.0"))):
        known = kpis.availability([(times(*(i * QUARTER for i in range(count))), QUARTER)], 0, DAY)
        spent = kpis.Spent(in_ms=count * QUARTER, unknown_ms=DAY - count * QUARTER)
        assert kpis.time_shares(spent, known).in_range == share


def test_shares_are_of_known_time() -> None:
    known = kpis.availability([(times(*(i * QUARTER for i in range(100))), QUARTER)], 0, 200 * QUARTER)
    spent = kpis.Spent(60, 40, 20, 20, 20, unknown_ms=100)
    got = kpis.time_shares(spent, known)
    assert (got.in_range, got.hot, got.freezing) == (Decimal("60.0"), Decimal("20.0"), Decimal("20.0"))
    assert kpis.time_shares(kpis.Spent(rangeless_ms=100), known).in_range is None


def test_least_greatest_and_time_weighted_mean(hand: Any) -> None:
    got = kpis.extremes(line_of(hand.series(["2", "8", "8", "8"])))
    assert got == kpis.Extremes(Decimal("2.0"), Decimal("8.0"), Decimal("6.50"))
    assert kpis.extremes(stretches_of(points_of([], []))) is None


def test_a_share_that_is_there_is_never_rounded_away() -> None:
    """A minute out of range in a month leaves 99.9, not 100.0; nothing is 0.0 but nothing."""
    assert [kpis.percent(n, 43_200) for n in (0, 1, 43_199, 43_200)] == [
        Decimal("0.0"), Decimal("0.1"), Decimal("99.9"), Decimal("100.0"),
    ]  # fmt: skip


def test_req_31_510_seconds_are_56_7_percent() -> None:
    """SVA 510 -> availability 56.7 % for that period; of nothing there is no share."""
    assert kpis.share_of_periods([510]) == Decimal("56.7")
    assert kpis.share_of_periods([900, 0, 450]) == Decimal("50.0")
    assert kpis.share_of_periods([]) is None


def test_req_31_the_longest_outage_is_without_a_missing_record() -> None:
    records = {i * QUARTER: 0 if 2 <= i < 10 or i > 12 else 900 for i in range(20) if i != 16}
    got = kpis.power_of_records(records)
    assert (got.outages, got.longest_ms) == (3, 8 * QUARTER)
    assert kpis.power_of_records({}) == kpis.Power(None, 0, 0, 0)
    assert kpis.power_of_records({0: 900}) == kpis.Power(Decimal("100.0"), 0, 0, QUARTER)


def test_a_switch_tells_outages_as_far_as_they_are_known(hand: Any) -> None:
    """On, off for 45 minutes, on; then off, a hole of three hours, off: two outages, for nobody knows the hole."""
    told = hand.series(["1", "0", "0", "0", "1", "0"], stream="LOG-A/mains_power_on")
    later = hand.series(["0", "1"], stream="LOG-A/mains_power_on", start_min=270)
    got = kpis.power_of_switch(line_of([*told, *later]))
    assert (got.outages, got.longest_ms, got.percent) == (3, 3 * QUARTER, Decimal("37.5"))


def test_req_36_door_openings_and_seconds_by_local_day(hand: Any) -> None:
    """A record at local midnight speaks of the day before (15:00 UTC in Jayapura)."""
    midnight = hand.T0 + 15 * hand.HOUR
    opened = kpis.opened_by_records({midnight: (2, 40), midnight + QUARTER: (1, 3)})
    days = kpis.door_days(opened, JAYAPURA)
    assert [(d.openings, d.open_s) for d in days] == [(2, 40), (1, 3)]
    assert days[1].day.toordinal() == days[0].day.toordinal() + 1


def test_a_door_switch_counts_an_opening_until_it_is_said_to_be_closed(hand: Any) -> None:
    """Open for two minutes in three words, closed, open for one: two openings, 180 s; a quiet day has its row of none."""
    values = ["0", "1", "1", "0", "1", "0", *["0"] * 1440]
    line = line_of(hand.series(values, 1, stream="LOG-A/door_open"), hand.MIN)
    days = kpis.door_days(kpis.opened_by_switch(line, 0, 1 << 60), JAYAPURA)
    assert [(d.openings, d.open_s) for d in days] == [(2, 180), (0, 0)]


def test_alarms_per_device_month_and_alarm_days(hand: Any) -> None:
    facts = hand.series([*["8.5"] * 60, "5"])
    found = judge(facts, Profiles(builtin_profiles(), {"F1": ("refrigerator",)}), facts[-1].t_ms)
    rate = kpis.alarms_per_device_month
    assert rate(found, frozenset({"HEAT"}), 2, hand.T0, hand.T0 + 15 * DAY) == Decimal("1.00")
    assert rate(found, frozenset({"HEAT"}), 0, 0, 1) is None
    days = kpis.alarm_days(found, JAYAPURA, hand.T0, hand.T0 + 5 * DAY)
    assert days == {date(2026, 9, 21), date(2026, 9, 22)}
    assert kpis.alarm_days(found, JAYAPURA, hand.T0 + 15 * hand.HOUR, hand.T0 + 5 * DAY) == {date(2026, 9, 22)}
    assert kpis.alarm_days(found, JAYAPURA, hand.T0 + 2 * DAY, hand.T0 + 5 * DAY) == set()


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
    silent = hand.found(facts, "OFFLINE", 5 * 1440, hand.logger())
    offline = [record_of(f, "S1") for f in silent]
    assert kpis.devices_offline(offline, hand.T0 + 2 * DAY) == ["LOG-A"]
    assert kpis.devices_offline(offline, facts[-1].t_ms) == []  # it was not, yet
    assert kpis.devices_uncalibrated({"A": [Lapse(5, None)], "B": [Lapse(5, 9)]}, 10) == ["A"]


def test_req_38_a_gxp_report_leaves_uncalibrated_readings_out_and_nothing_else_does(hand: Any) -> None:
    """The reading before the certificate's end holds on beyond it: it was taken with a certificate."""
    line = line_of(hand.series(["5"] * 4))
    left = kpis.calibrated_only(line, [Lapse(hand.T0 + 20 * hand.MIN, hand.T0 + 40 * hand.MIN)])
    assert left.known.tolist() == [True, True, False, True]
    assert (left.from_ms.tolist(), left.to_ms.tolist()) == (line.from_ms.tolist(), line.to_ms.tolist())
