"""One site of the kill campaign: lives of the real ``smile-iot alerts`` that end by SIGKILL, then rest, then the comparison.

A life's aim is a fact that is waited for (it is ready; an entry was appended; a claim stands; a message arrived), so that
the same kinds of kill fall on a fast machine and on a loaded one. The caps are there for what never comes to an end.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alerts.memory import Memory, Place
from benchmarks import alerts_kills_messages as messages
from benchmarks.alerts_kills_messages import Claim
from benchmarks.alerts_kills_oracle import Outcome, compare
from benchmarks.alerts_kills_sabotage import BITES, NAMED
from benchmarks.alerts_kills_world import (
    EPISODES,
    HOUR,
    PEOPLE,
    START_MS,
    Arrival,
    Chat,
    People,
    Sensors,
    append,
    append_hello,
    files,
    register,
)
from gateway.journal import SqliteJournal
from gateway.records import Records, open_records
from telemetry.clock import VirtualClock
from telemetry.errors import NeighbourDownError

ROOT = Path(__file__).parents[1]
KINDS = ("moment", "start", "done", "entry", "claim", "message", "noted")
_SPEED = 3600.0
_SLOW = 60.0
_STOPPED = 1e-6
_LIFE_MS = 4 * HOUR
_RESTING_SPEED = 36_000.0
_CALM_MS = 9 * HOUR
_TICK_S = 0.02
_CAP_S = 600.0
"""Nothing takes so long, on a machine with a load of 100 neither."""
_IDLE_S = 25.0


class BrokenError(Exception):
    """The service ended by itself, never got ready, or did not end when it was told to."""


@dataclass
class Campaign:
    """One site, one seed. ``where``: what the kills cut off. ``killed``: claims whose message had arrived by then."""

    folder: Path
    seed: int
    sabotage: str = ""
    kinds: Sequence[str] = KINDS
    among: Sequence[str] = EPISODES
    kills: int = 0
    entries: int = 0
    slowest_start_s: float = 0.0
    slowest_stop_s: float = 0.0
    where: Counter[str] = field(default_factory=Counter)
    killed: set[Claim] = field(default_factory=set)
    loads: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.chat = Chat()
        self.chat.start()
        journal_path, records_path, self.memory_path = files(self.folder)
        self.journal = SqliteJournal(journal_path)
        self.records: Records = open_records(str(records_path))
        register(self.records, self.chat.port)
        self.sensors = Sensors(random.Random(self.dice.random()), self.among)
        self.people = People(self.records, random.Random(self.dice.random()))
        self.clock = VirtualClock(START_MS, time.monotonic_ns(), _STOPPED)
        self.log_path = self.folder / "alerts.log"
        self.ready_s = 1.0
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: set[Claim] = set()
        self._seq = 1
        self._began, self._done_before = 0.0, 0
        self._is_ready = False
        config = f'[server]\ndata_dir = "{self.folder}"\n[api]\npublic_url = "https://iot"\n'
        (self.folder / "server.toml").write_text(config)

    @classmethod
    def broken(cls, folder: Path, seed: int, sabotage: str) -> Campaign:
        """Broken on purpose, in a life that is simple enough for the fault to show: each kill falls where it bites."""
        return cls(folder, seed, sabotage, (BITES[sabotage],), ("freezes",))

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        self.chat.stop()
        self.records.close()
        self.journal.close()

    # --- lives ---

    def run(self, kills: int) -> Outcome:
        """Each kind of kill once, then as the dice say; the first life measures how long a start takes here."""
        first = [k for k in KINDS if k in self.kinds]
        while self.kills < kills:
            self._life(first[self.kills] if self.kills < len(first) else self.dice.choice(self.kinds))
        self._rest()
        return compare(self.folder, self.records, self.chat.posts, self.killed, self.clock)

    def _life(self, kind: str) -> None:
        """Four hours go by in it, fast, then time goes slowly: a slow machine gets hardly more data than a fast one."""
        now_ms = self.clock.now_ms()
        self.clock = VirtualClock(now_ms, time.monotonic_ns(), _SPEED, until_ms=now_ms + _LIFE_MS, then_speed=_SLOW)
        process, is_it = self._start(), AIMS[kind](self)
        while not is_it():
            if process.poll() is not None:
                raise BrokenError(f"alerts ended with {process.returncode}:\n{self.log_path.read_text()[-3000:]}")
            if self._lived_s() > _CAP_S:
                raise BrokenError(f"nothing to kill in {_CAP_S:.0f} s:\n{self.log_path.read_text()[-3000:]}")
            time.sleep(_TICK_S)
            self._outside()
        self._kill(process)

    def _start(self) -> subprocess.Popen[bytes]:
        command = ["smile_iot"] if not self.sabotage else ["benchmarks.alerts_kills_sabotage", self.sabotage]
        self._done_before, self._is_ready = self._place_and_done()[1].journal_offset, False
        self.chat.arrived.clear()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command, "alerts", "--config", str(self.folder / "server.toml")],
                env=os.environ | {"SMILE_IOT_CLOCK": self.clock.to_environment()},
                cwd=ROOT,
                stderr=log,
            )
        self._began = time.monotonic()
        return self._process

    def _lived_s(self) -> float:
        return time.monotonic() - self._began

    def is_ready(self) -> bool:
        """Whether this life has done an entry: its start is over."""
        if not self._is_ready and self._place_and_done()[1].journal_offset > self._done_before:
            self._is_ready, self.ready_s = True, self._lived_s()
            self.slowest_start_s = max(self.slowest_start_s, self.ready_s)
        return self._is_ready

    def is_idle(self) -> bool:
        """Whether this life has nothing more to tell: what it is waited for does not come."""
        over = self.clock.until_ms is not None and self.clock.now_ms() >= self.clock.until_ms
        return over and self.is_ready() and (self._is_settled() or self._lived_s() > self.ready_s + _IDLE_S)

    def _outside(self) -> None:
        now_ms = self.clock.now_ms()
        self._append(self.sensors.until(now_ms), now_ms)
        self.people.until(now_ms)

    def _append(self, arrived: list[Arrival], now_ms: int) -> None:
        before = self._seq
        self._seq = append(self.journal, arrived, self._seq, now_ms)
        self.entries += self._seq > before

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        self.chat.drain()
        self.kills += 1
        self.loads.append(os.getloadavg()[0])
        self.killed |= messages.unnoted(self.records, self.chat.posts, self.clock, self.killed)
        self.where[self._fell()] += 1

    def _fell(self) -> str:
        """What the kill fell into, by what it left."""
        fresh = messages.claims(self.records) - self._seen
        self._seen |= fresh
        place, done = self._place_and_done()
        if fresh:
            return "telling"
        if place != done:
            return "judging"
        return "between" if self.is_ready() else "start"

    def _place_and_done(self) -> tuple[Place, Place]:
        if not self.memory_path.exists():
            return Place(0, 0), Place(0, 0)
        try:
            memory = Memory(self.memory_path, read_only=True)
        except NeighbourDownError:
            return Place(0, 0), Place(0, 0)  # it is being made
        try:
            return memory.place(), memory.done()
        except NeighbourDownError:
            return Place(0, 0), Place(0, 0)
        finally:
            memory.close()

    def told(self) -> set[tuple[str, str, str, int]]:
        return {(n.finding, n.person, n.channel, n.attempts) for n in self.records.notifications()}

    def sent(self) -> set[tuple[str, str, str]]:
        return {(n.finding, n.person, n.channel) for n in self.records.notifications() if n.state == "sent"}

    # --- rest ---

    def _rest(self) -> None:
        """The end of the story: what was held back arrives, all is judged and told, then time stands still.

        The second process, after an orderly stop, has to look at everything while time stands: that is compared. What is
        broken on purpose shows without it.
        """
        self._append(self.sensors.until(self.clock.now_ms(), all_held=True), self.clock.now_ms())
        self.clock = VirtualClock(self.clock.now_ms(), time.monotonic_ns(), _RESTING_SPEED)
        quiet_ms = self.clock.now_ms() + _CALM_MS
        append_hello(self.journal, self.clock.now_ms())
        self._one_rest(lambda: self.clock.now_ms() > quiet_ms and self._is_at_rest())
        self.clock = VirtualClock(self.clock.now_ms(), time.monotonic_ns(), _STOPPED)
        if not self.sabotage:
            append_hello(self.journal, self.clock.now_ms())
            self._one_rest(self._is_at_rest)
        self.chat.drain()

    def _one_rest(self, until: Callable[[], bool]) -> None:
        process = self._start()
        while not until():
            if process.poll() is not None:
                raise BrokenError(f"alerts ended by itself:\n{self.log_path.read_text()[-3000:]}")
            if self._lived_s() > _CAP_S:
                break  # never at rest: the comparison says what is amiss
            time.sleep(0.1)
        was_ready, told = self.is_ready(), time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(_CAP_S)
        except subprocess.TimeoutExpired:
            raise BrokenError(f"alerts did not end within {_CAP_S:.0f} s of SIGTERM") from None
        self.slowest_stop_s = max(self.slowest_stop_s, time.monotonic() - told)
        if code != 0 and was_ready:
            raise BrokenError(f"told to stop, alerts ended with {code}:\n{self.log_path.read_text()[-3000:]}")

    def _is_at_rest(self) -> bool:
        """Settled; and where the service is broken on purpose, its fault shows too."""
        if not self._is_settled():
            return False
        now = messages.tally(self.records, self.chat.posts, self.clock) if self.sabotage else None
        match NAMED.get(self.sabotage):
            case "lost" if now is not None:
                return any(messages.never_arrived(now, self.killed))
            case "doubled" if now is not None:
                return any(messages.doubled(now, self.killed))
            case _:
                return True

    def _is_settled(self) -> bool:
        """All that was appended is done, and each open alarm, or the one whose question it took over, is told to all.

        Not asked of a service that is to forget: what a kill cut off there.
        """
        if self._place_and_done()[1].journal_offset != self.journal.last_offset():
            return False
        rows = self.records.notifications()
        told = {(n.finding, n.person) for n in rows if n.state == "sent"}
        waiting = {a.id: messages.lineage(self.records, a.id) for a in self.records.open_alarms()}
        stuck = {n.finding for n in rows if n.state != "sent"} & waiting.keys()
        if NAMED.get(self.sabotage) == "forgotten":
            given_up = {claim[0] for claim in self._seen}
            waiting, stuck = {i: ids for i, ids in waiting.items() if i not in given_up}, stuck - given_up
        return not stuck and all(any((i, p) in told for i in ids) for ids in waiting.values() for p in PEOPLE)


def _in_a_start(c: Campaign) -> Callable[[], bool]:
    end_s = c.dice.uniform(0, 1) * c.ready_s
    return lambda: c._lived_s() >= end_s


def _at_any_moment(c: Campaign) -> Callable[[], bool]:
    share, ready = c.dice.uniform(0, 1), list[float]()

    def now() -> bool:
        if not ready and c.is_ready():
            ready.append(time.monotonic())
        return bool(ready) and time.monotonic() - ready[0] >= share * c.ready_s

    return now


def _at_done(c: Campaign) -> Callable[[], bool]:
    return c.is_ready


def _after_an_entry(c: Campaign) -> Callable[[], bool]:
    known, wait_s = list[int](), c.dice.uniform(0, 0.15)

    def now() -> bool:
        if not known and c.is_ready():
            known.append(c.entries)
        if not known or c.entries == known[0]:
            return False
        time.sleep(wait_s)  # where the kill lands is the point
        return True

    return now


def _at_a_claim(c: Campaign) -> Callable[[], bool]:
    known = c.told()
    return lambda: not known.issuperset(c.told()) or c.is_idle()


def _at_a_message(c: Campaign) -> Callable[[], bool]:
    return lambda: c.chat.arrived.wait(_TICK_S) or c.is_idle()


def _at_a_note(c: Campaign) -> Callable[[], bool]:
    known = c.sent()
    return lambda: not known.issuperset(c.sent()) or c.is_idle()


AIMS: dict[str, Callable[[Campaign], Callable[[], bool]]] = {
    "start": _in_a_start,
    "moment": _at_any_moment,
    "done": _at_done,
    "entry": _after_an_entry,
    "claim": _at_a_claim,
    "message": _at_a_message,
    "noted": _at_a_note,
}
