"""The scan of a pack, on page and in JSON: a hardware scanner types into the field and ends with Enter (requirement 40)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from alerts.gs1 import GS, MAX_SIGNS, BarcodeError
from api.desk import need, need_page, page, site_of, words_for
from api.problems import ProblemError
from api.roles import Right
from api.scan import Scanned, scan_at
from api.scan_words import answer_item, product_line
from api.security import Visitor
from api.shapes import GivenOut, GtinSaidOut, ProductOut, ScanOut
from api.stock import offered_products
from gateway.records import Site

page_router = APIRouter(include_in_schema=False)
json_router = APIRouter(prefix="/api/v1", tags=["batches"])
Key = Annotated[str, Path(min_length=1, max_length=128)]
Code = Annotated[str, Query(max_length=4 * MAX_SIGNS)]  # what is longer than a label is refused in plain words


@json_router.get("/sites/{site_id}/scan")
def scan(
    request: Request,
    visitor: Annotated[Visitor, Depends(need(Right.LOOK))],
    site_id: Key,
    code: Annotated[str, Query(min_length=1, max_length=MAX_SIGNS)],
) -> ScanOut:
    """The batch behind a GS1 barcode (as printed with brackets, or raw with GS, 0x1D): may it still be given?"""
    desk, site = site_of(request, visitor, site_id)
    try:
        return _out(scan_at(desk, site, code), site)
    except BarcodeError as error:
        raise ProblemError(422, f"barcode_{error.reason}", str(error), "Scan it again, or compare it.") from error


@page_router.get("/sites/{site_id}/scan")
def scan_page(
    request: Request, visitor: Annotated[Visitor, Depends(need_page(Right.LOOK))], site_id: str, code: Code = ""
) -> Response:
    """The field to scan into, and what the pack is that was scanned."""
    desk, site = site_of(request, visitor, site_id)
    words = words_for(request, visitor.person)
    # A GS is shown by its picture, which is read as one: no field or address then holds a control sign.
    found, wrong, typed = None, None, code.strip(" \t\r\n").replace(GS, "\u241d")
    if typed:
        try:
            found = scan_at(desk, site, typed)
        except BarcodeError as error:
            wrong = error
    return page(
        request,
        "scan.html",
        visitor=visitor,
        site=site,
        here="batches",
        typed=typed,
        wrong=wrong,
        found=found,
        answers=[answer_item(words, a) for a in found.answers] if found else [],
        product=product_line(words, found, site) if found else "",
        products=offered_products(desk, site) if found else [],
    )


def _out(found: Scanned, site: Site) -> ScanOut:
    row, code = found.product, found.code
    at_level = None if row is None else row.range_at(str(site.level))
    product = None
    if row is not None:
        product = ProductOut(
            kfa=sorted(found.scan.product_kfa),
            name=row.name,
            vvm_type=row.vvm_type,
            freeze_class=str(row.freeze_class),
            shake_test_valid=row.shake_test_valid,
            low_c=None if at_level is None else at_level.low_c,
            high_c=None if at_level is None else at_level.high_c,
        )
    return ScanOut(
        gtin=found.gtin,
        batch_number=code.batch_number,
        expires_on=code.expires_on,
        serial=code.serial,
        word=str(found.scan.word),
        links=[
            GtinSaidOut(source=x.source, product_kfa=x.product_kfa, product_name=x.product_name) for x in found.links
        ],
        product=product,
        batches=[
            GivenOut(
                batch=a.batch.id,
                expires_on=a.batch.expires_on,
                expiry=str(a.expiry),
                written_otherwise=a.written_otherwise,
                may_give=a.may_give,
                why=a.why,
                turn=a.place.turn.turn,
                first=None if a.first is None else a.first.id,
            )
            for a in found.answers
        ],
        namesakes=[b.id for b in found.namesakes],
        near=[b.id for b in found.near],
    )
