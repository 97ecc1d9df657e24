"""Which facts share a commit, and until when they may wait. Pure; ``edge.commit`` is the shell and tells why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from edge.limits import Limits
from telemetry.readings import Event, Fact, Origin, Weighing

GROUP_FACTS = 2_000


class Reason(StrEnum):
    """Why a commit is made now."""

    EVENT = "event"
    WEIGHING = "weighing"
    READ_BACK = "read_back"
    HINT = "hint"
    BEYOND_LIMIT = "beyond_limit"
    FULL = "full"
    NO_WINDOW = "no_window"


@dataclass(frozen=True, slots=True)
class Group:
    """What waits for the next commit; ``since_ns`` is the boot time at which the first of it came."""

    facts: tuple[Fact, ...] = ()
    hints: Mapping[str, str] = field(default_factory=dict)
    since_ns: int | None = None


def joined(group: Group, facts: Sequence[Fact], hints: Mapping[str, str], now_ns: int) -> Group:
    """The group with these; a newer hint replaces an older one of its key."""
    since_ns = now_ns if group.since_ns is None else group.since_ns
    return Group((*group.facts, *facts), {**group.hints, **hints}, since_ns)


def why_at_once(group: Group, facts: Sequence[Fact], limits: Limits, after_ns: int) -> Reason | None:
    """The reason why these facts cannot wait, or None."""
    if after_ns <= 0:
        return Reason.NO_WINDOW
    if not facts:
        return Reason.HINT
    for fact in facts:
        if isinstance(fact, Event):
            return Reason.EVENT
        if isinstance(fact, Weighing):
            return Reason.WEIGHING
        if fact.origin is not Origin.LIVE:
            return Reason.READ_BACK
        if limits.beyond(fact):
            return Reason.BEYOND_LIMIT
    return Reason.FULL if len(group.facts) + len(facts) > GROUP_FACTS else None


def due_ns(group: Group, after_ns: int) -> int | None:
    """The boot time at which the group must be committed, None while nothing waits."""
    return None if group.since_ns is None else group.since_ns + after_ns
