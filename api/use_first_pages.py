"""In which order the batches of a site are used, on page and in JSON (``alerts.use_first`` decides)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response

from alerts.use_first import Stock, Turn, order_of_use
from alerts.verdicts import VerdictWord, VvmStage
from api.desk import Desk, need, need_page, page, site_of
from api.questions import BatchView
from api.roles import Right
from api.security import Visitor
from api.shapes import TurnOut
from gateway.records import Site

page_router = APIRouter(include_in_schema=False)
json_router = APIRouter(prefix="/api/v1", tags=["batches"])
Key = Annotated[str, Path(min_length=1, max_length=128)]


@dataclass(frozen=True, slots=True)
class Place:
    """A batch in its turn, and where it stands now (names of equipment)."""

    turn: Turn
    view: BatchView
    stands: tuple[str, ...]


@json_router.get("/sites/{site_id}/use-first")
def use_first(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.LOOK))], site_id: Key
) -> list[TurnOut]:
    """All batches by product in their order of use; ``turn`` null: not to be used now, ``why`` says why."""
    desk, site = site_of(request, visitor, site_id)
    return [
        TurnOut(
            product_kfa=p.view.batch.product_kfa,
            batch=p.view.batch.id,
            turn=p.turn.turn,
            why=str(p.turn.why),
            expires_on=p.view.batch.expires_on,
            vvm_stage=None if p.turn.stock.stage is None else str(p.turn.stock.stage),
            stands=list(p.stands),
        )
        for p in places_of(desk, site)
    ]


@page_router.get("/sites/{site_id}/use-first")
def use_first_page(
    request: Request, visitor: Annotated[Visitor, Depends(need_page(Right.LOOK))], site_id: str
) -> Response:
    """Which batch to take first, product by product; then what is not to be used."""
    desk, site = site_of(request, visitor, site_id)
    places = places_of(desk, site)
    products = [
        (next(iter(found)).view.batch.product_name, found)
        for _, group in groupby((p for p in places if p.turn.turn is not None), key=lambda p: p.turn.stock.product)
        if (found := list(group))
    ]
    barred = [p for p in places if p.turn.turn is None and p.turn.why != "discarded"]
    return page(
        request, "use_first.html", visitor=visitor, site=site, here="batches", products=products, barred=barred[:50]
    )


def places_of(desk: Desk, site: Site) -> list[Place]:
    """Every batch of the site with its turn."""
    views = {v.batch.id: v for v in desk.questions.batch_views(site)}
    names = {e.id: e.name for e in desk.records.equipment_list(site.id)}
    stands: dict[str, list[str]] = {}
    now_ms = desk.clock.now_ms()
    for stay in desk.records.placements(site=site.id):
        if stay.from_ms <= now_ms and (stay.to_ms is None or now_ms < stay.to_ms):
            stands.setdefault(stay.batch, []).append(names.get(stay.equipment, stay.equipment))
    today = datetime.fromtimestamp(now_ms // 1000, UTC).astimezone(ZoneInfo(site.zone)).date()
    turns = order_of_use([_stock(v, name in stands) for name, v in views.items()], today)
    return [Place(t, views[t.stock.batch], tuple(stands.get(t.stock.batch, ()))) for t in turns]


def _stock(view: BatchView, stands: bool) -> Stock:
    word = None if view.verdict is None else VerdictWord(view.word)
    stage = None if view.worst is None else VvmStage(str(view.worst.stage))
    released = view.settled and not view.discarded
    batch = view.batch
    return Stock(batch.id, batch.product_kfa, batch.expires_on, stage, word, released, view.discarded, stands)
