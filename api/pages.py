"""The pages: rendered here, complete without a script. Commands are forms that answer with a redirect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import commands
from api.accounts import MAX_PASSWORD_SIGNS, new_secret
from api.alarm_words import became, replaced_by
from api.desk import (
    Desk,
    Form,
    back_to,
    desk_of,
    need_form,
    need_page,
    own_path,
    page,
    read_form,
    site_of,
    stylesheet,
    words_for,
)
from api.equipment_words import availability, calibration, forecast_text, notes, silence_text
from api.history import ms_of
from api.limit_ends import with_changed_limits
from api.places import against_release, places_now
from api.present import (
    BatchItem,
    attachment_item,
    batch_item,
    counter_rows,
    day_picture,
    item,
    kept_here,
    ledger_item,
    ledger_notes,
    local_time,
    place_text,
    refusal_counts,
    refusal_item,
    smile_sign,
    still_lines,
    zone_name,
)
from api.quarantine_words import detail_text
from api.questions import DAY_MS, Shown, SiteView
from api.replies import audit_reason
from api.roles import Right, Role
from api.security import (
    ANONYMOUS_COOKIE,
    CSRF_FIELD,
    SESSION_COOKIE,
    LoginAnswer,
    Visitor,
    csrf_fits,
    csrf_token,
)
from api.verdict_words import Told, history_item
from api.words import Words
from gateway.records import Alarm, AlarmState, Bag, Decision, EquipmentKind, FindingKind, Site, SmileState
from gateway.records.waste import waste_classes

router = APIRouter(include_in_schema=False)
_LISTED = 50
_FEW = 20
_COUNTED_DAYS = 30  # what scales refused is counted over these
_REMEMBERED = 1_000  # findings among which what took another's place is looked for
_OUT = "-"  # no equipment: the batch was taken out (no id of an equipment begins with it)
_SHORT_CHAIN = 5_000  # rows; walking them takes well under a second
_FORM_S = 3600

Looker = Annotated[Visitor, Depends(need_page(Right.LOOK))]
Reporter = Annotated[Visitor, Depends(need_page(Right.REPORT))]
Sent = tuple[Visitor, Form]
CANNOT_HOLD = ("cannot_verdict", "cannot_placement", "cannot_unknown", "cannot_weight", "cannot_answer")


# --- in and out -----------------------------------------------------------------------------------------------


@router.get("/static/style.css")
def style() -> Response:
    """The style sheet; its address changes with its content."""
    return Response(
        stylesheet()[0], media_type="text/css", headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


@router.get("/login")
def login_page(request: Request, next_path: Annotated[str, Query(alias="next", max_length=300)] = "/") -> Response:
    """The log-in form; who is logged in already goes on."""
    if desk_of(request).gate.recognise(request) is not None:
        return RedirectResponse(own_path(next_path), status_code=303)
    return _login_form(request, own_path(next_path), "", 200)


def _login_form(request: Request, next_path: str, problem: str, status: int) -> HTMLResponse:
    secret = request.cookies.get(ANONYMOUS_COOKIE) or new_secret()
    made = page(request, "login.html", csrf=csrf_token(secret), next=next_path, problem=problem, status=status)
    desk_of(request).gate.set_cookie(made, ANONYMOUS_COOKIE, secret, _FORM_S)
    return made


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Check name and password (in a thread: the hash takes its time) and open a session."""
    fields = await read_form(request)
    return await _in_thread(_log_in, request, fields)


async def _in_thread(function: Any, *arguments: Any) -> Response:
    from starlette.concurrency import run_in_threadpool

    answer: Response = await run_in_threadpool(function, *arguments)
    return answer


def _log_in(request: Request, fields: dict[str, str]) -> Response:
    gate, next_path = desk_of(request).gate, own_path(fields.get("next"))
    form_secret = request.cookies.get(ANONYMOUS_COOKIE, "")
    if not form_secret or not csrf_fits(csrf_token(form_secret), fields.get(CSRF_FIELD)):
        return _login_form(request, next_path, "stale", 403)
    address = request.client.host if request.client else "-"
    name, password = fields.get("name", "").strip()[:64], fields.get("password", "")[: MAX_PASSWORD_SIGNS + 1]
    answer, secret, _ = gate.log_in(name, password, address)
    if answer is LoginAnswer.TOO_MANY:
        return _login_form(request, next_path, "too_many", 429)
    if answer is LoginAnswer.WRONG:
        return _login_form(request, next_path, "wrong", 401)
    response = RedirectResponse(next_path, status_code=303)
    gate.set_cookie(response, SESSION_COOKIE, secret, gate.settings.session_s)
    response.delete_cookie(ANONYMOUS_COOKIE, path="/")
    return response


