"""Storing readings: facts/smile-core-api.md section 3, section 11 items 2 and 3."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.smile_core.jsvalue import iso_z, js_number, json_number, parse_date_ms
from firmware_sim.smile_core.settings import PushMode

HOUR_MS = 3_600_000


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("sent", "utc_server", "jakarta_server"),
    [
        ("2026-11-20 08:00:00", "15:00", "08:00"),
        ("2026-11-20T08:00:00Z", "15:00", "15:00"),
        ("2026-11-20T08:00:00+07:00", "08:00", "08:00"),
    ],
)
def test_seven_hours_are_added_for_refrigerators(
    make_lab: Callable[..., Any], sent: str, utc_server: str, jakarta_server: str
) -> None:
    """3.2, the table recorded on two servers."""
    for zone, stored in (("UTC", utc_server), ("Asia/Jakarta", jakarta_server)):
        lab = make_lab(server_zone=zone)
        reply = lab.push({"actual_date": sent}).json()["data"]["data"][0]
        assert reply["actual_time"] == f"2026-11-20T{stored}:00.000Z"
        assert lab.history()[-1].actual_time_ms == _ms(f"2026-11-20T{stored}:00+00:00")


@pytest.mark.parametrize(
    ("sent", "stored"), [("2026-11-20T08:00:00Z", "08:00"), ("2026-11-20T08:00:00+07:00", "01:00")]
)
def test_rooms_keep_the_true_instant(lab: Any, sent: str, stored: str) -> None:
    """3.2: no 7 hours on the room endpoint."""
    lab.push({"device_id": "LABROOM01", "actual_date": sent}, room=True)
    assert lab.history("LABROOM01")[-1].actual_time_ms == _ms(f"2026-11-20T{stored}:00+00:00")


def test_a_bad_date_is_now_for_refrigerators_and_null_for_rooms(lab: Any) -> None:
    """Item 3."""
    lab.push({"actual_date": "2026-13-45T99:00:00Z"})
    assert abs(lab.history()[-1].actual_time_ms - lab.now_ms) <= 500
    lab.push({"actual_date": ""}, room=True)
    assert lab.history()[-1].actual_time_ms is None


def test_nothing_is_deduplicated(lab: Any) -> None:
    """Item 3: a retry doubles the data, even inside one call."""
    lab.push({}, {})
    lab.push({})
    assert len({(row.actual_time_ms, row.temperature_c) for row in lab.history()}) == 1
    assert len(lab.history()) == 3


def test_the_3_0_mode_refuses_the_same_data_in_the_flat_shape(make_lab: Callable[..., Any]) -> None:
    """3.3, item 3: the documented reply."""
    lab = make_lab(push_mode=PushMode.V3_0)
    assert lab.push({}, {"device_id": "NOSUCH"}).json() == {
        "data": [
            {"device_id": "LABLOG0001", "lat": -6.48, "lon": 106.8, "curr_temp": 4.5}
            | {"message": "Success inserted", "status": "Ok"},
            {"device_id": "NOSUCH", "lat": -6.48, "lon": 106.8, "curr_temp": 4.5}
            | {"message": "Asset not found", "status": "Failed"},
        ],
        "message": "Finish",
    }
    again = lab.push({}).json()["data"][0]
    assert (again["message"], again["status"]) == ("same data as the others", "Failed")
    assert len(lab.history()) == 1


def test_the_order_sent_is_the_order_answered(lab: Any) -> None:
    """Item 2."""
    names = ["LABLOG0001", "NOSUCH", "LABFREE01", " LAB LOG 0001\t"]
    data = lab.push(*({"device_id": name} for name in names)).json()["data"]
    assert [row["device_id"] for row in data["data"]] == ["LABLOG0001", "NOSUCH", "LABFREE01", "LABLOG0001"]
    assert [row["result"] for row in data["data"]] == ["success", "error", "success", "success"]


def test_http_200_even_when_every_item_failed(lab: Any) -> None:
    answer = lab.push({"device_id": "NOSUCH"})
    assert (answer.status_code, answer.json()["data"]["failed"]) == (200, 1)


@pytest.mark.parametrize(
    ("bad", "start"),
    [
        ({"curr_temp": "-100.1"}, "Temperature value"),
        ({"curr_temp": "Infinity"}, "Temperature value"),
        ({"signal": 100.5}, "Signal"),
        ({"battery": -1}, "Battery"),
        ({"humidity": "101"}, "Humidity"),
    ],
)
def test_one_value_out_of_range_refuses_the_whole_call(lab: Any, bad: dict[str, Any], start: str) -> None:
    """3.1: nothing is stored; the message ends "for record N", N from 1."""
    answer = lab.push({}, {}, bad)
    assert answer.status_code == 422
    assert answer.json()["message"].startswith(start)
    assert answer.json()["message"].endswith("for record 3")
    assert lab.history() == []


@pytest.mark.parametrize("humidity", ["", " ", "wet", "nan", "1_0"])
def test_humidity_that_is_no_number_fails_alone(lab: Any, humidity: str) -> None:
    """3.1: passes validation, fails at insert; the other items are stored."""
    data = lab.push({"humidity": humidity}, {}).json()["data"]
    assert data["data"][0]["message"].startswith("Failed to save temperature history: Incorrect double value")
    assert (data["successful"], len(lab.history())) == (1, 1)


@pytest.mark.parametrize("edge", [{"curr_temp": "-100"}, {"curr_temp": " 100 "}, {"battery": 0}, {"signal": 100}])
def test_the_ends_of_the_ranges_are_inside(lab: Any, edge: dict[str, Any]) -> None:
    assert lab.push(edge).json()["data"]["successful"] == 1


def test_a_blank_device_is_refused_by_type(lab: Any) -> None:
    answer = lab.push({}, {"device_id": " \t"})
    assert answer.json()["errors"] == {"1": {"device_id": ["device_id cannot be empty"]}}


@pytest.mark.parametrize("language", ["id-ID", "en-US,en", ""])
def test_other_languages_fall_back_to_english(lab: Any, language: str) -> None:
    """Section 1: exact match only."""
    answer = lab.call("POST CORE/api/v2/histories/push", json=[{}], headers={"accept-language": language})
    assert answer.json()["message"].startswith("Unable to process")


def test_battery_and_signal_default_to_zero(lab: Any) -> None:
    item = {"device_id": "LABLOG0001", "curr_temp": "4", "actual_date": "2026-11-22T00:00:00Z", "lat": "", "lon": "1"}
    item |= {"humidity": "50", "status_device": True, "power": False}  # type: ignore[dict-item]
    reply = lab.call("POST CORE/api/v2/histories/push", json=[{**item, "extra": 1}]).json()["data"]["data"][0]
    assert (reply["battery"], reply["signal"], reply["lat"], reply["curr_temp"]) == (0, 0, 0, 4)
    assert "extra" not in reply


def test_history_keeps_the_threshold_of_its_time_and_the_last_inserted_row(lab: Any) -> None:
    """3.6."""
    lab.push({"actual_date": "2026-11-20T08:00:00Z"}, {"actual_date": "2026-11-19T08:00:00Z"})
    logger = lab.state.logger_by_serial("LABLOG0001")
    assert logger.latest_history_id == lab.history()[-1].id
    assert lab.history()[-1].actual_time_ms < lab.history()[0].actual_time_ms
    assert {row.capacity_id for row in lab.history()} == {1}


def test_a_serial_registered_with_a_space_never_receives(lab: Any) -> None:
    """3.5."""
    body = {"type_id": 7, "entity_id": 31, "serial_number": "SP 1", "name": "x", "prod_year": 2024}
    body |= {"model_id": 232, "manufacture_id": 64, "status": 1}
    assert lab.call("POST CORE/api/assets", json=body).status_code == 200
    assert lab.push({"device_id": "SP 1"}).json()["data"]["data"][0]["message"] == "Asset not found"
    colon = lab.call("POST CORE/api/assets", json={**body, "serial_number": "AA:BB"})
    assert (colon.status_code, colon.json()["message"]) == (422, "Serial number contains invalid characters")


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 0), (" ", 0), ("4.5", 4.5), ("-.5", -0.5), ("5.", 5), ("1e2", 100), ("0x10", 16), (" 7\n", 7), ("+3", 3)],
)
def test_text_becomes_a_number_as_in_javascript(text: str, number: float) -> None:
    assert js_number(text) == number


@pytest.mark.parametrize("text", ["abc", "4,5", "1_000", "nan", "inf", "4.5C", "--1", "0x"])
def test_other_text_is_not_a_number(text: str) -> None:
    assert json_number(js_number(text)) is None


@pytest.mark.parametrize("text", ["not a date", "", "20", "2026-02-30", "2026-11-20T25:00:00Z", "Fri"])
def test_not_a_date(text: str) -> None:
    assert parse_date_ms(text, UTC) is None


@given(st.integers(min_value=0, max_value=4_000_000_000_000), st.integers(min_value=-14 * 4, max_value=14 * 4))
def test_an_instant_is_the_same_whatever_its_offset(at_ms: int, quarters: int) -> None:
    shifted = iso_z(at_ms + quarters * 900_000)
    assert shifted is not None
    sign = "-" if quarters < 0 else "+"
    offset = f"{sign}{abs(quarters) // 4:02d}:{abs(quarters) % 4 * 15:02d}"
    assert parse_date_ms(shifted.replace("Z", offset), UTC) == at_ms
