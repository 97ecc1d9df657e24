"""The order of use: VVM B before A, then first expiry; what waits for a person or is expired has no turn."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.use_first import Stock, Why, order_of_use
from alerts.verdicts import VerdictWord, VvmStage

TODAY = date(2026, 11, 20)


def stock(batch: str, expires: str, **more: Any) -> Stock:
    return Stock(
        batch, "93001284", date.fromisoformat(expires), **{"verdict": VerdictWord.NO_ACTION, "stands": True, **more}
    )


def test_22_stage_b_goes_before_stage_a_even_if_it_expires_later() -> None:
    """cold-chain.md 2.4 and 22: VVM B before A even if its expiry is later, then the earliest expiry."""
    turns = order_of_use(
        [
            stock("LATE", "2028-01-01", stage=VvmStage.A),
            stock("SOON", "2027-01-01"),
            stock("B-LATER", "2029-01-01", stage=VvmStage.B, verdict=VerdictWord.USE_FIRST),
        ],
        TODAY,
    )
    assert [(t.stock.batch, t.turn, t.why) for t in turns] == [
        ("B-LATER", 1, Why.VVM_B),
        ("SOON", 2, Why.FIRST_EXPIRY),
        ("LATE", 3, Why.FIRST_EXPIRY),
    ]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"verdict": VerdictWord.HOLD_AND_INSPECT}, Why.WAITS),
        ({"verdict": VerdictWord.SHAKE_TEST}, Why.WAITS),
        ({"verdict": VerdictWord.DISCARD_PROPOSED}, Why.WAITS),
        ({"stage": VvmStage.C, "verdict": VerdictWord.DISCARD_PROPOSED, "released": True}, Why.VVM_END),
        ({"discarded": True}, Why.DISCARDED),
        ({"verdict": None}, Why.NOT_JUDGED),
        ({"verdict": None, "stage": VvmStage.B}, Why.NOT_JUDGED),
        ({"stands": False}, Why.NOWHERE),
        ({"stands": False, "verdict": VerdictWord.HOLD_AND_INSPECT}, Why.NOWHERE),
        ({"stands": False, "verdict": VerdictWord.HOLD_AND_INSPECT, "released": True}, Why.NOWHERE),
        ({"stands": False, "verdict": VerdictWord.SHAKE_TEST}, Why.WAITS),
        ({"stands": False, "verdict": None}, Why.NOT_JUDGED),
        ({"stands": False, "discarded": True}, Why.DISCARDED),
    ],
)
def test_25_what_waits_for_a_person_has_no_turn(more: dict[str, Any], why: Why) -> None:
    (turn,) = order_of_use([stock("X", "2027-01-01", **more)], TODAY)
    assert (turn.turn, turn.why) == (None, why)


def test_a_release_gives_the_turn_back_and_the_last_day_still_counts() -> None:
    turns = order_of_use(
        [
            stock("HELD", "2026-11-20", verdict=VerdictWord.HOLD_AND_INSPECT, released=True),
            stock("OVER", "2026-11-19"),
        ],
        TODAY,
    )
    assert [(t.stock.batch, t.turn, t.why) for t in turns] == [
        ("HELD", 1, Why.FIRST_EXPIRY),
        ("OVER", None, Why.EXPIRED),
    ]


STOCKS = st.lists(
    st.builds(
        Stock,
        st.uuids().map(str),
        st.sampled_from(["93001284", "93000001"]),
        st.dates(date(2026, 1, 1), date(2029, 1, 1)),
        st.none() | st.sampled_from(VvmStage),
        st.none() | st.sampled_from(VerdictWord),
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
)


@given(STOCKS, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_telling(stocks: list[Stock], rng: random.Random) -> None:
    other = list(stocks)
    rng.shuffle(other)
    turns = order_of_use(stocks, TODAY)
    assert turns == order_of_use(other, TODAY)
    assert len(turns) == len(stocks)
    for t in turns:
        if t.turn is not None:
            assert t.stock.expires_on >= TODAY
            assert t.stock.verdict is not None
            assert t.stock.stage not in (VvmStage.C, VvmStage.D)
