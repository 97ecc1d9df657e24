"""Disposal instructions and their handover to WMS (facts 5.4): the call is synchronous and WMS has no roll back."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from firmware_sim.smile_core import bast
from firmware_sim.smile_core.auth import MainCaller, api_account, main_caller, unauthorized
from firmware_sim.smile_core.faults import FaultKind
from firmware_sim.smile_core.jsvalue import iso_z, sql_datetime
from firmware_sim.smile_core.seed import Account, Entity
from firmware_sim.smile_core.state import InstructionRow, Json, State, account_uuid
from firmware_sim.smile_core.stock import activity_json, entity_json, material_json, reason_json, stock_json
from firmware_sim.smile_core.wire import ApiError, Field, field_errors, page_of, read_json, unprocessable

INSTRUCTION_TYPES = {1: "Diserahkan Ke Unit Kesling", 2: "Uji Bpom/Kemenkes"}
MAX_COMMENT = 255
_FIELDS: tuple[Field, ...] = (
    ("activity_id", "number"),
    ("customer_id", "number"),
    ("instruction_type_id", "number"),
    ("bast_no", "string"),
)
Line = tuple[int, int, int]  # disposal_stock_id, discard_qty, received_qty


async def create_instruction(state: State, request: Request) -> Response:
    """`POST MAIN/disposal/instructions`: 201 `{id}`, or 400 and nothing kept when WMS fails."""
    caller = main_caller(state, request)
    body = await read_json(request)
    fields = body if isinstance(body, dict) else {}
    lines, customer = _checked(state, request, fields)
    now_ms = state.now_ms
    await _hand_to_wms(state, caller, customer, fields, lines, now_ms)
    if any(row.bast_no == fields["bast_no"] for row in state.instructions.values()):
        raise _taken()
    row = InstructionRow(
        id=state.next_instruction_id,
        bast_no=fields["bast_no"],
        activity_id=fields["activity_id"],
        program_customer_id=customer.program_entity_id,
        instruction_type_id=fields["instruction_type_id"],
        comment=fields.get("disposal_comments"),
        lines=tuple(lines),
        created_by=caller.account.id,
        created_at_ms=now_ms,
    )
    state.next_instruction_id += 1
    state.instructions[row.id] = row
    _move(state, row, -1)
    return JSONResponse({"id": row.id}, status_code=201)


def _taken() -> ApiError:
    key = "disposal_instruction.error.already_exists"
    return ApiError(422, {"message": "Unprocessable Data", "errors": {"bast_no": [key]}})


def _checked(state: State, request: Request, fields: Json) -> tuple[list[Line], Entity]:
    errors: Json = dict(field_errors(request, fields, _FIELDS))
    comment = fields.get("disposal_comments")
    if comment is not None and (not isinstance(comment, str) or len(comment) > MAX_COMMENT):
        errors["disposal_comments"] = [f"disposal_comments must be at most {MAX_COMMENT} characters"]
    customer = state.program_entities.get(fields.get("customer_id", 0))
    if "customer_id" not in errors and (customer is None or not customer.wms):
        errors["customer_id"] = ["Customer ID is not exist"]
    if "instruction_type_id" not in errors and fields["instruction_type_id"] not in INSTRUCTION_TYPES:
        errors["instruction_type_id"] = ["Instruction Type ID is not exist"]
    lines, problem = _lines(state, fields.get("disposal_items"))
    if problem:
        errors["disposal_items"] = [problem]
    if errors or customer is None:
        raise unprocessable(request, errors)
    if any(row.bast_no == fields["bast_no"] for row in state.instructions.values()):
        raise _taken()
    return lines, customer


def _lines(state: State, items: Any) -> tuple[list[Line], str | None]:
    try:
        lines = [
            (int(one["disposal_stock_id"]), int(one.get("discard_qty") or 0), int(one.get("received_qty") or 0))
            for item in items
            for stock in item["stocks"]
            for one in stock["disposal_stocks"]
        ]
    except (TypeError, KeyError, ValueError, AttributeError):
        return [], "disposal_items doesn't match format"
    for number, discard, received in lines:
        waiting = state.disposal_stocks.get(number)
        if waiting is None:
            return [], "Disposal Stock ID is not exist"
        if not (0 <= discard <= waiting.discard_qty and 0 <= received <= waiting.received_qty):
            return [], "Quantity cannot be greater than Disposal Stock"
    return lines, None if lines else "disposal_items cannot be empty"


async def _hand_to_wms(
    state: State, caller: MainCaller, customer: Entity, fields: Json, lines: list[Line], now_ms: int
) -> None:
    fault = state.faults.take_inside()
    failed = ApiError(400, {"message": "Integration: Failed to create BAST to third party"})
    if fault is not None and fault.kind is FaultKind.WMS_REFUSE:
        raise failed
    try:
        bast.store(state, _bast_body(state, caller.account, customer, fields, lines, now_ms))
    except ApiError as error:
        raise failed from error
    if fault is not None:  # hangs after its row is written, and main hangs with it (facts 6.1)
        await asyncio.sleep(fault.seconds)


def _bast_body(
    state: State, account: Account, customer: Entity, fields: Json, lines: list[Line], now_ms: int
) -> Json:
    totals: dict[int, int] = {}
    for number, discard, received in lines:
        material_id = _material_id(state, number)
        totals[material_id] = totals.get(material_id, 0) + discard + received
    return {
        "bast_no": fields["bast_no"],
        "disposal_comments": fields.get("disposal_comments"),
        "instruction_type_id": fields["instruction_type_id"],
        "instruction_type_label": INSTRUCTION_TYPES[fields["instruction_type_id"]],
        "sender": {
            "entity_id": customer.id,
            "entity_name": customer.name,
            "address": customer.address,
            "province_name": customer.province_name,
            "regency_name": customer.regency_name,
            "status": 1,
            "type": customer.type,
            "type_label": customer.type_label,
        },
        "disposal_items": [
            {"material_id": number, "material_name": state.materials[number].name, "qty": qty}
            for number, qty in totals.items()
        ],
        "user_created_by": {
            "email": account.email,
            "firstname": account.firstname,
            "lastname": account.lastname,
            "username": account.username,
            "user_uuid": account_uuid(account),
        },
        "created_at": iso_z(now_ms),
        "updated_at": iso_z(now_ms),
    }


def _material_id(state: State, disposal_stock_id: int) -> int:
    stock = state.stocks[state.disposal_stocks[disposal_stock_id].stock_id]
    return state.batches[stock.seed.batch_id].material_id


def _move(state: State, row: InstructionRow, sign: int) -> None:
    """Take the quantities out of what waits for disposal (-1) or put them back (+1)."""
    for number, discard, received in row.lines:
        state.disposal_stocks[number].discard_qty += sign * discard
        state.disposal_stocks[number].received_qty += sign * received


async def list_instructions(state: State, request: Request) -> Response:
    """`GET MAIN/disposal/instructions`: heads only, newest first."""
    caller = main_caller(state, request)
    rows = [
        _head(state, row)
        for row in reversed(state.instructions.values())
        if row.program_customer_id == caller.entity.program_entity_id
    ]
    return JSONResponse(page_of(request, rows))


async def get_instruction(state: State, request: Request) -> Response:
    """`GET MAIN/disposal/instructions/{id}`: asks WMS, so weights show beside the batch here (facts 5.4)."""
    main_caller(state, request)
    row = state.instructions.get(int(request.path_params["instruction_id"]))
    if row is None:
        raise ApiError(404, {"message": "Disposal Instruction not found"})
    materials = list(dict.fromkeys(_material_id(state, number) for number, _, _ in row.lines))
    letter = state.basts.get(row.bast_no)
    return JSONResponse(
        {
            **_head(state, row),
            "receiver": letter.receiver if letter else None,
            "disposal_items": [_item(state, request, row, number) for number in materials],
            "disposal_comments": [] if row.comment is None else [_comment(state, row)],
        }
    )


def _head(state: State, row: InstructionRow) -> Json:
    return {
        "id": row.id,
        "bast_no": row.bast_no,
        "status": row.status,
        "activity": activity_json(state, row.activity_id),
        "customer": entity_json(state.program_entities[row.program_customer_id]),
        "instruction_type": {"id": row.instruction_type_id, "title": INSTRUCTION_TYPES[row.instruction_type_id]},
        "created_at": sql_datetime(row.created_at_ms),
    }


def _comment(state: State, row: InstructionRow) -> Json:
    account = state.accounts[row.created_by]
    return {
        "comment": row.comment,
        "user": {"firstname": account.firstname, "lastname": account.lastname},
        "created_at": sql_datetime(row.created_at_ms),
    }


def _item(state: State, request: Request, row: InstructionRow, material_id: int) -> Json:
    lines = [line for line in row.lines if _material_id(state, line[0]) == material_id]
    return {
        "material_id": material_id,
        "material": material_json(state.materials[material_id]),
        "qty": sum(discard + received for _, discard, received in lines),
        "instruction_disposal_stocks": [_stock_line(state, request, line) for line in lines],
        "waste_info": bast.waste_info(state, row.bast_no, material_id),
    }


def _stock_line(state: State, request: Request, line: Line) -> Json:
    number, discard, received = line
    waiting = state.disposal_stocks[number]
    stock = state.stocks[waiting.stock_id]
    return {
        "disposal_stock_id": number,
        "discard_qty": discard,
        "received_qty": received,
        "stock": {"id": waiting.stock_id, "batch": stock_json(state, stock)["batch"]},
        "transaction_reasons": reason_json(state.reasons[waiting.reason_id], request),
    }


async def cancel_from_wms(state: State, request: Request) -> Response:
    """`POST MAIN/api/wms/disposal/cancellation`: WMS's own token only; quantities go back once."""
    account = api_account(state, request)
    if not account.wms_client:
        raise unauthorized()
    body = await read_json(request)
    fields = body if isinstance(body, dict) else {}
    row = next((row for row in state.instructions.values() if row.bast_no == fields.get("bast_no")), None)
    if row is None:
        raise ApiError(404, {"message": "Disposal Instruction not found"})
    if row.status == 1:
        row.status = 2
        row.cancel_comment = fields.get("comment")
        _move(state, row, +1)
    return Response(status_code=204)
