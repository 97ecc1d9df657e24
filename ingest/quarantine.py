"""Quarantine: where an unacceptable message waits with its reason. Never for vaccines.

The real place is ``gateway.records``; ingest knows only this port. ``put`` is durable at return and repeatable:
the same bytes for the same reason wait once, so that a kill between ``put`` and the ledger does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from telemetry.readings import Ranges


class Reason(StrEnum):
    """Our own words beside those of ContractError.reason; stable, they are counted and shown."""

    UNKNOWN_DEVICE = "unknown_device"
    WRONG_SITE = "wrong_site"
    CLOCK_AHEAD = "clock_ahead"
    CLOCK_BEHIND = "clock_behind"
    BEFORE_SERVICE = "before_service"
    ADDRESS_MISMATCH = "address_mismatch"
    KIND_MISMATCH = "kind_mismatch"
    BAD_EPOCH = "bad_epoch"
    EDGE_REVOKED = "edge_revoked"
    UNKNOWN_EDGE = "unknown_edge"
    NUMBER_CONFLICT = "number_conflict"
    DECODER_FAULT = "decoder_fault"
    STORE_REJECTED = "store_rejected"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes to quarantine: whole messages with their bytes, or facts as an upload of their own.

    ``site``, ``edge`` and ``epoch`` are "" where the message does not say them credibly. ``serial`` is the device
    in question, "" for whole messages. ``seqs`` are the numbers held (none for whole messages).
    """

    reason: str
    detail: str
    topic: str
    payload: bytes
    received_at_ms: int
    site: str = ""
    edge: str = ""
    epoch: str = ""
    serial: str = ""
    seqs: Ranges = field(default_factory=Ranges)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A quarantined upload of known facts that waits for its device to be registered."""

    item_id: str
    site: str
    edge: str
    epoch: str
    serial: str
    received_at_ms: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """A message that a person asked to send through, as it came or as corrected. ``asked_ms`` tells one wish from another,
    None is nobody's: its device was registered.
    """

    item_id: str
    site: str
    topic: str
    payload: bytes
    received_at_ms: int
    asked_ms: int | None


class QuarantinePort(Protocol):
    """Raises NeighbourDownError while the place does not answer."""

    def put(self, faults: Sequence[Fault]) -> None:
        """Durable at return; a fault that waits already is not doubled."""
        ...

    def waiting_serials(self) -> list[str]:
        """Serials with items that wait for reason ``unknown_device``."""
        ...

    def waiting(self, serial: str) -> list[Waiting]:
        """The items of this serial that wait for reason ``unknown_device``, oldest first."""
        ...

    def replayed(self, item_ids: Sequence[str]) -> None:
        """Mark items as journaled."""
        ...

    def asked(self) -> list[Asked]:
        """What people asked to send through, oldest wish first; at most a handful at a time."""
        ...

    def refused_again(self, asked: Asked, reason: str, detail: str) -> None:
        """The check said no again: the item waits on, with its new reason."""
        ...


def plain(text: str, limit: int = 200) -> str:
    """``text`` fit for any database: no NUL, no lone surrogate, at most ``limit`` signs."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")[:limit]
