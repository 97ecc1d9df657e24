"""SMILE's own judgement at push time, as recorded from the running core (facts/smile-core-api.md 4.2, smile-and-waste 11).

Two kinds of comparison: the recorded cases themselves, and the stand-in of the core (``firmware_sim/smile_core``, which
knows nothing of our rules) on random histories in order of time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal

from alerts.profiles import builtin_profiles
from alerts.rules import Profiles, ReadingFact, StreamSettings, judge
from benchmarks.validation.answers import Answer, Outcome, same
from firmware_sim.smile_core.excursion import Abnormal, Range, step

MIN = 60_000
STREAM = "S1/temperature_c"
Rows = Sequence[tuple[int, str]]  # (minute, C)


def ours(rows: Rows, interval_min: int) -> list[tuple[int, str]]:
    """(minute, side) of each time SMILE would notify, by our profile ``smile_grace``."""
    facts = [ReadingFact("F1", STREAM, t * MIN, Decimal(c)) for t, c in rows]
    profiles = Profiles(
        builtin_profiles(), {"F1": ("smile_grace",)}, {STREAM: StreamSettings(interval_min * 60)}, ("smile_grace",)
    )
    found = [f for f in judge(facts, profiles, rows[-1][0] * MIN) if f.code.startswith("SMILE_")]
    return sorted((f.event_ms // MIN, f.code.removeprefix("SMILE_").lower()) for f in found)


def stand_in(rows: Rows) -> list[tuple[int, str]]:
    """The same by the stand-in: each reading is pushed when it is measured."""
    state: Abnormal | None = None
    said = []
    for minute, c in rows:
        state, side = step(state, Range(2.0, 8.0), minute * MIN, float(c), minute * MIN)
        if side is not None:
            said.append((minute, side.value))
    return said


def level(minutes: int, c: str, every: int = 1, start: int = 0) -> list[tuple[int, str]]:
    return [(t, c) for t in range(start, start + minutes + 1, every)]


def smile_answers(histories: int = 200, seed: int = 4) -> list[Answer]:
    recorded = "SMILE core, recorded"
    twice = ours(level(963, "9.1"), 1)
    low = ours(level(61, "1.5"), 1)
    reset = [*level(239, "8.1", 10), (240, "5.0"), *level(490, "8.1", 10, 250)]
    turned = [*level(50, "1.5", 10), *level(490, "9.0", 10, 60)]
    made = [
        same(
            recorded, "9.1 C: none at 8 h 00, at 8 h 01, again 8 h 01 later", [(481, "above"), (962, "above")], twice
        ),
        same(recorded, "1.5 C: none at 60 minutes, at 61", [(61, "below")], low),
        same(
            "smile-and-waste 11", "8.1 C every 10 min: at 490 min", [(490, "above")], ours(level(490, "8.1", 10), 10)
        ),
        same("smile-and-waste 11", "1.9 C every 10 min: at 70 min", [(70, "below")], ours(level(70, "1.9", 10), 10)),
        same("smile-and-waste 11", "exactly 8.0 for a day: never", [], ours(level(1440, "8.0", 10), 10)),
        same("smile-and-waste 11", "exactly 2.0 for a day: never", [], ours(level(1440, "2.0", 10), 10)),
        same("smile-and-waste 11", "a normal reading starts the timer anew", [(740, "above")], ours(reset, 10)),
        same("smile-core-api 4.2", "a change of side starts it anew", stand_in(turned), ours(turned, 10)),
    ]
    chance = random.Random(f"smile/{seed}")
    differ = [h for h in (_random(chance) for _ in range(histories)) if ours(h, 10) != stand_in(h)]
    made.append(
        Answer(
            "stand-in of the core",
            f"{histories} random histories in order of time (seed {seed})",
            "its notifications",
            f"{histories - len(differ)} the same",
            "equal",
            Outcome.DIFFERS if differ else Outcome.AGREES,
        )
    )
    late = [*level(130, "9.1", 10), *level(480, "9.1", 10, 140)]
    made.append(
        Answer(
            "SMILE core, recorded",
            "readings that come late (outage, then backfill)",
            "none: it judges in order of arrival",
            f"above at {ours(late, 10)[0][0]} min",
            "-",
            Outcome.INTENT,
            "ours are judged by the device's time, whatever the order of arrival (smile-and-waste 13)",
        )
    )
    made.append(
        Answer(
            "SMILE core, recorded",
            "a limit or a reading of exactly 0",
            "counts as missing",
            "a number like any other",
            "-",
            Outcome.INTENT,
            "smile-and-waste 12; shown on the page as what SMILE says",
        )
    )
    return made


def _random(chance: random.Random) -> list[tuple[int, str]]:
    """Two days, every ten minutes, in stretches that stay on one side for minutes to many hours."""
    rows: list[tuple[int, str]] = []
    minute = 0
    while minute < 2880:
        c = chance.choice(("1.9", "2.0", "5.0", "8.0", "8.1", "9.4", "1.0"))
        for _ in range(chance.choice((1, 2, 6, 8, 30, 50, 55))):
            rows.append((minute, c))
            minute += 10
    return rows
