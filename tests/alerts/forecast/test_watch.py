"""What is remembered of an equipment to forecast: bounded, and quiet on a calm one."""

from __future__ import annotations

from decimal import Decimal

from alerts.forecast import Basis, Forecast, Silence, Watch
from alerts.rules import ReadingFact, StreamSettings

MIN = 60_000
H = 60 * MIN
DAY = 24 * H


def temperature(t_ms: int, value: str, serial: str = "A") -> ReadingFact:
    return ReadingFact("F1", f"{serial}/temperature_c", t_ms, Decimal(value))


def switch(t_ms: int, quantity: str, on: bool) -> ReadingFact:
    return ReadingFact("F1", f"A/{quantity}", t_ms, Decimal(int(on)))


def cycling(from_ms: int, to_ms: int, serial: str = "A") -> list[ReadingFact]:
    """Between 4.0 and 5.5, a cycle an hour."""
    return [
        temperature(t, str(Decimal("4.0") + Decimal("0.1") * (t // (4 * MIN) % 15)), serial)
        for t in range(from_ms, to_ms, 5 * MIN)
    ]


def rising(from_ms: int, count: int, serial: str = "A") -> list[ReadingFact]:
    return [
        temperature(from_ms + i * 5 * MIN, str(Decimal("4.0") + Decimal("0.25") * i), serial) for i in range(count)
    ]


def watch(*facts: ReadingFact) -> Watch:
    made = Watch(Decimal("8.0"))
    made.add(sorted(facts, key=lambda f: f.t_ms))
    return made


def test_the_rise_between_two_runs_of_the_compressor_is_no_forecast() -> None:
    seen = watch(*cycling(0, 2 * DAY))
    assert {seen.look(t) for t in range(2 * DAY - 2 * H, 2 * DAY, 5 * MIN)} <= {Silence.USUAL}


def test_warmer_than_usual_and_rising_is_one_also_with_mains_on() -> None:
    made = watch(*cycling(0, DAY), *rising(DAY, 13)).look(DAY + H)
    assert isinstance(made, Forecast)
    assert made.low_min <= 20 <= made.high_min  # a quarter of a degree every five minutes, from 7.0


def test_a_second_thermometer_that_sees_nothing_of_it_makes_it_silent() -> None:
    seen = watch(*cycling(0, DAY), *rising(DAY, 13), *cycling(0, DAY + H, "B"))
    assert seen.look(DAY + H) is Silence.DISAGREE


def test_a_power_cut_is_remembered_with_how_long_it_held() -> None:
    def cut(began: int) -> list[ReadingFact]:
        held = [temperature(began + t * MIN, "5.0" if t < 300 else "9.0") for t in range(0, 360, 10)]
        return [switch(began, "mains_power_on", False), *held, switch(began + 6 * H, "mains_power_on", True)]

    seen = watch(switch(0, "mains_power_on", True), *cycling(0, DAY), *cut(DAY), *cycling(DAY + 6 * H, 4 * DAY))
    seen.add([switch(4 * DAY, "mains_power_on", False), temperature(4 * DAY, "5.0"), temperature(4 * DAY + H, "5.0")])
    made = seen.look(4 * DAY + H, {"A/temperature_c": StreamSettings(3600)})
    assert isinstance(made, Forecast)
    assert (made.basis, made.likely_min) == (Basis.HOLDOVER, 240)


def test_req_31_hold_of_a_ds01_appliance_counts_from_the_cut_or_from_its_record_in_it() -> None:
    """cold-chain 6, 31: HOLD 0.2 d: 4.8 hours left at once. SVA 0 is no mains."""

    def record(t_ms: int, quantity: str, value: str) -> ReadingFact:
        return ReadingFact("F1", f"A/{quantity}", t_ms, Decimal(value))

    before = [record(DAY, "holdover_d", "0.2"), record(DAY, "mains_available_s", "900")]
    seen = watch(
        *cycling(0, DAY + H), *before, record(DAY + H, "mains_available_s", "0"), temperature(DAY + H, "5.0")
    )
    made = seen.look(DAY + H)
    assert isinstance(made, Forecast)
    assert (made.basis, made.likely_min) == (Basis.HOLD, 288)
    seen.add([record(DAY + 2 * H, "holdover_d", "0.1"), temperature(DAY + 2 * H, "5.0")])
    later = seen.look(DAY + 2 * H)
    assert isinstance(later, Forecast)
    assert later.likely_min == 144


def test_mains_that_are_back_silence_it_for_half_an_hour() -> None:
    off, on = switch(DAY, "mains_power_on", False), switch(DAY + 58 * MIN, "mains_power_on", True)
    seen = watch(*cycling(0, DAY), off, *rising(DAY, 13), on)
    assert seen.look(DAY + H) is Silence.POWER_BACK


def test_a_door_that_was_open_a_moment_ago_silences_it() -> None:
    door = [switch(DAY + 50 * MIN, "door_open", True), switch(DAY + 55 * MIN, "door_open", False)]
    seen = watch(switch(0, "door_open", False), *cycling(0, DAY), *rising(DAY, 13), *door)
    assert seen.look(DAY + H) is Silence.DOOR


def test_a_door_that_stands_open_silences_it() -> None:
    door = [switch(DAY - 60 * MIN, "door_open", True), switch(DAY + 55 * MIN, "door_open", True)]
    seen = watch(switch(0, "door_open", False), *cycling(0, DAY), *rising(DAY, 13), *door)
    assert seen.look(DAY + H) is Silence.DOOR


def test_memory_stays_bounded_and_other_quantities_are_none_of_its_business() -> None:
    seen = Watch(Decimal("8.0"))
    for day in range(0, 30, 5):
        seen.add(cycling(day * DAY, (day + 1) * DAY))
        seen.add(switch(day * DAY + i * MIN, "mains_power_on", i % 2 == 0) for i in range(300))
        seen.add([ReadingFact("F1", "A/battery_percent", day * DAY, Decimal(50))])
    (stream,) = seen._streams.values()
    assert (len(stream.readings) <= 240, len(stream.hourly) <= 60, len(stream.holdovers) <= 8) == (True,) * 3
    assert len(seen._mains.samples) <= 64
    assert list(seen._streams) == ["A/temperature_c"]


def test_facts_in_another_order_give_the_same_words() -> None:
    facts = [*cycling(0, DAY), switch(DAY, "mains_power_on", False), *rising(DAY, 13)]
    backwards = Watch(Decimal("8.0"))
    backwards.add(reversed(facts))
    assert backwards.look(DAY + H) == watch(*facts).look(DAY + H)
