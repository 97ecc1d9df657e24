"""What every route needs, put together once: who asks, may they, in which language, and what they asked."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from alerts.products import Products
from api.config import Enrolment, Settings
from api.present import badge, wrong_text
from api.problems import ProblemError, Wrong
from api.questions import Questions
from api.roles import RIGHTS, Person, Right, require
from api.security import CSRF_FIELD, CSRF_HEADER, LANGUAGE_COOKIE, Gate, Via, Visitor, csrf_fits
from api.words import LANGUAGES, Words, catalogue, pick_language
from gateway.broker_accounts import BrokerAccounts
from gateway.records import Actor, AlarmState, Records, Role, Site
from telemetry.clock import Clock

_HERE = Path(__file__).parent
_LANGUAGE_NAMES = {"id": "Bahasa Indonesia", "en": "English"}
_SAFE = frozenset({"GET", "HEAD"})
_YEAR_2000_MS = 946_684_800_000  # an earlier time is a slip of the keyboard, not a placement
_TYPED = (
    "comment",
    "reason",
    "bag",
    "code",
    "since",
    "edge",
    "payload",
    "limit_c",
    "after_min",
    "offset_c",
    "certificate",
    "first",
    "last",
    "batch_number",
    "expires_on",
    "doses",
    "gtin",
    "bast_no",
    "third_party",
    "vials",
    "report_no",
    "signed_by",
)  # what a person wrote, in forms of pages
_CHOSEN = (
    "decision",
    "stage",
    "equipment",
    "waste",
    "repair",
    "rule",
    "stream",
    "mark",
    "product",
    "everywhere",
    "scanned",
    "batch",
)
_MENU = (
    ("site", "", Right.LOOK),
    ("alarms", "/alarms", Right.LOOK),
    ("batches", "/batches", Right.LOOK),
    ("weighing", "/weighing", Right.LOOK),
    ("report", "/report", Right.REPORT),
    ("smile", "/smile", Right.REPORT),
    ("ledger", "/ledger", Right.REPORT),
    ("quarantine", "/quarantine", Right.REPORT),
    ("edges", "/edges", Right.REPORT),
    ("audit", "/audit", Right.REPORT),
)


class LoginNeededError(Exception):
    """A page was asked for by nobody we know: show the log-in."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts of the running application (``request.app.state.desk``)."""

    records: Records
    questions: Questions
    clock: Clock
    settings: Settings
    gate: Gate
    products: Products
    enrolment: Enrolment | None = None
    accounts: BrokerAccounts | None = None


def site_of(request: Request, visitor: Visitor, site_id: str) -> tuple[Desk, Site]:
    """The desk and a site that the visitor may see; raises what ``Questions.site`` raises."""
    desk = desk_of(request)
    return desk, desk.questions.site(visitor.person, site_id)


def desk_of(request: Request) -> Desk:
    """The application's desk."""
    desk: Desk = request.app.state.desk
    return desk


def actor_of(person: Person) -> Actor:
    """The person as the records know actors."""
    return Actor(person.name, Role(person.role.value))


def need(right: Right) -> Callable[[Request], Visitor]:
    """A dependency of JSON routes: the visitor, if known and allowed; a cookie's change needs the CSRF header."""

    def visitor(request: Request) -> Visitor:
        found = desk_of(request).gate.recognise(request)
        if found is None:
            raise ProblemError(401, "not_logged_in", "no valid session or token", "Log in, or send a bearer token.")
        request.state.visitor = found
        require(found.person, right)
        changes = request.method not in _SAFE
        if changes and found.via is Via.COOKIE and not csrf_fits(found.csrf, request.headers.get(CSRF_HEADER)):
            raise ProblemError(
                403, "csrf", f"the header {CSRF_HEADER} is missing or wrong", "Send the session's token."
            )
        return found

    return visitor


def need_page(right: Right) -> Callable[[Request], Visitor]:
    """A dependency of pages: the visitor with a session, if allowed; nobody is sent to the log-in."""

    def visitor(request: Request) -> Visitor:
        found = desk_of(request).gate.recognise(request)
        if found is None or found.via is not Via.COOKIE:
            raise LoginNeededError
        request.state.visitor = found
        require(found.person, right)
        return found

    return visitor