@router.post("/logout")
def log_out(request: Request, _sent: Annotated[Sent, Depends(need_form(Right.LOOK))]) -> Response:
    """End the session here and in the records."""
    desk_of(request).gate.log_out(request)
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(SESSION_COOKIE, path="/")
    return response


# --- looking --------------------------------------------------------------------------------------------------


@router.get("/")
def home(request: Request, visitor: Looker, q: Annotated[str, Query(max_length=64)] = "") -> Response:
    """The list of sites, or those whose name or region holds ``q``; who has but one goes straight there."""
    if visitor.person.role is Role.OPERATOR and visitor.person.site:
        return RedirectResponse(f"/sites/{visitor.person.site}", status_code=303)
    views = desk_of(request).questions.site_views(visitor.person)
    if len(views) == 1:
        return RedirectResponse(f"/sites/{views[0].site.id}", status_code=303)
    wanted = q.strip().casefold()
    views = [v for v in views if wanted in f"{v.site.name} {v.site.region} {v.site.id}".casefold()]
    rows = [
        {
            "site": v.site,
            "equipment": v.equipment,
            "alarms": v.alarms,
            "state": _site_state(v),
        }
        for v in views[:_LISTED]
    ]
    return page(request, "sites.html", visitor=visitor, rows=rows, q=q, more=max(0, len(views) - _LISTED))


@router.get("/sites/{site_id}")
def site_page(request: Request, visitor: Looker, site_id: str) -> Response:
    """What is watched here, and the batches that stand here."""
    desk, site, words = _here(request, visitor, site_id)
    now_ms = desk.clock.now_ms()
    views = desk.questions.equipment_views(site, now_ms)
    stock, gone = _batches(desk, site, words)
    return page(
        request,
        "site.html",
        visitor=visitor,
        site=site,
        here="site",
        equipment=views,
        batches=stock[:_LISTED],
        gone=len(gone),
        open_alarms=len(desk.records.open_alarms(site.id)),
        refused=desk.records.unweighed_refusals(site.id, now_ms - DAY_MS),
        now_ms=now_ms,
    )


@router.get("/sites/{site_id}/equipment/{equipment_id}")
def equipment_page(request: Request, visitor: Looker, site_id: str, equipment_id: str) -> Response:
    """One equipment: now, its last 24 h as chart and table, its alarms."""
    desk, site, words = _here(request, visitor, site_id)
    now_ms = desk.clock.now_ms()
    view = desk.questions.equipment_view(site, equipment_id, now_ms)
    places = {view.equipment.id: view.equipment.name}
    alarms = [a for a in desk.records.alarms(site.id, limit=200) if a.finding.equipment == equipment_id]
    items = [item(words, site, places, a.finding, a) for a in alarms]
    days = []
    for stream_id in view.streams[:4]:
        day = desk.questions.day(view, stream_id, now_ms)
        svg, summary, hours = day_picture(words, site, view, day, items)
        days.append(
            {"stream_id": stream_id, "svg": svg, "summary": summary, "hours": hours, "conflicts": day.conflicts}
        )
    counted = desk.questions.counters(view, site.zone, now_ms)
    # A finding that goes on may be old: those of alarms are above already, these are few.
    said = desk.records.findings(site.id, equipment_id, standing=True, limit=_REMEMBERED)
    return page(
        request,
        "equipment.html",
        visitor=visitor,
        site=site,
        here="site",
        e=view,
        days=days,
        counters=counter_rows(words, counted),
        availability=availability(words, counted.last_24h) if view.streams else "",
        forecast=forecast_text(words, site.zone, desk.records.forecast(equipment_id), now_ms),
        foretold=view.equipment.kind != EquipmentKind.WASTE_STORE and not any(map(_too_cold, alarms)),
        silence=silence_text(words, site.zone, desk.records.forecast_silence(equipment_id), heard=view.is_heard),
        notes=notes(words, site, said, now_ms)[:_FEW],
        alarms=with_changed_limits(desk, site, words, items[:10], now_ms),
        calibration={d.serial: calibration(words, site, d, now_ms) for d in view.devices},
        zone_name=zone_name(site.zone, now_ms),
    )


