"""What each level of the decree may do here: one table (facts/smile-and-waste.md 1.1 Table 1, requirement 16).

Operator  the phone's door: own site only; acknowledge, mark readings, scan, weigh, destroy; no reports, no web console.
Manager   own region: everything, release and discard included, and revoking a stolen edge; but no master data.
Admin     reads and reports; creates nothing.
Super     everything and the master data.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from telemetry.errors import SmileIotError


class Role(StrEnum):
    """The decree's four levels."""

    OPERATOR = "operator"
    MANAGER = "manager"
    ADMIN = "admin"
    SUPER_ADMIN = "super_admin"


class Right(StrEnum):
    """One thing a person may do; every route but health, log-in and its style sheet needs one."""

    LOOK = "look"  # site, equipment, chart, alarms, batches, weighings
    ACKNOWLEDGE = "acknowledge"  # answer an alarm
    WEIGH = "weigh"  # register a bag, tie a weighing to it
    CORRECT = "correct"  # tie a weighing to another bag than the one said first
    HANDLE = "handle"  # say where a batch stands, read its VVM
    MARK = "mark"  # mark readings as not to be counted, and take that back
    CALIBRATE = "calibrate"  # enter the correction of a sensor from its certificate
    DECIDE = "decide"  # release or discard a batch
    DESTROY = "destroy"  # a destruction under a BAST: list, bag, confirm, say when a bag was destroyed
    CLOSE = "close"  # enter the third party's report, close a destruction
    STOCK = "stock"  # create and change batches
    REPORT = "report"  # the web console: what SMILE got, ledger, quarantine, audit
    REPLAY = "replay"  # send a quarantined message through again
    REVOKE = "revoke"  # take an edge's keys and account away
    MASTER = "master"  # create and change sites, equipment, devices; invite edges
    PEOPLE = "people"  # accounts, levels, tokens


_PHONE = frozenset({Right.LOOK, Right.ACKNOWLEDGE, Right.WEIGH, Right.HANDLE, Right.MARK, Right.DESTROY})
RIGHTS: dict[Role, frozenset[Right]] = {
    Role.OPERATOR: _PHONE,
    Role.MANAGER: _PHONE
    | {
        Right.DECIDE,
        Right.STOCK,
        Right.REPORT,
        Right.REPLAY,
        Right.CORRECT,
        Right.REVOKE,
        Right.CALIBRATE,
        Right.CLOSE,
    },
    Role.ADMIN: frozenset({Right.LOOK, Right.REPORT}),
    Role.SUPER_ADMIN: frozenset(Right),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks: a person with a session, or a machine with a token. ``site``/``region`` bound operator, manager."""

    name: str
    role: Role
    site: str | None = None
    region: str | None = None
    language: str = "id"


class ForbiddenError(SmileIotError):
    """The person's level does not allow this; ``reason`` is role, site or region."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail, advice="Ask the manager of your region or the super admin.")
        self.reason = reason


def may(person: Person, right: Right) -> bool:
    """Whether the person's level holds the right (the place is checked by ``reaches``)."""
    return right in RIGHTS[person.role]


def reaches(person: Person, site_id: str, site_region: str) -> bool:
    """Whether the site is in reach: own site, own region (``papua`` holds ``papua.jayapura``), or everywhere."""
    match person.role:
        case Role.OPERATOR:
            return person.site is not None and person.site == site_id
        case Role.MANAGER:
            if person.region is None:
                return person.site is not None and person.site == site_id
            return site_region == person.region or site_region.startswith(f"{person.region}.")
        case Role.ADMIN | Role.SUPER_ADMIN:
            return True


def require(person: Person, right: Right) -> None:
    """Raise ForbiddenError("role") unless the person holds the right."""
    if not may(person, right):
        raise ForbiddenError("role", f"the level {person.role} may not {right}")


def require_reach(person: Person, site_id: str, site_region: str) -> None:
    """Raise ForbiddenError("site"|"region") unless the site is in the person's reach."""
    if not reaches(person, site_id, site_region):
        reason = "site" if person.role is Role.OPERATOR else "region"
        raise ForbiddenError(reason, f"{site_id} is outside the {reason} of {person.name}")
