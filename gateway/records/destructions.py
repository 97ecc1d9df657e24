"""Destructions of discarded vaccines: what the BAST lists, what went into bags, was weighed and destroyed (37).

Each step is one audited command of a named person. Closing asks ``gateway.records.destruction.problems`` under the site's lock,
so that nothing is closed while a vial, a weight, a confirmation or the third party's own report is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from gateway.records.destruction import Case, Filled, Line, Problem, problems
from gateway.records.errors import Code, Refused
from gateway.records.kinds import BAG, BATCH, DESTRUCTION, DESTRUCTION_BAG, SITE, VERDICT, WEIGHING
from gateway.records.model import Actor, Bag, Batch, Decision, Destruction, DestructionBag, VerdictState
from gateway.records.part import Part, equal
from gateway.records.tx import Act, Tx, fetch, need

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
            new = Destruction(f"{site[:56]}.D{len(there) + 1}", site, bast_no, third_party, actor.name, at_ms)
            tx.put(DESTRUCTION, new, act, action="destruction_opened")
            return new

    def list_vials(
        self, destruction: str, batch: str, vials: int, actor: Actor, reason: str, at_ms: int
    ) -> Destruction:
        """How many vials of a batch the BAST lists (0: none, the line goes)."""
        with self._write() as tx:
            case = _open_case(tx, destruction)
            _batch_of(tx, case.site, batch)
            lines = _counted(case.lines, batch, vials)
            act = _act(actor, reason or "as the BAST lists it", at_ms)
            return _changed(tx, replace(case, lines=lines), act, "destruction_listed")

    def put_vials(
        self, destruction: str, bag: str, batch: str, vials: int, actor: Actor, reason: str, at_ms: int
    ) -> DestructionBag:
        """How many vials of a batch are in a bag (0: none). The bag then carries the BAST number and SMILE's materials.

        More vials than before take a confirmation back that they were made unusable: nobody has said so of these. After the
        bag was destroyed a count is a correction, and says why. Raises Refused: OTHER_BAST, CLASS_DISAGREES.
        """
        with self._write() as tx:
            case = _open_case(tx, destruction)
            held, found = tx.need(BAG, case.site, bag), _batch_of(tx, case.site, batch)
            old = tx.get(DESTRUCTION_BAG, case.site, bag)
            _fits(held, case, old)
            if old is not None and old.destroyed_ms is not None and not reason.strip():
                raise Refused(
                    Code.REASON_REQUIRED, f"bag {bag} was destroyed: say why its count changes", field="reason"
                )
            act = _act(actor, reason or "vials put into the bag", at_ms)
            now = old or DestructionBag(case.site, bag, case.id, {})
            new = replace(now, vials=_counted(now.vials, batch, vials))
            tx.put(DESTRUCTION_BAG, new, act, action="destruction_filled")
            tx.put(BAG, _labelled(held, case, found), act)
            if case.damaged_by and now.destroyed_ms is None and vials > now.vials.get(batch, 0):
                unsaid = replace(case, damaged_by="", damaged_ms=None)
                _changed(tx, unsaid, act, "destruction_damage_withdrawn")
            return new

    def confirm_damaged(self, destruction: str, actor: Actor, reason: str, at_ms: int) -> Destruction:
        """A person says that vials or labels were made unusable before they leave, and how (``reason``).

        Said again, the first confirmation stands.
        """
        _said(reason)
        with self._write() as tx:
            case = _open_case(tx, destruction)
            if case.damaged_by:
                return case
            confirmed = replace(case, damaged_by=actor.name, damaged_ms=at_ms)
            return _changed(tx, confirmed, _act(actor, reason, at_ms), "destruction_damaged")

    def bag_destroyed(
        self, destruction: str, bag: str, destroyed_ms: int, actor: Actor, reason: str, at_ms: int
    ) -> DestructionBag:
        """A person says when a bag was destroyed. It was weighed before, and its vials were made unusable before."""
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
            if not (weighed[0].t_ms or 0) <= destroyed_ms <= at_ms:
                raise Refused(
                    Code.BAD_VALUE,
                    "it was destroyed after it was weighed, and not in the future",
                    field="destroyed_ms",
                )
            new = replace(held, destroyed_ms=destroyed_ms, destroyed_by=actor.name)
            tx.put(DESTRUCTION_BAG, new, _act(actor, reason, at_ms), action="destruction_bag_destroyed")
            return new

    def third_party_report(
        self, destruction: str, report_no: str, signed_by: str, actor: Actor, reason: str, at_ms: int
    ) -> Destruction:
        """The third party's own report: its number, and who signed it there. Who may enter it is the api's question."""
        _said(report_no, "report_no")
        _said(signed_by, "report_signed_by")
        with self._write() as tx:
            case = _open_case(tx, destruction)
            if not case.third_party:
                raise Refused(Code.NO_THIRD_PARTY, "the facility destroys by itself", field="report_no")
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
        """Close it; raises Refused(NOT_COMPLETE) while ``destruction_problems`` has any."""
        _said(reason)
        act = _act(actor, reason, at_ms)
        with self._write() as tx:
            case = _open_case(tx, destruction)
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


def _labelled(bag: Bag, case: Destruction, batch: Batch) -> Bag:
    """The bag as SMILE is told of it: it joins a BAST and a bag by number and materials together."""
    material = set() if batch.smile is None else {batch.smile.material_id}
    return replace(bag, bast_no=case.bast_no, material_ids=tuple(sorted({*bag.material_ids, *material})))


def _case(connection: Connection, case: Destruction) -> Case:
    bags = fetch(connection, DESTRUCTION_BAG, *equal(DESTRUCTION_BAG, destruction=case.id))
    names = sorted({*case.lines, *(batch for bag in bags for batch in bag.vials)})
    batches = {name: need(connection, BATCH, name) for name in names}

    def key(batch: str) -> tuple[str, str]:
        return batches[batch].product_kfa, batches[batch].batch_number

    lines = [
        Line(*key(name), batches[name].expires_on, vials, _discarded_by(connection, name))
        for name, vials in case.lines.items()
    ]
    filled = []
    for bag in (b for b in bags if b.vials):  # what was taken out again needs no weight
        weighed = fetch(connection, WEIGHING, *equal(WEIGHING, site=bag.site, bag=bag.bag), limit=1)
        vials = tuple((key(batch), count) for batch, count in bag.vials.items())
        filled.append(Filled(bag.bag, vials, weighed[0].net_kg if weighed else None, bag.destroyed_ms))
    return Case(lines, filled, case.damaged_by, case.third_party, case.report_no)


def _discarded_by(connection: Connection, batch: str) -> str:
    decided = fetch(
        connection, VERDICT, *equal(VERDICT, batch=batch, state=VerdictState.DECIDED, decision=Decision.DISCARDED)
    )
    return (decided[0].decided_by or "") if decided else ""
