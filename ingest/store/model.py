"""What a store is. The contract suite over every implementation is ``tests/ingest/store``.

Identity of a row: (stream, device_seq) where the device gives a number, else (stream, t_ms). The same identity with
the same value and quality is a duplicate and swallowed; with another it is a conflict and becomes a second row with
``variant`` 1, 2, ...: nothing is overwritten, and who judges safety takes the worse one. A stored key never moves.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple, Protocol, cast

from telemetry.columns import StreamColumns
from telemetry.errors import ContractError
from telemetry.quantities import parse_stream_id
from telemetry.readings import Origin, Quality, Sync

# What stands in a topic (telemetry.topics), and so in a database's tag without escapes.
_SITE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
MILLI_END = 10**12
T_END_MS = 1 << 43


Said = tuple[int | None, Quality]
"""(value in thousandths, quality): what makes two rows of one identity the same."""


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


@dataclass(slots=True)
class StreamBatch:
    """Dated readings of one stream that one upload brought, as columns: entry i of every list speaks of one reading.

    ``milli`` are values in thousandths, None for "no value"; ``device_seq`` is None where the device does not number;
    ``quality`` holds the positions that are not GOOD. The store neither keeps nor changes the lists.
    """

    site: str
    stream_id: str
    edge: str
    epoch: str
    sync: Sync
    origin: Origin
    max_error_ms: int | None
    received_at_ms: int
    seq: list[int] = field(default_factory=list)
    t_ms: list[int] = field(default_factory=list)
    milli: list[int | None] = field(default_factory=list)
    device_seq: list[int] | None = None
    quality: dict[int, Quality] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.seq)

    def row(self, i: int, variant: int = 0) -> Row:
        """Entry ``i`` as a row."""
        return Row(
            site=self.site,
            stream_id=self.stream_id,
            t_ms=self.t_ms[i],
            value=from_thousandths(self.milli[i]),
            quality=self.quality.get(i, Quality.GOOD),
            origin=self.origin,
            device_seq=None if self.device_seq is None else self.device_seq[i],
            variant=variant,
            edge=self.edge,
            epoch=self.epoch,
            seq=self.seq[i],
            sync=self.sync,
            max_error_ms=self.max_error_ms,
            received_at_ms=self.received_at_ms,
        )

    def said(self, i: int) -> Said:
        """What entry ``i`` says, for comparing."""
        return self.milli[i], self.quality.get(i, Quality.GOOD)

    def pick(self, places: Sequence[int]) -> StreamBatch:
        """These entries only, in this order."""
        numbers = self.device_seq
        return replace(
            self,
            seq=[self.seq[i] for i in places],
            t_ms=[self.t_ms[i] for i in places],
            milli=[self.milli[i] for i in places],
            device_seq=None if numbers is None else [numbers[i] for i in places],
            quality={n: self.quality[i] for n, i in enumerate(places) if i in self.quality},
        )


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


@dataclass(slots=True)
class Series:
    """The readings of one stream in the order of Cursor, as columns for charts and for judging anew.

    ``t_ms`` and ``milli`` (thousandths) are arrays of 8 bytes an entry. The other three hold, by position, what is not
    the usual: ``odd`` what an entry says that has no value (its ``milli`` means nothing) or is not GOOD,
    ``device_seq`` and ``variant`` where there are any.
    """

    t_ms: array[int] = field(default_factory=lambda: array("q"))
    milli: array[int] = field(default_factory=lambda: array("q"))
    odd: dict[int, Said] = field(default_factory=dict)
    device_seq: dict[int, int] = field(default_factory=dict)
    variant: dict[int, int] = field(default_factory=dict)

    def facts(self) -> Iterator[tuple[int, Decimal | None, Quality, int | None]]:
        """(t_ms, value, quality, device_seq) of each entry."""
        for i, (t_ms, usual) in enumerate(zip(self.t_ms, self.milli, strict=True)):
            milli, quality = self.odd.get(i, (usual, Quality.GOOD))
            yield t_ms, from_thousandths(milli), quality, self.device_seq.get(i)

    def add(self, row: Row) -> None:
        """``row`` as the last entry."""
        n = len(self.t_ms)
        milli = thousandths(row.value)
        self.t_ms.append(row.t_ms)
        self.milli.append(milli or 0)
        if milli is None or row.quality is not Quality.GOOD:
            self.odd[n] = (milli, row.quality)
        if row.device_seq is not None:
            self.device_seq[n] = row.device_seq
        if row.variant:
            self.variant[n] = row.variant


class Store(Protocol):
    """Every method raises NeighbourDownError while the database does not answer; repeat the call later."""

    def append(self, rows: Sequence[Row]) -> AppendResult:
        """Keep the rows; on disk at return; repeatable. What can never pass is ``rejected``, the rest stored."""
        ...

    def append_columns(self, batches: Sequence[StreamBatch]) -> AppendResult:
        """As ``append``, without an object for each reading: the same rows in the same order give the same result."""
        ...

    def read(
        self, stream_id: str, from_ms: int, to_ms: int, *, limit: int = 10_000, after: Cursor | None = None
    ) -> Page:
        """Rows with from_ms <= t_ms < to_ms in the order of Cursor, at most ``limit``; go on ``after=page.next``."""
        ...

    def read_columns(self, stream_id: str, from_ms: int, to_ms: int) -> Series:
        """All of a span at once, without an object for each reading."""
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

    def tidy(self) -> bool:
        """A few milliseconds of the writer's housekeeping; whether there is more to do now. Between two appends."""
        ...

    def close(self) -> None: ...


