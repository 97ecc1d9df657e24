"""How long to wait before the next try. Pure: the time and the luck are arguments."""

from __future__ import annotations

from dataclasses import dataclass, field

_FIRST_MS = 1_000  # smile-and-waste item 10: 1, 2, 4 ... <= 300 s with jitter
_LONGEST_MS = 300_000
_MINUTE_MS = 60_000


def pause_ms(failures: int, jitter: float) -> int:
    """The pause after this many failures in a row (1 = the first); ``jitter`` in 0..1 takes up to a quarter off."""
    if failures <= 0:
        return 0
    full = min(_LONGEST_MS, _FIRST_MS * 2 ** min(failures - 1, 20))
    return int(full * (1 - jitter / 4))


@dataclass(slots=True)
class MinuteGate:
    """At most ``limit`` calls in any 60 s; after a 429 none for the rest of the minute (duty 27)."""

    limit: int = 450
    _calls_ms: list[int] = field(default_factory=list)
    _closed_until_ms: int = 0

    def wait_ms(self, now_ms: int) -> int:
        """0 when a call may go now, else how long to wait."""
        self._calls_ms = [t for t in self._calls_ms if now_ms - _MINUTE_MS < t <= now_ms]
        full_ms = self._calls_ms[-self.limit] + _MINUTE_MS - now_ms if len(self._calls_ms) >= self.limit else 0
        return max(0, full_ms, self._closed_until_ms - now_ms)

    def called(self, now_ms: int) -> None:
        self._calls_ms.append(now_ms)

    def refused(self, now_ms: int) -> None:
        """A 429 came: the window it counts in began at our oldest call of this minute, or now at the worst."""
        self._closed_until_ms = now_ms + _MINUTE_MS
