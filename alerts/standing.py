"""What holds of a batch while a VVM reading is in the records that its verdict does not know of. Pure.

A verdict is made a moment after the reading, or much later where the judging process is down. Until then the stage itself
speaks (cold-chain 6, 22): C and D are past the discard point, B is used first; nothing is called better than that.
"""

from __future__ import annotations

from collections.abc import Iterable

from alerts.verdicts import VerdictWord, VvmStage

_ASKS = {
    VvmStage.A: VerdictWord.NO_ACTION,
    VvmStage.B: VerdictWord.USE_FIRST,
    VvmStage.C: VerdictWord.DISCARD_PROPOSED,
    VvmStage.D: VerdictWord.DISCARD_PROPOSED,
}
_STAGE_OF = {f"vvm_stage_{stage.lower()}": stage for stage in VvmStage}  # the reasons of alerts.verdicts


def not_judged_yet(worst: VvmStage | None, reasons: Iterable[str]) -> VerdictWord | None:
    """What the worst stage read asks for, where the verdict with these codes of reasons rests on none or a better one."""
    judged = max((_STAGE_OF[code] for code in reasons if code in _STAGE_OF), default=VvmStage.A)
    return None if worst is None or worst <= judged else _ASKS[worst]


def standing(verdict: VerdictWord | None, asked: VerdictWord | None) -> VerdictWord | None:
    """The stronger of the verdict and of what waits to be judged; None where nothing is known."""
    return max((w for w in (verdict, asked) if w is not None), key=lambda w: w.strength, default=None)
