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

from alerts.amended import NOTHING_SAID, Amendments, laid_over
from alerts.amended_points import AmendedPoints, judge_amended
from alerts.bulk import points_by_stream
from alerts.exposure import Placement, expose
from alerts.judgement import BatchInfo, Told, judge_told
from alerts.memory import Memory
from alerts.products import builtin_products
from alerts.profiles import builtin_profiles
from alerts.rules import Kind, Profiles, ReadingFact, RuleFinding, StreamSettings, judge
from alerts.rules.facts import value_of
from alerts.rules.spans import RangeState, state_of
from alerts.streams import StreamJudge
from alerts.told import amendments_of
from alerts.verdicts import VerdictWord
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
    raw, counted = (judge(a.facts(facts), PROFILES, now_ms) for a in (amended.unmarked, amended))
    return plain([amended.named(f) for f in (laid_over(raw, counted) if amended.marks else counted)])


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
    unmarked, counted = (points_by_stream(a.facts(facts)) for a in (amended.unmarked, amended))
    found = [
        finding
        for key in counted
        for finding in judge_amended(
            AmendedPoints(counted[key], unmarked[key] if key[1] in amended.marks else None),
            PROFILES.plan(*key),
            now_ms,
            amended,
        )
    ]
    assert plain(found) == from_scratch(facts, amended, now_ms)
    good = [f for f in facts if f.value_c is not None]
    t_ms = np.array([f.t_ms for f in good], dtype=np.int64)
    value_m = np.array([int(f.value_c * 1000) for f in good if f.value_c is not None], dtype=np.int64)
    counts_m, missing = amended.columns(STREAM, t_ms, value_m, np.zeros(len(good), dtype=np.bool_))
    got = [None if gone else value for value, gone in zip(counts_m.tolist(), missing.tolist(), strict=True)]
    assert got == [value_of(f) for f in amended.facts(good)]


def by_hand(
    facts: Sequence[ReadingFact], corrections: Sequence[ProbeCorrection], marks: Sequence[ReadingMark]
) -> list[ReadingFact]:
    """What people said, laid over each reading by the plainest reading of decision 0029."""
    made = []
    for f in facts:
        said = [c for c in corrections if c.stream == f.stream_id and c.from_ms <= f.t_ms]
        latest = max(said, key=lambda c: (c.from_ms, c.number), default=None)
        value = f.value_c if f.value_c is None or latest is None else f.value_c + latest.offset_c
        made.append(replace(f, value_c=None if is_marked(f, marks) else value))
    return made


def is_marked(f: ReadingFact, marks: Sequence[ReadingMark]) -> bool:
    return any(m.stream == f.stream_id and m.from_ms <= f.t_ms < m.to_ms and not m.taken_back for m in marks)


