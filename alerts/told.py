"""What people said of a batch, read from the records: as it is now, or as it was at one id of the audit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from alerts.amended import Amendments, Mark
from alerts.equipment.calibration import Correction
from alerts.exposure import Placement
from alerts.judgement import BatchInfo, Told
from alerts.rules import Profile, StreamSettings
from alerts.storage import Place
from alerts.verdicts import VvmSeen, VvmStage
from gateway.records import (
    Batch,
    Decision,
    Device,
    Equipment,
    EquipmentKind,
    ProbeCorrection,
    ReadingMark,
    Records,
    Registry,
    Site,
    UnknownRecord,
    Verdict,
    VerdictState,
    VvmObservation,
)
from gateway.records import Placement as KeptPlacement

TOLD_KINDS = frozenset(
    {"site", "equipment", "device", "batch", "placement", "vvm", "profile", "probe_correction", "reading_mark"}
)
"""Kinds of audit row a judgement may rest on (a decision too, by its action)."""
_FOREVER_MS = 1 << 62
DECIDED = frozenset({"batch_released", "batch_discarded"})


def place_of(equipment: Equipment, site: Site, catalogue: Mapping[str, Profile]) -> Place:
    """A freezer by its kind, or by a profile below zero (a walk-in freezing room); what carries is a cold box."""
    profile = catalogue.get(equipment.profile)
    below_zero = profile is not None and profile.high_c is not None and profile.high_c < 0
    freezes = equipment.kind == EquipmentKind.FREEZER or below_zero
    chills = equipment.kind in (EquipmentKind.REFRIGERATOR, EquipmentKind.COLD_ROOM) and not freezes
    return Place(str(site.level), freezes, chills, equipment.kind == EquipmentKind.COLD_BOX)


def amendments_of(corrections: Iterable[ProbeCorrection], marks: Iterable[ReadingMark]) -> Amendments:
    """What the records say; of two corrections for one date the later number holds, a mark until it is taken back."""
    by_date: dict[str, dict[int, Correction]] = defaultdict(dict)
    for c in sorted(corrections, key=lambda c: (c.stream, c.number)):
        by_date[c.stream][c.from_ms] = Correction(c.from_ms, c.offset_c, c.certificate, c.said_by)
    marked: dict[str, list[Mark]] = defaultdict(list)
    for m in sorted(marks, key=lambda m: (m.from_ms, m.number)):
        if not m.taken_back:
            marked[m.stream].append(Mark(m.from_ms, m.to_ms, m.said_by))
    return Amendments(
        {s: tuple(rows[at] for at in sorted(rows)) for s, rows in by_date.items()},
        {s: tuple(rows) for s, rows in marked.items()},
    )


def read_amendments(records: Records, streams: Collection[str] | None = None) -> Amendments:
    """What people said of readings (of these streams), as it is now."""
    return amendments_of(records.probe_corrections(streams), records.reading_marks(streams))


def settings_of(device: Device) -> StreamSettings:
    return StreamSettings(device.interval_s, device.calibration_error_c)


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A batch of another store of which ours was a part until ``until_ms``."""

    batch: str
    until_ms: int


def ancestors(batch: Batch, find: Callable[[str], Batch | None]) -> list[Ancestor]:
    """The batches ours came from, the nearest first; ``find`` gives a batch by its id."""
    found: list[Ancestor] = []
    until_ms = _FOREVER_MS
    while batch.came_from is not None and batch.came_from not in {a.batch for a in found}:
        until_ms = min(until_ms, batch.left_ms or 0)
        found.append(Ancestor(batch.came_from, until_ms))
        above = find(batch.came_from)
        if above is None:
            break
        batch = above
    return found


def inherited(stays: Iterable[KeptPlacement], ancestor: Ancestor) -> list[KeptPlacement]:
    """The placements of an ancestor as far as they are ours."""
    until = ancestor.until_ms
    return [
        replace(p, to_ms=until if p.to_ms is None or p.to_ms > until else p.to_ms) for p in stays if p.from_ms < until
    ]


def told_of(
    batch: Batch,
    stays: Iterable[KeptPlacement],
    seen: Iterable[VvmObservation],
    verdicts: Iterable[Verdict],
    registry: Registry,
    kinds_of: Callable[[str], list[tuple[int, str, str]]],
    catalogue: Mapping[str, Profile],
    amended: Amendments,
) -> Told:
    """The values of the records as the judgement takes them; ``stays`` and ``seen`` with those of its ancestors.

    ``kinds_of``: (since when, kind, profile) of an equipment. The level of its site is that of now.
    """
    stood = tuple(Placement(batch.id, p.equipment, p.from_ms, p.to_ms, p.id, p.said_by) for p in stays)
    places: dict[str, Place] = {}
    later: dict[str, tuple[tuple[int, Place], ...]] = {}
    for name in sorted({p.equipment for p in stood} & set(registry.equipment)):
        equipment = registry.equipment[name]
        rows = _places_over_time(equipment, registry.sites[equipment.site], kinds_of(name), catalogue)
        places[name] = rows[0][1]
        if len(rows) > 1:
            later[name] = tuple(rows[1:])
    devices = {d.serial: settings_of(d) for d in registry.devices.values()}
    info = BatchInfo(
        batch.id,
        batch.site,
        batch.product_kfa,
        batch.product_name,
        batch.batch_number,
        batch.expires_on,
        batch.doses,
    )
    read = tuple(VvmSeen(VvmStage(str(v.stage)), v.at_ms, v.by) for v in seen)
    return Told(info, stood, read, places, devices, amended, released_ms(verdicts), later)


