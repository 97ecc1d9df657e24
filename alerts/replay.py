"""Stored readings judged again: what the limits that held would say, and what other limits would have said. Pure.

    readings (all there are) ─▶ judge_amended under the limits as they are ┐
                             └▶ judge_amended under the changed ones ─────┤
    facts since LOOK_BACK before the span ─▶ the rules over sensors ──────┴▶ what_if.compared, within the span asked for
    batches ─▶ judgement.judge_told with both catalogues ─▶ two verdicts
    alarms ─▶ manners.due, rung by rung: a message of its own, or one of a list by day

Nothing is kept and nobody is told. Both answers are of everything that is known now: what was said on the day, before
late readings came, stands in the records. An alarm counts as unanswered, so that the whole ladder is told of it, and for
its messages as seen when it fired.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice

from alerts.amended import NOTHING_SAID, Amendments
from alerts.amended_points import AmendedPoints, judge_amended
from alerts.bulk import Points
from alerts.equipment import Settings, new_track
from alerts.equipment.track import MARKS_MS
from alerts.judgement import Judged
from alerts.manners import Asked, Manners, due, may_be_one_trouble, recovery_c
from alerts.rules import Assigned, Profile, Profiles, ReadingFact, RuleFinding
from alerts.rules.facts import degrees
from alerts.what_if import WhatIf, compared, with_profile
from telemetry.quantities import parse_stream_id

LOOK_BACK_MS = MARKS_MS
"""Facts from so long before the span are shown to the rules over sensors, which learn from the past (as the service's are)."""
_FACTS_A_STEP = 5_000
_DEGREES = "temperature_c"


@dataclass(frozen=True, slots=True)
class People:
    """Who is told and how: ``contacts`` of each rung of the ladder, who stands nearest first."""

    manners: Manners
    zone: str
    contacts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What one rung's people would have been told: alarms of which each of their contacts gets a message, and those of a list."""

    contacts: int
    at_once: int
    by_day: int

    @property
    def sent(self) -> int:
        return self.at_once * self.contacts


Messages = tuple[Told, ...]
"""Rung by rung, if nobody answers; empty where there is nobody to tell."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One equipment over the span. ``readings`` are those in it."""

    equipment: str
    site: str
    readings: int
    findings: WhatIf
    told: tuple[Messages, Messages]


@dataclass(frozen=True, slots=True)
class BatchReplayed:
    """One batch: its verdict as it is, and as it would be."""

    batch: str
    site: str
    as_is: Judged
    then: Judged

    @property
    def differs(self) -> bool:
        return said(self.as_is) != said(self.then)


def said(judged: Judged) -> tuple[str, tuple[str, ...]]:
    """(word, codes of its reasons)."""
    return judged.verdict.verdict.value, tuple(sorted({r.code for r in judged.verdict.reasons}))


def changed_profiles(
    profiles: Profiles, changed: Iterable[Profile], instead: Sequence[str], equipment: Iterable[str]
) -> Profiles:
    """As if the changed profiles had always meant this, and ``instead`` (if any) had always watched the equipment."""
    made = profiles
    for profile in changed:
        made = with_profile(made, profile)
    if instead:
        rows = {e: (Assigned(0, tuple(instead)),) for e in equipment}
        made = replace(made, assigned={**made.assigned, **rows})
    return made


def replay(
    equipment: str,
    site: str,
    streams: Mapping[str, AmendedPoints],
    profiles: tuple[Profiles, Profiles],
    span: tuple[int, int],
    people: People,
    sensors: tuple[Sequence[RuleFinding], Sequence[RuleFinding]] = ((), ()),
    amended: Amendments = NOTHING_SAID,
) -> Replayed:
    """``profiles``, ``sensors`` (what the rules over sensors say): as they are, as changed. ``span``: [from, now].

    ``amended``: what people said of readings; ``streams`` are made with it.
    """
    from_ms, now_ms = span
    seen = {stream: points.before(now_ms + 1) for stream, points in streams.items()}
    both = [[*_findings(equipment, seen, p, now_ms, amended), *s] for p, s in zip(profiles, sensors, strict=True)]
    inside = [[f for f in found if f.event_ms >= from_ms] for found in both]
    counted = {stream: points.counted for stream, points in seen.items()}
    readings = sum(int((points.t_ms >= from_ms).sum()) for points in counted.values())
    told = tuple(_told(found, counted, people, now_ms) for found in inside)
    return Replayed(equipment, site, readings, compared(*inside), (told[0], told[1]))


def _findings(
    equipment: str, streams: Mapping[str, AmendedPoints], profiles: Profiles, now_ms: int, amended: Amendments
) -> Iterator[RuleFinding]:
    for stream, points in streams.items():
        yield from judge_amended(points, profiles.plan(equipment, stream), now_ms, amended)


def judge_sensors(facts: Iterable[ReadingFact], settings: Settings, now_ms: int) -> list[RuleFinding]:
    """What the rules over sensors say of facts in time order, with no more of them in memory than the service holds."""
    track, found = new_track(settings), dict[str, RuleFinding]()
    coming = iter(facts)
    while step := list(islice(coming, _FACTS_A_STEP)):
        track.take(step)
        track.walk(before_ms=step[-1].t_ms)
        found |= {f.finding_id: f for _, f in track.closed}
        track.forget(step[-1].t_ms)
    return list((found | {f.finding_id: f for f in track.findings(now_ms)}).values())


# --- messages ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Episode:
    """One whose alarm was told, and when the first message of it was sent."""

    finding: RuleFinding
    sent_ms: int


def _told(findings: Iterable[RuleFinding], streams: Mapping[str, Points], people: People, now_ms: int) -> Messages:
    """As the notifier would have: an episode makes the next one old news only where its message was sent by then."""
    alarms = sorted((f for f in findings if f.alarms), key=lambda f: f.event_ms)
    before: dict[str, list[_Episode]] = {}
    counts = [[0, 0] for _ in people.contacts]
    for f in alarms:
        manners = people.manners.under(f.profile)
        opened_ms = f.event_ms + manners.flap_delay_s * 1000
        told = [e for e in before.get(f.rule, ()) if e.sent_ms <= opened_ms]
        ends = [e.finding.end_ms for e in told if e.finding.end_ms is not None]
        asked = Asked(
            f.event_ms,
            f.episode_start_ms,
            f.end_ms if f.end_ms is not None and f.end_ms <= opened_ms else None,
            max((end for end in ends if end <= f.episode_start_ms), default=None),
            _recovered(f, told, streams) if manners.hysteresis_c > 0 else None,
        )
        said = [due(asked, n, manners, people.zone, opened_ms) for n in range(len(people.contacts))]
        for count, d in zip(counts, said, strict=True):
            count[0] += not d.by_day and d.at_ms <= now_ms
            count[1] += d.by_day
        if said:
            before.setdefault(f.rule, []).append(_Episode(f, min(d.at_ms for d in said)))
    return tuple(Told(n, *count) for n, count in zip(people.contacts, counts, strict=True))


def _recovered(f: RuleFinding, told: Iterable[_Episode], streams: Mapping[str, Points]) -> Decimal | None:
    """How far the value came back since the last like episode that was told (``notify.Notifier._recovered``)."""
    if (
        f.limit_c is None
        or f.stream_id not in streams
        or not parse_stream_id(f.stream_id).quantity.endswith(_DEGREES)
    ):
        return None
    like = (f.stream_id, f.limit_c)
    ends = (
        e.finding.end_ms
        for e in told
        if (e.finding.stream_id, e.finding.limit_c) == like
        and may_be_one_trouble(e.finding.end_ms, e.finding.reason, f.episode_start_ms)
    )
    end_ms = max((end for end in ends if end is not None), default=None)
    if end_ms is None:
        return None
    points = streams[f.stream_id]
    low, high = (int(i) for i in points.t_ms.searchsorted([end_ms, f.episode_start_ms]))
    extremes = points.low_m if f.comparator.startswith(">") else points.high_m
    good = extremes[low:high][points.known[low:high]]
    return recovery_c((degrees(int(m)) for m in good), f.limit_c, f.comparator)
