"""Limits, their history and the answer to "what if" in a person's words: pure."""

from __future__ import annotations

from typing import Any

from alerts.rules import Comparator, Limit, Mode, RuleFinding
from alerts.rules.limits import TEMPERATURE
from alerts.what_if import WhatIf
from api.limits import Assignment, LimitBook, Version
from api.words import Words
from gateway.records.model import AuditRow, Site

_COMPARED = {Comparator.GT: "gt", Comparator.GE: "ge", Comparator.LT: "lt", Comparator.LE: "le"}
_SHOWN = 20


def limit_text(words: Words, limit: Limit) -> dict[str, str]:
    """One limit: its name, what it says, its level."""
    return {
        "code": limit.code,
        "name": words.known("code", limit.code),
        "says": _says(words, limit),
        "level": words.known("limit_level", limit.level.value),
    }


def source_text(words: Words, site: Site, limit: Limit, book: LimitBook) -> str:
    """Where the number comes from: the document it stands in, or who changed it, since when and why."""
    for version in book.versions:
        row = version.said
        if row is not None and any(c.new == limit and c.new.source == row.reason for c in version.changes):
            when = words.time(version.from_ms, site.zone)
            return words("limits.changed_by", name=row.actor, time=when, reason=row.reason)
    return words.known("limit_source", limit.source)


def _says(words: Words, limit: Limit) -> str:
    """``Above 8 °C for 10 h, added up``; of a door or the mains only how long."""
    span = words.span(limit.alarm_after_s * 1000)
    if limit.quantity != TEMPERATURE:
        return words("limits.longer_than", span=span)
    beyond = words(f"counter.{_COMPARED[limit.comparator]}", limit=words.number(limit.limit_c))
    if limit.alarm_after_s == 0:
        return words("limits.at_once", beyond=beyond)
    return words(
        f"verdict_page.after_{'cumulative' if limit.mode is Mode.CUMULATIVE else 'single'}", beyond=beyond, span=span
    )


def _within(sentence: str) -> str:
    """As it stands in the middle of a sentence."""
    return sentence[:1].lower() + sentence[1:]


def _who(words: Words, row: AuditRow | None) -> str:
    if row is None:
        return words("limits.from_file")
    if not row.reason.strip():
        return words("limits.at_setup" if row.action.endswith("_created") else "limits.by", name=row.actor)
    return words("limits.said", name=row.actor, reason=row.reason)


def version_item(words: Words, site: Site, version: Version) -> dict[str, Any]:
    """One version: since when, who and why, and each limit as it was and is."""
    since = (
        words("limits.ever")
        if version.from_ms == 0
        else words("limits.since", time=words.time(version.from_ms, site.zone))
    )
    changed = []
    for change in version.changes:
        old = "" if change.old is None else _within(_says(words, change.old))
        new = "" if change.new is None else _within(_says(words, change.new))
        how = "added" if not old else "dropped" if not new else "same_numbers" if old == new else "changed"
        changed.append(words(f"limits.{how}", name=words.known("code", change.code), old=old, new=new))
    return {"version": version.profile.version, "since": since, "who": _who(words, version.said), "changed": changed}


def assignment_item(words: Words, site: Site, assignment: Assignment) -> dict[str, str]:
    """Which profile watched the equipment from when, who said so and why."""
    when = words.time(assignment.from_ms, site.zone)
    return {
        "profile": words.known("profile_name", assignment.profile),
        "since": when,
        "who": _who(words, assignment.said),
    }


def answer_lines(words: Words, zone: str, answer: WhatIf) -> dict[str, Any]:
    """What other limits would have said: a sentence, and each alarm that would be gone, new or at another time."""

    def told(f: RuleFinding) -> str:
        return words("limits.alarm", name=words.known("code", f.code), time=words.time(f.event_ms, zone))

    return {
        "sentence": words("limits.answer", as_is=len(answer.as_is), then=len(answer.then)),
        "gone": [told(f) for f in answer.gone[:_SHOWN]],
        "new": [told(f) for f in answer.new[:_SHOWN]],
        "moved": [
            words("limits.moved", before=told(a), after=words.time(b.event_ms, zone))
            for a, b in answer.other[:_SHOWN]
        ],
        "more": sum(max(0, len(rows) - _SHOWN) for rows in (answer.gone, answer.new, answer.other)),
    }
