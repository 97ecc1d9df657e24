"""GS1 barcodes of vaccine packs: what a scanner or a person types, read into its parts (cold-chain 4.2 and 6, 40). Pure.

    (01)08991234000015(17)271130(10)PB2411A(21)000123        as printed, with brackets
    ]d2 01 08991234000015 17 271130 10 PB2411A <GS> 21 000123 as a scanner sends it, FNC1 as ASCII 29 (no spaces)

Element strings: an application identifier (AI), then its value, of fixed length (01, 17, 11, ...) or up to a GS (10, 21).
Check digit: from the right, weights 3, 1, 3, ...; the sum with the digit is a multiple of ten. AI list from memory, data
content confirmed by [S68]; day 00 of a date is the last day of its month (from memory).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

GS = "\x1d"
_SYMBOLOGY = re.compile(r"\](?:d2|C1|Q3|e0|J1)")
"""What scanners put before: GS1 DataMatrix, GS1-128, GS1 QR, GS1 DataBar, GS1 DotCode."""

# AI -> (name, length of its value; None: up to 20 characters, ended by GS).
_AIS: dict[str, tuple[str, int | None]] = {
    "00": ("sscc", 18),
    "01": ("gtin", 14),
    "02": ("content_gtin", 14),
    "10": ("batch_number", None),
    "11": ("made_on", 6),
    "13": ("packed_on", 6),
    "15": ("best_before", 6),
    "17": ("expires_on", 6),
    "21": ("serial", None),
    "30": ("count", None),
    "37": ("content_count", None),
    "240": ("additional_id", None),
    "241": ("customer_part", None),
    "400": ("order", None),
    "710": ("nhrn_de", None),
}
_TEXT = re.compile(r"[!\"%&'()*+,\-./0-9:;<=>?A-Z_a-z]{1,20}")
_LONGEST = 20


class BarcodeError(ValueError):
    """``reason``: a stable word; the message says what is wrong, for whoever scanned."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Barcode:
    """The parts that a vaccine line needs; ``others`` are further elements by AI."""

    gtin: str | None = None
    expires_on: date | None = None
    batch_number: str | None = None
    serial: str | None = None
    sscc: str | None = None
    made_on: date | None = None
    others: Mapping[str, str] = field(default_factory=dict)


def check_digit(digits: str) -> int:
    """The GS1 check digit of the digits before it."""
    total = sum(int(d) * (3 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits)))
    return -total % 10


def gtin_problem(code: str) -> str:
    """Why this is no GTIN-14, or ""."""
    return _key_problem(code, 14, "GTIN")


def _key_problem(code: str, length: int, name: str) -> str:
    if not (len(code) == length and code.isascii() and code.isdigit()):
        return f"is not the {length} digits of a {name}"
    right = check_digit(code[:-1])
    return "" if right == int(code[-1]) else f"has check digit {code[-1]}, it must be {right}"


def parse_barcode(text: str) -> Barcode:
    """The parts of a barcode; raises BarcodeError (unknown_ai, twice, check_digit, bad_date, bad_value, empty)."""
    found: dict[str, str] = {}
    plain = text.strip(" \t\r\n")
    for ai, value in _bracketed(plain) if plain.startswith("(") else _raw(_SYMBOLOGY.sub("", plain, count=1)):
        if ai in found and found[ai] != value:
            raise BarcodeError("twice", f"({ai}) stands twice, as {found[ai]} and as {value}")
        found[ai] = _checked(ai, value)
    if not found:
        raise BarcodeError("empty", "there is no element in it")
    dates = {ai: _date(ai, found[ai]) for ai in ("11", "17") if ai in found}
    named = {"00", "01", "10", "11", "17", "21"}
    return Barcode(
        found.get("01"),
        dates.get("17"),
        found.get("10"),
        found.get("21"),
        found.get("00"),
        dates.get("11"),
        {ai: value for ai, value in found.items() if ai not in named},
    )


_BRACKET = re.compile(r"\((\d{2,4})\)")


def _bracketed(text: str) -> Iterator[tuple[str, str]]:
    """``(01)...(17)...``. A bracket inside a value counts as one only where a known AI stands in it."""
    marks = [m for m in _BRACKET.finditer(text) if m[1] in _AIS or m.start() == 0]
    if not marks:
        raise BarcodeError("unknown_ai", "does not begin with an application identifier in brackets")
    for this, following in zip(marks, [*marks[1:], None], strict=True):
        yield this[1], text[this.end() : len(text) if following is None else following.start()].rstrip(GS)


def _raw(text: str) -> Iterator[tuple[str, str]]:
    rest = text.removeprefix(GS)
    while rest:
        ai = next((rest[:n] for n in (2, 3, 4) if rest[:n] in _AIS), None)
        if ai is None:
            raise BarcodeError("unknown_ai", f"{rest[:4]!r} begins with no application identifier that is known here")
        length = _AIS[ai][1]
        rest = rest[len(ai) :]
        if length is None:
            value, _, rest = rest.partition(GS)
        else:
            value, rest = rest[:length], rest[length:].removeprefix(GS)
        yield ai, value


def _checked(ai: str, value: str) -> str:
    if ai not in _AIS:
        raise BarcodeError("unknown_ai", f"({ai}) is not known here")
    length = _AIS[ai][1]
    if ai in ("00", "01", "02"):
        problem = _key_problem(value, length or 0, "SSCC" if ai == "00" else "GTIN")
        if problem:
            raise BarcodeError("check_digit" if "check digit" in problem else "bad_value", f"({ai}){value} {problem}")
    elif length is not None and not (len(value) == length and value.isascii() and value.isdigit()):
        raise BarcodeError("bad_value", f"({ai}){value} is not {length} digits")
    elif length is None and not _TEXT.fullmatch(value):
        raise BarcodeError("bad_value", f"({ai}) {value!r} is not 1 to {_LONGEST} characters of GS1's set")
    return value


def _date(ai: str, value: str) -> date:
    """YYMMDD; day 00 is the last day of the month. Years 51 to 99 are the last century's (for dates of today)."""
    year, month, day = int(value[:2]), int(value[2:4]), int(value[4:])
    year += 1900 if year > 50 else 2000
    try:
        if day:
            return date(year, month, day)
        following = date(year + month // 12, month % 12 + 1, 1)
    except ValueError as error:
        raise BarcodeError("bad_date", f"({ai}){value} is no date") from error
    return following - timedelta(days=1)
