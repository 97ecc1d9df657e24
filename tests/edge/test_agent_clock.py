"""The agent as a process while its clock jumps and claims to be right: misdated 0."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.outbox import SqliteOutbox
from telemetry.readings import Event, Fact, Ranges, Reading, Sync

pytestmark = pytest.mark.neighbour("dbus-daemon")
T0_MS = 1_767_225_600_000
HOUR_MS = 3_600_000
SPEED, INTERVAL_S = 25, 25
STREAM = "BT-1/temperature_c"


def facts_in(path: Path) -> list[Fact]:
    if not path.exists():
        return []
    box = SqliteOutbox(path)
    try:
        return [n.fact for n in box.select(seq=Ranges([(1, 1 << 40)]), limit=1 << 30)]
    finally:
        box.close()


def steps_in(path: Path) -> list[Any]:
    return [f.detail["delta_ms"] for f in facts_in(path) if isinstance(f, Event) and f.kind == "clock_stepped"]


def test_a_jump_of_an_hour_and_back_misdates_no_reading_of_the_agent(
    simulate: Callable[..., Any], start_agent: Callable[..., Any], tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    """The wall clock is an hour ahead for 55 s of 25 times real time, and the kernel claims that it is right."""
    logger = {"serial": "BT-1", "kind": "bthome", "address": "A4:C1:38:00:00:01", "equipment": "fridge-1"}
    sim = simulate(
        {
            "seed": 3,
            "clock": {"t0_ms": T0_MS, "speed": SPEED},
            "equipment": [{"id": "fridge-1", "setpoint_c": 4.5, "ambient_c": 30}],
            "devices": [logger | {"interval_s": INTERVAL_S}],
        }
    )
    away_ms = sim.ready["t0_ms"] + 300_000
    steps = f";steps={away_ms}:{HOUR_MS}:synced,{away_ms + 55_000}:{-HOUR_MS}"
    path = tmp_path / "outbox.db"
    config = (
        f'[edge]\nid = "E1"\nsite = "PKM-1"\noutbox = "{path}"\nanchor_every_s = 1\ncommit_after_s = 0\n'
        "[mqtt]\nport = 9\nreconnect_max_s = 1.0\n"
        f'[[device]]\nserial = "BT-1"\ndriver = "bthome"\naddress = "A4:C1:38:00:00:01"\ninterval_s = {INTERVAL_S}\n'
    )
    agent = start_agent(config, SMILE_IOT_CLOCK=sim.clock + steps, **sim.ready["env"])
    wait_for(lambda: steps_in(path) == [HOUR_MS, -HOUR_MS], "both steps as facts", 90)
    count = len(facts_in(path))
    wait_for(lambda: len(facts_in(path)) > count + 8, "readings after it")
    assert agent.end(signal.SIGTERM) == 0

    true_ms = {
        (line["value"], line["t_ms"])
        for line in sim.produced()
        if line["kind"] == "reading" and line["stream"] == STREAM
    }
    readings = [f for f in facts_in(path) if isinstance(f, Reading) and f.stream_id == STREAM]
    doubted = [f for f in readings if f.stamp.sync is Sync.UNSYNCED]
    assert doubted, "no reading fell into the jump"
    assert all(f.stamp.wall_ms - away_ms > HOUR_MS / 2 for f in doubted), "the raw stamp tells what the clock said"
    for reading in readings:
        assert reading.sampled_at_ms is not None
        nearest_ms = min(abs(reading.sampled_at_ms - t_ms) for _, t_ms in true_ms)
        assert nearest_ms <= INTERVAL_S * 1000, reading
    times = [f.sampled_at_ms for f in readings]
    assert times == sorted(times)  # type: ignore[type-var]
