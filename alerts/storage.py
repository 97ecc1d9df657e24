"""Whether a batch stands where its product may stand (cold-chain 6, 27; ranges by level: 2.4, 2.5). Pure.

    product                 freezer                       refrigerator, cold room
    freeze-sensitive        wrong: an alarm at once       right
    must be frozen here     right                         wrong: a warning (bOPV at kabupaten, provinsi)
    other freeze-tolerant   right (its diluent is not)    right

A product that is not in the table is left to the freeze rules: what it may stand in is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from alerts.exposure import Exposure, Placement, relieved
from alerts.products import FreezeClass, Product
from alerts.rules.facts import milli
from alerts.rules.finding import Kind, Level, RuleFinding, finding_id
from alerts.rules.limits import Dated, Profile
from alerts.rules.spans import Segment
from alerts.verdicts import IN_FREEZER, NOT_FROZEN, WRONG_STORAGE


@dataclass(frozen=True, slots=True)
class Place:
    """What an equipment is for: ``freezes`` below zero, or ``chills`` at 2 to 8 C; at a site of ``level``."""

    level: str
    freezes: bool
    chills: bool


def wrong_storage(
    batch: str, product: Product | None, stays: Iterable[Placement], places: Mapping[str, Place], now_ms: int
) -> list[RuleFinding]:
    """One WRONG_STORAGE for each stay that had begun by ``now_ms`` in a place that is wrong for the product."""
    found: list[RuleFinding] = []
    for stay in stays:
        place = places.get(stay.equipment)
        if product is None or place is None or stay.from_ms > now_ms:
            continue
        if place.freezes and product.freeze_class is FreezeClass.SENSITIVE:
            found.append(_finding(batch, product, stay, now_ms, Level.ALARM, IN_FREEZER))
        elif place.chills and place.level in product.freezer_at:
            found.append(_finding(batch, product, stay, now_ms, Level.WARNING, NOT_FROZEN))
    return found


def _finding(batch: str, product: Product, stay: Placement, now_ms: int, level: Level, reason: str) -> RuleFinding:
    ended = stay.to_ms is not None and stay.to_ms <= now_ms
    return RuleFinding(
        finding_id=finding_id(f"{product.profile}/{WRONG_STORAGE}", f"batch {batch}", stay.from_ms),
        code=WRONG_STORAGE,
        level=level,
        kind=Kind.CONFIRMED,
        equipment="",
        stream_id="",
        batch=batch,
        profile=product.profile,
        profile_version="",
        limit_c=None,
        comparator="",
        after_s=0,
        mode="single",
        episode_start_ms=stay.from_ms,
        event_ms=stay.from_ms,
        end_ms=stay.to_ms if ended else None,
        extreme_c=None,
        known_s=0,
        unknown_s=0,
        reason=reason,
    )


def may_freeze(product: Product | None, place: Place | None) -> bool:
    """Whether the low limits of 2 to 8 C say nothing of this product in this place.

    A product with a diluent keeps them: they are what tells people to look for the diluent.
    """
    if product is None or place is None or not place.freezes:
        return False
    return product.freeze_class is FreezeClass.TOLERANT and not product.has_diluent


def without_right_cold(
    exposure: Exposure,
    rightly_cold: Sequence[Placement],
    profile: Profile,
    sigma_c: Decimal | None,
    later: Sequence[Dated] = (),
) -> Exposure:
    """The exposure as it is when cold in these stays is no excursion; history and extremes stay."""
    if not rightly_cold or profile.low_c is None:
        return exposure
    low_m = milli(profile.low_c)
    line = [_lifted(s, low_m) if any(_covers(p, s) for p in rightly_cold) else s for s in exposure.timeline]
    return relieved(exposure, line, profile, sigma_c, later)


def _covers(stay: Placement, s: Segment) -> bool:
    return stay.from_ms <= s.from_ms and (stay.to_ms is None or s.from_ms < stay.to_ms)


def _lifted(s: Segment, low_m: int) -> Segment:
    """No colder than the range: high limits look at ``high_m`` alone, low limits at ``low_m`` alone."""
    return s if s.low_m is None else replace(s, low_m=max(s.low_m, low_m))
