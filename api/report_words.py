"""A report in a person's words: pure. What is not known is said to be unknown, and never counted as in range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from alerts.equipment.kpis import Extremes, percent
from alerts.equipment.smile_bands import CLASSES
from alerts.report import NOT_WORKING_DAYS, DayLine, EquipmentReport, SiteReport
from alerts.rules.limits import Profile
from api.words import Words

MOST_DAY_LINES = 7
"""Days that a page names of one equipment; the CSV has them all."""

Line = tuple[str, str]
"""(what, how much)."""


@dataclass(frozen=True, slots=True)
class Section:
    """One equipment: its sign and sentence, its figures, SMILE's bands, and the days that were not simply in range."""

    id: str
    name: str
    kind: str
    sign: str
    state: str
    lines: tuple[Line, ...]
    bands: tuple[tuple[str, tuple[int, int, int]], ...]
    days: tuple[Line, ...]
    more_days: int


def site_lines(words: Words, report: SiteReport, names: Mapping[str, str]) -> list[Line]:
    """The figures of the whole site; ``names``: of equipment by id."""
    rates = (
        ("heat_rate", "HEAT", report.heat_per_device_month),
        ("freeze_rate", "FRZE", report.freeze_per_device_month),
    )
    lines = [(words(f"report.{name}"), _rate(words, report, code, value)) for name, code, value in rates]
    lists = (
        ("offline", report.offline),
        ("uncalibrated", report.uncalibrated),
        ("without_certificate", report.without_certificate),
        ("not_working", [names.get(e, e) for e in report.not_working]),
    )
    return [*lines, *((words(f"report.{name}", days=NOT_WORKING_DAYS), _named(words, of)) for name, of in lists)]


def _rate(words: Words, report: SiteReport, code: str, value: Decimal | None) -> str:
    """With what it was made of: of a few days it says little."""
    count = sum(a.confirmed for e in report.equipment for a in e.alarms if a.code == code)
    return words("report.rate", n=words.number(value), alarms=count, loggers=report.loggers)


def _named(words: Words, names: tuple[str, ...] | list[str]) -> str:
    return f"{len(names)}: {', '.join(names)}" if names else words("report.none")


def section(words: Words, e: EquipmentReport, zone: str) -> Section:
    """One equipment's part of the page."""
    sign, state = _state(words, e)
    notable = _notable(words, e)
    return Section(
        e.id,
        e.name,
        e.kind,
        sign,
        state,
        tuple(_lines(words, e, zone)),
        tuple((_degrees(words, b.label), b.counts) for b in e.bands),
        tuple((when, text) for when, text, _ in notable[:MOST_DAY_LINES]),
        sum(n for _, _, n in notable[MOST_DAY_LINES:]),
    )


def _notable(words: Words, e: EquipmentReport) -> list[tuple[str, str, int]]:
    """(when, what, how many days): first the days out of range, then those of too few data, neighbours as one."""
    found = [(words.date(d.day), _day(words, d, e.profile), 1) for d in e.days if d.spent.out_ms]
    runs: list[list[DayLine]] = []
    for d in e.days:
        if d.said or d.spent.out_ms:
            continue
        if runs and runs[-1][-1].day + timedelta(days=1) == d.day:
            runs[-1].append(d)
        else:
            runs.append([d])
    for run in runs:
        first, last = words.date(run[0].day), words.date(run[-1].day)
        when = first if len(run) == 1 else words("report.days_run", first=first, last=last, n=len(run))
        unknown_ms = sum(d.spent.unknown_ms for d in run)
        text = words("chart.unknown_part", span=words.span(unknown_ms)) if unknown_ms else words("report.too_little")
        found.append((when, text, len(run)))
    return found


def _state(words: Words, e: EquipmentReport) -> tuple[str, str]:
    """The one sentence: three answers, in range, not in range, and unknown."""
    if e.shares.in_range is None:
        few = "too_little_calibrated" if e.availability.enough else "too_little"
        key = "no_range" if e.spent.rangeless_ms else few
        return "unknown", words(f"report.{key}")
    known = percent(e.spent.known_ms, e.spent.known_ms + e.spent.unknown_ms)
    text = words("report.in_range", n=words.number(e.shares.in_range), known=words.number(known))
    return ("out" if e.spent.out_ms else "ok"), text


def _degrees(words: Words, label: str) -> str:
    """SMILE's label of a band in the language's way of writing."""
    text = label.replace("..", "…").replace("-", "−")
    return f"{text.replace('.', ',') if words.language == 'id' else text} °C"


def _lines(words: Words, e: EquipmentReport, zone: str) -> Iterator[Line]:
    known = e.availability
    yield (
        words("report.data"),
        words("report.data_n", n=words.number(known.percent), got=known.received, of=known.expected),
    )
    yield from _beyond(words, e)
    yield words("counter.unknown"), words.span(e.spent.unknown_ms) if e.spent.unknown_ms else words("report.none")
    if e.extremes is not None:
        yield words("report.extremes"), _span_c(words, e.extremes)
    if e.mkt_c is not None:
        yield words("report.mkt"), words("report.mkt_n", n=words.number(e.mkt_c, 1))
    for stream, c in e.corrected:
        offset = words.number(c.offset_c)
        text = words("report.corrected_n", stream=stream, offset=offset, time=words.time(c.from_ms, zone))
        yield words("report.corrected"), text
    for stream, m in e.marked:
        span = words("alarms.from_to", start=words.time(m.from_ms, zone), end=words.time(m.to_ms, zone))
        yield words("report.marked"), words("report.marked_n", stream=stream, span=span, name=m.said_by)
    if e.left_out_readings:
        yield words("report.left_out"), _left_out(words, e)
    yield from _alarm_lines(words, e)
    yield from _device_lines(words, e)


