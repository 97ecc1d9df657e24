"""An upload of readings as columns: the form both encodings are read into and the server's fast path works on.

One ``StreamColumns`` holds the readings of one stream that share origin, boot, sync state and error bound; entry i of
every list speaks of the same reading. Values are whole thousandths (at most three decimals, exactly); positions in
``quality`` say which entries are not GOOD. ``facts_of`` and ``columns_of`` go to and from single facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

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
        group.milli.append(None if r.value is None else int(r.value * 1000))
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
