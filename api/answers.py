"""The JSON API, version 1: the same questions and commands as the pages, for machines and other programs.

Every route names its right; the site is checked in ``Questions.site`` or by the thing's own site in ``api.commands``.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse

from alerts.counters import Tally
from alerts.forecast import Silence
from api import commands
from api.desk import Desk, actor_of, desk_of, need
from api.pages import CANNOT_HOLD
from api.problems import ProblemError, not_found
from api.questions import BatchView, EquipmentView
from api.roles import RIGHTS, Right, require_reach
from api.security import Visitor
from api.shapes import (
    AbsentOut,
    AcknowledgeIn,
    AlarmOut,
    AttachmentOut,
    AttachmentsOut,
    AuditOut,
    BagIn,
    BagOut,
    BatchIn,
    BatchOut,
    BeyondOut,
    ChainOut,
    ChangedOut,
    CorrectIn,
    CounterOut,
    DecisionIn,
    DeviceIn,
    DeviceOut,
    EquipmentIn,
    EquipmentNowOut,
    EquipmentOut,
    FindingOut,
    ForecastOut,
    ForecastSilenceOut,
    Id,
    LedgerOut,
    LedgerStreamOut,
    MeOut,
    PlacementIn,
    PlacementOut,
    QuarantineItemOut,
    QuarantineOut,
    ReadingOut,
    ReadingsOut,
    ReplayIn,
    SiteIn,
    SiteOut,
    TakenOutIn,
    TieIn,
    TimeMs,
    VerdictOut,
    VvmIn,
    VvmOut,
    WeighingOut,
)
from gateway.records import (
    AlarmState,
    Bag,
    Batch,
    Device,
    Equipment,
    QuarantineState,
    Site,
    SmileStockIds,
    UnknownRecord,
    Verdict,
)
from gateway.repairs import repairs_for
from ingest.epochs import absences
from ingest.store import Cursor, Row
from telemetry.errors import ContractError
from telemetry.quantities import parse_stream_id

router = APIRouter(prefix="/api/v1")
MAX_READINGS = 5_000

Looker = Annotated[Visitor, Depends(need(Right.LOOK))]
Reporter = Annotated[Visitor, Depends(need(Right.REPORT))]
Master = Annotated[Visitor, Depends(need(Right.MASTER))]
Limit = Annotated[int, Query(ge=1, le=500)]
Key = Annotated[str, Path(min_length=1, max_length=128)]


# --- looking --------------------------------------------------------------------------------------------------


@router.get("/me", tags=["people"])
def me(visitor: Looker) -> MeOut:
    """Who asks, and what the level allows."""
    person = visitor.person
    rights = sorted(r.value for r in RIGHTS[person.role])
    return MeOut(name=person.name, role=person.role.value, site=person.site, region=person.region, rights=rights)


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request, _visitor: Looker) -> JSONResponse:
    """This API's own description."""
    return JSONResponse(request.app.openapi())


@router.get("/sites", tags=["sites"])
def sites(request: Request, visitor: Looker) -> list[SiteOut]:
    """The sites in the asker's reach."""
    return [SiteOut.model_validate(s) for s in desk_of(request).questions.sites(visitor.person)]


@router.get("/sites/{site_id}", tags=["sites"])
def site(request: Request, visitor: Looker, site_id: Key) -> SiteOut:
    """One site."""
    return SiteOut.model_validate(_site(request, visitor, site_id)[1])


@router.get("/sites/{site_id}/equipment", tags=["equipment"])
def equipment_list(request: Request, visitor: Looker, site_id: Key) -> list[EquipmentOut]:
    """What is watched: state now, last reading, range_state; what needs a person comes first."""
    desk, here = _site(request, visitor, site_id)
    return [_equipment(v) for v in desk.questions.equipment_views(here, desk.clock.now_ms())]


