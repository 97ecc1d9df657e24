"""Destructions of discarded vaccines: what the BAST lists, what went into bags, was weighed and destroyed (37).

Each step is one audited command of a named person. Closing asks ``gateway.records.destruction.problems`` under the site's lock,
so that nothing is closed while a vial, a weight, a confirmation or the third party's own report is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from gateway.records import tables
from gateway.records.destruction import Case, Filled, Line, Problem, Stock, problems, stock_vials
from gateway.records.errors import Code, Refused
from gateway.records.kinds import BAG, BATCH, DESTRUCTION, DESTRUCTION_BAG, SITE, USER, VERDICT, WEIGHING
from gateway.records.model import Actor, AuditRow, Bag, Batch, Decision, Destruction, DestructionBag, VerdictState
from gateway.records.part import Part, equal
from gateway.records.tx import Act, Kind, Tx, fetch, need

VACCINE_WASTE = ("expired_vaccine", "used_vial")
"""Classes of bag that vials of a BAST go into: A337-2 brown unopened, A337-1 yellow used (smile-and-waste.md 27)."""
MOST_VIALS = 1_000_000
_BAST_SIGNS = 64  # SMILE keeps as many (smile-core-api.md 6.2)


class DestructionsPart(Part):
    """A bag belongs to one destruction, and carries its BAST number to SMILE."""

    def open_destruction(
        self, site: str, bast_no: str, third_party: str, actor: Actor, reason: str, at_ms: int
    ) -> Destruction:
        """Begin a destruction; ``third_party`` "": the facility destroys by itself. Raises Refused (BAST_TAKEN ...)."""
        bast_no, third_party = bast_no.strip(), third_party.strip()
        if not 1 <= len(bast_no) <= _BAST_SIGNS:
            raise Refused(Code.BAD_VALUE, f"a BAST number has 1 to {_BAST_SIGNS} signs", field="bast_no")
        with self._write() as tx:
            tx.need(SITE, site)
            tx.lock_site(site)
            there = tx.all(DESTRUCTION, *equal(DESTRUCTION, site=site))
            if any(d.bast_no == bast_no for d in there):
                raise Refused(Code.BAST_TAKEN, f"BAST {bast_no} is there already", field="bast_no")
            act = _act(actor, reason or "vaccines to destroy", at_ms)
            new = Destruction(_free_id(tx, site, len(there)), site, bast_no, third_party, actor.name, at_ms)
            tx.put(DESTRUCTION, new, act, action="destruction_opened")
            return new

    def list_vials(
        self, destruction: str, batch: str, vials: int, actor: Actor, reason: str, at_ms: int
    ) -> Destruction:
        """How many vials of a batch the BAST lists (0: none, the line goes).

        More than before take a confirmation back, as ``put_vials`` says. Raises Refused: MORE_THAN_STOCK where all
        destructions of the site, closed ones too, would list more vials of the batch than it ever had.
        """
        with self._write() as tx:
            case = _open_case(tx, destruction)
            found, lines = _batch_of(tx, case.site, batch), _counted(case.lines, batch, vials)
            more = vials > case.lines.get(batch, 0)
            if more:
                _in_stock(tx, case, found, vials)
            act = _act(actor, reason or "as the BAST lists it", at_ms)
            listed = _changed(tx, replace(case, lines=lines), act, "destruction_listed")
            return _unconfirmed(tx, listed, act) if more else listed

    def put_vials(
        self, destruction: str, bag: str, batch: str, vials: int, actor: Actor, reason: str, at_ms: int
    ) -> DestructionBag:
        """How many vials of a batch are in a bag (0: none). The bag then carries the BAST number and SMILE's materials.

        More vials than before take a confirmation back that they were made unusable: nobody has said so of these. A bag
        that is emptied before it was destroyed is free again for any BAST. Nothing goes into a destroyed bag: a count is
        then a correction, says why, and is never above what the bag held when it was destroyed.
        Raises Refused: OTHER_BAST, CLASS_DISAGREES, ALREADY_DESTROYED.
        """
        with self._write() as tx:
            case = _open_case(tx, destruction)
            held = tx.need(BAG, case.site, bag)
            _batch_of(tx, case.site, batch)
            old = tx.get(DESTRUCTION_BAG, case.site, bag)
            if old is not None and _is_free(old):
                old = None
            _fits(held, case, old)
            now = old or DestructionBag(case.site, bag, case.id, {})
            if now.destroyed_ms is not None:
                _only_corrects(tx, now, batch, vials, reason)
            act = _act(actor, reason or "vials put into the bag", at_ms)
            new = replace(now, vials=_counted(now.vials, batch, vials))
            tx.put(DESTRUCTION_BAG, new, act, action="destruction_filled")
            if _is_free(new):
                tx.put(BAG, _unlabelled(tx, held, now), act, action="destruction_bag_freed")
            else:
                tx.put(BAG, _labelled(tx, held, case, now, new), act)
            if now.destroyed_ms is None and vials > now.vials.get(batch, 0):  # what was destroyed had been confirmed
                _unconfirmed(tx, case, act)
            return new

    def confirm_damaged(
        self, destruction: str, actor: Actor, reason: str, at_ms: int, damaged_ms: int | None = None
    ) -> Destruction:
        """A person says that vials or labels were made unusable before they leave, how (``reason``) and when (None: now).

        Said again, the first confirmation stands.
        """
        _said(reason)
        with self._write() as tx:
            case = _open_case(tx, destruction)
            if case.damaged_by:
                return case
            if damaged_ms is not None and damaged_ms > at_ms:
                raise Refused(
                    Code.BAD_VALUE, "it was not made unusable in the future", field="damaged_ms", rule="to_come"
                )
            confirmed = replace(case, damaged_by=actor.name, damaged_ms=at_ms if damaged_ms is None else damaged_ms)
            return _changed(tx, confirmed, _act(actor, reason, at_ms), "destruction_damaged")

    def bag_destroyed(
        self, destruction: str, bag: str, destroyed_ms: int, actor: Actor, reason: str, at_ms: int
    ) -> DestructionBag:
        """A person says when a bag was destroyed. It was weighed before, and confirmed before that its vials were unusable."""
        _said(reason)
        with self._write() as tx:
            case = _open_case(tx, destruction)
            held = tx.need(DESTRUCTION_BAG, case.site, bag)
            if held.destruction != case.id:
                raise Refused(Code.OTHER_BAST, f"bag {bag} belongs to {held.destruction}", field="bag")
            if held.destroyed_ms is not None:
                raise Refused(Code.ALREADY_DESTROYED, f"{held.destroyed_by} said so of bag {bag}", field="bag")
            if not case.damaged_by:
                raise Refused(Code.NOT_DAMAGED, "vials or labels are made unusable before they leave", field="bag")
            weighed = tx.all(WEIGHING, *equal(WEIGHING, site=case.site, bag=bag))
            if not weighed:
                raise Refused(Code.NOT_WEIGHED, f"bag {bag} has no weight, and cannot be weighed later", field="bag")
            if not max(weighed[0].t_ms or 0, case.damaged_ms or 0) <= destroyed_ms <= at_ms:
                raise Refused(
                    Code.BAD_VALUE,
                    "it was destroyed after it was weighed and confirmed unusable, and not in the future",
                    field="destroyed_ms",
                    rule="not_in_order",
                )
            new = replace(held, destroyed_ms=destroyed_ms, destroyed_by=actor.name)
            tx.put(DESTRUCTION_BAG, new, _act(actor, reason, at_ms), action="destruction_bag_destroyed")
            return new

    def third_party_report(
        self, destruction: str, report_no: str, signed_by: str, actor: Actor, reason: str, at_ms: int
    ) -> Destruction:
        """The third party's own report: its number, and who signed it there.

        Nobody who belongs to the facility enters it (NOT_ALONE, BAB II.C.6); who else may is the api's question.
        """
        _said(report_no, "report_no")
        _said(signed_by, "report_signed_by")
        with self._write() as tx:
            case = _open_case(tx, destruction)
            if not case.third_party:
                raise Refused(Code.NO_THIRD_PARTY, "the facility destroys by itself", field="report_no")
            _not_alone(tx, case, actor)
            reported = replace(
                case,
                report_no=report_no.strip(),
                report_signed_by=signed_by.strip(),
                report_entered_by=actor.name,
                report_ms=at_ms,
            )
            act = _act(actor, reason or "the report came", at_ms)
            return _changed(tx, reported, act, "destruction_reported")

    def close_destruction(self, destruction: str, actor: Actor, reason: str, at_ms: int) -> Destruction:
        """Close it; raises Refused: NOT_COMPLETE while ``destruction_problems`` has any.

        NOT_ALONE: where a third party destroys, nobody who belongs to the facility closes it (BAB II.C.6).
        """
        _said(reason)
        act = _act(actor, reason, at_ms)
        with self._write() as tx:
            case = _open_case(tx, destruction)
            _not_alone(tx, case, actor)
            missing = problems(_case(tx.connection, case))
            if missing:
                says = "; ".join(f"{p.why} {p.subject} {p.count or ''}".strip() for p in missing)
                raise Refused(Code.NOT_COMPLETE, says[:500])
            closed = replace(case, closed_by=actor.name, closed_ms=at_ms)
            return _changed(tx, closed, act, "destruction_closed")

    def destruction(self, destruction: str) -> Destruction:
        return self._need(DESTRUCTION, destruction)

    def destructions(self, site: str) -> list[Destruction]:
        """Of a site, the newest first."""
        c = DESTRUCTION.table.c
        return self._all(DESTRUCTION, *equal(DESTRUCTION, site=site), order_by=(c.opened_ms.desc(), c.id.desc()))

    def destruction_bags(self, destruction: str) -> list[DestructionBag]:
        return self._all(DESTRUCTION_BAG, *equal(DESTRUCTION_BAG, destruction=destruction))

    def destruction_problems(self, destruction: str) -> list[Problem]:
        """What keeps it open; none when it may be closed."""
        with self._db.read() as connection:
            return problems(_case(connection, need(connection, DESTRUCTION, destruction)))


def _act(actor: Actor, reason: str, at_ms: int) -> Act:
    if actor.is_system:
        raise Refused(Code.PERSON_REQUIRED, "a destruction is told by a named person", field="actor")
    return Act(actor, reason, at_ms)


def _said(text: str, name: str = "reason") -> None:
    if not text.strip():
        raise Refused(Code.REASON_REQUIRED, f"{name} is empty", field=name)


def _open_case(tx: Tx, destruction: str) -> Destruction:
    tx.lock_site(tx.need(DESTRUCTION, destruction).site)
    case = tx.need(DESTRUCTION, destruction)
    if case.closed_ms is not None:
        raise Refused(Code.ALREADY_CLOSED, f"{destruction} was closed by {case.closed_by}")
    return case


def _changed(tx: Tx, case: Destruction, act: Act, action: str) -> Destruction:
    tx.put(DESTRUCTION, case, act, action=action)
    return case


def _free_id(tx: Tx, site: str, opened: int) -> str:
    """The next id of a site; another site's name may begin with the same 56 signs."""
    number = opened + 1
    while tx.get(DESTRUCTION, f"{site[:56]}.D{number}") is not None:
        number += 1
    return f"{site[:56]}.D{number}"


