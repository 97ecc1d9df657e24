"""Edges: who was enrolled, invited and revoked, for people (pages and JSON); and the one route by which a new Pi enrols.

A code is shown once, to the person who asked for it. The enrolment route knows no log-in: the code is the log-in, so wrong
codes are counted (per code in the records, per address here), and each answer takes the same work.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response

from api.config import Enrolment
from api.desk import Desk, Form, actor_of, back_to, desk_of, need, need_form, need_page, page
from api.problems import ProblemError
from api.roles import Person, Right
from api.security import Visitor
from api.shapes import BrokerOut, EdgeOut, EnrolIn, EnrolOut, InviteIn, InviteOut, RevokeIn, ServerCaOut
from gateway.broker_accounts import new_password, password_hash
from gateway.records import Code, Edge, EdgeState, Refused
from telemetry.enrolment import Invitation, pin_of
from telemetry.errors import ConfigError

log = logging.getLogger(__name__)
json_router = APIRouter(prefix="/api/v1", tags=["edges"])
page_router = APIRouter(include_in_schema=False)
Key = Annotated[str, Path(min_length=1, max_length=128)]
Sent = tuple[Visitor, Form]
_CODES = (Code.CODE_REFUSED, Code.CODE_EXPIRED, Code.CODE_USED)


# --- commands ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invited:
    """A code for a person to carry, and until when it is good."""

    edge: str
    invitation: Invitation
    expires_ms: int


def invite(desk: Desk, person: Person, site_id: str, edge: str, reason: str) -> Invited:
    """A new one-time code; raises ProblemError where this server enrols nobody."""
    site = desk.questions.site(person, site_id)
    door = _door(desk)
    if edge == door.import_edge:
        raise ProblemError(422, "bad_input", f"{edge} is the name of imported files", "Choose another name.")
    code = desk.records.invite_edge(site.id, edge, actor_of(person), reason, desk.clock.now_ms())
    made = desk.records.find_edge(site.id, edge)
    assert made is not None  # noqa: S101  (invited a line ago)
    return Invited(edge, Invitation(door.server_url, code.text, _pin(door)), made.code_expires_ms or 0)


def revoke(desk: Desk, person: Person, site_id: str, edge: str, reason: str) -> Edge:
    """Take an edge's keys and account away; the broker throws it out when it reads its files again."""
    site = desk.questions.site(person, site_id)
    gone = desk.records.revoke_edge(site.id, edge, actor_of(person), reason, desk.clock.now_ms())
    if desk.accounts is not None:
        try:
            desk.accounts.sync()
        except ConfigError as error:  # tried again every other second (api/service.py); ingest refuses it already
            log.error("the broker's accounts: %s", error)
    return gone


def _door(desk: Desk) -> Enrolment:
    if desk.enrolment is None or desk.accounts is None:
        raise ProblemError(
            409, "enrolment_off", "this server enrols no edges", "Set enrol.broker_host and the broker's files."
        )
    return desk.enrolment


def _pin(door: Enrolment) -> str:
    return pin_of(door.server_ca) if door.server_ca else ""


# --- the Pi -----------------------------------------------------------------------------------------------------


@json_router.get("/enrol/ca")
def server_ca(request: Request) -> ServerCaOut:
    """The CA of this server's certificate, which the code's pin names. Public by nature."""
    return ServerCaOut(ca=_door(desk_of(request)).server_ca)


@json_router.post("/enrol")
def enrol(request: Request, body: EnrolIn) -> EnrolOut:
    """Use a one-time code up: a new Pi gets its account at the broker and the key for its uploads."""
    desk = desk_of(request)
    door = _door(desk)
    address = request.client.host if request.client else ""
    if not desk.gate.may_try_code(address):
        raise ProblemError(429, "too_many", "too many wrong codes from this address", "Try again in five minutes.")
    password = new_password()
    hashed = password_hash(password)
    try:
        done = desk.records.enrol_edge(body.code, body.machine, desk.clock.now_ms(), password_hash=hashed)
    except Refused as error:
        if error.code not in _CODES:
            raise
        desk.gate.wrong_code(address)
        raise ProblemError(403, str(error.code), error.message, error.advice) from error
    _write_accounts(desk)
    edge = done.edge
    log.info("edge %s of %s enrolled by machine %s", edge.edge, edge.site, edge.machine)
    return EnrolOut(
        shard=edge.shard,
        site=edge.site,
        edge=edge.edge,
        upload_key=(edge.upload_key or b"").hex(),
        mqtt=BrokerOut(
            host=door.broker_host,
            port=door.broker_port,
            tls=door.broker_tls,
            ca=door.broker_ca,
            username=edge.account,
            password=password,
        ),
    )


