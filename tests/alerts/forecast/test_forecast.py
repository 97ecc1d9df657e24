"""The forecast (issue 4): said from a warming curve or from holdovers seen before, and silent when it cannot be good."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.forecast import Basis, Forecast, Holdover, Silence, Situation, forecast, look
from alerts.forecast.holdover import holdover

MIN = 60_000
H = 60 * MIN
LIMIT = Decimal("8.0")


def warming(start_c: float, room_c: float, tau_h: float, minutes: int, every: int = 5) -> tuple[tuple[int, int], ...]:
    """T = room - (room - start) exp(-t / tau), rounded to a hundredth."""
    times = range(0, minutes + 1, every)
    return tuple(
        (t * MIN, round((room_c - (room_c - start_c) * math.exp(-t / 60 / tau_h)) * 100) * 10) for t in times
    )


def reach_min(start_c: float, room_c: float, tau_h: float, limit_c: float = 8.0) -> float:
    return 60 * tau_h * math.log((room_c - start_c) / (room_c - limit_c))


CUT = Situation(warming(4.5, 30, 5, 20), LIMIT, 5 * MIN, mains_off_ms=0, room_c=Decimal(30))


def test_a_refrigerator_at_4_5_in_a_room_of_30_is_above_8_in_about_25_minutes_after_20_without_mains() -> None:
    """The simulator's default: passes 8.0 after 44 minutes (firmware_sim/thermal.py)."""
    truth = reach_min(4.5, 30, 5) - 20
    made = forecast(CUT, 20 * MIN)
    assert made is not None
    assert (made.code, made.limit_c, made.basis, made.value_c) == ("ABOVE_SOON", LIMIT, Basis.CURVE, Decimal("6.14"))
    assert truth == pytest.approx(24.3, abs=0.1)
    assert abs(made.likely_min - truth) <= 2
    assert made.low_min <= truth <= made.high_min
    assert made.high_min - made.low_min <= 15


def test_without_an_ambient_reading_the_range_is_wider_and_still_holds() -> None:
    known, guessed = forecast(CUT, 20 * MIN), forecast(replace(CUT, room_c=None), 20 * MIN)
    assert known is not None
    assert guessed is not None
    assert guessed.low_min <= known.low_min
    assert guessed.low_min <= reach_min(4.5, 30, 5) - 20 <= guessed.high_min


def test_one_wild_reading_changes_little() -> None:
    wild = list(warming(4.5, 30, 5, 35))
    calm = replace(CUT, readings=tuple(wild))
    wild[2] = (wild[2][0], wild[2][1] + 900)
    one, other = forecast(calm, 35 * MIN), forecast(replace(CUT, readings=tuple(wild)), 35 * MIN)
    assert one is not None
    assert other is not None
    assert abs(one.likely_min - other.likely_min) <= 4


@pytest.mark.parametrize(
    ("why", "situation", "now_min"),
    [
        (Silence.NO_READINGS, replace(CUT, readings=()), 20),
        (Silence.NO_READINGS, CUT, 40),
        (Silence.ABOVE, replace(CUT, readings=warming(4.5, 30, 5, 50)), 50),
        (Silence.TOO_FEW, replace(CUT, readings=warming(4.5, 30, 5, 10)), 10),
        (Silence.TOO_FEW, replace(CUT, readings=warming(4.5, 30, 5, 20, 10)), 20),
        (Silence.DOOR, replace(CUT, door_ms=15 * MIN), 20),
        (Silence.DOOR, replace(CUT, door_ms=-60 * MIN, door_open=True), 20),
        (Silence.POWER_BACK, replace(CUT, mains_off_ms=None, mains_on_ms=10 * MIN), 20),
        (Silence.USUAL, replace(CUT, mains_off_ms=None), 20),
        (Silence.USUAL, replace(CUT, mains_off_ms=None, usual_high_m=6100), 20),
        (Silence.NOT_RISING, replace(CUT, readings=tuple((t * MIN, 5000) for t in range(0, 21, 5))), 20),
        (Silence.COLD_ROOM, replace(CUT, room_c=Decimal(9)), 20),
        (Silence.LEVELLING, replace(CUT, readings=warming(4.0, 7.0, 0.2, 40)), 40),
        (Silence.HELD, replace(CUT, readings=warming(4.5, 30, 12, 40)), 40),
    ],
)
def test_it_is_silent_when_it_cannot_be_good(why: Silence, situation: Situation, now_min: int) -> None:
    assert look(situation, now_min * MIN) is why
    assert forecast(situation, now_min * MIN) is None


