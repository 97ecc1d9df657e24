"""Canonical JSON: one value, one text, so that a hash means the value.

Keys sorted, no spaces, UTF-8 as it is; Decimals as texts in plain notation, dates in ISO form, bytes as
``sha256:<hex>``. Floats are refused: they have no one text that everybody agrees on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any


def plain_decimal(value: Decimal) -> Decimal:
    """The same number without exponent and without a negative zero (PostgreSQL keeps neither)."""
    if not value.is_finite():
        raise ValueError(f"{value} is not a number to keep")
    return Decimal(format(value.copy_abs() if value.is_zero() else value, "f"))


def plain(value: Any) -> Any:
    """The value in JSON's own types; raises TypeError for a float and for what JSON cannot say."""
    match value:
        case None | bool() | int():
            return value
        case StrEnum():
            return value.value
        case str():
            return value
        case Decimal():
            return str(plain_decimal(value))
        case date():
            return value.isoformat()
        case bytes():
            return digest(value)
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case Sequence():
            return [plain(item) for item in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return plain(asdict(value))
        case _:
            raise TypeError(f"{value!r} ({type(value).__name__}) cannot be kept exactly; use Decimal, int or text")


def canonical(value: Any) -> str:
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(payload: bytes) -> str:
    return "sha256:" + hashlib.sha256(payload).hexdigest()
