r"""The ``ST/US,GS/NT`` lines of CAS and A&D indicators and their many relatives; one pattern for all.

::

    S T , G S , 0 Ä , 0 0 0 0 1 3 . 5   k g CR LF      CAS 22 bytes (CI-600D manual p. 75)
    S T , + 0 0 0 1 . 2 3 4   k g CR LF                A&D standard format (GC manual p. 51)
    ^     ^   ^ ^   ^                   ^
    |     |   | |   |                   +- unit: kg or g; anything else is refused
    |     |   | |   +--------------------- sign, digits, point
    |     |   | +------------------------- lamp byte, bit 7 set: a byte >= 0x80, so these are bytes and not text
    |     |   +--------------------------- device id
    |     +------------------------------- GS gross, NT net (A&D: absent, or OK/HI/LO of a comparator)
    +------------------------------------- ST stable, US unstable, OL overload, QT counting pieces

The pattern is tried from the right end of the line leftwards: half a frame glued in front costs nothing. Any line
whose last header is OL is overload: its digits look like a weight and are none (facts/devices.md 3.3, 3.4).
"""

from __future__ import annotations

import re
from decimal import Decimal

from edge.decoders.frames import Basis, FrameError, Stability, WeightFrame

_HEADER = re.compile(rb"ST,|US,|OL,|QT,")
_FRAME = re.compile(
    rb"(ST|US|OL|QT),(?:(GS|NT|OK|HI|LO|--),)?(?:..,)?\s*([+-]?)\s*([0-9]{1,12}(?:\.[0-9]{0,6})?)\s*([A-Za-z%]+)\s*",
    re.DOTALL,
)
_MAX_LINE = 256
_UNITS = {b"kg": Decimal(1), b"g": Decimal("0.001")}
_BASIS = {b"GS": Basis.GROSS, b"NT": Basis.NET}


def decode(line: bytes) -> WeightFrame:
    """The frame at the end of ``line``; raises FrameError(too_long|no_frame|unknown_unit|counting)."""
    if len(line) > _MAX_LINE:
        raise FrameError("too_long", f"{len(line)} bytes")
    for header in reversed(list(_HEADER.finditer(line))):
        raw = line[header.start() :].rstrip(b"\r\n")
        if raw.startswith(b"OL"):
            return WeightFrame(Stability.OVERLOAD, Basis.UNKNOWN, None, None, raw)
        match = _FRAME.fullmatch(raw)
        if match is not None:
            return _frame(match, raw)
    raise FrameError("no_frame", line[:40].hex())


def _frame(match: re.Match[bytes], raw: bytes) -> WeightFrame:
    head, kind, sign, digits, unit = match.groups()
    if head == b"QT":
        raise FrameError("counting", "the indicator counts pieces (QT); switch it to weighing")
    factor = _UNITS.get(unit.lower())
    if factor is None:
        raise FrameError("unknown_unit", unit.decode("ascii", "replace"))
    shown = Decimal(digits.decode())
    step = Decimal(1).scaleb(min(0, int(shown.as_tuple().exponent)))
    mass_kg = (-shown if sign == b"-" else shown) * factor
    stability = Stability.STABLE if head == b"ST" else Stability.UNSTABLE
    return WeightFrame(stability, _BASIS.get(kind, Basis.UNKNOWN), mass_kg, step * factor, raw)
