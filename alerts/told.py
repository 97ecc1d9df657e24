"""What people said of a batch, read from the records: as it is now, or as it was at one id of the audit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
    Records,
    Registry,
    Site,
    UnknownRecord,
    Verdict,
    VerdictState,
    VvmObservation,
)
from gateway.records import Placement as KeptPlacement

TOLD_KINDS = frozenset({"site", "equipment", "device", "batch", "placement", "vvm"})
"""Kinds of audit row a judgement may rest on (a decision too, by its action)."""
DECIDED = frozenset({"batch_released", "batch_discarded"})


def place_of(equipment: Equipment, site: Site, catalogue: Mapping[str, Profile]) -> Place:
    """A freezer by its kind, or by a profile below zero (a walk-in freezing room)."""
    profile = catalogue.get(equipment.profile)
    below_zero = profile is not None and profile.high_c is not None and profile.high_c < 0
    freezes = equipment.kind == EquipmentKind.FREEZER or below_zero
    chills = equipment.kind in (EquipmentKind.REFRIGERATOR, EquipmentKind.COLD_ROOM) and not freezes
    return Place(str(site.level), freezes, chills)


def settings_of(device: Device) -> StreamSettings:
    return StreamSettings(device.interval_s, device.calibration_error_c)


def told_of(
    batch: Batch,
    stays: Iterable[KeptPlacement],
    seen: Iterable[VvmObservation],
    verdicts: Iterable[Verdict],
    registry: Registry,
    catalogue: Mapping[str, Profile],
) -> Told:
    """The values of the records as the judgement takes them."""
    stood = tuple(Placement(p.batch, p.equipment, p.from_ms, p.to_ms, p.id, p.said_by) for p in stays)
    places = {}
    for name in {p.equipment for p in stood}:
        equipment = registry.equipment.get(name)
        if equipment is not None:
            places[name] = place_of(equipment, registry.sites[equipment.site], catalogue)
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
    return Told(info, stood, read, places, devices, released_ms(verdicts))


def released_ms(verdicts: Iterable[Verdict]) -> int | None:
    """When a person last released the batch; None where the last decision was none, or another."""
    decided = [v for v in verdicts if v.state == VerdictState.DECIDED]
    last = max(decided, key=lambda v: (v.decided_ms or 0, v.number), default=None)
    return None if last is None or last.decision != Decision.RELEASED else last.decided_ms


def told_now(
    records: Records, batch_id: str, registry: Registry, catalogue: Mapping[str, Profile]
) -> tuple[Told, int]:
    """What is said of a batch, and an audit id as of which exactly this was said.

    ``registry`` must be the newest. Somebody may write between our questions: then they are asked again.
    """
    while True:
        audit_id = records.newest_change()
        if registry.version < records.registry_version():
            registry = records.registry()
        told = told_of(
            records.batch(batch_id),
            records.placements(batch=batch_id),
            records.vvm_observations(batch=batch_id),
            records.verdict_history(batch_id),
            registry,
            catalogue,
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
    known = records.states_at("batch", audit_id, key=batch_id)
    if not known:
        raise UnknownRecord("batch", batch_id)
    # A batch's name may itself begin with another's and a dot: so the batch is asked too.
    stays, seen, verdicts = (
        [row for row in records.states_at(kind, audit_id, prefix=f"{batch_id}.{part}") if row.batch == batch_id]
        for kind, part in (("placement", "at."), ("vvm", "vvm."), ("verdict", "v"))
    )
    equipment = {e.id: e for p in stays for e in records.states_at("equipment", audit_id, key=p.equipment)}
    sites = {s.id: s for e in equipment.values() for s in records.states_at("site", audit_id, key=e.site)}
    devices = {d.serial: d for serial in serials for d in records.states_at("device", audit_id, key=serial)}
    return told_of(
        known[0],
        sorted(stays, key=lambda p: (p.from_ms, p.id)),
        sorted(seen, key=lambda v: (v.at_ms, v.id)),
        verdicts,
        Registry(audit_id, sites, equipment, devices),
        catalogue,
    )
