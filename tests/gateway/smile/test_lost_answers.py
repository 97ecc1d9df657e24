"""After a lost answer: read back, else hold (duty 9; README: ``resend_uncertain`` is a setting, off)."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from gateway.smile.items import ROUTE_SHIFT_MS
from gateway.smile.port import Item, Route
from gateway.smile.readback import HistoryRow, Seen, compare

MINUTE = 60_000


def begin(world, minutes_ago=60):
    """A first reading is stored: the witness that the account can see this logger's history."""
    at = world.ticker.at_ms // 1000 * 1000
    world.temperatures("BT-0001", [(at - minutes_ago * MINUTE, "4.0")])
    world.rounds(1)
    return at


def test_duty_09_lost_answer_is_read_back_not_resent(smile, world):
    """The connection is cut after the server stored: the reading is found in the history and never sent again."""
    at = begin(world)
    smile.fault("lost_answer", path="/histories/push")
    world.temperatures("BT-0001", [(at - 10 * MINUTE, "4.5")])
    world.rounds(1)
    assert world.outbox.counts()["uncertain"] == 1
    world.rounds(4, every_ms=60_000)
    assert world.outbox.counts()["stored"] == 2
    assert [v for _, _, v in smile.histories()] == [Decimal("4.0"), Decimal("4.5")]
    assert len(smile.requests("/history", "GET")) >= 1


def test_duty_09_what_the_history_does_not_hold_is_sent_again(smile, world):
    """Cut before the server read anything: absent beside a witness, so it waits again and goes out once."""
    at = begin(world)
    smile.fault("cut", path="/histories/push")
    world.temperatures("BT-0001", [(at - 10 * MINUTE, "4.5")])
    world.rounds(1)
    assert world.outbox.counts()["uncertain"] == 1
    world.rounds(4, every_ms=60_000)
    assert world.outbox.counts()["stored"] == 2
    assert len(smile.histories()) == 2


def test_duty_09_nothing_is_read_back_before_the_server_can_have_finished(smile, world):
    begin(world)
    smile.fault("cut", path="/histories/push")
    world.temperatures("BT-0001", [(world.ticker.at_ms - 10 * MINUTE, "4.5")])
    world.rounds(1)
    world.rounds(80, every_ms=1_000)
    assert smile.requests("/history", "GET") == []
    assert world.outbox.counts()["uncertain"] == 1


def test_duty_09_an_account_that_may_not_see_holds_and_does_not_resend(smile, make_world, vendor_account):
    """The vendor account gets an empty list and no error: an empty list proves nothing, so the reading is held."""
    world = make_world(account=vendor_account)
    at = begin(world)
    smile.fault("lost_answer", path="/histories/push")
    world.temperatures("BT-0001", [(at - 10 * MINUTE, "4.5")])
    world.rounds(1)
    world.rounds(5, every_ms=60_000)
    assert world.outbox.counts()["held"] == 1
    assert len(smile.histories()) == 2
    world.temperatures("BT-0001", [(at + MINUTE, "4.6")])
    world.rounds(2)
    assert len(smile.histories()) == 3  # a held reading does not silence its logger


def test_duty_09_resend_uncertain_accepts_the_duplicate(smile, make_world, vendor_account):
    """With the setting on, what cannot be read back is sent again, and SMILE keeps both rows."""
    world = make_world(account=vendor_account, resend_uncertain=True)
    at = begin(world)
    smile.fault("lost_answer", path="/histories/push")
    world.temperatures("BT-0001", [(at - 10 * MINUTE, "4.5")])
    world.rounds(6, every_ms=60_000)
    assert [v for _, _, v in smile.histories()] == [Decimal("4.0"), Decimal("4.5"), Decimal("4.5")]
    assert world.outbox.counts()["stored"] == 2


