"""What became of an alarm that a person saw, and its times, in a person's words: pure.

Late facts move an episode, join two, cut one in two, or show that there was none (``cold-chain.md`` 8). What was told stays told:
the alarm keeps its page, says what became of it, and points to what stands now.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alerts.equipment.kpis import found_late_ms
from api.words import Words
from gateway.records.model import Alarm, Finding, FindingKind, FindingState, Site

_AT_ONCE_MS = 1000  # "0 s after" says nothing


class Fate(StrEnum):
    """What became of a finding."""

    STANDS = "stands"
    MOVED = "moved"  # one other took its place alone: the episode began at another time
    MERGED = "merged"  # one other took the place of several: late facts joined them
    SPLIT = "split"  # several took its place: late facts cut it
    WITHDRAWN = "withdrawn"  # nothing took its place


@dataclass(frozen=True, slots=True)
class Became:
    """``by``: the ids of the findings that stand in its place."""

    fate: Fate
    by: tuple[str, ...] = ()


def replaced_by(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Finding id -> the findings that say they took its place."""
    made: dict[str, list[Finding]] = {}
    for finding in findings:
        for old in took_the_place_of(finding):
            made.setdefault(old, []).append(finding)
    return made


def took_the_place_of(finding: Finding) -> tuple[str, ...]:
    """The ids of the findings in whose place this one stands."""
    told = [str(i) for i in finding.evidence.get("supersedes") or ()]
    if finding.supersedes and finding.supersedes not in told:
        told.append(finding.supersedes)
    return tuple(told)


def became(finding: Finding, successors: Sequence[Finding]) -> Became:
    """What became of a finding. ``successors``: those that took its place; one that was itself withdrawn since does not count
    where another stands.
    """
    standing = [f for f in successors if f.kind != FindingKind.WITHDRAWN] or list(successors)
    ids = tuple(f.id for f in sorted(standing, key=lambda f: (f.episode_start_ms, f.id)))
    if finding.kind != FindingKind.WITHDRAWN and finding.superseded_by is None:
        return Became(Fate.STANDS)
    if len(ids) > 1:
        return Became(Fate.SPLIT, ids)
    if ids:
        return Became(Fate.MERGED if len(took_the_place_of(standing[0])) > 1 else Fate.MOVED, ids)
    if finding.superseded_by is not None:
        return Became(Fate.MOVED, (finding.superseded_by,))
    return Became(Fate.WITHDRAWN)


def amended_text(words: Words, finding: Finding) -> str:
    """What people said of its readings, "" where nobody did."""
    details = finding.evidence.get("details") or {}
    names = ("corrected_c", "not_counted")
    return ", ".join(words(f"detail.{name}", value=details[name]) for name in names if name in details)


def is_late(finding: Finding) -> bool:
    """Whether it was found more than 15 minutes after the rule was met."""
    return found_late_ms(finding) is not None


def times(words: Words, site: Site, alarm: Alarm) -> list[tuple[str, str]]:
    """(what, when) of an alarm: event, detection, telling, answer and end, with how long each took (cold-chain.md 35)."""
    f, zone = alarm.finding, site.zone

    def after(ms: int | None, since_ms: int, key: str) -> str:
        if ms is None:
            return words("alarm_page.not_yet")
        if ms - since_ms < _AT_ONCE_MS:
            return words.time(ms, zone)
        return words(f"alarm_page.{key}", time=words.time(ms, zone), span=words.span(ms - since_ms))

    answered = after(alarm.acknowledged_ms, alarm.opened_ms, "after_opened")
    if alarm.closed_ms is not None and alarm.acknowledged_ms is None:
        answered = words("alarm_page.not_answered")
    limit = f.evidence.get("limit_c")  # silence, a clock that is wrong: nothing is beyond a limit
    rows = [
        (
            words("alarm_page.began_plain" if limit is None else "alarm_page.began"),
            words.time(f.episode_start_ms, zone),
        ),
        (words("alarm_page.event"), words.time(f.event_ms, zone)),
        (words("alarm_page.detected"), after(f.detected_ms, f.event_ms, "after_event")),
        (words("alarm_page.opened"), words.time(alarm.opened_ms, zone)),
        (words("alarm_page.answered"), answered),
        (words("alarm_page.ended"), _ended(words, zone, f)),
        (words("alarm_page.resolved"), after(alarm.resolved_ms, alarm.opened_ms, "after_opened")),
    ]
    if alarm.closed_ms is not None:
        rows.append((words("alarm_page.closed"), words.time(alarm.closed_ms, zone)))
    return rows


def _ended(words: Words, zone: str, finding: Finding) -> str:
    """When it ended; of a finding that was withdrawn nothing can go on."""
    if finding.end_ms is None:
        return "–" if finding.kind == FindingKind.WITHDRAWN else words("batch.goes_on")
    return words.time(finding.end_ms, zone)


def steps(words: Words, site: Site, history: Sequence[FindingState]) -> list[tuple[str, str]]:
    """(when we learnt it, what was said then) of a finding's states, each only by what changed."""
    made: list[tuple[str, str]] = []
    before: Finding | None = None
    for state in history:
        text = _changed(words, site, before, state.state)
        if text:
            made.append((words.time(state.at_ms, site.zone), text))
        before = state.state
    return made


def _changed(words: Words, site: Site, old: Finding | None, new: Finding) -> str:
    parts = []
    if old is None:
        parts.append(words(f"alarm_page.said_{new.kind}", time=words.time(new.episode_start_ms, site.zone)))
    elif old.kind != new.kind:
        parts.append(words(f"alarm_page.now_{new.kind}"))
    if new.end_ms is not None and (old is None or old.end_ms != new.end_ms):
        parts.append(words("alarm_page.said_end", time=words.time(new.end_ms, site.zone)))
        reason = str(new.evidence.get("reason") or "")
        if reason and new.kind != FindingKind.WITHDRAWN:
            parts.append(words.known("finding_reason", reason))
    if old is not None and old.end_ms is not None and new.end_ms is None:
        parts.append(words("alarm_page.said_goes_on"))
    if old is not None and new.extreme_c is not None and old.extreme_c != new.extreme_c:
        parts.append(words("alarms.extreme", value=words.number(new.extreme_c)))
    if old is not None and new.superseded_by is not None and old.superseded_by is None:
        parts.append(words("alarm_page.said_superseded"))
    return ". ".join(parts)
