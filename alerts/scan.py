"""What a scanned pack is: its product by GTIN, its batch among a site's by number, and whether the expiry agrees (40). Pure.

Nothing is guessed. A GTIN that nobody linked names no product; links that contradict each other name none either; a batch of
another product with the same number is told apart; an expiry that differs from the records' is a conflict that a person
settles. A batch number is compared without regard to case and to spaces around it, for people type it into the records; GS1's
are case-sensitive, so a difference of case is said (``written_otherwise``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from alerts.gs1 import Barcode, starts_an_element


class Word(StrEnum):
    """What the scan came to."""

    FOUND = "found"
    EXPIRY_DIFFERS = "expiry_differs"  # product and number agree, no batch has the pack's expiry
    NOT_HERE = "not_here"  # a known product, and no such batch at the site
    UNKNOWN_GTIN = "unknown_gtin"
    DISPUTED_GTIN = "disputed_gtin"  # who linked it do not agree
    NO_GTIN = "no_gtin"
    NO_BATCH = "no_batch"  # a carton's code, or one without (10)


@dataclass(frozen=True, slots=True)
class Kept:
    """A batch of the site as the records have it."""

    id: str
    product_kfa: str
    batch_number: str
    expires_on: date


@dataclass(frozen=True, slots=True)
class Scan:
    """``product_kfa``: what the links leave, one or several pack sizes of one product, none where they contradict.

    ``found``: the batches it is; of a conflict all that could be meant. ``namesakes``: same number, product unknown or
    another. ``near``: of the product, and the scanned number goes on after theirs as a further element would: the scanner
    may send no separator.
    """

    word: Word
    product_kfa: frozenset[str] = frozenset()
    found: tuple[Kept, ...] = ()
    namesakes: tuple[Kept, ...] = ()
    near: tuple[Kept, ...] = ()


def gtin_of(code: Barcode) -> str | None:
    """The GTIN of the pack, or of what a carton holds (02)."""
    return code.gtin or code.others.get("02")


def product_of(links: Sequence[frozenset[str]]) -> frozenset[str]:
    """What all links allow; empty where there is none or they contradict each other."""
    return frozenset.intersection(*links) if links else frozenset()


def look_up(code: Barcode, links: Sequence[frozenset[str]], batches: Iterable[Kept]) -> Scan:
    """What the pack is, by the links of its GTIN and the batches of the site.

    A link is the KFA codes that one source (a site, the country, the products table) gives the GTIN: the pack sizes of
    one product.
    """
    kept = sorted(batches, key=lambda b: (b.expires_on, b.id))
    product = product_of(links)
    if code.batch_number is None:
        return Scan(_unknown(code, links, product) or Word.NO_BATCH, product)
    number = _plain(code.batch_number)
    same = [b for b in kept if _plain(b.batch_number) == number]
    mine = tuple(b for b in same if b.product_kfa in product)
    others = tuple(b for b in same if b.product_kfa not in product)
    unknown = _unknown(code, links, product)
    if unknown is not None:
        return Scan(unknown, namesakes=tuple(same))
    if not mine:
        near = tuple(b for b in kept if b.product_kfa in product and _goes_on(number, _plain(b.batch_number)))
        return Scan(Word.NOT_HERE, product, namesakes=others, near=near)
    agree = tuple(b for b in mine if code.expires_on in (None, b.expires_on))
    return Scan(Word.FOUND if agree else Word.EXPIRY_DIFFERS, product, agree or mine, others)


def _unknown(code: Barcode, links: Sequence[frozenset[str]], product: frozenset[str]) -> Word | None:
    """Why the product is not known, or None."""
    if gtin_of(code) is None:
        return Word.NO_GTIN
    if not links:
        return Word.UNKNOWN_GTIN
    return None if product else Word.DISPUTED_GTIN


def written_otherwise(code: Barcode, number: str) -> bool:
    """Whether the records write the pack's batch number with other capitals: mostly a typing habit, rarely another batch."""
    return code.batch_number is not None and code.batch_number != number.strip()


def _plain(number: str) -> str:
    return number.strip().casefold()


def _goes_on(scanned: str, number: str) -> bool:
    return scanned.startswith(number) and starts_an_element(scanned[len(number) :])
