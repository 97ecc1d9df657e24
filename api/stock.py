"""Batches and packs as people register them: which product a GTIN is, and a batch from its pack. The same for page and JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from itertools import chain, count

from api import commands
from api.desk import Desk, actor_of
from api.problems import ProblemError
from api.roles import Person, Right, require
from gateway.records import Batch, Change, GtinLink, Site, UnknownRecord

_MOST_SIGNS = 64  # of an id
_MAY_STAND = re.compile(r"[^A-Za-z0-9_.\-]+")


@dataclass(frozen=True, slots=True)
class Offer:
    """A product that may be chosen: KFA code and name."""

    kfa: str
    name: str


def offered_products(desk: Desk, site: Site) -> list[Offer]:
    """The products of the table and those that people linked or registered here, by name."""
    names = {kfa: row.name for kfa, row in desk.products.by_kfa.items()}
    for batch in desk.records.batches(site.id):
        names.setdefault(batch.product_kfa, batch.product_name)
    for link in desk.records.gtin_links(site.id):
        names.setdefault(link.product_kfa, link.product_name)
    return sorted((Offer(kfa, name) for kfa, name in names.items()), key=lambda o: (o.name, o.kfa))


def link_gtin(desk: Desk, person: Person, link: GtinLink, reason: str) -> Change:
    """Say which product a GTIN is: for a site in reach, or for all sites (that is master data)."""
    if link.site:
        desk.questions.site(person, link.site)
    else:
        require(person, Right.MASTER)
    return desk.records.link_gtin(link, actor_of(person), reason, desk.clock.now_ms())


@dataclass(frozen=True, slots=True)
class Received:
    """A batch as its pack and its delivery say; ``equipment``: where it was put, "" when that is told later."""

    product: Offer
    batch_number: str
    expires_on: date
    doses: int
    equipment: str = ""


def register_batch(desk: Desk, person: Person, site_id: str, got: Received, reason: str) -> Batch:
    """Register a batch at a site in reach, and where it stands, both or none. One that is here already is refused."""
    site = desk.questions.site(person, site_id)
    with desk.records.together():
        desk.records.hold_sites({site.id})
        here = desk.records.batches(site.id)
        number = got.batch_number.casefold()
        same = [b for b in here if (b.product_kfa, b.batch_number.casefold()) == (got.product.kfa, number)]
        if same:
            raise ProblemError(
                409, "already_here", f"{same[0].id} is this batch", "Open it; a later delivery is told by the API."
            )
        batch = Batch(
            _free_id(desk, site, got.batch_number),
            site.id,
            got.product.kfa,
            got.product.name,
            got.batch_number,
            got.expires_on,
            got.doses,
        )
        desk.records.upsert_batch(batch, actor_of(person), reason, desk.clock.now_ms())
        if got.equipment:
            commands.place(desk, person, batch.id, commands.Move(got.equipment, reason))
    return batch


def _free_id(desk: Desk, site: Site, number: str) -> str:
    """``PKM-A.PB2411A``, or with a counter behind it: ids are unique in the whole house."""
    base = _MAY_STAND.sub("-", f"{site.id[:36]}.{number}")[: _MOST_SIGNS - 4]
    names = chain((base,), (f"{base}.{n}" for n in count(2)))
    return next(name for name in names if not _is_taken(desk, name))


def _is_taken(desk: Desk, batch_id: str) -> bool:
    try:
        desk.records.batch(batch_id)
    except UnknownRecord:
        return False
    return True
