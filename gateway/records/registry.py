"""Sites, equipment, devices, batches: who is who."""

from __future__ import annotations

import json
from dataclasses import replace

from sqlalchemy import Connection, func, select

from gateway.records import tables
from gateway.records.checks import check_batch, check_device, check_equipment, check_site
from gateway.records.errors import Code, Refused, UnknownRecord
from gateway.records.kinds import BATCH, DEVICE, EQUIPMENT, REGISTRY_KINDS, SITE
from gateway.records.model import Actor, Batch, Change, Device, Equipment, Registered, Registry, Site
from gateway.records.part import Part, equal
from gateway.records.quarantine import waiting_ids
from gateway.records.tx import Act, Tx, fetch


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
        a = tables.audit
        query = select(a.c.at_ms, a.c.new).where(a.c.kind == DEVICE.name, a.c.new.is_not(None)).order_by(a.c.id)
        if audit_id is not None:
            query = query.where(a.c.id <= audit_id)
        found: dict[str, list[tuple[int, str]]] = {}
        with self._db.read() as connection:
            for at_ms, text in connection.execute(query):
                row = json.loads(text)
                since, equipment = found.setdefault(row["serial"], []), row.get("equipment") or ""
                while since and since[-1][0] >= at_ms:
                    since.pop()
                if not since or since[-1][1] != equipment:
                    since.append((at_ms, equipment))
        return found

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
