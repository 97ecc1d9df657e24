"""Readings of an equipment as they came and as they count, and what people say of them (decision 0029)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from alerts.amended import Amendments
from alerts.equipment.calibration import Lapse, mark
from api import commands
from api.desk import Desk, Form, back_to, need, need_form, need_page, page, site_of, words_for
from api.present import local_time, zone_name
from api.questions import EquipmentView
from api.reports import lapses_of
from api.roles import Right
from api.security import Visitor
from api.shapes import CorrectionIn, CorrectionOut, MarkBackIn, MarkIn, MarkOut, SaidOut
from api.words import Words
from gateway.records import ProbeCorrection, ReadingMark, Records, Site
from gateway.records.probes import MOST_OFFSET_C
from ingest.store import Row

page_router = APIRouter(include_in_schema=False)
json_router = APIRouter(prefix="/api/v1", tags=["equipment"])
Key = Annotated[str, Path(min_length=1, max_length=128)]
_SHOWN = 24
_MINUTE_MS, _SECOND_MS = 60_000, 1_000


@dataclass(frozen=True, slots=True)
class Here:
    """The equipment that is asked about."""

    desk: Desk
    site: Site
    view: EquipmentView
    now_ms: int

    def stays(self) -> dict[str, list[tuple[int, int]]]:
        """The streams whose readings are of this equipment, and when their devices stood here."""
        return self.desk.questions.stays_in(self.site, self.view.equipment.id)

    def marks(self, stays: Mapping[str, Sequence[tuple[int, int]]]) -> list[ReadingMark]:
        """What was marked of the readings of this equipment."""
        return [
            m
            for m in self.desk.records.reading_marks(stays)
            if m.site == self.site.id and any(m.from_ms < high and m.to_ms > low for low, high in stays[m.stream])
        ]

    def stream(self, stream: str) -> str:
        """A stream of a sensor that stands here, or stood here once."""
        serials = {s.partition("/")[0] for s in self.stays()} | {d.serial for d in self.view.devices}
        if stream.partition("/")[0] not in serials:
            raise commands.no_sensor_of(self.view, stream)
        return stream


def _here(request: Request, visitor: Visitor, site_id: str, equipment_id: str) -> Here:
    desk, site = site_of(request, visitor, site_id)
    now_ms = desk.clock.now_ms()
    return Here(desk, site, desk.questions.equipment_view(site, equipment_id, now_ms), now_ms)


# --- JSON ---------------------------------------------------------------------------------------------------------


@json_router.get("/sites/{site_id}/equipment/{equipment_id}/corrections")
def corrections(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.LOOK))], site_id: Key, equipment_id: Key
) -> list[CorrectionOut]:
    """What was said of the sensors that stand here now, with who and why, oldest first."""
    here = _here(request, visitor, site_id, equipment_id)
    return [_out(here.desk.records, c) for c in here.desk.records.probe_corrections(here.view.streams)]


@json_router.post("/sites/{site_id}/equipment/{equipment_id}/corrections", status_code=201)
def correct(
    request: Request,
    visitor: Annotated[Visitor, Depends(need(Right.CALIBRATE))],
    site_id: Key,
    equipment_id: Key,
    body: CorrectionIn,
) -> CorrectionOut:
    """Enter the correction of a sensor from its certificate, with a reason; what it said before is judged anew."""
    here = _here(request, visitor, site_id, equipment_id)
    told = (body.from_ms, body.offset_c, body.certificate, body.reason)
    return _out(here.desk.records, commands.correct_probe(here.desk, visitor.person, here.view, body.stream, told))


@json_router.get("/sites/{site_id}/equipment/{equipment_id}/marks")
def marks(
    request: Request, visitor: Annotated[Visitor, Depends(need(Right.LOOK))], site_id: Key, equipment_id: Key
) -> list[MarkOut]:
    """The readings of this equipment which people marked as not to be counted, by sensor, oldest mark first."""
    here = _here(request, visitor, site_id, equipment_id)
    return [_mark_out(here.desk.records, m) for m in here.marks(here.stays())]


@json_router.post("/sites/{site_id}/equipment/{equipment_id}/marks", status_code=201)
def mark_readings(
    request: Request,
    visitor: Annotated[Visitor, Depends(need(Right.MARK))],
    site_id: Key,
    equipment_id: Key,
    body: MarkIn,
) -> MarkOut:
    """Mark readings as not to be counted, with a reason: that time is unknown, and judged anew."""
    here = _here(request, visitor, site_id, equipment_id)
    span = (body.from_ms, body.to_ms)
    stream = here.stream(body.stream)
    made = commands.mark_readings(here.desk, visitor.person, here.site.id, stream, span, body.reason)
    return _mark_out(here.desk.records, made)


@json_router.post("/sites/{site_id}/equipment/{equipment_id}/marks/take-back")
def take_back(
    request: Request,
    visitor: Annotated[Visitor, Depends(need(Right.MARK))],
    site_id: Key,
    equipment_id: Key,
    body: MarkBackIn,
) -> MarkOut:
    """The readings count again."""
    here = _here(request, visitor, site_id, equipment_id)
    stream = here.stream(body.stream)
    made = commands.take_back_mark(here.desk, visitor.person, here.site.id, stream, body.number, body.reason)
    return _mark_out(here.desk.records, made)


def _mark_out(records: Records, m: ReadingMark) -> MarkOut:
    said = [SaidOut.model_validate(row) for row in records.audit_of(f"reading_mark:{m.stream}/{m.number}")]
    return MarkOut(
        stream=m.stream, number=m.number, from_ms=m.from_ms, to_ms=m.to_ms, taken_back=m.taken_back, said=said
    )


def _out(records: Records, c: ProbeCorrection) -> CorrectionOut:
    (row, *_) = records.audit_of(f"probe_correction:{c.stream}/{c.number}")
    return CorrectionOut(
        stream=c.stream,
        number=c.number,
        from_ms=c.from_ms,
        offset_c=c.offset_c,
        certificate=c.certificate,
        said=SaidOut.model_validate(row),
    )


# --- page ---------------------------------------------------------------------------------------------------------


@page_router.get("/sites/{site_id}/equipment/{equipment_id}/readings")
def readings_page(
    request: Request,
    visitor: Annotated[Visitor, Depends(need_page(Right.LOOK))],
    site_id: str,
    equipment_id: str,
    stream: Annotated[str, Query(max_length=128)] = "",
    until: Annotated[str, Query(max_length=25)] = "",
    at: Annotated[int, Query(ge=0, lt=1 << 43)] = 0,
) -> Response:
    """The last readings before a time, raw and as they count; what was said of them, and the forms to say more.

    ``at``: a reading that is about to be marked.
    """
    here = _here(request, visitor, site_id, equipment_id)
    words, zone = words_for(request, visitor.person), here.site.zone
    stays = here.stays()
    streams = sorted(stays, key=lambda s: (s not in here.view.streams, s))  # those that stand here now first
    chosen = stream if stream in stays else next(iter(streams), "")
    until_ms = Form({"until": until}).moment("until", zone)
    to_ms = here.now_ms + 1 if until_ms is None else until_ms + _MINUTE_MS
    rows = here.desk.questions.readings_before(chosen, stays[chosen], to_ms, _SHOWN) if chosen else []
    amended = here.desk.questions.amended(stays)
    gone = lapses_of(here.desk.records, chosen.partition("/")[0]) if chosen else []
    return page(
        request,
        "readings.html",
        visitor=visitor,
        site=here.site,
        here="site",
        e=here.view,
        streams=streams,
        chosen=chosen,
        until=until,
        rows=[_row(words, zone, r, amended, gone) for r in rows],
        marks=[_mark_item(words, here, m) for m in reversed(here.marks(stays))],
        wanted=local_time(at, zone, "seconds") if at else "",
        corrections=[_item(words, here, c) for c in reversed(here.desk.records.probe_corrections(here.view.streams))],
        now_local=local_time(here.now_ms, zone),
        zone_name=zone_name(zone, here.now_ms),
    )


@page_router.post("/sites/{site_id}/equipment/{equipment_id}/corrections")
def correct_page(
    request: Request,
    sent: Annotated[tuple[Visitor, Form], Depends(need_form(Right.CALIBRATE))],
    site_id: str,
    equipment_id: str,
) -> Response:
    """Enter the correction of a sensor; from now on where no time is given."""
    visitor, form = sent
    here = _here(request, visitor, site_id, equipment_id)
    offset_c = form.number("offset_c", -MOST_OFFSET_C, MOST_OFFSET_C, 3)
    since_ms = form.moment("since", here.site.zone)
    from_ms = here.now_ms if since_ms is None else since_ms
    told = (from_ms, offset_c, form.text("certificate", 1, 120), form.text("reason", 3))
    commands.correct_probe(here.desk, visitor.person, here.view, form.choice("stream", *here.view.streams), told)
    return back_to(f"/sites/{here.site.id}/equipment/{equipment_id}/readings", "probe_corrected")


@page_router.post("/sites/{site_id}/equipment/{equipment_id}/marks")
def mark_page(
    request: Request,
    sent: Annotated[tuple[Visitor, Form], Depends(need_form(Right.MARK))],
    site_id: str,
    equipment_id: str,
) -> Response:
    """Mark readings as not to be counted, or take a mark back."""
    visitor, form = sent
    here = _here(request, visitor, site_id, equipment_id)
    stream = form.choice("stream", *here.stays())
    back = f"/sites/{here.site.id}/equipment/{equipment_id}/readings"
    if form.fields.get("mark"):
        number = int(form.number("mark", Decimal(1), Decimal(1_000_000)))
        commands.take_back_mark(here.desk, visitor.person, here.site.id, stream, number, form.text("reason", 3))
        return back_to(back, "mark_taken_back", stream=stream)
    first_ms, last_ms = (_moment(form, name, here.site.zone) for name in ("first", "last"))
    span = (first_ms, last_ms + _SECOND_MS)
    commands.mark_readings(here.desk, visitor.person, here.site.id, stream, span, form.text("reason", 3))
    return back_to(back, "readings_marked", stream=stream)


def _moment(form: Form, name: str, zone: str) -> int:
    form.text(name)  # a mark is of a time that somebody named
    at_ms = form.moment(name, zone)
    return 0 if at_ms is None else at_ms


def _row(words: Words, zone: str, row: Row, amended: Amendments, gone: Sequence[Lapse]) -> dict[str, Any]:
    """One reading: as it came, what counts of it, and what is to be known of it."""
    counted_c = amended.value_c(row.stream_id, row.t_ms, row.value)
    notes = [words("readings.uncalibrated")] if mark(row.t_ms, gone) else []
    marked = row.value is not None and counted_c is None
    if marked:
        notes.insert(0, words("readings.marked"))
    return {
        "t_ms": row.t_ms,
        "time": words.time(row.t_ms, zone),
        "said": words.number(row.value),
        "counted": words.number(counted_c),
        "notes": ", ".join(notes),
        "marked": marked,
    }


def _mark_item(words: Words, here: Here, m: ReadingMark) -> dict[str, Any]:
    zone, rows = here.site.zone, here.desk.records.audit_of(f"reading_mark:{m.stream}/{m.number}")
    return {
        "stream": m.stream,
        "number": m.number,
        "span": words(
            "readings.mark_span", first=words.time(m.from_ms, zone), last=words.time(m.to_ms - _SECOND_MS, zone)
        ),
        "taken_back": m.taken_back,
        "who": [words("readings.who", name=r.actor, time=words.time(r.at_ms, zone), reason=r.reason) for r in rows],
    }


def _item(words: Words, here: Here, c: ProbeCorrection) -> dict[str, str]:
    (row, *_) = here.desk.records.audit_of(f"probe_correction:{c.stream}/{c.number}")
    return {
        "stream": c.stream,
        "offset": words.signed(c.offset_c),
        "since": words.time(c.from_ms, here.site.zone),
        "certificate": c.certificate,
        "who": words("readings.who", name=row.actor, time=words.time(row.at_ms, here.site.zone), reason=row.reason),
    }
