"""What is known of one epoch of one edge, and how a message changes it. Pure; ``ingest/ledger.py`` keeps it on disk.

    missing = 1..numbered_to - received - quarantined - thinned - lost at the edge

A number is counted once, in the first of these that holds: received, quarantined, thinned, lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple, cast

from telemetry.columns import ReadingsUpload, StreamColumns, columns_of
from telemetry.contract import MAX_SPANS, Receipt, Upload
from telemetry.readings import Event, Numbered, Ranges

# Received more than this after it was sampled: "late" on the ledger's page.
LATE_MS = 15 * 60 * 1000
# Edges upload at least hourly; one that was not heard for two hours and more is silent.
SILENT_MS = 2 * 3_600_000
MAX_NUMBER = 1 << 62
# Bounds on what one epoch can make us keep, whatever it says of itself.
MAX_STREAMS = 1_000
MAX_REASONS = 8
_NONE = Ranges()


class EpochKey(NamedTuple):
    """Numbers count within one site, edge and epoch."""

    site: str
    edge: str
    epoch: str


@dataclass(slots=True)
class StreamTally:
    """Readings of one stream in one epoch. ``produced`` is the edge's own count at its last hello, 0 if not said."""

    received: int = 0
    late: int = 0
    worst_late_ms: int = 0
    undated: int = 0
    thinned: int = 0
    produced: int = 0
    newest_ms: int = 0


Tally = tuple[str, int, int, int, int, int]
"""What one message adds to a stream: its id, received, late, worst lateness in ms, undated, newest time in ms."""


@dataclass(frozen=True, slots=True)
class HelloInfo:
    """What a hello says; fields that are absent or nonsense are left at their defaults."""

    numbered_to: int = 0
    machine: str = ""
    epoch_reason: str = ""
    previous_epoch: str = ""
    produced: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, Ranges] = field(default_factory=dict)
    wire_bytes: int = 0
    sent_at_ms: int = 0


@dataclass(slots=True)
class EpochState:
    """What is known of one epoch. ``hello_ms`` is 0 before its first hello; ``shard`` "" before its first message."""

    shard: str = ""
    numbered_to: int = 0
    have: Ranges = field(default_factory=Ranges)
    quarantined: Ranges = field(default_factory=Ranges)
    thinned: Ranges = field(default_factory=Ranges)
    duplicates: int = 0
    last_seen_ms: int = 0
    hello_ms: int = 0
    lost: dict[str, Ranges] = field(default_factory=dict)
    conflicts: int = 0
    conflict_ms: int = 0
    wire_bytes: int = 0
    streams: dict[str, StreamTally] = field(default_factory=dict)

    @property
    def missing(self) -> Ranges:
        return self.missing_below(self.numbered_to)

    def missing_below(self, highest: int) -> Ranges:
        """The numbers up to ``highest`` of which nothing is known."""
        if not highest or self.have.spans[:1] == ((1, highest),):
            return Ranges()
        rest = Ranges([(1, highest)]) - self.have - self.quarantined - self.thinned
        for numbers in self.lost.values():
            rest = rest - numbers
        return rest


@dataclass(slots=True)
class Change:
    """What one message adds. ``sent_at_ms`` is 0 unless the message says something of the edge's clock."""

    key: EpochKey
    received_at_ms: int
    received: Ranges = _NONE
    quarantined: Ranges = _NONE
    thinned: Ranges = _NONE
    duplicates: int = 0
    numbered_to: int = 0
    hello: bool = False
    shard: str = ""
    tallies: tuple[Tally, ...] = ()
    thinned_streams: tuple[tuple[str, int], ...] = ()
    lost: Mapping[str, Ranges] | None = None
    info: HelloInfo | None = None
    conflicts: int = 0
    sent_at_ms: int = 0
    synced: bool = False
    max_error_ms: int | None = None
    elsewhere: tuple[Change, ...] = ()  # of earlier epochs that the message speaks of


# --- from a message to a change ----------------------------------------------------------------------------


