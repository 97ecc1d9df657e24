"""The messages that a replay counts are those the notifier would have sent."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from alerts.amended_points import AmendedPoints
from alerts.bulk import points_of
from alerts.manners import Manners
from alerts.profiles import builtin_profiles
from alerts.replay import People, Told, replay
from alerts.rules import Profiles, StreamSettings

STREAM = "S1/temperature_c"
HOUSE = builtin_profiles()
HEAT = next(x for x in HOUSE["refrigerator"].limits if x.code == "HEAT")
ONLY_HEAT = replace(HOUSE["refrigerator"], limits=(replace(HEAT, limit_c=Decimal("8.0"), alarm_after_s=3600),))
PROFILES = Profiles({**HOUSE, "refrigerator": ONLY_HEAT}, streams={STREAM: StreamSettings(900)})


QUARTER_MS = 900_000


def ladder(
    hot: list[tuple[int, int]], contacts: tuple[int, ...], quarters: int = 80, between_m: int = 5000, **manners: Any
) -> tuple[Told, ...]:
    """For spans of quarter hours at 9 degrees among others at ``between_m``; the night is all day but noon."""
    values = [9000 if any(a <= i < b for a, b in hot) else between_m for i in range(quarters)]
    points = AmendedPoints(points_of([i * QUARTER_MS for i in range(quarters)], values))
    people = People(Manners(night_from_h=13, night_to_h=12, **manners), "UTC", contacts)
    return replay("F1", "S", {STREAM: points}, (PROFILES, PROFILES), (0, quarters * QUARTER_MS), people).told[0]


def told(hot: list[tuple[int, int]], flap_delay_s: int) -> tuple[int, int]:
    (first,) = ladder(hot, (1,), flap_delay_s=flap_delay_s)
    return first.at_once, first.by_day


def test_an_episode_just_after_one_that_was_told_is_old_news() -> None:
    assert told([(0, 12), (13, 30)], 1800) == (1, 1)


def test_an_episode_just_after_one_that_waits_untold_is_news() -> None:
    """The first was over within the delay of its alarm and waits for noon: the second, which goes on, is told at once."""
    assert told([(0, 5), (6, 30)], 1800) == (1, 1)


def test_without_a_delay_each_is_told_at_once() -> None:
    assert told([(0, 12), (13, 30)], 0) == (2, 0)


def test_if_nobody_answers_everybody_along_the_ladder_is_told() -> None:
    """Two episodes of more than an hour: each of the two nearest contacts, then each of the three of the region."""
    assert ladder([(0, 12), (20, 32)], (2, 3)) == (Told(2, 2, 0), Told(3, 2, 0))
    assert [t.sent for t in ladder([(0, 12), (20, 32)], (2, 3))] == [4, 6]
    assert ladder([(0, 12)], ()) == ()


def test_who_stands_next_is_not_told_yet_while_the_first_may_still_answer() -> None:
    """The alarm fires at the fifth reading, an hour in; half an hour later the next are told, and that is not yet."""
    assert [t.at_once for t in ladder([(0, 80)], (1, 1), quarters=5)] == [1, 0]
    assert [t.at_once for t in ladder([(0, 80)], (1, 1), quarters=7)] == [1, 1]


@pytest.mark.parametrize(("between_m", "lists"), [(7600, 1), (7500, 0)])
def test_a_recovery_by_less_than_the_profiles_band_is_the_same_trouble(between_m: int, lists: int) -> None:
    """As ``Notifier``: a band of 0.5 below 8.0, back to 7.6 and to 7.5; another profile's band asks nothing here."""
    hot = [(0, 12), (13, 30)]
    bands = {"of_profile": {"refrigerator": Decimal("0.5")}}
    assert ladder(hot, (1,), between_m=between_m, **bands) == (Told(1, 2 - lists, lists),)
    assert ladder(hot, (1,), between_m=between_m, hysteresis_c=Decimal("0.5")) == (Told(1, 2 - lists, lists),)
    assert ladder(hot, (1,), between_m=between_m, of_profile={"freezer": Decimal("0.5")}) == (Told(1, 2, 0),)
