"""Whether what is heard now may be old, because this process did not run for a while. Pure; seconds of any steady clock.

An agent that was starved, swapped out or stopped finds what came meanwhile waiting in its sockets, and would date it
all "now" (found by the kill campaign: adverts up to the length of a SIGSTOP too late). So somebody beats while the
loop turns; when the beats stay out, what is heard is of unknown age until the backlog has drained. An advert comes
again and a probe can be asked again: neither is worth a false date.
"""

from __future__ import annotations

from dataclasses import dataclass

BEAT_S = 0.2
LIMIT_S = 1.0
DRAIN_S = 0.5


@dataclass(slots=True)
class Stall:
    """``beat`` every ``BEAT_S``; ``stale`` at each hearing."""

    last_beat_s: float
    stale_until_s: float = float("-inf")

    def beat(self, now_s: float) -> None:
        if now_s - self.last_beat_s > LIMIT_S:
            self.stale_until_s = now_s + DRAIN_S
        self.last_beat_s = now_s

    def stale(self, now_s: float) -> bool:
        return now_s - self.last_beat_s > LIMIT_S or now_s < self.stale_until_s
