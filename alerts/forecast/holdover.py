"""How long an equipment stayed in range in a power cut: remembered, and used for the next one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

KEEP = 8  # cuts remembered
POINTS = 64  # readings kept of each
SHORTEST_MS = 15 * 60_000  # a shorter cut teaches nothing
# What was above the limit for less than this and came back was stock put in, not the end of the cold.
WARM_STOCK_MS = 2 * 3_600_000


@dataclass(frozen=True, slots=True)
class Holdover:
    """One power cut. ``held_ms``: from its beginning until the limit was passed; else, with ``passed`` False, until
    mains came back: it would have held longer. ``curve``: (ms since the beginning, thousandths of a degree), thinned.
    """

    began_ms: int
    ended_ms: int
    limit_m: int
    held_ms: int
    passed: bool
    curve: tuple[tuple[int, int], ...]

    def warmest_by(self, elapsed_ms: int) -> int | None:
        """The warmest it had been by then; None where the cut was over."""
        if elapsed_ms > self.ended_ms - self.began_ms:
            return None
        i = bisect_right(self.curve, (elapsed_ms, 1 << 40))
        return max((v for _, v in self.curve[: i + 1]), default=None)


def holdover(readings: Sequence[tuple[int, int]], began_ms: int, ended_ms: int, limit_m: int) -> Holdover | None:
    """What one cut taught; None for a short one, or without readings in it, or one that began above the limit."""
    inside = [(t - began_ms, v) for t, v in readings if began_ms <= t <= ended_ms]
    if ended_ms - began_ms < SHORTEST_MS or len(inside) < 3 or inside[0][1] > limit_m:
        return None
    passed_ms = _passed_ms(inside, limit_m)
    stride = max(1, len(inside) // POINTS)
    held_ms = ended_ms - began_ms if passed_ms is None else passed_ms
    return Holdover(began_ms, ended_ms, limit_m, held_ms, passed_ms is not None, tuple(inside[::stride]))


def _passed_ms(inside: Sequence[tuple[int, int]], limit_m: int) -> int | None:
    """When the limit was passed, by the middle one of three neighbours (at an end the colder one of two).

    Warm stock put in passes it for an hour and goes back, and noise for a reading: neither was the end of the cold. What
    stayed above for longer was, also where ice packs or a cool night brought the temperature back.
    """
    began_ms: int | None = None
    for i, (t_ms, _) in enumerate(inside):
        near = sorted(v for _, v in inside[max(0, i - 1) : i + 2])
        if near[(len(near) - 1) // 2] <= limit_m:
            began_ms = None
        elif began_ms is None:
            began_ms = t_ms
        elif t_ms - began_ms >= WARM_STOCK_MS:
            break
    return began_ms


@dataclass(frozen=True, slots=True)
class Expected:
    """Remaining time in ms by the cuts before."""

    low_ms: float
    likely_ms: float
    high_ms: float


_RECHARGE_MS = 24 * 3_600_000  # ice is not made anew in less,
_RECHARGE_CUTS = 3  # nor in less than so many times what it lasted: a compressor has the room's heat to carry too
_MARGIN_M = 500


def expected(known: Sequence[Holdover], limit_m: int, began_ms: int, now_ms: int, value_m: int) -> Expected | None:
    """What the cuts before say of this one; None when they do not apply.

    They do not where it is warmer by now than it ever was so long into a cut (less ice, a warm load, a door), where
    the last cut ended too short before this one began (the ice may not be there again), or where it has outlived them
    all.
    """
    known = [h for h in known if h.limit_m == limit_m and h.ended_ms <= began_ms]
    ends = [h.held_ms for h in known if h.passed]
    elapsed_ms = now_ms - began_ms
    if not ends:
        return None
    last = max(known, key=lambda h: h.ended_ms)
    if began_ms - last.ended_ms < max(_RECHARGE_MS, _RECHARGE_CUTS * (last.ended_ms - last.began_ms)):
        return None
    seen = [w for h in known if (w := h.warmest_by(elapsed_ms)) is not None]
    if not seen or value_m > max(seen) + _MARGIN_M:
        return None
    longer = [h.held_ms for h in known if not h.passed]
    likely = max(median(ends), *longer, 0)
    spread = {1: 0.4, 2: 0.35}.get(len(ends), 0.3)  # of few cuts little is known of how they differ
    low = min(ends) * (1 - spread) - elapsed_ms
    high = max(*ends, *longer, 0) * (1 + spread) - elapsed_ms
    if likely <= elapsed_ms:
        return None
    return Expected(max(low, 0.0), likely - elapsed_ms, high)
