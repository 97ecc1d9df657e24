"""Dated limits: the past is judged by the limits that held then (decision 0023; cold-chain 6, 37)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from alerts.profiles import builtin_profiles, parse_profiles
from alerts.rules import (
    Assigned,
    Dated,
    Kind,
    Profile,
    Profiles,
    ReadingFact,
    RuleFinding,
    State,
    StreamSettings,
    judge,
    standing,
    step,
)

MIN, HOUR = 60_000, 3_600_000
STREAM = "S1/temperature_c"
HOUSE = builtin_profiles()
FRIDGE = HOUSE["refrigerator"]
REGULAR = {STREAM: StreamSettings(900)}


def at(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * HOUR + int(minutes) * MIN


def rows(start: str, last: str, value: str) -> list[ReadingFact]:
    return [ReadingFact("F1", STREAM, t, Decimal(value)) for t in range(at(start), at(last) + 1, 15 * MIN)]


def edited(code: str, version: str = "2", **changes: object) -> Profile:
    """The refrigerator's profile with one rule changed."""
    limits = tuple(replace(x, **changes) if x.code == code else x for x in FRIDGE.limits)  # type: ignore[arg-type]
    return replace(FRIDGE, version=version, limits=limits)


def dated(*versions: tuple[str, Profile]) -> Profiles:
    return Profiles(HOUSE, streams=REGULAR, versions={"refrigerator": tuple(Dated(at(t), p) for t, p in versions)})


def found(facts: Sequence[ReadingFact], code: str, profiles: Profiles, now: str = "0:00") -> list[RuleFinding]:
    now_ms = max(at(now), *(f.t_ms for f in facts))
    return [f for f in judge(facts, profiles, now_ms) if f.code == code]


NINE = edited("HEAT", limit_c=Decimal("9.0"))


def test_req_37_a_limit_raised_at_noon_leaves_the_morning_as_it_was_judged() -> None:
    """8.5 all day; HEAT's limit goes from 8.0 to 9.0 at 12:00: the alarm of 10:00 stands, and ends with its limit."""
    facts = rows("0:00", "23:45", "8.5")
    (heat,) = found(facts, "HEAT", dated(("12:00", NINE)))
    assert (heat.event_ms, heat.end_ms, heat.reason) == (at("10:00"), at("12:00"), "limit_changed")
    assert (heat.limit_c, heat.profile_version, heat.kind) == (Decimal("8.0"), FRIDGE.version, Kind.CONFIRMED)
    (excursion,) = found(facts, "EXCURSION_HIGH", dated(("12:00", NINE)))
    assert (excursion.episode_start_ms, excursion.end_ms, excursion.reason) == (0, None, "")  # its limit is the same


def test_a_lowered_limit_judges_from_its_date_on() -> None:
    seven = edited("HEAT", limit_c=Decimal("7.0"))
    (heat,) = found(rows("0:00", "23:45", "7.5"), "HEAT", dated(("12:00", seven)))
    assert (heat.episode_start_ms, heat.event_ms) == (at("12:00"), at("22:00"))
    assert (heat.limit_c, heat.profile_version) == (Decimal("7.0"), "2")


def test_an_episode_goes_on_over_a_change_that_leaves_its_limit_alone() -> None:
    other = edited("FRZE", limit_c=Decimal("-0.4"))
    (heat,) = found(rows("5:00", "16:00", "9.0"), "HEAT", dated(("12:00", other)))
    assert (heat.episode_start_ms, heat.event_ms, heat.profile_version) == (at("5:00"), at("15:00"), "2")


def test_what_fired_keeps_the_version_that_held_when_it_fired() -> None:
    other = edited("FRZE", limit_c=Decimal("-0.4"))
    (heat,) = found(rows("0:00", "16:00", "9.0"), "HEAT", dated(("12:00", other)))
    assert (heat.event_ms, heat.profile_version, heat.end_ms) == (at("10:00"), FRIDGE.version, None)


def test_a_shorter_delay_counts_from_the_start_of_the_episode_and_fires_after_its_date() -> None:
    """Nine hours above 8.0 when the delay goes from ten hours to two: nobody waits two hours more."""
    sooner = edited("HEAT", alarm_after_s=7200)
    (heat,) = found(rows("0:00", "9:30", "9.0"), "HEAT", dated(("9:00", sooner)))
    assert (heat.episode_start_ms, heat.event_ms, heat.after_s) == (0, at("9:00"), 7200)


