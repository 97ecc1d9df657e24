"""Where ``smile-iot replay`` reads stored readings: alerts' own memory file, or the time series (any STORE)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from alerts.bulk import NO_SEQ, Points, points_of
from alerts.rules import ReadingFact
from telemetry.errors import ConfigError
from telemetry.quantities import parse_stream_id
from telemetry.readings import Quality

if TYPE_CHECKING:
    from alerts.exposure import Placement
    from alerts.memory import Memory
    from gateway.records import Registry
    from ingest.store import Store, StoreConfig

_FOREVER_MS = 1 << 42
_TEMPERATURE = "temperature_c"


class Source(Protocol):
    """All that is stored of an equipment."""

    def points(self, equipment: str, stream: str) -> Points: ...

    def facts(self, stays: Iterable[Placement]) -> list[ReadingFact]:
        """The temperatures of the places of a batch."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the readings are, so that another process can open them too. ``homes``: (equipment, stream) of all there are.

    ``memory``: alerts' file; else ``store``.
    """

    homes: tuple[tuple[str, str], ...]
    memory: Path | None = None
    store: StoreConfig | None = None

    def of(self, equipment: Collection[str]) -> Stored:
        """Those of some equipment only."""
        return replace(self, homes=tuple(home for home in self.homes if home[0] in equipment))

    def open(self) -> Source:
        if self.memory is not None:
            from alerts.memory import Memory

            return FromMemory(Memory(self.memory, read_only=True))
        from ingest.store import StoreConfig, open_store

        return FromStore(open_store(self.store or StoreConfig(), read_only=True), self.homes)


def in_memory(path: Path) -> Stored:
    """Raises ConfigError where alerts never ran."""
    from alerts.memory import Memory

    if not path.exists():
        raise ConfigError("server.data_dir", f"no {path}: alerts never ran here", advice="or ask --from store")
    memory = Memory(path, read_only=True)
    try:
        return Stored(tuple(memory.homes()), memory=path)
    finally:
        memory.close()


def in_store(config: StoreConfig, registry: Registry) -> Stored:
    """A stream is at home where its device stands today."""
    from ingest.store import open_store

    store = open_store(config, read_only=True)
    try:
        found = ((registry.equipment_of(parse_stream_id(s).serial), s) for s in store.streams())
        return Stored(tuple((home.id, s) for home, s in found if home is not None), store=config)
    finally:
        store.close()


class FromMemory:
    """Each reading in the equipment its device stood in when it came."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

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

    def __init__(self, store: Store, homes: Iterable[tuple[str, str]]) -> None:
        self._store = store
        self._homes = list(homes)

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
