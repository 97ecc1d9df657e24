"""Limits over time: what a profile's id meant from when, and which profile watched which equipment (decision 0023).

A limit is changed by a named person with a reason (cold-chain.md 37), from now or a later date on, never back: the past is
judged by the limits that held then, and a changed row breaks the chain's verification like any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from gateway.records import tables
from gateway.records.errors import Code, Refused
from gateway.records.kinds import EQUIPMENT, PROFILE
from gateway.records.model import HOUSE, Actor, Change, ProfileVersion
from gateway.records.part import Part, equal
from gateway.records.tx import Act

ALERTS = Actor.system("alerts")
MOST_AHEAD_MS = 366 * 86_400_000
_KEPT = "as its file had it when it was first used"


class ProfilesPart(Part):
    """The versions of profiles, and the dates of assignments as the audit tells them."""

    def keep_profile(self, profile: str, version: str, body: Mapping[str, Any], at_ms: int) -> Change:
        """Keep what a file says of a profile that judges for the first time; it holds since ever.

        Where versions are kept already nothing changes: a file that says other numbers later is adopted by a person
        (``put_profile``), or the past would be judged by numbers that did not hold then.
        """
        with self._write() as tx:
            tx.lock_site(HOUSE)
            if tx.all(PROFILE, *equal(PROFILE, profile=profile), limit=1):
                return Change.UNCHANGED
            return tx.put(PROFILE, ProfileVersion(profile, 1, version, 0, dict(body)), Act(ALERTS, _KEPT, at_ms))

    def put_profile(
        self,
        profile: str,
        version: str,
        body: Mapping[str, Any],
        from_ms: int,
        actor: Actor,
        reason: str,
        at_ms: int,
        *,
        supersede: bool = False,
    ) -> ProfileVersion:
        """A named person changes limits, from a date on, with a reason.

        With ``supersede`` what was announced for this date or later and has not begun will not hold (a mistyped date is
        put right so); its row and its audit stay. Saying what stands again is no change.
        Raises Refused: PERSON_REQUIRED, REASON_REQUIRED; BAD_VALUE for a date in the past, more than ``MOST_AHEAD_MS``
        ahead, or not after that of a version that holds or is announced; ALREADY_REGISTERED for the name of a version
        that was used.
        ``keep_profile`` comes first: what held until now must be known.
        """
        if actor.is_system:
            raise Refused(Code.PERSON_REQUIRED, "limits are changed by a named person", field="actor")
        if not reason.strip():
            raise Refused(Code.REASON_REQUIRED, "say why the limits change", field="reason")
        with self._write() as tx:
            tx.lock_site(HOUSE)
            rows = tx.all(PROFILE, *equal(PROFILE, profile=profile))
            if not rows:
                raise Refused(Code.BAD_VALUE, f"what {profile} meant until now is not kept yet", field="profile")
            new = ProfileVersion(profile, len(rows) + 1, version.strip(), from_ms, dict(body))
            last = rows[-1]
            same = replace(new, number=last.number, version=last.version, from_ms=last.from_ms) == last
            if same and last.from_ms <= max(from_ms, at_ms):
                return last
            _check(new, rows, at_ms, supersede)
            tx.put(PROFILE, new, Act(actor, reason, at_ms), action="profile_changed", first_reason=True)
            return tx.need(PROFILE, profile, new.number)

    def profile_versions(self, profile: str | None = None) -> list[ProfileVersion]:
        """All versions (of one profile) that hold, held or will hold, by profile and date; none that was superseded."""
        return _in_force(self._all(PROFILE, *equal(PROFILE, profile=profile)))

    def assigned_profiles(self, audit_id: int | None = None) -> dict[str, list[tuple[int, str]]]:
        """Equipment -> (since when, profile id), oldest first, as the audit (up to ``audit_id``) tells it."""
        a = tables.audit
        query = select(a.c.at_ms, a.c.new).where(a.c.kind == EQUIPMENT.name, a.c.new.is_not(None)).order_by(a.c.id)
        if audit_id is not None:
            query = query.where(a.c.id <= audit_id)
        found: dict[str, list[tuple[int, str]]] = {}
        with self._db.read() as connection:
            for at_ms, text in connection.execute(query):
                row = json.loads(text)
                since = found.setdefault(row["id"], [])
                if not since or since[-1][1] != row["profile"]:
                    since.append((at_ms, row["profile"]))
        return found


def _check(new: ProfileVersion, rows: list[ProfileVersion], at_ms: int, supersede: bool) -> None:
    if not new.version:
        raise Refused(Code.BAD_VALUE, "the version has no name", field="version")
    if any(row.version == new.version for row in rows):
        raise Refused(Code.ALREADY_REGISTERED, f"{new.profile} {new.version} is known", field="version")
    if new.from_ms < at_ms:
        raise Refused(
            Code.BAD_VALUE, "limits are not dated back: the past is judged by those of then", field="from_ms"
        )
    if new.from_ms > at_ms + MOST_AHEAD_MS:
        raise Refused(Code.BAD_VALUE, "limits are dated at most a year ahead: is the year right?", field="from_ms")
    in_the_way = [row for row in _in_force(rows) if row.from_ms >= new.from_ms]
    if in_the_way and (in_the_way[0].from_ms <= at_ms or not supersede):
        raise Refused(
            Code.BAD_VALUE,
            f"{new.profile} {in_the_way[0].version} holds from then or a later date on",
            field="from_ms",
        )


def _in_force(rows: list[ProfileVersion]) -> list[ProfileVersion]:
    """Without what was superseded before it began: a version takes the place of those before it from its date on.

    A version that has begun is never superseded: a new one begins now or later (``_check``).
    """
    kept: dict[str, list[ProfileVersion]] = {}
    for row in sorted(rows, key=lambda r: (r.profile, r.number)):
        before = kept.setdefault(row.profile, [])
        while before and before[-1].from_ms >= row.from_ms:
            before.pop()
        before.append(row)
    return [row for found in kept.values() for row in found]
