"""The real ``smile-iot alerts``, killed with SIGKILL again and again while entries arrive: ``make kill-alerts``.

    four hours a life (3600 times as fast) ─▶ readings into the journal, people's rows into the records
    process ─▶ SIGKILL ─▶ process ─▶ SIGKILL ─▶ ... ─▶ rest ─▶ compare with a judgement from scratch

Where kills fall: at any moment of a life (its start too), just after an entry was appended, when a claim of a message
stands and when a message has just arrived and is not noted. The seed decides what happens and which kind of kill is
next; to the instant a kill is not repeatable, for the process is real. ``--sabotage`` breaks the service in a named way:
the comparison must find it.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from alerts.memory import Memory
from benchmarks.alerts_kills_oracle import Claim, Outcome, compare
from benchmarks.alerts_kills_world import (
    HOUR,
    PEOPLE,
    START_MS,
    Arrival,
    Chat,
    People,
    Sensors,
    append,
    files,
    register,
)
from gateway.journal import SqliteJournal
from gateway.records import Records, open_records
from telemetry.clock import VirtualClock
from telemetry.errors import NeighbourDownError

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "benchmarks" / "alerts_kills.md"
SPEED = 3600.0
_SLOW = 10.0
_STOPPED = 1e-6
_LIFE_MS = 4 * HOUR
_TICK_S = 0.02
_SLOWEST_START_S = 5.0
_RESTING_SPEED = 36_000.0
_CALM_MS = 9 * HOUR
KINDS = ("moment", "moment", "entry", "claim", "message")
SABOTAGES = ("offset_first", "never_reclaimed", "noted_first")


class BrokenError(Exception):
    """The service ended by itself, or never came to rest."""


@dataclass
class Campaign:
    """One site, one seed. ``where``: what the kills cut off."""

    folder: Path
    seed: int
    sabotage: str = ""
    kinds: tuple[str, ...] = KINDS
    rest_s: float = 90.0
    kills: int = 0
    entries: int = 0
    where: Counter[str] = field(default_factory=Counter)
    cut_off: set[Claim] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.chat = Chat()
        self.chat.start()
        journal_path, records_path, self.memory_path = files(self.folder)
        self.journal = SqliteJournal(journal_path)
        self.records: Records = open_records(str(records_path))
        register(self.records, self.chat.port)
        self.sensors = Sensors(random.Random(self.dice.random()))
        self.people = People(self.records, random.Random(self.dice.random()))
        self.clock = VirtualClock(START_MS, time.monotonic_ns(), _STOPPED)
        self.log_path = self.folder / "alerts.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._ready_s = 1.0
        self._seq = 1
        self._reached = 0
        config = f'[server]\ndata_dir = "{self.folder}"\n[api]\npublic_url = "https://iot"\n'
        (self.folder / "server.toml").write_text(config)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        self.chat.stop()
        self.records.close()
        self.journal.close()

    # --- lives ---

    def run(self, kills: int) -> Outcome:
        self._measure_start()
        while self.kills < kills:
            self._life(KINDS_OF[self.dice.choice(self.kinds)])
        self._rest()
        return compare(self.folder, self.records, self.chat.posts, self.cut_off, self.clock)

    def _new_life(self) -> subprocess.Popen[bytes]:
        """Four hours go by in it, fast, then time nearly stands: so a slow machine gets no more data than a fast one."""
        now_ms = self.clock.now_ms()
        self.clock = VirtualClock(now_ms, time.monotonic_ns(), SPEED, until_ms=now_ms + _LIFE_MS, then_speed=_SLOW)
        return self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = ["smile_iot"] if not self.sabotage else ["benchmarks.alerts_kills_sabotage", self.sabotage]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command, "alerts", "--config", str(self.folder / "server.toml")],
                env=os.environ | {"SMILE_IOT_CLOCK": self.clock.to_environment()},
                cwd=ROOT,
                stderr=log,
            )
        return self._process

    def _measure_start(self) -> None:
        """How long a start takes on this machine, so that kills fall into starts and into work alike."""
        process, began = self._new_life(), time.monotonic()
        self._wait(process, 60.0, lambda: self._done() >= 1)
        self._ready_s = min(time.monotonic() - began, _SLOWEST_START_S)
        self._kill(process)

    def _life(self, aim: Callable[[Campaign], Callable[[], bool]]) -> None:
        process = self._new_life()
        self._wait(process, self._ready_s * 2, aim(self))
        self._kill(process)

    def _wait(self, process: subprocess.Popen[bytes], seconds: float, until: Callable[[], bool]) -> bool:
        """Let time go by until it is so, or these seconds are over; True when it is so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if process.poll() is not None:
                raise BrokenError(f"alerts ended with {process.returncode}:\n{self.log_path.read_text()[-3000:]}")
            self._outside()
            if until():
                return True
            time.sleep(_TICK_S)
        return False

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
        process.wait(10)
        self.kills += 1
        claims = {c for c in self._claims() if c not in self.cut_off}
        self.cut_off |= claims
        memory = Memory(self.memory_path) if self.memory_path.exists() else None
        if memory is None:
            self.where["start"] += 1
            return
        place, done = memory.place(), memory.done()
        memory.close()
        self.where["telling"] += bool(claims)
        self.where["judging"] += not claims and place != done
        idle = not claims and place == done
        self.where["start"] += idle and place.journal_offset == self._reached
        self.where["between"] += idle and place.journal_offset != self._reached
        self._reached = place.journal_offset

    def _claims(self) -> set[Claim]:
        return {claim for claim, state in self._told().items() if state == "claimed"}

    def _told(self) -> dict[Claim, str]:
        rows = self.records.notifications()
        return {(n.finding, n.person, n.channel, n.attempts): str(n.state) for n in rows}

    def _done(self) -> int:
        if not self.memory_path.exists():
            return 0
        try:
            memory = Memory(self.memory_path, read_only=True)
        except NeighbourDownError:
            return 0  # it is being made
        try:
            return memory.done().journal_offset
        except NeighbourDownError:
            return 0
        finally:
            memory.close()

    # --- rest ---

    def _rest(self) -> None:
        """The end of the story: what was held back arrives, all is judged and told, then time stands still."""
        self._append(self.sensors.until(self.clock.now_ms(), all_held=True), self.clock.now_ms())
        self.clock = VirtualClock(self.clock.now_ms(), time.monotonic_ns(), _RESTING_SPEED)
        quiet_ms = self.clock.now_ms() + _CALM_MS
        self._one_rest(lambda: self.clock.now_ms() > quiet_ms and self._is_settled())
        self.clock = VirtualClock(self.clock.now_ms(), time.monotonic_ns(), _STOPPED)
        calm = [0.0]

        def settled_for_a_second() -> bool:
            if not self._is_settled():
                calm[0] = time.monotonic()
            return time.monotonic() - calm[0] > 1.0

        calm[0] = time.monotonic() + self._ready_s
        self._one_rest(settled_for_a_second)

    def _one_rest(self, until: Callable[[], bool]) -> None:
        process, end = self._start(), time.monotonic() + self.rest_s
        try:
            while not until() and time.monotonic() < end:  # never at rest: the comparison says what is amiss
                if process.poll() is not None:
                    raise BrokenError(f"alerts ended by itself:\n{self.log_path.read_text()[-3000:]}")
                time.sleep(0.1)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
                raise BrokenError("alerts did not end within 20 s of SIGTERM") from None

    def _is_settled(self) -> bool:
        told = {(n.finding, n.person) for n in self.records.notifications() if n.state == "sent"}
        waiting = self.records.open_alarms()
        stuck = {c[0] for c in self._claims()} & {a.id for a in waiting}
        asks = ((i, p) for a in waiting for p in PEOPLE for i in [{a.id, a.finding.supersedes}])
        all_told = all(any((i, p) in told for i in ids) for ids, p in asks)
        return all_told and not stuck and self._done() == self.journal.last_offset()


