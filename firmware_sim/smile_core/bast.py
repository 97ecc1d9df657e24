"""WMS: handover letters from SMILE and the join of bags to them (facts 6.7)."""

from __future__ import annotations

import uuid
from decimal import Decimal
from itertools import groupby
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from firmware_sim.smile_core.auth import wms_account
from firmware_sim.smile_core.jsvalue import iso_z
from firmware_sim.smile_core.seed import WasteClassification
from firmware_sim.smile_core.state import BastRow, Json, State, WasteBagRow
from firmware_sim.smile_core.wire import ApiError
from firmware_sim.smile_core.wms_wire import fault, invalid, issue, page, read_object, success


def store(state: State, body: Json) -> BastRow:
    """Check and keep a letter as PENDING. Raises ApiError; what is written stays, there is no roll back."""
    if problems := _problems(body):
        raise invalid(state, problems)
    if body["bast_no"] in state.basts:
        raise fault("Data creation failed: bast_no must be unique")
    row = BastRow(body["bast_no"], body, state.now_ms)
    state.basts[row.bast_no] = row
    return row


def _problems(body: Json) -> list[Json]:
    problems = [issue([key], "Required") for key in ("bast_no", "sender", "disposal_items") if not body.get(key)]
    items = body.get("disposal_items")
    for number, item in enumerate(items if isinstance(items, list) else []):
        qty = item.get("qty") if isinstance(item, dict) else None
        if not isinstance(qty, int) or isinstance(qty, bool) or qty <= 0:
            problems.append(issue(["disposal_items", number, "qty"], "Number must be greater than 0"))
    creator: Any = body.get("user_created_by")
    try:
        uuid.UUID(creator["user_uuid"])
    except (TypeError, KeyError, ValueError, AttributeError):
        problems.append(issue(["user_created_by", "user_uuid"], "Invalid uuid"))
    return problems


async def create(state: State, request: Request) -> Response:
    """`POST WMS/api/v1/bast`, as SMILE main calls it."""
    wms_account(state, request)
    row = store(state, await read_object(request))
    return success(_json(state, row))


async def confirm(state: State, request: Request) -> Response:
    """`PUT WMS/api/v1/bast/confirm`: 200 true, even for an unknown letter; SMILE never hears of it."""
    account = wms_account(state, request)
    body = await read_object(request)
    if body.get("status") not in ("APPROVED", "REJECTED") or not isinstance(body.get("bastNo"), str):
        raise invalid(state, [issue(["status"], "Invalid enum value. Expected 'APPROVED' | 'REJECTED'")])
    row = state.basts.get(body["bastNo"])
    if row is not None:
        row.status = body["status"]
        row.reason = body.get("reason")
        unit = state.role(account).name
        row.receiver = {"name": account.firstname or account.username, "unit": unit, "email": account.email}
    return success(True)


async def read(state: State, request: Request) -> Response:
    """`GET WMS/api/v1/bast` list, or `?bast_no=` one letter with receiver and waste_info."""
    wms_account(state, request)
    wanted = request.query_params.get("bast_no")
    if wanted is None:
        return success(page(state, request, [_json(state, row) for row in reversed(state.basts.values())]))
    row = state.basts.get(wanted)
    if row is None:
        raise ApiError(404, {"status": "fail", "data": "BAST not found"})
    return success(_json(state, row))


def _json(state: State, row: BastRow) -> Json:
    created = iso_z(row.created_at_ms)
    return {
        **{key: row.body.get(key) for key in ("sender", "disposal_comments", "instruction_type_id")},
        "bast_no": row.bast_no,
        "status": row.status,
        "reason": row.reason,
        "receiver": row.receiver,
        "disposal_items": [
            {
                "material_id": item["material_id"],
                "material_name": item.get("material_name"),
                "qty": f"{item['qty']:.2f}",
                "waste_info": waste_info(state, row.bast_no, item["material_id"]),
            }
            for item in row.body["disposal_items"]
        ],
        "createdAt": created,
        "approvedAt": created,  # filled while PENDING too: not decisions (facts 6.7)
        "rejectedAt": created,
    }


def waste_info(state: State, bast_no: str, material_id: int) -> list[Json]:
    """Bags of one letter and material, one row per classification; the only join is bastNo with materialIds."""
    bags = [row for row in state.bags.values() if row.bast_no == bast_no and _carries(row, material_id)]

    def key(row: WasteBagRow) -> int:
        return row.waste_classification_id

    classes = {row.id: row for row in state.seed.waste_classifications}
    groups = [(classes[number], list(group)) for number, group in groupby(sorted(bags, key=key), key=key)]
    return [_waste(kind, group) for kind, group in groups]


def _carries(row: WasteBagRow, material_id: int) -> bool:
    return str(material_id) in [part.strip() for part in (row.material_ids or "").split(",")]


def _waste(kind: WasteClassification, bags: list[WasteBagRow]) -> Json:
    total = sum((Decimal(bag.weight_in_kgs) for bag in bags if bag.weight_in_kgs is not None), Decimal(0))
    return {
        "waste_bag_codes": ",".join(bag.qr_code for bag in bags),
        "waste_bag_total_weight": str(total),
        "waste_bag_type_label": kind.type,
        "waste_bag_group_label": kind.group,
        "waste_bag_characteristics_label": kind.characteristic,
        "waste_bag_histories": [
            {
                "status_id": "IN_TEMPORARY_STORAGE",
                "status_label": "In Temporary Storage",
                "updated_at": iso_z(bag.created_at_ms),
            }
            for bag in bags
        ],
    }