@router.get("/sites/{site_id}/equipment/{equipment_id}", tags=["equipment"])
def equipment(request: Request, visitor: Looker, site_id: Key, equipment_id: Key) -> EquipmentNowOut:
    """One equipment now, with the time beyond each limit and unknown, today and in 24 h."""
    desk, here = _site(request, visitor, site_id)
    now_ms = desk.clock.now_ms()
    view = desk.questions.equipment_view(here, equipment_id, now_ms)
    counted = desk.questions.counters(view, here.zone, now_ms)
    spans = [_counter("today", counted.today), _counter("24h", counted.last_24h)]
    told = desk.records.forecast(view.equipment.id)
    ahead = None if told is None else ForecastOut.model_validate(told)
    return EquipmentNowOut(
        **_equipment(view).model_dump(),
        counters=spans,
        forecast=ahead,
        forecast_silence=None if ahead is not None else _forecast_silence(desk, view),
    )


def _forecast_silence(desk: Desk, view: EquipmentView) -> ForecastSilenceOut | None:
    """As the page says it: where nothing is read now, that is why, whatever was said before."""
    if not view.is_heard:
        return ForecastSilenceOut(why=Silence.NO_READINGS.value, since_ms=None) if view.streams else None
    told = desk.records.forecast_silence(view.equipment.id)
    return None if told is None else ForecastSilenceOut.model_validate(told)


@router.get("/sites/{site_id}/devices", tags=["equipment"])
def devices(request: Request, visitor: Looker, site_id: Key) -> list[DeviceOut]:
    """The registered devices of a site."""
    desk, here = _site(request, visitor, site_id)
    return [DeviceOut.model_validate(d) for d in desk.records.devices(here.id)]


@router.get("/sites/{site_id}/streams", tags=["readings"])
def streams(request: Request, visitor: Looker, site_id: Key) -> list[str]:
    """The streams that have readings."""
    desk, here = _site(request, visitor, site_id)
    return desk.questions.store.streams(here.id)


@router.get("/sites/{site_id}/readings", tags=["readings"])
def readings(
    request: Request,
    visitor: Looker,
    site_id: Key,
    stream: Annotated[str, Query(min_length=3, max_length=128)],
    from_ms: Annotated[TimeMs, Query()],
    to_ms: Annotated[TimeMs, Query()],
    limit: Annotated[int, Query(ge=1, le=MAX_READINGS)] = 1_000,
    after: Annotated[str | None, Query(pattern=r"^\d{1,14}\.-?\d{1,19}\.\d{1,9}$")] = None,
) -> ReadingsOut:
    """Rows of one stream with from_ms <= t_ms < to_ms, oldest first, in pages: go on with ``after=next``."""
    desk, here = _site(request, visitor, site_id)
    if to_ms <= from_ms:
        raise ProblemError(422, "bad_input", "to_ms is not after from_ms", "Ask for a span of time.")
    try:
        parse_stream_id(stream)
    except ContractError as error:
        raise ProblemError(422, "bad_input", error.detail, "A stream is serial/quantity[/channel].") from error
    if stream not in desk.questions.store.streams(here.id):
        raise not_found("stream", stream)
    cursor = None if after is None else Cursor(*(int(part) for part in after.split(".")))
    page = desk.questions.store.read(stream, from_ms, to_ms, limit=limit, after=cursor)
    # A stream may have moved between sites: only this site's rows are shown.
    amended = desk.questions.amended((stream,))
    rows = [_reading(row, amended.value_c(stream, row.t_ms, row.value)) for row in page.rows if row.site == here.id]
    following = None if page.next is None else ".".join(str(part) for part in page.next)
    return ReadingsOut(rows=rows, next=following)


@router.get("/sites/{site_id}/alarms", tags=["alarms"])
def alarms(
    request: Request,
    visitor: Looker,
    site_id: Key,
    state: Annotated[list[AlarmState] | None, Query(max_length=3)] = None,
    limit: Limit = 100,
) -> list[AlarmOut]:
    """Alarms, newest first."""
    desk, here = _site(request, visitor, site_id)
    return [AlarmOut.model_validate(a) for a in desk.records.alarms(here.id, state, limit)]


@router.get("/sites/{site_id}/findings", tags=["alarms"])
def findings(
    request: Request,
    visitor: Looker,
    site_id: Key,
    equipment_id: Annotated[Id | None, Query(alias="equipment")] = None,
    batch_id: Annotated[Id | None, Query(alias="batch")] = None,
    from_ms: Annotated[TimeMs | None, Query()] = None,
    to_ms: Annotated[TimeMs | None, Query()] = None,
    standing: bool = False,
    limit: Limit = 100,
) -> list[FindingOut]:
    """What the rules found, newest event first; ``standing`` leaves out what was withdrawn or superseded."""
    desk, here = _site(request, visitor, site_id)
    found = desk.records.findings(
        here.id, equipment_id, batch_id, from_ms=from_ms, to_ms=to_ms, standing=standing, limit=limit
    )
    return [FindingOut.model_validate(f) for f in found]