def _places_over_time(
    equipment: Equipment, site: Site, kinds: Iterable[tuple[int, str, str]], catalogue: Mapping[str, Profile]
) -> list[tuple[int, Place]]:
    """(Since when, what it was for), the first since ever; at least one."""
    made: list[tuple[int, Place]] = []
    for since_ms, kind, profile in kinds:
        place = place_of(replace(equipment, kind=kind, profile=profile), site, catalogue)
        if not made or made[-1][1] != place:
            made.append((since_ms, place))
    return made or [(0, place_of(equipment, site, catalogue))]


def released_ms(verdicts: Iterable[Verdict]) -> int | None:
    """When a person last released the batch; None where the last decision was none, or another."""
    decided = [v for v in verdicts if v.state == VerdictState.DECIDED]
    last = max(decided, key=lambda v: (v.decided_ms or 0, v.number), default=None)
    return None if last is None or last.decision != Decision.RELEASED else last.decided_ms


def told_now(
    records: Records,
    batch_id: str,
    registry: Registry,
    catalogue: Mapping[str, Profile],
    homes: Iterable[tuple[str, str]],
) -> tuple[Told, int]:
    """What is said of a batch, and an audit id as of which exactly this was said.

    ``homes``: (equipment, stream) of the readings it is judged by; what people said of those streams is read.
    ``registry`` must be the newest. Somebody may write between our questions: then they are asked again.
    """
    homes = list(homes)
    while True:
        audit_id = records.newest_change()
        if registry.version < records.registry_version():
            registry = records.registry()
        batch = records.batch(batch_id)
        stays, seen = records.placements(batch=batch_id), records.vvm_observations(batch=batch_id)
        for above in ancestors(batch, lambda name: records.batch(name)):
            stays += inherited(records.placements(batch=above.batch), above)
            seen += [v for v in records.vvm_observations(batch=above.batch) if v.at_ms <= above.until_ms]
        told = told_of(
            batch,
            sorted(stays, key=lambda p: (p.from_ms, p.id)),
            sorted(seen, key=lambda v: (v.at_ms, v.id)),
            records.verdict_history(batch_id),
            registry,
            records.kinds_of,
            catalogue,
            read_amendments(records, {stream for place, stream in homes if place in {p.equipment for p in stays}}),
        )
        since = records.changes_after(audit_id) if records.newest_change() > audit_id else []
        if not any(row.kind in TOLD_KINDS or row.action in DECIDED for row in since):
            return told, audit_id


def told_as_of(
    records: Records, batch_id: str, audit_id: int, serials: Iterable[str], catalogue: Mapping[str, Profile]
) -> Told:
    """What was said of a batch when the audit was read up to this id, rebuilt from the audit chain alone.

    ``serials``: the devices whose readings were judged. Raises UnknownRecord where the batch was not known yet.
    """

    def find(name: str) -> Batch | None:
        return next(iter(records.states_at("batch", audit_id, key=name)), None)

    def of_serials(kind: str) -> list[Any]:
        return [row for serial in known for row in records.states_at(kind, audit_id, prefix=f"{serial}/")]

    known = list(serials)
    batch = find(batch_id)
    if batch is None:
        raise UnknownRecord("batch", batch_id)
    stays = _of(records, "placement", audit_id, batch_id, "at.")
    seen = _of(records, "vvm", audit_id, batch_id, "vvm.")
    for above in ancestors(batch, find):
        stays += inherited(_of(records, "placement", audit_id, above.batch, "at."), above)
        seen += [v for v in _of(records, "vvm", audit_id, above.batch, "vvm.") if v.at_ms <= above.until_ms]
    equipment = {e.id: e for p in stays for e in records.states_at("equipment", audit_id, key=p.equipment)}
    sites = {s.id: s for e in equipment.values() for s in records.states_at("site", audit_id, key=e.site)}
    devices = {d.serial: d for serial in known for d in records.states_at("device", audit_id, key=serial)}
    return told_of(
        batch,
        sorted(stays, key=lambda p: (p.from_ms, p.id)),
        sorted(seen, key=lambda v: (v.at_ms, v.id)),
        _of(records, "verdict", audit_id, batch_id, "v"),
        Registry(audit_id, sites, equipment, devices),
        lambda name: records.kinds_of(name, audit_id),
        catalogue,
        amendments_of(of_serials("probe_correction"), of_serials("reading_mark")),
    )


def _of(records: Records, kind: str, audit_id: int, batch: str, part: str) -> list[Any]:
    """Rows of a batch as of then. Its name may itself begin with another's and a dot: so the row is asked too."""
    rows = records.states_at(kind, audit_id, prefix=f"{batch}.{part}")
    return [row for row in rows if row.batch == batch]
