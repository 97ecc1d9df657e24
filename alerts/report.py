"""The report of a period: what a site's equipment and devices did, in the figures of cold-chain 3.3. Pure.

It is a GxP report (requirement 38): temperatures are of readings whose device had a certificate in force, and what was
left out is said. Time is judged by the limits that held then (decision 0023), days are the site's (requirement 36),
and what nobody knows is unknown: "in range" is not said of a span of which less than half is there (requirement 14).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np

from alerts.amended import Amendments, Mark, within
from alerts.bulk.pace import Pace
from alerts.bulk.points import Flags, Points, Whole
from alerts.bulk.stretches import Stretches, cut, merge, shade, stretches_of, unknown
from alerts.counters import midnight_ms
from alerts.equipment.calibration import Correction, Lapse
from alerts.equipment.kpis import (
    Availability,
    DoorDay,
    Extremes,
    Found,
    FoundOfDevice,
    Opened,
    Power,
    Spent,
    TimeShares,
    alarm_days,
    alarms_per_device_month,
    availability,
    calibrated,
    calibrated_only,
    devices_offline,
    devices_uncalibrated,
    door_days,
    extremes,
    found_late_ms,
    middle_ms,
    not_working,
    opened_by_records,
    opened_by_switch,
    percent,
    power_of_records,
    power_of_switch,
    share_of_periods,
    time_shares,
)
from alerts.equipment.smile_bands import LONGEST_MS, BandCount, bands_for, smile_report
from alerts.mkt import mkt_c
from alerts.rules.facts import milli
from alerts.rules.interval import max_gap_ms
from alerts.rules.limits import TEMPERATURE, Comparator, Era, Limit, Profile
from telemetry.quantities import parse_stream_id

MOST_DAYS = 92
"""A quarter: what one report may span."""
NOT_WORKING_DAYS = 3
"""An equipment that alarmed for longer is called not working (cold-chain 3.3 names the figure, not its days: ours)."""
_FREEZING = "FRZE"
_GAP_TO_LEARN_MS = 86_400_000
"""Stands for the longest gap where the interval is to be learnt."""


@dataclass(frozen=True, slots=True)
class Period:
    """Whole local days ``first`` to ``last`` of a site; a period that is not over is told up to ``made_ms``."""

    first: date
    last: date
    zone: ZoneInfo
    made_ms: int

    @property
    def from_ms(self) -> int:
        return midnight_ms(self.first, self.zone)

    @property
    def to_ms(self) -> int:
        return min(midnight_ms(self.last + timedelta(days=1), self.zone), self.made_ms)

    @property
    def over(self) -> bool:
        """Whether its last day has ended."""
        return self.to_ms < self.made_ms

    def days(self) -> list[tuple[date, int, int]]:
        """(day, from, to) of each day that has begun."""
        days = [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]
        begun = [day for day in days if midnight_ms(day, self.zone) < self.to_ms]
        bounds = [*(midnight_ms(day, self.zone) for day in begun), self.to_ms]
        return [(day, low, high) for day, (low, high) in zip(begun, pairwise(bounds), strict=True)]


def span_to_read(period: Period, interval_ms: int | None) -> tuple[int, int]:
    """[from, to) of the readings that the figures of a period are made of: it is cut afterwards.

    One longest gap more at both ends, so that what is held or unknown there is what the next period says of it, and behind
    as much as the length of an excursion is counted in SMILE's bands.
    """
    gap_ms = _GAP_TO_LEARN_MS if interval_ms is None else max_gap_ms(interval_ms)
    return period.from_ms - gap_ms, min(period.to_ms + LONGEST_MS + gap_ms, period.made_ms)


@dataclass(frozen=True, slots=True)
class StreamSeen:
    """The readings of one stream while its device stood in the equipment, those of ``span_to_read``.

    ``corrections`` and ``marks``: what people said of them; the points have it already (decision 0029).
    """

    stream_id: str
    points: Points
    interval_ms: int | None
    gone: tuple[Lapse, ...] = ()
    corrections: tuple[Correction, ...] = ()
    marks: tuple[Mark, ...] = ()

    def line(self, period: Period) -> Stretches:
        """What was known when, from before the period to beyond its end.

        Before its first and after its last good value nothing is bridged: the next one is further away than what was read.
        """
        made = stretches_of(self.points, self.interval_ms, span_to_read(period, self.interval_ms)[1])
        outside, known = ~made.known, np.flatnonzero(made.known)
        if known.size:
            outside[known[0] : known[-1]] = False
        return replace(made, breaks=made.breaks | outside)

    def within(self, period: Period) -> Stretches:
        return cut(self.line(period), period.from_ms, period.to_ms)

    @property
    def pace_ms(self) -> int:
        """The declared interval, else the one that its last readings show."""
        return self.interval_ms or Pace(self.points.t_ms, None).one(len(self.points) - 1)


class Answered(Protocol):
    """An alarm with its answer times (``gateway.records.Alarm``), in ms from its opening."""

    @property
    def answer_ms(self) -> int | None: ...
    @property
    def resolve_ms(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class EquipmentSeen:
    """All that is stored of one equipment: streams with readings, the limits over time, findings and alarms that stand.

    ``found``: those that were met before the period's end and had not ended before it began; ``alarms``: those of the
    findings that were met within it.
    """

    id: str
    name: str
    kind: str
    streams: tuple[StreamSeen, ...]
    eras: tuple[Era, ...]
    found: tuple[Found, ...]
    alarms: tuple[Answered, ...]


@dataclass(frozen=True, slots=True)
class DayLine:
    """One local day; ``said`` is False where too little is known to call any of it in range."""

    day: date
    spent: Spent
    availability: Availability
    said: bool
    extremes: Extremes | None


@dataclass(frozen=True, slots=True)
class AlarmCount:
    """Alarms of one rule that were met in the period; ``possible`` have unknown time in them."""

    code: str
    confirmed: int
    possible: int


@dataclass(frozen=True, slots=True)
class Answers:
    """Times from an alarm's opening to its answer and to its end (requirement 35): the middle and the longest."""

    unanswered: int
    answer_middle_ms: int | None
    answer_longest_ms: int | None
    resolve_middle_ms: int | None
    resolve_longest_ms: int | None


