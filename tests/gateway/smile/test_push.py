"""Pushing to the stand-in: what each item became, whatever the link and the server do."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import httpx
import pytest

from gateway.smile.client import PUSH_PATHS, Answer, Pusher, classify
from gateway.smile.items import item_body
from gateway.smile.port import Item, Outcome, PushStatus, Route
from gateway.smile.retry import MinuteGate, pause_ms

SEVEN_HOURS = 7 * 3_600_000
STORED, REFUSED, UNKNOWN = PushStatus.STORED, PushStatus.REFUSED, PushStatus.UNKNOWN_DEVICE
UNCERTAIN, NOT_SENT = PushStatus.UNCERTAIN, PushStatus.NOT_SENT


def statuses(results):
    return [r.status for r in results]


def test_duty_01_z_and_plus_seven_store_one_value_in_both_zones(smile, make_item):
    """The fixture runs the server in UTC and in Asia/Jakarta; the stored value is the same in both."""
    item = make_item()
    at = item.sampled_at_ms // 1000 * 1000
    body = item_body(item)
    local = httpx.get(smile.core).status_code  # the stand-in is there
    assert local == 404
    from datetime import UTC, datetime, timedelta, timezone

    wib = datetime.fromtimestamp(at / 1000, UTC).astimezone(timezone(timedelta(hours=7)))
    plus_seven = {**body, "actual_date": wib.isoformat(timespec="seconds")}
    assert plus_seven["actual_date"].endswith("+07:00")
    header = smile.log_in("iot-manager", "demo-word-manager")
    httpx.post(smile.core + PUSH_PATHS[Route.COLD], json=[body, plus_seven], headers=header).raise_for_status()
    assert [t for _, t, _ in smile.histories()] == [at + SEVEN_HOURS, at + SEVEN_HOURS]


def test_duty_01_the_room_route_stores_the_true_time(smile, with_door, make_item):
    item = make_item(route=Route.ROOM)
    assert statuses(with_door(lambda door: door.push([item]))) == [STORED]
    assert [t for _, t, _ in smile.histories()] == [item.sampled_at_ms // 1000 * 1000]


def test_duty_04_smile_takes_our_types(smile, with_door, make_item):
    with_door(lambda door: door.push([make_item()]))
    (row,) = smile.table("histories")
    assert (row["temperature_c"], row["humidity"], row["battery"], row["signal"]) == (4.5, 55, 95, 60)
    assert (row["device_status"], row["is_power_connected"], row["latitude"]) == (True, True, -6.48)


def test_duty_06_a_bad_second_of_three_is_taken_out_and_the_rest_sent(smile, with_door, make_item):
    """SMILE answers 422 "for record N" for the whole call and stores nothing."""
    bad = replace(make_item(minutes_ago=20), battery_percent=Decimal(101))
    items = [make_item(minutes_ago=30), bad, make_item(minutes_ago=10)]

    async def use(door):
        await door.push([make_item(minutes_ago=40)])  # the probe of the route
        return await door.push(items)

    results = {r.key: r for r in with_door(use)}
    assert [results[i.key].status for i in items] == [STORED, REFUSED, STORED]
    assert results[bad.key].text.endswith("for record 2")
    assert len(smile.histories()) == 3


def test_duty_06_errors_keyed_by_index_are_isolated_too(smile, with_door, make_item):
    """A blank device id gives a field tree and no record number."""
    bad = replace(make_item(minutes_ago=20), device_id=" ")
    items = [make_item(minutes_ago=30), bad, make_item(minutes_ago=10)]
    results = {r.key: r.status for r in with_door(lambda door: door.push(items))}
    assert [results[i.key] for i in items] == [STORED, REFUSED, STORED]


class Script:
    """A session that answers from a function of the posted items; it counts its calls."""

    def __init__(self, answer):
        self.answer = answer
        self.sizes: list[int] = []

    async def call(self, method, url, *, body=None, params=None, headers=None):
        self.sizes.append(len(body))
        return self.answer(body)


def stored(body):
    rows = [{"message": "ok", "result": "success"} for _ in body]
    return Answer(Outcome.DONE, 200, {"data": {"data": rows}, "message": "Finish"})


def plain_items(count):
    return [
        Item(f"L{n}", 1_700_000_000_000 + n * 1000, Decimal(4), Decimal(50), Decimal(90), Decimal(90), True)
        for n in range(count)
    ]


def push_by_script(answer, items, **changes):
    import asyncio

    script = Script(answer)
    pusher = Pusher(script, "http://core", proved=set(Route), **changes)  # type: ignore[arg-type]
    return asyncio.run(pusher.push(items)), script.sizes, pusher


def test_requirement_04_an_unnamed_bad_record_of_8_is_found_in_7_requests():
    """smile-and-waste 4: split until isolated; 7 delivered, 1 quarantined with the server's text."""

    def answer(body):
        if any(row["device_id"] == "L5" for row in body):
            return Answer(Outcome.DATA, 422, {"message": "something is wrong"})
        return stored(body)

    results, sizes, _ = push_by_script(answer, plain_items(8))
    assert sorted(statuses(results)) == sorted([STORED] * 7 + [REFUSED])
    assert [r.text for r in results if r.status is REFUSED] == ["something is wrong"]
    assert len(sizes) <= 7


