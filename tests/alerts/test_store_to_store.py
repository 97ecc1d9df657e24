"""The history goes with the batch from store to store (cold-chain 6, 26), and long histories are judged in good time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from alerts.config import Config
from alerts.explain import explain
from alerts.memory import Memory
from alerts.rulebook import rules_of
from gateway.records import Actor, Device, Equipment, Role, Site

MIN = 60_000
HOUR = 60 * MIN
SARI = Actor("Sari", Role.MANAGER)


@pytest.fixture
def sent(world: Any, start: int) -> Any:
    """B-KAB stood in the kabupaten's refrigerator K1 for six hours at 9 degrees; a part of it came to F1 at seven."""
    r = world.records
    r.upsert_site(Site("KAB", "Gudang Jayapura", "jayapura", "Asia/Jayapura", "1", "kabupaten"), SARI, "", start)
    r.upsert_equipment(Equipment("K1", "KAB", "Kulkas K1", "refrigerator", "refrigerator"), SARI, "", start)
    r.upsert_device(Device("LOG-K", "KAB", "EK", "ble", "K1", 900), SARI, "", start)
    world.batch("B1", equipment=None)
    origin = replace(r.batch("B1"), id="B-KAB", site="KAB", doses=1000)
    r.upsert_batch(origin, SARI, "", start)
    r.add_placement("B-KAB", "K1", start, SARI, "came", start)
    world.alerts.start()
    world.say(*world.temperatures(0, 5.75, "9.0", "LOG-K"), *world.temperatures(6, 13, "5.0", "LOG-K"))
    world.say(
        *world.temperatures(0, 6.75, "5.0"), *world.temperatures(7, 11, "9.0"), *world.temperatures(11.25, 13, "5.0")
    )
    return world


def receive(world: Any, start: int, left_h: float = 6, came_h: float = 7) -> None:
    r = world.records
    batch = replace(r.batch("B1"), came_from="B-KAB", left_ms=start + int(left_h * HOUR))
    r.upsert_batch(batch, SARI, "received", world.clock.wall_ms)
    r.add_placement("B1", "F1", start + int(came_h * HOUR), SARI, "received", world.clock.wall_ms)


def document(world: Any, batch: str = "B1") -> dict[str, Any]:
    made = world.records.verdict_document(world.records.verdict(batch).id)
    assert isinstance(made, dict)
    return made


def test_req_26_what_it_lived_through_in_the_store_before_counts_and_the_way_between_is_unknown(
    sent: Any, start: int
) -> None:
    sent.clock.wall_ms = start + 13 * HOUR
    receive(sent, start)
    sent.at(13)
    assert sent.verdict("B1") == ("hold_and_inspect", ["heat_possible", "unknown_exposure"])
    made = document(sent)
    assert [(p["equipment"], p["id"].partition(".")[0]) for p in made["placements"]] == [
        ("K1", "B-KAB"),
        ("F1", "B1"),
    ]
    assert (made["exposure"]["above_s"], made["exposure"]["unknown_s"]) == ((6 * 60 + 4 * 60 + 15) * 60, 3600)
    assert {s["state"] for s in made["timeline"] if s["equipment"] == ""} == {"unknown"}
    assert "HEAT" not in [a[0] for a in sent.alarms() if a[1] is not None]


def test_without_its_past_the_same_batch_would_have_looked_fine(sent: Any, start: int) -> None:
    sent.clock.wall_ms = start + 13 * HOUR
    sent.records.add_placement("B1", "F1", start + 7 * HOUR, SARI, "received", sent.clock.wall_ms)
    sent.at(13)
    assert sent.verdict("B1") == ("no_action", [])


