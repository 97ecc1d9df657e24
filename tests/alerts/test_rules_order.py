"""Findings are functions of the facts, not of their order of arrival (design.md, promise 4)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.profiles import builtin_profiles
from alerts.rules import (
    Assigned,
    Comparator,
    Dated,
    Kind,
    Limit,
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
from alerts.rules import fold as fold_module
from alerts.rules import stream as stream_module
from telemetry.readings import Quality

MIN = 60_000
STREAM = "S1/temperature_c"
PROFILES = [
    Profiles(builtin_profiles(), equipment={"F1": ids}, streams={STREAM: StreamSettings(interval, sigma)})
    for ids in (("refrigerator", "smile_grace"), ("transport_1",))
    for interval, sigma in ((900, None), (None, Decimal("0.25")))
]
# The long form (make test-long): SMILE_IOT_EXAMPLES=20000
EXAMPLES = int(os.environ.get("SMILE_IOT_EXAMPLES", "120"))

_values = st.sampled_from(["-0.6", "-0.5", "-0.2", "1.9", "2.0", "5.0", "8.0", "8.1", "9.5", "30.0", "45.0"])


@st.composite
def histories(draw: st.DrawFn) -> list[ReadingFact]:
    """A stream with runs of equal values, holes, faults, conflicts and repeats under device sequences."""
    facts: list[ReadingFact] = []
    t_ms, seq = 0, 0
    numbered = draw(st.booleans())
    for _ in range(draw(st.integers(1, 8))):
        value = Decimal(draw(_values))
        every = draw(st.sampled_from([5, 15, 15, 15, 60])) * MIN
        for _ in range(draw(st.integers(1, 14))):
            kind = draw(st.integers(0, 30))
            quality = Quality.SENSOR_FAULT if kind == 0 else Quality.GOOD
            number = seq if numbered else None
            facts.append(ReadingFact("F1", STREAM, t_ms, None if kind == 0 else value, quality, number))
            if kind == 1:
                facts.append(replace(facts[-1], value_c=value + 1, variant=1))
            if kind == 2 and numbered:
                facts.append(replace(facts[-1], t_ms=t_ms + draw(st.integers(-2000, 2000))))
            t_ms, seq = t_ms + every, seq + 1
        t_ms += draw(st.sampled_from([0, 0, 0, 30, 90, 1000])) * MIN
    return facts


def said(findings: Sequence[RuleFinding]) -> list[RuleFinding]:
    return [replace(f, detected_ms=0, supersedes=(), details=()) for f in findings]


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data(), histories(), st.sampled_from(PROFILES))
def test_req_09_steps_in_any_order_split_and_repetition_say_what_judge_says(
    data: st.DataObject, facts: list[ReadingFact], profiles: Profiles
) -> None:
    order = data.draw(st.permutations(facts)) if len(facts) < 40 else _late(data, facts)
    order = [*order, *data.draw(st.lists(st.sampled_from(facts), max_size=5))]
    state, at = State(), 0
    board: dict[str, RuleFinding] = {}
    while at < len(order):
        size = data.draw(st.integers(1, 25))
        upload = order[at : at + size]
        out = step(state, upload, profiles, max(f.t_ms for f in order[: at + size]))
        state, at = out.state, at + size
        for f in out.findings:
            if f.kind is Kind.WITHDRAWN:
                assert f.finding_id in board
                del board[f.finding_id]
            else:
                board[f.finding_id] = f
    now_ms = max(f.t_ms for f in facts) + data.draw(st.integers(0, 200)) * MIN
    out = step(state, [], profiles, now_ms)
    for f in out.findings:
        board[f.finding_id] = f
    expected = judge(facts, profiles, now_ms)
    assert said(standing(out.state)) == said(expected)
    # what was told along the way, saved by id, is what stands: nothing lost, nothing left over
    assert {i: said([f])[0] for i, f in board.items()} == {f.finding_id: f for f in said(expected)}


def _late(data: st.DataObject, facts: list[ReadingFact]) -> list[ReadingFact]:
    """A long history: blocks of it arrive late, some backwards."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(facts)), max_size=4)))
    blocks = [facts[a:b] for a, b in zip([0, *cuts], [*cuts, len(facts)], strict=True)]
    shuffled = data.draw(st.permutations(blocks))
    return [f for block in shuffled for f in (block[::-1] if data.draw(st.booleans()) else block)]


