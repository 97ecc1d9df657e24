"""No room: receipted facts go first, then unsent readings within limits are thinned and told, then append refuses."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.limits import Limits
from edge.outbox import Outbox, Quota, SqliteOutbox
from edge.outbox_memory import MemoryOutbox
from edge.thinning import QUARTER_MS, THINNED, closed, ranges_in, surplus, texts_of, thinned_events
from telemetry.contract import Upload, decode_upload, encode_upload
from telemetry.errors import NeighbourDownError
from telemetry.readings import Event, Fact, Numbered, Quality, Ranges, Reading, Stamp, Sync

T0 = 1_800_000_000_000 // QUARTER_MS * QUARTER_MS
MINUTE_MS = 60_000
DAY_MS = 86_400_000
ALL = Ranges([(1, 1 << 40)])


def at(make: Any, minute: float, value: str = "5", stream: str = "LOG-1/temperature_c") -> Reading:
    at_ms = T0 + int(minute * MINUTE_MS)
    stamp = replace(make.stamp, wall_ms=at_ms, boottime_ns=at_ms * 1000)
    return replace(make.reading(stream, value, at_ms), stamp=stamp)


def numbered(facts: list[Fact]) -> list[Numbered]:
    return [Numbered(n, fact) for n, fact in enumerate(facts, 1)]


# --- the rule ----------------------------------------------------------------------------------------------


def test_of_a_quarter_the_least_the_greatest_and_the_last_stay(make: Any) -> None:
    values = ["5", "4.2", "6", "4.2", "7.5", "5", "6", "5.5"]
    facts = numbered([at(make, i, v) for i, v in enumerate(values)])
    assert surplus(facts, Limits()) == {"LOG-1/temperature_c": [1, 3, 4, 6, 7]}


@pytest.mark.parametrize("case", ["warm", "cold", "fault", "unstable", "event", "weighing"])
def test_what_never_goes(make: Any, case: str) -> None:
    """Beyond a limit, without a value, of a quality in doubt: each of these stays, as do events and weighings."""
    kept: dict[str, Fact] = {
        "warm": at(make, 1, "8.01"),
        "cold": at(make, 1, "1.99"),
        "fault": replace(at(make, 1), value=None, quality=Quality.SENSOR_FAULT),
        "unstable": replace(at(make, 1), quality=Quality.UNSTABLE),
        "event": make.event(),
        "weighing": make.weighing(),
    }
    facts = numbered([kept[case] if i % 2 else at(make, i) for i in range(12)])
    gone = [seq for numbers in surplus(facts, Limits()).values() for seq in numbers]
    assert gone
    assert all(seq % 2 for seq in gone)  # the even numbers hold what is kept


def test_of_a_state_every_change_stays(make: Any) -> None:
    values = [0, 0, 0, 1, 1, 1, 0, 0, 0, 0]
    facts = numbered([at(make, i, str(v), "LOG-1/door_open") for i, v in enumerate(values)])
    left = sorted(set(range(1, 11)) - set(surplus(facts, Limits())["LOG-1/door_open"]))
    assert [n for n in left if n in (4, 7)] == [4, 7]
    assert left[0] == 1
    assert left[-1] == 10


def test_the_quarter_that_is_being_recorded_waits(make: Any) -> None:
    facts = numbered([at(make, i) for i in range(40)])
    assert closed(facts) == 30
    assert closed([]) == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 2), st.integers(100, 1000), st.booleans()), max_size=80
    ).map(sorted)
)
def test_thinning_keeps_what_a_rule_of_the_server_would_see(
    rows: list[tuple[int, int, int, bool]],
) -> None:
    """Per stream and quarter the extremes and the last are the same before and after; twice is once."""
    stamp = Stamp("b", 1, T0, Sync.SYNCED, 20)
    facts = [
        Numbered(n, Reading(f"L-{s}/temperature_c", Decimal(v) / 100, T0 + m * MINUTE_MS if dated else None,
                            replace(stamp, wall_ms=T0 + m * MINUTE_MS)))
        for n, (m, s, v, dated) in enumerate(rows, 1)
    ]  # fmt: skip
    gone = {seq for numbers in surplus(facts, Limits()).values() for seq in numbers}
    left = [n for n in facts if n.seq not in gone]
    assert extremes(facts) == extremes(left)
    assert surplus(left, Limits()) == {}
    assert all(Limits().within(n.fact) for n in facts if n.seq in gone and isinstance(n.fact, Reading))
    sizes = defaultdict(int)
    for n in left:
        assert isinstance(n.fact, Reading)
        if Limits().within(n.fact):
            sizes[(n.fact.stream_id, n.fact.sampled_at_ms is None, n.fact.stamp.wall_ms // QUARTER_MS)] += 1
    assert all(size <= 3 for size in sizes.values())


def extremes(facts: list[Numbered]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for n in facts:
        fact = n.fact
        assert isinstance(fact, Reading)
        assert fact.value is not None
        key = (fact.stream_id, fact.sampled_at_ms is None, fact.stamp.wall_ms // QUARTER_MS)
        low, high, last = found.get(key, (fact.value, fact.value, 0))
        found[key] = (min(low, fact.value), max(high, fact.value), max(last, fact.stamp.wall_ms))
    return found


@given(st.sets(st.integers(1, 10_000_000), max_size=400))
def test_the_events_name_every_number_once_and_keep_the_contract(numbers: set[int]) -> None:
    gone = {"LOG-1/temperature_c": sorted(numbers)} if numbers else {}
    events = thinned_events(gone, "quota_bytes", "E1", "epoch", Stamp("b", 1, T0, Sync.SYNCED, 20))
    told = [n for ranges, _ in events for n in ranges]
    assert sorted(told) == sorted(numbers)
    facts = tuple(Numbered(i, event) for i, (_, event) in enumerate(events, 1))
    if facts:
        assert decode_upload(encode_upload(Upload("events", "E1", "epoch", T0, facts))).facts == facts
    assert sum(int(event.detail["count"] or 0) for _, event in events) == len(numbers)
    assert all(len(text) <= 512 for text, _ in texts_of(Ranges.of(numbers)))


# --- in the outbox -----------------------------------------------------------------------------------------


def week(make: Any, days: int = 4) -> list[Fact]:
    """Two streams, every five minutes; each 30th reading is beyond the limit."""
    return [
        at(make, i * 5, "9.5" if i % 30 == 0 else f"{300 + i % 400}e-2", f"LOG-{s}/temperature_c")
        for i in range(days * 288)
        for s in range(2)
    ]


@pytest.fixture(params=["sqlite", "memory"])
def aged(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    quota = Quota(max_age_ms=2 * DAY_MS, edge="E1")
    box = SqliteOutbox(tmp_path / "o.db", quota=quota) if request.param == "sqlite" else MemoryOutbox(quota)
    yield box
    box.close()


def test_by_age_receipted_facts_go_and_unsent_readings_are_thinned(aged: Outbox, make: Any) -> None:
    facts = week(make)
    aged.append(facts)
    aged.received(Ranges([(1, 100)]), Ranges())
    before = {n.seq: n.fact for n in aged.pending(1 << 30)}
    now = replace(make.stamp, wall_ms=T0 + 4 * DAY_MS)
    gone = aged.keep_age(now)
    held = {n.seq: n.fact for n in aged.pending(1 << 30)}
    events = [f for f in held.values() if isinstance(f, Event)]
    thinned = Ranges(span for e in events for span in ranges_in(e).spans)
    assert gone == 100 + len(thinned)
    assert len(thinned) == sum(int(e.detail["count"] or 0) for e in events) > 0
    assert {e.detail["stream"] for e in events} == {"LOG-0/temperature_c", "LOG-1/temperature_c"}
    assert {(e.kind, e.subject, e.detail["reason"], e.detail["epoch"]) for e in events} == {
        (THINNED, "E1", "quota_days", aged.epoch)
    }
    assert set(before) - set(held) == set(thinned)
    assert all(
        fact.value != Decimal("9.5") for seq, fact in before.items() if seq in thinned and isinstance(fact, Reading)
    )
    assert all(f.stamp.wall_ms < T0 + 2 * DAY_MS for seq, f in before.items() if seq in thinned)
    assert aged.usage().unreceipted == len(held)
    assert aged.usage().numbered_to == len(facts) + len(events)
    assert aged.keep_age(now) == 0
    assert aged.produced() == {"LOG-0/temperature_c": 1152, "LOG-1/temperature_c": 1152}


def test_an_unsynced_clock_ages_nothing(aged: Outbox, make: Any) -> None:
    aged.append(week(make))
    assert aged.keep_age(replace(make.unsynced, wall_ms=T0 + 400 * DAY_MS)) == 0


def test_a_request_for_a_thinned_number_is_answered_by_the_event(aged: Outbox, make: Any) -> None:
    aged.append(week(make))
    aged.keep_age(replace(make.stamp, wall_ms=T0 + 4 * DAY_MS))
    events = {n.seq: n.fact for n in aged.pending(1 << 30) if isinstance(n.fact, Event)}
    aged.received(Ranges([(1, aged.usage().numbered_to)]), Ranges())
    number, event = next((seq, e) for seq, e in events.items())
    gone = ranges_in(event).spans[0][0]
    answer = aged.select(seq=Ranges([(gone, gone)]))
    assert [n.seq for n in answer] == [number]
    page = aged.select(seq=Ranges([(1, 60)]), limit=20)
    rows = [n.seq for n in page if n.seq <= 60]
    assert len(rows) == 20
    told = Ranges(span for n in page if isinstance(n.fact, Event) for span in ranges_in(n.fact).spans)
    assert (Ranges([(1, rows[-1])]) - Ranges.of(rows)) - told == Ranges()
    assert [n.seq for n in aged.select(seq=ALL, limit=1 << 30) if n.seq == number] == [number]


def test_by_bytes_the_order_is_receipted_then_thinned_then_refused(tmp_path: Path, make: Any) -> None:
    quota = Quota(max_bytes=250 << 10, edge="E1")
    box = SqliteOutbox(tmp_path / "o.db", quota=quota)
    facts = [at(make, i / 2, f"{300 + i % 400}e-2") for i in range(6_000)]
    box.append(facts[:4_000])
    box.received(Ranges([(1, 2_000)]), Ranges())
    for i in range(4_000, 6_000, 100):
        box.append(facts[i : i + 100])
        assert box._used_bytes() <= quota.max_bytes + (16 << 10)
    box.append([at(make, 3_001)])
    held = {n.seq: n.fact for n in box.select(seq=ALL, limit=1 << 30)}
    assert not [seq for seq in held if seq <= 2_000], "receipted facts go first"
    taken, refused, said = 0, 0, NeighbourDownError("", "")
    for i in range(400):
        warm = [at(make, 3_100 + i + j / 100, "12") for j in range(50)]
        try:
            box.append(warm)
            taken += 50
        except NeighbourDownError as error:
            said = error
            refused += 50
    assert taken > 50
    assert (said.neighbour, said.again, "quota" in str(said), "restore the link" in said.advice) == (
        "outbox", True, True, True,
    )  # fmt: skip
    assert (box.refused, refused > 0) == (refused, True)
    assert box._used_bytes() <= quota.max_bytes + (16 << 10)
    held = {n.seq: n.fact for n in box.pending(1 << 30)}
    events = [f for f in held.values() if isinstance(f, Event) and f.kind == THINNED]
    assert events
    assert {e.detail["reason"] for e in events} == {"quota_bytes"}
    assert sum(isinstance(f, Reading) and f.value == 12 for f in held.values()) == taken
    told = Ranges(span for e in events for span in ranges_in(e).spans)
    assert Ranges([(2_001, box.usage().numbered_to)]) - Ranges.of(held) == told
    box.close()
    again = SqliteOutbox(tmp_path / "o.db", quota=quota)
    assert {n.seq: n.fact for n in again.pending(1 << 30)} == held
    again.received(Ranges([(1, again.usage().numbered_to)]), Ranges())
    again.append([at(make, 4_000, "12")] * 50)
    again.close()


def test_a_full_disk_thins_when_nothing_receipted_is_left(tmp_path: Path, make: Any) -> None:
    box = SqliteOutbox(tmp_path / "o.db")
    box.append([at(make, i / 4, f"{300 + i % 400}e-2") for i in range(9_000)])
    box._db.execute("VACUUM")
    pages = box._db.execute("PRAGMA page_count").fetchone()[0]
    box._db.execute(f"PRAGMA max_page_count={pages}")
    assert box.append([at(make, 3_000 + i, "9") for i in range(1_000)])
    assert any(isinstance(n.fact, Event) for n in box.pending(1 << 30))
    box.close()
