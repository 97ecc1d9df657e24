"""The alerts service from journal to records: detection times, late data, silence, registry, outages."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.journal import Entry
from gateway.records import Actor, AlarmState, Equipment, FindingKind, Role
from telemetry.errors import NeighbourDownError

MIN = 60_000
HOUR = 60 * MIN
SARI = Actor("Sari", Role.MANAGER)


def test_req_1_heat_through_the_service_with_event_and_detection_time(world: Any, start: int) -> None:
    """cold-chain 6, 1 and 8: the rule was met at 10:00; we heard of it at 10:02."""
    world.alerts.start()
    for t in world.temperatures(0, 9.75, "8.1"):
        world.say(t)
        world.clock.wall_ms = t.sampled_at_ms + MIN
        world.turn()
    assert world.alarms() == []
    world.say(world.reading(start + 10 * HOUR, "8.1"))
    world.at(10 + 2 / 60)
    (heat,) = world.found("HEAT")
    assert (heat.kind, heat.site, heat.device) == (FindingKind.CONFIRMED, "S1", "LOG-A")
    assert (heat.episode_start_ms, heat.event_ms) == (start, start + 10 * HOUR)
    assert (heat.detected_ms, heat.end_ms, heat.extreme_c) == (start + 10 * HOUR + 2 * MIN, None, Decimal("8.1"))
    assert world.alarms() == [("HEAT", "F1", None, "open")]
    assert world.opened >= 1


def test_req_8_backfill_confirms_with_both_times(world: Any, start: int) -> None:
    """cold-chain 6, 7 and 8: possible from 10:00, confirmed when the missing six arrive hot at 13:00."""
    world.alerts.start()
    hot = world.temperatures(0, 4.75, "8.5") + world.temperatures(6.5, 11.25, "8.5")
    world.say(*hot, world.reading(start + int(11.5 * HOUR), "5.0"))
    world.at(11.5)
    (possible,) = world.found("HEAT")
    assert (possible.kind, possible.event_ms) == (FindingKind.POSSIBLE, start + 10 * HOUR)
    assert ("HEAT", "F1", None, "open") in world.alarms()
    world.say(*world.temperatures(5, 6.25, "8.6"))
    world.at(13)
    (confirmed,) = [f for f in world.found("HEAT") if f.kind != FindingKind.WITHDRAWN]
    assert (confirmed.kind, confirmed.event_ms) == (FindingKind.CONFIRMED, start + 10 * HOUR)
    states = {str(s.state.kind): s.at_ms for s in world.records.finding_history(confirmed.id)}
    assert states["confirmed"] == start + 13 * HOUR
    assert [(code, state) for code, _, _, state in world.alarms() if code == "HEAT" and state == "open"]


def test_req_8_backfill_withdraws_and_the_withdrawal_stays(world: Any, start: int) -> None:
    """cold-chain 6, 8: the missing six show 5.0: withdrawn, the alarm closes, everything stays to be read."""
    world.alerts.start()
    hot = world.temperatures(0, 4.75, "8.5") + world.temperatures(6.5, 11.25, "8.5")
    world.say(*hot, world.reading(start + int(11.5 * HOUR), "5.0"))
    world.at(11.5)
    world.say(*world.temperatures(5, 6.25, "5.0"))
    world.at(13)
    (gone,) = world.found("HEAT")
    assert (gone.kind, gone.evidence["reason"]) == (FindingKind.WITHDRAWN, "late_data")
    assert gone.detected_ms == start + int(11.5 * HOUR)
    assert [a for a in world.alarms() if a[0] == "HEAT"] == [("HEAT", "F1", None, "closed")]
    kinds = [str(s.state.kind) for s in world.records.finding_history(gone.id)]
    assert (kinds[0], kinds[-1]) == ("possible", "withdrawn")
    world.again()
    world.turn()
    assert [f.kind for f in world.found("HEAT")] == [FindingKind.WITHDRAWN]
    assert world.records.verify_chain("S1").ok


def test_req_13_silence_by_the_clock_alone(world: Any, start: int) -> None:
    """cold-chain 6, 13: no facts, only time: silent after 3 x interval; over when the logger is back."""
    world.alerts.start()
    world.say(*world.temperatures(0, 1, "5.0"))
    world.at(1)
    world.at(1.74)
    assert world.alarms() == []
    world.at(1.75)
    (silent,) = world.found("SILENT")
    assert (silent.event_ms, silent.detected_ms) == (start + int(1.75 * HOUR),) * 2
    assert world.alarms() == [("SILENT", "F1", None, "open")]
    world.at(5)
    assert len(world.found("SILENT")) == 1
    world.say(world.reading(start + 5 * HOUR, "5.0"))
    world.at(5)
    (over,) = world.found("SILENT")
    assert (over.kind, over.end_ms) == (FindingKind.CONFIRMED, start + 5 * HOUR)


def test_silence_is_told_also_when_it_began_while_we_were_down(world: Any) -> None:
    world.alerts.start()
    world.say(*world.temperatures(0, 1, "5.0"))
    world.at(1)
    world.clock.wall_ms += 4 * HOUR
    world.again()
    assert world.alarms() == [("SILENT", "F1", None, "open")]


def test_an_ongoing_excursion_does_not_fill_the_audit_chain(world: Any, start: int) -> None:
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.1"))
    world.at(10)
    rows = world.records.newest_change()
    for t in world.temperatures(10.25, 14, "8.1"):
        world.say(t)
        world.at((t.sampled_at_ms - start) / HOUR)
    assert world.records.newest_change() == rows
    world.say(world.reading(start + int(14.25 * HOUR), "9.9"))  # a new extreme is something else to say
    world.at(14.25)
    assert world.found("HEAT")[0].extreme_c == Decimal("9.9")
    world.say(world.reading(start + int(14.5 * HOUR), "5.0"))
    world.at(14.5)
    (heat,) = world.found("HEAT")
    assert (heat.end_ms, heat.evidence["known_s"]) == (start + int(14.5 * HOUR), int(14.5 * 3600))


def test_a_device_without_equipment_is_judged_when_it_gets_one(world: Any) -> None:
    world.device("LOG-C", None)
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "9.0", "LOG-C"))
    world.at(10)
    assert world.records.findings() == []
    world.device("LOG-C", "F2")
    world.at(10.1)
    (heat,) = world.found("HEAT", "F2")
    assert heat.detected_ms == world.clock.wall_ms


def test_a_device_housed_while_we_were_down(world: Any) -> None:
    world.device("LOG-C", None)
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "9.0", "LOG-C"))
    world.at(10)
    world.device("LOG-C", "F2")
    world.again()
    assert len(world.found("HEAT", "F2")) == 1


def test_a_channel_has_its_devices_interval(world: Any, start: int) -> None:
    """The declared interval counts for ``serial/temperature_c/1`` too: silent after 3 x 30 min."""
    world.device("LOG-C", "F2", interval_s=1800)
    world.alerts.start()
    times = range(start, start + HOUR + 1, 30 * MIN)
    world.say(*(world.reading(t, "5.0", "LOG-C", channel="1") for t in times))
    world.at(2.4)
    assert world.found("SILENT", "F2") == []
    world.at(2.5)
    assert len(world.found("SILENT", "F2")) == 1


def test_another_profile_judges_from_its_date_on(world: Any, start: int) -> None:
    """Decision 0023: what the old limits said of their time stands, and a person answers it."""
    world.alerts.start()
    world.say(*world.temperatures(0, 2, "-10.0"))
    world.at(2)
    assert ("FRZE", "F1", None, "open") in world.alarms()
    freezer = replace(world.records.equipment("F1"), kind="freezer", profile="freezer")
    world.records.upsert_equipment(freezer, SARI, "it is a freezer", world.clock.wall_ms)
    world.say(*world.temperatures(2.25, 4, "-10.0"))
    world.at(4)
    assert ("FRZE", "F1", None, "open") in world.alarms()
    (froze,) = world.found("FRZE")
    assert (froze.kind, froze.end_ms is not None) == (FindingKind.CONFIRMED, True)
    assert [f.kind for f in world.found("WARNING_HIGH") if f.profile == "freezer"] == [FindingKind.CONFIRMED]


def test_undated_readings_are_judged_when_their_boot_is_anchored(world: Any, start: int) -> None:
    """design.md, promise 8: 41 undated readings of 8.1 make no finding; the anchor dates them: HEAT."""
    world.alerts.start()
    step_ns = 15 * MIN * 1_000_000
    world.say(*(world.reading(None, "8.1", ns=i * step_ns) for i in range(41)))
    world.at(11)
    assert world.records.findings() == []
    world.say(world.anchor(start + 11 * HOUR, 44 * step_ns))
    world.at(11)
    (heat,) = world.found("HEAT")
    assert (heat.episode_start_ms, heat.event_ms) == (start, start + 10 * HOUR)
    assert heat.detected_ms == start + 11 * HOUR


def test_an_unreadable_entry_does_not_stop_the_line(world: Any, start: int, caplog: pytest.LogCaptureFixture) -> None:
    world.alerts.start()
    world.journal.append([Entry("S1", "E1", "ep1", "readings", start, b"\xff not json")])
    world.say(*world.temperatures(0, 10, "8.1"))
    world.at(10)
    assert len(world.found("HEAT")) == 1
    assert "cannot be read" in caplog.text


def test_weighings_are_saved_once_and_dated_by_the_anchor(world: Any, start: int) -> None:
    world.alerts.start()
    world.say(world.weighing("W1", "2.5", start), world.weighing("W2", "1.25", None, ns=5 * 10**9))
    world.at(1)
    world.say(world.weighing("W1", "2.5", start))
    world.at(1.1)
    assert {w.id: w.t_ms for w in world.records.weighings()} == {"W1": start, "W2": None}
    world.say(world.anchor(start + HOUR, 10 * 10**9))
    world.at(1.2)
    assert {w.id: w.t_ms for w in world.records.weighings()} == {"W1": start, "W2": start + HOUR - 5_000}
    actions = [row.action for row in world.records.changes_after(0) if row.kind == "weighing"]
    assert actions.count("weighing_captured") == 2
    assert actions.count("weighing_dated") == 1


def test_a_weighing_that_the_records_refuse_does_not_stop_the_line(
    world: Any, start: int, caplog: pytest.LogCaptureFixture
) -> None:
    world.alerts.start()
    good, bad = world.weighing("W1", "2.5", start), world.weighing("W2", "1.0", start)
    world.say(replace(bad, device_serial="NOBODY"), good)
    world.at(1)
    assert [w.id for w in world.records.weighings()] == ["W1"]
    assert "NOBODY" in caplog.text


def test_dead_records_are_waited_for_said_once_and_nothing_is_lost(
    world: Any, start: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.1"))
    world.clock.wall_ms = start + 10 * HOUR
    halt, tries = threading.Event(), 0
    version, changes = world.records.registry_version, world.records.changes_after

    def dead(*_: object) -> None:
        nonlocal tries
        tries += 1
        if tries == 5:  # it answers again
            monkeypatch.setattr(world.records, "registry_version", version)
            monkeypatch.setattr(world.records, "changes_after", changes)
        raise NeighbourDownError("records", "no answer")

    monkeypatch.setattr(world.records, "registry_version", dead)
    monkeypatch.setattr(world.records, "changes_after", dead)
    worker = threading.Thread(target=world.alerts.run, args=(halt,))
    worker.start()
    while worker.is_alive() and not world.found("HEAT"):
        worker.join(0.05)
    halt.set()
    worker.join(10)
    assert tries == 5
    assert len(world.found("HEAT")) == 1
    assert caplog.text.count("alerts wait") == 1
    assert caplog.text.count("answers again") == 1


def test_a_lost_memory_file_withdraws_nothing_that_the_journal_no_longer_tells(world: Any, start: int) -> None:
    """alerts.db is gone and the journal was trimmed: what was said of that time is history and stays."""
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.1"))
    world.at(10)
    world.journal.forget(world.journal.last_offset() + 1)
    (world.folder / "alerts.db").rename(world.folder / "lost.db")
    world.again()
    world.say(world.reading(start + 12 * HOUR, "5.0"))
    world.at(12)
    world.again()
    assert [(f.kind, f.code) for f in world.found("HEAT")] == [(FindingKind.CONFIRMED, "HEAT")]
    assert ("HEAT", "F1", None, "open") in world.alarms()


def test_a_lost_memory_file_is_made_good_from_the_journal(world: Any, start: int) -> None:
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.1"))
    world.at(10)
    before = world.records.newest_change()
    (world.folder / "alerts.db").rename(world.folder / "lost.db")
    for name in ("alerts.db-wal", "alerts.db-shm"):
        (world.folder / name).unlink(missing_ok=True)
    world.again()
    world.turn()
    assert world.records.newest_change() == before
    assert [f.kind for f in world.found("HEAT")] == [FindingKind.CONFIRMED]


def test_a_journal_restored_from_a_backup_is_read_from_its_beginning(world: Any, start: int) -> None:
    world.alerts.start()
    with world._memories[0].transaction():
        world._memories[0].set_journal_offset(10_000)
    world.say(*world.temperatures(0, 10, "8.1"))
    world.clock.wall_ms = start + 10 * HOUR
    world.again()
    assert len(world.found("HEAT")) == 1


def test_the_first_hot_reading_told_last_supersedes_and_the_link_stays(world: Any, start: int) -> None:
    """An earlier beginning moves the finding: the new one names the old one, also while the episode goes on."""
    world.alerts.start()
    world.say(*world.temperatures(2, 12, "8.1"))
    world.at(12)
    (old,) = world.found("HEAT")
    world.records.acknowledge(old.id, SARI, "vaccines moved", world.clock.wall_ms)
    world.say(*world.temperatures(0, 1.75, "8.1"))
    world.at(12.1)
    world.say(world.reading(start + int(12.25 * HOUR), "9.0"))
    world.at(12.25)
    by_kind = {str(f.kind): f for f in world.found("HEAT")}
    assert by_kind["withdrawn"].id == old.id
    assert by_kind["withdrawn"].superseded_by == by_kind["confirmed"].id
    assert by_kind["confirmed"].supersedes == old.id
    assert by_kind["confirmed"].event_ms == start + 10 * HOUR
    assert world.records.alarm(by_kind["confirmed"].id).state == AlarmState.ACKNOWLEDGED
    world.again()
    world.turn()
    assert {str(f.kind): f for f in world.found("HEAT")} == by_kind


@pytest.mark.parametrize("answered", [0, 1])
def test_of_two_merged_findings_the_unanswered_one_keeps_its_question(world: Any, start: int, answered: int) -> None:
    """Two alarms, one answered; an earlier beginning and the time between arrive: one alarm, still to be answered."""
    world.alerts.start()
    world.say(*world.temperatures(2, 12.75, "8.1"), *world.temperatures(17, 27.75, "8.1"))
    world.at(27.75)
    two = world.found("HEAT")
    assert len(two) == 2
    world.records.acknowledge(two[answered].id, SARI, "looked after", world.clock.wall_ms)
    world.say(*world.temperatures(0, 1.75, "8.1"), *world.temperatures(13, 16.75, "8.1"))
    world.at(28)
    (one,) = [f for f in world.found("HEAT") if f.kind != FindingKind.WITHDRAWN]
    assert set(one.evidence["supersedes"]) == {f.id for f in two}
    assert world.records.alarm(one.id).state == AlarmState.OPEN


def test_an_answered_finding_that_late_data_join_with_an_unanswered_one_asks_again(world: Any) -> None:
    """Only the time between arrives: the first finding keeps its id and grows, the second is withdrawn."""
    world.alerts.start()
    world.say(*world.temperatures(0, 10.75, "8.1"), *world.temperatures(15, 25.75, "8.1"))
    world.at(25.75)
    first, second = world.found("HEAT")
    world.records.acknowledge(first.id, SARI, "looked after", world.clock.wall_ms)
    opened = world.opened
    world.say(*world.temperatures(11, 14.75, "8.1"))
    world.at(26)
    assert [str(world.records.finding(f.id).kind) for f in (first, second)] == ["confirmed", "withdrawn"]
    assert world.records.alarm(first.id).state == AlarmState.OPEN
    assert world.opened > opened
    world.records.acknowledge(first.id, SARI, "looked after all of it", world.clock.wall_ms)
    world.say(*world.temperatures(26, 27, "8.1"))
    world.at(27)
    assert world.records.alarm(first.id).state == AlarmState.ACKNOWLEDGED


def test_facts_of_an_equipment_nobody_knows_any_more_are_left_alone(world: Any) -> None:
    """A finding without a home has no site; it must not stop the others."""
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "9.0"), *world.temperatures(0, 10, "9.0", "LOG-B"))
    registry = world.records.registry()
    world.clock.wall_ms += 10 * HOUR
    world.alerts._registry.read = lambda: False
    world.alerts._registry._registry = replace(registry, equipment={"F2": registry.equipment["F2"]})
    world.turn()
    assert world.found("HEAT", "F1") == []
    assert len(world.found("HEAT", "F2")) == 1


def test_an_unknown_profile_is_said_and_judged_as_a_refrigerator(
    world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    strange = Equipment("F3", "S1", "Kulkas", "refrigerator", "no_such_profile")
    world.records.upsert_equipment(strange, SARI, "", world.clock.wall_ms)
    world.device("LOG-C", "F3")
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "9.0", "LOG-C"))
    world.at(10)
    assert len(world.found("HEAT", "F3")) == 1
    assert caplog.text.count("no_such_profile") == 1
