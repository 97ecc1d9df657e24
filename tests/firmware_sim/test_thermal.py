"""The thermal model: what a refrigerator does with and without mains, as a function of the plan alone."""

from __future__ import annotations

from itertools import pairwise

from firmware_sim.faults import Fault, FaultBook, FaultKind
from firmware_sim.loggers import Sampler
from firmware_sim.thermal import Equipment, ThermalModel

FRIDGE = Equipment("fridge-1", setpoint_c=4.5, ambient_c=30)
FREEZER = Equipment("freezer-1", setpoint_c=-20, ambient_c=30)


def _outage(at_s: float, for_s: float) -> FaultBook:
    return FaultBook([Fault(FaultKind.MAINS_OFF, at_s, at_s + for_s, "fridge-1")])


def test_a_healthy_refrigerator_stays_between_2_and_8_and_its_compressor_cycles() -> None:
    for seed in range(5):
        model = ThermalModel(FRIDGE, seed, FaultBook())
        states = [model.at(s) for s in range(0, 86_400, 60)]
        assert 3.0 < min(s.probe_c for s in states) < 4.2
        assert 4.8 < max(s.probe_c for s in states) < 6.0
        changes = sum(a.compressor_on != b.compressor_on for a, b in pairwise(states))
        assert 40 < changes < 200


def test_a_freezer_holds_minus_20() -> None:
    model = ThermalModel(FREEZER, 1, FaultBook())
    values = [model.at(s).probe_c for s in range(0, 86_400, 60)]
    assert min(values) > -21.5
    assert max(values) < -18.5


def test_eleven_hours_without_mains_pass_8_degrees_within_an_hour_and_stay_above_until_mains_returns() -> None:
    for seed in range(8):
        model = ThermalModel(FRIDGE, seed, _outage(7200, 39_600))
        crossed = next(s for s in range(7200, 46_800, 10) if model.at(s).probe_c > 8)
        assert 1200 < crossed - 7200 <= 3900
        assert all(model.at(s).probe_c > 8 for s in range(crossed, 46_800, 60))
        assert model.at(46_700).probe_c > 20
        back = next(s for s in range(46_800, 86_400, 10) if model.at(s).probe_c < 8)
        assert back - 46_800 < 3 * 3600


def test_an_open_door_warms_faster_than_a_closed_one_without_mains() -> None:
    book = FaultBook([Fault(FaultKind.DOOR_OPEN, 600, 1800, "fridge-1")])
    opened = ThermalModel(FRIDGE, 1, book)
    assert opened.door_open(600)
    assert not opened.door_open(1800)
    assert opened.at(1800).probe_c > ThermalModel(FRIDGE, 1, _outage(600, 1200)).at(1800).probe_c + 1


def test_values_do_not_depend_on_when_or_in_what_order_they_are_asked_for() -> None:
    def values(order: list[int]) -> dict[int, str]:
        book = _outage(7200, 39_600)
        sampler = Sampler("BT-0001", ThermalModel(FRIDGE, 7, book), 900, 7, book)
        return {k: str(sampler.sample(k).temperature_c) for k in order}

    forward = list(range(60))
    assert values(forward) == values(forward[::-1])
    assert len(set(values(forward).values())) > 20
    assert all(len(text.split(".")[1]) == 2 for text in values(forward).values())


def test_another_seed_gives_other_values() -> None:
    def first(seed: int) -> list[str]:
        sampler = Sampler("BT-0001", ThermalModel(FRIDGE, seed, FaultBook()), 900, seed, FaultBook())
        return [str(sampler.sample(k).temperature_c) for k in range(20)]

    assert first(1) != first(2)


def test_a_broken_probe_gives_no_value_and_a_stuck_one_repeats_the_last() -> None:
    book = FaultBook(
        [
            Fault(FaultKind.PROBE_FAULT, 1800, 2700, "BT-0001"),
            Fault(FaultKind.STUCK_VALUE, 3600, 9000, "BT-0001"),
        ]
    )
    sampler = Sampler("BT-0001", ThermalModel(FRIDGE, 1, book), 900, 1, book)
    assert sampler.sample(2).temperature_c is None
    assert sampler.sample(3).temperature_c is not None
    assert len({sampler.sample(k).temperature_c for k in range(4, 10)}) == 1


def test_a_device_that_starts_late_has_not_measured_earlier() -> None:
    sampler = Sampler("BT-0001", ThermalModel(FRIDGE, 1, FaultBook()), 900, 1, FaultBook())
    assert [sampler.first_index(s) for s in (-50.0, 0.0, 0.1, 900.0, 901.0)] == [0, 0, 1, 1, 2]
