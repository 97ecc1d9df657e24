"""How much of one edge's poison is kept. Pure.

A message that is refused as a whole is never receipted: who sent it has it still and sends it again, with another
sending time, for ever. To keep every one would fill the records' disk. So of one edge and one reason a hundred are kept,
then one every five minutes; the rest is counted. What names a number of its own (and is thereby settled) is not
counted here.
"""

from __future__ import annotations

from collections import OrderedDict

BURST = 100
REFILL_MS = 5 * 60 * 1000
MAX_KEYS = 10_000


class Flood:
    """Memory only: after a restart a hundred more are kept."""

    def __init__(self) -> None:
        self._left: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()

    def keeps(self, site: str, edge: str, reason: str, at_ms: int) -> bool:
        """Whether one more message of this edge, refused for this reason, is to be kept."""
        key = (site, edge, reason)
        left, since_ms = self._left.pop(key, (float(BURST), at_ms))
        left = min(float(BURST), left + max(0, at_ms - since_ms) / REFILL_MS)
        kept = left >= 1
        self._left[key] = (left - 1 if kept else left, max(at_ms, since_ms))
        if len(self._left) > MAX_KEYS:
            self._left.popitem(last=False)
        return kept
