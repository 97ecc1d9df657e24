"""smile.db: what waits, what it became, what is never sent again (duties 9, 10, 12; smile-and-waste 3, 6, 7, 9)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.smile.items import NotPushed
from gateway.smile.outbox import SmileOutbox, State
from gateway.smile.port import Item, PushResult, PushStatus
from telemetry.readings import Reading, Stamp, Sync

HOUR = 3_600_000
T = 1_772_352_000_000  # 2026-03-01T08:00:00Z


def item(minute: int, value: str = "4.2", serial: str = "A") -> Item:
    return Item(serial, T + minute * 60_000, Decimal(value), Decimal(50), Decimal(90), Decimal(90), True)


@pytest.fixture
def outbox(tmp_path):
    box = SmileOutbox(tmp_path / "smile.db", backfill_hold_ms=1_800_000)
    yield box
    box.close()


def send(outbox, items, status=PushStatus.STORED, now_ms=0):
    outbox.mark_sent(items, now_ms)
    results = [PushResult(i.key, status, "text") for i in items]
    outbox.settle(results, now_ms, parked_retry_ms=6 * HOUR, pause_ms=1000)


def minutes(items):
    return [(i.sampled_at_ms - T) // 60_000 for i in items]


def test_duty_09_a_reading_told_three_times_is_sent_once_and_never_again(outbox):
    for _ in range(3):
        outbox.accept([item(0)], now_ms=0)
    assert len(outbox.due(10, 0)) == 1
    send(outbox, outbox.due(10, 0))
    outbox.accept([item(0)], now_ms=1)
    assert outbox.due(10, 1) == []


def test_requirement_06_on_a_conflict_the_first_value_is_pushed_the_second_flagged(outbox):
    assert outbox.accept([item(0, "4.2")], now_ms=0).added == 1
    assert outbox.accept([item(0, "4.9"), item(0, "4.9")], now_ms=0).conflicts == 1
    assert [i.temperature_c for i in outbox.due(10, 0)] == [Decimal("4.2")]
    assert outbox.conflicts() == [("A", T // 1000, Decimal("4.2"), Decimal("4.9"))]


def test_requirement_06_the_same_value_written_otherwise_is_no_conflict(outbox):
    outbox.accept([item(0, "4.2")], now_ms=0)
    assert outbox.accept([item(0, "4.20")], now_ms=0).repeated == 1


def test_requirement_03_a_gap_is_on_record_and_gives_way_to_a_real_reading(outbox):
    outbox.accept([NotPushed("A", T, "no_reading", "sensor_fault", is_gap=True)], now_ms=0)
    assert outbox.counts()["no_reading"] == 1
    assert outbox.due(10, 0) == []
    outbox.accept([item(0)], now_ms=0)
    assert len(outbox.due(10, 0)) == 1
    outbox.accept([NotPushed("A", T, "no_reading", is_gap=True)], now_ms=0)
    assert outbox.counts()["no_reading"] == 0


def test_requirement_07_an_uncertain_reading_holds_back_the_newer_of_its_logger_only(outbox):
    outbox.accept([item(0), item(10), item(20), item(0, serial="B")], now_ms=0)
    send(outbox, [item(0)])
    send(outbox, [item(10)], PushStatus.UNCERTAIN)
    assert [(i.device_id, *minutes([i])) for i in outbox.due(10, 0)] == [("B", 0)]
    outbox.resolve(item(10).key, State.STORED, "read back", 0)
    assert minutes(i for i in outbox.due(10, 0) if i.device_id == "A") == [20]


def test_requirement_07_what_was_not_sent_goes_first_again(outbox):
    """08:10 fails with 503: 08:20 is not sent before it."""
    outbox.accept([item(10), item(20)], now_ms=0)
    send(outbox, outbox.due(1, 0), PushStatus.NOT_SENT)
    assert minutes(outbox.due(10, 0)) == [10, 20]
    assert minutes(outbox.due(1, 0)) == [10]


def test_requirement_07_an_item_smile_fails_to_insert_pauses_its_logger_and_is_refused_at_last(outbox):
    outbox.accept([item(10), item(20), item(10, serial="B")], now_ms=0)
    for at in (0, 1000, 2000):
        assert minutes([i for i in outbox.due(10, at) if i.device_id == "A"])[:1] == [10]
        send(outbox, [item(10)], PushStatus.FAILED, now_ms=at)
        if at < 2000:
            assert [i.device_id for i in outbox.due(10, at)] == ["B"]
    assert outbox.rows(State.REFUSED) == [("A", T // 1000 + 600, "text")]
    assert minutes(i for i in outbox.due(10, 3000) if i.device_id == "A") == [20]


def test_duty_10_a_backfill_waits_for_a_newer_reading_and_ends_with_it(outbox):
    outbox.accept([item(60)], now_ms=0)
    send(outbox, outbox.due(10, 0))
    outbox.accept([item(10), item(20)], now_ms=0)
    assert outbox.due(10, 0) == []
    outbox.accept([item(70)], now_ms=0)
    assert minutes(outbox.due(10, 0)) == [10, 20, 70]


def test_duty_10_a_backfill_of_a_silent_logger_goes_after_a_while(outbox):
    outbox.accept([item(60)], now_ms=0)
    send(outbox, outbox.due(10, 0))
    outbox.accept([item(10)], now_ms=0)
    assert outbox.due(10, 1_799_999) == []
    assert minutes(outbox.due(10, 1_800_000)) == [10]


@settings(max_examples=40, deadline=None)
@given(st.permutations(list(range(12))), st.integers(1, 5))
def test_duty_10_whatever_the_order_of_arrival_the_last_one_stored_is_the_newest(order, limit):
    """Arrival in any order, each followed by a push: at the end the newest was inserted last, or after the hold."""
    box = SmileOutbox(":memory:", backfill_hold_ms=10**12)
    sent: list[int] = []
    for minute in order:
        box.accept([item(minute)], now_ms=0)
        while due := box.due(limit, 0):
            sent += minutes(due)
            send(box, due)
    assert sent == [m for m in sent if sent.count(m) == 1]
    assert sent[-1] == max(sent)
    held = set(order) - set(sent)
    assert all(m < max(sent) for m in held)
    box.close()


def test_duty_12_and_requirement_09_an_unknown_logger_is_parked_alone_and_all_its_readings_kept(outbox):
    """144 readings waiting -> 144 delivered after registration, oldest first; one notice a day."""
    waiting = [item(m) for m in range(0, 1440, 10)]
    outbox.accept([*waiting, item(0, serial="B")], now_ms=0)
    send(outbox, waiting[:1], PushStatus.UNKNOWN_DEVICE)
    assert [i.device_id for i in outbox.due(500, 0)] == ["B"]
    assert outbox.notices(0) == [("A", 144)]
    assert outbox.notices(86_399_999) == []
    assert outbox.notices(86_400_001) == [("A", 144)]
    send(outbox, [item(0, serial="B")])
    assert minutes(outbox.due(500, 6 * HOUR)) == [0]  # the slow retry: the oldest alone
    send(outbox, waiting[:1], now_ms=6 * HOUR)
    assert minutes(outbox.due(500, 6 * HOUR)) == list(range(10, 1440, 10))


def test_duty_12_a_new_reading_of_a_parked_logger_waits_with_the_others(outbox):
    outbox.accept([item(0)], now_ms=0)
    send(outbox, [item(0)], PushStatus.UNKNOWN_DEVICE)
    outbox.accept([item(10)], now_ms=0)
    assert outbox.due(10, 0) == []
    assert outbox.counts()["unknown_device"] == 2
    outbox.retry_parked_now()
    assert minutes(outbox.due(10, 0)) == [0]


def test_requirement_09_parked_readings_are_not_forgotten(outbox):
    outbox.accept([item(0), item(0, serial="B")], now_ms=0)
    send(outbox, [item(0)], PushStatus.UNKNOWN_DEVICE)
    send(outbox, [item(0, serial="B")])
    assert outbox.forget(T + 400 * 86_400_000) == 1
    assert outbox.counts()["unknown_device"] == 1


def test_duty_09_what_a_crash_left_as_sent_is_uncertain(tmp_path):
    box = SmileOutbox(tmp_path / "s.db")
    box.accept([item(0)], now_ms=0)
    box.mark_sent(box.due(10, 0), 0)
    box.close()
    again = SmileOutbox(tmp_path / "s.db")
    assert again.recover(1) == 1
    assert again.due(10, 1) == []
    assert list(again.uncertain(1)) == ["A"]
    assert again.uncertain(0) == {}
    again.close()


def test_duty_04_what_was_assumed_is_marked_in_our_own_record(outbox):
    outbox.accept([replace(item(0), assumed=("humidity", "lat"))], now_ms=0)
    assert outbox.assumed("A", T // 1000) == ("humidity", "lat")
    assert outbox.due(1, 0)[0].assumed == ("humidity", "lat")


def test_undated_readings_wait_for_an_anchor_and_are_dated_by_the_nearest(outbox):
    """The same rule as ingest's, so that SMILE gets the time that our store has."""
    stamp = Stamp("boot", 5_000_000_000, 1000, Sync.UNSYNCED)
    undated = Reading("A/temperature_c", Decimal("4.5"), None, stamp)
    outbox.accept([], now_ms=0, edge="E", undated=[undated, undated])
    assert outbox.datable("E") == []
    anchors = [Stamp("boot", 4_000_000_000, T, Sync.SYNCED), Stamp("boot", 99_000_000_000, T + 5, Sync.SYNCED)]
    outbox.accept([], now_ms=0, edge="E", anchors=anchors)
    (found,) = outbox.datable("E")
    assert (found.sampled_at_ms, found.value) == (T + 1000, Decimal("4.5"))
    outbox.accept([], now_ms=0, edge="E", dated=[found])
    assert outbox.datable("E") == []