def change_of(
    key: EpochKey,
    upload: Upload | ReadingsUpload,
    received_at_ms: int,
    known: Ranges | None = None,
    spans: Sequence[Span] | None = None,
) -> Change:
    """The change that one accepted upload makes (without quarantine, duplicates and shard).

    Numbers in ``known`` are counted in no stream: they were when they came first. ``spans`` as ``span_of`` gives them.
    """
    ranges = upload.ranges
    top = ranges.spans[-1][1] if ranges else 0
    fresh = ranges if known is None else ranges - known
    if isinstance(upload, ReadingsUpload):
        streams, whole = upload.streams, fresh is ranges or fresh == ranges
    elif upload.kind == "readings":
        streams, whole, spans = columns_of(upload.facts), fresh == ranges, None
    elif upload.kind == "hello":
        info = hello_info(upload)
        change = Change(key, received_at_ms, numbered_to=info.numbered_to, hello=True, info=info)
        return _with_earlier_loss(change, info, upload.info.get("lost_epoch"))
    else:
        by_epoch = _by_epoch(key.epoch, upload.facts)
        change = _told(Change(key, received_at_ms, ranges, numbered_to=top), by_epoch.pop(key.epoch, []), fresh)
        change.elsewhere = tuple(
            _told(Change(key._replace(epoch=epoch), received_at_ms), facts, fresh)
            for epoch, facts in by_epoch.items()
        )
        return change
    if whole:
        tallies = _tallies(streams, spans or [span_of(s.t_ms) for s in streams], received_at_ms)
    else:
        tallies = _tallies_of_some(streams, received_at_ms, fresh)
    return Change(key, received_at_ms, ranges, numbered_to=top, tallies=tallies)


def _told(change: Change, facts: Sequence[Numbered], fresh: Ranges) -> Change:
    """The change with what these events tell of numbers that will not come."""
    change.thinned, change.thinned_streams = _thinned(facts, fresh)
    change.lost = _lost_events(facts)
    if not change.received:  # an earlier epoch: how far it went is known by this alone
        tops = [numbers.spans[-1][1] for numbers in (change.thinned, *change.lost.values()) if numbers]
        change.numbered_to = max(tops, default=0)
    return change


def _by_epoch(epoch: str, facts: Iterable[Numbered]) -> dict[str, list[Numbered]]:
    """Facts by the epoch whose numbers they speak of: an event may outlive its epoch (edge/thinning.py)."""
    found: dict[str, list[Numbered]] = {epoch: []}
    for numbered in facts:
        said = numbered.fact.detail.get("epoch") if isinstance(numbered.fact, Event) else None
        of = _word(said) or epoch
        found.setdefault(of if of in found or len(found) < MAX_REASONS else epoch, []).append(numbered)
    return found


def _with_earlier_loss(change: Change, info: HelloInfo, epoch: object) -> Change:
    """``lost_epoch``: the lost numbers of a hello are those of an epoch that ended with the loss."""
    earlier = _word(epoch)
    if not info.lost or earlier in ("", change.key.epoch):
        return change
    change.info = replace(info, lost={})
    top = max(numbers.spans[-1][1] for numbers in info.lost.values())
    key = change.key._replace(epoch=earlier)
    change.elsewhere = (Change(key, change.received_at_ms, numbered_to=top, lost=info.lost),)
    return change


Span = tuple[int, int, int]
"""(oldest ms, newest ms, how many have no date) of a column of times; 0, 0 where none has a date."""


def span_of(times: Sequence[int | None]) -> Span:
    """Found once a column and used by every check of it."""
    known = cast(Sequence[int], times)
    latest = -1
    try:
        for t_ms in known:  # nearly always they rise; for the few of a column a loop is quicker than min and max
            if t_ms <= latest:
                break
            latest = t_ms
        else:
            return (known[0], latest, 0) if known else (0, 0, 0)
    except TypeError:  # one has no date
        pass
    if None in times:
        dated = [t for t in times if t is not None]
        return (min(dated), max(dated), len(times) - len(dated)) if dated else (0, 0, len(times))
    return min(known), max(known), 0