def test_with_mains_on_it_speaks_once_it_is_warmer_than_this_equipment_ever_is() -> None:
    on = replace(CUT, mains_off_ms=None, usual_high_m=5300)
    made = forecast(replace(on, readings=warming(4.5, 30, 5, 30)), 30 * MIN)
    assert made is not None
    assert made.basis is Basis.CURVE
    assert (
        look(replace(on, readings=warming(4.5, 30, 5, 25)), 25 * MIN) is Silence.TOO_FEW
    )  # warm stock that was put in looks the same for so long


@pytest.mark.parametrize("mains_off_ms", [0, None])
def test_a_rise_towards_the_ice_of_an_ice_lined_refrigerator_is_no_warming_of_its_room(
    mains_off_ms: int | None,
) -> None:
    """Compressor failed or mains away: towards 6.5 in the time constant of its wall, and there for the hours of its ice."""
    towards_ice = warming(4.0, 6.5, 5, 180)
    iced_one = replace(CUT, readings=towards_ice, mains_off_ms=mains_off_ms, usual_high_m=4000)
    said = {look(iced_one, t * MIN) for t in range(20, 181, 5)}
    assert not [f for f in said if isinstance(f, Forecast)]
    assert Silence.HELD in said


def test_once_the_ice_is_gone_the_warming_is_forecast_as_that_of_any_other() -> None:
    level = tuple((t * MIN, 6500) for t in range(-180, 0, 5))
    after = Situation((*level, *warming(6.5, 30, 8, 20)), LIMIT, 5 * MIN, mains_off_ms=-600 * MIN, room_c=Decimal(30))
    made = forecast(after, 20 * MIN)
    assert made is not None
    assert made.low_min <= reach_min(6.5, 30, 8) - 20 <= made.high_min


def test_readings_before_the_cut_and_after_now_play_no_part() -> None:
    before = tuple((-t * MIN, 4500 + 40 * (t % 3)) for t in range(60, 0, -5))
    after = ((25 * MIN, 9000),)
    assert forecast(replace(CUT, readings=(*before, *CUT.readings, *after)), 20 * MIN) == forecast(CUT, 20 * MIN)


# --- holdover ---------------------------------------------------------------------------------------------


def cut(began_h: float, held_h: float, lasted_h: float, plateau_m: int = 5000) -> Holdover:
    """A cut of an ice-lined refrigerator: level while the ice lasts, then 9 degrees."""
    times = range(0, int(lasted_h * 60) + 1, 15)
    readings = [(int(began_h * H) + t * MIN, plateau_m if t < held_h * 60 else 9000) for t in times]
    made = holdover(readings, int(began_h * H), int((began_h + lasted_h) * H), 8000)
    assert made is not None
    return made


LEVEL = tuple((t * MIN, 5000) for t in range(60, 241, 15))  # four hours into a cut, and nothing rises


def iced(*known: Holdover) -> Situation:
    return Situation(LEVEL, LIMIT, 15 * MIN, mains_off_ms=0, holdovers=known)


def test_in_a_power_cut_the_holdover_seen_before_is_the_forecast() -> None:
    made = forecast(iced(cut(-200, 20, 24), cut(-100, 22, 24)), 4 * H)
    assert made is not None
    assert (made.basis, made.likely_min) == (Basis.HOLDOVER, 17 * 60)  # between 20 and 22 hours, less the 4
    assert made.low_min <= 16 * 60 <= 18 * 60 <= made.high_min


def test_a_cut_that_ended_in_range_only_says_it_would_have_held_longer() -> None:
    assert forecast(iced(cut(-200, 99, 10)), 4 * H) is None
    made = forecast(iced(cut(-200, 20, 24), cut(-100, 99, 22)), 4 * H)
    assert made is not None
    assert made.likely_min == 18 * 60


@pytest.mark.parametrize(
    "situation",
    [
        iced(cut(-60, 20, 24)),  # ended 36 hours before: the ice may not be there again
        replace(iced(cut(-200, 20, 24)), mains_off_ms=None),  # no cut
        replace(iced(cut(-200, 20, 24)), readings=tuple((t, v + 1500) for t, v in LEVEL)),  # warmer than ever by then
        iced(cut(-200, 3, 24)),  # outlived
    ],
)
def test_holdovers_that_do_not_apply_say_nothing(situation: Situation) -> None:
    assert forecast(situation, 4 * H) is None


def test_a_curve_that_contradicts_the_holdover_is_the_ice_settling_and_not_its_end() -> None:
    """The first half hour of a cut rises towards the ice's own temperature, and a curve alone would cry wolf."""
    early = Situation(warming(4.5, 30, 5, 20), LIMIT, 5 * MIN, mains_off_ms=0, holdovers=(cut(-200, 20, 24, 6500),))
    made = forecast(early, 20 * MIN)
    assert made is not None
    assert made.basis is Basis.HOLDOVER
    assert forecast(replace(early, holdovers=()), 20 * MIN).basis is Basis.CURVE  # type: ignore[union-attr]


