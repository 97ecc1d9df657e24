"""How the real programs read text: JavaScript's `Number()` and moment's dates, re-made from what was observed."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")
_PREFIXED = re.compile(r"0([xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)\Z")
_ISO = re.compile(
    r"(\d{4})-?(\d{2})-?(\d{2})"
    r"(?:[T ](\d{2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)?)?\s*(Z|[+-]\d{2}(?::?\d{2})?)?)?\Z"
)


def js_number(text: str) -> float:
    """`Number(text)`: empty or blank is 0, text is NaN (facts 3.1: this is how "" becomes 0 degrees)."""
    stripped = text.strip()
    if not stripped:
        return 0.0
    if _PREFIXED.match(stripped):
        return float(int(stripped, 0))
    if stripped in ("Infinity", "+Infinity", "-Infinity"):
        return float(stripped.replace("Infinity", "inf"))
    return float(stripped) if _DECIMAL.match(stripped) else math.nan


def json_number(value: float) -> int | float | None:
    """The number as `JSON.stringify` writes it: 4 not 4.0, null for NaN and infinities."""
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) and abs(value) < 1e15 else value


def parse_date_ms(text: str, zone: tzinfo) -> int | None:
    """Instant of a date text in ms since the epoch, or None if it is not a date.

    A text without an offset is read in `zone`, the server's own (facts 3.2).
    """
    match = _ISO.match(text.strip())
    moment = _from_iso(match, zone) if match else _from_rfc2822(text)
    if moment is None:
        return None
    since_epoch = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since_epoch // timedelta(milliseconds=1)


def _from_iso(match: re.Match[str], zone: tzinfo) -> datetime | None:
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    microsecond = int((fraction or "0").ljust(6, "0")[:6])
    try:
        return datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), microsecond,
            tzinfo=_zone_of(offset, zone),
        )  # fmt: skip
    except (ValueError, OverflowError):
        return None


def _zone_of(offset: str | None, zone: tzinfo) -> tzinfo:
    if offset is None:
        return zone
    if offset == "Z":
        return UTC
    digits = offset[1:].replace(":", "")
    span = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-span if offset[0] == "-" else span)


def _from_rfc2822(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def iso_z(at_ms: int | None) -> str | None:
    """`2026-11-22T15:00:00.000Z`, or None for None."""
    if at_ms is None:
        return None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def sql_datetime(at_ms: int) -> str:
    """`2026-11-22 15:00:00` in UTC, as main prints its timestamps."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%d %H:%M:%S")
