"""What people ask, answered once for pages and JSON: records and store joined into views.

Nothing is kept here between two questions. Time is an argument (``now_ms``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from alerts.amended import Amendments
from alerts.counters import Tally, local_day, marks_of, midnight_ms, tally, window
from alerts.homes import Homes
from alerts.rules import Profile, RangeState, ReadingFact, range_spans, segments
from alerts.rules.facts import Point as Instant
from alerts.rules.facts import degrees, plain_points
from alerts.rules.interval import max_gap_ms
from alerts.rules.limits import SILENCE_INTERVALS, TEMPERATURE, quantity_of
from alerts.rules.spans import Segment, Span, cut, merge, shade
from alerts.standing import not_judged_yet, standing
from alerts.told import read_amendments
from alerts.verdicts import VerdictWord, VvmStage
from api import roles
from api.chart import Point
from api.limits import profile_now
from api.problems import not_found
from api.roles import Person
from gateway.records import Records
from gateway.records.errors import UnknownRecord
from gateway.records.model import (
    Alarm,
    AlarmState,
    Attachment,
    AttachmentKind,
    AuditRow,
    Batch,
    Decision,
    Device,
    Equipment,
    EquipmentKind,
    Finding,
    FindingKind,
    Placement,
    Role,
    ScaleRefusal,
    Site,
    SmileState,
    Verdict,
    VerdictKind,
    VerdictState,
    VvmObservation,
)
from ingest.edge_clock import ClockOff
from ingest.epochs import EdgeSummary
from ingest.identities import Identity
from ingest.store import Cursor, Row, Store
from telemetry.errors import ContractError
from telemetry.quantities import parse_stream_id
from telemetry.readings import Quality, Sync

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
DEFAULT_INTERVAL_S = 900  # the 15 minutes of DS01's records, as the rules have it (alerts/rules/interval.py)
_WORST_FIRST = (RangeState.OUT, RangeState.UNKNOWN, RangeState.IN)
_PAGE_ROWS = 10_000
_DAY_ROWS = 200_000  # twice a reading a second: what lies beyond is no thermometer
# An equipment without a known profile has no range: its known time is neither in nor out, and is shown as unknown.
_NO_RANGE = Profile("none", "0", None, None, ())


LedgerLine = EdgeSummary


@dataclass(frozen=True, slots=True)
class LedgerBook:
    """What the ledger tells: the epochs, the clocks that are off, and the cards and machines behind the edges' names."""

    lines: Sequence[LedgerLine]
    clocks: Sequence[ClockOff] = ()
    identities: Sequence[Identity] = ()


ReadLedger = Callable[[], LedgerBook]


@dataclass(frozen=True, slots=True)
class Shown:
    """A state as it is shown: ``kind`` chooses sign and colour (ok, out, alarm, warn, unknown), ``word`` the text."""

    kind: str
    word: str


@dataclass(frozen=True, slots=True)
class LastSaid:
    """What one stream said last: of contradicting rows the worse one (``design.md``, Identity).

    ``row`` with the value that counts, ``raw`` as it came.
    """

    row: Row
    raw: Row
    state: RangeState
    conflict: bool


@dataclass(frozen=True, slots=True)
class EquipmentView:
    """An equipment now. ``latest`` is its newest temperature (the worst, when out); ``range_state`` what it tells of
    now. ``conflict``: a device contradicts itself about its last instant, and the worse value counts.
    ``counted_c``: what counts of ``latest``, by what people said of this sensor (decision 0029).
    """

    equipment: Equipment
    devices: tuple[Device, ...]
    streams: tuple[str, ...]
    latest: Row | None
    age_ms: int
    interval_s: int
    low_c: Decimal | None
    high_c: Decimal | None
    range_state: RangeState
    alarms: tuple[Alarm, ...]
    state: Shown
    conflict: bool = False
    counted_c: Decimal | None = None

    @property
    def is_heard(self) -> bool:
        """Whether its temperature is read now, whatever else is shown of it (an alarm, say)."""
        return self.latest is not None and self.age_ms <= SILENCE_INTERVALS * self.interval_s * 1000

    @property
    def clock_note(self) -> str:
        unsynced = self.latest is not None and self.latest.sync is Sync.UNSYNCED
        return "clock_unsynced" if unsynced else ""


