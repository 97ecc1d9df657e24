"""Discard, disposal and lookups of main: facts/smile-core-api.md section 5, section 11 items 6, 7, 8."""

from __future__ import annotations

from typing import Any

import pytest

from firmware_sim.smile_core.seed import DEMO_SEED, LAB_SEED, Seed, load_seed

LINE = {
    "material_id": 990002,
    "transaction_reason_id": 4,
    "other_reason": None,
    "stock_id": 90,
    "stock_quality_id": 1,
    "qty": 40,
    "transaction_type_id": 4,
}
BODY = {"entity_id": 1, "activity_id": 50, "entity_activity_id": 60}
DISCARD = "POST MAIN/transactions/discard-stock"
INSTRUCTION = {
    "activity_id": 50,
    "customer_id": 1,
    "instruction_type_id": 1,
    "bast_no": "B/1",
    "disposal_items": [
        {"material_id": 990002, "stocks": [{"disposal_stocks": [{"disposal_stock_id": 1, "discard_qty": 40}]}]}
    ],
}


def _discard(lab: Any, *lines: dict[str, Any], who: str = "managerlab", device: str | None = "web") -> Any:
    body = {**BODY, "materials": [{**LINE, **line} for line in lines]}
    return lab.call(DISCARD, who=who, json=body, headers={"device-type": device})


def _errors(answer: Any, line: int = 0) -> dict[str, Any]:
    assert answer.status_code == 422
    found: dict[str, Any] = answer.json()["errors"]["materials"][str(line)]
    return found


def _qty(lab: Any, stock_id: int = 90) -> int:
    return int(lab.state.stocks[stock_id].qty)


@pytest.mark.parametrize(
    ("who", "device", "status"),
    [
        ("managerlab", "web", 204),
        ("managerlab", None, 204),
        ("managerlab", "mobile", 204),
        ("managerlab", "monitor", 403),
        ("operatorlab", "mobile", 204),
        ("operatorlab", "web", 403),
        ("vendorstock", "web", 403),
        ("vendorstock", "mobile", 403),
    ],
)
def test_who_may_discard_from_where(lab: Any, who: str, device: str | None, status: int) -> None:
    """Item 6: role and device."""
    answer = _discard(lab, {}, who=who, device=device)
    assert answer.status_code == status
    assert answer.content == b"" if status == 204 else answer.json() == {"message": "Forbidden Access"}


def test_a_discard_moves_doses_and_label_and_keeps_the_free_text(lab: Any) -> None:
    """5.3 effects, item 6."""
    _discard(lab, {"other_reason": "INC-7", "stock_quality_id": 3})
    assert _qty(lab) == 280
    assert lab.state.stocks[90].stock_quality_id == 3
    listed = lab.call("GET MAIN/transactions/discard?entity_id=1&start_date=2026-11-22&end_date=2026-11-22").json()
    row = listed["data"][0]
    assert (row["change_qty"], row["other_reason"], row["transaction_reason"]["title"]) == (40, "INC-7", "Frozen")
    assert (row["stock"]["id"], row["stock"]["batch"]["code"]) == (90, "BCG-LAB-01")
    assert lab.control("GET", "/tables/disposal_stocks").json()[0]["discard_qty"] == 40


def test_the_list_of_discards_needs_both_dates(lab: Any) -> None:
    assert "end_date" in lab.call("GET MAIN/transactions/discard?start_date=2026-11-22").json()["errors"]
    old = lab.call("GET MAIN/transactions/discard?start_date=2026-11-01&end_date=2026-11-21")
    assert old.json()["data"] == []


def test_the_same_body_within_the_window_is_refused_and_then_booked_again(lab: Any) -> None:
    """Item 6: 5 s, per user and path and body; no idempotency key."""
    assert _discard(lab, {}).status_code == 204
    lab.advance_s(4.9)
    assert _discard(lab, {}).json()["message"] == "validator.duplicate_request"
    assert _discard(lab, {"qty": 20}).status_code == 204  # another body
    assert _discard(lab, {}, who="operatorlab", device="mobile").status_code == 204  # another user
    lab.advance_s(0.2)
    assert _discard(lab, {}).status_code == 204
    assert _qty(lab) == 320 - 40 - 20 - 40 - 40


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({"qty": 0}, "qty"),
        ({"qty": -20}, "qty"),
        ({"qty": 340}, "qty"),
        ({"stock_quality_id": 9}, "stock_quality_id"),
        ({"stock_quality_id": "1"}, "stock_quality_id"),
        ({"transaction_reason_id": 18}, "transaction_reason_id"),
        ({"transaction_reason_id": 14, "other_reason": ""}, "other_reason"),
        ({"material_id": 880002}, "material_id"),
    ],
)
def test_lines_that_are_refused(lab: Any, line: dict[str, Any], field: str) -> None:
    """5.3; the last one is the global id where the program's is due (item 6)."""
    assert field in _errors(_discard(lab, line))
    assert _qty(lab) == 320


