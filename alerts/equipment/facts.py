"""The facts of one equipment as instants: what each of its streams said at one time.

Facts form a set. Identity is (stream, ``device_seq``) where given, else (stream, time), as in ``alerts.rules.facts``: the
same device number at two times is one reading at the earlier one. All values of one identity are kept; a stream that
says two things of one instant has no single value there (``value_m`` None) but keeps its extremes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from alerts.rules.facts import ReadingFact, milli
from telemetry.quantities import StreamId, parse_stream_id
from telemetry.readings import Quality

Said = tuple[int | None, str]  # (thousandths, quality)


@dataclass(frozen=True, slots=True)
class Sample:
    """All that one stream said of one instant.

    ``value_m``: the value in thousandths of its unit, where there is exactly one good one. ``low_m``/``high_m``: the
    extremes of the good ones. ``fault``: the quality of a value that was not good, "" where all were. ``seq``: the
    least device number.
    """

    stream_id: str
    serial: str
    quantity: str
    t_ms: int
    value_m: int | None
    low_m: int | None
    high_m: int | None
    fault: str = ""
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant in one scope (a stream, a device, an equipment): its samples in order of their stream ids."""

    t_ms: int
    samples: tuple[Sample, ...]

    def only(self, quantities: frozenset[str]) -> Moment:
        """The same instant without the other quantities."""
        return Moment(self.t_ms, tuple(s for s in self.samples if s.quantity in quantities))

    def value_m(self, quantity: str) -> int | None:
        """The value of the first stream of this quantity, None where none has one."""
        return next((s.value_m for s in self.samples if s.quantity == quantity and s.value_m is not None), None)


@lru_cache(maxsize=8_192)
def parts(stream_id: str) -> StreamId:
    return parse_stream_id(stream_id)


def sample_of(stream_id: str, t_ms: int, entries: dict[int | None, frozenset[Said]]) -> Sample:
    """One instant of one stream."""
    said = frozenset().union(*entries.values()) if len(entries) > 1 else next(iter(entries.values()))
    good = [v for v, quality in said if v is not None and quality == Quality.GOOD]
    faults = sorted(quality if quality != Quality.GOOD else Quality.SENSOR_FAULT for v, quality in said
                    if v is None or quality != Quality.GOOD)  # fmt: skip
    stream = parts(stream_id)
    return Sample(
        stream_id,
        stream.serial,
        stream.quantity,
        t_ms,
        good[0] if len(good) == 1 and not faults else None,
        min(good, default=None),
        max(good, default=None),
        str(faults[0]) if faults else "",
        min((seq for seq in entries if seq is not None), default=None),
    )


@dataclass(slots=True)
class Table:
    """What one stream said, by instant. Grows by ``take`` and shrinks by ``forget``."""

    stream_id: str
    at: dict[int, dict[int | None, frozenset[Said]]] = field(default_factory=dict)
    when: dict[int, int] = field(default_factory=dict)
    made: dict[int, Sample] = field(default_factory=dict)

    def take(self, fact: ReadingFact) -> list[int]:
        """The instants that a fact changes; none where it is known."""
        said: frozenset[Said] = frozenset(
            ((None if fact.value_c is None else milli(fact.value_c), fact.quality.value),)
        )
        seq, t_ms = fact.device_seq, fact.t_ms
        changed: list[int] = []
        if seq is not None:
            known_ms = self.when.setdefault(seq, t_ms)
            if known_ms < t_ms:
                t_ms = known_ms
            elif known_ms > t_ms:
                said |= self._pop(known_ms, seq)
                self.when[seq] = t_ms
                changed.append(known_ms)
        entries = self.at.setdefault(t_ms, {})
        old = entries.get(seq, frozenset())
        if not said <= old:
            entries[seq] = old | said
            changed.append(t_ms)
        for at_ms in changed:
            self.made.pop(at_ms, None)
        return changed

    def _pop(self, t_ms: int, seq: int) -> frozenset[Said]:
        entries = self.at[t_ms]
        said = entries.pop(seq)
        if not entries:
            del self.at[t_ms]
        return said

    def sample(self, t_ms: int) -> Sample | None:
        made = self.made.get(t_ms)
        if made is None:
            entries = self.at.get(t_ms)
            if entries is None:
                return None
            made = self.made[t_ms] = sample_of(self.stream_id, t_ms, entries)
        return made

    def forget(self, before_ms: int) -> None:
        for t_ms in [t for t in self.at if t < before_ms]:
            for seq in self.at.pop(t_ms):
                if seq is not None:
                    self.when.pop(seq, None)
            self.made.pop(t_ms, None)
