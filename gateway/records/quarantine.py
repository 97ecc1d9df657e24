"""Messages that were not accepted: they wait, with their reason, until a person or a registration settles them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, insert, select

from gateway.records import tables
from gateway.records.errors import Code, Refused
from gateway.records.kinds import QUARANTINE
from gateway.records.model import Actor, QuarantineItem, QuarantineState
from gateway.records.part import Part, equal
from gateway.records.tx import Act, Tx

# What these were refused for is who spoke, not what was said: no person can sign in the edge's place.
NEVER_REPLAYED = frozenset({"no_mac", "bad_mac", "edge_revoked", "unknown_edge"})


def item_id(item: QuarantineItem) -> str:
    """The id of an item that has none: the same message for the same reason waits once."""
    parts = (*(t.encode("utf-8", "backslashreplace") for t in (item.topic, item.epoch, item.reason)), item.payload)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _readable(item: QuarantineItem) -> QuarantineItem:
    """The item with texts that any database takes (garbage must not be refused twice); its payload is as it came."""

    def clean(text: str) -> str:
        return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()

    texts: dict[str, Any] = {
        name: clean(getattr(item, name)) for name in ("site", "edge", "epoch", "topic", "reason", "detail")
    }
    return replace(item, **texts, serials=tuple(clean(s) for s in item.serials))


def waiting_ids(connection: Connection, serial: str) -> tuple[str, ...]:
    """Items that wait and speak of this serial, oldest first."""
    q, s = tables.quarantine, tables.quarantine_serials
    query = (
        select(q.c.id)
        .join(s, s.c.item == q.c.id)
        .where(s.c.serial == serial, q.c.state == QuarantineState.WAITING)
        .order_by(q.c.received_ms, q.c.id)
    )
    return tuple(connection.execute(query).scalars())


def _waiting(tx: Tx, item_id: str) -> QuarantineItem:
    tx.lock_site(tx.need(QUARANTINE, item_id).site)
    item = tx.need(QUARANTINE, item_id)
    if item.state != QuarantineState.WAITING:
        raise Refused(Code.NOT_WAITING, f"{item_id} is {item.state}")
    return item


def _may_be_replayed(item: QuarantineItem) -> None:
    if item.reason in NEVER_REPLAYED:
        raise Refused(
            Code.NOT_REPLAYABLE,
            f"nobody can say who made a message refused for {item.reason}",
            advice="the edge sends its facts anew, signed; put this one aside",
        )


class QuarantinePart(Part):
    """Putting aside is a machine's act and leaves no audit row; what becomes of an item does."""

    def quarantine(self, items: QuarantineItem | Sequence[QuarantineItem]) -> tuple[str, ...]:
        """Put messages aside; returns their ids. The same message again changes nothing."""
        given = [items] if isinstance(items, QuarantineItem) else list(items)
        ids = []
        with self._write() as tx:
            for item in given:
                row = QUARANTINE.row(_readable(replace(item, id=item.id or item_id(item))))
                ids.append(str(row["id"]))
                tx.lock_site(str(row["site"]))
                if tx.get(QUARANTINE, row["id"]) is not None:
                    continue
                tx.connection.execute(insert(tables.quarantine).values(row))
                serials = [{"item": row["id"], "serial": serial} for serial in sorted(set(row["serials"]))]
                if serials:
                    tx.connection.execute(insert(tables.quarantine_serials), serials)
        return tuple(ids)

    def quarantine_item(self, item_id: str) -> QuarantineItem:
        return self._need(QUARANTINE, item_id)

    def quarantine_items(
        self,
        site: str | None = None,
        state: QuarantineState | str | None = QuarantineState.WAITING,
        limit: int | None = None,
    ) -> list[QuarantineItem]:
        """Oldest first; ``state`` None: all."""
        c = QUARANTINE.table.c
        where = [*equal(QUARANTINE, site=site)]
        if state is not None:
            where.append(c.state == QuarantineState(state))
        return self._all(QUARANTINE, *where, order_by=(c.received_ms, c.id), limit=limit)

    def waiting_serials(self, reason: str) -> list[str]:
        """Serials that waiting items of this reason speak of; without reading the messages themselves."""
        q, s = tables.quarantine, tables.quarantine_serials
        query = (
            select(s.c.serial)
            .join(q, s.c.item == q.c.id)
            .where(q.c.state == QuarantineState.WAITING, q.c.reason == reason)
            .distinct()
            .order_by(s.c.serial)
        )
        with self._db.read() as connection:
            return [str(serial) for serial in connection.execute(query).scalars()]

    def refused_times(self, reasons: Collection[str], from_ms: int) -> list[tuple[str, str, int]]:
        """(serial, reason, received_ms) of what came from then on and was refused so, whatever became of it since.

        In that order, and without reading the messages themselves.
        """
        q, s = tables.quarantine, tables.quarantine_serials
        query = (
            select(s.c.serial, q.c.reason, q.c.received_ms)
            .join(q, s.c.item == q.c.id)
            .where(q.c.reason.in_(reasons), q.c.received_ms >= from_ms)
            .order_by(s.c.serial, q.c.reason, q.c.received_ms)
        )
        with self._db.read() as connection:
            return [(str(serial), str(reason), int(ms)) for serial, reason, ms in connection.execute(query)]

    def waiting_for(self, serial: str) -> list[QuarantineItem]:
        """What waits for this device to be registered, oldest first."""
        with self._db.read() as connection:
            return [self.quarantine_item(i) for i in waiting_ids(connection, serial)]

    def correct_quarantine(
        self, item_id: str, repair: str, topic: str, payload: bytes, actor: Actor, reason: str, at_ms: int
    ) -> QuarantineItem:
        """Keep a person's correction beside the original, which stays as it came. It waits on until it is asked for.

        ``repair`` says how it was made. Raises Refused(PERSON_REQUIRED, NOT_WAITING, NOT_REPLAYABLE, REASON_REQUIRED).
        """
        if actor.is_system:
            raise Refused(Code.PERSON_REQUIRED, "a message is corrected by a person", field="actor")
        with self._write() as tx:
            item = _waiting(tx, item_id)
            _may_be_replayed(item)
            made = replace(item, repair=repair, corrected_topic=topic, corrected=payload, asked_by="", asked_ms=None)
            tx.put(QUARANTINE, made, Act(actor, reason, at_ms), action="quarantine_corrected")
            return made

    def ask_replay(self, item_id: str, actor: Actor, reason: str, at_ms: int) -> QuarantineItem:
        """Keep who asked for a waiting item to go through, and why. The item waits on until ingest settles it.

        Raises Refused(PERSON_REQUIRED, NOT_WAITING, NOT_REPLAYABLE, REASON_REQUIRED).
        """
        if actor.is_system:
            raise Refused(Code.PERSON_REQUIRED, "a replay is asked for by a person", field="actor")
        with self._write() as tx:
            item = _waiting(tx, item_id)
            _may_be_replayed(item)
            asked = replace(item, asked_by=actor.name, asked_ms=at_ms)
            tx.put(QUARANTINE, asked, Act(actor, reason, at_ms), action="quarantine_replay_asked")
            return asked

    def asked_replays(self, limit: int = 100) -> list[QuarantineItem]:
        """What people asked to send through and ingest has not settled yet, oldest wish first."""
        c = QUARANTINE.table.c
        where = (c.state == QuarantineState.WAITING, c.asked_ms.is_not(None))
        return self._all(QUARANTINE, *where, order_by=(c.asked_ms, c.id), limit=limit)

    def replay_refused(
        self, item_id: str, why: str, detail: str, actor: Actor, at_ms: int, *, asked_ms: int | None
    ) -> QuarantineItem:
        """The check said no again: the item waits on with its new reason. ``asked_ms`` is of the wish that was tried: a
        newer wish, or an item settled meanwhile, is left alone.
        """
        with self._write() as tx:
            tx.lock_site(tx.need(QUARANTINE, item_id).site)
            item = tx.need(QUARANTINE, item_id)
            if item.state != QuarantineState.WAITING or item.asked_ms != asked_ms:
                return item
            again = _readable(replace(item, reason=why, detail=detail, asked_by="", asked_ms=None))
            tx.put(QUARANTINE, again, Act(actor, f"refused again: {why}", at_ms), action="quarantine_replay_refused")
            return again

    def settle_quarantine(
        self, item_id: str, state: QuarantineState | str, actor: Actor, reason: str, at_ms: int
    ) -> QuarantineItem:
        """Mark a waiting item replayed or discarded, with a reason; to discard takes a person."""
        state = QuarantineState(state)
        if state is QuarantineState.DISCARDED and actor.is_system:
            raise Refused(Code.PERSON_REQUIRED, "a message is discarded by a person", field="actor")
        with self._write() as tx:
            item = _waiting(tx, item_id)
            if state is QuarantineState.WAITING:
                raise Refused(Code.NOT_WAITING, f"{item_id} is {item.state}")
            settled = replace(item, state=state, asked_ms=None)
            tx.put(QUARANTINE, settled, Act(actor, reason, at_ms), action=f"quarantine_{state}")
            return settled
