"""The verdict on a batch: the strongest of ``design.md``'s table, with named reasons. Pure; nothing clears itself.

    discard proposed > shake test > hold and inspect > use first > no action

VVM stage C or D: discard proposed. VVM stage B: use first. HEAT confirmed: hold and inspect (read the VVM); so does
an alarm at a low limit that is none of freezing's (LOW, COLD, a site's own). Any
possible or unknown exposure: hold and inspect. Freezing by freeze class (cold-chain 6, 23): sensitive with a valid
shake test -> shake test; sensitive without -> hold and inspect; tolerant -> no action, but never its diluent. A
model of VVM life may add a hold and never takes one away (cold-chain 6, 22). Release and discard are a named
person's act.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from alerts.exposure import BudgetUse, Exposure
from alerts.products import UNKNOWN_PRODUCT, FreezeClass, Product
from alerts.rules.facts import milli
from alerts.rules.finding import Kind, Level, RuleFinding
from alerts.rules.limits import Comparator


class VerdictWord(StrEnum):
    """From the weakest to the strongest."""

    NO_ACTION = "no_action"
    USE_FIRST = "use_first"
    HOLD_AND_INSPECT = "hold_and_inspect"
    SHAKE_TEST = "shake_test"
    DISCARD_PROPOSED = "discard_proposed"

    @property
    def strength(self) -> int:
        return list(VerdictWord).index(self)


class VvmStage(StrEnum):
    """SMILE's grades: the square against the circle. C is the discard point, D beyond it."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"


