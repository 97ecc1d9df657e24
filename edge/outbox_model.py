"""What an outbox is: the protocol, its values, and what both outboxes share. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from edge.limits import Limits
from telemetry.readings import Fact, Numbered, Ranges, Reading, Stamp, date_by_anchor, dated

NO_HINTS: Mapping[str, str] = {}
NO_NUMBERS = Ranges()


class EpochReason(StrEnum):
    """Why an epoch began."""

    NEW = "new"
    RESTORED = "restored"  # a receipt named numbers this file never gave: it is older than what was sent
    COPIED = "copied"  # another file than the one that was written last stands in its place
    MOVED = "moved"  # the card is in another machine
    SALVAGED = "salvaged"  # the file was damaged; what could be read was kept


@dataclass(frozen=True, slots=True)
class Identity:
    """Which numbering this is. ``machine`` is "" where the caller did not say; ``lost`` are numbers of the *previous*
    epoch that are neither here nor known to be receipted (JSON text of ranges, "" for none), ``lost_reason`` why.
    """

    epoch: str
    reason: EpochReason
    previous_epoch: str = ""
    machine: str = ""
    lost: str = ""
    lost_reason: str = ""


@dataclass(frozen=True, slots=True)
class Quota:
    """How much may be kept. ``max_bytes`` 0: as much as the disk gives; ``max_age_ms`` 0: however old."""

    max_bytes: int = 0
    max_age_ms: int = 0
    limits: Limits = field(default_factory=Limits)
    edge: str = "edge"  # the subject of the events that tell of it


@dataclass(frozen=True, slots=True)
class OutboxUsage:
    """``bytes`` is the size on disk (0 in memory), ``oldest_ms`` the edge's wall time of the oldest row or None,
    ``refused`` the facts for which there was no room since the start (a source may have offered them again).
    """

    rows: int
    bytes: int
    unreceipted: int
    numbered_to: int
    oldest_ms: int | None
    refused: int = 0


class Outbox(Protocol):
    """See ``edge.outbox``. Errors of the disk are NeighbourDownError("outbox"): nothing was taken, try again."""

    @property
    def epoch(self) -> str: ...

    def append(self, facts: Sequence[Fact], hints: Mapping[str, str] = NO_HINTS) -> Ranges:
        """Number and keep ``facts`` and ``hints`` in one commit; durable at return. Empty facts keep hints alone.

        A full disk or quota costs receipted facts, oldest first, then thins unsent readings within their limits, and
        then is NeighbourDownError. (``edge.commit`` answers with the numbers that are on disk: none while facts wait.)
        """
        ...

    def hint(self, key: str) -> str | None: ...

    def pending(self, limit: int, after: int = 0) -> list[Numbered]:
        """Unreceipted facts with numbers above ``after``, oldest first."""
        ...

    def received(self, have: Ranges, quarantined: Ranges) -> None:
        """Note a receipt of this epoch. A number we never gave means a restored backup: the epoch is renewed.

        Reaches the disk with the next commit, or at once when it names many: losing it costs a repeat.
        """
        ...

    def select(
        self,
        *,
        seq: Ranges | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        only: str = "all",
        limit: int = 1000,
    ) -> list[Numbered]:
        """Facts by number, or by time at the device with both ends included; ``only`` all or unreceipted.

        Sorted; at their end, beyond ``limit`` if need be, the events that tell of asked numbers thinned away.
        """
        ...

    def last_reading(self, stream_id: str) -> Numbered | None: ...

    def reading_times(self, stream_id: str, from_ms: int, to_ms: int) -> list[int]:
        """Times of this stream's readings within both ends, sorted."""
        ...

    def date_undated(self, boot_id: str, boottime_ns: int, utc_ms: int, after: int = 0) -> int:
        """Date the unreceipted undated facts of a boot above number ``after`` from an anchor; their count."""
        ...

    def forget_receipted(self, before_ms: int) -> int:
        """Drop receipted facts recorded before ``before_ms`` (by a synced clock); their count."""
        ...

    def keep_age(self, now: Stamp) -> int:
        """The quota's age, by a synced ``now``: older receipted facts go, older unsent readings within limits are
        thinned to the least, greatest and last of 15 minutes per stream; how many went.
        """
        ...

    def renew(self) -> None:
        """Begin a new epoch: this file is older than what was sent from it. The unreceipted are numbered from 1."""
        ...

    def produced(self) -> dict[str, int]:
        """How many readings of each stream got a number in this epoch."""
        ...

    def identity(self) -> Identity: ...

    def usage(self) -> OutboxUsage: ...

    def close(self) -> None: ...


def anchored(fact: Fact, boot_id: str, boottime_ns: int, utc_ms: int) -> Fact | None:
    """``fact`` dated by an anchor of its boot, or None if it is dated already or of another boot (devices.md 7)."""
    if fact.sampled_at_ms is not None or fact.stamp.boot_id != boot_id:
        return None
    at_ms = max(0, date_by_anchor(utc_ms, boottime_ns, fact.stamp.boottime_ns))
    return dated(fact, at_ms) if isinstance(fact, Reading) else replace(fact, sampled_at_ms=at_ms)
