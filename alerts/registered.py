"""The registry as alerts need it: which equipment a stream was read in when, its site, and the limits that watch it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping

from alerts.amended import NOTHING_SAID
from alerts.dated import LimitsOverTime, read_limits
from alerts.homes import EVER_MS, Homes, Spans
from alerts.rules import Profile, Profiles, StreamSettings
from alerts.shipment import Spells, instants_of, spells_of
from alerts.told import read_amendments
from gateway.records import AuditRow, EquipmentKind, Records, Registry
from telemetry.quantities import parse_stream_id

log = logging.getLogger(__name__)
_BATCH_KINDS = frozenset({"batch", "placement", "vvm"})
_OF_READINGS = frozenset({"probe_correction", "reading_mark"})


class Registered:
    """As last read; goes on with that while the records are away. ``held_back_s``: what edges hold back.

    ``amended``: what people said of readings.
    """

    def __init__(
        self, records: Records, catalogue: Mapping[str, Profile], held_back_s: int, now_ms: Callable[[], int]
    ) -> None:
        self._records = records
        self._catalogue = catalogue
        self._held_back_s = held_back_s
        self._now_ms = now_ms
        self._limits = LimitsOverTime(catalogue, {}, {})
        self._registry = Registry(-1, {}, {}, {})
        self._homes = Homes({})
        self.amended = NOTHING_SAID
        self._boxes: Mapping[str, Spells] = {}
        self._shipments: dict[str, tuple[int, ...]] = {}
        self._unknown: set[tuple[str, str]] = set()

    def read(self) -> bool:
        """Read again where something changed; whether it did. Raises NeighbourDownError."""
        if self._registry.version == self._records.registry_version():
            return False
        self._registry = self._records.registry()
        self._homes = Homes(self._records.assigned_equipment())
        self._limits = read_limits(self._records, self._catalogue, self._now_ms())
        self.amended = read_amendments(self._records)
        self._boxes = boxes_of(self._records)
        self._shipments = shipments_of(self._records, self._boxes)
        pairs = ((e.id, e.profile) for e in self._registry.equipment.values())
        unknown = {(name, profile) for name, profile in pairs if profile not in self._catalogue}
        for name, profile in sorted(unknown - self._unknown):
            log.error("equipment %s: no profile %r; judged as a refrigerator", name, profile)
        self._unknown = unknown
        return True

    def hear(self, rows: Iterable[AuditRow]) -> bool:
        """Whether people said something of what came into a box, or left it. Raises NeighbourDownError."""
        moved = (str(row.new_value.get("equipment")) for row in rows if row.kind == "placement")
        if not any(name in self._boxes for name in moved):
            return False
        self._shipments = shipments_of(self._records, self._boxes)
        return True

    @property
    def version(self) -> int:
        """The newest row of the audit that this knows of the registry."""
        return self._registry.version

    def home(self, stream_id: str, t_ms: int) -> str:
        """The equipment that a stream's device stood in at a time, "" where it stood in none."""
        return self._homes.at(stream_id, t_ms)

    def stays(self, stream_id: str) -> Spans:
        """Where a stream's device stood when."""
        return self._homes.spans(stream_id)

    def of_site(self, site: str) -> set[str]:
        """The equipment of a site."""
        return {e.id for e in self._registry.equipment.values() if e.site == site}

    def watched_by(self, profile: str) -> set[str]:
        """The equipment that a profile watches, or watched once."""
        rows = self._limits.assigned.items()
        return {name for name, spans in rows if any(profile in assigned.profiles for assigned in spans)}

    def site(self, equipment: str) -> str | None:
        found = self._registry.equipment.get(equipment)
        return None if found is None else found.site

    def profiles(self, streams: Iterable[str]) -> Profiles:
        """What the rules judge these streams by."""
        limits = self._limits
        settings: dict[str, StreamSettings] = {}
        for stream in streams:
            device = self._registry.device(parse_stream_id(stream).serial)
            if device is not None:
                settings[stream] = StreamSettings(device.interval_s, device.calibration_error_c, self._held_back_s)
        return Profiles(
            limits.catalogue,
            streams=settings,
            assigned=limits.assigned,
            versions=limits.versions,
            shipments=self._shipments,
        )


def boxes_of(records: Records) -> dict[str, Spells]:
    """What is, or was, a box -> when it was one; what it was first it was since ever."""
    found: dict[str, Spells] = {}
    for name, rows in records.kinds_over_time().items():
        begins = [EVER_MS, *(at_ms for at_ms, *_ in rows[1:])]
        spans = zip(begins, [*begins[1:], None], (kind for _, kind, _ in rows), strict=True)
        if spells := spells_of((low, high) for low, high, kind in spans if kind == EquipmentKind.COLD_BOX):
            found[name] = spells
    return found


def shipments_of(records: Records, boxes: Mapping[str, Spells]) -> dict[str, tuple[int, ...]]:
    """Box -> when it was loaded and when it was empty again (requirement 29: a shipment starts at the placement).

    ``boxes``: when it was one (``boxes_of``); what stood in it before or after was in no shipment.
    """
    stays = {box: records.placements(equipment=box) for box in sorted(boxes)}
    loaded = {
        box: spells_of(part for p in rows for part in _within(p.from_ms, p.to_ms, boxes[box]))
        for box, rows in stays.items()
    }
    return {box: instants_of(spells) for box, spells in loaded.items() if spells}


def _within(from_ms: int, to_ms: int | None, spells: Spells) -> Iterator[tuple[int, int | None]]:
    for low, high in spells:
        begins_ms, ends_ms = max(from_ms, low), min((t for t in (to_ms, high) if t is not None), default=None)
        if ends_ms is None or begins_ms < ends_ms:
            yield begins_ms, ends_ms


def batches_in(rows: Iterable[AuditRow]) -> set[str]:
    """The batches of which these rows speak."""
    told = (row for row in rows if row.kind in _BATCH_KINDS)
    return {row.key if row.kind == "batch" else str(row.new_value.get("batch")) for row in told}


def equipment_in(rows: Iterable[AuditRow], registry: Registered) -> set[str]:
    """The equipment whose settings, or whose devices', site's or profile's settings, changed, or what is said of readings."""
    found: set[str] = set()
    for row in rows:
        if row.kind == "equipment":
            found.add(row.key)
        elif row.kind == "device":
            found |= {str(v["equipment"]) for v in (row.old_value, row.new_value) if v.get("equipment")}
        elif row.kind == "site":
            found |= registry.of_site(row.key)
        elif row.kind in _OF_READINGS:
            found |= {place for *_, place in registry.stays(str(row.new_value["stream"])) if place}
        elif row.kind == "profile":
            found |= registry.watched_by(str(row.new_value.get("profile")))
    return found


def profiles_in(rows: Iterable[AuditRow]) -> set[str]:
    """The profiles whose limits changed."""
    return {str(row.new_value.get("profile")) for row in rows if row.kind == "profile"}
