"""SMILE's answers in words: each known refusal is taken from the adapter itself, so that neither side drifts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from api.replies import audit_reason, reply_of
from api.words import LANGUAGES, Words, catalogue
from gateway.smile import weights
from gateway.smile.discards import DraftRefusedError, StockRow, discard_body, quality_of, reason_of, stock_row
from gateway.smile.outbox import State
from gateway.smile.port import (
    BagLabel,
    BagWeight,
    Cause,
    DiscardOrder,
    Outcome,
    PostResult,
    ProgramId,
    ScaleLink,
    StockIds,
)
from gateway.smile.service import _reply

STOCK = StockIds(
    entity_id=ProgramId(12), activity_id=ProgramId(70), entity_activity_id=ProgramId(170),
    material_id=ProgramId(8004), stock_id=ProgramId(2104), batch_code="BCG-1", doses=40, vvm="B",
)  # fmt: skip
ORDER = DiscardOrder("D-1", "F-1", "PKM", STOCK, Cause.FREEZE, "Siti", 1, "frozen")
LABEL = BagLabel(code="000120112026", site="PKM", waste_source_id=22, waste_classification_id=33)
WEIGHT = BagWeight(
    weighing_id="W", net_kg=Decimal("12.3"), sampled_at_ms=10, flags=(), link=ScaleLink.INTERNET,
    scale_asset_id=4101, calibrated_until_ms=20,
)  # fmt: skip
ROW = StockRow(20, Decimal(100), temperature_sensitive=True)


def _details(stock_id: int = 2104, code: str = "BCG-1") -> dict[str, Any]:
    return {"data": [{"material": {"id": 8004}, "stocks": [{"id": stock_id, "batch": {"code": code}}]}]}


REFUSALS: dict[str, Callable[[], object]] = {
    "vvm_missing": lambda: quality_of([], None),
    "no_quality": lambda: quality_of([], "B"),
    "other_batch": lambda: stock_row(_details(code="OTHER"), STOCK),
    "no_stock": lambda: stock_row(_details(stock_id=1), STOCK),
    "no_reason": lambda: reason_of([], Cause.HEAT),
    "not_whole_vials": lambda: discard_body(replace(ORDER, stock=replace(STOCK, doses=30)), "Siti", ROW, 1, 2),
    "too_few": lambda: discard_body(replace(ORDER, stock=replace(STOCK, doses=200)), "Siti", ROW, 1, 2),
    "weigh_again": lambda: weights.weight_body(LABEL, replace(WEIGHT, net_kg=Decimal(0)), weights.WeightRules()),
    "no_scale": lambda: weights.weight_body(LABEL, replace(WEIGHT, scale_asset_id=None), weights.WeightRules()),
    "other_label": lambda: PostResult(
        Outcome.REFUSED,
        weights.scan_refusal({"data": {"waste_bag_details": {"waste_source_id": 9}}}, LABEL, WEIGHT),
    ),
    "other_weight": lambda: weights.compare_weight("11", Decimal("12.3")),
}


def _result(make: Callable[[], object]) -> PostResult:
    try:
        made = make()
    except DraftRefusedError as error:
        return PostResult(error.outcome, str(error))
    assert isinstance(made, PostResult)
    return made


@pytest.mark.parametrize("code", REFUSALS)
def test_a_known_refusal_is_said_in_the_persons_language(code: str) -> None:
    reply = _reply(_result(REFUSALS[code]))
    for language in LANGUAGES:
        said = reply_of(Words(language), reply)
        assert (said.code, said.text) == (code, catalogue()[f"smile_reply.{code}"][language])


def test_missing_stock_ids_are_known_too() -> None:
    from datetime import date

    from gateway.records import Batch, Verdict
    from gateway.smile.feed import discard_order

    batch = Batch("B1", "PKM", "93001284", "BCG", "BCG-1", date(2028, 1, 1), 40)
    refused = discard_order(Verdict("B1.v1", "B1", "discard_proposed", (), (), 1), batch, [], None)
    assert isinstance(refused, str)
    assert reply_of(Words("en"), _reply(PostResult(Outcome.REFUSED, refused))).code == "no_stock_ids"


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_words(outcome: Outcome) -> None:
    """An answer nobody foresaw is still a sentence in the person's language."""
    said = reply_of(Words("id"), _reply(PostResult(outcome, "")))
    assert said.text == catalogue()[f"smile_outcome.{outcome}"]["id"]


def test_smiles_own_words_of_a_refusal_are_not_hidden() -> None:
    said = reply_of(Words("en"), _reply(PostResult(Outcome.DATA, "qty must be a multiple")))
    assert said.text == "SMILE refused the content; a person must correct it (qty must be a multiple)"


@pytest.mark.parametrize("state", State)
def test_every_state_of_a_reading_has_words(state: State) -> None:
    assert f"reading_state.{state}" in catalogue()
    assert reply_of(Words("en"), json.dumps({state: 3})).text.endswith(": 3")
    assert "_" not in reply_of(Words("en"), json.dumps({state: 3})).text


def test_a_plain_sentence_stays_as_it_is() -> None:
    assert reply_of(Words("en"), "SMILE does not answer").text == "SMILE does not answer"
    assert reply_of(Words("en"), "[1]").text == "[1]"
    assert reply_of(Words("id"), "SMILE has no field for hold_and_inspect").text == "SMILE tidak punya kolom"


def test_what_a_person_wrote_in_the_audit_is_never_reworded() -> None:
    assert audit_reason(Words("id"), "batch", "SMILE: refused") == "SMILE: refused"
    assert audit_reason(Words("id"), "attachment", "SMILE: refused") == "SMILE: Ditolak SMILE"
    assert audit_reason(Words("id"), "verdict", "judged: no findings") == "dinilai dari: tanpa temuan"


@pytest.mark.parametrize(
    ("kind", "reason", "said"),
    [
        ("finding", "rule refrigerator/HEAT", "aturan refrigerator/HEAT"),
        ("finding", "rule refrigerator/HEAT: possible -> withdrawn", "aturan refrigerator/HEAT: mungkin → ditarik"),
        ("finding", "rule refrigerator/HEAT: more facts", "aturan refrigerator/HEAT: data bertambah"),
        ("finding", "superseded by HEAT-1", "digantikan oleh HEAT-1"),
        ("finding", "stands again", "berlaku lagi"),
        ("profile", "as its file had it when it was first used", "seperti dalam berkasnya saat pertama dipakai"),
        ("profile", "surat edaran 12", "surat edaran 12"),
        ("weighing", "captured", "dicatat dari timbangan"),
        ("weighing", "dikaitkan di halaman timbang", "dikaitkan di halaman timbang"),
    ],
)
def test_what_our_processes_write_in_the_audit_is_said_in_the_persons_language(
    kind: str, reason: str, said: str
) -> None:
    assert audit_reason(Words("id"), kind, reason) == said
