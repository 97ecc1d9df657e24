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
    (note,) = world.records.attachments("discard")
    assert (note.state, note.reply) == ("no_field", "SMILE has no field for hold_and_inspect")
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
        for _ in range(200):
            await asyncio.sleep(0.05)
            if smile.histories() or task.done():
                break
        stop.set()
        await asyncio.wait_for(task, 10)

    asyncio.run(main())
    assert len(smile.histories()) == 1