def test_a_longer_delay_does_not_take_back_what_was_said() -> None:
    later = edited("HEAT", alarm_after_s=20 * 3600)
    (heat,) = found(rows("0:00", "13:00", "9.0"), "HEAT", dated(("12:00", later)))
    assert (heat.event_ms, heat.after_s, heat.end_ms) == (at("10:00"), 36000, None)
    (late,) = found(rows("5:00", "25:30", "9.0"), "HEAT", dated(("12:00", later)))
    assert late.event_ms == at("25:00")


def test_a_rule_that_is_gone_ends_and_one_that_is_new_begins_on_the_episode_that_is_there() -> None:
    without = replace(FRIDGE, version="2", limits=tuple(x for x in FRIDGE.limits if x.code != "WARNING_HIGH"))
    (warning,) = found(rows("0:00", "3:00", "9.0"), "WARNING_HIGH", dated(("2:00", without)))
    assert (warning.event_ms, warning.end_ms, warning.reason) == (at("1:00"), at("2:00"), "limit_changed")
    sooner = replace(FRIDGE.limits[2], code="HEAT_2H", alarm_after_s=7200)
    more = replace(FRIDGE, version="2", limits=(*FRIDGE.limits, sooner))
    (heat,) = found(rows("0:00", "5:00", "9.0"), "HEAT_2H", dated(("3:30", more)))
    assert (heat.episode_start_ms, heat.event_ms) == (0, at("3:30"))


def test_another_profile_from_a_date_on() -> None:
    """A refrigerator becomes a freezer at 6:00: +5 was fine before, and is an excursion from then on."""
    profiles = Profiles(
        HOUSE, streams=REGULAR, assigned={"F1": (Assigned(0, ("refrigerator",)), Assigned(at("6:00"), ("freezer",)))}
    )
    facts = rows("0:00", "17:00", "5.0")
    assert [(f.code, f.profile, f.episode_start_ms) for f in judge(facts, profiles, at("17:00"))] == [
        ("EXCURSION_HIGH", "freezer", at("6:00")),
        ("WARNING_HIGH", "freezer", at("6:00")),
        ("HEAT", "freezer", at("6:00")),
    ]


def test_an_excursion_goes_on_in_a_profile_that_has_the_same_limit() -> None:
    """Nine hours at 9 degrees when a stricter profile is assigned: HEAT still comes at ten hours."""
    profiles = Profiles(
        HOUSE,
        streams=REGULAR,
        assigned={"F1": (Assigned(0, ("refrigerator",)), Assigned(at("9:00"), ("refrigerator_low_alarm",)))},
    )
    (heat,) = found(rows("0:00", "11:00", "9.0"), "HEAT", profiles)
    assert (heat.episode_start_ms, heat.event_ms, heat.profile) == (0, at("10:00"), "refrigerator_low_alarm")


def test_the_first_assignment_holds_for_all_time_before_it() -> None:
    profiles = Profiles(HOUSE, streams=REGULAR, assigned={"F1": (Assigned(at("20:00"), ("freezer",)),)})
    assert found(rows("0:00", "1:00", "5.0"), "EXCURSION_HIGH", profiles)[0].profile == "freezer"


def test_a_sum_ends_with_its_rule_and_goes_on_where_the_rule_is_the_same() -> None:
    cold = [*rows("0:00", "0:30", "-0.6"), *rows("0:45", "2:45", "3.0"), *rows("3:00", "3:45", "-0.6")]
    facts = [*cold, *rows("4:00", "4:00", "3.0")]
    (check,) = found(facts, "STOCK_CHECK", dated(("3:00", NINE)))
    assert check.event_ms == at("3:15")
    sooner = edited("STOCK_CHECK", alarm_after_s=1800)
    (anew,) = found(facts, "STOCK_CHECK", dated(("3:00", sooner)))
    assert (anew.episode_start_ms, anew.event_ms) == (at("3:00"), at("3:30"))
    fired = [*rows("0:00", "1:15", "-0.6"), *rows("1:30", "4:00", "3.0")]
    (ended,) = found(fired, "STOCK_CHECK", dated(("3:00", sooner)))
    assert (ended.event_ms, ended.end_ms, ended.reason) == (at("1:00"), at("3:00"), "limit_changed")


def test_a_change_after_the_last_reading_is_made_by_the_clock() -> None:
    """Nothing is heard any more: at its date the old limit's alarm ends all the same."""
    profiles = dated(("10:10", NINE))
    first = step(State(), rows("0:00", "10:00", "8.5"), profiles, at("10:00"))
    assert first.wake_at_ms == at("10:10")
    woken = step(first.state, [], profiles, at("10:10"))
    (ended,) = (f for f in woken.findings if f.code == "HEAT")
    assert (ended.end_ms, ended.reason, ended.kind) == (at("10:10"), "limit_changed", Kind.CONFIRMED)
    assert woken.news == frozenset()


