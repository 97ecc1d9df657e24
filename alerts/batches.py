"""Verdicts kept up to date: which batches to judge again, from what, and what to save.

A batch is judged from all its placements and all readings of the places it stood in (``alerts.exposure``), so a
placement told late, a reading that came late or a VVM read by a person each change the verdict by the same door.
Findings of a batch are saved beside those of the equipment; they ask for an answer of their own only where no
alarm of the equipment already asks for the same excursion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from alerts.convert import record_of, rule_finding_of
from alerts.exposure import Placement, expose
from alerts.rules import Profile, Profiles, ReadingFact, RuleFinding, reconcile
from alerts.verdicts import (
    UNKNOWN_PRODUCT,
    BatchVerdict,
    VvmSeen,
    VvmStage,
    builtin_products,
    judge_batch,
)
from gateway.records import Batch, Finding, FindingKind, Records, Verdict


class BatchJudge:
    """Holds the readings by equipment; everything else is read from the records when it is needed."""

    def __init__(self, records: Records, catalogue: Mapping[str, Profile]) -> None:
        self._records = records
        self._catalogue = catalogue
        self._products = builtin_products()
        self._facts: dict[str, list[ReadingFact]] = defaultdict(list)

    def load(self, facts: Iterable[ReadingFact]) -> None:
        """Start over with these facts."""
        self._facts.clear()
        self.add(facts)

    def add(self, facts: Iterable[ReadingFact]) -> None:
        for fact in facts:
            self._facts[fact.equipment].append(fact)

    def judge(self, equipment: set[str], profiles: Profiles, now_ms: int, *, everything: bool = False) -> list[str]:
        """Judge the batches that stood in these equipments (or all); ids of those whose verdict changed."""
        if not equipment and not everything:
            return []
        stays: dict[str, list[Placement]] = defaultdict(list)
        for p in self._records.placements():
            stays[p.batch].append(Placement(p.batch, p.equipment, p.from_ms, p.to_ms))
        changed = []
        for batch in self._records.batches():
            places = stays.get(batch.id, [])
            if (everything or any(p.equipment in equipment for p in places)) and self._judge_one(
                batch, places, profiles, now_ms
            ):
                changed.append(batch.id)
        return changed

    def _judge_one(self, batch: Batch, stays: Sequence[Placement], profiles: Profiles, now_ms: int) -> bool:
        product = self._products.get(batch.product_kfa)
        limits = self._catalogue[(product or UNKNOWN_PRODUCT).profile]
        facts = [f for e in {p.equipment for p in stays} for f in self._facts.get(e, ())]
        exposure = expose(batch.id, stays, facts, profiles, limits, now_ms)
        seen = [
            VvmSeen(VvmStage(str(v.stage)), v.at_ms, v.by) for v in self._records.vvm_observations(batch=batch.id)
        ]
        self._save_findings(batch, exposure.findings if exposure else (), {p.equipment for p in stays}, now_ms)
        made = judge_batch(batch.id, product, exposure, seen, now_ms)
        if exposure is None and not seen:
            return False
        return self._save_verdict(made, now_ms)

    def _save_findings(self, batch: Batch, found: Sequence[RuleFinding], places: set[str], now_ms: int) -> None:
        said = [rule_finding_of(f) for f in self._records.findings(batch=batch.id) if f.kind != FindingKind.WITHDRAWN]
        to_save, _ = reconcile(said, found, now_ms)
        if not to_save:
            return
        asked = [f for e in places for f in self._records.findings(equipment=e) if f.batch is None]
        rows = [record_of(f, batch.site) for f in to_save]
        self._records.save_findings([_quiet_where_asked(row, asked) for row in rows], now_ms)

    def _save_verdict(self, made: BatchVerdict, now_ms: int) -> bool:
        reasons: tuple[dict[str, Any], ...] = tuple(
            {"code": r.code, "asks_for": r.asks_for.value, "text": r.text, "findings": list(r.findings)}
            for r in made.reasons
        )
        latest = self._records.verdict(made.batch)
        if latest is not None and (latest.verdict, latest.findings) == (made.verdict.value, made.findings):
            codes = [r["code"] for r in latest.reasons if isinstance(r, dict)]
            if codes == [r["code"] for r in reasons]:
                return False
        verdict = Verdict("", made.batch, made.verdict.value, reasons, made.findings, made.judged_ms)
        self._records.save_verdicts([verdict], now_ms)
        return True


def _quiet_where_asked(finding: Finding, asked: Iterable[Finding]) -> Finding:
    """The batch's finding without an alarm of its own where the equipment's alarm asks for the same excursion."""
    same = any(
        f.alarms
        and f.code == finding.code
        and f.kind != FindingKind.WITHDRAWN
        and f.episode_start_ms <= finding.event_ms
        and (f.end_ms is None or finding.episode_start_ms <= f.end_ms)
        for f in asked
    )
    return replace(finding, alarms=False) if same else finding