def test_req_09_thousands_of_readings_late_blocks_over_many_chunks(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Small chunks make every seam happen."""
    monkeypatch.setattr(stream_module, "_SPLIT_OVER", 20)
    monkeypatch.setattr(stream_module, "_PIECE", 18)
    values = ["5.0"] * 30 + ["9.0"] * 50 + ["1.0"] * 7 + ["-0.6"] * 6
    facts = [
        ReadingFact("F1", STREAM, i * 15 * MIN, Decimal(values[i % len(values)])) for i in range(1500) if i % 211 > 5
    ]
    order = [*facts[::2], *facts[1::4][::-1], *facts[3::4]]
    profiles = PROFILES[1]
    state = State()
    for i in range(0, len(order), 37):
        state = step(state, order[i : i + 37], profiles, i).state
    end_ms = 1500 * 15 * MIN
    state = step(state, [], profiles, end_ms).state
    assert said(standing(state)) == said(judge(facts, profiles, end_ms))


@settings(max_examples=max(30, EXAMPLES // 4), deadline=None)
@given(histories(), st.sampled_from(PROFILES), st.data())
def test_req_08_restore_after_a_kill_keeps_dates_and_ends_where_steps_end(
    facts: list[ReadingFact], profiles: Profiles, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(facts)))
    before = step(State(), facts[:cut], profiles, 1)
    now_ms = max(f.t_ms for f in facts)
    on_line = step(before.state, facts[cut:], profiles, now_ms)
    restarted = restore(facts, standing(before.state), profiles, now_ms)
    strip = [replace(f, supersedes=()) for f in standing(on_line.state)]
    assert [replace(f, supersedes=()) for f in standing(restarted.state)] == strip
    assert restarted.news == on_line.news
    again = restore(facts, standing(restarted.state), profiles, now_ms)
    assert again.findings == ()


@settings(max_examples=max(30, EXAMPLES // 4), deadline=None)
@given(histories(), st.sampled_from(PROFILES), st.data())
def test_forgetting_history_changes_nothing_that_comes_after(
    facts: list[ReadingFact], profiles: Profiles, data: st.DataObject
) -> None:
    many = [
        replace(f, t_ms=f.t_ms + n * (facts[-1].t_ms + 15 * MIN), device_seq=None) for n in range(6) for f in facts
    ]
    many.sort(key=lambda f: f.t_ms)
    cut = data.draw(st.integers(1, len(many)))
    whole = step(State(), many[:cut], profiles, many[cut - 1].t_ms).state
    short = whole.forget(many[cut - 1].t_ms)
    oldest_ms = short.oldest_ms("F1", STREAM) or 0
    rest, now_ms = many[cut:], many[-1].t_ms
    a, b = step(whole, rest, profiles, now_ms), step(short, rest, profiles, now_ms)
    assert a.findings == b.findings
    since = oldest_ms + 24 * 60 * MIN
    recent = [[f for f in standing(x.state) if f.end_ms is None or f.end_ms > since] for x in (a, b)]
    assert recent[0] == recent[1]
    if oldest_ms:
        late = [f for f in many[:cut] if f.t_ms < oldest_ms]
        assert step(b.state, late, profiles, now_ms).too_old == tuple(late)


def test_history_is_not_forgotten_while_the_interval_is_learnt_from_it(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Found by ``make properties``, seed 102: the first 16 differences serve all readings before the 17th."""
    monkeypatch.setattr(stream_module, "_SPLIT_OVER", 5)
    monkeypatch.setattr(stream_module, "_PIECE", 3)
    profiles = Profiles(builtin_profiles())
    minutes = [0, 60, 120, 180, 240, 300, 480, *range(495, 495 + 15 * 20, 15)]  # hourly, then every quarter
    facts = [ReadingFact("F1", STREAM, m * MIN, Decimal("5.0")) for m in minutes]
    first = step(State(), facts[:8], profiles, facts[7].t_ms).state
    assert first.forget(facts[7].t_ms).oldest_ms("F1", STREAM) is None
    board = {f.finding_id: f for f in standing(first)}
    out = step(first.forget(facts[7].t_ms), facts[8:], profiles, facts[-1].t_ms)
    for f in out.findings:
        if f.kind is Kind.WITHDRAWN:
            del board[f.finding_id]
        else:
            board[f.finding_id] = f
    expected = said(judge(facts, profiles, facts[-1].t_ms))
    assert {i: said([f])[0] for i, f in board.items()} == {f.finding_id: f for f in expected}
    assert {f.code for f in expected} == {"SILENT"}  # by quarters the hours of the beginning were silence
    whole = step(State(), facts, profiles, facts[-1].t_ms).state
    assert whole.forget(facts[-1].t_ms).oldest_ms("F1", STREAM) is not None


def test_changed_limits_judge_the_stream_anew() -> None:
    facts = [ReadingFact("F1", STREAM, i * 15 * MIN, Decimal("1.0")) for i in range(20)]
    plain = Profiles(builtin_profiles())
    strict = Profiles(builtin_profiles(), equipment={"F1": ("refrigerator_low_alarm",)})
    first = step(State(), facts, plain, 0)
    out = step(first.state, [], strict, 20 * 15 * MIN)
    assert said(standing(out.state)) == said(judge(facts, strict, 20 * 15 * MIN))
    assert "LOW" in {f.code for f in out.findings}


def _edited(profile: Profile, draw: st.DrawFn) -> Profile:
    """The profile with limits moved, delays changed, rules dropped or added."""
    limits = []
    for limit in profile.limits:
        kind = draw(st.integers(0, 9))
        if kind == 0:
            continue
        if kind == 1:
            limit = replace(limit, limit_c=limit.limit_c + Decimal(draw(st.sampled_from(["-0.5", "0.5", "1"]))))
        if kind == 2:
            limit = replace(limit, alarm_after_s=draw(st.sampled_from([900, 3600, 7200, 36000])))
        limits.append(limit)
    if draw(st.booleans()):
        limits.append(Limit("EXTRA", Comparator.GT, Decimal("8.0"), 1800, source="test"))
    return replace(profile, version=str(draw(st.integers(2, 9))), limits=tuple(limits or profile.limits))


@st.composite
def dated(draw: st.DrawFn, end_ms: int) -> Profiles:
    """Limits that changed up to four times: other profiles, other versions of them."""
    times = st.integers(-10, end_ms // MIN + 10).map(lambda m: m * MIN)
    ids = st.sampled_from(
        [("refrigerator", "smile_grace"), ("refrigerator",), ("refrigerator_low_alarm",), ("freezer",)]
    )
    catalogue = builtin_profiles()
    assigned = [Assigned(0, draw(ids))]
    assigned += [Assigned(at, draw(ids)) for at in sorted(draw(st.lists(times, max_size=2)))]
    versions = {
        name: tuple(Dated(at, _edited(catalogue[name], draw)) for at in sorted(draw(st.lists(times, max_size=2))))
        for name in ("refrigerator", "freezer")
    }
    streams = {STREAM: StreamSettings(*draw(st.sampled_from([(900, None), (None, Decimal("0.25"))])))}
    return Profiles(catalogue, streams=streams, assigned={"F1": tuple(assigned)}, versions=versions)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data(), histories())
def test_req_37_dated_limits_say_the_same_in_any_order_of_facts_and_whenever_a_change_is_learnt(
    known_at: Callable[[Profiles, int], Profiles], data: st.DataObject, facts: list[ReadingFact]
) -> None:
    profiles = data.draw(dated(max(f.t_ms for f in facts)))
    order = data.draw(st.permutations(facts)) if len(facts) < 40 else _late(data, facts)
    state, at, now_ms = State(), 0, 0
    board: dict[str, RuleFinding] = {}

    def told(out: Step) -> State:
        for f in out.findings:
            if f.kind is Kind.WITHDRAWN:
                del board[f.finding_id]
            else:
                board[f.finding_id] = f
        return out.state

    ahead = data.draw(st.booleans())  # changes are known before their date, or only as they come
    while at < len(order):
        size = data.draw(st.integers(1, 40))
        now_ms = max(now_ms, *(f.t_ms for f in order[at : at + size]))
        state = told(step(state, order[at : at + size], profiles if ahead else known_at(profiles, now_ms), now_ms))
        at += size
    now_ms += data.draw(st.sampled_from([0, 20, 200, 2000])) * MIN
    state = told(step(state, [], profiles, now_ms))
    expected = said(judge(facts, profiles, now_ms))
    assert said(standing(state)) == expected
    assert {i: said([f])[0] for i, f in board.items()} == {f.finding_id: f for f in expected}
    restarted = restore(facts, standing(state), profiles, now_ms)
    assert restarted.findings == ()


# --- an independent, naive reading of the conventions ------------------------------------------------------


def naive_heat(readings: dict[int, Decimal], after_ms: int) -> set[tuple[int, int]]:
    """(episode start, event) of HEAT by the words of section 6, declared interval 900 s: no folding, no chunks."""
    times = sorted(readings)
    episodes: list[list[int]] = []
    for before, at in zip([None, *times], times, strict=False):
        if readings[at] > Decimal("8.0"):
            joined = before is not None and episodes and episodes[-1][-1] == before and at - before <= 1_800_000
            if joined:
                episodes[-1].append(at)
            else:
                episodes.append([at])
    return {(e[0], next(x for x in e if x - e[0] >= after_ms)) for e in episodes if e[-1] - e[0] >= after_ms}


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["5.0", "8.0", "8.1", "9.0"]), st.integers(1, 60), st.sampled_from([0, 0, 15, 16, 45])
        ),
        min_size=1,
        max_size=8,
    )
)
def test_req_01_heat_agrees_with_a_naive_reading_of_the_conventions(runs: list[tuple[str, int, int]]) -> None:
    readings: dict[int, Decimal] = {}
    t_ms = 0
    for value, count, hole_min in runs:
        for _ in range(count):
            readings[t_ms] = Decimal(value)
            t_ms += 15 * MIN
        t_ms += hole_min * MIN
    facts = [ReadingFact("F1", STREAM, t, v) for t, v in readings.items()]
    found = judge(facts, Profiles(builtin_profiles(), streams={STREAM: StreamSettings(900)}), t_ms)
    ours = {(f.episode_start_ms, f.event_ms) for f in found if f.code == "HEAT" and f.kind is Kind.CONFIRMED}
    assert ours == naive_heat(readings, 600 * MIN)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 40)), min_size=1, max_size=8),
    st.integers(1, 60),
    st.one_of(st.none(), st.integers(1, 80)),
)
def test_a_sum_is_reached_when_counting_every_second_says_so(
    parts: list[tuple[int, int]], after_s: int, window_s: int | None
) -> None:
    """(seconds in, seconds out) one after the other, from scratch second by second."""
    holds, at = [], 0
    for length, pause in parts:
        holds.append((at * 1000, (at + length) * 1000))
        at += length + pause
    hot = [any(a <= i * 1000 < b for a, b in holds) for i in range(at + 1)]
    window = window_s or at + 1
    sums = (sum(hot[max(0, i - window) : i]) for i in range(at + 2))
    expected = next((i * 1000 for i, total in enumerate(sums) if total >= after_s), None)
    assert fold_module._reached_ms(tuple(holds), after_s * 1000, window_s) == expected