def test_one_bad_line_books_nothing(lab: Any) -> None:
    answer = _discard(lab, {}, {"stock_id": 91, "qty": 7})
    assert "qty" in _errors(answer, 1)
    assert (_qty(lab), _qty(lab, 91)) == (320, 180)


def test_the_same_stock_twice_is_refused(lab: Any) -> None:
    assert "stock_id" in _errors(_discard(lab, {}, {"qty": 20}), 1)


def test_a_material_that_does_not_feel_heat_takes_no_label(lab: Any) -> None:
    line = {"material_id": 990012, "stock_id": 92, "qty": 3}
    assert "stock_quality_id" in _errors(_discard(lab, line))
    assert _discard(lab, {**line, "stock_quality_id": None}).status_code == 204


def test_the_key_of_the_free_text_is_required(lab: Any) -> None:
    line = {key: value for key, value in LINE.items() if key != "other_reason"}
    answer = lab.call(DISCARD, json={**BODY, "materials": [line]})
    assert "other_reason" in _errors(answer)


@pytest.mark.parametrize("line", [{"stock_id": "90"}, {"material_id": "990002"}, {"transaction_reason_id": "4"}])
def test_text_for_ids_is_a_500_with_sql(lab: Any, line: dict[str, Any]) -> None:
    answer = _discard(lab, line)
    assert answer.status_code == 500
    assert "SQL" in answer.json()["errors"]


def test_the_global_facility_id_is_not_the_programs(lab: Any) -> None:
    """Item 6: entity 31 (global) is entity 1 in main."""
    answer = lab.call(DISCARD, json={**BODY, "entity_id": 31, "materials": [LINE]})
    assert "entity_id" in answer.json()["errors"]
    assert lab.call("GET MAIN/stocks/details?entity_id=31&material_id=990002").json() == {"data": []}


@pytest.mark.parametrize("path", [LAB_SEED, DEMO_SEED])
def test_seeds_keep_global_and_program_ids_apart(path: Any) -> None:
    """Item 6: offset on purpose."""
    seed = load_seed(path)
    assert not {row.id for row in seed.entities} & {row.program_entity_id for row in seed.entities}
    assert not {row.id for row in seed.manufactures} & {row.program_manufacture_id for row in seed.manufactures}
    assert not {row.id for row in seed.materials} & {row.global_id for row in seed.materials}


def _discard_reasons(seed: Seed) -> dict[str, int]:
    return {row.title_id: row.id for row in seed.reasons if row.transaction_type_id == 4}


def test_reasons_of_the_demo_have_other_ids_than_production_and_none_is_heat(lab: Any) -> None:
    """Item 7."""
    production = {"Pecah": 3, "Beku": 4, "Kedaluwarsa/ED": 5, "Rusak": 6, "Lainnya": 14}
    assert _discard_reasons(lab.state.seed) == production
    demo = _discard_reasons(load_seed(DEMO_SEED))
    assert demo.keys() == production.keys()
    assert not set(demo.values()) & set(range(1, 100))
    words = " ".join(row.title_en + row.title_id for row in (*lab.state.seed.reasons, *load_seed(DEMO_SEED).reasons))
    assert not any(word in words.lower() for word in ("heat", "panas", "vvm", "suhu", "temperature"))


def test_titles_follow_the_language(lab: Any) -> None:
    rows = lab.call("GET MAIN/transactions/reason?transaction_type_id=4", headers={"accept-language": "id"}).json()
    assert "Beku" in [row["title"] for row in rows]