@dataclass(frozen=True, slots=True)
class HourView:
    """One hour of a day's table; ``state`` is the worst in it: out, else unknown, else in."""

    from_ms: int
    low_c: Decimal | None
    high_c: Decimal | None
    state: RangeState
    unknown_ms: int


@dataclass(frozen=True, slots=True)
class DayView:
    """24 h of one stream. ``unknown``: spans no reading tells of; ``out_ms``: known time out of range, added up;
    ``conflicts``: instants with contradicting values, of which the worse one counts.
    """

    stream_id: str
    from_ms: int
    to_ms: int
    points: tuple[Point, ...]
    unknown: tuple[tuple[int, int], ...]
    low_c: Decimal | None
    high_c: Decimal | None
    out_ms: int
    unknown_ms: int
    hours: tuple[HourView, ...]
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class Counters:
    """Time added up over all streams of an equipment (cold-chain.md 5): since the site's midnight, and in 24 h."""

    today: Tally
    last_24h: Tally


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch with what one must know of it. ``decision`` is what a person last decided, ``verdict`` the latest.

    ``vvm``: the last reading; ``worst``: the one that counts, the first of the worst stage ever read.
    """

    batch: Batch
    verdict: Verdict | None
    decision: Verdict | None = None
    placements: tuple[Placement, ...] = ()
    vvm: VvmObservation | None = None
    findings: tuple[Finding, ...] = ()
    worst: VvmObservation | None = None

    @property
    def discarded(self) -> bool:
        return self.decision is not None and self.decision.decision == Decision.DISCARDED

    @property
    def settled(self) -> bool:
        """Whether the person's decision still answers the latest verdict, and no VVM reading waits to be judged."""
        newer = self.verdict is not None and self.verdict.state != VerdictState.DECIDED
        return self.discarded or (self.decision is not None and not newer and self.unjudged is None)

    @property
    def unjudged(self) -> VerdictWord | None:
        """What a VVM reading asks for that the verdict does not know of yet (requirement 22)."""
        if self.discarded or self.worst is None:
            return None
        return not_judged_yet(VvmStage(str(self.worst.stage)), reason_codes(self.verdict))

    @property
    def word(self) -> str:
        """The verdict's word as it holds now, never better than the VVM; "" where nothing is known."""
        judged = None if self.verdict is None else VerdictWord(str(self.verdict.verdict))
        return str(standing(judged, self.unjudged) or "")

    @property
    def kept_here(self) -> str:
        """The verdict or release that SMILE has no field for, as a word of the records; "" when there is none."""
        if self.discarded:
            return ""
        if self.settled and self.decision is not None:
            return str(self.decision.decision)
        return "" if self.word == VerdictKind.NO_ACTION else self.word

    @property
    def vvm_missing(self) -> bool:
        """SMILE refuses to discard a temperature-sensitive vaccine whose VVM nobody read (smile-core-api.md 5.3)."""
        return self.vvm is None and (self.batch.smile is None or self.batch.smile.temperature_sensitive)

    @property
    def waits(self) -> bool:
        """Whether a person has to look at it."""
        return not self.settled and self.word not in ("", VerdictKind.NO_ACTION)


@dataclass(frozen=True, slots=True)
class SiteView:
    """A site in the list: how many pieces of equipment, how many alarms wait."""

    site: Site
    equipment: int
    alarms: int


@dataclass(frozen=True, slots=True)
class RefusedLoad:
    """A load that a scale would not weigh; ``weighed_since``: it weighed one after that."""

    refusal: ScaleRefusal
    weighed_since: bool


