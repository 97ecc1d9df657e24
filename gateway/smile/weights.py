"""One stable weight to one bag in SMILE's waste programme, once (duties 22 to 27).

The QR is the only key WMS has: a scan before tells whether the bag is free, a scan after tells whether the weight
arrived. What WMS has no field for (tare, gross, time, operator, raw frame, calibration) stays in our records
(duty 26).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from gateway.smile.client import Answer, Wms
from gateway.smile.port import BagLabel, BagWeight, Outcome, PostResult, program_value

MAX_LINK_TEXT = 64  # smile-core-api 6.2: material_ids at most 64 signs; bast_no is kept as short
HELD_FLAGS = frozenset(
    {"UNSTABLE", "OVERLOAD", "UNDERLOAD", "OVER_RANGE", "NEGATIVE", "INVALID", "ZERO_ERROR", "TERA_EXPIRED"}
)
_ALREADY = "already registered"  # WMS has no codes; its texts are not translated (6.4)
_NOT_FOUND = "not found"
_MUST_BE_UNIQUE = "must be unique"
_PAGE = 100
_MAX_PAGES = 50


@dataclass(frozen=True, slots=True)
class WeightRules:
    """``places``: 3 for the Express program, 2 for the rewrite (6.8)."""

    places: int = 3
    require_calibration: bool = False


@dataclass(frozen=True, slots=True)
class WeightBody:
    """What goes out, and what rounding did: ``raw_kg`` as weighed, ``sent_kg`` as sent (duty 23)."""

    body: dict[str, Any]
    raw_kg: Decimal
    sent_kg: Decimal


# --- pure ----------------------------------------------------------------------------------------------------


def weight_body(bag: BagLabel, weighing: BagWeight, rules: WeightRules) -> WeightBody | PostResult:
    """The body of ``enter-weight``, or a REFUSED result with what a person must do (duties 23 to 25)."""
    refused = _refusal(bag, weighing, rules)
    if refused:
        return PostResult(Outcome.REFUSED, refused)
    sent = weighing.net_kg.quantize(Decimal(1).scaleb(-rules.places), ROUND_HALF_UP)
    if sent <= 0:
        return PostResult(Outcome.REFUSED, f"{weighing.net_kg} kg is nothing at {rules.places} places: weigh again")
    body: dict[str, Any] = {
        "wasteSourceId": bag.waste_source_id,
        "wasteClassificationId": bag.waste_classification_id,
        "scaleMethod": weighing.link.value,
        "weight": float(sent),
        "qrCode": bag.code,
        "assetId": weighing.scale_asset_id,
    }
    if bag.bin_number:
        body["binNumber"] = bag.bin_number
    if bag.bast_no:
        body["bastNo"] = bag.bast_no
        body["materialIds"] = material_text(bag)
    return WeightBody(body, weighing.net_kg, sent)


def material_text(bag: BagLabel) -> str:
    """The comma list of the program's material ids."""
    return ",".join(str(program_value("material_ids", m)) for m in bag.material_ids)


def _refusal(bag: BagLabel, weighing: BagWeight, rules: WeightRules) -> str:
    held = HELD_FLAGS & {flag.upper() for flag in weighing.flags}
    if held:
        return f"the weighing is marked {', '.join(sorted(held))}: weigh again"
    if not weighing.net_kg.is_finite() or weighing.net_kg <= 0:
        return f"the net weight is {weighing.net_kg} kg: SMILE would store nothing; weigh again"
    if weighing.scale_asset_id is None:
        return "the scale has no SMILE asset id: set it in the registry"
    if weighing.calibrated_until_ms is None:
        if rules.require_calibration:
            return "the scale's calibration is not known: enter it in the registry"
    elif weighing.sampled_at_ms is None or weighing.sampled_at_ms > weighing.calibrated_until_ms:
        return "the scale's calibration had expired at the weighing: have it verified, then weigh again"
    if bag.bast_no and not bag.material_ids:
        return "the bag has a BAST number and no materials: SMILE joins by both; set the material ids"
    if bag.bast_no and max(len(bag.bast_no), len(material_text(bag))) > MAX_LINK_TEXT:
        return f"BAST number or material ids are longer than {MAX_LINK_TEXT} signs: use one bag per material"
    return ""


class Scan(StrEnum):
    """What a scan said of a bag: free, taken, or unknown."""

    FREE = "free"
    TAKEN = "taken"
    UNKNOWN = "unknown"


def scan_state(answer: Answer) -> Scan | None:
    """One of ``Scan``, or None when the answer says nothing of the bag (try again)."""
    words = answer.words.casefold()
    if answer.outcome is Outcome.DONE:
        return Scan.FREE
    if answer.status == 422 and _ALREADY in words:
        return Scan.TAKEN
    if answer.status in (404, 422) and _NOT_FOUND in words:
        return Scan.UNKNOWN
    return None


