"""The report of a site's month, or of any days up to a quarter: on page, in JSON, as CSV.

The operator gets none (facts/smile-and-waste.md, Table 1 and requirement 16).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from alerts.equipment.smile_bands import CLASSES
from alerts.report import MOST_DAYS, SiteReport
from api.desk import need, need_page, page, site_of, words_for
from api.heavy import one_at_a_time
from api.present import zone_name
from api.problems import ProblemError, Wrong
from api.report_out import as_csv, as_json
from api.report_words import made_text, section, site_lines
from api.reports import PeriodError, month_before, period_of, read_report
from api.roles import Right
from api.security import Visitor
from gateway.records import Site

page_router = APIRouter(include_in_schema=False)
json_router = APIRouter(prefix="/api/v1", tags=["report"])
Key = Annotated[str, Path(min_length=1, max_length=128)]
Reporter = Annotated[Visitor, Depends(need(Right.REPORT))]
Month = Annotated[str, Query(max_length=10, description="as 2026-11; without it the month that runs")]
First = Annotated[
    str, Query(alias="from", max_length=10, description="instead of a month: the first day, as 2026-11-01")
]
Last = Annotated[str, Query(alias="to", max_length=10, description="the last day")]


def _read(
    request: Request, visitor: Visitor, site_id: str, month: str, first: str, last: str
) -> tuple[Site, SiteReport]:
    """Raises ProblemError 422 for a period that cannot be told, 503 while others ask."""
    desk, site = site_of(request, visitor, site_id)
    try:
        period = period_of(site.zone, desk.clock.now_ms(), month.strip(), first.strip(), last.strip())
    except PeriodError as error:
        raise ProblemError(
            422,
            "bad_input",
            str(error),
            f"A month, or at most {MOST_DAYS} days.",
            Wrong("period", facts={"days": MOST_DAYS}),
        ) from error
    with one_at_a_time():
        return site, read_report(desk.records, desk.questions.store, desk.questions.profiles, site, period)


@json_router.get("/sites/{site_id}/report")
def report(
    request: Request, visitor: Reporter, site_id: Key, month: Month = "", first: First = "", last: Last = ""
) -> dict[str, Any]:
    """The figures of a month or of ``from`` to ``to``: durations in whole ms; null is unknown, or not said."""
    return as_json(_read(request, visitor, site_id, month, first, last)[1])


@json_router.get("/sites/{site_id}/report.csv", response_class=Response)
def report_csv(
    request: Request, visitor: Reporter, site_id: Key, month: Month = "", first: First = "", last: Last = ""
) -> Response:
    """The same, a figure a line; durations in minutes."""
    _, made = _read(request, visitor, site_id, month, first, last)
    name = f"{made.site}-{made.period.first}-{made.period.last}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(as_csv(made), media_type="text/csv; charset=utf-8", headers=headers)


@page_router.get("/sites/{site_id}/report")
def report_page(
    request: Request,
    visitor: Annotated[Visitor, Depends(need_page(Right.REPORT))],
    site_id: str,
    month: Month = "",
    first: First = "",
    last: Last = "",
) -> Response:
    """The report to read and to print."""
    site, made = _read(request, visitor, site_id, month, first, last)
    words, period = words_for(request, visitor.person), made.period
    return page(
        request,
        "report.html",
        visitor=visitor,
        site=site,
        here="report",
        report=made,
        made=made_text(words, made),
        zone_name=zone_name(site.zone, period.made_ms),
        site_lines=site_lines(words, made, {e.id: e.name for e in made.equipment}),
        sections=[section(words, e, site.zone) for e in made.equipment],
        classes=CLASSES,
        before=month_before(period.first),
        span=f"from={period.first}&to={period.last}",
        most_days=MOST_DAYS,
    )
