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

from alerts.exposure import Exposure, LevelWarm, Placement, relieved
from alerts.products import FreezeClass, Product
from alerts.rules.facts import milli
from alerts.rules.finding import Kind, Level, RuleFinding, finding_id
from alerts.rules.limits import TEMPERATURE, Dated, Mode, Profile
from alerts.rules.spans import Segment
from alerts.shipment import judge_shipments, spells_of
from alerts.verdicts import IN_FREEZER, NOT_FROZEN, WRONG_STORAGE

NO_FREEZE = "transport_2"  # the shipment type without a freezing limit (cold-chain 1.2)


@dataclass(frozen=True, slots=True)
class Place:
    """What an equipment is for: ``freezes`` below zero, ``chills`` at 2 to 8 C, or ``carries``; at a site of ``level``."""

    level: str
    freezes: bool
    chills: bool
    carries: bool = False


@dataclass(frozen=True, slots=True)
class Stood:
    """A stay, or the part of one, in a place that was one thing all the while (None: it is not known what)."""

    stay: Placement
    place: Place | None


def stood_in(
    stays: Iterable[Placement], places: Mapping[str, Place], later: Mapping[str, Sequence[tuple[int, Place]]]
) -> list[Stood]:
    """The stays, cut where their place became another thing.

    ``places``: what each was first, and for all time before; ``later``: (since when, what it was then on), in order of time.
    """
    made: list[Stood] = []
    for stay in stays:
        place, begins_ms = places.get(stay.equipment), stay.from_ms
        for since_ms, becomes in later.get(stay.equipment, ()):
            if stay.to_ms is not None and since_ms >= stay.to_ms:
                break
            if since_ms > begins_ms:
                made.append(Stood(replace(stay, from_ms=begins_ms, to_ms=since_ms), place))
                begins_ms = since_ms
            place = becomes
        made.append(Stood(replace(stay, from_ms=begins_ms), place))
    return made


def wrong_storage(batch: str, product: Product | None, stood: Iterable[Stood], now_ms: int) -> list[RuleFinding]:
    """One WRONG_STORAGE for each stay that had begun by ``now_ms`` in a place that was wrong for the product."""
    wrong: list[tuple[Placement, Level, str]] = []
    for one in stood:
        why = None if product is None or one.place is None else _wrong(product, one.place)
        if why is None or one.stay.from_ms > now_ms:
            continue
        last = wrong[-1][0] if wrong and wrong[-1][1:] == why else None
        if last is not None and (last.equipment, last.to_ms) == (one.stay.equipment, one.stay.from_ms):
            wrong[-1] = (replace(last, to_ms=one.stay.to_ms), *why)  # it became another thing, as wrong as before
        else:
            wrong.append((one.stay, *why))
    if product is None:
        return []
    return [_finding(batch, product, stay, now_ms, level, reason) for stay, level, reason in wrong]


def _wrong(product: Product, place: Place) -> tuple[Level, str] | None:
    if place.freezes and product.freeze_class is FreezeClass.SENSITIVE:
        return Level.ALARM, IN_FREEZER
    if place.chills and place.level in product.freezer_at:
        return Level.WARNING, NOT_FROZEN
    return None


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

    A product with a diluent keeps them: they are what tells people to look for the diluent. Shipment type 2 has no
    freezing limit (requirement 29).
    """
    if product is None or place is None or not (place.freezes or (place.carries and product.transport == NO_FREEZE)):
        return False
    return product.freeze_class is FreezeClass.TOLERANT and not product.has_diluent


def is_shipped(product: Product | None, place: Place | None) -> bool:
    """Whether it is in a box, and its product has a shipment type to be judged by there."""
    return product is not None and place is not None and place.carries and bool(product.transport)


@dataclass(frozen=True, slots=True)
class Allowed:
    """The range of a product in a place, thousandths (None: no such edge).

    ``any_cold``: no cold is an excursion there. ``shipped``: its heat is judged by the shipment type.
    """

    low_m: int | None
    high_m: int | None
    any_cold: bool = False
    shipped: bool = False

    def judged_m(self, value_m: int, plain: Allowed) -> int:
        """The value as the profile's limits see it: what is allowed here and not by the ``plain`` range stands at its edge."""
        cold_ok = self.any_cold or self.low_m is None or value_m >= self.low_m
        if plain.low_m is not None and value_m < plain.low_m and cold_ok:
            return plain.low_m
        warm_ok = self.shipped or self.high_m is None or value_m <= self.high_m
        if plain.high_m is not None and value_m > plain.high_m and warm_ok:
            return plain.high_m
        return value_m


def plain_range(profile: Profile) -> Allowed:
    """What the product's profile says, wherever it stands."""
    low_m, high_m = (None if c is None else milli(c) for c in (profile.low_c, profile.high_c))
    return Allowed(low_m, high_m)


def range_in(product: Product | None, place: Place | None, profile: Profile) -> Allowed:
    """The range by level of site (cold-chain 2.5; requirement 27), the profile's where the table has none.

    A frozen range is of what stores there, not of a box on its way. A room's range (HepB with a village midwife, +15 to
    +30) forbids no refrigerator: it begins where the profile's begins. Freezing stays by freeze class (``may_freeze``).
    In a box the profile's range stays what is in range and what is not; alarms of heat are the shipment type's.
    """
    plain, cold = plain_range(profile), may_freeze(product, place)
    if is_shipped(product, place):
        return Allowed(None if cold else plain.low_m, plain.high_m, cold, shipped=True)
    told = None if product is None or place is None else product.range_at(place.level)
    if told is None or place is None or (told.high_c < 0 and not (place.freezes or place.chills)):
        return replace(plain, low_m=None, any_cold=True) if cold else plain
    low_m, high_m = milli(told.low_c), milli(told.high_c)
    if plain.high_m is not None and low_m > plain.high_m:
        return replace(plain, high_m=high_m)
    return Allowed(None if cold and high_m >= 0 else low_m, high_m, cold)


