"""Labelled runs: the same everywhere, one fault each, and a truth that does not depend on our rules."""

from __future__ import annotations

from decimal import Decimal

import pytest

from benchmarks.labelled import EQUIPMENT, LOGGER, NEIGHBOUR, Cause, Kind, Run, make_run

H = 3_600_000


@pytest.fixture(scope="module")
def runs() -> dict[Kind, Run]:
    return {kind: make_run(kind, 3) for kind in Kind}


def test_a_seed_gives_the_same_facts_and_labels_again(runs: dict[Kind, Run]) -> None:
    again = make_run(Kind.POWER_CUT, 3)
    assert (again.facts, again.labels) == (runs[Kind.POWER_CUT].facts, runs[Kind.POWER_CUT].labels)
    assert make_run(Kind.POWER_CUT, 4).facts != again.facts


def test_each_run_is_labelled_with_its_own_fault_and_calm_with_none(runs: dict[Kind, Run]) -> None:
    for kind, run in runs.items():
        target = {Cause.NONE: None, Cause.EQUIPMENT: EQUIPMENT, Cause.SENSOR: LOGGER}[kind.cause]
        assert {(x.kind, x.target) for x in run.labels} == (set() if target is None else {(kind, target)})
        assert all(run.facts[0].t_ms < x.from_ms < x.to_ms <= run.end_ms for x in run.labels)


def test_before_a_fault_and_without_one_the_vaccines_are_in_range(runs: dict[Kind, Run]) -> None:
    for run in runs.values():
        until = min((x.from_ms for x in run.labels), default=run.end_ms)
        before = [f.value_c for f in run.facts if f.stream_id == f"{LOGGER}/temperature_c" and f.t_ms < until]
        assert sum(v is None or not 2 <= v <= 8 for v in before) < len(before) / 20


@pytest.mark.parametrize("kind", [k for k in Kind if k.cause is Cause.SENSOR])
def test_a_sensor_fault_spares_the_neighbour(runs: dict[Kind, Run], kind: Kind) -> None:
    values = [f.value_c for f in runs[kind].facts if f.stream_id == f"{NEIGHBOUR}/temperature_c"]
    assert all(v is not None and 0 < v < 12 for v in values)


def test_the_mains_of_a_power_cut_and_its_truth(runs: dict[Kind, Run]) -> None:
    run = runs[Kind.POWER_CUT]
    off = {f.t_ms for f in run.facts if f.stream_id == f"{LOGGER}/mains_power_on" and f.value_c == 0}
    assert off
    assert all(any(x.from_ms <= t < x.to_ms for x in run.labels) for t in off)
    first = run.labels[0]
    crosses = run.crosses_ms(first.from_ms + 60_000, Decimal(8))
    assert crosses is not None
    assert first.from_ms < crosses < first.from_ms + 12 * H
    assert run.crosses_ms(first.from_ms - 60_000, Decimal(8)) is None  # with mains on it would never have
