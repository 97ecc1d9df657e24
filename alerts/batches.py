"""Verdicts kept up to date: which batches to judge again, from what, and what to save.

A batch is judged from all its placements and all readings of the places it stood in (``alerts.exposure``), so a
placement told late, a reading that came late or a VVM read by a person each change the verdict by the same door.
Findings of a batch are saved beside those of the equipment. One asks for an answer of its own only where it asks
something of this product (a freeze-tolerant vaccine in a freezer asks nothing), and where no alarm of the equipment
already asks for the same excursion.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from alerts.convert import only_longer, record_of, rule_finding_of
from alerts.exposure import Exposure, Placement, expose
from alerts.rules import Kind, Level, Profile, Profiles, ReadingFact, RuleFinding, reconcile
from alerts.verdicts import (
    UNKNOWN_PRODUCT,
    BatchVerdict,
    Product,
    VerdictWord,
    VvmSeen,
    VvmStage,
    builtin_products,
    judge_batch,
)
from alerts.vvm import used_percent
from gateway.records import Batch, Decision, Finding, FindingKind, Records, Verdict, VerdictState

_REACH_MS = 86_400_000
"""How far outside a placement a reading may still matter: it holds from before, or shows a gap after."""


class BatchJudge:
    """Holds the readings by equipment, and batches and placements as last read. ``on_alarm``: an alarm opened."""

    def __init__(
        self, records: Records, catalogue: Mapping[str, Profile], on_alarm: Callable[[], None] = lambda: None
    ) -> None:
        self._records = records
        self._on_alarm = on_alarm
        self._catalogue = catalogue
        self._products = builtin_products()
        self._facts: dict[str, list[ReadingFact]] = defaultdict(list)
        self._batches: list[Batch] = []
        self._stays: dict[str, list[Placement]] = {}

    def load(self, facts: Iterable[ReadingFact]) -> None:
        """Start over with these facts."""
        self._facts.clear()
        self.add(facts)

    def add(self, facts: Iterable[ReadingFact]) -> None:
        for fact in facts:
            insort(self._facts[fact.equipment], fact, key=_time)

    def judge_all(self, profiles: Profiles, now_ms: int) -> list[str]:
        """Read batches and placements anew and judge all; ids of the batches whose verdict changed."""
        stays: dict[str, list[Placement]] = defaultdict(list)
        for p in self._records.placements():
            stays[p.batch].append(Placement(p.batch, p.equipment, p.from_ms, p.to_ms))
        self._stays = dict(stays)
        self._batches = self._records.batches()
        return [b.id for b in self._batches if self._judge_one(b, profiles, now_ms)]

    def judge(self, touched: Mapping[str, int], profiles: Profiles, now_ms: int) -> list[str]:
        """Judge the batches that stood in these equipments when, or after, something new happened there.

        ``touched``: equipment -> time of the earliest new fact. Ids of the batches whose verdict changed.
        """
        if not touched:
            return []
        met = [b for b in self._batches if any(_meets(p, touched) for p in self._stays.get(b.id, ()))]
        return [b.id for b in met if self._judge_one(b, profiles, now_ms)]

    def _judge_one(self, batch: Batch, profiles: Profiles, now_ms: int) -> bool:
        stays = self._stays.get(batch.id, [])
        latest = self._records.verdict(batch.id)
        if latest is not None and latest.decision == Decision.DISCARDED:
            return False  # it is gone for good; what was judged stays as it was
        product = self._products.get(batch.product_kfa)
        limits = self._catalogue[(product or UNKNOWN_PRODUCT).profile]
        exposure = expose(batch.id, stays, self._facts_of(stays), profiles, limits, now_ms)
        seen = [
            VvmSeen(VvmStage(str(v.stage)), v.at_ms, v.by) for v in self._records.vvm_observations(batch=batch.id)
        ]
        used = _used(product, exposure)
        made = judge_batch(batch.id, product, exposure, seen, now_ms, used)
        self._save_findings(batch, exposure.findings if exposure else (), made, {p.equipment for p in stays}, now_ms)
        if exposure is None and not seen:
            return False
        return self._save_verdict(made, exposure.unknown_s if exposure else 0, latest, now_ms)

    def _facts_of(self, stays: Sequence[Placement]) -> list[ReadingFact]:
        """The readings of the places, from a day before the first placement there to a day after the last."""
        spans: dict[str, tuple[int, int | None]] = {}
        for p in stays:
            low, high = spans.get(p.equipment, (p.from_ms, p.to_ms))
            open_end = high is None or p.to_ms is None
            spans[p.equipment] = (min(low, p.from_ms), None if open_end else max(high or 0, p.to_ms or 0))
        out: list[ReadingFact] = []
        for equipment, (low, high) in spans.items():
            facts = self._facts.get(equipment, [])
            start = bisect_left(facts, low - _REACH_MS, key=_time)
            end = len(facts) if high is None else bisect_right(facts, high + _REACH_MS, key=_time)
            out += facts[start:end]
        return out

    # --- findings of a batch ---

    def _save_findings(
        self, batch: Batch, found: Sequence[RuleFinding], made: BatchVerdict, places: set[str], now_ms: int
    ) -> None:
        kept = {f.id: f for f in self._records.findings(batch=batch.id) if f.kind != FindingKind.WITHDRAWN}
        if not kept and not found:
            return
        said = {i: rule_finding_of(f) for i, f in kept.items()}
        changed, _ = reconcile(said.values(), found, now_ms)
        news = [_with_past(f, said.get(f.finding_id)) for f in changed]
        rows = {
            f.finding_id: record_of(f, batch.site)
            for f in news
            if f.finding_id not in said or not only_longer(said[f.finding_id], f)
        }
        asking = _asking(found, made)
        asked = [f for e in places for f in self._records.findings(equipment=e) if f.batch is None] if asking else []
        for i, row in {**kept, **rows}.items():
            asks = i in asking and not _asked_already(row, asked)
            if row.kind != FindingKind.WITHDRAWN and (i in rows or row.alarms != asks):
                rows[i] = replace(row, alarms=asks)
        if rows and self._records.save_findings(list(rows.values()), now_ms).opened:
            self._on_alarm()

    # --- verdicts ---

    def _save_verdict(self, made: BatchVerdict, unknown_s: int, latest: Verdict | None, now_ms: int) -> bool:
        reasons: list[dict[str, Any]] = []
        for r in made.reasons:
            reason: dict[str, Any] = {"code": r.code, "asks_for": r.asks_for.value, "text": r.text}
            reason["findings"] = list(r.findings)
            if r.code == "unknown_exposure":
                reason["unknown_s"] = unknown_s
            reasons.append(reason)
        if latest is not None and _says_the_same(latest, made, reasons):
            return False
        verdict = Verdict("", made.batch, made.verdict.value, tuple(reasons), made.findings, made.judged_ms)
        self._records.save_verdicts([verdict], now_ms)
        return True


def _time(fact: ReadingFact) -> int:
    return fact.t_ms


def _meets(stay: Placement, touched: Mapping[str, int]) -> bool:
    earliest_ms = touched.get(stay.equipment)
    return earliest_ms is not None and (stay.to_ms is None or earliest_ms <= stay.to_ms + _REACH_MS)


def _used(product: Product | None, exposure: Exposure | None) -> Any:
    """Life of the VVM used by the model, in percent (it can add a hold, cold-chain 6, 22), or None."""
    if product is None or product.vvm_type is None or exposure is None:
        return None
    return used_percent(product.vvm_type, exposure.timeline)


def _with_past(finding: RuleFinding, said: RuleFinding | None) -> RuleFinding:
    """What a finding once took the place of stays said, also when it goes on."""
    return replace(finding, supersedes=said.supersedes) if said is not None and not finding.supersedes else finding


def _asking(found: Iterable[RuleFinding], made: BatchVerdict) -> set[str]:
    """The alarms among the findings on which the verdict rests for more than "no action"."""
    for_more = {i for r in made.reasons if r.asks_for is not VerdictWord.NO_ACTION for i in r.findings}
    return {
        f.finding_id
        for f in found
        if f.level is Level.ALARM and f.kind is not Kind.WITHDRAWN and f.finding_id in for_more
    }


def _asked_already(finding: Finding, asked: Iterable[Finding]) -> bool:
    """Whether an alarm of the equipment asked for the same excursion before the batch's own alarm was due."""
    return any(
        f.alarms
        and f.code == finding.code
        and f.kind in (finding.kind, FindingKind.CONFIRMED)
        and f.event_ms <= finding.event_ms
        and (f.end_ms is None or finding.episode_start_ms <= f.end_ms)
        for f in asked
    )


def _says_the_same(latest: Verdict, made: BatchVerdict, reasons: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last verdict still stands. What a person decided covers the unknown time up to then, not more."""
    if (latest.verdict, tuple(sorted(latest.findings))) != (made.verdict.value, tuple(sorted(made.findings))):
        return False
    old = {str(r["code"]): r for r in latest.reasons if isinstance(r, Mapping) and "code" in r}
    new = {str(r["code"]): r for r in reasons}
    if set(old) != set(new):
        return False
    grown = any(int(r.get("unknown_s", 0)) > int(old[code].get("unknown_s", 0)) for code, r in new.items())
    return not (grown and latest.state == VerdictState.DECIDED)