def is_plain(stood: Sequence[Stood], product: Product | None, profile: Profile) -> bool:
    """Whether the profile's own range held wherever it stood."""
    return all(range_in(product, one.place, profile) == plain_range(profile) for one in stood)


def by_place(
    exposure: Exposure,
    stood: Sequence[Stood],
    product: Product | None,
    profile: Profile,
    sigma_c: Decimal | None,
    later: Sequence[Dated] = (),
    released_ms: int | None = None,
    shipping: Sequence[Dated] = (),
) -> Exposure:
    """The exposure by the range that holds where it stood; history and extremes stay.

    What is right there is no excursion of the profile's limits; what is in the profile's range and too warm there
    counts as out of range, and holds the batch (``level_warm``) once it adds up to the profile's heat alarm. In boxes the
    findings of heat are those of the product's shipment type, ``shipping``: what its limits were from when.
    """
    if is_plain(stood, product, profile):
        return exposure
    plain = plain_range(profile)
    ranges = [(one.stay, range_in(product, one.place, profile)) for one in stood]
    spans = [_strictest([a for p, a in ranges if _covers(p, s)], plain) for s in exposure.timeline]
    line = _as_judged(exposure.timeline, spans, plain)
    edges = [(a.low_m, a.high_m) for a in spans]
    made = relieved(exposure, line, profile, sigma_c, later, edges)
    warm = level_warm(exposure.timeline, spans, plain, _heat_after_ms(profile), released_ms)
    boxes = spells_of((p.from_ms, p.to_ms) for p, allowed in ranges if allowed.shipped)
    shipped = judge_shipments(exposure.timeline, boxes, shipping, profile, sigma_c, exposure.batch)
    found = sorted((*made.findings, *shipped), key=lambda f: (f.event_ms, f.finding_id))
    return replace(made, findings=tuple(found), level_warm=warm)


def _strictest(here: Sequence[Allowed], plain: Allowed) -> Allowed:
    """Of several places at once what all of them allow; cold that is right in one of them is none in the other."""
    if not here:
        return plain
    lows = [a.low_m for a in here]
    low_m = None if None in lows else max(v for v in lows if v is not None)
    high_m = min((a.high_m for a in here if a.high_m is not None), default=None)
    return Allowed(low_m, high_m, any(a.any_cold for a in here), all(a.shipped for a in here))


def _covers(stay: Placement, s: Segment) -> bool:
    return stay.from_ms <= s.from_ms and (stay.to_ms is None or s.from_ms < stay.to_ms)


def _as_judged(line: Sequence[Segment], spans: Sequence[Allowed], plain: Allowed) -> list[Segment]:
    """Each stretch as the profile's limits see it. A warm spell that is partly in a box and partly in a store is one (26).

    The shipment type's leniency is for spells that begin and end in boxes. Unknown time ends no spell.
    """
    out = [_seen(s, allowed, plain) for s, allowed in zip(line, spans, strict=True)]
    in_boxes: dict[int, Segment] = {}
    in_store = False
    for i, (s, allowed) in enumerate(zip(line, spans, strict=True)):
        own = _seen(s, replace(allowed, shipped=False), plain) if allowed.shipped else out[i]
        if own.high_m is None:
            continue
        if plain.high_m is None or own.high_m <= plain.high_m:
            in_boxes, in_store = {}, False
        elif allowed.shipped:
            in_boxes[i] = own
        else:
            in_store = True
        if in_store:
            for k, as_in_store in in_boxes.items():
                out[k] = as_in_store
            in_boxes = {}
    return out


def _seen(s: Segment, allowed: Allowed, plain: Allowed) -> Segment:
    low_m, high_m = (None if v is None else allowed.judged_m(v, plain) for v in (s.low_m, s.high_m))
    return s if (low_m, high_m) == (s.low_m, s.high_m) else replace(s, low_m=low_m, high_m=high_m)


def _heat_after_ms(profile: Profile) -> int:
    alarms = [
        x.need_ms
        for x in profile.limits
        if x.comparator.high and x.level is Level.ALARM and x.mode is Mode.SINGLE and x.quantity == TEMPERATURE
    ]
    return min(alarms, default=0)


def level_warm(
    line: Sequence[Segment], spans: Sequence[Allowed], plain: Allowed, after_ms: int, released_ms: int | None
) -> LevelWarm:
    """Time above the range of its level, added up over all spells and places (requirements 5, 26, 27).

    None of it where no range was stricter than the profile's while it was above: those alone are the profile's own
    limits' to judge. A sum shorter than ``after_ms`` (a heat alarm's) is told as none. A release covers what was warm by
    then; what readings showed later counts once it is as long again, at once where the spell of the release went on.
    """
    warm = [
        (s, plain.high_m is None or allowed.high_m < plain.high_m)
        for s, allowed in zip(line, spans, strict=True)
        if not allowed.shipped and allowed.high_m is not None and s.high_m is not None and s.high_m > allowed.high_m
    ]
    total_ms = sum(s.length_ms for s, _ in warm)
    if not any(strict for _, strict in warm) or total_ms < after_ms:
        return LevelWarm()
    if released_ms is None:
        return LevelWarm(total_ms // 1000)
    later = [s for s, _ in warm if s.from_ms > released_ms]
    since_ms = sum(s.length_ms for s in later)
    went_on = any(s.from_ms <= released_ms < s.to_ms == later[0].from_ms for s, _ in warm) if later else False
    return LevelWarm(total_ms // 1000, since_ms // 1000 if went_on or since_ms >= after_ms else 0)
