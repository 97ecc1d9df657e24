"""Registering and listing loggers, and the lookups beside it (facts 3.5)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from firmware_sim.smile_core.auth import VENDOR_IOT, core_account
from firmware_sim.smile_core.seed import Account, Logger
from firmware_sim.smile_core.state import Json, LoggerRow, State
from firmware_sim.smile_core.wire import ApiError, Field, field_errors, query_int, read_json, unprocessable

_ALLOWED_SERIAL = re.compile(r"[A-Za-z0-9\-_.\s]+\Z")  # no colon: a BLE MAC goes without
_FIELDS: Sequence[Field] = (
    ("type_id", "number"),
    ("entity_id", "number"),
    ("serial_number", "string"),
    ("name", "string"),
    ("prod_year", "number"),
    ("model_id", "number"),
    ("manufacture_id", "number"),
    ("status", "number"),
)


async def create_logger(state: State, request: Request) -> Response:
    """`POST CORE/api/assets`: by any active account, for any manufacturer."""
    account = core_account(state, request)
    body = await read_json(request)
    fields = body if isinstance(body, dict) else {}
    if errors := field_errors(request, fields, _FIELDS):
        raise unprocessable(request, errors)
    if problem := _refusal(state, fields):
        raise ApiError(422, {"message": problem})
    row = Logger(
        id=max(state.loggers, default=0) + 1,
        serial_number=fields["serial_number"],  # spaces stay, so such a logger can never receive data
        type_id=fields["type_id"],
        model_id=fields["model_id"],
        manufacture_id=fields["manufacture_id"],
        entity_id=fields["entity_id"],
        created_by=account.id,
        prod_year=fields["prod_year"],
        status_id=fields["status"],
    )
    state.loggers[row.id] = LoggerRow(row, None)
    return JSONResponse({"message": "Logger created successfully"})


def _refusal(state: State, fields: Json) -> str | None:
    if not _ALLOWED_SERIAL.match(fields["serial_number"]):
        return "Serial number contains invalid characters"
    if state.logger_by_serial(fields["serial_number"]) is not None:
        return "Serial number already exists. Please use a different serial number"
    if fields["entity_id"] not in state.entities:
        return "Invalid entity"
    wanted = (fields["model_id"], fields["type_id"], fields["manufacture_id"])
    if wanted not in {(row.id, row.type_id, row.manufacture_id) for row in state.seed.asset_models}:
        return (
            "Invalid asset combination. The selected asset model is not available for the specified asset type "
            "and manufacturer."
        )
    return None


async def list_loggers(state: State, request: Request) -> Response:
    """`GET CORE/api/assets`: many constant fields; a vendor sees what it registered."""
    account = core_account(state, request)
    if account.role_id == 11 and account.entity_id is None:
        raise unprocessable(request, {"entity_id": ["entity_id cannot be empty"]})
    page, size = query_int(request, "page", 1) or 1, query_int(request, "paginate", 10) or 10
    rows = [row for row in state.loggers.values() if _listed(account, row, query_int(request, "manufacture_id"))]
    shown = [_logger(state, row) for row in rows[(page - 1) * size : page * size]]
    return JSONResponse({"total": len(rows), "perPage": size, "list": shown})


def _listed(account: Account, row: LoggerRow, manufacture_id: int | None) -> bool:
    if account.role_id == VENDOR_IOT:
        return row.seed.created_by == account.id
    return manufacture_id is None or row.seed.manufacture_id == manufacture_id


def _logger(state: State, row: LoggerRow) -> Json:
    entity = state.entities.get(row.seed.entity_id)
    return {
        "id": row.seed.id,
        "serial_number": row.seed.serial_number,
        "type_id": row.seed.type_id,
        "model_id": row.seed.model_id,
        "manufacture_id": row.seed.manufacture_id,
        "entity_id": row.seed.entity_id,
        "entity": None if entity is None else {"id": entity.id, "name": entity.name},
        "prod_year": row.seed.prod_year,
        "status": row.seed.status_id,
        "lat": 0,
        "lon": 0,
        "temp": 0,
        "min_temp": 0,
        "max_temp": 0,
        "latest_log": None,
    }


async def asset_types(state: State, request: Request) -> Response:
    """`GET CORE/api/asset-type`."""
    core_account(state, request)
    return _lookup(request, [{"id": row.id, "name": row.name} for row in state.seed.asset_types])


async def asset_models(state: State, request: Request) -> Response:
    """`GET CORE/api/asset-model`: only the caller's manufacturer's, when it has one."""
    account = core_account(state, request)
    rows: list[Json] = [
        {
            "id": row.id,
            "name": row.name,
            "capacity": None,
            "type_id": row.type_id,
            "manufacture_id": row.manufacture_id,
        }
        for row in state.seed.asset_models
        if account.manufacture_id in (None, row.manufacture_id)
    ]
    return _lookup(request, rows)


def _lookup(request: Request, rows: list[Json]) -> Response:
    page, size = query_int(request, "page", 1) or 1, query_int(request, "paginate", 10) or 10
    shown = rows[(page - 1) * size : page * size]
    return JSONResponse({"total": len(rows), "page": page, "perPage": size, "list": shown})
