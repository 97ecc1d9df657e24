"""Whether a destruction of vaccines may be closed: what the BAST lists against what went into bags, was weighed and destroyed.

smile-and-waste.md 8, 37: BAST line (KFA, batch, expiry, vials) - bags - kg - destroying event. A vial that is in no bag keeps
it open; that vial or label was made unusable before leaving must be confirmed by a person; where a third party destroys, its
own report is needed and the facility cannot close alone (BAB II.C.6). Pure; says what is missing, closes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum


class Open(StrEnum):
    """Why it cannot be closed."""

    NOTHING_LISTED = "nothing_listed"
    VIALS_MISSING = "vials_missing"
    VIALS_TOO_MANY = "vials_too_many"
    NOT_ON_LIST = "not_on_list"
    BAG_NOT_WEIGHED = "bag_not_weighed"
    BAG_NOT_DESTROYED = "bag_not_destroyed"
    NOT_DECIDED = "not_decided"
    NOT_DAMAGED = "not_confirmed_damaged"
    NO_REPORT = "third_party_report_missing"


@dataclass(frozen=True, slots=True, order=True)
class Stock:
    """A batch as it is counted: by ``batch``, its id, for two deliveries may have one number."""

    product_kfa: str
    batch_number: str
    batch: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the BAST. ``discarded_by``: who decided that the batch is discarded ("" : nobody did)."""

    stock: Stock
    expires_on: date
    vials: int
    discarded_by: str = ""


@dataclass(frozen=True, slots=True)
class Filled:
    """A bag of the BAST: vials by batch, its weight, and the destroying event it went into."""

    code: str
    vials: tuple[tuple[Stock, int], ...]
    net_kg: Decimal | None = None
    destroyed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of one BAST.

    ``damaged_by``: who confirmed that vials or labels were made unusable before leaving. ``third_party``: who destroys,
    "" where the facility does it itself; ``third_party_report``: the number of that party's own report.
    """

    lines: Sequence[Line]
    bags: Sequence[Filled]
    damaged_by: str = ""
    third_party: str = ""
    third_party_report: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """``subject``: the batch or bag it is about; ``count``: vials, where it is about vials."""

    why: Open
    subject: str
    count: int = 0


def problems(case: Case) -> list[Problem]:
    """All that keeps it open, none when it may be closed by a named person."""
    bagged: Counter[Stock] = Counter()
    for bag in case.bags:
        for stock, count in bag.vials:
            bagged[stock] += count
    found = [] if any(line.vials for line in case.lines) else [Problem(Open.NOTHING_LISTED, "")]
    found += [*_vials(case.lines, bagged), *_bags(case.bags)]
    if not case.damaged_by.strip():
        found.append(Problem(Open.NOT_DAMAGED, ""))
    if case.third_party and not case.third_party_report.strip():
        found.append(Problem(Open.NO_REPORT, case.third_party))
    return found


def stock_vials(doses: int, doses_per_vial: int) -> int:
    """The most vials that so many doses can be; an opened vial counts whole.

    ``doses_per_vial`` 1 is also what stands where nobody said: a vial then counts as one dose, the most there can be.
    """
    return -(-doses // max(doses_per_vial, 1))


def _vials(lines: Iterable[Line], bagged: Counter[Stock]) -> list[Problem]:
    listed: Counter[Stock] = Counter()
    undecided: dict[Stock, None] = {}
    for line in lines:
        listed[line.stock] += line.vials
        if not line.discarded_by.strip():
            undecided[line.stock] = None
    names = _names({*listed, *bagged})
    found = [Problem(Open.NOT_DECIDED, names[stock]) for stock in undecided]
    for stock in sorted({*listed, *bagged}):
        difference = bagged[stock] - listed[stock]
        if stock not in listed:
            found.append(Problem(Open.NOT_ON_LIST, names[stock], bagged[stock]))
        elif difference < 0:
            found.append(Problem(Open.VIALS_MISSING, names[stock], -difference))
        elif difference > 0:
            found.append(Problem(Open.VIALS_TOO_MANY, names[stock], difference))
    return found


def _bags(bags: Iterable[Filled]) -> list[Problem]:
    found: list[Problem] = []
    for bag in bags:
        if bag.net_kg is None or bag.net_kg <= 0:
            found.append(Problem(Open.BAG_NOT_WEIGHED, bag.code))
        if bag.destroyed_ms is None:
            found.append(Problem(Open.BAG_NOT_DESTROYED, bag.code))
    return found


def _names(stocks: set[Stock]) -> dict[Stock, str]:
    """KFA and number, as the label has them; with our id where that names two of them."""
    plain = {stock: f"{stock.product_kfa} {stock.batch_number}" for stock in stocks}
    times = Counter(plain.values())
    return {stock: name if times[name] == 1 else f"{name} ({stock.batch})" for stock, name in plain.items()}
