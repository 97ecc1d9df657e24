"""All kinds of record in one list; ``verify_chain`` walks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.records import model, tables
from gateway.records.tx import Kind


def _own_id(row: Mapping[str, Any]) -> str:
    return str(row["id"])


SITE = Kind("site", tables.sites, model.Site, ("id",), site_of=_own_id)
EQUIPMENT = Kind("equipment", tables.equipment, model.Equipment, ("id",))
PROFILE = Kind("profile", tables.profile_versions, model.ProfileVersion, ("profile", "number"))
DEVICE = Kind("device", tables.devices, model.Device, ("serial",))
PROBE_CORRECTION = Kind("probe_correction", tables.probe_corrections, model.ProbeCorrection, ("stream", "number"))
READING_MARK = Kind("reading_mark", tables.reading_marks, model.ReadingMark, ("stream", "number"))
EDGE = Kind(
    "edge",
    tables.edges,
    model.Edge,
    ("site", "edge"),
    secret=frozenset({"upload_key", "previous_key", "password_hash"}),
)
BATCH = Kind("batch", tables.batches, model.Batch, ("id",))
GTIN = Kind("gtin", tables.gtin_links, model.GtinLink, ("gtin", "site"))
PLACEMENT = Kind("placement", tables.placements, model.Placement, ("id",))
VVM = Kind("vvm", tables.vvm_observations, model.VvmObservation, ("id",))
FINDING = Kind("finding", tables.findings, model.Finding, ("id",))
ALARM = Kind("alarm", tables.alarms, model.AlarmRow, ("finding",))
VERDICT = Kind("verdict", tables.verdicts, model.Verdict, ("id",))
BAG = Kind("bag", tables.bags, model.Bag, ("site", "code"))
DESTRUCTION = Kind("destruction", tables.destructions, model.Destruction, ("id",))
DESTRUCTION_BAG = Kind("destruction_bag", tables.destruction_bags, model.DestructionBag, ("site", "bag"))
WEIGHING = Kind("weighing", tables.weighings, model.WeighingRecord, ("id",))
CORRECTION = Kind("correction", tables.corrections, model.Correction, ("id",))
# What machines put aside is not a change of a record; what a person does with it is.
QUARANTINE = Kind("quarantine", tables.quarantine, model.QuarantineItem, ("id",), complete=False)
# Temperatures go to SMILE by the thousand: only discards and weights are audited.
ATTACHMENT = Kind("attachment", tables.attachments, model.Attachment, ("kind", "subject", "target"), complete=False)
USER = Kind("user", tables.users, model.User, ("name",), secret=frozenset({"password_hash", "contacts"}))

REGISTRY_KINDS: tuple[Kind[Any], ...] = (SITE, EQUIPMENT, DEVICE, PROFILE, PROBE_CORRECTION, READING_MARK)
ALL_KINDS: tuple[Kind[Any], ...] = (
    *REGISTRY_KINDS,
    EDGE,
    BATCH,
    GTIN,
    PLACEMENT,
    VVM,
    FINDING,
    ALARM,
    VERDICT,
    BAG,
    DESTRUCTION,
    DESTRUCTION_BAG,
    WEIGHING,
    CORRECTION,
    QUARANTINE,
    ATTACHMENT,
    USER,
)
