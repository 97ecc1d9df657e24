"""Group commit: fewer fsyncs, and nothing that was accepted is lost, nothing doubled, no hint without its fact."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.anchor import Anchorer
from edge.commit import GroupCommit
from edge.config import BleSettings, DeviceSettings
from edge.decoders import bthome
from edge.decoders.frames import Advert
from edge.grouping import GROUP_FACTS, Group, Reason, due_ns, joined, why_at_once
from edge.limits import Limits
from edge.outbox import MemoryOutbox, SqliteOutbox
from edge.sources.ble import BleSource
from edge.supervisor import Outage
from telemetry.clock import stamp
from telemetry.errors import NeighbourDownError
from telemetry.readings import Fact, Origin, Quality, Ranges

WINDOW_S = 5.0
WINDOW_NS = 5_000_000_000


def grouped(inner: MemoryOutbox | SqliteOutbox, clock: Any) -> GroupCommit:
    return GroupCommit(inner, clock, WINDOW_S, Limits())


class RefusingOutbox(MemoryOutbox):
    """A disk that is full while ``full`` is set; counts its commits."""

    full = False
    commits = 0

    def append(self, facts: Sequence[Fact], hints: Mapping[str, str] = {}) -> Ranges:
        if self.full:
            raise NeighbourDownError("outbox", "database or disk is full")
        self.commits += 1
        return super().append(facts, hints)


def test_readings_of_a_round_share_one_commit(clock: Any, make: Any) -> None:
    inner = RefusingOutbox()
    box = grouped(inner, clock)
    for i in range(10):
        assert box.append([make.reading(f"LOG-{i}/temperature_c")], {f"heard:LOG-{i}": "1"}) == Ranges()
    assert (inner.commits, box.waiting, box.usage().numbered_to, box.pending(99)) == (0, 10, 0, [])
    clock.go(WINDOW_S)
    assert box.commit_due(clock.boottime_ns())
    assert (inner.commits, box.waiting, len(box.pending(99))) == (1, 0, 10)


def test_the_window_begins_with_the_first_that_waits(clock: Any, make: Any) -> None:
    """A steady drip does not put the commit off for ever."""
    inner = RefusingOutbox()
    box = grouped(inner, clock)
    for _ in range(6):
        box.append([make.reading()])
        box.commit_due(clock.boottime_ns())
        clock.go(1)
    assert (inner.commits, box.waiting) == (1, 0) or box.commit_due(clock.boottime_ns())
    assert inner.commits == 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("event", Reason.EVENT),
        ("weighing", Reason.WEIGHING),
        ("memory", Reason.READ_BACK),
        ("warm", Reason.BEYOND_LIMIT),
        ("cold", Reason.BEYOND_LIMIT),
        ("nothing", Reason.HINT),
        ("plain", None),
        ("fault", None),
        ("rssi", None),
    ],
)
def test_what_cannot_wait_says_why(make: Any, kind: str, reason: Reason | None) -> None:
    facts: dict[str, list[Fact]] = {
        "event": [make.reading(), make.event()],
        "weighing": [make.weighing()],
        "memory": [replace(make.reading(), origin=Origin.MEMORY)],
        "warm": [make.reading(value="8.01")],
        "cold": [make.reading(value="1.99")],
        "nothing": [],
        "plain": [make.reading(value="8"), make.reading(value="2")],
        "fault": [replace(make.reading(), value=None, quality=Quality.SENSOR_FAULT)],
        "rssi": [make.reading("LOG-1/rssi_dbm", "-90")],
    }
    assert why_at_once(Group(), facts[kind], Limits(), WINDOW_NS) is reason


def test_a_group_is_bounded_and_no_window_means_at_once(make: Any) -> None:
    full = joined(Group(), [make.reading()] * GROUP_FACTS, {}, 7)
    assert why_at_once(full, [make.reading()], Limits(), WINDOW_NS) is Reason.FULL
    assert why_at_once(Group(), [make.reading()], Limits(), 0) is Reason.NO_WINDOW
    assert (due_ns(full, 10), due_ns(Group(), 10)) == (17, None)


def test_a_stream_of_a_freezer_has_limits_of_its_own(make: Any) -> None:
    limits = Limits({"temperature_c": (Decimal(2), Decimal(8)), "FRZ-1/temperature_c": (Decimal(-25), Decimal(-15))})
    assert limits.within(make.reading("FRZ-1/temperature_c", "-20"))
    assert limits.beyond(make.reading("FRZ-1/temperature_c", "5"))
    assert limits.within(make.reading("LOG-1/humidity_percent", "99"))


def test_what_is_urgent_takes_along_what_waits_and_keeps_the_order(clock: Any, make: Any) -> None:
    inner = RefusingOutbox()
    box = grouped(inner, clock)
    box.append([make.reading(value="4")], {"a": "1", "b": "1"})
    assert box.append([make.weighing()], {"b": "2"}) == Ranges([(2, 2)])
    assert inner.commits == 1
    assert [n.fact for n in box.pending(9)] == [make.reading(value="4"), make.weighing()]
    assert (inner.hint("a"), inner.hint("b")) == ("1", "2")


def test_a_source_sees_its_hint_before_the_commit_and_doubles_nothing(clock: Any) -> None:
    """Two readers of one packet inside the window: the second one knows it."""
    logger = DeviceSettings("LOG-1", "bthome", "A4:C1:38:00:00:01", interval_s=60)
    inner = MemoryOutbox()
    box = grouped(inner, clock)
    packet = Advert(
        logger.address, -61, {bthome.SERVICE_UUID: bytes([0x40, 0, 1, 1, 97, 2, *(501).to_bytes(2, "little")])}
    )
    for _ in range(2):
        source = BleSource((logger,), BleSettings(), clock, box, lambda: None, Outage("bluetooth"))
        source.take_all([(packet, stamp(clock))])
    assert inner.hint("heard:LOG-1") is None
    box.flush()
    assert inner.usage().numbered_to == 3
    assert inner.hint("heard:LOG-1")


def test_a_full_disk_makes_the_group_wait_and_then_the_source(clock: Any, make: Any) -> None:
    inner = RefusingOutbox()
    inner.full = True
    box = grouped(inner, clock)
    box.append([make.reading()] * GROUP_FACTS, {"k": "1"})
    clock.go(WINDOW_S)
    assert not box.commit_due(clock.boottime_ns())
    with pytest.raises(NeighbourDownError):
        box.append([make.reading()], {"k": "2"})
    with pytest.raises(NeighbourDownError):
        box.append([make.event()])
    assert (box.waiting, box.hint("k")) == (GROUP_FACTS, "1")
    inner.full = False
    assert box.append([make.event()]) == Ranges([(GROUP_FACTS + 1, GROUP_FACTS + 1)])


def test_whoever_must_see_every_fact_sees_those_that_wait(clock: Any, make: Any) -> None:
    box = grouped(MemoryOutbox(), clock)
    box.append([make.reading(t_ms=100)])
    assert box.reading_times("LOG-1/temperature_c", 0, 200) == [100]
    box.append([make.reading(value="3")])
    last = box.last_reading("LOG-1/temperature_c")
    assert last is not None
    assert last.seq == 2


def test_an_anchor_dates_also_what_waits(clock: Any, make: Any) -> None:
    box = grouped(MemoryOutbox(), clock)
    box.append([make.undated(clock.boot_ns)])
    assert Anchorer("E1", clock, box).look(0)
    assert box.pending(1)[0].fact.sampled_at_ms == clock.wall_ms


def test_the_end_of_a_life_commits_what_waits(tmp_path: Path, clock: Any, make: Any) -> None:
    box = grouped(SqliteOutbox(tmp_path / "o.db"), clock)
    box.append([make.reading()], {"k": "1"})
    box.close()
    again = SqliteOutbox(tmp_path / "o.db")
    assert (again.usage().numbered_to, again.hint("k")) == (1, "1")
    again.close()


def test_the_shell_commits_when_the_window_is_over_and_tells_the_uplink(clock: Any, make: Any) -> None:
    """With a clock by hand that runs ahead of real time: nothing is slept for."""

    async def live() -> list[int]:
        told = asyncio.Event()
        inner = MemoryOutbox()
        box = GroupCommit(inner, clock, WINDOW_S, Limits(), told.set)
        running = asyncio.create_task(box.run())
        box.append([make.reading()])
        clock.go(WINDOW_S)
        async with asyncio.timeout(90):
            await told.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return [n.seq for n in inner.pending(9)]

    assert asyncio.run(live()) == [1]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["plain", "warm", "event", "tick", "full", "free", "crash"]), max_size=40))
def test_a_crash_at_any_moment_loses_only_what_was_never_accepted(clock: Any, make: Any, steps: list[str]) -> None:
    """Every fact goes with a hint of its own: what survives is a beginning of what was given, hint and fact together."""
    inner = RefusingOutbox()
    box = grouped(inner, clock)
    given_: list[str] = []  # what the present lives hold, on disk or waiting
    accepted = 0
    for number, step in enumerate(steps):
        name = f"LOG-{number}/temperature_c"
        fact = {"plain": make.reading(name), "warm": make.reading(name, "20"), "event": make.event()}.get(step)
        if step == "tick":
            clock.go(WINDOW_S)
            box.commit_due(clock.boottime_ns())
        elif step in ("full", "free"):
            inner.full = step == "full"
        elif step == "crash":
            box = grouped(inner, clock)
            assert inner.usage().numbered_to >= accepted
            given_ = given_[: inner.usage().numbered_to]
        elif fact is not None:
            try:
                taken = box.append([fact], {f"k{number}": "1"})
            except NeighbourDownError:
                continue
            given_.append(f"k{number}")
            accepted = taken.spans[-1][1] if taken else accepted
        on_disk = inner.usage().numbered_to
        assert [inner.hint(key) for key in given_] == ["1"] * on_disk + [None] * (len(given_) - on_disk)
        assert box.waiting == len(given_) - on_disk
