"""Destructions of discarded vaccines on pages and in JSON: what is missing stands first, in plain words."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response

from api import destructions
from api.desk import Form, back_to, desk_of, need, need_form, need_page, page, site_of, words_for
from api.destructions import Bagged, DestructionView, bags_for, case_of, view_of
from api.present import local_time, zone_name
from api.problems import not_found
from api.roles import Right
from api.security import Visitor
from api.shapes import (
    BaggedIn,
    DamagedIn,
    DestroyedIn,
    DestructionBagOut,
    DestructionIn,
    DestructionOut,
    MissingOut,
    ReportIn,
    VialsIn,
    WhyIn,
)
from api.words import Words
from gateway.records.destruction import Problem
from gateway.records.destructions import MOST_VIALS

page_router = APIRouter(include_in_schema=False)
json_router = APIRouter(prefix="/api/v1", tags=["waste"])
Key = Annotated[str, Path(min_length=1, max_length=128)]
Looker = Annotated[Visitor, Depends(need(Right.LOOK))]
PageLooker = Annotated[Visitor, Depends(need_page(Right.LOOK))]
Destroyer = Annotated[Visitor, Depends(need(Right.DESTROY))]
Closer = Annotated[Visitor, Depends(need(Right.CLOSE))]
Told = Annotated[tuple[Visitor, Form], Depends(need_form(Right.DESTROY))]
Settled = Annotated[tuple[Visitor, Form], Depends(need_form(Right.CLOSE))]
_LISTED = 50


# --- JSON -----------------------------------------------------------------------------------------------------


@json_router.get("/sites/{site_id}/destructions")
def listed(request: Request, visitor: Looker, site_id: Key) -> list[DestructionOut]:
    """The destructions of a site, the newest first, each with what is missing."""
    desk, site = site_of(request, visitor, site_id)
    return [_out(view_of(desk.records, case)) for case in desk.records.destructions(site.id)[:_LISTED]]


@json_router.post("/sites/{site_id}/destructions", status_code=201)
def begin(request: Request, visitor: Destroyer, site_id: Key, body: DestructionIn) -> DestructionOut:
    """Open a destruction under a BAST."""
    desk = desk_of(request)
    case = destructions.begin(desk, visitor.person, site_id, body.bast_no, body.third_party, body.reason)
    return _out(view_of(desk.records, case))


@json_router.get("/destructions/{case_id}")
def one(request: Request, visitor: Looker, case_id: Key) -> DestructionOut:
    """One destruction, and what keeps it open."""
    return _now(request, visitor, case_id)


@json_router.post("/destructions/{case_id}/lines")
def line(request: Request, visitor: Destroyer, case_id: Key, body: VialsIn) -> DestructionOut:
    """How many vials of a batch the BAST lists (0: none)."""
    destructions.list_vials(desk_of(request), visitor.person, case_id, body.batch, body.vials, body.reason)
    return _now(request, visitor, case_id)


@json_router.post("/destructions/{case_id}/bags")
def fill(request: Request, visitor: Destroyer, case_id: Key, body: BaggedIn) -> DestructionOut:
    """How many vials of a batch are in a bag (0: none)."""
    desk = desk_of(request)
    told = Bagged(body.bag, body.batch, body.vials)
    destructions.put_vials(desk, visitor.person, case_id, told, body.reason)
    return _now(request, visitor, case_id)


@json_router.post("/destructions/{case_id}/damaged")
def damaged(request: Request, visitor: Destroyer, case_id: Key, body: DamagedIn) -> DestructionOut:
    """Confirm that vials or labels were made unusable before they leave, and when; ``reason`` says how."""
    destructions.confirm_damaged(desk_of(request), visitor.person, case_id, body.damaged_ms, body.reason)
    return _now(request, visitor, case_id)


@json_router.post("/destructions/{case_id}/destroyed")
def destroyed(request: Request, visitor: Destroyer, case_id: Key, body: DestroyedIn) -> DestructionOut:
    """Say when a bag was destroyed; ``reason`` says how."""
    desk = desk_of(request)
    destructions.bag_destroyed(desk, visitor.person, case_id, body.bag, body.destroyed_ms, body.reason)
    return _now(request, visitor, case_id)


@json_router.post("/destructions/{case_id}/report")
def report(request: Request, visitor: Closer, case_id: Key, body: ReportIn) -> DestructionOut:
    """Enter the third party's own report."""
    desk = desk_of(request)
    destructions.enter_report(desk, visitor.person, case_id, body.report_no, body.signed_by, body.reason)
    return _now(request, visitor, case_id)


