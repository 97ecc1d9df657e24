"""Rules over one stream and over two: requirements 11 and 12 of cold-chain 6, and our own choices."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

from alerts.equipment import Settings
from alerts.profiles import builtin_profiles
from alerts.rules import Kind, Level, Profiles, judge


def wave(n: int, seed: int = 1, sigma: float = 0.05, centre: float = 5.0, places: int = 2) -> list[str]:
    """A thermostat's slow wave with the noise of a good sensor."""
    chance = Random(seed)
    return [f"{centre + 0.8 * ((i % 24) - 12) / 12 + chance.gauss(0, sigma):.{places}f}" for i in range(n)]


def test_req_11_a_fault_is_a_device_fault_and_no_excursion(hand: Any) -> None:
    """cold-chain 6, 11: TVC null with a word of fault: unknown time, a device-fault event; `--.-` likewise."""
    facts = hand.series(["5.0", "5.1", None, None, "5.0"] + ["5.1"] * 6)
    (fault,) = hand.found(facts, "SENSOR_FAULT")
    assert (fault.level, fault.reason, fault.alarms) == (Level.WARNING, "sensor_fault", False)
    assert (hand.minutes(fault.episode_start_ms), hand.minutes(fault.end_ms)) == (30, 60)
    temperature = judge(facts, Profiles(builtin_profiles(), {"F1": ("refrigerator",)}), facts[-1].t_ms)
    assert [f.code for f in temperature] == []


def test_req_11_faults_within_an_hour_are_one_episode(hand: Any) -> None:
    facts = hand.series(["5.0", None, "5.0", None, "5.0", "5.0"], 15)
    (fault,) = hand.found(facts, "SENSOR_FAULT")
    assert fault.end_ms is None


def test_req_12_a_step_of_more_than_15_c_between_5_minute_readings_and_back(hand: Any) -> None:
    """cold-chain 6, 12: 5.0, 20.1, 5.0 is flagged; exactly 15.0 is not; a step that stays is none."""
    (step,) = hand.found(hand.series(["5.0", "20.1", "5.0"], 5), "STEP")
    assert (hand.minutes(step.episode_start_ms), hand.minutes(step.event_ms)) == (5, 10)
    assert (step.extreme_c, step.reason, step.level) == (Decimal("20.1"), "and_back", Level.NOTICE)
    assert hand.found(hand.series(["5.0", "20.0", "5.0"], 5), "STEP") == []
    assert hand.found(hand.series(["5.0", *["20.1"] * 12], 5), "STEP") == []
    assert hand.found(hand.series(["5.0", "20.1", "5.0"], 60), "STEP") == []


def test_req_12_a_flagged_value_still_counts(hand: Any) -> None:
    """The spike of 30 C is flagged and is an excursion all the same."""
    facts = hand.series(["5.0", "30.0", "5.0"], 5)
    assert hand.found(facts, "STEP")
    profiles = Profiles(builtin_profiles(), {"F1": ("refrigerator",)})
    (out,) = [f for f in judge(facts, profiles, facts[-1].t_ms) if f.code == "EXCURSION_HIGH"]
    assert out.extreme_c == Decimal("30.0")


def test_req_12_the_bounds_of_the_range_are_flagged_and_not_the_degree_before(hand: Any) -> None:
    """cold-chain 6, 12: -55 and 60 themselves; -54.9 and 59.9 are values."""
    for value, reason in (("-55", "at_lower_bound"), ("60", "at_upper_bound"), ("85", "at_upper_bound")):
        (bound,) = hand.found(hand.series(["5.0", value]), "RANGE_BOUND")
        assert (bound.reason, bound.extreme_c, bound.kind) == (reason, Decimal(value), Kind.CONFIRMED)
    assert hand.found(hand.series(["-54.9", "59.9"]), "RANGE_BOUND") == []


def test_req_12_an_ultra_cold_store_is_at_minus_80_every_day(hand: Any) -> None:
    facts = hand.series(["-80.0"] * 3 + ["-100"])
    (bound,) = hand.found(facts, "RANGE_BOUND", settings=Settings("F1", deep=True))
    assert bound.extreme_c == Decimal("-100")


def test_a_value_that_repeats_longer_than_this_sensor_ever_did_is_stuck(hand: Any) -> None:
    """Two hours of one value after a day in which it never stood for two readings; over with the first other value."""
    facts = hand.series([*wave(96), *["5.03"] * 24, "5.01"], 10)
    (stuck,) = hand.found(facts, "STUCK")
    assert hand.minutes(stuck.episode_start_ms) == 960
    assert hand.minutes(stuck.event_ms) == 960 + 120
    assert hand.minutes(stuck.end_ms) == 1200
    assert stuck.extreme_c == Decimal("5.03")


def test_a_calm_sensor_of_a_tenth_of_a_degree_is_not_stuck(hand: Any) -> None:
    """It stood for an hour and more all day long: two hours are nothing new."""
    calm = [v for i in range(16) for v in [("4.9", "5.0", "5.1")[i % 3]] * 7]
    assert hand.found(hand.series([*calm, *["5.0"] * 13], 10), "STUCK") == []


