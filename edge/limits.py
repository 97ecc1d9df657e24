"""What is within limits at this edge: the table ``[limits]`` of its settings. Pure.

Not the alarm profile (the server's rules judge by that): these limits only say what is urgent here. A value beyond
one is committed and sent at once, and is never thinned. A quantity without limits is always within them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from telemetry.readings import Quality, Reading

Bounds = tuple[Decimal, Decimal]
# WHO and Kemenkes: vaccines in a refrigerator are kept at 2 to 8 degrees. A freezer's stream gets a row of its own.
DEFAULT: Mapping[str, Bounds] = {"temperature_c": (Decimal(2), Decimal(8))}


@dataclass(frozen=True, slots=True)
class Limits:
    """``bounds``: by stream id, or by quantity for all streams of it; both ends are within."""

    bounds: Mapping[str, Bounds] = field(default_factory=lambda: dict(DEFAULT))

    def of(self, stream_id: str) -> Bounds | None:
        """The limits of a stream: its own row, else its quantity's."""
        found = self.bounds.get(stream_id)
        return found if found is not None else self.bounds.get(stream_id.split("/")[1] if "/" in stream_id else "")

    def beyond(self, reading: Reading) -> bool:
        """Whether a good value is beyond its limit. A fault has no value and is beyond nothing."""
        bounds = self.of(reading.stream_id)
        if bounds is None or reading.value is None or reading.quality is not Quality.GOOD:
            return False
        return not bounds[0] <= reading.value <= bounds[1]

    def within(self, reading: Reading) -> bool:
        """Whether a good value is known to be within its limits: only such readings may be thinned."""
        return reading.value is not None and reading.quality is Quality.GOOD and not self.beyond(reading)
