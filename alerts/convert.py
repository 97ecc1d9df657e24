"""Between the rules' values and the records' values, in both directions and without loss."""

from __future__ import annotations

from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

from alerts.rules import SPLIT_FROM, SPLIT_INTO, Grounds, Kind, Level, RuleFinding
from gateway.journal import Entry
from gateway.records import Finding, ScaleRefusal, WeighingRecord
from telemetry.quantities import parse_stream_id
from telemetry.readings import Event, Weighing


def record_of(finding: RuleFinding, site: str) -> Finding:
    """A rule's finding as the records keep it; what has no column of its own stands in ``evidence``."""
    evidence: dict[str, Any] = {
        "stream": finding.stream_id,
        "level": finding.level.value,
        "limit_c": None if finding.limit_c is None else str(finding.limit_c),
        "comparator": finding.comparator,
        "after_s": finding.after_s,
        "mode": finding.mode,
        "known_s": finding.known_s,
        "unknown_s": finding.unknown_s,
        "reason": finding.reason,
        "supersedes": list(finding.supersedes),
    }
    if finding.readings is not None:
        evidence["readings"] = asdict(finding.readings)
    if finding.details:
        evidence["details"] = dict(finding.details)
    return Finding(
        id=finding.finding_id,
        rule=finding.rule,
        code=finding.code,
        kind=finding.kind.value,
        site=site,
        equipment=finding.equipment or None,
        batch=finding.batch,
        episode_start_ms=finding.episode_start_ms,
        event_ms=finding.event_ms,
        detected_ms=finding.detected_ms,
        end_ms=finding.end_ms,
        extreme_c=finding.extreme_c,
        profile=finding.profile,
        profile_version=finding.profile_version,
        supersedes=finding.supersedes[0] if finding.supersedes else None,
        evidence=evidence,
        alarms=finding.level is Level.ALARM,
        device=device_of(finding),
    )


def device_of(finding: RuleFinding) -> str | None:
    """The serial of the device that a finding is of: its stream's, or the one its details name."""
    if finding.stream_id:
        return parse_stream_id(finding.stream_id).serial
    return dict(finding.details).get("device")


def rule_finding_of(record: Finding) -> RuleFinding:
    """The inverse of ``record_of``."""
    evidence = record.evidence
    limit_c = evidence.get("limit_c")
    return RuleFinding(
        finding_id=record.id,
        code=record.code,
        level=Level(evidence["level"]),
        kind=Kind(str(record.kind)),
        equipment=record.equipment or "",
        stream_id=str(evidence["stream"]),
        batch=record.batch,
        profile=record.profile,
        profile_version=record.profile_version,
        limit_c=None if limit_c is None else Decimal(str(limit_c)),
        comparator=str(evidence["comparator"]),
        after_s=int(evidence["after_s"]),
        mode=str(evidence["mode"]),
        episode_start_ms=record.episode_start_ms,
        event_ms=record.event_ms,
        end_ms=record.end_ms,
        extreme_c=record.extreme_c,
        known_s=int(evidence["known_s"]),
        unknown_s=int(evidence["unknown_s"]),
        reason=str(evidence["reason"]),
        detected_ms=record.detected_ms,
        supersedes=tuple(str(s) for s in evidence["supersedes"]),
        readings=None if (named := evidence.get("readings")) is None else Grounds(**named),
        details=tuple((str(k), str(v)) for k, v in evidence.get("details", {}).items()),
    )


def with_history(before: RuleFinding, now: RuleFinding) -> RuleFinding:
    """What a finding took the place of, and was cut from, stays with it, whatever is said of it later."""
    known = {k for k, _ in now.details}
    kept = tuple((k, v) for k, v in before.details if k in (SPLIT_FROM, SPLIT_INTO) and k not in known)
    supersedes = (*before.supersedes, *(s for s in now.supersedes if s not in before.supersedes))
    return replace(now, supersedes=supersedes, details=(*now.details, *kept))


def only_longer(said: RuleFinding, now: RuleFinding) -> bool:
    """Whether an open episode merely went on: the sums and its readings grew, and nothing else is said.

    Such a finding is not saved anew, or the audit chain would grow by each reading of an excursion; it is when
    anything else changes, its end included. ``detected_ms`` and ``supersedes`` count as the records count them.
    """
    same = replace(
        now,
        known_s=said.known_s,
        unknown_s=said.unknown_s,
        detected_ms=said.detected_ms,
        supersedes=now.supersedes or said.supersedes,
        readings=said.readings,
    )
    return now.end_ms is None and same == said


def weighing_record(entry: Entry, weighing: Weighing) -> WeighingRecord:
    """A captured weight as the records keep it."""
    return WeighingRecord(
        id=weighing.weighing_id,
        site=entry.site,
        device=weighing.device_serial,
        gross_kg=weighing.gross_kg,
        tare_kg=weighing.tare_kg,
        net_kg=weighing.net_kg,
        t_ms=weighing.sampled_at_ms,
        raw_frame=weighing.raw_frame,
        flags=weighing.flags,
        tare_mode=weighing.tare_mode,
        e_kg=weighing.e_kg,
        edge=entry.edge,
        received_ms=entry.received_at_ms,
    )


_REASON_MAX = 64  # characters; ours have at most 14, and a page shows them as they came


def scale_refusal(entry: Entry, seq: int, event: Event) -> ScaleRefusal:
    """A load that was not weighed, as the records keep it; its id is the edge's own number for the event."""
    return ScaleRefusal(
        id=f"{entry.site}/{entry.edge}/{entry.epoch}/{seq}",
        site=entry.site,
        edge=entry.edge,
        device=event.subject,
        reason=str(event.detail.get("reason") or "unknown")[:_REASON_MAX],
        t_ms=event.sampled_at_ms,
        received_ms=entry.received_at_ms,
    )


def with_past(finding: RuleFinding, said: RuleFinding | None) -> RuleFinding:
    """What a finding once took the place of stays said, also when it goes on."""
    return replace(finding, supersedes=said.supersedes) if said is not None and not finding.supersedes else finding