def _tallies(streams: Sequence[StreamColumns], spans: Sequence[Span], received_at_ms: int) -> tuple[Tally, ...]:
    """One tally a column."""
    limit_ms = received_at_ms - LATE_MS
    found: list[Tally] = []
    for s, (oldest_ms, newest_ms, undated) in zip(streams, spans, strict=True):
        count = len(s.seq)
        if oldest_ms < limit_ms and undated < count:
            late = count - undated
            if newest_ms >= limit_ms:
                late = sum(t < limit_ms for t in s.t_ms if t is not None)
            found.append((s.stream_id, count, late, received_at_ms - oldest_ms, undated, newest_ms))
        elif count:
            found.append((s.stream_id, count, 0, 0, undated, newest_ms))
    return tuple(found)


def _tallies_of_some(streams: Iterable[StreamColumns], received_at_ms: int, only: Ranges) -> tuple[Tally, ...]:
    """The tallies of these numbers alone."""
    parts = []
    for s in streams:
        part = StreamColumns(s.stream_id, s.origin, s.boot_id, s.sync, s.max_error_ms)
        for seq, t_ms in zip(s.seq, s.t_ms, strict=True):
            if seq in only:
                part.seq.append(seq)
                part.t_ms.append(t_ms)
        parts.append(part)
    return _tallies(parts, [span_of(p.t_ms) for p in parts], received_at_ms)


def _thinned(facts: Iterable[Numbered], fresh: Ranges) -> tuple[Ranges, tuple[tuple[str, int], ...]]:
    """Numbers that the edge says it thinned away (``readings_thinned``: ``ranges`` = "[[101,148]]"), and by stream."""
    spans: list[tuple[int, int]] = []
    streams: list[tuple[str, int]] = []
    for numbered in facts:
        fact = numbered.fact
        if isinstance(fact, Event) and fact.kind == "readings_thinned":
            these = Ranges(spans_of(fact.detail.get("ranges")))
            spans.extend(these.spans)
            stream = fact.detail.get("stream")
            if isinstance(stream, str) and these and numbered.seq in fresh:
                streams.append((stream, len(these)))
    return Ranges(spans), tuple(streams)


def _lost_events(facts: Iterable[Numbered]) -> dict[str, Ranges]:
    """Numbers that the edge says it lost (``numbers_lost``), by reason."""
    lost: dict[str, Ranges] = {}
    for numbered in facts:
        fact = numbered.fact
        if isinstance(fact, Event) and fact.kind == "numbers_lost":
            reason = _word(fact.detail.get("reason")) or "unknown"
            lost[reason] = lost.get(reason, Ranges()) | Ranges(spans_of(fact.detail.get("ranges")))
    return lost


def spans_of(text: object) -> Iterator[tuple[int, int]]:
    """The ranges in "[[101,148],[160,171]]"; what cannot be read is none."""
    try:
        spans = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return
    for span in spans[:MAX_SPANS] if isinstance(spans, list) else []:
        match span:
            case [int(low), int(high)] if 1 <= low <= high < MAX_NUMBER:
                yield low, high


def hello_info(upload: Upload) -> HelloInfo:
    """What a hello says, as far as it can be believed."""
    info = upload.info
    return HelloInfo(
        _count(info.get("numbered_to")),
        _word(info.get("machine")),
        _word(info.get("epoch_reason")),
        _word(info.get("previous_epoch")),
        _produced(info.get("produced")),
        _lost_said(info.get("lost")),
        _count(info.get("wire_bytes")),
        upload.sent_at_ms,
    )


def _count(said: object) -> int:
    if isinstance(said, dict):  # sent and received apart
        return sum(_count(part) for part in list(said.values())[:MAX_REASONS])
    return said if isinstance(said, int) and not isinstance(said, bool) and 0 < said < MAX_NUMBER else 0


def _word(said: object) -> str:
    return said[:64].encode("utf-8", "backslashreplace").decode().replace("\0", "") if isinstance(said, str) else ""