def _not_alone(tx: Tx, case: Destruction, actor: Actor) -> None:
    user = tx.get(USER, actor.name)
    if case.third_party and user is not None and user.site == case.site:
        raise Refused(Code.NOT_ALONE, f"{actor.name} belongs to {case.site} itself", field="actor")


def _unconfirmed(tx: Tx, case: Destruction, act: Act) -> Destruction:
    """The case without the confirmation that its vials were made unusable: more came, of which nobody said so."""
    if not case.damaged_by:
        return case
    return _changed(tx, replace(case, damaged_by="", damaged_ms=None), act, "destruction_damage_withdrawn")


def _history(tx: Tx, kind: Kind[Any], *key: str) -> list[AuditRow]:
    a = tables.audit
    query = select(a).where(a.c.subject == f"{kind.name}:{'/'.join(key)}").order_by(a.c.id)
    return [AuditRow(**row) for row in tx.connection.execute(query).mappings()]


def _in_stock(tx: Tx, case: Destruction, batch: Batch, vials: int) -> None:
    """Raises MORE_THAN_STOCK. The stock is the most that the records ever had of the batch: a discard that was booked
    may have taken its doses down since.
    """
    others = tx.all(DESTRUCTION, *equal(DESTRUCTION, site=case.site))
    elsewhere = sum(d.lines.get(batch.id, 0) for d in others if d.id != case.id)
    doses = max(batch.doses, *(row.new_value["doses"] for row in _history(tx, BATCH, batch.id) if row.new), 0)
    per_vial = 1 if batch.smile is None else batch.smile.doses_per_vial
    most = stock_vials(doses, per_vial)
    if vials + elsewhere > most:
        unsaid = ", doses per vial not known: one counts as a vial" if per_vial == 1 else f", {per_vial} in a vial"
        raise Refused(
            Code.MORE_THAN_STOCK,
            f"batch {batch.id} has at most {most} vials ({doses} doses{unsaid}); other destructions list {elsewhere}",
            field="vials",
        )


