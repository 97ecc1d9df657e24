"""Alerts killed between any two durable steps, and again in the next life: no alarm lost, doubled or forgotten.

Durable steps are the commits of ``alerts.db``, the writes into the records, and a message that left. A kill before the
n-th step is the same as one after the step before it. In a test run: some kills and pairs of kills from a printed seed;
``make kill-alerts`` tries every one and every pair, and writes how many there were into ``benchmarks/alerts_kills.md``.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from alerts.equipment import RULES as SENSORS
from alerts.notify import Message, Notifier
from alerts.profiles import builtin_profiles
from alerts.rules import Profiles, StreamSettings, judge
from api.words import Words
from gateway.journal import SqliteJournal
from gateway.records import Actor, Role, User, open_records

MIN = 60_000
HOUR = 60 * MIN
SARI = Actor("Sari", Role.MANAGER)
RECORDS = ("save_findings", "save_verdicts", "save_weighings", "claim_notification", "notification_done")
SINGLE, PAIRS = 5, 4
FILES = ("journal.db", "records.db", "alerts.db")
EVERY_PAIR = os.environ.get("ALERTS_EVERY_PAIR", "")
"""A file for the counts of the long form; none in a test run."""


class Killed(BaseException):
    """SIGKILL: nothing catches it."""


@dataclass
class Steps:
    """Counts durable steps; kills before the n-th from now. ``look`` sees each one coming."""

    left: int = 0
    count: int = 0
    armed: bool = False
    last: str = ""
    look: Callable[[str], None] = lambda _: None

    def arm(self, at: int) -> None:
        self.left, self.armed = at, at > 0

    def step(self, name: str) -> None:
        self.count += 1
        self.look(name)
        if self.armed:
            self.left -= 1
            if self.left <= 0:
                self.armed, self.last = False, name
                raise Killed


class Counted:
    """The records; each write is a step."""

    def __init__(self, records: Any, steps: Steps) -> None:
        self._real, self._steps = records, steps

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name not in RECORDS:
            return real

        def write(*args: Any, **kwargs: Any) -> Any:
            self._steps.step(name)
            return real(*args, **kwargs)

        return write


@dataclass
class Story:
    """What happens outside, stage by stage; a stage that happened does not happen again."""

    world: Any
    start_ms: int
    steps: Steps = field(default_factory=Steps)
    sent: list[tuple[str, str]] = field(default_factory=list)
    stage: int = 0

    def stages(self) -> Sequence[Callable[[], None]]:
        w = self.world
        return (
            lambda: w.say(
                *w.temperatures(0, 4.75, "8.5"),
                *w.temperatures(6.5, 11.25, "8.5"),
                *w.temperatures(0, 11.25, "-3", "LOG-B"),
                # undated until the anchor of the next stage: ten hours of heat, from 01:00 on
                *(w.reading(None, "8.5", ns=10 + n * 15 * MIN * 10**6, channel="2") for n in range(41)),
            ),
            lambda: w.say(w.weighing("W1", "1.5", None, ns=5), w.anchor(self.start_ms + HOUR, 10)),
            lambda: w.records.observe_vvm("B1", "B", SARI, "looked", self.start_ms + 11 * HOUR),
            lambda: w.say(*w.temperatures(5, 6.25, "8.6"), *w.temperatures(2, 3, "5.0", "LOG-B")),  # 2: a conflict
            lambda: w.say(*w.temperatures(11.5, 12, "5.0"), *w.temperatures(11.5, 12, "5.0", "LOG-B")),
        )

    def live(self) -> None:
        """One life of the service, from its files to the end of the story."""
        w, steps = self.world, self.steps
        w.again(start=False)
        w.alerts._records = Counted(w.records, steps)
        for part in (w.alerts._batches, w.alerts._sayings, w.alerts._weighings, w.alerts._registry):
            part._records = w.alerts._records
        memory = w._memories[0]
        real = memory.transaction

        @contextmanager
        def transaction() -> Iterator[None]:
            steps.step("commit")
            with real():
                yield

        memory.transaction = transaction
        notifier = self.notifier()
        w.alerts.start()
        for number in range(self.stage, len(self.stages()) + 1):
            self._look(notifier)
            if number < len(self.stages()):
                self.stages()[number]()
                self.stage = number + 1
                w.clock.wall_ms = self.start_ms + 11 * HOUR + 15 * MIN * (1 + number)
        self._look(notifier)
        w.clock.wall_ms += 6 * MIN  # what was claimed and not sent is tried again
        self._look(notifier)
        w.alerts._finish()

    def _look(self, notifier: Notifier) -> None:
        while self.world.alerts.turn():
            pass
        while notifier():
            pass

    def notifier(self) -> Notifier:
        words = {"id": Words("id")}

        def send(url: str, message: Message) -> bool:
            self.steps.step("send")
            self.sent.append((url, f"{message.title}: {message.body}"))
            return True

        return Notifier(
            self.world.alerts._records, self.world.clock, dict(words), lambda ms, *_: str(ms), "https://iot", send
        )


State = tuple[str, int, int, int, int]
"""All that the future depends on: the tables of all files, and how far the world outside is. The last number: messages
that left, but for those that kills kept from being noted."""


@dataclass
class Kept:
    """What a kill leaves: the files, and how far the world outside was. ``hit``: what the kills so far fell before."""

    folder: Path
    state: State
    sent: list[tuple[str, str]]
    hit: tuple[str, ...] = ()


@dataclass
class Stage:
    """Plays the story and puts it back to where it was. One engine for all runs: its statements are compiled once."""

    story: Story
    _kept: int = 0

    def keep(self, hit: tuple[str, ...] = ()) -> Kept:
        """As a SIGKILL at this instant would leave it."""
        w = self.story.world
        self._kept += 1
        folder = w.folder.parent / f"kept{self._kept}"
        folder.mkdir()
        for name in FILES:
            if (w.folder / name).exists():
                with (
                    closing(sqlite3.connect(w.folder / name)) as here,
                    closing(sqlite3.connect(folder / name)) as there,
                ):
                    here.backup(there)
        return Kept(folder, self.state(hit), list(self.story.sent), hit)

    def state(self, hit: tuple[str, ...]) -> State:
        """In which order alerts wrote into the audit says nothing of what is still to do: there its rows count, and
        which of them are not read yet, but not their numbers and the chain's hashes."""
        w, digest = self.story.world, hashlib.sha256()
        rows: dict[str, list[dict[str, Any]]] = {}
        for name in filter(lambda n: (w.folder / n).exists(), FILES):
            with closing(sqlite3.connect(w.folder / name)) as db:
                db.row_factory = sqlite3.Row
                for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                    found = db.execute(f'SELECT * FROM "{table}"')  # noqa: S608  (its own word)
                    rows[f"{name} {table}"] = [dict(row) for row in found]
        audit = rows["records.db audit"]
        for place in (*rows.get("alerts.db place", ()), *rows.get("alerts.db done", ())):
            read = place.pop("audit_id")
            place["unread"] = sorted(_nameless(r) for r in audit if r["id"] > read)
        for table, found_rows in sorted(rows.items()):
            texts = sorted(map(_nameless if table == "records.db audit" else repr, found_rows))
            digest.update(repr((table, texts)).encode())
        left = len(self.story.sent) - hit.count("notification_done")
        return (digest.hexdigest(), self.story.stage, w.seq, w.clock.wall_ms, left)

    def back(self, kept: Kept) -> None:
        w = self.story.world
        for memory in w._memories:
            memory.close()
        w._memories = []
        w.journal.close()
        w.records.close()  # its engine connects again by itself
        shutil.rmtree(w.folder)
        shutil.copytree(kept.folder, w.folder)
        w.journal = SqliteJournal(w.folder / "journal.db")
        _, self.story.stage, w.seq, w.clock.wall_ms, _ = kept.state
        self.story.sent[:] = kept.sent

    def life(self, kill: int = 0) -> str:
        """One life; what the kill fell before, "" where the life came to its end."""
        steps = self.story.steps
        steps.arm(kill)
        try:
            self.story.live()
        except Killed:
            return steps.last
        finally:
            steps.armed = False
        return ""

    def to_the_end(self, kept: Kept, *kills: int) -> dict[str, Any]:
        """From there on, killed before these steps of one life after the other, then in peace: what there is."""
        self.back(kept)
        return outcome(self.story, [*kept.hit, *filter(None, map(self.life, (*kills, 0)))])

    def every_kill(self, kept: Kept, known: Collection[State]) -> tuple[list[State], list[Kept], dict[str, Any]]:
        """One life in peace from there on: what a kill before each of its steps leaves, those of it that are not
        ``known`` to be kept, and what there is at the end."""
        states: list[State] = []
        fresh: dict[State, Kept] = {}

        def look(name: str) -> None:
            hit = (*kept.hit, name)
            states.append(self.state(hit))
            if states[-1] not in known and states[-1] not in fresh:
                fresh[states[-1]] = self.keep(hit)

        self.story.steps.look = look
        try:
            said = self.to_the_end(kept)
        finally:
            self.story.steps.look = lambda _: None
        return states, list(fresh.values()), said