@router.get("/sites/{site_id}/batches", tags=["batches"])
def batches(request: Request, visitor: Looker, site_id: Key) -> list[BatchOut]:
    """The batches of a site with their latest verdict."""
    desk, here = _site(request, visitor, site_id)
    return [_batch(v) for v in desk.questions.batch_views(here)]


@router.get("/sites/{site_id}/batches/{batch_id}", tags=["batches"])
def batch(request: Request, visitor: Looker, site_id: Key, batch_id: Key) -> BatchOut:
    """One batch: verdict, placements, last VVM reading."""
    desk, here = _site(request, visitor, site_id)
    return _batch(desk.questions.batch_view(here, batch_id))


@router.get("/sites/{site_id}/weighings", tags=["waste"])
def weighings(
    request: Request, visitor: Looker, site_id: Key, tied: bool | None = None, limit: Limit = 100
) -> list[WeighingOut]:
    """Weighings, newest first."""
    desk, here = _site(request, visitor, site_id)
    return [WeighingOut.model_validate(w) for w in desk.records.weighings(here.id, tied=tied, limit=limit)]


@router.get("/sites/{site_id}/bags", tags=["waste"])
def bags(request: Request, visitor: Looker, site_id: Key) -> list[BagOut]:
    """The registered waste bags."""
    desk, here = _site(request, visitor, site_id)
    return [BagOut.model_validate(b) for b in desk.records.bags(here.id)]


# --- reports --------------------------------------------------------------------------------------------------


@router.get("/sites/{site_id}/quarantine", tags=["reports"])
def quarantine(
    request: Request, visitor: Reporter, site_id: Key, state: QuarantineState | None = None, limit: Limit = 100
) -> list[QuarantineOut]:
    """Messages that were not accepted, oldest first."""
    desk, here = _site(request, visitor, site_id)
    return [_quarantine(q) for q in desk.records.quarantine_items(here.id, state, limit)]


@router.get("/sites/{site_id}/ledger", tags=["reports"])
def ledger(request: Request, visitor: Reporter, site_id: Key) -> list[LedgerOut]:
    """What each edge produced, what is here, what is missing."""
    desk, here = _site(request, visitor, site_id)
    book = desk.questions.ledger(here.id)
    clocks = {c.edge: c.off_ms for c in book.clocks}
    return [
        LedgerOut(
            edge=x.edge,
            epoch=x.epoch,
            current=x.current,
            produced=x.numbered_to,
            received=x.received,
            quarantined=x.quarantined,
            thinned=x.thinned,
            duplicated=x.duplicates,
            missing=len(x.missing),
            missing_ranges=x.missing.to_lists()[:1000],
            absent=[
                AbsentOut(cause=str(a.cause), count=a.count, detail=a.detail)
                for a in absences(x, desk.clock.now_ms())
            ],
            conflicts=x.conflicts,
            late=x.late,
            worst_late_ms=x.worst_late_ms,
            wire_bytes=x.wire_bytes,
            clock_off_ms=clocks.get(x.edge, 0) if x.current else 0,
            identities=[str(i.kind) for i in book.identities if (i.edge, i.epoch) == (x.edge, x.epoch)],
            streams=[
                LedgerStreamOut(
                    stream=s.stream_id,
                    produced=s.produced,
                    received=s.received,
                    thinned=s.thinned,
                    not_here=s.not_here,
                    late=s.late,
                    worst_late_ms=s.worst_late_ms,
                )
                for s in x.streams
            ],
            last_seen_ms=x.last_seen_ms,
        )
        for x in book.lines
    ]


