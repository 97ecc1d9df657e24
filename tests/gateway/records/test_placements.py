"""Where batches stood, and VVM observations."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.records import Actor, Code, Refused, UnknownRecord


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
