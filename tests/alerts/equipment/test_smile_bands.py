"""smile-and-waste 8, items 13 and 15: SMILE's bands, and what was found late."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from alerts.equipment.kpis import found_late_ms
from alerts.equipment.smile_bands import bands_of, smile_report
from alerts.profiles import builtin_profiles
from alerts.rules import Profiles, judge, segments
from alerts.rules.facts import plain_points


def report(hand: Any, values: list[str], kind: str = "refrigerator", **more: Any) -> dict[str, tuple[int, int, int]]:
    made = segments(plain_points(hand.series(values, 10)), 600_000)
    return {row.label: row.counts for row in smile_report(made, bands_of(kind), **more)}


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


def test_smile_15_defrosting_is_listed_apart(hand: Any) -> None:
    made = segments(plain_points(hand.series(["5", "9", "9", "5", "9", "5"], 10)), 600_000)
    (*_, hot) = smile_report(made, bands_of("refrigerator"), [(hand.T0, hand.T0 + 30 * hand.MIN)])
    assert (hot.counts, hot.defrosting) == ((1, 0, 0), (1, 0, 0))


def test_smile_15_unknown_time_ends_an_excursion(hand: Any) -> None:
    hot = hand.series(["9"] * 4, 10)
    later = hand.series(["9"] * 4, 10, start_min=300)
    (*_, row) = smile_report(segments(plain_points([*hot, *later]), 600_000), bands_of("refrigerator"))
    assert row.counts == (2, 0, 0)


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
