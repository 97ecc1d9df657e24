"""Where batches stood, and VVM observations."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.records import Actor, Code, Refused, UnknownRecord, Verdict


def test_a_move_closes_the_old_placement(world: Any, times: Any) -> None:
    """cold-chain.md 26: the batch's history is the union of (place, from, to)."""
    r, t = world.records, times.t0
    r.add_placement("B1", "KUL-1", t, world.sari, "", t)
    r.move_batch("B1", "KUL-1b", t + 6 * times.hour, world.sari, "KUL-1 is warm", t + 6 * times.hour)
    assert [(p.equipment, p.from_ms, p.to_ms, p.said_by) for p in r.placements("B1")] == [
        ("KUL-1", t, t + 6 * times.hour, "Sari"),
        ("KUL-1b", t + 6 * times.hour, None, "Sari"),
    ]
    assert [a.action for a in r.changes_after(0) if a.kind == "placement"] == [
        "batch_placed",
        "placement_ended",
        "batch_moved",
    ]


def test_a_batch_is_in_one_place_at_a_time(world: Any) -> None:
    r = world.records
    first = r.add_placement("B1", "KUL-1", 100, world.sari, "", 100)
    assert r.add_placement("B1", "KUL-1", 100, world.sari, "", 101) == first
    with pytest.raises(Refused) as refused:
        r.add_placement("B1", "KUL-1b", 200, world.sari, "", 200)
    assert refused.value.code is Code.ALREADY_PLACED
    r.add_placement("B1", "KUL-1b", 50, world.sari, "was there before", 200, to_ms=100)
    r.end_placement("B1", 300, world.sari, "used up", 300)
    r.add_placement("B1", "KUL-1b", 300, world.sari, "", 300)


def test_moving_needs_an_open_placement_a_reason_and_a_later_time(world: Any, second_site: Any) -> None:
    r = world.records
    with pytest.raises(Refused) as refused:
        r.move_batch("B1", "KUL-1b", 10, world.sari, "why", 10)
    assert refused.value.code is Code.NOT_PLACED
    r.add_placement("B1", "KUL-1", 100, world.sari, "", 100)
    with pytest.raises(Refused) as refused:
        r.move_batch("B1", "KUL-1b", 200, world.sari, "", 200)
    assert refused.value.code is Code.REASON_REQUIRED
    with pytest.raises(Refused) as refused:
        r.move_batch("B1", "KUL-1b", 100, world.sari, "why", 200)
    assert refused.value.code is Code.BAD_VALUE
    with pytest.raises(UnknownRecord):
        r.move_batch("B1", "KUL-404", 200, world.sari, "why", 200)
    second_site(r)
    with pytest.raises(Refused) as refused:
        r.move_batch("B1", "KUL-2", 200, world.sari, "why", 200)
    assert refused.value.code is Code.WRONG_SITE
    assert [(p.equipment, p.to_ms) for p in r.placements("B1")] == [("KUL-1", None)]  # nothing half done


def test_a_vvm_is_read_by_a_person(world: Any) -> None:
    """cold-chain.md 22: the observation beats the model."""
    r = world.records
    seen = r.observe_vvm("B1", "C", world.sari, "", 500)
    assert (seen.stage, seen.by, seen.at_ms) == ("C", "Sari", 500)
    assert r.vvm_observations("B1") == [seen]
    with pytest.raises(Refused) as refused:
        r.observe_vvm("B1", "A", Actor.system("alerts"), "", 501)
    assert refused.value.code is Code.PERSON_REQUIRED
    with pytest.raises(Refused) as refused:
        r.observe_vvm("B1", "E", world.sari, "", 501)
    assert refused.value.code is Code.BAD_VALUE


def test_a_vvm_cannot_go_back_but_a_manager_may_correct_a_misreading(world: Any) -> None:
    """cold-chain.md 22: a VVM only darkens. All readings stay on record; the verdict keeps the worst."""
    r = world.records
    r.observe_vvm("B1", "B", world.sari, "", 500)
    for at_ms, stage in ((501, "B"), (502, "C")):
        r.observe_vvm("B1", stage, world.sari, "", at_ms)
    before = r.newest_change()
    for actor, reason in ((world.sari, "looked again"), (Actor("Ani", "admin"), "looked again"), (world.budi, "  ")):
        with pytest.raises(Refused) as refused:
            r.observe_vvm("B1", "A", actor, reason, 600)
        assert (refused.value.code, refused.value.field) == (Code.VVM_CANNOT_GO_BACK, "stage")
        assert "manager" in refused.value.advice
    assert r.newest_change() == before
    r.observe_vvm("B1", "A", world.budi, "it was another batch's vial", 600)
    r.observe_vvm("B1", "B", world.loader, "looked at ten vials", 601)
    assert [v.stage for v in r.vvm_observations("B1")] == ["B", "B", "C", "A", "B"]
    with pytest.raises(Refused):
        r.observe_vvm("B1", "A", world.sari, "", 700)  # C was read, whatever came after
    assert "another batch" in next(a.reason for a in r.audit_of("vvm:B1.vvm.600"))


def test_a_better_stage_of_an_earlier_time_told_late_is_no_way_back(world: Any) -> None:
    r = world.records
    r.observe_vvm("B1", "C", world.sari, "", 500)
    r.observe_vvm("B1", "A", world.sari, "on paper, told late", 400)
    assert [v.stage for v in r.vvm_observations("B1")] == ["A", "C"]


def test_a_discarded_batch_is_neither_read_better_nor_moved_but_may_leave(world: Any) -> None:
    r = world.records
    first = r.add_placement("B1", "KUL-1", 100, world.sari, "", 100)
    r.save_verdicts([Verdict("", "B1", "discard_proposed", ("vvm_stage_c",), (), 200)], 200)
    r.decide("B1", "released", world.budi, "misread", 210)
    r.observe_vvm("B1", "C", world.sari, "", 220)  # released: it is still read
    r.decide("B1", "discarded", world.budi, "stage C", 300)
    before = r.newest_change()
    for act in (
        lambda: r.observe_vvm("B1", "A", world.budi, "why", 400),
        lambda: r.move_batch("B1", "KUL-1b", 400, world.budi, "why", 400),
        lambda: r.add_placement("B1", "KUL-1b", 50, world.budi, "why", 400, to_ms=90),
    ):
        with pytest.raises(Refused) as refused:
            act()
        assert refused.value.code is Code.ALREADY_DISCARDED
        assert "Budi" in str(refused.value)
    assert r.newest_change() == before
    assert r.observe_vvm("B1", "D", world.sari, "", 401).stage == "D"  # darker: SMILE's booking takes it along
    assert r.add_placement("B1", "KUL-1", 100, world.sari, "", 401) == first  # said before: nothing new
    assert r.end_placement("B1", 500, world.sari, "into the waste bag", 500).to_ms == 500


def test_a_batch_that_was_discarded_unread_may_still_be_read_once_whatever_is_seen(world: Any) -> None:
    """smile-core-api.md: a discard is booked with the VVM's label; frozen vials are thrown away at stage A."""
    r = world.records
    r.save_verdicts([Verdict("", "B1", "shake_test", (), (), 200)], 200)
    r.decide("B1", "discarded", world.budi, "failed the shake test", 300)
    assert r.observe_vvm("B1", "A", world.sari, "", 400).stage == "A"
