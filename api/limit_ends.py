"""Alarms that ended because a person changed the limit: said so in their badge, and never in green while it is still out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from alerts.rules import RangeState
from alerts.rules.fold import LIMIT_CHANGED
from api.desk import Desk
from api.present import Item
from api.problems import ProblemError
from api.words import Words
from gateway.records import Records, Site
from gateway.records.model import AuditRow, Finding, FindingKind


def with_changed_limits(desk: Desk, site: Site, words: Words, items: Sequence[Item], now_ms: int) -> list[Item]:
    """The items; the badge of each whose limit was changed under it says who did, and whether it is out of range now."""
    return [_said(desk, site, words, shown, now_ms) if _is_cut(shown.finding) else shown for shown in items]


def _is_cut(finding: Finding) -> bool:
    cut = finding.end_ms is not None and finding.evidence.get("reason") == LIMIT_CHANGED
    return cut and finding.kind != FindingKind.WITHDRAWN and finding.equipment is not None


def _said(desk: Desk, site: Site, words: Words, shown: Item, now_ms: int) -> Item:
    row = changed_by(desk.records, shown.finding)
    try:
        view = desk.questions.equipment_view(site, shown.finding.equipment or "", now_ms)
        out = view.range_state is RangeState.OUT
    except ProblemError:
        out = False
    text = words("state.limit_changed", name="–" if row is None else row.actor)
    badge = words("state.limit_changed_out", text=text) if out else text
    kind = shown.kind if shown.open else "out" if out else "gone"
    return replace(shown, kind=kind, badge=badge)


def changed_by(records: Records, finding: Finding) -> AuditRow | None:
    """Who changed the limit or the profile that ended a finding: the first change at its end or after."""
    if finding.end_ms is None:
        return None
    made: list[tuple[int, AuditRow]] = []
    for version in records.profile_versions(finding.profile):
        if version.number > 1 and version.from_ms >= finding.end_ms:
            made += [
                (version.from_ms, row) for row in records.audit_of(f"profile:{version.profile}/{version.number}")[:1]
            ]
    rows = records.audit_of(f"equipment:{finding.equipment}")
    made += [
        (row.at_ms, row)
        for before, row in pairwise(rows)
        if row.at_ms >= finding.end_ms and _profile(before) != _profile(row)
    ]
    return min(made, key=lambda pair: (pair[0], pair[1].id))[1] if made else None


def _profile(row: AuditRow) -> str:
    return str((row.new_value or {}).get("profile", ""))