@dataclass(frozen=True, slots=True)
class Questions:
    """All questions. ``profiles`` are the ranges equipment is judged by; ``read_ledger`` may be None."""

    records: Records
    store: Store
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    read_ledger: ReadLedger | None = None

    # --- sites ---

    def sites(self, person: Person) -> list[Site]:
        """The sites in the person's reach."""
        return [site for site in self.records.sites() if roles.reaches(person, site.id, site.region)]

    def site(self, person: Person, site_id: str) -> Site:
        """The site; raises ForbiddenError outside the person's reach (unknown or not), else ProblemError 404."""
        try:
            site = self.records.site(site_id)
        except UnknownRecord as error:
            roles.require_reach(person, site_id, "")
            raise not_found("site", site_id) from error
        roles.require_reach(person, site.id, site.region)
        return site

    def site_views(self, person: Person) -> list[SiteView]:
        """The sites in reach, those with waiting alarms first. Two queries, however many sites there are."""
        equipment = Counter(e.site for e in self.records.equipment_list())
        alarms = Counter(a.finding.site for a in self.records.open_alarms())
        views = [SiteView(site, equipment[site.id], alarms[site.id]) for site in self.sites(person)]
        return sorted(views, key=lambda v: (-v.alarms, v.site.name))

    # --- equipment ---

    def profile(self, profile_id: str, now_ms: int) -> Profile | None:
        """What a profile's id means now: limits are changed in the records, by a person (decision 0023)."""
        return profile_now(self.records, self.profiles, profile_id, now_ms)

    def equipment_views(self, site: Site, now_ms: int) -> list[EquipmentView]:
        """Everything that is watched at a site; what needs a person comes first."""
        streams = self.store.streams(site.id)
        alarms = self.records.alarms(site.id, (AlarmState.OPEN, AlarmState.ACKNOWLEDGED))
        devices = self.records.devices(site.id)
        views = [
            self._view(equipment, devices, streams, alarms, now_ms)
            for equipment in self.records.equipment_list(site.id)
            if equipment.kind != EquipmentKind.WASTE_STORE or any(d.equipment == equipment.id for d in devices)
        ]
        urgency = {"alarm": 0, "out": 1, "warn": 2, "unknown": 3, "ok": 4}
        return sorted(views, key=lambda v: (urgency.get(v.state.kind, 5), v.equipment.name))

    def equipment_view(self, site: Site, equipment_id: str, now_ms: int) -> EquipmentView:
        """One equipment of a site; raises ProblemError 404 when it stands elsewhere or nowhere."""
        try:
            equipment = self.records.equipment(equipment_id)
        except UnknownRecord as error:
            raise not_found("equipment", equipment_id) from error
        if equipment.site != site.id:
            raise not_found("equipment", equipment_id)
        alarms = self.records.alarms(site.id, (AlarmState.OPEN, AlarmState.ACKNOWLEDGED))
        return self._view(equipment, self.records.devices(site.id), self.store.streams(site.id), alarms, now_ms)

    def _view(
        self,
        equipment: Equipment,
        devices: Sequence[Device],
        streams: Iterable[str],
        alarms: Iterable[Alarm],
        now_ms: int,
    ) -> EquipmentView:
        mine = tuple(d for d in devices if d.equipment == equipment.id)
        temperatures = tuple(s for s in streams if _is_temperature_of(s, {d.serial for d in mine}))
        profile = self.profile(equipment.profile, now_ms)
        low, high = (profile.low_c, profile.high_c) if profile else (None, None)
        interval_s = min((d.interval_s for d in mine if d.interval_s), default=DEFAULT_INTERVAL_S)
        here = tuple(a for a in alarms if a.finding.equipment == equipment.id)
        newest = self.store.latest(temperatures)
        amended = self.amended(temperatures)
        said = [self._last_said(row, amended, low, high, interval_s, now_ms) for row in newest.values()]
        # Two loggers in one place: the worst of them counts (cold-chain.md 9).
        state = min((x.state for x in said), key=_WORST_FIRST.index, default=RangeState.UNKNOWN)
        shows = _to_show(said, state, low, high)
        latest = None if shows is None else shows.raw
        counted_c = None if shows is None else shows.row.value
        conflict = any(x.conflict for x in said)
        age_ms = 0 if latest is None else max(0, now_ms - latest.t_ms)
        silent = latest is not None and age_ms > SILENCE_INTERVALS * interval_s * 1000
        shown = shown_state(state, here, has_device=bool(mine), silent=silent)
        return EquipmentView(
            equipment,
            mine,
            temperatures,
            latest,
            age_ms,
            interval_s,
            low,
            high,
            state,
            here,
            shown,
            conflict,
            counted_c,
        )

    def amended(self, streams: Iterable[str]) -> Amendments:
        """What people said of the readings of these streams."""
        return read_amendments(self.records, list(streams))

    def _last_said(
        self,
        newest: Row,
        amended: Amendments,
        low: Decimal | None,
        high: Decimal | None,
        interval_s: int,
        now_ms: int,
    ) -> LastSaid:
        """All that the stream said of its last instant: other variants and numbers at that time, and the other
        variants of these numbers within one longest gap before it.
        """
        gap_ms = max_gap_ms(interval_s * 1000)
        near = self._rows(newest.stream_id, newest.t_ms - gap_ms, newest.t_ms + 1)
        identities = {newest.identity} | {r.identity for r in near if r.t_ms == newest.t_ms}
        raw = [r for r in near if r.identity in identities] or [newest]
        rows = [replace(r, value=amended.value_c(r.stream_id, r.t_ms, r.value)) for r in raw]
        worst, said = min(zip(rows, raw, strict=True), key=lambda r: _badness(r[0], low, high, interval_s, now_ms))
        conflict = len({_good_value(r) for r in rows}) > 1
        return LastSaid(worst, said, range_state(worst, low, high, interval_s, now_ms), conflict)

    def day(self, view: EquipmentView, stream_id: str, now_ms: int) -> DayView:
        """The last 24 h of one stream, judged by the rules' own gap rule (alerts/rules/spans.py)."""
        from_ms = now_ms - DAY_MS
        instants, made = self._history(view, stream_id, from_ms, now_ms)
        profile = self.profile(view.equipment.profile, now_ms) or _NO_RANGE
        shown = []
        for p in instants:
            # Of contradicting values both ends are drawn, and the worse one is what the rules hold.
            ends = (p.low_m, p.high_m) if p.low_m != p.high_m else (p.low_m,)
            shown += [Point(p.t_ms, None if m is None else degrees(m)) for m in ends]
        day = day_view(stream_id, shown, range_spans(made, profile), from_ms, now_ms, view.low_c, view.high_c)
        return replace(day, conflicts=sum(p.conflict for p in instants))

    def counters(self, view: EquipmentView, zone: str, now_ms: int) -> Counters:
        """Time beyond each limit and unknown time, over all streams together: the worst value of any counts."""
        info = ZoneInfo(zone)
        midnight = midnight_ms(local_day(now_ms, info), info)
        from_ms = min(midnight, now_ms - DAY_MS)
        made = [self._history(view, stream_id, from_ms, now_ms)[1] for stream_id in view.streams]
        marked = self.amended(view.streams).marked
        shades = [
            shade(line, marked[stream], from_ms, now_ms)
            for stream, line in zip(view.streams, made, strict=True)
            if stream in marked
        ]
        whole = merge([merge(made), *shades], each_counts=True) if made else []
        profile = self.profile(view.equipment.profile, now_ms)
        marks = marks_of(profile) if profile else ()
        return Counters(tally(whole, marks, midnight, now_ms), window(whole, marks, DAY_MS, now_ms))

    def facts(self, view: EquipmentView, from_ms: int, now_ms: int) -> list[ReadingFact]:
        """The temperatures of an equipment over [from_ms, now_ms], as the rules take them."""
        return self.amended(view.streams).facts(
            ReadingFact(view.equipment.id, stream_id, *fact)
            for stream_id in view.streams
            for fact in self.store.read_columns(stream_id, from_ms, now_ms + 1).facts()
        )

    def readings_before(self, stream_id: str, stays: Sequence[tuple[int, int]], to_ms: int, most: int) -> list[Row]:
        """The last rows of a stream in the day before ``to_ms``, as they came, newest first.

        ``stays``: when it stood where it is asked for (``stays_in``); the day ends with the last of them.
        """
        to_ms = min(to_ms, max((high for low, high in stays if low < to_ms), default=to_ms))
        rows = self._rows(stream_id, to_ms - DAY_MS, to_ms)
        return [r for r in rows if any(low <= r.t_ms < high for low, high in stays)][: -most - 1 : -1]

    def stays_in(self, site: Site, equipment: str) -> dict[str, list[tuple[int, int]]]:
        """Stream of temperatures -> when its device stood in an equipment: those that stood there once, too."""
        homes = Homes(self.records.assigned_equipment())
        known = sorted(s for s in self.store.streams(site.id) if quantity_of(s) == TEMPERATURE)
        made = {s: [(low, high) for low, high, name in homes.spans(s) if name == equipment] for s in known}
        return {s: spans for s, spans in made.items() if spans}

    def _history(
        self, view: EquipmentView, stream_id: str, from_ms: int, now_ms: int
    ) -> tuple[list[Instant], list[Segment]]:
        """(instants, stretches that cover it) of one stream over [from_ms, now_ms)."""
        serial = stream_id.split("/", 1)[0]
        declared = next((d.interval_s for d in view.devices if d.serial == serial), None)
        # One longest gap before, so that the first reading's hold is right.
        early_ms = from_ms - max_gap_ms((declared or DEFAULT_INTERVAL_S) * 1000)
        said = self.store.read_columns(stream_id, early_ms, now_ms + 1).facts()
        facts = (ReadingFact(view.equipment.id, stream_id, *fact) for fact in said)
        points = plain_points(self.amended((stream_id,)).facts(facts))
        made = cut(segments(points, declared * 1000 if declared else None, now_ms), from_ms, now_ms)
        return [p for p in points if p.t_ms >= from_ms], made

    def _rows(self, stream_id: str, from_ms: int, to_ms: int) -> list[Row]:
        rows: list[Row] = []
        after: Cursor | None = None
        while len(rows) < _DAY_ROWS:
            page = self.store.read(stream_id, from_ms, to_ms, limit=_PAGE_ROWS, after=after)
            rows += page.rows
            after = page.next
            if after is None:
                break
        return rows

    # --- batches ---

    def batch(self, site: Site, batch_id: str) -> Batch:
        """A batch of the site; raises ProblemError 404."""
        try:
            batch = self.records.batch(batch_id)
        except UnknownRecord as error:
            raise not_found("batch", batch_id) from error
        if batch.site != site.id:
            raise not_found("batch", batch_id)
        return batch

    def batch_views(self, site: Site) -> list[BatchView]:
        """All batches of a site with their latest verdict; what waits for a person comes first."""
        latest = {v.batch: v for v in self.records.verdicts(site.id)}
        seen: dict[str, list[VvmObservation]] = {}
        for observed in self.records.vvm_observations(site=site.id):
            seen.setdefault(observed.batch, []).append(observed)
        views = [
            self._short(batch, latest.get(batch.id), seen.get(batch.id, []))
            for batch in self.records.batches(site.id)
        ]
        return sorted(views, key=lambda v: (not v.waits, v.batch.expires_on, v.batch.id))

    def _short(self, batch: Batch, verdict: Verdict | None, seen: Sequence[VvmObservation]) -> BatchView:
        # Only a batch judged anew after a decision needs the second look.
        decided = verdict if verdict is not None and verdict.state == VerdictState.DECIDED else None
        if verdict is not None and decided is None and verdict.number > 1:
            decided = self.records.decision(batch.id)
        return BatchView(batch, verdict, decided, worst=_worst(seen))

    def batch_view(self, site: Site, batch_id: str) -> BatchView:
        """One batch with all that led to its verdict."""
        batch = self.batch(site, batch_id)
        verdict = self.records.verdict(batch.id)
        observed = self.records.vvm_observations(batch=batch.id)
        return BatchView(
            batch,
            verdict,
            self.records.decision(batch.id),
            tuple(self.records.placements(batch=batch.id)),
            observed[-1] if observed else None,
            tuple(self._findings(verdict)),
            _worst(observed),
        )

    def verdict(self, site: Site, verdict_id: str) -> Verdict:
        """One verdict of a batch of the site, whatever became of it; raises ProblemError 404."""
        try:
            verdict = self.records.verdict_by_id(verdict_id)
        except UnknownRecord as error:
            raise not_found("verdict", verdict_id) from error
        if verdict.site != site.id:
            raise not_found("verdict", verdict_id)
        return verdict

    def document(self, verdict_id: str) -> dict[str, Any] | None:
        """What a verdict rests on, as it was kept with it; None for one made before documents were kept."""
        return self.records.verdict_document(verdict_id)

    def discards_sent(self, view: BatchView) -> list[Attachment]:
        """What SMILE answered to this batch's discard, newest first."""
        if not view.discarded:
            return []
        sent = self.records.attachments(AttachmentKind.DISCARD, site=view.batch.site)
        verdict_id = view.decision.id if view.decision else ""
        mine = (verdict_id, view.batch.id)
        return [a for a in sent if a.subject in mine and a.state != SmileState.NO_FIELD]

    def _findings(self, verdict: Verdict | None) -> list[Finding]:
        found = []
        for finding_id in verdict.findings if verdict else ():
            try:
                found.append(self.records.finding(finding_id))
            except UnknownRecord:  # a rule's reference that was never saved: the verdict's reasons still tell
                continue
        return found

    # --- audit and ledger ---

    def newest_changes(self, site: Site, before: int | None, limit: int, *, people: bool = False) -> list[AuditRow]:
        """The newest audit rows of a site, newest first; ``before`` goes on from an older page's last id. ``people``
        leaves out what our own processes did.

        The records' feed runs forward over all sites, so we look back in growing steps.
        """
        end = self.records.newest_change() + 1 if before is None else before
        step = 4 * limit
        while True:
            start = max(0, end - 1 - step)
            rows = [r for r in self.records.changes_after(start, step, site=site.id) if r.id < end]
            if people:
                rows = [r for r in rows if r.role != Role.SYSTEM]
            if len(rows) >= limit or start == 0:
                return list(reversed(rows))[:limit]
            step *= 8

    def limit_changes(self, site: Site, limit: int) -> list[AuditRow]:
        """The audit rows of the profiles that a site's equipment has, newest first. They are in the house's own chain."""
        rows: list[AuditRow] = []
        for profile in {e.profile for e in self.records.equipment_list(site.id)}:
            last = max((v.number for v in self.records.profile_versions(profile)), default=0)
            for number in range(max(1, last - limit + 1), last + 1):
                rows += self.records.audit_of(f"profile:{profile}/{number}")
        return sorted(rows, key=lambda r: -r.id)[:limit]

    def count_changes(self, site: Site, most: int) -> tuple[int, int | None]:
        """(all audit rows of a site, those of people); the latter None where more than ``most`` rows would be read."""
        newest = self.newest_changes(site, None, 1)
        total = newest[0].number if newest else 0  # a site's rows are numbered without a gap
        if total > most:
            return total, None
        rows = self.records.changes_after(0, most, site=site.id)
        return total, sum(r.role != Role.SYSTEM for r in rows)

    def refused_loads(self, site: Site, now_ms: int, limit: int) -> list[RefusedLoad]:
        """What the site's scales refused in the last day, newest first, and whether one was weighed there since."""
        found = self.records.scale_refusals(site.id, now_ms - DAY_MS, limit)
        newest = self.records.last_weighed_ms(site.id) if found else {}
        return [RefusedLoad(r, r.at_ms <= newest.get(r.device, 0)) for r in found]

    def ledger(self, site_id: str) -> LedgerBook:
        """The ledger of one site; of its lines the epoch that each edge lives in comes first."""
        book = LedgerBook([]) if self.read_ledger is None else self.read_ledger()
        lines = [x for x in book.lines if x.site == site_id]
        return LedgerBook(
            sorted(lines, key=lambda x: (x.edge, not x.current, -x.last_seen_ms)),
            [c for c in book.clocks if c.site == site_id],
            [i for i in book.identities if i.site == site_id],
        )


