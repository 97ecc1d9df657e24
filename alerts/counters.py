"""Time added up: how long beyond each limit, and how long unknown, in a span and in a window. Pure.

Beside the single-event alarms (cold-chain.md 6, requirement 5): a single alarm starts anew at each recovery
(requirement 4), these counters do not. By local day: ``alerts.report``.

Theory. The stretches of ``alerts.rules.segments`` say what was held when (left-hold and gap rule, requirement 7).
Every millisecond of a span is either known or unknown; what one source did not tell and no other calls out of
limits is unknown, so that the rest is never read as "in range" by mistake. All numbers are whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from alerts.rules.facts import milli
from alerts.rules.limits import TEMPERATURE, Comparator, Profile
from alerts.rules.spans import Segment, cut


@dataclass(frozen=True, slots=True)
class Mark:
    """A limit that time is counted beyond; ``codes`` are the profile's rules on it (none: the range's own edge)."""

    comparator: Comparator
    limit_c: Decimal
    codes: tuple[str, ...] = ()

    def passed(self, stretch: Segment) -> bool:
        """Whether the worst that was said of the stretch lies beyond the limit."""
        value_m = stretch.high_m if self.comparator.high else stretch.low_m
        return value_m is not None and self.comparator.beyond(value_m, milli(self.limit_c))


@dataclass(frozen=True, slots=True)
class Beyond:
    """How long beyond one limit."""

    mark: Mark
    ms: int


@dataclass(frozen=True, slots=True)
class Tally:
    """One span [from, to). ``known_ms + unknown_ms`` is its whole length; ``beyond`` counts known time, per limit."""

    from_ms: int
    to_ms: int
    beyond: tuple[Beyond, ...]
    unknown_ms: int

    @property
    def known_ms(self) -> int:
        return self.to_ms - self.from_ms - self.unknown_ms


def marks_of(profile: Profile) -> tuple[Mark, ...]:
    """The edges of the range and every limit of the profile, each once: high ones first, the worst last."""
    codes: dict[tuple[Comparator, Decimal], list[str]] = {}
    if profile.high_c is not None:
        codes[Comparator.GT, profile.high_c] = []
    if profile.low_c is not None:
        codes[Comparator.LT, profile.low_c] = []
    for limit in profile.limits:
        if limit.quantity != TEMPERATURE:
            continue
        found = codes.setdefault((limit.comparator, limit.limit_c), [])
        if limit.code not in found:
            found.append(limit.code)
    marks = [Mark(comparator, limit_c, tuple(found)) for (comparator, limit_c), found in codes.items()]
    high = sorted((m for m in marks if m.comparator.high), key=lambda m: m.limit_c)
    low = sorted((m for m in marks if not m.comparator.high), key=lambda m: -m.limit_c)
    return (*high, *low)


def tally(made: Iterable[Segment], marks: Sequence[Mark], from_ms: int, to_ms: int) -> Tally:
    """Count [from, to); what no stretch covers is unknown."""
    beyond = [0] * len(marks)
    unknown_ms = 0
    for stretch in cut(made, from_ms, to_ms):
        passed = [mark.passed(stretch) for mark in marks]
        for i, yes in enumerate(passed):
            beyond[i] += stretch.length_ms if yes else 0
        if not stretch.known or (stretch.doubtful and not any(passed)):
            unknown_ms += stretch.length_ms
    counted = tuple(Beyond(mark, ms) for mark, ms in zip(marks, beyond, strict=True))
    return Tally(from_ms, to_ms, counted, unknown_ms)


def window(made: Iterable[Segment], marks: Sequence[Mark], window_ms: int, to_ms: int) -> Tally:
    """The rolling window that ends at ``to_ms``."""
    return tally(made, marks, to_ms - window_ms, to_ms)


def local_day(t_ms: int, zone: ZoneInfo) -> date:
    """The calendar day of an instant on the site's clock (requirement 36)."""
    return datetime.fromtimestamp(t_ms // 1000, UTC).astimezone(zone).date()


def midnight_ms(day: date, zone: ZoneInfo, fold: int = 0) -> int:
    """When a local day begins. Where a clock change leaves out midnight: the first instant after it."""
    start = datetime(day.year, day.month, day.day, tzinfo=zone, fold=fold)
    return int(start.timestamp()) * 1000
