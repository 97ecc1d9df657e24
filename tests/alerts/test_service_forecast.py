"""The forecast through the service: journal in, the latest word of each equipment in the records out, never a finding."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from telemetry.errors import NeighbourDownError

MIN = 60_000
HOUR = 60 * MIN


def switched(world: Any, t_ms: int, on: bool) -> Any:
    return replace(world.reading(t_ms, "0"), stream_id="LOG-A/mains_power_on", value=Decimal(int(on)))


def warming(world: Any, from_ms: int, minutes: int) -> list[Any]:
    """Five hundredths of a degree a minute from 5.0 on, every five minutes."""
    return [
        world.reading(from_ms + m * MIN, str(Decimal("5.0") + Decimal("0.05") * m)) for m in range(0, minutes + 1, 5)
    ]


def power_cut(world: Any, start: int) -> None:
    world.device("LOG-A", "F1", 300)
    world.alerts.start()
    world.say(switched(world, start, True), *world.temperatures(0, 2, "5.0", every_min=5))
    world.at(2)
    assert world.records.forecast("F1") is None
    cut = start + 2 * HOUR + MIN
    world.say(switched(world, cut, False), *warming(world, cut, 30))
    world.at(2 + 31.5 / 60)


def test_above_8_in_about_half_an_hour_is_in_the_records_and_no_finding(world: Any, start: int) -> None:
    """6.5 after 30 minutes at 3 degrees an hour: another 30 minutes, if nothing changes."""
    power_cut(world, start)
    said = world.records.forecast("F1")
    assert said is not None
    assert (said["code"], said["limit_c"], said["basis"], said["value_c"]) == ("ABOVE_SOON", "8.0", "curve", "6.5")
    assert said["low_min"] <= 29 <= said["high_min"]
    assert abs(said["likely_min"] - 29) <= 4
    assert said["made_ms"] == world.clock.wall_ms
    assert world.records.findings(equipment="F1") == []
    assert world.alarms() == []


def test_it_goes_when_mains_are_back_and_when_the_logger_falls_silent(world: Any, start: int) -> None:
    power_cut(world, start)
    back = start + 2 * HOUR + 33 * MIN
    world.say(switched(world, back, True))
    world.at(2 + 33 / 60)
    assert world.records.forecast("F1") is None
    power_cut_again = replace(switched(world, back + MIN, False))
    world.say(power_cut_again, *warming(world, back + MIN, 30))
    world.at(3 + 4.5 / 60)
    assert world.records.forecast("F1") is not None
    world.at(3.5)  # no reading for 25 minutes: nothing can be said any more
    assert world.records.forecast("F1") is None


def test_why_nothing_is_forecast_is_kept_with_its_time_and_not_written_for_each_turn_of_the_compressor(
    world: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.alerts.start()
    world.say(*world.temperatures(0, 1, "5.0"))
    world.at(1.01)
    said = world.records.forecast_silence("F1")
    assert said == {"why": "usual", "since_ms": world.clock.wall_ms}
    written: list[int] = []
    save = world.records.save_forecasts
    monkeypatch.setattr(world.records, "save_forecasts", lambda d, at: written.append(at) or save(d, at))
    world.say(world.reading(start + HOUR + 3 * MIN, "8.5"))
    world.at(1 + 4 / 60)
    assert (written, world.records.forecast_silence("F1")) == ([], said)
    world.say(world.reading(start + HOUR + 14 * MIN, "8.5"))
    world.at(1.25)
    assert world.records.forecast_silence("F1") == {"why": "above", "since_ms": world.clock.wall_ms}


def test_a_new_process_says_the_same_again_and_remembers_the_cuts(world: Any, start: int) -> None:
    power_cut(world, start)
    said = world.records.forecast("F1")
    world.again()
    world.turn()
    assert world.records.forecast("F1") == said
    back = start + 2 * HOUR + 40 * MIN
    world.say(*warming(world, start + 2 * HOUR + MIN, 38), switched(world, back, True))
    world.at(2 + 41 / 60)
    (kept,) = world.records.forecast_documents()["F1"]["holdovers"]
    assert (kept["stream"], kept["passed"], kept["held_ms"]) == ("LOG-A/temperature_c", False, 39 * MIN)
    world.clock.wall_ms += 40 * 24 * HOUR
    world.again()
    world.turn()
    assert world.records.forecast_documents()["F1"]["holdovers"] == [kept]


def test_records_that_do_not_answer_cost_a_forecast_and_nothing_else(
    world: Any, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise NeighbourDownError("records", "away")

    with monkeypatch.context() as patch:
        patch.setattr(world.records, "save_forecasts", away)
        power_cut(world, start)
        assert world.records.forecast("F1") is None
    world.at(2 + 33 / 60)
    assert world.records.forecast("F1") is not None