# --- pure answers ---------------------------------------------------------------------------------------------


def reason_codes(verdict: Verdict | None) -> list[str]:
    """The codes of a verdict's reasons."""
    reasons = () if verdict is None else verdict.reasons
    return [str(r.get("code", "")) if isinstance(r, Mapping) else str(r) for r in reasons]


def _worst(seen: Iterable[VvmObservation]) -> VvmObservation | None:
    """The first reading of the worst stage: a VVM only darkens."""
    return max(seen, key=lambda v: (str(v.stage), -v.at_ms), default=None)


def _is_temperature_of(stream_id: str, serials: set[str]) -> bool:
    try:
        parts = parse_stream_id(stream_id)
    except ContractError:
        return False
    return parts.serial in serials and parts.quantity == "temperature_c"


def beyond(value: Decimal, low: Decimal | None, high: Decimal | None) -> bool:
    """Whether a value lies outside the range; the limits themselves are in range (cold-chain.md 1)."""
    return (low is not None and value < low) or (high is not None and value > high)


def range_state(row: Row, low: Decimal | None, high: Decimal | None, interval_s: int, now_ms: int) -> RangeState:
    """What the last reading tells of now: nothing once it is older than the longest gap, or was not good."""
    if row.value is None or row.quality is not Quality.GOOD or now_ms - row.t_ms > max_gap_ms(interval_s * 1000):
        return RangeState.UNKNOWN
    if low is None and high is None:
        return RangeState.UNKNOWN
    return RangeState.OUT if beyond(row.value, low, high) else RangeState.IN


