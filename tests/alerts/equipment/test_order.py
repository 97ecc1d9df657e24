"""The findings are a function of the set of facts: any order, repetition and split, with and without letting go."""

from __future__ import annotations

import os
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.equipment import DeviceSettings, Settings, judge_equipment, new_track
from alerts.equipment.track import KEEP_MS
from alerts.rules import ReadingFact, RuleFinding
from telemetry.readings import Quality

MIN = 60_000
T0 = 1_790_000_000_000 // 86_400_000 * 86_400_000
SETTINGS = Settings("F1", devices=(("LOG-A", DeviceSettings(interval_s=900)), ("LOG-B", DeviceSettings())))
_VALUES = {
    "temperature_c": ("5.0", "5.1", "8.9", "30.0", "60", "-55", None),
    "battery_percent": ("100", "19", "23"),
    "door_open_s": ("0", "200", "467", "900"),
    "door_openings": ("0", "1", "3"),
    "mains_available_s": ("0", "120", "900"),
    "mains_power_on": ("0", "1"),
    "compressor_run_s": ("0", "7", "600"),
    "holdover_d": ("0.2", "3"),
}


@st.composite
def facts_of(draw: Any) -> list[ReadingFact]:
    """A few hours or a few days of one equipment: gaps, faults, device numbers and contradictions among them."""
    step_min = draw(st.sampled_from((5, 15, 60)))
    made = []
    for _ in range(draw(st.integers(1, 60))):
        quantity = draw(st.sampled_from((*["temperature_c"] * 6, *_VALUES)))
        value = draw(st.sampled_from(_VALUES[quantity]))
        serial = draw(st.sampled_from(("LOG-A", "LOG-B")))
        at = draw(st.integers(0, 40))
        seq = draw(st.sampled_from((None, None, None, at)))
        quality = Quality.SENSOR_FAULT if value is None else Quality.GOOD
        number = None if value is None else Decimal(value)
        made.append(ReadingFact("F1", f"{serial}/{quantity}", T0 + at * step_min * MIN, number, quality, seq))
    return made


def scratch(facts: Iterable[ReadingFact], now_ms: int) -> list[RuleFinding]:
    return judge_equipment(facts, SETTINGS, now_ms)


