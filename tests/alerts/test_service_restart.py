"""A kill at every seam of a turn: nothing lost, doubled or forgotten. And the same facts in any order and split."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gateway.records import Actor, Role

MIN = 60_000
HOUR = 60 * MIN
SARI = Actor("Sari", Role.MANAGER)


class Killed(BaseException):
    """As a SIGKILL: nothing after it runs, and nobody may catch it."""


def kill_before(obj: object, name: str) -> None:
    def dies(*_: object, **__: object) -> None:
        raise Killed

    setattr(obj, name, dies)


def kill_after(obj: object, name: str) -> None:
    whole = getattr(obj, name)

    def dies(*args: object, **kwargs: object) -> None:
        whole(*args, **kwargs)
        raise Killed

    setattr(obj, name, dies)


SEAMS: dict[str, Callable[[Any], None]] = {
    "before the facts are kept": lambda w: kill_before(w._memories[0], "add"),
    "inside the commit": lambda w: kill_before(w._memories[0], "set_journal_offset"),
    "after the facts are kept": lambda w: kill_after(w.alerts, "_keep"),
    "before weighings are saved": lambda w: kill_before(w.alerts._records, "save_weighings"),
    "after weighings are saved": lambda w: kill_after(w.alerts._records, "save_weighings"),
    "after weighings are dated": lambda w: kill_before(w._memories[0], "weighing_done"),
    "before findings are saved": lambda w: kill_before(w.alerts._records, "save_findings"),
    "after findings are saved": lambda w: kill_after(w.alerts._records, "save_findings"),
    "before the verdict is saved": lambda w: kill_before(w.alerts._records, "save_verdicts"),
    "after the verdict is saved": lambda w: kill_after(w.alerts._records, "save_verdicts"),
    "after people's changes are read": lambda w: kill_after(w.alerts, "_people_changed"),
    "after the registry is read": lambda w: kill_after(w.alerts._registry, "read"),
    "after homes are found": lambda w: kill_after(w.alerts, "_find_homes"),
}


def story(world: Any, start: int) -> None:
    """Hot A, a device that gets its equipment late, undated readings, weighings, a batch that moves."""
    world.batch("B1")
    world.device("LOG-C", None)
    world.say(*world.temperatures(0, 10.5, "8.5"), *world.temperatures(0, 2, "-3.0", "LOG-C"))
    step_ns = 15 * MIN * 1_000_000
    world.say(*(world.reading(None, "9.5", "LOG-B", ns=i * step_ns) for i in range(43)))
    world.say(world.weighing("W1", "1.5", start), world.weighing("W2", "2.5", None, ns=step_ns))
    world.say(world.anchor(start + 11 * HOUR, 44 * step_ns))
    world.device("LOG-C", "F2")
    world.records.observe_vvm("B1", "B", SARI, "looked", start)
    world.clock.wall_ms = start + 11 * HOUR


def outcome(world: Any) -> dict[str, Any]:
    """All that the service said, but for ids of verdicts' numbers and times of detection."""
    findings = sorted((f.id, str(f.kind), f.event_ms, f.end_ms, f.alarms) for f in world.records.findings())
    return {
        "findings": findings,
        "alarms": sorted(world.alarms(), key=str),
        "verdict": world.verdict("B1"),
        "weighings": sorted((w.id, w.t_ms) for w in world.records.weighings()),
        "captured": [r.action for r in world.records.changes_after(0, 5000) if r.kind == "weighing"].count(
            "weighing_captured"
        ),
    }


@pytest.fixture
def wanted(world: Any, start: int) -> dict[str, Any]:
    """What an undisturbed service says. The findings of a like world are the same: ids come from the facts."""
    return {
        "alarms": [
            ("FRZE", "F2", None, "open"),
            ("HEAT", "F1", None, "open"),
            ("HEAT", "F2", None, "open"),
            ("SILENT", "F2", None, "open"),
        ],
        "verdict": ("hold_and_inspect", ["heat_confirmed", "vvm_stage_b"]),
        "weighings": [("W1", start), ("W2", start + 15 * MIN)],
        "captured": 2,
    }


