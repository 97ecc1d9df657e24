"""The shell around the rules: journal and people's commands in; findings, verdicts and messages out.

    journal ─▶ facts ─▶ memory (one commit with the offset) ─▶ rules.step ─▶ findings ─▶ records
    audit feed ─▶ placements, VVM, registry ─────────────────▶ verdicts ──────────────▶ records ─▶ notify

One thread, one loop, ``turn`` by ``turn``; a turn that a SIGKILL cuts anywhere is made good at the next start,
because facts and offset are one commit, findings and verdicts are saved by id, and what stands but was never said is
said then (``alerts.rules.restore``). A dead time-series database does not matter here at all.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from alerts.batches import BatchJudge
from alerts.config import Config
from alerts.convert import record_of, rule_finding_of, weighing_record
from alerts.memory import ANCHORED, Memory
from alerts.profiles import load_profiles
from alerts.rules import Profiles, ReadingFact, RuleFinding, State, StreamSettings, restore, step
from gateway.journal import Entry, Journal
from gateway.records import FindingKind, Records, WeighingRecord
from telemetry.clock import Clock
from telemetry.contract import decode_upload
from telemetry.errors import ContractError, NeighbourDownError
from telemetry.quantities import parse_stream_id
from telemetry.readings import Event, Reading, Weighing

log = logging.getLogger(__name__)
WATCHED = "temperature_c"
_REGISTRY_KINDS = frozenset({"site", "equipment", "device"})

Notify = Callable[[], bool]
"""Tell people of open alarms; True when something was sent."""


async def run(
    config: Config, clock: Clock, journal: Journal, records: Records, notify: Notify, stop: asyncio.Event
) -> None:
    """Judge until ``stop``. Raises what the loop raises; the supervisor starts it anew."""
    halt = threading.Event()

    def loop() -> None:
        memory = Memory(config.memory_path)
        try:
            service = Alerts(config, clock, journal, records, memory, notify)
            service.run(halt)
        finally:
            memory.close()

    worker = asyncio.create_task(asyncio.to_thread(loop))
    watch = asyncio.create_task(stop.wait())
    await asyncio.wait([worker, watch], return_when=asyncio.FIRST_COMPLETED)
    halt.set()
    watch.cancel()
    await worker


@dataclass(slots=True)
class Arrivals:
    """What a batch of journal entries brought."""

    facts: list[ReadingFact] = field(default_factory=list)
    undated: list[tuple[str, str, Reading]] = field(default_factory=list)
    anchors: list[tuple[str, str, Event]] = field(default_factory=list)
    weighings: list[WeighingRecord] = field(default_factory=list)


class Alerts:
    """The service's state: the rules' memory, the registry as last read, and the batches' judge."""

    def __init__(
        self, config: Config, clock: Clock, journal: Journal, records: Records, memory: Memory, notify: Notify
    ) -> None:
        self._config = config
        self._clock = clock
        self._journal = journal
        self._records = records
        self._memory = memory
        self._notify = notify
        self._catalogue = load_profiles(*config.profiles_files)
        self._registry = records.registry()
        self._profiles = self._make_profiles()
        self._state = State()
        self._batches = BatchJudge(records, self._catalogue)
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
        """Judge all kept facts anew and say what was never said (after a kill, or at the first start)."""
        self._refresh_registry(force=True)
        facts = self._memory.facts()
        said = [
            rule_finding_of(f)
            for f in self._records.findings()
            if f.kind != FindingKind.WITHDRAWN and f.batch is None and f.superseded_by is None
        ]
        made = restore(facts, said, self._profiles, self._clock.now_ms())
        self._state = made.state
        self._save(made.findings)
        self._batches.load(facts)
        self._batches.judge(set(), self._profiles, self._clock.now_ms(), everything=True)

    def turn(self) -> bool:
        """One look at both feeds and the clock; True when there may be more to do at once."""
        touched: set[str] = set()
        changed = self._people_changed()
        if changed:
            touched |= self._refresh_registry()
        entries = self._journal.after(self._memory.place().journal_offset, self._config.batch_entries)
        fresh = self._take_in(entries)
        now_ms = self._clock.now_ms()
        wake = self._state.wake_at_ms
        if fresh or touched or (wake is not None and now_ms >= wake):
            made = step(self._state, fresh, self._profiles, now_ms)
            self._state = made.state
            self._save(made.findings)
            touched |= {f.equipment for f in made.findings}
        self._batches.add(fresh)
        self._batches.judge(
            touched | {f.equipment for f in fresh}, self._profiles, self._clock.now_ms(), everything=changed
        )
        told = self._notify()
        return bool(entries) or told

    # --- in ---

    def _people_changed(self) -> bool:
        """Read the audit feed on; True when a command may change findings or verdicts."""
        place = self._memory.place()
        rows = self._records.changes_after(place.audit_id, 500)
        if not rows:
            return False
        with self._memory.transaction():
            self._memory.set_audit_id(rows[-1].id)
        return any(row.kind in _REGISTRY_KINDS or row.kind in ("batch", "placement", "vvm") for row in rows)

    def _refresh_registry(self, *, force: bool = False) -> set[str]:
        """Read the registry again when it moved; the equipment whose facts found a home by that."""
        if not force and self._registry.version == self._records.registry_version():
            return set()
        self._registry = self._records.registry()
        self._profiles = self._make_profiles()
        housed: set[str] = set()
        found: list[ReadingFact] = []
        with self._memory.transaction():
            for stream in self._memory.homeless():
                equipment = self._registry.equipment_of(parse_stream_id(stream).serial)
                if equipment is not None:
                    found += self._memory.house(stream, equipment.id)
                    housed.add(equipment.id)
        if found and not force:
            made = step(self._state, found, self._profiles, self._clock.now_ms())
            self._state = made.state
            self._save(made.findings)
            self._batches.add(found)
        return housed | set(self._registry.equipment)

    def _make_profiles(self) -> Profiles:
        catalogue = self._catalogue
        watched: dict[str, tuple[str, ...]] = {}
        for equipment in self._registry.equipment.values():
            if equipment.profile in catalogue:
                also = ("smile_grace",) if "smile_grace" in catalogue and equipment.profile == "refrigerator" else ()
                watched[equipment.id] = (equipment.profile, *also)
            else:
                log.error("equipment %s: no profile %r; judged as a refrigerator", equipment.id, equipment.profile)
        streams = {
            f"{d.serial}/{WATCHED}": StreamSettings(d.interval_s, None) for d in self._registry.devices.values()
        }
        return Profiles(catalogue, watched, streams)

    def _take_in(self, entries: Sequence[tuple[int, Entry]]) -> list[ReadingFact]:
        """Facts of these entries into memory, with the new offset, in one commit; those not known before."""
        if not entries:
            return []
        arrived = Arrivals()
        for offset, entry in entries:
            try:
                self._sort(entry, arrived)
            except ContractError as error:
                # Ingest checked it before; a journal entry we cannot read must not stop the line.
                log.error("journal entry %d cannot be read: %s", offset, error)
        if arrived.weighings:
            self._records.save_weighings(arrived.weighings, self._clock.now_ms())
        with self._memory.transaction():
            fresh = self._memory.add(arrived.facts)
            for site, edge, reading in arrived.undated:
                self._memory.wait(site, edge, reading)
            for site, edge, event in arrived.anchors:
                self._memory.anchor(site, edge, event)
            if arrived.undated or arrived.anchors:
                fresh += self._memory.add(self._dated())
            self._memory.set_journal_offset(entries[-1][0])
        return [f for f in fresh if f.equipment]

    def _dated(self) -> list[ReadingFact]:
        return [
            ReadingFact(self._home(stream), stream, t_ms, value_c, quality, seq)
            for stream, t_ms, seq, value_c, quality in self._memory.take_dated()
        ]

    def _sort(self, entry: Entry, arrived: Arrivals) -> None:
        for numbered in decode_upload(entry.payload).facts:
            fact = numbered.fact
            match fact:
                case Reading() if parse_stream_id(fact.stream_id).quantity == WATCHED:
                    if fact.sampled_at_ms is None:
                        arrived.undated.append((entry.site, entry.edge, fact))
                    else:
                        arrived.facts.append(
                            ReadingFact(
                                self._home(fact.stream_id),
                                fact.stream_id,
                                fact.sampled_at_ms,
                                fact.value,
                                fact.quality,
                                fact.device_seq,
                            )
                        )
                case Weighing():
                    arrived.weighings.append(weighing_record(entry, fact))
                case Event() if fact.kind == ANCHORED:
                    arrived.anchors.append((entry.site, entry.edge, fact))
                case _:
                    pass

    def _home(self, stream_id: str) -> str:
        equipment = self._registry.equipment_of(parse_stream_id(stream_id).serial)
        return "" if equipment is None else equipment.id

    # --- out ---

    def _save(self, findings: Iterable[RuleFinding]) -> None:
        """Findings into the records, by id. One whose equipment is no longer registered has no site to go to."""
        known = [(f, self._registry.equipment.get(f.equipment)) for f in findings]
        rows = [record_of(f, home.site) for f, home in known if home is not None]
        if rows:
            saved = self._records.save_findings(rows, self._clock.now_ms())
            for finding_id in saved.opened:
                log.info("alarm %s", finding_id)
