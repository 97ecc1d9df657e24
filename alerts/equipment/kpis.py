"""The figures of cold-chain 3.3, as pure functions over stretches in columns, records of devices and findings.

Shares are percent to a tenth, rounded half up, but 0.0 is none and 100.0 is all. A share of time is of KNOWN time, and is not
given at all (None) where less than half of the data is there (requirement 14): then nobody says "in range".
``alerts.report`` puts them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from statistics import median_high
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np

from alerts.bulk.points import Flags, Whole
from alerts.bulk.stretches import Stretches
from alerts.counters import local_day
from alerts.equipment.calibration import Lapse, mark
from alerts.rules.facts import degrees

PERIOD_MS = 900_000
"""A DS01 record speaks of the 15 minutes before it (facts/cold-chain.md 1.3)."""
GAP_MS = 960_000
ENOUGH_PERCENT = Decimal(50)
MONTH_MS = 30 * 86_400_000
FOUND_LATE_MS = 15 * 60_000
"""Later than the end-to-end budget of an alarm (requirement 35) a finding was found late."""


class Found(Protocol):
    """A finding, as the rules say it or as the records keep it (there ``device`` names the device it is of)."""

    @property
    def code(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def alarms(self) -> bool: ...
    @property
    def equipment(self) -> str | None: ...
    @property
    def episode_start_ms(self) -> int: ...
    @property
    def event_ms(self) -> int: ...
    @property
    def end_ms(self) -> int | None: ...
    @property
    def detected_ms(self) -> int: ...


class FoundOfDevice(Found, Protocol):
    """A finding that names its device."""

    @property
    def device(self) -> str | None: ...


def percent(part: int, whole: int) -> Decimal | None:
    """To a tenth; None of nothing. A part that is there, or one that is missing, is never rounded away."""
    if whole <= 0:
        return None
    if part in (0, whole):
        return Decimal("0.0") if part == 0 else Decimal("100.0")
    share = (Decimal(part) * 100 / Decimal(whole)).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return min(max(share, Decimal("0.1")), Decimal("99.9"))


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


def availability(told: Sequence[tuple[Whole, int]], from_ms: int, to_ms: int) -> Availability:
    """Of streams (times of good readings, interval in ms): where any of them has one, there is data.

    Each reading stands for one interval, so a burst counts once; jitter costs nothing. Periods are of the shortest interval.
    """
    period_ms = min((interval_ms for _, interval_ms in told), default=PERIOD_MS)
    starts = np.concatenate([np.zeros(0, np.int64), *(times for times, _ in told)])
    lengths = np.concatenate([np.zeros(0, np.int64), *(np.full(times.size, each) for times, each in told)])
    order = np.argsort(starts, kind="stable")
    low, high = np.maximum(starts[order], from_ms), np.minimum(starts[order] + lengths[order], to_ms)
    held = np.concatenate(([from_ms], np.maximum.accumulate(high)[:-1])) if high.size else high
    covered_ms = int(np.maximum(high - np.maximum(low, held), 0).sum())
    return Availability((to_ms - from_ms) // period_ms, covered_ms // period_ms, percent(covered_ms, to_ms - from_ms))


@dataclass(frozen=True, slots=True)
class Spent:
    """How a span was spent, in whole ms: ``in_ms + out_ms + unknown_ms`` is its length.

    ``above_ms`` and ``below_ms`` are the two sides of ``out_ms``; while readings contradict each other both may count.
    ``freezing_ms``: beyond the freeze limit. Where the equipment has no range, known time is ``rangeless_ms``
    and none of them.
    """

    in_ms: int = 0
    out_ms: int = 0
    above_ms: int = 0
    below_ms: int = 0
    freezing_ms: int = 0
    unknown_ms: int = 0
    rangeless_ms: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.in_ms + other.in_ms,
            self.out_ms + other.out_ms,
            self.above_ms + other.above_ms,
            self.below_ms + other.below_ms,
            self.freezing_ms + other.freezing_ms,
            self.unknown_ms + other.unknown_ms,
            self.rangeless_ms + other.rangeless_ms,
        )

    @property
    def known_ms(self) -> int:
        return self.in_ms + self.out_ms + self.rangeless_ms


@dataclass(frozen=True, slots=True)
class TimeShares:
    """Percent of known time; all None where too little is known."""

    in_range: Decimal | None
    hot: Decimal | None
    freezing: Decimal | None


def time_shares(spent: Spent, known: Availability) -> TimeShares:
    """Of a span with a range."""
    if not known.enough or spent.known_ms == 0 or spent.rangeless_ms:
        return TimeShares(None, None, None)
    return TimeShares(
        percent(spent.in_ms, spent.known_ms),
        percent(spent.above_ms, spent.known_ms),
        percent(spent.freezing_ms, spent.known_ms),
    )


@dataclass(frozen=True, slots=True)
class Extremes:
    """Least, greatest and time-weighted mean of known time (of a doubtful stretch the middle of what was said)."""

    low_c: Decimal
    high_c: Decimal
    mean_c: Decimal


def extremes(line: Stretches) -> Extremes | None:
    """None where nothing is known."""
    known = line.known & (line.length_ms > 0)
    if not bool(known.any()):
        return None
    low_m, high_m, length_ms = line.low_m[known], line.high_m[known], line.length_ms[known]
    mean_m = Decimal(int(((low_m + high_m) * length_ms).sum())) / (2 * int(length_ms.sum()))
    return Extremes(
        degrees(int(low_m.min())),
        degrees(int(high_m.max())),
        mean_m.scaleb(-3).quantize(Decimal("0.01"), ROUND_HALF_UP),
    )


def calibrated(t_ms: Whole, gone: Sequence[Lapse]) -> Flags:
    """Which readings of these times have a certificate in force (requirement 38)."""
    yes = np.ones(t_ms.size, np.bool_)
    for lapse in gone:
        yes &= (t_ms < lapse.from_ms) | (False if lapse.to_ms is None else t_ms >= lapse.to_ms)
    return yes


def calibrated_only(line: Stretches, gone: Sequence[Lapse]) -> Stretches:
    """The stretches whose reading is uncalibrated made unknown: for a GxP report (requirement 38); they stay elsewhere."""
    left_out = line.known & ~calibrated(line.from_ms, gone)
    return replace(
        line,
        known=line.known & ~left_out,
        doubtful=line.doubtful | left_out,
        breaks=line.breaks | left_out,
        reading=line.reading & ~left_out,
    )


# --- alarms -----------------------------------------------------------------------------------------------


def alarms_per_device_month(
    found: Iterable[Found], codes: frozenset[str], devices: int, from_ms: int, to_ms: int
) -> Decimal | None:
    """Confirmed alarms of these codes, for a device and 30 days, to two places."""
    if devices <= 0 or to_ms <= from_ms:
        return None
    count = sum(f.code in codes and f.kind == "confirmed" and from_ms <= f.event_ms < to_ms for f in found)
    months = Decimal(devices * (to_ms - from_ms)) / MONTH_MS
    return (Decimal(count) / months).quantize(Decimal("0.01"), ROUND_HALF_UP)


def alarm_days(found: Iterable[Found], zone: ZoneInfo, from_ms: int, to_ms: int) -> set[date]:
    """Local days of [from, to) on which an alarm went on, from the reading by which it fired to the end of its episode."""
    days: set[date] = set()
    for f in found:
        if not f.alarms or f.kind == "withdrawn" or f.event_ms >= to_ms:
            continue
        last_ms = to_ms - 1 if f.end_ms is None else min(max(f.event_ms, f.end_ms), to_ms - 1)
        if last_ms >= from_ms:
            first, last = local_day(max(f.event_ms, from_ms), zone), local_day(last_ms, zone)
            days |= {date.fromordinal(n) for n in range(first.toordinal(), last.toordinal() + 1)}
    return days


def middle_ms(waits_ms: Iterable[int | None]) -> int | None:
    """The middle of the times to acknowledge or to resolve that are known (``Alarm.answer_ms``, ``.resolve_ms``)."""
    known = [w for w in waits_ms if w is not None]
    return median_high(known) if known else None


def found_late_ms(finding: Found) -> int | None:
    """By how much a finding was found late (smile-and-waste 8, 13), None where it was found in time."""
    late_ms = finding.detected_ms - finding.event_ms
    return late_ms if late_ms > FOUND_LATE_MS else None


# --- power, door, compressor ------------------------------------------------------------------------------


def share_of_periods(seconds: Sequence[int]) -> Decimal | None:
    """Power availability (SVA) or compressor duty (CMPR): seconds of the periods that were told. 510 of 900 is 56.7."""
    return percent(sum(seconds) * 1000, PERIOD_MS * len(seconds))


@dataclass(frozen=True, slots=True)
class Power:
    """Mains of a span. ``percent`` of what was told; ``outages`` and the longest of them as far as they are sure."""

    percent: Decimal | None
    outages: int
    longest_ms: int
    told_ms: int


def power_of_records(records: Mapping[int, int]) -> Power:
    """Of DS01 records (time -> seconds of mains). A missing record ends the outage that is sure."""
    lengths: list[int] = []
    times = sorted(records)
    for before_ms, t_ms in pairwise((times[0] - GAP_MS - 1, *times) if times else ()):
        if records[t_ms] > 0:
            continue
        if lengths and records.get(before_ms) == 0 and t_ms - before_ms <= GAP_MS:
            lengths[-1] += t_ms - before_ms
        else:
            lengths.append(PERIOD_MS)
    share = share_of_periods([records[t] for t in times])
    return Power(share, len(lengths), max(lengths, default=0), PERIOD_MS * len(times))


def power_of_switch(line: Stretches) -> Power:
    """Of a device that says on (1) or off (0), by the gap rule: unknown time is neither, and ends the outage that is sure."""
    runs = runs_of(line.known & (line.low_m <= 0))
    lengths = [int(line.to_ms[last] - line.from_ms[first]) for first, last in runs]
    known_ms = int(line.length_ms[line.known].sum())
    return Power(percent(known_ms - sum(lengths), known_ms), len(lengths), max(lengths, default=0), known_ms)


def runs_of(which: Flags) -> list[tuple[int, int]]:
    """(first, last) places of each unbroken run of True."""
    edges = np.diff(np.concatenate(([False], which, [False])).astype(np.int8))
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class DoorDay:
    """One local day of a door; a day of which nothing was told has no row."""

    day: date
    openings: int
    open_s: int


Opened = tuple[int, int, int]
"""(when it began, openings, ms open)."""


def opened_by_records(records: Mapping[int, tuple[int, int]]) -> list[Opened]:
    """Of DS01 records (time -> openings, seconds open): each speaks of the period that ends there."""
    return [(t_ms - PERIOD_MS, openings, open_s * 1000) for t_ms, (openings, open_s) in records.items()]


def opened_by_switch(line: Stretches, from_ms: int, to_ms: int) -> list[Opened]:
    """What a device that says open (1) or closed (0) said in [from, to).

    Open time is what the gap rule holds, so it is "at least". One opening lasts until it is said to be closed; one that had
    begun before counts there, as far back as ``line`` goes: after a silence before ``from_ms`` an open door counts anew. Of
    closed time one word a quarter of an hour: that day was watched.
    """
    known = np.flatnonzero(line.known)
    low_ms, is_open = line.from_ms[known], line.high_m[known] > 0
    begins = is_open & ~np.concatenate(([False], is_open[:-1]))
    lengths = np.where(is_open, line.length_ms[known], 0)
    said = is_open | (np.diff(low_ms // PERIOD_MS, prepend=-1) != 0)
    said &= (low_ms >= from_ms) & (low_ms < to_ms)
    columns = (low_ms, begins.astype(np.int64), lengths)
    return list(zip(*(column[said].tolist() for column in columns), strict=True))


def door_days(opened: Iterable[Opened], zone: ZoneInfo) -> list[DoorDay]:
    """By local day (requirement 36); what was told counts for the day in which it began."""
    days: dict[date, tuple[int, int]] = {}
    for from_ms, openings, open_ms in opened:
        day = local_day(from_ms, zone)
        n, ms = days.get(day, (0, 0))
        days[day] = (n + openings, ms + open_ms)
    return [DoorDay(day, days[day][0], days[day][1] // 1000) for day in sorted(days)]


# --- devices and equipment --------------------------------------------------------------------------------


def _goes_on(finding: Found, at_ms: int) -> bool:
    return finding.event_ms <= at_ms and (finding.end_ms is None or finding.end_ms > at_ms)


def devices_offline(found: Iterable[FoundOfDevice], at_ms: int) -> list[str]:
    """Serials of the devices that were offline at that time (``OFFLINE``)."""
    return sorted({f.device or "" for f in found if f.code == "OFFLINE" and _goes_on(f, at_ms)})


def devices_uncalibrated(gone: Mapping[str, Sequence[Lapse]], at_ms: int) -> list[str]:
    """Serials whose certificate was not in force at that time."""
    return sorted(serial for serial, lapses in gone.items() if mark(at_ms, lapses))


def not_working(found: Iterable[Found], at_ms: int, days: int) -> list[str]:
    """Equipment with an alarm over its temperature or power that had gone on for more than so many days at that time."""
    codes = frozenset({"HEAT", "FRZE", "COLD", "POWR"})
    return sorted(
        {
            f.equipment or ""
            for f in found
            if f.code in codes
            and f.alarms
            and f.kind != "withdrawn"
            and _goes_on(f, at_ms)
            and at_ms - f.episode_start_ms > days * 86_400_000
        }
    )
