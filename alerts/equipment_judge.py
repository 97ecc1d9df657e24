"""The shell around ``alerts.equipment``: facts from alerts' memory in, findings of sensors into the records.

It comes last in a turn, so that nothing of it holds a temperature rule up, and what it finds is saved beside the other
findings of the equipment under the profile ``sensor_rules``. Nothing of its own is on disk: after a start each equipment
is read again from alerts' memory, ``LOOK_BACK_MS`` deep. What was said of an earlier time stays said.

    start, new equipment, other settings, late facts ─▶ queue ─▶ head: ``_FACTS_A_TURN`` of its facts a turn ─▶ judged

Reading is cut into slices by count, so that the next turn, with the temperature alarms, never waits long for it. One
equipment is read to its end, then the next (so that one past at a time is in memory); who asks again goes last. An
equipment says nothing while its past is read: what it would say rests on half of the facts.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from zoneinfo import ZoneInfo

from alerts.convert import device_of, only_longer, record_of, rule_finding_of
from alerts.equipment import (
    RULES,
    DeviceSettings,
    Settings,
    Track,
    builtin_thresholds,
    new_track,
    watched_quantities,
)
from alerts.equipment.calibration import Certificate, Lapse, calibration_findings, lapses
from alerts.equipment.clock import Refusal, clock_findings
from alerts.equipment.track import DAY_MS, MARKS_MS
from alerts.rules import Kind, Profiles, ReadingFact, RuleFinding, reconcile
from gateway.records import Equipment, FindingKind, Records, Refused, Registry, UnknownRecord
from telemetry.errors import NeighbourDownError
from telemetry.quantities import parse_stream_id

log = logging.getLogger(__name__)
LOOK_BACK_MS = MARKS_MS
_LOOK_EVERY_MS = 60_000  # what time alone brings (silence, the end of a day) is looked for this often
_FORGET_EVERY_MS = 3_600_000
_LEARNT_MS = 30 * DAY_MS  # the longest that a rule looks back to judge by (DRIFT: 28 days)
_LEFT = "device_left"
_TOLD_BY_PEOPLE = ("UNCALIBRATED", "CLOCK")  # from the records, which keep all: no window bounds them
_FACTS_A_TURN = 1_000  # read and judged again before the turn gives way: 0.14 s of a core (benchmarks/alerts.md)
_OPENING = 50  # what opening an equipment counts for among them: it asks the records a few questions
_REFUSED_FOR_CLOCK = frozenset({"clock_ahead", "clock_behind"})
_FINE_C = -55  # a profile whose range goes below this needs sensors that do (DS01's bound of TVC)

Recall = Callable[[str, int], Iterable[ReadingFact]]
"""(equipment, from_ms) -> its facts from then on, in time order."""


@dataclass(slots=True)
class Watched:
    """One equipment: its track, what the records say of it, and its devices' certificates.

    ``reading``: facts on disk that the track still needs before it may be asked.
    """

    track: Track
    site: str
    said: dict[str, RuleFinding]
    lapses: dict[str, list[Lapse]]
    from_ms: int
    reading: Iterator[ReadingFact] | None
    news: bool = True
    forgot_ms: int = 0
    extra: list[RuleFinding] = field(default_factory=list)


class EquipmentJudge:
    """Belongs to one thread. Raises NeighbourDownError from ``judge``: call it again, nothing is lost.

    ``held_back_s``: what edges hold back. ``on_alarm``: an alarm opened.
    """

    def __init__(
        self, records: Records, recall: Recall, held_back_s: int = 0, on_alarm: Callable[[], None] = lambda: None
    ) -> None:
        self._records = records
        self._recall = recall
        self._held_back_s = held_back_s
        self._on_alarm = on_alarm
        self._thresholds = builtin_thresholds()
        self._quantities = watched_quantities()
        self._registry = Registry(-1, {}, {}, {})
        self._settings: dict[str, Settings] = {}
        self._tracks: dict[str, Watched] = {}
        self._queue: dict[str, None] = {}  # equipment whose past is to be read, the first of them now
        self._looked_ms: int | None = None
        self._refusals: dict[str, list[Refusal]] = {}
        self._refused: dict[str, int] | None = None

    def start(self) -> None:
        """Start over: each equipment is read again from the memory."""
        self._tracks.clear()
        self._queue = dict.fromkeys(self._settings)
        self._looked_ms = self._refused = None

    def load(self, facts: Iterable[ReadingFact]) -> None:
        """As ``start``; the facts are read from the memory when their equipment's turn comes."""
        del facts
        self.start()

    def add(self, facts: Iterable[ReadingFact]) -> None:
        """Facts that the memory has already. Those of an equipment that is not read yet are read with it."""
        by_equipment: dict[str, list[ReadingFact]] = defaultdict(list)
        for f in facts:
            if f.equipment in self._tracks and parse_stream_id(f.stream_id).quantity in self._quantities:
                by_equipment[f.equipment].append(f)
        for equipment, group in by_equipment.items():
            watched = self._tracks[equipment]
            watched.news = True
            if too_old := watched.track.take(group):
                log.info("equipment %s: %d facts are too old for the rules over sensors", equipment, too_old)
            if watched.track.missing is not None:
                self._queue.setdefault(equipment)

    def is_behind(self) -> bool:
        """Whether a past is still being read: call ``judge`` again soon."""
        return bool(self._queue)

    def judge(self, profiles: Profiles, now_ms: int) -> list[RuleFinding]:
        """Look at what is new, and once a minute at all; what was said anew, changed or withdrawn."""
        self._read_registry(profiles)
        look = self._looked_ms is None or not self._looked_ms <= now_ms < self._looked_ms + _LOOK_EVERY_MS
        if look:
            self._read_refusals()
        self._read_pasts(now_ms)
        changed: list[RuleFinding] = []
        for equipment, watched in self._tracks.items():
            if watched.reading is None and (watched.news or look):
                changed += self._judge_one(equipment, watched, now_ms)
        self._looked_ms = now_ms if look else self._looked_ms
        return changed

    # --- what is known ---

    def _read_registry(self, profiles: Profiles) -> None:
        if self._registry.version == self._records.registry_version():
            return
        registry = self._records.registry()
        made = {e.id: self._settings_of(e, registry, profiles) for e in registry.equipment.values()}
        for equipment, watched in list(self._tracks.items()):
            if made.get(equipment) != watched.track.settings:
                del self._tracks[equipment]  # judged anew by what holds now, after all others
                self._queue.pop(equipment, None)
            else:
                if registry.devices_of(equipment) != self._registry.devices_of(equipment):
                    watched.lapses = self._lapses(registry, equipment)
                watched.site = registry.equipment[equipment].site
                watched.news = True
        self._registry, self._settings = registry, made
        unread = [e for e in made if e not in self._tracks and e not in self._queue]
        self._queue = dict.fromkeys(e for e in (*self._queue, *unread) if e in made)

    def _settings_of(self, equipment: Equipment, registry: Registry, profiles: Profiles) -> Settings:
        profile = profiles.catalogue.get(equipment.profile)
        deep = profile is not None and profile.low_c is not None and profile.low_c < _FINE_C
        devices = sorted(registry.devices_of(equipment.id), key=lambda d: d.serial)
        known = ((d.serial, DeviceSettings(d.interval_s, held_back_s=self._held_back_s)) for d in devices)
        return Settings(equipment.id, ZoneInfo(registry.sites[equipment.site].zone), tuple(known), deep)

    def _lapses(self, registry: Registry, equipment: str) -> dict[str, list[Lapse]]:
        return {d.serial: lapses(self._certificates(d.serial)) for d in registry.devices_of(equipment)}

    def _certificates(self, serial: str) -> list[Certificate]:
        """What people said, as the audit chain has it."""
        return [
            Certificate(row.at_ms, row.new_value.get("calibrated_until_ms"))
            for row in self._records.audit_of(f"device:{serial}")
        ]

    def _read_refusals(self) -> None:
        """Messages that ingest refused for their time, by the equipment of the device they speak of."""
        found: dict[str, list[Refusal]] = defaultdict(list)
        counts = self._records.quarantine_counts()
        waiting = {reason: n for reason, n in counts.items() if reason in _REFUSED_FOR_CLOCK}
        if waiting == self._refused:
            return
        for item in self._records.quarantine_items(state=None):
            for serial in item.serials if item.reason in _REFUSED_FOR_CLOCK else ():
                home = self._registry.equipment_of(serial)
                if home is not None:
                    found[home.id].append(Refusal(home.id, serial, item.reason, item.received_ms))
        self._refusals, self._refused = dict(found), waiting

    # --- reading the past ---

    def _read_pasts(self, now_ms: int) -> None:
        """The next slice; of small pasts several fit into one."""
        left = _FACTS_A_TURN
        while self._queue and left > 0:
            equipment = next(iter(self._queue))
            watched = self._tracks.get(equipment)
            if watched is None:
                left -= _OPENING
                watched = self._tracks[equipment] = self._open(equipment, self._settings[equipment], now_ms)
            elif watched.reading is None:
                since_ms = watched.track.begin_recall()
                watched.reading = None if since_ms is None else iter(self._recall(equipment, since_ms))
            try:
                left -= self._read_on(watched, max(left, _OPENING))
            except NeighbourDownError:
                del self._tracks[equipment]  # the place that was read to is lost
                raise
            if watched.reading is None and watched.track.missing is None:
                del self._queue[equipment]

    def _read_on(self, watched: Watched, most: int) -> int:
        """Read at most so many facts more, and walk over those whose instants are complete; how many were read."""
        if watched.reading is None:
            return 0
        facts = list(islice(watched.reading, most))
        watched.track.take(f for f in facts if parse_stream_id(f.stream_id).quantity in self._quantities)
        if len(facts) < most:
            watched.reading, watched.news = None, True
        else:
            watched.track.walk(before_ms=facts[-1].t_ms)
        return len(facts)

    def _open(self, equipment: str, settings: Settings, now_ms: int) -> Watched:
        kept = [
            rule_finding_of(f)
            for f in self._records.findings(equipment=equipment, standing=True)
            if f.profile == RULES and f.batch is None and f.kind != FindingKind.WITHDRAWN
        ]
        open_since = [f.episode_start_ms - DAY_MS for f in kept if f.end_ms is None and f.code != "UNCALIBRATED"]
        from_ms = min((now_ms - LOOK_BACK_MS, *open_since))
        site = self._registry.equipment[equipment].site
        said = {f.finding_id: f for f in kept}
        certificates = self._lapses(self._registry, equipment)
        past = iter(self._recall(equipment, from_ms))
        return Watched(new_track(settings, self._thresholds), site, said, certificates, from_ms, past)

    # --- judging ---

    def _judge_one(self, equipment: str, watched: Watched, now_ms: int) -> Sequence[RuleFinding]:
        track = watched.track
        certificates = chain.from_iterable(
            calibration_findings(equipment, serial, gone, now_ms, self._thresholds)
            for serial, gone in watched.lapses.items()
        )
        refused = clock_findings(self._refusals.get(equipment, ()), now_ms, self._thresholds)
        found = [*track.findings(now_ms), *certificates, *refused]
        changed = self._say(watched, found, now_ms)
        watched.news = False
        if not watched.forgot_ms <= now_ms < watched.forgot_ms + _FORGET_EVERY_MS:
            track.forget(now_ms)
            watched.forgot_ms = now_ms
            watched.said = {i: f for i, f in watched.said.items() if _is_recent(f, now_ms)}
        return changed

    def _say(self, watched: Watched, found: Iterable[RuleFinding], now_ms: int) -> Sequence[RuleFinding]:
        here = {serial for serial, _ in watched.track.settings.devices}
        # Of a device that stands elsewhere now nothing goes on here; what went on ends, it was not wrong.
        found = [f for f in found if f.end_ms is not None or device_of(f) in {None, *here}]
        ids = {f.finding_id for f in found}
        said = {i: f for i, f in watched.said.items() if i in ids or self._is_asked(watched, f)}
        left = [f for f in said.values() if f.end_ms is None and device_of(f) not in {None, *here}]
        found += [replace(f, end_ms=max(now_ms, f.event_ms), reason=_LEFT) for f in left]
        changed, _ = reconcile(said.values(), found, now_ms)
        news = [f for f in changed if f.finding_id not in said or not only_longer(said[f.finding_id], f)]
        if not news:
            return ()
        self._save(watched.site, news, said, now_ms)
        for f in news:
            if f.kind is Kind.WITHDRAWN:
                watched.said.pop(f.finding_id, None)
            else:
                watched.said[f.finding_id] = f
        return news

    def _is_asked(self, watched: Watched, finding: RuleFinding) -> bool:
        """Whether what we know now can speak of a finding. What ended before that is history, and stays said."""
        horizon_ms = watched.track.horizon_ms()
        since_ms = watched.from_ms if horizon_ms is None else max(watched.from_ms, horizon_ms)
        if finding.reason == _LEFT:
            return False
        if finding.end_ms is None or finding.code in _TOLD_BY_PEOPLE:
            return True
        return finding.episode_start_ms >= since_ms and finding.end_ms > since_ms

    def _save(self, site: str, news: Sequence[RuleFinding], said: Mapping[str, RuleFinding], now_ms: int) -> None:
        rows = [record_of(_with_past(f, said.get(f.finding_id)), site) for f in news]
        try:
            opened = self._records.save_findings(rows, now_ms).opened
        except (Refused, UnknownRecord) as error:
            if len(news) == 1:
                log.error("finding %s of %s was not recorded: %s", news[0].finding_id, news[0].equipment, error)
                return
            for f in news:
                self._save(site, [f], said, now_ms)
            return
        if opened:
            self._on_alarm()


def _is_recent(finding: RuleFinding, now_ms: int) -> bool:
    """Whether the facts that are kept can still say it."""
    return (
        finding.end_ms is None or finding.code in _TOLD_BY_PEOPLE or finding.end_ms > now_ms - LOOK_BACK_MS - DAY_MS
    )


def _with_past(finding: RuleFinding, said: RuleFinding | None) -> RuleFinding:
    """What a finding once took the place of stays said, also when it goes on."""
    return replace(finding, supersedes=said.supersedes) if said is not None and not finding.supersedes else finding
