"""What is said of an equipment beside its temperature, in a person's words: sensors, door, power, a forecast, its data. Pure.

None of it is a verdict: a finding of a sensor changes no reading, and a forecast is no finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from alerts.counters import Tally
from api.history import number_of
from api.present import fact_text, when_text
from api.words import Words, catalogue
from gateway.records.model import Device, Finding, FindingKind, Site

FRESH_MS = 15 * 60_000  # a forecast that nobody renewed for so long tells nothing of now
RECENT_MS = 86_400_000
_BASES = frozenset({"curve", "holdover", "hold"})


@dataclass(frozen=True, slots=True)
class Note:
    """A finding that asks nobody, as it is shown. ``open``: it goes on."""

    finding: Finding
    kind: str
    state: str
    title: str
    means: str
    subject: str
    when: str
    open: bool


def notes(words: Words, site: Site, findings: Sequence[Finding], now_ms: int) -> list[Note]:
    """Findings of sensors, door and power: what goes on first, then what ended within a day."""
    shown = [f for f in findings if not f.alarms and f"sensor_means.{f.code}" in catalogue() and _is_new(f, now_ms)]
    shown.sort(key=lambda f: (f.end_ms is not None, -f.event_ms, f.id))
    return [_note(words, site, f) for f in shown]


def _is_new(finding: Finding, now_ms: int) -> bool:
    if finding.kind == FindingKind.WITHDRAWN or finding.superseded_by is not None:
        return False
    return finding.end_ms is None or now_ms - finding.end_ms < RECENT_MS


def _note(words: Words, site: Site, finding: Finding) -> Note:
    goes_on, level = finding.end_ms is None, str(finding.evidence.get("level") or "notice")
    title = words.known("code", finding.code)
    reason = str(finding.evidence.get("reason") or "")
    if f"finding_reason.{reason}" in catalogue():
        title = f"{title}: {words(f'finding_reason.{reason}')}"
    if finding.kind == FindingKind.POSSIBLE:
        title = words("alarms.possible", text=title)
    kind = ("out" if level == "warning" else "unknown") if goes_on else "ok"
    state = words(f"note_level.{level}" if goes_on and f"note_level.{level}" in catalogue() else "state.closed")
    means = words(f"sensor_means.{finding.code}")
    return Note(
        finding,
        kind,
        state,
        title,
        f"{_details(words, site, finding)} {means}".strip(),
        str(finding.evidence.get("stream") or finding.device or ""),
        when_text(words, site.zone, finding),
        goes_on,
    )


def _details(words: Words, site: Site, finding: Finding) -> str:
    """What was measured, as one sentence; names carry their unit. A detail without words stands by its name."""
    parts = []
    for name, value in (finding.evidence.get("details") or {}).items():
        text = fact_text(words, site.zone, {}, str(name), _whole(str(name), value))
        parts.append(words(f"detail.{name}", value=text) if f"detail.{name}" in catalogue() else f"{name} {text}")
    return f"{', '.join(parts)}." if parts else ""


def _whole(name: str, value: Any) -> Any:
    number = number_of(value)
    return int(number) if name.endswith("_s") and number is not None else value


def forecast_text(words: Words, zone: str, told: Mapping[str, Any] | None, now_ms: int) -> dict[str, str] | None:
    """``Above 8 °C in about 40 minutes (25 to 70), if nothing changes``, with its basis; None where there is none (any more)."""
    if told is None or not 0 <= now_ms - int(told["made_ms"]) < FRESH_MS:
        return None
    made_ms, gone_min = int(told["made_ms"]), (now_ms - int(told["made_ms"])) // 60_000
    low, likely, high = (max(0, int(told[name]) - gone_min) for name in ("low_min", "likely_min", "high_min"))
    limit = words.number(Decimal(str(told["limit_c"])))
    basis = str(told["basis"]) if str(told["basis"]) in _BASES else "curve"
    return {
        "text": words("forecast.text", limit=limit, likely=words.span(likely * 60_000)),
        "range": words(
            "forecast.range",
            low=words.clock(made_ms + int(told["low_min"]) * 60_000, zone),
            high=words.clock(made_ms + int(told["high_min"]) * 60_000, zone),
            low_span=words.span(low * 60_000),
            high_span=words.span(high * 60_000),
        ),
        "basis": words(f"forecast.{basis}"),
        "made": words("forecast.made", time=words.time(made_ms, zone)),
    }


def silence_text(words: Words, zone: str, told: Mapping[str, Any] | None, *, heard: bool) -> str:
    """Why nothing is forecast, and since when; ``heard`` False: nothing is read now, whatever was said before."""
    if not heard:
        return words("forecast_silence.no_readings")
    if told is None or f"forecast_silence.{told['why']}" not in catalogue():
        return ""
    why = words(f"forecast_silence.{told['why']}")
    return words("forecast.silent", why=why, time=words.time(int(told["since_ms"]), zone))


def availability(words: Words, counted: Tally) -> str:
    """How much of the last 24 hours is known, in percent (rounded down: what is missing is never rounded away)."""
    whole = counted.known_ms + counted.unknown_ms
    percent = 100 * counted.known_ms // whole if whole else 0
    return words("equipment.availability", n=percent, unknown=words.span(counted.unknown_ms))


def calibration(words: Words, site: Site, device: Device, now_ms: int) -> tuple[str, str]:
    """(sign, text) of a device's calibration; its readings stay, marked (cold-chain.md 38)."""
    until_ms = device.calibrated_until_ms
    if until_ms is None:
        return "unknown", words("device.never_calibrated")
    when = words.time(until_ms, site.zone)
    if until_ms < now_ms:
        return "out", words("device.calibration_expired", time=when)
    return "ok", words("device.calibrated_until", time=when)
