"""Limits of an equipment: what holds and since when, who changed it and why; to change one with a reason; to ask "what if".

A profile is the same for every equipment that has it. A change holds from now or a later time on, never back (decision 0023).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from alerts.limit_change import UnsoundLimitError, with_limit
from alerts.profiles import table_of
from alerts.rules import Limit, Profile, StreamSettings
from alerts.what_if import WhatIf
from api import limits
from api.desk import Desk, Form, actor_of, back_to, desk_of, need, need_form, need_page, page, words_for
from api.heavy import one_at_a_time
from api.limit_words import answer_lines, assignment_item, limit_text, source_text, version_item
from api.limits import MOST_DAYS, LimitBook
from api.present import local_time, wrong_text, zone_name
from api.problems import ProblemError, Wrong, not_found
from api.questions import DAY_MS, EquipmentView
from api.roles import Person, Right
from api.security import Visitor
from api.shapes import LimitChangeIn, LimitOut, LimitsOut, ProfileVersionOut, SaidOut, WhatIfOut
from api.words import Words, catalogue
from gateway.records import Site

page_router = APIRouter(include_in_schema=False)
json_router = APIRouter(prefix="/api/v1", tags=["equipment"])
Key = Annotated[str, Path(min_length=1, max_length=128)]
Looker = Annotated[Visitor, Depends(need(Right.LOOK))]
Degrees = Annotated[Decimal, Query(ge=-120, le=80, decimal_places=3)]
Minutes = Annotated[int, Query(ge=0, le=44_640)]
Days = Annotated[int, Query(ge=1, le=MOST_DAYS)]
_LOW_C, _HIGH_C, _MOST_MIN = Decimal(-120), Decimal(80), Decimal(44_640)


@dataclass(frozen=True, slots=True)
class Here:
    """The equipment that is asked about, with its limits."""

    desk: Desk
    site: Site
    view: EquipmentView
    book: LimitBook
    now_ms: int
    words: Words


def _here(request: Request, person: Person, site_id: str, equipment_id: str) -> Here:
    desk = desk_of(request)
    site, now_ms = desk.questions.site(person, site_id), desk.clock.now_ms()
    view = desk.questions.equipment_view(site, equipment_id, now_ms)
    book = limits.read_book(desk.records, desk.questions.profiles, equipment_id, view.equipment.profile, now_ms)
    if book is None:
        raise not_found("profile", view.equipment.profile)
    return Here(desk, site, view, book, now_ms, words_for(request, person))


def _limit(book: LimitBook, code: str) -> Limit:
    found = next((x for x in limits.changeable(book.profile) if x.code == code), None)
    if found is None:
        raise ProblemError(
            422, "bad_input", f"no limit {code!r}", "Choose one of the limits.", Wrong("choice", "rule")
        )
    return found


def _changed(here: Here, code: str, limit_c: Decimal, after_s: int, source: str) -> Profile:
    """The profile with this one limit changed; raises ProblemError where that cannot be meant."""
    _limit(here.book, code)
    try:
        return with_limit(here.book.profile, code, limit_c, after_s, source)
    except UnsoundLimitError as error:
        raise ProblemError(
            422, "unsound_limit", str(error), "An upper limit lies above every lower one; a sum needs a time."
        ) from error


def _wanted(
    here: Here,
    code: str,
    limit_c: Decimal,
    after_s: int,
    from_ms: int | None,
    reason: str,
    *,
    supersede: bool,
) -> Profile:
    """The profile from ``from_ms`` (None: now) on: what will hold just before, with this one limit changed.

    Raises ProblemError where that changes nothing (to ``supersede`` what is scheduled is a change), and what ``_changed`` raises.
    """
    base = replace(here, book=replace(here.book, profile=here.book.before(from_ms or here.now_ms, here.now_ms)))
    was = _limit(base.book, code)
    instead = supersede and here.book.versions[0].from_ms > here.now_ms
    if not instead and (was.limit_c, was.alarm_after_s) == (limit_c, after_s):
        raise ProblemError(
            422, "nothing_changes", f"{code} is {limit_c} for {after_s} s already", "Change the limit or its time."
        )
    return _changed(base, code, limit_c, after_s, reason)


# --- JSON ---------------------------------------------------------------------------------------------------------


@json_router.get("/sites/{site_id}/equipment/{equipment_id}/limits")
def limits_of(request: Request, visitor: Looker, site_id: Key, equipment_id: Key) -> LimitsOut:
    """The limits that hold, since when, and every version and assignment before, newest first, with who and why."""
    here = _here(request, visitor.person, site_id, equipment_id)
    book = here.book
    return LimitsOut(
        profile=book.profile.id,
        version=book.profile.version,
        since_ms=book.since_ms,
        limits=[LimitOut.model_validate(x) for x in book.profile.limits],
        versions=[
            ProfileVersionOut(
                version=v.profile.version,
                from_ms=v.from_ms,
                said=None if v.said is None else SaidOut.model_validate(v.said),
                changed=[c.code for c in v.changes],
            )
            for v in book.versions
        ],
        assignments=[
            ProfileVersionOut(
                version=a.profile,
                from_ms=a.from_ms,
                said=None if a.said is None else SaidOut.model_validate(a.said),
                changed=[],
            )
            for a in book.assignments
        ],
    )


@json_router.post("/sites/{site_id}/equipment/{equipment_id}/limits", status_code=201)
def change_limit(
    request: Request,
    visitor: Annotated[Visitor, Depends(need(Right.MASTER))],
    site_id: Key,
    equipment_id: Key,
    body: LimitChangeIn,
) -> LimitsOut:
    """Change one limit of the equipment's profile, from now (default) or a later time on, with a reason."""
    here = _here(request, visitor.person, site_id, equipment_id)
    changed = _wanted(
        here, body.code, body.limit_c, body.alarm_after_s, body.from_ms, body.reason, supersede=body.supersede
    )
    _put(here, visitor.person, changed, body.from_ms, body.reason, body.supersede)
    return limits_of(request, visitor, site_id, equipment_id)


