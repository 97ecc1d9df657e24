"""``smile-iot evaluate FILE``: judge a logger's own export with the same rules as the line, and no service.

``evaluate(file, ...)`` is the function; ``docs/evaluate.md`` explains the fields and each difference from what the
devices say themselves.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from alerts import mkt, vvm
from alerts.products import Product, builtin_products
from alerts.profiles import load_profiles
from alerts.rules import (
    Comparator,
    Kind,
    Level,
    Limit,
    Mode,
    Profile,
    Profiles,
    RangeState,
    ReadingFact,
    RuleFinding,
    Segment,
    State,
    StreamSettings,
    range_spans,
    segments,
    standing,
    step,
)
from alerts.rules.facts import degrees, milli, plain_points
from alerts.rules.fold import SENSOR_LOST
from alerts.rules.interval import LEARN_FROM
from alerts.rules.interval import interval_ms as learned
from alerts.rules.limits import TEMPERATURE
from alerts.rules.spans import state_of
from edge.decoders.files import DeviceAlarm, FileReading, LoggerFile, LoggerFileError, decode_file
from smile_iot.evaluate_report import picture, printable, table
from smile_iot.evaluate_zone import local_date, parse_zone, rfc3339, utc_ms
from telemetry.errors import ConfigError

_STREAM = "file/temperature_c"
_DEVICE = "device"
_EPISODE = "EPISODE "
_PLACES = Decimal("0.001")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="export of a Fridge-tag 2, 2 L, Q-tag CLm, or plain CSV"
    )
    parser.add_argument(
        "--profile", default="refrigerator", help="profile id, or 'device' for the limits in the file"
    )
    parser.add_argument("--product", metavar="KFA", help="KFA code of the vaccine, for its VVM type")
    parser.add_argument("--zone", help="time zone of the logger's clock: Asia/Jakarta, WIB, WITA, WIT, +07:00, ...")
    parser.add_argument("--profiles", type=Path, action="append", default=[], metavar="TOML", help="more profiles")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table and a picture")


def run(args: argparse.Namespace) -> int:
    """Judge one file and print. Raises SmileIotError (exit code 2) for a file or setting that cannot be used."""
    try:
        data = args.file.read_bytes()
    except OSError as error:
        raise LoggerFileError(f"cannot read {args.file}: {error.strerror}") from error
    report = evaluate(
        decode_file(data), args.profile, args.zone, product_kfa=args.product, profiles=load_profiles(*args.profiles)
    )
    if args.json:
        print(
            json.dumps(report.to_json(), ensure_ascii=not _speaks_utf(sys.stdout.encoding), indent=2, allow_nan=False)
        )
    else:
        text = table(report.to_json()) + "\n" + picture(report.chart, report.to_json()) + "\n"
        sys.stdout.write(printable(text, sys.stdout.encoding))
    return 0


def _speaks_utf(encoding: str | None) -> bool:
    return (encoding or "").casefold().startswith("utf")


@dataclass(frozen=True, slots=True)
class Report:
    """``fields`` are those of the JSON; ``chart`` the known stretches, or the days, for the picture."""

    fields: dict[str, Any]
    chart: tuple[tuple[int, int, Decimal | None, Decimal | None], ...]

    def to_json(self) -> dict[str, Any]:
        return self.fields


def evaluate(
    file: LoggerFile,
    profile_id: str,
    zone_name: str | None,
    *,
    product_kfa: str | None = None,
    profiles: dict[str, Profile] | None = None,
) -> Report:
    """Judge one export. Raises ConfigError when the zone, the profile or the product is missing or not known."""
    catalogue = load_profiles() if profiles is None else profiles
    zone, zone_text = _zone(file, zone_name)
    profile = device_profile(file) if profile_id == _DEVICE else catalogue.get(profile_id)
    if profile is None:
        known = ", ".join([*sorted(catalogue), _DEVICE])
        raise ConfigError("--profile", f"{profile_id!r} is not known", advice=f"known are {known}")
    product = _product(product_kfa)
    if file.summary_only:
        return _summary_report(file, profile, zone, zone_text)
    return _reading_report(file, profile, zone, zone_text, product)


def _zone(file: LoggerFile, name: str | None) -> tuple[tzinfo, str]:
    offsets = {r.offset_min for r in file.readings if r.offset_min is not None}
    if name is not None:
        return parse_zone(name), name
    if not offsets:
        advice = "say where the logger's clock was, for example --zone Asia/Jakarta or --zone +07:00"
        raise ConfigError("--zone", "the file states no time zone", advice=advice)
    if len(offsets) > 1:
        return UTC, "+00:00"
    made = timezone(timedelta(minutes=offsets.pop()))
    return made, rfc3339(0, made)[-6:]


def _product(kfa: str | None) -> Product | None:
    if kfa is None:
        return None
    product = builtin_products().get(kfa)
    if product is None:
        raise ConfigError("--product", f"KFA code {kfa!r} is not in the product table")
    return product


# --- profiles ---------------------------------------------------------------------------------------------


def device_profile(file: LoggerFile) -> Profile:
    """The limits the file itself carries, compared strictly as devices do (cold-chain 1.2). Raises ConfigError."""
    if not file.limits:
        raise ConfigError("--profile", "the file carries no limits of its own", advice="name a profile")
    limits = tuple(
        Limit(
            f"SLOT_{x.slot}",
            Comparator.GT if x.high else Comparator.LT,
            x.limit_c,
            x.after_s,
            Mode.CUMULATIVE if x.cumulative and x.after_s else Mode.SINGLE,
            source=f"alarm slot {x.slot} of the file",
        )
        for x in file.limits
    )
    return Profile(
        _DEVICE,
        f"{file.format} {file.serial or ''}".strip(),
        max((x.limit_c for x in file.limits if not x.high), default=None),
        min((x.limit_c for x in file.limits if x.high), default=None),
        limits,
        "limits of the device itself",
        sources=("the file",),
    )


def episode_rules(profile: Profile) -> list[Limit]:
    """One rule per limit value that fires at once: its episodes, coded by the alarm they lead to."""
    groups: dict[tuple[Comparator, int], list[Limit]] = {}
    for limit in profile.limits:
        if limit.quantity != TEMPERATURE:
            continue
        groups.setdefault((limit.comparator, milli(limit.limit_c)), []).append(limit)
    made = []
    for limits in groups.values():
        code = next((x.code for x in limits if x.level is Level.ALARM), limits[0].code)
        first = limits[0]
        made.append(Limit(_EPISODE + code, first.comparator, first.limit_c, 0, level=Level.EXCURSION, source="here"))
    return made


# --- files with readings ----------------------------------------------------------------------------------


def _reading_report(
    file: LoggerFile, profile: Profile, zone: tzinfo, zone_text: str, product: Product | None
) -> Report:
    facts = [ReadingFact("file", _STREAM, utc_ms(r, zone), r.value_c) for r in file.readings]
    interval_ms = None if file.interval_s is None else file.interval_s * 1000
    points = plain_points(facts)
    differences = tuple(b.t_ms - a.t_ms for a, b in pairwise(points))
    learned_ms = learned(interval_ms, differences[-LEARN_FROM:])
    made = segments(points, interval_ms)
    found = _judge(facts, replace(profile, limits=(*profile.limits, *episode_rules(profile))), file.interval_s)
    episodes = [f for f in found if f.code.startswith(_EPISODE)]
    alarms = [f for f in found if f.level in (Level.ALARM, Level.NOTICE)]  # a notice: it alarms elsewhere (SMILE)
    warnings = [f for f in found if f.level is Level.WARNING]
    spans = range_spans(made, profile)
    known_s = _seconds(s.to_ms - s.from_ms for s in spans if s.state is not RangeState.UNKNOWN)
    in_s = _seconds(s.to_ms - s.from_ms for s in spans if s.state is RangeState.IN)
    energy = file.mkt_energy_kj_mol or mkt.ENERGY_KJ_MOL
    values = [v for p in points for v in (p.low_m, p.high_m) if v is not None]
    fields = _head(file, profile, zone_text) | {
        "readings": len(file.readings),
        "known_s": known_s,
        "unknown_s": _seconds([made[-1].to_ms - made[0].from_ms]) - known_s,
        "min_c": _number(degrees(min(values)) if values else None),
        "max_c": _number(degrees(max(values)) if values else None),
        "mean_c": _number(_mean(made)),
        "mkt_c": _number(mkt.mkt_of(made, energy)),
        "mkt_energy_kj_mol": _number(energy),
        "in_range_fraction": round(in_s / known_s, 6) if known_s else None,
        "episodes": [_episode(f, made, zone) for f in episodes],
        "alarms": [_alarm(f, zone) for f in alarms],
        "warnings": [_alarm(f, zone) for f in warnings],
        "device_alarms": [
            _device_alarm(a, zone, alarms if profile.id == _DEVICE else None, learned_ms) for a in file.alarms
        ],
        "daily": _daily(made, profile, zone),
        "vvm": _vvm(made, product),
        "notes": [
            *_notes(file, sum(f.value_c is None for f in facts), profile, zone),
            *_interval_notes(interval_ms, differences),
            *file.notes,
        ],
    }
    if file.days:
        fields["device_daily"] = _device_days(file)
    if product is not None:
        fields["product"] = {
            "kfa": list(product.kfa_codes),
            "name": product.name,
            "freeze_class": product.freeze_class,
        }
    chart = tuple((s.from_ms, s.to_ms, _c(s.low_m), _c(s.high_m)) for s in made)
    return Report(fields, chart)


def _c(value_m: int | None) -> Decimal | None:
    return None if value_m is None else degrees(value_m)


def _judge(facts: Sequence[ReadingFact], profile: Profile, interval_s: int | None) -> list[RuleFinding]:
    """What stands at the end of the file, where the last reading has held one interval; silence is no finding."""
    profiles = Profiles({profile.id: profile}, {}, {_STREAM: StreamSettings(interval_s)}, (profile.id,))
    out = step(State(), facts, profiles, max(f.t_ms for f in facts))
    if out.wake_at_ms is not None:
        out = step(out.state, [], profiles, out.wake_at_ms)  # nothing more came
    return [f for f in standing(out.state) if f.code not in ("SILENT", "CONFLICT")]


def _seconds(lengths_ms: Iterable[int]) -> int:
    return round(sum(lengths_ms) / 1000)


def _mean(made: Iterable[Segment]) -> Decimal | None:
    """Time-weighted, over known time; of a conflict the middle."""
    known = [(s.low_m, s.high_m, s.length_ms) for s in made if s.low_m is not None and s.high_m is not None]
    total = sum(w for _, _, w in known)
    if not total:
        return None
    return (Decimal(sum((a + b) * w for a, b, w in known)) / 2000 / total).quantize(_PLACES, ROUND_HALF_EVEN)


def _episode(f: RuleFinding, made: Sequence[Segment], zone: tzinfo) -> dict[str, Any]:
    """One that is open ends where its last reading ceases to hold: unknown time after it is no part of it.

    One whose sensor was lost, with nothing known after it, is open too: nothing says that it ended.
    """
    end = max(s.to_ms for s in made if _beyond(s, f)) if f.end_ms is None else f.end_ms
    return {
        "code": f.code.removeprefix(_EPISODE),
        "start": rfc3339(f.episode_start_ms, zone),
        "end": rfc3339(end, zone),
        "duration_s": _seconds([end - f.episode_start_ms]),
        "extreme_c": _number(f.extreme_c),
        "open": f.end_ms is None or (f.reason == SENSOR_LOST and not any(s.known and s.from_ms >= end for s in made)),
    }


def _beyond(s: Segment, f: RuleFinding) -> bool:
    comparator = Comparator(f.comparator)
    value = s.high_m if comparator.high else s.low_m
    return value is not None and f.limit_c is not None and comparator.beyond(value, milli(f.limit_c))


def _alarm(f: RuleFinding, zone: tzinfo) -> dict[str, Any]:
    return {
        "rule": f.code,
        "at": rfc3339(f.event_ms, zone),
        "episode_start": rfc3339(f.episode_start_ms, zone),
        "confirmed": f.kind is Kind.CONFIRMED,
        "extreme_c": _number(f.extreme_c),
    }


def _device_alarm(
    a: DeviceAlarm, zone: tzinfo, ours: Sequence[RuleFinding] | None = None, within_ms: int = 0
) -> dict[str, Any]:
    """A device's alarm; under the device's own limits with whether ours came within one logging interval."""
    at_ms = utc_ms(FileReading(a.local_ms, None), zone)
    out: dict[str, Any] = {"slot": a.slot, "at": rfc3339(at_ms, zone)}
    if a.continued:
        out["continued"] = True
    if ours is not None:
        out["matched"] = any(f.code == f"SLOT_{a.slot}" and abs(f.event_ms - at_ms) <= within_ms for f in ours)
    return out


def _daily(made: Sequence[Segment], profile: Profile, zone: tzinfo) -> list[dict[str, Any]]:
    days: dict[str, list[Segment]] = {}
    for s in made:
        for part in _by_midnight(s, zone):
            days.setdefault(local_date(part.from_ms, zone), []).append(part)
    return [_day(date, parts, profile) for date, parts in sorted(days.items())]


def _by_midnight(s: Segment, zone: tzinfo) -> Iterable[Segment]:
    """The stretch cut at the local midnights inside it."""
    at = s.from_ms
    while at < s.to_ms:
        local = datetime.fromtimestamp(at / 1000, zone)
        midnight = datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), zone)
        until = min(s.to_ms, max(at + 1, round(midnight.timestamp() * 1000)))
        yield replace(s, from_ms=at, to_ms=until, reading=s.reading and at == s.from_ms)
        at = until


def _day(date: str, parts: Sequence[Segment], profile: Profile) -> dict[str, Any]:
    lows = [s.low_m for s in parts if s.low_m is not None]
    highs = [s.high_m for s in parts if s.high_m is not None]
    high_m = None if profile.high_c is None else milli(profile.high_c)
    low_m = None if profile.low_c is None else milli(profile.low_c)
    above = (s.length_ms for s in parts if s.high_m is not None and high_m is not None and s.high_m > high_m)
    below = (s.length_ms for s in parts if s.low_m is not None and low_m is not None and s.low_m < low_m)
    return {
        "date": date,
        "min_c": _number(_c(min(lows, default=None))),
        "max_c": _number(_c(max(highs, default=None))),
        "mean_c": _number(_mean(parts)),
        "above_s": _seconds(above),
        "below_s": _seconds(below),
        "unknown_s": _seconds(s.length_ms for s in parts if state_of(s, low_m, high_m) is RangeState.UNKNOWN),
    }


def _vvm(made: Sequence[Segment], product: Product | None) -> list[dict[str, Any]]:
    if product is not None and product.vvm_type is None:
        return []
    types = list(vvm.POINTS) if product is None or product.vvm_type is None else [product.vvm_type]
    return [
        {"type": u.vvm_type, "model": u.model.value, "used_percent": _number(u.used_percent)}
        for kind in types
        for u in vvm.used(kind, made)
    ]


def _notes(file: LoggerFile, without: int, profile: Profile, zone: tzinfo) -> list[str]:
    notes: list[str] = []
    if without:
        notes.append(f"{without} rows have no value: unknown time")
    if _clock_moves(file, zone):
        notes.append("the zone changed its clock within the file: times in that hour are told twice or not at all")
    unofficial = [x.code for x in profile.limits if not x.verified and x.level is Level.ALARM]
    if unofficial:
        notes.append(f"no official text was found for the numbers of {', '.join(unofficial)}")
    for name, value in file.stated:
        notes.append(f"the device itself states {name} {value}")
    return notes


def _interval_notes(declared_ms: int | None, differences: Sequence[int]) -> list[str]:
    """Of one or two differences nobody can say whether they are the pace of the logger or a hole."""
    if declared_ms is not None:
        usual_ms = sorted(differences)[len(differences) // 2] if len(differences) > 2 else declared_ms
        if abs(usual_ms - declared_ms) * 10 <= declared_ms:
            return []
        stated, rows = declared_ms // 60_000, round(usual_ms / 60_000, 1)
        return [
            f"the file states an interval of {stated} min, its rows lie {rows} min apart: judged by the stated one"
        ]
    if len(differences) > 2:
        return []
    how = "from the distance of so few rows" if differences else "as 15 minutes, for a single row"
    return [f"the logging interval is not stated: it was taken {how}"]


def _clock_moves(file: LoggerFile, zone: tzinfo) -> bool:
    """Whether local times without an offset cross a change to or from summer time (Indonesia knows none)."""
    walls = [r.local_ms for r in file.readings if r.offset_min is None]
    return len({datetime.fromtimestamp(w // 1000, UTC).replace(tzinfo=zone).utcoffset() for w in walls}) > 1


# --- files with daily summaries only ----------------------------------------------------------------------


def _summary_report(file: LoggerFile, profile: Profile, zone: tzinfo, zone_text: str) -> Report:
    """What can be said without readings: the device's own days and alarms. No reading, mean or MKT is made up."""
    lows = [d.min_c for d in file.days if d.min_c is not None]
    highs = [d.max_c for d in file.days if d.max_c is not None]
    holds = "daily summaries only and no readings" if file.days else "no readings and no day"
    notes = [
        f"the file holds {holds}: no episode, MKT or VVM use can be computed from it",
        f"the profile {profile.id} could not be applied",
    ]
    if file.days:
        notes[1] += "; above_s and below_s are the device's, beyond its own limits"
    fields = _head(file, profile, zone_text) | {
        "readings": 0,
        "known_s": 0,
        "unknown_s": _summary_span_s(file),
        "min_c": _number(min(lows, default=None)),
        "max_c": _number(max(highs, default=None)),
        "mean_c": None,
        "mkt_c": None,
        "mkt_energy_kj_mol": None,
        "in_range_fraction": None,
        "episodes": [],
        "alarms": [],
        "warnings": [],
        "device_alarms": [_device_alarm(a, zone) for a in file.alarms],
        "daily": _device_days(file),
        "vvm": [],
        "notes": [*notes, *file.notes],
    }
    chart = tuple((i, i + 1, d.min_c, d.max_c) for i, d in enumerate(file.days))
    return Report(fields, chart)


