"""Findings to the records and back: nothing lost, also through a real database."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.convert import only_longer, record_of, rule_finding_of
from alerts.rules import Grounds, Kind, Level, RuleFinding

NAMES = st.text("abcXYZ019-", min_size=1, max_size=12)
TIMES = st.integers(0, 1 << 42)
DEGREES = st.decimals(-100, 100, places=3, allow_nan=False).map(lambda d: d.normalize() + 0)


@st.composite
def findings(draw: st.DrawFn) -> RuleFinding:
    batch = draw(st.none() | NAMES)
    serial = draw(NAMES.filter(lambda s: s[0] != "-"))
    return RuleFinding(
        finding_id=draw(NAMES),
        code=draw(st.sampled_from(["HEAT", "FRZE", "SILENT", "STOCK_CHECK"])),
        level=draw(st.sampled_from(Level)),
        kind=draw(st.sampled_from(Kind)),
        equipment="" if batch is not None else draw(NAMES),
        stream_id="" if batch is not None else f"{serial}/temperature_c",
        batch=batch,
        profile=draw(NAMES),
        profile_version=draw(NAMES),
        limit_c=draw(st.none() | DEGREES),
        comparator=draw(st.sampled_from(["", ">", "<="])),
        after_s=draw(st.integers(0, 100_000)),
        mode=draw(st.sampled_from(["single", "cumulative"])),
        episode_start_ms=draw(TIMES),
        event_ms=draw(TIMES),
        end_ms=draw(st.none() | TIMES),
        extreme_c=draw(st.none() | DEGREES),
        known_s=draw(st.integers(0, 100_000)),
        unknown_s=draw(st.integers(0, 100_000)),
        reason=draw(st.text(max_size=20)),
        detected_ms=draw(TIMES),
        supersedes=tuple(draw(st.lists(NAMES, max_size=3, unique=True))),
        readings=draw(st.none() | st.builds(Grounds, TIMES, TIMES, TIMES, st.none() | TIMES, st.integers(1, 99))),
    )


RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault of ours


@RELAXED
@given(findings())
def test_there_and_back_again(finding: RuleFinding) -> None:
    record = record_of(finding, "S1")
    assert rule_finding_of(record) == finding
    assert record.alarms == (finding.level is Level.ALARM)
    assert record.supersedes == (finding.supersedes[0] if finding.supersedes else None)


def test_through_the_database(world: Any) -> None:
    """Evidence comes back from canonical JSON, Decimals from text."""
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.125"))
    world.at(10)
    (kept,) = world.found("HEAT")
    finding = rule_finding_of(kept)
    assert (finding.limit_c, finding.extreme_c, finding.level) == (Decimal("8.0"), Decimal("8.125"), Level.ALARM)
    assert replace(record_of(finding, "S1"), superseded_by=kept.superseded_by) == kept


@RELAXED
@given(findings(), st.integers(0, 10_000), st.integers(0, 10_000))
def test_only_longer_means_sums_alone(finding: RuleFinding, known_s: int, unknown_s: int) -> None:
    going_on = replace(finding, end_ms=None)
    later = replace(going_on, known_s=known_s, unknown_s=unknown_s, detected_ms=finding.detected_ms + 1)
    assert only_longer(going_on, later)
    assert only_longer(going_on, replace(later, supersedes=()))
    assert only_longer(going_on, replace(later, readings=Grounds(0, 0, 5, 0, 9)))
    assert not only_longer(going_on, replace(later, end_ms=5))
    assert not only_longer(going_on, replace(later, extreme_c=Decimal("200")))
    assert not only_longer(going_on, replace(later, event_ms=finding.event_ms + 1))
    assert not only_longer(going_on, replace(later, supersedes=(*finding.supersedes, "another")))
    other = Kind.POSSIBLE if finding.kind is Kind.CONFIRMED else Kind.CONFIRMED
    assert not only_longer(going_on, replace(later, kind=other))
