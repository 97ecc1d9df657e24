"""Where bytes come from: BLE adverts, serial lines, Modbus. All I/O of the agent's left side is here.

``POLLED`` is the table of drivers that must be asked: each has a source of its own (one line here), loaded only when
a device wants it. What advertises or talks by itself stands in the tables of ``edge.decoders`` instead.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PolledDriver:
    """``what`` names it in the log. ``module`` offers ``source``, a class, and ``EXPECTED``, the errors that reopen it."""

    what: str
    module: str
    source: str


POLLED: dict[str, PolledDriver] = {
    "mt_sics": PolledDriver("scale", "edge.sources.mt_sics", "SicsSource"),
    "modbus_probe": PolledDriver("probe", "edge.sources.modbus", "ModbusSource"),
}
