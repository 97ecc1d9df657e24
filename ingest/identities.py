"""Cards and machines behind an edge's name: what its hellos say of them over time. Pure.

A hello names the epoch (new with every new or restored outbox), the machine (a hash of the Pi's serial) and why the
epoch began. From these, and from numbers that came twice with different content:

    one name, a new epoch on the same machine          the card was made anew
    a new epoch that says restored, copied or moved    what it says
    a new epoch on another machine                     the Pi was replaced
    two epochs or machines that are heard in turns     two Pis speak under one name
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

DAY_MS = 86_400_000
# Hellos of one edge that are kept; the oldest go.
MAX_SEEN = 40


class IdentityKind(StrEnum):
    """Stable words; ``smile_iot/ledger_command.py`` and ``api/texts.toml`` say them plainly."""

    NEW_CARD = "new_card"
    RESTORED = "restored"
    COPIED = "copied"
    MOVED = "moved"
    SALVAGED = "salvaged"
    REPLACED = "replaced"
    TWO_PIS = "two_pis"


_SAID = {
    "restored": IdentityKind.RESTORED,
    "copied": IdentityKind.COPIED,
    "moved": IdentityKind.MOVED,
    "salvaged": IdentityKind.SALVAGED,
}


@dataclass(frozen=True, slots=True)
class HelloSeen:
    """All hellos of one epoch from one machine. Times are ours; ``last_sent_ms`` is the edge's, to know a repeat."""

    epoch: str
    machine: str
    reason: str
    previous_epoch: str
    first_ms: int
    last_ms: int
    last_sent_ms: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Something a person should know of who speaks under an edge's name. ``epoch`` is the one it began with."""

    site: str
    edge: str
    kind: IdentityKind
    epoch: str
    previous_epoch: str
    since_ms: int
    last_ms: int


def seen(
    history: Sequence[HelloSeen],
    epoch: str,
    machine: str,
    reason: str,
    previous_epoch: str,
    received_at_ms: int,
    sent_at_ms: int,
) -> tuple[HelloSeen, ...]:
    """The history of one edge after a hello. One that the broker sent again (the same sending time) changes nothing."""
    for i, known in enumerate(history):
        if (known.epoch, known.machine) == (epoch, machine):
            if known.last_sent_ms == sent_at_ms:
                return tuple(history)
            last = max(known.last_ms, received_at_ms)
            again = HelloSeen(
                epoch, machine, reason or known.reason, known.previous_epoch, known.first_ms, last, sent_at_ms
            )
            return (*history[:i], again, *history[i + 1 :])
    new = HelloSeen(epoch, machine, reason, previous_epoch, received_at_ms, received_at_ms, sent_at_ms)
    kept = sorted((*history, new), key=lambda h: h.last_ms)[-MAX_SEEN:]
    return tuple(sorted(kept, key=lambda h: h.first_ms))


def identities(
    histories: Mapping[tuple[str, str], Sequence[HelloSeen]], conflicts: Mapping[tuple[str, str], tuple[str, int]]
) -> list[Identity]:
    """What stands out, by site and edge, oldest first.

    ``conflicts``: edges that sent one number with different content: (epoch, when last, ms).
    """
    found: list[Identity] = []
    for edge in sorted(set(histories) | set(conflicts)):
        history = sorted(histories.get(edge, ()), key=lambda h: h.first_ms)
        mine = [_began(*edge, before, now) for before, now in itertools.pairwise(history)]
        if history and history[0].reason in _SAID:  # heard for the first time, and it says so itself
            mine.append(_began(*edge, replace(history[0], epoch=history[0].previous_epoch), history[0]))
        mine += _in_turns(*edge, history)
        if edge in conflicts and not any(i.kind is IdentityKind.TWO_PIS for i in mine):
            epoch, at_ms = conflicts[edge]
            mine.append(Identity(*edge, IdentityKind.TWO_PIS, epoch, epoch, at_ms, at_ms))
        found += sorted(mine, key=lambda i: i.since_ms)
    return found


def _began(site: str, edge: str, before: HelloSeen, now: HelloSeen) -> Identity:
    """What the step from one epoch or machine to the next was."""
    if now.epoch == before.epoch:
        kind = IdentityKind.MOVED
    elif now.reason in _SAID:
        kind = _SAID[now.reason]
    elif now.machine and before.machine and now.machine != before.machine:
        kind = IdentityKind.REPLACED
    else:
        kind = IdentityKind.NEW_CARD
    previous = now.previous_epoch or before.epoch
    return Identity(site, edge, kind, now.epoch, previous, now.first_ms, now.first_ms)


def _in_turns(site: str, edge: str, history: Sequence[HelloSeen]) -> list[Identity]:
    """Two that are heard in turns within a day: the older one spoke again after the newer one had begun."""
    for i, newer in enumerate(history):
        for older in history[:i]:
            again_ms = older.last_ms
            if newer.first_ms < again_ms <= newer.last_ms + DAY_MS:
                last = max(again_ms, newer.last_ms) if again_ms > newer.first_ms else newer.last_ms
                return [Identity(site, edge, IdentityKind.TWO_PIS, newer.epoch, older.epoch, newer.first_ms, last)]
    return []
