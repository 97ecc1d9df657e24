"""Facts of machines and facts of people, in any order: what stands is a function of both, and of nothing else.

A world is a stream of readings and what people say of it (corrections from a date on, put right and dated back; marks of
readings that are not to be counted, some taken back). Both
come in any order and cut anywhere, through alerts' own memory and ``StreamJudge``; between two of them time passes,
history is forgotten, the process is killed. Whatever happened: what was saved by id along the way is what ``judge`` says
of all readings from scratch, with all that was said laid over them; the same over columns; the same for a batch.

The long form is ``make properties``; ``SMILE_IOT_EXAMPLES`` is its number of worlds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.amended import NOTHING_SAID, Amendments
from alerts.bulk import judge_all, points_by_stream
from alerts.exposure import Placement
from alerts.judgement import BatchInfo, Told, judge_told
from alerts.memory import Memory
from alerts.products import builtin_products
from alerts.profiles import builtin_profiles
from alerts.rules import Kind, Profiles, ReadingFact, RuleFinding, StreamSettings, judge
from alerts.rules.facts import value_of
from alerts.streams import StreamJudge
from alerts.told import amendments_of
from gateway.records import ProbeCorrection, ReadingMark
from telemetry.readings import Quality

MIN = 60_000
TICK = 15 * MIN
EXAMPLES = int(os.environ.get("SMILE_IOT_EXAMPLES", "60"))
STREAM, PLACE = "S1/temperature_c", "F1"
PROFILES = Profiles(
    builtin_profiles(),
    {PLACE: ("refrigerator", "smile_grace", "transport_1")},
    {STREAM: StreamSettings(900, Decimal("0.25"))},
)
BATCH = BatchInfo("B1", "S1", "93001282", "Pentabio", "PB1", date(2027, 11, 30), 400)


@st.composite
def readings(draw: st.DrawFn) -> list[ReadingFact]:
    facts: list[ReadingFact] = []
    t_ms, numbered = 0, draw(st.booleans())
    for _ in range(draw(st.integers(1, 5))):
        value = Decimal(draw(st.sampled_from(["-0.6", "-0.2", "5.0", "7.9", "8.1", "9.5", "30.0"])))
        for _ in range(draw(st.integers(1, 30))):
            fault = draw(st.integers(0, 30)) == 0
            quality = Quality.SENSOR_FAULT if fault else Quality.GOOD
            number = len(facts) if numbered else None
            facts.append(ReadingFact(PLACE, STREAM, t_ms, None if fault else value, quality, number))
            t_ms += TICK
        if draw(st.integers(0, 4)) == 0:
            facts.append(replace(facts[-1], value_c=value + 1, quality=Quality.GOOD))
        if numbered and draw(st.integers(0, 4)) == 0:  # the same reading, dated otherwise
            facts.append(replace(facts[-1], t_ms=facts[-1].t_ms + draw(st.integers(-2, 2)) * 1000))
        t_ms += draw(st.sampled_from([0, 0, 1, 3, 40])) * TICK
    return facts


OFFSETS = st.sampled_from(["-0.3", "-0.1", "0", "0.2", "1.5"]).map(Decimal)
TIMES = st.integers(-2, 80).map(lambda i: i * TICK)
CORRECTIONS = st.lists(st.tuples(TIMES, OFFSETS), max_size=4).map(
    lambda rows: [
        ProbeCorrection(STREAM, i + 1, at, offset_c, "K", "Sari", 0, "S1") for i, (at, offset_c) in enumerate(rows)
    ]
)
MARKS = st.lists(st.tuples(TIMES, st.integers(1, 12), st.booleans()), max_size=3).map(
    lambda rows: [
        ReadingMark(STREAM, i + 1, at, at + n * TICK, "Sari", 0, "S1", back) for i, (at, n, back) in enumerate(rows)
    ]
)


def plain(findings: Sequence[RuleFinding]) -> dict[str, RuleFinding]:
    """What is said, without the history of the saying; the details that name what people said stay."""
    return {f.finding_id: replace(f, detected_ms=0, supersedes=(), details=_named(f)) for f in findings}


def _named(f: RuleFinding) -> tuple[tuple[str, str], ...]:
    return tuple(row for row in f.details if row[0] in ("corrected_c", "not_counted"))


def from_scratch(facts: Sequence[ReadingFact], amended: Amendments, now_ms: int) -> dict[str, RuleFinding]:
    return plain([amended.named(f) for f in judge(amended.facts(facts), PROFILES, now_ms)])


@dataclass
class Shell:
    """What the service does around ``StreamJudge``; the board is what the records hold."""

    memory: Memory
    amended: Amendments = NOTHING_SAID
    board: dict[str, RuleFinding] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.judge = StreamJudge(self.memory, 6 * TICK, lambda _e, _s: list(self.board.values()))
        self.judge.start([(PLACE, STREAM)] if self.memory.homes() else [])

    def hear(self, facts: Sequence[ReadingFact]) -> None:
        with self.memory.transaction():
            self.judge.add(self.memory.add(facts))

    def turn(self, now_ms: int) -> None:
        for f in self.judge.judge(PROFILES, now_ms, self.amended):
            if f.kind is Kind.WITHDRAWN:
                assert f.finding_id in self.board, "withdrawn, and never said"
                del self.board[f.finding_id]
            else:
                self.board[f.finding_id] = f


@contextmanager
def opened() -> Iterator[Memory]:
    memory = Memory(Path(":memory:"))
    yield memory
    memory.close()


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data(), readings(), CORRECTIONS, MARKS)
def test_req_09_req_12_req_38_whatever_people_say_of_readings_and_when_the_findings_are_those_of_both(
    data: st.DataObject, facts: list[ReadingFact], corrections: list[ProbeCorrection], marks: list[ReadingMark]
) -> None:
    made = [replace(m, taken_back=False) for m in marks]
    order = data.draw(st.permutations([*facts, *corrections, *made]))
    now_ms = 0
    with opened() as memory:
        shell = Shell(memory)
        heard: list[ReadingFact] = []
        said: list[ProbeCorrection] = []
        marked: dict[int, ReadingMark] = {}
        while order:
            cut = data.draw(st.integers(1, max(1, len(order) // 2)))
            part, order = order[:cut], order[cut:]
            fresh = [x for x in part if isinstance(x, ReadingFact)]
            said += [x for x in part if isinstance(x, ProbeCorrection)]
            marked |= {m.number: m for m in part if isinstance(m, ReadingMark)}
            back = [m for m in marks if m.taken_back and m.number in marked and data.draw(st.booleans())]
            marked |= {m.number: m for m in back}
            heard += fresh
            shell.hear(fresh)
            shell.amended = amendments_of(said, marked.values())
            now_ms = max([now_ms, *(f.t_ms for f in fresh)]) + data.draw(st.sampled_from([0, TICK, 3_600_000]))
            if data.draw(st.integers(0, 5)) == 0:
                shell.restart()
            if data.draw(st.booleans()):
                shell.turn(now_ms)
        shell.turn(now_ms)
        assert plain(list(shell.board.values())) == from_scratch(heard, amendments_of(said, marked.values()), now_ms)


@settings(max_examples=EXAMPLES, deadline=None)
@given(readings(), CORRECTIONS, MARKS)
def test_req_12_req_38_columns_are_amended_as_single_readings_are(
    facts: list[ReadingFact], corrections: list[ProbeCorrection], marks: list[ReadingMark]
) -> None:
    amended = amendments_of(corrections, marks)
    now_ms = max(f.t_ms for f in facts)
    counted = amended.facts(facts)
    found = [amended.named(f) for f in judge_all(points_by_stream(counted), PROFILES, now_ms)]
    assert plain(found) == from_scratch(facts, amended, now_ms)
    good = [f for f in facts if f.value_c is not None]
    t_ms = np.array([f.t_ms for f in good], dtype=np.int64)
    value_m = np.array([int(f.value_c * 1000) for f in good if f.value_c is not None], dtype=np.int64)
    counts_m, missing = amended.columns(STREAM, t_ms, value_m, np.zeros(len(good), dtype=np.bool_))
    got = [None if gone else value for value, gone in zip(counts_m.tolist(), missing.tolist(), strict=True)]
    assert got == [value_of(f) for f in amended.facts(good)]


@settings(max_examples=max(1, EXAMPLES // 3), deadline=None)
@given(st.data(), readings(), CORRECTIONS, MARKS)
def test_req_12_req_38_a_verdict_over_raw_readings_is_that_over_readings_that_came_so(
    data: st.DataObject, facts: list[ReadingFact], corrections: list[ProbeCorrection], marks: list[ReadingMark]
) -> None:
    """And the order in which it was read what people said plays no part."""
    shuffled = data.draw(st.permutations(corrections))
    told = Told(BATCH, (Placement("B1", PLACE, 0),), devices={"S1": StreamSettings(900)})
    now_ms = max(f.t_ms for f in facts)
    amended = amendments_of(shuffled, reversed(marks))
    made = judge_told(replace(told, amended=amended), facts, builtin_profiles(), builtin_products(), now_ms)
    wanted = judge_told(told, amended.facts(facts), builtin_profiles(), builtin_products(), now_ms)
    assert (made.verdict, made.exposure, made.facts) == (wanted.verdict, wanted.exposure, tuple(facts))
    assert amended == amendments_of(corrections, marks)
