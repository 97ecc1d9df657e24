"""The range that a vaccine is judged by where it stands (``alerts.storage``, cold-chain 6, 27), in a person's words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alerts.document import product_of_json, profile_of_json
from alerts.exposure import Placement
from alerts.rules.facts import degrees
from alerts.storage import Allowed, Place, plain_range, range_in, stood_in
from api.history import ms_of, stays_of
from api.words import Words


@dataclass(frozen=True, slots=True)
class JudgedBy:
    """The range of one stay, or of a part of it. ``plain``: it is the one of the product's own limits."""

    equipment: str
    from_ms: int
    to_ms: int | None
    allowed: Allowed
    plain: bool


def ranges_of(document: Mapping[str, Any]) -> list[JudgedBy]:
    """What the verdict was judged by, stay by stay; none where the document does not hold limits or places (an older one).

    Range states are by the limits in force when it was judged: the last of the product's profile that stands there.
    """
    product, named = document.get("product") or {}, document.get("places")
    kept = [
        p
        for p in (document.get("rules") or {}).get("profiles") or ()
        if p.get("limits") and p.get("id") == product.get("profile")
    ]
    if not kept or named is None or "known" not in product:
        return []
    profile, row = profile_of_json(kept[-1]), product_of_json(product)
    first = {name: _place(said) for name, said in named.items()}
    later = {
        name: [(since, _place(x)) for x in said.get("later", ()) if (since := ms_of(x.get("since"))) is not None]
        for name, said in named.items()
    }
    stays = [Placement("", s.equipment, s.from_ms, s.to_ms) for s in stays_of(document)]
    made = []
    for one in stood_in(stays, first, later):
        allowed = range_in(row, one.place, profile)
        plain = allowed == plain_range(profile)
        made.append(JudgedBy(one.stay.equipment, one.stay.from_ms, one.stay.to_ms, allowed, plain))
    return made


def _place(said: Mapping[str, Any]) -> Place:
    return Place(said["level"], said["freezes"], said["chills"], said.get("carries", False))


def range_text(words: Words, allowed: Allowed) -> str:
    """``up to 8 °C; frost does this vaccine no harm``."""
    low, high = (None if m is None else words.number(degrees(m)) for m in (allowed.low_m, allowed.high_m))
    if low is not None and high is not None:
        text = words("judged_by.between", low=low, high=high)
    elif high is not None:
        text = words("judged_by.up_to", high=high)
    else:
        text = words("judged_by.no_limit") if low is None else words("judged_by.down_to", low=low)
    return f"{text}; {words('judged_by.frost')}" if allowed.any_cold else text
