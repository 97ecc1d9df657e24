"""Sites, equipment, devices, batches; the snapshot for fast look-ups."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from gateway.records import (
    Actor,
    Batch,
    Change,
    Code,
    Device,
    Equipment,
    QuarantineItem,
    Refused,
    Role,
    Site,
    SmileStockIds,
    UnknownRecord,
)
from gateway.records.registry import since_when


def test_what_goes_in_comes_out_exactly(world: Any) -> None:
    r = world.records
    device = Device(
        "SCALE-9", "S1", "E1", "mtsics", None, 60, "SCALE-9", Decimal("0.050"), Decimal("150.00"), 771,
        1_800_000_000_000, Decimal("0.25"), date(2025, 3, 10), 400,
    )  # fmt: skip
    assert r.upsert_device(device, world.loader, "", 1).change is Change.CREATED
    assert r.device("SCALE-9") == device
    assert str(r.device("SCALE-9").e_kg) == "0.050"
    batch = Batch("B9", "S1", "93001284", "Pentabio", "X", date(2027, 1, 2), 400, SmileStockIds(1, 2, 3, 4, 5, 6, 10))
    r.upsert_batch(batch, world.loader, "", 1)
    assert r.batch("B9") == batch


def test_a_change_needs_a_reason_and_a_creation_does_not(world: Any) -> None:
    """cold-chain.md 37: a limit (here: the profile that carries it) edited without a reason is refused."""
    r = world.records
    changed = replace(r.equipment("KUL-1"), profile="refrigerator-9")
    with pytest.raises(Refused) as refused:
        r.upsert_equipment(changed, world.budi, "   ", 5)
    assert refused.value.code is Code.REASON_REQUIRED
    assert r.equipment("KUL-1").profile == "refrigerator"
    assert r.upsert_equipment(changed, world.budi, "maker's letter of 3 May", 5) is Change.CHANGED
    row = r.audit_of("equipment:KUL-1")[-1]
    assert (row.actor, row.role, row.reason, row.at_ms) == ("Budi", "manager", "maker's letter of 3 May", 5)
    assert (row.old_value["profile"], row.new_value["profile"]) == ("refrigerator", "refrigerator-9")


@pytest.mark.parametrize(
    ("since_ms", "code"),
    [(51, Code.BAD_VALUE), (50, None), (20, None), (0, None), (9, Code.BAD_VALUE)],
)
def test_a_move_says_since_when_of_the_past_and_not_before_the_registration(
    world: Any, since_ms: int, code: Code | None
) -> None:
    """Registered at 10, told at 50. 0: it never stood anywhere else."""
    r = world.records
    r.upsert_device(Device("LOG-9", "S1", "E1", "ble", None), world.loader, "", 10)
    moved = replace(r.device("LOG-9"), equipment="KUL-1", since_ms=since_ms)
    if code is None:
        r.upsert_device(moved, world.budi, "moved", 50)
        assert r.assigned_equipment()["LOG-9"][-1] == (since_ms, "KUL-1")
        return
    with pytest.raises(Refused) as refused:
        r.upsert_device(moved, world.budi, "moved", 50)
    assert (refused.value.code, refused.value.field) == (code, "since_ms")


def test_since_when_is_a_persons_word(world: Any) -> None:
    r = world.records
    r.upsert_device(Device("LOG-9", "S1", "E1", "ble", None), world.loader, "", 10)
    moved = replace(r.device("LOG-9"), equipment="KUL-1", since_ms=20)
    with pytest.raises(Refused) as refused:
        r.upsert_device(moved, Actor("alerts", Role.SYSTEM), "moved", 50)
    assert refused.value.code is Code.PERSON_REQUIRED


def test_the_kinds_of_an_equipment_are_dated_and_what_is_said_later_holds_from_its_date_on(world: Any) -> None:
    r = world.records
    r.upsert_equipment(Equipment("Z1", "S1", "Z", "refrigerator", "refrigerator"), world.loader, "", 10)
    r.upsert_equipment(replace(r.equipment("Z1"), kind="freezer", profile="freezer"), world.budi, "cold now", 40)
    then = r.newest_change()
    assert r.kinds_of("Z1") == [(10, "refrigerator", "refrigerator"), (40, "freezer", "freezer")]
    r.upsert_equipment(replace(r.equipment("Z1"), since_ms=30), world.budi, "since thirty", 50)
    assert r.kinds_of("Z1") == [(10, "refrigerator", "refrigerator"), (30, "freezer", "freezer")]
    r.upsert_equipment(replace(r.equipment("Z1"), name="Freezer 1"), world.budi, "a better name", 60)
    assert r.kinds_of("Z1")[-1] == r.kinds_over_time()["Z1"][-1] == (30, "freezer", "freezer")
    assert r.kinds_of("Z1", then)[-1] == (40, "freezer", "freezer")
    r.upsert_equipment(replace(r.equipment("Z1"), since_ms=0), world.budi, "it always was", 70)
    assert r.kinds_of("Z1") == [(0, "freezer", "freezer")]


def test_a_date_that_was_left_in_the_row_moves_nothing_else_into_the_past(world: Any) -> None:
    """A site's file keeps its line ``since`` and gets another equipment: the stay in between would be gone."""
    r = world.records
    r.upsert_device(Device("LOG-9", "S1", "E1", "ble", None), world.loader, "", 10)
    r.upsert_device(replace(r.device("LOG-9"), equipment="KUL-1", since_ms=20), world.budi, "moved", 50)
    gone = replace(r.device("LOG-9"), equipment=None)
    with pytest.raises(Refused) as refused:
        r.upsert_device(gone, world.loader, "the file again", 90)
    assert (refused.value.code, refused.value.field) == (Code.BAD_VALUE, "since_ms")
    r.upsert_device(replace(r.device("LOG-9"), interval_s=600), world.loader, "read less often", 91)
    r.upsert_device(replace(gone, since_ms=None), world.budi, "taken out", 95)
    assert r.assigned_equipment()["LOG-9"] == [(10, ""), (20, "KUL-1"), (95, "")]


