"""Profiles: which limits hold for an equipment, as data. The numbers live in ``alerts/profiles.toml``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from itertools import pairwise

from alerts.rules.facts import milli
from alerts.rules.finding import Level

TEMPERATURE = "temperature_c"  # the quantity a limit is of unless it names another
MIN_GAP_MS = 960_000  # cold-chain 6: a gap is never called longer below 900 s + 60 s
SILENCE_INTERVALS = 3  # design.md: silence = 3 x interval


class Comparator(StrEnum):
    """How a value compares with the limit to be out. Equality matters (cold-chain 1.2)."""

    GT = ">"
    GE = ">="
    LT = "<"
    LE = "<="

    @property
    def high(self) -> bool:
        """True when large values are out."""
        return self in (Comparator.GT, Comparator.GE)

    def beyond(self, value_m: int, limit_m: int) -> bool:
        match self:
            case Comparator.GT:
                return value_m > limit_m
            case Comparator.GE:
                return value_m >= limit_m
            case Comparator.LT:
                return value_m < limit_m
            case Comparator.LE:
                return value_m <= limit_m


class Mode(StrEnum):
    """One uninterrupted event, or time added up."""

    SINGLE = "single"
    CUMULATIVE = "cumulative"


@dataclass(frozen=True, slots=True)
class Limit:
    """One rule: ``code`` fires when values beyond ``limit_c`` lasted ``alarm_after_s``.

    ``window_s`` bounds a cumulative rule (None: since the first reading). ``repeats`` restarts the timer at each
    alarm (SMILE). ``guard_code`` names the "possible" finding raised with a guard band where the sensor's
    sigma is known.
    ``source`` says where the numbers come from; ``verified`` is False for defaults without an official text.
    ``quantity`` is what the limit is of, ``limit_c`` then in its unit (``door_open`` > 0). ``longer_than``: exactly
    ``alarm_after_s`` is not enough yet (DOOR is "more than" five minutes, requirement 30).
    """

    code: str
    comparator: Comparator
    limit_c: Decimal
    alarm_after_s: int
    mode: Mode = Mode.SINGLE
    level: Level = Level.ALARM
    window_s: int | None = None
    repeats: bool = False
    guard_code: str | None = None
    source: str = ""
    verified: bool = True
    quantity: str = TEMPERATURE
    longer_than: bool = False

    @property
    def need_ms(self) -> int:
        """How long an episode must have lasted for the rule to fire."""
        return self.alarm_after_s * 1000 + self.longer_than


@dataclass(frozen=True, slots=True)
class Profile:
    """A storage range and its rules. ``low_c``/``high_c`` are in range themselves (2.0 and 8.0 are fine).

    ``max_gap_s`` replaces the gap rule (SMILE's own timer knows no gaps, its cache lives 24 h);
    ``ignore_first_s`` lets a transport logger settle: an excursion that comes back into range within that time after
    the first reading is none, and its hold is counted only from the time's end on. One that outlasts it counts from
    its first reading (requirement 29).
    ``lasts_at_most_s``: of a shipment type how long in all a batch may be above its own product's range in boxes; None:
    ``alerts.shipment.LASTS_AT_MOST_S``. Profiles of other kinds have none.
    ``hysteresis_c``: a setting of messages (``alerts.manners``), None: the installation's. No rule looks at it, and two
    profiles that differ in it alone are equal.
    """

    id: str
    version: str
    low_c: Decimal | None
    high_c: Decimal | None
    limits: tuple[Limit, ...]
    label: str = ""
    max_gap_s: int | None = None
    ignore_first_s: int = 0
    sources: tuple[str, ...] = ()
    hysteresis_c: Decimal | None = field(default=None, compare=False)
    lasts_at_most_s: int | None = None


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What is known of a stream's device: its declared interval and the sigma of its sensor, if any.

    ``held_back_s``: so long the edge may keep calm readings back before it sends them (its ``mqtt.flush_after_s``);
    that they are not here yet is no silence. ``event_driven``: the device speaks only when the value changes, so that
    each word holds until the next one, no gap means anything, and a duration is shown by holding.
    """

    interval_s: int | None = None
    sigma_c: Decimal | None = None
    held_back_s: int = 0
    event_driven: bool = False


@dataclass(frozen=True, slots=True)
class Threshold:
    """One limit value of one profile with all the rules that share it; one set of excursions each.

    ``shipment_ms``: in which shipment, by the instant it began (0: in none).
    """

    profile: str
    version: str
    comparator: Comparator
    limit_m: int
    singles: tuple[Limit, ...]
    cumulatives: tuple[Limit, ...]
    max_gap_ms: int | None
    ignore_first_ms: int
    guard: bool = False
    shipment_ms: int = 0

    @property
    def border(self) -> tuple[object, ...]:
        """What makes an episode an episode. Where it stays the same over a change of limits, episodes go on."""
        return (self.comparator, self.limit_m, self.max_gap_ms, self.ignore_first_ms, self.guard, self.shipment_ms)

    @property
    def of_shipments(self) -> bool:
        """Whether it settles first or adds up for good: both begin anew with each shipment (requirement 29)."""
        return self.ignore_first_ms > 0 or any(rule.window_s is None for rule in self.cumulatives)

    def goes_before(self, other: Threshold) -> bool:
        """Whether ``other`` is the same limit in another shipment."""
        return (
            self.shipment_ms != other.shipment_ms
            and self.border == replace(other, shipment_ms=self.shipment_ms).border
        )


def same_rule(a: Limit, b: Limit) -> bool:
    """Whether two rules say the same; where the number comes from may differ."""
    return replace(a, source="", verified=True) == replace(b, source="", verified=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """All thresholds that watch one subject, and its declared interval.

    ``changes``: (from_ms, the thresholds from then on), in order of time; ``thresholds`` hold before the first.
    ``silence``: whether silence of this stream is told. Only a temperature's is: a device that is lost is lost once.
    """

    equipment: str
    stream_id: str
    interval_ms: int | None
    thresholds: tuple[Threshold, ...]
    batch: str | None = None
    held_back_ms: int = 0
    event_driven: bool = False
    silence: bool = True
    changes: tuple[tuple[int, tuple[Threshold, ...]], ...] = ()

    @property
    def subject(self) -> str:
        return f"batch {self.batch}" if self.batch is not None else f"{self.equipment} {self.stream_id}"


def guard_limit(limit_c: Decimal, sigma_c: Decimal) -> Decimal:
    """Freeze-possible limit = limit + 1.645 sigma, two places (cold-chain 2.3; 0.25 -> -0.09)."""
    return (limit_c + Decimal("1.645") * sigma_c).quantize(Decimal("0.01"), ROUND_HALF_UP)


def quantity_of(stream_id: str) -> str:
    """The quantity of ``serial/quantity[/channel]``; a bare name is a temperature's."""
    parts = stream_id.split("/")
    return parts[1] if len(parts) > 1 else TEMPERATURE


def thresholds(
    profile: Profile, sigma_c: Decimal | None = None, quantity: str = TEMPERATURE
) -> tuple[Threshold, ...]:
    """The profile's rules of one quantity grouped by limit value, in the order of the profile."""
    own = [limit for limit in profile.limits if limit.quantity == quantity]
    groups: dict[tuple[Comparator, int], list[Limit]] = {}
    for limit in own:
        groups.setdefault((limit.comparator, milli(limit.limit_c)), []).append(limit)
    gap_ms = None if profile.max_gap_s is None else profile.max_gap_s * 1000
    ignore_ms = profile.ignore_first_s * 1000
    made = [
        Threshold(
            profile.id,
            profile.version,
            comparator,
            limit_m,
            tuple(x for x in limits if x.mode is Mode.SINGLE),
            tuple(x for x in limits if x.mode is Mode.CUMULATIVE),
            gap_ms,
            ignore_ms,
        )
        for (comparator, limit_m), limits in groups.items()
    ]
    if sigma_c:
        made += [_guard(profile, x, sigma_c, gap_ms, ignore_ms) for x in own if x.guard_code]
    return tuple(made)


def _guard(profile: Profile, limit: Limit, sigma_c: Decimal, gap_ms: int | None, ignore_ms: int) -> Threshold:
    banded = guard_limit(limit.limit_c, sigma_c)
    rule = Limit(
        limit.guard_code or "",
        limit.comparator,
        banded,
        limit.alarm_after_s,
        level=limit.level,
        source=f"{limit.source}; guard band 1.645 x {sigma_c}",
        verified=limit.verified,
        longer_than=limit.longer_than,
    )
    return Threshold(
        profile.id, profile.version, limit.comparator, milli(banded), (rule,), (), gap_ms, ignore_ms, guard=True
    )


def in_shipments(
    eras: Sequence[tuple[int, tuple[Threshold, ...]]], instants: Iterable[int]
) -> list[tuple[int, tuple[Threshold, ...]]]:
    """The eras (from when, thresholds) in which shipments begin, or end, at these instants; the first holds since ever."""
    at_ms = sorted(instants)
    if not at_ms:
        return list(eras)
    made = [eras[0]]
    for at in sorted({*at_ms, *(begin for begin, _ in eras[1:])}):
        held = next(rows for begin, rows in reversed(eras) if begin <= at or begin == eras[0][0])
        since_ms = next((i for i in reversed(at_ms) if i <= at), 0)
        made.append((at, tuple(replace(t, shipment_ms=since_ms) if t.of_shipments else t for t in held)))
    return made


@dataclass(frozen=True, slots=True)
class Assigned:
    """From ``from_ms`` on these profiles (ids, the main one first) watched an equipment."""

    from_ms: int
    profiles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dated:
    """From ``from_ms`` on a profile's id meant these limits."""

    from_ms: int
    profile: Profile


@dataclass(frozen=True, slots=True)
class Era:
    """From ``from_ms`` on (the first: since ever) these profiles, each in the version of its time."""

    from_ms: int
    profiles: tuple[Profile, ...]


@dataclass(frozen=True, slots=True)
class Profiles:
    """What the rules judge by: the catalogue, which profiles watch which equipment, and what is known of streams.

    ``equipment`` maps an equipment to its profile ids, the main one first; others are judged by ``default``.

    Limits are dated, and the past is judged by the limits that held then (decision 0023). ``assigned``: what watched an
    equipment from when, in order of time; the first row holds for all time before it as well, and where there are
    rows ``equipment`` is not asked. ``versions``: what a profile's id meant from when; ``catalogue`` is what it
    means before the first row. ``shipments``: of a box the instants at which vaccines came into it while it was empty, and
    at which it was empty again.
    Raises ValueError when a named profile is not in the catalogue.
    """

    catalogue: Mapping[str, Profile]
    equipment: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    streams: Mapping[str, StreamSettings] = field(default_factory=dict)
    default: tuple[str, ...] = ("refrigerator",)
    assigned: Mapping[str, tuple[Assigned, ...]] = field(default_factory=dict)
    versions: Mapping[str, tuple[Dated, ...]] = field(default_factory=dict)
    shipments: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {p for ids in (*self.equipment.values(), self.default) for p in ids}
        named |= {p for rows in self.assigned.values() for row in rows for p in row.profiles}
        missing = sorted(named - set(self.catalogue))
        if missing:
            raise ValueError(f"unknown profile {', '.join(missing)}; known: {', '.join(sorted(self.catalogue))}")

    def of(self, equipment: str) -> tuple[Profile, ...]:
        """The profiles that watch an equipment, main one first, as said last."""
        return self.eras(equipment)[-1].profiles

    def eras(self, equipment: str) -> tuple[Era, ...]:
        """What watched an equipment over time; at least one."""
        since = [(row.from_ms, row.profiles) for row in self.assigned.get(equipment, ())]
        since = since or [(0, self.equipment.get(equipment, self.default))]
        named = {p for _, ids in since for p in ids}
        dates = {at for at, _ in since[1:]} | {d.from_ms for p in named for d in self.versions.get(p, ())}
        made = [Era(since[0][0], self._at(since[0][1], None))]
        for at in sorted(dates):
            ids = next((ids for begin, ids in reversed(since) if begin <= at), since[0][1])
            profiles = self._at(ids, at)
            if profiles != made[-1].profiles:
                made.append(Era(at, profiles))
        return tuple(made)

    def _at(self, ids: tuple[str, ...], t_ms: int | None) -> tuple[Profile, ...]:
        return tuple(self.version(p, t_ms) for p in ids)

    def version(self, profile: str, t_ms: int | None) -> Profile:
        """What a profile's id meant at a time (None: before every change)."""
        rows = self.versions.get(profile, ())
        held = [row.profile for row in rows if t_ms is not None and row.from_ms <= t_ms]
        return held[-1] if held else self.catalogue[profile]

    def settings(self, stream_id: str) -> StreamSettings:
        return self.streams.get(stream_id, StreamSettings())

    def plan(self, equipment: str, stream_id: str) -> Plan:
        """The plan of one stream in one equipment: the limits of the stream's own quantity."""
        settings, quantity = self.settings(stream_id), quantity_of(stream_id)
        eras = [
            (era.from_ms, tuple(t for p in era.profiles for t in thresholds(p, settings.sigma_c, quantity)))
            for era in self.eras(equipment)
        ]
        eras = in_shipments(eras, self.shipments.get(equipment, ()))
        made = eras[0][1]
        return Plan(
            equipment,
            stream_id,
            None if settings.interval_s is None else settings.interval_s * 1000,
            made,
            held_back_ms=settings.held_back_s * 1000,
            event_driven=settings.event_driven,
            silence=quantity == TEMPERATURE and not settings.event_driven,
            changes=tuple(now for before, now in pairwise(eras) if before[1] != now[1]),
        )