def test_what_the_store_before_learns_late_changes_the_verdict_of_the_part_too(sent: Any, start: int) -> None:
    sent.clock.wall_ms = start + 13 * HOUR
    receive(sent, start, left_h=6, came_h=6)
    sent.at(13)
    assert sent.verdict("B1") == ("no_action", [])
    old = sent.records.verdict("B1").id
    sent.device("LOG-K2", None)
    moved = Device("LOG-K2", "KAB", "EK", "ble", "K1", 900)
    sent.records.upsert_device(moved, SARI, "second probe", sent.clock.wall_ms)
    sent.at(13.1)
    sent.say(*sent.temperatures(1, 3, "-1.0", "LOG-K2"))
    sent.at(13.2)
    assert sent.verdict("B1")[0] == "shake_test"
    for verdict in (old, sent.records.verdict("B1").id):
        with_memory = Memory(sent.folder / "alerts.db", read_only=True)
        found = explain(sent.records, with_memory, rules_of(Config()), verdict, sent.clock.now_ms())
        with_memory.close()
        assert found.same, found.differences


def test_a_vvm_read_in_the_store_before_counts_until_it_left(sent: Any, start: int) -> None:
    sent.records.observe_vvm("B-KAB", "B", SARI, "", start + 2 * HOUR)
    sent.clock.wall_ms = start + 13 * HOUR
    receive(sent, start)
    sent.records.observe_vvm("B-KAB", "C", SARI, "", start + 12 * HOUR)
    sent.at(13)
    assert "vvm_stage_b" in sent.verdict("B1")[1]
    assert sent.verdict("B-KAB")[0] == "discard_proposed"


def test_what_the_store_before_was_asked_nobody_here_was(sent: Any, start: int) -> None:
    """K1 itself has a HEAT alarm; the part that came here asks here."""
    sent.records.upsert_device(Device("LOG-K2", "KAB", "EK", "ble", "K1", 900), SARI, "", start)
    sent.say(*sent.temperatures(0, 10.5, "9.0", "LOG-K2"))
    sent.clock.wall_ms = start + 13 * HOUR
    receive(sent, start, left_h=11, came_h=11)
    sent.at(13)
    assert ("HEAT", "K1", None, "open") in sent.alarms()
    assert ("HEAT", None, "B1", "open") in sent.alarms()


# --- in good time ---------------------------------------------------------------------------------------------


def test_the_history_of_a_batch_is_written_down_as_it_goes_on_and_leaves_no_audit_row(world: Any, start: int) -> None:
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "9.0"))
    world.at(11)
    first = world.records.batch_history("B1")
    assert (first["verdict"], first["exposure"]["above_s"]) == ("B1.v1", 11 * 3600)
    world.say(*world.temperatures(11.25, 13, "9.0"))
    before = len([row for row in world.records.changes_after(0, 5000) if row.kind == "verdict"])
    world.at(13)
    later = world.records.batch_history("B1")
    assert (later["verdict"], later["exposure"]["above_s"]) == ("B1.v1", 13 * 3600)
    assert len([row for row in world.records.changes_after(0, 5000) if row.kind == "verdict"]) == before


def test_a_long_history_waits_its_turn_for_seconds_and_a_persons_word_does_not(
    world: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.batches._WAIT_PER_FACT_US", 1_000_000)
    monkeypatch.setattr("alerts.batches._SHORT_HISTORY", 0)
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 9.75, "9.0"))
    world.at(9.99)
    judged = world.alerts._batches
    assert judged.has_all()
    world.say(*world.temperatures(10, 10, "9.0"))
    world.at(10)
    assert (judged.has_all(), world.verdict("B1")) == (False, ("no_action", []))
    done = world.alerts._memory.done()
    world.turn()
    assert world.alerts._memory.done() == done  # a kill now judges it at the next start
    world.at(10.01)
    assert (judged.has_all(), world.verdict("B1")) == (True, ("hold_and_inspect", ["heat_confirmed"]))
    world.records.observe_vvm("B1", "C", SARI, "", world.clock.wall_ms)
    world.turn()
    assert world.verdict("B1")[0] == "discard_proposed"


def test_a_kill_while_a_batch_waits_loses_no_verdict(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.batches._WAIT_PER_FACT_US", 1_000_000)
    monkeypatch.setattr("alerts.batches._SHORT_HISTORY", 0)
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 9.75, "9.0"))
    world.at(9.99)
    world.say(*world.temperatures(10, 10, "9.0"))
    world.at(10)
    assert world.verdict("B1") == ("no_action", [])
    world.clock.wall_ms += 1000
    world.again()
    assert world.verdict("B1") == ("hold_and_inspect", ["heat_confirmed"])