def test_a_change_learnt_later_than_its_date_is_made_good() -> None:
    """The service reads people's commands after readings of the same minutes: the answer is the same."""
    facts = rows("0:00", "23:45", "8.5")
    before = step(State(), facts, dated(), at("23:45"))
    after = step(before.state, [], dated(("12:00", NINE)), at("23:46"))
    (heat,) = (f for f in after.findings if f.code == "HEAT")
    assert (heat.end_ms, heat.reason, heat.detected_ms) == (at("12:00"), "limit_changed", at("23:45"))
    assert after.news == frozenset()


def test_a_change_of_limits_keeps_the_episode_that_began_before_history_was_forgotten() -> None:
    facts = rows("0:00", "100:00", "9.0")
    whole = step(State(), facts, dated(), at("100:00")).state
    short = whole.forget(at("90:00"))
    assert (short.oldest_ms("F1", STREAM) or 0) > 0
    other = dated(("99:00", edited("FRZE", limit_c=Decimal("-0.4"))))
    (heat,) = (f for f in standing(step(short, [], other, at("100:00")).state) if f.code == "HEAT")
    assert (heat.episode_start_ms, heat.event_ms, heat.end_ms) == (0, at("10:00"), None)


def test_a_version_of_a_file_is_a_profile_like_any_other() -> None:
    text = """
version = "country-2"
[refrigerator]
extends = "refrigerator"
sources = ["circular of the ministry"]
limits = [{ code = "HEAT", comparator = ">", limit_c = "9.0", alarm_after_s = 36000, source = "circular" }]
"""
    made = parse_profiles(text, "test", HOUSE)["refrigerator"]
    (heat,) = found(rows("0:00", "23:45", "8.5"), "HEAT", dated(("12:00", made)))
    assert heat.reason == "limit_changed"


# --- sensor lost ------------------------------------------------------------------------------------------


def test_smile_14_an_episode_of_a_lost_sensor_ends_with_what_is_known_and_says_so() -> None:
    profiles = Profiles(HOUSE, streams=REGULAR)
    first = step(State(), rows("0:00", "10:00", "9.0"), profiles, at("10:00"))
    woken = step(first.state, [], profiles, at("10:45"))
    by_code = {f.code: f for f in woken.findings}
    heat = by_code["HEAT"]
    assert (heat.end_ms, heat.reason, heat.known_s) == (at("10:15"), "sensor_lost", 615 * 60)
    assert (by_code["SILENT"].reason, by_code["SILENT"].end_ms) == ("logger_lost_in_excursion", None)
    back = step(woken.state, rows("15:00", "15:00", "9.0"), profiles, at("15:00"))
    assert "HEAT" not in {f.code for f in back.findings}  # what was said of it stands
    filled = step(back.state, rows("10:15", "14:45", "9.0"), profiles, at("15:01"))
    (grown,) = (f for f in filled.findings if f.code == "HEAT")
    assert (grown.finding_id, grown.end_ms, grown.reason, grown.kind) == (heat.finding_id, None, "", Kind.CONFIRMED)


def test_an_episode_is_not_lost_before_the_gap_rule_gives_it_up() -> None:
    """A logger of one minute is silent after three; until sixteen minutes its next reading goes on with the episode."""
    profiles = Profiles(HOUSE, streams={STREAM: StreamSettings(60)})
    facts = [ReadingFact("F1", STREAM, i * MIN, Decimal("9.0")) for i in range(61)]
    first = step(State(), facts, profiles, at("1:00"))
    silent = step(first.state, [], profiles, at("1:03"))
    assert [f.code for f in silent.findings] == ["SILENT"]
    assert silent.wake_at_ms == at("1:16") + 1
    lost = step(silent.state, [], profiles, at("1:16") + 1)
    assert {(f.code, f.end_ms, f.reason) for f in lost.findings} == {
        (code, at("1:01"), "sensor_lost") for code in ("EXCURSION_HIGH", "WARNING_HIGH")
    }


def test_req_11_an_episode_ends_when_the_sensor_says_nothing_usable_for_longer_than_a_gap() -> None:
    faults = [replace(f, value_c=None) for f in rows("2:15", "4:00", "9.0")]
    (warning,) = found([*rows("0:00", "2:00", "9.0"), *faults], "WARNING_HIGH", Profiles(HOUSE, streams=REGULAR))
    assert (warning.end_ms, warning.reason) == (at("2:15"), "sensor_lost")
