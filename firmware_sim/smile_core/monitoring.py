"""Reading temperatures back (facts 4.1, 4.4). Reply shapes beyond the fields the facts name are inferred."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from firmware_sim.smile_core.auth import VENDOR_IOT, core_account
from firmware_sim.smile_core.excursion import Range, Side, excursion_of
from firmware_sim.smile_core.jsvalue import iso_z, json_number, parse_date_ms
from firmware_sim.smile_core.seed import Account, Asset, AssetModel, Capacity
from firmware_sim.smile_core.state import HistoryRow, Json, LoggerRow, State
from firmware_sim.smile_core.wire import ApiError, page_of, query_int, unprocessable

DAY_MS = 86_400_000
HISTORY_MONTHS_MS = 92 * DAY_MS  # "not older than 3 months"


def _model(state: State, asset: Asset) -> AssetModel | None:
    return next((row for row in state.seed.asset_models if row.id == asset.model_id), None)


def _asset_of(state: State, logger: LoggerRow) -> Asset | None:
    return state.assets.get(logger.asset_id) if logger.asset_id is not None else None


def _active(state: State, asset: Asset) -> Capacity | None:
    model = _model(state, asset)
    rows = model.capacities if model else ()
    return next((row for row in rows if row.id == asset.active_capacity_id), None)


def active_capacity_id(state: State, logger: LoggerRow) -> int | None:
    """The capacity a history row copies at insert time; None when the logger is not linked."""
    asset = _asset_of(state, logger)
    active = _active(state, asset) if asset else None
    return active.id if active else None


def _own(asset: Asset) -> Range | None:
    return Range(asset.own_min_c, asset.own_max_c) if asset.own_min_c and asset.own_max_c else None


def read_range(state: State, asset: Asset) -> Range | None:
    """The threshold of the read-time judgement: own limits if both are non-zero, else the active capacity."""
    active = _active(state, asset)
    return _own(asset) or (Range(active.min_c, active.max_c) if active else None)


def notify_range(state: State, logger: LoggerRow) -> Range | None:
    """The threshold of the push-time notification: not the active capacity but the one with the highest minimum."""
    asset = _asset_of(state, logger)
    if asset is None:
        return None
    if asset.is_room:
        room = state.seed.room_threshold
        return _own(asset) or (Range(room.min_c, room.max_c) if room else None)
    model = _model(state, asset)
    rows = sorted(model.capacities if model else (), key=lambda row: -row.min_c)
    return _own(asset) or (Range(rows[0].min_c, rows[0].max_c) if rows else None)


def _dated(logger: LoggerRow) -> list[HistoryRow]:
    return sorted((row for row in logger.history if row.actual_time_ms is not None), key=_time)


def _time(row: HistoryRow) -> tuple[int, int]:
    return (row.actual_time_ms or 0, row.id)


async def list_assets(state: State, request: Request) -> Response:
    """`GET CORE/asset-monitoring-temperature`: newest by reading time; the filter goes by the last inserted row."""
    account = core_account(state, request)
    wanted_room = (query_int(request, "is_warehouse", 0) or 0) == 1
    keyword = request.query_params.get("keyword", "").lower()
    rows = [
        (asset, logger)
        for logger in state.loggers.values()
        if (asset := _asset_of(state, logger)) is not None
        and asset.is_room == wanted_room
        and _visible(account, asset)
        and keyword in f"{asset.serial_number} {asset.name} {logger.seed.serial_number}".lower()
        and _passes_filter(state, request, asset, logger)
    ]
    return JSONResponse(page_of(request, [_list_row(state, asset, logger) for asset, logger in rows]))


def _visible(account: Account, asset: Asset) -> bool:
    if account.role_id == VENDOR_IOT:
        return asset.created_by == account.id
    return account.entity_id is None or account.entity_id == asset.entity_id


def _passes_filter(state: State, request: Request, asset: Asset, logger: LoggerRow) -> bool:
    wanted = request.query_params.get("temperature_filter")
    if not wanted:
        return True
    limits = read_range(state, asset)
    latest = next((row for row in logger.history if row.id == logger.latest_history_id), None)
    if limits is None or latest is None:
        return False
    side: Side | None = limits.side(latest.temperature_c)
    return wanted == (side.value if side else "normal")


def _list_row(state: State, asset: Asset, logger: LoggerRow) -> Json:
    dated = _dated(logger)
    readings = [(row.actual_time_ms or 0, row.temperature_c) for row in dated]
    limits = read_range(state, asset)
    return {
        **_asset_json(state, asset),
        "rtmd": _logger_json(logger, dated[-1] if dated else None),
        "excursion": excursion_of(limits, readings),
    }


def _asset_json(state: State, asset: Asset) -> Json:
    limits = read_range(state, asset)
    entity = state.entities.get(asset.entity_id)
    return {
        "id": asset.id,
        "serial_number": asset.serial_number,
        "name": asset.name,
        "asset_type_id": asset.type_id,
        "working_status_id": asset.working_status_id,
        "entity": {"id": asset.entity_id, "name": entity.name if entity else None},
        "min_temperature": json_number(limits.min_c) if limits else None,
        "max_temperature": json_number(limits.max_c) if limits else None,
    }


def _logger_json(logger: LoggerRow, newest: HistoryRow | None) -> Json:
    return {
        "id": logger.seed.id,
        "serial_number": logger.seed.serial_number,
        "latest": None if newest is None else _history_json(newest),
    }


def _history_json(row: HistoryRow) -> Json:
    return {
        "id": row.id,
        "asset_rtmd_id": row.logger_id,
        "temperature": json_number(row.temperature_c),
        "humidity": json_number(row.humidity),
        "battery": row.battery,
        "signal": row.signal,
        "device_status": int(row.device_status),
        "is_power_connected": int(row.is_power_connected),
        "actual_time": iso_z(row.actual_time_ms),  # WIB wall clock with a Z, facts 3.2
        "created_at": iso_z(row.created_at_ms),
    }


async def asset_detail(state: State, request: Request) -> Response:
    """`GET CORE/asset-monitoring-temperature/{assetId}`: no `excursion` field here (facts 4.1)."""
    account = core_account(state, request)
    asset = state.assets.get(int(request.path_params["asset_id"]))
    if asset is None or not _visible(account, asset):
        raise ApiError(404, {"message": "Asset not found"})
    loggers = [row for row in state.loggers.values() if row.asset_id == asset.id]
    rtmds = [_logger_json(row, dated[-1] if (dated := _dated(row)) else None) for row in loggers]
    return JSONResponse({**_asset_json(state, asset), "rtmds": rtmds})


async def logger_history(state: State, request: Request) -> Response:
    """`GET CORE/asset-monitoring-temperature/{rtmdId}/history`: rows of a span, newest first, `paginate` 1..100."""
    account = core_account(state, request)
    logger = state.loggers.get(int(request.path_params["rtmd_id"]))
    if logger is None:
        raise ApiError(404, {"message": "RTMD not found"})
    from_ms, to_ms = _span(state, request)
    asset = _asset_of(state, logger)
    rows = _dated(logger) if asset is not None and _visible(account, asset) else []
    kept = [_history_json(row) for row in reversed(rows) if from_ms <= (row.actual_time_ms or 0) < to_ms]
    return JSONResponse(page_of(request, kept, range(1, 101)))


def _span(state: State, request: Request) -> tuple[int, int]:
    """[from, to) of the query on stored times; a date alone means the whole day."""
    now_ms = state.now_ms
    from_ms = _query_date(request, "from_date", now_ms - HISTORY_MONTHS_MS)
    to_text = request.query_params.get("to_date", "")
    to_ms = _query_date(request, "to_date", now_ms + 36_500 * DAY_MS)
    midnight_ms = datetime.fromtimestamp(now_ms / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if from_ms < midnight_ms.timestamp() * 1000 - HISTORY_MONTHS_MS:
        raise unprocessable(request, {"from_date": ["from_date cannot be older than 3 months"]})
    return from_ms, to_ms + (DAY_MS if len(to_text) == 10 else 1)


def _query_date(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name)
    if not value:
        return default
    at_ms = parse_date_ms(value, UTC)
    if at_ms is None:
        raise unprocessable(request, {name: [f"{name} doesn't match format"]})
    return at_ms
