"""What people say of readings (decision 0029): corrections by certificate, through the service to findings and verdicts."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from alerts.config import Config
from alerts.explain import Explanation, explain
from alerts.memory import Memory
from alerts.rulebook import rules_of
from gateway.records import Actor, FindingKind, Role

HOUR = 3_600_000
SARI = Actor("Sari", Role.MANAGER)
STREAM = "LOG-A/temperature_c"


@pytest.fixture
def ask(world: Any) -> Callable[[str], Explanation]:
    def explained(verdict: str) -> Explanation:
        memory = Memory(world.folder / "alerts.db", read_only=True)
        try:
            return explain(world.records, memory, rules_of(Config()), verdict, world.clock.now_ms())
        finally:
            memory.close()

    return explained


def correct(world: Any, from_ms: int, offset_c: str, stream: str = STREAM) -> None:
    world.records.correct_probe(
        stream, from_ms, Decimal(offset_c), "KAL-17", SARI, "certificate came", world.clock.now_ms()
    )


def standing(world: Any, code: str) -> list[Any]:
    return [f for f in world.found(code) if f.kind != FindingKind.WITHDRAWN]


def test_req_38_from_its_date_on_the_corrected_value_is_judged_and_the_finding_names_it(
    world: Any, start: int
) -> None:
    """7.8 all along; +0.3 from 02:00 on: 8.1 from then on, HEAT ten hours later, not before, and it says why."""
    correct(world, start + 2 * HOUR, "0.3")
    world.alerts.start()
    world.say(*world.temperatures(0, 11.75, "7.8"))
    world.at(11.75)
    assert standing(world, "HEAT") == []
    world.say(*world.temperatures(12, 12, "7.8"))
    world.at(12)
    (heat,) = standing(world, "HEAT")
    assert (heat.episode_start_ms, heat.event_ms) == (start + 2 * HOUR, start + 12 * HOUR)
    assert heat.extreme_c == Decimal("8.1")
    assert heat.evidence["details"] == {"corrected_c": "+0.3"}


def test_req_38_a_correction_dated_in_the_past_judges_the_past_again(world: Any, start: int) -> None:
    """8.2 for eleven hours is HEAT; the certificate says -0.3 from the day before: 7.9, the alarm is withdrawn."""
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "8.2"))
    world.at(11)
    assert [f.kind for f in world.found("HEAT")] == [FindingKind.CONFIRMED]
    correct(world, start - 24 * HOUR, "-0.3")
    world.at(11.1)
    assert standing(world, "HEAT") == standing(world, "EXCURSION_HIGH") == []
    assert [a[3] for a in world.alarms() if a[0] == "HEAT"] == ["closed"]
    correct(world, start - 24 * HOUR, "0")  # it was the certificate of another probe
    world.at(11.2)
    (heat,) = standing(world, "HEAT")
    assert (heat.extreme_c, heat.evidence.get("details")) == (Decimal("8.2"), None)
    assert world.records.verify_chain("S1").ok


def test_req_38_after_a_kill_the_correction_is_judged_by_and_nothing_is_said_again(world: Any, start: int) -> None:
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "7.9"))
    world.at(11)
    correct(world, start, "0.2")
    world.again()  # killed before it read the correction
    (heat,) = standing(world, "HEAT")
    assert heat.evidence["details"] == {"corrected_c": "+0.2"}
    rows = world.records.newest_change()
    world.again()
    world.turn()
    assert world.records.newest_change() == rows


def test_req_38_a_verdict_rests_on_the_corrected_value_and_is_recomputed_as_of_its_audit_id(
    world: Any, start: int, ask: Callable[[str], Explanation]
) -> None:
    """Before the correction no action, after it hold and inspect; each comes out again, with the corrections of then."""
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "7.9"))
    world.at(11)
    before = world.records.verdict("B1")
    correct(world, start, "0.2")
    world.at(11.1)
    after = world.records.verdict("B1")
    assert (before.verdict, after.verdict) == ("no_action", "hold_and_inspect")
    correct(world, start, "-1.5")
    world.at(11.2)
    for verdict in world.records.verdict_history("B1"):
        found = ask(verdict.id)
        assert found.same, found.differences
    old, new = ask(before.id), ask(after.id)
    assert old.document is not None
    assert new.document is not None
    assert "corrections" not in old.document
    assert [(c["stream"], c["offset_c"], c["certificate"], c["by"]) for c in new.document["corrections"]] == [
        (STREAM, "0.2", "KAL-17", "Sari")
    ]
    assert new.document["exposure"]["max_c"] == "8.1"
    assert new.today is not None
    assert any(d.part == "correction" for d in new.today.changes)
    heat = next(f for f in world.records.findings(batch="B1") if f.code == "HEAT")
    assert heat.kind == FindingKind.WITHDRAWN


def test_the_instrument_is_judged_by_what_it_said_and_the_forecast_by_the_corrected_value(
    world: Any, start: int
) -> None:
    """60.0 is the bound of the sensor whatever its certificate says (requirement 12)."""
    correct(world, start, "-0.5")
    world.alerts.start()
    world.say(*world.temperatures(0, 1, "60.0"))
    world.at(1)
    assert [f.extreme_c for f in standing(world, "RANGE_BOUND")] == [Decimal("60.0")]
    assert [f.extreme_c for f in standing(world, "EXCURSION_HIGH")] == [Decimal("59.5")]
