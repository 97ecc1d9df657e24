"""The limits of an equipment over time: what holds now, since when, who changed what and why; what others would have said.

The rules' own reading of the dates (``alerts.dated``) is used, so that the page shows what the service judges by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from alerts.bulk import judge_all, points_by_stream
from alerts.dated import limits_over_time
from alerts.profiles import profile_of_table
from alerts.registered import boxes_of, shipments_of
from alerts.rules import Limit, Profile, Profiles, ReadingFact, RuleFinding, StreamSettings
from alerts.rules.limits import TEMPERATURE
from alerts.what_if import WhatIf, compared, with_profile
from gateway.records import Records
from gateway.records.model import AuditRow, ProfileVersion
from telemetry.errors import ConfigError

MOST_DAYS = 31


@dataclass(frozen=True, slots=True)
class Changed:
    """One limit of a version that differs from the version before: ``old`` or ``new`` None where it came or went."""

    code: str
    old: Limit | None
    new: Limit | None


@dataclass(frozen=True, slots=True)
class Version:
    """What a profile meant from ``from_ms`` on, who said so and why (None: as its file had it when it was first used)."""

    profile: Profile
    from_ms: int
    said: AuditRow | None
    changes: tuple[Changed, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """From ``from_ms`` on the equipment was watched by this profile; who said so and why."""

    profile: str
    from_ms: int
    said: AuditRow | None


@dataclass(frozen=True, slots=True)
class LimitBook:
    """What an equipment was and is watched by. ``profile``: in its present form. The two lists: newest first."""

    profile: Profile
    since_ms: int
    versions: tuple[Version, ...]
    assignments: tuple[Assignment, ...]

    def before(self, from_ms: int, now_ms: int) -> Profile:
        """What holds until ``from_ms``, with the changes scheduled before it; never older than what holds now."""
        known = (v.profile for v in self.versions if v.from_ms < from_ms or v.from_ms <= now_ms)
        return next(known, self.profile)


def read_book(
    records: Records, files: Mapping[str, Profile], equipment: str, profile_id: str, now_ms: int
) -> LimitBook | None:
    """The limits of an equipment; None where neither the records nor the files know its profile."""
    kept = records.profile_versions(profile_id)
    versions = versions_of(kept, files.get(profile_id), records)
    if not versions:
        return None
    assignments = _assignments(records, equipment)
    holds = next((v for v in reversed(versions) if v.from_ms <= now_ms), versions[0])
    # The first assignment holds for all time before it as well (``alerts.rules.Profiles``).
    since_ms = max([holds.from_ms, *(a.from_ms for a in assignments[1:][-1:] if a.profile == profile_id)])
    return LimitBook(holds.profile, since_ms, tuple(reversed(versions)), tuple(reversed(assignments)))


def versions_of(kept: Sequence[ProfileVersion], file: Profile | None, records: Records) -> list[Version]:
    """Oldest first; the file's own form where none is kept yet. One that cannot be read is left out."""
    made: list[Version] = []
    before: Profile | None = None
    for row in kept:
        try:
            profile = profile_of_table(row.profile, row.version, row.body)
        except ConfigError:  # kept by a newer version of this program: the service says so in its log
            continue
        said = records.audit_of(f"profile:{row.profile}/{row.number}") if row.number > 1 else []
        made.append(Version(profile, row.from_ms, said[0] if said else None, changes(before, profile)))
        before = profile
    return made or ([] if file is None else [Version(file, 0, None, ())])


def changes(old: Profile | None, new: Profile) -> tuple[Changed, ...]:
    """The limits that differ, in the order of the new profile."""
    if old is None:
        return ()
    before = {x.code: x for x in old.limits}
    after = {x.code: x for x in new.limits}
    codes = [*after, *(code for code in before if code not in after)]
    return tuple(
        Changed(code, before.get(code), after.get(code)) for code in codes if before.get(code) != after.get(code)
    )


def _assignments(records: Records, equipment: str) -> list[Assignment]:
    rows: list[Assignment] = []
    for row in records.audit_of(f"equipment:{equipment}"):
        profile = str((row.new_value or {}).get("profile", "")) if row.new is not None else ""
        if profile and (not rows or rows[-1].profile != profile):
            rows.append(Assignment(profile, row.at_ms, row))
    return rows


def profile_now(records: Records, files: Mapping[str, Profile], profile_id: str, now_ms: int) -> Profile | None:
    """What a profile's id means at a time: what the records keep, else its file."""
    holds = [row for row in records.profile_versions(profile_id) if row.from_ms <= now_ms]
    for row in reversed(holds):
        try:
            return profile_of_table(row.profile, row.version, row.body)
        except ConfigError:
            continue
    return files.get(profile_id)


def changeable(profile: Profile) -> tuple[Limit, ...]:
    """The limits a page offers to change: those of temperature."""
    return tuple(x for x in profile.limits if x.quantity == TEMPERATURE)


def asked(
    records: Records,
    files: Mapping[str, Profile],
    facts: Sequence[ReadingFact],
    changed: Profile,
    equipment: str,
    streams: Mapping[str, StreamSettings],
    now_ms: int,
) -> WhatIf:
    """Both answers over the facts: by the limits that held, and as if the changed profile had always held its id.

    Judged by columns (``alerts.bulk``: the engine's own findings), for a page may ask for a month.
    Only the alarms by limits of this profile are compared: SMILE's own beside it, silence and conflicts are not asked of.
    """
    over = limits_over_time(files, records.profile_versions(), records.assigned_profiles())
    assigned = {equipment: over.assigned[equipment]} if equipment in over.assigned else {}
    held = Profiles(over.catalogue, {equipment: (changed.id,)}, streams, assigned=assigned, versions=over.versions)
    held = replace(held, shipments=shipments_of(records, boxes_of(records)))
    points = points_by_stream(facts)
    both = [judge_all(points, p, now_ms) for p in (held, with_profile(held, changed))]
    answer = compared(*both)
    return WhatIf(
        _alarms(answer.as_is, changed),
        _alarms(answer.then, changed),
        _alarms(answer.gone, changed),
        _alarms(answer.new, changed),
        tuple((a, b) for a, b in answer.other if _alarms((a,), changed) or _alarms((b,), changed)),
    )


def _alarms(found: Sequence[RuleFinding], profile: Profile) -> tuple[RuleFinding, ...]:
    codes = {x.code for x in profile.limits} | {x.guard_code for x in profile.limits}
    return tuple(f for f in found if f.alarms and f.profile == profile.id and f.code in codes)
