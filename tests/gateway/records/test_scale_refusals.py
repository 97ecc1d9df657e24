"""What scales refused: kept once, newest first, counted, let go after 90 days, and no part of the audit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.records import Refused, ScaleRefusal, WeighingRecord
from gateway.records.scale_refusals import KEPT_MS

T0 = 1_790_000_000_000
KG = Decimal("5.40")
OLD_LOAD = ScaleRefusal("S1/E1/ep1/7", "S1", "E1", "SC-1", "load_left", T0, T0 + 5)


def test_a_refusal_is_kept_once_and_leaves_no_audit_row(world: Any) -> None:
    before = world.records.newest_change()
    for _ in range(2):
        world.records.save_scale_refusals([OLD_LOAD, OLD_LOAD], T0 + 10)
    assert world.records.scale_refusals("S1", T0, 10) == [OLD_LOAD]
    assert world.records.newest_change() == before


def test_they_are_told_newest_first_by_when_they_happened_and_counted_by_scale_and_reason(world: Any) -> None:
    """One without a date is told by when it was received; another site's is not told here."""
    undated = replace(OLD_LOAD, id="u", t_ms=None, received_ms=T0 + 2)
    late = replace(OLD_LOAD, id="late", t_ms=T0 + 1, received_ms=T0 + 900, reason="unstable")
    other = replace(OLD_LOAD, id="o", site="S2")
    world.records.save_scale_refusals([OLD_LOAD, late, undated, other], T0 + 1000)
    assert [r.id for r in world.records.scale_refusals("S1", T0, 10)] == ["u", "late", OLD_LOAD.id]
    assert [r.id for r in world.records.scale_refusals("S1", T0 + 1, 1)] == ["u"]
    assert world.records.scale_refusal_counts("S1", T0) == {"SC-1": {"load_left": 2, "unstable": 1}}
    assert world.records.scale_refusal_counts("S1", T0 + 3) == {}


def test_after_90_days_they_go_and_do_not_come_back_when_the_journal_is_read_again(world: Any) -> None:
    world.records.save_scale_refusals([OLD_LOAD], T0)
    later = replace(OLD_LOAD, id="later", t_ms=T0 + KEPT_MS, received_ms=T0 + KEPT_MS + 5)
    world.records.save_scale_refusals([OLD_LOAD, later], T0 + KEPT_MS + 5)
    assert world.records.scale_refusals("S1", 0, 10) == [later]


def test_words_that_no_database_holds_are_refused_with_the_field(world: Any) -> None:
    with pytest.raises(Refused, match="reason"):
        world.records.save_scale_refusals([OLD_LOAD, replace(OLD_LOAD, id="x", reason="a\0b")], T0)
    assert world.records.scale_refusals("S1", 0, 10) == []


def test_one_dated_after_its_receipt_stands_where_it_was_received(world: Any) -> None:
    """A wrong clock's event of next year does not stay on top until then."""
    ahead = replace(OLD_LOAD, id="ahead", t_ms=T0 + KEPT_MS)
    newer = replace(OLD_LOAD, id="newer", t_ms=T0 + 6, received_ms=T0 + 7)
    world.records.save_scale_refusals([ahead, newer], T0 + 10)
    assert [(r.id, r.at_ms) for r in world.records.scale_refusals("S1", T0, 10)] == [
        ("newer", T0 + 6),
        ("ahead", T0 + 5),
    ]
    assert world.records.scale_refusals("S1", T0 + 7, 10) == []


def weighed(world: Any, name: str, t_ms: int | None, received_ms: int) -> None:
    made = WeighingRecord(name, "S1", "SCALE-1", KG, Decimal(0), KG, t_ms, "5354", received_ms=received_ms)
    world.records.save_weighings([made], received_ms)


def test_a_weighing_counts_by_its_date_alone_and_never_after_its_receipt(world: Any) -> None:
    """One without a date, however many and however late they come, may be older than any refusal."""
    refusals = [replace(OLD_LOAD, id=f"r{n}", device="SCALE-1", t_ms=T0 + n, received_ms=T0 + n) for n in range(30)]
    elsewhere = replace(OLD_LOAD, id="elsewhere", site="S2", device="SCALE-1")
    world.records.save_scale_refusals([*refusals, elsewhere], T0 + 50)
    for n in range(60):
        weighed(world, f"undated{n}", None, T0 + 900 + n)
    assert world.records.last_weighed_ms("S1") == {}
    assert world.records.unweighed_refusals("S1", T0) == 30
    weighed(world, "dated", T0 + 3, T0 + 990)
    weighed(world, "clock of next year", T0 + KEPT_MS, T0 + 4)
    assert world.records.last_weighed_ms("S1") == {"SCALE-1": T0 + 4}
    assert world.records.unweighed_refusals("S1", T0) == 25
    assert world.records.unweighed_refusals("S1", T0 + 28) == 2
