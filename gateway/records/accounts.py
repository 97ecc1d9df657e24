"""People, their log-ins, and what they were told."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import delete, insert, select, update

from gateway.records import tables
from gateway.records.checks import check_user
from gateway.records.errors import Code, Refused, UnknownRecord
from gateway.records.kinds import SITE, USER
from gateway.records.model import (
    Actor,
    Change,
    FindingKind,
    Notification,
    NotificationState,
    Role,
    Session,
    SessionKind,
    User,
)
from gateway.records.part import Part, equal
from gateway.records.tx import Act


def token_digest(token: str) -> str:
    """What is stored of a token. A plain sha256 will do: tokens are long and random, unlike passwords."""
    return hashlib.sha256(token.encode()).hexdigest()


class AccountsPart(Part):
    """Users, sessions and tokens, notifications."""

    def upsert_user(self, user: User, actor: Actor, reason: str, at_ms: int) -> Change:
        """Create or change a user. Nobody changes their own role (smile-and-waste.md 16); raises Refused."""
        check_user(user)
        with self._write() as tx:
            if user.site is not None:
                tx.need(SITE, user.site)
            old = tx.get(USER, user.name)
            if old is not None and old.role != user.role and actor.name == user.name:
                raise Refused(Code.OWN_ROLE, f"{user.name} cannot change their own role", field="role")
            change = tx.put(USER, user, Act(actor, reason, at_ms))
            if change is Change.CHANGED and old is not None and (not user.active or old.role != user.role):
                tx.connection.execute(delete(tables.sessions).where(tables.sessions.c.user == user.name))
            return change

    def user(self, name: str) -> User:
        return self._need(USER, name)

    def find_user(self, name: str) -> User | None:
        return self._get(USER, name)

    def users(self, site: str | None = None, role: Role | str | None = None) -> list[User]:
        return self._all(USER, *equal(USER, site=site, role=None if role is None else Role(role)))

    def people_to_tell(self, site: str) -> list[User]:
        """Active users with contacts who are responsible for this site: of the site, or of its region."""
        with self._db.read():
            place = self._need(SITE, site)
            return [
                u
                for u in self._all(USER)
                if u.active and u.contacts and (u.site == site or (u.site is None and u.region == place.region))
            ]

    # --- a change of role takes two ---

    def propose_role(self, user: str, role: Role | str, actor: Actor, reason: str, at_ms: int) -> None:
        """The first administrator's half of a change of role (smile-and-waste.md 16)."""
        if not reason.strip():
            raise Refused(Code.REASON_REQUIRED, "say why", field="reason")
        p = tables.role_proposals
        with self._write() as tx:
            tx.need(USER, user)
            tx.connection.execute(delete(p).where(p.c.user == user))
            row = {"user": user, "role": Role(role), "proposed_by": actor.name, "at_ms": at_ms, "reason": reason}
            tx.connection.execute(insert(p).values(row))

    def confirm_role(self, user: str, actor: Actor, at_ms: int) -> User:
        """The second administrator's half: another person than who proposed, and than who gets the role."""
        p = tables.role_proposals
        with self._write() as tx:
            proposed = tx.connection.execute(select(p).where(p.c.user == user)).one_or_none()
            if proposed is None:
                raise UnknownRecord("role proposal", user)
            if actor.name in (proposed.proposed_by, user):
                raise Refused(Code.OWN_ROLE, "a second person confirms a change of role", field="actor")
            old = tx.need(USER, user)
            new = replace(old, role=proposed.role)
            check_user(new)
            reason = f"{proposed.reason} (proposed by {proposed.proposed_by})"
            tx.put(USER, new, Act(actor, reason, at_ms), action="user_role_changed")
            tx.connection.execute(delete(p).where(p.c.user == user))
            tx.connection.execute(delete(tables.sessions).where(tables.sessions.c.user == user))
            return new

    # --- sessions and tokens ---

    def open_session(
        self,
        user: str,
        token: str,
        now_ms: int,
        expires_ms: int,
        kind: SessionKind | str = SessionKind.SESSION,
        label: str = "",
    ) -> Session:
        """Keep a log-in or an API token; the token itself is not stored."""
        session = Session(token_digest(token), user, SessionKind(kind), now_ms, expires_ms, label)
        with self._write() as tx:
            tx.need(USER, user)
            tx.connection.execute(insert(tables.sessions).values({n: getattr(session, n) for n in _SESSION}))
        return session

    def session_user(self, token: str, now_ms: int) -> User | None:
        """The active user whose token this is, or None (unknown, expired, switched off)."""
        s = tables.sessions
        with self._db.read() as connection:
            query = select(s.c.user).where(s.c.token_hash == token_digest(token), s.c.expires_ms > now_ms)
            name = connection.execute(query).scalar()
            user = None if name is None else self._get(USER, name)
        return user if user is not None and user.active else None

    def close_session(self, token: str) -> None:
        with self._write() as tx:
            tx.connection.execute(delete(tables.sessions).where(tables.sessions.c.token_hash == token_digest(token)))

    def sessions(self, user: str) -> list[Session]:
        s = tables.sessions
        query = select(s).where(s.c.user == user).order_by(s.c.created_ms, s.c.token_hash)
        with self._db.read() as connection:
            return [Session(**row) for row in connection.execute(query).mappings()]

    def forget_sessions(self, now_ms: int) -> int:
        """Drop what has expired; how many."""
        with self._write() as tx:
            gone = tx.connection.execute(delete(tables.sessions).where(tables.sessions.c.expires_ms <= now_ms))
            return int(gone.rowcount)

    # --- notifications ---

    def claim_notification(
        self, finding: str, person: str, channel: str, at_ms: int, *, again_after_ms: int = 300_000
    ) -> bool:
        """True when the caller is the one to tell this person of this finding on this channel now.

        Claim, send, then ``notification_done``. What was sent is never claimed again; what failed, or was claimed by
        a process that died, is after ``again_after_ms``. ``channel`` is a name, never the URL with its secret.
        """
        n = tables.notifications
        here = (n.c.finding == finding, n.c.person == person, n.c.channel == channel)
        with self._write() as tx:
            if tx.postgresql:
                tx.lock_site(f"notify {finding}")
            old = tx.connection.execute(select(n).where(*here)).one_or_none()
            if old is None:
                key = {"finding": finding, "person": person, "channel": channel}
                row = key | {"state": NotificationState.CLAIMED, "at_ms": at_ms, "attempts": 1, "detail": ""}
                tx.connection.execute(insert(n).values(row))
                return True
            if old.state == NotificationState.SENT or at_ms - old.at_ms < again_after_ms:
                return False
            again = {"state": NotificationState.CLAIMED, "at_ms": at_ms, "attempts": old.attempts + 1}
            tx.connection.execute(update(n).where(*here).values(again))
            return True

    def notification_done(
        self, finding: str, person: str, channel: str, sent: bool, at_ms: int, detail: str = ""
    ) -> None:
        """Note that the claimed notification was sent, or failed."""
        n = tables.notifications
        here = (n.c.finding == finding, n.c.person == person, n.c.channel == channel)
        state = NotificationState.SENT if sent else NotificationState.FAILED
        with self._write() as tx:
            tx.connection.execute(update(n).where(*here).values(state=state, at_ms=at_ms, detail=detail))

    def told_and_withdrawn(self, after_ms: int) -> list[Notification]:
        """What was sent since then of alarms whose finding is withdrawn now, and not taken back by a message yet.

        A message that takes back has the channel of the first one with ``@taken_back``.
        """
        n, f, later = tables.notifications, tables.findings, tables.notifications.alias("later")
        taken_back = (
            select(later.c.finding)
            .where(later.c.finding == n.c.finding, later.c.person == n.c.person)
            .where(later.c.state == NotificationState.SENT, later.c.channel.endswith("@taken_back"))
            .where(later.c.at_ms >= n.c.at_ms)
        )
        query = (
            select(n)
            .join(f, f.c.id == n.c.finding)
            .where(n.c.state == NotificationState.SENT, n.c.at_ms >= after_ms, f.c.kind == FindingKind.WITHDRAWN)
            .where(~n.c.channel.endswith("@taken_back"), ~taken_back.exists())
            .order_by(n.c.at_ms, n.c.finding, n.c.person, n.c.channel)
        )
        with self._db.read() as connection:
            return [Notification(**row) for row in connection.execute(query).mappings()]

    def notifications(self, finding: str | None = None, person: str | None = None) -> list[Notification]:
        n = tables.notifications
        query = select(n).order_by(n.c.at_ms, n.c.finding, n.c.person, n.c.channel)
        if finding is not None:
            query = query.where(n.c.finding == finding)
        if person is not None:
            query = query.where(n.c.person == person)
        with self._db.read() as connection:
            return [Notification(**row) for row in connection.execute(query).mappings()]


_SESSION: Sequence[str] = ("token_hash", "user", "kind", "created_ms", "expires_ms", "label")
