"""GS1 keys: the check digit of a GTIN-14 or SSCC-18 (GS1 General Specifications; facts/cold-chain.md 6, 40). Pure.

From the right, weights 3, 1, 3, ...; the sum with the digit is a multiple of ten.
"""

from __future__ import annotations


def check_digit(digits: str) -> int:
    """The GS1 check digit of the digits before it."""
    total = sum(int(d) * (3 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits)))
    return -total % 10


def gtin_problem(code: str) -> str:
    """Why this is no GTIN-14, or ""."""
    return key_problem(code, 14, "GTIN")


def key_problem(code: str, length: int, name: str) -> str:
    """Why this is no GS1 key of ``length`` digits (``name`` is said), or ""."""
    if not (len(code) == length and code.isascii() and code.isdigit()):
        return f"is not the {length} digits of a {name}"
    right = check_digit(code[:-1])
    return "" if right == int(code[-1]) else f"has check digit {code[-1]}, it must be {right}"
