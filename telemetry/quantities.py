"""Quantities, their units and bounds: one table row each.

A stream is one quantity of one device: ``serial/quantity[/channel]``. Serials use the letters SMILE
allows for loggers (``facts/smile-core-api.md`` 3.5: letters, digits, ``-_.``), so that one name serves all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from telemetry.errors import ContractError


@dataclass(frozen=True, slots=True)
class Quantity:
    """One measurable thing. ``low``/``high`` are plausibility bounds; a value outside is refused, not clamped.

    ``ds01`` is the WHO PQS E006/DS01 object it maps to, or "" where none exists.
    """

    name: str
    unit: str
    low: Decimal
    high: Decimal
    ds01: str = ""


def _q(name: str, unit: str, low: str, high: str, ds01: str = "") -> Quantity:
    return Quantity(name, unit, Decimal(low), Decimal(high), ds01)


# Bounds: temperatures as SMILE accepts them (-100..100, facts/smile-and-waste.md 2.2); DS01's TVC is
# -55..60, kept as a quality question of the rules and not as a reason to lose a reading.
QUANTITIES: dict[str, Quantity] = {
    q.name: q
    for q in (
        _q("temperature_c", "Cel", "-100", "100", "TVC"),
        _q("ambient_temperature_c", "Cel", "-100", "100", "TAMB"),
        _q("humidity_percent", "%", "0", "100", "HCOM"),
        _q("mains_power_on", "bool", "0", "1", "SVA"),
        _q("door_open", "bool", "0", "1", "DORV"),
        # A DS01 record speaks of the 15 minutes before it (facts/cold-chain.md 1.3), bounds of Annex 1.
        _q("mains_available_s", "s", "0", "900", "SVA"),
        _q("door_open_s", "s", "0", "900", "DORV"),
        _q("door_openings", "{count}", "0", "900", "DRCV"),
        _q("compressor_run_s", "s", "0", "900", "CMPR"),
        _q("holdover_d", "d", "0", "999.9", "HOLD"),
        _q("dc_voltage_v", "V", "0", "999.9", "DCSV"),
        _q("battery_percent", "%", "0", "100", "BLOG"),
        _q("voltage_v", "V", "0", "600"),
        _q("rssi_dbm", "dBm", "-127", "20"),
        _q("mass_kg", "kg", "-1000", "10000"),
    )
}

SERIAL_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
_CHANNEL_PATTERN = re.compile(r"[A-Za-z0-9_\-]{1,16}")


@dataclass(frozen=True, slots=True)
class StreamId:
    """The parts of a stream id."""

    serial: str
    quantity: str
    channel: str = ""

    def __str__(self) -> str:
        return stream_id(self.serial, self.quantity, self.channel)


def stream_id(serial: str, quantity: str, channel: str = "") -> str:
    """Join the parts of a stream id (no checks: see ``parse_stream_id``)."""
    return f"{serial}/{quantity}/{channel}" if channel else f"{serial}/{quantity}"


def parse_stream_id(text: str) -> StreamId:
    """Split and check a stream id; raises ContractError("bad_stream")."""
    parts = text.split("/")
    if len(parts) not in (2, 3):
        raise ContractError("bad_stream", f"{text!r} is not serial/quantity[/channel]")
    serial, quantity, channel = parts[0], parts[1], parts[2] if len(parts) == 3 else ""
    if not SERIAL_PATTERN.fullmatch(serial):
        raise ContractError("bad_stream", f"serial {serial!r} has other signs than letters, digits, - _ .")
    if quantity not in QUANTITIES:
        raise ContractError("bad_stream", f"unknown quantity {quantity!r}")
    if len(parts) == 3 and not _CHANNEL_PATTERN.fullmatch(channel):
        raise ContractError("bad_stream", f"channel {channel!r}")
    return StreamId(serial, quantity, channel)