def _nameless(row: dict[str, Any]) -> str:
    return repr({k: v for k, v in row.items() if k not in ("id", "number", "prev_hash", "hash")})


@pytest.fixture
def beginning(world: Any, tmp_path: Path, registered: Path, start: int) -> Iterator[tuple[Stage, Kept]]:
    (tmp_path / "played").mkdir()
    shutil.copy(registered, tmp_path / "played" / "records.db")
    records = open_records(str(tmp_path / "played" / "records.db"))
    made = type(world)(tmp_path / "played", SqliteJournal(tmp_path / "played" / "journal.db"), records)
    sari = User("Sari", Role.OPERATOR, "S1", None, "id", "$argon2id$x", ("json://sari",))
    records.upsert_user(sari, Actor("root", Role.SUPER_ADMIN), "", start)
    made.batch("B1")
    stage = Stage(Story(made, start))
    yield stage, stage.keep()
    made.close()


def outcome(story: Story, hit: list[str]) -> dict[str, Any]:
    world = story.world
    found = (f for f in world.records.findings(standing=True) if f.batch is None and f.profile != SENSORS)
    standing = {f.id: f for f in found}
    facts = list(world._memories[0].facts())
    devices = {f"{d.serial}/temperature_c": StreamSettings(d.interval_s) for d in world.records.devices()}
    places = dict.fromkeys(("F1", "F2"), ("refrigerator", "smile_grace"))
    wanted = judge(facts, Profiles(builtin_profiles(), places, devices), world.clock.wall_ms)
    rows = world.records.notifications()
    sent = {n.finding for n in rows if n.state == "sent"}
    return {
        "hit": hit,
        "differs from scratch": sorted(
            {(i, str(f.kind), f.event_ms, f.end_ms) for i, f in standing.items()}
            ^ {(f.finding_id, str(f.kind), f.event_ms, f.end_ms) for f in wanted},
            key=str,
        ),
        "alarms": sorted(world.alarms(), key=str),
        "not told": sorted({a.id for a in world.records.open_alarms() if not ({a.id, a.finding.supersedes} & sent)}),
        # A message that left and was not noted leaves again: rather twice than never, and no other one is doubled.
        "doubled": max(0, len(story.sent) - sum(n.state == "sent" for n in rows) - hit.count("notification_done")),
        "verdict": world.verdict("B1"),
        "weighings": [(w.id, w.t_ms) for w in world.records.weighings()],
        "chain": world.records.verify_chain("S1").ok,
        "all is done": world._memories[0].done().journal_offset == world.journal.last_offset(),
    }