@dataclass(frozen=True, slots=True)
class VvmSeen:
    """A person read the VVM of a batch."""

    stage: VvmStage
    at_ms: int
    by: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a stable code, the verdict it asks for, the findings it rests on, a sentence in plain English.

    ``params`` are the facts in the sentence, for one in another language; their names carry the unit.
    """

    code: str
    asks_for: VerdictWord
    text: str
    findings: tuple[str, ...] = ()
    params: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchVerdict:
    """A proposal until a named person decides. The same facts give the same ``verdict_id``."""

    verdict_id: str
    batch: str
    verdict: VerdictWord
    reasons: tuple[Reason, ...]
    findings: tuple[str, ...]
    judged_ms: int


# --- verdict ----------------------------------------------------------------------------------------------

# Heat is told by the rule's shape and not by its code, so that a limit somebody adds to a profile cannot alarm and yet
# be forgotten by the verdict. The codes of freezing that ask for a verdict of their own (a shake test) are named; any other
# alarm at a low limit holds the batch.
_UPWARD = frozenset(str(c) for c in Comparator if c.high)
_DOWNWARD = frozenset(str(c) for c in Comparator if not c.high)
_FREEZE_CODES = frozenset({"FRZE", "FREEZE_POSSIBLE", "STOCK_CHECK"})
_MODEL_FULL_PERCENT = Decimal(100)

WRONG_STORAGE = "WRONG_STORAGE"
WENT_ON = "went_on_after_release"
SINCE_RELEASE = "level_warm_since_release_s"
IN_FREEZER, NOT_FROZEN = "in_freezer", "not_frozen"  # the ``reason`` of such a finding (``alerts.storage``)


def judge_batch(
    batch: str,
    product: Product | None,
    exposure: Exposure | None,
    seen: Sequence[VvmSeen],
    now_ms: int,
    vvm_used_percent: Decimal | None = None,
    storage: Sequence[RuleFinding] = (),
    budgets: Sequence[BudgetUse] = (),
) -> BatchVerdict:
    """The verdict from all that is known of a batch. ``product`` None: not in the table, treated as freeze-sensitive.

    ``vvm_used_percent``: the model's estimate of VVM life used (``alerts.vvm``), or None. ``storage``: its
    WRONG_STORAGE findings (``alerts.storage``), which need no reading. ``budgets``: what is used of its label's.
    """
    item = UNKNOWN_PRODUCT if product is None else product
    reasons: list[Reason] = []
    if product is None:
        reasons.append(Reason("unknown_product", VerdictWord.NO_ACTION, "product not in the table: judged with care"))
    reasons += _vvm_reasons(seen, vvm_used_percent)
    reasons += _storage_reasons(storage)
    reasons += _budget_reasons(budgets)
    if exposure is not None:
        standing = [f for f in exposure.findings if f.kind is not Kind.WITHDRAWN]
        reasons += _heat_reasons(standing)
        reasons += _freeze_reasons(standing, item)
        reasons += _cold_reasons(standing)
        if (warm := exposure.level_warm).total_s > 0:
            text = f"{warm.total_s // 60} minutes in all warmer than it may be stored at its level: read the VVM"
            params: dict[str, str | int] = {"level_warm_s": warm.total_s, SINCE_RELEASE: warm.since_release_s}
            reasons.append(Reason("above_level_range", VerdictWord.HOLD_AND_INSPECT, text, (), params))
        if exposure.unknown_s > 0:
            text = f"{exposure.unknown_s // 60} minutes of its history are unknown; unknown is never called in range"
            reasons.append(
                Reason("unknown_exposure", VerdictWord.HOLD_AND_INSPECT, text, (), {"unknown_s": exposure.unknown_s})
            )
    word = max((r.asks_for for r in reasons), key=lambda w: w.strength, default=VerdictWord.NO_ACTION)
    reasons.sort(key=lambda r: (-r.asks_for.strength, r.code, r.findings))
    findings = tuple(sorted({i for r in reasons for i in r.findings}))
    return BatchVerdict(_verdict_id(batch, word, reasons), batch, word, tuple(reasons), findings, now_ms)


def never_below_hold(made: BatchVerdict, unmarked: BatchVerdict) -> BatchVerdict:
    """What people marked may weaken a verdict to "hold and inspect", and no further (requirement 12).

    ``unmarked``: the verdict as if no reading were marked. A named person then releases the batch, with a reason.
    """
    hold = VerdictWord.HOLD_AND_INSPECT
    if unmarked.verdict.strength < hold.strength or made.verdict.strength >= hold.strength:
        return made
    reason = Reason(
        "marked_readings", hold, "without the readings that people marked it would not be held: look at it"
    )
    reasons = (reason, *made.reasons)
    return replace(made, verdict_id=_verdict_id(made.batch, hold, reasons), verdict=hold, reasons=reasons)


def goes_on_after(
    made: BatchVerdict, findings: Sequence[RuleFinding], facts: Iterable[tuple[int, Decimal]], released_ms: int
) -> Reason | None:
    """Why a release no longer covers a batch: an excursion behind the verdict was out of limit at a later reading.

    A release speaks of what was known at ``released_ms``. ``facts``: (time, value) of the readings
    of its places while it stood there.
    Findings without a limit (WRONG_STORAGE) have no readings of their own; the cold that follows has.
    """
    for_more = {i for r in made.reasons if r.asks_for is not VerdictWord.NO_ACTION for i in r.findings}
    open_then = [
        f
        for f in findings
        if f.finding_id in for_more and f.limit_c is not None and (f.end_ms is None or f.end_ms > released_ms)
    ]
    late = [(t_ms, milli(value_c)) for t_ms, value_c in facts if t_ms > released_ms]
    ids = tuple(sorted(f.finding_id for f in open_then if any(_is_out(f, *fact) for fact in late)))
    if not ids:
        return None
    text = "the excursion went on after the batch was released: decide again"
    return Reason("went_on_after_release", made.verdict, text, ids, {"released_ms": released_ms})


def _is_out(f: RuleFinding, t_ms: int, value_m: int) -> bool:
    if f.limit_c is None or t_ms < f.episode_start_ms or (f.end_ms is not None and t_ms > f.end_ms):
        return False
    return Comparator(f.comparator).beyond(value_m, milli(f.limit_c))


def _verdict_id(batch: str, word: VerdictWord, reasons: Iterable[Reason]) -> str:
    body = "|".join([batch, word, *(f"{r.code}:{','.join(r.findings)}" for r in reasons)])
    return f"verdict-{hashlib.sha256(body.encode()).hexdigest()[:16]}"


def _vvm_reasons(seen: Sequence[VvmSeen], used: Decimal | None) -> list[Reason]:
    """A VVM only darkens: the worst stage ever read counts. It outranks the model, which can only add a hold."""
    out: list[Reason] = []
    worst = max(seen, key=lambda v: (v.stage, -v.at_ms), default=None)
    if worst is not None and (better := [v for v in seen if v.at_ms > worst.at_ms and v.stage < worst.stage]):
        last = max(better, key=lambda v: v.at_ms)
        text = (
            f"{last.by} read stage {last.stage} after stage {worst.stage}; a VVM only darkens, the worse one counts"
        )
        facts = {"by": last.by, "stage": last.stage.value, "worst_stage": worst.stage.value}
        out.append(Reason("vvm_went_back", VerdictWord.NO_ACTION, text, (), facts))
    if worst is not None and worst.stage in (VvmStage.C, VvmStage.D):
        text = f"{worst.by} read VVM stage {worst.stage}: past the discard point"
        code = f"vvm_stage_{worst.stage.lower()}"
        return [*out, Reason(code, VerdictWord.DISCARD_PROPOSED, text, (), _seen(worst))]
    if worst is not None and worst.stage is VvmStage.B:
        text = f"{worst.by} read VVM stage B: use before stage A"
        out.append(Reason("vvm_stage_b", VerdictWord.USE_FIRST, text, (), _seen(worst)))
    if used is not None and used > _MODEL_FULL_PERCENT:
        text = f"the model estimates {used} % of VVM life used; read the VVM, it decides"
        out.append(Reason("vvm_model_over", VerdictWord.HOLD_AND_INSPECT, text, (), {"used_percent": str(used)}))
    return out


def _seen(v: VvmSeen) -> dict[str, str | int]:
    return {"stage": v.stage.value, "by": v.by, "seen_ms": v.at_ms}


def _storage_reasons(storage: Sequence[RuleFinding]) -> list[Reason]:
    """cold-chain 6, 27: a freezer asks for a look at once, not after its cold was measured for an hour."""
    frozen = tuple(f.finding_id for f in storage if f.reason == IN_FREEZER)
    warm = tuple(f.finding_id for f in storage if f.reason == NOT_FROZEN)
    out: list[Reason] = []
    if frozen:
        text = "it stood in a freezer and must never freeze: take it out and look for freezing"
        out.append(Reason("wrong_storage_freezer", VerdictWord.HOLD_AND_INSPECT, text, frozen))
    if warm:
        text = "at this level it belongs in a freezer; it stood at 2 to 8 C: read the VVM, it decides"
        out.append(Reason("wrong_storage_not_frozen", VerdictWord.NO_ACTION, text, warm))
    return out


def _budget_reasons(budgets: Iterable[BudgetUse]) -> list[Reason]:
    """A budget that is used up holds the batch; one that is not used up clears nothing (a heat alarm still holds it)."""
    over = [b for b in budgets if b.over]
    if not over:
        return []
    worst = max(over, key=lambda b: (b.used_s - b.allowed_s, b.code))
    said = ", ".join(f"{b.code} {b.used_s // 60} of {b.allowed_s // 60} minutes" for b in over)
    params: dict[str, str | int] = {"budget": worst.code, "used_s": worst.used_s, "allowed_s": worst.allowed_s}
    text = f"more time outside its range than its label allows: {said}"
    return [Reason("budget_over", VerdictWord.HOLD_AND_INSPECT, text, (), params)]


def _heat_reasons(standing: Sequence[RuleFinding]) -> list[Reason]:
    heat = [f for f in standing if f.level is Level.ALARM and f.comparator in _UPWARD]
    return _holds(
        heat,
        (Kind.CONFIRMED, "heat_confirmed", "heat alarm in its history: read the VVM"),
        (Kind.POSSIBLE, "heat_possible", "a heat alarm cannot be excluded: read the VVM"),
    )


def _cold_reasons(standing: Sequence[RuleFinding]) -> list[Reason]:
    """An alarm at a low limit by another code than freezing's own asks for a look, whatever the product may stand."""
    alarms = (f for f in standing if f.level is Level.ALARM and f.comparator in _DOWNWARD)
    return _holds(
        [f for f in alarms if f.code not in _FREEZE_CODES],
        (Kind.CONFIRMED, "cold_confirmed", "alarm at a low limit in its history: look at the stock"),
        (Kind.POSSIBLE, "cold_possible", "an alarm at a low limit cannot be excluded: look at the stock"),
    )


