"""Main's lookups: stocks with batches, batches, qualities, reasons (facts 5.1, 5.2). All ids are per program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from firmware_sim.smile_core.auth import main_caller
from firmware_sim.smile_core.seed import Batch, Entity, Material, Reason
from firmware_sim.smile_core.state import Json, State, StockRow
from firmware_sim.smile_core.wire import language, page_of, query_int, text, unprocessable

TRANSACTION_TYPES = {4: "Discard", 7: "Add Stock", 8: "Remove Stock", 9: "Cancel Discard"}


async def stock_details(state: State, request: Request) -> Response:
    """`GET MAIN/stocks/details?entity_id&material_id|parent_material_id&group_by=`: where batch rows are."""
    main_caller(state, request)
    entity_id = query_int(request, "entity_id")
    material_id, parent_id = query_int(request, "material_id"), query_int(request, "parent_material_id")
    missing = [name for name, value in (("entity_id", entity_id),) if value is None]
    if material_id is None and parent_id is None:
        missing.append("material_id")
    if missing:
        raise unprocessable(request, {name: [text(request, "empty", name)] for name in missing})
    rows = [
        row
        for row in state.stocks.values()
        if row.seed.program_entity_id == entity_id
        and (material_id is None or _material(state, row).id == material_id)
        and (parent_id is None or _material(state, row).parent_id == parent_id)
    ]
    return JSONResponse({"data": _grouped(state, rows, request.query_params.get("group_by", "activity_material"))})


def _grouped(state: State, rows: Sequence[StockRow], group_by: str) -> list[Json]:
    if group_by == "material":
        return _by_material(state, rows)
    groups = [(activity, list(group)) for activity, group in groupby(_sorted(rows), key=_activity_id)]
    if group_by == "activity":
        return [{"activity": activity_json(state, key), **_totals(state, group)} for key, group in groups]
    return [{"activity": activity_json(state, key), "details": _by_material(state, group)} for key, group in groups]


def _by_material(state: State, rows: Sequence[StockRow]) -> list[Json]:
    def key(row: StockRow) -> int:
        return _material(state, row).id

    groups = groupby(sorted(rows, key=key), key=key)
    return [{"material": material_json(state.materials[number]), **_totals(state, group)} for number, group in groups]


def _sorted(rows: Iterable[StockRow]) -> list[StockRow]:
    return sorted(rows, key=lambda row: (_activity_id(row), row.seed.id))


def _activity_id(row: StockRow) -> int:
    return row.seed.activity_id


def _material(state: State, row: StockRow) -> Material:
    return state.materials[state.batches[row.seed.batch_id].material_id]


def _totals(state: State, rows: Iterable[StockRow]) -> Json:
    kept = list(rows)
    allocated = sum(row.seed.allocated_qty for row in kept)
    total = sum(row.qty for row in kept)
    return {
        "total_qty": total,
        "total_allocated_qty": allocated,
        "total_available_qty": total - allocated,
        "stocks": [stock_json(state, row) for row in kept],
    }


def stock_json(state: State, row: StockRow) -> Json:
    """One batch row; `id` is the stock id. No `stock_quality_id` in this reply (facts 5.1)."""
    return {
        "id": row.seed.id,
        "batch": batch_json(state, state.batches[row.seed.batch_id]),
        "qty": row.qty,
        "allocated_qty": row.seed.allocated_qty,
        "in_transit_qty": 0,
        "unreceived_qty": 0,
        "open_vial_qty": 0,
        "available_qty": row.qty - row.seed.allocated_qty,
        "activity": activity_json(state, row.seed.activity_id),
    }


def batch_json(state: State, batch: Batch) -> Json:
    """A batch with its dates as main prints them."""
    maker = next(
        (row for row in state.seed.manufactures if row.program_manufacture_id == batch.program_manufacture_id), None
    )
    return {
        "id": batch.id,
        "code": batch.code,
        "production_date": batch.production_date and f"{batch.production_date} 00:00:00",
        "expired_date": f"{batch.expired_date} 00:00:00",
        "manufacture": None if maker is None else {"id": maker.program_manufacture_id, "name": maker.name},
    }


def material_json(material: Material) -> Json:
    """A level-3 material; the temperature limits belong to level 2 and nothing compares them with loggers."""
    return {
        "id": material.id,
        "global_id": material.global_id,
        "name": material.name,
        "parent_id": material.parent_id,
        "material_level_id": 3,
        "is_temperature_sensitive": material.is_temperature_sensitive,
        "is_managed_in_batch": material.is_managed_in_batch,
        "is_open_vial": material.is_open_vial,
        "min_temperature": material.min_temperature,
        "max_temperature": material.max_temperature,
        "consumption_unit_per_distribution_unit": material.consumption_unit_per_distribution_unit,
        "unit_of_consumption": material.unit_of_consumption,
    }


def activity_json(state: State, activity_id: int) -> Json:
    """`{id, name}` of an activity."""
    name = next((row.name for row in state.seed.activities if row.id == activity_id), None)
    return {"id": activity_id, "name": name}


def entity_json(entity: Entity) -> Json:
    """A facility as main shows it: its program id, with the global one beside it."""
    return {"id": entity.program_entity_id, "global_id": entity.id, "name": entity.name, "address": entity.address}


async def stock_entities(state: State, request: Request) -> Response:
    """`GET MAIN/stocks/entities?entity_id&with_details=1`: a row per material, batch rows if asked."""
    caller = main_caller(state, request)
    entity_id = query_int(request, "entity_id", caller.entity.program_entity_id)
    entity = state.program_entities.get(entity_id or 0)
    rows = [row for row in state.stocks.values() if row.seed.program_entity_id == entity_id]
    detailed = request.query_params.get("with_details") == "1"
    data = []
    for group in _by_material(state, rows):
        of_material = [row for row in rows if _material(state, row).id == group["material"]["id"]]
        group.pop("stocks")
        details = _grouped(state, of_material, "activity") if detailed else None
        data.append({"entity": entity_json(entity) if entity else None, **group, "details": details})
    return JSONResponse(page_of(request, data))


async def batches(state: State, request: Request) -> Response:
    """`GET MAIN/batches?material_ids&keyword`: `{id, code}` only; 204 without a body when empty."""
    main_caller(state, request)
    wanted = {part for part in request.query_params.get("material_ids", "").split(",") if part}
    keyword = request.query_params.get("keyword", "").lower()
    rows = [
        {"id": row.id, "code": row.code}
        for row in state.batches.values()
        if (not wanted or str(row.material_id) in wanted) and keyword in row.code.lower()
    ]
    return JSONResponse(page_of(request, rows)) if rows else Response(status_code=204)


async def stock_qualities(state: State, request: Request) -> Response:
    """`GET MAIN/stock-qualities`: the VVM labels; 204 when none."""
    main_caller(state, request)
    rows = [{"id": row.id, "label": row.name} for row in state.seed.stock_qualities]
    return JSONResponse(rows) if rows else Response(status_code=204)


async def transaction_reasons(state: State, request: Request) -> Response:
    """`GET MAIN/transactions/reason?transaction_type_id&status`."""
    main_caller(state, request)
    type_id, status = query_int(request, "transaction_type_id"), query_int(request, "status")
    rows = [
        reason_json(row, request)
        for row in state.reasons.values()
        if type_id in (None, row.transaction_type_id) and status in (None, row.status)
    ]
    return JSONResponse(rows)


def reason_json(reason: Reason, request: Request) -> Json:
    """A reason with its title in the caller's language."""
    return {
        "id": reason.id,
        "title": reason.title_id if language(request) == "id" else reason.title_en,
        "is_other": reason.is_other,
        "is_purchase": 0,
        "transaction_type": {
            "id": reason.transaction_type_id,
            "title": TRANSACTION_TYPES.get(reason.transaction_type_id, str(reason.transaction_type_id)),
        },
    }