def test_duty_09_a_held_reading_is_settled_once_the_history_can_say(smile, make_world):
    """The very first push was lost: no witness. A later stored reading is one, and the question is asked again."""
    world = make_world(held_again_s=60.0)
    at = world.ticker.at_ms // 1000 * 1000
    smile.fault("lost_answer", path="/histories/push")
    world.temperatures("BT-0001", [(at - 10 * MINUTE, "9.5")])
    world.rounds(4, every_ms=60_000)
    assert world.outbox.counts()["stored"] == 1  # seen in the history itself: its own presence is proof enough
    smile.fault("cut", path="/histories/push")
    world.temperatures("BT-0002", [(at - 10 * MINUTE, "4.5")])
    world.rounds(4, every_ms=60_000)
    assert world.outbox.counts()["held"] == 1  # absent, and no witness of this logger
    for value in (
        "4.6",
        "4.7",
    ):  # the first is the witness; the second is newer than the late one, which goes before it
        world.temperatures("BT-0002", [(world.ticker.at_ms, value)])
        world.rounds(4, every_ms=60_000)
    assert world.outbox.counts()["held"] == 0
    values = [v for s, _, v in smile.histories() if s == "BT-0002"]
    assert values == [Decimal("4.6"), Decimal("4.5"), Decimal("4.7")]


def test_duty_09_a_kill_after_sending_is_read_back_at_the_next_start(smile, world):
    """The process died between the request and the answer: ``sent`` on disk is uncertain, not lost and not resent."""
    at = begin(world)
    world.temperatures("BT-0001", [(at - 10 * MINUTE, "4.5")])

    async def die():
        async with world.service() as service:
            push = service._door.push

            async def push_then_die(items):
                await push(items)
                raise KeyboardInterrupt  # the answer came, nothing was written down

            service._door.push = push_then_die
            await service.step()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(die())
    assert world.outbox.counts()["sent"] == 1
    world.rounds(4, every_ms=60_000)
    assert len(smile.histories()) == 2
    assert world.outbox.counts()["stored"] == 2


def test_duty_18_while_smile_is_down_readings_go_on_being_kept(smile, world):
    """A day of 503: everything waits, and goes out in order afterwards."""
    at = begin(world, minutes_ago=1500)
    smile.fault("error_503", path="/histories/push", count=1000)
    for hour in range(24):
        world.temperatures("BT-0001", [(at - 1440 * MINUTE + (hour * 60 + m) * MINUTE, "5.0") for m in (0, 30)])
        world.rounds(1, every_ms=400_000)
    assert world.outbox.counts()["waiting"] == 48
    smile.heal()
    world.rounds(3, every_ms=400_000)
    times = [t for _, t, _ in smile.histories()]
    assert len(times) == 49
    assert times == sorted(times)


# --- pure ----------------------------------------------------------------------------------------------------


def item(minute, value="4.5", route=Route.COLD):
    return Item("A", minute * MINUTE, Decimal(value), Decimal(50), Decimal(90), Decimal(90), True, route=route)


def row(one, off_h=0):
    return HistoryRow(one.sampled_at_ms + ROUTE_SHIFT_MS[one.route] + off_h * 3_600_000, one.temperature_c)


@pytest.mark.parametrize("route", list(Route))
def test_duty_09_history_is_compared_with_the_routes_own_shift(route):
    lost, other, witness = item(10, route=route), item(20, "5.5", route), item(0, route=route)
    finding = compare([row(witness), row(lost)], [lost, other], [witness])
    assert finding.seen == {lost.key: Seen.STORED, other.key: Seen.ABSENT}


def test_duty_09_an_empty_history_proves_nothing():
    assert compare([], [item(10)], [item(0)]).seen == {item(10).key: Seen.UNSEEN}


def test_requirement_02_a_history_off_by_whole_hours_is_named():
    witnesses = [item(0, "4.1"), item(11, "4.2"), item(23, "4.3")]
    finding = compare([row(w, -7) for w in witnesses], [item(30)], witnesses)
    assert finding.shift_error_ms == -7 * 3_600_000
    assert finding.seen == {item(30).key: Seen.UNSEEN}
