"""Readings as SMILE's items and SMILE's answers as one word per item: pure, no stand-in."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smile.items import (
    Assumed,
    Beside,
    Bounds,
    NotPushed,
    bad_records,
    batches,
    item_body,
    item_of,
    parse_reply,
    shared_serials,
    signal_percent,
    smile_serial,
)
from gateway.smile.port import Item, PushStatus, Route
from telemetry.contract import iso_utc_seconds
from telemetry.errors import ContractError
from telemetry.readings import Quality

T = 1_772_382_902_000  # 2026-03-01T16:35:02Z
EMPTY = Beside()


def made(make_reading, value="4.25", t_ms=T, beside=EMPTY, now_ms=T + 1000, **more):
    return item_of(
        make_reading("DXTLOG_A1", t_ms, value, **more),
        "DXTLOG_A1",
        beside=beside,
        assumed=Assumed(),
        bounds=Bounds(),
        now_ms=now_ms,
    )


@given(st.integers(0, 4_102_444_800_000))
def test_duty_01_a_time_always_has_an_explicit_offset(ms):
    text = iso_utc_seconds(ms)
    at = datetime.fromisoformat(text)
    assert at.utcoffset() is not None
    assert round(at.timestamp()) == ms // 1000


@pytest.mark.parametrize(
    ("ahead_ms", "reason"),
    [
        (300_000, None),
        (300_001, "in_the_future"),
        (-90 * 86_400_000, None),
        (-90 * 86_400_000 - 1, "too_old"),
    ],
)
def test_duty_02_dates_beyond_the_bounds_are_held_back(make_reading, ahead_ms, reason):
    """SMILE takes any date: the bound is ours."""
    item = made(make_reading, now_ms=T - ahead_ms)
    assert (item.reason if isinstance(item, NotPushed) else None) == reason


def test_duty_02_an_undated_reading_is_held_back(make_reading):
    assert made(make_reading, t_ms=None).reason == "undated"


@pytest.mark.parametrize(
    ("value", "quality"),
    [(None, Quality.SENSOR_FAULT), ("4.5", Quality.SENSOR_FAULT), ("4.5", Quality.UNSTABLE), ("NaN", Quality.GOOD)],
)
def test_duty_03_a_missing_value_produces_no_push(make_reading, value, quality):
    """SMILE stores "" as 0 °C; a probe fault is a gap, with its reason on record (smile-and-waste 3)."""
    item = made(make_reading, value=value, quality=quality)
    assert isinstance(item, NotPushed)
    assert item.is_gap


@pytest.mark.parametrize("value", ["85", "-127"])
def test_requirement_03_sensor_fault_codes_are_quarantined(make_reading, value):
    """smile-and-waste 3: DS18B20 at power-up and unplugged."""
    assert made(make_reading, value=value).reason in ("sensor_fault_code", "out_of_bounds")


def test_duty_04_types_are_smiles_and_nothing_is_assumed_unseen(make_reading):
    """smile-and-waste 1: strings, numbers and booleans as SMILE wants them; what nobody measured is marked."""
    item = made(make_reading, beside=Beside(battery_percent=Decimal(95), mains_power_on=True))
    assert item_body(item) == {
        "device_id": "DXTLOG_A1",
        "lat": "0",
        "lon": "0",
        "curr_temp": "4.25",
        "humidity": "50",
        "actual_date": "2026-03-01T16:35:02Z",
        "status_device": True,
        "battery": 95,
        "signal": 100,
        "power": True,
    }
    assert item.assumed == ("humidity", "signal", "lat", "lon")


@pytest.mark.parametrize(("dbm", "percent"), [(-110, 0), (-100, 0), (-75, 50), (-50, 100), (0, 100)])
def test_duty_04_signal_is_a_percentage(dbm, percent):
    assert signal_percent(Decimal(dbm)) == percent


@pytest.mark.parametrize(("value", "good"), [("100", True), ("-100", True), ("100.1", False), ("-100.1", False)])
def test_duty_05_and_requirement_04_bounds_are_checked_per_item(make_reading, value, good):
    assert isinstance(made(make_reading, value=value), Item) is good


@pytest.mark.parametrize("beside", [Beside(battery_percent=Decimal(101)), Beside(humidity_percent=Decimal(-1))])
def test_requirement_04_battery_101_and_humidity_minus_1_are_refused_here(make_reading, beside):
    assert made(make_reading, beside=beside).reason == "out_of_bounds"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"message": "Temperature value out of valid range (-100 to 100°C) for record 2"}, {1}),
        ({"message": "x", "errors": {"0": {"lat": ["lat doesn't match format"]}, "2": {}}}, {0, 2}),
        ({"message": "no record is named"}, set()),
        ({"message": "for record 9"}, set()),
        ({"message": "x", "errors": "Error: stack"}, set()),
        ("<html>", set()),
    ],
)
def test_duty_06_the_bad_record_is_named_by_index_or_by_number(body, found):
    assert bad_records(body, 3) == found


@given(
    st.lists(
        st.tuples(st.sampled_from(["A", "B", "C"]), st.integers(0, 500), st.sampled_from(list(Route))), max_size=60
    ),
    st.integers(1, 20),
)
def test_duty_07_and_10_batches_are_small_and_each_logger_goes_oldest_first(rows, limit):
    items = [
        Item(name, t * 1000, Decimal(4), Decimal(50), Decimal(90), Decimal(90), True, route=route)
        for name, t, route in rows
    ]
    calls = batches(items, limit)
    assert sorted(map(repr, items)) == sorted(repr(i) for call in calls for i in call)
    assert all(1 <= len(call) <= limit and len({i.route for i in call}) == 1 for call in calls)
    for name, route in {(i.device_id, i.route) for i in items}:
        times = [i.sampled_at_ms for call in calls for i in call if (i.device_id, i.route) == (name, route)]
        assert times == sorted(times)


def test_requirement_05_a_backfill_of_1440_readings_takes_two_calls():
    items = [
        Item(f"L{n}", k * 600_000, Decimal(4), Decimal(50), Decimal(90), Decimal(90), True)
        for n in range(10)
        for k in range(144)
    ]
    assert [len(call) for call in batches(items)] == [1000, 440]


V5 = {"data": {"message": "m", "data": [], "total_processed": 2, "successful": 1, "failed": 1}, "message": "Finish"}


def reply_of(*rows, flat=False):
    return {"data": list(rows), "message": "Finish"} if flat else {**V5, "data": {**V5["data"], "data": list(rows)}}


@pytest.mark.parametrize("flat", [False, True])
def test_duty_08_11_and_requirement_08_both_shapes_are_judged_per_item(flat):
    """HTTP 200 alone is not delivery."""
    key, good, bad = ("status", "Ok", "Failed") if flat else ("result", "success", "error")
    rows = [{"message": "Success inserted", key: good}, {"message": "Failed to save: x", key: bad}]
    reply = parse_reply(reply_of(*rows, flat=flat), 2)
    assert [r.status for r in reply.items] == [PushStatus.STORED, PushStatus.FAILED]


def test_duty_11_same_data_as_the_others_is_already_stored():
    reply = parse_reply(reply_of({"message": "same data as the others", "status": "Failed"}, flat=True), 1)
    assert reply.items[0].status is PushStatus.STORED


@pytest.mark.parametrize("body", [None, [], {}, {"data": {}}, {"data": {"data": [{}]}}, {"data": [{}, {}, {}]}])
def test_duty_08_an_answer_without_one_result_per_item_proves_nothing(body):
    assert parse_reply(body, 2) is None


def test_duty_12_asset_not_found_is_an_unknown_device():
    reply = parse_reply(reply_of({"message": "Asset not found", "result": "error"}), 1)
    assert reply.items[0].status is PushStatus.UNKNOWN_DEVICE


@pytest.mark.parametrize(
    ("text", "serial"),
    [("A4:C1:38:00:00:01", "A4C138000001"), ("DXT LOG_A1", "DXTLOG_A1"), ("BT-0001", "BT-0001")],
)
def test_duty_13_serials_take_the_form_smile_allows(text, serial):
    assert smile_serial(text) == serial


@pytest.mark.parametrize("text", ["", "A/1", "é", "a" * 65, "::"])
def test_duty_13_other_signs_are_refused(text):
    with pytest.raises(ContractError):
        smile_serial(text)


def test_duty_13_ambiguous_pairs_are_found():
    assert shared_serials({"x": "A1", "y": "a1", "z": "A2"}) == [("x", "y")]


def test_an_item_keeps_every_field_through_its_key(make_item):
    """SMILE can tell two readings of one logger apart by whole seconds only (smile-core-api 3.2)."""
    item = make_item()
    assert replace(item, sampled_at_ms=item.sampled_at_ms // 1000 * 1000 + 999).key == item.key
