"""GS1 barcodes: cold-chain 4.2 and 6, requirement 40."""

from __future__ import annotations

import contextlib
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.gs1 import Barcode, BarcodeError, parse_barcode
from telemetry.gtin import check_digit, gtin_problem

PRINTED = "(01)08991234000015(17)271130(10)PB2411A(21)000123"
WANTED = Barcode("08991234000015", date(2027, 11, 30), "PB2411A", "000123")


@pytest.mark.parametrize(
    "text",
    [
        PRINTED,
        "0108991234000015" + "17271130" + "10PB2411A\x1d" + "21000123",
        "]d20108991234000015" + "17271130" + "10PB2411A\x1d" + "21000123",
        "\x1d0108991234000015" + "17271130" + "10PB2411A\x1d" + "21000123\r\n",
        "]C1" + "10PB2411A\x1d" + "21000123\x1d" + "0108991234000015" + "17271130",
        "]d2" + PRINTED,
        "]d2\x1d" + "0108991234000015" + "17271130" + "10PB2411A\x1d\x1d" + "21000123",
        "\x1d\x1d" + "0108991234000015\x1d\x1d" + "17271130" + "10PB2411A\x1d" + "21000123\x1d\x1d",
        "(01) 08991234000015 (17) 271130\n(10) PB2411A (21) 000123 ",
    ],
    ids=[
        *("printed", "raw", "with symbology", "leading FNC1", "another order"),
        *("brackets and symbology", "two GS", "two GS everywhere", "spaces as printed"),
    ],
)
def test_req_40_both_forms_give_gtin_expiry_batch_and_serial(text: str) -> None:
    assert parse_barcode(text) == WANTED


def test_req_40_check_digit_5_is_right_and_6_is_rejected() -> None:
    assert check_digit("0899123400001") == 5
    assert gtin_problem("08991234000015") == ""
    with pytest.raises(BarcodeError, match="it must be 5") as error:
        parse_barcode(PRINTED.replace("4000015", "4000016"))
    assert error.value.reason == "check_digit"


@pytest.mark.parametrize(
    ("value", "day"),
    [("271100", (2027, 11, 30)), ("280200", (2028, 2, 29)), ("270200", (2027, 2, 28)), ("271200", (2027, 12, 31))],
)
def test_req_40_day_00_is_the_last_day_of_the_month(value: str, day: tuple[int, int, int]) -> None:
    assert parse_barcode(f"(17){value}").expires_on == date(*day)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("hello", "unknown_ai"),
        ("(99)x", "unknown_ai"),
        ("(17)271331", "bad_date"),
        ("(17)270230", "bad_date"),
        ("(17)2711", "bad_value"),
        ("(01)8991234000015", "bad_value"),
        ("(10)", "bad_value"),
        ("(10)PB2411A(10)PB2411B", "twice"),
        ("(21)" + "x" * 21, "bad_value"),
        ("(01)٠8991234000015", "bad_value"),
    ],
)
def test_what_is_none_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(BarcodeError) as error:
        parse_barcode(text)
    assert error.value.reason == reason


def test_a_bracket_inside_a_batch_number_is_part_of_it() -> None:
    assert parse_barcode("(10)A(1)B(21)7") == Barcode(batch_number="A(1)B", serial="7")


def test_other_elements_are_kept() -> None:
    got = parse_barcode("(00)089912340000000015(11)260101(37)50")
    assert (got.sscc, got.made_on, got.others) == ("089912340000000015", date(2026, 1, 1), {"37": "50"})


@given(st.text(alphabet="()0123456789ABabc\x1d ]d2-./", max_size=60))
def test_any_text_is_parsed_or_refused_and_never_breaks(text: str) -> None:
    with contextlib.suppress(BarcodeError):
        parse_barcode(text)


@given(
    st.integers(0, 10**13 - 1),
    st.dates(date(2001, 1, 1), date(2049, 12, 31)),
    st.text(alphabet="ABC123-./", min_size=1, max_size=20),
    st.text(alphabet="XYZ789", min_size=1, max_size=20),
)
def test_what_is_written_is_read_again_in_both_forms(number: int, day: date, batch: str, serial: str) -> None:
    body = f"{number:013d}"
    gtin = f"{body}{check_digit(body)}"
    wanted = Barcode(gtin, day, batch, serial)
    assert parse_barcode(f"(01){gtin}(17){day:%y%m%d}(10){batch}(21){serial}") == wanted
    assert parse_barcode(f"01{gtin}17{day:%y%m%d}10{batch}\x1d21{serial}") == wanted


@pytest.mark.parametrize("text", ["8991234000015", "08991234000015", "]E08991234000015", "]I108991234000015"])
def test_a_plain_barcode_is_a_gtin_and_names_no_batch(text: str) -> None:
    assert parse_barcode(text) == Barcode(gtin="08991234000015")


def test_a_plain_barcode_that_begins_like_an_element_is_no_batch_number() -> None:
    """An EAN-13 of 10... would else be read as the batch number of what follows."""
    code = "1012345678901"[:-1]
    assert parse_barcode(f"{code}{check_digit(code)}").batch_number is None


def test_a_misread_plain_barcode_is_told_by_its_check_digit() -> None:
    with pytest.raises(BarcodeError) as error:
        parse_barcode("]E08991234000016")
    assert error.value.reason == "check_digit"


@pytest.mark.parametrize(
    "text",
    [
        "https://id.gs1.org/01/08991234000015/10/PB2411A/21/000123?17=271130",
        "https://id.gs1.org/01/08991234000015/10/PB2411A/21/000123/17/271130",
        "HTTPS://pabrik.example/id/vaksin/01/08991234000015/10/PB2411A/21/000123?linkType=gs1:pip&17=271130#top",
        "https://id.gs1.org/01/8991234000015/10/PB%32411A/21/000123?17=271130",
    ],
)
def test_req_40_a_digital_link_holds_the_same_parts(text: str) -> None:
    assert parse_barcode(text) == parse_barcode(PRINTED)


@pytest.mark.parametrize(
    ("text", "reason"), [("https://example.org/vaksin", "no_link"), ("https://x/01/", "bad_value")]
)
def test_an_address_without_a_gtin_is_told_as_one(text: str, reason: str) -> None:
    with pytest.raises(BarcodeError) as error:
        parse_barcode(text)
    assert error.value.reason == reason