@settings(max_examples=max(1, EXAMPLES // 3), deadline=None)
@given(st.data(), readings(), CORRECTIONS, MARKS)
def test_req_12_req_38_what_a_batch_lived_through_is_that_of_readings_amended_by_hand(
    data: st.DataObject, facts: list[ReadingFact], corrections: list[ProbeCorrection], marks: list[ReadingMark]
) -> None:
    """By the rules that take reading by reading; and the order in which it was read what people said plays no part."""
    shuffled = data.draw(st.permutations(corrections))
    stays, devices = (Placement("B1", PLACE, 0),), {"S1": StreamSettings(900)}
    now_ms = max(f.t_ms for f in facts)
    amended = amendments_of(shuffled, reversed(marks))
    told = Told(BATCH, stays, devices=devices, amended=amended)
    judged = judge_told(told, facts, builtin_profiles(), builtin_products(), now_ms)
    made, profiles = judged.exposure, Profiles(builtin_profiles(), streams={STREAM: devices["S1"]})
    standing = tuple((m.from_ms, m.to_ms) for m in marks if not m.taken_back)
    spans = {STREAM: standing} if any(is_marked(f, marks) for f in facts) else {}
    wanted = expose("B1", stays, by_hand(facts, corrections, marks), profiles, judged.profile, now_ms, spans)
    assert (made is None) == (wanted is None)
    if made is not None and wanted is not None:
        assert made.timeline == wanted.timeline
        assert (made.unknown_s, made.known_s, made.min_c) == (wanted.unknown_s, wanted.known_s, wanted.min_c)
    assert amended == amendments_of(corrections, marks)


SECOND = "S2/temperature_c"


@settings(max_examples=EXAMPLES, deadline=None)
@given(readings(), readings(), MARKS, MARKS)
def test_req_12_no_mark_weakens_a_verdict_below_hold_or_takes_more_away_than_confirmed_to_possible(
    one: list[ReadingFact], two: list[ReadingFact], marks: list[ReadingMark], others: list[ReadingMark]
) -> None:
    """Two loggers in one place: where a reading is marked nobody says "in range", what else is out of range is out."""
    facts = [
        *(replace(f, device_seq=None) for f in one),
        *(replace(f, stream_id=SECOND, device_seq=None) for f in two),
    ]
    marks = [*marks, *(replace(m, stream=SECOND) for m in others)]
    now_ms = max(f.t_ms for f in facts)
    devices = {"S1": StreamSettings(900, Decimal("0.25")), "S2": StreamSettings(900)}
    # There from the first reading on: of one from before (a sensor's clock steps back) its history would hold nothing.
    bare = Told(BATCH, (Placement("B1", PLACE, min(f.t_ms for f in facts)),), devices=devices)
    before = judge_told(bare, facts, builtin_profiles(), builtin_products(), now_ms)
    told = replace(bare, amended=amendments_of([], marks))
    after = judge_told(told, facts, builtin_profiles(), builtin_products(), now_ms)
    hold = VerdictWord.HOLD_AND_INSPECT.strength
    assert after.verdict.verdict.strength >= min(hold, before.verdict.verdict.strength)
    assert all(any(carries(g, f) for g in after.findings) for f in before.findings)
    for f in facts:
        if after.exposure is None or f.t_ms >= now_ms:
            continue
        here = next(s for s in after.exposure.timeline if s.from_ms <= f.t_ms < s.to_ms)
        state, value_m = state_of(here, 2000, 8000), value_of(f)
        if is_marked(f, marks):
            assert state is not RangeState.IN
            # Out of range by the other logger's word: not unknown, and judged as if nothing were marked besides.
            assert state is RangeState.OUT or after.verdict.verdict.strength >= hold
        elif value_m is not None and not 2000 <= value_m <= 8000:
            assert state is RangeState.OUT


def carries(after: RuleFinding, before: RuleFinding) -> bool:
    """Whether a finding is of the same excursion, and is not over before it."""
    last_ms = now_or(after.end_ms)
    return (
        (after.code, after.profile, after.level) == (before.code, before.profile, before.level)
        and after.kind in (Kind.CONFIRMED, Kind.POSSIBLE)
        and after.episode_start_ms <= now_or(before.end_ms) <= last_ms
        and before.episode_start_ms <= last_ms
    )


def now_or(end_ms: int | None) -> int:
    return 1 << 62 if end_ms is None else end_ms


@settings(max_examples=EXAMPLES, deadline=None)
@given(readings(), CORRECTIONS, MARKS)
def test_req_12_what_a_stream_says_with_marks_carries_all_that_it_says_without(
    facts: list[ReadingFact], corrections: list[ProbeCorrection], marks: list[ReadingMark]
) -> None:
    now_ms = max(f.t_ms for f in facts) + TICK
    before = judge(by_hand(facts, corrections, []), PROFILES, now_ms)
    with opened() as memory:
        shell = Shell(memory)
        shell.hear(facts)
        shell.amended = amendments_of(corrections, marks)
        shell.turn(now_ms)
        assert all(any(carries(g, f) for g in shell.board.values()) for f in before)