def _too_cold(alarm: Alarm) -> bool:
    """Whether cold is the alarm that goes on: nobody waits for a forecast of warmth there."""
    return alarm.state != AlarmState.CLOSED and alarm.finding.end_ms is None and alarm.finding.code in _COLD_CODES


_COLD_CODES = frozenset({"FRZE", "FREEZE_POSSIBLE", "LOW", "COLD"})


@router.get("/sites/{site_id}/alarms")
def alarms_page(request: Request, visitor: Looker, site_id: str) -> Response:
    """The alarms that wait for an answer, each with its form, and those answered."""
    desk, site, words = _here(request, visitor, site_id)
    places = _places(desk, site)
    alarms = desk.records.alarms(site.id, limit=200)
    items = [item(words, site, places, a.finding, a) for a in alarms]
    gone = any(a.finding.kind == FindingKind.WITHDRAWN or a.finding.superseded_by for a in alarms)
    after = replaced_by(desk.records.findings(site.id, limit=_REMEMBERED)) if gone else {}
    waiting = [i for i in items if i.open]
    done = [i for i in items if not i.open]
    answered, now_ms = [i for i in done if i.finding.kind != FindingKind.WITHDRAWN], desk.clock.now_ms()
    return page(
        request,
        "alarms.html",
        visitor=visitor,
        site=site,
        here="alarms",
        open=with_changed_limits(desk, site, words, waiting[:_LISTED], now_ms),
        answered=with_changed_limits(desk, site, words, answered[:20], now_ms),
        withdrawn=[i for i in done if i.finding.kind == FindingKind.WITHDRAWN][:20],
        fates={a.id: became(a.finding, after.get(a.id, [])).fate for a in alarms},
    )


@router.get("/sites/{site_id}/batches")
def batches_page(request: Request, visitor: Looker, site_id: str) -> Response:
    """All batches of a site; what waits for a person first, what was discarded apart."""
    desk, site, words = _here(request, visitor, site_id)
    stock, gone = _batches(desk, site, words)
    return page(
        request,
        "batches.html",
        visitor=visitor,
        site=site,
        here="batches",
        batches=stock[:_LISTED],
        gone=gone[:_FEW],
        gone_count=len(gone),
    )


@router.get("/sites/{site_id}/batches/{batch_id}")
def batch_page(request: Request, visitor: Looker, site_id: str, batch_id: str) -> Response:
    """One batch: verdict and why, where it stood, what was read on the vials, the decision."""
    desk, site, words = _here(request, visitor, site_id)
    view = desk.questions.batch_view(site, batch_id)
    places, now_ms = _places(desk, site), desk.clock.now_ms()
    lived = desk.records.batch_history(view.batch.id)
    now_at = {p.equipment for p in view.placements if p.to_ms is None}
    return page(
        request,
        "batch.html",
        visitor=visitor,
        site=site,
        here="batches",
        b=batch_item(words, site, places, view),
        past=[
            history_item(words, site, v, view.verdict) for v in reversed(desk.records.verdict_history(view.batch.id))
        ],
        lived=Told(words, site.zone, places, lived).exposure() if lived else [],
        lived_title=_lived_title(words, site.zone, lived),
        sent=[attachment_item(words, a, places) for a in desk.questions.discards_sent(view)],
        places=[] if view.discarded else _places_for_vaccines(desk, site, words, now_at),
        still=still_lines(words, site, places, against_release(desk.questions, site, view, desk.clock.now_ms())),
        stands=bool(now_at),
        now_local=local_time(now_ms, site.zone),
        zone_name=zone_name(site.zone, now_ms),
    )


def _lived_title(words: Words, zone: str, lived: Mapping[str, Any] | None) -> str:
    """Until when it was judged: what came since is not in it yet."""
    until_ms = ms_of(((lived or {}).get("exposure") or {}).get("to"))
    return words("batch.lived_first") if until_ms is None else words("batch.lived", time=words.time(until_ms, zone))


