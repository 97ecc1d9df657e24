"""The chain of a vaccine's destruction: smile-and-waste.md 8, 37."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from gateway.records.destruction import Case, Filled, Line, Open, Problem, problems

KEY = ("93001284", "PB2411A")
LINE = Line(*KEY, date(2026, 11, 30), 200, "Sari")
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
        (replace(BAGS[1], vials=((KEY, 80), (("9", "X"), 3))), Problem(Open.NOT_ON_LIST, "9 X", 3)),
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
