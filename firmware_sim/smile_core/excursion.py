"""Core's two judgements of temperature, as pure functions (facts section 4).

At read time `excursion_of` looks over a logger's history; at push time `step` keeps one small state per logger and
says when to notify. They disagree with each other and with WHO on purpose: that is what the real core does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
BELOW_GRACE_MS = 1 * HOUR_MS  # facts 4.1.4
ABOVE_GRACE_MS = 8 * HOUR_MS
BELOW_NOTIFY_MINUTES = 60  # facts 4.2
ABOVE_NOTIFY_MINUTES = 480
STATE_LIFE_MS = 24 * HOUR_MS


class Side(StrEnum):
    """On which side of the range a temperature lies."""

    BELOW = "below"
    ABOVE = "above"


@dataclass(frozen=True, slots=True)
class Range:
    """Limits in degrees Celsius; both ends are inside."""

    min_c: float
    max_c: float

    def side(self, temperature_c: float) -> Side | None:
        """The side a temperature is out on, or None when it is in range."""
        if temperature_c < self.min_c:
            return Side.BELOW
        return Side.ABOVE if temperature_c > self.max_c else None


def excursion_of(limits: Range | None, readings: Sequence[tuple[int, float]]) -> str | None:
    """ "normal", "below", "above", "unknown" or None (out, not long enough yet).

    `readings` are (reading time in ms, temperature), any order. A limit or a newest temperature of exactly 0 counts
    as missing (facts 4.1.2).
    """
    if limits is None or not limits.min_c or not limits.max_c or not readings:
        return "unknown"
    ordered = sorted(readings, key=lambda reading: reading[0])
    newest_ms, newest_c = ordered[-1]
    if newest_c == 0:
        return "unknown"
    side = limits.side(newest_c)
    if side is None:
        return "normal"
    grace_ms = BELOW_GRACE_MS if side is Side.BELOW else ABOVE_GRACE_MS
    return side.value if newest_ms - _onset_ms(limits, ordered) > grace_ms else None


def _onset_ms(limits: Range, ordered: Sequence[tuple[int, float]]) -> int:
    onset_ms = ordered[-1][0]
    for at_ms, temperature_c in reversed(ordered):
        if limits.side(temperature_c) is None:
            break
        onset_ms = at_ms  # not reset when the side changes
    return onset_ms


@dataclass(frozen=True, slots=True)
class Abnormal:
    """What Redis keeps per logger: the side and time of the first abnormal reading, and when that was written."""

    side: Side
    since_ms: int
    written_ms: int


def step(
    state: Abnormal | None, limits: Range, at_ms: int, temperature_c: float, now_ms: int
) -> tuple[Abnormal | None, Side | None]:
    """One stored reading in arrival order; gives the new state and the side to notify, if any.

    A notification restarts the clock at this reading; a late reading gives a negative span and never notifies.
    """
    if state is not None and now_ms - state.written_ms >= STATE_LIFE_MS:
        state = None
    side = limits.side(temperature_c)
    if side is None:
        return None, None
    if state is None or state.side is not side:
        return Abnormal(side, at_ms, now_ms), None
    minutes = (at_ms - state.since_ms) // MINUTE_MS
    if minutes > (BELOW_NOTIFY_MINUTES if side is Side.BELOW else ABOVE_NOTIFY_MINUTES):
        return Abnormal(side, at_ms, now_ms), side
    return state, None
