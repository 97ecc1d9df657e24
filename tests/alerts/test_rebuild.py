"""A stream's state made from columns is the state that steps would have made: of what stands, and of all that follows."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.profiles import builtin_profiles
from alerts.rebuild import History, rebuild
from alerts.rules import Profiles, ReadingFact, RuleFinding, State, StreamSettings, judge, standing, step
from alerts.rules.facts import value_of
from telemetry.readings import Quality

MIN = 60_000
STREAM, PLACE = "L/temperature_c", "F1"


def profiles(interval_s: int | None = 900) -> Profiles:
    ids = ("refrigerator", "smile_grace", "transport_1")
    return Profiles(builtin_profiles(), {PLACE: ids}, {STREAM: StreamSettings(interval_s, Decimal("0.25"))})


def history(facts: list[ReadingFact]) -> History:
    rows = sorted({(f.t_ms, -1 if f.device_seq is None else f.device_seq, value_of(f)) for f in facts}, key=repr)
    rows.sort(key=lambda r: r[0])
    return History(
        np.array([r[0] for r in rows], dtype=np.int64),
        np.array([r[1] for r in rows], dtype=np.int64),
        np.array([r[2] or 0 for r in rows], dtype=np.int64),
        np.array([r[2] is None for r in rows], dtype=np.bool_),
    )


def plainly(findings: list[RuleFinding]) -> dict[str, RuleFinding]:
    return {f.finding_id: replace(f, detected_ms=0, supersedes=()) for f in findings}


def story(dice: random.Random) -> list[ReadingFact]:
    """Stretches of a few hours each, with gaps, faults, device numbers that come again at another time."""
    t_ms, facts = 0, []
    numbered = dice.random() < 0.5
    for _ in range(dice.randint(2, 9)):
        value = dice.choice(["5.0", "8.1", "12.5", "30.0", "-0.2", "-0.5", "-3.0", "1.5"])
        quality = Quality.SENSOR_FAULT if dice.random() < 0.1 else Quality.GOOD
        for _ in range(dice.randint(1, 50)):
            facts.append(ReadingFact(PLACE, STREAM, t_ms, Decimal(value), quality, len(facts) if numbered else None))
            t_ms += 15 * MIN
        t_ms += dice.choice([0, 0, 10, 40, 200, 3000]) * MIN
    said_again = dice.sample(facts, min(len(facts), dice.randint(0, 3)))  # later, or with another value
    late_ms = [dice.choice([0, 7, 180]) * MIN for _ in said_again]
    changed = zip(said_again, late_ms, strict=True)
    return facts + [replace(f, t_ms=f.t_ms + ms, value_c=Decimal("9.0")) for f, ms in changed]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1 << 40))
def test_what_stands_and_what_follows_are_as_from_scratch(seed: int) -> None:
    """Design: findings are functions of the facts, whatever was forgotten in between."""
    dice = random.Random(seed)
    facts = story(dice)
    split = dice.randint(1, len(facts))
    before, after = facts[:split], facts[split:]
    made = profiles(dice.choice([900, None]))
    now_ms = max(f.t_ms for f in before) + 15 * MIN
    keep_from_ms = dice.randint(0, now_ms)
    rebuilt = rebuild(history(before), made.plan(PLACE, STREAM), (), keep_from_ms, now_ms)
    assert plainly(list(rebuilt.findings)) == plainly(judge(before, made, now_ms))
    cut_ms = rebuilt.state.forgotten_to_ms()
    numbers = {f.device_seq for f in before if f.device_seq is not None and cut_ms is not None and f.t_ms <= cut_ms}
    new = [f for f in after if (cut_ms is None or f.t_ms > cut_ms) and f.device_seq not in numbers]
    now_ms = max(f.t_ms for f in facts) + 15 * MIN
    state = State({(PLACE, STREAM): rebuilt.state}, made, rebuilt.state.wake_at_ms())
    got = plainly(standing(step(state, new, made, now_ms).state))
    wanted = plainly(judge([*before, *new], made, now_ms))
    assert got.items() <= wanted.items()
    for i, f in wanted.items():  # what is not in the state any more ended before its cut
        assert i in got or (cut_ms is not None and f.end_ms is not None and f.end_ms <= cut_ms), f


def test_what_was_said_keeps_its_time_and_what_fell_is_withdrawn() -> None:
    made = profiles()
    facts = [ReadingFact(PLACE, STREAM, i * 15 * MIN, Decimal("9.0" if i < 50 else "5.0")) for i in range(400)]
    now_ms = facts[-1].t_ms
    said = judge(facts, made, 111)
    denied = replace(said[0], finding_id="HEAT-0", code="GONE", episode_start_ms=1)  # nothing joins it
    plan = made.plan(PLACE, STREAM)
    again = rebuild(history(facts), plan, [*said, denied], now_ms - 300 * MIN, now_ms)
    assert [(f.finding_id, f.kind.value) for f in again.findings] == [("HEAT-0", "withdrawn")]
    assert not again.news
    fresh = rebuild(history(facts), plan, (), now_ms - 300 * MIN, now_ms)
    assert fresh.news == {f.finding_id for f in said}
    assert {f.detected_ms for f in fresh.findings} == {now_ms}


def test_the_state_is_as_large_as_what_it_keeps_and_not_as_the_history() -> None:
    made = profiles()
    facts = [ReadingFact(PLACE, STREAM, i * 15 * MIN, Decimal("5.0"), device_seq=i) for i in range(20_000)]
    state = rebuild(history(facts), made.plan(PLACE, STREAM), (), facts[-100].t_ms, facts[-1].t_ms).state
    kept = sum(1 for _ in state.points())
    assert 100 <= kept <= 100 + 128  # whole pieces
    assert sum(len(block) for block in (state.index or {}).values()) == kept
