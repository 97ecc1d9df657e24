"""How a number is written for a person: the one place, for pages, commands, pictures and messages."""

from __future__ import annotations

from decimal import Decimal


def written(value: Decimal, *, comma: bool) -> str:
    """All its places, a real minus sign, and the decimal comma of Bahasa Indonesia (``−0,50``) or a point (``−0.50``)."""
    text = f"{value:f}".replace("-", "−")
    return text.replace(".", ",") if comma else text