@dataclass(frozen=True, slots=True)
class Form:
    """A form that came with the right CSRF token."""

    fields: Mapping[str, str]

    def text(self, name: str, low: int = 1, high: int = 500) -> str:
        """A trimmed text of ``low`` to ``high`` signs, never cut; raises ProblemError 422."""
        value = self.fields.get(name, "").replace("\r\n", "\n").strip()
        if low <= len(value) <= high and "\x00" not in value:
            return value
        facts = {"low": low, "high": high, "n": len(value)}
        if not value:
            rule = "empty"
        elif "\x00" in value:
            rule = "signs"
        else:
            rule = "exact" if low == high else "short" if len(value) < low else "long"
        raise ProblemError(
            422,
            "bad_input",
            f"{name}: {low} to {high} signs",
            "Fill in the field and send again.",
            Wrong(rule, name, facts),
        )

    def choice(self, name: str, *allowed: str) -> str:
        """One of the allowed words, or with none named any word; raises ProblemError 422."""
        value = self.fields.get(name, "")
        if value not in allowed if allowed else not 1 <= len(value) <= 64:
            words = ", ".join(allowed) or "an answer"
            raise ProblemError(
                422, "bad_input", f"{name}: one of {words}", "Choose one of the answers.", Wrong("choice", name)
            )
        return value

    def moment(self, name: str, zone: str) -> int | None:
        """A wall-clock time of the zone as ms UTC; None when nothing was filled in. Raises ProblemError 422."""
        value = self.fields.get(name, "").strip()
        if not value:
            return None
        try:
            at = datetime.fromisoformat(value)
            if at.tzinfo is not None or len(value) > 25:
                raise ValueError(value)
            moment_ms = int(at.replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1000
            if moment_ms < _YEAR_2000_MS:
                raise ValueError(value)
            return moment_ms
        except (ValueError, OverflowError) as error:
            raise ProblemError(
                422, "bad_input", f"{name}: no local time", "Give date and time.", Wrong("time", name)
            ) from error

    def day(self, name: str) -> date:
        """A calendar day (``2027-11-30``) of this century; raises ProblemError 422."""
        value = self.fields.get(name, "").strip()
        try:
            if len(value) == 10 and (day := date.fromisoformat(value)).year >= 2000:
                return day
            raise ValueError(value)
        except ValueError as error:
            raise ProblemError(
                422, "bad_input", f"{name}: no day", "Give the day as on the pack.", Wrong("day", name)
            ) from error

    def number(self, name: str, low: Decimal, high: Decimal, places: int = 0) -> Decimal:
        """A number as people write it (``8,5`` or ``8.5``) within bounds; raises ProblemError 422."""
        text = self.fields.get(name, "").strip().replace(",", ".").replace("−", "-")
        try:
            value = Decimal(text) if len(text) <= 12 else None
        except ArithmeticError:
            value = None
        if value is None or not value.is_finite() or not low <= value <= high or value != round(value, places):
            facts = {"low": low, "high": high}
            raise ProblemError(
                422,
                "bad_input",
                f"{name}: a number from {low} to {high}",
                "Correct the number and send again.",
                Wrong("number", name, facts),
            )
        return value

    @property
    def typed(self) -> dict[str, str]:
        """The fields that a person writes into, for the page of an error: nothing that was typed is lost.

        Those left empty too, for they may be what is missing; none where nothing at all was typed.
        """
        asked = {name: self.fields[name] for name in _TYPED if name in self.fields}
        return asked if any(asked.values()) else {}

    @property
    def chosen(self) -> dict[str, str]:
        """What a person chose, to go along when the rest is sent again."""
        return {name: self.fields[name] for name in _CHOSEN if self.fields.get(name)}


def need_form(right: Right) -> Callable[[Request], Awaitable[tuple[Visitor, Form]]]:
    """A dependency of page commands: the visitor, and the form once its CSRF token fits."""
    visitor = need_page(right)

    async def form(request: Request) -> tuple[Visitor, Form]:
        found = visitor(request)
        fields = await read_form(request)
        request.state.form = Form(fields)  # an error's page shows what was typed
        if not csrf_fits(found.csrf, fields.get(CSRF_FIELD)):
            raise ProblemError(403, "csrf", "the form's token is missing or wrong", "Open the page again and resend.")
        return found, Form(fields)

    return form


async def read_form(request: Request) -> dict[str, str]:
    """The text fields of a small form; files are refused."""
    async with request.form(max_files=0, max_fields=30) as data:
        return {key: value for key, value in data.items() if isinstance(value, str)}


# --- pages ----------------------------------------------------------------------------------------------------


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["badge"] = badge
    made.globals["wrong_text"] = wrong_text
    made.globals["badge_for"] = lambda shown: (
        badge(shown["kind"], shown["badge"]) if isinstance(shown, dict) else badge(shown.kind, shown.badge)
    )
    return made


@cache
def stylesheet() -> tuple[bytes, str]:
    """(bytes, address) of the one style sheet; the address changes with its content, so it may be kept for ever."""
    body = (_HERE / "static" / "style.css").read_bytes()
    return body, f"/static/style.css?v={hashlib.sha256(body).hexdigest()[:12]}"


def words_for(request: Request, person: Person | None) -> Words:
    """The language chosen by link, then by cookie, then of the account, then of the browser."""
    chosen = (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE))
    return Words(pick_language(*chosen, person.language if person else None, request.headers.get("accept-language")))