@json_router.get("/sites/{site_id}/equipment/{equipment_id}/what-if")
def what_if(
    request: Request,
    visitor: Looker,
    site_id: Key,
    equipment_id: Key,
    code: Annotated[str, Query(min_length=1, max_length=32)],
    limit_c: Degrees,
    after_min: Minutes,
    days: Days = 7,
) -> WhatIfOut:
    """Which alarms the last ``days`` would have had with one limit changed; nothing is changed by asking."""
    here = _here(request, visitor.person, site_id, equipment_id)
    answer = _ask(here, code, limit_c, after_min, days)
    return WhatIfOut(
        as_is=len(answer.as_is),
        then=len(answer.then),
        gone=[f.finding_id for f in answer.gone],
        new=[f.finding_id for f in answer.new],
        moved=[(a.event_ms, b.event_ms) for a, b in answer.other],
    )


# --- pages --------------------------------------------------------------------------------------------------------


@page_router.get("/sites/{site_id}/equipment/{equipment_id}/limits")
def limits_page(
    request: Request,
    visitor: Annotated[Visitor, Depends(need_page(Right.LOOK))],
    site_id: str,
    equipment_id: str,
    code: Annotated[str, Query(max_length=32)] = "",
    limit: Annotated[str, Query(alias="limit_c", max_length=12)] = "",
    after: Annotated[str, Query(alias="after_min", max_length=12)] = "",
    days: Annotated[str, Query(max_length=12)] = "7",
) -> Response:
    """What holds, who changed it, the form to change it, and the answer to a "what if" that was asked by the address."""
    here = _here(request, visitor.person, site_id, equipment_id)
    words = words_for(request, visitor.person)
    asked, trouble, status, headers = None, "", 200, {}
    if code:
        try:
            asked = _asked(here, code, Form({"limit_c": limit, "after_min": after, "days": days}))
        except ProblemError as error:  # the question stays in the form, with what is wrong with it
            trouble, status, headers = _trouble(words, error), error.status, error.headers
    offered = [(x.code, limit_text(words, x)) for x in limits.changeable(here.book.profile)]
    sharing = sum(e.profile == here.book.profile.id for e in here.desk.records.equipment_list())
    made = page(
        request,
        "limits.html",
        visitor=visitor,
        site=here.site,
        here="site",
        e=here.view,
        book=here.book,
        rows=[
            {**limit_text(words, x), "source": source_text(words, here.site, x, here.book)}
            for x in here.book.profile.limits
        ],
        versions=[version_item(words, here.site, v) for v in here.book.versions[:20]],
        assignments=[assignment_item(words, here.site, a) for a in here.book.assignments[:20]],
        offered=offered,
        sharing=sharing,
        scheduled_ms=here.book.versions[0].from_ms if here.book.versions[0].from_ms > here.now_ms else None,
        asked=asked,
        trouble=trouble,
        status=status,
        wish={"code": code, "limit_c": limit, "after_min": after, "days": days},
        now_local=local_time(here.now_ms, here.site.zone),
        zone_name=zone_name(here.site.zone, here.now_ms),
    )
    made.headers.update(headers)
    return made


