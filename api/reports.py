"""The report of a site's period, read out of the records and the store: the same for page, JSON, CSV and command.

One equipment's readings are in memory at a time, and no more of them than the period holds.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from alerts.amended import Amendments
from alerts.counters import local_day
from alerts.dated import limits_over_time
from alerts.equipment.calibration import Certificate, Lapse, lapses
from alerts.homes import Homes
from alerts.report import (
    MOST_DAYS,
    Devices,
    EquipmentSeen,
    Period,
    SiteReport,
    StreamSeen,
    report_of,
    site_report,
    span_to_read,
)
from alerts.rules import Profile, Profiles
from alerts.rules.limits import TEMPERATURE
from alerts.told import read_amendments
from api.series import points_at_home
from gateway.records import Device, Equipment, Finding, Records, Site
from ingest.store import Store
from telemetry.errors import ContractError
from telemetry.quantities import parse_stream_id

FIRST_DAY = date(2000, 1, 1)
"""An earlier day is a slip of the keyboard."""
_MONTH = re.compile(r"(\d{4})-(\d{2})")
_QUANTITIES = frozenset(
    {
        TEMPERATURE,
        "door_open",
        "door_open_s",
        "door_openings",
        "mains_power_on",
        "mains_available_s",
        "compressor_run_s",
    }
)


class PeriodError(ValueError):
    """No period that can be told: its text says which ones can."""


def period_of(zone: str, now_ms: int, month: str = "", first: str = "", last: str = "") -> Period:
    """A month (``2026-11``), or the days from ``first`` to ``last``; with nothing named the month that runs.

    Raises PeriodError for what is no date, ends before it begins, has not begun, or is longer than ``MOST_DAYS``.
    """
    info = ZoneInfo(zone)
    today = local_day(now_ms, info)
    if first or last:
        try:
            days = (date.fromisoformat(first or last), date.fromisoformat(last or first))
        except ValueError as error:
            raise PeriodError(f"{first!r} to {last!r}: give two days as 2026-11-01") from error
    else:
        days = _month_of(month or f"{today:%Y-%m}")
    if not FIRST_DAY <= days[0] <= days[1]:
        raise PeriodError(f"{days[0]} to {days[1]} is no span of days")
    if (days[1] - days[0]).days >= MOST_DAYS:
        raise PeriodError(f"{days[0]} to {days[1]} is longer than {MOST_DAYS} days")
    if days[0] > today:
        raise PeriodError(f"{days[0]} has not begun at this site")
    return Period(*days, info, now_ms)


def _month_of(text: str) -> tuple[date, date]:
    found = _MONTH.fullmatch(text)
    year, month = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (FIRST_DAY.year <= year and 1 <= month <= 12):
        raise PeriodError(f"{text!r}: give a month as 2026-11")
    return date(year, month, 1), date(year, month, monthrange(year, month)[1])


def month_before(day: date) -> str:
    """The month before a day's, as ``2026-10``."""
    return f"{day.replace(day=1) - timedelta(days=1):%Y-%m}"


@dataclass(frozen=True, slots=True)
class _Known:
    """What the records say of a site, read once for all of its equipment."""

    homes: Homes
    devices: Mapping[str, Device | None]
    gone: Mapping[str, tuple[Lapse, ...]]
    streams: Mapping[str, Sequence[str]]
    profiles: Profiles
    found: Sequence[Finding]
    amended: Amendments


def read_report(
    records: Records, store: Store, profiles: Mapping[str, Profile], site: Site, period: Period
) -> SiteReport:
    """``profiles``: the files' limits; what people kept in the records goes before them, by its date."""
    watched = records.equipment_list(site.id)
    known = _known(records, store, profiles, site, period, {e.id for e in watched})
    made = [
        report_of(seen, period)
        for e in sorted(watched, key=lambda e: (e.name, e.id))
        if (seen := _seen(records, store, known, e, period)) is not None
    ]
    loggers = {parse_stream_id(s).serial for streams in known.streams.values() for s in streams if _is_temperature(s)}
    without = sorted(s for s in loggers if (d := known.devices[s]) is None or d.calibrated_until_ms is None)
    devices = Devices({s: known.gone[s] for s in sorted(loggers)}, tuple(without))
    return site_report((site.id, site.name), period, made, known.found, devices)


def _known(
    records: Records, store: Store, files: Mapping[str, Profile], site: Site, period: Period, here: set[str]
) -> _Known:
    homes = Homes(records.assigned_equipment())
    streams: dict[str, list[str]] = {}
    for stream in store.streams(site.id):
        try:
            if parse_stream_id(stream).quantity not in _QUANTITIES:
                continue
        except ContractError:
            continue
        for low, high, place in homes.spans(stream):
            if place in here and low < period.to_ms and high > period.from_ms:
                streams.setdefault(place, []).append(stream)
    serials = sorted({parse_stream_id(s).serial for told in streams.values() for s in told})
    over = limits_over_time(files, records.profile_versions(), records.assigned_profiles())
    default = tuple(name for name in ("refrigerator",) if name in over.catalogue)
    found = records.findings(site.id, to_ms=period.to_ms, lasting_ms=period.from_ms, standing=True)
    return _Known(
        homes,
        {s: records.device(s) for s in serials},
        {s: tuple(lapses_of(records, s)) for s in serials},
        {place: sorted(set(told)) for place, told in streams.items()},
        Profiles(over.catalogue, default=default, assigned=over.assigned, versions=over.versions),
        [f for f in found if f.equipment is not None and f.batch is None],
        read_amendments(records, {s for told in streams.values() for s in told}),
    )


def lapses_of(records: Records, serial: str) -> list[Lapse]:
    """When a device had no certificate in force (cold-chain.md 38)."""
    rows = records.audit_of(f"device:{serial}")
    return lapses(Certificate(row.at_ms, row.new_value.get("calibrated_until_ms")) for row in rows)


def _is_temperature(stream_id: str) -> bool:
    return parse_stream_id(stream_id).quantity == TEMPERATURE


def _seen(
    records: Records, store: Store, known: _Known, equipment: Equipment, period: Period
) -> EquipmentSeen | None:
    """None for what no device ever watched and nothing was found of, as a store for waste."""
    streams = [_stream(store, known, equipment.id, s, period) for s in known.streams.get(equipment.id, ())]
    found = tuple(f for f in known.found if f.equipment == equipment.id)
    if not streams and not found and str(equipment.kind) == "waste_store":
        return None
    met = [f for f in found if f.alarms and period.from_ms <= f.event_ms]
    return EquipmentSeen(
        equipment.id,
        equipment.name,
        str(equipment.kind),
        tuple(s for s in streams if len(s.points.before(period.to_ms + 1))),
        known.profiles.eras(equipment.id),
        found,
        tuple(records.alarms_of(met)),
    )


def _stream(store: Store, known: _Known, equipment: str, stream_id: str, period: Period) -> StreamSeen:
    serial = parse_stream_id(stream_id).serial
    device = known.devices[serial]
    interval_ms = None if device is None or device.interval_s is None else device.interval_s * 1000
    from_ms, to_ms = span_to_read(period, interval_ms)
    series = store.read_columns(stream_id, from_ms, to_ms + 1)  # a DS01 record of this very moment is of the period
    points = points_at_home(series, stream_id, known.homes.spans(stream_id), equipment, known.amended)
    return StreamSeen(stream_id, points, interval_ms, known.gone[serial], *known.amended.of(stream_id))
