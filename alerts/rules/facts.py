"""Facts that the rules take, and how facts of one instant become one point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from telemetry.readings import Quality


@dataclass(frozen=True, slots=True)
class ReadingFact:
    """One temperature of one stream that watches one equipment.

    Identity is (stream, ``device_seq``) where given, else (stream, ``t_ms``) (``design.md``). The same identity
    with other values is a conflict: all are kept and the worse one counts. ``value_c`` None, or a quality other
    than good, is unknown time. ``variant`` is the store's mark and plays no part here: it depends on the order
    of arrival.
    """

    equipment: str
    stream_id: str
    t_ms: int
    value_c: Decimal | None
    quality: Quality = Quality.GOOD
    device_seq: int | None = None
    variant: int = 0


RuleFact = ReadingFact  # further kinds (door, power, device errors) join this union

# Values of one identity: thousandths of a degree, None for "unknown".
Values = frozenset[int | None]
# All identities seen at one instant: device_seq (None where the device gives none) -> values.
Entries = Mapping[int | None, Values]


def milli(value_c: Decimal) -> int:
    """Thousandths of a degree, exactly; raises ValueError for more than three places or no number."""
    if not value_c.is_finite():
        raise ValueError(f"{value_c} is not a number")
    scaled = value_c.scaleb(3)
    whole = int(scaled)
    if whole != scaled:
        raise ValueError(f"{value_c} has more than three places")
    return whole


def degrees(value_m: int) -> Decimal:
    """Degrees with only the places needed: 8100 -> 8.1."""
    value = Decimal(value_m).scaleb(-3)
    tenths = value.quantize(Decimal("0.1"))
    return tenths if tenths == value else value.normalize()


def value_of(fact: ReadingFact) -> int | None:
    """The value as the rules count it: None unless the quality is good."""
    if fact.value_c is None or fact.quality is not Quality.GOOD:
        return None
    return milli(fact.value_c)


@dataclass(frozen=True, slots=True)
class Point:
    """All that is known of one instant of one stream. ``low_m``/``high_m`` are the extremes of its good values."""

    t_ms: int
    entries: tuple[tuple[int | None, Values], ...]
    low_m: int | None
    high_m: int | None
    unknown: bool  # at least one value is unknown: then "in range" cannot be said
    conflict: bool  # one identity with several values, or several identities that disagree


def point(t_ms: int, entries: Entries) -> Point:
    """Build the point of an instant."""
    if len(entries) == 1:  # nearly always one value of one identity
        ((seq, only),) = entries.items()
        if len(only) == 1:
            (value,) = only
            return Point(t_ms, ((seq, only),), value, value, unknown=value is None, conflict=False)
    values: set[int | None] = set().union(*entries.values())
    known = [v for v in values if v is not None]
    ordered = tuple(sorted(entries.items(), key=lambda item: (item[0] is None, item[0] or 0)))
    return Point(
        t_ms,
        ordered,
        min(known, default=None),
        max(known, default=None),
        unknown=None in values,
        conflict=len(values) > 1,
    )


def plain_points(facts: Iterable[ReadingFact]) -> list[Point]:
    """The points of ONE stream's facts, from scratch: sorted, duplicates joined, conflicts kept."""
    first_t: dict[int, int] = {}
    facts = list(facts)
    for fact in facts:
        if fact.device_seq is not None:
            first_t[fact.device_seq] = min(fact.t_ms, first_t.get(fact.device_seq, fact.t_ms))
    table: dict[int, dict[int | None, Values]] = {}
    for fact in facts:
        seq = fact.device_seq
        entries = table.setdefault(fact.t_ms if seq is None else first_t[seq], {})
        entries[seq] = entries.get(seq, frozenset()) | {value_of(fact)}
    return [point(t_ms, table[t_ms]) for t_ms in sorted(table)]
