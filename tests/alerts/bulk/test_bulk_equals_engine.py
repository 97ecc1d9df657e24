"""``alerts.bulk`` says what ``alerts.rules.judge`` says, of every series (issue 4, speed and scale)."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.bulk import expose_points, judge_all, judge_series, points_by_stream, points_of
from alerts.bulk.judging import first_of, track_of
from alerts.bulk.pace import Pace
from alerts.bulk.walk import walk
from alerts.exposure import Placement, expose
from alerts.profiles import builtin_profiles, parse_profiles
from alerts.rules import Assigned, Profiles, ReadingFact, StreamSettings, judge
from alerts.rules.facts import degrees, plain_points
from alerts.rules.fold import StreamWalker, Walker
from alerts.rules.interval import Learner, warm_up
from alerts.rules.limits import Plan
from telemetry.readings import Quality

MIN = 60_000
STREAM = "S1/temperature_c"
DOOR = "S1/door_open"
EXAMPLES = int(os.environ.get("SMILE_IOT_EXAMPLES", "80"))

ODD = """
version = "1"
[odd]
sources = ["a test: every kind of rule on one limit"]
limits = [
  { code = "NOW", comparator = ">=", limit_c = "8.1", alarm_after_s=0, source="t" },
  { code = "TWICE", comparator = ">=", limit_c = "8.1", alarm_after_s=1500, repeats = true, source="t" },
  { code = "SUM", comparator = ">=", limit_c = "8.1", alarm_after_s=4000, mode = "cumulative", source="t" },
  { code = "SLIDING", comparator = ">=", limit_c = "8.1", alarm_after_s=2400, mode="cumulative", window_s = 9000, source="t" },
  { code = "WIDER", comparator = ">=", limit_c = "8.1", alarm_after_s=5400, mode="cumulative", window_s = 30000, source="t" },
  { code = "COLD_SUM", comparator = "<", limit_c = "2.0", alarm_after_s=1800, mode="cumulative", window_s = 7200, source="t" },
]
[odd_settling]
extends = "odd"
ignore_first_s = 3000
[odd_wide]
extends = "odd"
max_gap_s = 7200
"""
CATALOGUE = builtin_profiles() | parse_profiles(ODD, "odd")
KITS = [
    ("refrigerator", "smile_grace"),
    ("refrigerator_low_alarm", "transport_1"),
    ("transport_2", "odd"),
    ("odd_settling", "odd_wide"),
]


def profiles_for(ids: tuple[str, ...], interval_s: int | None, sigma: str | None) -> Profiles:
    known = StreamSettings(interval_s, None if sigma is None else Decimal(sigma))
    quiet = StreamSettings(event_driven=True)
    return Profiles(CATALOGUE, {"F1": ids}, {STREAM: known, DOOR: quiet, "S2/door_open": known})


PROFILES = [profiles_for(ids, *kind) for ids in KITS for kind in ((900, None), (None, "0.25"), (60, "0.5"))]
_values = st.sampled_from(["-0.6", "-0.5", "-0.2", "1.9", "2.0", "5.0", "5.0", "8.0", "8.1", "9.5", "30.0", "45.0"])


_door = st.sampled_from(["0", "1"])
_trouble = st.tuples(st.integers(0, 39), st.sampled_from(["fault", "other", "lost", "moved"]), st.integers(-200, 2))


@st.composite
def histories(draw: st.DrawFn, stream: str = STREAM) -> list[ReadingFact]:
    """Runs of readings about a value, holes, faults, conflicts, repeats and moved times under device numbers."""
    facts: list[ReadingFact] = []
    t_ms, seq = draw(st.sampled_from([60 * MIN, 1_790_000_000_123])), 0
    numbered = draw(st.sampled_from([0, 1, 3]))
    runs = st.tuples(
        _door if stream.endswith("door_open") else _values,
        st.sampled_from([1, 5, 15, 15, 17, 60]),
        st.sampled_from([0, 0, 1, 7000]),
        st.sampled_from([1, 2, 5, 14, 40]),
        st.lists(_trouble, max_size=3),
        st.sampled_from([0, 0, 0, 10, 30, 90, 1000, 3000]),
    )
    for text, every_min, wobble_ms, count, troubles, pause_min in draw(st.lists(runs, min_size=1, max_size=8)):
        trouble = {at: (kind, by_s) for at, kind, by_s in troubles}
        for n in range(count):
            value = Decimal(text) + (Decimal("0.1") if wobble_ms and n % 5 == 2 and "door" not in stream else 0)
            kind, by_s = trouble.get(n, ("", 0))
            number = seq if numbered and n % numbered == 0 else None
            good = ReadingFact("F1", stream, t_ms, value, device_seq=number)
            lost = replace(good, value_c=None, quality=Quality.SENSOR_FAULT)
            facts.append(lost if kind == "fault" else good)
            if kind == "other":
                facts.append(replace(good, value_c=value + 1, variant=1))
            if kind == "lost":
                facts.append(lost)
            if kind == "moved":
                facts.append(replace(good, t_ms=t_ms + by_s * 1000))
            t_ms, seq = t_ms + every_min * MIN + (n * 7919) % (wobble_ms + 1), seq + 1
        t_ms += pause_min * MIN
    return facts


@settings(max_examples=EXAMPLES, deadline=None)
@given(histories(), st.integers(0, len(PROFILES) - 1), st.integers(0, 400), st.integers(0, 9))
def test_a_series_is_judged_as_the_engine_judges_it(
    facts: list[ReadingFact], kit: int, minutes: int, order: int
) -> None:
    profiles, now_ms = PROFILES[kit], max(f.t_ms for f in facts) + minutes * MIN
    expected = judge(facts, profiles, now_ms)
    shuffled = random.Random(order).sample(facts, len(facts)) if order else facts
    assert judge_all(points_by_stream(shuffled), profiles, now_ms) == expected


def dated(start_ms: int, changes: list[tuple[int, int]], interval_s: int | None) -> Profiles:
    """Other profiles from some minutes after the start on, each time; after some of them a shipment begins or ends."""
    rows = [Assigned(0, KITS[0])]
    for minutes, kit in sorted(changes):
        if start_ms + minutes * MIN > rows[-1].from_ms:
            rows.append(Assigned(start_ms + minutes * MIN, KITS[kit]))
    known = {STREAM: StreamSettings(interval_s, Decimal("0.25")), DOOR: StreamSettings(event_driven=True)}
    shipments = sorted({start_ms + (minutes + 7) * MIN for minutes, kit in changes if kit % 2})
    return Profiles(CATALOGUE, streams=known, assigned={"F1": tuple(rows)}, shipments={"F1": tuple(shipments)})


_changes = st.lists(
    st.tuples(st.integers(-30, 2000) | st.integers(-30, 120), st.integers(0, len(KITS) - 1)), min_size=1, max_size=4
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(histories(), histories(DOOR), _changes, st.sampled_from([900, None]), st.integers(0, 400))
def test_limits_that_changed_judge_each_time_by_its_own(
    facts: list[ReadingFact],
    doors: list[ReadingFact],
    changes: list[tuple[int, int]],
    interval_s: int | None,
    minutes: int,
) -> None:
    profiles = dated(facts[0].t_ms, changes, interval_s)
    facts = [*facts, *doors]
    now_ms = max(f.t_ms for f in facts) + minutes * MIN
    assert judge_all(points_by_stream(facts), profiles, now_ms) == judge(facts, profiles, now_ms)


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(histories(DOOR), histories("S2/door_open"), st.integers(0, 400))
def test_doors_that_speak_at_changes_or_regularly(a: list[ReadingFact], b: list[ReadingFact], minutes: int) -> None:
    facts = [*a, *b]
    now_ms = max(f.t_ms for f in facts) + minutes * MIN
    for profiles in PROFILES[:4]:
        assert judge_all(points_by_stream(facts), profiles, now_ms) == judge(facts, profiles, now_ms)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    histories(),
    histories("S2/temperature_c"),
    histories("S3/temperature_c"),
    st.lists(
        st.tuples(st.sampled_from(["F1", "F2", "F3"]), st.integers(-60, 3000), st.integers(1, 3000)), max_size=4
    ),
    st.sampled_from(["refrigerator", "transport_1", "transport_2", "freezer", "odd_settling"]),
    st.sampled_from([None, 60, 900]),
    st.integers(-100, 400),
)
def test_req_26_the_exposure_of_a_batch_is_the_same_over_columns(
    a: list[ReadingFact],
    b: list[ReadingFact],
    c: list[ReadingFact],
    stood: list[tuple[str, int, int]],
    profile: str,
    interval_s: int | None,
    minutes: int,
) -> None:
    start_ms = a[0].t_ms
    aside_ms = start_ms - c[0].t_ms
    facts = [*a, *b, *(replace(f, equipment="F2", t_ms=f.t_ms + aside_ms) for f in c)]
    stays = [
        Placement("B1", e, start_ms + at * MIN, None if length > 2000 else start_ms + (at + length) * MIN)
        for e, at, length in stood
    ]
    profiles = Profiles(CATALOGUE, streams={STREAM: StreamSettings(interval_s, Decimal("0.25"))})
    now_ms = max(f.t_ms for f in facts) + minutes * MIN
    expected = expose("B1", stays, facts, profiles, CATALOGUE[profile], now_ms)
    made = expose_points("B1", stays, points_by_stream(facts), profiles, CATALOGUE[profile], now_ms)
    assert (None if made is None else made.exposure()) == expected


def engine_walker(facts: Sequence[ReadingFact], plan: Plan) -> StreamWalker:
    points = plain_points(facts)
    warm = warm_up([p.t_ms for p in points[:17]])
    first_ms = points[0].t_ms if any(t.ignore_first_ms for t in plan.thresholds) else 0
    walker = StreamWalker(
        Walker(plan, first_ms),
        Learner(plan.interval_ms, warm),
    )
    walker.advance_all(points, [])
    return walker


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(histories(), st.integers(0, len(PROFILES) - 1))
def test_the_walkers_end_as_the_engine_s_do_so_that_it_can_go_on_from_there(
    facts: list[ReadingFact], kit: int
) -> None:
    plan = PROFILES[kit].plan("F1", STREAM)
    points = points_by_stream(facts)["F1", STREAM]
    pace = Pace(points.t_ms, plan.interval_ms)
    made = StreamWalker(walk(track_of(points, pace), plan, first_of(points, plan), []), pace.learner())
    expected = engine_walker(facts, plan)
    made.last = expected.last
    assert made.same_as(expected)


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(histories())
def test_the_points_are_the_engine_s_points(facts: list[ReadingFact]) -> None:
    made = points_by_stream(facts)["F1", STREAM]
    expected = plain_points(facts)
    assert made.t_ms.tolist() == [p.t_ms for p in expected]
    said = zip(made.low_m.tolist(), made.high_m.tolist(), made.known.tolist(), strict=True)
    assert [(low, high) if known else (None, None) for low, high, known in said] == [
        (p.low_m, p.high_m) for p in expected
    ]
    assert made.unknown.tolist() == [p.unknown for p in expected]
    told = [sum(len(values) for _, values in p.entries) if p.conflict else 0 for p in expected]
    assert made.conflict.tolist() == told


def test_a_column_and_a_list_of_facts_are_the_same() -> None:
    profiles = PROFILES[0]
    t_ms = [i * 15 * MIN for i in range(100)]
    value_m = [5000 if i % 50 < 5 else 8100 for i in range(100)]
    facts = [ReadingFact("F1", STREAM, t, degrees(v)) for t, v in zip(t_ms, value_m, strict=True)]
    now_ms = t_ms[-1]
    assert judge_series(t_ms, value_m, profiles.plan("F1", STREAM), now_ms) == judge(facts, profiles, now_ms)


def test_nothing_is_said_of_nothing_and_unequal_columns_are_refused() -> None:
    assert judge_series([], [], PROFILES[0].plan("F1", STREAM), 0) == []
    with pytest.raises(ValueError, match="2 times, 1 values"):
        points_of([1, 2], [3])
