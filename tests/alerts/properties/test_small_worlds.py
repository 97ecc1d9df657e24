"""Findings are functions of the facts: one small world after another, everything that may happen to it, one invariant.

A world is a stream of up to two dozen readings (holes, faults, conflicts, repeats under a device's own numbers) under limits
with short delays, some of which change at a date; shipments begin and end in it. It arrives in uploads cut anywhere, in any
order, parts of it more than once; between two uploads time passes, limits change and are learnt (before their date, at it,
or late), history is forgotten, the process is killed and restored. Whatever happened: what was saved by id along the way is
what ``judge`` says of all facts from scratch, and what stands is the same.

The long form is ``make properties``; ``SMILE_IOT_EXAMPLES`` is its number of worlds (``benchmarks/properties.md``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.rules import (
    Assigned,
    Comparator,
    Dated,
    Kind,
    Level,
    Limit,
    Mode,
    Profile,
    Profiles,
    ReadingFact,
    RuleFinding,
    State,
    Step,
    StreamSettings,
    judge,
    restore,
    standing,
    step,
)
from alerts.rules import stream as stream_module
from telemetry.readings import Quality

MIN = 60_000
TICK = 15 * MIN
EXAMPLES = int(os.environ.get("SMILE_IOT_EXAMPLES", "150"))
STREAM, DOOR = "S1/temperature_c", "S1/door_open"

GT, GE, LT, LE = Comparator.GT, Comparator.GE, Comparator.LT, Comparator.LE
FRIDGE = Profile(
    "fridge",
    "1",
    Decimal("2.0"),
    Decimal("8.0"),
    (
        Limit("EXC", GT, Decimal("8.0"), 0, level=Level.EXCURSION),
        Limit("WARN", GT, Decimal("8.0"), 1800, level=Level.WARNING),
        Limit("HEAT", GT, Decimal("8.0"), 5400),
        Limit("FRZE", LE, Decimal("-0.5"), 1800, guard_code="FREEZE_POSSIBLE"),
        Limit("CHECK", LE, Decimal("-0.5"), 2700, Mode.CUMULATIVE, window_s=7200),
        Limit("AGAIN", GT, Decimal("8.0"), 1860, repeats=True, level=Level.NOTICE),
    ),
)
BOX = Profile(
    "box",
    "1",
    None,
    Decimal("10.0"),
    (
        Limit("HEAT_TOTAL", GE, Decimal("8.1"), 5400, Mode.CUMULATIVE),
        Limit("HEAT", GT, Decimal("8.0"), 3600),
        Limit("FRZE", LE, Decimal("-0.5"), 3600),
    ),
    ignore_first_s=1200,
)
GRACE = Profile("grace", "1", None, None, (Limit("SMILE", GT, Decimal("8.0"), 3600, repeats=True),), max_gap_s=21600)
CATALOGUE = {p.id: p for p in (FRIDGE, BOX, GRACE)}
VALUES = st.sampled_from(["-0.6", "-0.5", "-0.2", "5.0", "8.0", "8.1", "9.5"])
ASSIGNED = st.sampled_from([("fridge",), ("fridge", "grace"), ("box",), ("fridge", "box")])


@st.composite
def readings(draw: st.DrawFn) -> list[ReadingFact]:
    facts: list[ReadingFact] = []
    t_ms, numbered = 0, draw(st.booleans())
    for _ in range(draw(st.integers(1, 5))):
        value = Decimal(draw(VALUES))
        for _ in range(draw(st.integers(1, 6))):
            what = draw(st.integers(0, 15))
            number = len(facts) if numbered else None
            fault = what == 0
            quality = Quality.SENSOR_FAULT if fault else Quality.GOOD
            facts.append(ReadingFact("F1", STREAM, t_ms, None if fault else value, quality, number))
            if what == 1:
                facts.append(replace(facts[-1], value_c=value + 1))
            if what == 2 and numbered:
                facts.append(replace(facts[-1], t_ms=t_ms + draw(st.integers(-2, 2)) * 1000))
            t_ms += TICK
        t_ms += draw(st.sampled_from([0, 0, 0, 1, 2, 3, 40])) * TICK
    return facts


def edited(profile: Profile, draw: st.DrawFn) -> Profile:
    """A limit moved, a delay changed, a rule gone or new."""
    limits = list(profile.limits)
    i = draw(st.integers(0, len(limits) - 1))
    match draw(st.integers(0, 3)):
        case 0:
            limits[i] = replace(
                limits[i], limit_c=limits[i].limit_c + Decimal(draw(st.sampled_from(["-0.5", "0.5"])))
            )
        case 1:
            limits[i] = replace(limits[i], alarm_after_s=draw(st.sampled_from([900, 2700, 7200])))
        case 2 if len(limits) > 1:
            del limits[i]
        case _:
            limits.append(Limit("MORE", GT, Decimal("8.0"), 2700))
    return replace(profile, version=draw(st.sampled_from("2345")), limits=tuple(limits))


@st.composite
def limits_over_time(draw: st.DrawFn) -> Profiles:
    times = st.integers(-1, 40).map(lambda i: i * TICK + 5 * MIN)
    rows = [Assigned(0, draw(ASSIGNED))]
    rows += [Assigned(at, draw(ASSIGNED)) for at in draw(st.lists(times, max_size=1))]
    versions = {
        name: tuple(Dated(at, edited(CATALOGUE[name], draw)) for at in sorted(draw(st.lists(times, max_size=2))))
        for name in ("fridge", "box")
    }
    known = draw(st.sampled_from([StreamSettings(900), StreamSettings(), StreamSettings(900, Decimal("0.25"), 1200)]))
    shipments = tuple(sorted(draw(st.sets(times, max_size=3))))
    return Profiles(
        CATALOGUE,
        streams={STREAM: known},
        default=("fridge",),
        assigned={"F1": tuple(rows)},
        versions=versions,
        shipments={"F1": shipments},
    )


def plain(findings: Sequence[RuleFinding]) -> list[RuleFinding]:
    """What is said, without the history of the saying."""
    return [replace(f, detected_ms=0, supersedes=(), details=()) for f in findings]


@dataclass
class Shell:
    """What a service does around the rules: keeps facts, saves findings by id, restores when it must."""

    profiles: Profiles
    state: State = field(default_factory=State)
    facts: list[ReadingFact] = field(default_factory=list)
    board: dict[str, RuleFinding] = field(default_factory=dict)
    told: dict[str, set[Kind]] = field(default_factory=dict)

    def save(self, out: Step) -> None:
        self.state = out.state
        for f in out.findings:
            if f.kind is Kind.WITHDRAWN:
                assert f.finding_id in self.board, "withdrawn, and never said"
                del self.board[f.finding_id]
            else:
                self.board[f.finding_id] = f
        stands = {f.finding_id: f.kind for f in out.findings if f.kind is not Kind.WITHDRAWN}
        assert out.news <= set(stands), "news of what does not stand"

    def step(self, facts: Sequence[ReadingFact], now_ms: int) -> None:
        self.facts += facts
        out = step(self.state, facts, self.profiles, now_ms)
        self.save(out)
        if out.too_old:
            self.restart(now_ms)

    def restart(self, now_ms: int) -> None:
        """A kill, or facts from before what is remembered: everything anew from what was kept."""
        self.save(restore(self.facts, self.board.values(), self.profiles, now_ms))

    def learn(self, profiles: Profiles, now_ms: int) -> None:
        """A change whose date lies in what was forgotten cannot be judged by the memory."""
        cut = self.state.oldest_ms("F1", STREAM)
        old = {at for at, _ in self.profiles.plan("F1", STREAM).changes}
        new = {at for at, _ in profiles.plan("F1", STREAM).changes}
        self.profiles = profiles
        if cut is not None and any(at < cut for at in old ^ new):
            self.restart(now_ms)

    def check(self, now_ms: int) -> None:
        self.step([], now_ms)
        expected = plain(judge(self.facts, self.profiles, now_ms))
        assert {i: plain([f])[0] for i, f in self.board.items()} == {f.finding_id: f for f in expected}
        assert len({f.finding_id for f in expected}) == len(expected)
        cut = self.state.oldest_ms("F1", STREAM)
        if cut is None:
            assert plain(standing(self.state)) == expected


@pytest.fixture(autouse=True)
def _seams() -> Iterator[None]:
    """Small chunks, so that every seam of the memory is met in a small world."""
    patch = pytest.MonkeyPatch()
    patch.setattr(stream_module, "_SPLIT_OVER", 5)
    patch.setattr(stream_module, "_PIECE", 3)
    yield
    patch.undo()


RELAXED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@RELAXED
@given(st.data(), readings(), limits_over_time())
def test_req_09_req_37_whatever_happens_to_a_small_world_the_findings_are_those_of_its_facts(
    known_at: Callable[[Profiles, int], Profiles], data: st.DataObject, facts: list[ReadingFact], profiles: Profiles
) -> None:
    order = [facts[i] for i in data.draw(st.permutations(range(len(facts))))] if data.draw(st.booleans()) else facts
    order = [*order, *data.draw(st.lists(st.sampled_from(facts), max_size=3))]
    ahead = data.draw(st.booleans())  # people say changes before their date, or as they come
    now_ms, at = 0, 0
    shell = Shell(profiles if ahead else known_at(profiles, 0))
    while at < len(order):
        size = data.draw(st.integers(1, 8))
        upload = order[at : at + size]
        now_ms = max(now_ms, *(f.t_ms for f in upload)) + data.draw(st.sampled_from([0, 0, 0, 7, 45, 90])) * MIN
        at += size
        if not ahead and data.draw(st.booleans()):  # else the change is learnt at a later upload
            shell.learn(known_at(profiles, now_ms), now_ms)
        shell.step(upload, now_ms)
        match data.draw(st.integers(0, 9)):
            case 0:
                shell.restart(now_ms)
            case 1:
                shell.state = shell.state.forget(now_ms - data.draw(st.integers(0, 20)) * TICK)
            case 2:
                shell.check(now_ms)
    now_ms += data.draw(st.sampled_from([0, 1, 3, 5, 50])) * TICK
    shell.learn(profiles, now_ms)
    shell.check(now_ms)


@RELAXED
@given(readings(), limits_over_time(), st.integers(0, 60))
def test_req_08_a_restart_from_what_was_said_says_nothing_new(
    facts: list[ReadingFact], profiles: Profiles, later: int
) -> None:
    now_ms = max(f.t_ms for f in facts) + later * MIN
    first = step(State(), facts, profiles, now_ms)
    again = restore(facts, standing(first.state), profiles, now_ms)
    assert again.findings == ()
    assert again.news == frozenset()
    assert standing(again.state) == standing(first.state)


@RELAXED
@given(st.data(), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1)), min_size=1, max_size=10))
def test_req_30_words_of_a_door_in_any_order_say_what_judge_says(
    data: st.DataObject, words: list[tuple[int, int]]
) -> None:
    door = Limit("DOOR", GT, Decimal(0), 300, quantity="door_open", longer_than=True)
    open_often = replace(door, code="OFTEN", mode=Mode.CUMULATIVE, alarm_after_s=600, window_s=1800)
    catalogue = {"fridge": replace(FRIDGE, limits=(door, open_often))}
    dates = sorted(data.draw(st.lists(st.integers(0, 30), max_size=2)))
    sooner = replace(FRIDGE, version="2", limits=(replace(door, alarm_after_s=120), open_often))
    versions = tuple(Dated(at * MIN + 1, sooner if i % 2 == 0 else catalogue["fridge"]) for i, at in enumerate(dates))
    profiles = Profiles(
        catalogue,
        streams={DOOR: StreamSettings(event_driven=True)},
        default=("fridge",),
        versions={"fridge": versions},
    )
    facts = [ReadingFact("F1", DOOR, at * MIN, Decimal(value)) for at, value in words]
    shell, now_ms = Shell(profiles), 0
    for fact in facts:  # as drawn: any order
        now_ms = max(now_ms, fact.t_ms) + data.draw(st.integers(0, 7)) * MIN
        shell.step([fact], now_ms)
    shell.check(now_ms + data.draw(st.integers(0, 40)) * MIN)
