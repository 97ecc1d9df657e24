"""Where ``smile-iot replay`` reads stored readings: alerts' own memory file, or the time series (any STORE)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from alerts.bulk import NO_SEQ, Points, points_of
from alerts.rules import ReadingFact
from telemetry.quantities import parse_stream_id
from telemetry.readings import Quality

if TYPE_CHECKING:
    from alerts.exposure import Placement
    from alerts.memory import Memory
    from gateway.records import Registry
    from ingest.store import Store

_FOREVER_MS = 1 << 42
_TEMPERATURE = "temperature_c"


class Source(Protocol):
    """All that is stored of an equipment."""

    def streams(self) -> list[tuple[str, str]]:
        """(equipment, stream)."""
        ...

    def points(self, equipment: str, stream: str) -> Points: ...

    def facts(self, stays: Iterable[Placement]) -> list[ReadingFact]:
        """The temperatures of the places of a batch."""
        ...

    def close(self) -> None: ...


class FromMemory:
    """Each reading in the equipment its device stood in when it came."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def streams(self) -> list[tuple[str, str]]:
        return self._memory.homes()

    def points(self, equipment: str, stream: str) -> Points:
        kept = self._memory.columns(equipment, stream)
        return points_of(kept.t_ms, kept.value_m, kept.missing, kept.device_seq)

    def facts(self, stays: Iterable[Placement]) -> list[ReadingFact]:
        from alerts.batch_facts import KnownThen

        return KnownThen(self._memory).of(stays)

    def close(self) -> None:
        self._memory.close()


class FromStore:
    """Each reading in the equipment its device stands in today: the store does not know where it stood before."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._homes: list[tuple[str, str]] = []
        for stream in store.streams():
            home = registry.equipment_of(parse_stream_id(stream).serial)
            if home is not None:
                self._homes.append((home.id, stream))

    def streams(self) -> list[tuple[str, str]]:
        return self._homes

    def points(self, equipment: str, stream: str) -> Points:  # noqa: ARG002  (a stream has one home here)
        series = self._store.read_columns(stream, 0, _FOREVER_MS)
        n = len(series.t_ms)
        missing, numbers = [False] * n, [NO_SEQ] * n
        for i, (milli, quality) in series.odd.items():
            missing[i] = milli is None or quality is not Quality.GOOD
        for i, number in series.device_seq.items():
            numbers[i] = number
        return points_of(series.t_ms, series.milli, missing, numbers)

    def facts(self, stays: Iterable[Placement]) -> list[ReadingFact]:
        from alerts.judgement import spans_of

        return [
            ReadingFact(equipment, stream, t_ms, value_c, quality, number)
            for equipment, (low, high) in sorted(spans_of(stays).items())
            for home, stream in self._homes
            if home == equipment and parse_stream_id(stream).quantity == _TEMPERATURE
            for t_ms, value_c, quality, number in self._store.read_columns(
                stream, max(low, 0), _FOREVER_MS if high is None else high + 1
            ).facts()
        ]

    def close(self) -> None:
        self._store.close()
