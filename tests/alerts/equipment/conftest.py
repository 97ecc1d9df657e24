"""Facts by hand: a stream's values at even steps, and records of a quarter of an hour."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

import pytest

from alerts.equipment import DeviceSettings, Settings, judge_equipment
from alerts.rules import ReadingFact, RuleFinding
from telemetry.readings import Quality

MIN = 60_000
HOUR = 60 * MIN
T0 = 1_790_000_000_000 // (24 * HOUR) * 24 * HOUR

Series = Callable[..., list[ReadingFact]]


def series(
    values: Iterable[str | None], every_min: float = 15, *, stream: str = "LOG-A/temperature_c", start_min: float = 0
) -> list[ReadingFact]:
    """One value each ``every_min`` minutes from ``start_min`` on; None is "no value" of a faulty sensor."""
    return [
        ReadingFact(
            "F1",
            stream,
            T0 + int((start_min + i * every_min) * MIN),
            None if v is None else Decimal(v),
            Quality.SENSOR_FAULT if v is None else Quality.GOOD,
        )
        for i, v in enumerate(values)
    ]


def records(rows: Sequence[dict[str, str]], start_min: float = 15, serial: str = "EMD-1") -> list[ReadingFact]:
    """DS01 records of 15 minutes: the first speaks of [start - 15 min, start]."""
    facts: list[ReadingFact] = []
    for i, row in enumerate(rows):
        t_ms = T0 + int((start_min + 15 * i) * MIN)
        facts += [ReadingFact("F1", f"{serial}/{q}", t_ms, Decimal(v)) for q, v in row.items()]
    return facts


def found(
    facts: Iterable[ReadingFact], code: str, now_min: float | None = None, settings: Settings | None = None
) -> list[RuleFinding]:
    """The findings of one code, a minute after the last fact unless said."""
    facts = list(facts)
    now_ms = max(f.t_ms for f in facts) + MIN if now_min is None else T0 + int(now_min * MIN)
    return [f for f in judge_equipment(facts, settings or Settings("F1"), now_ms) if f.code == code]


def minutes(t_ms: int | None) -> float | None:
    return None if t_ms is None else (t_ms - T0) / MIN


def logger(serial: str = "LOG-A", **settings: int) -> Settings:
    return Settings("F1", devices=((serial, DeviceSettings(**settings)),))


class Hand:
    """What the tests of this folder are written with."""

    MIN, HOUR, T0 = MIN, HOUR, T0
    series, records, found, minutes, logger = map(staticmethod, (series, records, found, minutes, logger))


@pytest.fixture
def hand() -> type[Hand]:
    return Hand
