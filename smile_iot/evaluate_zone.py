"""Time zones for ``evaluate``: names a person in Indonesia uses, IANA names, and plain offsets."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from edge.decoders.files import FileReading
from telemetry.errors import ConfigError

_OFFSET = re.compile(r"([+-])(\d{1,2}):?(\d{2})?")
# WIB, WITA, WIT: no daylight saving (cold-chain 2.5).
_INDONESIA = {"wib": 7, "wita": 8, "wit": 9}


def parse_zone(text: str) -> tzinfo:
    """``WIB``, ``Asia/Jakarta``, ``+07:00``, ``+7``, ``UTC``, ``Z``; raises ConfigError."""
    name = text.strip()
    if name.casefold() in ("z", "utc", "gmt"):
        return UTC
    if name.casefold() in _INDONESIA:
        return timezone(timedelta(hours=_INDONESIA[name.casefold()]))
    match = _OFFSET.fullmatch(name)
    if match is not None and int(match[2]) <= 14 and int(match[3] or 0) < 60:
        minutes = int(match[2]) * 60 + int(match[3] or 0)
        return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        advice = "write Asia/Jakarta, Asia/Makassar, Asia/Jayapura, WIB, WITA, WIT or an offset such as +07:00"
        raise ConfigError("--zone", f"{text!r} is not a time zone", advice=advice) from error


def utc_ms(reading: FileReading, zone: tzinfo) -> int:
    """The instant of a row: by its own offset where it states one, else by the zone of the logger's clock."""
    if reading.offset_min is not None:
        return reading.instant_ms
    wall = datetime.fromtimestamp(reading.local_ms // 1000, UTC).replace(tzinfo=zone)
    return round(wall.timestamp()) * 1000 + reading.local_ms % 1000


def rfc3339(ms: int, zone: tzinfo) -> str:
    """``2026-11-20T08:00:00+07:00``; milliseconds only where there are any."""
    at = datetime.fromtimestamp(ms // 1000, zone).replace(microsecond=ms % 1000 * 1000)
    return at.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")


def local_date(ms: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(ms // 1000, zone).date().isoformat()