def _good_value(row: Row) -> Decimal | None:
    """The value as the rules count it (``alerts.rules.facts.value_of``)."""
    return row.value if row.quality is Quality.GOOD else None


def _excess(row: Row, low: Decimal | None, high: Decimal | None) -> Decimal:
    """How far a value lies beyond its range, negative inside; of "no value" nothing can be said."""
    value = _good_value(row)
    if value is None or (low is None and high is None):
        return Decimal("-Infinity")
    under = Decimal("-Infinity") if low is None else low - value
    over = Decimal("-Infinity") if high is None else value - high
    return max(under, over)


def _badness(
    row: Row, low: Decimal | None, high: Decimal | None, interval_s: int, now_ms: int
) -> tuple[int, Decimal, int, int, int]:
    """A sort key, the worst row first: out, unknown, in; then the furthest out; then the last."""
    state = range_state(row, low, high, interval_s, now_ms)
    t_ms, device_seq, variant = row.cursor
    return (_WORST_FIRST.index(state), -_excess(row, low, high), -t_ms, -device_seq, -variant)


def _to_show(
    said: Sequence[LastSaid], state: RangeState, low: Decimal | None, high: Decimal | None
) -> LastSaid | None:
    """The reading a card shows: the one furthest out while any is out, else the newest."""
    if state is RangeState.OUT:
        return max((x for x in said if x.state is state), key=lambda x: _excess(x.row, low, high))
    return max(said, key=lambda x: x.row.t_ms, default=None)


