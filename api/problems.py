"""Errors as people and machines get them: ``application/problem+json`` (RFC 9457) or a page, each with advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong, for a page: the text ``wrong.{rule}`` with the field's name (``field.{name}``) and the facts."""

    rule: str
    name: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


class ProblemError(Exception):
    """An answer that is an error: ``status``, a stable ``reason`` word, a sentence, and what to do about it.

    ``retry_after_s``: the same call may succeed after so long.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        advice: str = "",
        wrong: Wrong | None = None,
        *,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.reason, self.detail, self.advice = status, reason, detail, advice
        self.wrong, self.retry_after_s = wrong, retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """What HTTP says beside it."""
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        return headers if self.retry_after_s is None else headers | {"Retry-After": str(self.retry_after_s)}


@dataclass(frozen=True, slots=True)
class ProblemBody:
    """The JSON form. ``again`` says whether the same call may succeed later without a change."""

    status: int
    reason: str
    detail: str
    advice: str = ""
    again: bool = False
    fields: list[dict[str, str]] = field(default_factory=list)
    wrong: Wrong | None = None  # said on pages only


def not_found(what: str, key: object) -> ProblemError:
    """404 for a thing that is not there."""
    return ProblemError(404, "not_found", f"no {what} {str(key)[:80]!r}", "Check the address or go back to the list.")


def as_json(body: ProblemBody, headers: dict[str, str] | None = None) -> JSONResponse:
    """The problem as a response."""
    content = {
        "type": "about:blank",
        "title": body.reason.replace("_", " "),
        "status": body.status,
        "reason": body.reason,
        "detail": body.detail,
        "advice": body.advice,
        "again": body.again,
    }
    if body.fields:
        content["fields"] = body.fields
    return JSONResponse(content, status_code=body.status, media_type=MEDIA_TYPE, headers=headers)
