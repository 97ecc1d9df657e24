"""Requirements 13 and 14 of cold-chain 6, and 14 of smile-and-waste 8: offline, its classes, data availability."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from alerts.equipment import DeviceSettings, Settings
from alerts.equipment.presence import gap_class
from alerts.profiles import builtin_profiles
from alerts.rules import Level, Profiles, RangeState, judge, range_spans, segments
from alerts.rules.facts import plain_points


def test_req_13_offline_after_three_push_intervals(hand: Any) -> None:
    """cold-chain 6, 13: push 60 min, last reading 08:00 -> offline at 11:00."""
    facts = hand.series(["5.0"] * 33)  # 00:00 to 08:00
    settings = hand.logger(interval_s=900, push_s=3600)
    assert hand.found(facts, "OFFLINE", 659.9, settings) == []
    (found,) = hand.found(facts, "OFFLINE", 660, settings)
    assert (hand.minutes(found.episode_start_ms), hand.minutes(found.event_ms), found.end_ms) == (480, 660, None)
    assert (found.level, found.reason) == (Level.NOTICE, "1_to_10h")


def test_req_13_back_with_its_backlog_the_gap_is_recomputed(hand: Any) -> None:
    """Back at 12:10 with the backlog: online, and there was no gap; without it the gap ends at 12:10."""
    before, settings = hand.series(["5.0"] * 33), hand.logger(interval_s=900, push_s=3600)
    back = hand.series(["5.0"], start_min=730)
    (gap,) = hand.found([*before, *back], "OFFLINE", 731, settings)
    assert (hand.minutes(gap.end_ms), gap.unknown_s) == (730, 250 * 60)
    backlog = hand.series(["5.0"] * 16, start_min=495)
    assert hand.found([*before, *back, *backlog], "OFFLINE", 731, settings) == []


def test_req_13_offline_is_never_reported_as_in_range(hand: Any) -> None:
    facts = hand.series(["5.0"] * 33)
    now_ms = hand.T0 + 24 * hand.HOUR
    spans = range_spans(segments(plain_points(facts), 900_000, now_ms), builtin_profiles()["refrigerator"])
    known_to_ms = max(s.to_ms for s in spans if s.state is not RangeState.UNKNOWN)
    assert known_to_ms == hand.T0 + 8 * hand.HOUR + 15 * hand.MIN


@pytest.mark.parametrize(
    ("gap_min", "reason"),
    [(50, "under_1h"), (59, "under_1h"), (60, "1_to_10h"), (600, "1_to_10h"), (601, "over_10h")],
)
def test_smile_14_offline_classes(hand: Any, gap_min: int, reason: str) -> None:
    """smile-and-waste 8, 14: a 10-min logger; gap 50 min, 60 to 600 min, 601 min; while it lasts and afterwards."""
    before, settings = hand.series(["5.0"] * 7, 10), hand.logger(interval_s=600)
    (open_,) = hand.found(before, "OFFLINE", 60 + gap_min, settings)
    (over,) = hand.found([*before, *hand.series(["5.0"], start_min=60 + gap_min)], "OFFLINE", 800, settings)[:1]
    assert (open_.reason, over.reason, over.finding_id) == (reason, reason, open_.finding_id)
    assert gap_class(gap_min * 60_000) == reason


def test_smile_14_no_reading_for_60_minutes_during_an_excursion_is_an_alarm(hand: Any) -> None:
    """The alarm "excursion, logger lost" is SILENT's, and stands by then."""
    hot = hand.series(["9.0"] * 7, 10)
    profiles = Profiles(builtin_profiles(), {"F1": ("refrigerator",)})
    (silent,) = [f for f in judge(hot, profiles, hand.T0 + 120 * hand.MIN) if f.code == "SILENT"]
    assert (silent.alarms, silent.reason) == (True, "logger_lost_in_excursion")


def test_what_an_edge_holds_back_is_not_offline_yet(hand: Any) -> None:
    facts, settings = hand.series(["5.0"] * 5), hand.logger(interval_s=900, held_back_s=3600)
    assert hand.found(facts, "OFFLINE", 60 + 45 + 59, settings) == []
    assert len(hand.found(facts, "OFFLINE", 60 + 45 + 60, settings)) == 1


def test_the_interval_is_learned_where_none_is_declared(hand: Any) -> None:
    facts = hand.series(["5.0"] * 20, 5)
    assert hand.found(facts, "OFFLINE", 95 + 14) == []
    assert len(hand.found(facts, "OFFLINE", 95 + 15)) == 1


def test_req_14_less_than_half_of_a_days_data(hand: Any) -> None:
    """cold-chain 6, 14: 47 of 96 is less than 50 %; 48 is not; said when the local day is over."""
    settings = Settings("F1", devices=(("LOG-A", DeviceSettings(interval_s=900)),))
    day = hand.series(["5.0"] * 97, start_min=-1440)
    half = [*day, *hand.series(["5.0"] * 48)]
    assert hand.found(half, "NO_DATA", 2000, settings) == []
    less = [*day, *hand.series(["5.0"] * 47)]
    assert hand.found(less, "NO_DATA", 1439, settings) == []
    (found,) = hand.found(less, "NO_DATA", 1440, settings)
    assert (found.level, found.details, hand.minutes(found.episode_start_ms)) == (
        Level.WARNING,
        (("percent", "48"),),
        0,
    )
    assert (found.known_s, found.unknown_s, found.end_ms) == (47 * 900, 49 * 900, None)


def test_req_14_bad_days_in_a_row_are_one_finding_that_ends_with_a_good_day(hand: Any) -> None:
    settings = hand.logger(interval_s=900)
    facts = [*hand.series(["5.0"] * 97, start_min=-1440), *hand.series(["5.0"] * 97, start_min=3 * 1440)]
    (found,) = hand.found(facts, "NO_DATA", 5 * 1440, settings)[:1]
    assert (hand.minutes(found.episode_start_ms), hand.minutes(found.end_ms)) == (0, 3 * 1440)


def test_req_14_a_burst_is_not_a_days_data(hand: Any) -> None:
    """96 readings within an hour and a half stand for that time and not for the day."""
    settings = hand.logger(interval_s=900)
    facts = [*hand.series(["5.0"] * 97, start_min=-1440), *hand.series(["5.0"] * 96, 1)]
    assert len(hand.found(facts, "NO_DATA", 1440, settings)) == 1


def test_req_36_the_day_is_the_sites(hand: Any) -> None:
    """In Jayapura (UTC+9) the day that ends at 15:00 UTC is judged then."""
    settings = Settings("F1", ZoneInfo("Asia/Jayapura"), (("LOG-A", DeviceSettings(interval_s=900)),))
    facts = hand.series(["5.0"] * 60, start_min=-900)  # 00:00 to 15:00 local
    (found,) = hand.found([*facts, *hand.series(["5.0"], start_min=910)], "NO_DATA", 911, settings)
    assert (hand.minutes(found.episode_start_ms), hand.minutes(found.event_ms)) == (-540, 900)
