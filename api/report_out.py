"""A report for machines: JSON with whole ms, CSV with a figure a line. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from alerts.equipment.kpis import Availability, Extremes, Spent
from alerts.equipment.smile_bands import CLASSES
from alerts.report import EquipmentReport, SiteReport
from telemetry.contract import iso_utc

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
HEADER = ("site", "equipment", "name", "from", "to", "figure", "part", "value", "unit")
Line = tuple[str, str, str]
"""(figure, part, value)."""
_UNITS = {"_ms": "min", "percent": "%", "_c": "Cel", "_s": "s"}


def as_json(report: SiteReport) -> dict[str, Any]:
    """Times are RFC 3339 UTC, durations whole ms, temperatures and shares texts; null: nobody knows, or nothing is said."""
    period = report.period
    return {
        "site": report.site,
        "name": report.name,
        "zone": report.zone,
        "first_day": period.first.isoformat(),
        "last_day": period.last.isoformat(),
        "from": iso_utc(period.from_ms),
        "to": iso_utc(period.to_ms),
        "made": iso_utc(period.made_ms),
        "over": period.over,
        "loggers": report.loggers,
        "heat_alarms_per_device_month": _text(report.heat_per_device_month),
        "freeze_alarms_per_device_month": _text(report.freeze_per_device_month),
        "offline": list(report.offline),
        "uncalibrated": list(report.uncalibrated),
        "without_certificate": list(report.without_certificate),
        "not_working": list(report.not_working),
        "equipment": [_equipment(e) for e in report.equipment],
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _equipment(e: EquipmentReport) -> dict[str, Any]:
    answers, power = e.answers, e.power
    return {
        "id": e.id,
        "name": e.name,
        "kind": e.kind,
        "profile": e.profile.id,
        "profile_version": e.profile.version,
        "low_c": _text(e.profile.low_c),
        "high_c": _text(e.profile.high_c),
        "availability": _availability(e.availability),
        "readings": e.readings,
        "enough_data": e.counted.enough,
        "time": _spent(e.spent, said=e.counted.enough),
        "in_range_percent": _text(e.shares.in_range),
        "above_percent": _text(e.shares.hot),
        "freezing_percent": _text(e.shares.freezing),
        "temperature": _extremes(e.extremes),
        "mkt_c": _text(e.mkt_c),
        "uncalibrated": {
            "readings": e.left_out_readings,
            "percent": _text(e.left_out_percent),
            "temperature": _extremes(e.left_out),
        },
        "corrected": [
            {"stream": stream, "from": iso_utc(c.from_ms), "offset_c": str(c.offset_c)} for stream, c in e.corrected
        ],
        "marked": [
            {"stream": stream, "from": iso_utc(m.from_ms), "to": iso_utc(m.to_ms), "said_by": m.said_by}
            for stream, m in e.marked
        ],
        "days": [
            {
                "day": d.day.isoformat(),
                "availability": _availability(d.availability),
                "enough_data": d.said,
                "time": _spent(d.spent, said=d.said),
                "temperature": _extremes(d.extremes),
            }
            for d in e.days
        ],
        "alarms": [{"code": a.code, "confirmed": a.confirmed, "possible": a.possible} for a in e.alarms],
        "alarm_days": e.alarm_days,
        "answers": {
            "unanswered": answers.unanswered,
            "acknowledged_median_ms": answers.answer_middle_ms,
            "acknowledged_longest_ms": answers.answer_longest_ms,
            "resolved_median_ms": answers.resolve_middle_ms,
            "resolved_longest_ms": answers.resolve_longest_ms,
        },
        "found_late": {"alarms": e.late, "latest_ms": e.latest_ms},
        "doors": None
        if e.doors is None
        else [{"day": d.day.isoformat(), "openings": d.openings, "open_s": d.open_s} for d in e.doors],
        "power": None
        if power is None
        else {"percent": _text(power.percent), "outages": power.outages, "longest_ms": power.longest_ms},
        "compressor_percent": _text(e.compressor_percent),
        "smile_bands": [{"band": b.label, **dict(zip(CLASSES, b.counts, strict=True))} for b in e.bands],
    }


def _availability(known: Availability) -> dict[str, Any]:
    return {"expected": known.expected, "received": known.received, "percent": _text(known.percent)}


def _spent(spent: Spent, *, said: bool) -> dict[str, Any]:
    """Of less than half of the data nothing is called in range (requirement 14)."""
    in_ms = spent.in_ms if said and not spent.rangeless_ms else None
    return {
        "in_range_ms": in_ms,
        "above_ms": spent.above_ms,
        "below_ms": spent.below_ms,
        "freezing_ms": spent.freezing_ms,
        "out_ms": spent.out_ms,
        "unknown_ms": spent.unknown_ms,
        "known_ms": spent.known_ms,
    }


def _extremes(found: Extremes | None) -> dict[str, str] | None:
    if found is None:
        return None
    return {"low_c": str(found.low_c), "high_c": str(found.high_c), "mean_c": str(found.mean_c)}


# --- CSV --------------------------------------------------------------------------------------------------


def as_csv(report: SiteReport) -> str:
    """A figure a line (RFC 4180), of the period and of each day. What nobody knows, or what is not said, is empty."""
    out = io.StringIO()
    write = csv.writer(out).writerow
    write(HEADER)
    for row in _rows(as_json(report)):
        write([_plain(cell) for cell in row])
    return out.getvalue()


def _rows(told: dict[str, Any]) -> Iterator[list[str]]:
    site, span = told["site"], [told["first_day"], told["last_day"]]
    for figure, part, value in _lines({k: v for k, v in told.items() if k not in _NAMES and k != "equipment"}):
        yield [site, "", told["name"], *span, *_with_unit(figure, part, value)]
    for e in told["equipment"]:
        head = [site, e["id"], e["name"]]
        days, doors = e.pop("days"), e.pop("doors")
        for figure, part, value in _lines({k: v for k, v in e.items() if k not in _NAMES}):
            yield [*head, *span, *_with_unit(figure, part, value)]
        for before, day in [*(("", d) for d in days), *(("door.", d) for d in doors or ())]:
            at = day.pop("day")
            for figure, part, value in _lines(day, before):
                yield [*head, at, at, *_with_unit(figure, part, value)]


_NAMES = frozenset({"site", "id", "name", "first_day", "last_day"})
_PART_OF = {
    "alarms": ("code",),
    "smile_bands": ("band",),
    "corrected": ("stream", "from"),
    "marked": ("stream", "from"),
}


def _lines(told: dict[str, Any], before: str = "") -> Iterator[Line]:
    """Each value by its name; of a list of rows the name of the row is the part, a list of names is one line a name."""
    for name, value in told.items():
        figure = f"{before}{name}"
        if isinstance(value, dict):
            yield from _lines(value, f"{figure}.")
        elif name in _PART_OF and isinstance(value, list):
            names = _PART_OF[name]
            for row in value:
                part = " ".join(row[n] for n in names)
                yield from ((f"{figure}.{k}", part, str(v)) for k, v in row.items() if k not in names)
        elif isinstance(value, list):
            yield (figure, "", str(len(value)))
            yield from ((figure, item, "yes") for item in value)
        else:
            yield (figure, "", "" if value is None else str(value).lower() if isinstance(value, bool) else str(value))


def _with_unit(figure: str, part: str, value: str) -> tuple[str, str, str, str]:
    """(figure, part, value, unit). Durations in minutes to a tenth, and so named: what people add up in a sheet."""
    unit = next((unit for end, unit in _UNITS.items() if figure.endswith(end)), "")
    if unit == "min" and value:
        value = str((Decimal(value) / 60_000).quantize(Decimal("0.1"), ROUND_HALF_UP))
    return f"{figure.removesuffix('_ms')}_min" if unit == "min" else figure, part, value, unit if value else ""


def _plain(cell: str) -> str:
    """What a sheet would take for a formula, and is no number, begins with an apostrophe."""
    risky = cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{cell}" if risky and not _NUMBER.fullmatch(cell) else cell