def scan_refusal(body: object, bag: BagLabel, weighing: BagWeight) -> str:
    """Why this bag cannot take this weight by its own label, or ""."""
    data = body.get("data") if isinstance(body, Mapping) else None
    details = data.get("waste_bag_details") if isinstance(data, Mapping) else None
    scales = data.get("scale_asset_ids") if isinstance(data, Mapping) else None
    if isinstance(details, Mapping):
        wanted = (("waste_classification_id", bag.waste_classification_id), ("waste_source_id", bag.waste_source_id))
        for name, ours in wanted:
            theirs = details.get(name)
            if theirs is not None and theirs != ours:
                return f"the bag's label says {name} {theirs}, our record says {ours}"
    if isinstance(scales, list):
        ids = [s.get("id") for s in scales if isinstance(s, Mapping)]
        if weighing.scale_asset_id not in ids:
            return f"SMILE knows no scale {weighing.scale_asset_id} at this facility, only {ids}"
    return ""


def compare_weight(stored: object, sent: Decimal) -> PostResult | None:
    """None when SMILE holds what we sent; a CONFLICT else (an alarm: a weight cannot be corrected in WMS, 6.3)."""
    try:
        held = Decimal(str(stored))
    except InvalidOperation:
        held = None
    if held is not None and held == sent:
        return None
    return PostResult(Outcome.CONFLICT, f"SMILE holds {stored} kg, ours is {sent} kg", {"stored_kg": str(stored)})


# --- with SMILE ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Weights:
    """Posts weights with the account of one facility (WMS takes the facility from the token)."""

    wms: Wms
    rules: WeightRules = WeightRules()

    async def post(self, bag: BagLabel, weighing: BagWeight) -> PostResult:
        """Scan, post, and scan again when the answer does not say (duty 22)."""
        made = weight_body(bag, weighing, self.rules)
        if isinstance(made, PostResult):
            return made
        before = await self._scan(bag)
        match scan_state(before):
            case Scan.TAKEN:
                return await self._stored(bag, made)
            case Scan.UNKNOWN:
                return PostResult(Outcome.REFUSED, "SMILE never issued this bag code: print a label in SMILE")
            case None:
                return PostResult(before.outcome, before.words)
        refused = scan_refusal(before.body, bag, weighing)
        if refused:
            return PostResult(Outcome.REFUSED, refused)
        answer = await self.wms.call("POST", "/mobile/enter-weight", body=made.body)
        if answer.outcome is Outcome.DONE:
            data = answer.body.get("data") if isinstance(answer.body, Mapping) else None
            stored = data.get("weightInKgs") if isinstance(data, Mapping) else None
            return compare_weight(stored, made.sent_kg) or _done(Outcome.DONE, made)
        if answer.outcome is Outcome.LOST or answer.status >= 500:
            return await self._after_doubt(bag, made, answer)
        return PostResult(answer.outcome, answer.words, {"status": answer.status})

    async def _after_doubt(self, bag: BagLabel, made: WeightBody, answer: Answer) -> PostResult:
        after = await self._scan(bag)
        if scan_state(after) == Scan.TAKEN:
            return await self._stored(bag, made)
        # Still free: it may be on its way, or was never taken. The next try scans first, after the pause.
        again = Outcome.LOST if answer.outcome is Outcome.LOST or _MUST_BE_UNIQUE in answer.words else Outcome.AGAIN
        return PostResult(again, answer.words)

    async def _scan(self, bag: BagLabel) -> Answer:
        return await self.wms.call("GET", f"/mobile/scan-qr-code/{bag.code}")

    async def _stored(self, bag: BagLabel, made: WeightBody) -> PostResult:
        """The bag is taken: by our earlier try, or by someone else. Its stored weight decides."""
        for page in range(1, _MAX_PAGES + 1):
            answer = await self.wms.call("GET", "/waste", params={"limit": _PAGE, "page": page})
            if answer.outcome is not Outcome.DONE:
                return PostResult(
                    answer.outcome if answer.outcome.again else Outcome.HELD,
                    f"the bag has a weight in SMILE, and it cannot be read: {answer.words}",
                )
            rows = _rows(answer.body)
            for row in rows:
                if row.get("wasteBagQrCodeId") == bag.code:
                    return compare_weight(row.get("weightInKgs"), made.sent_kg) or _done(Outcome.ALREADY, made)
            if len(rows) < _PAGE:
                break
        return PostResult(Outcome.HELD, "the bag has a weight in SMILE, but not in this facility's list")


def _rows(body: object) -> list[Mapping[str, Any]]:
    data = body.get("data") if isinstance(body, Mapping) else None
    rows = data.get("data") if isinstance(data, Mapping) else data
    return [r for r in rows if isinstance(r, Mapping)] if isinstance(rows, list) else []


def _done(outcome: Outcome, made: WeightBody) -> PostResult:
    detail = {"raw_kg": str(made.raw_kg), "sent_kg": str(made.sent_kg), "rounded": made.raw_kg != made.sent_kg}
    return PostResult(outcome, f"{made.sent_kg} kg", detail)