def test_duty_06_when_smile_refuses_everything_nothing_is_quarantined():
    """Many refusals and not one stored: SMILE has changed, not our readings; all wait for a person."""
    results, _, _ = push_by_script(lambda body: Answer(Outcome.DATA, 422, {"message": "no"}), plain_items(100))
    assert set(statuses(results)) == {NOT_SENT}
    assert not results[0].outcome.again


def test_requirement_05_1440_readings_are_two_calls():
    _, sizes, _ = push_by_script(stored, plain_items(1440))
    assert sizes == [1000, 440]


def test_duty_07_nothing_to_push_is_no_call():
    results, sizes, _ = push_by_script(stored, [])
    assert (results, sizes) == ([], [])


def test_duty_07_a_thousand_items_are_taken_in_one_call(smile, with_door, make_item):
    base = make_item(minutes_ago=1200)
    items = [replace(base, sampled_at_ms=base.sampled_at_ms + n * 60_000) for n in range(1001)]
    results = with_door(lambda door: door.push(items))
    assert set(statuses(results)) == {STORED}
    assert len(smile.requests("/histories/push")) == 3  # the probe, 999, and the one over a thousand
    times = [t for _, t, _ in smile.histories()]
    assert times == sorted(times)
    assert len(times) == 1001


def test_duty_08_and_12_each_item_is_judged_alone(smile, with_door, make_item):
    items = [make_item("NOBODY", 20), make_item("BT-0001", 10)]
    results = {r.key[0]: r for r in with_door(lambda door: door.push(items))}
    assert (results["NOBODY"].status, results["BT-0001"].status) == (UNKNOWN, STORED)
    assert results["NOBODY"].text == "Asset not found"


def test_duty_11_the_documented_shape_and_same_data_are_understood(smile, with_door, make_item):
    """3.0 mode: flat rows with ``status``, and "same data as the others" for what is there already."""
    smile.settings(push_mode="3.0")
    items = [make_item(minutes_ago=20), make_item("NOBODY", 15)]

    async def use(door):
        return await door.push(items), await door.push(items)

    first, second = with_door(use)
    assert sorted(statuses(first)) == sorted(statuses(second)) == sorted([STORED, UNKNOWN])
    assert len(smile.histories()) == 1


@pytest.mark.parametrize(
    ("kind", "status", "outcome"),
    [
        ("error_500", NOT_SENT, Outcome.AGAIN),
        ("error_503", NOT_SENT, Outcome.AGAIN),
        ("cut", UNCERTAIN, Outcome.LOST),
        ("lost_answer", UNCERTAIN, Outcome.LOST),
        ("slow", UNCERTAIN, Outcome.LOST),
    ],
)
def test_duty_17_faults_are_again_or_uncertain_never_stored(
    smile, with_door, make_config, make_item, kind, status, outcome
):
    """What certainly did not happen is sent again; what may have happened is uncertain."""
    smile.fault(kind, path="/histories/push", seconds=2.0)
    config = make_config(read_timeout_s=0.5)
    (result,) = with_door(lambda door: door.push([make_item()]), config)
    assert (result.status, result.outcome) == (status, outcome)
    assert len(smile.histories()) == (kind in ("lost_answer", "slow"))
    assert result.outcome.again


