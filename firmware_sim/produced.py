"""``produced.ndjson``: what the devices measured, written before it goes on the air."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from firmware_sim.loggers import LoggerSample


class LineFile:
    """An append-only file of JSON lines; a line is with the kernel when ``write`` returns, so a kill loses none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, line: dict[str, object]) -> None:
        """One line, flushed."""
        if self._file is None:
            raise RuntimeError(f"{self.path.name} is not open")
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()


class Ledger(LineFile):
    """``produced.ndjson``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.counts: dict[str, int] = {}

    def reading(self, serial: str, quantity: str, t_ms: int, value: str | None, seq: int) -> None:
        """A measurement; ``value`` None for a broken probe; ``seq`` is the device's running sample number."""
        stream = f"{serial}/{quantity}"
        self.counts[stream] = self.counts.get(stream, 0) + 1
        self.write({"kind": "reading", "device": serial, "stream": stream, "t_ms": t_ms, "value": value, "seq": seq})

    def logger_sample(self, serial: str, t_ms: int, sample: LoggerSample) -> None:
        """The four streams of a BTHome cold-chain logger."""
        temperature = None if sample.temperature_c is None else str(sample.temperature_c)
        for quantity, value in (
            ("temperature_c", temperature),
            ("mains_power_on", str(int(sample.mains_power_on))),
            ("door_open", str(int(sample.door_open))),
            ("battery_percent", str(sample.battery_percent)),
        ):
            self.reading(serial, quantity, t_ms, value, sample.index)

    def weighing(
        self, serial: str, t_ms: int, stable_at_ms: int, gross_kg: Decimal, tare_kg: Decimal, bag: str | None
    ) -> None:
        """A load that came to rest. ``t_ms`` is the plan's time of the load, ``stable_at_ms`` when it really came
        to rest."""
        self.counts[f"{serial}/weighings"] = self.counts.get(f"{serial}/weighings", 0) + 1
        self.write(
            {
                "kind": "weighing",
                "device": serial,
                "t_ms": t_ms,
                "stable_at_ms": stable_at_ms,
                "gross_kg": str(gross_kg),
                "tare_kg": str(tare_kg),
                "net_kg": str(gross_kg - tare_kg),
                "bag": bag,
            }
        )
