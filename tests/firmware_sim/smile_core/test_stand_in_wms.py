"""WMS: facts/smile-core-api.md section 6, section 11 item 9."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from firmware_sim.smile_core.settings import WmsProgram

ENTER = "POST WMS/api/v1/mobile/enter-weight"
WEIGHT = {"wasteSourceId": 7, "wasteClassificationId": 1, "scaleMethod": "internet", "weight": 1.5, "qrCode": "Q-1"}
LABELS = [{"healthcareFacilityId": 31, "wasteSourceId": 7, "wasteClassificationId": 1, "labelCount": 2}]
BAST = {
    "bast_no": "B/9",
    "sender": {"entity_id": 31, "entity_name": "Puskesmas Lab"},
    "disposal_items": [{"material_id": 990002, "material_name": "LAB BCG", "qty": 40}],
    "user_created_by": {"username": "managerlab", "user_uuid": "7b0f0f1e-97a1-4a53-9a6a-3c9a1cf2f9d3"},
}


def _enter(lab: Any, **changes: Any) -> Any:
    return lab.call(ENTER, json={**WEIGHT, **changes})


def _labels(lab: Any) -> list[str]:
    return [row["qrCode"] for row in lab.call("POST WMS/api/v1/waste-bag-qrcode", json=LABELS).json()]


@pytest.mark.parametrize(
    ("wms", "sent", "answered", "listed"),
    [
        (WmsProgram.EXPRESS, 1.2345678, 1.235, "1.235"),
        (WmsProgram.EXPRESS, 3.0005, 3.001, "3.001"),
        (WmsProgram.EXPRESS, 2, 2.0, "2.000"),
        (WmsProgram.ENCORE, 1.2345678, 1.23, "1.23"),
        (WmsProgram.ENCORE, 1.235, 1.24, "1.24"),
    ],
)
def test_a_weight_is_rounded_a_number_on_write_and_text_in_lists(
    make_lab: Callable[..., Any], wms: WmsProgram, sent: float, answered: float, listed: str
) -> None:
    """Item 9, 6.3, 6.8: three places, in the rewrite two."""
    lab = make_lab(wms=wms)
    assert _enter(lab, weight=sent).json()["data"]["weightInKgs"] == answered
    assert lab.call("GET WMS/api/v1/waste").json()["data"]["data"][0]["weightInKgs"] == listed


def test_zero_is_stored_as_null(lab: Any) -> None:
    _enter(lab, weight=0)
    assert lab.control("GET", "/tables/bags").json()[0]["weight_in_kgs"] is None


def test_too_heavy_is_a_fault(lab: Any) -> None:
    assert _enter(lab, weight=10_000_000).status_code == 500
    assert lab.state.bags == {}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"weight": "1.5"}, "weight"),
        ({"weight": None}, "weight"),
        ({"weight": True}, "weight"),
        ({"scaleMethod": "IOT"}, "scaleMethod"),
        ({"qrCode": ""}, "qrCode"),
        ({"wasteSourceId": "7"}, "wasteSourceId"),
        ({"materialIds": "9" * 65}, "materialIds"),
        ({"assetId": "771"}, "assetId"),
    ],
)
def test_validation_lists_issues_or_says_the_first(
    make_lab: Callable[..., Any], change: dict[str, Any], field: str
) -> None:
    """6.8: a list of issues (Express), one text (rewrite)."""
    answer = _enter(make_lab(), **change)
    assert answer.status_code == 422
    assert answer.json()["data"][0]["path"] == [field]
    encore = _enter(make_lab(wms=WmsProgram.ENCORE), **change)
    assert (encore.status_code, type(encore.json()["data"])) == (422, str)


def test_unknown_classification_is_refused_unknown_source_is_not(lab: Any) -> None:
    answer = _enter(lab, wasteClassificationId=99)
    assert (answer.status_code, answer.json()["data"]) == (400, "Waste classification not found.")
    assert _enter(lab, wasteSourceId=99).status_code == 200


def test_the_rewrite_checks_neither_manual_nor_bin(make_lab: Callable[..., Any]) -> None:
    """6.8."""
    lab = make_lab(wms=WmsProgram.ENCORE)
    assert _enter(lab, scaleMethod="manual", binNumber="B").json()["data"]["scaleMethod"] == "MANUAL"
    assert _enter(lab, qrCode="Q-2", wasteClassificationId=2, binNumber="B").status_code == 200


def test_a_second_weight_changes_nothing_unless_radioactive(lab: Any) -> None:
    """6.3."""
    _enter(lab)
    assert _enter(lab, weight=9).status_code == 500
    assert lab.state.bags["Q-1"].weight_in_kgs == "1.500"
    assert _enter(lab, weight=9, isRadioActive=True).status_code == 200
    assert lab.state.bags["Q-1"].weight_in_kgs == "9.000"


def test_scan_before_and_after_a_weight(lab: Any) -> None:
    """6.4: the idempotency check."""
    code = _labels(lab)[0]
    found = lab.call(f"GET WMS/api/v1/mobile/scan-qr-code/{code}").json()["data"]
    assert found["scale_asset_ids"] == [{"id": 771, "name": "Lab scale"}]
    assert found["waste_bag_details"]["waste_classification_id"] == 1
    assert found["waste_bag_details"]["cold_storage_max_time"] == "2160 Hours"
    _enter(lab, qrCode=code)
    again = lab.call(f"GET WMS/api/v1/mobile/scan-qr-code/{code}")
    assert (again.status_code, again.json()["data"]) == (422, "QR Code is already registered on wastebag")
    unknown = lab.call("GET WMS/api/v1/mobile/scan-qr-code/000099999999")
    assert (unknown.status_code, unknown.json()["data"]) == (422, "QR Code Waste Bag not found")


def test_labels_count_by_day(lab: Any) -> None:
    assert sorted(_labels(lab)) == ["000322112026", "000422112026"]
    lab.advance_s(86_400)
    lab.login("managerlab")
    assert sorted(_labels(lab)) == ["000123112026", "000223112026"]


def test_labels_of_the_two_programs(make_lab: Callable[..., Any]) -> None:
    """6.4, 6.8: array or `{items}`; without a facility 500."""
    where = "POST WMS/api/v1/waste-bag-qrcode"
    bare = [{key: value for key, value in LABELS[0].items() if key != "healthcareFacilityId"}]
    assert make_lab().call(where, json=bare).status_code == 500
    assert make_lab().call(where, json={"items": LABELS}).status_code == 422
    encore = make_lab(wms=WmsProgram.ENCORE)
    assert encore.call(where, json={"items": LABELS}).status_code == 200


def test_the_window_of_500_calls_ends_after_a_minute(lab: Any) -> None:
    lab.settings.wms_calls_per_minute = 3
    codes = [lab.call("GET WMS/api/v1/waste").status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    assert lab.call("GET WMS/api/v1/waste", who="wmslab").status_code == 200  # per token
    lab.advance_s(60)
    assert lab.call("GET WMS/api/v1/waste").status_code == 200


def test_the_rewrite_has_no_limit(make_lab: Callable[..., Any]) -> None:
    lab = make_lab(wms=WmsProgram.ENCORE, wms_calls_per_minute=3)
    assert {lab.call("GET WMS/api/v1/waste").status_code for _ in range(6)} == {200}


def test_confirm_is_true_for_an_unknown_letter(lab: Any) -> None:
    answer = lab.call("PUT WMS/api/v1/bast/confirm", json={"bastNo": "NO/SUCH", "status": "APPROVED"})
    assert (answer.status_code, answer.json()) == (200, {"status": "success", "data": True})
    wrong = lab.call("PUT WMS/api/v1/bast/confirm", json={"bastNo": "NO/SUCH", "status": "MAYBE"})
    assert wrong.status_code == 422


def test_times_of_decision_are_filled_while_pending(lab: Any) -> None:
    """6.7: do not read them as decisions."""
    lab.call("POST WMS/api/v1/bast", json=BAST)
    row = lab.call("GET WMS/api/v1/bast").json()["data"]["data"][0]
    assert (row["status"], row["approvedAt"], row["rejectedAt"]) == ("PENDING", row["createdAt"], row["createdAt"])


@pytest.mark.parametrize(
    "change",
    [
        {"disposal_items": [{"material_id": 1, "qty": 0}]},
        {"disposal_items": [{"material_id": 1, "qty": 1.5}]},
        {"user_created_by": {"user_uuid": "not-a-uuid"}},
        {"bast_no": ""},
    ],
)
def test_letters_that_are_refused(lab: Any, change: dict[str, Any]) -> None:
    assert lab.call("POST WMS/api/v1/bast", json={**BAST, **change}).status_code == 422
    assert lab.state.basts == {}


def test_bags_are_joined_by_letter_and_material_only(lab: Any) -> None:
    """6.7, item 8: two batches of one material in one letter cannot be told apart."""
    lab.call("POST WMS/api/v1/bast", json=BAST)
    linked = {"bastNo": "B/9", "materialIds": "17, 990002"}
    _enter(lab, qrCode="A", weight=1.1, **linked)
    _enter(lab, qrCode="B", weight=0.25, **linked)
    _enter(lab, qrCode="C", weight=2, wasteClassificationId=2, **linked)
    _enter(lab, qrCode="D", bastNo="B/9", materialIds="9900021")
    _enter(lab, qrCode="E", bastNo="B/8", materialIds="990002")
    item = lab.call("GET WMS/api/v1/bast?bast_no=B/9").json()["data"]["disposal_items"][0]
    assert [(one["waste_bag_codes"], one["waste_bag_total_weight"]) for one in item["waste_info"]] == [
        ("A,B", "1.350"),
        ("C", "2.000"),
    ]


def test_pages(lab: Any) -> None:
    for number in range(12):
        _enter(lab, qrCode=f"P-{number}")
    page = lab.call("GET WMS/api/v1/waste?page=2").json()["data"]
    assert page["pagination"] == {"total": 12, "pages": 2, "currentPage": 2, "perPage": 10}
    assert len(page["data"]) == 2
    assert lab.call("GET WMS/api/v1/waste?limit=x").status_code == 422


def test_the_envelope_of_an_unknown_path(lab: Any) -> None:
    body = lab.call("GET WMS/api/v1/no/such").json()
    assert body["status"] == "fail"
    assert {"message", "error", "timestamp"} <= body.keys()
