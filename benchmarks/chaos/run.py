"""One run: start the line, let faults fall on it from a seed, let it come to rest, compare."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from benchmarks.chaos.faults import FAULTS, Fault
from benchmarks.chaos.judge import Books, Made, Stored, Verdict, Window, judge
from benchmarks.chaos.plant import EDGE, LATE_PROBE, SITE, Plant
from benchmarks.chaos.watch import Watch
from smile_iot.parts import open_records
from telemetry.contract import decode_upload
from telemetry.errors import SmileIotError

TICK_S = 0.03


@dataclass(slots=True)
class _Active:
    fault: Fault
    ends_s: float
    undo: Callable[[], None]


@dataclass
class Run:
    """``go`` returns the verdict. ``say`` gets one line for each fault."""

    folder: Path
    seed: int
    lasts_s: float
    gap_s: float
    store: str = "sqlite"
    sabotage: str = ""
    quiet_s: float = 120.0
    only: tuple[str, ...] = ()
    say: Callable[[str], None] = print
    counts: Counter[str] = field(default_factory=Counter)
    deaf: list[Window] = field(default_factory=list)
    quiet_took_s: float = 0.0
    _active: list[_Active] = field(default_factory=list)
    _deaf_from: tuple[float, str] | None = None
    _waiting_for_edge: bool = False
    _destroyed: set[tuple[str, int]] = field(default_factory=set)
    _restored: list[float] = field(default_factory=list)
    _clones: list[Watch] = field(default_factory=list)
    _registered: bool = False

    def __post_init__(self) -> None:
        self.plant = Plant(self.folder, self.seed, self.store, self.sabotage)
        self.watch = Watch(self.plant.outbox, self.plant.clock.booted_ms())

    # --- what faults tell ------------------------------------------------------------------------------------

    def deaf_from(self, why: str) -> None:
        if self._deaf_from is None:
            self._deaf_from = (self.plant.now_ms(), why)

    def deaf_until(self, more_s: float) -> None:
        """The edge hears again, ``more_s`` real seconds from now at the latest."""
        if self._deaf_from is not None:
            began, why = self._deaf_from
            self.deaf.append(Window(began, self.plant.now_ms() + more_s * 1000 * self.plant.speed, why))
            self._deaf_from = None

    def edge_down(self, why: str) -> None:
        self.deaf_from(why)
        self.plant.kill("edge")
        self.watch.look()

    def edge_up(self, clock: str = "synced") -> None:
        self.plant.start_edge(clock)
        self._waiting_for_edge = True

    def note_destroyed(self, backup: Path) -> None:
        """What stands unsent in the file that is about to go, and not in the backup, goes with it."""
        self._restored.append(self.plant.now_ms())
        self.watch.look()
        self.watch.read_again()
        old = self.watch.pending()
        kept = Watch(backup, self.plant.clock.booted_ms())
        kept.look()
        if old is not None:
            self._destroyed |= old[1] - set(kept.accepted)

    def watch_clone(self, outbox: Path) -> None:
        watch = Watch(outbox, self.plant.clock.booted_ms())
        self._clones.append(watch)

    # --- the run ---------------------------------------------------------------------------------------------

    def go(self) -> Verdict:
        keep = True
        try:
            self.plant.start()
            self.deaf_from("started")
            self._waiting_for_edge = True
            self.watch.start()
            self._rage(random.Random(self.seed))
            trouble = self._rest()
            verdict = self._judge()
            verdict.other += trouble
            keep = not verdict.good
            self._write(verdict)
            return verdict
        finally:
            self.watch.stop()
            self.plant.stop(keep=keep)

    def _rage(self, rng: random.Random) -> None:
        """Faults until the time is over; what they undo is undone in time."""
        begin = time.monotonic()
        registers_at = begin + self.lasts_s * rng.uniform(0.2, 0.6)
        registered = False
        next_s = begin + 1.0
        while (now := time.monotonic()) < begin + self.lasts_s:
            self._undo(now)
            self._look_at_edge()
            if now >= next_s:
                self._begin_one(rng, now - begin)
                next_s = now + rng.expovariate(1 / self.gap_s)
            if not registered and now >= registers_at:
                registered = self._register_late()
                registers_at = now + 3.0
            time.sleep(TICK_S)
        self._undo(float("inf"))
        self._registered = registered

    def _undo(self, now: float) -> None:
        for active in [a for a in self._active if a.ends_s <= now]:
            self._active.remove(active)
            active.undo()

    def _look_at_edge(self) -> None:
        """After a start: it hears again soon after it says that it runs."""
        if self._waiting_for_edge and " runs: " in self.plant.programs["edge"].said():
            self._waiting_for_edge = False
            self.deaf_until(5.0)
        for watch in self._clones:
            watch.look()

    def _begin_one(self, rng: random.Random, at_s: float) -> None:
        held = {need for a in self._active for need in a.fault.needs}
        have = {"": True, "influx": self.plant.influx is not None, "disks": self.plant.small_disks}
        free = [f for f in FAULTS if not f.needs & held and have[f.wants]]
        if self.only:
            free = [f for f in free if any(text in f.name for text in self.only)]
        if self._waiting_for_edge:
            free = [f for f in free if "edge" not in f.needs or rng.random() < 0.2]
        if not free:
            return
        (fault,) = rng.choices(free, [f.weight for f in free])
        lasts_s, undo = fault.begin(self, rng)
        self.counts[fault.name] += 1
        self.say(f"  {at_s:6.1f} s  {fault.name}, {lasts_s:.1f} s")
        self._active.append(_Active(fault, time.monotonic() + lasts_s, undo))

    def _register_late(self) -> bool:
        try:
            self.plant.register([d for d in self.plant.devices() if d["serial"] == LATE_PROBE], first=False)
        except SmileIotError as error:
            self.say(f"  late device not registered yet: {str(error).strip().splitlines()[-1][:120]}")
            return False
        self.say("  the late device is registered")
        return True

    # --- the rest --------------------------------------------------------------------------------------------

    def _rest(self) -> list[str]:
        """Mend everything, stop the devices, wait until nothing waits any more; what did not come to rest."""
        began = time.monotonic()
        self.edge_down("killed")
        self.edge_up()
        self.plant.edge_link.set("pass")
        self.plant.ingest_link.set("pass")
        if self.plant.database is not None:
            self.plant.database.set("pass")
        for name in ("ingest", "broker"):
            if not self.plant.programs[name].alive:
                self.plant.programs[name].start()
        while not self._registered and time.monotonic() < began + 30:
            self._registered = self._register_late()
        self._hear_a_little(began)
        self.plant.programs["devices"].stop()
        left = ["not looked"]
        while left and time.monotonic() < began + self.quiet_s:
            time.sleep(0.3)
            for name in ("edge", "ingest", "broker"):
                if not self.plant.programs[name].alive:
                    return [f"{name} {self.plant.programs[name].how_it_ended}"]
            left = self._left()
        self.quiet_took_s = time.monotonic() - began
        return [f"no rest after {self.quiet_s:g} s: {'; '.join(left)}"] if left else []

    def _hear_a_little(self, began: float) -> None:
        """The line works again: readings of after the faults must flow too."""
        while self._waiting_for_edge and time.monotonic() < began + 30:
            self._look_at_edge()
            time.sleep(0.1)
        self.deaf_until(5.0)
        time.sleep(3.0)

    def _left(self) -> list[str]:
        left = []
        try:
            behind = self.plant.journal_left()
            lines = [s for s in self.plant.ledger() if s.edge == EDGE and s.current]
        except sqlite3.Error as error:
            return [*left, str(error)]
        # Receipts reach the outbox file with its next commit, so the ledger is asked: has it all that was numbered?
        epoch, numbered_to = self.watch.place() or ("", 0)
        mine = next((s for s in lines if s.epoch == epoch), None)
        if mine is None or mine.numbered_to < numbered_to:
            left.append(f"the ledger does not know all {numbered_to} numbers of {epoch}")
        if behind:
            left.append(f"the filler is {behind} entries behind")
        left += [f"the ledger misses {s.missing.to_lists()[:3]} of {s.epoch}" for s in lines if s.missing]
        try:
            with open_records(self.plant.settings) as records:
                waits = records.waiting_serials("unknown_device")
        except SmileIotError as error:
            return [*left, str(error)]
        return [*left, f"in quarantine as unknown: {waits}"] if waits else left

    # --- the comparison --------------------------------------------------------------------------------------

    def _judge(self) -> Verdict:
        self.watch.look()
        made = self._made()
        streams = sorted({m.stream for m in made})
        rows = [
            Stored(r.stream_id, r.t_ms, r.value, r.max_error_ms or 0, r.variant, (r.epoch, r.seq))
            for r in self.plant.rows(streams)
        ]
        numbers = {n: list(meant) for n, meant in self.watch.numbers.items()}
        accepted = dict(self.watch.accepted)
        for clone in self._clones:
            for number, meant in clone.numbers.items():
                numbers.setdefault(number, []).extend(meant)
            accepted.update(clone.accepted)
        books = Books(
            made,
            [a for a in accepted.values() if a.stream in streams],
            numbers,
            rows,
            self._quarantined(),
            self._thinned(),
            frozenset(self._destroyed),
            self.deaf,
            self._restored,
        )
        verdict = judge(books, self.plant.rules())
        self._judge_vanished(verdict)
        missing = {s.epoch: s.missing.to_lists() for s in self.plant.ledger() if s.missing}
        if missing:
            self.say(f"  the ledger names as missing: {json.dumps(missing)[:300]}")
        return verdict

    def _judge_vanished(self, verdict: Verdict) -> None:
        """A number that was given, and whose fact nobody saw and the journal does not have, is a lost fact too."""
        with closing(sqlite3.connect(f"file:{self.plant.data / 'ledger.db'}?mode=ro", uri=True)) as db:
            had = {
                epoch: {n for text in texts for low, high in json.loads(text) for n in range(low, high + 1)}
                for epoch, *texts in db.execute("SELECT epoch, have, quarantined, thinned FROM epochs")
            }
        for epoch, numbers in self.watch.vanished().items():
            gone = numbers - had.get(epoch, set())
            if gone:
                verdict.lost += len(gone)
                verdict.say(f"lost: {len(gone)} numbers of epoch {epoch} were given and their facts are nowhere")

    def _made(self) -> list[Made]:
        made = []
        for line in (self.folder / "sim" / "produced.ndjson").read_text().splitlines():
            row = json.loads(line)
            value = None if row["value"] is None else Decimal(str(row["value"]))
            made.append(Made(row["stream"], row["t_ms"], None if value is None else value.normalize() + 0))
        return made

    def _quarantined(self) -> frozenset[tuple[str, int]]:
        """Numbers that wait in quarantine, with their epoch."""
        found: set[tuple[str, int]] = set()
        with closing(sqlite3.connect(f"file:{self.plant.data / 'records.db'}?mode=ro", uri=True)) as db:
            payloads = [bytes(row[0]) for row in db.execute("SELECT payload FROM quarantine WHERE site = ?", (SITE,))]
        for payload in payloads:
            try:
                upload = decode_upload(payload)
            except SmileIotError:
                continue
            found |= {(upload.epoch, n.seq) for n in upload.facts}
        return frozenset(found)

    def _thinned(self) -> frozenset[tuple[str, int]]:
        with closing(sqlite3.connect(f"file:{self.plant.data / 'ledger.db'}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT epoch, thinned FROM epochs").fetchall()
        return frozenset((e, n) for e, text in rows for low, high in json.loads(text) for n in range(low, high + 1))

    def _write(self, verdict: Verdict) -> None:
        body = {k: getattr(verdict, k) for k in verdict.__dataclass_fields__}
        body |= {"seed": self.seed, "store": self.store, "faults": dict(self.counts), "sabotage": self.sabotage}
        body["deaf"] = [[w.from_ms, w.to_ms, w.why] for w in self.deaf]
        (self.folder / "verdict.json").write_text(json.dumps(body, indent=1))
