"""What would have been said under other limits: both answers, and the difference. Pure.

The question takes the facts as they are and asks of all of them; nothing is changed by asking, and the answer is no
finding: it alarms nobody and is not kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from alerts.rules import Dated, Profile, Profiles, RuleFact, RuleFinding, judge

_FOR_EVER = 1 << 62


@dataclass(frozen=True, slots=True)
class WhatIf:
    """``as_is`` and ``then``: all findings under the limits that held, and under the changed ones.

    ``gone`` were said and would not have been; ``new`` would have been said; ``other``: the same excursion by the same
    rule, at another time or of another kind (as it is, as it would be).
    """

    as_is: tuple[RuleFinding, ...]
    then: tuple[RuleFinding, ...]
    gone: tuple[RuleFinding, ...]
    new: tuple[RuleFinding, ...]
    other: tuple[tuple[RuleFinding, RuleFinding], ...]

    @property
    def alarms(self) -> tuple[int, int]:
        """How many findings ask a person: as it is, as it would be."""
        return sum(f.alarms for f in self.as_is), sum(f.alarms for f in self.then)


def what_if(facts: Sequence[RuleFact], profiles: Profiles, changed: Profile | Profiles, now_ms: int) -> WhatIf:
    """Judge all facts twice. ``changed``: a profile that takes the place of that id for all time, or other profiles."""
    other = changed if isinstance(changed, Profiles) else with_profile(profiles, changed)
    return compared(judge(facts, profiles, now_ms), judge(facts, other, now_ms))


def with_profile(profiles: Profiles, changed: Profile) -> Profiles:
    """The same, as if this profile's id had always meant this."""
    versions = {name: rows for name, rows in profiles.versions.items() if name != changed.id}
    return replace(profiles, catalogue={**profiles.catalogue, changed.id: changed}, versions=versions)


def from_date(profiles: Profiles, changed: Profile, from_ms: int) -> Profiles:
    """The same, as if this profile's id meant this from a date on."""
    before = tuple(row for row in profiles.versions.get(changed.id, ()) if row.from_ms < from_ms)
    versions = {**profiles.versions, changed.id: (*before, Dated(from_ms, changed))}
    return replace(profiles, versions=versions)


def compared(as_is: Iterable[RuleFinding], then: Iterable[RuleFinding]) -> WhatIf:
    """The difference between two answers. Findings of the same rule and stream that overlap speak of one excursion."""
    before, after = list(as_is), list(then)
    gone, new, other = [], list(after), []
    for f in before:
        like = [g for g in new if _speak_of_one(f, g)]
        match = min(like, key=lambda g: (g.finding_id != f.finding_id, abs(g.event_ms - f.event_ms)), default=None)
        if match is None:
            gone.append(f)
            continue
        new.remove(match)
        if (f.event_ms, f.kind, f.level) != (match.event_ms, match.kind, match.level):
            other.append((f, match))
    return WhatIf(tuple(before), tuple(after), tuple(gone), tuple(new), tuple(other))


def _speak_of_one(a: RuleFinding, b: RuleFinding) -> bool:
    if (a.code, a.equipment, a.stream_id, a.batch) != (b.code, b.equipment, b.stream_id, b.batch):
        return False
    ends = [_FOR_EVER if f.end_ms is None else f.end_ms for f in (a, b)]
    return a.episode_start_ms <= ends[1] and b.episode_start_ms <= ends[0]
