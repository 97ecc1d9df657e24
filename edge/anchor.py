"""Clock anchors: the moment at which a boot's clock is known good (devices.md 7).

When the kernel says "synced" for the first time in a boot, the event ``clock_anchored`` {boot_id, boottime_ns,
utc_ms, max_error_ms, source} is a fact of its own, and undated facts of the same boot that were not sent yet are
dated: utc of a fact = anchor + difference of CLOCK_BOOTTIME. Facts sent undated keep their stamp; the server dates
them by the same event and the same sum. A boot that never gets an anchor stays undated. The raw stamp is never
rewritten.
"""

from __future__ import annotations

import logging

from edge.clock_guard import REFERENCE_HINT, reference_of
from edge.outbox import Outbox
from telemetry.clock import Clock, stamp
from telemetry.readings import CLOCK_ANCHORED, Event, Sync

log = logging.getLogger(__name__)
_HINT = "anchor"


class Anchorer:
    """Looks at the clock when asked; ``synced`` is the last look's answer."""

    def __init__(self, edge: str, clock: Clock, outbox: Outbox) -> None:
        self._edge = edge
        self._clock = clock
        self._outbox = outbox
        self._anchored_boot = outbox.hint(_HINT)
        self.synced = False

    def anew(self) -> None:
        """The clock stepped and its new time is believed (edge/clock_guard.py): it anchors this boot once more."""
        self._anchored_boot, self.synced = None, False

    def look(self, sent_to: int) -> bool:
        """Anchor this boot if it has none and its clock is good; True if facts changed.

        ``sent_to`` is the highest number that was sent: facts up to it are not dated here (see the module).
        """
        state, max_error_ms = self._clock.sync()
        was, self.synced = self.synced, state is Sync.SYNCED
        boot_id = self._clock.boot_id()
        if not self.synced or (was and self._anchored_boot == boot_id):
            return False
        now = stamp(self._clock)
        count = self._outbox.date_undated(boot_id, now.boottime_ns, now.wall_ms, sent_to)
        if count:
            log.info("the clock is synced: %d undated facts of this boot dated", count)
        if self._anchored_boot == boot_id:
            return count > 0
        detail: dict[str, str | int | None] = {
            "boot_id": boot_id,
            "boottime_ns": now.boottime_ns,
            "utc_ms": now.wall_ms,
            "max_error_ms": max_error_ms,
            "source": "adjtimex",
        }
        hints = {_HINT: boot_id, REFERENCE_HINT: reference_of(now).to_text()}
        self._outbox.append([Event(CLOCK_ANCHORED, self._edge, now.wall_ms, now, detail)], hints)
        self._anchored_boot = boot_id
        return True
