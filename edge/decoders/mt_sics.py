r"""MT-SICS level 0/1 (Mettler-Toledo, also Ohaus and Sartorius industrial models): answers to S, SI and TA. Sources:
the public tests of Atlantis-Software/mt-sics and InstrumentKit; vectors MT1 to MT15 of facts/devices.md 3.1.

::

    S   S      100.00 g CR LF       stable (net, once a tare is set)     TA A 2.486 g CR LF     the tare
    S   D      129.07 g             moving                               S I                    not now
    S   +                           overload      S -   underload        ES ET EL               errors
    |   |      |      +- unit       I4 A "1234567"                       said unasked at power-on
    |   |      +-------- weight
    |   +--------------- status
    +------------------- id

Split on blanks, never by column: real devices pad differently. ``S`` then ``TA`` in one cycle make a weighing:
gross = net + tare. The protocol does not say whether a tare was measured or typed in; it is called measured.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from edge.decoders.frames import Basis, FrameError, Stability, WeightFrame

STABLE_WEIGHT = b"S\r\n"
WEIGHT_NOW = b"SI\r\n"
TARE = b"TA\r\n"
_FACTORS = {"kg": Decimal(1), "g": Decimal("0.001"), "mg": Decimal("0.000001"), "t": Decimal(1000)}
_DIGITS = re.compile(r"[+-]?[0-9]{1,12}(?:\.[0-9]{0,6})?")
_ERRORS = {"ES": "the scale does not know the command", "ET": "transmission error", "EL": "logic error"}


class Status(StrEnum):
    """Token 2 of an answer."""

    STABLE = "S"
    DYNAMIC = "D"
    DONE = "A"
    MORE = "B"
    NOT_NOW = "I"
    WRONG = "L"
    OVER = "+"
    UNDER = "-"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer line; ``mass_kg`` and ``step_kg`` only where it carries a weight, ``text`` only where it has one."""

    id: str
    status: Status
    mass_kg: Decimal | None = None
    step_kg: Decimal | None = None
    text: str = ""


def decode(line: bytes) -> Answer:
    """One answer; raises FrameError(error_answer|no_frame|bad_weight|unknown_unit)."""
    try:
        words = line.decode("ascii").split()
    except UnicodeDecodeError as error:
        raise FrameError("no_frame", line.hex()) from error
    if len(words) == 1 and words[0] in _ERRORS:
        raise FrameError("error_answer", _ERRORS[words[0]])
    if len(words) < 2 or words[1] not in set(Status):
        raise FrameError("no_frame", line.hex())
    name, status = words[0], Status(words[1])
    if status not in (Status.STABLE, Status.DYNAMIC, Status.DONE) or len(words) == 2:
        return Answer(name, status)
    if name.startswith(("I", "@")):
        return Answer(name, status, text=" ".join(words[2:]).strip('"'))
    if len(words) != 4:
        raise FrameError("bad_weight", line.hex())
    mass_kg, step_kg = _weight(words[2], words[3])
    return Answer(name, status, mass_kg, step_kg)


def _weight(digits: str, unit: str) -> tuple[Decimal, Decimal]:
    factor = _FACTORS.get(unit)
    if factor is None:
        raise FrameError("unknown_unit", unit)
    if not _DIGITS.fullmatch(digits):  # Decimal itself would take 1E9, 1_0, NaN and Arabic digits
        raise FrameError("bad_weight", digits)
    shown = Decimal(digits)
    return shown * factor, Decimal(1).scaleb(int(shown.as_tuple().exponent)) * factor


_STABILITY = {
    Status.STABLE: Stability.STABLE,
    Status.DYNAMIC: Stability.UNSTABLE,
    Status.NOT_NOW: Stability.UNSTABLE,
    Status.OVER: Stability.OVERLOAD,
    Status.UNDER: Stability.UNDERLOAD,
}


def weight_frame(weight: Answer, raw: bytes, tare: Answer | None = None) -> WeightFrame:
    """A cycle as one frame: the answer to S (or SI) and, for a stable weight, the answer to TA."""
    stability = _STABILITY.get(weight.status)
    if (
        weight.id not in ("S", "SI")
        or stability is None
        or (stability is Stability.STABLE and weight.mass_kg is None)
    ):
        raise FrameError("no_frame", raw.hex())
    mass_kg = weight.mass_kg if stability in (Stability.STABLE, Stability.UNSTABLE) else None
    if tare is None:
        return WeightFrame(stability, Basis.NET, mass_kg, weight.step_kg, raw)
    if tare.id != "TA" or tare.status is not Status.DONE or tare.mass_kg is None:
        raise FrameError("no_frame", raw.hex())
    return WeightFrame(stability, Basis.NET, mass_kg, weight.step_kg, raw, tare.mass_kg)
