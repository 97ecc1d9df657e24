"""The messages that a replay counts are those the notifier would have sent."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from alerts.bulk import points_of
from alerts.manners import Manners
from alerts.profiles import builtin_profiles
from alerts.replay import replay
from alerts.rules import Profiles, StreamSettings

STREAM = "S1/temperature_c"
HOUSE = builtin_profiles()
HEAT = next(x for x in HOUSE["refrigerator"].limits if x.code == "HEAT")
ONLY_HEAT = replace(HOUSE["refrigerator"], limits=(replace(HEAT, limit_c=Decimal("8.0"), alarm_after_s=3600),))
PROFILES = Profiles({**HOUSE, "refrigerator": ONLY_HEAT}, streams={STREAM: StreamSettings(900)})


def told(hot: list[tuple[int, int]], flap_delay_s: int) -> tuple[int, int]:
    """(at once, by day) for spans of quarter hours at 9 degrees among others at 5; the night is all day but noon."""
    values = [9000 if any(a <= i < b for a, b in hot) else 5000 for i in range(80)]
    points = points_of([i * 900_000 for i in range(80)], values)
    manners = Manners(night_from_h=13, night_to_h=12, flap_delay_s=flap_delay_s)
    made = replay("F1", "S", {STREAM: points}, (PROFILES, PROFILES), (0, 80 * 900_000), (manners, "UTC", 1)).told[0]
    return made.at_once, made.by_day


def test_an_episode_just_after_one_that_was_told_is_old_news() -> None:
    assert told([(0, 12), (13, 30)], 1800) == (1, 1)


def test_an_episode_just_after_one_that_waits_untold_is_news() -> None:
    """The first was over within the delay of its alarm and waits for noon: the second, which goes on, is told at once."""
    assert told([(0, 5), (6, 30)], 1800) == (1, 1)


def test_without_a_delay_each_is_told_at_once() -> None:
    assert told([(0, 12), (13, 30)], 0) == (2, 0)
