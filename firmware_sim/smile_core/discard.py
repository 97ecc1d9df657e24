"""Discarding stock and finding discards again (facts 5.3)."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from firmware_sim.smile_core.auth import MainCaller, main_caller
from firmware_sim.smile_core.jsvalue import parse_date_ms, sql_datetime
from firmware_sim.smile_core.state import DiscardRow, DisposalStockRow, Json, State, StockRow
from firmware_sim.smile_core.stock import activity_json, entity_json, material_json, reason_json, stock_json
from firmware_sim.smile_core.wire import ApiError, internal, page_of, query_int, read_json, text, unprocessable

DISCARD = 4
DAY_MS = 86_400_000
_MAY_DISCARD = {
    "web": frozenset({"super_admin", "admin", "manager"}),
    "mobile": frozenset({"manager", "operator"}),
}


async def discard_stock(state: State, request: Request) -> Response:
    """`POST MAIN/transactions/discard-stock`: 204 without a body or an id."""
    caller = main_caller(state, request)
    if state.role(caller.account).kind not in _MAY_DISCARD.get(caller.device_type, frozenset()):
        raise ApiError(403, {"message": "Forbidden Access"})
    body = await read_json(request)
    _refuse_double_submit(state, request, caller, body)
    _refuse_malformed(body)
    if errors := _errors(state, request, body):
        raise unprocessable(request, errors)
    for item in body["materials"]:
        _book(state, caller, body, item)
    return Response(status_code=204)


def _refuse_double_submit(state: State, request: Request, caller: MainCaller, body: Any) -> None:
    """The same body by the same user to the same path within the window; afterwards it is booked again."""
    text_of = json.dumps([caller.account.id, request.url.path, body], sort_keys=True)
    key = hashlib.sha256(text_of.encode()).hexdigest()
    now_ms = state.now_ms
    if state.recent_bodies.get(key, 0) > now_ms:
        raise ApiError(400, {"message": "validator.duplicate_request"})
    live = {old: until_ms for old, until_ms in state.recent_bodies.items() if until_ms > now_ms}
    state.recent_bodies = {**live, key: now_ms + int(state.settings.dedup_window_s * 1000)}


def _refuse_malformed(body: Any) -> None:
    """Text for ids or no materials reaches the database, which answers 500 with its own words (facts 5.3)."""
    whole = isinstance(body, dict) and all(_id(body.get(key)) for key in ("entity_id", "activity_id"))
    items = body.get("materials") if whole else None
    if not isinstance(items, list) or not items or not all(_numeric(item) for item in items):
        raise internal(
            "You have an error in your SQL syntax near ')' at line 1: select * from `ws_stocks` where `id` in ()"
        )


def _id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _numeric(item: Any) -> bool:
    keys = ("material_id", "stock_id", "transaction_reason_id")
    return isinstance(item, dict) and all(_id(item[key]) for key in keys if item.get(key) is not None)


def _errors(state: State, request: Request, body: Json) -> Json:
    errors: Json = {}
    if body["entity_id"] not in state.program_entities:
        errors["entity_id"] = ["Entity ID is not exist"]
    links = {(row.id, row.program_entity_id, row.activity_id) for row in state.seed.entity_activities}
    if (body.get("entity_activity_id"), body["entity_id"], body["activity_id"]) not in links:
        errors["entity_activity_id"] = ["Entity Activity ID is not exist"]
    seen: set[Any] = set()
    trees: Json = {}
    for index, item in enumerate(body["materials"]):
        if tree := _item_errors(state, request, body, item, seen):
            trees[str(index)] = tree
        seen.add(item.get("stock_id"))
    return {**errors, "materials": trees} if trees else errors


def _item_errors(state: State, request: Request, body: Json, item: Json, seen: set[Any]) -> Json:
    required = ("material_id", "transaction_reason_id", "stock_id", "qty")
    errors: Json = {key: [text(request, "empty", key)] for key in required if item.get(key) is None}
    if errors:
        return errors
    stock = state.stocks.get(item["stock_id"])
    if (
        stock is None
        or stock.seed.program_entity_id != body["entity_id"]
        or _material_id(state, stock) != item["material_id"]
    ):
        return {"material_id": ["Material is not related to Stock"], "stock_id": ["Stock ID is not exist"]}
    if item["stock_id"] in seen:
        errors["stock_id"] = ["Stock ID is duplicated"]
    checks = {
        "qty": _qty_errors(state, stock, item["qty"]),
        "transaction_reason_id": _reason_errors(state, item),
        "other_reason": _other_errors(state, item),
        "stock_quality_id": _quality_errors(state, stock, item.get("stock_quality_id")),
    }
    return {**errors, **{key: found for key, found in checks.items() if found}}


def _material_id(state: State, stock: StockRow) -> int:
    return state.batches[stock.seed.batch_id].material_id


def _qty_errors(state: State, stock: StockRow, qty: Any) -> list[str]:
    material = state.materials[_material_id(state, stock)]
    if not _id(qty):
        return ["qty must be number"]
    if qty <= 0:
        return ["qty must be greater than 0"]
    if qty % material.consumption_unit_per_distribution_unit:
        unit = "Consumption Unit per Distribution Unit"
        return [f"The ordered quantity must be a multiple of the material {material.name} {unit}"]
    return ["Quantity cannot be greater than Quantity Stock"] if qty > stock.qty else []


def _reason_errors(state: State, item: Json) -> list[str]:
    reason = state.reasons.get(item["transaction_reason_id"])
    known = reason is not None and reason.transaction_type_id == DISCARD and reason.status == 1
    return [] if known else ["Transaction Reason ID is not exist"]


def _other_errors(state: State, item: Json) -> list[str]:
    reason = state.reasons.get(item["transaction_reason_id"])
    needed = reason is not None and reason.is_other == 1
    if "other_reason" not in item or (needed and not item["other_reason"]):
        return ["Other Reason cannot be empty"]
    return [] if isinstance(item["other_reason"], str | None) else ["Other Reason doesn't match format"]


def _quality_errors(state: State, stock: StockRow, quality_id: Any) -> list[str]:
    name = "Stock Quality ID"
    sensitive = state.materials[_material_id(state, stock)].is_temperature_sensitive
    if not sensitive:
        return [f"{name} must be empty"] if quality_id is not None else []
    if quality_id is None:
        return [f"{name} cannot be empty", f"{name} must be number", f"{name} is not exist"]
    if not _id(quality_id):
        return [f"{name} must be number", f"{name} is not exist"]
    return [] if quality_id in {row.id for row in state.seed.stock_qualities} else [f"{name} is not exist"]


def _book(state: State, caller: MainCaller, body: Json, item: Json) -> None:
    stock = state.stocks[item["stock_id"]]
    row = DiscardRow(
        id=len(state.discards) + 1,
        stock_id=stock.seed.id,
        program_entity_id=body["entity_id"],
        activity_id=body["activity_id"],
        entity_activity_id=body["entity_activity_id"],
        material_id=item["material_id"],
        reason_id=item["transaction_reason_id"],
        other_reason=item["other_reason"],
        stock_quality_id=item.get("stock_quality_id"),
        opening_qty=stock.qty,
        change_qty=-item["qty"],
        device_type=caller.device_type,
        created_by=caller.account.id,
        created_at_ms=state.now_ms,
    )
    state.discards.append(row)
    stock.qty -= item["qty"]
    stock.stock_quality_id = row.stock_quality_id
    disposal_stock(state, row.stock_id, row.reason_id).discard_qty += item["qty"]


def disposal_stock(state: State, stock_id: int, reason_id: int) -> DisposalStockRow:
    """The row of one stock and one reason that waits for disposal; made when missing."""
    for row in state.disposal_stocks.values():
        if (row.stock_id, row.reason_id) == (stock_id, reason_id):
            return row
    made = DisposalStockRow(len(state.disposal_stocks) + 1, stock_id, reason_id)
    state.disposal_stocks[made.id] = made
    return made


async def list_discards(state: State, request: Request) -> Response:
    """`GET MAIN/transactions/discard?entity_id&start_date&end_date`: both dates required, `change_qty` positive."""
    main_caller(state, request)
    from_ms, to_ms = _date(request, "start_date"), _date(request, "end_date") + DAY_MS
    entity_id = query_int(request, "entity_id")
    rows = [
        _discard_json(state, request, row)
        for row in reversed(state.discards)
        if from_ms <= row.created_at_ms < to_ms and entity_id in (None, row.program_entity_id)
    ]
    return JSONResponse(page_of(request, rows))


def _date(request: Request, name: str) -> int:
    """Midnight UTC of a date in the query; main's own zone is Etc/UTC (facts section 1)."""
    value = request.query_params.get(name)
    if not value:
        raise unprocessable(request, {name: [text(request, "empty", name)]})
    at_ms = parse_date_ms(value[:10], UTC)
    if at_ms is None:
        raise unprocessable(request, {name: [text(request, "string", name)]})
    return at_ms


def _discard_json(state: State, request: Request, row: DiscardRow) -> Json:
    stock = state.stocks[row.stock_id]
    return {
        "id": row.id,
        "entity": entity_json(state.program_entities[row.program_entity_id]),
        "activity": activity_json(state, row.activity_id),
        "material": material_json(state.materials[row.material_id]),
        "stock": {"id": row.stock_id, "batch": stock_json(state, stock)["batch"]},
        "transaction_reason": reason_json(state.reasons[row.reason_id], request),
        "other_reason": row.other_reason,
        "stock_quality_id": row.stock_quality_id,
        "opening_qty": row.opening_qty,
        "change_qty": -row.change_qty,
        "closing_qty": row.opening_qty + row.change_qty,
        "created_at": sql_datetime(row.created_at_ms),
    }