@router.get("/sites/{site_id}/attachments", tags=["reports"])
def attachments(request: Request, visitor: Reporter, site_id: Key, limit: Limit = 100) -> AttachmentsOut:
    """What SMILE got of this site, newest first, and what it cannot hold."""
    desk, here = _site(request, visitor, site_id)
    rows = [AttachmentOut.model_validate(a) for a in desk.records.attachments(site=here.id, limit=limit)]
    ours = [v.batch.id for v in desk.questions.batch_views(here) if v.kept_here]
    return AttachmentsOut(
        rows=rows, cannot_hold=[key.removeprefix("cannot_") for key in CANNOT_HOLD], verdicts_without_field=ours
    )


@router.get("/sites/{site_id}/audit", tags=["reports"])
def audit(
    request: Request,
    visitor: Reporter,
    site_id: Key,
    after: Annotated[int, Query(ge=0, lt=1 << 62)] = 0,
    limit: Limit = 100,
) -> list[AuditOut]:
    """A site's audit rows in order; go on with ``after`` = the last row's id."""
    desk, here = _site(request, visitor, site_id)
    return [AuditOut.model_validate(r) for r in desk.records.changes_after(after, limit, site=here.id)]


@router.get("/sites/{site_id}/audit/verify", tags=["reports"])
def verify(request: Request, visitor: Reporter, site_id: Key) -> ChainOut:
    """Check the site's hash chain, and that each record still is what its last row says."""
    desk, here = _site(request, visitor, site_id)
    return ChainOut.model_validate(desk.records.verify_chain(here.id))


# --- commands -------------------------------------------------------------------------------------------------


@router.post("/alarms/{alarm_id}/acknowledge", tags=["alarms"])
def acknowledge(
    request: Request,
    visitor: Annotated[Visitor, Depends(need(Right.ACKNOWLEDGE))],
    alarm_id: Key,
    body: AcknowledgeIn,
) -> AlarmOut:
    """Answer an alarm with a word."""
    return AlarmOut.model_validate(commands.acknowledge(desk_of(request), visitor.person, alarm_id, body.comment))


@router.post("/batches/{batch_id}/decision", tags=["batches"])
def decide(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.DECIDE))], batch_id: Key, body: DecisionIn
) -> VerdictOut:
    """Release or discard a batch, with a reason. A release while its excursion or its place's alarm goes on needs ``knowing``."""
    desk, person = desk_of(request), visitor.person
    done = commands.decide(desk, person, batch_id, body.decision, body.reason, knowing=body.knowing)
    return verdict_out(done)


@router.post("/batches/{batch_id}/placements", tags=["batches"], status_code=201)
def place(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.HANDLE))], batch_id: Key, body: PlacementIn
) -> PlacementOut:
    """Say where a batch stands (it leaves its old place then), or stood."""
    move = commands.Move(body.equipment, body.reason, body.from_ms, body.to_ms)
    return PlacementOut.model_validate(commands.place(desk_of(request), visitor.person, batch_id, move))


@router.post("/batches/{batch_id}/placements/end", tags=["batches"])
def take_out(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.HANDLE))], batch_id: Key, body: TakenOutIn
) -> PlacementOut:
    """Say that a batch left its equipment; from then on it stands nowhere."""
    done = commands.take_out(desk_of(request), visitor.person, batch_id, body.reason, body.to_ms)
    return PlacementOut.model_validate(done)


@router.post("/batches/{batch_id}/vvm", tags=["batches"], status_code=201)
def observe(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.HANDLE))], batch_id: Key, body: VvmIn
) -> VvmOut:
    """Record a VVM stage read on the vials."""
    seen = commands.observe_vvm(desk_of(request), visitor.person, batch_id, body.stage, body.reason)
    return VvmOut.model_validate(seen)


@router.post("/bags", tags=["waste"], status_code=201)
def register_bag(request: Request, visitor: Annotated[Visitor, Depends(need(Right.WEIGH))], body: BagIn) -> BagOut:
    """Register a waste bag; its code, class, waste code and colour must agree."""
    values = body.model_dump(exclude={"reason", "material_ids"})
    bag = Bag(**values, material_ids=tuple(body.material_ids))
    return BagOut.model_validate(commands.register_bag(desk_of(request), visitor.person, bag, body.reason))


@router.post("/weighings/{weighing_id}/tie", tags=["waste"])
def tie(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.WEIGH))], weighing_id: Key, body: TieIn
) -> WeighingOut:
    """Say which bag was on the scale."""
    return WeighingOut.model_validate(
        commands.tie(desk_of(request), visitor.person, weighing_id, body.bag, body.reason)
    )