@json_router.post("/destructions/{case_id}/close")
def close(request: Request, visitor: Closer, case_id: Key, body: WhyIn) -> DestructionOut:
    """Close it; refused (NOT_COMPLETE) while anything is missing."""
    destructions.close(desk_of(request), visitor.person, case_id, body.reason)
    return _now(request, visitor, case_id)


def _now(request: Request, visitor: Visitor, case_id: str) -> DestructionOut:
    desk = desk_of(request)
    return _out(view_of(desk.records, case_of(desk, visitor.person, case_id)[0]))


def _out(view: DestructionView) -> DestructionOut:
    case = view.case
    return DestructionOut(
        id=case.id,
        site=case.site,
        bast_no=case.bast_no,
        third_party=case.third_party,
        opened_by=case.opened_by,
        opened_ms=case.opened_ms,
        lines=dict(case.lines),
        bags=[
            DestructionBagOut(
                bag=b.bag.bag,
                vials=dict(b.bag.vials),
                net_kg=b.net_kg,
                destroyed_ms=b.bag.destroyed_ms,
                destroyed_by=b.bag.destroyed_by,
            )
            for b in view.bags
        ],
        damaged_by=case.damaged_by,
        damaged_ms=case.damaged_ms,
        report_no=case.report_no,
        report_signed_by=case.report_signed_by,
        report_entered_by=case.report_entered_by,
        report_ms=case.report_ms,
        closed_by=case.closed_by,
        closed_ms=case.closed_ms,
        missing=[MissingOut(why=str(p.why), subject=p.subject, count=p.count) for p in view.missing],
    )


# --- pages ----------------------------------------------------------------------------------------------------


@page_router.get("/sites/{site_id}/destructions")
def list_page(request: Request, visitor: PageLooker, site_id: str) -> Response:
    """All destructions of a site, and the form that begins one."""
    desk, site = site_of(request, visitor, site_id)
    views = [view_of(desk.records, case) for case in desk.records.destructions(site.id)[:_LISTED]]
    return page(request, "destructions.html", visitor=visitor, site=site, here="weighing", views=views)


@page_router.post("/sites/{site_id}/destructions")
def begin_form(request: Request, sent: Told, site_id: str) -> Response:
    """Begin a destruction; then its own page."""
    visitor, form = sent
    third_party = form.text("third_party", 1, 120) if form.fields.get("third_party", "").strip() else ""
    bast_no, why = form.text("bast_no", 1, 64), _why(request, visitor, "opened")
    case = destructions.begin(desk_of(request), visitor.person, site_id, bast_no, third_party, why)
    return back_to(f"/sites/{case.site}/destructions/{case.id}", "destruction_saved")


@page_router.get("/sites/{site_id}/destructions/{case_id}")
def case_page(request: Request, visitor: PageLooker, site_id: str, case_id: str) -> Response:
    """One destruction: what is missing, then each step with its form."""
    desk, site = site_of(request, visitor, site_id)
    case, home = case_of(desk, visitor.person, case_id)
    if home.id != site.id:
        raise not_found("destruction", case_id)
    words, now_ms = words_for(request, visitor.person), desk.clock.now_ms()
    view = view_of(desk.records, case)
    discarded = [v.batch for v in desk.questions.batch_views(site) if v.discarded]
    return page(
        request,
        "destruction.html",
        visitor=visitor,
        site=site,
        here="weighing",
        d=view,
        missing=[missing_text(words, p) for p in view.missing],
        discarded=discarded,
        bags=bags_for(desk.records, site, case),
        alone=bool(case.third_party) and visitor.person.site == case.site,
        now_local=local_time(now_ms, site.zone),
        zone_name=zone_name(site.zone, now_ms),
    )


