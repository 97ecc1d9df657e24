"""A person's discard: drafted, booked once, never twice (duties 20, 21, 28)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import httpx
import pytest

from gateway.records import Actor, Verdict
from gateway.smile.discards import DraftRefusedError, other_reason, quality_of, reason_of, stock_row
from gateway.smile.port import Cause, DiscardOrder, GlobalId, Outcome, Person, ProgramId, StockIds
from telemetry.errors import ContractError


@pytest.fixture
def order(ticker):
    ids = [ProgramId(n) for n in (12, 70, 170, 8004, 2104)]
    stock = StockIds(*ids, batch_code="BCG-2604", doses=40, vvm="B")
    return DiscardOrder("D-0123456789ab", "F-0001", "PKM", stock, Cause.FREEZE, "Siti Aminah", ticker.at_ms, "beku")


WARDEN = Actor("Siti Aminah", "manager")
SITI = Person("Siti Aminah", "manager")


async def draft_and_post(door, order):
    return await door.post_discard(await door.draft_discard(order), SITI)


def test_duty_21_the_draft_is_whole_and_nothing_is_booked_by_it(smile, with_door, order):
    draft = with_door(lambda door: door.draft_discard(order))
    assert draft.body == {
        "entity_id": 12,
        "activity_id": 70,
        "entity_activity_id": 170,
        "materials": [
            {
                "material_id": 8004,
                "transaction_reason_id": 911,
                "other_reason": "SMILE-IoT F-0001 [D-0123456789ab] Siti Aminah: beku",
                "stock_id": 2104,
                "stock_quality_id": 2,
                "qty": 40,
                "transaction_type_id": 4,
            }
        ],
    }
    assert (draft.reason_title, draft.doses_per_vial) == ("Frozen", 20)
    assert smile.table("discards") == []


def test_duty_20_only_the_batch_of_the_placement_is_booked(smile, with_door, order):
    """The excursion goes to the batch our map names, not to all batches of the facility."""
    result = with_door(lambda door: draft_and_post(door, order))
    assert result.outcome is Outcome.DONE
    assert [(d["stock_id"], d["change_qty"]) for d in smile.table("discards")] == [(2104, -40)]
    assert {s["seed"]["id"]: s["qty"] for s in smile.table("stocks")}[2105] == 150


def test_duty_21_heat_has_no_reason_of_its_own_and_the_draft_says_so(smile, with_door, order):
    draft = with_door(lambda door: door.draft_discard(replace(order, cause=Cause.HEAT)))
    assert (draft.reason_title, draft.body["materials"][0]["transaction_reason_id"]) == ("Damaged", 913)
    assert draft.notes == ("SMILE has no reason for heat",)


@pytest.mark.parametrize(
    ("titles", "cause", "found"),
    [
        (["Pecah", "Beku"], Cause.FREEZE, "Beku"),
        (["Rusak", "Lainnya"], Cause.HEAT, "Rusak"),
        (["Pecah", "Lainnya"], Cause.HEAT, "Lainnya"),
        (["Other", "Broken"], Cause.HEAT, "Other"),
    ],
)
def test_duty_21_the_reason_is_matched_by_title_never_by_id(titles, cause, found):
    rows = [{"id": 100 + n, "title": title} for n, title in enumerate(titles)]
    assert reason_of(rows, cause) == (100 + titles.index(found), found)


def test_duty_21_without_a_fitting_title_a_person_is_asked():
    with pytest.raises(DraftRefusedError, match="none of frozen, beku"):
        reason_of([{"id": 4, "title": "Pecah"}], Cause.FREEZE)


def test_duty_21_posting_twice_books_once(smile, with_door, order):
    """SMILE itself would book the same body again after five seconds."""
    smile.settings(dedup_window_s=0)

    async def use(door):
        return [(await draft_and_post(door, order)).outcome for _ in range(3)]

    assert with_door(use) == [Outcome.DONE, Outcome.ALREADY, Outcome.ALREADY]
    assert len(smile.table("discards")) == 1


@pytest.mark.parametrize(("kind", "outcome"), [("lost_answer", Outcome.ALREADY), ("cut", Outcome.LOST)])
def test_duty_21_after_a_lost_answer_it_looks_before_anything_else(smile, with_door, order, kind, outcome):
    smile.settings(dedup_window_s=0)
    smile.fault(kind, path="/discard-stock")

    async def use(door):
        first = (await draft_and_post(door, order)).outcome
        return first, (await draft_and_post(door, order)).outcome

    first, second = with_door(use)
    assert first is outcome
    assert second.done
    assert len(smile.table("discards")) == 1


def test_duty_21_when_it_cannot_look_it_does_not_post(smile, with_door, order):
    async def use(door):
        draft = await door.draft_discard(order)
        smile.fault("error_500", path="/transactions/discard", method="GET", count=10)
        return await door.post_discard(draft, SITI)

    assert with_door(use).outcome is Outcome.AGAIN
    assert smile.requests("discard-stock", "POST") == []


def test_duty_21_the_same_quantity_booked_by_hand_is_not_doubled(smile, with_door, order):
    """A health worker has booked it in SMILE already: a person must compare."""

    async def use(door):
        draft = await door.draft_discard(order)
        by_hand = json.loads(json.dumps(draft.body))
        by_hand["materials"][0]["other_reason"] = None
        header = {
            **smile.log_in("operator-contoh", "demo-word-operator"),
            "x-program-id": "1",
            "device-type": "mobile",
        }
        url = f"{smile.main}/transactions/discard-stock"
        (await asyncio.to_thread(httpx.post, url, json=by_hand, headers=header)).raise_for_status()
        return await door.post_discard(draft, SITI)

    result = with_door(use)
    assert result.outcome is Outcome.HELD
    assert len(smile.table("discards")) == 1


def test_duty_21_a_discard_needs_a_persons_name(smile, with_door, order):
    async def use(door):
        return await door.post_discard(await door.draft_discard(order), Person(" "))

    assert with_door(use).outcome is Outcome.REFUSED


def test_duty_21_a_vendor_account_is_forbidden_and_said_so(smile, with_door, make_config, order, vendor_account):
    with pytest.raises(DraftRefusedError) as refused:
        with_door(lambda door: door.draft_discard(order), make_config(account=vendor_account))
    assert refused.value.outcome in (Outcome.FORBIDDEN, Outcome.LOGIN)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"doses": 7}, "whole number of vials of 20 doses"),
        ({"doses": 0}, "whole number of vials"),
        ({"doses": 4000}, "SMILE has 200 doses"),
        ({"batch_code": "BCG-9999"}, "ours is 'BCG-9999'"),
        ({"vvm": None}, "wants the VVM stage"),
        ({"stock_id": ProgramId(9)}, "has no stock 9"),
    ],
)
def test_duty_21_what_smile_would_refuse_is_refused_here_with_advice(smile, with_door, order, change, words):
    wrong = replace(order, stock=replace(order.stock, **change))
    with pytest.raises(DraftRefusedError, match=words) as refused:
        with_door(lambda door: door.draft_discard(wrong))
    assert refused.value.advice


def test_duty_28_a_global_id_where_the_programs_is_due_is_refused(smile, with_door, order):
    """By type where we know the type; by SMILE's own list where only the number is wrong."""
    by_type = replace(order, stock=replace(order.stock, material_id=GlobalId(9004)))
    with pytest.raises(ContractError, match="id_mixed_up"):
        with_door(lambda door: door.draft_discard(by_type))
    by_number = replace(order, stock=replace(order.stock, material_id=ProgramId(9004)))
    with pytest.raises(DraftRefusedError, match="the program's own"):
        with_door(lambda door: door.draft_discard(by_number))
    by_entity = replace(order, stock=replace(order.stock, entity_id=ProgramId(3101)))
    with pytest.raises(DraftRefusedError, match="the program's own"):
        with_door(lambda door: door.draft_discard(by_entity))


