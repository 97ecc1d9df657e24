"""A site's part of a replay: all that it needs in one value, so that any process can do it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from alerts.judgement import Limits, Told, judge_told
from alerts.manners import Manners
from alerts.products import Product
from alerts.replay import BatchReplayed, Replayed, replay
from alerts.rules import Profiles
from smile_iot.replay_source import Stored


@dataclass(frozen=True, slots=True)
class SiteTask:
    """``profiles`` and ``limits`` (of batches): as they are, as changed. ``span``: [from, now].

    ``manners``: how the installation tells; ``contacts``: of the people who are told first.
    """

    site: str
    zone: str
    manners: Manners
    contacts: int
    equipment: tuple[str, ...]
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
    people = (task.manners, task.zone, task.contacts)
    with closing(task.stored.open()) as source:
        done = []
        for name in task.equipment:
            streams = {s: source.points(name, s) for place, s in task.stored.homes if place == name}
            done.append(replay(name, task.site, streams, task.profiles, task.span, people))
        batches = []
        for told in task.batches:
            facts = source.facts(told.stays)
            as_is = judge_told(told, facts, task.limits[0], task.products, task.span[1])
            then = judge_told(told, facts, task.limits[1], task.products, task.span[1])
            # The readings stay here: what is told are the verdicts.
            slim = (replace(judged, facts=(), exposure=None) for judged in (as_is, then))
            batches.append(BatchReplayed(told.batch.id, task.site, *slim))
    return SiteAnswer(task.site, tuple(done), tuple(batches))
