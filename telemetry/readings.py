"""The facts that flow: readings, events, weighings; their stamps; and ranges of numbers.

All times are integer milliseconds since the Unix epoch in UTC (``*_ms``) unless named otherwise.
Values are decimals with at most three places; floats exist only inside numpy.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum


class Origin(StrEnum):
    """Where a reading came from: heard as it was made, read back from a device's memory, or from a file."""

    LIVE = "live"
    MEMORY = "memory"
    FILE = "file"


class Quality(StrEnum):
    """What the source says of a value. Only GOOD values feed rules; the others count as unknown time."""

    GOOD = "good"
    UNSTABLE = "unstable"
    OVER_RANGE = "over_range"
    UNDER_RANGE = "under_range"
    SENSOR_FAULT = "sensor_fault"
    INVALID = "invalid"


class Sync(StrEnum):
    """Whether the clock that stamped claims to be synchronised (adjtimex, not the year: devices.md 7)."""

    SYNCED = "synced"
    UNSYNCED = "unsynced"


@dataclass(frozen=True, slots=True)
class Stamp:
    """How and by what clock a reading was stamped; the raw stamp is never rewritten.

    ``boottime_ns`` is CLOCK_BOOTTIME of the boot ``boot_id``; ``wall_ms`` the edge's wall clock then;
    ``max_error_ms`` the kernel's own bound when synced, else None.
    """

    boot_id: str
    boottime_ns: int
    wall_ms: int
    sync: Sync
    max_error_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one stream at one time.

    ``value`` None means the device said "no value" (then ``quality`` says why); ``sampled_at_ms`` None means
    undated: it waits for an anchor. ``device_seq`` is the device's own number or tick where it gives one that
    does not wrap within the outbox's life.
    """

    stream_id: str
    value: Decimal | None
    sampled_at_ms: int | None
    stamp: Stamp
    device_seq: int | None = None
    origin: Origin = Origin.LIVE
    quality: Quality = Quality.GOOD


CLOCK_ANCHORED = "clock_anchored"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at the edge or a device: ``kind`` in the past tense (``power_lost``,
    ``device_silent``, ``device_back``, ``clock_anchored``, ``readings_thinned``, ``device_fault``).
    """

    kind: str
    subject: str
    sampled_at_ms: int | None
    stamp: Stamp
    detail: dict[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Weighing:
    """One stable weight captured from a scale with its evidence (``weight_captured``).

    gross = net + tare, all kg; ``raw_frame`` is the frame as hex; ``tare_mode`` none, measured or preset
    (OPC UA Scales words, smile-and-waste 5.2); ``e_kg`` the verification interval, None if not configured.
    ``flags`` holds BELOW_MIN and the like.
    """

    weighing_id: str
    device_serial: str
    gross_kg: Decimal
    tare_kg: Decimal
    net_kg: Decimal
    sampled_at_ms: int | None
    stamp: Stamp
    raw_frame: str
    tare_mode: str = "none"
    e_kg: Decimal | None = None
    flags: tuple[str, ...] = ()


Fact = Reading | Event | Weighing


@dataclass(frozen=True, slots=True)
class Numbered:
    """A fact with its number N in the outbox of one edge and epoch (gapless, from 1)."""

    seq: int
    fact: Fact


def _low(span: tuple[int, int]) -> int:
    return span[0]


class Ranges:
    """A set of whole numbers as sorted, disjoint, inclusive ranges: [[1,148],[160,171]].

    Immutable. Used for what an upload holds, a receipt has, and a request asks.
    """

    __slots__ = ("_spans",)

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        merged: list[tuple[int, int]] = []
        for low, high in sorted(spans):
            if low > high:
                raise ValueError(f"range [{low},{high}] is upside down")
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], high))
            else:
                merged.append((low, high))
        self._spans = tuple(merged)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Ranges:
        """The ranges that hold exactly these numbers."""
        spans: list[tuple[int, int]] = []
        for n in sorted(numbers):
            if spans and n <= spans[-1][1] + 1:
                spans[-1] = (spans[-1][0], n)
            else:
                spans.append((n, n))
        return cls(spans)

    @classmethod
    def one(cls, low: int, high: int) -> Ranges:
        """The range low..high, not empty."""
        return cls._made(((low, high),))

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        return self._spans

    @classmethod
    def _made(cls, spans: tuple[tuple[int, int], ...]) -> Ranges:
        """Of spans that are sorted, disjoint and not adjacent already."""
        made = cls.__new__(cls)
        made._spans = spans
        return made

    def __or__(self, other: Ranges) -> Ranges:
        mine, new = self._spans, other._spans
        if not new or not mine:
            return self if mine else other
        (low, high), (first_low, first_high) = mine[-1], new[0]
        if first_low > high + 1:  # numbers mostly come in their order: after all others, or right after the last
            return Ranges._made(mine + new)
        if len(new) == 1 and first_low >= low:
            return self if first_high <= high else Ranges._made((*mine[:-1], (low, first_high)))
        return Ranges((*mine, *new))

    def __sub__(self, other: Ranges) -> Ranges:
        """Linear in the spans of both."""
        mine, theirs = self._spans, other._spans
        if not mine or not theirs or theirs[-1][1] < mine[0][0] or theirs[0][0] > mine[-1][1]:
            return self
        rest: list[tuple[int, int]] = []
        place, cuts = 0, other._spans
        for span_low, high in self._spans:
            low = span_low
            while place < len(cuts) and cuts[place][1] < low:
                place += 1
            at = place  # the next span may begin within this same cut
            while at < len(cuts) and cuts[at][0] <= high:
                if cuts[at][0] > low:
                    rest.append((low, cuts[at][0] - 1))
                low = cuts[at][1] + 1
                at += 1
            if low <= high:
                rest.append((low, high))
            place = max(place, at - 1)
        return Ranges._made(tuple(rest))

    def __and__(self, other: Ranges) -> Ranges:
        return self - (self - other)

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._spans, number, key=_low) - 1
        return place >= 0 and number <= self._spans[place][1]

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self._spans)

    def __bool__(self) -> bool:
        return bool(self._spans)

    def __iter__(self) -> Iterator[int]:
        for low, high in self._spans:
            yield from range(low, high + 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._spans == other._spans

    def __hash__(self) -> int:
        return hash(self._spans)

    def __repr__(self) -> str:
        return f"Ranges({list(self._spans)!r})"

    def to_lists(self) -> list[list[int]]:
        return [[low, high] for low, high in self._spans]


def dated(reading: Reading, sampled_at_ms: int) -> Reading:
    """The reading with a time found later (an anchor); its stamp is left as it was."""
    return replace(reading, sampled_at_ms=sampled_at_ms)


def is_anchor(event: Event) -> bool:
    """Whether an event ties boot time to UTC: only a clock that claims to be synced can."""
    return event.kind == CLOCK_ANCHORED and event.stamp.sync is Sync.SYNCED and bool(event.stamp.boot_id)


def date_by_anchor(anchor_utc_ms: int, anchor_boottime_ns: int, boottime_ns: int) -> int:
    """UTC ms of a boot time by an anchor of the same boot (devices.md 7); whole ms, rounded down."""
    return anchor_utc_ms + (boottime_ns - anchor_boottime_ns) // 1_000_000
