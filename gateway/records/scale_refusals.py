"""What a scale would not weigh, as its edge told it: for the pages of who put the bag on it.

A refusal changes no record and nobody decides on it, so it has no audit row (decision 0036); the journal keeps the event
for ever. Here it is for ``KEPT_MS`` from when it was received, so that a scale that trembles all day fills nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, case, delete, func, insert, select

from gateway.records import tables
from gateway.records.model import ScaleRefusal
from gateway.records.part import Part, chunks
from gateway.records.tx import Kind

KEPT_MS = 90 * 86_400_000
_REFUSAL = Kind("scale_refusal", tables.scale_refusals, ScaleRefusal, ("id",), complete=False)

# A date after the receipt is wrong: it would stay on top of the list until it has come.
_C, _W = tables.scale_refusals.c, tables.weighings.c
_WHEN = case((_C.t_ms < _C.received_ms, _C.t_ms), else_=_C.received_ms)
_WEIGHED = case((_W.t_ms > _W.received_ms, _W.received_ms), else_=_W.t_ms)


class ScaleRefusalsPart(Part):
    """Kept once by id; only new ones are written."""

    def save_scale_refusals(self, refusals: Sequence[ScaleRefusal], at_ms: int) -> None:
        """Keep those that are not kept yet, and let go of what was received ``KEPT_MS`` before ``at_ms``.

        All or none; raises Refused (BAD_VALUE) where one cannot be held.
        """
        t = tables.scale_refusals
        fresh = {r.id: _REFUSAL.row(r) for r in refusals if r.received_ms > at_ms - KEPT_MS}
        if not fresh:
            return
        with self._write() as tx:
            tx.connection.execute(delete(t).where(t.c.received_ms <= at_ms - KEPT_MS))
            for ids in chunks(list(fresh)):
                known = set(tx.connection.execute(select(t.c.id).where(t.c.id.in_(ids))).scalars())
                rows = [fresh[i] for i in ids if i not in known]
                if rows:
                    tx.connection.execute(insert(t), rows)

    def scale_refusals(self, site: str, since_ms: int, limit: int) -> list[ScaleRefusal]:
        """Those of a site that happened since then (undated: that were received), newest first."""
        return self._all(
            _REFUSAL, _C.site == site, since_ms <= _WHEN, order_by=(_WHEN.desc(), _C.id.desc()), limit=limit
        )

    def last_weighed_ms(self, site: str) -> dict[str, int]:
        """Scale -> when it last captured a weight there; undated ones do not count: nobody knows when they were."""
        with self._db.read() as connection:
            return {row.device: row.weighed_ms for row in connection.execute(_last_weighed(site))}

    def unweighed_refusals(self, site: str, since_ms: int) -> int:
        """How many happened at a site since then after which their scale captured no weight there."""
        last = _last_weighed(site).subquery()
        query = (
            select(func.count())
            .select_from(tables.scale_refusals.outerjoin(last, last.c.device == _C.device))
            .where(_C.site == site, since_ms <= _WHEN, func.coalesce(last.c.weighed_ms, 0) < _WHEN)
        )
        with self._db.read() as connection:
            return connection.execute(query).scalar_one()

    def scale_refusal_counts(self, site: str, since_ms: int) -> dict[str, dict[str, int]]:
        """Scale -> reason -> how many happened at a site since then, scales and reasons in order."""
        t = tables.scale_refusals
        query = (
            select(t.c.device, t.c.reason, func.count().label("n"))
            .where(t.c.site == site, since_ms <= _WHEN)
            .group_by(t.c.device, t.c.reason)
            .order_by(t.c.device, t.c.reason)
        )
        found: dict[str, dict[str, int]] = {}
        with self._db.read() as connection:
            for row in connection.execute(query):
                found.setdefault(row.device, {})[row.reason] = row.n
        return found


def _last_weighed(site: str) -> Select[tuple[str, int]]:
    """(scale, time of its newest dated weighing at a site)."""
    return (
        select(_W.device, func.max(_WEIGHED).label("weighed_ms"))
        .where(_W.site == site, _W.t_ms.is_not(None))
        .group_by(_W.device)
    )
