"""The agent process against the simulated Ruuvi tag (memory over NUS), Modbus probe and MT-SICS scale."""

from __future__ import annotations

import signal
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge.outbox import SqliteOutbox
from telemetry.readings import Event, Fact, Origin, Quality, Ranges, Reading, Weighing

pytestmark = pytest.mark.neighbour("dbus-daemon")

T0_MS = 1_767_225_600_000
FRIDGE = {"id": "fridge-1", "setpoint_c": 4.5, "ambient_c": 30}
RUUVI = {
    "serial": "RV-1",
    "kind": "ruuvi",
    "address": "CB:B8:33:4C:88:4F",
    "equipment": "fridge-1",
    "interval_s": 300,
}
PROBE = {"serial": "MB-1", "kind": "modbus", "equipment": "fridge-1", "interval_s": 60}
SICS = {"serial": "SC-2", "kind": "mt_sics", "capacity_kg": 15, "e_kg": "0.005", "rate_hz": 20, "baud": 57600}


def plan(speed: float, *devices: dict[str, Any], **more: Any) -> dict[str, Any]:
    clock = {"t0_ms": T0_MS, "speed": speed}
    return {"seed": 1, "clock": clock, "equipment": [FRIDGE], "devices": list(devices), **more}


def settings(sim: Any, outbox: Path) -> str:
    text = f'[edge]\nid = "E1"\nsite = "P"\noutbox = "{outbox}"\n[mqtt]\nport = 9\n[ble]\nreconnect_max_s = 1.0\n'
    text += f'[[device]]\nserial = "RV-1"\ndriver = "ruuvi"\naddress = "{RUUVI["address"]}"\ninterval_s = 300\n'
    for serial, port in sim.ready["serial"].items():
        driver = "modbus_probe" if serial == "MB-1" else "mt_sics"
        text += f'[[device]]\nserial = "{serial}"\ndriver = "{driver}"\nport = "{port}"\nsilence_s = 8.0\n'
        text += "interval_s = 60\n" if serial == "MB-1" else 'e_kg = "0.005"\nmax_kg = "15"\npoll_s = 0.1\n'
    return text


def facts_in(path: Path) -> list[Fact]:
    if not path.exists():
        return []
    box = SqliteOutbox(path)
    try:
        return [n.fact for n in box.select(seq=Ranges([(1, 1 << 40)]), limit=1 << 30)]
    finally:
        box.close()


def readings(path: Path, stream: str) -> list[Reading]:
    return [f for f in facts_in(path) if isinstance(f, Reading) and f.stream_id == stream]


def environment(sim: Any) -> dict[str, str]:
    return {"SMILE_IOT_CLOCK": sim.clock, **sim.ready["env"]}