def page(
    request: Request,
    template: str,
    *,
    visitor: Visitor | None = None,
    site: Site | None = None,
    here: str = "",
    status: int = 200,
    **values: Any,
) -> HTMLResponse:
    """A rendered page in the visitor's language."""
    desk = desk_of(request)
    person = visitor.person if visitor else None
    words = words_for(request, person)
    csrf = values.pop("csrf", visitor.csrf if visitor else "")
    context: dict[str, Any] = {
        "w": words,
        "texts": catalogue(),
        "languages": LANGUAGES,
        "language_names": _LANGUAGE_NAMES,
        "language_path": request.url.path if request.method in _SAFE else "/",
        "language_query": _asked(request),
        "style_url": stylesheet()[1],
        "person": person,
        "csrf": csrf,
        "csrf_field": lambda: Markup('<input type="hidden" name="csrf" value="{}">').format(csrf),
        "can": _Can(person),
        "site": site,
        "here": here,
        "menu": _menu(desk, person, site),
        "done": _done(request),
        "state_badge": lambda state: badge(state.kind, words(f"state.{state.word}")),
    } | values
    response = HTMLResponse(_templates().get_template(template).render(context), status_code=status)
    if request.query_params.get("lang") in LANGUAGES:
        desk.gate.set_cookie(response, LANGUAGE_COOKIE, words.language, 365 * 86_400)
    return response


def _asked(request: Request) -> str:
    """What the page's address asks for, to go along when the language is changed; not what was just done."""
    if request.method not in _SAFE:
        return ""
    return urlencode([(k, v) for k, v in request.query_params.multi_items() if k not in ("lang", "done")])


class _Can:
    """``can.decide`` in templates: whether the person holds the right."""

    def __init__(self, person: Person | None) -> None:
        self._rights = RIGHTS[person.role] if person else frozenset()

    def __getattr__(self, name: str) -> bool:
        return Right(name) in self._rights


def _done(request: Request) -> str:
    """The word of what was just done, if it is one of ours (it comes from the address)."""
    word = request.query_params.get("done", "")
    return word if f"done.{word}" in catalogue() else ""


def _menu(desk: Desk, person: Person | None, site: Site | None) -> list[dict[str, Any]]:
    if person is None or site is None:
        return []
    waiting = len(desk.records.alarms(site.id, (AlarmState.OPEN,), limit=100))
    return [
        {"key": key, "href": f"/sites/{site.id}{path}", "count": waiting if key == "alarms" else 0}
        for key, path, right in _MENU
        if right in RIGHTS[person.role]
    ]


def back_to(path: str, done: str, **more: str) -> RedirectResponse:
    """After a form: see the page anew, with a word of what was done (so that a reload sends nothing twice)."""
    return RedirectResponse(f"{path}?{urlencode({'done': done, **more})}", status_code=303)


def own_path(address: str | None) -> str:
    """The path of an address if it is one of ours to go to, else "/"."""
    parts = urlsplit(address or "/")
    path = parts.path if parts.path.startswith("/") and not parts.path.startswith("//") else "/"
    return path if "\\" not in path else "/"
