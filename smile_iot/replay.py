"""``smile-iot replay``: which alarms, messages and verdicts the limits made, and changed limits would have made.

Judges stored readings anew, all there are, so that what was open when the span began is known; tells of the span only.
Nothing is written and nobody is told. Exit codes: 0 told, 2 called or set up wrongly.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smile_iot.service import add_config_argument, settings_of
from telemetry.contract import iso_utc
from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from alerts.judgement import Judged, Told
    from alerts.replay import BatchReplayed, Messages, Replayed
    from alerts.rules import Profile, Profiles, RuleFinding
    from api.words import Words
    from gateway.records import Equipment, Records, Registry
    from smile_iot.replay_site import Sensors, SiteTask
    from smile_iot.replay_source import Stored
    from smile_iot.settings import Settings

_DAY_MS = 86_400_000
_SHOWN = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", type=int, default=90, help="how far back to look (90)")
    parser.add_argument(
        "--profiles", type=Path, metavar="FILE", help="changed profiles (TOML): as if they had always held"
    )
    parser.add_argument("--profile", metavar="ID", help="as if this profile had always watched the equipment")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--equipment", metavar="E", help="this equipment only")
    chosen.add_argument("--site", metavar="S", help="the equipment of this site only")
    parser.add_argument(
        "--from", dest="source", choices=("alerts", "store"), default="alerts", help="alerts' memory, or the store"
    )
    parser.add_argument(
        "--only-limits", action="store_true", help="do not judge the sensors themselves (most of the time it takes)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="so many processes, a site each (needs the extra country)"
    )
    parser.add_argument(
        "--scheduler", default="", metavar="ADDRESS", help="a Dask cluster to do it, such as tcp://h:8786"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with every finding")
    parser.add_argument("--language", choices=("id", "en"), default="id", help="language of the answer (id)")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    from api.words import Words
    from smile_iot.country import each_site
    from smile_iot.parts import open_kept_records
    from smile_iot.replay_site import replay_site
    from telemetry.clock import clock_from_environment

    if args.days < 1:
        raise ConfigError("--days", f"{args.days} is no span", advice="at least 1")
    settings = settings_of(args)
    now_ms = clock_from_environment().now_ms()
    with open_kept_records(settings) as records:
        tasks, registry = _tasks(args, settings, records, now_ms)
    words = Words(args.language)
    answers = []
    for answer in each_site(replay_site, tasks, workers=args.workers, scheduler=args.scheduler):
        answers.append(answer)
        _progress(words("replay.progress", done=len(answers), all=len(tasks), site=answer.site))
    _progress("")
    answers.sort(key=lambda a: a.site)
    made = Outcome(
        now_ms - args.days * _DAY_MS,
        now_ms,
        _question(args, words),
        registry,
        [r for a in answers for r in a.equipment],
        sorted((b for a in answers for b in a.batches), key=lambda b: b.batch),
    )
    print(json.dumps(as_json(made), indent=2) if args.json else as_text(made, words))
    return 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that is told. ``question``: how the limits are changed, empty where only the limits that held are asked of."""

    from_ms: int
    now_ms: int
    question: str
    registry: Registry
    equipment: Sequence[Replayed]
    batches: Sequence[BatchReplayed]


