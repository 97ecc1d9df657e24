"""Exports of real loggers: what the device says itself, beside ours, for any file of the formats that ``evaluate`` reads.

Each comparison is a test that any such file must pass, with its tolerance stated here and not in the file's name:

* an alarm stamp of the device is *matched* when ours of the same slot comes within one logging interval of it (or, for
  a day's stamp of an alarm that goes on, when ours goes on then);
* one of the two alone is *explained* only by the log itself: rows without a value or missing in the time the alarm
  rests on, or a time that the log shows too short (or the device, which measures between the rows, saw interrupted)
  with a value within ``NEAR_C`` of the limit beside it; of a sum, that the log allows it (``_why_sum``);
* minutes of a day: within one interval for each crossing of the limit that day, plus the day's unknown time;
* mean and MKT: within ``MKT_C``; extremes: the device's may lie outside ours, since it measures between the rows;
* days of a file without rows: a day wholly beyond (its coldest beyond the high limit) or wholly within is replayed
  through the rules; of a mixed day only what any history must keep is tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from alerts import mkt
from alerts.rules import Kind, Profiles, ReadingFact, RuleFinding, Segment, StreamSettings, judge, segments
from alerts.rules.facts import milli, plain_points
from alerts.rules.interval import LEARN_FROM
from alerts.rules.interval import interval_ms as learned
from benchmarks.validation.answers import Answer, Outcome
from edge.decoders.files import DaySummary, DeviceAlarm, DeviceLimit, LoggerFile, decode_file
from smile_iot.evaluate import device_profile

MIN = 60_000
DAY_MS = 1440 * MIN
NEAR_C = Decimal("0.5")
MKT_C = 0.15  # requirement 19
REPORT_DAY_MIN = 10  # a report is written some minutes after the logger was plugged in
STREAM = "file/temperature_c"
Marks = Sequence[tuple[int, int | None]]


@dataclass(frozen=True, slots=True)
class Log:
    """One file with rows, judged by its own limits. Times are the device's clock, taken as UTC."""

    name: str
    file: LoggerFile
    interval_ms: int
    rows: tuple[tuple[int, Decimal | None], ...]
    made: tuple[Segment, ...]
    found: tuple[RuleFinding, ...]


def file_answers(folder: Path) -> list[Answer]:
    """All comparisons of all exports in a folder. Raises LoggerFileError for a file that is none."""
    made: list[Answer] = []
    for path in sorted(folder.glob("*.txt")):
        file = decode_file(path.read_bytes())
        made += _with_rows(read_log(path.name, file)) if file.readings else []
        made += _days_alone(path.name, file) if file.days and not file.readings else []
    return made


def read_log(name: str, file: LoggerFile) -> Log:
    """Judge the rows by the device's own limits (strictly, as devices compare)."""
    facts = [ReadingFact("file", STREAM, r.local_ms, r.value_c) for r in file.readings]
    points = plain_points(facts)
    differences = tuple(b.t_ms - a.t_ms for a, b in pairwise(points))
    declared = None if file.interval_s is None else file.interval_s * 1000
    interval_ms = learned(declared, differences[-LEARN_FROM:])
    found: list[RuleFinding] = []
    if file.limits:
        profile = device_profile(file)
        settings = {STREAM: StreamSettings(file.interval_s)}
        profiles = Profiles({profile.id: profile}, {}, settings, (profile.id,))
        found = judge(facts, profiles, facts[-1].t_ms + interval_ms)
    rows = tuple((r.local_ms, r.value_c) for r in file.readings)
    slots = tuple(f for f in found if f.code.startswith("SLOT_"))
    return Log(name, file, interval_ms, rows, tuple(segments(points, declared)), slots)


def _with_rows(log: Log) -> list[Answer]:
    made = [_device_alarm(log, a) for a in log.file.alarms]
    made += [a for f in log.found if (a := _our_alarm(log, f)) is not None]
    made += [_day(log, day, high=high) for day in log.file.days for high in (True, False) if _has(log.file, high)]
    return made + _stated(log)