def test_lookups_of_batches_and_qualities(lab: Any) -> None:
    """5.1: `{id, code}` only; 204 without a body when empty."""
    assert lab.call("GET MAIN/batches?keyword=bcg-lab-01").json()["data"] == [{"id": 80, "code": "BCG-LAB-01"}]
    empty = lab.call("GET MAIN/batches?keyword=nothing")
    assert (empty.status_code, empty.content) == (204, b"")
    assert [row["id"] for row in lab.call("GET MAIN/stock-qualities").json()] == [1, 2, 3, 4]


@pytest.mark.parametrize(("group_by", "keys"), [("material", {"material"}), ("activity", {"activity"})])
def test_stock_details_in_other_groupings_carry_the_batch_rows(lab: Any, group_by: str, keys: set[str]) -> None:
    rows = lab.call(f"GET MAIN/stocks/details?entity_id=1&material_id=990002&group_by={group_by}").json()["data"]
    assert keys <= rows[0].keys()
    assert [stock["id"] for stock in rows[0]["stocks"]] == [90, 91]
    assert "stock_quality_id" not in rows[0]["stocks"][0]


def test_stock_of_a_facility_with_details(lab: Any) -> None:
    rows = lab.call("GET MAIN/stocks/entities?entity_id=1&with_details=1").json()["data"]
    codes = [s["batch"]["code"] for row in rows for part in row["details"] for s in part["stocks"]]
    assert codes == ["BCG-LAB-01", "BCG-LAB-02", "BOX-LAB-01"]
    bare = lab.call("GET MAIN/stocks/entities?entity_id=1").json()["data"]
    assert [row["details"] for row in bare] == [None, None]


def _instruct(lab: Any, **changes: Any) -> Any:
    return lab.call("POST MAIN/disposal/instructions", json={**INSTRUCTION, **changes})


def test_wms_refusal_leaves_nothing_in_smile(lab: Any) -> None:
    """Item 8."""
    _discard(lab, {})
    lab.control("POST", "/faults", json={"kind": "wms_refuse"})
    answer = _instruct(lab)
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "Integration: Failed to create BAST to third party",
    )
    assert lab.state.instructions == {}
    assert lab.state.disposal_stocks[1].discard_qty == 40
    assert _instruct(lab).status_code == 201
    assert lab.state.disposal_stocks[1].discard_qty == 0


def test_an_instruction_cannot_take_more_than_was_discarded(lab: Any) -> None:
    _discard(lab, {"qty": 20})
    assert "disposal_items" in _instruct(lab).json()["errors"]
    assert lab.state.basts == {}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"customer_id": 31}, "customer_id"),
        ({"instruction_type_id": 3}, "instruction_type_id"),
        ({"bast_no": None}, "bast_no"),
        ({"disposal_comments": "x" * 256}, "disposal_comments"),
        ({"disposal_items": []}, "disposal_items"),
        (
            {"disposal_items": [{"stocks": [{"disposal_stocks": [{"disposal_stock_id": 9, "discard_qty": 1}]}]}]},
            "disposal_items",
        ),
    ],
)
def test_instructions_that_are_refused(lab: Any, change: dict[str, Any], field: str) -> None:
    _discard(lab, {})
    answer = _instruct(lab, **change)
    assert answer.status_code == 422
    assert field in answer.json()["errors"]


def test_cancellation_gives_the_quantities_back_once(lab: Any) -> None:
    """5.4 [seen]: status 1 becomes 2 and the quantities go back."""
    _discard(lab, {})
    number = _instruct(lab).json()["id"]
    for _ in range(2):
        answer = lab.call(
            "POST MAIN/api/wms/disposal/cancellation", who="wmslab", json={"bast_no": "B/1", "comment": "batal"}
        )
        assert answer.status_code == 204
    assert lab.state.disposal_stocks[1].discard_qty == 40
    assert lab.call(f"GET MAIN/disposal/instructions/{number}").json()["status"] == 2
    listed = lab.call("GET MAIN/disposal/instructions").json()["data"]
    assert [(row["id"], row["bast_no"]) for row in listed] == [(number, "B/1")]
    assert lab.call("GET MAIN/disposal/instructions/4711").status_code == 404


def test_errors_of_main_carry_a_trace_id_outside_api(lab: Any) -> None:
    """Section 7."""
    assert "traceId" in _discard(lab, {"qty": 7}).json()
    assert "traceId" not in lab.push({"curr_temp": "x"}).json()
