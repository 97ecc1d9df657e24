"""A scanned pack at a site: its product, its batch, and whether it may still be given; the same for page and JSON.

``alerts.scan`` says which batch it is, ``alerts.use_first`` whether and when it may be used. Nothing is guessed: where the
pack and the records do not agree the answer is no, and a person looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alerts.gs1 import Barcode, parse_barcode
from alerts.products import Product, Products
from alerts.scan import Kept, Scan, gtin_of, look_up, written_otherwise
from alerts.storage import Allowed, range_in
from alerts.told import place_of
from alerts.use_first import Why
from api.desk import Desk
from api.use_first_pages import Place, places_of
from gateway.records import Batch, Placement, Site


class Source(StrEnum):
    """Who says which product a GTIN is."""

    SITE = "site"
    ALL = "all"
    TABLE = "table"  # alerts/products.toml, or the file of the setting alerts.products_file


class Expiry(StrEnum):
    """How the pack's expiry and that of the records compare."""

    SAME = "same"
    DIFFERS = "differs"
    NOT_IN_CODE = "not_in_code"


@dataclass(frozen=True, slots=True)
class Said:
    """One link of the GTIN."""

    source: Source
    product_kfa: str
    product_name: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One batch that the pack may be. ``first``: the batch of this vaccine whose turn comes before it, if another's does.

    ``written_otherwise``: its number has other capitals in the records than on the pack.
    """

    place: Place
    expiry: Expiry
    first: Batch | None
    written_otherwise: bool

    @property
    def batch(self) -> Batch:
        return self.place.view.batch

    @property
    def may_give(self) -> bool:
        """Whether nothing that is known here speaks against it; the VVM on the vial has the last word."""
        return self.place.turn.turn is not None and self.expiry is not Expiry.DIFFERS

    @property
    def why(self) -> str:
        """Why (not): a word of ``use_first``, or ``expiry_differs``, or ``not_first``."""
        if self.expiry is Expiry.DIFFERS:
            return "expiry_differs"
        return "not_first" if self.first and self.place.turn.why is Why.FIRST_EXPIRY else str(self.place.turn.why)


@dataclass(frozen=True, slots=True)
class Scanned:
    """All that a scan came to. ``product``: the table's row, None where the table has none, or the links leave several.

    ``ranges``: (place, range) by which what was found is judged where it stands now.
    """

    code: Barcode
    scan: Scan
    links: tuple[Said, ...]
    answers: tuple[Answer, ...]
    namesakes: tuple[Batch, ...]
    near: tuple[Batch, ...]
    product: Product | None
    ranges: tuple[tuple[str, Allowed], ...] = ()

    @property
    def gtin(self) -> str | None:
        return gtin_of(self.code)

    @property
    def product_name(self) -> str:
        """As the table has it, else as who linked it wrote it."""
        said = (x.product_name for x in self.links if x.product_kfa in self.scan.product_kfa)
        return self.product.name if self.product else next(said, "")


def scan_at(desk: Desk, site: Site, text: str) -> Scanned:
    """What the typed or scanned text is at this site; raises BarcodeError."""
    code = parse_barcode(text)
    links = links_of(desk, site, gtin_of(code))
    places = places_of(desk, site)
    batches = {p.view.batch.id: p.view.batch for p in places}
    kept = [Kept(b.id, b.product_kfa, b.batch_number, b.expires_on) for b in batches.values()]
    found = look_up(code, _by_source(links), kept)
    row = _row(desk.products, found.product_kfa)
    answers = [_answer(code, p, places) for p in places if p.view.batch.id in {b.id for b in found.found}]
    return Scanned(
        code,
        found,
        links,
        tuple(answers),
        tuple(batches[b.id] for b in found.namesakes),
        tuple(batches[b.id] for b in found.near),
        row,
        _ranges(desk, site, row, [a.batch.id for a in answers]),
    )


def _ranges(desk: Desk, site: Site, row: Product | None, batches: Sequence[str]) -> tuple[tuple[str, Allowed], ...]:
    """Each place that one of the batches stands in, and the range of the product there."""
    if row is None or not batches:
        return ()
    now_ms, profiles = desk.clock.now_ms(), desk.questions.profiles
    profile = desk.questions.profile(row.profile, now_ms) or profiles["refrigerator"]
    stands = {p.equipment for p in desk.records.placements(site=site.id) if p.batch in batches and _holds(p, now_ms)}
    return tuple(
        (e.name, range_in(row, place_of(e, site, profiles), profile))
        for e in desk.records.equipment_list(site.id)
        if e.id in stands
    )


def _holds(stay: Placement, now_ms: int) -> bool:
    return stay.from_ms <= now_ms and (stay.to_ms is None or now_ms < stay.to_ms)


def links_of(desk: Desk, site: Site, gtin: str | None) -> tuple[Said, ...]:
    """Who says what this GTIN is: people for this site and for all, and the products table."""
    if gtin is None:
        return ()
    told = [
        Said(Source.SITE if x.site else Source.ALL, x.product_kfa, x.product_name)
        for x in desk.records.gtin_links(site.id, gtin)
    ]
    row = desk.products.by_gtin.get(gtin)
    table = [] if row is None else [Said(Source.TABLE, kfa, row.name) for kfa in row.kfa_codes]
    return (*told, *table)


def _by_source(links: Iterable[Said]) -> list[frozenset[str]]:
    """The KFA codes of each source: the table may leave several pack sizes open."""
    found: dict[Source, set[str]] = {}
    for link in links:
        found.setdefault(link.source, set()).add(link.product_kfa)
    return [frozenset(codes) for codes in found.values()]


def _row(products: Products, codes: frozenset[str]) -> Product | None:
    rows = [products.by_kfa.get(kfa) for kfa in codes]
    return rows[0] if rows and all(row is rows[0] for row in rows) else None


def _answer(code: Barcode, place: Place, places: Sequence[Place]) -> Answer:
    batch, turn = place.view.batch, place.turn.turn
    if code.expires_on is None:
        expiry = Expiry.NOT_IN_CODE
    else:
        expiry = Expiry.SAME if code.expires_on == batch.expires_on else Expiry.DIFFERS
    before = (p.view.batch for p in places if p.turn.stock.product == batch.product_kfa and p.turn.turn == 1)
    first = next(before, None) if turn is not None and turn > 1 else None
    return Answer(place, expiry, first, written_otherwise(code, batch.batch_number))
