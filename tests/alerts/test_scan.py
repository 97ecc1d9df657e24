"""What a scanned pack is: cold-chain 6, requirement 40, "batch + GTIN link to the product"."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.gs1 import Barcode, BarcodeError, parse_barcode
from alerts.scan import Kept, Scan, Word, look_up, product_of, written_otherwise

GTIN = "08991234000015"
PACK = "(01)08991234000015(17)271130(10)PB2411A(21)000123"
CODE = parse_barcode(PACK)
PENTABIO = frozenset({"93001284"})
BATCH = Kept("B1", "93001284", "PB2411A", date(2027, 11, 30))
OTHER_PRODUCT = Kept("B2", "93005477", "PB2411A", date(2027, 11, 30))


def test_req_40_gtin_and_number_find_the_batch() -> None:
    assert look_up(CODE, [PENTABIO], [BATCH, replace(BATCH, id="B3", batch_number="PB2411B")]) == Scan(
        Word.FOUND, PENTABIO, (BATCH,)
    )


@pytest.mark.parametrize("written", ["pb2411a", " PB2411A "])
def test_case_and_spaces_of_a_typed_number_do_not_matter(written: str) -> None:
    kept = replace(BATCH, batch_number=written)
    assert look_up(CODE, [PENTABIO], [kept]).found == (kept,)


@pytest.mark.parametrize(("number", "otherwise"), [("pb2411a", True), (" PB2411A ", False), ("PB2411A", False)])
def test_a_number_in_other_capitals_is_found_and_said(number: str, otherwise: bool) -> None:
    """GS1 batch numbers are case-sensitive: pb2411a may be another batch than PB2411A."""
    assert written_otherwise(CODE, number) is otherwise


def test_req_40_a_differing_expiry_is_a_conflict_and_is_not_guessed() -> None:
    kept = replace(BATCH, expires_on=date(2027, 10, 31))
    assert look_up(CODE, [PENTABIO], [kept]) == Scan(Word.EXPIRY_DIFFERS, PENTABIO, (kept,))


def test_of_two_deliveries_the_one_with_the_packs_expiry_is_meant() -> None:
    other = replace(BATCH, id="B3", expires_on=date(2028, 1, 31))
    assert look_up(CODE, [PENTABIO], [BATCH, other]).found == (BATCH,)
    without = parse_barcode("(01)08991234000015(10)PB2411A")
    assert look_up(without, [PENTABIO], [BATCH, other]).found == (BATCH, other)


def test_an_unknown_gtin_names_no_product_whatever_the_number() -> None:
    assert look_up(CODE, [], [BATCH]) == Scan(Word.UNKNOWN_GTIN, namesakes=(BATCH,))
    assert look_up(parse_barcode("(10)PB2411A"), [], [BATCH]) == Scan(Word.NO_GTIN, namesakes=(BATCH,))


def test_links_that_contradict_each_other_name_no_product() -> None:
    assert product_of([PENTABIO, frozenset({"93005477"})]) == frozenset()
    assert look_up(CODE, [PENTABIO, frozenset({"93005477"})], [BATCH]).word is Word.DISPUTED_GTIN
    sizes = frozenset({"93001282", "93001283", "93001284"})  # a row of the table leaves the pack size open
    assert product_of([sizes, PENTABIO]) == PENTABIO
    assert look_up(CODE, [sizes], [BATCH]).found == (BATCH,)


def test_another_vaccine_with_the_same_number_is_told_apart() -> None:
    assert look_up(CODE, [PENTABIO], [BATCH, OTHER_PRODUCT]) == Scan(Word.FOUND, PENTABIO, (BATCH,), (OTHER_PRODUCT,))
    assert look_up(CODE, [PENTABIO], [OTHER_PRODUCT]) == Scan(Word.NOT_HERE, PENTABIO, namesakes=(OTHER_PRODUCT,))


def test_a_lost_separator_is_suspected_and_not_mended() -> None:
    """Without its GS the serial runs into the batch number: PB2411A + 21 + 000123."""
    code = parse_barcode("01089912340000151727113010PB2411A21000123")
    assert code.batch_number == "PB2411A21000123"
    assert look_up(code, [PENTABIO], [BATCH, replace(BATCH, id="B3", batch_number="PB2")]) == Scan(
        Word.NOT_HERE, PENTABIO, near=(BATCH,)
    )


def test_a_cartons_code_names_what_it_holds_and_a_plain_gtin_no_batch() -> None:
    carton = parse_barcode("(02)08991234000015(37)50(10)PB2411A")
    assert look_up(carton, [PENTABIO], [BATCH]).found == (BATCH,)
    assert look_up(parse_barcode(f"(01){GTIN}"), [PENTABIO], [BATCH]).word is Word.NO_BATCH
    assert look_up(parse_barcode("(00)089912340000000015"), [], [BATCH]).word is Word.NO_GTIN


def test_a_text_that_is_longer_than_any_label_is_refused() -> None:
    with pytest.raises(BarcodeError) as error:
        parse_barcode("(10)A" + "(21)1" * 40)
    assert error.value.reason == "too_long"


@pytest.mark.parametrize("sent", ["\x1d", "\u241d", "<GS>", "{GS}", "[GS]", "^]"])
def test_a_separator_is_read_however_the_scanner_writes_it(sent: str) -> None:
    assert parse_barcode(f"]d201089912340000151727113010PB2411A{sent}21000123") == CODE


KEPT = st.builds(
    Kept,
    st.text("ABC", min_size=1, max_size=3),
    st.sampled_from(["93001284", "93005477"]),
    st.sampled_from(["PB2411A", "pb2411a", "PB24", "X"]),
    st.sampled_from([date(2027, 11, 30), date(2028, 1, 31)]),
)


@given(st.lists(KEPT, max_size=6, unique_by=lambda b: b.id), st.sampled_from([CODE, Barcode(GTIN, None, "X")]))
def test_what_is_found_is_of_the_product_and_number_and_no_order_of_the_records_matters(
    kept: list[Kept], code: Barcode
) -> None:
    said = look_up(code, [PENTABIO], kept)
    assert said == look_up(code, [PENTABIO], reversed(kept))
    for batch in said.found:
        assert batch.product_kfa == "93001284"
        assert batch.batch_number.casefold() == (code.batch_number or "").casefold()
    if said.word is Word.FOUND and code.expires_on:
        assert {b.expires_on for b in said.found} == {code.expires_on}
