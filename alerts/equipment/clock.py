"""Clock faults (requirement 10): a reading that cannot have been taken when it says so.

Ingest alone decides (``ingest.check``: ahead of our clock, years behind it, before the device was in service) and refuses
such readings, so that they start no episode; here the refusals become one finding that a person answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from alerts.equipment.rule import sensor_finding
from alerts.equipment.thresholds import Thresholds
from alerts.rules.finding import Grounds, RuleFinding


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message of a device that was refused for its time."""

    equipment: str
    serial: str
    reason: str
    received_ms: int


def clock_findings(refusals: Iterable[Refusal], now_ms: int, thresholds: Thresholds) -> list[RuleFinding]:
    """One finding for each run of refusals of a device for one reason; over when none came for ``refused_quiet_s``."""
    quiet_ms = thresholds.of("CLOCK").ms("refused_quiet_s")
    runs: list[tuple[Refusal, list[int]]] = []
    by_device = sorted(set(refusals), key=lambda r: (r.equipment, r.serial, r.reason, r.received_ms))
    for r in by_device:
        first, times = runs[-1] if runs else (r, [])
        same = (first.equipment, first.serial, first.reason) == (r.equipment, r.serial, r.reason)
        if times and same and r.received_ms - times[-1] < quiet_ms:
            times.append(r.received_ms)
        else:
            runs.append((r, [r.received_ms]))
    return [_finding(first, times, quiet_ms, now_ms, thresholds) for first, times in runs]


def with_beginnings(
    found: Sequence[RuleFinding], said: Iterable[RuleFinding], from_ms: int, thresholds: Thresholds
) -> list[RuleFinding]:
    """What ``clock_findings`` finds in refusals from ``from_ms`` on, where runs began before that: they keep their names.

    ``said``: the runs that were said. One that was over before ``from_ms`` is history and is not among them any more.
    """
    quiet_ms = thresholds.of("CLOCK").ms("refused_quiet_s")
    left = {f.finding_id: f for f in found}
    for old in said:
        if old.episode_start_ms >= from_ms or (old.end_ms is not None and old.end_ms < from_ms):
            continue
        until_ms = from_ms + quiet_ms if old.end_ms is None else old.end_ms
        rest = next((f for f in left.values() if _goes_on(old, f, until_ms)), None)
        if rest is not None:
            del left[rest.finding_id]
            left[old.finding_id] = replace(old, end_ms=rest.end_ms, readings=_joined(old.readings, rest.readings))
        elif old.end_ms is None:  # its refusals are all older than what was looked at
            left[old.finding_id] = replace(old, end_ms=old.event_ms if old.readings is None else old.readings.last_ms)
        else:
            left[old.finding_id] = old
    return list(left.values())


def _goes_on(old: RuleFinding, run: RuleFinding, until_ms: int) -> bool:
    of_one = (old.equipment, old.reason, old.details) == (run.equipment, run.reason, run.details)
    return of_one and old.episode_start_ms < run.episode_start_ms <= until_ms


def _joined(old: Grounds | None, rest: Grounds | None) -> Grounds | None:
    """``count`` is at least so many: how many of the rest were counted before is not known."""
    if old is None or rest is None:
        return rest
    return replace(old, last_ms=max(old.last_ms, rest.last_ms), count=max(old.count, rest.count))


def _finding(first: Refusal, times: list[int], quiet_ms: int, now_ms: int, thresholds: Thresholds) -> RuleFinding:
    subject = f"{first.equipment} {first.serial} {first.reason}"
    end_ms = times[-1] if now_ms - times[-1] >= quiet_ms else None
    return replace(
        sensor_finding("CLOCK", first.equipment, subject, thresholds.version, times[0], times[0], end_ms),
        level=thresholds.of("CLOCK").level_of("refused_level"),
        reason=first.reason,
        details=(("device", first.serial),),
        readings=Grounds(times[0], times[0], times[-1], None, len(times)),
    )