@router.post("/weighings/{weighing_id}/tie/correct", tags=["waste"])
def correct_tie(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.CORRECT))], weighing_id: Key, body: TieIn
) -> WeighingOut:
    """Tie a tied weighing to another bag, with a reason. What SMILE has already got stands there."""
    return WeighingOut.model_validate(
        commands.correct_tie(desk_of(request), visitor.person, weighing_id, body.bag, body.reason)
    )


@router.get("/quarantine/{item_id}", tags=["reports"])
def quarantined_message(request: Request, visitor: Reporter, item_id: Key) -> QuarantineItemOut:
    """One quarantined message in full, with the repairs that fit its reason."""
    item, _ = commands.quarantined(desk_of(request).questions, visitor.person, item_id)
    return QuarantineItemOut(
        **_quarantine(item).model_dump(),
        payload=b64encode(item.payload).decode(),
        repairs=[str(repair) for repair in repairs_for(item.reason)],
        repair=item.repair,
        corrected=None if item.corrected is None else b64encode(item.corrected).decode(),
        asked_by=item.asked_by,
        asked_ms=item.asked_ms,
    )


@router.post("/quarantine/{item_id}/correct", tags=["reports"])
def correct_message(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.REPLAY))], item_id: Key, body: CorrectIn
) -> QuarantineOut:
    """Keep a correction beside the original, which stays as it came; ``replay`` then sends it through."""
    supplied = body.payload.encode()
    return _quarantine(
        commands.correct(desk_of(request), visitor.person, item_id, body.repair, supplied, body.reason)
    )


@router.post("/quarantine/{item_id}/replay", tags=["reports"], status_code=202)
def replay(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.REPLAY))], item_id: Key, body: ReplayIn
) -> QuarantineOut:
    """Ask for a waiting message, or its correction, to go through the check again: ingest does so within seconds, and
    where it is refused again it waits on with its new reason.
    """
    return _quarantine(commands.replay(desk_of(request), visitor.person, item_id, body.reason))


@router.post("/quarantine/{item_id}/discard", tags=["reports"])
def put_aside(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.REPLAY))], item_id: Key, body: ReplayIn
) -> QuarantineOut:
    """Give a waiting message up, with a reason."""
    return _quarantine(commands.put_aside(desk_of(request), visitor.person, item_id, body.reason))


# --- master data ----------------------------------------------------------------------------------------------


@router.post("/sites", tags=["sites"])
def put_site(request: Request, visitor: Master, body: SiteIn) -> ChangedOut:
    """Create or change a site."""
    desk = desk_of(request)
    made = Site(**body.model_dump(exclude={"reason"}))
    change = desk.records.upsert_site(made, actor_of(visitor.person), body.reason, desk.clock.now_ms())
    return ChangedOut(id=body.id, change=change.value)


@router.post("/equipment", tags=["equipment"])
def put_equipment(request: Request, visitor: Master, body: EquipmentIn) -> ChangedOut:
    """Create or change an equipment; its profile must be known."""
    desk = desk_of(request)
    if desk.questions.profiles and body.profile not in desk.questions.profiles:
        known = ", ".join(sorted(desk.questions.profiles))
        raise ProblemError(422, "unknown_profile", f"no profile {body.profile!r}", f"Known are {known}.")
    made = Equipment(**body.model_dump(exclude={"reason"}))
    change = desk.records.upsert_equipment(made, actor_of(visitor.person), body.reason, desk.clock.now_ms())
    return ChangedOut(id=body.id, change=change.value)


@router.post("/devices", tags=["equipment"])
def put_device(request: Request, visitor: Master, body: DeviceIn) -> ChangedOut:
    """Register or change a device; its quarantined messages (``waiting``) are then taken in by ingest."""
    desk = desk_of(request)
    made = Device(**body.model_dump(exclude={"reason"}))
    done = desk.records.upsert_device(made, actor_of(visitor.person), body.reason, desk.clock.now_ms())
    return ChangedOut(id=body.serial, change=done.change.value, waiting=list(done.waiting))


