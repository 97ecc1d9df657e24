"""The figures of cold-chain 3.3, as pure functions over facts, stretches and findings.

Shares are percent to a tenth, rounded half up; a share of time is of KNOWN time, and is not given at all (None) where less
than half of the data is there (requirement 14): then nobody says "in range". Minutes beyond a limit by day are
``alerts.counters.by_day``; MKT is ``alerts.mkt``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from statistics import median_high
from zoneinfo import ZoneInfo

from alerts.counters import Mark, Tally, local_day
from alerts.equipment.calibration import Lapse, mark
from alerts.rules.facts import degrees
from alerts.rules.finding import Kind, Level, RuleFinding
from alerts.rules.spans import Segment

PERIOD_S = 900
"""A DS01 record speaks of the 15 minutes before it."""
GAP_MS = 960_000
ENOUGH_PERCENT = Decimal(50)
MONTH_MS = 30 * 86_400_000
FOUND_LATE_MS = 15 * 60_000
"""Later than the end-to-end budget of an alarm (requirement 35) a finding was found late."""


def percent(part: int, whole: int) -> Decimal | None:
    """To a tenth; None of nothing."""
    return None if whole <= 0 else (Decimal(part) * 100 / Decimal(whole)).quantize(Decimal("0.1"), ROUND_HALF_UP)


# --- data and time ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Availability:
    """Periods of the interval that a span has, and those with a good reading."""

    expected: int
    received: int
    percent: Decimal | None

    @property
    def enough(self) -> bool:
        """Whether anything may be said of the span as a whole."""
        return self.percent is not None and self.percent >= ENOUGH_PERCENT


def availability(times_ms: Iterable[int], interval_ms: int, from_ms: int, to_ms: int) -> Availability:
    """Of good readings at these times. Each stands for one interval, so a burst counts once; jitter costs nothing."""
    covered_ms, held_to_ms = 0, from_ms
    for t_ms in sorted(set(times_ms)):
        start_ms, end_ms = max(t_ms, held_to_ms), min(t_ms + interval_ms, to_ms)
        covered_ms += max(0, end_ms - start_ms)
        held_to_ms = max(held_to_ms, end_ms)
    expected = (to_ms - from_ms) // interval_ms
    return Availability(expected, covered_ms // interval_ms, percent(covered_ms, to_ms - from_ms))


@dataclass(frozen=True, slots=True)
class TimeShares:
    """Percent of known time; all None where too little is known."""

    in_range: Decimal | None
    hot: Decimal | None
    freezing: Decimal | None


def time_shares(counted: Tally, hot: Mark, cold: Mark, freezing: Mark, known: Availability) -> TimeShares:
    """Of a span. ``hot`` and ``cold`` are the range's edges (``counters.marks_of``), ``freezing`` the freeze limit."""
    if not known.enough or counted.known_ms == 0:
        return TimeShares(None, None, None)
    beyond = {b.mark: b.ms for b in counted.beyond}
    inside_ms = counted.known_ms - beyond.get(hot, 0) - beyond.get(cold, 0)
    return TimeShares(
        percent(max(0, inside_ms), counted.known_ms),
        percent(beyond.get(hot, 0), counted.known_ms),
        percent(beyond.get(freezing, 0), counted.known_ms),
    )


@dataclass(frozen=True, slots=True)
class Extremes:
    """Least, greatest and time-weighted mean of known time (of a doubtful stretch the middle of what was said)."""

    low_c: Decimal
    high_c: Decimal
    mean_c: Decimal


def extremes(made: Iterable[Segment]) -> Extremes | None:
    """None where nothing is known."""
    known = [s for s in made if s.low_m is not None and s.high_m is not None and s.length_ms > 0]
    if not known:
        return None
    weighed = sum(((s.low_m or 0) + (s.high_m or 0)) * s.length_ms for s in known)
    mean_m = Decimal(weighed) / (2 * sum(s.length_ms for s in known))
    low_m, high_m = min(s.low_m or 0 for s in known), max(s.high_m or 0 for s in known)
    return Extremes(degrees(low_m), degrees(high_m), mean_m.scaleb(-3).quantize(Decimal("0.01"), ROUND_HALF_UP))


def calibrated_only(made: Iterable[Segment], gone: Sequence[Lapse]) -> list[Segment]:
    """Stretches without those whose reading is uncalibrated: for a GxP report (requirement 38); they stay elsewhere."""
    return [s for s in made if not mark(s.from_ms, gone)]