@dataclass(frozen=True, slots=True)
class EquipmentReport:
    """One equipment. ``availability`` is of all good readings, ``counted`` of those with a certificate in force: by it
    ``shares`` are said or not. ``readings``: the good ones within the period, ``left_out_readings`` those of them that are
    uncalibrated, ``left_out`` what these said.
    ``corrected`` and ``marked``: (stream, what people said) of what holds within the period; marked time is unknown.
    ``doors``, ``power``, ``compressor_percent``: None where no device tells of it. ``bands``: none where nothing is known.
    """

    id: str
    name: str
    kind: str
    profile: Profile
    availability: Availability
    counted: Availability
    spent: Spent
    shares: TimeShares
    extremes: Extremes | None
    mkt_c: Decimal | None
    readings: int
    left_out_readings: int
    left_out: Extremes | None
    corrected: tuple[tuple[str, Correction], ...]
    marked: tuple[tuple[str, Mark], ...]
    days: tuple[DayLine, ...]
    alarms: tuple[AlarmCount, ...]
    alarm_days: int
    answers: Answers
    late: int
    latest_ms: int
    doors: tuple[DoorDay, ...] | None
    power: Power | None
    compressor_percent: Decimal | None
    bands: tuple[BandCount, ...]

    @property
    def left_out_percent(self) -> Decimal | None:
        """The share of the good readings that was left out for its calibration (requirement 38)."""
        return percent(self.left_out_readings, self.readings)


@dataclass(frozen=True, slots=True)
class SiteReport:
    """A site's period. Alarms ``per_device_month`` are for a temperature logger and 30 days; ``offline``,
    ``uncalibrated`` (serials) and ``not_working`` (ids of equipment) are of the period's end.
    """

    site: str
    name: str
    zone: str
    period: Period
    equipment: tuple[EquipmentReport, ...]
    loggers: int
    heat_per_device_month: Decimal | None
    freeze_per_device_month: Decimal | None
    offline: tuple[str, ...]
    uncalibrated: tuple[str, ...]
    without_certificate: tuple[str, ...]
    not_working: tuple[str, ...]