def _produced(said: object) -> dict[str, int]:
    if not isinstance(said, dict):
        return {}
    return {_word(stream): count for stream, n in list(said.items())[:MAX_STREAMS] if (count := _count(n))}


def _lost_said(said: object) -> dict[str, Ranges]:
    """``{"corrupt_file": "[[3,9]]"}``, or the ranges alone."""
    by_reason: Mapping[Any, Any] = said if isinstance(said, dict) else {"unknown": said}
    found = {_word(reason): Ranges(spans_of(text)) for reason, text in list(by_reason.items())[:MAX_REASONS]}
    return {reason: numbers for reason, numbers in found.items() if numbers}


# --- a change applied --------------------------------------------------------------------------------------


def apply(state: EpochState, change: Change) -> None:
    """Change the state. A number that is received is quarantined no more."""
    if change.received:
        state.have = state.have | change.received
    if change.quarantined:
        state.quarantined = state.quarantined | change.quarantined
    if state.quarantined and change.received:
        state.quarantined = state.quarantined - change.received
    if change.thinned:
        state.thinned = state.thinned | change.thinned
    state.duplicates += change.duplicates
    if change.conflicts:
        state.conflicts += change.conflicts
        state.conflict_ms = change.received_at_ms
    if change.numbered_to > state.numbered_to:
        state.numbered_to = change.numbered_to
    if change.received_at_ms > state.last_seen_ms:
        state.last_seen_ms = change.received_at_ms
    state.shard = change.shard or state.shard
    streams = state.streams
    for stream_id, count, late, worst_late_ms, undated, newest_ms in change.tallies:
        counted = streams.get(stream_id) or _stream(state, stream_id)
        if counted is not None:
            counted.received += count
            if newest_ms > counted.newest_ms:
                counted.newest_ms = newest_ms
            if undated or late:
                counted.undated += undated
                counted.late += late
                counted.worst_late_ms = max(counted.worst_late_ms, worst_late_ms)
    for stream_id, count in change.thinned_streams:
        if (counted := _stream(state, stream_id)) is not None:
            counted.thinned += count
    if change.lost:
        _lose(state, change.lost)
    if change.hello:
        state.hello_ms = max(state.hello_ms, change.received_at_ms)
    if change.info is not None:
        _apply_hello(state, change.info)


def _stream(state: EpochState, stream_id: str) -> StreamTally | None:
    """The tally of a stream; None beyond the bound on streams."""
    found = state.streams.get(stream_id)
    if found is None and len(state.streams) < MAX_STREAMS:
        found = state.streams[stream_id] = StreamTally()
    return found


def _lose(state: EpochState, lost: Mapping[str, Ranges]) -> None:
    for reason, numbers in lost.items():
        kept = reason if reason in state.lost or len(state.lost) < MAX_REASONS else "other"
        state.lost[kept] = state.lost.get(kept, Ranges()) | numbers


def _apply_hello(state: EpochState, info: HelloInfo) -> None:
    _lose(state, info.lost)
    state.wire_bytes = info.wire_bytes or state.wire_bytes
    for stream_id, count in info.produced.items():
        if (found := _stream(state, stream_id)) is not None:
            found.produced = max(found.produced, count)


def receipt_of(key: EpochKey, state: EpochState) -> Receipt:
    """What the journal holds of this epoch (at most MAX_SPANS ranges: the oldest, which free the edge most)."""
    return Receipt(key.epoch, _capped(state.have), _capped(state.quarantined))


def _capped(ranges: Ranges) -> Ranges:
    return ranges if len(ranges.spans) <= MAX_SPANS else Ranges(ranges.spans[:MAX_SPANS])


def rank(key: EpochKey, state: EpochState) -> tuple[int, int, EpochKey]:
    """Of an edge's epochs the one with the highest rank is the one it lives in: that of its last hello.

    An epoch whose hello is not known (it went with a journal restored from a backup) counts by its last message:
    else nobody would ask for what it lacks until the edge's next hello.
    """
    return state.hello_ms or state.last_seen_ms, state.last_seen_ms, key


