"""Dated limits out of the records: what watched which equipment from when, and what each profile meant (decision 0023).

The dates of assignments are those of the audit chain; the versions of a profile are kept by named persons with a reason
(``Records.put_profile``). Everything here is a function of rows that were read, so that a judgement can be made again as
of any place in the audit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alerts.profiles import profile_of_table, table_of
from alerts.rules import Assigned, Dated, Profile
from gateway.records import ProfileVersion, Records
from telemetry.errors import ConfigError

log = logging.getLogger(__name__)
ALSO = {"refrigerator": ("smile_grace",)}
"""Profiles that watch beside one: what SMILE itself would say of a refrigerator."""


@dataclass(frozen=True, slots=True)
class LimitsOverTime:
    """``catalogue``: what each id meant before the first of its ``versions``; ``assigned``: by equipment."""

    catalogue: Mapping[str, Profile]
    versions: Mapping[str, tuple[Dated, ...]]
    assigned: Mapping[str, tuple[Assigned, ...]]


def limits_over_time(
    catalogue: Mapping[str, Profile],
    kept: Iterable[ProfileVersion],
    since: Mapping[str, Sequence[tuple[int, str]]],
) -> LimitsOverTime:
    """``catalogue`` are the files' profiles; a profile of which versions are kept is what these say."""
    base = dict(catalogue)
    versions: dict[str, list[Dated]] = {}
    for row in sorted(kept, key=lambda v: (v.profile, v.from_ms, v.number)):
        try:
            profile = profile_of_table(row.profile, row.version, row.body)
        except ConfigError as error:  # kept by a newer version of this program, most likely
            log.error("profile %s %s cannot be read and is left out: %s", row.profile, row.version, error)
            continue
        if row.number == 1:
            base[row.profile] = profile
        else:
            versions.setdefault(row.profile, []).append(Dated(row.from_ms, profile))
    assigned = {
        equipment: tuple(Assigned(at, _beside(name, base)) for at, name in rows if name in base)
        for equipment, rows in since.items()
    }
    return LimitsOverTime(
        base,
        {name: tuple(rows) for name, rows in versions.items()},
        {e: rows for e, rows in assigned.items() if rows},
    )


def _beside(profile: str, catalogue: Mapping[str, Profile]) -> tuple[str, ...]:
    return (profile, *(also for also in ALSO.get(profile, ()) if also in catalogue))


def read_limits(records: Records, catalogue: Mapping[str, Profile], now_ms: int) -> LimitsOverTime:
    """As the service judges: a profile that is used for the first time is kept as its file has it.

    A file that says other numbers than what is kept is not followed: limits change by a person's act and date.
    """
    since = records.assigned_profiles()
    kept = records.profile_versions()
    known = {row.profile for row in kept}
    used = {p for rows in since.values() for _, name in rows if name in catalogue for p in _beside(name, catalogue)}
    for name in sorted(used - known):
        records.keep_profile(name, catalogue[name].version, table_of(catalogue[name]), now_ms)
    if used - known:
        kept = records.profile_versions()
    for name in sorted(not_followed(catalogue, kept)):
        log.error(
            "profile %s: the file says other limits than the records keep; smile-iot gateway limits adopt", name
        )
    return limits_over_time(catalogue, kept, since)


def not_followed(catalogue: Mapping[str, Profile], kept: Iterable[ProfileVersion]) -> set[str]:
    """Profiles whose file says what no kept version says."""
    bodies: dict[str, list[object]] = {}
    for row in kept:
        bodies.setdefault(row.profile, []).append(row.body)
    return {name for name, said in bodies.items() if name in catalogue and table_of(catalogue[name]) not in said}


@dataclass(frozen=True, slots=True)
class LimitChange:
    """One version of a profile, for people: who changed what, from when and why. ``rows``: (what, old, new)."""

    version: ProfileVersion
    by: str
    said_ms: int
    reason: str
    rows: tuple[tuple[str, str, str], ...]


def history_of(records: Records, profile: str) -> list[LimitChange]:
    """All versions of a profile, oldest first, each with its row of the audit; for pages and the command."""
    out: list[LimitChange] = []
    before: Mapping[str, object] = {}
    for version in records.profile_versions(profile):
        row = records.audit_of(f"profile:{profile}/{version.number}")[0]
        said = _flat(version.body)
        rows = [(key, before.get(key, ""), said.get(key, "")) for key in sorted({*before, *said})] if out else []
        changed = tuple((key, str(old), str(new)) for key, old, new in rows if old != new)
        out.append(LimitChange(version, row.actor, row.at_ms, row.reason, changed))
        before = said
    return out


def _flat(body: Mapping[str, object]) -> dict[str, object]:
    """``HEAT.limit_c`` -> value, for each value that judges."""
    flat = {key: value for key, value in body.items() if key not in ("limits", "label", "sources")}
    limits = body.get("limits")
    for row in limits if isinstance(limits, list) else []:
        flat |= {
            f"{row['code']}.{key}": value for key, value in row.items() if key not in ("code", "source", "verified")
        }
    return flat
