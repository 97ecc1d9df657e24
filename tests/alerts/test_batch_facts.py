"""What a round of judging holds of the places that it read."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, cast

import pytest

from alerts import batch_facts
from alerts.batch_facts import Round
from alerts.exposure import Placement
from alerts.memory import Memory
from alerts.rules import ReadingFact


class Disk:
    """Ten readings at every place; ``asked`` says which were read."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def facts(self, *, equipment: str, **_: Any) -> Iterator[ReadingFact]:
        self.asked.append(equipment)
        return (ReadingFact(equipment, "A/temperature_c", t, Decimal(5)) for t in range(10))


def read(made: Round, *places: str) -> None:
    for place in places:
        assert len(made.of([Placement("B1", place, 0, 9)])) == 10


def test_a_round_holds_four_places_and_no_more_facts_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two places of ten fit into 25 facts: the third lets go of the first, and short places stay."""
    disk = Disk()
    made = Round(cast("Memory", disk))
    read(made, "F1", "F2", "F3", "F4", "F1")
    assert disk.asked == ["F1", "F2", "F3", "F4"]
    made.end()
    disk.asked.clear()
    monkeypatch.setattr(batch_facts, "_HELD_FACTS", 25)
    read(made, "F1", "F2", "F1", "F3", "F2")
    assert disk.asked == ["F1", "F2", "F3", "F2"]


def test_a_place_longer_than_all_that_may_be_held_is_still_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    monkeypatch.setattr(batch_facts, "_HELD_FACTS", 3)
    read(Round(cast("Memory", disk)), "F1", "F1")
    assert disk.asked == ["F1"]
