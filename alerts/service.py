"""The shell around the rules: journal and people's commands in; findings, verdicts and messages out.

    journal ─▶ facts ─▶ memory (one commit with the offset) ─▶ rules.step ─▶ findings ─▶ records ─▶ notify
    audit feed ─▶ placements, VVM, registry ─────────────────▶ verdicts ──────────────▶ records

One thread judges, ``turn`` by ``turn``; a turn that a SIGKILL cuts anywhere is made good at the next start, because
facts and offset are one commit, findings and verdicts are saved by id, and what stands but was never said is said
then (``alerts.rules.restore``). A second thread tells people: a mail server that hangs never holds a rule up. A dead
time-series database does not matter here at all.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from alerts.arrivals import TEMPERATURE, arrivals
from alerts.batches import BatchJudge
from alerts.config import Config
from alerts.convert import only_longer, record_of, rule_finding_of
from alerts.forecaster import LOOK_BACK_MS, QUANTITIES, Forecaster
from alerts.memory import Memory
from alerts.profiles import load_profiles
from alerts.rules import Kind, Profiles, ReadingFact, RuleFinding, State, StreamSettings, restore, step
from alerts.rules.limits import MIN_GAP_MS
from gateway.journal import Entry, Journal
from gateway.records import AlarmState, AuditRow, Finding, Records, Refused, Registry, UnknownRecord, WeighingRecord
from telemetry.clock import Clock
from telemetry.errors import NeighbourDownError
from telemetry.quantities import parse_stream_id

log = logging.getLogger(__name__)
_SILENT = "SILENT"
_REGISTRY_KINDS = frozenset({"site", "equipment", "device"})
_BATCH_KINDS = frozenset({"batch", "placement", "vvm"})
_FEED_ROWS = 500
_STOP_S = 5.0

Notify = Callable[[], bool]
"""Tell people of open alarms; True when something was sent."""


async def run(
    config: Config, clock: Clock, journal: Journal, records: Records, notify: Notify, stop: asyncio.Event
) -> None:
    """Judge and tell until ``stop``. Raises what the judging raises; the supervisor starts it anew."""
    halt, news = threading.Event(), threading.Event()

    def judge() -> None:
        memory = Memory(config.memory_path)
        try:
            Alerts(config, clock, journal, records, memory, news.set).run(halt)
        finally:
            memory.close()

    # A daemon: a channel that hangs must not keep the process from ending; its claim is taken up after five minutes.
    teller = threading.Thread(target=tell, args=(notify, halt, news, config.tell_poll_s), name="notify", daemon=True)
    teller.start()
    worker = asyncio.create_task(asyncio.to_thread(judge))
    watch = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([worker, watch], return_when=asyncio.FIRST_COMPLETED)
    finally:
        halt.set()
        news.set()
        watch.cancel()
    await worker
    await asyncio.to_thread(teller.join, _STOP_S)


def tell(notify: Notify, halt: threading.Event, news: threading.Event, poll_s: float) -> None:
    """Call ``notify`` at every news and every ``poll_s`` until halted; what it raises is said once and outlived."""
    trouble = ""
    while not halt.is_set():
        news.clear()
        try:
            notify()
            if trouble:
                log.info("people are told again")
            trouble = ""
        except Exception as error:  # noqa: BLE001  (nobody would be told any more if this thread ended)
            said = str(error) if isinstance(error, NeighbourDownError) else type(error).__name__
            if said != trouble:
                log.warning("people cannot be told now: %s", said)
            trouble = said
        news.wait(poll_s)


class Alerts:
    """The service's state: the rules' memory, the registry as last read, and the batches' judge.

    ``on_alarm`` is called when an alarm opened. Belongs to one thread.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        journal: Journal,
        records: Records,
        memory: Memory,
        on_alarm: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._journal = journal
        self._records = records
        self._memory = memory
        self._on_alarm = on_alarm
        self._catalogue = load_profiles(*config.profiles_files)
        self._registry = Registry(-1, {}, {}, {})
        self._streams: set[str] = set()
        self._profiles = Profiles(self._catalogue)
        self._state = State()
        self._said: dict[str, RuleFinding] = {}
        self._recheck: dict[str, int] = {}
        self._batches = BatchJudge(records, self._catalogue, memory, on_alarm)
        self._forecaster = Forecaster(records)
        self._outage: str | None = None

    # --- the loop ---

    def run(self, halt: threading.Event) -> None:
        """``start`` once, then ``turn`` until halted; a neighbour that is away is said once, and its return."""
        started = False
        while not halt.is_set():
            try:
                if not started:
                    self.start()
                    started = True
                busy = self.turn()
                if self._outage is not None:
                    log.info("%s answers again", self._outage)
                    self._outage = None
            except NeighbourDownError as error:
                if self._outage is None:
                    log.warning("alerts wait: %s", error)
                    self._outage = error.neighbour
                started, busy = False, False
            if not busy:
                halt.wait(self._config.poll_s)

    def start(self) -> None:
        """Read the journal on, judge all facts anew, and say what was never said (after a kill, or at first)."""
        self._check_places()
        while self._people_changed():
            pass  # all is read and judged anew below
        self._read_registry()
        self._streams = self._memory.streams()
        while entries := self._next_entries():
            self._keep(entries)
        self._find_homes()
        self._date_weighings()
        self._profiles = self._make_profiles()
        facts = list(self._memory.facts(quantities={TEMPERATURE}))
        said = _within(self._standing(), facts)
        self._said = {f.finding_id: f for f in said}
        made = restore(facts, said, self._profiles, self._clock.now_ms())
        self._state = made.state
        self._recheck = {f.equipment: f.episode_start_ms + MIN_GAP_MS + 1 for f in said if _lost(f)}
        self._save(made.findings)
        self._batches.load(facts)
        self._batches.judge_all(self._clock.now_ms())
        lately_ms = self._clock.now_ms() - LOOK_BACK_MS
        self._forecaster.load(self._memory.facts(quantities=QUANTITIES, from_ms=lately_ms), self._profiles)
        self._on_alarm()

    def turn(self) -> bool:
        """One look at both feeds and the clock; True when there may be more to do at once."""
        rows = self._people_changed()
        fresh: list[ReadingFact] = []
        replan = any(row.kind in _REGISTRY_KINDS for row in rows)
        if replan:
            self._read_registry()
            fresh += self._find_homes()
        entries = self._next_entries()
        known = len(self._streams)
        fresh += self._keep(entries)
        self._date_weighings()
        if replan or len(self._streams) > known:
            self._profiles = self._make_profiles()
        touched, stirred = self._judge(fresh, replan=replan)
        for equipment in _equipment_in(rows):
            touched[equipment] = 0
            stirred.add(equipment)
        self._batches.judge(touched, stirred, self._profiles, self._clock.now_ms(), _batches_in(rows))
        self._forecaster.look(self._profiles, self._clock.now_ms())
        return bool(entries) or len(rows) == _FEED_ROWS

    def _judge(self, fresh: Sequence[ReadingFact], *, replan: bool) -> tuple[dict[str, int], set[str]]:
        """One step of the rules where something is new or due.

        Returns (equipment -> time of the earliest news there, those of them where more than readings is new).
        """
        now_ms = self._clock.now_ms()
        touched = {e: at for e, at in self._recheck.items() if now_ms >= at}
        stirred = set(touched)
        for equipment in touched:
            del self._recheck[equipment]
        for fact in fresh:
            touched[fact.equipment] = min(fact.t_ms, touched.get(fact.equipment, fact.t_ms))
        self._batches.add(fresh)
        wake = self._state.wake_at_ms
        if fresh or replan or (wake is not None and now_ms >= wake):
            made = step(self._state, fresh, self._profiles, now_ms)
            self._state = made.state
            self._save(made.findings)
            for f in made.findings:
                touched[f.equipment] = min(f.event_ms, touched.get(f.equipment, f.event_ms))
                stirred.add(f.equipment)
        return touched, stirred

    # --- in ---

    def _check_places(self) -> None:
        """Begin again where a feed is not the one that our place in it belongs to (restored from a backup)."""
        place = self._memory.place()
        if self._journal.last_offset() < place.journal_offset:
            log.warning("the journal is behind alerts (restored?): read from its beginning")
            with self._memory.transaction():
                self._memory.set_journal_offset(0)
        if self._records.newest_change() < place.audit_id:
            log.warning("the records are behind alerts (restored?): their changes are read from the beginning")
            with self._memory.transaction():
                self._memory.set_audit_id(0)

    def _people_changed(self) -> list[AuditRow]:
        """Read the audit feed on: the next rows of what others wrote."""
        rows = self._records.changes_after(self._memory.place().audit_id, _FEED_ROWS)
        if rows:
            with self._memory.transaction():
                self._memory.set_audit_id(rows[-1].id)
        return rows

    def _read_registry(self) -> None:
        if self._registry.version == self._records.registry_version():
            return
        self._registry = self._records.registry()
        for equipment in self._registry.equipment.values():
            if equipment.profile not in self._catalogue:
                log.error("equipment %s: no profile %r; judged as a refrigerator", equipment.id, equipment.profile)

    def _find_homes(self) -> list[ReadingFact]:
        """The kept facts of devices that have an equipment now and had none before."""
        found: list[ReadingFact] = []
        with self._memory.transaction():
            for stream in self._memory.homeless():
                equipment = self._home(stream)
                if equipment:
                    found += self._memory.house(stream, equipment, self._memory.place().audit_id)
        return [f for f in found if _is_temperature(f)]

    def _make_profiles(self) -> Profiles:
        catalogue = self._catalogue
        watched: dict[str, tuple[str, ...]] = {}
        for equipment in self._registry.equipment.values():
            if equipment.profile in catalogue:
                also = ("smile_grace",) if "smile_grace" in catalogue and equipment.profile == "refrigerator" else ()
                watched[equipment.id] = (equipment.profile, *also)
        streams: dict[str, StreamSettings] = {}
        for stream in self._streams:
            device = self._registry.device(parse_stream_id(stream).serial)
            if device is not None:
                streams[stream] = StreamSettings(
                    device.interval_s, device.calibration_error_c, self._config.held_back_s
                )
        return Profiles(catalogue, watched, streams)

    def _next_entries(self) -> list[tuple[int, Entry]]:
        return self._journal.after(self._memory.place().journal_offset, self._config.batch_entries)

    def _keep(self, entries: Sequence[tuple[int, Entry]]) -> list[ReadingFact]:
        """Facts of these entries into memory, with the new offset, in one commit; those to judge and not known."""
        if not entries:
            return []
        arrived = arrivals(entries, self._home)
        self._save_weighings(arrived.weighings)
        fresh: list[ReadingFact] = []
        with self._memory.transaction():
            for offset, fact in arrived.facts:
                fresh += self._memory.add((fact,), offset)
            for offset, source, undated in arrived.clockwork:
                dated = self._memory.learn(source, undated)
                fresh += self._memory.add((replace(f, equipment=self._home(f.stream_id)) for f in dated), offset)
            self._memory.set_journal_offset(entries[-1][0])
        self._streams |= {f.stream_id for f in fresh}
        self._forecaster.add(fresh, self._profiles)
        return [f for f in fresh if f.equipment and _is_temperature(f)]

    def _home(self, stream_id: str) -> str:
        equipment = self._registry.equipment_of(parse_stream_id(stream_id).serial)
        return "" if equipment is None else equipment.id

    # --- weighings pass through ---

    def _save_weighings(self, weighings: Sequence[WeighingRecord]) -> None:
        """Into the records, by id. One that the records refuse stays in the journal alone, and is said."""
        if not weighings:
            return
        try:
            saved = self._records.save_weighings(weighings, self._clock.now_ms())
        except (Refused, UnknownRecord, UnicodeError) as error:
            if len(weighings) == 1:
                log.error("weighing %.80r was not recorded: %s", weighings[0].id, error)
                return
            for weighing in weighings:
                self._save_weighings([weighing])
            return
        for weighing_id in saved.conflicts:
            log.error("weighing %s came again with another weight; the first one stays", weighing_id)

    def _date_weighings(self) -> None:
        """Give the records the times that anchors found since; marked after, so that a kill loses none."""
        for weighing_id, t_ms in self._memory.dated_weighings():
            try:
                kept = self._records.weighing(weighing_id)
            except UnknownRecord:
                log.error("weighing %s has a time now and is not in the records", weighing_id)
            else:
                self._save_weighings([replace(kept, t_ms=t_ms)])
            with self._memory.transaction():
                self._memory.weighing_done(weighing_id)

    # --- out ---

    def _standing(self) -> list[RuleFinding]:
        """What the records say of equipment, neither withdrawn nor superseded."""
        return [rule_finding_of(f) for f in self._records.findings(standing=True) if f.batch is None]

    def _save(self, findings: Iterable[RuleFinding]) -> None:
        """Findings into the records, by id. One whose equipment is no longer registered has no site to go to."""
        rows: list[Finding] = []
        for finding in findings:
            home = self._registry.equipment.get(finding.equipment)
            said = self._said.get(finding.finding_id)
            if home is None or (said is not None and only_longer(said, finding)):
                continue
            if said is not None and not finding.supersedes:
                finding = replace(finding, supersedes=said.supersedes)
            rows.append(record_of(self._unanswered_first(finding), home.site))
            self._note(finding)
        if self._put(rows):
            self._on_alarm()

    def _note(self, finding: RuleFinding) -> None:
        if finding.kind is Kind.WITHDRAWN:
            self._said.pop(finding.finding_id, None)
        else:
            self._said[finding.finding_id] = finding
        if _lost(finding):
            # Silence may be called before the gap rule calls the time unknown: judge the batches again then.
            self._recheck[finding.equipment] = finding.episode_start_ms + MIN_GAP_MS + 1

    def _unanswered_first(self, finding: RuleFinding) -> RuleFinding:
        """Of several findings whose place it takes, one that nobody answered yet leads: its question stays open."""
        if len(finding.supersedes) < 2:
            return finding
        return replace(finding, supersedes=tuple(sorted(finding.supersedes, key=self._is_answered)))

    def _is_answered(self, finding_id: str) -> bool:
        try:
            return self._records.alarm(finding_id).state != AlarmState.OPEN
        except UnknownRecord:
            return True

    def _put(self, rows: Sequence[Finding]) -> bool:
        """Save; True when an alarm opened. A finding that the records refuse is said and does not stop the others."""
        if not rows:
            return False
        try:
            saved = self._records.save_findings(rows, self._clock.now_ms())
        except (Refused, UnknownRecord) as error:
            if len(rows) > 1:
                opened = [self._put([row]) for row in rows]
                return any(opened)
            log.error("finding %s of %s was not recorded: %s", rows[0].id, rows[0].equipment, error)
            return False
        for finding_id in saved.opened:
            log.info("alarm %s", finding_id)
        return bool(saved.opened)