def _write_accounts(desk: Desk) -> None:
    """The account must be there before the Pi is told; its code may be repeated where that fails."""
    assert desk.accounts is not None  # noqa: S101  (_door asked)
    try:
        desk.accounts.sync()
    except ConfigError as error:
        log.error("the broker's accounts: %s", error)
        raise ProblemError(
            503, "neighbour_down", "the broker's accounts cannot be written", "Repeat the same code in a minute."
        ) from error


# --- JSON for people --------------------------------------------------------------------------------------------


@json_router.get("/sites/{site_id}/edges")
def edges(request: Request, visitor: Annotated[Visitor, Depends(need(Right.REPORT))], site_id: Key) -> list[EdgeOut]:
    """The site's edges: state, machine, since when and by whom. Never their secrets."""
    desk = desk_of(request)
    site = desk.questions.site(visitor.person, site_id)
    return [EdgeOut.model_validate(e) for e in desk.records.edges(site.id)]


@json_router.post("/sites/{site_id}/edges", status_code=201)
def post_invite(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.MASTER))], site_id: Key, body: InviteIn
) -> InviteOut:
    """Invite an edge: its one-time code, shown this once."""
    made = invite(desk_of(request), visitor.person, site_id, body.edge, body.reason)
    asked = made.invitation
    return InviteOut(
        edge=made.edge,
        code=asked.code,
        server=asked.server,
        pin=asked.pin,
        line=asked.line,
        expires_ms=made.expires_ms,
    )


@json_router.post("/sites/{site_id}/edges/{edge}/revoke")
def post_revoke(
    request: Request,
    visitor: Annotated[Visitor, Depends(need(Right.REVOKE))],
    site_id: Key,
    edge: Key,
    body: RevokeIn,
) -> EdgeOut:
    """Revoke an edge: lost, stolen, replaced."""
    return EdgeOut.model_validate(revoke(desk_of(request), visitor.person, site_id, edge, body.reason))


# --- pages ------------------------------------------------------------------------------------------------------


@page_router.get("/sites/{site_id}/edges")
def edges_page(
    request: Request, visitor: Annotated[Visitor, Depends(need_page(Right.REPORT))], site_id: str
) -> Response:
    """The site's edges, with a form to invite and one to revoke for who may."""
    return _page(request, visitor, site_id)


@page_router.post("/sites/{site_id}/edges")
def send_invite(request: Request, sent: Annotated[Sent, Depends(need_form(Right.MASTER))], site_id: str) -> Response:
    """Invite an edge and show its code once: no redirect, no cache keeps it, a reload asks before it makes another."""
    visitor, form = sent
    made = invite(desk_of(request), visitor.person, site_id, form.text("edge", 1, 64), form.text("reason", 3))
    return _page(request, visitor, site_id, made)


@page_router.post("/sites/{site_id}/edges/{edge}/revoke")
def send_revoke(
    request: Request, sent: Annotated[Sent, Depends(need_form(Right.REVOKE))], site_id: str, edge: str
) -> Response:
    """Revoke an edge, with a reason."""
    visitor, form = sent
    revoke(desk_of(request), visitor.person, site_id, edge, form.text("reason", 3))
    return back_to(f"/sites/{site_id}/edges", "revoked")


_SIGNS = {EdgeState.ENROLLED: "ok", EdgeState.INVITED: "unknown", EdgeState.REVOKED: "out"}


def _page(request: Request, visitor: Visitor, site_id: str, made: Invited | None = None) -> Response:
    desk = desk_of(request)
    site = desk.questions.site(visitor.person, site_id)
    now_ms = desk.clock.now_ms()
    rows = [
        {"edge": e, "kind": _SIGNS[EdgeState(e.state)], "code_open": (e.code_expires_ms or 0) > now_ms}
        for e in desk.records.edges(site.id)
    ]
    return page(
        request,
        "edges.html",
        visitor=visitor,
        site=site,
        here="edges",
        rows=rows,
        made=made,
        enrols=desk.enrolment is not None,
    )
