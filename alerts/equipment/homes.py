"""Where a device stood when, as people said it: its certificate's end and its refused messages belong there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alerts.equipment.calibration import Lapse

_EVER_MS = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Stay:
    """A device stood in this equipment during [from, to); ``to_ms`` None: still."""

    equipment: str
    from_ms: int
    to_ms: int | None

    def covers(self, t_ms: int) -> bool:
        return t_ms >= self.from_ms and (self.to_ms is None or t_ms < self.to_ms)


def stays(said: Iterable[tuple[int, str | None]]) -> list[Stay]:
    """From (when it was said, the equipment or None), oldest first. The first one counts for all time before it too."""
    found: list[Stay] = []
    for at_ms, equipment in said:
        last = found[-1] if found else None
        if last is not None and last.to_ms is None:
            if last.equipment == equipment:
                continue
            found[-1] = Stay(last.equipment, last.from_ms, at_ms)
        if equipment is not None:
            found.append(Stay(equipment, at_ms if found else _EVER_MS, None))
    return found


def home_at(there: Iterable[Stay], t_ms: int) -> str | None:
    """The equipment that the device stood in, None where it stood in none."""
    return next((s.equipment for s in there if s.covers(t_ms)), None)


def within(gone: Iterable[Lapse], there: Sequence[Stay], equipment: str) -> list[Lapse]:
    """What of the lapses falls into the stays in this equipment, in the lapses' order."""
    found = []
    for lapse in gone:
        for stay in (s for s in there if s.equipment == equipment):
            from_ms = max(lapse.from_ms, stay.from_ms)
            ends = [t for t in (lapse.to_ms, stay.to_ms) if t is not None]
            to_ms = min(ends, default=None)
            if to_ms is None or from_ms < to_ms:
                found.append(Lapse(from_ms, to_ms))
    return found
