"""The worked examples of cold-chain section 6 and smile-and-waste 11, 12: the number is in each name."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from alerts.profiles import builtin_profiles
from alerts.rules import (
    Kind,
    Profiles,
    RangeState,
    ReadingFact,
    RuleFinding,
    State,
    StreamSettings,
    judge,
    range_spans,
    segments,
    step,
)
from alerts.rules.facts import plain_points
from telemetry.readings import Quality

MIN = 60_000
HOUR = 60 * MIN
STREAM = "S1/temperature_c"
CATALOGUE = builtin_profiles()
FRIDGE = Profiles(CATALOGUE)


def t(text: str) -> int:
    """'25:30' -> ms."""
    hours, minutes = text.split(":")
    return int(hours) * HOUR + int(minutes) * MIN


def rows(start: str, last: str, value: str, every_min: int = 15) -> list[ReadingFact]:
    """Readings from start to last, both included."""
    return [ReadingFact("F1", STREAM, at, Decimal(value)) for at in range(t(start), t(last) + 1, every_min * MIN)]


def found(
    facts: Sequence[ReadingFact], *codes: str, profiles: Profiles = FRIDGE, now: str | None = None
) -> list[RuleFinding]:
    now_ms = max(f.t_ms for f in facts) if now is None else t(now)
    return [f for f in judge(facts, profiles, now_ms) if not codes or f.code in codes]


def only(facts: Sequence[ReadingFact], code: str, profiles: Profiles = FRIDGE, now: str | None = None) -> RuleFinding:
    (one,) = found(facts, code, profiles=profiles, now=now)
    return one


def test_req_01_heat_at_the_reading_that_shows_600_minutes() -> None:
    heat = only(rows("0:00", "10:00", "8.1"), "HEAT")
    assert (heat.episode_start_ms, heat.event_ms, heat.kind) == (t("0:00"), t("10:00"), Kind.CONFIRMED)
    assert heat.alarms
    assert heat.extreme_c == Decimal("8.1")


def test_req_01_exactly_8_0_is_in_range_for_ever() -> None:
    assert found(rows("0:00", "23:45", "8.0")) == []


def test_req_01_hot_for_600_minutes_without_a_reading_to_show_it_is_no_heat() -> None:
    facts = [*rows("0:00", "9:45", "8.1"), *rows("10:00", "10:00", "5.0")]
    assert found(facts, "HEAT") == []
    assert only(facts, "EXCURSION_HIGH").known_s == 600 * 60


def test_req_02_freeze_at_60_minutes_at_minus_0_5_itself() -> None:
    frze = only(rows("0:00", "1:00", "-0.5"), "FRZE")
    assert (frze.episode_start_ms, frze.event_ms) == (0, t("1:00"))


def test_req_02_minus_0_4_is_no_freeze() -> None:
    assert found(rows("0:00", "12:00", "-0.4"), "FRZE", "STOCK_CHECK", "FREEZE_POSSIBLE") == []


def test_req_03_ladder_high_counts_from_the_start_of_the_episode() -> None:
    facts = rows("0:00", "10:00", "9.0")
    at = {f.code: f.event_ms for f in found(facts)}
    assert at == {"EXCURSION_HIGH": 0, "WARNING_HIGH": t("1:00"), "HEAT": t("10:00")}


def test_req_03_ladder_low_has_no_freeze_and_a_low_alarm_only_where_configured() -> None:
    facts = rows("0:00", "3:00", "1.0")
    assert {f.code: f.event_ms for f in found(facts)} == {"EXCURSION_LOW": 0, "WARNING_LOW": t("0:30")}
    with_alarm = Profiles(CATALOGUE, equipment={"F1": ("refrigerator_low_alarm",)})
    assert only(facts, "LOW", with_alarm).event_ms == t("1:00")


def test_req_04_one_reading_in_range_resets_the_single_event() -> None:
    facts = [
        *rows("0:00", "9:30", "12.0"),
        *rows("9:45", "9:45", "8.0"),
        *rows("10:00", "19:30", "12.0"),
        *rows("19:45", "19:45", "5.0"),
    ]
    assert found(facts, "HEAT") == []
    assert [f.known_s // 60 for f in found(facts, "EXCURSION_HIGH")] == [585, 585]


def test_req_05_pieces_add_up_to_a_stock_check_without_a_freeze_alarm() -> None:
    facts = [
        *rows("0:00", "0:30", "-0.6"),
        *rows("0:45", "0:45", "0.2"),
        *rows("1:00", "1:30", "-0.6"),
        *rows("1:45", "1:45", "3.0"),
    ]
    assert found(facts, "FRZE") == []
    check = only(facts, "STOCK_CHECK")
    assert check.kind is Kind.CONFIRMED
    made = segments(plain_points(facts))
    assert sum(s.length_ms for s in made if s.low_m is not None and s.low_m <= -500) == 90 * MIN


def test_req_05_a_stock_check_ends_when_the_window_has_passed() -> None:
    facts = [*rows("0:00", "1:15", "-0.6"), *rows("1:30", "30:00", "4.0")]
    check = only(facts, "STOCK_CHECK")
    assert check.event_ms == t("1:00")
    assert check.end_ms == t("24:45")  # 90 minutes cold, of which the window then holds 45


def test_req_06_an_episode_crosses_midnight_as_one() -> None:
    heat = only([*rows("19:00", "29:45", "8.5"), *rows("30:00", "30:00", "5.0")], "HEAT")
    assert (heat.episode_start_ms, heat.event_ms, heat.end_ms) == (t("19:00"), t("29:00"), t("30:00"))


REQ_7 = [*rows("0:00", "4:45", "8.5"), *rows("6:30", "11:15", "8.5"), *rows("11:30", "11:30", "5.0")]


def test_req_07_a_gap_makes_it_possible_and_never_safe() -> None:
    heat = only(REQ_7, "HEAT")
    assert (heat.kind, heat.event_ms, heat.reason) == (Kind.POSSIBLE, t("10:00"), "unknown_time")
    assert (heat.known_s, heat.unknown_s) == (600 * 60, 90 * 60)
    assert [f.known_s // 60 for f in found(REQ_7, "EXCURSION_HIGH")] == [300, 300]
    spans = range_spans(segments(plain_points(REQ_7), until_ms=t("11:30")), CATALOGUE["refrigerator"])
    assert [(s.from_ms, s.to_ms, s.state) for s in spans] == [
        (0, t("5:00"), RangeState.OUT),
        (t("5:00"), t("6:30"), RangeState.UNKNOWN),
        (t("6:30"), t("11:30"), RangeState.OUT),
    ]


def test_req_08_backfill_confirms_with_both_times() -> None:
    first = step(State(), REQ_7, FRIDGE, t("11:30"))
    possible = next(f for f in first.findings if f.code == "HEAT")
    second = step(first.state, rows("5:00", "6:15", "8.6"), FRIDGE, t("13:00"))
    heat = next(f for f in second.findings if f.code == "HEAT")
    assert (heat.kind, heat.event_ms, heat.detected_ms) == (Kind.CONFIRMED, t("10:00"), t("13:00"))
    assert heat.finding_id == possible.finding_id
    assert possible.detected_ms == t("11:30")
    assert heat.finding_id in second.news


def test_req_08_backfill_in_range_withdraws_the_possible_heat() -> None:
    first = step(State(), REQ_7, FRIDGE, t("11:30"))
    second = step(first.state, rows("5:00", "6:15", "5.0"), FRIDGE, t("13:00"))
    heat = next(f for f in second.findings if f.code == "HEAT")
    assert (heat.kind, heat.reason, heat.detected_ms) == (Kind.WITHDRAWN, "late_data", t("11:30"))
    assert not heat.alarms
    assert not [f for f in judge([*REQ_7, *rows("5:00", "6:15", "5.0")], FRIDGE, t("13:00")) if f.code == "HEAT"]


def test_req_08_an_earlier_start_moves_the_finding_and_says_what_it_supersedes() -> None:
    first = step(State(), rows("1:00", "12:00", "9.0"), FRIDGE, t("12:00"))
    old = next(f for f in first.findings if f.code == "HEAT")
    second = step(first.state, rows("0:00", "0:45", "9.0"), FRIDGE, t("13:00"))
    new = next(f for f in second.findings if f.code == "HEAT" and f.kind is Kind.CONFIRMED)
    gone = next(f for f in second.findings if f.finding_id == old.finding_id)
    assert (new.event_ms, new.supersedes) == (t("10:00"), (old.finding_id,))
    assert (gone.kind, gone.reason) == (Kind.WITHDRAWN, f"superseded by {new.finding_id}")


def test_req_09_the_same_record_twice_counts_once_and_a_conflict_keeps_both() -> None:
    facts = rows("0:00", "10:00", "8.1")
    assert judge([*facts, *facts], FRIDGE, t("10:00")) == judge(facts, FRIDGE, t("10:00"))
    # one of forty-one says 7.0 as well: the worse one counts, the conflict is flagged
    other = ReadingFact("F1", STREAM, t("5:00"), Decimal("7.0"), variant=1)
    both = found([*facts, other])
    assert {"HEAT", "CONFLICT"} <= {f.code for f in both}
    assert only([*facts, other], "CONFLICT").event_ms == t("5:00")


def test_req_09_live_and_memory_of_one_device_sequence_are_one_reading() -> None:
    live = [
        ReadingFact("F1", STREAM, t("0:00") + i * 15 * MIN + 437, Decimal("8.1"), device_seq=i) for i in range(41)
    ]
    memory = [ReadingFact("F1", STREAM, t("0:00") + i * 15 * MIN, Decimal("8.1"), device_seq=i) for i in range(41)]
    for facts in ([*live, *memory], [*memory, *live]):
        heat = only(facts, "HEAT")
        assert (heat.episode_start_ms, heat.event_ms) == (0, t("10:00"))
        assert not found(facts, "CONFLICT")


def test_req_11_a_fault_is_unknown_time_and_no_excursion() -> None:
    facts = [
        *rows("0:00", "1:00", "5.0"),
        *(ReadingFact("F1", STREAM, t("1:15") + i * 15 * MIN, None, Quality.SENSOR_FAULT) for i in range(8)),
        *rows("3:15", "4:00", "5.0"),
    ]
    assert found(facts) == []
    spans = range_spans(segments(plain_points(facts), until_ms=t("4:00")), CATALOGUE["refrigerator"])
    assert [(s.from_ms, s.to_ms, s.state) for s in spans] == [
        (0, t("1:15"), RangeState.IN),
        (t("1:15"), t("3:15"), RangeState.UNKNOWN),
        (t("3:15"), t("4:00"), RangeState.IN),
    ]


def test_req_11_a_value_of_bad_quality_counts_as_none() -> None:
    facts = [ReadingFact("F1", STREAM, i * 15 * MIN, Decimal("-127"), Quality.INVALID) for i in range(20)]
    assert found(facts) == []


def test_req_13_silence_after_three_intervals_and_its_end() -> None:
    hourly = Profiles(CATALOGUE, streams={STREAM: StreamSettings(interval_s=3600)})
    first = step(State(), rows("5:00", "8:00", "5.0", 60), hourly, t("8:00"))
    assert first.wake_at_ms == t("11:00")
    early = step(first.state, [], hourly, t("11:00") - 1)
    assert early.findings == ()
    woken = step(early.state, [], hourly, t("11:00"))
    (silent,) = woken.findings
    assert (silent.code, silent.event_ms, silent.end_ms, silent.detected_ms) == (
        "SILENT",
        t("11:00"),
        None,
        t("11:00"),
    )
    back = step(woken.state, rows("12:10", "12:10", "5.0"), hourly, t("12:10"))
    ended = next(f for f in back.findings if f.code == "SILENT")
    assert (ended.finding_id, ended.end_ms) == (silent.finding_id, t("12:10"))
    assert back.news == frozenset()
    backlog = step(back.state, rows("9:00", "12:00", "5.0", 60), hourly, t("12:11"))
    assert [(f.code, f.kind) for f in backlog.findings] == [("SILENT", Kind.WITHDRAWN)]


def test_req_13_readings_that_an_edge_holds_back_are_no_silence() -> None:
    """An edge on mobile data sends calm readings every ten minutes: between two uploads nothing is silent."""
    held = Profiles(CATALOGUE, streams={STREAM: StreamSettings(interval_s=60, held_back_s=600)})
    first = step(State(), rows("8:00", "8:10", "5.0", 1), held, t("8:10"))
    assert first.wake_at_ms == t("8:23")
    assert step(first.state, [], held, t("8:23") - 1).findings == ()
    second = step(first.state, rows("8:11", "8:20", "5.0", 1), held, t("8:20"))
    assert second.findings == ()
    (silent,) = step(second.state, [], held, t("8:33")).findings
    assert (silent.code, silent.event_ms, silent.detected_ms) == ("SILENT", t("8:23"), t("8:33"))
    assert silent in judge(rows("8:00", "8:20", "5.0", 1), held, t("8:33"))


def test_smile_14_a_logger_lost_during_an_excursion_says_so() -> None:
    found_now = found(rows("0:00", "2:00", "9.0"), "SILENT", now="3:00")
    assert [f.reason for f in found_now] == ["logger_lost_in_excursion"]


def test_req_11_one_fault_inside_an_episode_neither_ends_it_nor_hides_its_unknown_time() -> None:
    facts = [f for f in rows("0:00", "10:00", "8.1") if f.t_ms != t("5:00")]
    fault = ReadingFact("F1", STREAM, t("5:00"), None, Quality.SENSOR_FAULT)
    heat = only([*facts, fault], "HEAT")
    assert (heat.kind, heat.event_ms, heat.unknown_s) == (Kind.CONFIRMED, t("10:00"), 15 * 60)


def test_req_09_a_value_and_no_value_for_one_instant_are_not_in_range() -> None:
    facts = [*rows("0:00", "1:00", "5.0"), ReadingFact("F1", STREAM, t("0:30"), None, Quality.INVALID)]
    spans = range_spans(segments(plain_points(facts), until_ms=t("1:00")), CATALOGUE["refrigerator"])
    assert [(s.from_ms // MIN, s.state) for s in spans] == [
        (0, RangeState.IN),
        (30, RangeState.UNKNOWN),
        (45, RangeState.IN),
    ]
    hot = [*rows("0:00", "1:00", "9.0"), ReadingFact("F1", STREAM, t("0:30"), None, Quality.INVALID)]
    assert only(hot, "WARNING_HIGH").kind is Kind.CONFIRMED  # out by one voice is out


@pytest.mark.parametrize(("hole_min", "unknown_min"), [(16, 0), (17, 12)])
def test_req_07_the_maximum_gap_is_never_below_960_seconds(hole_min: int, unknown_min: int) -> None:
    before = rows("0:00", "1:00", "5.0", 5)
    after = [ReadingFact("F1", STREAM, t("1:00") + (hole_min + i * 5) * MIN, Decimal("5.0")) for i in range(5)]
    made = segments(plain_points([*before, *after]))
    assert sum(s.length_ms for s in made if not s.known) == unknown_min * MIN


def test_req_07_a_gap_of_exactly_twice_the_interval_is_bridged() -> None:
    facts = [f for f in rows("0:00", "10:00", "8.1") if f.t_ms != t("5:00")]
    assert only(facts, "HEAT").kind is Kind.CONFIRMED
    facts = [f for f in facts if f.t_ms != t("5:15")]
    assert only(facts, "HEAT").kind is Kind.POSSIBLE


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_the_interval_of_few_readings_is_the_median_of_their_differences(count: int) -> None:
    """Every three hours is every three hours, with two rows as with five: nothing of it is unknown."""
    facts = rows("0:00", f"{3 * (count - 1)}:00", "9.0", 180)
    made = segments(plain_points(facts))
    assert sum(s.length_ms for s in made if s.known) == count * 3 * HOUR
    assert all(s.known for s in made)


def test_of_two_middles_the_mean_is_the_interval() -> None:
    times = [0]
    for i in range(30):
        times.append(times[-1] + (290_000 if i % 2 else 310_000))
    made = segments(plain_points([ReadingFact("F1", STREAM, at, Decimal("5.0")) for at in times]))
    assert made[-1].length_ms == 300_000


def test_the_interval_is_learned_from_the_last_16_differences() -> None:
    """Hourly, then every five minutes: the gap rule follows the stream, not its youth."""
    hourly = rows("0:00", "20:00", "5.0", 60)
    quick = rows("20:05", "23:00", "5.0", 5)
    later = rows("23:30", "24:00", "5.0", 5)
    made = segments(plain_points([*hourly, *quick, *later]))
    assert [s.length_ms // MIN for s in made if not s.known] == [25]
    assert found(hourly, "SILENT") == []


def test_req_13_a_hole_of_exactly_three_intervals_was_silence() -> None:
    assert len(found([*rows("0:00", "2:00", "5.0"), *rows("2:45", "3:00", "5.0")], "SILENT")) == 1
    assert found([*rows("0:00", "2:00", "5.0"), *rows("2:44", "3:00", "5.0")], "SILENT") == []


def test_req_24_guard_band_says_freeze_possible() -> None:
    careful = Profiles(CATALOGUE, streams={STREAM: StreamSettings(sigma_c=Decimal("0.25"))})
    facts = rows("0:00", "1:00", "-0.2")
    possible = only(facts, "FREEZE_POSSIBLE", careful)
    assert (possible.kind, possible.limit_c, possible.event_ms) == (Kind.POSSIBLE, Decimal("-0.09"), t("1:00"))
    assert found(facts, "FRZE", profiles=careful) == []
    assert found(rows("0:00", "1:00", "0.0"), "FREEZE_POSSIBLE", profiles=careful) == []


def test_req_28_ultra_cold_and_freezer_are_data() -> None:
    deep = Profiles(CATALOGUE, equipment={"F1": ("ultra_cold",)})
    assert only(rows("0:00", "1:00", "-59.9"), "HEAT", deep).event_ms == t("1:00")
    assert found(rows("0:00", "5:00", "-60.0"), profiles=deep) == []
    freezer = Profiles(CATALOGUE, equipment={"F1": ("freezer",)})
    assert found(rows("0:00", "23:00", "-18.0"), profiles=freezer) == []
    assert only(rows("0:00", "10:00", "-14.9"), "HEAT", freezer).event_ms == t("10:00")


def test_req_28_rows_without_a_value_come_before_the_first_valid_one() -> None:
    """The device counts from its activation, `--.-` rows included; we from the first valid reading."""
    deep = Profiles(CATALOGUE, equipment={"F1": ("ultra_cold",)})
    empty = [ReadingFact("F1", STREAM, i * 5 * MIN, None, Quality.INVALID) for i in range(4)]
    heat = only([*empty, *rows("0:20", "2:00", "20.0", 5)], "HEAT", deep)
    assert (heat.episode_start_ms, heat.event_ms) == (t("0:20"), t("1:20"))


BOX_1 = Profiles(CATALOGUE, equipment={"F1": ("transport_1",)})
BOX_2 = Profiles(CATALOGUE, equipment={"F1": ("transport_2",)})
IN = "20.0"


@pytest.mark.parametrize("lead", [[], rows("0:00", "0:45", IN)], ids=["from the first row", "after settling"])
def test_req_29_shipment_type_1_with_the_settling_time_in_force(lead: list[ReadingFact]) -> None:
    """The examples word by word, from the first row as well: an excursion that outlasts the settling time counts."""
    assert CATALOGUE["transport_1"].ignore_first_s == 600
    start = len(lead) * 15 * MIN

    def story(*parts: tuple[int, str]) -> list[ReadingFact]:
        facts, at = list(lead), start
        for count, value in parts:
            facts += [ReadingFact("F1", STREAM, at + i * 15 * MIN, Decimal(value)) for i in range(count)]
            at += count * 15 * MIN
        return facts

    assert found(story((80, "29.9")), profiles=BOX_1) == []
    heat = only(story((24, "30.0"), (4, IN), (16, "30.0"), (2, IN)), "HEAT_30_TOTAL", BOX_1)
    assert (heat.episode_start_ms, heat.event_ms, heat.known_s) == (start, start + 11 * HOUR, 36_000)
    assert found(story((24, "30.0"), (4, IN), (15, "30.0"), (2, IN)), profiles=BOX_1) == []
    for value, code in (("45.0", "HEAT_45"), ("-0.5", "FRZE")):
        one = only(story((5, value), (2, IN)), code, BOX_1)
        assert (one.episode_start_ms, one.event_ms) == (start, start + HOUR)
        assert found(story((4, value), (2, IN)), code, profiles=BOX_1) == []


def test_req_29_what_comes_back_within_the_settling_time_is_left_out() -> None:
    """A logger started at 30 C, every 5 minutes: 5 minutes of settling, then 10 h less those 5 in the box."""
    settling = [*rows("0:00", "0:00", "30.0"), *rows("0:05", "1:00", IN, 5)]
    hot = rows("1:05", "10:55", "30.0", 5)  # 119 readings: 9 h 55
    assert found([*settling, *hot, *rows("11:00", "11:00", IN)], profiles=BOX_1) == []
    more = only([*settling, *hot, *rows("11:00", "11:05", "30.0", 5)], "HEAT_30_TOTAL", BOX_1)
    assert (more.episode_start_ms, more.event_ms) == (t("1:05"), t("11:05"))


def test_req_29_a_hold_that_leaves_the_settling_time_counts_from_its_end() -> None:
    """The first reading holds 15 minutes, of which 10 are settling: 5 count."""
    first = [*rows("0:00", "0:00", "30.0"), *rows("0:15", "1:00", IN)]
    heat = only([*first, *rows("1:15", "11:00", "30.0"), *rows("11:15", "11:15", IN)], "HEAT_30_TOTAL", BOX_1)
    assert (heat.episode_start_ms, heat.event_ms) == (t("0:10"), t("11:10"))


def test_req_29_settling_that_was_lost_sight_of_is_no_part_of_a_chain() -> None:
    facts = [*rows("0:00", "0:00", "45.0"), *rows("5:00", "5:45", "45.0")]
    regular = Profiles(CATALOGUE, BOX_1.equipment, {STREAM: StreamSettings(interval_s=900)})
    assert found(facts, "HEAT_45", profiles=regular) == []
    longer = [*facts, *rows("6:00", "6:00", "45.0")]
    assert only(longer, "HEAT_45", regular).episode_start_ms == t("5:00")


def test_req_29_shipment_type_2_has_no_freeze_alarm() -> None:
    assert found(rows("0:00", "20:00", "-5.0"), profiles=BOX_2) == []
    assert only(rows("0:00", "20:15", "10.0"), "HEAT_10_TOTAL", BOX_2).event_ms == t("20:00")
    assert found(rows("0:00", "20:00", "9.9"), profiles=BOX_2) == []


def test_a_sum_is_dated_by_the_hold_that_reached_it() -> None:
    """10 h at 30.0: reached at 10:15 whatever comes next, and also when nothing comes."""
    hot = [*rows("0:00", "0:00", IN), *rows("0:15", "10:00", "30.0")]
    assert only([*hot, *rows("10:15", "10:15", IN)], "HEAT_30_TOTAL", BOX_1).event_ms == t("10:15")
    assert only([*hot, *rows("10:25", "10:25", IN)], "HEAT_30_TOTAL", BOX_1).event_ms == t("10:15")
    assert only([*hot, *rows("40:00", "40:00", IN)], "HEAT_30_TOTAL", BOX_1).event_ms == t("10:15")
    assert found(hot, "HEAT_30_TOTAL", profiles=BOX_1) == []  # the last reading has not held yet
    alone = only(hot, "HEAT_30_TOTAL", BOX_1, now="10:45")  # silence: it held one interval
    assert (alone.event_ms, alone.end_ms) == (t("10:15"), None)
    assert found(hot[:-1], "HEAT_30_TOTAL", profiles=BOX_1, now="20:00") == []


def test_a_sum_within_a_window_is_dated_to_the_minute_although_older_pieces_leave() -> None:
    """45 min from 0:00, then from 23:30 on: at 24:00 the older piece begins to leave as fast as the new one grows."""
    facts = [*rows("0:00", "0:30", "-0.6"), *rows("0:45", "23:15", "4.0"), *rows("23:30", "24:30", "-0.6")]
    check = only([*facts, *rows("24:45", "24:45", "4.0")], "STOCK_CHECK")
    assert (check.episode_start_ms, check.event_ms) == (0, t("23:45"))
    late = [*rows("0:00", "0:30", "-0.6"), *rows("0:45", "23:45", "4.0"), *rows("24:00", "25:00", "-0.6")]
    check = only([*late, *rows("25:15", "25:15", "4.0")], "STOCK_CHECK")
    assert check.event_ms == t("25:00")  # level at 45 min from 24:00 until 24:45, when all of the older has left


SMILE = Profiles(CATALOGUE, equipment={"F1": ("refrigerator", "smile_grace")})


@pytest.mark.parametrize(
    ("value", "code", "last_silent", "at"),
    [("8.1", "SMILE_ABOVE", "16:00", "16:10"), ("1.9", "SMILE_BELOW", "9:00", "9:10")],
)
def test_smile_11_grace_rule_counts_more_than_480_and_60_whole_minutes(
    value: str, code: str, last_silent: str, at: str
) -> None:
    assert found(rows("8:00", last_silent, value, 10), code, profiles=SMILE) == []
    one = only(rows("8:00", at, value, 10), code, SMILE)
    assert (one.profile, one.event_ms) == ("smile_grace", t(at))
    assert not one.alarms


def test_smile_11_minute_readings_fire_at_481_and_repeat_after_481_more() -> None:
    facts = rows("0:00", "17:00", "9.1", 1)
    assert [f.event_ms for f in found(facts, "SMILE_ABOVE", profiles=SMILE)] == [t("8:01"), t("16:02")]


def test_smile_11_limits_themselves_never_alarm_and_a_normal_reading_starts_anew() -> None:
    assert found(rows("0:00", "23:50", "8.0", 10), profiles=SMILE) == []
    assert found(rows("0:00", "23:50", "2.0", 10), profiles=SMILE) == []
    facts = [*rows("8:00", "11:50", "8.1", 10), *rows("12:00", "12:00", "5.0"), *rows("12:10", "20:20", "8.1", 10)]
    assert only(facts, "SMILE_ABOVE", SMILE).event_ms == t("20:20")


def test_smile_11_a_change_of_side_starts_anew() -> None:
    facts = [*rows("0:00", "7:50", "9.0", 10), *rows("8:00", "8:50", "1.0", 10), *rows("9:00", "16:50", "9.0", 10)]
    assert found(facts, "SMILE_ABOVE", "SMILE_BELOW", profiles=SMILE) == []


def test_smile_12_zero_is_a_limit_like_any_other() -> None:
    from dataclasses import replace

    grace = CATALOGUE["smile_grace"]
    limits = tuple(
        replace(x, limit_c=Decimal("0.0") if x.code == "SMILE_BELOW" else Decimal("10.0")) for x in grace.limits
    )
    zero = Profiles({**CATALOGUE, "zero": replace(grace, id="zero", limits=limits)}, equipment={"F1": ("zero",)})
    assert only(rows("0:00", "2:00", "-0.3", 10), "SMILE_BELOW", zero).event_ms == t("1:10")
    assert found(rows("0:00", "23:00", "0.0", 10), profiles=zero) == []


def test_smile_13_late_data_are_one_excursion_by_device_time() -> None:
    facts = [*rows("0:00", "0:50", "5.0", 10), *rows("12:50", "13:00", "5.0", 10)]
    state = step(State(), facts, FRIDGE, t("13:00")).state
    late = [*rows("1:00", "9:50", "9.0", 10), *rows("10:00", "12:40", "5.0", 10)]
    later = step(state, late, FRIDGE, t("13:05"))
    excursion = next(f for f in later.findings if f.code == "EXCURSION_HIGH")
    assert (excursion.event_ms, excursion.end_ms, excursion.known_s) == (t("1:00"), t("10:00"), 9 * 3600)
    assert excursion.detected_ms == t("13:05")


def test_a_value_with_four_places_is_refused() -> None:
    with pytest.raises(ValueError, match="three places"):
        judge([ReadingFact("F1", STREAM, 0, Decimal("5.0001"))], FRIDGE, 0)
