"""The shell around the rules: journal and people's commands in; findings, verdicts and messages out.

    journal ─▶ facts ─▶ memory (one commit with the offset) ─▶ StreamJudge ─▶ findings ─▶ records ─▶ notify
    audit feed ─▶ placements, VVM, registry ──────────────────▶ BatchJudge ──▶ verdicts ─▶ records

One thread judges, ``turn`` by ``turn``; a second one tells people, so that a mail server that hangs never holds a rule up.
A dead time-series database does not matter here at all.

Kills. Facts and offset are one commit (``Memory.place``); findings and verdicts are saved by id. ``Memory.done`` is the
place up to which all that was read is judged and said, written with the next turn's first commit: a start reads on from
there, and what a kill cut off is done again. What stands and was never said is said then (``alerts.rebuild``).

Stops. Told to stop, a turn is brought to its end, and a start goes no further than to the next stream: with years of
history it takes minutes on a loaded machine. What it had not done the next start does, as after a kill.

Outages. What a turn could not finish it leaves in ``_Todo``, and the next turn goes on with it. While the records are
away the rules go on with the registry as last read, so that an alarm's detection is not late and it is told as soon as
they answer.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from alerts.arrivals import TEMPERATURE, arrivals
from alerts.batches import BatchJudge
from alerts.config import Config
from alerts.equipment_judge import EquipmentJudge
from alerts.fingerprint import fingerprint
from alerts.forecaster import LOOK_BACK_MS, QUANTITIES, Forecaster
from alerts.memory import Memory, Place, Source
from alerts.products import load_products
from alerts.profiles import load_profiles
from alerts.registered import Registered, batches_in, equipment_in, profiles_in
from alerts.rules import Kind, Profiles, ReadingFact, RuleFinding
from alerts.rules.limits import MIN_GAP_MS
from alerts.sayings import Sayings
from alerts.streams import StreamJudge
from alerts.telling import Notify, tell
from alerts.weighings import Weighings
from gateway.journal import Entry, Journal
from gateway.records import AuditRow, Records
from telemetry.clock import Clock
from telemetry.errors import NeighbourDownError
from telemetry.quantities import parse_stream_id
from telemetry.readings import Fact

log = logging.getLogger(__name__)
_SILENT = "SILENT"
_FEED_ROWS = 500
_STOP_S = 5.0


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


class _HaltedError(Exception):
    """Told to stop before all that was read is judged: the next start does it."""


@dataclass(slots=True)
class _Todo:
    """What was read and is not done yet. ``touched``: equipment -> time of the earliest news there.

    ``stirred``: equipment where more than readings is new. ``named``: batches of which a person said something.
    """

    replan: bool = False
    touched: dict[str, int] = field(default_factory=dict)
    stirred: set[str] = field(default_factory=set)
    named: set[str] | None = None

    def touch(self, equipment: str, at_ms: int) -> None:
        self.touched[equipment] = min(at_ms, self.touched.get(equipment, at_ms))


class Alerts:
    """The service's state. ``on_alarm`` is called when an alarm opened. Belongs to one thread."""

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
        catalogue = load_profiles(*config.profiles_files)
        self._judged_by = fingerprint((*config.profiles_files, *config.products_files))
        self._registry = Registered(records, catalogue, config.held_back_s, clock.now_ms)
        self._sayings = Sayings(records, self._registry.site, clock.now_ms, on_alarm)
        self._weighings = Weighings(records, memory, clock.now_ms)
        self._rules = StreamJudge(memory, config.keep_s * 1000, self._said_of)
        products = load_products(*config.products_files)
        self._batches = BatchJudge(records, catalogue, memory, on_alarm, products)
        self._forecaster = Forecaster(records)
        self._sensors = EquipmentJudge(records, self._facts_from, config.held_back_s, on_alarm)
        self._quantities = {TEMPERATURE} | {limit.quantity for p in catalogue.values() for limit in p.limits}
        self._streams: set[str] = set()
        self._profiles = Profiles(catalogue)
        self._unhoused = True
        self._heard: list[AuditRow] = []  # read, and not looked into yet: the registry was away
        self._todo = _Todo()
        self._lost: dict[str, int] = {}
        self._cursor = Place(0, 0)
        self._outage: str | None = None
        self._halt = threading.Event()

    def _heed(self) -> None:
        if self._halt.is_set():
            raise _HaltedError

    def _said_of(self, equipment: str, stream: str) -> list[RuleFinding]:
        """As ``Sayings.of``; asked before a stream is made from disk, which takes seconds where years are kept."""
        self._heed()
        return self._sayings.of(equipment, stream)

    def _facts_from(self, equipment: str, from_ms: int) -> Iterable[ReadingFact]:
        return self._memory.facts(equipment=equipment, from_ms=from_ms)

    def _is_watched(self, stream_id: str) -> bool:
        return parse_stream_id(stream_id).quantity in self._quantities

    # --- the loop ---

    def run(self, halt: threading.Event) -> None:
        """``start`` once, then ``turn`` until halted; a neighbour that is away is said once, and its return."""
        self._halt, started = halt, False
        while not halt.is_set():
            try:
                if not started:
                    self.start()
                    started = True
                busy = self.turn()
                if self._outage is not None:
                    log.info("%s answers again", self._outage)
                    self._outage = None
            except _HaltedError:
                return
            except NeighbourDownError as error:
                if self._outage is None:
                    log.warning("alerts wait: %s", error)
                    self._outage = error.neighbour
                busy = False
            if not busy:
                halt.wait(self._config.poll_s)
        if started:
            self._finish()

    def start(self) -> None:
        """Make the state from disk, read both feeds on from where all was done, and say what was never said."""
        self._check_places()
        self._cursor = self._memory.done()
        self._registry.read()
        self._streams = self._memory.streams()
        self._todo = _Todo(replan=True)
        self._rules.forget_all()
        self._batches.start(self._memory.ends())
        self._unhoused, self._heard = True, []
        while self._read_people():
            self._heed()
        while self._read_journal():
            self._heed()
        self._rules.start(key for key in self._memory.homes() if self._is_watched(key[1]))
        self._judge()
        self._lost = {e: at + MIN_GAP_MS + 1 for e, at in self._rules.silent()}
        self._say()
        self._heed()
        if self._memory.judged_by() != self._judged_by:
            self._batches.mark_all()
        self._judge_batches()
        self._forecaster.load(self._lately(), self._profiles)
        self._sensors.start()
        self._on_alarm()

    def _lately(self, equipment: str | None = None) -> Iterable[ReadingFact]:
        """What the forecasts look back to."""
        lately_ms = self._clock.now_ms() - LOOK_BACK_MS
        facts = self._memory.facts(equipment=equipment, quantities=QUANTITIES, from_ms=lately_ms)
        return map(self._registry.amended.fact, facts)

    def turn(self) -> bool:
        """One look at both feeds and the clock; True when there may be more to do at once."""
        more, away = False, None
        self._finish()
        try:
            more = self._read_people()
        except NeighbourDownError as error:
            away = error
        more |= self._read_journal()
        self._judge()
        if away is not None:
            raise away
        self._say()
        more |= self._judge_batches()
        self._forecaster.look(self._profiles, self._clock.now_ms())
        self._sensors.judge(self._profiles, self._clock.now_ms())
        return more | self._sensors.is_behind()

    # --- in ---

    def _check_places(self) -> None:
        """Begin again where a feed is not the one that our place in it belongs to (restored from a backup)."""
        place, newest = self._memory.place(), self._records.newest_change()
        journal_behind, records_behind = self._journal.last_offset() < place.journal_offset, newest < place.audit_id
        if not (journal_behind or records_behind):
            return
        done = self._memory.done()
        with self._memory.transaction():
            if journal_behind:
                log.warning("the journal is behind alerts (restored?): read from its beginning")
                self._memory.journal_restored()
            if records_behind:
                log.warning("the records are behind alerts (restored?): their changes are read from the beginning")
                self._memory.records_restored(newest)
            place = self._memory.place()
            self._memory.set_done(
                Place(min(done.journal_offset, place.journal_offset), min(done.audit_id, place.audit_id))
            )
            self._memory.set_judged_by("")

    def _read_people(self) -> bool:
        """The next rows of what others wrote; True when there may be more."""
        read = len(self._people_changed())
        self._todo.replan |= self._registry.hear(self._heard)
        judged_as = self._registry.amended
        if self._registry.read():  # after the feed: it knows all that the feed told so far
            self._todo.replan = self._unhoused = True
        amended = self._registry.amended
        others = (
            {s for s in self._memory.streams() if amended.of(s) != judged_as.of(s)} if amended != judged_as else ()
        )
        for equipment in {place for place, stream in self._memory.homes() if stream in others}:
            self._forecaster.read_again(equipment, self._lately(equipment), self._profiles)
        rows, self._heard = self._heard, []
        for equipment in equipment_in(rows, self._registry):
            self._todo.touch(equipment, 0)
            self._todo.stirred.add(equipment)
        named = batches_in(rows) | self._batches.of_profiles(profiles_in(rows))
        if named:
            self._todo.named = named | (self._todo.named or set())
        self._find_homes()
        return read == _FEED_ROWS

    def _people_changed(self) -> list[AuditRow]:
        rows = self._records.changes_after(self._cursor.audit_id, _FEED_ROWS)
        if rows:
            self._cursor = replace(self._cursor, audit_id=rows[-1].id)
            with self._memory.transaction():
                self._memory.set_audit_id(max(self._cursor.audit_id, self._memory.place().audit_id))
        self._heard += rows
        return rows

    def _find_homes(self) -> None:
        """Each kept fact to the equipment that its device stood in at its time, where people said it anew.

        Not before the feed was read up to what the registry knows: the place in it tells an explanation of then which
        homes held.
        """
        audit_id = self._memory.place().audit_id
        if not self._unhoused or audit_id < self._registry.version:
            return
        left: dict[tuple[str, str], None] = {}
        found: list[ReadingFact] = []
        with self._memory.transaction():
            for stream in sorted(self._memory.streams()):
                gone, moved = self._memory.house(stream, self._registry.stays(stream), audit_id)
                left |= dict.fromkeys((equipment, stream) for equipment in gone)
                found += moved
        self._unhoused = False
        self._taken_from(left)
        self._arrived(found)

    def _taken_from(self, left: Iterable[tuple[str, str]]) -> None:
        """Facts are no longer in these equipments: what was said of them there is judged anew from disk."""
        for equipment, stream in left:
            self._todo.touch(equipment, 0)
            self._todo.stirred.add(equipment)
            self._sensors.read_again(equipment)
            if self._is_watched(stream):
                self._rules.make_again((equipment, stream))

    def _read_journal(self) -> bool:
        """The next entries of the journal into memory; True when there may be more."""
        entries = self._journal.after(self._cursor.journal_offset, self._config.batch_entries)
        self._arrived(self._keep(entries))
        return bool(entries)

    def _keep(self, entries: Sequence[tuple[int, Entry]]) -> list[ReadingFact]:
        """Facts of these entries into memory, with the new offset, in one commit; those that are to be judged."""
        if not entries:
            return []
        arrived = arrivals(entries, self._registry.home)
        last = entries[-1][0]
        known = self._memory.place().journal_offset
        fresh: list[ReadingFact] = []
        with self._memory.transaction():
            for offset, fact in arrived.facts:
                added = self._memory.add((fact,), offset)
                fresh += added or ((fact,) if offset <= known else ())  # read again: was it judged before the kill?
            again: dict[tuple[int, str, str, str], tuple[Source, Fact]] = {}
            for offset, source, undated in arrived.clockwork:
                dated = self._memory.learn(source, undated)
                fresh += self._memory.add(map(self._housed, dated), offset)
                if offset <= known:
                    again.setdefault((offset, source.site, source.edge, undated.stamp.boot_id), (source, undated))
            for (offset, *_), told in again.items():  # as above: dated before the kill, and maybe not judged
                dated = self._memory.dated_of(*told)
                fresh += [self._housed(f) for f in dated if self._memory.learnt_at(f, offset)]
            self._memory.set_journal_offset(max(last, known))
        self._cursor = replace(self._cursor, journal_offset=last)
        self._weighings.take(arrived.weighings, arrived.refusals)
        return fresh

    def _housed(self, fact: ReadingFact) -> ReadingFact:
        return replace(fact, equipment=self._registry.home(fact.stream_id, fact.t_ms))

    def _arrived(self, facts: Sequence[ReadingFact]) -> None:
        known = len(self._streams)
        self._streams |= {f.stream_id for f in facts}
        self._todo.replan |= len(self._streams) > known
        watched = [f for f in facts if f.equipment and self._is_watched(f.stream_id)]
        amended = self._registry.amended
        self._forecaster.add(amended.facts(facts), self._profiles)
        self._sensors.add(facts)  # an instrument is judged by what it said (decision 0029)
        self._rules.add(watched)
        temperatures = amended.facts(f for f in watched if _quantity(f) == TEMPERATURE)
        for fact in temperatures:
            self._todo.touch(fact.equipment, fact.t_ms)
        self._batches.add(temperatures)

    # --- judging ---

    def _judge(self) -> None:
        """The rules where something is new or due; what they find is taken to be said."""
        now_ms = self._clock.now_ms()
        if self._todo.replan:
            self._profiles = self._registry.profiles(self._streams)
        elif not self._rules.is_due(now_ms):
            return
        found = self._rules.judge(self._profiles, now_ms, self._registry.amended)
        self._todo.replan = False
        self._sayings.take(found)
        for f in found:
            self._todo.touch(f.equipment, f.event_ms)
            self._todo.stirred.add(f.equipment)
            if _is_lost(f):
                # Silence may be called before the gap rule calls the time unknown: judge the batches again then.
                self._lost[f.equipment] = f.episode_start_ms + MIN_GAP_MS + 1

    def _say(self) -> None:
        self._weighings.save()
        self._sayings.save()

    def _judge_batches(self) -> bool:
        """Judge one of the batches that all this touches; whether there are more."""
        now_ms = self._clock.now_ms()
        for equipment, at_ms in list(self._lost.items()):
            if now_ms >= at_ms:
                self._todo.touch(equipment, at_ms)
                self._todo.stirred.add(equipment)
                del self._lost[equipment]
        todo = self._todo
        self._batches.mark(todo.touched, todo.stirred, self._profiles, now_ms, todo.named)
        self._todo = _Todo(replan=todo.replan)
        return self._batches.judge_next(now_ms)

    def _finish(self) -> None:
        """Note on disk that all that was read before this turn is done. Where it is not, a start does it again."""
        todo, parts = self._todo, (self._rules, self._sayings, self._weighings, self._batches)
        if (
            self._heard
            or todo.touched
            or todo.stirred
            or todo.named
            or todo.replan
            or not all(part.has_all() for part in parts)
        ):
            return
        if (self._memory.done(), self._memory.judged_by()) == (self._cursor, self._judged_by):
            return
        with self._memory.transaction():
            self._memory.set_done(self._cursor)
            self._memory.set_judged_by(self._judged_by)


def _quantity(fact: ReadingFact) -> str:
    return parse_stream_id(fact.stream_id).quantity


def _is_lost(finding: RuleFinding) -> bool:
    return finding.code == _SILENT and finding.kind is not Kind.WITHDRAWN and finding.end_ms is None
