"""What a rule of this package is, and what most of them share: flagged instants that make an episode.

A rule is three pure functions over one scope (a stream, a device, or a whole equipment), walked forward in time:

    start() -> state        see(state, moment, about) -> (state, closed findings)        standing(state, about, now) -> findings

States are immutable values, so that any of them can be kept and walked on from when a late fact comes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, ClassVar, Generic, TypeVar
from zoneinfo import ZoneInfo

from alerts.equipment.facts import Moment
from alerts.equipment.thresholds import RULES, RuleData, Thresholds
from alerts.rules.facts import degrees
from alerts.rules.finding import Grounds, Kind, Level, RuleFinding, finding_id

S = TypeVar("S")
Details = tuple[tuple[str, str], ...]
CHAMBER = frozenset({"temperature_c"})
TEMPERATURES = frozenset({"temperature_c", "ambient_temperature_c"})


class Scope(Enum):
    """What a rule looks at as one thing."""

    STREAM = "stream"
    DEVICE = "device"
    EQUIPMENT = "equipment"


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """What the registry says of a device. ``push_s``: how often it sends, where that is rarer than it measures."""

    interval_s: int | None = None
    push_s: int | None = None
    held_back_s: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """What is known of one equipment. ``deep``: its profile's own range goes below the bound of common sensors."""

    equipment: str
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    devices: tuple[tuple[str, DeviceSettings], ...] = ()
    deep: bool = False

    def device(self, serial: str) -> DeviceSettings:
        return next((d for s, d in self.devices if s == serial), DeviceSettings())


@dataclass(frozen=True, slots=True)
class About:
    """The subject of a state: ``name`` is a stream id, a serial, or "" for the equipment as a whole."""

    settings: Settings
    name: str
    version: str
    device: DeviceSettings = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", self.settings.device(self.name.partition("/")[0]))


def sensor_finding(
    code: str, equipment: str, subject: str, version: str, start_ms: int, event_ms: int, end_ms: int | None
) -> RuleFinding:
    """A confirmed notice of the whole equipment, without a limit; the caller replaces what its rule knows better.

    ``subject`` is part of the id: the equipment, and what of it is meant.
    """
    return RuleFinding(
        finding_id=finding_id(f"{RULES}/{code}", subject, start_ms),
        code=code,
        level=Level.NOTICE,
        kind=Kind.CONFIRMED,
        equipment=equipment,
        stream_id="",
        batch=None,
        profile=RULES,
        profile_version=version,
        limit_c=None,
        comparator="",
        after_s=0,
        mode="",
        episode_start_ms=start_ms,
        event_ms=event_ms,
        end_ms=end_ms,
        extreme_c=None,
        known_s=max(0, event_ms - start_ms) // 1000,
        unknown_s=0,
    )


class Rule(ABC, Generic[S]):
    """One rule with its numbers. ``quantities``: what it is shown; a moment without any of them is none for it."""

    code: ClassVar[str]
    scope: ClassVar[Scope] = Scope.STREAM
    quantities: ClassVar[frozenset[str]] = TEMPERATURES

    def __init__(self, thresholds: Thresholds) -> None:
        self.data: RuleData = thresholds.of(self.code)

    @abstractmethod
    def start(self) -> S:
        """Before the first moment."""

    @abstractmethod
    def see(self, state: S, moment: Moment, about: About) -> tuple[S, Sequence[RuleFinding]]:
        """The state after a moment, and the findings that ended with it."""

    @abstractmethod
    def standing(self, state: S, about: About, now_ms: int) -> Sequence[RuleFinding]:
        """The findings of what goes on at ``now_ms``, if no more comes."""

    def finding(self, about: About, start_ms: int, event_ms: int, end_ms: int | None, **more: Any) -> RuleFinding:
        """A finding of this rule; ``more`` replaces fields of RuleFinding."""
        code = str(more.get("code", self.code))
        subject = f"{about.settings.equipment} {more.pop('subject', about.name)}".rstrip()
        made = sensor_finding(code, about.settings.equipment, subject, about.version, start_ms, event_ms, end_ms)
        more = {"level": self.data.level, "stream_id": about.name if "/" in about.name else "", **more}
        if self.scope is Scope.DEVICE:
            more["details"] = (("device", about.name), *more.get("details", ()))
        return replace(made, **more)


