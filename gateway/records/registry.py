"""Sites, equipment, devices, batches: who is who."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, select

from gateway.records import tables
from gateway.records.checks import check_batch, check_device, check_equipment, check_site
from gateway.records.errors import Code, Refused, UnknownRecord
from gateway.records.kinds import BATCH, DEVICE, EQUIPMENT, REGISTRY_KINDS, SITE
from gateway.records.model import Actor, Batch, Change, Device, Equipment, Registered, Registry, Site
from gateway.records.part import Part, equal
from gateway.records.quarantine import waiting_ids
from gateway.records.tx import Act, Kind, Tx, fetch

# What ``since_ms`` of a row dates.
_OF_DEVICE = ("equipment",)
_OF_EQUIPMENT = ("kind", "profile")


class RegistryPart(Part):
    """Creating is changing nothing into something: each ``upsert`` says created, changed or unchanged.

    A change needs a reason; a creation may go without. Raises Refused, UnknownRecord for what it refers to.
    """

    def upsert_site(self, site: Site, actor: Actor, reason: str, at_ms: int) -> Change:
        check_site(site)
        with self._write() as tx:
            return tx.put(SITE, site, Act(actor, reason, at_ms))

    def upsert_equipment(self, equipment: Equipment, actor: Actor, reason: str, at_ms: int) -> Change:
        check_equipment(equipment)
        with self._write() as tx:
            tx.need(SITE, equipment.site)
            _check_since(tx, EQUIPMENT, equipment.id, equipment, _OF_EQUIPMENT, actor, at_ms)
            return tx.put(EQUIPMENT, equipment, Act(actor, reason, at_ms))

    def upsert_device(self, device: Device, actor: Actor, reason: str, at_ms: int) -> Registered:
        """Register a device; the answer names the quarantine items that wait for this serial."""
        check_device(device)
        device = replace(device, smile_serial=device.smile_serial or None)
        with self._write() as tx:
            tx.need(SITE, device.site)
            tx.lock_site(device.site)
            if device.equipment is not None:
                _same_site(tx, device)
            _check_since(tx, DEVICE, device.serial, device, _OF_DEVICE, actor, at_ms)
            _smile_serial_free(tx, device)
            change = tx.put(DEVICE, device, Act(actor, reason, at_ms))
            return Registered(change, waiting_ids(tx.connection, device.serial))

    def upsert_batch(self, batch: Batch, actor: Actor, reason: str, at_ms: int) -> Change:
        """Register or change a batch.

        One that came from another store is of the same product and batch number, and no batch may come from itself
        by any way. Raises Refused.
        """
        check_batch(batch)
        with self._write() as tx:
            tx.need(SITE, batch.site)
            _check_origin(tx, batch)
            return tx.put(BATCH, batch, Act(actor, reason, at_ms))

    def site(self, site_id: str) -> Site:
        return self._need(SITE, site_id)

    def sites(self, region: str | None = None) -> list[Site]:
        return self._all(SITE, *equal(SITE, region=region))

    def equipment(self, equipment_id: str) -> Equipment:
        return self._need(EQUIPMENT, equipment_id)

    def equipment_list(self, site: str | None = None) -> list[Equipment]:
        return self._all(EQUIPMENT, *equal(EQUIPMENT, site=site))

    def device(self, serial: str) -> Device | None:
        """The device, or None when nobody registered it (that is a question ingest asks often, not an error)."""
        return self._get(DEVICE, serial)

    def devices(self, site: str | None = None, equipment: str | None = None) -> list[Device]:
        return self._all(DEVICE, *equal(DEVICE, site=site, equipment=equipment))

    def batch(self, batch_id: str) -> Batch:
        return self._need(BATCH, batch_id)

    def batches(self, site: str | None = None) -> list[Batch]:
        return self._all(BATCH, *equal(BATCH, site=site))

    def assigned_equipment(self, audit_id: int | None = None) -> dict[str, list[tuple[int, str]]]:
        """Serial -> (since when, equipment id or "" for none), oldest first, as the audit (up to ``audit_id``) tells it.

        What was said later holds from its date on, whatever was said of later dates before.
        """
        told = self._told(DEVICE, "serial", audit_id)
        return {
            serial: [(at_ms, home) for at_ms, (home,) in since_when(said, _OF_DEVICE)]
            for serial, said in told.items()
        }

    def kinds_over_time(self) -> dict[str, list[tuple[int, str, str]]]:
        """``kinds_of`` all equipment."""
        return {
            name: [(at_ms, kind, profile) for at_ms, (kind, profile) in since_when(said, _OF_EQUIPMENT)]
            for name, said in self._told(EQUIPMENT, "id").items()
        }

    def _told(
        self, kind: Kind[Any], key: str, audit_id: int | None = None
    ) -> dict[str, list[tuple[int, dict[str, Any]]]]:
        """By the field ``key``: (when it was said, the row), oldest first."""
        a = tables.audit
        query = select(a.c.at_ms, a.c.new).where(a.c.kind == kind.name, a.c.new.is_not(None)).order_by(a.c.id)
        if audit_id is not None:
            query = query.where(a.c.id <= audit_id)
        with self._db.read() as connection:
            rows = [(at_ms, json.loads(text)) for at_ms, text in connection.execute(query)]
        told: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for at_ms, row in rows:
            told.setdefault(row[key], []).append((at_ms, row))
        return told

    def kinds_of(self, equipment_id: str, audit_id: int | None = None) -> list[tuple[int, str, str]]:
        """(Since when, kind, profile) of an equipment, oldest first, as the audit (up to ``audit_id``) tells it."""
        a = tables.audit
        subject = f"{EQUIPMENT.name}:{equipment_id}"
        query = select(a.c.at_ms, a.c.new).where(a.c.subject == subject, a.c.new.is_not(None)).order_by(a.c.id)
        if audit_id is not None:
            query = query.where(a.c.id <= audit_id)
        with self._db.read() as connection:
            said = [(at_ms, json.loads(text)) for at_ms, text in connection.execute(query)]
        return [(at_ms, kind, profile) for at_ms, (kind, profile) in since_when(said, _OF_EQUIPMENT)]

    def registry_version(self) -> int:
        """Rises with every change of a site, an equipment or a device; one cheap query."""
        with self._db.read() as connection:
            return _version(connection)

    def registry(self, site: str | None = None) -> Registry:
        """Sites, equipment and devices (of one site, or all) as they are at one version."""
        with self._db.read() as connection:
            # The version first: on PostgreSQL each statement looks anew, and an old number only means reading again.
            version = _version(connection)
            return Registry(
                version,
                {s.id: s for s in fetch(connection, SITE, *equal(SITE, id=site))},
                {e.id: e for e in fetch(connection, EQUIPMENT, *equal(EQUIPMENT, site=site))},
                {d.serial: d for d in fetch(connection, DEVICE, *equal(DEVICE, site=site))},
            )


def since_when(
    said: Iterable[tuple[int, Mapping[str, Any]]], names: tuple[str, ...]
) -> list[tuple[int, tuple[str, ...]]]:
    """(Since when, these fields), oldest first, of what was said of one record: (when it was said, its row), in that order.

    A row holds from its ``since_ms``, else from when it was said, whatever was said of later dates before. One that says
    the same fields with another date puts the row before it right, and takes its place. One that has other fields under
    the date of the row before took the date over from it unsaid (such rows are refused now): it holds from when it was said.
    """
    claims: list[tuple[int, tuple[str, ...]]] = []
    before: tuple[tuple[str, ...], int | None] | None = None
    for at_ms, row in said:
        fields, date_ms = tuple(row.get(name) or "" for name in names), row.get("since_ms")
        if before is not None and fields == before[0]:
            if date_ms in (None, before[1]):
                continue
            claims.pop()
        left_in = before is not None and fields != before[0] and date_ms == before[1]
        claims.append((at_ms if date_ms is None or left_in else date_ms, fields))
        before = (fields, date_ms)
    since: list[tuple[int, tuple[str, ...]]] = []
    for begins_ms, fields in claims:
        while since and since[-1][0] >= begins_ms:
            since.pop()
        if not since or since[-1][1] != fields:
            since.append((begins_ms, fields))
    return since


def _check_since(
    tx: Tx, kind: Kind[Any], key: str, new: Any, dated: tuple[str, ...], actor: Actor, at_ms: int
) -> None:
    """A date is a named person's word about what it dates, of the past, and not before the record was registered (0:
    since ever). A date that is only taken over from the row before, as by a file in which it was left, would move what
    changed now into the past.
    """
    old, since_ms = tx.get(kind, key), new.since_ms
    if since_ms is None:
        return
    if old is not None and old.since_ms == since_ms:
        if any(getattr(old, name) != getattr(new, name) for name in dated):
            why = f"that date is of what {key} was until now: say since when the new holds, or leave it out for now"
            raise Refused(Code.BAD_VALUE, why, field="since_ms")
        return
    if actor.is_system:
        raise Refused(Code.PERSON_REQUIRED, "since when is said by a person", field="since_ms")
    a = tables.audit
    first = select(func.min(a.c.at_ms)).where(a.c.subject == f"{kind.name}:{key}")
    registered_ms = tx.connection.execute(first).scalar() or at_ms
    if since_ms > at_ms:
        raise Refused(Code.BAD_VALUE, "it cannot hold since a time that is to come", field="since_ms")
    if since_ms and since_ms < registered_ms:
        why = f"{key} was registered at {registered_ms}: 0 says that it always was so"
        raise Refused(Code.BAD_VALUE, why, field="since_ms")


def _check_origin(tx: Tx, batch: Batch) -> None:
    above, seen = batch.came_from, {batch.id}
    while above is not None:
        origin = tx.need(BATCH, above)
        if above in seen:
            raise Refused(Code.BAD_VALUE, f"batch {batch.id} would come from itself", field="came_from")
        if (origin.product_kfa, origin.batch_number) != (batch.product_kfa, batch.batch_number):
            was = f"{origin.product_kfa} {origin.batch_number}"
            raise Refused(Code.BAD_VALUE, f"batch {origin.id} is another vaccine: {was}", field="came_from")
        seen.add(above)
        above = origin.came_from


def _version(connection: Connection) -> int:
    audit = tables.audit
    newest = (select(func.max(audit.c.id)).where(audit.c.kind == kind.name) for kind in REGISTRY_KINDS)
    return max(connection.execute(query).scalar() or 0 for query in newest)


def _same_site(tx: Tx, device: Device) -> None:
    equipment = tx.get(EQUIPMENT, device.equipment)
    if equipment is None:
        raise UnknownRecord("equipment", str(device.equipment))
    if equipment.site != device.site:
        raise Refused(
            Code.WRONG_SITE,
            f"equipment {equipment.id} stands at {equipment.site}, device {device.serial} at {device.site}",
            field="equipment",
        )


def _smile_serial_free(tx: Tx, device: Device) -> None:
    # smile-core-api.md 10.13: refuse ambiguous pairs.
    if device.smile_serial is None:
        return
    for other in tx.all(DEVICE, DEVICE.table.c.smile_serial == device.smile_serial):
        if other.serial != device.serial:
            raise Refused(
                Code.SERIAL_TAKEN,
                f"SMILE serial {device.smile_serial} belongs to device {other.serial}",
                field="smile_serial",
            )
