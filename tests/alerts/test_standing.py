"""What holds of a batch until a VVM reading is judged: never better than the worst stage read (cold-chain 6, 22)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alerts.exposure import Exposure
from alerts.standing import not_judged_yet, standing
from alerts.verdicts import VerdictWord, VvmSeen, VvmStage, judge_batch

NO_EXPOSURE: Exposure | None = None
STAGES = st.lists(st.sampled_from(VvmStage), max_size=6)


def words(stages: list[VvmStage]) -> tuple[VerdictWord, list[str]]:
    made = judge_batch("B1", None, NO_EXPOSURE, [VvmSeen(s, n, "sari") for n, s in enumerate(stages)], 10)
    return made.verdict, [r.code for r in made.reasons]


def test_22_stage_c_read_after_a_calm_verdict_proposes_the_discard_at_once() -> None:
    assert not_judged_yet(VvmStage.C, []) is VerdictWord.DISCARD_PROPOSED
    assert not_judged_yet(VvmStage.D, ["vvm_stage_c"]) is VerdictWord.DISCARD_PROPOSED
    assert not_judged_yet(VvmStage.B, ["heat_confirmed"]) is VerdictWord.USE_FIRST
    assert standing(VerdictWord.HOLD_AND_INSPECT, VerdictWord.USE_FIRST) is VerdictWord.HOLD_AND_INSPECT
    assert standing(None, VerdictWord.DISCARD_PROPOSED) is VerdictWord.DISCARD_PROPOSED
    assert standing(None, None) is None


@given(STAGES, STAGES)
def test_22_until_it_is_judged_a_batch_is_what_the_judgement_of_its_vvm_will_say(
    before: list[VvmStage], after: list[VvmStage]
) -> None:
    """Over any readings before and after the last verdict; and once judged nothing waits any more."""
    old, old_codes = words(before)
    new, new_codes = words([*before, *after])
    worst = max([*before, *after], default=None)
    assert standing(old, not_judged_yet(worst, old_codes)) is new
    assert not_judged_yet(worst, new_codes) is None