NOW = T0 + 41 * 60 * MIN
EXAMPLES = settings(
    max_examples=int(os.environ.get("SMILE_IOT_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@EXAMPLES
@given(facts_of(), st.randoms(use_true_random=False), st.integers(1, 8))
def test_any_order_repetition_and_split_is_the_same_as_from_scratch(
    facts: list[ReadingFact], chance: Any, parts: int
) -> None:
    mixed = facts + chance.sample(facts, len(facts) // 2)
    chance.shuffle(mixed)
    track = new_track(SETTINGS)
    for i in range(parts):
        track.take(mixed[i::parts])
        track.findings(NOW - MIN * (parts - i))
    assert track.findings(NOW) == scratch(facts, NOW)


@EXAMPLES
@given(facts_of(), st.randoms(use_true_random=False), st.integers(2, 8), st.integers(1, 5), st.integers(0, 6))
def test_a_track_that_lets_go_of_the_past_and_recalls_it_says_the_same(
    facts: list[ReadingFact], chance: Any, parts: int, mark_every: int, keep_h: int
) -> None:
    """Numbered readings are left out: a device's number is known only while its instant is kept (stated window).

    ``disk`` is the memory that alerts keep; what is older than the oldest mark is counted, and judged by nobody.
    """
    mixed = [f for f in facts if f.device_seq is None]
    chance.shuffle(mixed)
    track = new_track(SETTINGS)
    track.mark_every, track.keep_ms = mark_every, keep_h * 60 * MIN
    disk: list[ReadingFact] = []
    judged: list[ReadingFact] = []
    for i in range(parts):
        for fact in mixed[i::parts]:
            disk.append(fact)
            judged += [fact] * (1 - track.take([fact]))
        if track.missing is not None:
            track.recall(disk)
        assert track.findings(NOW) == scratch(judged, NOW)
        track.forget(NOW)


@EXAMPLES
@given(facts_of(), st.randoms(use_true_random=False), st.integers(1, 7), st.integers(1, 5), st.integers(0, 6))
def test_a_past_that_is_read_in_slices_while_news_comes_is_the_same_as_from_scratch(
    facts: list[ReadingFact], chance: Any, slice_facts: int, mark_every: int, keep_h: int
) -> None:
    """First as after a start, then as for late facts from a time that was let go of; news may be read twice."""
    mixed = [f for f in facts if f.device_seq is None]
    chance.shuffle(mixed)
    third = len(mixed) // 3
    first, news, late = mixed[:third], mixed[third : 2 * third], mixed[2 * third :]
    track = new_track(SETTINGS)
    track.mark_every, track.keep_ms = mark_every, keep_h * 60 * MIN

    def read(disk: list[ReadingFact], meanwhile: list[ReadingFact]) -> list[ReadingFact]:
        """In time order and by slices; the news between two of them that were judged."""
        disk.sort(key=lambda f: f.t_ms)
        judged = []
        for at in range(0, len(disk), slice_facts):
            part = disk[at : at + slice_facts]
            track.take(part)
            track.walk(before_ms=part[-1].t_ms)
            if meanwhile:
                fact = meanwhile.pop()
                judged += [fact] * (1 - track.take([fact]))
        judged += [f for f in meanwhile if not track.take([f])]
        return judged

    judged = first + read(list(first), news)
    disk = list(mixed[: 2 * third])
    while track.missing is not None:
        since_ms = track.begin_recall() or 0
        read([f for f in disk if f.t_ms >= since_ms], [])
    assert track.findings(NOW) == scratch(judged, NOW)
    track.forget(NOW)
    for fact in late:
        disk.append(fact)
        judged += [fact] * (1 - track.take([fact]))
        track.forget(NOW)
    while track.missing is not None:
        since_ms = track.begin_recall() or 0
        read([f for f in disk if f.t_ms >= since_ms], [])
    assert track.findings(NOW) == scratch(judged, NOW)


def days_of_readings(days: int) -> list[ReadingFact]:
    """Two probes; one falls silent for half a day, one sticks, and the door stays open now and then."""
    made = []
    for i in range(days * 96):
        t_ms = T0 + i * 15 * MIN
        value = Decimal("5.0") + Decimal(i * 7 % 13) / 10
        if not 300 < i < 350:
            made.append(ReadingFact("F1", "LOG-A/temperature_c", t_ms, value))
        made.append(ReadingFact("F1", "LOG-B/temperature_c", t_ms, Decimal("6.6") if 200 < i < 260 else value))
        made.append(ReadingFact("F1", "LOG-B/door_open_s", t_ms, Decimal(900 if i % 100 == 7 else 0)))
    return made


@pytest.mark.parametrize("late_day", [1, 3])
def test_late_facts_from_a_forgotten_day_are_judged_by_what_is_recalled(late_day: int) -> None:
    """A day's readings of one probe come a week later: the track asks from when on, and says the same as from scratch."""
    everything = days_of_readings(6)
    late = [f for f in everything if "LOG-B" in f.stream_id and (f.t_ms - T0) // 86_400_000 == late_day]
    said_late = set(late)
    early = [f for f in everything if f not in said_late]
    track = new_track(SETTINGS)
    for at in range(0, len(early), 200):
        track.take(early[at : at + 200])
        track.forget(early[min(at + 199, len(early) - 1)].t_ms)
    now_ms = everything[-1].t_ms + MIN
    assert track.findings(now_ms) != scratch(everything, now_ms)
    assert track.take(late) == 0
    assert track.missing is not None
    track.recall(everything)
    assert track.findings(now_ms) == scratch(everything, now_ms)


def test_facts_from_before_the_oldest_mark_are_counted_and_not_judged() -> None:
    everything = days_of_readings(2)
    track = new_track(SETTINGS)
    track.take(everything)
    track.forget(everything[-1].t_ms)
    assert track.take([ReadingFact("F1", "LOG-A/temperature_c", T0 - MIN, Decimal("5.0"))]) == 1


def test_memory_is_bounded_by_the_stated_window() -> None:
    track = new_track(SETTINGS)
    facts = days_of_readings(15)
    for at in range(0, len(facts), 100):
        track.take(facts[at : at + 100])
        track.forget(facts[min(at + 99, len(facts) - 1)].t_ms)
    kept = sum(len(t.at) for t in track.tables.values())
    assert kept <= 3 * (KEEP_MS // (15 * MIN) + 64 + 40)
    assert len(track.marks) <= 7 + 2 + 2