@router.get("/sites/{site_id}/weighing")
def weighing_page(
    request: Request, visitor: Looker, site_id: str, bag: Annotated[str, Query(max_length=12)] = ""
) -> Response:
    """The weigh station: stable weights that wait for a bag, bags that wait for a weight (``bag`` first), those tied."""
    desk, site, words = _here(request, visitor, site_id)
    tied = desk.records.weighings(site.id, tied=True, limit=10)
    weighed = {w.bag for w in desk.records.weighings(site.id, tied=True)}
    bags = sorted((b for b in desk.records.bags(site.id) if b.code not in weighed), key=_by_label, reverse=True)
    bags.sort(key=lambda b: b.code != bag)
    classes = waste_classes()
    return page(
        request,
        "weighing.html",
        visitor=visitor,
        site=site,
        here="weighing",
        refused=[
            refusal_item(words, site.zone, r) for r in desk.questions.refused_loads(site, desk.clock.now_ms(), _FEW)
        ],
        free=desk.records.weighings(site.id, tied=False, limit=15),
        tied=tied,
        bags=bags[:40],
        waiting=bags[:_FEW],
        conflicts=desk.records.bag_conflicts(site.id),
        more=max(0, len(bags) - _FEW),
        waste=[
            {
                "key": key,
                "code": next(iter(classes[key].codes), "–"),
                "color": next(iter(classes[key].colors), "none"),
            }
            for key in desk.settings.waste
            if key in classes
        ],
    )


# --- reports (the web console) --------------------------------------------------------------------------------


@router.get("/sites/{site_id}/smile")
def smile_page(request: Request, visitor: Reporter, site_id: str) -> Response:
    """What SMILE got of this site, and what it cannot hold."""
    desk, site, words = _here(request, visitor, site_id)
    counts = [
        {"what": kind, "state": state, "n": n, "kind": smile_sign(state)}
        for kind, states in sorted(desk.records.attachment_counts(site.id).items())
        for state, n in sorted(states.items())
        if state != SmileState.NO_FIELD  # kept here, never sent
    ]
    views = desk.questions.batch_views(site)
    ours = [{"batch": v.batch, "text": kept_here(words, v)} for v in views if v.kept_here]
    names = {v.batch.id: f"{v.batch.product_name} {v.batch.batch_number}" for v in views}
    sent = desk.records.attachments(site=site.id, states=set(SmileState) - {SmileState.NO_FIELD}, limit=_LISTED)
    return page(
        request,
        "smile.html",
        visitor=visitor,
        site=site,
        here="smile",
        counts=counts,
        rows=[attachment_item(words, a, names) for a in sent],
        cannot=CANNOT_HOLD,
        verdicts=ours[:20],
    )


@router.get("/sites/{site_id}/ledger")
def ledger_page(request: Request, visitor: Reporter, site_id: str) -> Response:
    """What each edge produced, what is here, what is missing."""
    desk, site, words = _here(request, visitor, site_id)
    book = desk.questions.ledger(site.id)
    now_ms = desk.clock.now_ms()
    rows = [ledger_item(words, line, now_ms, site.zone) for line in book.lines[:_LISTED]]
    notes = ledger_notes(words, book, site.zone)
    scales, more = refusal_counts(words, desk.records.scale_refusal_counts(site.id, now_ms - _COUNTED_DAYS * DAY_MS))
    return page(
        request,
        "ledger.html",
        visitor=visitor,
        site=site,
        here="ledger",
        rows=rows,
        notes=notes,
        scales=scales,
        more_refused=more,
        counted_days=_COUNTED_DAYS,
    )


@router.get("/sites/{site_id}/quarantine")
def quarantine_page(request: Request, visitor: Reporter, site_id: str) -> Response:
    """Messages that wait, with their reason."""
    desk, site, words = _here(request, visitor, site_id)
    rows = [(q, detail_text(words, q.detail)) for q in desk.records.quarantine_items(site.id, limit=_LISTED)]
    return page(request, "quarantine.html", visitor=visitor, site=site, here="quarantine", rows=rows)


@router.get("/sites/{site_id}/audit")
def audit_page(
    request: Request,
    visitor: Reporter,
    site_id: str,
    before: Annotated[int | None, Query(ge=1, lt=1 << 62)] = None,
    check: bool = False,
    everything: Annotated[bool, Query(alias="all")] = False,
) -> Response:
    """What people did of late (``all``: our processes too), and whether the chain is whole (a long one is walked only
    when asked: ``check``).
    """
    desk, site, words = _here(request, visitor, site_id)
    rows = desk.questions.newest_changes(site, before, 41, people=not everything)
    total, people = desk.questions.count_changes(site, _SHORT_CHAIN)
    short = before is None and total <= _SHORT_CHAIN
    changed = [] if before is not None else desk.questions.limit_changes(site, 20)
    return page(
        request,
        "audit.html",
        visitor=visitor,
        site=site,
        here="audit",
        rows=[(r, audit_reason(words, r.kind, r.reason)) for r in rows[:40]],
        everything=everything,
        total=total,
        people=people,
        chain=desk.records.verify_chain(site.id) if check or short else None,
        older=rows[39].id if len(rows) > 40 else None,
        limit_rows=[(r, audit_reason(words, r.kind, r.reason)) for r in changed],
    )