def test_duty_17_a_dead_server_is_unreachable_and_nothing_is_uncertain(smile, with_door, make_config, make_item):
    config = make_config(core_url="http://127.0.0.1:9/core")
    (result,) = with_door(lambda door: door.push([make_item()]), config)
    assert (result.status, result.outcome) == (NOT_SENT, Outcome.UNREACHABLE)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, {}, Outcome.DONE),
        (204, None, Outcome.DONE),
        (400, {"message": "x"}, Outcome.DATA),
        (401, {"message": "Unauthorized"}, Outcome.LOGIN),
        (403, {"message": "inactive"}, Outcome.FORBIDDEN),
        (404, None, Outcome.NOT_FOUND),
        (422, {"message": "x"}, Outcome.DATA),
        (422, {"message": "Database connection error"}, Outcome.AGAIN),
        (429, {"message": "x"}, Outcome.BUSY),
        (500, {"message": "Internal Server Error"}, Outcome.AGAIN),
        (500, None, Outcome.LOST),
        (502, None, Outcome.LOST),
        (503, None, Outcome.AGAIN),
        (504, None, Outcome.LOST),
        (302, None, Outcome.FORBIDDEN),
    ],
)
def test_duty_17_every_status_has_one_meaning(status, body, outcome):
    assert classify(status, body) is outcome


def test_duty_17_pauses_double_to_five_minutes_with_jitter():
    assert [pause_ms(n, 0.0) for n in range(11)] == [
        0, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000, 256000, 300000,
    ]  # fmt: skip
    assert pause_ms(3, 1.0) == 3000


def test_duty_17_an_inactive_account_is_a_configuration_fault(smile, with_door, make_config, make_item):
    """403: no retry helps until a person acts."""
    from gateway.smile.client import Account

    config = make_config(account=Account("x", "inactive-contoh", "demo-word-inactive"))
    (result,) = with_door(lambda door: door.push([make_item()]), config)
    assert (result.status, result.outcome) == (NOT_SENT, Outcome.FORBIDDEN)
    assert not result.outcome.again


def test_duty_16_the_language_is_english_exactly_and_the_type_json(smile, config, make_item):
    """Seen on the wire by a listener of our own."""
    import asyncio

    from gateway.smile.client import Account, Session, new_http
    from gateway.smile.login import TokenFile

    heard: list[bytes] = []

    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        heard.append(head.lower())
        body = b'{"token_login":"t"}'
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        tokens = TokenFile(config.token_dir / "x.json", "x")
        async with new_http() as http, server:
            session = Session(http, url, Account("x", "x", "y"), tokens, lambda: 1)
            await session.call("POST", url + "/push", body=[item_body(make_item())])
        tokens.close()

    asyncio.run(main())
    assert len(heard) == 2
    for head in heard:
        assert b"\r\naccept-language: en\r\n" in head
        assert b"\r\ncontent-type: application/json\r\n" in head
        assert b"\r\ndevice-type: web\r\n" in head


def test_duty_18_time_outs_are_10_s_and_60_s():
    import asyncio

    from gateway.smile.client import new_http

    async def main():
        async with new_http() as http:
            return http.timeout

    timeout = asyncio.run(main())
    assert (timeout.connect, timeout.read) == (10.0, 60.0)


def test_requirement_02_a_time_off_by_hours_stops_the_push():
    """smile-and-waste 2: the probe comes back with another time: push stays disabled, with the reason."""

    def answer(body):
        rows = [{"message": "ok", "result": "success", "actual_time": row["actual_date"]} for row in body]
        return Answer(Outcome.DONE, 200, {"data": {"data": rows}, "message": "Finish"})

    import asyncio

    script = Script(answer)
    pusher = Pusher(script, "http://core")  # type: ignore[arg-type]
    results = asyncio.run(pusher.push(plain_items(5)))
    assert script.sizes == [1]  # the probe alone went out
    assert sorted(statuses(results)) == sorted([STORED] + [NOT_SENT] * 4)
    assert "-7 h" in pusher.disabled
    assert asyncio.run(pusher.push(plain_items(1)))[0].status is NOT_SENT


def test_requirement_02_the_probe_proves_the_route(smile, with_door, make_item):
    async def use(door):
        await door.push([make_item(minutes_ago=m) for m in (30, 20, 10)])
        return door.pusher.proved, door.pusher.disabled

    assert with_door(use) == ({Route.COLD}, "")
    assert len(smile.requests("/histories/push")) == 2


def test_duty_27_the_gate_keeps_under_the_limit_and_closes_after_a_429():
    gate = MinuteGate(3)
    for at in (0, 10, 20):
        assert gate.wait_ms(at) == 0
        gate.called(at)
    assert gate.wait_ms(30) == 60_000 - 30
    assert gate.wait_ms(60_001) == 0
    gate.refused(60_001)
    assert gate.wait_ms(60_002) == 59_999
