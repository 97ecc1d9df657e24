"""MT-SICS level 0/1 answers. Pure.

    S S     100.00 g CR LF          id, status (S stable, D moving, + over, - under, I not now), 10 characters,
    unit

Sources: facts/devices.md 3.1, vectors MT1-MT15 (Atlantis-Software/mt-sics, InstrumentKit): weights are padded to
ten characters after S, SI and T, and stand bare after TA and TI.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum

COMMANDS = ("I0", "I2", "I3", "I4", "S", "SI", "SIR", "T", "TA", "TAC", "TI", "Z", "ZI", "@")
LEVEL_0 = frozenset({"I0", "I2", "I3", "I4", "S", "SI", "SIR", "Z", "ZI", "@"})
SYNTAX_ERROR = b"ES\r\n"


class Said(StrEnum):
    """Second word of an answer."""

    STABLE = "S"
    DYNAMIC = "D"
    DONE = "A"
    NOT_NOW = "I"
    WRONG = "L"
    OVER = "+"
    UNDER = "-"


@dataclass(frozen=True, slots=True)
class Command:
    """One command line: its word and what follows (``2.486 g``)."""

    word: str
    rest: str = ""


def parse_command(line: bytes) -> Command | None:
    """The command, or None for what the balance answers with ES."""
    try:
        text = line.decode("ascii").strip()
    except UnicodeDecodeError:
        return None
    word, _, rest = text.partition(" ")
    if word not in COMMANDS or (rest and word != "TA"):
        return None
    return Command(word, rest.strip())


def preset_of(rest: str, unit: str) -> Decimal | None:
    """The weight after ``TA``, or None when it is not one in our unit."""
    number, _, given = rest.partition(" ")
    try:
        value = Decimal(number)
    except InvalidOperation:
        return None
    return value if given.strip() == unit and value.is_finite() and value >= 0 else None


def weight(word: str, said: Said, value: Decimal, unit: str = "kg") -> bytes:
    """``S S     100.00 g``."""
    return f"{word} {said} {value!s:>10} {unit}\r\n".encode()


def bare_weight(word: str, said: Said, value: Decimal, unit: str = "kg") -> bytes:
    """``TA A 2.486 g``."""
    return f"{word} {said} {value} {unit}\r\n".encode()


def status(word: str, said: Said) -> bytes:
    """``Z A``, ``S +``."""
    return f"{word} {said}\r\n".encode()


def text(word: str, said: str) -> bytes:
    """``I4 A "1234567"``."""
    return f'{word} A "{said}"\r\n'.encode()


def command_list() -> bytes:
    """The answer to I0, one line a command."""
    lines = [f'I0 B {0 if word in LEVEL_0 else 1} "{word}"\r\n' for word in sorted(COMMANDS)]
    return "".join(lines).encode() + b"I0 A\r\n"
