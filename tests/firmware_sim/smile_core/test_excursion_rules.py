"""How core judges temperature: facts/smile-core-api.md section 4, section 11 items 4 and 5."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.smile_core.excursion import Abnormal, Range, Side, excursion_of, step

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
FRIDGE = Range(2.0, 8.0)


@pytest.mark.parametrize(
    ("limits", "readings", "expected"),
    [
        (None, [(0, 5.0)], "unknown"),
        (FRIDGE, [], "unknown"),
        (Range(0.0, 10.0), [(0, 12.0), (10 * HOUR_MS, 12.0)], "unknown"),
        (Range(-5.0, 0.0), [(0, 12.0)], "unknown"),
        (FRIDGE, [(0, 1.0), (9 * HOUR_MS, 0.0)], "unknown"),
        (FRIDGE, [(0, 2.0)], "normal"),
        (FRIDGE, [(0, 8.0)], "normal"),
        (FRIDGE, [(0, 1.9), (HOUR_MS, 1.9)], None),
        (FRIDGE, [(0, 1.9), (HOUR_MS + MINUTE_MS, 1.9)], "below"),
        (FRIDGE, [(0, 8.1), (8 * HOUR_MS, 8.1)], None),
        (FRIDGE, [(0, 8.1), (8 * HOUR_MS + MINUTE_MS, 8.1)], "above"),
        (FRIDGE, [(0, 1.5), (HOUR_MS, 1.5), (2 * HOUR_MS, 9.0), (9 * HOUR_MS, 9.0)], "above"),  # side does not reset
        (FRIDGE, [(0, 9.0), (7 * HOUR_MS, 5.0), (8 * HOUR_MS, 9.0), (9 * HOUR_MS, 9.0)], None),  # in range resets
    ],
)
def test_read_time_judgement(limits: Range | None, readings: list[tuple[int, float]], expected: str | None) -> None:
    """4.1 rules 1 to 4."""
    assert excursion_of(limits, readings) == expected


@given(st.permutations([(n * HOUR_MS, t) for n, t in enumerate((5.0, 1.5, 9.0, 7.0, 9.5, 9.5))]))
def test_read_time_judgement_goes_by_reading_time_not_arrival(readings: list[tuple[int, float]]) -> None:
    assert excursion_of(FRIDGE, readings) is None


def _notified(readings: list[tuple[int, float]]) -> list[int]:
    """Minutes of the readings, in arrival order, that notify."""
    state: Abnormal | None = None
    sent = []
    for minute, temperature_c in readings:
        state, side = step(state, FRIDGE, minute * MINUTE_MS, temperature_c, 0)
        if side is not None:
            sent.append(minute)
    return sent


@pytest.mark.parametrize(
    ("readings", "sent"),
    [
        ([(0, 9.1), (480, 9.1)], []),
        ([(0, 9.1), (480, 9.1), (481, 9.1), (961, 9.1), (962, 9.1)], [481, 962]),  # repeats after +8 h 01
        ([(0, 1.5), (60, 1.5)], []),
        ([(0, 1.5), (61, 1.5)], [61]),
        ([(0, 1.5), (50, 5.0), (61, 1.5)], []),  # a normal reading restarts
        ([(0, 9.1), (400, 1.5), (481, 9.1), (500, 9.1)], []),  # a change of side restarts
        ([(0, 9.1), (400, 1.5), (461, 1.5)], [461]),
        ([(600, 9.1), (0, 9.1), (480, 9.1)], []),  # arrival order: late data give negative spans
        ([(0, 8.0), (600, 8.0)], []),
    ],
)
def test_push_time_notification(readings: list[tuple[int, float]], sent: list[int]) -> None:
    """4.2, recorded: none at 8 h 00, sent at 8 h 01; none at 60 min, sent at 61."""
    assert _notified(readings) == sent


def test_the_state_lives_24_hours() -> None:
    state, _ = step(None, FRIDGE, 0, 9.0, now_ms=0)
    assert step(state, FRIDGE, 9 * HOUR_MS, 9.0, now_ms=24 * HOUR_MS)[1] is None
    assert step(state, FRIDGE, 9 * HOUR_MS, 9.0, now_ms=24 * HOUR_MS - 1)[1] is Side.ABOVE


def test_whole_minutes_count() -> None:
    state, _ = step(None, FRIDGE, 0, 1.0, 0)
    assert step(state, FRIDGE, 61 * MINUTE_MS - 1, 1.0, 0)[1] is None


def _at(hour: int, minute: int = 0, day: int = 20) -> str:
    return f"2026-11-{day}T{hour:02d}:{minute:02d}:00Z"


def test_notifications_go_to_reachable_users_whose_role_allows_it(lab: Any) -> None:
    """4.2 "Who": a role with NULL is excluded too; item 4: readable as a list, over control only."""
    lab.push({"curr_temp": "1.5", "actual_date": _at(0)}, {"curr_temp": "1.5", "actual_date": _at(1, 1)})
    sent = lab.control("GET", "/notifications").json()
    assert [(one["name"], one["to"]["subscriberId"]) for one in sent] == [
        ("below-excursion", "2"),
        ("below-excursion", "3"),
    ]
    assert len({one["payload"]["eventCode"] for one in sent}) == 1
    assert lab.request("GET", "/core/notifications").status_code == 404


def test_an_unlinked_logger_never_notifies(lab: Any) -> None:
    for hour in (0, 9, 20):
        lab.push({"device_id": "LABFREE01", "curr_temp": "30", "actual_date": _at(hour)})
    assert lab.control("GET", "/notifications").json() == []


def test_the_notification_takes_the_highest_minimum_not_the_active_capacity(lab: Any) -> None:
    """4.2: for a model with 2..8 and -25..-15 the first row is 2..8, whatever is active."""
    seed = lab.state.assets[5001]
    lab.state.assets[5001] = type(seed)(**{f: getattr(seed, f) for f in seed.__slots__} | {"active_capacity_id": 2})
    for hour in (0, 9):
        lab.push({"curr_temp": "-20", "actual_date": _at(hour)})
    assert lab.excursion("LABLOG0001") == "normal"
    assert {one["name"] for one in lab.control("GET", "/notifications").json()} == {"below-excursion"}


def test_rooms_are_judged_by_the_predefined_threshold(lab: Any) -> None:
    for hour in (0, 9):
        lab.push({"device_id": "LABROOM01", "curr_temp": "31", "actual_date": _at(hour)}, room=True)
    assert {one["name"] for one in lab.control("GET", "/notifications").json()} == {"above-excursion"}


def _filtered(lab: Any, word: str) -> list[str]:
    rows = lab.call(f"GET CORE/asset-monitoring-temperature?temperature_filter={word}").json()["data"]
    return [row["rtmd"]["serial_number"] for row in rows]


def test_the_list_goes_by_reading_time_and_the_filter_by_the_last_inserted(lab: Any) -> None:
    """Item 5: late data make list and filter disagree."""
    lab.push({"curr_temp": "5.0", "actual_date": _at(10)})
    lab.push({"curr_temp": "9.0", "actual_date": _at(9)})
    rows = lab.call("GET CORE/asset-monitoring-temperature").json()["data"]
    row = next(row for row in rows if row["rtmd"]["serial_number"] == "LABLOG0001")
    assert (row["rtmd"]["latest"]["temperature"], row["excursion"]) == (5, "normal")
    assert "LABLOG0001" in _filtered(lab, "above")  # no grace either
    assert "LABLOG0001" not in _filtered(lab, "normal")


def test_the_detail_has_no_excursion(lab: Any) -> None:
    body = lab.call("GET CORE/asset-monitoring-temperature/5001").json()
    assert "excursion" not in str(body)
    assert body["rtmds"][0]["serial_number"] == "LABLOG0001"
    assert lab.call("GET CORE/asset-monitoring-temperature/4711").status_code == 404


def test_a_vendor_sees_no_assets_and_no_history(lab: Any) -> None:
    """4.4 [seen]: an empty list."""
    lab.push({})
    assert lab.call("GET CORE/asset-monitoring-temperature", who="vendorlab").json()["data"] == []
    assert lab.call("GET CORE/asset-monitoring-temperature/3/history", who="vendorlab").json()["data"] == []


def test_history_pages_newest_first_in_wib_wall_clock(lab: Any) -> None:
    lab.push(*({"actual_date": _at(hour)} for hour in (3, 1, 2)))
    page = lab.call("GET CORE/asset-monitoring-temperature/3/history?paginate=2&page=1").json()
    assert (page["total_item"], page["total_page"]) == (3, 2)
    assert [row["actual_time"][11:13] for row in page["data"]] == ["10", "09"]
    last = lab.call("GET CORE/asset-monitoring-temperature/3/history?paginate=2&page=2").json()
    assert [row["actual_time"][11:13] for row in last["data"]] == ["08"]


def test_history_of_days(lab: Any) -> None:
    lab.push({"actual_date": _at(1, day=18)}, {"actual_date": _at(1, day=20)})
    base = "GET CORE/asset-monitoring-temperature/3/history?"
    assert lab.call(base + "from_date=2026-11-19&to_date=2026-11-20").json()["total_item"] == 1
    assert lab.call(base + "from_date=2026-08-01").status_code == 422
    assert lab.call(base + "from_date=yesterday").status_code == 422
    assert lab.call(base + "paginate=101").status_code == 422
    assert lab.call("GET CORE/asset-monitoring-temperature/4711/history").status_code == 404