def shown_state(
    state: RangeState, alarms: Sequence[Alarm], *, has_device: bool = True, silent: bool = False
) -> Shown:
    """The one state a card shows: a waiting alarm beats all, then what is out, answered, unknown, in range."""
    if any(a.state == AlarmState.OPEN and a.finding.end_ms is None for a in alarms):
        return Shown("alarm", "alarm")
    if any(a.state == AlarmState.OPEN for a in alarms):
        return Shown("alarm", "over")
    if alarms:
        return Shown("warn", "answered")
    if not has_device:
        return Shown("unknown", "no_device")
    if silent:
        return Shown("unknown", "silent")
    kinds = {RangeState.OUT: "out", RangeState.UNKNOWN: "unknown", RangeState.IN: "ok"}
    return Shown(kinds[state], state.value)


def finding_state(finding: Finding, alarm: Alarm | None) -> Shown:
    """How a finding is shown in a list."""
    if finding.kind == FindingKind.WITHDRAWN:
        return Shown("gone", "withdrawn")
    if alarm is None:
        return Shown("out", "out") if finding.end_ms is None else Shown("ok", "closed")
    if alarm.state == AlarmState.OPEN:
        return Shown("alarm", "alarm" if finding.end_ms is None else "over")
    return Shown("warn", "answered") if alarm.state == AlarmState.ACKNOWLEDGED else Shown("ok", "closed")