@page_router.post("/sites/{site_id}/destructions/{case_id}/lines")
def line_form(request: Request, sent: Told, site_id: str, case_id: str) -> Response:
    """A line of the BAST."""
    visitor, form = sent
    batch, vials, why = form.choice("batch"), _vials(form), _why(request, visitor, "listed")
    destructions.list_vials(desk_of(request), visitor.person, case_id, batch, vials, why)
    return _back(site_id, case_id)


@page_router.post("/sites/{site_id}/destructions/{case_id}/bags")
def fill_form(request: Request, sent: Told, site_id: str, case_id: str) -> Response:
    """Vials into a bag."""
    visitor, form = sent
    told = Bagged(form.text("bag", 12, 12), form.choice("batch"), _vials(form))
    why = form.text("reason", 3) if form.fields.get("reason", "").strip() else ""
    usual = _why(request, visitor, "filled")
    destructions.put_vials(desk_of(request), visitor.person, case_id, told, why, usual)
    return _back(site_id, case_id)


@page_router.post("/sites/{site_id}/destructions/{case_id}/damaged")
def damaged_form(request: Request, sent: Told, site_id: str, case_id: str) -> Response:
    """Vials or labels were made unusable: when, and how."""
    visitor, form = sent
    desk = desk_of(request)
    _, home = case_of(desk, visitor.person, case_id)
    since_ms, why = _told(form, home.zone, desk.clock.now_ms()), form.text("reason", 3)
    destructions.confirm_damaged(desk, visitor.person, case_id, since_ms, why)
    return _back(site_id, case_id)


@page_router.post("/sites/{site_id}/destructions/{case_id}/destroyed")
def destroyed_form(request: Request, sent: Told, site_id: str, case_id: str) -> Response:
    """A bag was destroyed: when, and how."""
    visitor, form = sent
    desk = desk_of(request)
    case, home = case_of(desk, visitor.person, case_id)
    bag, since_ms, why = form.text("bag", 12, 12), _told(form, home.zone, desk.clock.now_ms()), form.text("reason", 3)
    if since_ms is not None and case.damaged_ms is not None and since_ms == case.damaged_ms // 60_000 * 60_000:
        since_ms = case.damaged_ms  # the minute in which it was made unusable is not before that
    destructions.bag_destroyed(desk, visitor.person, case_id, bag, since_ms, why)
    return _back(site_id, case_id)


@page_router.post("/sites/{site_id}/destructions/{case_id}/report")
def report_form(request: Request, sent: Settled, site_id: str, case_id: str) -> Response:
    """The third party's own report."""
    visitor, form = sent
    number, signed, why = form.text("report_no", 1, 120), form.text("signed_by", 1, 120), form.text("reason", 3)
    destructions.enter_report(desk_of(request), visitor.person, case_id, number, signed, why)
    return _back(site_id, case_id)


@page_router.post("/sites/{site_id}/destructions/{case_id}/close")
def close_form(request: Request, sent: Settled, site_id: str, case_id: str) -> Response:
    """Close it."""
    visitor, form = sent
    destructions.close(desk_of(request), visitor.person, case_id, form.text("reason", 3))
    return _back(site_id, case_id)


def missing_text(words: Words, problem: Problem) -> str:
    """What is missing, in plain words."""
    return words(f"missing.{problem.why}", subject=problem.subject, n=problem.count)


def _told(form: Form, zone: str, now_ms: int) -> int | None:
    """The time that a form names, which knows minutes: this minute, or none, is now (None)."""
    since_ms = form.moment("since", zone)
    return None if since_ms is not None and since_ms // 60_000 == now_ms // 60_000 else since_ms


def _vials(form: Form) -> int:
    return int(form.number("vials", Decimal(0), Decimal(MOST_VIALS)))


def _why(request: Request, visitor: Visitor, step: str) -> str:
    return words_for(request, visitor.person)(f"destruction.reason_{step}")


def _back(site_id: str, case_id: str) -> Response:
    return back_to(f"/sites/{site_id}/destructions/{case_id}", "destruction_saved")
