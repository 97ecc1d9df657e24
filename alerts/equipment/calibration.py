"""Calibration (requirement 38): what the certificates say of an instant, and a correction from its own date on.

A reading is never changed: what it said stays beside what a correction makes of it.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from alerts.equipment.rule import sensor_finding
from alerts.equipment.thresholds import Thresholds
from alerts.rules.finding import RuleFinding

UNCALIBRATED = "uncalibrated"
MONTHS, MOST_MONTHS = 12, 24
_NONE_C = Decimal(0)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What people said of a device at ``said_ms``: it is calibrated until then (None: nothing is known)."""

    said_ms: int
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Lapse:
    """[from, to) without a certificate in force; ``to_ms`` None: still."""

    from_ms: int
    to_ms: int | None

    def covers(self, t_ms: int) -> bool:
        return t_ms >= self.from_ms and (self.to_ms is None or t_ms < self.to_ms)


@dataclass(frozen=True, slots=True)
class Correction:
    """Add ``offset_c`` to what the sensor says, from ``from_ms`` on (until the next one), as its certificate has it."""

    from_ms: int
    offset_c: Decimal
    certificate: str = ""
    said_by: str = ""


@dataclass(frozen=True, slots=True)
class Corrected:
    """``raw_c`` is what the sensor said; ``value_c`` what the correction in force makes of it."""

    raw_c: Decimal
    value_c: Decimal
    offset_c: Decimal


def expires_on(calibrated_on: date, months: int = MONTHS) -> date:
    """The first day on which a certificate is no longer good: 12 months by default, 24 at most.

    Raises ValueError for other months. 31 August 2026 with 18 months ends on 29 February 2028.
    """
    if not 1 <= months <= MOST_MONTHS:
        raise ValueError(f"a certificate is good for 1 to {MOST_MONTHS} months, not {months}")
    year, month = divmod(calibrated_on.year * 12 + calibrated_on.month - 1 + months, 12)
    return date(year, month + 1, min(calibrated_on.day, monthrange(year, month + 1)[1]))


def lapses(certificates: Iterable[Certificate]) -> list[Lapse]:
    """When no certificate was in force, oldest first: from the end of one to the day a later one was entered.

    To clear the date of one that has ended is no certificate: the lapse goes on. One in force that is cleared was entered
    in error: then nothing is known, as before it.
    """
    found: list[Lapse] = []
    until_ms: int | None = None
    for c in sorted(certificates, key=lambda c: c.said_ms):
        if until_ms is not None and until_ms <= c.said_ms:
            if c.until_ms is None:
                continue
            if until_ms < min(c.said_ms, c.until_ms):
                found.append(Lapse(until_ms, c.said_ms))
        until_ms = c.until_ms
    if until_ms is not None:
        found.append(Lapse(until_ms, None))
    return found


def mark(t_ms: int, gone: Sequence[Lapse]) -> str:
    """``uncalibrated`` or "": how a reading of this instant is marked. It stays visible either way."""
    return UNCALIBRATED if any(lapse.covers(t_ms) for lapse in gone) else ""


def corrected(raw_c: Decimal, t_ms: int, corrections: Sequence[Correction]) -> Corrected:
    """The correction with the latest date not after the reading counts (oldest first); before the first there is none."""
    due = bisect_right(corrections, t_ms, key=_from_ms)
    offset_c = corrections[due - 1].offset_c if due else _NONE_C
    return Corrected(raw_c, raw_c + offset_c, offset_c)


def _from_ms(correction: Correction) -> int:
    return correction.from_ms


def calibration_findings(
    equipment: str, serial: str, gone: Iterable[Lapse], now_ms: int, thresholds: Thresholds
) -> list[RuleFinding]:
    """One finding for each lapse that has begun by now."""
    return [
        replace(
            sensor_finding(
                "UNCALIBRATED",
                equipment,
                f"{equipment} {serial}",
                thresholds.version,
                lapse.from_ms,
                lapse.from_ms,
                lapse.to_ms if lapse.to_ms is not None and lapse.to_ms <= now_ms else None,
            ),
            level=thresholds.of("UNCALIBRATED").level,
            reason="certificate_ended",
            details=(("device", serial),),
        )
        for lapse in gone
        if lapse.from_ms <= now_ms
    ]
