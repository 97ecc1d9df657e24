"""A reading as SMILE's item, and SMILE's answer as one word per item. Pure.

SMILE checks no date, stores "" as 0 °C, refuses a whole call for one value out of range and keeps every
duplicate (facts/smile-core-api.md 3.1 to 3.3). So everything is checked here before it goes out, and HTTP 200
proves nothing until the item's own ``result`` was read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from gateway.smile.port import Item, PushStatus, Route
from telemetry.contract import iso_utc_seconds
from telemetry.errors import ContractError
from telemetry.quantities import SERIAL_PATTERN
from telemetry.readings import Quality, Reading

MAX_ITEMS = 1000  # smile-core-api 3.1: more gives 400
_DAY_MS = 86_400_000
# smile-core-api 3.2: the cold route adds seven hours and stores that as if it were UTC; the room route does not.
ROUTE_SHIFT_MS = {Route.COLD: 7 * 3_600_000, Route.ROOM: 0}
_TEMPERATURE = (Decimal(-100), Decimal(100))
_PERCENT = (Decimal(0), Decimal(100))
_FOR_RECORD = re.compile(r"\bfor record (\d+)\b")
# Words of SMILE itself where no code exists (3.3); they hold because ``accept-language: en`` is sent (duty 16).
_UNKNOWN_DEVICE = "asset not found"
_SAME_DATA = "same data as the others"
# smile-core-api 3.3 documents "Ok" for the 3.0 shape, "success" for v5.
_STORED_WORDS = frozenset({"success", "ok"})


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may go out. ``fault_values``: what a DS18B20 says at power-up and unplugged (smile-and-waste item 3,
    unverified there, so a setting)."""

    max_future_ms: int = 300_000
    max_age_ms: int = 90 * _DAY_MS
    fault_values: frozenset[Decimal] = frozenset({Decimal(85), Decimal(-127)})


@dataclass(frozen=True, slots=True)
class Assumed:
    """What is sent where nobody measured; every use is marked in our own record (duty 4)."""

    humidity_percent: Decimal = Decimal(50)
    battery_percent: Decimal = Decimal(100)
    signal_percent: Decimal = Decimal(100)
    mains_power_on: bool = True
    lat: Decimal = Decimal(0)
    lon: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Beside:
    """What else the device said lately; None where it said nothing."""

    humidity_percent: Decimal | None = None
    battery_percent: Decimal | None = None
    rssi_dbm: Decimal | None = None
    mains_power_on: bool | None = None
    lat: Decimal | None = None
    lon: Decimal | None = None


@dataclass(frozen=True, slots=True)
class NotPushed:
    """A reading that does not go to SMILE: ``reason`` is a short stable word, ``is_gap`` when there is no value."""

    device_id: str
    sampled_at_ms: int | None
    reason: str
    detail: str = ""
    is_gap: bool = False


# --- serials (duty 13) ---------------------------------------------------------------------------------------


def smile_serial(text: str) -> str:
    """The form SMILE can hold: letters, digits, ``-_.``; colons and white space taken out (3.5).

    Raises ContractError("bad_serial") for any other sign.
    """
    serial = re.sub(r"[\s:]", "", text)
    if not SERIAL_PATTERN.fullmatch(serial):
        raise ContractError("bad_serial", f"{text[:80]!r} cannot be a logger's serial in SMILE")
    return serial


