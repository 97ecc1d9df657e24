"""Usual readings beyond all that a store holds, as lines in one pass. Pure: what is not usual takes the general way.

Nearly all batches are live, synced, good, later than everything of their stream, and in a span that readers know of.
For these ``identity.divide`` would find "all new", ``line_protocol`` its usual form, and the windows nothing to tell: the
same result from one look at each batch instead of six (decision 0022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import lt

from ingest.store.identity import Fresh
from ingest.store.line_protocol import usual_ends, usual_lines
from ingest.store.model import MILLI_END, T_END_MS, StreamBatch, is_named_right
from telemetry.readings import Origin, Sync

Span = tuple[str, int, int]
"""(site, from ms, to ms exclusive): where readers look for rows of a stream of this site."""


@dataclass(slots=True)
class Express:
    """``lines`` of ``batches``, batch n from line ``starts[n]`` on; ``marks``: the latest time of each stream; ``rest``
    goes the general way: all batches of a stream or none."""

    batches: list[StreamBatch] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    rest: list[StreamBatch] = field(default_factory=list)

    def fresh(self) -> list[Fresh]:
        return [Fresh(batch, batch.t_ms[0], batch.t_ms[-1]) for batch in self.batches]


def express(batches: Sequence[StreamBatch], marks: Mapping[str, int], spans: Mapping[str, Span]) -> Express:
    """Divide into what can take the short way and the rest.

    ``marks``: no row without a device number is later, by stream; a stream that is not there is not known. ``spans``: a
    span that readers were told of.
    """
    found = Express()
    odd: set[str] = set()
    reached = found.marks
    for batch in batches:
        name = batch.stream_id
        mark = reached.get(name)
        if mark is None:
            mark = marks.get(name)
        if mark is None or not _is_usual(batch, mark, spans.get(name)):
            odd.add(name)
        else:
            reached[name] = batch.t_ms[-1]
    for name in odd:
        reached.pop(name, None)
    lines, starts, taken = found.lines, found.starts, found.batches
    for batch in batches:
        if batch.stream_id in odd:
            found.rest.append(batch)
        else:
            starts.append(len(lines))
            taken.append(batch)
            lines += usual_lines(batch, *usual_ends(batch.site, batch.stream_id, batch.edge, batch.epoch))
    return found


def _is_usual(batch: StreamBatch, mark: int, span: Span | None) -> bool:
    times = batch.t_ms
    if (
        span is None
        or not times
        or times[0] <= mark
        or batch.device_seq is not None
        or batch.quality
        or batch.sync is not Sync.SYNCED
        or batch.origin is not Origin.LIVE
        or (len(times) > 1 and not all(map(lt, times, times[1:])))
    ):
        return False
    site, from_ms, to_ms = span
    if site != batch.site or times[0] < from_ms or times[-1] >= to_ms or times[-1] >= T_END_MS:
        return False
    values = batch.milli
    if None in values:
        return False
    low, high = min(values), max(values)  # type: ignore[type-var]  # numbers all of them
    return low > -MILLI_END and high < MILLI_END and is_named_right(site, batch.stream_id)  # type: ignore[operator]