def _has(file: LoggerFile, high: bool) -> bool:
    return any(x.high is high for x in file.limits)


# --- alarms -----------------------------------------------------------------------------------------------


def _device_alarm(log: Log, alarm: DeviceAlarm) -> Answer:
    limit = next((x for x in log.file.limits if x.slot == alarm.slot), None)
    said = f"{_time(alarm.local_ms)}{' (goes on)' if alarm.continued else ''}"
    what, tolerance = f"alarm of slot {alarm.slot}", f"{log.interval_ms // MIN} min"
    if limit is None:
        why = "the file states no limit for this slot, so there is nothing to judge by"
        return Answer(log.name, what, said, "-", tolerance, Outcome.EXPLAINED, why)
    ours = [f for f in log.found if f.code == f"SLOT_{alarm.slot}"]
    near = min(ours, key=lambda f: abs(f.event_ms - alarm.local_ms), default=None)
    if near is not None and abs(near.event_ms - alarm.local_ms) <= log.interval_ms:
        return Answer(log.name, what, said, _time(near.event_ms), tolerance, Outcome.AGREES)
    if alarm.continued and any(f.event_ms <= alarm.local_ms and _lasts(f, alarm.local_ms) for f in ours):
        return Answer(log.name, what, said, "goes on", tolerance, Outcome.AGREES)
    told = "-" if near is None else _time(near.event_ms)
    why = _why_not_ours(log, alarm, limit)
    return Answer(log.name, what, said, told, tolerance, Outcome.EXPLAINED if why else Outcome.DIFFERS, why)


def _lasts(f: RuleFinding, at_ms: int) -> bool:
    return f.end_ms is None or f.end_ms >= at_ms


def _why_not_ours(log: Log, alarm: DeviceAlarm, limit: DeviceLimit) -> str:
    """What in the file shows that the log alone cannot give the device's alarm; "" where nothing does."""
    since_ms, until_ms = alarm.local_ms - limit.after_s * 1000, alarm.local_ms
    if limit.cumulative:
        since_ms = log.file.start_local_ms or log.rows[0][0]
    elif alarm.continued:  # it went on over that midnight; when it began the stamp does not say
        since_ms, until_ms = alarm.local_ms - log.interval_ms, alarm.local_ms + log.interval_ms
    inside = [t for t, v in log.rows if since_ms < t < until_ms and v is not None and not _beyond(limit, v)]
    if inside and not limit.cumulative:
        return ""  # a row within the limit contradicts the device
    unknown_min = _unknown_ms(log, since_ms, until_ms) // MIN
    if unknown_min * MIN > log.interval_ms:
        return f"{unknown_min} of the {(until_ms - since_ms) // MIN} minutes it rests on have no row, or rows without a value"
    if limit.cumulative:
        return _why_sum(log, limit, alarm.local_ms)
    shown = [t for t, v in log.rows if since_ms <= t <= alarm.local_ms and v is not None]
    shown_min = (shown[-1] - shown[0]) // MIN if shown else 0
    return (
        f"no row contradicts it, but the log shows only {shown_min} of {limit.after_s // 60} minutes: it began or ended "
        "between two rows"
    )


def _our_alarm(log: Log, f: RuleFinding) -> Answer | None:
    """An alarm of ours that the device did not stamp; None where it did."""
    limit = next(x for x in log.file.limits if f.code == f"SLOT_{x.slot}")
    stamps = [a.local_ms for a in log.file.alarms if a.slot == limit.slot]
    if any(abs(f.event_ms - t) <= log.interval_ms for t in stamps):
        return None
    what, ours = f"our alarm of slot {limit.slot}", _time(f.event_ms)
    tolerance = f"{log.interval_ms // MIN} min"
    why = _why_not_theirs(log, f, limit, stamps)
    return Answer(log.name, what, "-", ours, tolerance, Outcome.EXPLAINED if why else Outcome.DIFFERS, why)