# --- time -------------------------------------------------------------------------------------------------


def spent_of(line: Stretches, profile: Profile) -> Spent:
    """How a history was spent by one range."""
    length_ms = line.length_ms
    known_ms = int(length_ms[line.known].sum())
    all_ms = int(length_ms.sum())
    if profile.low_c is None and profile.high_c is None:
        return Spent(unknown_ms=all_ms - known_ms, rangeless_ms=known_ms)
    no = np.zeros(len(line), np.bool_)
    above = no if profile.high_c is None else line.known & (line.high_m > milli(profile.high_c))
    below = no if profile.low_c is None else line.known & (line.low_m < milli(profile.low_c))
    freezing = no.copy()
    for limit in profile.limits:
        if limit.code == _FREEZING and limit.quantity == TEMPERATURE:
            freezing |= line.known & _below(line, limit)
    out = above | below | freezing
    in_range = line.known & ~out & ~line.doubtful

    def ms(which: Flags) -> int:
        return int(length_ms[which].sum())

    out_ms, in_ms = ms(out), ms(in_range)
    return Spent(in_ms, out_ms, ms(above), ms(below), ms(freezing), all_ms - out_ms - in_ms)


def _below(line: Stretches, limit: Limit) -> Flags:
    limit_m = milli(limit.limit_c)
    return line.low_m <= limit_m if limit.comparator is Comparator.LE else line.low_m < limit_m


def part_of(line: Stretches, from_ms: int, to_ms: int) -> Stretches:
    """``cut`` of a history without holes, without a look at the rest of it."""
    begin = int(np.searchsorted(line.to_ms, from_ms, side="right"))
    end = int(np.searchsorted(line.from_ms, to_ms, side="left"))
    return cut(Stretches(*(getattr(line, name)[begin:end] for name in line.__dataclass_fields__)), from_ms, to_ms)


def spent_by_eras(line: Stretches, eras: Sequence[Era], from_ms: int, to_ms: int) -> Spent:
    """[from, to) by the limits that held at each time (decision 0023)."""
    bounds = [from_ms, *(e.from_ms for e in eras[1:] if from_ms < e.from_ms < to_ms), to_ms]
    total = Spent()
    for low, high in pairwise(bounds):
        total += spent_of(part_of(line, low, high), main_profile(eras, low))
    return total


def main_profile(eras: Sequence[Era], t_ms: int) -> Profile:
    """The range that held at a time: the main profile of its era."""
    era = next((e for e in reversed(eras[1:]) if e.from_ms <= t_ms), eras[0])
    return era.profiles[0] if era.profiles else Profile("none", "0", None, None, ())


# --- one equipment ----------------------------------------------------------------------------------------


