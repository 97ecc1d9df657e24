"""How far a value came back between two alarms of one place, read from alerts' memory beside the running service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from alerts.memory import Memory
from telemetry.readings import Quality


@dataclass(slots=True)
class MemoryValues:
    """Good values of one stream in [from_ms, to_ms). Raises NeighbourDownError. Belongs to one thread."""

    path: Path
    _memory: Memory | None = None

    def __call__(self, equipment: str, stream: str, from_ms: int, to_ms: int) -> Sequence[Decimal]:
        if self._memory is None:
            self._memory = Memory(self.path, read_only=True)
        facts = self._memory.facts(equipment=equipment, stream=stream, from_ms=from_ms, to_ms=to_ms)
        return [f.value_c for f in facts if f.value_c is not None and f.quality is Quality.GOOD]