def current_of(states: Mapping[EpochKey, EpochState]) -> list[EpochKey]:
    """The epoch that each edge lives in."""
    newest: dict[tuple[str, str], tuple[int, int, EpochKey]] = {}
    for key, s in states.items():
        edge = (key.site, key.edge)
        mine = rank(key, s)
        if edge not in newest or mine > newest[edge]:
            newest[edge] = mine
    return [key for _, _, key in newest.values()]


# --- for people --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """One stream of one epoch: counts of readings. ``not_here`` is produced but neither received nor thinned."""

    stream_id: str
    produced: int
    received: int
    thinned: int
    undated: int
    late: int
    worst_late_ms: int
    newest_ms: int

    @property
    def not_here(self) -> int:
        return max(0, self.produced - self.received - self.thinned)


@dataclass(frozen=True, slots=True)
class EdgeSummary:
    """One epoch on the ledger's page. Counts are numbers of facts; ``missing`` and ``lost`` say which."""

    site: str
    edge: str
    epoch: str
    current: bool
    numbered_to: int
    received: int
    quarantined: int
    thinned: int
    duplicates: int
    last_seen_ms: int
    missing: Ranges
    lost: Mapping[str, Ranges] = field(default_factory=dict)
    conflicts: int = 0
    late: int = 0
    worst_late_ms: int = 0
    undated: int = 0
    wire_bytes: int = 0
    streams: tuple[StreamSummary, ...] = ()

    @property
    def lost_count(self) -> int:
        return sum(len(numbers) for numbers in self.lost.values())


def summaries(states: Mapping[EpochKey, EpochState]) -> list[EdgeSummary]:
    """One line per epoch, by site and edge; the epoch that the edge lives in is ``current``."""
    current = set(current_of(states))
    return [_summary(key, state, key in current) for key, state in sorted(states.items(), key=lambda item: item[0])]


def _summary(key: EpochKey, s: EpochState, current: bool) -> EdgeSummary:
    accounted = s.have | s.quarantined
    thinned = s.thinned - accounted
    accounted = accounted | thinned
    lost = {reason: rest for reason, numbers in sorted(s.lost.items()) if (rest := numbers - accounted)}
    streams = tuple(
        StreamSummary(name, t.produced, t.received, t.thinned, t.undated, t.late, t.worst_late_ms, t.newest_ms)
        for name, t in sorted(s.streams.items())
    )
    return EdgeSummary(
        *key,
        current=current,
        numbered_to=s.numbered_to,
        received=len(s.have),
        quarantined=len(s.quarantined),
        thinned=len(thinned),
        duplicates=s.duplicates,
        last_seen_ms=s.last_seen_ms,
        missing=s.missing,
        lost=lost,
        conflicts=s.conflicts,
        late=sum(t.late for t in streams),
        worst_late_ms=max((t.worst_late_ms for t in streams), default=0),
        undated=sum(t.undated for t in streams),
        wire_bytes=s.wire_bytes,
        streams=streams,
    )


class Cause(StrEnum):
    """Why numbers are not here."""

    ASKED_FOR = "asked_for"
    SILENT = "silent"
    EPOCH_ENDED = "epoch_ended"
    LOST = "lost"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Absent:
    """``count`` numbers and why they are not here; ``detail`` is the edge's reason for what it lost."""

    cause: Cause
    count: int
    numbers: Ranges
    detail: str = ""


def absences(line: EdgeSummary, now_ms: int) -> list[Absent]:
    """What an edge numbered and the store does not hold, each with its cause."""
    found = [Absent(Cause.LOST, len(numbers), numbers, reason) for reason, numbers in line.lost.items()]
    if line.missing:
        silent = now_ms - line.last_seen_ms > SILENT_MS
        cause = Cause.EPOCH_ENDED if not line.current else Cause.SILENT if silent else Cause.ASKED_FOR
        found.append(Absent(cause, len(line.missing), line.missing))
    if line.quarantined:
        found.append(Absent(Cause.QUARANTINE, line.quarantined, Ranges()))
    return found