A, B, C = {"equipment": "A"}, {"equipment": "B"}, {"equipment": "C"}


@pytest.mark.parametrize(
    ("said", "since"),
    [
        ([(1, A), (20, B | {"since_ms": 15}), (90, C | {"since_ms": 15})], [(1, "A"), (15, "B"), (90, "C")]),
        ([(1, A), (20, B | {"since_ms": 0}), (90, C | {"since_ms": 0})], [(0, "B"), (90, "C")]),
        ([(1, A), (20, B | {"since_ms": 12}), (30, B | {"since_ms": 18})], [(1, "A"), (18, "B")]),
        ([(1, A), (9, B), (20, C | {"since_ms": 4}), (30, C | {"since_ms": 15})], [(1, "A"), (9, "B"), (15, "C")]),
        ([(1, A), (20, B), (30, B | {"since_ms": 12}), (40, B)], [(1, "A"), (12, "B")]),
        ([(1, A), (20, B | {"since_ms": 12}), (30, C | {"since_ms": 5})], [(1, "A"), (5, "C")]),
        ([(1, A), (20, B), (30, A)], [(1, "A"), (20, "B"), (30, "A")]),
    ],
)
def test_since_when_a_later_word_puts_right_only_what_it_speaks_of(said: Any, since: list[tuple[int, str]]) -> None:
    assert [(at_ms, where) for at_ms, (where,) in since_when(said, ("equipment",))] == since


def test_the_same_again_changes_nothing_and_leaves_no_row(world: Any) -> None:
    r = world.records
    before = r.newest_change()
    assert r.upsert_site(r.site("S1"), world.loader, "", 9) is Change.UNCHANGED
    assert r.upsert_device(r.device("SCALE-1"), world.loader, "", 9).change is Change.UNCHANGED
    assert r.newest_change() == before


@pytest.mark.parametrize("smile_serial", ["AA:BB:CC", "DXT LOG", "a/b", "x" * 65])
def test_a_smile_serial_has_letters_digits_and_three_signs(world: Any, smile_serial: str) -> None:
    """smile-core-api.md 10.13: no colon, no space."""
    with pytest.raises(Refused) as refused:
        world.records.upsert_device(
            Device("LOG-8", "S1", "E1", "ruuvi", smile_serial=smile_serial), world.loader, "", 1
        )
    assert (refused.value.code, refused.value.field) == (Code.BAD_VALUE, "smile_serial")


def test_two_devices_cannot_have_one_smile_serial(world: Any) -> None:
    """smile-core-api.md 10.13: ambiguous pairs are refused."""
    r = world.records
    r.upsert_device(Device("LOG-8", "S1", "E1", "ruuvi", smile_serial="X1"), world.loader, "", 1)
    with pytest.raises(Refused) as refused:
        r.upsert_device(Device("LOG-9", "S1", "E1", "ruuvi", smile_serial="X1"), world.loader, "", 1)
    assert refused.value.code is Code.SERIAL_TAKEN