def batch_of(site: str, edge: str, epoch: str, received_at_ms: int, columns: StreamColumns) -> StreamBatch:
    """The dated readings of one stream of an upload; what has no date is left out."""
    dated = columns.t_ms
    if None not in dated:
        times = cast(list[int], dated)
    else:
        times = [t for t in dated if t is not None]
    batch = StreamBatch(
        site,
        columns.stream_id,
        edge,
        epoch,
        columns.sync,
        columns.origin,
        columns.max_error_ms,
        received_at_ms,
        columns.seq,
        times,
        columns.milli,
        columns.device_seq,
        columns.quality,
    )
    if times is dated:
        return batch
    places = [i for i, t in enumerate(dated) if t is not None]
    return replace(replace(batch, t_ms=[0 if t is None else t for t in dated]).pick(places), t_ms=times)


def batches_of(rows: Iterable[Row]) -> list[StreamBatch]:
    """Rows that passed ``refusal`` as columns. The order of each stream's rows is kept, that between streams is not."""
    batches: list[StreamBatch] = []
    last: dict[str, tuple[object, StreamBatch]] = {}
    for row in rows:
        numbered = row.device_seq is not None
        fields = (row.site, row.stream_id, row.edge, row.epoch, row.sync, row.origin, row.max_error_ms)
        key = (*fields, row.received_at_ms, numbered)
        held = last.get(row.stream_id)
        if held is None or held[0] != key:
            batch = StreamBatch(*fields, row.received_at_ms, device_seq=[] if numbered else None)
            batches.append(batch)
            held = last[row.stream_id] = (key, batch)
        _add(held[1], row)
    return batches


def _add(batch: StreamBatch, row: Row) -> None:
    if row.quality is not Quality.GOOD:
        batch.quality[len(batch)] = row.quality
    batch.seq.append(row.seq)
    batch.t_ms.append(row.t_ms)
    batch.milli.append(thousandths(row.value))
    if batch.device_seq is not None and row.device_seq is not None:
        batch.device_seq.append(row.device_seq)


def refusal(row: Row) -> str | None:
    """Why this row can never be stored, or None. Checked by every store before it writes anything."""
    reason = _name_refusal(row.site, row.stream_id)
    if reason is not None:
        return reason
    value = row.value
    if value is not None and (not value.is_finite() or abs(value) >= 1_000_000_000 or value != round(value, 3)):
        return "bad_value"
    if not 0 <= row.t_ms < T_END_MS:
        return "bad_time"
    return None


def is_named_right(site: str, stream_id: str) -> bool:
    """Whether rows of this site and stream can be stored."""
    return _name_refusal(site, stream_id) is None


@lru_cache(100_000)
def _name_refusal(site: str, stream_id: str) -> str | None:
    try:
        parse_stream_id(stream_id)
    except ContractError as error:
        return error.reason
    return None if _SITE.fullmatch(site) else "bad_site"


def refusals(batch: StreamBatch) -> dict[int, str]:
    """``refusal`` for columns: {position: reason}; empty for a batch that can be stored whole."""
    reason = _name_refusal(batch.site, batch.stream_id)
    if reason is not None:
        return dict.fromkeys(range(len(batch)), reason)
    times, values = batch.t_ms, batch.milli
    if not times:
        return {}
    known = cast(list[int], values) if None not in values else [v for v in values if v is not None] or [0]
    if min(times) >= 0 and max(times) < T_END_MS and min(known) > -MILLI_END and max(known) < MILLI_END:
        return {}
    bad = {i: "bad_time" for i, t in enumerate(batch.t_ms) if not 0 <= t < T_END_MS}
    return bad | {i: "bad_value" for i, v in enumerate(batch.milli) if v is not None and abs(v) >= MILLI_END}


def thousandths(value: Decimal | None) -> int | None:
    """A decimal of at most three places as a whole number, exactly."""
    return None if value is None else int(value * 1000)


@lru_cache(20_000)
def from_thousandths(number: int | None) -> Decimal | None:
    return None if number is None else Decimal(number) / 1000


def with_variant(row: Row, variant: int) -> Row:
    return row if row.variant == variant else replace(row, variant=variant)
