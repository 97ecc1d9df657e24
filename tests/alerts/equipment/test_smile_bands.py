"""smile-and-waste 8, items 13 and 15: SMILE's bands, and what was found late."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.bulk import points_by_stream, points_of
from alerts.bulk.stretches import Stretches, stretches_of
from alerts.equipment.kpis import found_late_ms
from alerts.equipment.presence import gap_class
from alerts.equipment.smile_bands import CLASSES, BandCount, bands_for, bands_of, smile_report
from alerts.profiles import builtin_profiles
from alerts.rules import Profiles, ReadingFact, judge


def line_of(facts: list[ReadingFact]) -> Stretches:
    (points,) = points_by_stream(facts).values()
    return stretches_of(points, 600_000)


def counted(line: Stretches, kind: str = "refrigerator") -> list[BandCount]:
    """All that began in it."""
    return smile_report(line, bands_of(kind), 0, 1 << 60)


def report(hand: Any, values: list[str | None], kind: str = "refrigerator") -> dict[str, tuple[int, int, int]]:
    return {row.label: row.counts for row in counted(line_of(hand.series(values, 10)), kind)}


def test_smile_15_the_bands_of_a_refrigerator(hand: Any) -> None:
    """-0.6 for 30 min, later 1.0 for 90 min, later 8.5 for 11 h: once each, under 1 h, 1 to 10 h, over 10 h."""
    values = [*["5"] * 3, *["-0.6"] * 3, *["5"] * 3, *["1.0"] * 9, *["5"] * 3, *["8.5"] * 66, "5"]
    assert report(hand, values) == {"<-0.5": (1, 0, 0), "-0.5..2": (0, 1, 0), ">8": (0, 0, 1)}


def test_smile_15_minus_0_5_itself_belongs_to_the_upper_of_the_two_bands(hand: Any) -> None:
    assert report(hand, ["5", "-0.5", "-0.5", "5"]) == {"<-0.5": (0, 0, 0), "-0.5..2": (1, 0, 0), ">8": (0, 0, 0)}
    assert report(hand, ["2", "2.0", "8", "8.0"]) == {"<-0.5": (0, 0, 0), "-0.5..2": (0, 0, 0), ">8": (0, 0, 0)}


def test_smile_15_a_freezer_uses_two_others(hand: Any) -> None:
    values = ["-20", *["-10"] * 12, "-20", *["1"] * 6, "-20"]
    assert report(hand, values, "freezer") == {">-15": (0, 2, 0), ">-0.5": (0, 1, 0)}


def test_smile_15_unknown_time_ends_an_excursion(hand: Any) -> None:
    hot = hand.series(["9"] * 4, 10)
    later = hand.series(["9"] * 4, 10, start_min=300)
    (*_, row) = counted(line_of([*hot, *later]))
    assert row.counts == (2, 0, 0)


def test_smile_15_a_short_fault_ends_none(hand: Any) -> None:
    assert report(hand, ["5", "9", None, "9", "5"])[">8"] == (1, 0, 0)
    assert report(hand, ["5", "9", "5", "9"])[">8"] == (2, 0, 0)


def test_smile_15_the_bands_go_by_the_range_of_the_equipment() -> None:
    profiles = builtin_profiles()
    assert {name: len(bands_for(profiles[name])) for name in ("refrigerator", "cold_box", "freezer", "room")} == {
        "refrigerator": 3,
        "cold_box": 3,
        "freezer": 2,
        "room": 0,
    }


@given(st.lists(st.tuples(st.integers(1, 90), st.sampled_from([-600, -500, 1_000, 5_000, 8_001, None])), max_size=30))
def test_smile_15_columns_count_what_a_walk_over_the_stretches_counts(steps: list[tuple[int, int | None]]) -> None:
    """Bands do not overlap in a refrigerator; faults and gaps of any length stand between the readings."""
    t_ms = np.cumsum([minutes * 60_000 for minutes, _ in steps], dtype=np.int64)
    line = stretches_of(points_of(t_ms, [v or 0 for _, v in steps], [v is None for _, v in steps]), 600_000)
    for band, told in zip(bands_of("refrigerator"), counted(line), strict=True):
        counts = dict.fromkeys(CLASSES, 0)
        since_ms: int | None = None
        for s in line.segments():
            here = s.low_m is not None and bool(band.holds(np.array([s.low_m]))[0])
            if since_ms is not None and not here and (s.known or s.breaks):
                counts[gap_class(s.from_ms - since_ms)] += 1
                since_ms = None
            elif here and since_ms is None:
                since_ms = s.from_ms
        if since_ms is not None:  # how it went on after the last thing told nobody knows
            told_to_ms = max(s.to_ms for s in line.segments() if s.known or s.breaks)
            counts[gap_class(told_to_ms - since_ms)] += 1
        assert tuple(counts.values()) == told.counts


@pytest.mark.parametrize("minutes_late", [0, 15])
def test_smile_13_found_within_the_budget_is_not_late(hand: Any, minutes_late: int) -> None:
    hot = hand.series(["9"] * 4, 10)
    (f,) = [x for x in judge(hot, profiles(), hot[-1].t_ms) if x.code == "EXCURSION_HIGH"]
    assert found_late_ms(replace(f, detected_ms=f.event_ms + minutes_late * hand.MIN)) is None


def profiles() -> Profiles:
    return Profiles(builtin_profiles(), {"F1": ("refrigerator",)})


def test_smile_13_a_backfill_is_one_excursion_found_late(hand: Any) -> None:
    """A 12 h outage whose backfill has 9 h at 9 C, first 01:00, last 10:00: one excursion, found two hours late."""
    facts = [
        *hand.series(["5.0"] * 6, 10),
        *hand.series(["9.0"] * 55, 10, start_min=60),
        *hand.series(["5.0"] * 11, 10, start_min=610),
    ]
    (out,) = [f for f in judge(facts, profiles(), hand.T0 + 12 * hand.HOUR) if f.code == "EXCURSION_HIGH"]
    assert (hand.minutes(out.episode_start_ms), out.extreme_c) == (60, Decimal("9.0"))
    assert found_late_ms(out) == 11 * hand.HOUR
    assert hand.minutes(out.end_ms) == 610