def _only_corrects(tx: Tx, bag: DestructionBag, batch: str, vials: int, reason: str) -> None:
    if not reason.strip():
        raise Refused(Code.REASON_REQUIRED, f"bag {bag.bag} was destroyed: say why its count changes", field="reason")
    rows = _history(tx, DESTRUCTION_BAG, bag.site, bag.bag)
    held = next(r.new_value["vials"] for r in reversed(rows) if r.action == "destruction_bag_destroyed")
    if vials > held.get(batch, 0):
        raise Refused(
            Code.ALREADY_DESTROYED,
            f"bag {bag.bag} was destroyed with {held.get(batch, 0)} vials of {batch}: nothing goes into it",
            field="vials",
        )


def _is_free(bag: DestructionBag) -> bool:
    """Emptied before it was destroyed: it belongs to no destruction."""
    return not bag.vials and bag.destroyed_ms is None


def _batch_of(tx: Tx, site: str, batch: str) -> Batch:
    found = tx.need(BATCH, batch)
    if found.site != site:
        raise Refused(Code.WRONG_SITE, f"batch {batch} is at {found.site}", field="batch")
    return found


def _counted(counts: Mapping[str, int], batch: str, vials: int) -> dict[str, int]:
    if isinstance(vials, bool) or not 0 <= vials <= MOST_VIALS:
        raise Refused(Code.BAD_VALUE, f"{vials} is no count of vials", field="vials")
    return {b: n for b, n in {**counts, batch: vials}.items() if n}