def _tasks(
    args: argparse.Namespace, settings: Settings, records: Records, now_ms: int
) -> tuple[list[SiteTask], Registry]:
    """One a site, with all that the records say of it."""
    from alerts.judgement import Limits
    from alerts.manners import rungs
    from alerts.replay import People
    from alerts.rulebook import limits_of, rules_of
    from alerts.told import read_amendments
    from smile_iot.parts import alerts_config, manners_of, store_config
    from smile_iot.replay_site import SiteTask
    from smile_iot.replay_source import in_memory, in_store

    config, manners = alerts_config(settings), manners_of(settings)
    rules, registry = rules_of(config), records.registry()
    changed = _changed(args, rules.catalogue)
    known = {**rules.catalogue, **{p.id: p for p in changed}}
    if args.profile is not None and args.profile not in known:
        raise ConfigError("--profile", f"{args.profile!r} is not known", advice=f"one of {', '.join(sorted(known))}")
    idle = sorted({p.id for p in changed} - set(rules.catalogue) - {args.profile})
    if idle:  # a slip of the pen would answer "no finding differs"
        known_ids = ", ".join(sorted(rules.catalogue))
        raise ConfigError("--profiles", f"nothing is judged by {', '.join(idle)}", advice=f"known are {known_ids}")
    chosen = _chosen(args, registry)
    from_store = args.source == "store"
    amended = read_amendments(records)
    stored = (
        in_store(store_config(settings), records.assigned_equipment(), amended)
        if from_store
        else in_memory(config.memory_path, amended)
    )
    both = _profiles(
        args, records, registry, rules.catalogue, changed, {e.id for e in chosen}, stored, config.held_back_s
    )
    span = (now_ms - args.days * _DAY_MS, now_ms)
    limits = limits_of(records, rules.catalogue)
    always = {p.id: p for p in changed}
    later = {name: rows for name, rows in limits.versions.items() if name not in always}
    then = Limits({**limits.catalogue, **always}, later)
    batches = _batches(records, registry, rules.catalogue, {e.id for e in chosen}, span, stored.homes)
    sensors = {} if args.only_limits else _sensors(args, records, registry, chosen, both, config.held_back_s, span)
    tasks: list[SiteTask] = []
    for site in sorted({e.site for e in chosen} | set(batches)):
        here = tuple(e.id for e in chosen if e.site == site)
        stood = {p.equipment for told in batches.get(site, ()) for p in told.stays}
        ladder = rungs(records.people_to_tell(site))
        contacts = tuple(sum(len(set(u.contacts)) for u in rung) for rung in ladder)
        tasks.append(
            SiteTask(
                site,
                People(manners, registry.sites[site].zone, contacts),
                here,
                {e: sensors[e] for e in here if e in sensors},
                stored.of({*here, *stood}),
                (_of_site(both[0], here), _of_site(both[1], here)),
                span,
                tuple(batches.get(site, ())),
                (limits, then),
                rules.products,
            )
        )
    return tasks, registry


def _of_site(profiles: Profiles, equipment: Collection[str]) -> Profiles:
    """Without what is said of other sites' equipment: a country's would be sent to each worker."""
    return replace(profiles, assigned={e: rows for e, rows in profiles.assigned.items() if e in equipment})


def _changed(args: argparse.Namespace, known: Any) -> list[Profile]:
    """The profiles of the file that says how limits are changed."""
    from alerts.profiles import parse_profiles

    if args.profiles is None:
        return []
    try:
        text = args.profiles.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("--profiles", f"{args.profiles}: {error}") from error
    return list(parse_profiles(text, str(args.profiles), known).values())


def _chosen(args: argparse.Namespace, registry: Registry) -> list[Equipment]:
    if args.site is not None and args.site not in registry.sites:
        raise ConfigError("--site", f"{args.site!r} is not registered")
    if args.equipment is not None and args.equipment not in registry.equipment:
        raise ConfigError("--equipment", f"{args.equipment!r} is not registered")
    wanted = [
        e for e in registry.equipment.values() if args.site in (None, e.site) and args.equipment in (None, e.id)
    ]
    return sorted(wanted, key=lambda e: (e.site, e.id))


def _profiles(
    args: argparse.Namespace,
    records: Records,
    registry: Registry,
    catalogue: Any,
    changed: Sequence[Profile],
    equipment: Collection[str],
    stored: Stored,
    held_back_s: int,
) -> tuple[Profiles, Profiles]:
    """The limits as they held, and as changed."""
    from alerts.dated import ALSO, limits_over_time
    from alerts.registered import boxes_of, shipments_of
    from alerts.replay import changed_profiles
    from alerts.rules import Profiles, StreamSettings
    from telemetry.quantities import parse_stream_id

    limits = limits_over_time(catalogue, records.profile_versions(), records.assigned_profiles())
    settings: dict[str, StreamSettings] = {}
    for _, stream in stored.of(equipment).homes:
        device = registry.device(parse_stream_id(stream).serial)
        if device is not None:
            settings[stream] = StreamSettings(device.interval_s, device.calibration_error_c, held_back_s)
    shipments = shipments_of(records, boxes_of(records))
    as_is = Profiles(
        limits.catalogue, streams=settings, assigned=limits.assigned, versions=limits.versions, shipments=shipments
    )
    instead = () if args.profile is None else (args.profile, *ALSO.get(args.profile, ()))
    return as_is, changed_profiles(as_is, changed, instead, equipment)