def _at_any_moment(c: Campaign) -> Callable[[], bool]:
    end = time.monotonic() + c.dice.uniform(0.2, 2.0) * c._ready_s
    return lambda: time.monotonic() >= end


def _after_an_entry(c: Campaign) -> Callable[[], bool]:
    began, known, wait_s = time.monotonic(), [0], c.dice.uniform(0, 0.15)

    def now() -> bool:
        if time.monotonic() - began < c._ready_s:
            known[0] = c.entries
            return False
        if c.entries == known[0]:
            return False
        time.sleep(wait_s)  # where the kill lands is the point
        return True

    return now


def _at_a_claim(c: Campaign) -> Callable[[], bool]:
    known = set(c._told())
    return lambda: not known.issuperset(c._told())


def _at_a_message(c: Campaign) -> Callable[[], bool]:
    c.chat.arrived.clear()
    return lambda: c.chat.arrived.wait(_TICK_S)


KINDS_OF: dict[str, Callable[[Campaign], Callable[[], bool]]] = {
    "moment": _at_any_moment,
    "entry": _after_an_entry,
    "claim": _at_a_claim,
    "message": _at_a_message,
}


# --- the table ------------------------------------------------------------------------------------------------------


def row(c: Campaign, o: Outcome, seconds: float) -> str:
    f, w = o.faults, c.where
    cells = (
        c.seed,
        c.sabotage or "none",
        c.kills,
        f"{w['start']} / {w['judging']} / {w['telling']} / {w['between']}",
        f"{c.entries:,} / {c.sensors.count:,}",
        c.people.done,
        f"{o.findings} / {o.withdrawn}",
        o.alarms,
        o.told,
        len(f.facts) + len(f.findings) + len(f.no_alarm),
        len(f.lost),
        len(f.forgotten),
        len(f.doubled),
        o.again,
        len(f.verdicts) + len(f.chain) + len(f.strange),
        f"{seconds:.0f} s",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


COLUMNS = (
    "seed",
    "sabotage",
    "kills",
    "in a start / judging / telling / in between",
    "entries / readings",
    "people's rows",
    "findings / withdrawn",
    "alarms",
    "told (alarm and person)",
    "facts, findings, alarms that differ",
    "lost",
    "forgotten",
    "doubled",
    "told again after a kill (documented)",
    "verdict, chain, message faults",
    "took",
)
HEAD = """# Alerts killed while entries arrive

{date} UTC, Python {python}, {cores} cores (other workers on the same machine). Made by `make kill-alerts`
(`benchmarks/alerts_kills.py`): the real process `smile-iot alerts`, real SQLite journal, records and `alerts.db`, a
real HTTP server as channel of two people, four hours a life (3600 times as fast). SIGKILL, a new process, and so on,
while readings, late data and people's rows arrive. At rest all is compared with a judgement from scratch out of the
journal. A seed decides what happens; to the instant the kills are not repeatable.

"""
FOOT = """
* **Told again after a kill (documented)**: the message had left, the kill came before that was noted, so it left again:
  rather twice than never (decision 0028). It is no more than the claims that a kill cut off; what is beyond is "doubled".
* **Lost**: an open alarm of which a person got no message, or a message noted as sent that never arrived.
  **Forgotten**: a claim or a failure that nobody took up again.
* Rows with a sabotage are the control: the service is broken on purpose (`benchmarks/alerts_kills_sabotage.py`), and the
  same comparison must say so.
"""


def page(lines: list[str], now: datetime) -> str:
    head = HEAD.format(date=f"{now.day} {now:%B %Y, %H:%M}", python=sys.version.split()[0], cores=os.cpu_count())
    top = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    return head + "\n".join([*top, *lines]) + "\n" + FOOT


def _one(seed: int, kills: int, sabotage: str) -> tuple[str, bool]:
    print(f"seed {seed}, {kills} kills, sabotage: {sabotage or 'none'}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        campaign, began = Campaign(Path(folder), seed, sabotage), time.monotonic()
        try:
            outcome = campaign.run(kills)
            line = row(campaign, outcome, time.monotonic() - began)
        finally:
            campaign.close()
    print(line, outcome.faults.say(), sep="\n", flush=True)
    return line, outcome.faults.any() == bool(sabotage)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", help="seeds; without them four new ones")
    parser.add_argument("--kills", type=int, default=30, help="kills a seed")
    parser.add_argument("--sabotage", choices=("", "all", *SABOTAGES), default="", help="break the service, too")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    args = parser.parse_args()
    seeds = args.seeds or [random.randrange(1 << 32) for _ in range(4)]
    plans = [(seed, args.kills, "") for seed in seeds]
    chosen = SABOTAGES if args.sabotage == "all" else (args.sabotage,) if args.sabotage else ()
    plans += [(seeds[0], min(args.kills, 12), name) for name in chosen]
    done = [_one(*plan) for plan in plans]
    if args.write:
        now = datetime.now(UTC)  # noqa: TID251  (the date of a measurement)
        TABLE.write_text(page([line for line, _ in done], now))
    return 0 if all(good for _, good in done) else 1


if __name__ == "__main__":
    sys.exit(main())