def report_of(seen: EquipmentSeen, period: Period) -> EquipmentReport:
    """The figures of one equipment."""
    from_ms, to_ms = period.from_ms, period.to_ms
    temperatures = [s for s in seen.streams if _quantity(s) == TEMPERATURE and len(s.points)]
    all_lines = [s.line(period) for s in temperatures]
    wide = _merged([calibrated_only(made, s.gone) for made, s in zip(all_lines, temperatures, strict=True)], period)
    wide = _shaded(wide, all_lines, temperatures)
    line = part_of(wide, from_ms, to_ms)
    uncalibrated = _merged(
        [_only_uncalibrated(made, s.gone) for made, s in zip(all_lines, temperatures, strict=True)], period
    )
    spent = spent_by_eras(line, seen.eras, from_ms, to_ms)
    told = [(s.points.t_ms[s.points.known], s.pace_ms) for s in temperatures]
    counted_told = [(t[calibrated(t, s.gone)], pace) for (t, pace), s in zip(told, temperatures, strict=True)]
    counted = availability(counted_told, from_ms, to_ms)
    met = [f for f in seen.found if f.alarms and from_ms <= f.event_ms < to_ms]
    late_ms = [late for late in map(found_late_ms, met) if late is not None]
    known = line.known
    profile = main_profile(seen.eras, to_ms - 1)
    return EquipmentReport(
        id=seen.id,
        name=seen.name,
        kind=seen.kind,
        profile=profile,
        availability=availability(told, from_ms, to_ms),
        counted=counted,
        spent=spent,
        shares=time_shares(spent, counted),
        extremes=extremes(line),
        mkt_c=mkt_c((line.high_m[known] / 1000).tolist(), (line.length_ms[known] / 1000).tolist()),
        readings=_count(told, period),
        left_out_readings=_count(told, period) - _count(counted_told, period),
        left_out=extremes(part_of(uncalibrated, from_ms, to_ms)),
        corrected=tuple((s.stream_id, c) for s in temperatures for c in _in_force(s.corrections, from_ms, to_ms)),
        marked=tuple(
            (s.stream_id, m) for s in temperatures for m in s.marks if m.from_ms < to_ms and m.to_ms > from_ms
        ),
        days=tuple(_day(line, counted_told, seen.eras, *day) for day in period.days()),
        alarms=_alarm_counts(met),
        alarm_days=len(alarm_days(seen.found, period.zone, from_ms, to_ms)),
        answers=_answers(seen.alarms),
        late=len(late_ms),
        latest_ms=max(late_ms, default=0),
        doors=_doors(seen.streams, period),
        power=_power(seen.streams, period),
        compressor_percent=_compressor(seen.streams, period),
        bands=tuple(smile_report(wide, bands_for(profile), from_ms, to_ms)) if bool(known.any()) else (),
    )


def _in_force(corrections: Sequence[Correction], from_ms: int, to_ms: int) -> list[Correction]:
    """Those that hold at any time of [from, to) and change a value."""
    ends = (*(c.from_ms for c in corrections[1:]), to_ms)
    spans = zip(corrections, ends, strict=True) if corrections else ()
    return [c for c, end_ms in spans if c.offset_c and c.from_ms < to_ms and end_ms > from_ms]


def _count(told: Sequence[tuple[Whole, int]], period: Period) -> int:
    return sum(int(((t >= period.from_ms) & (t < period.to_ms)).sum()) for t, _ in told)


def _quantity(stream: StreamSeen) -> str:
    return parse_stream_id(stream.stream_id).quantity


def _merged(lines: Sequence[Stretches], period: Period) -> Stretches:
    """The histories of all loggers as one, worst values first, over the period and what is told beyond its ends."""
    told = [line for line in lines if len(line)]
    from_ms = min([period.from_ms, *(int(line.from_ms[0]) for line in told)])
    to_ms = max([period.to_ms, *(int(line.to_ms[-1]) for line in told)])
    return merge([cut(line, from_ms, to_ms) for line in told]) if told else unknown(from_ms, to_ms)


def _shaded(whole: Stretches, lines: Sequence[Stretches], streams: Sequence[StreamSeen]) -> Stretches:
    """The same, nowhere in range where a reading of one of the streams is marked, whatever the others say."""
    if not any(s.marks for s in streams):
        return whole
    spans = Amendments(marks={s.stream_id: s.marks for s in streams if s.marks}).marked
    from_ms, to_ms = int(whole.from_ms[0]), int(whole.to_ms[-1])
    shades = [
        shade(line, line.reading & within(spans[s.stream_id], line.from_ms), from_ms, to_ms)
        for line, s in zip(lines, streams, strict=True)
        if s.marks
    ]
    return merge([whole, *shades], each_counts=True)


def _only_uncalibrated(line: Stretches, gone: Sequence[Lapse]) -> Stretches:
    lapsed = line.known & ~calibrated(line.from_ms, gone)
    return Stretches(
        line.from_ms, line.to_ms, line.low_m, line.high_m, lapsed, ~lapsed, line.breaks | ~lapsed, line.reading
    )


def _day(
    line: Stretches, told: Sequence[tuple[Whole, int]], eras: Sequence[Era], day: date, from_ms: int, to_ms: int
) -> DayLine:
    here = part_of(line, from_ms, to_ms)
    near = [(t[np.searchsorted(t, from_ms - pace) : np.searchsorted(t, to_ms)], pace) for t, pace in told]
    known = availability(near, from_ms, to_ms)
    return DayLine(day, spent_by_eras(here, eras, from_ms, to_ms), known, known.enough, extremes(here))


