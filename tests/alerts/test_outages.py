"""The time series away for a day, the records for minutes: alarms on fresh readings go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from alerts.notify import Message, Notifier
from api.words import Words
from telemetry.errors import NeighbourDownError

MIN = 60_000
HOUR = 60 * MIN


class Away:
    """The records, which may be away."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.down = False

    def __getattr__(self, name: str) -> Any:
        if self.down:
            raise NeighbourDownError("records", "no answer")
        return getattr(self._real, name)


def with_records(world: Any) -> Away:
    away = Away(world.records)
    alerts = world.alerts
    alerts._records = away
    for part in (alerts._batches, alerts._sayings, alerts._weighings, alerts._registry, alerts._sensors):
        part._records = away
    return away


def test_while_the_records_are_away_the_rules_go_on_and_nothing_is_late_when_they_answer(
    world: Any, person: Callable[..., Any]
) -> None:
    """HEAT falls due ten minutes into the outage: found then, saved and told at the first turn after it."""
    person("Sari", "json://sari")
    world.alerts.start()
    world.turn()
    away = with_records(world)
    world.say(*world.temperatures(0, 9.75, "8.5"))
    world.at(9.75)
    away.down = True
    world.say(*world.temperatures(10, 10, "8.5"))
    world.clock.wall_ms += 15 * MIN
    found_ms = world.clock.wall_ms
    for _ in range(3):
        with pytest.raises(NeighbourDownError):
            world.alerts.turn()
        world.clock.wall_ms += 5 * MIN
    assert world.found("HEAT") == []
    away.down = False
    world.turn()
    (heat,) = world.found("HEAT")
    assert heat.detected_ms == found_ms
    sent: list[Message] = []

    def send(_: str, message: Message) -> bool:
        sent.append(message)
        return True

    words = Words("id")
    Notifier(world.records, world.clock, {"id": words}, lambda ms, *_: str(ms), "https://iot", send)()
    (told,) = world.records.notifications(finding=heat.id)
    assert told.at_ms - world.records.alarm(heat.id).opened_ms <= MIN
    assert len(sent) == 1


def test_a_kill_while_the_records_are_away_forgets_nothing(world: Any) -> None:
    world.alerts.start()
    world.turn()
    away = with_records(world)
    away.down = True
    world.say(*world.temperatures(0, 10, "8.5"), world.weighing("W1", "1.5", world.clock.wall_ms))
    world.clock.wall_ms += 10 * HOUR
    for _ in range(8):
        with pytest.raises(NeighbourDownError):
            world.alerts.turn()
    assert (world.found("HEAT"), world.records.weighings()) == ([], [])
    world.again()
    assert len(world.found("HEAT")) == 1
    assert [w.id for w in world.records.weighings()] == ["W1"]


def test_req_35_without_a_time_series_for_a_day_an_alarm_is_found_when_its_deciding_record_is_received(
    world: Any,
) -> None:
    """No store exists in this world (and alerts may not import one): all day an upload an hour, hot from 10:00 on."""
    world.alerts.start()
    for hour in range(24):
        world.clock.wall_ms += HOUR
        world.say(*world.temperatures(hour, hour + 0.75, "8.5" if hour >= 10 else "5.0"))
        world.turn()
    (heat,) = world.found("HEAT")
    assert heat.event_ms == heat.episode_start_ms + 10 * HOUR
    received_ms = next(e.received_at_ms for _, e in world.journal.after(0, 99) if e.received_at_ms > heat.event_ms)
    assert heat.detected_ms == received_ms
    assert world.records.alarm(heat.id).opened_ms == received_ms
