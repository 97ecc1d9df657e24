"""The latest forecast of an equipment: written over, read by the pages, no part of the audit."""

from __future__ import annotations

from typing import Any

SOON = {"code": "ABOVE_SOON", "limit_c": "8.0", "low_min": 30, "likely_min": 40, "high_min": 55}


def test_the_last_one_stands_and_none_is_none(world: Any) -> None:
    assert world.records.forecast("F1") is None
    before = world.records.newest_change()
    world.records.save_forecasts({"F1": {"forecast": SOON}, "F2": {"forecast": None, "holdovers": []}}, 1)
    assert world.records.forecast("F1") == SOON
    assert world.records.forecast("F2") is None
    world.records.save_forecasts({"F1": {"forecast": None}}, 2)
    assert world.records.forecast("F1") is None
    assert set(world.records.forecast_documents()) == {"F1", "F2"}
    assert world.records.newest_change() == before


def test_saving_nothing_is_nothing(world: Any) -> None:
    world.records.save_forecasts({}, 1)
    assert world.records.forecast_documents() == {}
