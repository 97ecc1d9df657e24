"""Promise 8: undated readings wait for an anchor of their boot; the raw stamp is never rewritten (devices.md 7)."""

from __future__ import annotations

from typing import Any

from edge.anchor import Anchorer
from edge.outbox import Outbox
from telemetry.contract import Upload, decode_upload, encode_upload
from telemetry.readings import Event, Numbered, Sync


def anchors(outbox: Outbox) -> list[Numbered]:
    return [n for n in outbox.pending(99) if isinstance(n.fact, Event) and n.fact.kind == "clock_anchored"]


def test_an_unsynced_clock_gives_no_anchor(outbox: Outbox, clock: Any) -> None:
    clock.state = Sync.UNSYNCED
    anchorer = Anchorer("E1", clock, outbox)
    assert anchorer.look(0) is False
    assert (anchorer.synced, outbox.pending(9)) == (False, [])


def test_when_the_clock_becomes_synced_the_boots_undated_readings_are_dated(
    outbox: Outbox, clock: Any, make: Any
) -> None:
    """The Pi booted in 1970; a reading 100 s before the sync is dated 100 s before it."""
    clock.state, clock.wall_ms = Sync.UNSYNCED, 1_000
    anchorer = Anchorer("E1", clock, outbox)
    anchorer.look(0)
    outbox.append([make.undated(clock.boot_ns), make.undated(clock.boot_ns, "another-boot")])
    clock.go(100)
    clock.state, clock.wall_ms = Sync.SYNCED, 1_800_000_000_000
    assert anchorer.look(0)
    first, other, anchor = (n.fact for n in outbox.pending(9))
    assert first.sampled_at_ms == 1_800_000_000_000 - 100_000
    assert (first.stamp.sync, first.stamp.wall_ms) == (Sync.UNSYNCED, 1_000)
    assert other.sampled_at_ms is None
    assert isinstance(anchor, Event)
    assert (anchor.detail["boottime_ns"], anchor.detail["utc_ms"]) == (clock.boot_ns, clock.wall_ms)


def test_what_was_sent_undated_stays_as_it_was_sent(outbox: Outbox, clock: Any, make: Any) -> None:
    """One number never means two facts: the server dates it by the anchor event and the same sum."""
    outbox.append([make.undated(1), make.undated(2)])
    Anchorer("E1", clock, outbox).look(sent_to=1)
    times = [n.fact.sampled_at_ms for n in outbox.pending(2)]
    assert times[0] is None
    assert times[1] is not None


def test_a_boot_is_anchored_once_also_over_a_restart_of_the_agent(outbox: Outbox, clock: Any, make: Any) -> None:
    for _ in range(3):
        anchorer = Anchorer("E1", clock, outbox)
        anchorer.look(0)
        anchorer.look(0)
    assert len(anchors(outbox)) == 1
    clock.boot = "boot-2"
    Anchorer("E1", clock, outbox).look(0)
    assert len(anchors(outbox)) == 2


def test_an_anchor_keeps_the_contract(outbox: Outbox, clock: Any) -> None:
    Anchorer("E1", clock, outbox).look(0)
    facts = tuple(anchors(outbox))
    assert decode_upload(encode_upload(Upload("events", "E1", outbox.epoch, clock.now_ms(), facts))).facts == facts
