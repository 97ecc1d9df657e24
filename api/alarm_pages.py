"""One alarm on page and in JSON: its times, what became of it, who said what when."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response

from api.alarm_words import Became, amended_text, became, is_late, replaced_by, steps, times
from api.desk import Desk, desk_of, need, need_page, page, words_for
from api.limit_ends import with_changed_limits
from api.present import item, local_time, when_text
from api.problems import not_found
from api.roles import Right
from api.security import Visitor
from api.shapes import AlarmOut, AlarmWithFateOut, FindingOut, FindingStateOut
from gateway.records import Alarm, Site, UnknownRecord
from gateway.records.model import Finding

page_router = APIRouter(include_in_schema=False)
json_router = APIRouter(prefix="/api/v1", tags=["alarms"])
Key = Annotated[str, Path(min_length=1, max_length=128)]


@json_router.get("/sites/{site_id}/alarms/{alarm_id}")
def alarm(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.LOOK))], site_id: Key, alarm_id: Key
) -> AlarmWithFateOut:
    """One alarm: what became of it (stands, moved, merged, split, withdrawn), its delays, and all states of its finding."""
    desk, _, found = _alarm(request, visitor, site_id, alarm_id)
    fate, by = _fate(desk, found.finding)
    history = desk.records.finding_history(found.id)
    return AlarmWithFateOut(
        alarm=AlarmOut.model_validate(found),
        fate=str(fate.fate),
        by=[FindingOut.model_validate(f) for f in by],
        found_late=is_late(found.finding),
        detect_ms=found.finding.detected_ms - found.finding.event_ms,
        answer_ms=found.answer_ms,
        resolve_ms=found.resolve_ms,
        history=[FindingStateOut.model_validate(s) for s in history],
    )


@page_router.get("/sites/{site_id}/alarms/{alarm_id}")
def alarm_page(
    request: Request, visitor: Annotated[Visitor, Depends(need_page(Right.LOOK))], site_id: str, alarm_id: str
) -> Response:
    """One alarm: what became of it, its times, and how it came to be said."""
    desk, site, found = _alarm(request, visitor, site_id, alarm_id)
    words = words_for(request, visitor.person)
    names = {e.id: e.name for e in desk.records.equipment_list(site.id)}
    names |= {b.id: f"{b.product_name} {b.batch_number}" for b in desk.records.batches(site.id)}
    fate, by = _fate(desk, found.finding)
    shown = item(words, site, names, found.finding, found)
    alarms = {a.id for a in desk.records.alarms(site.id)} if by else set()
    return page(
        request,
        "alarm.html",
        visitor=visitor,
        site=site,
        here="alarms",
        a=with_changed_limits(desk, site, words, [shown], desk.clock.now_ms())[0],
        fate=fate,
        by=[
            (f.id if f.id in alarms else "", words.known("code", f.code), when_text(words, site.zone, f)) for f in by
        ],
        late=is_late(found.finding),
        amended=amended_text(words, found.finding),
        readings=_readings_path(site, found.finding),
        times=times(words, site, found),
        steps=steps(words, site, desk.records.finding_history(found.id))[-40:],
    )


def _readings_path(site: Site, finding: Finding) -> str:
    """Where the readings that a finding rests on are looked at, and marked if they cannot be; "" where it has no stream."""
    stream = str(finding.evidence.get("stream") or "")
    if not stream or finding.equipment is None:
        return ""
    named = finding.evidence.get("readings") or {}
    at_ms = int(named.get("extreme_ms") or finding.event_ms)
    query = urlencode({"stream": stream, "until": local_time(at_ms, site.zone), "at": at_ms})
    return f"/sites/{site.id}/equipment/{finding.equipment}/readings?{query}"


def _alarm(request: Request, visitor: Visitor, site_id: str, alarm_id: str) -> tuple[Desk, Site, Alarm]:
    desk = desk_of(request)
    site = desk.questions.site(visitor.person, site_id)
    try:
        found = desk.records.alarm(alarm_id)
    except UnknownRecord as error:
        raise not_found("alarm", alarm_id) from error
    if found.finding.site != site.id:
        raise not_found("alarm", alarm_id)
    return desk, site, found


def _fate(desk: Desk, finding: Finding) -> tuple[Became, list[Finding]]:
    """What became of it, and the findings that stand in its place."""
    like = desk.records.findings(finding.site, finding.equipment, finding.batch)
    what = became(finding, replaced_by(like).get(finding.id, []))
    held = {f.id: f for f in like}
    return what, [held[i] for i in what.by if i in held]
