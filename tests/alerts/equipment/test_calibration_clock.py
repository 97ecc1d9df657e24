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
from alerts.equipment.clock import Refusal, clock_fault, clock_findings
from alerts.rules import Level

MIN, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NUMBERS = builtin_thresholds()


@pytest.mark.parametrize(
    ("ahead_ms", "fault"), [(0, ""), (5 * MIN, ""), (5 * MIN + 1, "clock_ahead"), (400 * DAY, "clock_ahead")]
)
def test_req_10_later_than_receipt_by_more_than_5_minutes(ahead_ms: int, fault: str) -> None:
    """cold-chain 6, 10: ABST > receive time + 5 min; five minutes themselves are fine."""
    assert clock_fault(10 * DAY + ahead_ms, 10 * DAY) == fault


def test_req_10_before_the_device_was_in_service() -> None:
    """Before EDOP/LDOP: a clock that fell back to its birth."""
    assert clock_fault(9 * DAY - 1, 10 * DAY, in_service_ms=9 * DAY) == "before_service"
    assert clock_fault(9 * DAY, 10 * DAY, in_service_ms=9 * DAY) == ""


def test_req_10_refusals_of_a_day_are_one_alarm_whatever_their_order() -> None:
    told = [Refusal("F1", "LOG-A", "clock_ahead", t) for t in (HOUR, 2 * HOUR, 20 * HOUR)]
    (found,) = clock_findings([*reversed(told), told[0]], 21 * HOUR, NUMBERS)
    assert (found.code, found.level, found.event_ms, found.end_ms) == ("CLOCK", Level.ALARM, HOUR, None)
    (over,) = clock_findings(told, 20 * HOUR + DAY, NUMBERS)
    assert (over.finding_id, over.end_ms) == (found.finding_id, 20 * HOUR)
    later = Refusal("F1", "LOG-A", "clock_ahead", 20 * HOUR + DAY)
    assert len(clock_findings([*told, later], 3 * DAY, NUMBERS)) == 2


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


def test_req_38_a_lapse_is_found_when_it_has_begun() -> None:
    gone = [Lapse(100 * DAY, 130 * DAY), Lapse(500 * DAY, None)]
    assert calibration_findings("F1", "LOG-A", gone, 100 * DAY - 1, NUMBERS) == []
    (first,) = calibration_findings("F1", "LOG-A", gone, 110 * DAY, NUMBERS)
    assert (first.end_ms, first.level, first.alarms) == (None, Level.NOTICE, False)
    done, second = calibration_findings("F1", "LOG-A", gone, 501 * DAY, NUMBERS)
    assert (done.end_ms, second.end_ms) == (130 * DAY, None)


def test_req_38_a_correction_applies_from_its_date_only_and_the_raw_value_is_kept() -> None:
    told = [Correction(20 * DAY, Decimal("-0.3")), Correction(10 * DAY, Decimal("0.2"))]
    raw = Decimal("8.1")
    assert corrected(raw, 10 * DAY - 1, told).value_c == Decimal("8.1")
    assert corrected(raw, 10 * DAY, told).value_c == Decimal("8.3")
    after = corrected(raw, 25 * DAY, told)
    assert (after.raw_c, after.value_c, after.offset_c) == (raw, Decimal("7.8"), Decimal("-0.3"))
