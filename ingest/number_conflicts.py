"""Whether a number that comes again says the same. Pure.

Two Pis that run copies of one card number in the same epoch: the same number, other content. That is no repeat, and
to swallow it would lose a reading unseen. A fact is compared by what it measured and when in its boot, not by how it
was sent; a reading that was undated and is dated meanwhile is the same reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from telemetry.columns import ReadingsUpload
from telemetry.contract import Upload
from telemetry.readings import Event, Fact, Numbered, Quality, Reading, Weighing

Print = tuple[int, int | None]
"""(hash of the content, time or None). Hashes are of this process only."""


def prints_of(upload: Upload | ReadingsUpload) -> dict[int, Print]:
    """The print of each number in an upload."""
    if isinstance(upload, Upload):
        return {n.seq: print_of(n.fact) for n in upload.facts}
    found: dict[int, Print] = {}
    for s in upload.streams:
        for i, seq in enumerate(s.seq):
            quality = s.quality.get(i, Quality.GOOD)
            number = None if s.device_seq is None else s.device_seq[i]
            content = (s.stream_id, s.milli[i], quality, s.boot_id, s.boottime_ns[i] // 1_000_000, number)
            found[seq] = (hash(content), s.t_ms[i])
    return found


def print_of(fact: Fact) -> Print:
    stamp = fact.stamp
    boot = (stamp.boot_id, stamp.boottime_ns // 1_000_000)
    match fact:
        case Reading():
            milli = None if fact.value is None else int(fact.value * 1000)
            content: tuple[object, ...] = (fact.stream_id, milli, fact.quality, *boot, fact.device_seq)
        case Event():
            content = (fact.kind, fact.subject, *boot, *sorted((k, str(v)) for k, v in fact.detail.items()))
        case Weighing():
            content = (fact.weighing_id, fact.device_serial, fact.gross_kg, fact.tare_kg, *boot)
    return hash(content), fact.sampled_at_ms


def differing(facts: Iterable[Numbered], kept: Mapping[int, Print]) -> set[int]:
    """The numbers whose fact is not the one that is kept under it."""
    return {n.seq for n in facts if (old := kept.get(n.seq)) is not None and not _same(old, print_of(n.fact))}


def _same(a: Print, b: Print) -> bool:
    return a[0] == b[0] and (a[1] is None or b[1] is None or a[1] == b[1])
