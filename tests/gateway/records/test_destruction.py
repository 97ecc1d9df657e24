"""The chain of a vaccine's destruction: smile-and-waste.md 8, 37."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.records.destruction import Case, Filled, Line, Open, Problem, Stock, problems, stock_vials

KEY = Stock("93001284", "PB2411A", "B1")
LINE = Line(KEY, date(2026, 11, 30), 200, "Sari")
BAGS = (
    Filled("000128112026", ((KEY, 120),), Decimal("3.40"), 5),
    Filled("000228112026", ((KEY, 80),), Decimal("2.25"), 5),
)
WHOLE = Case((LINE,), BAGS, damaged_by="Sari")


def why(case: Case) -> list[Problem]:
    return problems(case)


def test_smile_37_200_vials_in_bags_weighed_and_destroyed_may_be_closed() -> None:
    assert why(WHOLE) == []


def test_smile_37_198_of_200_vials_are_2_missing_and_it_cannot_be_closed() -> None:
    short = replace(BAGS[1], vials=((KEY, 78),))
    assert why(replace(WHOLE, bags=(BAGS[0], short))) == [Problem(Open.VIALS_MISSING, "93001284 PB2411A", 2)]


def test_smile_37_that_vials_or_labels_were_damaged_before_leaving_is_confirmed_by_a_person() -> None:
    assert why(replace(WHOLE, damaged_by=" ")) == [Problem(Open.NOT_DAMAGED, "")]


def test_smile_37_a_third_party_reports_itself_and_the_facility_cannot_close_alone() -> None:
    case = replace(WHOLE, third_party="PT Olah")
    assert why(case) == [Problem(Open.NO_REPORT, "PT Olah")]
    assert why(replace(case, third_party_report="LP-7")) == []


@pytest.mark.parametrize(
    ("bag", "expected"),
    [
        (replace(BAGS[1], net_kg=None), Problem(Open.BAG_NOT_WEIGHED, BAGS[1].code)),
        (replace(BAGS[1], net_kg=Decimal(0)), Problem(Open.BAG_NOT_WEIGHED, BAGS[1].code)),
        (replace(BAGS[1], destroyed_ms=None), Problem(Open.BAG_NOT_DESTROYED, BAGS[1].code)),
        (replace(BAGS[1], vials=((KEY, 81),)), Problem(Open.VIALS_TOO_MANY, "93001284 PB2411A", 1)),
        (replace(BAGS[1], vials=((KEY, 80), (Stock("9", "X", "B9"), 3))), Problem(Open.NOT_ON_LIST, "9 X", 3)),
    ],
)
def test_each_link_that_is_missing_is_named(bag: Filled, expected: Problem) -> None:
    assert why(replace(WHOLE, bags=(BAGS[0], bag))) == [expected]


def test_a_bast_that_lists_nothing_is_not_closed() -> None:
    assert why(Case((), (), damaged_by="Sari")) == [Problem(Open.NOTHING_LISTED, "")]


def test_a_batch_nobody_decided_to_discard_is_not_destroyed_on_paper() -> None:
    """cold-chain 6, 25: release and discard need a named person."""
    assert why(replace(WHOLE, lines=(replace(LINE, discarded_by=""),))) == [
        Problem(Open.NOT_DECIDED, "93001284 PB2411A")
    ]


def test_two_deliveries_of_one_number_do_not_hide_each_others_shortage() -> None:
    """5 missing of one and 5 too many of the other were no problem while both counted under (KFA, number)."""
    again = Stock("93001284", "PB2411A", "B7")
    lines = (LINE, replace(LINE, stock=again, vials=50))
    bags = (BAGS[0], replace(BAGS[1], vials=((KEY, 75), (again, 55))))
    assert why(replace(WHOLE, lines=lines, bags=bags)) == [
        Problem(Open.VIALS_MISSING, "93001284 PB2411A (B1)", 5),
        Problem(Open.VIALS_TOO_MANY, "93001284 PB2411A (B7)", 5),
    ]


@pytest.mark.parametrize(("doses", "per_vial", "vials"), [(40, 1, 40), (400, 10, 40), (395, 10, 40), (0, 10, 0)])
def test_a_stock_of_doses_is_so_many_vials_and_an_opened_one_counts_whole(
    doses: int, per_vial: int, vials: int
) -> None:
    assert stock_vials(doses, per_vial) == vials


KEYS = st.sampled_from([KEY, Stock("93005477", "HB1", "B2"), Stock("93001284", "PB2411A", "B3")])
LINES = st.builds(lambda k, n: Line(k, date(2026, 11, 30), n, "Sari"), KEYS, st.integers(0, 5))
FILLED = st.builds(
    lambda code, vials: Filled(f"{code:04d}28112026", tuple(vials.items()), Decimal("1.50"), 5),
    st.integers(1, 9),
    st.dictionaries(KEYS, st.integers(1, 5), max_size=3),
)


@given(st.lists(LINES, max_size=4), st.lists(FILLED, max_size=3), st.randoms(use_true_random=False))
def test_it_may_be_closed_exactly_when_every_vial_is_in_a_bag_in_any_order(
    lines: list[Line], bags: list[Filled], order: Any
) -> None:
    listed, bagged = Counter[Stock](), Counter[Stock]()
    for line in lines:
        listed[line.stock] += line.vials
    for bag in bags:
        bagged.update(dict(bag.vials))
    case = Case(lines, bags, damaged_by="Sari")
    fits = +listed == +bagged and +listed != Counter()
    assert (why(case) == []) is fits
    shuffled = Case(order.sample(lines, len(lines)), order.sample(bags, len(bags)), damaged_by="Sari")
    assert sorted(map(repr, why(shuffled))) == sorted(map(repr, why(case)))
