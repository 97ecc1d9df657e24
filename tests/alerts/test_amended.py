"""What people say of readings (decision 0029): corrections by certificate and marks, through the
service to findings and verdicts."""

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
PENTABIO = "93001282"


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


def mark(world: Any, from_ms: int, to_ms: int, stream: str = STREAM) -> Any:
    return world.records.mark_readings(stream, from_ms, to_ms, SARI, "the cable was loose", world.clock.now_ms())


def test_req_12_an_implausible_value_counts_until_a_person_marks_it_with_a_reason(world: Any, start: int) -> None:
    """5.0, one 25.0, 5.0 (a step of 20 C and back): an excursion; marked, it is possible, and never in range."""
    world.alerts.start()
    at = start + 2 * HOUR
    before, after = world.temperatures(0, 1.75, "5.0"), world.temperatures(2.25, 5, "5.0")
    world.say(*before, world.reading(at, "25.0"), *after)
    world.at(5)
    (step,) = standing(world, "STEP")
    assert [f.extreme_c for f in standing(world, "EXCURSION_HIGH")] == [Decimal("25.0")]
    made = mark(world, at, at + 1)
    world.at(5.1)
    (marked,) = standing(world, "EXCURSION_HIGH")
    assert (marked.kind, marked.evidence["details"]) == (FindingKind.POSSIBLE, {"not_counted": "1"})
    assert [f.id for f in standing(world, "STEP")] == [step.id]  # what the instrument said stays said
    world.records.take_back_mark(STREAM, made.number, SARI, "the door was open, a nurse says", world.clock.now_ms())
    world.at(5.2)
    (again,) = standing(world, "EXCURSION_HIGH")
    assert (again.id, again.kind, again.extreme_c) == (marked.id, FindingKind.CONFIRMED, Decimal("25.0"))
    assert world.records.verify_chain("S1").ok


def heat_of_batch(world: Any) -> list[Any]:
    return [f for f in world.records.findings(batch="B1") if f.code == "HEAT"]


def test_req_12_a_marked_hour_in_an_alarm_makes_it_possible_and_never_safe(world: Any, start: int) -> None:
    """cold-chain 6, 7 and 12: 8.5 for eleven hours is HEAT; with 1.5 hours marked it is possible, and says why.

    For its batch too, beside a second logger that says 5.0 all along.
    """
    world.device("LOG-B", "F1")
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 11.25, "8.5"), world.reading(start + int(11.5 * HOUR), "5.0"))
    world.say(*world.temperatures(0, 11.5, "5.0", "LOG-B"))
    world.at(11.5)
    (heat,), (of_batch,) = standing(world, "HEAT"), heat_of_batch(world)
    assert (heat.kind, of_batch.kind) == (FindingKind.CONFIRMED, FindingKind.CONFIRMED)
    mark(world, start + 5 * HOUR, start + int(6.5 * HOUR))
    world.at(11.6)
    (now,), (of_batch,) = standing(world, "HEAT"), heat_of_batch(world)
    assert (now.id, now.kind, now.event_ms) == (heat.id, FindingKind.POSSIBLE, start + 10 * HOUR)
    assert now.evidence["unknown_s"] == 5400
    assert now.evidence["details"] == of_batch.evidence["details"] == {"not_counted": "1"}
    assert of_batch.kind != FindingKind.WITHDRAWN
    made = world.records.verdict("B1")
    assert made.verdict == "hold_and_inspect"
    assert "unknown_exposure" in {r["code"] for r in made.reasons}


def test_req_12_a_batch_names_the_marks_of_its_own_stays_and_no_others(world: Any, start: int) -> None:
    """It stands in F1 for twelve hours and then in F2: a mark of F2's logger in the first of them is none of its own."""
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "9.0"), *world.temperatures(11.25, 13, "5.0"))
    world.say(*world.temperatures(0, 13, "5.0", "LOG-B"))
    world.records.end_placement("B1", start + 12 * HOUR, SARI, "moved", start + 12 * HOUR)
    world.records.add_placement("B1", "F2", start + 12 * HOUR, SARI, "moved", start + 12 * HOUR)
    world.at(13)
    mark(world, start + HOUR, start + 2 * HOUR, "LOG-B/temperature_c")
    correct(world, start, "0.1", "LOG-B/temperature_c")
    world.at(13.1)
    (heat,) = heat_of_batch(world)
    assert (heat.kind, heat.evidence.get("details")) == (FindingKind.CONFIRMED, None)
    assert {r["code"] for r in world.records.verdict("B1").reasons} == {"heat_confirmed"}


