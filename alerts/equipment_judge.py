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

from alerts.convert import device_of, only_longer, record_of, rule_finding_of, with_past
from alerts.equipment import (
    RULES,
    Settings,
    Track,
    builtin_thresholds,
    new_track,
    watched_quantities,
)
from alerts.equipment.calibration import Lapse, calibration_findings
from alerts.equipment.clock import Refusal, clock_findings, with_beginnings
from alerts.equipment.homes import Stay
from alerts.equipment.track import DAY_MS, MARKS_MS
from alerts.equipment_said import REFUSED_FOR_CLOCK, lapses_of, refusals_of, settings_of
from alerts.rules import Kind, Profiles, ReadingFact, RuleFinding, reconcile
from gateway.records import FindingKind, Records, Refused, Registry, UnknownRecord
from telemetry.errors import NeighbourDownError
from telemetry.quantities import parse_stream_id

log = logging.getLogger(__name__)
LOOK_BACK_MS = MARKS_MS
_LOOK_EVERY_MS = 60_000  # what time alone brings (silence, the end of a day) is looked for this often
_FORGET_EVERY_MS = 3_600_000
_LEFT = "device_left"
_FACTS_A_TURN = 1_000  # read and judged again before the turn gives way: 0.14 s of a core (benchmarks/alerts.md)
_OPENING = 50  # what opening an equipment counts for among them: it asks the records a few questions

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
        self._refused_from_ms = 0
        self._stays: dict[str, list[Stay]] = {}

    def start(self) -> None:
        """Start over: each equipment is read again from the memory."""
        self._tracks.clear()
        self._queue = dict.fromkeys(self._settings)
        self._looked_ms = None

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

    def read_again(self, equipment: str) -> None:
        """Facts are no longer in this equipment: it is read again from the memory."""
        self._tracks.pop(equipment, None)

    def judge(self, profiles: Profiles, now_ms: int) -> list[RuleFinding]:
        """Look at what is new, and once a minute at all; what was said anew, changed or withdrawn."""
        self._read_registry(profiles)
        look = self._looked_ms is None or not self._looked_ms <= now_ms < self._looked_ms + _LOOK_EVERY_MS
        if look:
            self._refused_from_ms = now_ms - LOOK_BACK_MS
            self._refusals = refusals_of(self._records, self._refused_from_ms, self._stays)
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
        made = {
            e.id: settings_of(e, registry, profiles.catalogue, self._held_back_s) for e in registry.equipment.values()
        }
        for equipment, watched in list(self._tracks.items()):
            if made.get(equipment) != watched.track.settings:
                del self._tracks[equipment]  # judged anew by what holds now, after all others
                self._queue.pop(equipment, None)
            else:
                if registry.devices_of(equipment) != self._registry.devices_of(equipment):
                    watched.lapses = lapses_of(self._records, registry, equipment)
                watched.site = registry.equipment[equipment].site
                watched.news = True
        self._registry, self._settings = registry, made
        self._stays.clear()
        unread = [e for e in made if e not in self._tracks and e not in self._queue]
        self._queue = dict.fromkeys(e for e in (*self._queue, *unread) if e in made)

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
                left -= self._read_on(watched, max(left, _OPENING), now_ms)
            except NeighbourDownError:
                del self._tracks[equipment]  # the place that was read to is lost
                raise
            if watched.reading is None and watched.track.missing is None:
                del self._queue[equipment]

    def _read_on(self, watched: Watched, most: int, now_ms: int) -> int:
        """Read at most so many facts more, and walk over those whose instants are complete; how many were read.

        Of a past from before the look-back (read because a finding of then is still open) only the states are kept.
        """
        if watched.reading is None:
            return 0
        facts = list(islice(watched.reading, most))
        watched.track.take(f for f in facts if parse_stream_id(f.stream_id).quantity in self._quantities)
        if len(facts) < most:
            watched.reading, watched.news = None, True
        else:
            watched.track.walk(before_ms=facts[-1].t_ms)
            if facts[-1].t_ms < now_ms - LOOK_BACK_MS:
                watched.track.forget(facts[-1].t_ms)
        return len(facts)

    def _open(self, equipment: str, settings: Settings, now_ms: int) -> Watched:
        kept = [
            rule_finding_of(f)
            for f in self._records.findings(equipment=equipment, standing=True)
            if f.profile == RULES and f.batch is None and f.kind != FindingKind.WITHDRAWN
        ]
        open_since = [f.episode_start_ms - DAY_MS for f in kept if f.end_ms is None and not _is_of_records(f)]
        from_ms = min((now_ms - LOOK_BACK_MS, *open_since))
        site = self._registry.equipment[equipment].site
        said = {f.finding_id: f for f in kept}
        certificates = lapses_of(self._records, self._registry, equipment)
        past = iter(self._recall(equipment, from_ms))
        return Watched(new_track(settings, self._thresholds), site, said, certificates, from_ms, past)

    # --- judging ---

    def _judge_one(self, equipment: str, watched: Watched, now_ms: int) -> Sequence[RuleFinding]:
        track = watched.track
        certificates = chain.from_iterable(
            calibration_findings(equipment, serial, gone, now_ms, self._thresholds)
            for serial, gone in watched.lapses.items()
        )
        refused = with_beginnings(
            clock_findings(self._refusals.get(equipment, ()), now_ms, self._thresholds),
            (f for f in watched.said.values() if _is_refusal(f)),
            self._refused_from_ms,
            self._thresholds,
        )
        found = [*track.findings(now_ms), *certificates, *refused]
        changed = self._say(watched, found, now_ms)
        watched.news = False
        if not watched.forgot_ms <= now_ms < watched.forgot_ms + _FORGET_EVERY_MS:
            track.forget(now_ms)
            watched.forgot_ms = now_ms
            watched.said = {i: f for i, f in watched.said.items() if _is_recent(f, now_ms)}
        return changed

    def _say(self, watched: Watched, found: Iterable[RuleFinding], now_ms: int) -> Sequence[RuleFinding]:
        here = {None, *(serial for serial, _ in watched.track.settings.devices)}
        left_ids = {i for i, f in watched.said.items() if f.reason == _LEFT}
        # Of a device that stands elsewhere now nothing goes on here; what went on ends, it was not wrong.
        found = [f for f in found if device_of(f) in here or (f.end_ms is not None and f.finding_id not in left_ids)]
        ids = {f.finding_id for f in found}
        said = {i: f for i, f in watched.said.items() if i in ids or self._is_asked(watched, f, device_of(f) in here)}
        left = [f for f in said.values() if f.end_ms is None and device_of(f) not in here]
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

    def _is_asked(self, watched: Watched, finding: RuleFinding, is_here: bool) -> bool:
        """Whether what we know now can speak of a finding. What ended before that is history, and stays said.

        So is what ended of a device that stands elsewhere now (``is_here`` False): its settings and certificates are
        judged there.
        """
        horizon_ms = watched.track.horizon_ms()
        since_ms = watched.from_ms if horizon_ms is None else max(watched.from_ms, horizon_ms)
        if finding.reason == _LEFT:
            return False
        if finding.end_ms is None:
            return True
        if not is_here:
            return False
        if _is_refusal(finding):
            return finding.end_ms >= self._refused_from_ms
        if finding.code == "UNCALIBRATED":
            return True
        return finding.episode_start_ms >= since_ms and finding.end_ms > since_ms

    def _save(self, site: str, news: Sequence[RuleFinding], said: Mapping[str, RuleFinding], now_ms: int) -> None:
        rows = [record_of(with_past(f, said.get(f.finding_id)), site) for f in news]
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


def _is_refusal(finding: RuleFinding) -> bool:
    return finding.code == "CLOCK" and finding.reason in REFUSED_FOR_CLOCK


def _is_of_records(finding: RuleFinding) -> bool:
    """Whether the records say it: no reading has to be read again for it."""
    return finding.code == "UNCALIBRATED" or _is_refusal(finding)


def _is_recent(finding: RuleFinding, now_ms: int) -> bool:
    """Whether the facts that are kept can still say it."""
    return finding.end_ms is None or finding.code == "UNCALIBRATED" or finding.end_ms > now_ms - LOOK_BACK_MS - DAY_MS