def test_req_31_the_appliances_own_hold_is_said_at_once() -> None:
    """cold-chain 6, 31: outage with HOLD 0.2 d: 4.8 hours left, at once."""
    first = Situation(((0, 5000),), LIMIT, 15 * MIN, mains_off_ms=0, hold_until_ms=int(4.8 * H))
    made = forecast(first, 0)
    assert made is not None
    assert (made.basis, made.likely_min) == (Basis.HOLD, 288)


def test_a_short_cut_and_one_that_began_warm_teach_nothing() -> None:
    assert holdover([(0, 5000), (5 * MIN, 5000), (10 * MIN, 5000)], 0, 10 * MIN, 8000) is None
    assert holdover([(t * 10 * MIN, 9000) for t in range(9)], 0, 80 * MIN, 8000) is None


def test_warm_stock_put_in_during_a_cut_is_not_the_end_of_its_cold() -> None:
    """Above the limit for an hour in the third, back in range on its ice, and above it for good after ten."""
    stock, ice = [(t * MIN, 8600 if 180 <= t < 240 else 5000) for t in range(0, 600, 10)], 600
    end = [(t * MIN, 8000 + (t - ice) * 10) for t in range(ice, 720, 10)]
    made = holdover([*stock, *end], 0, 720 * MIN, 8000)
    assert made is not None
    assert (made.passed, made.held_ms) == (True, 610 * MIN)
    back = holdover(stock, 0, 600 * MIN, 8000)
    assert back is not None
    assert (back.passed, back.held_ms) == (False, 600 * MIN)


def test_what_was_above_for_hours_was_the_end_of_the_cold_also_where_ice_packs_brought_it_back() -> None:
    """Else the whole cut would be remembered as held, and the next one be foretold too late."""
    readings = [(t * MIN, 5000 if t < 60 else 12_000) for t in range(0, 300, 5)]
    made = holdover([*readings, (300 * MIN, 7900), (305 * MIN, 7800)], 0, 305 * MIN, 8000)
    assert made is not None
    assert (made.passed, made.held_ms) == (True, 60 * MIN)


def test_one_wild_reading_at_the_end_of_a_cut_is_not_the_end_of_its_cold() -> None:
    readings = [(t * 10 * MIN, 5000) for t in range(11)]
    made = holdover([*readings[:-1], (100 * MIN, 12_000)], 0, 105 * MIN, 8000)
    assert made is not None
    assert (made.passed, made.held_ms) == (False, 105 * MIN)


def test_one_wild_reading_neither_ends_a_holdover_nor_prolongs_it() -> None:
    readings = [(t * 10 * MIN, 5000 if t < 30 else 9000) for t in range(48)]
    clean = holdover(readings, 0, 480 * MIN, 8000)
    readings[12], readings[40] = (120 * MIN, 12_000), (400 * MIN, 2000)
    assert clean is not None
    wild = holdover(readings, 0, 480 * MIN, 8000)
    assert wild is not None
    assert (wild.held_ms, wild.passed) == (clean.held_ms, clean.passed) == (300 * MIN, True)


# --- properties -------------------------------------------------------------------------------------------


@given(
    st.floats(2.5, 6.0),
    st.floats(22.0, 40.0),
    st.floats(2.0, 12.0),
    st.integers(20, 120),
    st.sampled_from((1, 5, 10)),
)
def test_an_exponential_warming_is_forecast_within_its_range_or_not_at_all(
    start_c: float, room_c: float, tau_h: float, minutes: int, every: int
) -> None:
    readings = warming(start_c, room_c, tau_h, minutes, every)
    now_ms = readings[-1][0]
    here = Situation(readings, LIMIT, every * MIN, mains_off_ms=0, room_c=Decimal(repr(round(room_c, 1))))
    made = forecast(here, now_ms)
    if made is None:
        return
    truth = reach_min(start_c, room_c, tau_h) - now_ms / MIN
    assert made.low_min <= made.likely_min <= made.high_min
    assert made.low_min - 1 <= truth <= made.high_min + 1
    assert abs(made.likely_min - truth) <= max(3, 0.1 * truth)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(-5000, 12000)), max_size=60, unique_by=lambda r: r[0]))
def test_nothing_makes_it_fail_and_the_range_is_in_order(rows: list[tuple[int, int]]) -> None:
    readings = tuple(sorted((t * MIN, v) for t, v in rows))
    made = look(Situation(readings, LIMIT, 5 * MIN, mains_off_ms=0, usual_high_m=5000), 200 * MIN)
    if isinstance(made, Forecast):
        assert 0 <= made.low_min <= made.likely_min <= made.high_min <= 12 * 60
