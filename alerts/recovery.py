"""How far a value came back between two alarms of one place, read from alerts' memory beside the running service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from alerts.amended import Amendments
from alerts.memory import Memory
from telemetry.readings import Quality


@dataclass(slots=True)
class MemoryValues:
    """Good values of one stream in [from_ms, to_ms), as they count. Raises NeighbourDownError. Belongs to one thread.

    ``amended``: what people said of a stream's readings.
    """

    path: Path
    amended: Callable[[str], Amendments]
    _memory: Memory | None = None

    def __call__(self, equipment: str, stream: str, from_ms: int, to_ms: int) -> Sequence[Decimal]:
        if self._memory is None:
            self._memory = Memory(self.path, read_only=True)
        facts = self._memory.facts(equipment=equipment, stream=stream, from_ms=from_ms, to_ms=to_ms)
        counted = self.amended(stream).facts(facts)
        return [f.value_c for f in counted if f.value_c is not None and f.quality is Quality.GOOD]
