"""What a message may hold at most, and the checks of single fields that both encodings share.

Every check raises ContractError with its reason; whole columns are checked at C speed first, and entry by entry only
where that fails, to say which entry it was.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import TypeVar

from telemetry.errors import ContractError
from telemetry.readings import Origin, Quality, Ranges, Sync

MAX_PAYLOAD_BYTES = 1 << 20
MAX_FACTS = 10_000
MAX_SPANS = 10_000
MAX_MS = 1 << 43  # year 2248: beyond it a time is a fault, not a date
MAX_INT = 1 << 62
MAX_MILLI = 1_000_000_000_000  # exclusive: a value is below 1e9
_PLACES = Decimal("0.001")

_E = TypeVar("_E", Origin, Quality, Sync)


def thousandths(value: Decimal) -> int:
    """The value in thousandths, exactly; raises ContractError("bad_value")."""
    try:
        if value.is_finite() and abs(value) < 1_000_000_000 and value == value.quantize(_PLACES):
            return int(value * 1000)
    except ArithmeticError:
        pass
    raise ContractError("bad_value", "a value has more than 3 places or is too large")


def text(value: object, key: str, limit: int = 128) -> str:
    """A text that is there, and not too long."""
    if not isinstance(value, str) or not value or len(value) > limit:
        raise ContractError("bad_field", f"{key} is {value!r}, wanted a text of 1 to {limit} signs"[:160])
    return value


def whole(value: object, key: str, low: int = 0, high: int = MAX_INT) -> int:
    """A whole number within its bounds (true and false are none)."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ContractError("bad_field", f"{key} is {str(value)[:40]}, wanted a whole number {low}..{high}")
    return value


def maybe_whole(value: object, key: str, low: int = 0, high: int = MAX_INT) -> int | None:
    """The same, or None."""
    return None if value is None else whole(value, key, low, high)


def all_whole(values: Sequence[object], low: int = 0, high: int = MAX_INT) -> bool:
    """Whether ``whole`` takes every entry. Bools are not told from numbers here: the caller knows that none came."""
    try:
        struct.pack(f"<{len(values)}Q", *values)  # refuses all but whole numbers 0..2^64-1, at C speed
    except struct.error:
        return False
    # after pack these are ints
    return not values or (low <= min(values) and max(values) <= high)  # type: ignore[type-var, operator]


def choice(kind: type[_E], value: object, key: str) -> _E:
    """The member that ``value`` names."""
    try:
        if isinstance(value, str):
            return kind(value)
    except ValueError:
        pass
    raise ContractError("bad_field", f"{key} is {value!r}"[:120])


def spans(value: object, key: str) -> Ranges:
    """``[[low, high], ...]``; raises ContractError("bad_ranges")."""
    if not isinstance(value, list) or len(value) > MAX_SPANS:
        raise ContractError("bad_ranges", f"{key} is not a list of at most {MAX_SPANS} ranges")
    found: list[tuple[int, int]] = []
    for span in value:
        if not isinstance(span, list) or len(span) != 2:
            raise ContractError("bad_ranges", f"{key} holds {span!r}"[:120])
        low, high = whole(span[0], key, 1), whole(span[1], key, 1)
        if low > high:
            raise ContractError("bad_ranges", f"{key} holds {span!r}"[:120])
        found.append((low, high))
    return Ranges(found)


def numbers_as_ranges(numbers: Sequence[int]) -> Ranges:
    """The ranges that hold exactly these numbers; one that stands twice is refused ("bad_ranges")."""
    distinct = set(numbers)
    if len(distinct) != len(numbers):
        raise ContractError("bad_ranges", "a number stands twice")
    if not numbers:
        return Ranges()
    low, high = min(numbers), max(numbers)
    return Ranges.one(low, high) if high - low + 1 == len(numbers) else Ranges.of(distinct)
