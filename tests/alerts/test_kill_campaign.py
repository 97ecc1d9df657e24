"""The kill campaign's short form: the real process, eight kills, and the same comparison finds a broken service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from benchmarks.alerts_kills import Campaign

pytestmark = pytest.mark.timeout(400)


@contextmanager
def campaign(folder: Path, seed: int, sabotage: str = "", kinds: tuple[str, ...] = ()) -> Iterator[Campaign]:
    with closing(Campaign(folder, seed, sabotage)) as made:
        made.kinds = kinds or made.kinds
        yield made


def test_eight_sigkills_while_entries_arrive_lose_double_and_forget_no_alarm(tmp_path: Path) -> None:
    with campaign(tmp_path, 7) as killed:
        outcome = killed.run(8)
        assert not outcome.faults.any(), outcome.faults.say()
        assert (killed.kills, sum(killed.where.values())) == (8, 8)
        assert min(outcome.alarms, outcome.told, killed.people.done) > 0
        assert "Traceback" not in killed.log_path.read_text()


def test_a_service_that_notes_a_message_before_it_leaves_is_found_by_the_same_comparison(tmp_path: Path) -> None:
    with campaign(tmp_path, 7, "noted_first", ("claim",)) as killed:
        outcome = killed.run(4)
        assert outcome.faults.lost
        assert not outcome.faults.facts
