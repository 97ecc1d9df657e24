"""Destructions of discarded vaccines (smile-and-waste.md 8, 37): views and commands, the same for page and JSON.

Decree Table 1 counts destruction among the transactions: operators tell what they do. Managers enter the third party's report and
close; where a third party destroys, the records refuse it to whoever belongs to the facility ("the faskes cannot close alone").
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from api.desk import Desk, actor_of
from api.problems import ProblemError, not_found
from api.roles import Person, Right, may
from gateway.records import Batch, Destruction, DestructionBag, Records, Site, UnknownRecord
from gateway.records.destruction import Problem
from gateway.records.destructions import VACCINE_WASTE


@dataclass(frozen=True, slots=True)
class LineView:
    """A batch of the BAST: what is listed, what is in bags."""

    batch: Batch
    listed: int
    bagged: int


@dataclass(frozen=True, slots=True)
class BagView:
    """A bag with its weight, None while it was not weighed."""

    bag: DestructionBag
    net_kg: Decimal | None


@dataclass(frozen=True, slots=True)
class DestructionView:
    """One destruction with all that is told of it. ``missing``: what keeps it open; nothing of one that is closed."""

    case: Destruction
    lines: tuple[LineView, ...]
    bags: tuple[BagView, ...]
    missing: tuple[Problem, ...]

    @property
    def total_kg(self) -> Decimal:
        return sum((b.net_kg for b in self.bags if b.net_kg is not None), Decimal(0))


def view_of(records: Records, case: Destruction) -> DestructionView:
    """Everything a page or a machine may want to know of it."""
    bags = [b for b in records.destruction_bags(case.id) if b.vials]
    bagged: dict[str, int] = {}
    for bag in bags:
        for batch, vials in bag.vials.items():
            bagged[batch] = bagged.get(batch, 0) + vials
    return DestructionView(
        case,
        tuple(
            LineView(records.batch(batch), case.lines.get(batch, 0), bagged.get(batch, 0))
            for batch in sorted({*case.lines, *bagged})
        ),
        tuple(BagView(bag, _net_kg(records, bag)) for bag in bags),
        () if case.closed_ms is not None else tuple(records.destruction_problems(case.id)),
    )


def _net_kg(records: Records, bag: DestructionBag) -> Decimal | None:
    weighed = records.weighings(bag.site, bag.bag, limit=1)
    return weighed[0].net_kg if weighed else None


def bags_for(records: Records, site: Site, case: Destruction) -> list[str]:
    """Codes of bags that vials of this destruction may go into: of the right class and of no other BAST."""
    return [
        b.code
        for b in records.bags(site.id)
        if b.classification in VACCINE_WASTE and b.bast_no in (None, case.bast_no)
    ]


def case_of(desk: Desk, person: Person, case_id: str) -> tuple[Destruction, Site]:
    """A destruction with its site, in the person's reach; raises ProblemError 404."""
    try:
        case = desk.records.destruction(case_id)
    except UnknownRecord as error:
        raise not_found("destruction", case_id) from error
    return case, desk.questions.site(person, case.site)


def begin(desk: Desk, person: Person, site_id: str, bast_no: str, third_party: str, reason: str) -> Destruction:
    """Open a destruction at a site in reach."""
    site = desk.questions.site(person, site_id)
    now_ms = desk.clock.now_ms()
    return desk.records.open_destruction(site.id, bast_no, third_party, actor_of(person), reason, now_ms)


def list_vials(desk: Desk, person: Person, case_id: str, batch: str, vials: int, reason: str) -> None:
    """A line of the BAST."""
    case, _ = case_of(desk, person, case_id)
    desk.records.list_vials(case.id, batch, vials, actor_of(person), reason, desk.clock.now_ms())


@dataclass(frozen=True, slots=True)
class Bagged:
    """So many vials of a batch are in a bag."""

    bag: str
    batch: str
    vials: int


def put_vials(desk: Desk, person: Person, case_id: str, told: Bagged, reason: str, usual: str = "") -> None:
    """Vials into a bag; ``usual`` is the reason where none was given.

    What is said of a bag that was destroyed is a correction: a manager's, with a reason of its own.
    """
    case, _ = case_of(desk, person, case_id)
    destroyed = {b.bag for b in desk.records.destruction_bags(case.id) if b.destroyed_ms is not None}
    if told.bag in destroyed and not may(person, Right.CORRECT):
        raise ProblemError(403, "destroyed_stays", f"bag {told.bag} was destroyed", "Ask the manager of your region.")
    why = reason or ("" if told.bag in destroyed else usual)
    desk.records.put_vials(case.id, told.bag, told.batch, told.vials, actor_of(person), why, desk.clock.now_ms())


def confirm_damaged(desk: Desk, person: Person, case_id: str, damaged_ms: int | None, reason: str) -> None:
    """When vials or labels were made unusable (None: now), and how."""
    case, _ = case_of(desk, person, case_id)
    desk.records.confirm_damaged(case.id, actor_of(person), reason, desk.clock.now_ms(), damaged_ms)


def bag_destroyed(desk: Desk, person: Person, case_id: str, bag: str, destroyed_ms: int | None, reason: str) -> None:
    """When a bag was destroyed (None: now), and how."""
    case, _ = case_of(desk, person, case_id)
    now_ms = desk.clock.now_ms()
    at_ms = now_ms if destroyed_ms is None else destroyed_ms
    desk.records.bag_destroyed(case.id, bag, at_ms, actor_of(person), reason, now_ms)


def enter_report(desk: Desk, person: Person, case_id: str, report_no: str, signed_by: str, reason: str) -> None:
    """The third party's own report."""
    case, _ = case_of(desk, person, case_id)
    now_ms = desk.clock.now_ms()
    desk.records.third_party_report(case.id, report_no, signed_by, actor_of(person), reason, now_ms)


def close(desk: Desk, person: Person, case_id: str, reason: str) -> None:
    """Close it: refused while anything is missing."""
    case, _ = case_of(desk, person, case_id)
    desk.records.close_destruction(case.id, actor_of(person), reason, desk.clock.now_ms())
