"""What was not accepted waits, and what becomes of it is somebody's act."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.records import Code, QuarantineItem, Refused, UnknownRecord, open_records

ITEM = QuarantineItem("", "S1", "E1", "ep", "smile-iot/v1/s0/S1/E1/up/readings", "not_json", "x", 5, b"\x00{oops")


def test_the_same_message_waits_once_and_comes_back_as_it_came(world: Any) -> None:
    r = world.records
    (first,) = r.quarantine(ITEM)
    assert r.quarantine([ITEM, replace(ITEM, received_ms=99)]) == (first, first)
    assert r.quarantine_items() == [replace(ITEM, id=first)]
    assert r.quarantine_item(first).payload == b"\x00{oops"
    (other,) = r.quarantine(replace(ITEM, reason="bad_value", received_ms=6))
    assert [i.id for i in r.quarantine_items("S1")] == [first, other]
    assert [i.reason for i in r.quarantine_items()] == ["not_json", "bad_value"]
    assert r.verify_chain("S1").ok


def test_a_message_of_nobody_we_know_can_wait(world: Any) -> None:
    (item,) = world.records.quarantine(replace(ITEM, site="", edge="", topic="garbage/topic"))
    assert world.records.quarantine_item(item).site == ""


def test_settling_takes_a_reason_and_happens_once(world: Any, tamper: Any) -> None:
    r = world.records
    (item,) = r.quarantine(ITEM)
    with pytest.raises(Refused) as refused:
        r.settle_quarantine(item, "replayed", world.alerts, "", 9)
    assert refused.value.code is Code.REASON_REQUIRED
    with pytest.raises(Refused) as refused:
        r.settle_quarantine(item, "discarded", world.alerts, "auto", 9)
    assert refused.value.code is Code.PERSON_REQUIRED
    assert r.settle_quarantine(item, "discarded", world.budi, "test message", 9).state == "discarded"
    with pytest.raises(Refused) as refused:
        r.settle_quarantine(item, "replayed", world.budi, "oops", 10)
    assert refused.value.code is Code.NOT_WAITING
    with pytest.raises(UnknownRecord):
        r.settle_quarantine("none", "replayed", world.budi, "x", 10)
    assert r.quarantine_items() == []
    assert [i.id for i in r.quarantine_items(state=None)] == [item]
    assert r.changes_after(0)[-1].action == "quarantine_discarded"
    assert r.verify_chain("S1").ok
    tamper("UPDATE quarantine SET payload = ?", b"other")
    assert [b.subject for b in r.verify_chain("S1").breaks] == [f"quarantine:{item}"]


def test_waiting_for_a_serial(world: Any) -> None:
    r = world.records
    (item,) = r.quarantine(replace(ITEM, reason="unknown_device", serials=("NEW-1",)))
    assert [i.id for i in r.waiting_for("NEW-1")] == [item]
    assert r.waiting_for("NEW-2") == []
    assert r.waiting_serials("unknown_device") == ["NEW-1"]
    assert r.waiting_serials("clock_ahead") == []


def test_times_of_refusals_are_read_without_the_messages_and_from_a_day_on(world: Any) -> None:
    r = world.records
    ahead = replace(ITEM, reason="clock_ahead", serials=("A-1", "B-1"))
    _, new = r.quarantine([replace(ahead, received_ms=5), replace(ahead, received_ms=9, payload=b"y")])
    r.quarantine(replace(ITEM, reason="unknown_device", received_ms=9, serials=("A-1",)))
    r.settle_quarantine(new, "discarded", world.budi, "clock was set", 10)
    assert r.refused_times(["clock_ahead"], 6) == [("A-1", "clock_ahead", 9), ("B-1", "clock_ahead", 9)]
    assert len(r.refused_times(["clock_ahead"], 0)) == 4
    assert r.refused_times([], 0) == []


def test_refusals_of_a_reason_since_a_time_are_found_by_an_index(tmp_path: Path) -> None:
    """Alerts ask each minute; the messages of all that ever waited are not read for it."""
    path = tmp_path / "records.db"
    with open_records(str(path)) as r:
        r.quarantine([replace(ITEM, reason=reason, received_ms=ms) for reason in "ab" for ms in range(50)])
    with closing(sqlite3.connect(path)) as db:
        plan = db.execute(
            "EXPLAIN QUERY PLAN SELECT s.serial FROM quarantine_serials s JOIN quarantine q ON s.item = q.id"
            " WHERE q.reason IN ('clock_ahead', 'clock_behind') AND q.received_ms >= 5"
        ).fetchall()
    assert any("ix_quarantine_reason_received_ms (reason=? AND received_ms>?)" in row[-1] for row in plan)


def test_garbage_is_not_refused_a_second_time(world: Any) -> None:
    """A NUL or a lone surrogate would stop PostgreSQL; the line must not stop."""
    r = world.records
    bad = replace(ITEM, topic="t\0x", detail="\ud800", epoch="\0", serials=("A\0",))
    (item,) = r.quarantine(bad)
    assert r.quarantine(bad) == (item,)
    kept = r.quarantine_item(item)
    assert (kept.topic, kept.detail, kept.payload) == ("t\\0x", "\\ud800", ITEM.payload)
    r.settle_quarantine(item, "discarded", world.budi, "garbage", 9)
    assert r.verify_chain("S1").ok


def test_who_asked_for_a_replay_is_kept_while_the_item_waits_on(world: Any, tamper: Any) -> None:
    r = world.records
    (item,) = r.quarantine(replace(ITEM, reason="unknown_device", serials=("NEW-1",)))
    for actor, reason, code in (
        (world.alerts, "by itself", Code.PERSON_REQUIRED),
        (world.budi, "  ", Code.REASON_REQUIRED),
    ):
        with pytest.raises(Refused) as refused:
            r.ask_replay(item, actor, reason, 9)
        assert refused.value.code is code
    assert r.audit_of(f"quarantine:{item}") == []
    assert r.ask_replay(item, world.budi, "the logger is registered now", 9).state == "waiting"
    (row,) = r.audit_of(f"quarantine:{item}")
    assert (row.action, row.actor, row.reason, row.at_ms) == (
        "quarantine_replay_asked", world.budi.name, "the logger is registered now", 9,
    )  # fmt: skip
    assert (row.old_value["asked_by"], row.new_value["asked_by"]) == ("", world.budi.name)
    assert [i.id for i in r.asked_replays()] == [item]
    assert r.quarantine_item(item).state == "waiting"
    assert r.verify_chain("S1").ok
    r.settle_quarantine(item, "replayed", world.alerts, "device registered", 10)
    assert [x.action for x in r.audit_of(f"quarantine:{item}")] == ["quarantine_replay_asked", "quarantine_replayed"]
    assert r.verify_chain("S1").ok
    assert r.asked_replays() == []
    with pytest.raises(Refused) as refused:
        r.ask_replay(item, world.budi, "once more", 11)
    assert refused.value.code is Code.NOT_WAITING
    tamper("UPDATE quarantine SET detail = ?", "other")
    assert [b.subject for b in r.verify_chain("S1").breaks] == [f"quarantine:{item}"]
