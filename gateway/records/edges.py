"""Which Pi may speak for which edge: invited by a person with a one-time code, enrolled by it, revoked by a person.

    invite ──▶ invited ──code──▶ enrolled ──▶ revoked ──invite──▶ invited ...
                                  │    ▲
                                  └────┘ invite and code again: new secrets; the same machine's old key lives on a week

Each of these leaves an audit row, in which secrets show as a digest only. Codes and their tries are kept beside it,
as sessions are. Why a key that both sides know, and what protects it here: ``docs/decisions/0019-...``.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from sqlalchemy import delete, func, insert, select, update

from gateway.records import tables
from gateway.records.checks import check_id
from gateway.records.codes import InviteCode, new_code, read_code
from gateway.records.errors import Code, Refused, UnknownRecord
from gateway.records.kinds import EDGE, SITE
from gateway.records.model import Actor, Edge, EdgeState, Enrolment
from gateway.records.part import Part, equal
from gateway.records.tx import Act, Tx

_DAY_MS = 86_400_000
CODE_LIFE_MS = 7 * _DAY_MS
KEY_OVERLAP_MS = 7 * _DAY_MS
"""So long an old key of the same machine is good: what it signed may lie in a broker's queue."""
REPEAT_MS = 15 * 60_000
"""So long a machine may repeat the code it used: the answer may have been lost on the way."""
MAX_TRIES = 10
KEY_BYTES = 32
_ENROLMENT = Actor.system("enrolment")
_NOBODYS = new_code().digest


@dataclass(frozen=True, slots=True)
class _Open:
    """A code as it is kept."""

    id: str
    site: str
    edge: str
    digest: str
    expires_ms: int
    tries: int
    used_ms: int | None
    machine: str


class EdgesPart(Part):
    """Enrolment and revocation of edges."""

    def invite_edge(
        self, site: str, edge: str, actor: Actor, reason: str, at_ms: int, *, life_ms: int = CODE_LIFE_MS
    ) -> InviteCode:
        """A new one-time code for this edge; an older one is void. What is enrolled goes on until the code is used.

        Raises UnknownRecord for the site; Refused(PERSON_REQUIRED, ACCOUNT_TAKEN, BAD_VALUE), and REASON_REQUIRED where
        the edge was there before.
        """
        _by_person(actor)
        check_id("edge", edge)
        with self._write() as tx:
            place = tx.need(SITE, site)
            tx.lock_site(site)
            old = tx.get(EDGE, site, edge)
            _account_free(tx, site, edge)
            code = _fresh_code(tx)
            expires_ms = at_ms + life_ms
            if old is None:
                new = Edge(site, edge, place.shard, EdgeState.INVITED, account_of(site, edge), actor.name, at_ms)
            elif old.state == EdgeState.ENROLLED:
                new = old
            else:
                new = replace(old, state=EdgeState.INVITED, said_by=actor.name, since_ms=at_ms)
            new = replace(new, shard=place.shard, code_id=code.id, code_expires_ms=expires_ms)
            tx.put(EDGE, new, Act(actor, reason, at_ms), action="edge_invited")
            _forget_codes(tx, site, edge)
            row = _Open(code.id, site, edge, code.digest, expires_ms, 0, None, "")
            tx.connection.execute(insert(tables.edge_codes).values({n: getattr(row, n) for n in _Open.__slots__}))
            return code

    def enrol_edge(self, code: str, machine: str, at_ms: int, *, password_hash: str) -> Enrolment:
        """Use a code up: the edge gets a new upload key, and ``password_hash`` becomes its account's at the broker.

        ``machine`` names the Pi (a hash of its own number). The machine that used the code may repeat it for
        ``REPEAT_MS``: it gets the same key, and the new password counts. Raises Refused: CODE_REFUSED (unknown, wrong, or
        tried too often), CODE_EXPIRED, CODE_USED, BAD_VALUE. The same work is done for each.
        """
        check_id("machine", machine)
        given = read_code(code)
        with self._write() as tx:
            answer = _enrol(tx, given, machine, at_ms, password_hash)
        if isinstance(answer, Refused):  # outside: a wrong try must stay counted
            raise answer
        return answer

    def revoke_edge(self, site: str, edge: str, actor: Actor, reason: str, at_ms: int) -> Edge:
        """Take its keys, its account and its open code away. Raises UnknownRecord, Refused(ALREADY_REVOKED, ...)."""
        _by_person(actor)
        with self._write() as tx:
            tx.lock_site(site)
            old = tx.need(EDGE, site, edge)
            if old.state == EdgeState.REVOKED:
                raise Refused(Code.ALREADY_REVOKED, f"edge {site}/{edge} is revoked already")
            new = replace(
                old,
                state=EdgeState.REVOKED,
                said_by=actor.name,
                since_ms=at_ms,
                code_expires_ms=None,
                upload_key=None,
                previous_key=None,
                previous_until_ms=None,
                password_hash="",
            )
            tx.put(EDGE, new, Act(actor, reason, at_ms), action="edge_revoked")
            _forget_codes(tx, site, edge)
            return new

    def find_edge(self, site: str, edge: str) -> Edge | None:
        """The edge, or None where nobody ever invited it."""
        return self._get(EDGE, site, edge)

    def edges(self, site: str | None = None) -> list[Edge]:
        return self._all(EDGE, *equal(EDGE, site=site))

    def edges_version(self) -> int:
        """Rises with every change of an edge; one cheap query."""
        audit = tables.audit
        with self._db.read() as connection:
            query = select(func.max(audit.c.id)).where(audit.c.kind == EDGE.name)
            return connection.execute(query).scalar() or 0


