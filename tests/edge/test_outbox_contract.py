"""One contract, two outboxes: SQLite and memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.outbox import MemoryOutbox, Outbox
from telemetry.readings import Numbered, Ranges, Reading


def seqs(facts: list[Numbered]) -> list[int]:
    return [n.seq for n in facts]


def test_numbers_are_gapless_from_one_over_all_kinds(outbox: Outbox, make: Any) -> None:
    assert outbox.append([make.reading(), make.event()]) == Ranges([(1, 2)])
    assert outbox.append([make.weighing()]) == Ranges([(3, 3)])
    assert outbox.append([]) == Ranges()
    assert outbox.append([make.reading()]) == Ranges([(4, 4)])
    assert outbox.usage().numbered_to == 4


def test_what_went_in_comes_out(outbox: Outbox, make: Any) -> None:
    facts = [make.reading(), make.event(), make.weighing(), make.undated(7)]
    outbox.append(facts)
    assert [n.fact for n in outbox.pending(10)] == facts


def test_pending_is_oldest_first_and_limited(outbox: Outbox, make: Any) -> None:
    outbox.append([make.reading(value=str(i)) for i in range(5)])
    assert seqs(outbox.pending(2)) == [1, 2]
    assert seqs(outbox.pending(10, after=3)) == [4, 5]


def test_a_receipted_fact_is_not_pending_and_not_gone(outbox: Outbox, make: Any) -> None:
    outbox.append([make.reading(value=str(i)) for i in range(5)])
    outbox.received(Ranges([(1, 2), (4, 4)]), Ranges([(5, 5)]))
    assert seqs(outbox.pending(10)) == [3]
    assert seqs(outbox.select(seq=Ranges([(1, 5)]))) == [1, 2, 3, 4, 5]
    assert seqs(outbox.select(seq=Ranges([(1, 5)]), only="unreceipted")) == [3]
    usage = outbox.usage()
    assert (usage.rows, usage.unreceipted, usage.numbered_to) == (5, 1, 5)


def test_a_receipt_may_come_twice_and_in_any_order(outbox: Outbox, make: Any) -> None:
    outbox.append([make.reading(value=str(i)) for i in range(4)])
    for have in ([(3, 4)], [(1, 1)], [(3, 4)]):
        outbox.received(Ranges(have), Ranges())
    assert seqs(outbox.pending(10)) == [2]


def test_select_by_time_has_both_ends_and_leaves_undated_out(outbox: Outbox, make: Any) -> None:
    outbox.append([make.reading(t_ms=t) for t in (100, 200, 300)] + [make.undated(1)])
    assert seqs(outbox.select(from_ms=100, to_ms=200)) == [1, 2]
    assert seqs(outbox.select(seq=Ranges([(2, 9)]), from_ms=100, to_ms=400)) == [2, 3]
    assert seqs(outbox.select(from_ms=0, to_ms=400, limit=1)) == [1]


def test_the_last_reading_of_a_stream_is_found_when_receipted(outbox: Outbox, make: Any) -> None:
    outbox.append([make.reading(value="1"), make.reading("LOG-1/rssi_dbm", "-60"), make.reading(value="2")])
    outbox.received(Ranges([(1, 3)]), Ranges())
    last = outbox.last_reading("LOG-1/temperature_c")
    assert last is not None
    assert isinstance(last.fact, Reading)
    assert (last.seq, str(last.fact.value)) == (3, "2")
    assert outbox.last_reading("LOG-9/temperature_c") is None


def test_reading_times_are_sorted_and_within_both_ends(outbox: Outbox, make: Any) -> None:
    outbox.append([make.reading(t_ms=t) for t in (300, 100, 200)] + [make.reading("LOG-2/temperature_c", t_ms=150)])
    assert outbox.reading_times("LOG-1/temperature_c", 100, 200) == [100, 200]


def test_hints_are_kept_with_the_facts_and_alone(outbox: Outbox, make: Any) -> None:
    outbox.append([make.reading()], {"a": "1"})
    outbox.append([], {"a": "2", "b": "3"})
    assert (outbox.hint("a"), outbox.hint("b"), outbox.hint("c")) == ("2", "3", None)


def test_an_anchor_dates_the_undated_of_its_boot_only(outbox: Outbox, make: Any) -> None:
    """devices.md 7: utc = anchor + difference of CLOCK_BOOTTIME; the raw stamp stays."""
    outbox.append([make.undated(2_000_000_000), make.undated(2_000_000_000, "boot-0"), make.reading(t_ms=5)])
    assert outbox.date_undated("boot-1", 10_000_000_000, 1_800_000_000_000) == 1
    first, other_boot, dated = (n.fact for n in outbox.pending(3))
    assert first.sampled_at_ms == 1_800_000_000_000 - 8_000
    assert first.stamp == make.undated(2_000_000_000).stamp
    assert (other_boot.sampled_at_ms, dated.sampled_at_ms) == (None, 5)


def test_an_anchor_leaves_what_was_sent_or_receipted(outbox: Outbox, make: Any) -> None:
    outbox.append([make.undated(1), make.undated(2), make.undated(3)])
    outbox.received(Ranges([(2, 2)]), Ranges())
    assert outbox.date_undated("boot-1", 10, 1000, after=1) == 1
    assert [n.fact.sampled_at_ms is None for n in outbox.select(seq=Ranges([(1, 3)]))] == [True, True, False]


def test_only_receipted_facts_older_than_the_retention_are_forgotten(outbox: Outbox, make: Any) -> None:
    old_ms = make.stamp.wall_ms
    outbox.append([make.reading(), make.undated(1), make.reading(), make.event()])
    outbox.received(Ranges([(1, 2)]), Ranges())
    assert outbox.forget_receipted(old_ms) == 0
    assert outbox.forget_receipted(old_ms + 1) == 2
    assert seqs(outbox.pending(9)) == [3, 4]
    assert outbox.append([make.reading()]) == Ranges([(5, 5)])


@pytest.mark.parametrize("renewed_again", [False, True])
def test_what_was_asked_for_again_does_not_make_its_younger_neighbours_old(
    outbox: Outbox, make: Any, renewed_again: bool
) -> None:
    """A row of an earlier epoch gets a number after all others when its time is asked for: its place dates nothing."""

    def on_day(day: int) -> Reading:
        at_ms = 1_800_000_000_000 + day * 86_400_000
        return replace(make.reading(t_ms=at_ms), stamp=replace(make.stamp, wall_ms=at_ms))

    outbox.append([on_day(0)])
    outbox.received(Ranges([(1, 1)]), Ranges())
    outbox.renew()
    outbox.append([on_day(day) for day in range(1, 180)])
    assert seqs(outbox.select(from_ms=0, to_ms=1_800_000_000_000)) == [180]
    if renewed_again:
        outbox.renew()
    outbox.received(Ranges([(1, 180)]), Ranges())
    assert outbox.forget_receipted(1_800_000_000_000 + 3_600_000) == 0
    if renewed_again:
        outbox.renew()
        assert outbox.forget_receipted(1_800_000_000_000 + 3_600_000) == 0
    assert outbox.forget_receipted(1_800_000_000_000 + 100 * 86_400_000) == 99


def test_numbers_stay_gapless_when_all_is_forgotten(outbox: Outbox, make: Any) -> None:
    outbox.append([make.reading()])
    outbox.received(Ranges([(1, 1)]), Ranges())
    outbox.forget_receipted(1 << 50)
    assert outbox.usage().oldest_ms is None
    assert outbox.append([make.reading()]) == Ranges([(2, 2)])


def test_a_receipt_for_numbers_never_given_starts_a_new_epoch(outbox: Outbox, make: Any) -> None:
    """The file was restored from a backup: what is unreceipted is numbered anew, what is receipted is still there."""
    outbox.append([make.reading(value=str(i), t_ms=i) for i in range(1, 5)])
    outbox.received(Ranges([(1, 1), (3, 3)]), Ranges())
    epoch = outbox.epoch
    outbox.received(Ranges([(1, 900)]), Ranges())
    assert outbox.epoch != epoch
    assert [(n.seq, str(n.fact.value)) for n in outbox.pending(9) if isinstance(n.fact, Reading)] == [
        (1, "2"),
        (2, "4"),
    ]
    assert outbox.append([make.reading()]) == Ranges([(3, 3)])
    assert outbox.usage().rows == 5
    asked = outbox.select(from_ms=1, to_ms=3, only="all")
    assert sorted(str(n.fact.value) for n in asked if isinstance(n.fact, Reading)) == ["1", "2", "3"]
    assert outbox.usage().numbered_to == 5
    assert len(outbox.pending(9)) == 5


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    appends=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    receipts=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 5)), max_size=5),
)
def test_what_no_receipt_named_is_always_pending(
    make: Any, appends: list[int], receipts: list[tuple[int, int]]
) -> None:
    """Any appends and receipts: pending is exactly the given numbers less the named ones."""
    box = MemoryOutbox()
    for count in appends:
        box.append([make.reading()] * count)
    top = sum(appends)
    named = Ranges([(low, min(low + n, top)) for low, n in receipts if low <= top])
    box.received(named, Ranges())
    assert Ranges.of(seqs(box.pending(100))) == (Ranges([(1, top)]) if top else Ranges()) - named


@pytest.mark.parametrize("limit", [0, 1])
def test_limits_hold(outbox: Outbox, make: Any, limit: int) -> None:
    outbox.append([make.reading()] * 3)
    assert len(outbox.pending(limit)) == limit
