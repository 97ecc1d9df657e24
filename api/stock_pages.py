"""Forms by which a batch is registered from its pack, and a GTIN linked to its product; the link in JSON too."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from alerts.gs1 import MAX_SIGNS, BarcodeError
from api.desk import Desk, Form, back_to, desk_of, need, need_form, need_page, page, site_of, words_for
from api.problems import ProblemError, Wrong
from api.roles import Right
from api.scan import scan_at
from api.security import Visitor
from api.shapes import ChangedOut, GtinIn, GtinOut
from api.stock import Offer, Received, link_gtin, offered_products, register_batch
from gateway.records import EquipmentKind, GtinLink, Site

page_router = APIRouter(include_in_schema=False)
json_router = APIRouter(prefix="/api/v1", tags=["batches"])
Key = Annotated[str, Path(min_length=1, max_length=128)]
Sent = Annotated[tuple[Visitor, Form], Depends(need_form(Right.STOCK))]
_MOST_DOSES = Decimal(100_000_000)
_MOST_NUMBER = 40  # GS1 allows 20; SMILE's own numbers are sometimes longer


@json_router.get("/sites/{site_id}/gtins")
def gtins(request: Request, visitor: Annotated[Visitor, Depends(need(Right.LOOK))], site_id: Key) -> list[GtinOut]:
    """Which GTIN is which product: this site's own links, and those for all sites (``site`` null)."""
    desk, site = site_of(request, visitor, site_id)
    return [
        GtinOut(gtin=x.gtin, site=x.site or None, product_kfa=x.product_kfa, product_name=x.product_name)
        for x in desk.records.gtin_links(site.id)
    ]


@json_router.post("/gtins")
def put_gtin(request: Request, visitor: Annotated[Visitor, Depends(need(Right.STOCK))], body: GtinIn) -> ChangedOut:
    """Say which product a GTIN is: at a site in reach, or with ``site`` null at all of them (a super admin)."""
    link = GtinLink(body.gtin, body.product_kfa, body.product_name, body.site or "")
    change = link_gtin(desk_of(request), visitor.person, link, body.reason)
    return ChangedOut(id=body.gtin, change=change.value)


@page_router.post("/sites/{site_id}/gtins")
def link_form(request: Request, sent: Sent, site_id: str) -> Response:
    """Link the GTIN that was scanned; then the scan is looked at again."""
    visitor, form = sent
    desk, site = site_of(request, visitor, site_id)
    product = _chosen(desk, site, form)
    everywhere = form.fields.get("everywhere") == "yes"
    link = GtinLink(form.text("gtin", 14, 14), product.kfa, product.name, "" if everywhere else site.id)
    link_gtin(desk, visitor.person, link, form.text("reason", 3))
    return back_to(f"/sites/{site_id}/scan", "linked", code=form.fields.get("scanned", ""))


@page_router.get("/sites/{site_id}/register-batch")
def register_page(
    request: Request,
    visitor: Annotated[Visitor, Depends(need_page(Right.STOCK))],
    site_id: str,
    code: Annotated[str, Query(max_length=4 * MAX_SIGNS)] = "",
) -> Response:
    """The form for a new batch; ``code`` fills product, batch number and expiry."""
    desk, site = site_of(request, visitor, site_id)
    found = None
    with contextlib.suppress(BarcodeError):  # the scan's page has said why
        found = scan_at(desk, site, code)
    places = [e for e in desk.records.equipment_list(site.id) if e.kind != EquipmentKind.WASTE_STORE]
    known = found.scan.product_kfa if found else frozenset()
    offers = offered_products(desk, site)
    return page(
        request,
        "register_batch.html",
        visitor=visitor,
        site=site,
        here="batches",
        scanned=code if found else "",
        code=found.code if found else None,
        offers=[o for o in offers if o.kfa in known] or offers,
        places=places,
    )


@page_router.post("/sites/{site_id}/batches")
def register(request: Request, sent: Sent, site_id: str) -> Response:
    """Register the batch, and where it stands; then its own page."""
    visitor, form = sent
    desk, site = site_of(request, visitor, site_id)
    words = words_for(request, visitor.person)
    got = Received(
        _chosen(desk, site, form),
        form.text("batch_number", 1, _MOST_NUMBER),
        form.day("expires_on"),
        int(form.number("doses", Decimal(0), _MOST_DOSES)),
        form.fields.get("equipment", ""),
    )
    scanned = form.fields.get("scanned", "")[:MAX_SIGNS]
    reason = words("register.reason_scanned", code=scanned) if scanned else words("register.reason")
    batch = register_batch(desk, visitor.person, site.id, got, reason)
    return back_to(f"/sites/{site_id}/batches/{batch.id}", "batch_registered")


def _chosen(desk: Desk, site: Site, form: Form) -> Offer:
    kfa = form.choice("product")
    offer = next((o for o in offered_products(desk, site) if o.kfa == kfa), None)
    if offer is None:
        raise ProblemError(422, "bad_input", "product: not offered", "Choose a product.", Wrong("choice", "product"))
    return offer