# --- commands -------------------------------------------------------------------------------------------------


@router.post("/sites/{site_id}/alarms/{alarm_id}/acknowledge")
def acknowledge(
    request: Request, sent: Annotated[Sent, Depends(need_form(Right.ACKNOWLEDGE))], site_id: str, alarm_id: str
) -> Response:
    """Answer an alarm with a word."""
    visitor, form = sent
    commands.acknowledge(desk_of(request), visitor.person, alarm_id, form.text("comment", 3))
    return back_to(f"/sites/{site_id}/alarms", "acknowledged")


@router.post("/sites/{site_id}/batches/{batch_id}/decision")
def decide(
    request: Request, sent: Annotated[Sent, Depends(need_form(Right.DECIDE))], site_id: str, batch_id: str
) -> Response:
    """Release or discard a batch, with a reason. A discard is asked once more: it cannot be undone; so is a release
    while its excursion or its place's alarm goes on.
    """
    visitor, form = sent
    decision, reason = form.choice("decision", "released", "discarded"), form.text("reason", 3)
    if decision == Decision.DISCARDED and form.fields.get("sure") != "yes":
        desk, site, words = _here(request, visitor, site_id)
        view = desk.questions.batch_view(site, batch_id)
        if not view.discarded:
            shown = batch_item(words, site, _places(desk, site), view)
            return page(request, "discard.html", visitor=visitor, site=site, here="batches", b=shown, reason=reason)
    knowing = form.fields.get("knowing") == "yes"
    if decision == Decision.RELEASED and not knowing:
        desk, site, words = _here(request, visitor, site_id)
        view, places = desk.questions.batch_view(site, batch_id), _places(desk, site)
        still = still_lines(words, site, places, against_release(desk.questions, site, view, desk.clock.now_ms()))
        if still:
            b = batch_item(words, site, places, view)
            return page(
                request, "release.html", visitor=visitor, site=site, here="batches", b=b, reason=reason, still=still
            )
    commands.decide(desk_of(request), visitor.person, batch_id, decision, reason, knowing=knowing)
    return back_to(f"/sites/{site_id}/batches/{batch_id}", "decided")


@router.post("/sites/{site_id}/batches/{batch_id}/vvm")
def observe(
    request: Request, sent: Annotated[Sent, Depends(need_form(Right.HANDLE))], site_id: str, batch_id: str
) -> Response:
    """Record a VVM stage read on the vials."""
    visitor, form = sent
    stage, reason = form.choice("stage", "A", "B", "C", "D"), form.text("reason", 3)
    commands.observe_vvm(desk_of(request), visitor.person, batch_id, stage, reason)
    return back_to(f"/sites/{site_id}/batches/{batch_id}", "observed")


@router.post("/sites/{site_id}/batches/{batch_id}/placements")
def place(
    request: Request, sent: Annotated[Sent, Depends(need_form(Right.HANDLE))], site_id: str, batch_id: str
) -> Response:
    """Say where a batch was moved and when, or that it was taken out."""
    visitor, form = sent
    desk = desk_of(request)
    _, home = commands.batch_of(desk.questions, visitor.person, batch_id)
    where, since_ms, reason = form.choice("equipment"), form.moment("since", home.zone), form.text("reason", 3)
    if since_ms is not None and since_ms // 60_000 == desk.clock.now_ms() // 60_000:
        since_ms = None  # the form knows minutes: this minute is now
    if where == _OUT:
        commands.take_out(desk, visitor.person, batch_id, reason, since_ms)
        return back_to(f"/sites/{site_id}/batches/{batch_id}", "taken_out")
    commands.place(desk, visitor.person, batch_id, commands.Move(where, reason, since_ms))
    put = next(p for p in places_now(desk.questions, home, desk.clock.now_ms()) if p.id == where)
    done = "placed_bad" if put.is_bad else "placed" if put.word == "in" else "placed_unknown"
    return back_to(f"/sites/{site_id}/batches/{batch_id}", done)


@router.post("/sites/{site_id}/weighings/{weighing_id}/tie")
def tie(
    request: Request, sent: Annotated[Sent, Depends(need_form(Right.WEIGH))], site_id: str, weighing_id: str
) -> Response:
    """Tie a weighing to a bag's code."""
    visitor, form = sent
    words = words_for(request, visitor.person)
    commands.tie(desk_of(request), visitor.person, weighing_id, form.text("bag", 12, 12), words("weigh.reason"))
    return back_to(f"/sites/{site_id}/weighing", "tied")