def _fits(bag: Bag, case: Destruction, there: DestructionBag | None) -> None:
    if there is not None and there.destruction != case.id:
        raise Refused(Code.OTHER_BAST, f"bag {bag.code} belongs to {there.destruction}", field="bag")
    if bag.bast_no not in (None, case.bast_no):
        raise Refused(Code.OTHER_BAST, f"bag {bag.code} carries BAST {bag.bast_no}", field="bag")
    if bag.classification not in VACCINE_WASTE:
        raise Refused(
            Code.CLASS_DISAGREES, f"vials go into {' or '.join(VACCINE_WASTE)}, not {bag.classification}", field="bag"
        )


def _materials(tx: Tx, bag: DestructionBag) -> set[int]:
    batches = [tx.need(BATCH, batch) for batch in bag.vials]
    return {batch.smile.material_id for batch in batches if batch.smile is not None}


def _labelled(tx: Tx, bag: Bag, case: Destruction, before: DestructionBag, now: DestructionBag) -> Bag:
    """The bag as SMILE is told of it: it joins a BAST and a bag by number and materials together."""
    said = {*bag.material_ids} - _materials(tx, before)
    return replace(bag, bast_no=case.bast_no, material_ids=tuple(sorted(said | _materials(tx, now))))


def _unlabelled(tx: Tx, bag: Bag, before: DestructionBag) -> Bag:
    """Without the BAST number, and without the materials of what it held."""
    return replace(bag, bast_no=None, material_ids=tuple(sorted({*bag.material_ids} - _materials(tx, before))))


def _case(connection: Connection, case: Destruction) -> Case:
    bags = fetch(connection, DESTRUCTION_BAG, *equal(DESTRUCTION_BAG, destruction=case.id))
    names = sorted({*case.lines, *(batch for bag in bags for batch in bag.vials)})
    batches = {name: need(connection, BATCH, name) for name in names}

    def stock(batch: str) -> Stock:
        return Stock(batches[batch].product_kfa, batches[batch].batch_number, batch)

    lines = [
        Line(stock(name), batches[name].expires_on, vials, _discarded_by(connection, name))
        for name, vials in case.lines.items()
    ]
    filled = []
    for bag in (b for b in bags if b.vials):  # what was taken out again needs no weight
        weighed = fetch(connection, WEIGHING, *equal(WEIGHING, site=bag.site, bag=bag.bag), limit=1)
        vials = tuple((stock(batch), count) for batch, count in bag.vials.items())
        filled.append(Filled(bag.bag, vials, weighed[0].net_kg if weighed else None, bag.destroyed_ms))
    return Case(lines, filled, case.damaged_by, case.third_party, case.report_no)


def _discarded_by(connection: Connection, batch: str) -> str:
    decided = fetch(
        connection, VERDICT, *equal(VERDICT, batch=batch, state=VerdictState.DECIDED, decision=Decision.DISCARDED)
    )
    return (decided[0].decided_by or "") if decided else ""