# --- alarms -----------------------------------------------------------------------------------------------


def alarms_per_device_month(
    found: Iterable[RuleFinding], codes: frozenset[str], devices: int, from_ms: int, to_ms: int
) -> Decimal | None:
    """Confirmed alarms of these codes, for a device and 30 days, to two places."""
    if devices <= 0 or to_ms <= from_ms:
        return None
    count = sum(f.code in codes and f.kind is Kind.CONFIRMED and from_ms <= f.event_ms < to_ms for f in found)
    months = Decimal(devices * (to_ms - from_ms)) / MONTH_MS
    return (Decimal(count) / months).quantize(Decimal("0.01"), ROUND_HALF_UP)


def alarm_days(found: Iterable[RuleFinding], zone: ZoneInfo, now_ms: int) -> set[date]:
    """Local days on which an alarm went on, from the reading by which it fired to the end of its episode."""
    days: set[date] = set()
    for f in found:
        if f.level is not Level.ALARM or f.kind is Kind.WITHDRAWN:
            continue
        first, last = local_day(f.event_ms, zone), local_day(max(f.event_ms, f.end_ms or now_ms), zone)
        days |= {date.fromordinal(n) for n in range(first.toordinal(), last.toordinal() + 1)}
    return days


def middle_ms(waits_ms: Iterable[int | None]) -> int | None:
    """The middle of the times to acknowledge or to resolve that are known (``Alarm.answer_ms``, ``.resolve_ms``)."""
    known = [w for w in waits_ms if w is not None]
    return median_high(known) if known else None


def found_late_ms(finding: RuleFinding) -> int | None:
    """By how much a finding was found late (smile-and-waste 8, 13), None where it was found in time."""
    late_ms = finding.detected_ms - finding.event_ms
    return late_ms if late_ms > FOUND_LATE_MS else None


# --- power, door, compressor ------------------------------------------------------------------------------


def share_of_periods(seconds: Sequence[int]) -> Decimal | None:
    """Power availability (SVA) or compressor duty (CMPR): seconds of the periods that were told. 510 of 900 is 56.7."""
    return percent(sum(seconds), PERIOD_S * len(seconds))


def longest_outage_ms(records: Mapping[int, int]) -> int:
    """The longest run of records (time -> seconds of mains) without any; a missing record ends the run that is sure."""
    best_ms = run_ms = 0
    times = sorted(records)
    for before_ms, t_ms in pairwise((times[0] - GAP_MS - 1, *times) if times else ()):
        if records[t_ms] > 0:
            run_ms = 0
            continue
        step_ms = t_ms - before_ms
        run_ms = run_ms + step_ms if run_ms and step_ms <= GAP_MS else PERIOD_S * 1000
        best_ms = max(best_ms, run_ms)
    return best_ms


@dataclass(frozen=True, slots=True)
class DoorDay:
    """One local day of a door."""

    day: date
    openings: int
    open_s: int


def door_days(records: Mapping[int, tuple[int, int]], zone: ZoneInfo) -> list[DoorDay]:
    """Of records (time -> openings, seconds open); each counts for the day in which its period began."""
    days: dict[date, tuple[int, int]] = {}
    for t_ms, (openings, open_s) in records.items():
        day = local_day(t_ms - PERIOD_S * 1000, zone)
        n, s = days.get(day, (0, 0))
        days[day] = (n + openings, s + open_s)
    return [DoorDay(day, *days[day]) for day in sorted(days)]


# --- devices and equipment --------------------------------------------------------------------------------


def devices_offline(found: Iterable[RuleFinding]) -> int:
    """Devices that are offline now (``OFFLINE`` that goes on)."""
    return len({f.finding_id for f in found if f.code == "OFFLINE" and f.end_ms is None})


def devices_uncalibrated(gone: Mapping[str, Sequence[Lapse]], now_ms: int) -> list[str]:
    """Serials whose certificate is not in force."""
    return sorted(serial for serial, lapses in gone.items() if mark(now_ms, lapses))


def not_working(found: Iterable[RuleFinding], now_ms: int, days: int) -> list[str]:
    """Equipment with an alarm over its temperature or power that has gone on for more than so many days."""
    codes = frozenset({"HEAT", "FRZE", "COLD", "POWR"})
    return sorted(
        {
            f.equipment
            for f in found
            if f.code in codes and f.alarms and f.end_ms is None and now_ms - f.episode_start_ms > days * 86_400_000
        }
    )