def day_view(
    stream_id: str,
    points: Sequence[Point],
    spans: Sequence[Span],
    from_ms: int,
    to_ms: int,
    low_c: Decimal | None,
    high_c: Decimal | None,
) -> DayView:
    """The picture and table of a day whose spans of in, out and unknown are known."""
    unknown = tuple((s.from_ms, s.to_ms) for s in spans if s.state is RangeState.UNKNOWN)
    out = [(s.from_ms, s.to_ms) for s in spans if s.state is RangeState.OUT]
    # Without a range nothing can be said of the known time: an hour is then never called in range.
    untold = low_c is None and high_c is None
    hours = tuple(
        _hour(max(at, from_ms), min(at + HOUR_MS, to_ms), points, unknown, out, untold=untold)
        for at in range(from_ms - from_ms % HOUR_MS, to_ms, HOUR_MS)
    )
    out_ms, unknown_ms = sum(b - a for a, b in out), sum(b - a for a, b in unknown)
    return DayView(stream_id, from_ms, to_ms, tuple(points), unknown, low_c, high_c, out_ms, unknown_ms, hours)


def _hour(
    from_ms: int,
    to_ms: int,
    points: Sequence[Point],
    unknown: Sequence[tuple[int, int]],
    out: Sequence[tuple[int, int]],
    *,
    untold: bool = False,
) -> HourView:
    values = [p.value for p in points if from_ms <= p.t_ms < to_ms and p.value is not None]
    unknown_ms = _overlap(unknown, from_ms, to_ms)
    if _overlap(out, from_ms, to_ms):
        state = RangeState.OUT
    else:
        state = RangeState.UNKNOWN if unknown_ms or untold else RangeState.IN
    return HourView(from_ms, min(values, default=None), max(values, default=None), state, unknown_ms)


def _overlap(spans: Sequence[tuple[int, int]], from_ms: int, to_ms: int) -> int:
    return sum(max(0, min(b, to_ms) - max(a, from_ms)) for a, b in spans)