def test_a_post_is_added_once(outbox):
    assert outbox.add_post("weight:1", "weight", {"a": 1}, 0)
    assert not outbox.add_post("weight:1", "weight", {"a": 2}, 0)
    (post,) = outbox.due_posts(0)
    assert post.body == {"a": 1}
    outbox.set_post("weight:1", "done", "", None, 0)
    assert outbox.due_posts(10**15) == []


def test_a_parked_loggers_lost_probe_is_not_forgotten(outbox):
    """The slow retry's own answer was lost and read back as absent: the logger is probed again, not stuck."""
    outbox.accept([item(0)], now_ms=0)
    send(outbox, [item(0)], PushStatus.UNKNOWN_DEVICE)
    send(outbox, outbox.due(10, 6 * HOUR), PushStatus.UNCERTAIN, now_ms=6 * HOUR)
    outbox.resolve(item(0).key, State.WAITING, "not there", 6 * HOUR)
    assert minutes(outbox.due(10, 6 * HOUR)) == [0]


def test_requirement_07_outages_do_not_count_as_the_items_own_failures(outbox):
    outbox.accept([item(0)], now_ms=0)
    for _ in range(10):
        send(outbox, outbox.due(10, 0), PushStatus.NOT_SENT)
    send(outbox, outbox.due(10, 0), PushStatus.FAILED)
    assert outbox.counts()["refused"] == 0