def test_duty_21_the_vvm_label_is_matched_by_its_word():
    rows = [{"id": 11, "label": "VVM A"}, {"id": 12, "name": "VVM B"}]
    assert [quality_of(rows, stage) for stage in "AB"] == [11, 12]
    with pytest.raises(DraftRefusedError):
        quality_of(rows, "D")


@pytest.mark.parametrize("group_by", ["material", "activity", "activity_material"])
def test_the_stock_row_is_found_however_smile_nests_it(order, group_by):
    row = {"id": 2104, "batch": {"code": "bcg-2604 "}, "qty": 60, "available_qty": 40}
    material = {"id": 8004, "consumption_unit_per_distribution_unit": 20, "is_temperature_sensitive": 1}
    inner = {"material": material, "stocks": [row]}
    data = [inner] if group_by == "material" else [{"activity": {"id": 70}, "details": [inner]}]
    found = stock_row({"data": data}, order.stock)
    assert (found.doses_per_vial, found.available, found.temperature_sensitive) == (20, 40, True)


def test_duty_21_the_text_keeps_the_incident_and_fits(order):
    text = other_reason(replace(order, reason="x " * 400), "Siti Aminah")
    assert len(text) <= 255
    assert text.startswith("SMILE-IoT F-0001 [D-0123456789ab] Siti Aminah: x")