@router.post("/batches", tags=["batches"])
def put_batch(request: Request, visitor: Annotated[Visitor, Depends(need(Right.STOCK))], body: BatchIn) -> ChangedOut:
    """Create or change a batch of a site in the asker's reach."""
    desk = desk_of(request)
    desk.questions.site(visitor.person, body.site)
    _not_elsewhere(desk, visitor, body.id)
    values = body.model_dump(exclude={"reason", "smile"})
    ids = None if body.smile is None else SmileStockIds(**body.smile.model_dump())
    made = Batch(smile=ids, **values)
    change = desk.records.upsert_batch(made, actor_of(visitor.person), body.reason, desk.clock.now_ms())
    return ChangedOut(id=body.id, change=change.value)


def _not_elsewhere(desk: Desk, visitor: Visitor, batch_id: str) -> None:
    """A batch that stands in another's region is not to be pulled over from here."""
    try:
        old = desk.records.batch(batch_id)
    except UnknownRecord:
        return
    home = desk.records.site(old.site)
    require_reach(visitor.person, home.id, home.region)


# --- shaping --------------------------------------------------------------------------------------------------


def _site(request: Request, visitor: Visitor, site_id: str) -> tuple[Desk, Site]:
    desk = desk_of(request)
    return desk, desk.questions.site(visitor.person, site_id)


def _reading(row: Row, counted_c: Decimal | None) -> ReadingOut:
    """A row of the store, with what counts of it."""
    return ReadingOut.model_validate({**{name: getattr(row, name) for name in _OF_ROW}, "counted": counted_c})


_OF_ROW = frozenset(ReadingOut.model_fields) - {"counted"}


def _equipment(view: EquipmentView) -> EquipmentOut:
    it = view.equipment
    return EquipmentOut(
        id=it.id,
        site=it.site,
        name=it.name,
        kind=str(it.kind),
        profile=it.profile,
        smile_asset_id=it.smile_asset_id,
        state=view.state.word,
        range_state=view.range_state.value,
        low_c=view.low_c,
        high_c=view.high_c,
        latest=None if view.latest is None else _reading(view.latest, view.counted_c),
        age_ms=None if view.latest is None else view.age_ms,
        streams=list(view.streams),
        devices=[d.serial for d in view.devices],
        open_alarms=[a.id for a in view.alarms if a.state == AlarmState.OPEN],
        conflict=view.conflict,
    )


def _counter(span: Literal["today", "24h"], counted: Tally) -> CounterOut:
    return CounterOut(
        span=span,
        from_ms=counted.from_ms,
        to_ms=counted.to_ms,
        beyond=[
            BeyondOut(
                comparator=b.mark.comparator.value,
                limit_c=b.mark.limit_c,
                codes=list(b.mark.codes),
                beyond_ms=b.ms,
            )
            for b in counted.beyond
        ],
        known_ms=counted.known_ms,
        unknown_ms=counted.unknown_ms,
    )


def verdict_out(verdict: Verdict) -> VerdictOut:
    """A verdict as it is answered."""
    return VerdictOut.model_validate(replace(verdict, reasons=tuple(verdict.reasons)))


def _batch(view: BatchView) -> BatchOut:
    b = view.batch
    return BatchOut(
        id=b.id,
        site=b.site,
        product_kfa=b.product_kfa,
        product_name=b.product_name,
        batch_number=b.batch_number,
        expires_on=b.expires_on,
        doses=b.doses,
        verdict=None if view.verdict is None else verdict_out(view.verdict),
        placements=[PlacementOut.model_validate(p) for p in view.placements],
        vvm=None if view.vvm is None else VvmOut.model_validate(view.vvm),
        vvm_worst=None if view.worst is None else VvmOut.model_validate(view.worst),
        answer=str(view.decision.decision) if view.settled and view.decision else view.word or None,
        judged_anew=view.unjudged is not None,
    )


def _quarantine(item: Any) -> QuarantineOut:
    return QuarantineOut(
        id=item.id,
        site=item.site,
        edge=item.edge,
        epoch=item.epoch,
        topic=item.topic,
        reason=item.reason,
        detail=item.detail,
        received_ms=item.received_ms,
        state=str(item.state),
        serials=list(item.serials),
        bytes=len(item.payload),
    )