def test_undisturbed(world: Any, start: int, wanted: dict[str, Any]) -> None:
    world.alerts.start()
    story(world, start)
    world.turn()
    said = outcome(world)
    assert {k: said[k] for k in wanted} == wanted


@pytest.mark.parametrize("seam", SEAMS)
@pytest.mark.parametrize("running", [True, False], ids=["in a turn", "at the start"])
def test_a_kill_at_every_seam(world: Any, start: int, wanted: dict[str, Any], seam: str, running: bool) -> None:
    if running:
        world.alerts.start()
    story(world, start)
    real = world.records
    world.alerts._records = Passing(real)
    for part in (world.alerts._batches, world.alerts._sayings, world.alerts._weighings, world.alerts._registry):
        part._records = world.alerts._records
    SEAMS[seam](world)
    hit = False
    try:
        if not running:
            world.alerts.start()
        world.turn()
    except Killed:
        hit = True
    assert hit or (not running and seam == "after people's changes are read")
    world.again()
    world.turn()
    said = outcome(world)
    assert {k: said[k] for k in wanted} == wanted
    quiet = world.records.newest_change()
    world.again()
    world.turn()
    assert world.records.newest_change() == quiet  # a further start has nothing new to say
    assert world.records.verify_chain("S1").ok


class Passing:
    """The records, with methods that a test may replace without touching the real ones."""

    def __init__(self, records: Any) -> None:
        self._real = records

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_arrival_and_any_restarts_give_the_same(world: Any, start: int, seed: int) -> None:
    """design.md, promise 4: what stands at the end is a function of the facts."""
    dice = random.Random(seed)
    facts = world.temperatures(0, 4.75, "8.5") + world.temperatures(5, 6.25, "8.6") + world.temperatures(6.5, 12, "9")
    facts += world.temperatures(12.25, 14, "5.0")
    dice.shuffle(facts)
    world.batch("B1")
    world.alerts.start()
    while facts:
        size = dice.randint(1, 12)
        world.say(*facts[:size])
        facts = facts[size:]
        world.at(14)
        if dice.random() < 0.3:
            world.again()
    (heat,) = [f for f in world.found("HEAT") if str(f.kind) != "withdrawn"]
    assert (str(heat.kind), heat.event_ms, heat.end_ms) == (
        "confirmed",
        start + 10 * HOUR,
        start + int(12.25 * HOUR),
    )
    assert world.verdict("B1") == ("hold_and_inspect", ["heat_confirmed"])
    asking = [a for a in world.alarms() if a[0] == "HEAT" and a[3] == "open"]
    assert asking == [("HEAT", "F1", None, "open")]
    assert world.records.verify_chain("S1").ok


def test_told_to_stop_in_the_middle_of_a_start_it_goes_no_further_than_to_the_next_stream(
    world: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With years of history a start takes minutes on a loaded machine: SIGTERM is heard in it, the next start does the rest."""
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.5"), *world.temperatures(0, 10, "8.5", "LOG-B"))
    while world.alerts._read_journal():
        pass  # kept, and not judged: as a kill leaves it
    world.clock.wall_ms = start + 10 * HOUR
    alerts = world.again(start=False)
    halt, (memory,) = threading.Event(), world._memories
    read: list[str] = []
    columns = memory.columns

    def told_to_stop_meanwhile(equipment: str, stream: str) -> Any:
        halt.set()
        read.append(stream)
        return columns(equipment, stream)

    monkeypatch.setattr(memory, "columns", told_to_stop_meanwhile)
    alerts.run(halt)
    assert len(read) == 1
    assert world.found("HEAT") == world.found("HEAT", "F2") == []
    world.again()
    assert len(world.found("HEAT")) == len(world.found("HEAT", "F2")) == 1
