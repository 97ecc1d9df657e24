"""A site's part of a replay: all that it needs in one value, so that any process can do it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from alerts.equipment import Settings
from alerts.judgement import Limits, Told, judge_told
from alerts.products import Product
from alerts.replay import LOOK_BACK_MS, BatchReplayed, People, Replayed, judge_sensors, replay
from alerts.rules import Profiles, RuleFinding
from smile_iot.replay_source import Source, Stored


@dataclass(frozen=True, slots=True)
class Sensors:
    """What the rules over sensors are told (as it is, as changed), and what the records say without any reading."""

    settings: tuple[Settings, Settings]
    said: tuple[RuleFinding, ...]


@dataclass(frozen=True, slots=True)
class SiteTask:
    """``profiles`` and ``limits`` (of batches): as they are, as changed. ``span``: [from, now].

    ``sensors``: of each equipment whose sensors are judged too.
    """

    site: str
    people: People
    equipment: tuple[str, ...]
    sensors: Mapping[str, Sensors]
    stored: Stored
    profiles: tuple[Profiles, Profiles]
    span: tuple[int, int]
    batches: tuple[Told, ...]
    limits: tuple[Limits, Limits]
    products: Mapping[str, Product]


@dataclass(frozen=True, slots=True)
class SiteAnswer:
    site: str
    equipment: tuple[Replayed, ...]
    batches: tuple[BatchReplayed, ...]


def replay_site(task: SiteTask) -> SiteAnswer:
    """No finding and no verdict of a site rests on another, but for a batch's earlier places: its readings are read too."""
    with closing(task.stored.open()) as source:
        done = []
        for name in task.equipment:
            streams = {s: source.points(name, s) for place, s in task.stored.homes if place == name}
            sensors = _sensors(task, name, source)
            done.append(
                replay(name, task.site, streams, task.profiles, task.span, task.people, sensors, task.stored.amended)
            )
        batches = []
        for told in task.batches:
            facts = source.facts(told.stays)
            as_is = judge_told(told, facts, task.limits[0], task.products, task.span[1])
            then = judge_told(told, facts, task.limits[1], task.products, task.span[1])
            # The readings stay here: what is told are the verdicts.
            slim = (replace(judged, facts=(), exposure=None) for judged in (as_is, then))
            batches.append(BatchReplayed(told.batch.id, task.site, *slim))
    return SiteAnswer(task.site, tuple(done), tuple(batches))


def _sensors(task: SiteTask, equipment: str, source: Source) -> tuple[list[RuleFinding], list[RuleFinding]]:
    """As it is, as changed. A limit changes nothing of a sensor: where the settings are the same, so is the answer."""
    asked = task.sensors.get(equipment)
    if asked is None:
        return [], []
    from_ms, now_ms = task.span[0] - LOOK_BACK_MS, task.span[1]
    said = []
    for settings in dict.fromkeys(asked.settings):
        found = judge_sensors(source.watched(equipment, from_ms, now_ms + 1), settings, now_ms)
        said.append([*found, *asked.said])
    return said[0], said[-1]