def _holds(found: Sequence[RuleFinding], *rows: tuple[Kind, str, str]) -> list[Reason]:
    """One hold for each (kind, code, text) that a finding is of."""
    ids = {kind: tuple(f.finding_id for f in found if f.kind is kind) for kind, _, _ in rows}
    return [Reason(code, VerdictWord.HOLD_AND_INSPECT, text, ids[kind]) for kind, code, text in rows if ids[kind]]


def _freeze_reasons(standing: Sequence[RuleFinding], product: Product) -> list[Reason]:
    frozen = [f for f in standing if f.code in _FREEZE_CODES]
    sure = tuple(f.finding_id for f in frozen if f.code == "FRZE" and f.kind is Kind.CONFIRMED)
    maybe = tuple(f.finding_id for f in frozen if f.finding_id not in sure)
    if not frozen:
        return []
    if product.freeze_class is FreezeClass.TOLERANT:
        return _tolerant(product, sure + maybe)
    out: list[Reason] = []
    if sure and product.shake_test_valid:
        text = "freeze alarm in its history: hold it and do the shake test against a frozen control"
        out.append(Reason("freeze_shake_test", VerdictWord.SHAKE_TEST, text, sure))
    elif sure:
        text = "freeze alarm in its history; the shake test is not valid for this product"
        out.append(Reason("freeze_no_shake_test", VerdictWord.HOLD_AND_INSPECT, text, sure))
    if maybe:
        text = "freezing cannot be excluded: look at the stock"
        out.append(Reason("freeze_possible", VerdictWord.HOLD_AND_INSPECT, text, maybe))
    return out


def _tolerant(product: Product, ids: tuple[str, ...]) -> list[Reason]:
    out = [Reason("freeze_tolerant", VerdictWord.NO_ACTION, "this vaccine may freeze", ids)]
    if product.has_diluent:
        text = "its diluent must never freeze: hold the diluents that stood in the same place"
        out.append(Reason("diluent_hold", VerdictWord.NO_ACTION, text, ids))
    return out