def _batches_in(rows: Iterable[AuditRow]) -> set[str] | None:
    """The batches of which these rows speak; None where no row speaks of any."""
    told = [row for row in rows if row.kind in _BATCH_KINDS]
    if not told:
        return None
    return {row.key if row.kind == "batch" else str(row.new_value.get("batch")) for row in told}


def _equipment_in(rows: Iterable[AuditRow]) -> set[str]:
    """The equipment whose settings, or whose devices' settings, changed."""
    found: set[str] = set()
    for row in rows:
        if row.kind == "equipment":
            found.add(row.key)
        elif row.kind == "device":
            found |= {str(v["equipment"]) for v in (row.old_value, row.new_value) if v.get("equipment")}
    return found


def _is_temperature(fact: ReadingFact) -> bool:
    return parse_stream_id(fact.stream_id).quantity == TEMPERATURE


def _lost(finding: RuleFinding) -> bool:
    return finding.code == _SILENT and finding.kind is not Kind.WITHDRAWN and finding.end_ms is None


def _within(said: Iterable[RuleFinding], facts: Sequence[ReadingFact]) -> list[RuleFinding]:
    """What was said of the span that our facts cover. Older findings are history: no facts of ours can deny them."""
    first: dict[tuple[str, str], int] = {}
    for f in facts:  # in time order
        first.setdefault((f.equipment, f.stream_id), f.t_ms)
    return [f for f in said if first.get((f.equipment, f.stream_id), f.episode_start_ms + 1) <= f.episode_start_ms]
