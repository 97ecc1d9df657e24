"""Where batches stood, and what people read on their vials."""

from __future__ import annotations

from dataclasses import replace

from gateway.records.errors import Code, Refused
from gateway.records.kinds import BATCH, EQUIPMENT, PLACEMENT, VERDICT, VVM
from gateway.records.model import Actor, Batch, Decision, Placement, Role, VvmObservation, VvmStage
from gateway.records.part import Part, equal
from gateway.records.tx import Act, Tx

_MAY_CORRECT = frozenset({Role.MANAGER, Role.SUPER_ADMIN})


class PlacementsPart(Part):
    """A batch stands in at most one equipment at a time; its history is the union of its placements."""

    def add_placement(
        self,
        batch: str,
        equipment: str,
        from_ms: int,
        actor: Actor,
        reason: str,
        at_ms: int,
        to_ms: int | None = None,
    ) -> Placement:
        """Say that a batch stands (or stood, until ``to_ms``) somewhere. Refused when it stood elsewhere then,
        or was discarded.

        Saying the same again returns what is there.
        """
        with self._write() as tx:
            held = tx.need(BATCH, batch)
            tx.lock_site(held.site)
            return _place(tx, held, equipment, from_ms, to_ms, Act(actor, reason, at_ms))

    def move_batch(
        self, batch: str, equipment: str, moved_ms: int, actor: Actor, reason: str, at_ms: int
    ) -> Placement:
        """Close the open placement at ``moved_ms`` and open one in ``equipment``. Needs a reason.

        A discarded batch is refused: it may only leave (``end_placement``).
        """
        act = Act(actor, reason, at_ms)
        with self._write() as tx:
            held = tx.need(BATCH, batch)
            tx.lock_site(held.site)
            _close(tx, batch, moved_ms, act)
            return _place(tx, held, equipment, moved_ms, None, act, action="batch_moved")

    def end_placement(self, batch: str, to_ms: int, actor: Actor, reason: str, at_ms: int) -> Placement:
        """The batch left its equipment (used up, handed over). Needs a reason."""
        with self._write() as tx:
            held = tx.need(BATCH, batch)
            tx.lock_site(held.site)
            return _close(tx, batch, to_ms, Act(actor, reason, at_ms))

    def placements(
        self, batch: str | None = None, equipment: str | None = None, site: str | None = None
    ) -> list[Placement]:
        """Oldest first."""
        c = PLACEMENT.table.c
        where = equal(PLACEMENT, batch=batch, equipment=equipment, site=site)
        return self._all(PLACEMENT, *where, order_by=(c.from_ms, c.id))

    def observe_vvm(self, batch: str, stage: str, actor: Actor, reason: str, at_ms: int) -> VvmObservation:
        """Keep what a person saw on the vials at ``at_ms`` (cold-chain.md 22). Our processes see no vials.

        A VVM only darkens: a stage better than one read before was a misreading, then or now. It is refused
        (VVM_CANNOT_GO_BACK) unless a manager or super admin gives a reason; the worse reading stays on record, and
        the verdict names both. Of a discarded batch a better stage is refused to everybody (ALREADY_DISCARDED); its
        first reading or a darker one is kept, for SMILE books no discard without one.
        """
        if actor.is_system:
            raise Refused(Code.PERSON_REQUIRED, "a VVM is read by a person", field="actor")
        with self._write() as tx:
            held = tx.need(BATCH, batch)
            tx.lock_site(held.site)
            _refuse_better(tx, batch, stage, Act(actor, reason, at_ms))
            seen = VvmObservation(f"{batch}.vvm.{at_ms}", batch, stage, at_ms, actor.name, held.site)
            tx.put(VVM, seen, Act(actor, reason, at_ms), action="vvm_observed")
            return tx.need(VVM, seen.id)

    def vvm_observations(self, batch: str | None = None, site: str | None = None) -> list[VvmObservation]:
        """Oldest first."""
        c = VVM.table.c
        return self._all(VVM, *equal(VVM, batch=batch, site=site), order_by=(c.at_ms, c.id))


def _place(
    tx: Tx, batch: Batch, equipment: str, from_ms: int, to_ms: int | None, act: Act, action: str = "batch_placed"
) -> Placement:
    place = tx.need(EQUIPMENT, equipment)
    if place.site != batch.site:
        raise Refused(
            Code.WRONG_SITE, f"equipment {equipment} stands at {place.site}, batch {batch.id} belongs to {batch.site}"
        )
    if to_ms is not None and to_ms <= from_ms:
        raise Refused(Code.BAD_VALUE, f"to_ms {to_ms} is not after from_ms {from_ms}", field="to_ms")
    new = Placement(f"{batch.id}.at.{from_ms}", batch.id, equipment, from_ms, to_ms, act.actor.name, batch.site)
    for old in tx.all(PLACEMENT, PLACEMENT.table.c.batch == batch.id):
        if (old.equipment, old.from_ms, old.to_ms) == (equipment, from_ms, to_ms):
            return old
        if _overlap(old, new):
            until = "now" if old.to_ms is None else str(old.to_ms)
            raise Refused(
                Code.ALREADY_PLACED,
                f"batch {batch.id} stands in {old.equipment} from {old.from_ms} to {until}",
                advice="move the batch instead",
            )
    _refuse_discarded(tx, batch.id)
    tx.put(PLACEMENT, new, act, action=action)
    return new


def _refuse_discarded(tx: Tx, batch: str) -> None:
    c = VERDICT.table.c
    done = tx.all(VERDICT, c.batch == batch, c.decision == Decision.DISCARDED, limit=1)
    if done:
        raise Refused(
            Code.ALREADY_DISCARDED,
            f"batch {batch} was discarded by {done[0].decided_by}",
            advice="check the batch number; if the vials are still there, keep them apart and end their placement",
        )


def _refuse_better(tx: Tx, batch: str, stage: str, act: Act) -> None:
    """Stages are compared by their letter, A the best; one that is none is refused when it is kept."""
    c = VVM.table.c
    before = [v for v in tx.all(VVM, c.batch == batch) if v.at_ms <= act.at_ms]
    worst = max(before, key=lambda v: str(v.stage), default=None)
    if worst is None or stage not in set(VvmStage) or str(stage) >= str(worst.stage):
        return
    _refuse_discarded(tx, batch)
    if act.actor.role in _MAY_CORRECT and act.reason.strip():
        return
    raise Refused(
        Code.VVM_CANNOT_GO_BACK,
        f"{worst.by} read stage {worst.stage} before; stage {stage} would be better, and a VVM only darkens",
        field="stage",
        advice="look at several vials again; a misreading is corrected by a manager, with the reason",
    )


def _overlap(one: Placement, other: Placement) -> bool:
    return (one.to_ms is None or other.from_ms < one.to_ms) and (other.to_ms is None or one.from_ms < other.to_ms)


def _close(tx: Tx, batch: str, to_ms: int, act: Act) -> Placement:
    c = PLACEMENT.table.c
    open_ones = tx.all(PLACEMENT, c.batch == batch, c.to_ms.is_(None))
    if not open_ones:
        raise Refused(Code.NOT_PLACED, f"batch {batch} stands nowhere now", advice="place it first")
    placement = open_ones[0]
    if to_ms <= placement.from_ms:
        raise Refused(
            Code.BAD_VALUE, f"it came to {placement.equipment} at {placement.from_ms}, after {to_ms}", field="to_ms"
        )
    closed = replace(placement, to_ms=to_ms)
    tx.put(PLACEMENT, closed, act, action="placement_ended")
    return closed
