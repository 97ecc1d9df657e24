"""The door of the package: facts of one equipment in, what stands of its sensors, door and power out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from alerts.equipment.pairs import Disagree, Drift
from alerts.equipment.periods import Door, Holdover, ImpossibleRun, Power, RunsInMinutes
from alerts.equipment.presence import NoData, Offline
from alerts.equipment.rule import Rule, Settings
from alerts.equipment.sensors import BatteryLow, ClockBack, Noise, RangeBound, SensorFault, Step, Stuck
from alerts.equipment.thresholds import Thresholds, builtin_thresholds
from alerts.equipment.track import Track
from alerts.rules.facts import ReadingFact
from alerts.rules.finding import RuleFinding

ALL: tuple[type[Rule[Any]], ...] = (
    SensorFault,
    RangeBound,
    Step,
    Stuck,
    Noise,
    BatteryLow,
    ClockBack,
    Disagree,
    Drift,
    Offline,
    NoData,
    Door,
    Power,
    Holdover,
    ImpossibleRun,
    RunsInMinutes,
)
"""Every rule that walks with the readings, in the order in which a reader may want them."""


def watched_quantities() -> frozenset[str]:
    """The quantities that these rules look at."""
    return frozenset().union(*(rule.quantities for rule in ALL))


def new_track(settings: Settings, thresholds: Thresholds | None = None) -> Track:
    """An equipment of which nothing is known yet."""
    data = builtin_thresholds() if thresholds is None else thresholds
    return Track(settings, [rule(data) for rule in ALL], data.version)


def judge_equipment(
    facts: Iterable[ReadingFact], settings: Settings, now_ms: int, thresholds: Thresholds | None = None
) -> list[RuleFinding]:
    """What stands at ``now_ms``, from scratch: a function of the set of facts. ``detected_ms`` is left 0."""
    track = new_track(settings, thresholds)
    track.take(facts)
    return track.findings(now_ms)
