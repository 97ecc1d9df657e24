"""Holes in a stream that a device's memory may fill. Pure; kept as an outbox hint until they are read.

A hole opens when a packet is taken more than ``HOLE_INTERVALS`` intervals after the one before, both by a synced
clock, and is committed with that packet. It closes only when the device said "that was all" for it.
"""

from __future__ import annotations

import json

HOLE_INTERVALS = 1.5
Hole = tuple[int, int]  # from_ms, to_ms: times of the readings on its two sides


def hole_between(last_ms: int | None, now_ms: int | None, interval_s: int | None) -> Hole | None:
    """The hole between two packets, or None."""
    if last_ms is None or now_ms is None or interval_s is None:
        return None
    return (last_ms, now_ms) if now_ms - last_ms > HOLE_INTERVALS * interval_s * 1000 else None


def dump(holes: tuple[Hole, ...]) -> str:
    return json.dumps(holes, separators=(",", ":"))


def load(text: str | None) -> tuple[Hole, ...]:
    return tuple((int(low), int(high)) for low, high in json.loads(text)) if text else ()


def read_up_to(holes: tuple[Hole, ...], hole: Hole, at_ms: int | None) -> tuple[Hole, ...]:
    """The holes once ``hole`` is read up to ``at_ms``, or to its end (None)."""
    rest = tuple(h for h in holes if h != hole)
    if at_ms is None or at_ms >= hole[1]:
        return rest
    return ((max(hole[0], at_ms), hole[1]), *rest)


def hint_key(serial: str) -> str:
    return f"holes:{serial}"
