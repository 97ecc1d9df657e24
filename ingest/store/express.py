"""Usual readings beyond all that a store holds, as lines in one pass. Pure: what is not usual takes the general way.

Nearly all batches are live, synced, good, later than everything of their stream, and in a span that readers know of.
For these ``identity.divide`` would find "all new", ``line_protocol`` its usual form, and the windows nothing to tell: the
same result from one look at each batch instead of six (decision 0022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from ingest.store.identity import Fresh
from ingest.store.line_protocol import usual_lines
from ingest.store.model import MILLI_END, T_END_MS, StreamBatch, is_named_right
from telemetry.readings import Origin, Sync

Span = tuple[str, int, int]
"""(site, from ms, to ms exclusive): where readers look for rows of a stream of this site."""


@dataclass(slots=True)
class Express:
    """``texts`` are the lines of each of ``batches``; ``marks``: the latest time of each stream; ``rest`` goes the
    general way: all batches of a stream or none."""

    batches: list[StreamBatch] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    rest: list[StreamBatch] = field(default_factory=list)

    def fresh(self, low: int, high: int) -> list[Fresh]:
        """Batches [low, high) for the general way of writing."""
        return [Fresh(batch, batch.t_ms[0], batch.t_ms[-1]) for batch in self.batches[low:high]]


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
    texts, taken = found.texts, found.batches
    for batch in batches:
        if batch.stream_id in odd:
            found.rest.append(batch)
        else:
            taken.append(batch)
            texts.append(usual_lines(batch))
    return found


def _is_usual(batch: StreamBatch, mark: int, span: Span | None) -> bool:
    times = batch.t_ms
    if (
        span is None
        or not times
        or batch.device_seq is not None
        or batch.quality
        or batch.sync is not Sync.SYNCED
        or batch.origin is not Origin.LIVE
    ):
        return False
    for t_ms in times:  # a loop: for a handful quicker than anything of itertools
        if t_ms <= mark:
            return False
        mark = t_ms
    site, from_ms, to_ms = span
    if site != batch.site or times[0] < from_ms or mark >= to_ms or mark >= T_END_MS:
        return False
    values = cast(list[int], batch.milli)
    try:
        return min(values) > -MILLI_END and max(values) < MILLI_END and is_named_right(site, batch.stream_id)
    except TypeError:  # one has no value
        return False
