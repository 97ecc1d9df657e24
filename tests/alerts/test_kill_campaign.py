"""The kill campaign's short form: the real process, real SIGKILLs, a comparison with a judgement from scratch; and the
control: of a service that is broken on purpose the same comparison says what is wrong with it.

The long form is ``make kill-alerts``. Both wait for facts; the time-out is for what never comes to an end.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.alerts_kills_campaign import Campaign
from benchmarks.alerts_kills_sabotage import NAMED

pytestmark = pytest.mark.timeout(1800)


def test_sigkills_while_entries_arrive_lose_double_and_forget_no_alarm(tmp_path: Path) -> None:
    """Issue 4. In a start, after it, when a claim of a message stands, and when one has arrived and is not noted."""
    kinds = ("moment", "start", "claim", "message")
    with closing(Campaign(tmp_path, 7, kinds=kinds)) as killed:
        outcome = killed.run(len(kinds))
        assert not outcome.faults.any(), outcome.faults.say()
        assert killed.kills == sum(killed.where.values()) == len(kinds)
        assert outcome.alarms == outcome.found
        assert min(outcome.alarms, outcome.told, killed.people.done) > 0
        assert "Traceback" not in killed.log_path.read_text()


@pytest.mark.parametrize("sabotage", ["noted_first", "told_again", "never_reclaimed"])
def test_of_a_broken_service_the_comparison_says_what_is_wrong(tmp_path: Path, sabotage: str) -> None:
    """An alarm lost, doubled, forgotten: one kill is enough, and the fault has its name."""
    with closing(Campaign.broken(tmp_path, 7, sabotage)) as killed:
        faults = killed.run(1).faults
        assert vars(faults)[NAMED[sabotage]], faults.say()
        assert not faults.facts, faults.say()
