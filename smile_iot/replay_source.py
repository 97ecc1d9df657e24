"""Where ``smile-iot replay`` reads stored readings: alerts' own memory file, or the time series (any STORE)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from alerts.amended import NOTHING_SAID, Amendments
from alerts.amended_points import AmendedPoints
from alerts.bulk import Points, points_of
from alerts.equipment import watched_quantities
from alerts.homes import Homes
from alerts.rules import ReadingFact
from telemetry.errors import ConfigError
from telemetry.quantities import parse_stream_id

if TYPE_CHECKING:
    from alerts.exposure import Placement
    from alerts.memory import Memory
    from ingest.store import Store, StoreConfig

_FOREVER_MS = 1 << 42
_TEMPERATURE = "temperature_c"


class Source(Protocol):
    """All that is stored of an equipment."""

    def points(self, equipment: str, stream: str) -> AmendedPoints:
        """As they count, by what people said of them."""
        ...

    def facts(self, stays: Iterable[Placement]) -> list[ReadingFact]:
        """The temperatures of the places of a batch, as they came."""
        ...

    def watched(self, equipment: str, from_ms: int, to_ms: int) -> Iterable[ReadingFact]:
        """What the rules over sensors look at, in time order: [from_ms, to_ms)."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the readings are, so that another process can open them too. ``homes``: (equipment, stream) of all there are.

    ``memory``: alerts' file; else ``store``, with where each device stood when. ``amended``: what people said of readings.
    """

    homes: tuple[tuple[str, str], ...]
    memory: Path | None = None
    store: StoreConfig | None = None
    stood: Homes = field(default_factory=lambda: Homes({}))
    amended: Amendments = NOTHING_SAID

    def of(self, equipment: Collection[str]) -> Stored:
        """Those of some equipment only."""
        return replace(self, homes=tuple(home for home in self.homes if home[0] in equipment))

    def open(self) -> Source:
        if self.memory is not None:
            from alerts.memory import Memory

            return FromMemory(Memory(self.memory, read_only=True), self.amended)
        from ingest.store import StoreConfig, open_store

        store = open_store(self.store or StoreConfig(), read_only=True)
        return FromStore(store, self.homes, self.stood, self.amended)


def in_memory(path: Path, amended: Amendments) -> Stored:
    """Raises ConfigError where alerts never ran."""
    from alerts.memory import Memory

    if not path.exists():
        raise ConfigError("server.data_dir", f"no {path}: alerts never ran here", advice="or ask --from store")
    memory = Memory(path, read_only=True)
    try:
        return Stored(tuple(memory.homes()), memory=path, amended=amended)
    finally:
        memory.close()


def in_store(config: StoreConfig, since: Mapping[str, Sequence[tuple[int, str]]], amended: Amendments) -> Stored:
    """``since``: ``Records.assigned_equipment()``. A stream is at home in each equipment its device ever stood in."""
    from ingest.store import open_store

    stood = Homes(since)
    store = open_store(config, read_only=True)
    try:
        found = sorted({(place, s) for s in store.streams() for *_, place in stood.spans(s) if place})
        return Stored(tuple(found), store=config, stood=stood, amended=amended)
    finally:
        store.close()


def _both(made: Callable[[Amendments], Points], stream: str, amended: Amendments) -> AmendedPoints:
    """A stream by what people said of it, and where something is marked as if nothing were."""
    return AmendedPoints(made(amended), made(amended.unmarked) if stream in amended.marks else None)


class FromMemory:
    """Each reading in the equipment its device stood in at its time, as alerts house it."""

    def __init__(self, memory: Memory, amended: Amendments) -> None:
        self._memory = memory
        self._amended = amended

    def points(self, equipment: str, stream: str) -> AmendedPoints:
        kept = self._memory.columns(equipment, stream)

        def made(amended: Amendments) -> Points:
            value_m, missing = amended.columns(stream, kept.t_ms, kept.value_m, kept.missing)
            return points_of(kept.t_ms, value_m, missing, kept.device_seq)

        return _both(made, stream, self._amended)

    def facts(self, stays: Iterable[Placement]) -> list[ReadingFact]:
        from alerts.batch_facts import KnownThen

        return KnownThen(self._memory).of(stays)

    def watched(self, equipment: str, from_ms: int, to_ms: int) -> Iterable[ReadingFact]:
        return self._memory.facts(equipment=equipment, quantities=watched_quantities(), from_ms=from_ms, to_ms=to_ms)

    def close(self) -> None:
        self._memory.close()


class FromStore:
    """Each reading in the equipment its device stood in at its time."""

    def __init__(self, store: Store, homes: Iterable[tuple[str, str]], stood: Homes, amended: Amendments) -> None:
        self._amended = amended
        self._store = store
        self._homes = list(homes)
        self._stood = stood

    def points(self, equipment: str, stream: str) -> AmendedPoints:
        from api.series import points_at_home

        series = self._store.read_columns(stream, 0, _FOREVER_MS)
        stays = self._stood.spans(stream)
        return _both(lambda amended: points_at_home(series, stream, stays, equipment, amended), stream, self._amended)

    def facts(self, stays: Iterable[Placement]) -> list[ReadingFact]:
        from alerts.judgement import spans_of

        return [
            fact
            for equipment, (low, high) in sorted(spans_of(stays).items())
            for home, stream in self._homes
            if home == equipment and parse_stream_id(stream).quantity == _TEMPERATURE
            for fact in self._read(equipment, stream, max(low, 0), _FOREVER_MS if high is None else high + 1)
        ]

    def watched(self, equipment: str, from_ms: int, to_ms: int) -> Iterable[ReadingFact]:
        wanted = watched_quantities()
        streams = (s for home, s in self._homes if home == equipment and parse_stream_id(s).quantity in wanted)
        return merge(*(self._read(equipment, s, from_ms, to_ms) for s in streams), key=lambda f: f.t_ms)

    def _read(self, equipment: str, stream: str, from_ms: int, to_ms: int) -> Iterator[ReadingFact]:
        for t_ms, value_c, quality, number in self._store.read_columns(stream, from_ms, to_ms).facts():
            if self._stood.at(stream, t_ms) == equipment:
                yield ReadingFact(equipment, stream, t_ms, value_c, quality, number)

    def close(self) -> None:
        self._store.close()
