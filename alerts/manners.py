"""When an alarm is told to whom. Pure: what stands, the settings and ``now_ms`` in; a named reason and a time out.

Facts, findings and the page know nothing of this: it moves messages only, and hides none.

    episode goes on, or was over less than ``past_after_s`` when it was found ─▶ at once (NOW), by night too
    over for longer when it was found: nobody can change it by night any more ─▶ by day, all of a site in one (PAST)
    opened less than ``flap_delay_s`` ago ──────────────────────────────────────▶ wait (FLAP); over by then ─▶ by day
    same rule and place, and its last episode was over within ``flap_delay_s``,
    told and not answered ──────────────────────────────────────────────────────▶ the same trouble (FLAP): by day
    between it and such an episode the value came back by less than
    ``hysteresis_c`` ───────────────────────────────────────────────────────────▶ the same trouble (BAND): next morning
    not answered for ``next_after_s`` ──────────────────────────────────────────▶ the next rung of people too (LADDER)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

_BAND_MS = 86_400_000  # longer apart, two episodes are two troubles however little the value came back
_CUT_OFF = ("sensor_lost", "limit_changed", "shipment_over")  # an episode that ended so did not end by a recovery


class Why(StrEnum):
    NOW = "now"
    FLAP = "flap"
    PAST = "past"
    LADDER = "ladder"
    BAND = "band"


@dataclass(frozen=True, slots=True)
class Manners:
    """Settings. Night is [``night_from_h``, ``night_to_h``) on the site's clock; equal hours: there is no night.

    ``hysteresis_c``: a recovery by less than so many degrees is none, as far as messages go; 0: each one is.
    ``of_profile``: that of the profiles that have their own.
    """

    past_after_s: int = 6 * 3600
    night_from_h: int = 21
    night_to_h: int = 7
    flap_delay_s: int = 0
    next_after_s: int = 1800
    hysteresis_c: Decimal = Decimal(0)
    of_profile: Mapping[str, Decimal] = field(default_factory=dict)

    def under(self, profile: str) -> Manners:
        """For alarms of this profile."""
        return replace(self, hysteresis_c=self.of_profile.get(profile, self.hysteresis_c))


@dataclass(frozen=True, slots=True)
class Asked:
    """An alarm that nobody answered yet, as far as telling needs it. ``end_ms`` None: the episode goes on.

    ``before_ms``: when the episode before it of the same rule and place was over, if its alarm was told (a message was
    sent) and is not answered either; ``start_ms`` is when this one began. ``recovered_c``: how far the value
    came back inside the limit since such an episode; None: there was none, or nobody knows.
    """

    opened_ms: int
    start_ms: int
    end_ms: int | None
    before_ms: int | None = None
    recovered_c: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """To be told at ``at_ms`` or later. ``by_day``: one of a list, not a message of its own."""

    why: Why
    at_ms: int
    by_day: bool = False


def due(alarm: Asked, rung: int, manners: Manners, zone: str, now_ms: int) -> Due:
    """When the people of a rung (0: the first) are told of an alarm that is not answered by then."""
    rung_ms = alarm.opened_ms + rung * manners.next_after_s * 1000
    delay_ms = manners.flap_delay_s * 1000
    if alarm.end_ms is not None and alarm.opened_ms - alarm.end_ms >= manners.past_after_s * 1000:
        return Due(Why.PAST, by_day(max(rung_ms, now_ms), zone, manners), by_day=True)
    if alarm.recovered_c is not None and alarm.recovered_c < manners.hysteresis_c:
        return Due(Why.BAND, by_day(max(_next_morning(rung_ms, zone, manners), now_ms), zone, manners), by_day=True)
    flapped = delay_ms > 0 and alarm.end_ms is not None and alarm.end_ms <= alarm.opened_ms + delay_ms
    again = delay_ms > 0 and alarm.before_ms is not None and alarm.start_ms - alarm.before_ms <= delay_ms
    if flapped or again:
        return Due(Why.FLAP, by_day(max(rung_ms + delay_ms, now_ms), zone, manners), by_day=True)
    if now_ms < alarm.opened_ms + delay_ms:
        return Due(Why.FLAP, alarm.opened_ms + delay_ms)
    return Due(Why.LADDER if rung else Why.NOW, max(rung_ms, alarm.opened_ms + delay_ms))


def by_day(at_ms: int, zone: str, manners: Manners) -> int:
    """This time where it is day on the site's clock, else the end of that night."""
    night = (manners.night_to_h - manners.night_from_h) % 24
    local = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZoneInfo(zone))
    if (local.hour - manners.night_from_h) % 24 >= night:
        return at_ms
    return _next_morning(at_ms, zone, manners)


def _next_morning(at_ms: int, zone: str, manners: Manners) -> int:
    local = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZoneInfo(zone))
    morning = local.replace(hour=manners.night_to_h, minute=0, second=0)
    if morning <= local:
        morning += timedelta(days=1)
    return int(morning.timestamp()) * 1000


def may_be_one_trouble(end_ms: int | None, reason: object, start_ms: int) -> bool:
    """Whether an episode that ended so is near enough to one that began at ``start_ms`` to ask how far the value came back."""
    return end_ms is not None and reason not in _CUT_OFF and start_ms - _BAND_MS <= end_ms <= start_ms


def recovery_c(values: Iterable[Decimal], limit_c: Decimal, comparator: str) -> Decimal | None:
    """How far values came back inside a limit (``>`` 8.0: 7.9 came back by 0.1), at least 0; None: there are none."""
    inside = [limit_c - v if comparator.startswith(">") else v - limit_c for v in values]
    return max(*inside, Decimal(0)) if inside else None


class Person(Protocol):
    """Who may be told (``gateway.records.User``). ``site`` None: of the whole region."""

    @property
    def site(self) -> str | None: ...


P = TypeVar("P", bound=Person)


def rungs(people: Iterable[P]) -> Sequence[Sequence[P]]:
    """The ladder: who stands nearest first. Empty rungs are left out, so that somebody is always the first."""
    found = list(people)
    ladder = ([p for p in found if p.site is not None], [p for p in found if p.site is None])
    return [rung for rung in ladder if rung]
