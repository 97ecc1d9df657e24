"""Which unsent readings go when there is no room: what is left of 15 minutes of a stream is its least, its greatest
and its last value. Pure.

Only readings known to be within their limits go (``edge.limits``); never a value beyond them, a fault, a weighing or
an event. Of a state (mains, door) every change stays. What went is told by the event ``readings_thinned``, which is a
fact with a number of its own, committed with the deletion: the ledger says "thinned", never "received".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from edge.limits import Limits
from telemetry.readings import Event, Numbered, Ranges, Reading, Stamp, Sync

QUARTER_MS = 900_000
THINNED = "readings_thinned"
LOST = "numbers_lost"
_TEXT_SIGNS = 512  # what the contract allows for a text in an event's detail
_STATES = frozenset({"mains_power_on", "door_open"})


def closed(facts: Sequence[Numbered]) -> int:
    """How many of these, in the order of their recording, come before the last quarter that was being recorded.

    That quarter may still grow: it is left for the next look.
    """
    last = facts[-1].fact.stamp.wall_ms // QUARTER_MS if facts else 0
    count = len(facts)
    while count and facts[count - 1].fact.stamp.wall_ms // QUARTER_MS == last:
        count -= 1
    return count


def surplus(facts: Iterable[Numbered], limits: Limits) -> dict[str, list[int]]:
    """The numbers that go, by stream, rising. Repeating it on what is left takes nothing more."""
    groups: dict[tuple[str, str, int], list[tuple[int, Reading]]] = {}
    before: dict[str, Reading] = {}
    for n in facts:
        fact = n.fact
        if not isinstance(fact, Reading):
            continue
        changed = _is_state(fact.stream_id) and (
            fact.stream_id not in before or before[fact.stream_id].value != fact.value
        )
        before[fact.stream_id] = fact
        if limits.within(fact) and not changed:
            groups.setdefault(_quarter(fact), []).append((n.seq, fact))
    found: dict[str, list[int]] = {}
    for (stream, _, _), group in groups.items():
        kept = _kept(group)
        found.setdefault(stream, []).extend(seq for seq, _ in group if seq not in kept)
    return {stream: sorted(numbers) for stream, numbers in found.items() if numbers}


def _is_state(stream_id: str) -> bool:
    return stream_id.split("/")[1] in _STATES


def _quarter(reading: Reading) -> tuple[str, str, int]:
    """Undated readings are told apart by the boot and the wall clock as it stood."""
    if reading.sampled_at_ms is not None:
        return reading.stream_id, "", reading.sampled_at_ms // QUARTER_MS
    return reading.stream_id, reading.stamp.boot_id, reading.stamp.wall_ms // QUARTER_MS


def _kept(group: list[tuple[int, Reading]]) -> set[int]:
    def time(item: tuple[int, Reading]) -> tuple[int, int]:
        return item[1].sampled_at_ms or item[1].stamp.wall_ms, item[0]

    def value(item: tuple[int, Reading]) -> tuple[float, int]:
        return float(item[1].value or 0), item[0]

    return {min(group, key=value)[0], max(group, key=lambda i: (value(i)[0], -i[0]))[0], max(group, key=time)[0]}


def texts_of(numbers: Ranges) -> Iterator[tuple[str, int]]:
    """The ranges as JSON texts that fit an event, each with its count of numbers."""
    part: list[list[int]] = []
    size = 2
    for low, high in numbers.spans:
        signs = len(f"[{low},{high}],")
        if part and size + signs > _TEXT_SIGNS:
            yield _text(part)
            part, size = [], 2
        part.append([low, high])
        size += signs
    if part:
        yield _text(part)


def _text(part: list[list[int]]) -> tuple[str, int]:
    return json.dumps(part, separators=(",", ":")), sum(high - low + 1 for low, high in part)


def ranges_in(event: Event) -> Ranges:
    """The numbers that an event of thinning or loss names."""
    text = event.detail.get("ranges")
    return Ranges([(low, high) for low, high in json.loads(text)]) if isinstance(text, str) else Ranges()


def thinned_events(
    gone: dict[str, list[int]], reason: str, edge: str, epoch: str, now: Stamp
) -> list[tuple[Ranges, Event]]:
    """The events that tell of it; ``epoch`` is the one whose numbers they name (an event may outlive its epoch)."""
    return [
        (Ranges([(low, high) for low, high in json.loads(text)]), _event(THINNED, edge, now, {"epoch": epoch,
            "stream": stream, "ranges": text, "count": count, "reason": reason}))
        for stream, numbers in sorted(gone.items())
        for text, count in texts_of(Ranges.of(numbers))
    ]  # fmt: skip


def lost_events(lost: Ranges, reason: str, edge: str, epoch: str, now: Stamp) -> list[Event]:
    """The events that tell which numbers of ``epoch`` are gone for good."""
    return [
        _event(LOST, edge, now, {"epoch": epoch, "ranges": text, "count": count, "reason": reason})
        for text, count in texts_of(lost)
    ]


def _event(kind: str, edge: str, now: Stamp, detail: dict[str, str | int | None]) -> Event:
    return Event(kind, edge, now.wall_ms if now.sync is Sync.SYNCED else None, now, detail)
