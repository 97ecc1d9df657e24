"""The two push endpoints (facts 3.1-3.3): what is refused whole, what fails alone, and what is stored regardless.

Deliberately as careless as the real one: no de-duplication, no date check, no ownership, "" stored as 0 degrees.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from firmware_sim.smile_core.auth import core_account
from firmware_sim.smile_core.excursion import HOUR_MS, Range, Side, step
from firmware_sim.smile_core.jsvalue import iso_z, js_number, json_number, parse_date_ms
from firmware_sim.smile_core.monitoring import active_capacity_id, notify_range
from firmware_sim.smile_core.settings import PushMode
from firmware_sim.smile_core.state import HistoryRow, Json, LoggerRow, State
from firmware_sim.smile_core.wire import ApiError, Field, field_errors, internal, read_json, text, unprocessable

MAX_RECORDS = 1000
JAKARTA_SHIFT_MS = 7 * HOUR_MS  # fixed, also for WITA and WIT sites (facts 3.2)
SECOND_MS = 1000
SAVED = "Temperature history saved successfully"
NOT_SAVED = "Failed to save temperature history: "

_FIELDS: Sequence[Field] = (
    ("device_id", "string"),
    ("lat", "string"),
    ("lon", "string"),
    ("curr_temp", "string"),
    ("humidity", "string"),
    ("actual_date", "string"),
    ("status_device", "boolean"),
    ("battery", "number?"),
    ("signal", "number?"),
    ("power", "boolean"),
)


async def push_refrigerator(state: State, request: Request) -> Response:
    """`POST CORE/api/v2/histories/push`."""
    return await _push(state, request, room=False)


async def push_room(state: State, request: Request) -> Response:
    """`POST CORE/api/warehouse/histories/push`."""
    return await _push(state, request, room=True)


async def _push(state: State, request: Request, *, room: bool) -> Response:
    core_account(state, request)
    items = await read_json(request)
    if items is None:
        raise internal("Cannot read properties of undefined")
    check_items(request, items)
    results = [_store(state, item, room=room) for item in items]
    if state.settings.push_mode is PushMode.V3_0:
        return JSONResponse({"data": [_documented(result) for result in results], "message": "Finish"})
    stored = sum(result["result"] == "success" for result in results)
    data = {
        "message": "Temperature history processed successfully",
        "data": results,
        "total_processed": len(results),
        "successful": stored,
        "failed": len(results) - stored,
    }
    return JSONResponse({"data": data, "message": "Finish"})


def check_items(request: Request, items: Any) -> None:
    """Raise the refusal of the whole call, if any: types first, then the number of records, then ranges."""
    if not isinstance(items, list):
        raise unprocessable(request, {})
    if errors := {str(index): tree for index, item in enumerate(items) if (tree := _item_errors(request, item))}:
        raise unprocessable(request, errors)
    if not items:
        raise ApiError(400, {"message": "Temperature history data cannot be empty"})
    if len(items) > MAX_RECORDS:
        raise ApiError(400, {"message": f"Cannot process more than {MAX_RECORDS} records at once"})
    for number, item in enumerate(items, start=1):
        if problem := _range_problem(item):
            raise ApiError(422, {"message": f"{problem} for record {number}"})


def _item_errors(request: Request, item: Any) -> Any:
    if not isinstance(item, dict):
        return [text(request, "string", "item")]
    errors = field_errors(request, item, _FIELDS)
    if "device_id" not in errors and not item["device_id"].strip():
        errors["device_id"] = [text(request, "empty", "device_id")]
    return errors


def _range_problem(item: Mapping[str, Any]) -> str | None:
    temperature_c = js_number(item["curr_temp"])
    if math.isnan(temperature_c):
        return "Invalid temperature value"
    if not -100 <= temperature_c <= 100:
        return "Temperature value out of valid range (-100 to 100°C)"
    if not 0 <= item.get("battery", 0) <= 100:
        return "Battery percentage must be between 0-100"
    if not 0 <= item.get("signal", 0) <= 100:
        return "Signal strength must be between 0-100"
    humidity = js_number(item["humidity"])
    return "Humidity percentage must be between 0-100" if humidity < 0 or humidity > 100 else None  # NaN passes


def _store(state: State, item: Mapping[str, Any], *, room: bool) -> Json:
    device_id = re.sub(r"\s+", "", item["device_id"])
    read_ms = parse_date_ms(item["actual_date"], state.server_zone)
    actual_ms = read_ms if read_ms is None or room else read_ms + JAKARTA_SHIFT_MS
    reply: Json = {
        "device_id": device_id,
        "lat": json_number(js_number(item["lat"])),
        "lon": json_number(js_number(item["lon"])),
        "curr_temp": json_number(js_number(item["curr_temp"])),
        "actual_time": iso_z(actual_ms),
        "status_device": item["status_device"],
        "battery": item.get("battery", 0),
        "signal": item.get("signal", 0),
        "power": item["power"],
        "humidity": item["humidity"],
    }
    logger = state.logger_by_serial(device_id)
    problem = "Asset not found" if logger is None else _database_problem(item)
    if problem is None and logger is not None:
        kept_ms = actual_ms if actual_ms is not None or room else state.now_ms
        if state.settings.push_mode is PushMode.V3_0 and _known(logger, kept_ms, reply["curr_temp"]):
            problem = "same data as the others"
        else:
            _insert(state, logger, item, kept_ms)
    return {**reply, "message": problem or SAVED, "result": "error" if problem else "success"}


def _database_problem(item: Mapping[str, Any]) -> str | None:
    """What a strict database says about an item that passed validation (facts 8.4)."""
    if not (math.isfinite(js_number(item["lat"])) and math.isfinite(js_number(item["lon"]))):
        return NOT_SAVED + "Unknown column 'NaN' in 'VALUES'"
    if not item["humidity"].strip() or not math.isfinite(js_number(item["humidity"])):
        column = "`asset_rtmd_histories`.`humidity`"
        return NOT_SAVED + f"Incorrect double value: '{item['humidity']}' for column {column} at row 1"
    return None


def _to_second(at_ms: int | None) -> int | None:
    """The column is a `timestamp` of whole seconds; MySQL rounds half up."""
    return None if at_ms is None else (at_ms + SECOND_MS // 2) // SECOND_MS * SECOND_MS


def _known(logger: LoggerRow, actual_ms: int | None, temperature_c: float) -> bool:
    stored_ms = _to_second(actual_ms)
    return any(row.actual_time_ms == stored_ms and row.temperature_c == temperature_c for row in logger.history)


def _insert(state: State, logger: LoggerRow, item: Mapping[str, Any], actual_ms: int | None) -> None:
    row = HistoryRow(
        id=state.next_history_id,
        logger_id=logger.seed.id,
        temperature_c=js_number(item["curr_temp"]),
        humidity=js_number(item["humidity"]),
        battery=item.get("battery", 0),
        signal=item.get("signal", 0),
        latitude=js_number(item["lat"]),
        longitude=js_number(item["lon"]),
        device_status=item["status_device"],
        is_power_connected=item["power"],
        capacity_id=active_capacity_id(state, logger),
        actual_time_ms=_to_second(actual_ms),
        created_at_ms=state.now_ms,
    )
    state.next_history_id += 1
    logger.history.append(row)
    logger.latest_history_id = row.id
    _notify(state, logger, row)


def _notify(state: State, logger: LoggerRow, row: HistoryRow) -> None:
    limits: Range | None = notify_range(state, logger)
    if limits is None or row.actual_time_ms is None or logger.asset_id is None:
        return
    logger.abnormal, side = step(logger.abnormal, limits, row.actual_time_ms, row.temperature_c, state.now_ms)
    if side is None:
        return
    code = secrets.token_urlsafe(8)
    for account in state.accounts.values():
        told = account.entity_id == state.assets[logger.asset_id].entity_id and (account.fcm_token or account.phone)
        flag = state.role(account).is_disabled_notification
        if told and flag is not None and flag != 1:
            state.notifications.append(_trigger(side, account.id, code))


def _trigger(side: Side, account_id: int, code: str) -> Json:
    name = f"{side.value}-excursion"
    limit = "max" if side is Side.ABOVE else "min"
    return {
        "name": name,
        "to": {"subscriberId": str(account_id)},
        "transactionId": f"{name}-{code}-{account_id}",
        "payload": {
            "title": f"notification.title.temperature_excursion_{side.value}_{limit}_threshold",
            "message": f"notification.message.temperature_{side.value}_threshold",
            "eventCode": code,
        },
    }


def _documented(result: Json) -> Json:
    """One item in the shape of the OpenAPI text (3.0 program, facts 3.3)."""
    stored = result["result"] == "success"
    kept = {key: result[key] for key in ("device_id", "lat", "lon", "curr_temp")}
    return {
        **kept,
        "message": "Success inserted" if stored else result["message"],
        "status": "Ok" if stored else "Failed",
    }
