"""From the journal to the records: what a scale refused, and that nothing of it is lost or doubled."""

from __future__ import annotations

from typing import Any

import pytest

from edge.collect import refusal
from edge.weighing import Refused
from telemetry.errors import NeighbourDownError
from telemetry.readings import Event, Stamp, Sync

MINUTE = 60_000


def refused(reason: str, t_ms: int) -> Event:
    """As the edge writes it."""
    return refusal("SC-1", Refused(reason, b"ST 5.40"), Stamp("b1", 10, t_ms, Sync.SYNCED))


def kept(world: Any) -> list[tuple[str, str, int]]:
    return [(r.device, r.reason, r.at_ms) for r in world.records.scale_refusals("S1", 0, 10)]


def test_a_refusal_and_a_call_for_zero_come_to_the_records_once(world: Any, start: int) -> None:
    world.alerts.start()
    world.say(refused("same_as_before", start - MINUTE), refused("set_zero", start))
    world.at(1)
    both = [("SC-1", "set_zero", start), ("SC-1", "same_as_before", start - MINUTE)]
    assert kept(world) == both
    world.again()
    world.at(1.1)
    assert kept(world) == both


def test_records_that_are_away_get_it_when_they_answer(
    world: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise NeighbourDownError("records", "away")

    world.alerts.start()
    world.say(refused("load_left", start))
    with monkeypatch.context() as patch:
        patch.setattr(world.records, "save_scale_refusals", away)
        with pytest.raises(NeighbourDownError):
            world.at(1)
        assert kept(world) == []
    world.at(1.1)
    assert kept(world) == [("SC-1", "load_left", start)]


def test_words_that_the_records_cannot_hold_do_not_stop_the_line(
    world: Any, start: int, caplog: pytest.LogCaptureFixture
) -> None:
    world.alerts.start()
    world.say(refused("load_left\0", start), refused("unstable", start))
    world.at(1)
    assert kept(world) == [("SC-1", "unstable", start)]
    assert "was not recorded" in caplog.text


def test_a_reason_of_any_length_is_kept_by_its_first_64_characters(world: Any, start: int) -> None:
    world.alerts.start()
    world.say(refused("x" * 65, start - MINUTE), refused("y" * 64, start))
    world.at(1)
    assert [reason for _, reason, _ in kept(world)] == ["y" * 64, "x" * 64]