def test_references_must_be_registered_and_of_the_same_site(world: Any, second_site: Any) -> None:
    r = world.records
    second_site(r)
    with pytest.raises(UnknownRecord) as unknown:
        r.upsert_equipment(Equipment("K", "NOWHERE", "k", "freezer", "freezer"), world.loader, "", 1)
    assert (unknown.value.kind, unknown.value.key) == ("site", "NOWHERE")
    with pytest.raises(UnknownRecord):
        r.upsert_device(Device("D", "S1", "E1", "x", "KUL-404"), world.loader, "", 1)
    with pytest.raises(Refused) as refused:
        r.upsert_device(Device("D", "S1", "E1", "x", "KUL-2"), world.loader, "", 1)
    assert refused.value.code is Code.WRONG_SITE


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": "a b"}, "id"),
        ({"name": " "}, "name"),
        ({"zone": "Asia/Nowhere"}, "zone"),
        ({"zone": "../etc"}, "zone"),
        ({"shard": "a/b"}, "shard"),
        ({"level": "warung"}, "level"),
    ],
)
def test_a_bad_site_is_refused_by_field(world: Any, changes: dict[str, str], field: str) -> None:
    good = Site("S9", "x", "kab", "Asia/Jakarta", "s0", "puskesmas")
    with pytest.raises(Refused) as refused:
        world.records.upsert_site(replace(good, **changes), world.loader, "", 1)
    assert (refused.value.code, refused.value.field) == (Code.BAD_VALUE, field)


@pytest.mark.parametrize("kfa", ["/", "9300547", "95005477", "930054770"])
def test_a_kfa_code_is_checked(world: Any, kfa: str) -> None:
    """smile-and-waste.md 39: junk such as "/" occurs."""
    with pytest.raises(Refused):
        world.records.upsert_batch(Batch("B8", "S1", kfa, "x", "y", date(2027, 1, 1), 1), world.loader, "", 1)


def test_a_float_is_refused(world: Any) -> None:
    with pytest.raises(Refused) as refused:
        world.records.upsert_device(Device("D", "S1", "E1", "x", e_kg=0.05), world.loader, "", 1)  # type: ignore[arg-type]
    assert refused.value.field == "e_kg"


def test_the_snapshot_looks_up_and_its_version_rises_with_changes_only(world: Any) -> None:
    r = world.records
    snapshot = r.registry()
    assert snapshot.site_of("LOG-1").id == "S1"
    assert snapshot.equipment_of("LOG-1").id == "KUL-1"
    assert snapshot.equipment_of("SCALE-1") is None
    assert snapshot.device("UNKNOWN") is None
    assert [d.serial for d in snapshot.devices_of("KUL-1")] == ["LOG-1"]
    assert r.registry_version() == snapshot.version
    r.save_findings([world.finding()], 1)
    assert r.registry_version() == snapshot.version
    r.upsert_device(replace(snapshot.device("LOG-1"), interval_s=60), world.loader, "faster", 2)
    assert r.registry_version() > snapshot.version
    assert r.registry("S1").device("LOG-1").interval_s == 60


def test_registering_a_device_tells_what_waits_for_it(world: Any) -> None:
    r = world.records
    item = QuarantineItem("", "S1", "E1", "ep", "t", "unknown_device", "", 7, b"{}", serials=("NEW-1", "NEW-2"))
    (first,) = r.quarantine(item)
    (second,) = r.quarantine(replace(item, payload=b"{2}", received_ms=6, serials=("NEW-1",)))
    answer = r.upsert_device(Device("NEW-1", "S1", "E1", "bthome"), world.loader, "", 8)
    assert answer.waiting == (second, first)
    r.settle_quarantine(first, "replayed", world.alerts, "device registered", 9)
    assert r.upsert_device(Device("NEW-2", "S1", "E1", "bthome"), world.loader, "", 8).waiting == ()


def test_a_device_that_moves_to_another_site_is_told_in_both_chains(world: Any, second_site: Any) -> None:
    r = world.records
    second_site(r)
    moved = replace(r.device("LOG-1"), site="S2", equipment="KUL-2")
    r.upsert_device(moved, world.loader, "lent to S2", 9)
    assert [(a.site, a.action) for a in r.audit_of("device:LOG-1")] == [
        ("S1", "device_created"),
        ("S1", "device_left"),
        ("S2", "device_changed"),
    ]
    assert r.verify_chain("S1").ok
    assert r.verify_chain("S2").ok


def test_a_batch_that_came_from_another_store_names_it_and_the_time_it_left(world: Any) -> None:
    """cold-chain.md 26: the history goes with the batch."""
    r = world.records
    origin = r.batch("B1")
    part = replace(origin, id="B2", came_from="B1", left_ms=5)
    assert r.upsert_batch(part, world.loader, "", 6) == "created"
    assert r.batch("B2").came_from == "B1"
    (row,) = r.audit_of("batch:B2")
    assert row.new_value["left_ms"] == 5
    for wrong, field in (
        (replace(part, id="B3", left_ms=None), "left_ms"),
        (replace(part, id="B3", batch_number="other"), "came_from"),
        (replace(origin, came_from="B2", left_ms=7), "came_from"),
    ):
        with pytest.raises(Refused) as error:
            r.upsert_batch(wrong, world.loader, "x", 8)
        assert error.value.field == field
    with pytest.raises(UnknownRecord):
        r.upsert_batch(replace(part, id="B3", came_from="B9"), world.loader, "", 8)
