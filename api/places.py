"""How it is now where a batch stands or may be put, and what goes on that speaks against its release; for page and JSON.

The design lets a named person release a batch for a reason (requirement 25), also one that stands in an alarm: it is said, and
the person says that they know. Without the store of readings the alarms in the records still tell.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.questions import BatchView, EquipmentView, Questions
from gateway.records import AlarmState, EquipmentKind, Finding, FindingKind, Site
from telemetry.errors import NeighbourDownError


@dataclass(frozen=True, slots=True)
class PlaceNow:
    """A place for vaccines. ``view``: None where the store does not answer; ``alarm``: one goes on there, answered or not."""

    id: str
    name: str
    kind: str
    view: EquipmentView | None
    alarm: bool

    @property
    def word(self) -> str:
        """A word of ``state``: never better than what the alarms say."""
        if self.alarm:
            return "alarm"
        return "unknown" if self.view is None else self.view.state.word

    @property
    def is_bad(self) -> bool:
        """Whether it is in alarm, or out of its range."""
        return self.alarm or (self.view is not None and self.view.range_state == "out")


@dataclass(frozen=True, slots=True)
class GoesOn:
    """What speaks against a release now: the batch's own findings that are not over, and the places it stands in."""

    findings: tuple[Finding, ...] = ()
    places: tuple[PlaceNow, ...] = ()
    alarms: tuple[Finding, ...] = ()  # those that go on in these places

    def as_json(self) -> list[dict[str, str]]:
        """For the audit: each finding that goes on, of the batch or of its place, and each place with its state."""
        found = {f.id: f for f in (*self.findings, *self.alarms)}
        return [
            *({"finding": f.id, "code": f.code, "equipment": f.equipment or ""} for f in found.values()),
            *({"place": p.id, "state": p.word} for p in self.places),
        ]

    def __bool__(self) -> bool:
        return bool(self.findings or self.places)


def places_now(questions: Questions, site: Site, now_ms: int) -> list[PlaceNow]:
    """All places for vaccines at a site: never a waste store."""
    try:
        views = {v.equipment.id: v for v in questions.equipment_views(site, now_ms)}
    except NeighbourDownError:
        views = {}
    alarms = questions.records.alarms(site.id, (AlarmState.OPEN, AlarmState.ACKNOWLEDGED))
    bad = {a.finding.equipment for a in alarms if _goes_on(a.finding)}
    return [
        PlaceNow(e.id, e.name, str(e.kind), views.get(e.id), e.id in bad)
        for e in questions.records.equipment_list(site.id)
        if e.kind != EquipmentKind.WASTE_STORE
    ]


def against_release(questions: Questions, site: Site, view: BatchView, now_ms: int) -> GoesOn:
    """What goes on of a batch that a person may release; nothing where there is nothing to decide."""
    if view.verdict is None or view.discarded or view.settled:
        return GoesOn()
    here = {p.equipment for p in view.placements if p.to_ms is None}
    findings = tuple(f for f in view.findings if _goes_on(f)) if view.waits else ()
    bad = tuple(p for p in places_now(questions, site, now_ms) if p.id in here and p.is_bad)
    open_alarms = questions.records.alarms(site.id, (AlarmState.OPEN, AlarmState.ACKNOWLEDGED)) if bad else ()
    alarms = (a.finding for a in open_alarms)
    return GoesOn(findings, bad, tuple(f for f in alarms if f.equipment in here and _goes_on(f)))


def _goes_on(finding: Finding) -> bool:
    return finding.end_ms is None and finding.kind != FindingKind.WITHDRAWN and finding.superseded_by is None