def _alarm_counts(met: Iterable[Found]) -> tuple[AlarmCount, ...]:
    counts = Counter((f.code, f.kind == "possible") for f in met)
    codes = sorted({code for code, _ in counts})
    return tuple(AlarmCount(code, counts[code, False], counts[code, True]) for code in codes)


def _answers(alarms: Sequence[Answered]) -> Answers:
    answers = [a.answer_ms for a in alarms]
    resolved = [a.resolve_ms for a in alarms]
    return Answers(
        sum(ms is None for ms in answers),
        middle_ms(answers),
        max((ms for ms in answers if ms is not None), default=None),
        middle_ms(resolved),
        max((ms for ms in resolved if ms is not None), default=None),
    )


# --- door, power, compressor ------------------------------------------------------------------------------


def _records(stream: StreamSeen, period: Period) -> dict[int, int]:
    """DS01 records that speak of the period (time -> whole units): those without a value say nothing."""
    p = stream.points
    # A record speaks of the 15 minutes before it: the one of the first midnight is of the day before.
    inside = p.known & (p.t_ms > period.from_ms) & (p.t_ms <= period.to_ms)
    return dict(zip(p.t_ms[inside].tolist(), (p.high_m[inside] // 1000).tolist(), strict=True))


def _doors(streams: Sequence[StreamSeen], period: Period) -> tuple[DoorDay, ...] | None:
    """All doors of the equipment together."""
    opened: list[Opened] = []
    told = False
    counts = {
        parse_stream_id(s.stream_id).serial: _records(s, period) for s in streams if _quantity(s) == "door_openings"
    }
    for s in streams:
        if _quantity(s) == "door_open":
            told, opened = True, opened + opened_by_switch(s.line(period), period.from_ms, period.to_ms)
        elif _quantity(s) == "door_open_s":
            openings = counts.get(parse_stream_id(s.stream_id).serial, {})
            rows = {t_ms: (openings.get(t_ms, 0), open_s) for t_ms, open_s in _records(s, period).items()}
            told, opened = True, opened + opened_by_records(rows)
    return tuple(door_days(opened, period.zone)) if told else None


def _power(streams: Sequence[StreamSeen], period: Period) -> Power | None:
    """Of the device that told most: two may watch one mains."""
    found = [power_of_switch(s.within(period)) for s in streams if _quantity(s) == "mains_power_on"]
    found += [power_of_records(_records(s, period)) for s in streams if _quantity(s) == "mains_available_s"]
    return max((p for p in found if p.told_ms), key=lambda p: p.told_ms, default=None)


def _compressor(streams: Sequence[StreamSeen], period: Period) -> Decimal | None:
    """Of all compressors together."""
    runs = [s for x in streams if _quantity(x) == "compressor_run_s" for s in _records(x, period).values()]
    return share_of_periods(runs)


# --- the site ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of a site: of each temperature logger when its certificate was not in force; those without any."""

    gone: Mapping[str, tuple[Lapse, ...]]
    without_certificate: tuple[str, ...]


def site_report(
    site: tuple[str, str],
    period: Period,
    equipment: Iterable[EquipmentReport],
    found: Sequence[FoundOfDevice],
    devices: Devices,
) -> SiteReport:
    """``site``: id and name; ``found``: of all its equipment, as ``EquipmentSeen.found``."""
    end_ms, loggers = period.to_ms - 1, len(devices.gone)

    def rate(code: str) -> Decimal | None:
        return alarms_per_device_month(found, frozenset({code}), loggers, period.from_ms, period.to_ms)

    return SiteReport(
        *site,
        zone=period.zone.key,
        period=period,
        equipment=tuple(equipment),
        loggers=loggers,
        heat_per_device_month=rate("HEAT"),
        freeze_per_device_month=rate(_FREEZING),
        offline=tuple(devices_offline(found, end_ms)),
        uncalibrated=tuple(devices_uncalibrated(devices.gone, end_ms)),
        without_certificate=devices.without_certificate,
        not_working=tuple(not_working(found, end_ms, NOT_WORKING_DAYS)),
    )
