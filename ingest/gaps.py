"""When to ask for what is missing. Pure: it is handed the missing numbers and the time, and says what to send.

An edge re-sends by itself what has no receipt; a gap that stays is one whose receipt was seen but whose data are
not here (a journal restored from a backup), or a tail that waits for the next upload. So: wait, then ask, then ask
again ever more rarely.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ingest.epochs import EpochKey
from telemetry.contract import Request
from telemetry.readings import Ranges


@dataclass(slots=True)
class _Gap:
    missing: Ranges
    ask_at_ms: int
    delay_ms: int


@dataclass(slots=True)
class GapWatch:
    """``wait_ms`` before the first request, then ``again_ms`` doubling up to ``longest_ms``.

    It starts over when something of the gap arrived. ``max_spans`` bounds one request. Memory only: after a
    restart it asks once more, which does no harm. ``new_id`` names a request.
    """

    wait_ms: int = 60_000
    again_ms: int = 600_000
    longest_ms: int = 86_400_000
    max_spans: int = 500
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex
    _gaps: dict[EpochKey, _Gap] = field(default_factory=dict)

    def due(self, missing: Mapping[EpochKey, Ranges], now_ms: int) -> list[tuple[EpochKey, Request]]:
        """The requests to send now. ``missing`` holds the current epoch of every edge, empty ranges included."""
        requests: list[tuple[EpochKey, Request]] = []
        for key, numbers in missing.items():
            if not numbers:
                self._gaps.pop(key, None)
                continue
            gap = self._gaps.get(key)
            if gap is None or gap.missing - numbers:
                self._gaps[key] = _Gap(numbers, now_ms + self.wait_ms, self.again_ms)
            elif now_ms >= gap.ask_at_ms:
                wanted = Ranges(numbers.spans[: self.max_spans])
                requests.append((key, Request(self.new_id(), wanted)))
                self._gaps[key] = _Gap(numbers, now_ms + gap.delay_ms, min(2 * gap.delay_ms, self.longest_ms))
        return requests