def _sensors(
    args: argparse.Namespace,
    records: Records,
    registry: Registry,
    chosen: Sequence[Equipment],
    profiles: tuple[Profiles, Profiles],
    held_back_s: int,
    span: tuple[int, int],
) -> dict[str, Sensors]:
    """What the rules over sensors are asked of each equipment."""
    from alerts.equipment_said import said_by_records, settings_of
    from smile_iot.replay_site import Sensors

    said = dict(said_by_records(records, registry, (e.id for e in chosen), *span))
    made = {}
    for e in chosen:
        then = e if args.profile is None else replace(e, profile=args.profile)
        both = [settings_of(x, registry, p.catalogue, held_back_s) for x, p in zip((e, then), profiles, strict=True)]
        made[e.id] = Sensors((both[0], both[1]), said[e.id])
    return made


def _batches(
    records: Records,
    registry: Registry,
    catalogue: Any,
    places: set[str],
    span: tuple[int, int],
    homes: Sequence[tuple[str, str]],
) -> dict[str, list[Told]]:
    """What is said of the batches that stood in these places within the span, by the batch's site."""
    from alerts.told import told_now

    met = {
        p.batch
        for p in records.placements()
        if p.equipment in places and p.from_ms <= span[1] and (p.to_ms is None or p.to_ms > span[0])
    }
    out: dict[str, list[Told]] = {}
    for batch in sorted(met):
        told, _ = told_now(records, batch, registry, catalogue, homes)
        out.setdefault(told.batch.site, []).append(told)
    return out


def _question(args: argparse.Namespace, words: Words) -> str:
    file = words("replay.profiles_of", file=args.profiles.name) if args.profiles else ""
    profile = words("replay.profile", profile=args.profile) if args.profile else ""
    return words("replay.and", a=file, b=profile) if file and profile else file or profile