def _time(words: Words, ms: int, e: EquipmentReport) -> str:
    """How long; of none it is said whether all the time is known."""
    if ms:
        return words.span(ms)
    return words("report.none_known" if e.spent.unknown_ms else "report.none")


def _beyond(words: Words, e: EquipmentReport) -> Iterator[Line]:
    if not e.spent.known_ms:  # nothing is known: neither how long nor that it never was
        return
    sides = (("gt", e.profile.high_c, e.spent.above_ms), ("lt", e.profile.low_c, e.spent.below_ms))
    for side, limit_c, ms in sides:
        if limit_c is not None:
            yield words(f"counter.{side}", limit=words.number(limit_c)), _time(words, ms, e)
    freezing = freeze_limit(e.profile)
    if freezing is not None:
        limit = words("counter.le", limit=words.number(freezing))
        yield words("counter.freezing", limit=limit), _time(words, e.spent.freezing_ms, e)


def freeze_limit(profile: Profile) -> Decimal | None:
    """The limit of a profile that speaks of freezing."""
    return next((x.limit_c for x in profile.limits if x.code == "FRZE"), None)


def _span_c(words: Words, found: Extremes) -> str:
    low, high, mean = (words.number(c) for c in (found.low_c, found.high_c, found.mean_c))
    return words("report.extremes_n", low=low, high=high, mean=mean)


def _left_out(words: Words, e: EquipmentReport) -> str:
    text = words("report.left_out_n", n=words.number(e.left_out_percent), count=e.left_out_readings)
    return text if e.left_out is None else f"{text} {_span_c(words, e.left_out)}"


def _alarm_lines(words: Words, e: EquipmentReport) -> Iterator[Line]:
    if not e.alarms:
        yield words("report.alarms"), words("report.none")
        return
    counts = []
    for count in e.alarms:
        text = words("report.alarm_n", what=words.known("code", count.code), n=count.confirmed + count.possible)
        counts.append(words("report.possible_n", text=text, n=count.possible) if count.possible else text)
    yield words("report.alarms"), "; ".join(counts)
    yield words("report.alarm_days"), str(e.alarm_days)
    a = e.answers
    for key, middle_ms, longest_ms in (
        ("answered", a.answer_middle_ms, a.answer_longest_ms),
        ("resolved", a.resolve_middle_ms, a.resolve_longest_ms),
    ):
        if middle_ms is not None and longest_ms is not None:
            times = words("report.times", middle=words.span(middle_ms), longest=words.span(longest_ms))
            yield words(f"report.{key}"), times
    if a.unanswered:
        yield words("report.unanswered"), str(a.unanswered)
    if e.late:
        yield words("report.late"), words("report.late_n", n=e.late, longest=words.span(e.latest_ms))


def _device_lines(words: Words, e: EquipmentReport) -> Iterator[Line]:
    if e.doors is not None:
        openings, open_s = sum(d.openings for d in e.doors), sum(d.open_s for d in e.doors)
        yield words("report.doors"), words("report.doors_n", n=openings, span=words.span(open_s * 1000))
    if e.power is not None:
        p = e.power
        outages = words("report.outages", n=p.outages, longest=words.span(p.longest_ms)) if p.outages else ""
        yield words("report.power"), f"{words.number(p.percent)} %{f', {outages}' if outages else ''}"
    if e.compressor_percent is not None:
        yield words("report.compressor"), f"{words.number(e.compressor_percent)} %"


def _day(words: Words, d: DayLine, profile: Profile) -> str:
    """What of a day was not simply in range."""
    parts = []
    for side, limit_c, ms in (("gt", profile.high_c, d.spent.above_ms), ("lt", profile.low_c, d.spent.below_ms)):
        if ms and limit_c is not None:
            parts.append(f"{words(f'counter.{side}', limit=words.number(limit_c))} {words.span(ms)}")
    if d.spent.freezing_ms:
        parts.append(words("report.freezing_day", span=words.span(d.spent.freezing_ms)))
    if d.spent.unknown_ms:
        parts.append(words("chart.unknown_part", span=words.span(d.spent.unknown_ms)))
    return "; ".join(parts)


def made_text(words: Words, report: SiteReport) -> str:
    """When it was made, whether the period is over, and the rule of what is counted."""
    parts = [words("report.made", time=words.time(report.period.made_ms, report.zone))]
    parts += [] if report.period.over else [words("report.running")]
    return " ".join([*parts, words("report.rule")])


def as_text(words: Words, report: SiteReport) -> str:
    """The same lines as on the page, for a terminal."""
    period = report.period
    lines = [f"{report.name}, {words.date(period.first)} - {words.date(period.last)}", made_text(words, report)]
    lines += [
        f"  {what}: {much}" for what, much in site_lines(words, report, {e.id: e.name for e in report.equipment})
    ]
    for s in (section(words, e, report.zone) for e in report.equipment):
        lines += ["", f"{s.name}: {s.state}", *(f"  {what}: {much}" for what, much in s.lines)]
        for label, counts in s.bands:
            told = "; ".join(
                f"{words(f'finding_reason.{name}')}: {n}" for n, name in zip(counts, CLASSES, strict=True)
            )
            lines.append(f"  SMILE {label}: {told}")
        lines += [f"  {day}: {text}" for day, text in s.days]
        lines += [f"  {words('report.more_days', n=s.more_days)}"] if s.more_days else []
    return "\n".join(lines)
