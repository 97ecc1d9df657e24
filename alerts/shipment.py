"""Shipments: in a box a vaccine is judged by the shipment type of its product (cold-chain 6, 29; E006/TR07). Pure.

    type (products.toml)   in a box                                      cold
    transport_1            45.0 C for 60 min; 30.0 C for 10 h in all     the product's own freezing limits
    transport_2            the same, and 10.0 C for 20 h in all          nothing, where the vaccine may freeze and has no diluent
    none                   the product's own limits, as in a refrigerator

Both are lenient for as long as a shipment lasts, and no longer: above the product's own range for more than
``lasts_at_most_s`` in all its shipments is an alarm too, HEAT_IN_BOX.

A shipment begins where a batch comes into a box from a place that is none; changing boxes goes on with it. Its settling
time begins then. The sums of a batch go on from one shipment to the next: what it lived through adds up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from alerts.exposure import judge_timeline
from alerts.rules.finding import Level, RuleFinding
from alerts.rules.limits import Comparator, Dated, Limit, Mode, Plan, Profile, in_shipments, thresholds
from alerts.rules.spans import Segment

_BEYOND_NOTHING_M = 1 << 40
HEAT_IN_BOX = "HEAT_IN_BOX"
LASTS_AT_MOST_S = 72_000
"""For a shipment type that names no bound. Our own choice, see ``profiles.toml``; none would let 29.9 C go on for ever."""
Spells = tuple[tuple[int, int | None], ...]
"""(from, to; None: goes on), in order of time, without overlaps."""


def spells_of(stays: Iterable[tuple[int, int | None]]) -> Spells:
    """Stays that touch or overlap as one."""
    made: list[tuple[int, int | None]] = []
    for from_ms, to_ms in sorted(stays, key=lambda s: s[0]):
        last_ms = made[-1][1] if made else 0
        if made and (last_ms is None or from_ms <= last_ms):
            made[-1] = (made[-1][0], None if to_ms is None or last_ms is None else max(last_ms, to_ms))
        else:
            made.append((from_ms, to_ms))
    return tuple(made)


def instants_of(spells: Spells) -> tuple[int, ...]:
    """When a box was loaded, and when it was empty again."""
    return tuple(t for spell in spells for t in spell if t is not None)


def judge_shipments(
    line: Sequence[Segment],
    spells: Spells,
    limits: Sequence[Dated],
    own: Profile,
    sigma_c: Decimal | None,
    batch: str,
) -> list[RuleFinding]:
    """The findings of a batch by its shipment type, over its history ``line``; ``spells``: when it was in boxes.

    ``limits``: what the type meant from when. Its freezing limit is left to ``own``, the product's profile, where that
    has one as strict.
    """
    if not spells:
        return []
    eras = [(d.from_ms, thresholds(_bounded(own, _not_told_by(own, d.profile)), sigma_c)) for d in limits]
    plans = in_shipments(eras, [from_ms for from_ms, _ in spells])
    plan = Plan("", "", None, plans[0][1], batch, changes=tuple(plans[1:]))
    return judge_timeline([s if _inside(spells, s) else _empty(s) for s in line], plan)


def _not_told_by(own: Profile, shipping: Profile) -> Profile:
    lows = [x.limit_c for x in own.limits if not x.comparator.high and x.level is Level.ALARM]
    rows = (x for x in shipping.limits if x.comparator.high or all(x.limit_c > low_c for low_c in lows))
    return replace(shipping, limits=tuple(rows))


def _bounded(own: Profile, shipping: Profile) -> Profile:
    """The shipment type, and that it is lenient for so long in all."""
    if own.high_c is None:
        return shipping
    lasts_s = LASTS_AT_MOST_S if shipping.lasts_at_most_s is None else shipping.lasts_at_most_s
    row = Limit(
        HEAT_IN_BOX,
        Comparator.GT,
        own.high_c,
        lasts_s + 1,  # so long is fine, a second more is not
        mode=Mode.CUMULATIVE,
        source=f"lasts_at_most_s of {shipping.id} above the range of {own.id}",
        verified=False,
    )
    return replace(shipping, limits=(*shipping.limits, row))


def _inside(spells: Spells, s: Segment) -> bool:
    return any(from_ms <= s.from_ms and (to_ms is None or s.from_ms < to_ms) for from_ms, to_ms in spells)


def _empty(s: Segment) -> Segment:
    """A stretch out of a box: known, and beyond no limit."""
    return replace(s, low_m=_BEYOND_NOTHING_M, high_m=-_BEYOND_NOTHING_M, doubtful=False, breaks=False)
