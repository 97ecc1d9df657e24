"""One quarantined message on a page: why it waits in plain words, what it holds, what may be done, what was done."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from api import commands
from api.desk import Form, back_to, desk_of, need_form, need_page, page, words_for
from api.quarantine_words import detail_text, explained, needs_text, shown_payload, step_text
from api.roles import Right
from api.security import Visitor
from gateway.repairs import Repair

router = APIRouter(include_in_schema=False)
Sent = tuple[Visitor, Form]
_MAX_TEXT = 48_000


@router.get("/sites/{site_id}/quarantine/{item_id}")
def item_page(
    request: Request, visitor: Annotated[Visitor, Depends(need_page(Right.REPORT))], site_id: str, item_id: str
) -> Response:
    """The message with its reason, its beginning, its repairs and its history."""
    desk = desk_of(request)
    item, site = commands.quarantined(desk.questions, visitor.person, item_id)
    del site_id  # the item's own site decides
    words = words_for(request, visitor.person)
    text, is_text = shown_payload(item.payload)
    whole = is_text and len(item.payload) <= len(text.encode())
    return page(
        request,
        "quarantined.html",
        visitor=visitor,
        site=site,
        here="quarantine",
        q=item,
        said=explained(words, item.reason),
        detail=detail_text(words, item.detail),
        text=text,
        whole=whole,
        corrected=None if item.corrected is None else shown_payload(item.corrected)[0],
        history=[(row, step_text(words, row)) for row in desk.records.audit_of(f"quarantine:{item.id}")[-20:]],
    )


@router.post("/sites/{site_id}/quarantine/{item_id}/correct")
def correct(
    request: Request, sent: Annotated[Sent, Depends(need_form(Right.REPLAY))], site_id: str, item_id: str
) -> Response:
    """Repair a message and ask for it to go through, with a reason; the original stays as it came."""
    visitor, form = sent
    repair, reason = form.choice("repair", *Repair), form.text("reason", 3)
    supplied = form.text("payload", 2, _MAX_TEXT).encode() if needs_text(repair) else b""
    commands.correct(desk_of(request), visitor.person, item_id, repair, supplied, reason, ask=True)
    return back_to(f"/sites/{site_id}/quarantine", "replayed")