def _progress(text: str) -> None:
    """A line that is overwritten, where a person looks on."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:78]}", end="", file=sys.stderr, flush=True)


# --- JSON ---------------------------------------------------------------------------------------------------


def as_json(made: Outcome) -> dict[str, Any]:
    """``as_is`` under the limits that held, ``then`` under the changed ones; times are RFC 3339 UTC."""
    return {
        "from": iso_utc(made.from_ms),
        "to": iso_utc(made.now_ms),
        "changed": made.question,
        "equipment": [_equipment_json(r) for r in made.equipment],
        "batches": [
            {"batch": b.batch, "site": b.site, "as_is": _verdict_json(b.as_is), "then": _verdict_json(b.then)}
            for b in made.batches
        ],
    }


def _equipment_json(r: Replayed) -> dict[str, Any]:
    found = r.findings
    return {
        "equipment": r.equipment,
        "site": r.site,
        "readings": r.readings,
        "alarms": dict(zip(("as_is", "then"), found.alarms, strict=True)),
        "messages": {name: _messages_json(m) for name, m in zip(("as_is", "then"), r.told, strict=True)},
        "as_is": [_finding_json(f) for f in found.as_is],
        "then": [_finding_json(f) for f in found.then],
        "gone": [f.finding_id for f in found.gone],
        "new": [f.finding_id for f in found.new],
        "other": [[a.finding_id, b.finding_id] for a, b in found.other],
    }


def _messages_json(rungs: Messages) -> list[dict[str, int]]:
    """The ladder: who stands nearest first."""
    return [{"contacts": t.contacts, "sent": t.sent, "alarms_by_day": t.by_day} for t in rungs]


def _finding_json(f: RuleFinding) -> dict[str, Any]:
    return {
        "id": f.finding_id,
        "code": f.code,
        "level": f.level.value,
        "kind": f.kind.value,
        "stream": f.stream_id,
        "profile": f.profile,
        "profile_version": f.profile_version,
        "limit_c": None if f.limit_c is None else str(f.limit_c),
        "comparator": f.comparator,
        "after_s": f.after_s,
        "from": iso_utc(f.episode_start_ms),
        "fired": iso_utc(f.event_ms),
        "to": None if f.end_ms is None else iso_utc(f.end_ms),
        "extreme_c": None if f.extreme_c is None else str(f.extreme_c),
        "reason": f.reason,
        "details": dict(f.details),
    }


def _verdict_json(judged: Judged) -> dict[str, Any]:
    reasons = [
        {"code": r.code, "asks_for": r.asks_for.value, "findings": list(r.findings)} for r in judged.verdict.reasons
    ]
    return {"verdict": judged.verdict.verdict.value, "reasons": reasons}


# --- words --------------------------------------------------------------------------------------------------


def as_text(made: Outcome, words: Words) -> str:
    """A line an equipment, then each difference in words, then the verdicts."""
    zones = {made.registry.sites[r.site].zone for r in made.equipment}
    days, until = (
        (made.now_ms - made.from_ms) // _DAY_MS,
        words.time(made.now_ms, zones.pop() if len(zones) == 1 else "UTC"),
    )
    head = "replay.head_asked" if made.question else "replay.head"
    lines = [words(head, days=days, time=until, question=made.question)]
    lines += [_equipment_line(r, made, words) for r in made.equipment] or [words("replay.no_equipment")]
    if made.question:
        lines += _differences(made, words)
    else:
        lines += _limited([_finding_line("", f, made, words) for f in _alarms(made)], words)
    return "\n".join([*lines, *_verdicts(made, words)])


def _equipment_line(r: Replayed, made: Outcome, words: Words) -> str:
    asked = bool(made.question)
    said = words(
        "replay.equipment",
        site=r.site,
        name=made.registry.equipment[r.equipment].name,
        readings=r.readings,
        alarms=_both(r.findings.alarms, asked),
        findings=_both((len(r.findings.as_is), len(r.findings.then)), asked),
    )
    return "\n".join([said, *_messages_lines(r, asked, words)])


def _messages_lines(r: Replayed, asked: bool, words: Words) -> list[str]:
    """A line for each rung of the ladder."""
    if not r.told[0]:
        return [words("replay.nobody")]
    lines = []
    for number, (was, then) in enumerate(zip(*r.told, strict=True)):
        sent, lists = _both((was.sent, then.sent), asked), _both((was.by_day, then.by_day), asked)
        key = "replay.told_next" if number else "replay.told_first"
        lines.append(words(key, sent=sent, lists=lists, contacts=was.contacts))
    return lines


def _both(pair: tuple[int, int], asked: bool) -> str:
    return f"{pair[0]} -> {pair[1]}" if asked else str(pair[0])


def _alarms(made: Outcome) -> list[RuleFinding]:
    return [f for r in made.equipment for f in r.findings.as_is if f.alarms]


def _differences(made: Outcome, words: Words) -> list[str]:
    lines: list[str] = []
    for r in made.equipment:
        lines += [_finding_line(words("replay.new"), f, made, words) for f in r.findings.new]
        lines += [_finding_line(words("replay.gone"), f, made, words) for f in r.findings.gone]
        for was, now in r.findings.other:
            line, kind = _finding_line(words("replay.other"), now, made, words), words.known("finding_kind", was.kind)
            lines.append(words("replay.it_was", line=line, kind=kind, time=_time(was, made, words)))
    return _limited(lines, words) or [words("replay.nothing_differs")]


def _limited(lines: list[str], words: Words) -> list[str]:
    more = len(lines) - _SHOWN
    return lines if more <= 0 else [*lines[:_SHOWN], words("replay.more", n=more)]


def _time(f: RuleFinding, made: Outcome, words: Words) -> str:
    site = made.registry.equipment[f.equipment].site
    return words.time(f.event_ms, made.registry.sites[site].zone)


def _finding_line(lead: str, f: RuleFinding, made: Outcome, words: Words) -> str:
    return words(
        "replay.finding",
        lead=lead,
        name=words.known("code", f.code),
        code=f.code,
        level=words.known("limit_level", f.level),
        kind=words.known("finding_kind", f.kind),
        equipment=made.registry.equipment[f.equipment].name,
        time=_time(f, made, words),
        worst=_worst(f, words),
    )


def _worst(f: RuleFinding, words: Words) -> str:
    """The farthest value of a temperature; of a door or the mains there is nothing to add."""
    is_degrees = f.stream_id.partition("/")[2].endswith("temperature_c")
    return f", {words.number(f.extreme_c)} °C" if is_degrees and f.extreme_c is not None else ""


def _verdicts(made: Outcome, words: Words) -> list[str]:
    if not made.batches:
        return [words("replay.no_batch")]
    lines = []
    for b in made.batches:
        info, was = b.as_is.told.batch, _verdict_text(b.as_is, words)
        changed = f" -> {_verdict_text(b.then, words)}" if b.differs else ""
        lines.append(f"  {info.product_name} {info.batch_number} ({b.batch}): {was}{changed}")
    differ = sum(b.differs for b in made.batches)
    head = "replay.verdicts_asked" if made.question else "replay.verdicts"
    return [words(head, n=len(made.batches), differ=differ), *_limited(lines, words)]


def _verdict_text(judged: Judged, words: Words) -> str:
    from alerts.replay import said

    word, codes = said(judged)
    return f"{words.known('verdict', word)} [{', '.join(codes) or '-'}]"