# --- episodes of flagged instants -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Flag:
    """What a rule says of one moment. ``start_ms``: when it began (a value stuck two hours ago).

    ``extreme_m`` only where it is a temperature.
    """

    start_ms: int
    extreme_m: int | None = None
    reason: str = ""
    details: Details = ()
    stream_id: str = ""


@dataclass(frozen=True, slots=True)
class Episode:
    """Flags without a longer quiet time between them. ``good_ms``: the first moment without one after the last."""

    flag: Flag
    event_ms: int
    last_ms: int
    extreme_m: int | None
    extreme_ms: int | None
    count: int
    good_ms: int | None = None

    @property
    def grounds(self) -> Grounds:
        return Grounds(self.flag.start_ms, self.event_ms, self.last_ms, self.extreme_ms, self.count)


def joined(
    episode: Episode | None, flag: Flag | None, t_ms: int, quiet_ms: int
) -> tuple[Episode | None, Episode | None]:
    """(the episode that goes on, the one that ended) after a moment with or without a flag."""
    if flag is None:
        if episode is None:
            return None, None
        if episode.good_ms is None:
            episode = replace(episode, good_ms=t_ms)
        return (None, episode) if t_ms - episode.last_ms >= quiet_ms else (episode, None)
    ended = None
    if episode is not None and episode.good_ms is not None and t_ms - episode.last_ms >= quiet_ms:
        ended, episode = episode, None
    if episode is None:
        extreme_ms = None if flag.extreme_m is None else t_ms
        return Episode(flag, t_ms, t_ms, flag.extreme_m, extreme_ms, 1), ended
    extreme_m, extreme_ms = episode.extreme_m, episode.extreme_ms
    if flag.extreme_m is not None and (extreme_m is None or abs(flag.extreme_m) > abs(extreme_m)):
        extreme_m, extreme_ms = flag.extreme_m, t_ms
    return Episode(episode.flag, episode.event_ms, t_ms, extreme_m, extreme_ms, episode.count + 1), ended


T = TypeVar("T")
Flagged = tuple[T, Episode | None]


class FlagRule(Rule[Flagged[T]], Generic[T]):
    """A rule that flags moments, one by one. Below, a rule says only what it remembers and when it flags."""

    @abstractmethod
    def begin(self) -> T: ...

    @abstractmethod
    def flag(self, state: T, moment: Moment, about: About) -> tuple[T, Flag | None]:
        """What is remembered after a moment, and what is wrong with it."""

    @property
    def quiet_ms(self) -> int:
        return self.data.ms("quiet_s")

    def start(self) -> Flagged[T]:
        return self.begin(), None

    def see(self, state: Flagged[T], moment: Moment, about: About) -> tuple[Flagged[T], Sequence[RuleFinding]]:
        own, flag = self.flag(state[0], moment, about)
        if flag is None and state[1] is None:
            return (own, None), ()
        episode, ended = joined(state[1], flag, moment.t_ms, self.quiet_ms)
        return (own, episode), () if ended is None else (self._finding(ended, about, ended=True),)

    def standing(self, state: Flagged[T], about: About, now_ms: int) -> Sequence[RuleFinding]:
        return () if state[1] is None else (self._finding(state[1], about, ended=False),)

    def _finding(self, episode: Episode, about: About, *, ended: bool) -> RuleFinding:
        flag = episode.flag
        more: dict[str, Any] = {"stream_id": flag.stream_id} if flag.stream_id else {}
        return self.finding(
            about,
            flag.start_ms,
            episode.event_ms,
            episode.good_ms if ended else None,
            extreme_c=None if episode.extreme_m is None else degrees(episode.extreme_m),
            reason=flag.reason,
            details=flag.details,
            readings=episode.grounds,
            **more,
        )
