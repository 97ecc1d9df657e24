"""The whole adapter: journal and people's commands in; SMILE and our attachments out."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

from gateway.records import Verdict
from gateway.smile import service

SEVEN_HOURS = 7 * 3_600_000


def test_readings_of_the_journal_reach_smile_with_their_own_time(smile, world):
    """Stage A: a temperature goes out once, and the stand-in holds its time shifted by its own seven hours."""
    at = world.ticker.at_ms // 1000 * 1000 - 600_000
    world.temperatures("BT-0001", [(at, "4.25"), (at + 60_000, "4.5")])
    world.rounds(2)
    assert smile.histories() == [
        ("BT-0001", at + SEVEN_HOURS, Decimal("4.25")),
        ("BT-0001", at + 60_000 + SEVEN_HOURS, Decimal("4.5")),
    ]
    assert world.outbox.counts()["stored"] == 2


def test_a_persons_discard_is_booked_once_and_noted(smile, world):
    """Stage A: decided by a named person, booked in SMILE with our incident and the name, noted in our records."""
    world.discard()
    world.rounds(3)
    (row,) = smile.table("discards")
    assert (row["stock_id"], row["change_qty"], row["reason_id"], row["stock_quality_id"]) == (2104, -40, 911, 2)
    assert "F-0001" in row["other_reason"]
    assert "Siti Aminah" in row["other_reason"]
    (note,) = world.records.attachments("discard")
    assert (note.subject, note.state) == ("B1", "stored")


def test_a_tied_weighing_is_posted_once_and_noted(smile, world):
    """Stage A: a stable weight, tied to a bag by a person, stands in the waste record."""
    (code,) = smile.labels()
    world.weigh(code)
    world.rounds(3)
    (bag,) = smile.table("bags")
    assert (bag["qr_code"], bag["weight_in_kgs"], bag["asset_id"]) == (code, "12.345", 4101)
    assert (bag["iot_method"], bag["bast_no"], bag["material_ids"]) == ("INTERNET", "BAST/1", "8004")
    assert world.records.weighing("W-0001").smile_state == "stored"


def test_a_verdict_that_smile_cannot_hold_is_noted_so(smile, world):
    """What SMILE has no field for stays in our record, marked so (design.md, What SMILE can hold)."""
    verdict = Verdict("", "B1", "hold_and_inspect", (), (world.finding("HEAT"),), world.ticker.at_ms)
    world.records.save_verdicts([verdict], world.ticker.at_ms)
    world.rounds()
    (note,) = world.records.attachments("verdict")
    assert (note.state, note.reply) == ("no_field", "SMILE has no field for hold_and_inspect")
    assert world.records.attachments("discard") == []  # judged is not discarded
    assert smile.table("discards") == []


def test_what_smile_got_of_each_logger_is_noted(smile, world):
    world.temperatures("BT-0001", [(world.ticker.at_ms - 60_000, "4.5")])
    world.rounds(2)
    (note,) = world.records.attachments("temperatures")
    assert (note.subject, note.state, json.loads(note.reply)) == ("BT-0001", "stored", {"stored": 1})


def test_the_service_runs_until_it_is_told_to_stop(smile, world):
    """``run`` opens everything by its config, works, and ends cleanly."""
    world.temperatures("BT-0001", [(world.ticker.at_ms - 60_000, "4.5")])
    world.outbox.close()

    async def main():
        stop = asyncio.Event()
        task = asyncio.create_task(service.run(world.config, world.ticker, stop))
        for _ in range(1800):
            await asyncio.sleep(0.05)
            if smile.histories() or task.done():
                break
        stop.set()
        await asyncio.wait_for(task, 60)

    asyncio.run(main())
    assert len(smile.histories()) == 1


def test_requirement_09_after_registration_all_kept_readings_go_out_oldest_first(smile, world, caplog):
    """smile-and-waste 9: 144 readings of a logger SMILE does not know; one word a day; then all of them, in order."""
    world.register("NEW-0001")
    at = world.ticker.at_ms // 1000 * 1000
    world.temperatures("NEW-0001", [(at - (1440 - m) * 60_000, "4.5") for m in range(0, 1440, 10)])
    world.temperatures("BT-0001", [(at - 60_000, "5.0")])
    world.rounds(3)
    assert [s for s, _, _ in smile.histories()] == ["BT-0001"]
    assert world.outbox.counts()["unknown_device"] == 144
    assert caplog.text.count("SMILE does not know the logger NEW-0001") == 1
    states = {a.subject: a.state for a in world.records.attachments("temperatures")}
    assert (states["NEW-0001"], states["BT-0001"]) == ("refused", "stored")
    smile.register_logger("NEW-0001")
    world.ticker.forward(21_600_000)
    world.rounds(3)
    times = [t for s, t, _ in smile.histories() if s == "NEW-0001"]
    assert len(times) == 144
    assert times == sorted(times)


def test_duty_13_devices_that_would_be_one_logger_are_both_refused_and_said_so(smile, world):
    world.register("X-1", smile_serial="BT0009")
    world.register("X-2", smile_serial="bt0009")
    world.temperatures("X-1", [(world.ticker.at_ms - 60_000, "4.5")])
    world.temperatures("BT-0001", [(world.ticker.at_ms - 60_000, "5.0")])
    world.rounds(2)
    assert [s for s, _, _ in smile.histories()] == ["BT-0001"]
    (trouble,) = [a for a in world.records.attachments("temperatures") if a.subject == "adapter PKM"]
    assert "X-1 and X-2" in trouble.reply


def test_duty_04_what_stood_beside_the_temperature_is_sent_with_it(smile, world, make_reading):
    """Humidity, battery and mains of the same minutes; the rest is assumed and marked."""
    at = world.ticker.at_ms // 1000 * 1000 - 600_000
    world.say(
        make_reading("BT-0001", at, "4.5"),
        make_reading("BT-0001", at, "61", quantity="humidity_percent"),
        make_reading("BT-0001", at, "0", quantity="mains_power_on"),
        make_reading("BT-0002", at, "4.6"),
    )
    world.rounds(2)
    rows = {r["logger_id"]: r for r in smile.table("histories")}
    assert [(rows[n]["humidity"], rows[n]["is_power_connected"]) for n in (601, 602)] == [(61, False), (50, True)]
    assert "humidity" not in world.outbox.assumed("BT-0001", at // 1000)
    assert "humidity" in world.outbox.assumed("BT-0002", at // 1000)


def test_duty_03_a_probe_fault_produces_no_push_and_is_on_record(smile, world, make_reading):
    at = world.ticker.at_ms // 1000 * 1000
    world.say(make_reading("BT-0001", at - 120_000, None), make_reading("BT-0001", at - 60_000, "4.5"))
    world.rounds(2)
    assert [v for _, _, v in smile.histories()] == [Decimal("4.5")]
    assert world.outbox.rows("no_reading") == [("BT-0001", at // 1000 - 120, "no_reading: sensor_fault")]


def test_a_conflict_pushes_the_first_value_and_flags_the_second(smile, world):
    """README of the house: on a conflict the first value is pushed, the second flagged."""
    at = world.ticker.at_ms // 1000 * 1000 - 60_000
    world.temperatures("BT-0001", [(at, "4.2")])
    world.rounds(2)
    world.temperatures("BT-0001", [(at, "4.9")])
    world.rounds(2)
    assert [v for _, _, v in smile.histories()] == [Decimal("4.2")]
    assert world.outbox.counts()["conflicts"] == 1


def test_a_device_that_nobody_registered_is_not_pushed(smile, world):
    world.temperatures("SPARE-0001", [(world.ticker.at_ms - 60_000, "4.5")])
    world.rounds(2)
    assert smile.histories() == []


def test_an_undated_reading_goes_out_once_an_anchor_dated_it(smile, world, make_reading):
    from gateway.journal import Entry
    from telemetry.contract import Upload, encode_upload
    from telemetry.readings import Event, Numbered, Stamp, Sync

    utc = world.ticker.at_ms // 1000 * 1000 - 600_000
    world.say(make_reading("BT-0001", None, "4.5"))  # boot time 0 of the boot "boot"
    world.rounds(1)
    assert smile.histories() == []
    stamp = Stamp("boot", 60_000_000_000, utc + 60_000, Sync.SYNCED, 1)
    anchor = Numbered(900, Event("clock_anchored", "E1", utc + 60_000, stamp))
    payload = encode_upload(Upload("events", "E1", "epoch", utc, (anchor,)))
    world.journal.append([Entry("PKM", "E1", "epoch", "events", utc, payload)])
    world.rounds(2)
    assert [t for _, t, _ in smile.histories()] == [utc + SEVEN_HOURS]


def test_the_journal_read_again_from_its_beginning_sends_nothing_twice(smile, world):
    """A restored smile.db offset, or a journal that replays a quarantine: the key decides, not the offset."""
    world.temperatures("BT-0001", [(world.ticker.at_ms - 60_000, "4.5")])
    world.rounds(2)
    world.outbox.set_position("journal", 0)
    world.outbox.set_position("changes", 0)
    world.rounds(2)
    assert len(smile.histories()) == 1


def test_duty_19_smiles_own_judgement_is_never_asked(smile, world):
    """Core calls 0.0 °C unknown and a 0..10 asset too: our excursions are ours. Readings, a discard and a weight go
    through, and the list with ``excursion`` is not read once."""
    (code,) = smile.labels()
    world.temperatures("BT-0001", [(world.ticker.at_ms - m * 60_000, "0.0") for m in (90, 60, 30)])
    world.discard()
    world.weigh(code)
    world.rounds(4, every_ms=60_000)
    assert len(smile.histories()) == 3
    assert len(smile.table("discards")) == len(smile.table("bags")) == 1
    asked = {r["path"] for r in smile.requests("/asset-monitoring-temperature")}
    assert "/core/asset-monitoring-temperature" not in asked
    assert not any(path.endswith(tuple("0123456789")) for path in asked)


def test_requirement_10_a_forbidden_account_stops_and_is_said_once(smile, make_world, make_config, caplog):
    from gateway.smile.client import Account

    world = make_world(account=Account("x", "inactive-contoh", "demo-word-inactive"))
    world.temperatures("BT-0001", [(world.ticker.at_ms - 60_000, "4.5")])
    world.rounds(30)
    assert caplog.text.count("SMILE does not take readings (forbidden)") == 1
    assert len(smile.requests("/histories/push")) == 1
    (trouble,) = [a for a in world.records.attachments("temperatures") if a.subject == "adapter PKM"]
    assert "inactive" in trouble.reply
    assert world.outbox.counts()["waiting"] == 1
    world.rounds(2, config=make_config())  # a person set the account right
    (trouble,) = [a for a in world.records.attachments("temperatures") if a.subject == "adapter PKM"]
    assert (trouble.state, trouble.reply) == ("stored", "")
    assert len(smile.histories()) == 1


def test_a_hanging_smile_does_not_keep_the_service_from_stopping(smile, world, make_config):
    world.temperatures("BT-0001", [(world.ticker.at_ms - 60_000, "4.5")])
    smile.fault("slow", path="/histories/push", seconds=30, count=5)
    world.outbox.close()
    config = make_config(read_timeout_s=600.0)

    async def main():
        stop = asyncio.Event()
        task = asyncio.create_task(service.run(config, world.ticker, stop))
        for _ in range(1800):
            await asyncio.sleep(0.05)
            if smile.requests("/histories/push"):
                break
        stop.set()
        await asyncio.wait_for(task, 60)

    service._GRACE_S, grace = 0.1, service._GRACE_S
    try:
        asyncio.run(main())
    finally:
        service._GRACE_S = grace
