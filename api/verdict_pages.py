"""A verdict on page and in JSON: what it says, why, what the batch lived through, what it rests on, how to check it.

The page shows the document that was kept with the verdict (``records.verdict_document``), not a new judgement.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response

from api import history
from api.answers import verdict_out
from api.desk import need, need_page, page, site_of, words_for
from api.present import reason_text, without_doubt
from api.problems import not_found
from api.questions import Questions
from api.roles import Right
from api.security import Visitor
from api.shapes import VerdictOut, VerdictWithDocumentOut
from api.verdict_words import Line, Told, decided_line, despite_lines, history_item, picture, verdict_kind
from gateway.records.canonical import canonical
from telemetry.errors import NeighbourDownError

page_router = APIRouter(include_in_schema=False)
json_router = APIRouter(prefix="/api/v1", tags=["batches"])

Key = Annotated[str, Path(min_length=1, max_length=128)]
Looker = Annotated[Visitor, Depends(need(Right.LOOK))]
PageLooker = Annotated[Visitor, Depends(need_page(Right.LOOK))]
_STREAMS = 4  # lines in one picture


# --- JSON ---------------------------------------------------------------------------------------------------------


@json_router.get("/sites/{site_id}/batches/{batch_id}/verdicts")
def verdicts(request: Request, visitor: Looker, site_id: Key, batch_id: Key) -> list[VerdictOut]:
    """All verdicts of a batch, oldest first: those withdrawn and those decided too."""
    desk, site = site_of(request, visitor, site_id)
    batch = desk.questions.batch(site, batch_id)
    return [verdict_out(v) for v in desk.records.verdict_history(batch.id)]


@json_router.get("/sites/{site_id}/verdicts/{verdict_id}")
def verdict(request: Request, visitor: Looker, site_id: Key, verdict_id: Key) -> VerdictWithDocumentOut:
    """One verdict with its document (null for one made before documents were kept)."""
    desk, site = site_of(request, visitor, site_id)
    found = desk.questions.verdict(site, verdict_id)
    return VerdictWithDocumentOut(verdict=verdict_out(found), document=desk.questions.document(found.id))


@json_router.get("/sites/{site_id}/verdicts/{verdict_id}/document")
def document(request: Request, visitor: Looker, site_id: Key, verdict_id: Key) -> Response:
    """The document alone as canonical JSON: without its key ``hash``, its SHA-256 is ``hash``."""
    desk, site = site_of(request, visitor, site_id)
    found = desk.questions.document(desk.questions.verdict(site, verdict_id).id)
    if found is None:
        raise not_found("document of verdict", verdict_id)
    name = f'attachment; filename="verdict-{verdict_id}.json"'
    return Response(canonical(found), media_type="application/json", headers={"content-disposition": name})


# --- page ---------------------------------------------------------------------------------------------------------


@page_router.get("/sites/{site_id}/verdicts/{verdict_id}")
def verdict_page(request: Request, visitor: PageLooker, site_id: str, verdict_id: str) -> Response:
    """One verdict: what it says, why, the picture, the timeline, what it rests on, who decided what."""
    desk, site = site_of(request, visitor, site_id)
    words = words_for(request, visitor.person)
    found = desk.questions.verdict(site, verdict_id)
    batch = desk.records.batch(found.batch)
    made = desk.questions.document(found.id)
    past = desk.records.verdict_history(batch.id)
    places = {e.id: e.name for e in desk.records.equipment_list()}  # of other sites it came through, too
    ended_ms = {p.from_ms: p.to_ms for p in desk.records.placements(batch=batch.id) if p.to_ms is not None}
    told = None if made is None else Told(words, site.zone, places, made, ended_ms)
    return page(
        request,
        "verdict.html",
        visitor=visitor,
        site=site,
        here="batches",
        v=found,
        batch=batch,
        kind=verdict_kind(found),
        decided=decided_line(words, site, found),
        despite=despite_lines(words, places, found),
        latest=past[-1],
        told=told,
        reasons=[reason_text(words, site.zone, places, r) for r in without_doubt(found.reasons)],
        picture=None if told is None else _picture(desk.questions, told, batch.product_name),
        past=[history_item(words, site, v, past[-1]) for v in reversed(past)],
    )


def _picture(questions: Questions, told: Told, name: str) -> Any:
    low_c, high_c = _range(questions, told)
    return picture(told, name, lines_of(questions, told.document), low_c, high_c)


def _range(questions: Questions, told: Told) -> tuple[Decimal | None, Decimal | None]:
    """The range that the vaccine was judged by: as the document holds it, else as it is now."""
    kept = told.range_c()
    if kept is not None:
        return kept
    profile = questions.profiles.get(str((told.document.get("product") or {}).get("profile")))
    return (profile.low_c, profile.high_c) if profile else (None, None)


def lines_of(questions: Questions, document: Mapping[str, Any]) -> list[Line]:
    """The readings the batch saw, from the store; none while it does not answer (the document still tells the spans)."""
    stretches, stays = history.stretches_of(document), history.stays_of(document)
    bounds = history.bounds_of(stretches)
    lines: list[Line] = []
    if bounds is None:
        return lines
    amended = history.amended_of(document)
    for row in document.get("facts", ()):
        stream, seen = str(row.get("stream")), history.windows(stays, stretches, str(row.get("equipment")), bounds[1])
        if not stream.partition("/")[2].startswith("temperature_c") or not seen or len(lines) == _STREAMS:
            continue
        try:
            said = questions.store.read_columns(stream, seen[0][0], seen[-1][1])
        except NeighbourDownError:
            return []
        value_m, odd = said.milli, set(said.odd)
        if any(amended.of(stream)):  # the line is of what was judged
            gone = np.isin(np.arange(len(said.t_ms)), list(odd))
            t_ms, raw_m = (np.asarray(c, dtype=np.int64) for c in (said.t_ms, said.milli))
            counted_m, missing = amended.columns(stream, t_ms, raw_m, gone)
            value_m, odd = counted_m.tolist(), set(np.flatnonzero(missing).tolist())
        points = history.drawn(said.t_ms, value_m, odd, seen, *bounds)
        if any(p.value is not None for p in points):
            lines.append(Line(stream, points))
    return lines