@router.post("/sites/{site_id}/weighings/{weighing_id}/tie/correct")
def correct_tie(
    request: Request, sent: Annotated[Sent, Depends(need_form(Right.CORRECT))], site_id: str, weighing_id: str
) -> Response:
    """Tie a weighing to another bag, with a reason."""
    visitor, form = sent
    bag, reason = form.text("bag", 12, 12), form.text("reason", 3)
    commands.correct_tie(desk_of(request), visitor.person, weighing_id, bag, reason)
    return back_to(f"/sites/{site_id}/weighing", "corrected")


@router.post("/sites/{site_id}/bags")
def register_bag(request: Request, sent: Annotated[Sent, Depends(need_form(Right.WEIGH))], site_id: str) -> Response:
    """Register a scanned bag; SMILE's ids for its class come from the settings."""
    visitor, form = sent
    desk, words = desk_of(request), words_for(request, visitor.person)
    key = form.choice("waste", *desk.settings.waste)
    ids, known = desk.settings.waste[key], waste_classes()[key]
    code, color = next(iter(known.codes), "–"), next(iter(known.colors), "none")
    bag = Bag(form.text("code", 12, 12), site_id, key, code, color, ids.source_id, ids.classification_id)
    commands.register_bag(desk, visitor.person, bag, words("bag.reason"))
    return back_to(f"/sites/{site_id}/weighing", "registered", bag=bag.code)


@router.post("/sites/{site_id}/quarantine/{item_id}/replay")
def replay(
    request: Request, sent: Annotated[Sent, Depends(need_form(Right.REPLAY))], site_id: str, item_id: str
) -> Response:
    """Let a waiting message through, where its cause is gone."""
    visitor, _form = sent
    words = words_for(request, visitor.person)
    commands.replay(desk_of(request), visitor.person, item_id, words("quarantine.asked"))
    return back_to(f"/sites/{site_id}/quarantine", "replayed")


@router.post("/sites/{site_id}/quarantine/{item_id}/discard")
def put_aside(
    request: Request, sent: Annotated[Sent, Depends(need_form(Right.REPLAY))], site_id: str, item_id: str
) -> Response:
    """Give a waiting message up, with a reason."""
    visitor, form = sent
    commands.put_aside(desk_of(request), visitor.person, item_id, form.text("reason", 3))
    return back_to(f"/sites/{site_id}/quarantine", "put_aside")


def _site_state(view: SiteView) -> Shown:
    """A site without equipment is not fine: nobody looks at it yet."""
    if view.alarms:
        return Shown("alarm", "alarm")
    return Shown("ok", "no_alarm") if view.equipment else Shown("unknown", "not_watched")


# --- helpers --------------------------------------------------------------------------------------------------


def _here(request: Request, visitor: Visitor, site_id: str) -> tuple[Desk, Site, Words]:
    return *site_of(request, visitor, site_id), words_for(request, visitor.person)


def _batches(desk: Desk, site: Site, words: Words) -> tuple[list[BatchItem], list[BatchItem]]:
    """(batches that are there, batches that were discarded)."""
    items = [batch_item(words, site, {}, view) for view in desk.questions.batch_views(site)]
    return [b for b in items if not b.discarded], [b for b in items if b.discarded]


def _places_for_vaccines(
    desk: Desk, site: Site, words: Words, now_at: set[str]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Where a batch may be moved, by kind of equipment, as (id, name and how it is there now); not where it stands."""
    here = [p for p in places_now(desk.questions, site, desk.clock.now_ms()) if p.id not in now_at]
    grouped = [(k.value, [(p.id, place_text(words, p)) for p in here if p.kind == k]) for k in EquipmentKind]
    return [(kind, found) for kind, found in grouped if found]


def _by_label(bag: Bag) -> tuple[str, str, str, str]:
    """A bag's label in the order of its date, then its counter (code: counter, day, month, year)."""
    return (bag.code[8:], bag.code[6:8], bag.code[4:6], bag.code[:4])


def _places(desk: Desk, site: Site) -> dict[str, str]:
    """The names of equipment and batches by id."""
    names = {e.id: e.name for e in desk.records.equipment_list(site.id)}
    return names | {b.id: f"{b.product_name} {b.batch_number}" for b in desk.records.batches(site.id)}