# --- through the whole service -------------------------------------------------------------------------------


def test_duty_21_a_decision_waits_for_the_vvm_and_is_booked_when_it_is_read(smile, world):
    world.discard(vvm=None)
    world.rounds(2)
    (note,) = world.records.attachments("discard")
    assert note.state == "refused"
    assert "read the VVM" in note.reply
    world.records.observe_vvm("B1", "C", WARDEN, "read", world.ticker.at_ms)
    world.ticker.forward(3_600_000)
    world.rounds(2)
    assert [d["stock_quality_id"] for d in smile.table("discards")] == [3]
    assert world.records.attachments("discard")[0].state == "stored"


def test_duty_21_a_refused_discard_goes_out_at_once_when_the_vvm_is_read(smile, world):
    """Nobody waits the hour of the slow retry: the person who read the vials sees the answer."""
    world.discard(vvm=None)
    world.rounds(2)
    assert smile.table("discards") == []
    world.records.observe_vvm("B1", "C", WARDEN, "read", world.ticker.at_ms)
    world.rounds(1)
    assert [d["stock_quality_id"] for d in smile.table("discards")] == [3]
    world.records.observe_vvm("B1", "D", WARDEN, "read again", world.ticker.at_ms)
    world.rounds(2)
    assert len(smile.table("discards")) == 1  # what is booked is never sent again


def test_duty_21_entering_smiles_ids_sends_the_discard_at_once(smile, world):
    batch = world.records.batch("B1")
    world.records.upsert_batch(replace(batch, smile=None), WARDEN, "ids not known", world.ticker.at_ms)
    world.discard()
    world.rounds(2)
    (note,) = world.records.attachments("discard")
    assert (note.state, smile.table("discards")) == ("refused", [])
    world.records.upsert_batch(batch, WARDEN, "ids entered", world.ticker.at_ms)
    world.rounds(1)
    assert world.records.attachments("discard")[0].state == "stored"
    assert len(smile.table("discards")) == 1


def test_duty_21_a_lost_answer_keeps_its_pause_when_a_vvm_is_read(smile, world):
    """Hastening it could book it twice: only what was refused before anything was sent is hastened."""
    smile.settings(dedup_window_s=0)
    smile.fault("cut", path="/discard-stock")
    world.discard()
    world.rounds(1)
    key = f"discard:{world.records.decision('B1').id}"
    due_ms = world.outbox.post(key).next_ms
    world.records.observe_vvm("B1", "C", WARDEN, "read", world.ticker.at_ms)
    world.rounds(1)
    assert world.outbox.post(key).next_ms == due_ms > 0


def test_duty_21_a_lost_discard_is_found_by_the_next_round(smile, world):
    smile.settings(dedup_window_s=0)
    smile.fault("cut", path="/discard-stock")
    world.discard()
    world.rounds(1)
    assert world.records.attachments("discard")[0].state == "uncertain"
    world.rounds(6, every_ms=60_000)
    assert len(smile.table("discards")) == 1
    assert world.records.attachments("discard")[0].state == "stored"


def test_duty_21_a_released_batch_books_nothing(smile, world):
    world.records.save_verdicts(
        [Verdict("", "B1", "hold_and_inspect", (), (world.finding("HEAT"),), 1)], world.ticker.at_ms
    )
    world.records.decide("B1", "released", WARDEN, "VVM is fine", world.ticker.at_ms)
    world.rounds(3)
    assert smile.table("discards") == []
    assert world.records.attachments("discard") == []
    assert world.records.attachments("verdict")[0].reply == "SMILE has no field for released"
