"""Whether what is heard now may be old, because this process did not run for a while. Pure; seconds of any steady clock.

An agent that was starved, swapped out or stopped finds what came meanwhile waiting in its sockets, and would date it
all "now" (found by the kill campaign: adverts up to the length of a SIGSTOP too late). So somebody beats while the
loop turns; when the beats stay out, what is heard is of unknown age until the backlog has drained. An advert comes
again and a probe can be asked again: neither is worth a false date. A bag on a scale does not come again: its weighing
is kept, and says by how much its time may be wrong (``age_s``).
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
    stood_s: float = 0.0

    def beat(self, now_s: float) -> None:
        if now_s - self.last_beat_s > LIMIT_S:
            self.stale_until_s = now_s + DRAIN_S
            self.stood_s = now_s - self.last_beat_s
        self.last_beat_s = now_s

    def stale(self, now_s: float) -> bool:
        return self.age_s(now_s) > 0

    def age_s(self, now_s: float) -> float:
        """How old at most is what is heard now; 0 while the loop turns."""
        since_s = now_s - self.last_beat_s
        if since_s > LIMIT_S:
            return since_s
        return self.stood_s + DRAIN_S if now_s < self.stale_until_s else 0.0
