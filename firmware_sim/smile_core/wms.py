"""WMS: bag labels, the scan, the weight and the list (facts 6.2-6.4)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from firmware_sim.smile_core.auth import wms_account
from firmware_sim.smile_core.jsvalue import iso_z
from firmware_sim.smile_core.seed import WasteClassification
from firmware_sim.smile_core.settings import WmsProgram
from firmware_sim.smile_core.state import Json, QrLabel, State, WasteBagRow
from firmware_sim.smile_core.wms_wire import fail, fault, invalid, issue, page, read_any, read_object, success

METHODS = {"internet": ("IOT", "INTERNET"), "bluetooth": ("IOT", "BLUETOOTH"), "manual": ("MANUAL", None)}
MAX_MATERIAL_IDS = 64
MAX_WEIGHT = Decimal(10) ** 7  # decimal(10,3); the rewrite's numeric(10,2) takes ten times more


def _classification(state: State, number: Any) -> WasteClassification | None:
    return next((row for row in state.seed.waste_classifications if row.id == number), None)


async def create_labels(state: State, request: Request) -> Response:
    """`POST WMS/api/v1/waste-bag-qrcode`: an array (Express) or `{items:[...]}` (rewrite)."""
    wms_account(state, request)
    body = await read_any(request)
    encore = state.settings.wms is WmsProgram.ENCORE
    items = body.get("items") if encore and isinstance(body, dict) else body
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise invalid(state, [issue([], "Expected array, received object")])
    made: list[Json] = []
    for item in items:
        made += [_label_json(state, label) for label in _labels(state, item)]
    return JSONResponse(made)  # recorded without the envelope, facts 8.5


def _labels(state: State, item: Json) -> list[QrLabel]:
    needed = ("wasteSourceId", "wasteClassificationId", "labelCount")
    if problems := [issue([key], "Expected number, received nan") for key in needed if not _int(item.get(key))]:
        raise invalid(state, problems)
    if not _int(item.get("healthcareFacilityId")):
        raise fault("notNull Violation: healthcareFacilityId cannot be null")
    if _classification(state, item["wasteClassificationId"]) is None:
        raise fail(400, "Waste classification not found.")
    codes = [_next_code(state) for _ in range(item["labelCount"])]
    labels = []
    for code in reversed(codes):  # counter order is not array order (facts 6.4)
        label = QrLabel(
            id=len(state.labels) + 1,
            qr_code=code,
            healthcare_facility_id=item["healthcareFacilityId"],
            waste_source_id=item["wasteSourceId"],
            waste_classification_id=item["wasteClassificationId"],
            created_at_ms=state.now_ms,
        )
        state.labels[code] = label
        labels.append(label)
    return labels


def _next_code(state: State) -> str:
    """4-digit daily counter and DDMMYYYY."""
    day = datetime.fromtimestamp(state.now_ms / 1000, UTC).strftime("%d%m%Y")
    if day != state.qr_day:
        state.qr_counter = 1 if state.qr_day else state.seed.first_ids.qr_counter
        state.qr_day = day
    code = f"{state.qr_counter:04d}{day}"
    state.qr_counter += 1
    return code


def _label_json(state: State, label: QrLabel) -> Json:
    kind = _classification(state, label.waste_classification_id)
    source = next((row for row in state.seed.waste_sources if row.id == label.waste_source_id), None)
    return {
        "id": label.id,
        "qrCode": label.qr_code,
        "healthcareFacilityId": label.healthcare_facility_id,
        "wasteSource": source and {"id": source.id, "sourceType": source.source_type, "source": source.source},
        "wasteClassification": kind and {"id": kind.id, "wasteCode": kind.waste_code},
    }


async def scan(state: State, request: Request) -> Response:
    """`GET WMS/api/v1/mobile/scan-qr-code/{qr}`: the idempotency check before and after a weight."""
    wms_account(state, request)
    label = state.labels.get(request.path_params["qr"])
    if label is None:
        raise fail(422, "QR Code Waste Bag not found")
    if label.qr_code in state.bags:
        raise fail(422, "QR Code is already registered on wastebag")
    scales = [row for row in state.seed.scales if row.entity_id == label.healthcare_facility_id]
    return success(
        {
            "waste_bag_details": _bag_details(state, label),
            "scale_asset_ids": [{"id": row.id, "name": row.name} for row in scales],
        }
    )


def _bag_details(state: State, label: QrLabel) -> Json:
    kind = _classification(state, label.waste_classification_id)
    source = next((row for row in state.seed.waste_sources if row.id == label.waste_source_id), None)
    if kind is None:  # labels are only made for known classifications
        raise fault("Cannot read properties of null")
    return {
        "waste_code": kind.waste_code,
        "source_type": source.source_type if source else None,
        "waste_source_id": label.waste_source_id,
        "waste_source": source.source if source else None,
        "waste_type": kind.type,
        "waste_group": kind.group,
        "waste_characteristic": kind.characteristic,
        "waste_characteristic_en": kind.characteristic_en,
        "waste_classification_id": kind.id,
        "cold_storage_max_time": f"{kind.cold_storage_max_hours} Hours",
        "temp_storage_max_time": f"{kind.temp_storage_max_hours} Hours",
        "minimunDecayDay": kind.minimum_decay_day,
        "is_treated": False,
        "created_at": iso_z(label.created_at_ms),
    }


async def enter_weight(state: State, request: Request) -> Response:
    """`POST WMS/api/v1/mobile/enter-weight`: one weight per QR, once and for all."""
    account = wms_account(state, request)
    body = await read_object(request)
    if problems := _weight_problems(body):
        raise invalid(state, problems)
    if _classification(state, body["wasteClassificationId"]) is None:
        raise fail(400, "Waste classification not found.")
    if state.settings.wms is WmsProgram.EXPRESS:
        _refuse_express(state, body)
    known = state.bags.get(body["qrCode"])
    if known is not None and not body.get("isRadioActive"):
        raise fault("Data creation failed: waste_bag_qr_code_id must be unique")
    weight = _stored_weight(state, body["weight"])
    if known is not None:
        known.weight_in_kgs = weight
        return success(bag_json(known, listed=False))
    row = _new_bag(state, body, weight, account.entity_id, account.id)
    return success(bag_json(row, listed=False))


def _weight_problems(body: Json) -> list[Json]:
    problems = [
        issue([key], "Expected number, received nan")
        for key in ("wasteSourceId", "wasteClassificationId")
        if not _int(body.get(key))
    ]
    if body.get("scaleMethod") not in METHODS:
        problems.append(issue(["scaleMethod"], "Invalid enum value. Expected 'internet' | 'bluetooth' | 'manual'"))
    weight = body.get("weight")
    if not isinstance(weight, int | float) or isinstance(weight, bool):
        problems.append(issue(["weight"], "Expected number"))
    elif weight < 0:
        problems.append(issue(["weight"], "Number must be greater than or equal to 0"))
    if not isinstance(body.get("qrCode"), str) or not body["qrCode"]:
        problems.append(issue(["qrCode"], "Expected string"))
    return problems + _optional_problems(body)


def _optional_problems(body: Json) -> list[Json]:
    problems = [
        issue([key], "Expected string")
        for key in ("binNumber", "bastNo", "materialIds")
        if body.get(key) is not None and not isinstance(body[key], str)
    ]
    if body.get("assetId") is not None and not _int(body["assetId"]):
        problems.append(issue(["assetId"], "Expected number"))
    if isinstance(body.get("materialIds"), str) and len(body["materialIds"]) > MAX_MATERIAL_IDS:
        problems.append(issue(["materialIds"], f"String must contain at most {MAX_MATERIAL_IDS} character(s)"))
    return problems


def _int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _refuse_express(state: State, body: Json) -> None:
    """Two checks the rewrite has not (facts 6.8)."""
    if body["scaleMethod"] == "manual":  # needs an approval that no route of the stand-in can give
        raise fail(400, "Manual request not requested or got rejected")
    bin_number = body.get("binNumber")
    if bin_number and any(
        row.bin_number == bin_number and row.waste_classification_id != body["wasteClassificationId"]
        for row in state.bags.values()
    ):
        raise fail(400, "Invalid bin number")


def _stored_weight(state: State, weight: float) -> str | None:
    """What the column holds: 3 places (rewrite: 2), 0 becomes NULL (facts 6.3)."""
    encore = state.settings.wms is WmsProgram.ENCORE
    kept = Decimal(str(weight)).quantize(Decimal("0.01" if encore else "0.001"), ROUND_HALF_UP)
    if kept >= MAX_WEIGHT * (10 if encore else 1):
        raise fault("Data creation failed: Out of range value for column 'weight_in_kgs' at row 1")
    return str(kept) if weight else None


def _new_bag(state: State, body: Json, weight: str | None, facility_id: int | None, account_id: int) -> WasteBagRow:
    scale_method, iot_method = METHODS[body["scaleMethod"]]
    row = WasteBagRow(
        id=state.next_bag_id,
        qr_code=body["qrCode"],
        healthcare_facility_id=facility_id,
        waste_source_id=body["wasteSourceId"],
        waste_classification_id=body["wasteClassificationId"],
        weight_in_kgs=weight,
        scale_method=scale_method,
        iot_method=iot_method,
        asset_id=body.get("assetId"),
        bin_number=body.get("binNumber"),
        bast_no=body.get("bastNo"),
        material_ids=body.get("materialIds"),
        created_by=account_id,
        created_at_ms=state.now_ms,
    )
    state.next_bag_id += 1
    state.bags[row.qr_code] = row
    return row


def bag_json(row: WasteBagRow, *, listed: bool) -> Json:
    """A bag; its weight is a number in the answer to the write and text in lists."""
    weight = row.weight_in_kgs
    return {
        "id": row.id,
        "wasteBagQrCodeId": row.qr_code,
        "healthcareFacilityId": row.healthcare_facility_id,
        "wasteSourceId": row.waste_source_id,
        "wasteClassificationId": row.waste_classification_id,
        "scaleMethod": row.scale_method,
        "iotMethod": row.iot_method,
        "weightInKgs": weight if listed or weight is None else float(weight),
        "assetId": row.asset_id,
        "binNumber": row.bin_number,
        "bastNo": row.bast_no,
        "materialIds": row.material_ids,
        "wasteStatus": "IN_TEMPORARY_STORAGE",
        "ownedBy": "HEALTHCARE_FACILITY",
        "isTreated": False,
        "isDisposed": False,
        "storageStartTimestamp": iso_z(row.created_at_ms),  # server time: no field for the time of weighing
        "createdAt": iso_z(row.created_at_ms),
    }


async def list_waste(state: State, request: Request) -> Response:
    """`GET WMS/api/v1/waste`: the facility's bags, newest first, with `logHistory`."""
    account = wms_account(state, request)
    rows = [row for row in reversed(state.bags.values()) if row.healthcare_facility_id == account.entity_id]
    return success(page(state, request, [_listed(row) for row in rows]))


def _listed(row: WasteBagRow) -> Json:
    entry = {"wasteStatus": "IN_TEMPORARY_STORAGE", "createdAt": iso_z(row.created_at_ms)}
    return {**bag_json(row, listed=True), "logHistory": [entry]}
