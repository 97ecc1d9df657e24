"""Requirements 10 and 38 of cold-chain 6: clocks that cannot be right, certificates and corrections."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from alerts.equipment import builtin_thresholds
from alerts.equipment.calibration import (
    Certificate,
    Correction,
    Lapse,
    calibration_findings,
    corrected,
    expires_on,
    lapses,
    mark,
)
from alerts.equipment.clock import Refusal, clock_findings, with_beginnings
from alerts.equipment.homes import home_at, stays, within
from alerts.rules import Level

MIN, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NUMBERS = builtin_thresholds()


def test_req_10_refusals_of_a_day_are_one_alarm_whatever_their_order() -> None:
    told = [Refusal("F1", "LOG-A", "clock_ahead", t) for t in (HOUR, 2 * HOUR, 20 * HOUR)]
    (found,) = clock_findings([*reversed(told), told[0]], 21 * HOUR, NUMBERS)
    assert (found.code, found.level, found.event_ms, found.end_ms) == ("CLOCK", Level.ALARM, HOUR, None)
    (over,) = clock_findings(told, 20 * HOUR + DAY, NUMBERS)
    assert (over.finding_id, over.end_ms) == (found.finding_id, 20 * HOUR)
    later = Refusal("F1", "LOG-A", "clock_ahead", 20 * HOUR + DAY)
    assert len(clock_findings([*told, later], 3 * DAY, NUMBERS)) == 2


def test_req_10_a_run_of_refusals_keeps_its_name_when_its_beginning_is_no_longer_read() -> None:
    """One every 20 h for 100 days, of which 60 are read: one alarm all the time, over when they stop, then history."""
    told = [Refusal("F1", "LOG-A", "clock_ahead", i * 20 * HOUR) for i in range(120)]
    (first,) = said = clock_findings(told[:1], HOUR, NUMBERS)
    for day in range(1, 190):
        from_ms, now_ms = (day - 60) * DAY, day * DAY
        known = [r for r in told if from_ms <= r.received_ms <= now_ms]
        said = with_beginnings(clock_findings(known, now_ms, NUMBERS), said, from_ms, NUMBERS)
        if day <= 159:
            (found,) = said
            assert found.finding_id == first.finding_id
            assert found.end_ms == (None if day < 101 else told[-1].received_ms)
    assert said == []


def test_req_10_a_run_said_before_a_long_stop_ends_with_its_last_refusal() -> None:
    told = [Refusal("F1", "LOG-A", "clock_ahead", t) for t in (HOUR, 2 * HOUR)]
    said = clock_findings(told, 3 * HOUR, NUMBERS)
    later = clock_findings([Refusal("F1", "LOG-A", "clock_ahead", 95 * DAY)], 95 * DAY, NUMBERS)
    new, old = with_beginnings(later, said, 40 * DAY, NUMBERS)
    assert (old.finding_id, old.end_ms) == (said[0].finding_id, 2 * HOUR)
    assert [new] == later


def test_a_lapse_belongs_to_where_the_device_stood() -> None:
    """F1 until day 10 (and before anybody said so), nowhere until day 12, F2 until day 20, F1 again."""
    there = stays(
        [(DAY, None), (2 * DAY, "F1"), (5 * DAY, "F1"), (10 * DAY, None), (12 * DAY, "F2"), (20 * DAY, "F1")]
    )
    assert [home_at(there, t * DAY) for t in (0, 9, 10, 11, 12, 19, 20, 99)] == [
        "F1", "F1", None, None, "F2", "F2", "F1", "F1",
    ]  # fmt: skip
    gone = [Lapse(3 * DAY, 4 * DAY), Lapse(9 * DAY, None)]
    assert within(gone, there, "F1") == [Lapse(3 * DAY, 4 * DAY), Lapse(9 * DAY, 10 * DAY), Lapse(20 * DAY, None)]
    assert within(gone, there, "F2") == [Lapse(12 * DAY, 20 * DAY)]
    assert within(gone, there, "F3") == []
    assert stays([]) == []


def test_req_38_a_certificate_is_good_for_12_months_by_default_and_24_at_most() -> None:
    assert expires_on(date(2026, 3, 10)) == date(2027, 3, 10)
    assert expires_on(date(2026, 3, 10), 24) == date(2028, 3, 10)
    assert expires_on(date(2026, 8, 31), 18) == date(2028, 2, 29)
    with pytest.raises(ValueError, match="1 to 24 months"):
        expires_on(date(2026, 3, 10), 25)


def test_req_38_readings_after_the_certificate_stay_and_are_marked() -> None:
    """The instant of expiry is marked; a later certificate ends the lapse when it was entered, and not before."""
    told = [Certificate(0, 100 * DAY), Certificate(130 * DAY, 500 * DAY)]
    gone = lapses(told)
    assert gone == [Lapse(100 * DAY, 130 * DAY), Lapse(500 * DAY, None)]
    assert [mark(t * DAY, gone) for t in (99, 100, 129, 130, 499, 500)] == [
        "", "uncalibrated", "uncalibrated", "", "", "uncalibrated",
    ]  # fmt: skip
    assert lapses([Certificate(0, None)]) == []
    assert lapses([Certificate(0, 100 * DAY), Certificate(50 * DAY, 500 * DAY)]) == [Lapse(500 * DAY, None)]
    assert lapses(reversed(told)) == gone


def test_req_38_to_clear_an_ended_certificate_makes_nothing_calibrated() -> None:
    """Ended on day 100, cleared on day 110: lapsed until a certificate with a later end comes (found in review)."""
    cleared = [Certificate(0, 100 * DAY), Certificate(110 * DAY, None)]
    assert lapses(cleared) == [Lapse(100 * DAY, None)]
    assert lapses([*cleared, Certificate(120 * DAY, 90 * DAY)]) == [Lapse(90 * DAY, None)]
    assert lapses([*cleared, Certificate(130 * DAY, 500 * DAY)]) == [
        Lapse(100 * DAY, 130 * DAY), Lapse(500 * DAY, None),
    ]  # fmt: skip
    assert lapses([Certificate(0, 100 * DAY), Certificate(100 * DAY, None)]) == [Lapse(100 * DAY, None)]
    # One that was in force was entered in error: as before it, nothing is known.
    assert lapses([Certificate(0, 100 * DAY), Certificate(50 * DAY, None)]) == []


def test_req_38_a_lapse_is_found_when_it_has_begun() -> None:
    gone = [Lapse(100 * DAY, 130 * DAY), Lapse(500 * DAY, None)]
    assert calibration_findings("F1", "LOG-A", gone, 100 * DAY - 1, NUMBERS) == []
    (first,) = calibration_findings("F1", "LOG-A", gone, 110 * DAY, NUMBERS)
    assert (first.end_ms, first.level, first.alarms) == (None, Level.NOTICE, False)
    done, second = calibration_findings("F1", "LOG-A", gone, 501 * DAY, NUMBERS)
    assert (done.end_ms, second.end_ms) == (130 * DAY, None)


def test_req_38_a_correction_applies_from_its_date_only_and_the_raw_value_is_kept() -> None:
    told = [Correction(10 * DAY, Decimal("0.2")), Correction(20 * DAY, Decimal("-0.3"))]
    raw = Decimal("8.1")
    assert corrected(raw, 10 * DAY - 1, told).value_c == Decimal("8.1")
    assert corrected(raw, 10 * DAY, told).value_c == Decimal("8.3")
    after = corrected(raw, 25 * DAY, told)
    assert (after.raw_c, after.value_c, after.offset_c) == (raw, Decimal("7.8"), Decimal("-0.3"))
