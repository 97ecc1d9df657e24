"""GS1 barcodes of vaccine packs: what a scanner or a person types, read into its parts (cold-chain 4.2 and 6, 40). Pure.

    (01)08991234000015(17)271130(10)PB2411A(21)000123        as printed, with brackets, often with spaces between elements
    ]d2 01 08991234000015 17 271130 10 PB2411A <GS> 21 000123 as a scanner sends it, FNC1 as ASCII 29 (no spaces)

Element strings: an application identifier (AI), then its value, of fixed length (01, 17, 11, ...) or up to a GS (10, 21).
    8991234000012, ]E08991234000012                             a plain barcode (EAN-13 and its kin): a GTIN and no batch number
    https://id.gs1.org/01/08991234000015/10/PB2411A?17=271130   a GS1 Digital Link: parts in its path, and after the "?"

Many scanners that type cannot type ASCII 29 and are set to send something readable for it, which is read as it.
AI list from memory, data content confirmed by [S68]; day 00 of a date is the last day of its month (from memory).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from telemetry.gtin import check_digit, key_problem

GS = "\x1d"
MAX_SIGNS = 200
"""More than any label of a pack holds (a GS1-128 has 48 signs, a pack's DataMatrix four or five elements)."""
_STAND_INS = re.compile(r"\u241d|<GS>|\{GS\}|\[GS\]|\^\]")
"""How scanners and clipboards write a GS (from memory): but for <GS> in signs that no batch number can hold."""
_SYMBOLOGY = re.compile(r"^\](?:d2|C1|Q3|e0|J1)")
"""What scanners put before: GS1 DataMatrix, GS1-128, GS1 QR, GS1 DataBar, GS1 DotCode."""

_PLAIN = re.compile(r"(?:\](?:E[0-4]|I1|C0|X0))?(\d{12,14}|(?<=\]E4)\d{8})")
"""EAN-13, UPC-A, ITF-14 (EAN-8 only where the scanner names it: eight digits may be an element too)."""
_LINK = re.compile(r"https?://[^/?#]+(?:/[^?#]*?)??/01/([^?#]*)(?:\?([^#]*))?", re.IGNORECASE)
_WEB = re.compile(r"https?://", re.IGNORECASE)
_PERCENT = re.compile(r"%([0-7][0-9A-Fa-f])")

_SPACES = " \t\r\n"

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
    """``reason``: a stable word; the message says what is wrong; ``element``: the part of the code it is about, or ""."""

    def __init__(self, reason: str, message: str, element: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.element = element


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


def starts_an_element(text: str) -> bool:
    """Whether a text could be a further element: a known AI of a variable or fixed length, and something after it."""
    return any(len(text) > n and text[:n] in _AIS for n in (2, 3, 4))


def parse_barcode(text: str) -> Barcode:
    """The parts of a barcode; raises BarcodeError.

    Its reasons: too_long, unknown_ai, twice, check_digit, bad_date, bad_value, empty, no_link.
    """
    if len(text) > MAX_SIGNS:
        raise BarcodeError("too_long", f"{len(text)} signs, a pack's code has at most {MAX_SIGNS}")
    found: dict[str, str] = {}
    plain = _SYMBOLOGY.sub("", _STAND_INS.sub(GS, text).strip(_SPACES), count=1).lstrip(_SPACES + GS)
    for ai, value in _elements(plain):
        if ai in found and found[ai] != value:
            raise BarcodeError("twice", f"({ai}) stands twice, as {found[ai]} and as {value}", f"({ai})")
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


def _elements(text: str) -> Iterator[tuple[str, str]]:
    if (bare := _PLAIN.fullmatch(text)) and (text.startswith("]") or check_digit(bare[1][:-1]) == int(bare[1][-1])):
        return iter([("01", bare[1].zfill(14))])
    if _WEB.match(text):
        return _linked(text)
    return _bracketed(text) if text.startswith("(") else _raw(text)


def _linked(text: str) -> Iterator[tuple[str, str]]:
    """A Digital Link: ``/01/GTIN`` and further AIs with their values in the path, more as ``AI=value`` behind it.

    What else an address holds (``linkType=``, an AI that is not known here) says nothing of the pack.
    """
    link = _LINK.match(text)
    if link is None:
        raise BarcodeError("no_link", "a web address without /01/ and a GTIN")
    path = ["01", *link[1].rstrip("/").split("/")]
    pairs = [*zip(path[::2], path[1::2], strict=False)]
    pairs += [(ai, value) for ai, _, value in (part.partition("=") for part in re.split("[&;]", link[2] or ""))]
    for ai, value in pairs:
        if ai in _AIS:
            plain = _PERCENT.sub(lambda m: chr(int(m[1], 16)), value)
            yield ai, plain.zfill(14) if ai == "01" and len(plain) in (8, 12, 13) else plain


_BRACKET = re.compile(r"\((\d{2,4})\)")


def _bracketed(text: str) -> Iterator[tuple[str, str]]:
    """``(01)...(17)...``. A bracket inside a value counts as one only where a known AI stands in it.

    Spaces around a value are the label's: no sign of GS1's set is a space.
    """
    marks = [m for m in _BRACKET.finditer(text) if m[1] in _AIS or m.start() == 0]
    if not marks:
        raise BarcodeError("unknown_ai", "does not begin with an application identifier in brackets")
    for this, following in zip(marks, [*marks[1:], None], strict=True):
        yield this[1], text[this.end() : len(text) if following is None else following.start()].strip(_SPACES + GS)


def _raw(text: str) -> Iterator[tuple[str, str]]:
    rest = text
    while rest := rest.lstrip(GS):
        ai = next((rest[:n] for n in (2, 3, 4) if rest[:n] in _AIS), None)
        if ai is None:
            raise BarcodeError(
                "unknown_ai", f"{rest[:4]!r} begins with no application identifier that is known here", rest[:4]
            )
        length = _AIS[ai][1]
        rest = rest[len(ai) :]
        if length is None:
            value, _, rest = rest.partition(GS)
        else:
            value, rest = rest[:length], rest[length:]
        yield ai, value


def _checked(ai: str, value: str) -> str:
    if ai not in _AIS:
        raise BarcodeError("unknown_ai", f"({ai}) is not known here", f"({ai})")
    length = _AIS[ai][1]
    if ai in ("00", "01", "02"):
        problem = key_problem(value, length or 0, "SSCC" if ai == "00" else "GTIN")
        if problem:
            reason = "check_digit" if "check digit" in problem else "bad_value"
            raise BarcodeError(reason, f"({ai}){value} {problem}", f"({ai}){value}")
    elif length is not None and not (len(value) == length and value.isascii() and value.isdigit()):
        raise BarcodeError("bad_value", f"({ai}){value} is not {length} digits", f"({ai}){value}")
    elif length is None and not _TEXT.fullmatch(value):
        raise BarcodeError(
            "bad_value", f"({ai}) {value!r} is not 1 to {_LONGEST} characters of GS1's set", f"({ai}){value}"
        )
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
        raise BarcodeError("bad_date", f"({ai}){value} is no date", f"({ai}){value}") from error
    return following - timedelta(days=1)
