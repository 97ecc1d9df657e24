"""Alerts killed between any two durable steps, and again in the next life: no alarm lost, doubled or forgotten.

Durable steps are the commits of ``alerts.db``, the writes into the records, and a message that left. A kill before the
n-th step is the same as one after the step before it. In a test run: some kills and pairs of kills from a printed seed;
``make kill-alerts`` tries every one and every pair, and writes how many there were into ``benchmarks/alerts_kills.md``.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
EVERY_PAIR = os.environ.get("ALERTS_EVERY_PAIR", "")
"""A file for the counts of the long form; none in a test run."""


class Killed(BaseException):
    """SIGKILL: nothing catches it."""


@dataclass
class Steps:
    """Counts durable steps; kills before the n-th from now."""

    left: int = 0
    count: int = 0
    armed: bool = False
    last: str = ""

    def arm(self, at: int) -> None:
        self.left, self.armed = at, at > 0

    def step(self, name: str) -> None:
        self.count += 1
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


@dataclass
class Kept:
    """What a kill leaves: the files, and how far the world outside was."""

    folder: Path
    stage: int
    seq: int
    wall_ms: int
    sent: list[tuple[str, str]]


@dataclass
class Stage:
    """Plays the story and puts it back to where it was. One engine for all runs: its statements are compiled once."""

    story: Story
    _kept: int = 0

    def keep(self) -> Kept:
        w = self.story.world
        self._shut()
        self._kept += 1
        folder = w.folder.parent / f"kept{self._kept}"
        shutil.copytree(w.folder, folder)
        self._open()
        return Kept(folder, self.story.stage, w.seq, w.clock.wall_ms, list(self.story.sent))

    def back(self, kept: Kept) -> None:
        w = self.story.world
        self._shut()
        shutil.rmtree(w.folder)
        shutil.copytree(kept.folder, w.folder)
        self._open()
        self.story.stage, w.seq, w.clock.wall_ms = kept.stage, kept.seq, kept.wall_ms
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
        return outcome(self.story, [hit for hit in map(self.life, (*kills, 0)) if hit])

    def _shut(self) -> None:
        w = self.story.world
        for memory in w._memories:
            memory.close()
        w._memories = []
        w.journal.close()
        w.records.close()  # its engine connects again by itself

    def _open(self) -> None:
        w = self.story.world
        w.journal = SqliteJournal(w.folder / "journal.db")


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

    @pytest.mark.timeout(6 * 3600)
    @pytest.mark.parametrize("half", [0, 1])
    def test_no_pair_of_kills_loses_doubles_or_forgets_an_alarm(beginning: tuple[Stage, Kept], half: int) -> None:
        """Every step of the first life, and after each of them every step of the second; one line a first kill.

        What a kill left is kept, so that the first life is played once for all the second ones.
        """
        stage, begun = beginning
        undisturbed, steps = undisturbed_end(stage, begun)
        for first in range(1 + half, steps + 1, 2):
            stage.back(begun)
            left = stage.life(first)
            assert left
            kept, second, repeats = stage.keep(), 0, 0
            while True:
                stage.back(kept)
                second += 1
                hit = [left, *filter(None, (stage.life(second), stage.life()))]
                said = outcome(stage.story, hit)
                assert same(said, undisturbed), (first, second, said, undisturbed)
                repeats += hit.count("notification_done")
                if len(hit) == 1:
                    break  # the second life ended before that step
            shutil.rmtree(kept.folder)
            line = {"first": first, "of": steps, "before": left, "pairs": second - 1, "again": repeats}
            with Path(EVERY_PAIR).open("a") as counts:
                counts.write(json.dumps(line) + "\n")