def _why_not_theirs(log: Log, f: RuleFinding, limit: DeviceLimit, stamps: list[int]) -> str:
    if f.kind is Kind.POSSIBLE:
        return "said as possible only: unknown time lies in it"
    day_stamps = bool(log.file.days)  # these devices stamp a slot once a day at most
    same_day = [t for t in stamps if t // DAY_MS == f.event_ms // DAY_MS]
    if day_stamps and same_day:
        return f"the device stamps a slot once a day, and had at {_time(same_day[0])}"
    if limit.cumulative:
        return _why_sum(log, limit, min(stamps, default=log.rows[-1][0]))
    values = [v for t, v in log.rows if f.episode_start_ms <= t <= f.event_ms and v is not None]
    nearest = min((abs(v - limit.limit_c) for v in values), default=NEAR_C + 1)
    if nearest <= NEAR_C:
        return f"a row of it lies {nearest} C from the limit: the device may have measured a value within between two rows"
    return ""


def _beyond(limit: DeviceLimit, value: Decimal) -> bool:
    return value > limit.limit_c if limit.high else value < limit.limit_c


def _why_sum(log: Log, limit: DeviceLimit, at_ms: int) -> str:
    """Whether the log allows a sum of the delay at this time: the device adds up what lies between the rows.

    From one row to the next it was beyond for sure where both lie beyond by more than ``NEAR_C``, never where both lie
    within by as much, and for any part of the time else.
    """
    least = most = 0
    for (t, a), (u, b) in pairwise(log.rows):
        length = min(u, at_ms) - t
        if length <= 0:
            break
        depths = [x - limit.limit_c if limit.high else limit.limit_c - x for x in (a, b) if x is not None]
        least += length if len(depths) == 2 and min(depths) > NEAR_C else 0
        most += 0 if len(depths) == 2 and max(depths) < -NEAR_C else length
    if least <= limit.after_s * 1000 <= most + log.interval_ms:
        return f"by the log the sum is {least // MIN} to {most // MIN} minutes then: values near the limit or between two rows"
    return ""


def _unknown_ms(log: Log, from_ms: int, to_ms: int) -> int:
    """Of a span, what no stretch with a value covers."""
    known = sum(max(0, min(s.to_ms, to_ms) - max(s.from_ms, from_ms)) for s in log.made if s.known)
    return max(0, to_ms - from_ms - known)


# --- days, extremes, means --------------------------------------------------------------------------------


def _day(log: Log, day: DaySummary, *, high: bool) -> Answer:
    """The device's minutes of a day beyond its limit beside ours; unknown time may be either."""
    begin = _midnight(day.date)
    from_ms = max(begin, log.file.start_local_ms or begin)
    end = log.file.end_local_ms
    to_ms = begin + DAY_MS if end is None or end < begin else min(begin + DAY_MS, end)
    limits = [x.limit_c for x in log.file.limits if x.high is high]
    limit_m = milli(min(limits) if high else max(limits))
    ours = crossings = 0
    out_before: bool | None = None
    for s in log.made:
        length = max(0, min(s.to_ms, to_ms) - max(s.from_ms, from_ms))
        value = s.high_m if high else s.low_m
        if not length or value is None:
            continue
        out = value > limit_m if high else value < limit_m
        ours += length if out else 0
        crossings += out_before is not None and out is not out_before
        out_before = out
    unknown = _unknown_ms(log, from_ms, to_ms)
    theirs_s = day.above_s if high else day.below_s
    what = f"{day.date}, minutes {'above' if high else 'below'} {Decimal(limit_m).scaleb(-3).normalize():f} C"
    slack = (crossings + 1) * log.interval_ms
    tolerance = f"{slack // MIN} min + {unknown // MIN} unknown"
    if theirs_s is None:
        return Answer(log.name, what, "-", str(ours // MIN), tolerance, Outcome.EXPLAINED, "the device states none")
    if unknown > 0.9 * (to_ms - from_ms):
        why = f"of this day the file holds {(to_ms - from_ms - unknown) // MIN} minutes"
        return Answer(log.name, what, str(theirs_s // 60), "unknown", tolerance, Outcome.UNTESTED, why)
    fits = ours - slack <= theirs_s * 1000 <= ours + unknown + slack
    return Answer(
        log.name,
        what,
        str(theirs_s // 60),
        f"{ours // MIN}" if not unknown else f"{ours // MIN} to {(ours + unknown) // MIN}",
        tolerance,
        Outcome.AGREES if fits else Outcome.DIFFERS,
    )


def _stated(log: Log) -> list[Answer]:
    """Mean, MKT and extremes that the device computed itself."""
    stated = dict(log.file.stated)
    values = [v for _, v in log.rows if v is not None]
    made: list[Answer] = []
    if not values:
        return made
    whole = not any(not s.known for s in log.made)
    why = "" if whole else "rows are missing in the file"
    energy = log.file.mkt_energy_kj_mol or mkt.ENERGY_KJ_MOL
    ours_mkt = mkt.mkt_of(log.made, energy)
    known = [(s.low_m, s.length_ms) for s in log.made if s.low_m is not None]
    mean = sum(v * w for v, w in known) / max(1, sum(w for _, w in known)) / 1000
    for name, ours in (("mkt_c", None if ours_mkt is None else float(ours_mkt)), ("mean_c", mean)):
        if name in stated and ours is not None:
            close = abs(ours - float(stated[name])) <= MKT_C
            outcome = Outcome.AGREES if close else (Outcome.EXPLAINED if why else Outcome.DIFFERS)
            what = f"MKT, energy {energy} kJ/mol" if name == "mkt_c" else "mean"
            made.append(
                Answer(log.name, what, str(stated[name]), f"{ours:.3f}", f"{MKT_C}", outcome, "" if close else why)
            )
    for name, extreme, outward in (("min_c", min(values), -1), ("max_c", max(values), 1)):
        if name in stated:
            further = (stated[name] - extreme) * outward
            fits = 0 <= further <= 2 * NEAR_C
            outcome = Outcome.AGREES if fits else (Outcome.EXPLAINED if why and further > 0 else Outcome.DIFFERS)
            made.append(
                Answer(
                    log.name,
                    "coldest" if outward < 0 else "warmest",
                    str(stated[name]),
                    str(extreme),
                    f"up to {2 * NEAR_C} further out",
                    outcome,
                    "" if fits else why,
                )
            )
    return made


# --- files with days only ---------------------------------------------------------------------------------


def _days_alone(name: str, file: LoggerFile) -> list[Answer]:
    """Whole days replayed through the rules; of mixed days what any history must keep. Counted, one row a question."""
    questions: dict[str, list[tuple[str, str, str]]] = {}
    for high in (True, False):
        limits = [x for x in file.limits if x.high is high]
        if not limits:
            continue
        limit = limits[0]
        side = "above" if high else "below"
        for day in file.days:
            theirs_s = day.above_s if high else day.below_s
            if theirs_s is None or day.min_c is None or day.max_c is None:
                continue
            title, answer, fits = _day_answer(file, day, limit, theirs_s // 60)
            trouble = questions.setdefault(f"{title} {side} {limit.limit_c} C", [])
            trouble.append((day.date, answer, "" if fits else answer))
        questions |= _stamps(file, limit)
    return [_counted(name, what, rows) for what, rows in questions.items()]


def _day_answer(file: LoggerFile, day: DaySummary, limit: DeviceLimit, theirs_min: int) -> tuple[str, str, bool]:
    """(question, what both say, whether it fits)."""
    begin = _midnight(day.date)
    from_ms = max(begin, file.start_local_ms or begin)
    end = file.end_local_ms
    last = end is not None and begin <= end < begin + DAY_MS
    to_ms = end if last and end is not None else begin + DAY_MS
    least, most = (day.min_c, day.max_c) if limit.high else (day.max_c, day.min_c)
    if least is None or most is None:
        return "days without extremes", "-", True
    spent = day.timeout_s // 60
    if _beyond(limit, least):
        ours = _replayed_min(least, limit, from_ms, to_ms)
        slack = spent + (REPORT_DAY_MIN if last or from_ms > begin else 0)
        told = f"{day.date}: device {theirs_min}, ours {ours} min"
        return "minutes of days wholly", told, abs(theirs_min - ours) <= slack
    if not _beyond(limit, most):
        ours = _replayed_min(most, limit, from_ms, to_ms)
        return "minutes of days never", f"{day.date}: device {theirs_min}, ours {ours} min", theirs_min == ours
    told = f"{day.date}: {theirs_min} min, extremes {day.min_c} and {day.max_c}"
    return "minutes of days partly", told, 0 <= theirs_min < 1440


def _replayed_min(value_c: Decimal, limit: DeviceLimit, from_ms: int, to_ms: int) -> int:
    """The rules' own minutes beyond the limit of a span that holds one value."""
    facts = [ReadingFact("file", STREAM, t, value_c) for t in range(from_ms, to_ms, 10 * MIN)]
    beyond = [s for s in segments(plain_points(facts), 10 * MIN, to_ms) if s.low_m is not None]
    limit_m = milli(limit.limit_c)
    ms = sum(s.length_ms for s in beyond if (s.low_m or 0) > limit_m) if limit.high else 0
    if not limit.high:
        ms = sum(s.length_ms for s in beyond if s.low_m is not None and s.low_m < limit_m)
    return ms // MIN


def _stamps(file: LoggerFile, limit: DeviceLimit) -> dict[str, list[tuple[str, str, str]]]:
    """Each stamp of the slot against its day's minutes, and each day that must have one."""
    made: dict[str, list[tuple[str, str, str]]] = {}
    stamps = {a.local_ms // DAY_MS: a for a in file.alarms if a.slot == limit.slot}
    days = {_midnight(d.date) // DAY_MS: d for d in file.days}
    delay = limit.after_s // 60
    side = "above" if limit.high else "below"
    before_min = 0  # of the day before, at its end: what may have counted already
    for number, day in sorted(days.items()):
        theirs_s = day.above_s if limit.high else day.below_s
        if theirs_s is None:
            continue
        minutes = theirs_s // 60
        stamp = stamps.get(number)
        least = day.min_c if limit.high else day.max_c
        whole = least is not None and _beyond(limit, least) and minutes >= 1430
        if stamp is not None:
            at_min = stamp.local_ms % DAY_MS // MIN
            carried = (number - 1 in days and before_min) or (0 if number - 1 in days else delay)
            fits = stamp.continued or at_min + min(carried, delay) >= delay
            told = f"{day.date}: stamped {at_min // 60:02}:{at_min % 60:02}, {minutes} min that day"
            made.setdefault(f"stamps {side} {limit.limit_c} C after {delay} min", []).append(
                (day.date, told, "" if fits else told)
            )
        if whole and delay <= 1430:
            told = f"{day.date}: {minutes} min and {'a' if stamp else 'no'} stamp"
            made.setdefault(f"days wholly {side} {limit.limit_c} C have our alarm and theirs", []).append(
                (day.date, told, "" if stamp is not None else told)
            )
        before_min = minutes
    return made


def _counted(name: str, what: str, rows: list[tuple[str, str, str]]) -> Answer:
    wrong = [bad for _, _, bad in rows if bad]
    outcome = Outcome.DIFFERS if wrong else Outcome.AGREES
    theirs, ours = f"{len(rows)}", f"{len(rows) - len(wrong)} fit"
    example = rows[-1][1]
    return Answer(name, what, theirs, ours, _tolerance(what), outcome, "; ".join(wrong[:3]) or f"e.g. {example}")


def _tolerance(what: str) -> str:
    return f"0; day of start or report {REPORT_DAY_MIN} min" if what.startswith("minutes of days w") else "0"


def _midnight(date: str) -> int:
    return round(datetime.fromisoformat(f"{date}T00:00:00+00:00").timestamp()) * 1000


def _time(t_ms: int) -> str:
    return datetime.fromtimestamp(t_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M")


def folders(given: Iterable[Path]) -> list[Path]:
    """Those that are there."""
    return [p for p in given if p.is_dir()]