def _summary_span_s(file: LoggerFile) -> int:
    """The time the days speak of: from activation or the first day to the report or the last day's end."""
    if not file.days:
        return 0
    day_ms = 86_400_000
    first = round(datetime.fromisoformat(f"{file.days[0].date}T00:00:00+00:00").timestamp() * 1000)
    last = round(datetime.fromisoformat(f"{file.days[-1].date}T00:00:00+00:00").timestamp() * 1000) + day_ms
    start = max(first, file.start_local_ms or first)
    end = last if file.end_local_ms is None or file.end_local_ms < first else min(last, file.end_local_ms)
    return _seconds([max(0, end - start)])


def _device_days(file: LoggerFile) -> list[dict[str, Any]]:
    return [
        {
            "date": d.date,
            "min_c": _number(d.min_c),
            "max_c": _number(d.max_c),
            "mean_c": _number(d.mean_c),
            "above_s": d.above_s,
            "below_s": d.below_s,
        }
        for d in file.days
    ]


def _head(file: LoggerFile, profile: Profile, zone_text: str) -> dict[str, Any]:
    return {
        "source": {"format": file.format, "device": file.device, "serial": file.serial},
        "signature": file.signature,
        "zone": zone_text,
        "profile": profile.id,
        "profile_version": profile.version,
        "range_c": [_number(profile.low_c), _number(profile.high_c)],
    }


def _number(value: Decimal | None) -> float | int | None:
    """For JSON: the same digits (three places at most print exactly)."""
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() else float(value)