def number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def slots(sim: Any, stream: str, interval_ms: int) -> dict[int, Decimal | None]:
    lines = [line for line in sim.produced() if line["kind"] == "reading" and line["stream"] == stream]
    return {(line["t_ms"] - T0_MS) // interval_ms: number(line["value"]) for line in lines}


def slot_of(r: Reading, interval_ms: int) -> int:
    """The sample a reading shows: live ones are heard after it, records are dated by the tag a little before it."""
    assert r.sampled_at_ms is not None
    passed = (r.sampled_at_ms - T0_MS) / interval_ms
    return round(passed) if r.origin is Origin.MEMORY else int(passed)


def holes_read(path: Path) -> list[Event]:
    return [f for f in facts_in(path) if isinstance(f, Event) and f.kind == "history_read"]


def test_a_ruuvi_tags_memory_fills_the_hole_and_doubles_nothing(
    simulate: Callable[..., Any], start_agent: Callable[..., Any], tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    """The agent is killed for 12 samples; on its return the link drops twice; each sample is there exactly once."""
    sim = simulate(plan(200, RUUVI))  # 1.5 s a sample: what is heard later than that is the next one's
    path = tmp_path / "outbox.db"
    stream = "RV-1/temperature_c"
    agent = start_agent(settings(sim, path), **environment(sim))
    wait_for(lambda: len(readings(path, stream)) >= 3, "live readings")
    agent.end(signal.SIGKILL)
    gone_at = max(slots(sim, stream, 300_000))
    wait_for(lambda: max(slots(sim, stream, 300_000)) >= gone_at + 12, "samples that nobody hears", 90)
    assert sim.control(do="drop_after", device="RV-1", notifications=6, links=2)["ok"]
    start_agent(settings(sim, path), **environment(sim))
    wait_for(lambda: holes_read(path), "the end of the memory read", 90)
    count = len(readings(path, stream))
    wait_for(lambda: len(readings(path, stream)) >= count + 2, "live readings after it")
    made = slots(sim, stream, 300_000)
    kept = sorted(((slot_of(r, 300_000), r) for r in readings(path, stream)), key=lambda pair: pair[0])
    numbers = [slot for slot, _ in kept]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[-1] >= gone_at + 12
    assert all(r.value == made[slot] for slot, r in kept)
    assert sum(r.origin is Origin.MEMORY for _, r in kept) >= 10
    log = (tmp_path / "agent.log").read_text()
    assert log.count("its memory cannot be read yet") >= 1


def test_an_out_of_range_tag_is_read_back_when_it_returns(
    simulate: Callable[..., Any], start_agent: Callable[..., Any], tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    sim = simulate(plan(300, RUUVI))
    path = tmp_path / "outbox.db"
    stream = "RV-1/temperature_c"
    start_agent(settings(sim, path), **environment(sim))
    wait_for(lambda: len(readings(path, stream)) >= 2, "live readings")
    assert sim.control(do="out_of_range", device="RV-1", for_s=1800)["ok"]
    wait_for(lambda: holes_read(path), "the end of the memory read", 90)
    numbers = sorted(slot_of(r, 300_000) for r in readings(path, stream))
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert {r.origin for r in readings(path, stream)} == {Origin.LIVE, Origin.MEMORY}
    (event,) = holes_read(path)
    assert isinstance(event.detail["readings"], int)
    assert event.detail["readings"] >= 4


def test_a_modbus_probe_is_read_once_an_interval_also_over_a_kill(
    simulate: Callable[..., Any], start_agent: Callable[..., Any], tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    sim = simulate(plan(40, PROBE, RUUVI))
    path = tmp_path / "outbox.db"
    stream = "MB-1/temperature_c"
    agent = start_agent(settings(sim, path), **environment(sim))
    wait_for(lambda: len(readings(path, stream)) >= 3, "readings")
    agent.end(signal.SIGKILL)
    start_agent(settings(sim, path), **environment(sim))
    wait_for(lambda: len(readings(path, stream)) >= 5, "readings after the kill")
    assert sim.control(do="probe_fault", device="MB-1")["ok"]
    wait_for(lambda: readings(path, stream)[-1].value is None, "the fault")
    assert readings(path, stream)[-1].quality is Quality.SENSOR_FAULT
    assert sim.control(do="unplug", device="MB-1", for_s=60)["ok"]
    assert sim.control(do="probe_ok", device="MB-1")["ok"]
    wait_for(lambda: readings(path, stream)[-1].value is not None, "readings after the fault and the unplug")
    produced = [line["value"] for line in sim.produced() if line["stream"] == stream]
    mine = [r.value for r in readings(path, stream)]
    assert mine == [number(v) for v in produced][: len(mine)]
    times = [r.sampled_at_ms for r in readings(path, stream)]
    assert all(t is not None for t in times)
    minutes = [t // 60_000 for t in times if t is not None]
    assert len(set(minutes)) == len(minutes)
    humidity = [r.value for r in readings(path, "MB-1/humidity_percent")]
    assert humidity[0] is not None


def test_an_mt_sics_scales_weighings_are_gross_net_and_tare(
    simulate: Callable[..., Any],
    start_agent: Callable[..., Any],
    tmp_path: Path,
    wait_for: Callable[..., Any],
    platform_seen_empty: Callable[..., Any],
) -> None:
    sim = simulate(plan(1, SICS, RUUVI))
    path = tmp_path / "outbox.db"
    start_agent(settings(sim, path), **environment(sim))
    platform_seen_empty(path, "SC-2")
    expected = [("3.100", "0.350", "2.750"), ("0.050", "0.000", "0.050")]
    for i, (gross, tare, _) in enumerate(expected, 1):
        assert sim.control(do="load", device="SC-2", mass_kg=gross, tare_kg=tare, hold_s=3)["ok"]
        wait_for(lambda n=i: sum(isinstance(f, Weighing) for f in facts_in(path)) == n, "the weighing")
    weighings = [f for f in facts_in(path) if isinstance(f, Weighing)]
    assert [(str(w.gross_kg), str(w.tare_kg), str(w.net_kg)) for w in weighings] == expected
    assert [w.tare_mode for w in weighings] == ["measured", "none"]
    assert [w.flags for w in weighings] == [(), ("BELOW_MIN",)]
    assert b"TA A 0.350 kg" in bytes.fromhex(weighings[0].raw_frame)
    lines = [line for line in sim.produced() if line["kind"] == "weighing"]
    assert [(line["gross_kg"], line["net_kg"]) for line in lines] == [(g, n) for g, _, n in expected]
