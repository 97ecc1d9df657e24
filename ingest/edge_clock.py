"""An edge's clock as the receiver sees it. Pure (decision 0015 has the edge's side, 0016 this one).

An upload says when it was sent; what is received fresh (it did not wait at the broker) was sent a moment ago. So

    lag = received - sent = transport time - how far the edge's clock is ahead

Transport takes time and never less than none: the least of the last few lags bounds the clock from both sides. A lag
below zero is a clock ahead. A lag of a minute and more in each of five messages in a row is a clock behind, for links
are slow now and then, not every time.
"""

from __future__ import annotations

from dataclasses import dataclass

KEPT = 5
AHEAD_SURE = 2
# A message may be stamped a moment before its clock is corrected; and our own clock has its error too.
AHEAD_TOLERANCE_MS = 2_000
BEHIND_TOLERANCE_MS = 60_000


@dataclass(frozen=True, slots=True)
class ClockView:
    """The last lags of one edge's fresh messages, oldest first, and since when its clock looks wrong (0: it does not)."""

    lags_ms: tuple[int, ...] = ()
    since_ms: int = 0
    synced: bool = False
    max_error_ms: int = 0

    @property
    def off_ms(self) -> int:
        """How far the edge's clock is ahead (+) or behind (-) of ours; 0 while nothing can be said against it."""
        if len(self.lags_ms) < AHEAD_SURE:
            return 0
        least = min(self.lags_ms)
        if max(self.lags_ms[-AHEAD_SURE:]) < -(AHEAD_TOLERANCE_MS + self.max_error_ms):
            return -least
        if len(self.lags_ms) == KEPT and least > BEHIND_TOLERANCE_MS + self.max_error_ms:
            return -least
        return 0


def observed(
    view: ClockView, sent_at_ms: int, received_at_ms: int, *, synced: bool, max_error_ms: int | None
) -> ClockView:
    """The view after one more fresh message."""
    lags = (*view.lags_ms, received_at_ms - sent_at_ms)[-KEPT:]
    seen = ClockView(lags, view.since_ms, synced, max_error_ms or 0)
    if not seen.off_ms:
        return ClockView(lags, 0, synced, max_error_ms or 0)
    return seen if seen.since_ms else ClockView(lags, received_at_ms, synced, max_error_ms or 0)


@dataclass(frozen=True, slots=True)
class ClockOff:
    """An edge whose clock is ahead (+) or behind (-) of the receiver's; ``synced`` is what the edge claims."""

    site: str
    edge: str
    off_ms: int
    since_ms: int
    synced: bool
