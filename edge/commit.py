"""Group commit: plain readings that come within a short window join one commit, so that flash is spared.

*Accepted* means on disk. A fact that waits in the group is not accepted yet: it has no number, nobody can send it,
and a crash loses it as if the packet had not been heard. Its hint waits with it and goes with it, so no hint is ever
without its fact; until then ``hint`` answers from the group, so that a source does not take a packet twice.

At once, together with all that waits: events, weighings, whatever was read back from a device's memory or a file
(somebody waits for these), hints alone, and a reading beyond its limit (an alarm must not wait). When a commit
fails, what waits stays and is tried again, up to ``edge.grouping.GROUP_FACTS``; then a source is told, as by the outbox itself.

What waits and why is decided in ``edge.grouping``; ``GroupCommit`` is the shell and an ``Outbox``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from edge.grouping import Group, due_ns, joined, why_at_once
from edge.limits import Limits
from edge.outbox import Identity, Outbox, OutboxUsage
from telemetry.clock import Clock
from telemetry.errors import NeighbourDownError
from telemetry.readings import Fact, Numbered, Ranges, Stamp

log = logging.getLogger(__name__)
_RETRY_S = 5.0
_NO_HINTS: Mapping[str, str] = {}


class GroupCommit:
    """An ``Outbox`` before an outbox. ``append`` answers with the numbers that are on disk at return: none while the
    facts wait. ``run`` commits what is due; ``committed`` is called when waiting facts came to disk.
    """

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        after_s: float,
        limits: Limits,
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._after_ns = int(after_s * 1e9)
        self._limits = limits
        self._committed = committed
        self._group = Group()
        self._waits = asyncio.Event()
        self._failing = False

    async def run(self) -> None:
        """Commit each group when its window is over, for ever."""
        while True:
            await self._waits.wait()
            self._waits.clear()
            while (due := due_ns(self._group, self._after_ns)) is not None:
                left_s = (due - self._clock.boottime_ns()) / 1e9
                if left_s > 0:
                    await asyncio.sleep(self._clock.real_seconds(left_s))
                elif not self.commit_due(self._clock.boottime_ns()):
                    await asyncio.sleep(_RETRY_S)

    def commit_due(self, now_ns: int) -> bool:
        """Commit what is due by ``now_ns``; False if the disk refused. An outage is said once, and its end."""
        due = due_ns(self._group, self._after_ns)
        if due is None or due > now_ns:
            return True
        try:
            self.flush()
        except NeighbourDownError as error:
            if not self._failing:
                log.warning("%d facts wait in memory: %s", len(self._group.facts), error)
            self._failing = True
            return False
        return True

    def flush(self) -> None:
        """Commit all that waits; NeighbourDownError: it still waits."""
        if self._group.since_ns is not None:
            self._commit((), {})
            self._committed()

    def _commit(self, facts: Sequence[Fact], hints: Mapping[str, str]) -> Ranges:
        group = self._group
        taken = self._outbox.append([*group.facts, *facts], {**group.hints, **hints})
        self._group = Group()
        if self._failing:
            self._failing = False
            log.info("the outbox takes facts again")
        last = taken.spans[-1][1] if taken else 0
        return Ranges([(last - len(facts) + 1, last)]) if facts else Ranges()

    def append(self, facts: Sequence[Fact], hints: Mapping[str, str] = _NO_HINTS) -> Ranges:
        if why_at_once(self._group, facts, self._limits, self._after_ns) is None:
            self._group = joined(self._group, facts, hints, self._clock.boottime_ns())
            self._waits.set()
            return Ranges()
        waited = bool(self._group.facts)
        taken = self._commit(facts, hints)
        if waited:
            self._committed()
        return taken

    @property
    def waiting(self) -> int:
        """How many facts wait for the next commit."""
        return len(self._group.facts)

    def hint(self, key: str) -> str | None:
        found = self._group.hints.get(key)
        return self._outbox.hint(key) if found is None else found

    # What must see every fact commits first; what only sends or counts speaks of what is on disk.

    def last_reading(self, stream_id: str) -> Numbered | None:
        self.flush()
        return self._outbox.last_reading(stream_id)

    def reading_times(self, stream_id: str, from_ms: int, to_ms: int) -> list[int]:
        self.flush()
        return self._outbox.reading_times(stream_id, from_ms, to_ms)

    def date_undated(self, boot_id: str, boottime_ns: int, utc_ms: int, after: int = 0) -> int:
        self.flush()
        return self._outbox.date_undated(boot_id, boottime_ns, utc_ms, after)

    @property
    def epoch(self) -> str:
        return self._outbox.epoch

    def pending(self, limit: int, after: int = 0) -> list[Numbered]:
        return self._outbox.pending(limit, after)

    def received(self, have: Ranges, quarantined: Ranges) -> None:
        self._outbox.received(have, quarantined)

    def renew(self) -> None:
        self._outbox.renew()

    def select(
        self,
        *,
        seq: Ranges | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        only: str = "all",
        limit: int = 1000,
    ) -> list[Numbered]:
        return self._outbox.select(seq=seq, from_ms=from_ms, to_ms=to_ms, only=only, limit=limit)

    def forget_receipted(self, before_ms: int) -> int:
        return self._outbox.forget_receipted(before_ms)

    def keep_age(self, now: Stamp) -> int:
        return self._outbox.keep_age(now)

    def produced(self) -> dict[str, int]:
        return self._outbox.produced()

    def identity(self) -> Identity:
        return self._outbox.identity()

    def usage(self) -> OutboxUsage:
        return self._outbox.usage()

    def settle(self) -> None:
        """The last commit of a life; what the disk does not take now was never accepted."""
        try:
            self.flush()
        except NeighbourDownError as error:
            log.warning("%d facts that waited for their commit are lost: %s", len(self._group.facts), error)

    def close(self) -> None:
        self.settle()
        self._outbox.close()
