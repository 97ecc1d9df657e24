"""Verdicts kept up to date: which batches to judge again, from what, and what to save.

A batch is judged from all its placements and all readings of the places it stood in (``alerts.exposure``), so a
placement told late, a reading that came late or a VVM read by a person each change the verdict by the same door.
Findings of a batch are saved beside those of the equipment. One asks for an answer of its own only where it asks
something of this product (a freeze-tolerant vaccine in a freezer asks nothing), and where no alarm of the equipment
already asks for the same excursion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from alerts.batch_facts import Round
from alerts.convert import only_longer, record_of, rule_finding_of, with_past
from alerts.document import AsOf, document
from alerts.exposure import Exposure, Placement
from alerts.judgement import REACH_MS, Judged, Limits, Told, judge_told, profile_id_of
from alerts.memory import Memory
from alerts.products import Product, Products, builtin_table
from alerts.rulebook import limits_of
from alerts.rules import Kind, Level, Profile, Profiles, ReadingFact, RuleFinding, reconcile
from alerts.rules.facts import milli
from alerts.rules.limits import MIN_GAP_MS, thresholds
from alerts.storage import Place, is_shipped, plain_range, range_in
from alerts.told import ancestors, inherited, place_of, told_now
from alerts.verdicts import (
    SINCE_RELEASE,
    WENT_ON,
    BatchVerdict,
    Reason,
    VerdictWord,
)
from gateway.records import Batch, Decision, Finding, FindingKind, Records, Registry, Verdict, VerdictState
from gateway.records import Placement as KeptPlacement
from telemetry.readings import Quality

_CALM_MS = 6 * 3_600_000
"""A batch is judged in full at least this often while its places go on being fine (the VVM's model goes on too)."""
_HISTORY_MS = 3_600_000
"""What a batch lived through is written down for its page at most this often while its verdict stays."""
_SHORT_HISTORY = 5000
_WAIT_PER_FACT_US = 1200
_LONGEST_WAIT_MS = 45_000
"""A batch with more than 5000 readings is judged again after 1.2 ms of waiting for each of them (about 1/20 of one core),
45 s at most: an alarm is told within the minute of requirement 35."""
_AHEAD_MS = 300_000
"""How far a reading may lie ahead of our clock and be waited for: what ingest takes from a clock that claims to be right."""


@dataclass(slots=True)
class News:
    """New readings of an equipment since the last judgement: their extremes, and the longest step to each.

    ``plain``: each was a good one and newer than all before it of its stream.
    """

    low_c: Decimal
    high_c: Decimal
    step_ms: dict[str, int]
    plain: bool = True


class BatchJudge:
    """Holds batches and placements as last read, and no readings: a judgement reads them from ``memory``.

    ``on_alarm``: an alarm opened.
    """

    def __init__(
        self,
        records: Records,
        catalogue: Mapping[str, Profile],
        memory: Memory,
        on_alarm: Callable[[], None] = lambda: None,
        products: Products | None = None,
    ) -> None:
        self._records = records
        self._on_alarm = on_alarm
        self._catalogue = catalogue
        self._limits_now = Limits(catalogue)
        self._memory = memory
        self._round = Round(memory)
        table = builtin_table() if products is None else products
        self._products = table.by_kfa
        self._products_version = table.version
        self._batches: list[Batch] = []
        self._stays: dict[str, list[Placement]] = {}
        self._line: dict[str, set[str]] = {}
        self._registry = Registry(-1, {}, {}, {})
        self._places: dict[str, Place] = {}
        self._ends: dict[str, int] = {}
        self._news: dict[str, News] = {}
        self._calm: dict[str, int] = {}
        self._due: dict[str, Batch] = {}
        self._told_ms: dict[str, int] = {}
        self._judged: dict[str, tuple[int, int]] = {}
        self._ahead: dict[str, int] = {}

    def start(self, ends: Mapping[str, int]) -> None:
        """Begin; ``ends``: stream -> the time of its newest reading. Raises NeighbourDownError: call again."""
        self._ends = dict(ends)
        for kept in (self._news, self._calm, self._told_ms, self._judged, self._ahead, self._due):
            kept.clear()
        self._round.end()
        self._read()
        self._read_places()

    def add(self, facts: Iterable[ReadingFact]) -> None:
        """These facts are new in the memory."""
        self._round.end()
        for fact in facts:
            self._note(fact)

    def _note(self, fact: ReadingFact) -> None:
        end_ms = self._ends.get(fact.stream_id)
        value_c = fact.value_c if fact.quality is Quality.GOOD else None
        known_c = Decimal(0) if value_c is None else value_c
        news = self._news.setdefault(fact.equipment, News(known_c, known_c, {}))
        if end_ms is None or fact.t_ms <= end_ms or value_c is None:
            news.plain = False
        else:
            news.low_c, news.high_c = min(news.low_c, value_c), max(news.high_c, value_c)
            news.step_ms[fact.stream_id] = max(news.step_ms.get(fact.stream_id, 0), fact.t_ms - end_ms)
        self._ends[fact.stream_id] = max(fact.t_ms, end_ms or 0)

    def mark_all(self) -> None:
        """All batches are due."""
        order = sorted(self._batches, key=lambda b: [p.equipment for p in self._stays.get(b.id, [])])
        self._due = {b.id: b for b in order}

    def of_profiles(self, profiles: Set[str]) -> set[str]:
        """The batches whose product, or its shipment type, is judged by one of these profiles."""
        rows = ((b.id, self._products.get(b.product_kfa)) for b in self._batches)
        return {i for i, p in rows if {profile_id_of(p), "" if p is None else p.transport} & profiles}

    def mark(
        self,
        touched: Mapping[str, int],
        stirred: Collection[str],
        profiles: Profiles,
        now_ms: int,
        named: Set[str] | None = None,
    ) -> None:
        """Due are the batches that stood in these equipments when, or after, something new happened there.

        ``touched``: equipment -> time of the earliest news. ``stirred``: equipment whose findings or settings changed;
        elsewhere, readings that merely go on being fine for a product cost nothing. ``named``: batches of which a
        person said something (None: nobody did); they come first. Raises NeighbourDownError: call again.
        """
        if named is not None:
            self._read()
        if named is not None or stirred or touched:
            self._read_places()
        news, self._news = self._news, {}
        first: dict[str, Batch] = {}
        for batch in self._batches:
            stays = self._stays.get(batch.id, [])
            if named is not None and not named.isdisjoint(self._line[batch.id]):
                first[batch.id] = batch
                self._judged.pop(batch.id, None)
                self._ahead.pop(batch.id, None)
                continue
            met = {p.equipment for p in stays if _meets(p, touched)}
            if met and not self._goes_on_well(batch, met, news, stirred, profiles, now_ms):
                self._due.setdefault(batch.id, batch)
                self._ahead.pop(batch.id, None)
        self._due = first | {i: b for i, b in self._due.items() if i not in first}

    def judge_next(self, now_ms: int) -> bool:
        """Judge one batch that is due; whether more are. One at a time, so that no alarm waits for all of them.

        One with a long history that was judged a moment ago stays due and waits (``_too_soon``), and so does one with a
        reading that our clock has not come to: it plays no part until then. So does one whose placement just ended.
        """
        ready = [b for b in self._due.values() if not self._too_soon(b.id, now_ms)]
        if not ready:
            return False
        self._judge_one(ready[0], now_ms)
        if ready[0].id not in self._ahead:
            del self._due[ready[0].id]
        if len(ready) == 1:
            self._round.end()
        return len(ready) > 1

    def has_all(self) -> bool:
        """Whether no batch is due."""
        return not self._due

    def _too_soon(self, batch: str, now_ms: int) -> bool:
        """Whether it was judged so shortly ago that its readings are more work than the news is worth.

        A judgement costs by the length of the history: while an excursion goes on, one of a year's minutes is not made
        anew with each reading, but every minute. What a person says is judged at once.
        """
        if now_ms <= self._ahead.get(batch, now_ms - 1):
            return True
        judged_ms, count = self._judged.get(batch, (now_ms, 0))
        wait_ms = max(0, count - _SHORT_HISTORY) * _WAIT_PER_FACT_US // 1000
        return judged_ms <= now_ms < judged_ms + min(_LONGEST_WAIT_MS, wait_ms)

    def _read(self) -> None:
        """Batches and where they stood, the places of the batches they came from too."""
        kept: dict[str, list[KeptPlacement]] = defaultdict(list)
        for p in self._records.placements():
            kept[p.batch].append(p)
        self._batches = self._records.batches()
        by_id = {b.id: b for b in self._batches}
        self._stays.clear()
        for batch in self._batches:
            above = ancestors(batch, by_id.get)
            stays = [*kept[batch.id], *(p for a in above for p in inherited(kept[a.batch], a))]
            self._stays[batch.id] = [Placement(batch.id, p.equipment, p.from_ms, p.to_ms) for p in stays]
            self._line[batch.id] = {batch.id, *(a.batch for a in above)}

    def _read_places(self) -> None:
        if self._registry.version == self._records.registry_version():
            return
        self._registry = self._records.registry()
        self._limits_now = limits_of(self._records, self._catalogue)
        sites = self._registry.sites
        self._places = {e.id: place_of(e, sites[e.site], self._catalogue) for e in self._registry.equipment.values()}

    def _limits(self, batch: Batch, now_ms: int) -> Profile:
        return self._limits_now.at(profile_id_of(self._products.get(batch.product_kfa)), now_ms)

    def _goes_on_well(
        self,
        batch: Batch,
        met: Iterable[str],
        news: Mapping[str, News],
        stirred: Collection[str],
        profiles: Profiles,
        now_ms: int,
    ) -> bool:
        """Whether a full judgement would say what the last one said: nothing was open, all new readings are in range.

        Such readings only add known time in range, which no finding and no reason of a verdict rests on.
        """
        calm_ms = self._calm.get(batch.id)
        if calm_ms is None or not calm_ms <= now_ms < calm_ms + _CALM_MS:
            return False
        limits = self._limits(batch, now_ms)
        for equipment in met:
            told = news.get(equipment)
            if told is None or equipment in stirred or not told.plain:
                return False
            sigmas = (profiles.settings(stream).sigma_c for stream in told.step_ms)
            sigma_c = max((s for s in sigmas if s is not None), default=None)
            if not self._is_fine(batch, equipment, told, limits, sigma_c, now_ms):
                return False
            for stream, step_ms in told.step_ms.items():
                interval_s = profiles.settings(stream).interval_s or 0
                if step_ms > max(MIN_GAP_MS, 2000 * interval_s):
                    return False
        return True

    def _is_fine(
        self, batch: Batch, equipment: str, told: News, limits: Profile, sigma_c: Decimal | None, now_ms: int
    ) -> bool:
        """Whether the new readings are in the product's range where it stands, and beyond no limit of its profile, nor in
        a box of its shipment type.

        A person may set a limit inside the range, and a sensor's guard may reach into it.
        """
        product, place = self._products.get(batch.product_kfa), self._places.get(equipment)
        here, plain = range_in(product, place, limits), plain_range(limits)
        low_m, high_m = milli(told.low_c), milli(told.high_c)
        if here.low_m is not None and low_m < here.low_m:
            return False
        if here.high_m is not None and high_m > here.high_m:
            return False
        if _is_beyond(_shipping(product, [place], self._limits_now, now_ms), (low_m, high_m), sigma_c):
            return False
        return not _is_beyond([limits], [here.judged_m(v, plain) for v in (low_m, high_m)], sigma_c)

    def _judge_one(self, batch: Batch, now_ms: int) -> bool:
        self._ahead.pop(batch.id, None)
        latest = self._records.verdict(batch.id)
        if latest is not None and latest.decision == Decision.DISCARDED:
            return False  # it is gone for good; what was judged stays as it was
        told, limits, audit_id = self._ask(batch)
        judged = judge_told(told, self._round.of(told.stays), limits, self._products, now_ms)
        self._judged[batch.id] = (now_ms, len(judged.facts))
        newest_ms = max((f.t_ms for f in judged.facts), default=0)
        waits_for = [t for t in (newest_ms, _nowhere_ms(told.stays)) if now_ms <= t <= now_ms + _AHEAD_MS]
        if waits_for:
            self._ahead[batch.id] = min(waits_for)
        self._save_findings(batch, judged, now_ms)
        self._calm.pop(batch.id, None)
        exposure = judged.exposure
        here = [s.place for s in told.stood if s.stay.from_ms <= now_ms and s.stay.to_ms is None]
        shipping = _shipping(judged.product, here, limits, now_ms)
        if exposure is not None and _is_over(exposure, judged.profile, shipping):
            self._calm[batch.id] = now_ms
        if exposure is None and latest is None and not told.seen and not judged.findings:
            return False
        place = self._memory.place()
        return self._save(judged, AsOf(self._memory.known_to(), audit_id, place.audit_id), latest)

    def _ask(self, batch: Batch) -> tuple[Told, Limits, int]:
        """What is said of a batch and the limits over time, both as of the id."""
        while True:
            self._limits_now = limits_of(self._records, self._catalogue)
            told, audit_id = told_now(
                self._records, batch.id, self._registry, self._limits_now.catalogue, self._memory.homes()
            )
            if limits_of(self._records, self._catalogue) == self._limits_now:
                return told, self._limits_now, audit_id

    # --- findings of a batch ---

    def _save_findings(self, batch: Batch, judged: Judged, now_ms: int) -> None:
        found = judged.findings
        kept = {f.id: f for f in self._records.findings(batch=batch.id) if f.kind != FindingKind.WITHDRAWN}
        if not kept and not found:
            return
        said = {i: rule_finding_of(f) for i, f in kept.items()}
        changed, _ = reconcile(said.values(), found, now_ms)
        news = [with_past(f, said.get(f.finding_id)) for f in changed]
        rows = {
            f.finding_id: record_of(f, batch.site)
            for f in news
            if f.finding_id not in said or not only_longer(said[f.finding_id], f)
        }
        asking = _asking(found, judged.verdict)
        asked = self._asked_in(batch, judged.told.stays) if asking else []
        for i, row in {**kept, **rows}.items():
            asks = i in asking and not _asked_already(row, asked)
            if row.kind != FindingKind.WITHDRAWN and (i in rows or row.alarms != asks):
                rows[i] = replace(row, alarms=asks)
        if rows and self._records.save_findings(list(rows.values()), now_ms).opened:
            self._on_alarm()

    def _asked_in(self, batch: Batch, stays: Iterable[Placement]) -> list[tuple[Placement, Finding]]:
        """Each stay with each finding of its equipment; what another store was asked, nobody here was."""
        by_place = {e: self._records.findings(equipment=e) for e in {p.equipment for p in stays}}
        return [(p, f) for p in stays for f in by_place[p.equipment] if f.batch is None and f.site == batch.site]

    # --- verdicts ---

    def _save(self, judged: Judged, as_of: AsOf, latest: Verdict | None) -> bool:
        """A new verdict where it says something new, and what the batch lived through up to now for its page."""
        made, now_ms = judged.verdict, judged.now_ms
        reasons = [_row(r) for r in made.reasons]
        nowhere_s = 0 if latest is None else _nowhere_s(judged.told.stays, latest, now_ms)
        new = latest is None or not _says_the_same(latest, made, reasons, nowhere_s)
        told_ms = self._told_ms.get(made.batch)
        if not new and told_ms is not None and told_ms <= now_ms < told_ms + _HISTORY_MS:
            return False
        body = document(judged, as_of, self._products_version, digests=new)
        if new:
            verdict = Verdict(
                "",
                made.batch,
                made.verdict.value,
                tuple(reasons),
                made.findings,
                made.judged_ms,
                journal_offset=as_of.journal_offset,
                audit_id=as_of.audit_id,
            )
            (latest,) = self._records.save_verdicts([verdict], now_ms, documents={made.batch: body})
        standing = "" if latest is None else latest.id
        self._records.save_history(made.batch, {**body, "verdict": standing}, now_ms)
        self._told_ms[made.batch] = now_ms
        return new


def _shipping(product: Product | None, places: Iterable[Place | None], limits: Limits, now_ms: int) -> list[Profile]:
    """The shipment type that judges a product where one of these places is a box; none elsewhere."""
    if product is None or product.transport not in limits.catalogue:
        return []
    return [limits.at(product.transport, now_ms)] if any(is_shipped(product, p) for p in places) else []


def _is_beyond(profiles: Iterable[Profile], values_m: Iterable[int], sigma_c: Decimal | None = None) -> bool:
    rows = [t for profile in profiles for t in thresholds(profile, sigma_c)]
    return any(t.comparator.beyond(v, t.limit_m) for v in values_m for t in rows)


def _is_over(exposure: Exposure, limits: Profile, shipping: Sequence[Profile]) -> bool:
    """Whether nothing goes on: no finding is open, and no sum grows by what the last reading holds.

    ``shipping``: its shipment type, if it is in a box.
    """
    if any(f.end_ms is None for f in exposure.findings):
        return False
    last, line = exposure.timeline[-1], exposure.line[-1]
    _, high_m = exposure.ranges[-1] if exposure.ranges else (None, None)
    if high_m is not None and last.high_m is not None and last.high_m > high_m:
        return False
    values, read = ([v for v in (s.low_m, s.high_m) if v is not None] for s in (line, last))
    return not _is_beyond([limits], values) and not _is_beyond(shipping, read)


def _nowhere_ms(stays: Iterable[Placement]) -> int:
    """After which instant the whole second has passed since its last placement ended, from which on that is unknown time."""
    ends = [p.to_ms for p in stays]
    return 0 if None in ends else max((t for t in ends if t is not None), default=0) + 999


def _nowhere_s(stays: Iterable[Placement], latest: Verdict, now_ms: int) -> int:
    """Seconds since the last judgement in which it stood nowhere, where it did so already when a person decided; else 0.

    Who released it knew that nobody watches it: that this goes on tells nobody anything new (requirement 25).
    """
    ends = [p.to_ms for p in stays if p.to_ms is not None]
    if any(p.to_ms is None for p in stays) or not ends or latest.decided_ms is None or max(ends) > latest.decided_ms:
        return 0
    return max(0, now_ms - max(*ends, latest.judged_ms) + 999) // 1000


def _row(r: Reason) -> dict[str, Any]:
    """A reason as the verdict's row keeps it."""
    return {"code": r.code, "asks_for": r.asks_for.value, "text": r.text, "findings": list(r.findings), **r.params}


def _meets(stay: Placement, touched: Mapping[str, int]) -> bool:
    earliest_ms = touched.get(stay.equipment)
    return earliest_ms is not None and (stay.to_ms is None or earliest_ms <= stay.to_ms + REACH_MS)


def _asking(found: Iterable[RuleFinding], made: BatchVerdict) -> set[str]:
    """The alarms among the findings on which the verdict rests for more than "no action"."""
    for_more = {i for r in made.reasons if r.asks_for is not VerdictWord.NO_ACTION for i in r.findings}
    return {
        f.finding_id
        for f in found
        if f.level is Level.ALARM and f.kind is not Kind.WITHDRAWN and f.finding_id in for_more
    }


def _asked_already(finding: Finding, asked: Iterable[tuple[Placement, Finding]]) -> bool:
    """Whether an alarm of the equipment asked for the same excursion before the batch's own alarm was due.

    The same excursion: there is an instant in which the batch stood there and both were out of limit. What asked
    of a place the batch had left by then, or not come to yet, says nothing of this episode.
    """
    return any(
        f.alarms
        and f.code == finding.code
        and f.kind in (finding.kind, FindingKind.CONFIRMED)
        and f.event_ms <= finding.event_ms
        and _share_time(
            (stay.from_ms, stay.to_ms), (f.episode_start_ms, f.end_ms), (finding.episode_start_ms, finding.end_ms)
        )
        for stay, f in asked
    )


def _share_time(*spans: tuple[int, int | None]) -> bool:
    """Whether all spans (from, to; None: goes on) have an instant in common; ends count as inside but for a stay's.

    The first span is the stay: [from, to). An episode's end is its last out-of-limit moment.
    """
    latest_ms = max(from_ms for from_ms, _ in spans)
    (_, left_ms), *episodes = spans
    return (left_ms is None or latest_ms < left_ms) and all(to is None or latest_ms <= to for _, to in episodes)


def _says_the_same(latest: Verdict, made: BatchVerdict, reasons: Sequence[Mapping[str, Any]], nowhere_s: int) -> bool:
    """Whether the last verdict still stands.

    What a person decided covers the unknown time, the time too warm for the level and the excursions up to then, not
    more. That an excursion went on after a release is said once of each release, and that it no longer does (after the
    next one) takes nothing back. ``nowhere_s``: by how much unknown time may have grown without being news.
    """
    if (latest.verdict, tuple(sorted(latest.findings))) != (made.verdict.value, tuple(sorted(made.findings))):
        return False
    old = {str(r["code"]): r for r in latest.reasons if isinstance(r, Mapping) and "code" in r}
    new = {str(r["code"]): r for r in reasons}
    went_on, said = new.pop(WENT_ON, None), old.pop(WENT_ON, {})
    if went_on is not None and went_on["released_ms"] != said.get("released_ms"):
        return False
    if set(old) != set(new):
        return False
    most_s = {code: int(old[code].get("unknown_s", 0)) + nowhere_s for code in new}
    grown = any(int(r.get("unknown_s", 0)) > most_s[code] for code, r in new.items())
    warm_again = any(int(r.get(SINCE_RELEASE, 0)) > 0 for r in new.values())
    return latest.state != VerdictState.DECIDED or not (grown or warm_again)