@page_router.post("/sites/{site_id}/equipment/{equipment_id}/limits")
def change_limit_page(
    request: Request,
    sent: Annotated[tuple[Visitor, Form], Depends(need_form(Right.MASTER))],
    site_id: str,
    equipment_id: str,
) -> Response:
    """Change one limit, with a reason, from a time on."""
    visitor, form = sent
    here = _here(request, visitor.person, site_id, equipment_id)
    code = form.choice("rule", *(x.code for x in limits.changeable(here.book.profile)))
    limit_c = form.number("limit_c", _LOW_C, _HIGH_C, 3)
    after_s = int(form.number("after_min", Decimal(0), _MOST_MIN)) * 60
    since_ms, reason = form.moment("since", here.site.zone), form.text("reason", 3)
    if since_ms is not None and since_ms // 60_000 == here.now_ms // 60_000:
        since_ms = None  # the form knows minutes: this minute is now
    supersede = form.fields.get("supersede") == "yes"
    changed = _wanted(here, code, limit_c, after_s, since_ms, reason, supersede=supersede)
    _put(here, visitor.person, changed, since_ms, reason, supersede)
    return back_to(f"/sites/{here.site.id}/equipment/{equipment_id}/limits", "limit_changed")


# --- both ---------------------------------------------------------------------------------------------------------


def _put(
    here: Here, person: Person, changed: Profile, from_ms: int | None, reason: str, supersede: bool = False
) -> None:
    """Keep the new version. What held until now is kept first, as the file has it, where no service has done so yet."""
    records, files = here.desk.records, here.desk.questions.profiles
    last_ms = here.book.versions[0].from_ms
    if not supersede and here.now_ms < last_ms and (from_ms or here.now_ms) <= last_ms:
        at = here.words.time(last_ms, here.site.zone)
        raise ProblemError(
            422,
            "limit_scheduled",
            f"a change is scheduled from {at} on",
            "Choose a later time, or replace that change.",
            Wrong("scheduled", "since", {"time": at}),
        )
    if from_ms is not None and from_ms < here.now_ms:
        raise ProblemError(
            422, "limit_in_the_past", "limits are not dated back", "The past is judged by the limits of then."
        )
    with records.together():
        if changed.id in files:
            records.keep_profile(changed.id, files[changed.id].version, table_of(files[changed.id]), here.now_ms)
        kept = records.profile_versions(changed.id)
        number = (kept[-1].number if kept else 0) + 1
        version = f"{here.book.versions[-1].profile.version}-{number}"
        records.put_profile(
            changed.id,
            version,
            table_of(changed),
            from_ms or here.now_ms,
            actor_of(person),
            reason,
            here.now_ms,
            supersede=supersede,
        )


def _ask(here: Here, code: str, limit_c: Decimal, after_min: int, days: int) -> WhatIf:
    """What the last days would have said."""
    changed = _changed(here, code, limit_c, after_min * 60, "asked: what if")
    streams = _settings(here.view)
    files = here.desk.questions.profiles
    with one_at_a_time():
        facts = here.desk.questions.facts(here.view, here.now_ms - days * DAY_MS, here.now_ms)
        return limits.asked(here.desk.records, files, facts, changed, here.view.equipment.id, streams, here.now_ms)


def _asked(here: Here, code: str, form: Form) -> dict[str, Any]:
    """The answer to a question that was typed."""
    limit_c = form.number("limit_c", _LOW_C, _HIGH_C, 3)
    after_min = int(form.number("after_min", Decimal(0), _MOST_MIN))
    days = int(form.number("days", Decimal(1), Decimal(MOST_DAYS)))
    return answer_lines(here.words, here.site.zone, _ask(here, code, limit_c, after_min, days))


def _trouble(words: Words, error: ProblemError) -> str:
    """What is wrong with a question, by its field where there is one."""
    wrong = error.wrong
    if wrong is not None:
        return wrong_text(words, wrong)
    said, known = f"problem.{error.reason}", catalogue()
    parts = [words(said) if said in known else words("problem.title")]
    if f"help.{error.reason}" in known:
        parts.append(words(f"help.{error.reason}"))
    return ". ".join(parts)


def _settings(view: EquipmentView) -> dict[str, StreamSettings]:
    """What the registry says of each stream's device, as the service has it."""
    homes = {d.serial: d for d in view.devices}
    devices = {stream: homes.get(stream.split("/", 1)[0]) for stream in view.streams}
    return {s: StreamSettings(d.interval_s, d.calibration_error_c) for s, d in devices.items() if d is not None}