def shared_serials(named: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Groups of our serials that would be one logger in SMILE; ``named`` is {our serial: SMILE serial}. Upper and
    lower case count as the same, since the database's collation decides and we cannot see it."""
    groups: dict[str, list[str]] = {}
    for serial, name in named.items():
        groups.setdefault(name.casefold(), []).append(serial)
    return [tuple(sorted(group)) for group in groups.values() if len(group) > 1]


# --- reading -> item (duties 1 to 5) -------------------------------------------------------------------------


def item_of(
    reading: Reading,
    device_id: str,
    *,
    beside: Beside,
    assumed: Assumed,
    bounds: Bounds,
    now_ms: int,
    route: Route = Route.COLD,
) -> Item | NotPushed:
    """The item to push, or why there is none (smile-and-waste items 1, 3, 4; duties 2 to 5)."""
    t_ms = reading.sampled_at_ms
    value = reading.value
    if t_ms is None:
        return NotPushed(device_id, None, "undated")
    if value is None or not value.is_finite() or reading.quality is not Quality.GOOD:
        return NotPushed(device_id, t_ms, "no_reading", reading.quality.value, is_gap=True)
    if value in bounds.fault_values:
        return NotPushed(device_id, t_ms, "sensor_fault_code", str(value), is_gap=True)
    if not _within(value, _TEMPERATURE):
        return NotPushed(device_id, t_ms, "out_of_bounds", f"temperature {value}")
    if t_ms > now_ms + bounds.max_future_ms:
        return NotPushed(device_id, t_ms, "in_the_future", iso_utc_seconds(t_ms))
    if t_ms < now_ms - bounds.max_age_ms:
        return NotPushed(device_id, t_ms, "too_old", iso_utc_seconds(t_ms))
    return _item(device_id, t_ms, value, beside, assumed, route)


def _item(
    device_id: str, t_ms: int, value: Decimal, beside: Beside, assumed: Assumed, route: Route
) -> Item | NotPushed:
    marks: list[str] = []

    def known(name: str, measured: Decimal | None, fallback: Decimal) -> Decimal:
        if measured is None:
            marks.append(name)
        return fallback if measured is None else measured

    humidity = known("humidity", beside.humidity_percent, assumed.humidity_percent)
    battery = known("battery", beside.battery_percent, assumed.battery_percent)
    signal = known("signal", signal_percent(beside.rssi_dbm), assumed.signal_percent)
    lat = known("lat", beside.lat, assumed.lat)
    lon = known("lon", beside.lon, assumed.lon)
    power = assumed.mains_power_on if beside.mains_power_on is None else beside.mains_power_on
    if beside.mains_power_on is None:
        marks.append("power")
    for name, percent in (("humidity", humidity), ("battery", battery), ("signal", signal)):
        if not _within(percent, _PERCENT):
            return NotPushed(device_id, t_ms, "out_of_bounds", f"{name} {percent}")
    return Item(device_id, t_ms, value, humidity, battery, signal, power, True, lat, lon, tuple(marks), route)


def signal_percent(rssi_dbm: Decimal | None) -> Decimal | None:
    """-100 dBm and less is 0, -50 dBm and more is 100, a straight line between: a sketch, SMILE defines none."""
    if rssi_dbm is None:
        return None
    return min(Decimal(100), max(Decimal(0), 2 * (rssi_dbm + 100)))


def _within(value: Decimal, span: tuple[Decimal, Decimal]) -> bool:
    return value.is_finite() and span[0] <= value <= span[1]


def _text(value: Decimal) -> str:
    """Digits without exponent and without trailing zeros after the point."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _json_number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def item_body(item: Item) -> dict[str, Any]:
    """The item as JSON: strings, numbers and booleans as SMILE wants them (3.1; duty 4)."""
    return {
        "device_id": item.device_id,
        "lat": _text(item.lat),
        "lon": _text(item.lon),
        "curr_temp": _text(item.temperature_c),
        "humidity": _text(item.humidity_percent),
        "actual_date": iso_utc_seconds(item.sampled_at_ms),  # the form that no zone of the server changes (duty 1)
        "status_device": item.device_ok,
        "battery": _json_number(item.battery_percent),
        "signal": _json_number(item.signal_percent),
        "power": item.mains_power_on,
    }


def batches(items: Sequence[Item], limit: int = MAX_ITEMS) -> list[list[Item]]:
    """Calls of at most ``limit`` items of one route, oldest first, so that each logger's own order is kept and
    a backfill ends with the newest reading (duties 7, 10). Never an empty call."""
    size = max(1, min(limit, MAX_ITEMS))
    ordered = sorted(items, key=lambda i: (i.route, i.sampled_at_ms, i.device_id))
    calls: list[list[Item]] = []
    for item in ordered:
        if not calls or len(calls[-1]) >= size or calls[-1][0].route is not item.route:
            calls.append([])
        calls[-1].append(item)
    return calls


# --- SMILE's answer (duties 6, 8, 11, 12) --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ItemReply:
    """One item of the answer. ``stored_time_ms`` is the time SMILE says it stored (v5 only), read as UTC."""

    status: PushStatus
    text: str
    stored_time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one push: an item each, in the order sent."""

    items: tuple[ItemReply, ...] = field(default_factory=tuple)


def parse_reply(body: object, sent: int) -> Reply | None:
    """Both shapes of 3.3: ``data.data[].result`` (v5) and ``data[].status`` (3.0). None when it is neither, or
    holds another number of items than were sent: then nothing is known and all of them are uncertain."""
    data = body.get("data") if isinstance(body, Mapping) else None
    rows = data.get("data") if isinstance(data, Mapping) else data
    if not isinstance(rows, list) or len(rows) != sent or not all(isinstance(row, Mapping) for row in rows):
        return None
    return Reply(tuple(_item_reply(row) for row in rows))


def _item_reply(row: Mapping[str, Any]) -> ItemReply:
    text = str(row.get("message") or "")
    word = str(row.get("result") if "result" in row else row.get("status") or "").casefold()
    stored_ms = parse_time(row.get("actual_time"))
    if _SAME_DATA in text.casefold() or _SAME_DATA in word:
        return ItemReply(PushStatus.STORED, text, stored_ms)
    if word in _STORED_WORDS:
        return ItemReply(PushStatus.STORED, text, stored_ms)
    if _UNKNOWN_DEVICE in text.casefold():
        return ItemReply(PushStatus.UNKNOWN_DEVICE, text)
    return ItemReply(PushStatus.FAILED, text or word or "no result")


def parse_time(value: object) -> int | None:
    """Milliseconds of a time in one of SMILE's answers; a bare one is read as UTC, as SMILE prints it."""
    if not isinstance(value, str) or not value:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def bad_records(body: object, sent: int) -> frozenset[int]:
    """Which items (from 0) a 400 or 422 names: ``errors`` keyed by index, else "for record N", N from 1 (duty 6).

    Empty when the answer names none: then the call is halved until the bad one stands alone.
    """
    if not isinstance(body, Mapping):
        return frozenset()
    errors = body.get("errors")
    found = {int(key) for key in errors if str(key).isdecimal()} if isinstance(errors, Mapping) else set()
    if not found:
        found = {int(n) - 1 for n in _FOR_RECORD.findall(str(body.get("message") or ""))}
    return frozenset(n for n in found if 0 <= n < sent)


def words_of(body: object) -> str:
    """SMILE's own words for our record, at most 500 signs; never a stack trace (its 500 shows one)."""
    if isinstance(body, Mapping):
        parts = [str(body.get("message") or "")]
        errors = body.get("errors", body.get("data"))
        if errors and not (isinstance(errors, str) and "\n" in errors):
            parts.append(str(errors))
        return " ".join(p for p in parts if p)[:500]
    return str(body or "")[:200]


def shift_error_ms(item: Item, reply: ItemReply, shift_ms: int) -> int | None:
    """How far SMILE's stored time is from the one expected (0 = right), or None when it does not say."""
    if reply.stored_time_ms is None:
        return None
    return reply.stored_time_ms - (item.sampled_at_ms // 1000 * 1000 + shift_ms)