def test_a_new_sensor_has_six_hours_to_say_something_else(hand: Any) -> None:
    assert hand.found(hand.series(["5.0"] * 24, 15), "STUCK") == []
    (stuck,) = hand.found(hand.series(["5.0"] * 25, 15), "STUCK")
    assert hand.minutes(stuck.event_ms) == 360


def test_noise_that_this_sensor_never_had(hand: Any) -> None:
    calm, chance = wave(120), Random(3)
    loud = [f"{5 + chance.gauss(0, 1.5):.2f}" for _ in range(60)]
    (noise,) = hand.found(hand.series([*calm, *loud], 5), "NOISE")
    assert hand.minutes(noise.episode_start_ms) < 600 + 60
    assert hand.found(hand.series(wave(400), 5), "NOISE") == []


def test_a_warming_refrigerator_is_not_noise(hand: Any) -> None:
    warming = [f"{5 + 20 * (1 - 0.99**i):.2f}" for i in range(120)]
    assert hand.found(hand.series([*wave(120), *warming], 5), "NOISE") == []


def test_low_battery_is_over_when_it_was_changed(hand: Any) -> None:
    stream = "LOG-A/battery_percent"
    (low,) = hand.found(hand.series(["40", "21", "20", "22", "19", "24"], 60, stream=stream), "BATTERY_LOW")
    assert (hand.minutes(low.episode_start_ms), low.end_ms, low.details) == (120, None, (("percent", "20"),))
    assert (low.level, low.extreme_c) == (Level.WARNING, None)
    (over,) = hand.found(hand.series(["20", "100"], 60, stream=stream), "BATTERY_LOW")
    assert hand.minutes(over.end_ms) == 60


def test_two_probes_more_than_3_c_apart_for_an_hour(hand: Any) -> None:
    """DISAGREE names both and says how far; three quarters of an hour are a door."""
    a, b = hand.series(["5.0"] * 12), hand.series(["8.1"] * 12, stream="LOG-B/temperature_c", start_min=3)
    (apart,) = hand.found([*a, *b], "DISAGREE")
    assert (apart.stream_id, apart.details) == (
        "LOG-A/temperature_c", (("other", "LOG-B/temperature_c"), ("difference_c", "-3.1")),
    )  # fmt: skip
    assert hand.minutes(apart.event_ms) == 60
    assert hand.found([*a[:4], *b[:4]], "DISAGREE") == []
    near = hand.series(["8.0"] * 12, stream="LOG-B/temperature_c")
    assert hand.found([*a, *near], "DISAGREE") == []


def test_a_room_sensor_is_no_second_probe(hand: Any) -> None:
    room = hand.series(["31.0"] * 12, stream="LOG-A/ambient_temperature_c")
    assert hand.found([*hand.series(["5.0"] * 12), *room], "DISAGREE") == []


def test_drift_against_the_neighbour_is_a_change_and_not_a_gradient(hand: Any) -> None:
    """2 C warmer on the top shelf from the first day on is the place; 0.4 C a day more is the sensor."""
    days = 8
    a = hand.series(wave(96 * days))
    same = hand.series(wave(96 * days, 2, centre=7.0), stream="LOG-B/temperature_c")
    assert hand.found([*a, *same], "DRIFT") == []
    off = [f"{float(v) + max(0, i - 96) / 96 * 0.4:.2f}" for i, v in enumerate(wave(96 * days, 2, centre=7.0))]
    (drift,) = hand.found([*a, *hand.series(off, stream="LOG-B/temperature_c")], "DRIFT")
    assert drift.details[0] == ("other", "LOG-B/temperature_c")
    assert drift.end_ms is None
    assert 3 * 1440 < hand.minutes(drift.event_ms) < 6 * 1440


def test_numbers_that_go_back_in_time_are_a_clock_that_was_set_back(hand: Any) -> None:
    from dataclasses import replace

    facts = [replace(f, device_seq=i) for i, f in enumerate(hand.series(wave(48)))]
    assert hand.found(facts, "CLOCK") == []
    back = [replace(f, t_ms=f.t_ms - 4 * hand.HOUR - 7 * hand.MIN) for f in facts[24:]]
    (clock,) = hand.found([*facts[:24], *back], "CLOCK")
    assert clock.reason == "numbers_go_back"


def test_twice_the_readings_that_the_interval_allows_are_a_clock_that_was_set_back(hand: Any) -> None:
    facts = hand.series(wave(48))
    twice = [*facts, *hand.series(wave(24), start_min=120 + 7)]
    assert hand.found(facts, "CLOCK", settings=hand.logger(interval_s=900)) == []
    (clock,) = hand.found(twice, "CLOCK", settings=hand.logger(interval_s=900))
    assert clock.reason == "too_many_readings"
