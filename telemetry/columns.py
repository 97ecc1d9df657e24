"""An upload of readings as columns: the form both encodings are read into and the server's fast path works on.

One ``StreamColumns`` holds the readings of one stream that share origin, boot, sync state and error bound; entry i of
every list speaks of the same reading. Values are whole thousandths (at most three decimals, exactly); positions in
``quality`` say which entries are not GOOD. ``facts_of`` and ``columns_of`` go to and from single facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache
from itertools import chain

from telemetry.errors import ContractError
from telemetry.limits import thousandths
from telemetry.quantities import QUANTITIES, parse_stream_id
from telemetry.readings import Numbered, Origin, Quality, Ranges, Reading, Stamp, Sync


@dataclass(slots=True)
class StreamColumns:
    """Readings of one stream. All lists have the same length; ``device_seq`` is None where no entry has one."""

    stream_id: str
    origin: Origin
    boot_id: str
    sync: Sync
    max_error_ms: int | None
    seq: list[int] = field(default_factory=list)
    t_ms: list[int | None] = field(default_factory=list)
    milli: list[int | None] = field(default_factory=list)
    boottime_ns: list[int] = field(default_factory=list)
    wall_ms: list[int] = field(default_factory=list)
    device_seq: list[int] | None = None
    quality: dict[int, Quality] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.seq)

    def at(self, positions: Sequence[int]) -> StreamColumns:
        """The readings at these positions, as columns of their own."""
        return replace(
            self,
            seq=[self.seq[i] for i in positions],
            t_ms=[self.t_ms[i] for i in positions],
            milli=[self.milli[i] for i in positions],
            boottime_ns=[self.boottime_ns[i] for i in positions],
            wall_ms=[self.wall_ms[i] for i in positions],
            device_seq=None if self.device_seq is None else [self.device_seq[i] for i in positions],
            quality={new: self.quality[old] for new, old in enumerate(positions) if old in self.quality},
        )


@dataclass(slots=True)
class ReadingsUpload:
    """One readings message. ``lazy``: its receipt may wait (docs/contract.md). ``mac`` as it stood in the message."""

    edge: str
    epoch: str
    sent_at_ms: int
    streams: list[StreamColumns]
    ranges: Ranges
    lazy: bool = False
    mac: str | None = None


@lru_cache(maxsize=4096)
def bounds_of(stream_id: str) -> tuple[int, int]:
    """(lowest, highest) plausible value of the stream in thousandths; raises ContractError("bad_stream")."""
    quantity = QUANTITIES[parse_stream_id(stream_id).quantity]
    return int(quantity.low * 1000), int(quantity.high * 1000)


def check_bounds(streams: Sequence[StreamColumns]) -> None:
    """Refuse a value outside its quantity's bounds ("out_of_bounds"): first all values by the narrowest bounds."""
    if not streams:
        return
    bounds = [bounds_of(s.stream_id) for s in streams]
    low, high = max(b[0] for b in bounds), min(b[1] for b in bounds)
    try:
        column: list[int] = list(chain.from_iterable(s.milli for s in streams))  # type: ignore[misc]
        if low <= min(column) and max(column) <= high:
            return
    except TypeError:  # a reading without a value
        pass
    for s, (lowest, highest) in zip(streams, bounds, strict=True):
        for milli in s.milli:
            if milli is not None and not lowest <= milli <= highest:
                raise ContractError("out_of_bounds", f"{s.stream_id} = {Decimal(milli) / 1000}")


def check_qualities(s: StreamColumns) -> None:
    """Refuse a reading that has no value and says good ("bad_value")."""
    if None in s.milli and any(milli is None and i not in s.quality for i, milli in enumerate(s.milli)):
        raise ContractError("bad_value", f"{s.stream_id} has no value and says good")


def columns_of(facts: Iterable[Numbered]) -> list[StreamColumns]:
    """Readings grouped by stream, origin, boot, sync, error bound and whether the device numbers them."""
    groups: dict[tuple[object, ...], StreamColumns] = {}
    for numbered in facts:
        r = numbered.fact
        assert isinstance(r, Reading)  # noqa: S101  (the kind of the upload says so)
        stamp = r.stamp
        key = (r.stream_id, r.origin, stamp.boot_id, stamp.sync, stamp.max_error_ms, r.device_seq is None)
        group = groups.get(key)
        if group is None:
            device_seq: list[int] | None = None if r.device_seq is None else []
            group = StreamColumns(
                r.stream_id, r.origin, stamp.boot_id, stamp.sync, stamp.max_error_ms, device_seq=device_seq
            )
            groups[key] = group
        if r.quality is not Quality.GOOD:
            group.quality[len(group.seq)] = r.quality
        group.seq.append(numbered.seq)
        group.t_ms.append(r.sampled_at_ms)
        group.milli.append(None if r.value is None else thousandths(r.value))
        group.boottime_ns.append(stamp.boottime_ns)
        group.wall_ms.append(stamp.wall_ms)
        if group.device_seq is not None and r.device_seq is not None:
            group.device_seq.append(r.device_seq)
    return list(groups.values())


def facts_of(streams: Iterable[StreamColumns]) -> Iterator[Numbered]:
    """The single readings, stream by stream."""
    for s in streams:
        for i, seq in enumerate(s.seq):
            milli = s.milli[i]
            stamp = Stamp(s.boot_id, s.boottime_ns[i], s.wall_ms[i], s.sync, s.max_error_ms)
            value = None if milli is None else Decimal(milli) / 1000
            number = None if s.device_seq is None else s.device_seq[i]
            quality = s.quality.get(i, Quality.GOOD)
            yield Numbered(seq, Reading(s.stream_id, value, s.t_ms[i], stamp, number, s.origin, quality))