def test_req_12_a_verdict_takes_marked_time_as_unknown_and_each_comes_out_again(
    world: Any, start: int, ask: Callable[[str], Explanation]
) -> None:
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "5.0"))
    world.at(11)
    before = world.records.verdict("B1")
    made = mark(world, start + 2 * HOUR, start + 8 * HOUR)
    world.at(11.1)
    after = world.records.verdict("B1")
    assert (before.verdict, after.verdict) == ("no_action", "hold_and_inspect")
    assert [r["code"] for r in after.reasons] == ["unknown_exposure"]
    world.records.take_back_mark(STREAM, made.number, SARI, "the wrong probe", world.clock.now_ms())
    world.at(11.2)
    assert world.records.verdict("B1").verdict == "no_action"
    for verdict in world.records.verdict_history("B1"):
        found = ask(verdict.id)
        assert found.same, found.differences
    old = ask(after.id)
    assert old.document is not None
    assert [(m["stream"], m["by"]) for m in old.document["marks"]] == [(STREAM, "Sari")]
    assert old.document["exposure"]["unknown_s"] == 6 * 3600
    assert old.today is not None
    assert [d.part for d in old.today.changes if d.part != "fact"] == ["mark"]


def test_req_12_a_mark_made_while_we_were_down_is_judged_by_at_the_start(world: Any, start: int) -> None:
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "8.5"))
    world.at(11)
    mark(world, start, start + 6 * HOUR)
    world.again()
    assert {f.kind for f in standing(world, "HEAT")} == {FindingKind.POSSIBLE}
    rows = world.records.newest_change()
    world.again()
    world.turn()
    assert world.records.newest_change() == rows


def test_req_12_an_open_alarm_goes_on_as_possible_while_the_value_is_out(world: Any, start: int) -> None:
    """12.0 for 26 hours, all but the first two marked: the alarm stays open, and is over when the value is back."""
    world.alerts.start()
    world.say(*world.temperatures(0, 22, "12.0"))
    world.at(22)
    (heat,) = standing(world, "HEAT")
    mark(world, start + 2 * HOUR, start + 22 * HOUR)
    world.at(22.1)
    (marked,) = standing(world, "HEAT")
    assert (marked.id, marked.kind, marked.end_ms) == (heat.id, FindingKind.POSSIBLE, None)
    assert [a[3] for a in world.alarms() if a[0] == "HEAT"] == ["open"]
    world.say(*world.temperatures(22.25, 23, "5.0"))
    world.at(23)
    assert [f.end_ms for f in standing(world, "HEAT")] == [start + int(22.25 * HOUR)]


@pytest.mark.parametrize(
    ("kfa", "value", "first", "last", "verdict"),
    [(PENTABIO, "-1.0", 2, 4, "shake_test"), (PENTABIO, "9.0", 2, 14, "hold_and_inspect")],
)
def test_req_12_of_two_loggers_a_marked_one_is_not_spoken_for_by_the_other(
    world: Any, start: int, kfa: str, value: str, first: int, last: int, verdict: str
) -> None:
    """One says 5.0 all day, the other -1.0 for two hours (a shake test) or 9.0 for twelve; marked: hold and inspect."""
    world.device("LOG-B", "F1")
    world.batch("B1", kfa)
    world.alerts.start()
    before, after = (world.temperatures(*span, "5.0", "LOG-B") for span in ((0, first - 0.25), (last + 0.25, 24)))
    world.say(*world.temperatures(0, 24, "5.0"), *before, *world.temperatures(first, last, value, "LOG-B"), *after)
    world.at(24)
    assert world.records.verdict("B1").verdict == verdict
    mark(world, start + (first - 1) * HOUR, start + (last + 1) * HOUR, "LOG-B/temperature_c")
    world.at(24.1)
    now = world.records.verdict("B1")
    assert now.verdict == "hold_and_inspect"
    assert {r["code"] for r in now.reasons} >= {"unknown_exposure"}
    found = [f for f in world.records.findings(batch="B1") if f.code in ("FRZE", "HEAT")]
    assert {f.kind for f in found} == {FindingKind.POSSIBLE}
