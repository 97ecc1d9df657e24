"""What the records say of the devices of an equipment: how they measure, their certificates, messages that were refused.

Reads only. The running service (``equipment_judge``) and a replay ask it the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from zoneinfo import ZoneInfo

from alerts.equipment import DeviceSettings, Settings, builtin_thresholds
from alerts.equipment.calibration import Certificate, Lapse, calibration_findings, lapses
from alerts.equipment.clock import Refusal, clock_findings
from alerts.equipment.homes import Stay, home_at, stays, within
from alerts.rules import Profile, RuleFinding
from gateway.records import AuditRow, Equipment, Records, Registry

REFUSED_FOR_CLOCK = frozenset({"clock_ahead", "clock_behind", "before_service"})
_FINE_C = -55  # a profile whose range goes below this needs sensors that do (DS01's bound of TVC)


def settings_of(
    equipment: Equipment, registry: Registry, catalogue: Mapping[str, Profile], held_back_s: int
) -> Settings:
    """What the rules over sensors are told of an equipment; ``held_back_s``: what edges hold back."""
    profile = catalogue.get(equipment.profile)
    deep = profile is not None and profile.low_c is not None and profile.low_c < _FINE_C
    devices = sorted(registry.devices_of(equipment.id), key=lambda d: d.serial)
    known = ((d.serial, DeviceSettings(d.interval_s, held_back_s=held_back_s)) for d in devices)
    return Settings(equipment.id, ZoneInfo(registry.sites[equipment.site].zone), tuple(known), deep)


def lapses_of(records: Records, registry: Registry, equipment: str) -> dict[str, list[Lapse]]:
    """By serial of the devices that stand here: what of their time without a certificate they stood here."""
    found = {}
    for device in registry.devices_of(equipment):
        rows = records.audit_of(f"device:{device.serial}")
        gone = lapses(Certificate(row.at_ms, row.new_value.get("calibrated_until_ms")) for row in rows)
        found[device.serial] = within(gone, _stays_of(rows), equipment)
    return found


def refusals_of(records: Records, from_ms: int, stood: dict[str, list[Stay]]) -> dict[str, list[Refusal]]:
    """Messages that ingest refused for their time, by the equipment that their device stood in when they came.

    ``stood``: where devices stood, as far as it was read already; it is filled up.
    """
    found: dict[str, list[Refusal]] = defaultdict(list)
    for serial, reason, received_ms in records.refused_times(REFUSED_FOR_CLOCK, from_ms):
        if serial not in stood:
            stood[serial] = _stays_of(records.audit_of(f"device:{serial}"))
        home = home_at(stood[serial], received_ms)
        if home is not None:
            found[home].append(Refusal(home, serial, reason, received_ms))
    return dict(found)


def said_by_records(
    records: Records, registry: Registry, equipment: Iterable[str], from_ms: int, now_ms: int
) -> Iterator[tuple[str, tuple[RuleFinding, ...]]]:
    """(equipment, its findings that rest on no reading): certificates that ended, and refusals from ``from_ms`` on."""
    thresholds = builtin_thresholds()
    refused = refusals_of(records, from_ms, {})
    for name in equipment:
        gone = lapses_of(records, registry, name).items()
        ended = (calibration_findings(name, serial, rows, now_ms, thresholds) for serial, rows in gone)
        yield name, (*chain.from_iterable(ended), *clock_findings(refused.get(name, ()), now_ms, thresholds))


def _stays_of(rows: Iterable[AuditRow]) -> list[Stay]:
    """Where a device stood, by its audit rows (oldest first)."""
    return stays((row.at_ms, row.new_value.get("equipment")) for row in rows)
