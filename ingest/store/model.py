"""What a store is. The contract suite over every implementation is ``tests/ingest/store``.

Identity of a row: (stream, device_seq) where the device gives a number, else (stream, t_ms). The same identity with
the same value and quality is a duplicate and swallowed; with another it is a conflict and becomes a second row with
``variant`` 1, 2, ...: nothing is overwritten, and who judges safety takes the worse one. A stored key never moves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple, Protocol

from telemetry.errors import ContractError
from telemetry.quantities import parse_stream_id
from telemetry.readings import Numbered, Origin, Quality, Reading, Sync

# What stands in a topic (telemetry.topics), and so in a database's tag without escapes.
_SITE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


class Cursor(NamedTuple):
    """Where a page ended: rows of a stream are ordered by these three. ``device_seq`` is -1 where there is none."""

    t_ms: int
    device_seq: int
    variant: int


@dataclass(frozen=True, slots=True)
class Row:
    """One dated reading as stored. ``t_ms`` is the time at the device, ms since the epoch UTC.

    ``variant`` is given by the store; what a writer says in it is ignored. ``value`` is None where the device said
    "no value".
    """

    site: str
    stream_id: str
    t_ms: int
    value: Decimal | None
    quality: Quality
    origin: Origin
    device_seq: int | None
    variant: int
    edge: str
    epoch: str
    seq: int
    sync: Sync
    max_error_ms: int | None
    received_at_ms: int

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.t_ms, -1 if self.device_seq is None else self.device_seq, self.variant)

    @property
    def identity(self) -> tuple[str, int, int]:
        """(stream, 1, device number) or (stream, 0, time)."""
        if self.device_seq is not None:
            return self.stream_id, 1, self.device_seq
        return self.stream_id, 0, self.t_ms


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in order; ``next`` is None after the last page."""

    rows: tuple[Row, ...]
    next: Cursor | None = None


@dataclass(frozen=True, slots=True)
class AppendResult:
    """``committed`` rows are new on disk, ``conflicts`` of them as variants. The three parts make up all rows."""

    committed: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: tuple[tuple[Row, str], ...] = ()


class Store(Protocol):
    """Every method raises NeighbourDownError while the database does not answer; repeat the call later."""

    def append(self, rows: Sequence[Row]) -> AppendResult:
        """Keep the rows; on disk at return; repeatable. What can never pass is ``rejected``, the rest stored."""
        ...

    def read(
        self, stream_id: str, from_ms: int, to_ms: int, *, limit: int = 10_000, after: Cursor | None = None
    ) -> Page:
        """Rows with from_ms <= t_ms < to_ms in the order of Cursor, at most ``limit``; go on ``after=page.next``."""
        ...

    def latest(self, stream_ids: Sequence[str]) -> dict[str, Row]:
        """The last row (in the order of Cursor) of each stream that has one."""
        ...

    def streams(self, site: str | None = None) -> list[str]:
        """The ids of all streams (of a site), sorted."""
        ...

    def count(self, stream_id: str) -> int:
        """How many rows a stream has, variants included."""
        ...

    def close(self) -> None: ...


def row_of(site: str, edge: str, epoch: str, numbered: Numbered, received_at_ms: int) -> Row:
    """The row of a dated reading; raises ValueError for an undated one."""
    reading = numbered.fact
    if not isinstance(reading, Reading) or reading.sampled_at_ms is None:
        raise ValueError("only dated readings have rows")
    return Row(
        site=site,
        stream_id=reading.stream_id,
        t_ms=reading.sampled_at_ms,
        value=reading.value,
        quality=reading.quality,
        origin=reading.origin,
        device_seq=reading.device_seq,
        variant=0,
        edge=edge,
        epoch=epoch,
        seq=numbered.seq,
        sync=reading.stamp.sync,
        max_error_ms=reading.stamp.max_error_ms,
        received_at_ms=received_at_ms,
    )


def refusal(row: Row) -> str | None:
    """Why this row can never be stored, or None. Checked by every store before it writes anything."""
    try:
        parse_stream_id(row.stream_id)
    except ContractError as error:
        return error.reason
    if not _SITE.fullmatch(row.site):
        return "bad_site"
    value = row.value
    if value is not None and (not value.is_finite() or abs(value) >= 1_000_000_000 or value != round(value, 3)):
        return "bad_value"
    if not 0 <= row.t_ms < 1 << 43:
        return "bad_time"
    return None


def thousandths(value: Decimal | None) -> int | None:
    """A decimal of at most three places as a whole number, exactly."""
    return None if value is None else int(value * 1000)


def from_thousandths(number: int | None) -> Decimal | None:
    return None if number is None else Decimal(number) / 1000


def with_variant(row: Row, variant: int) -> Row:
    return row if row.variant == variant else replace(row, variant=variant)
