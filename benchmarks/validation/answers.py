"""One answer beside another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How the two compare."""

    AGREES = "agrees"  # within the tolerance
    EXPLAINED = "explained"  # not, and what the source itself holds shows why
    UNTESTED = "not tested"  # the source holds too little to say anything
    INTENT = "by intent"  # we decided otherwise, and say where
    DIFFERS = "DIFFERS"  # fails the command


@dataclass(frozen=True, slots=True)
class Answer:
    """``subject`` is a file or a published table; ``tolerance`` was stated before the comparison."""

    subject: str
    what: str
    theirs: str
    ours: str
    tolerance: str
    outcome: Outcome
    why: str = ""


def number(subject: str, what: str, theirs: float, ours: float | None, tolerance: float, digits: int = 3) -> Answer:
    """Two numbers that must be as close as the tolerance."""
    close = ours is not None and abs(ours - theirs) <= tolerance
    return Answer(
        subject,
        what,
        f"{theirs:.{digits}f}",
        "-" if ours is None else f"{ours:.{digits}f}",
        f"{tolerance:g}",
        Outcome.AGREES if close else Outcome.DIFFERS,
    )


def same(subject: str, what: str, theirs: object, ours: object) -> Answer:
    """Two words that must be equal."""
    return Answer(
        subject, what, str(theirs), str(ours), "equal", Outcome.AGREES if theirs == ours else Outcome.DIFFERS
    )


def failures(answers: Iterable[Answer]) -> list[Answer]:
    return [a for a in answers if a.outcome is Outcome.DIFFERS]