def account_of(site: str, edge: str) -> str:
    """The edge's account at the broker."""
    return f"{site}.{edge}"


def _by_person(actor: Actor) -> None:
    if actor.is_system:
        raise Refused(Code.PERSON_REQUIRED, "an edge is invited and revoked by a person", field="actor")


def _account_free(tx: Tx, site: str, edge: str) -> None:
    """``PKM.1`` with ``E1`` and ``PKM`` with ``1.E1`` would be one account."""
    account = account_of(site, edge)
    for other in tx.all(EDGE, EDGE.table.c.account == account):
        if (other.site, other.edge) != (site, edge):
            raise Refused(
                Code.ACCOUNT_TAKEN, f"account {account} belongs to edge {other.edge} of {other.site}", field="edge"
            )


def _fresh_code(tx: Tx) -> InviteCode:
    """A code whose public part names no other one that is kept."""
    ids = tables.edge_codes.c.id
    while True:
        code = new_code()
        if tx.connection.execute(select(ids).where(ids == code.id)).one_or_none() is None:
            return code


def _forget_codes(tx: Tx, site: str, edge: str) -> None:
    c = tables.edge_codes
    tx.connection.execute(delete(c).where(c.c.site == site, c.c.edge == edge))


def _find(tx: Tx, code_id: str) -> _Open | None:
    c = tables.edge_codes
    row = tx.connection.execute(select(c).where(c.c.id == code_id)).mappings().one_or_none()
    return None if row is None else _Open(**row)


def _enrol(tx: Tx, given: InviteCode | None, machine: str, at_ms: int, password_hash: str) -> Enrolment | Refused:
    known = _find(tx, given.id) if given else None
    if known is not None and given is not None:
        tx.lock_site(known.site)
        known = _find(tx, given.id)  # as it is now that nobody else can use it
    fits = (given or new_code()).fits(known.digest if known else _NOBODYS)
    if known is None or not fits or known.tries >= MAX_TRIES:
        if known is not None and not fits:
            _count_try(tx, known)
        return Refused(
            Code.CODE_REFUSED, "this code is not known here", advice="check each sign, or ask for a new one"
        )
    again = known.used_ms is not None
    if known.used_ms is not None and (known.machine != machine or not 0 <= at_ms - known.used_ms <= REPEAT_MS):
        return Refused(Code.CODE_USED, "this code was used already", advice="ask for a new code")
    if not again and at_ms > known.expires_ms:
        return Refused(Code.CODE_EXPIRED, "this code is too old", advice="ask for a new code")
    old = tx.get(EDGE, known.site, known.edge)
    if old is None:
        raise UnknownRecord("edge", f"{known.site}/{known.edge}")
    new = replace(old if again else _with_new_key(old, machine, at_ms), password_hash=password_hash)
    why = f"one-time code {known.id} {'repeated' if again else 'used'} by machine {machine}"
    tx.put(EDGE, new, Act(_ENROLMENT, why, at_ms), action="edge_enrolled")
    if not again:
        _use_up(tx, known, machine, at_ms)
    return Enrolment(new, again)


def _with_new_key(old: Edge, machine: str, at_ms: int) -> Edge:
    """Enrolled with a new key. The old one lives on for a while only in the same machine: another one replaces it."""
    stays = old.state == EdgeState.ENROLLED and old.machine == machine
    return replace(
        old,
        state=EdgeState.ENROLLED,
        said_by=_ENROLMENT.name,
        since_ms=at_ms,
        machine=machine,
        enrolled_ms=at_ms,
        code_expires_ms=None,
        upload_key=secrets.token_bytes(KEY_BYTES),
        previous_key=old.upload_key if stays else None,
        previous_until_ms=at_ms + KEY_OVERLAP_MS if stays else None,
    )


def _count_try(tx: Tx, known: _Open) -> None:
    c = tables.edge_codes
    tx.connection.execute(update(c).where(c.c.id == known.id).values(tries=c.c.tries + 1))


def _use_up(tx: Tx, known: _Open, machine: str, at_ms: int) -> None:
    c = tables.edge_codes
    tx.connection.execute(update(c).where(c.c.id == known.id).values(used_ms=at_ms, machine=machine))