def same(said: dict[str, Any], undisturbed: dict[str, Any]) -> bool:
    """The same end, whatever the kills."""
    keys = ("differs from scratch", "alarms", "not told", "doubled", "verdict", "weighings", "chain", "all is done")
    return all(said[k] == undisturbed[k] for k in keys)


def undisturbed_end(stage: Stage, begun: Kept) -> tuple[dict[str, Any], int]:
    """What there is without a kill, and how many durable steps lead there."""
    before = stage.story.steps.count
    said = stage.to_the_end(begun)
    assert said["differs from scratch"] == []
    assert ("HEAT", "F1", None, "open") in said["alarms"]
    assert (said["not told"], said["doubled"]) == ([], 0)
    steps = stage.story.steps.count - before
    assert steps > 20
    return said, steps


def test_whatever_kills_fall_between_no_alarm_is_lost_doubled_or_forgotten(beginning: tuple[Stage, Kept]) -> None:
    stage, begun = beginning
    undisturbed, steps = undisturbed_end(stage, begun)
    seed = random.randrange(1 << 32)
    print(f"kills from seed {seed}")
    dice = random.Random(seed)
    for first in dice.sample(range(1, steps + 1), SINGLE):
        said = stage.to_the_end(begun, first)
        assert len(said["hit"]) == 1
        assert same(said, undisturbed), (first, said, undisturbed)
    for _ in range(PAIRS):
        pair = (dice.randint(1, steps), dice.randint(1, steps))
        said = stage.to_the_end(begun, *pair)
        assert same(said, undisturbed), (pair, said, undisturbed)


if EVERY_PAIR:

    @pytest.mark.timeout(12 * 3600)
    @pytest.mark.parametrize("backwards", [False, True])
    def test_no_pair_of_kills_loses_doubles_or_forgets_an_alarm(
        beginning: tuple[Stage, Kept], backwards: bool
    ) -> None:
        """A kill before every step of the first life, and for each of them before every step of the second.

        Kills that leave the same are tried once. One line a first kill; two processes share the work from both ends,
        and one that was interrupted goes on where it was.
        """
        stage, begun = beginning
        undisturbed, _ = undisturbed_end(stage, begun)
        firsts, kept, said = stage.every_kill(begun, ())
        assert same(said, undisturbed)
        tried: set[State] = set()
        for number, first in sorted(enumerate(kept), reverse=backwards):
            if any(line["number"] == number for line in _counted()):
                continue
            seconds, fresh, said = stage.every_kill(first, tried)
            assert same(said, undisturbed), (first.hit, said, undisturbed)
            for second in fresh:
                said = stage.to_the_end(second)
                assert same(said, undisturbed), (second.hit, said, undisturbed)
                tried.add(second.state)
                shutil.rmtree(second.folder)
            line = {"number": number, "of": len(kept), "kills": firsts.count(first.state)}
            line |= {"seconds": len(seconds), "played": len(fresh)}
            with Path(EVERY_PAIR).open("a") as counts:
                counts.write(json.dumps(line) + "\n")

    def _counted() -> list[dict[str, int]]:
        path = Path(EVERY_PAIR)
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
