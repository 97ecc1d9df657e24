"""Stored readings judged again: what the limits that held would say, and what other limits would have said. Pure.

    readings (all there are) ─▶ alerts.bulk under the limits as they are ─┐
                             └▶ alerts.bulk under the changed ones ───────┴▶ what_if.compared, within the span asked for
    batches ─▶ judgement.judge_told with both catalogues ─▶ two verdicts
    alarms ─▶ manners.due: a message of its own, or one of a list by day

Nothing is kept and nobody is told. Both answers are of everything that is known now: what was said on the day, before
late readings came, stands in the records. An alarm counts as unanswered, and for its messages as seen when it fired.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from alerts.bulk import Points, judge_points
from alerts.judgement import Judged
from alerts.manners import Asked, Manners, due
from alerts.rules import Assigned, Profile, Profiles, RuleFinding
from alerts.what_if import WhatIf, compared, with_profile


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages that alarms would have made: each to ``contacts`` of the first rung; and how many wait for a list by day."""

    at_once: int
    by_day: int
    contacts: int

    @property
    def sent(self) -> int:
        return self.at_once * self.contacts


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
    streams: Mapping[str, Points],
    profiles: tuple[Profiles, Profiles],
    span: tuple[int, int],
    people: tuple[Manners, str, int],
) -> Replayed:
    """``profiles``: as they are, as changed. ``span``: [from, now]. ``people``: manners, zone, contacts of the first rung."""
    from_ms, now_ms = span
    seen = {stream: points.before(now_ms + 1) for stream, points in streams.items()}
    both = [list(_findings(equipment, seen, p, now_ms)) for p in profiles]
    inside = [[f for f in found if f.event_ms >= from_ms] for found in both]
    readings = sum(int((points.t_ms >= from_ms).sum()) for points in seen.values())
    told = tuple(_told(found, *people) for found in inside)
    return Replayed(equipment, site, readings, compared(*inside), (told[0], told[1]))


def _findings(
    equipment: str, streams: Mapping[str, Points], profiles: Profiles, now_ms: int
) -> Iterator[RuleFinding]:
    for stream, points in streams.items():
        yield from judge_points(points, profiles.plan(equipment, stream), now_ms)


def _told(findings: Iterable[RuleFinding], manners: Manners, zone: str, contacts: int) -> Messages:
    """As the notifier would have: an episode makes the next one old news only where its message was sent by then."""
    alarms = sorted((f for f in findings if f.alarms), key=lambda f: f.event_ms)
    delay_ms = manners.flap_delay_s * 1000
    before: dict[str, list[tuple[int, int]]] = {}  # rule -> (end of an episode, when its message was sent)
    lists = 0
    for f in alarms:
        decided_ms = f.event_ms + delay_ms
        ended = f.end_ms if f.end_ms is not None and f.end_ms <= decided_ms else None
        told = (end for end, sent in before.get(f.rule, ()) if sent <= decided_ms and end <= f.episode_start_ms)
        said = due(
            Asked(f.event_ms, f.episode_start_ms, ended, max(told, default=None)), 0, manners, zone, f.event_ms
        )
        lists += said.by_day
        if f.end_ms is not None:
            before.setdefault(f.rule, []).append((f.end_ms, said.at_ms))
    return Messages(len(alarms) - lists, lists, contacts)
