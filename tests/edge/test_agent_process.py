"""The agent as a process against the simulator (fake org.bluez, ptys) and a real Mosquitto; SIGKILL in the middle."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from edge.outbox import SqliteOutbox
from telemetry.contract import Receipt, decode_upload, encode_receipt
from telemetry.readings import Event, Fact, Ranges, Reading, Weighing

pytestmark = pytest.mark.neighbour("mosquitto, dbus-daemon")

T0_MS = 1_767_225_600_000
FRIDGE = {"id": "fridge-1", "setpoint_c": 4.5, "ambient_c": 30}
LOGGER = {"serial": "BT-1", "kind": "bthome", "address": "A4:C1:38:00:00:01", "equipment": "fridge-1"}
SCALE = {"serial": "SC-1", "kind": "scale_ascii", "capacity_kg": 15, "e_kg": "0.005", "rate_hz": 20, "baud": 57600}
NOISY = "same_frames = 2\n"  # as edge.example.toml advises for noisy cables; the scale's table is the last one
LOGGER_STREAMS = ("temperature_c", "mains_power_on", "door_open", "battery_percent")


def plan(speed: float, interval_s: float, **more: Any) -> dict[str, Any]:
    return {
        "seed": 1,
        "clock": {"t0_ms": T0_MS, "speed": speed},
        "equipment": [FRIDGE],
        "devices": [LOGGER | {"interval_s": interval_s}, SCALE],
        **more,
    }


def settings_of(sim: Any, outbox: Path, broker: str = "", interval_s: int = 60) -> str:
    port = sim.ready["serial"].get("SC-1", "")
    return (
        f'[edge]\nid = "E1"\nsite = "PKM-1"\noutbox = "{outbox}"\nanchor_every_s = 1\n'
        + (broker or '[mqtt]\nport = 9\nreconnect_max_s = 1.0\n')
        + "[ble]\nwatchdog_s = 2.0\nreconnect_max_s = 1.0\n"
        + '[[device]]\nserial = "BT-1"\ndriver = "bthome"\naddress = "a4:c1:38:00:00:01"\n'
        + f"interval_s = {interval_s}\n"
        + f'[[device]]\nserial = "SC-1"\ndriver = "scale_ascii"\nport = "{port}"\ne_kg = "0.005"\nmax_kg = "15"\n'
        + "silence_s = 2.0\n"
    )  # fmt: skip


def facts_in(path: Path) -> list[Fact]:
    if not path.exists():
        return []
    box = SqliteOutbox(path)
    try:
        return [n.fact for n in box.select(seq=Ranges([(1, 1 << 40)]), limit=1 << 30)]
    finally:
        box.close()


def values_of(facts: list[Fact], stream: str) -> list[str | None]:
    found = [f for f in facts if isinstance(f, Reading) and f.stream_id == stream]
    return [None if f.value is None else str(f.value.normalize() + 0) for f in found]


def environment(sim: Any) -> dict[str, str]:
    return {"SMILE_IOT_CLOCK": sim.clock, **sim.ready["env"]}


def produced_values(sim: Any, stream: str) -> list[str | None]:
    from decimal import Decimal

    lines = [line for line in sim.produced() if line["kind"] == "reading" and line["stream"] == stream]
    return [None if line["value"] is None else str(Decimal(line["value"]).normalize() + 0) for line in lines]


def is_tail_of(part: list[Any], whole: list[Any]) -> bool:
    """``part`` is ``whole`` without some at the beginning (the agent starts later) and at the end (in flight)."""
    return any(whole[i : i + len(part)] == part for i in range(len(whole) - len(part) + 1))


def test_sigkill_in_the_middle_loses_and_doubles_nothing(
    simulate: Callable[..., Any],
    start_agent: Callable[..., Any],
    tmp_path: Path,
    wait_for: Callable[..., Any],
    platform_seen_empty: Callable[..., Any],
) -> None:
    """Each packet stands on the air for 3 s; the agent is killed six times and each time back before the next one.

    Promise 1 and "repeats across a restart": the outbox has each packet once, each load once.
    """
    loads = {0: "1.5", 3: "2.25"}
    sim = simulate(plan(speed=25, interval_s=75))
    path = tmp_path / "outbox.db"
    config = settings_of(sim, path, interval_s=75)
    stream = "BT-1/temperature_c"
    for life in range(6):
        agent = start_agent(config, **environment(sim))
        before = len(produced_values(sim, stream))
        if life in loads:
            platform_seen_empty(path, "SC-1")
            assert sim.control(do="load", device="SC-1", mass_kg=loads[life], hold_s=60)["ok"]
        # Kill it when it has a new packet: in the middle of what it does then.
        count = len(values_of(facts_in(path), stream))
        wait_for(lambda n=count: len(values_of(facts_in(path), stream)) > n, "a new packet in the outbox")
        agent.end(signal.SIGKILL)
        assert len(produced_values(sim, stream)) - before <= 2
    agent = start_agent(config, **environment(sim))
    count = len(values_of(facts_in(path), stream))
    wait_for(lambda: len(values_of(facts_in(path), stream)) > count, "a last packet")
    wait_for(lambda: sum(isinstance(f, Weighing) for f in facts_in(path)) >= 2, "both weighings")
    assert agent.end(signal.SIGTERM) == 0
    facts = facts_in(path)
    for quantity in LOGGER_STREAMS:
        mine, theirs = values_of(facts, f"BT-1/{quantity}"), produced_values(sim, f"BT-1/{quantity}")
        assert is_tail_of(mine, theirs), f"{quantity}: {mine} is not within {theirs}"
        assert len(mine) >= 7
    weighings = [f for f in facts if isinstance(f, Weighing)]
    assert [str(w.gross_kg) for w in weighings] == ["1.500", "2.250"]
    times = [f.sampled_at_ms for f in facts if isinstance(f, Reading) and f.stream_id == stream]
    assert None not in times
    assert times == sorted(times)  # type: ignore[type-var]


class Journal:
    """A server that keeps what it gets and receipts it."""

    def __init__(self, port: int) -> None:
        self.facts: dict[tuple[str, int], Fact] = {}
        self.again: Counter[tuple[str, int]] = Counter()
        self._have: dict[str, Ranges] = {}
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, "journal")
        self._client.username_pw_set("edge", "a-test-password")
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("smile-iot/v1/s0/+/+/up/+", qos=1)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        upload = decode_upload(message.payload)
        for n in upload.facts:
            key = (upload.epoch, n.seq)
            assert self.facts.setdefault(key, n.fact) == n.fact, "a number came again with another fact"
            self.again[key] += 1
        self._have[upload.epoch] = self._have.get(upload.epoch, Ranges()) | upload.ranges
        receipt = encode_receipt(Receipt(upload.epoch, self._have[upload.epoch]))
        self._client.publish(message.topic.rsplit("/up/")[0] + "/down/receipt", receipt, qos=1, retain=True)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_through_kills_of_agent_and_broker_the_journal_gets_every_number(
    simulate: Callable[..., Any],
    start_agent: Callable[..., Any],
    broker: Any,
    tmp_path: Path,
    wait_for: Callable[..., Any],
) -> None:
    sim = simulate(plan(speed=120, interval_s=60))
    path = tmp_path / "outbox.db"
    config = settings_of(sim, path, broker.toml)
    journal = Journal(broker.port)
    try:
        agent = start_agent(config, **environment(sim))
        wait_for(lambda: len(journal.facts) > 20, "uploads")
        agent.end(signal.SIGKILL)
        agent = start_agent(config, **environment(sim))
        seen = len(journal.facts)
        wait_for(lambda: len(journal.facts) > seen, "uploads after the kill of the agent")
        broker.stop()
        count = len(facts_in(path))
        wait_for(lambda: len(facts_in(path)) > count + 10, "facts while the broker is down")
        broker.start()
        wait_for(lambda: len(journal.facts) >= count + 10, "uploads after the broker came back")
        agent.end(signal.SIGTERM)
    finally:
        journal.close()
    box = SqliteOutbox(path)
    numbered = {(box.epoch, n.seq): n.fact for n in box.select(seq=Ranges([(1, 1 << 40)]), limit=1 << 30)}
    pending = {(box.epoch, n.seq) for n in box.pending(1 << 30)}
    top = box.usage().numbered_to
    box.close()
    assert len(numbered) == top
    assert set(numbered) - set(journal.facts) <= pending
    assert all(journal.facts[key] == numbered[key] for key in journal.facts)
    anchors = [f for f in numbered.values() if isinstance(f, Event) and f.kind == "clock_anchored"]
    assert len(anchors) == 1


def test_a_silent_scanner_is_rebuilt_after_bluetoothd_restarted(
    simulate: Callable[..., Any], start_agent: Callable[..., Any], tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    """devices.md 1.3, finding 1: after a restart of bluetoothd the old scanner stays silent without an error."""
    sim = simulate(plan(speed=120, interval_s=60))
    path = tmp_path / "outbox.db"
    start_agent(settings_of(sim, path), **environment(sim))
    wait_for(lambda: len(values_of(facts_in(path), "BT-1/temperature_c")) > 2, "readings")
    assert sim.control(do="bluez_restart", down_s=0.3)["ok"]
    count = len(values_of(facts_in(path), "BT-1/temperature_c"))
    wait_for(lambda: len(values_of(facts_in(path), "BT-1/temperature_c")) > count + 4, "readings after the restart")
    log = (tmp_path / "agent.log").read_text()
    assert "bluetooth is up" in log


def test_an_unplugged_scale_is_opened_again(
    simulate: Callable[..., Any],
    start_agent: Callable[..., Any],
    tmp_path: Path,
    wait_for: Callable[..., Any],
    platform_seen_empty: Callable[..., Any],
) -> None:
    sim = simulate(plan(speed=1, interval_s=60))
    path = tmp_path / "outbox.db"
    start_agent(settings_of(sim, path), **environment(sim))
    platform_seen_empty(path, "SC-1")

    def weighed() -> list[str]:
        return [str(f.gross_kg) for f in facts_in(path) if isinstance(f, Weighing)]

    assert sim.control(do="load", device="SC-1", mass_kg="1.5", hold_s=3)["ok"]
    wait_for(lambda: weighed() == ["1.500"], "the first weighing")
    assert sim.control(do="unplug", device="SC-1", for_s=1)["ok"]
    wait_for(lambda: "scale SC-1" in (tmp_path / "agent.log").read_text().replace("is up", ""), "the outage")
    wait_for(lambda: "is down" in (tmp_path / "agent.log").read_text().split("scale SC-1")[-1], "the outage")
    assert sim.control(do="load", device="SC-1", mass_kg="2.5", hold_s=600)["ok"]
    wait_for(lambda: weighed() == ["1.500", "2.500"], "the second weighing")


def test_a_bad_cable_gives_no_wrong_weight_and_loses_none(
    simulate: Callable[..., Any],
    start_agent: Callable[..., Any],
    tmp_path: Path,
    wait_for: Callable[..., Any],
    platform_seen_empty: Callable[..., Any],
) -> None:
    """Flipped bits, halves, noise and repeats on the line: each load once, with the weight it had."""
    faults = [
        {"do": do, "at_s": 0, "device": "SC-1", "ratio": ratio}
        for do, ratio in (("bit_flip", 0.15), ("half_frame", 0.1), ("noise", 0.1), ("duplicate", 0.1))
    ]
    sim = simulate(plan(speed=1, interval_s=60, faults=faults))
    path = tmp_path / "outbox.db"
    start_agent(settings_of(sim, path) + NOISY, **environment(sim))
    platform_seen_empty(path, "SC-1")
    masses = ["5.400", "0.640", "12.345", "1.285"]
    for i, mass in enumerate(masses, 1):
        assert sim.control(do="load", device="SC-1", mass_kg=mass, hold_s=1.5)["ok"]
        wait_for(lambda n=i: sum(line["kind"] == "weighing" for line in sim.produced()) == n, "the load at rest")
        wait_for(lambda n=i: sum(isinstance(f, Weighing) for f in facts_in(path)) >= n, "the weighing")
    assert [str(f.gross_kg) for f in facts_in(path) if isinstance(f, Weighing)] == masses


def test_a_bag_that_comes_while_the_agent_is_dead_is_weighed_once(
    simulate: Callable[..., Any],
    start_agent: Callable[..., Any],
    tmp_path: Path,
    wait_for: Callable[..., Any],
    platform_seen_empty: Callable[..., Any],
) -> None:
    """Requirement 19 and kills: the platform was seen empty before the kill, so the load found after it is new."""
    sim = simulate(plan(speed=1, interval_s=60))
    path = tmp_path / "outbox.db"
    agent = start_agent(settings_of(sim, path), **environment(sim))
    platform_seen_empty(path, "SC-1")
    agent.end(signal.SIGKILL)
    assert sim.control(do="load", device="SC-1", mass_kg="1.5", hold_s=60)["ok"]
    agent = start_agent(settings_of(sim, path), **environment(sim))
    wait_for(lambda: any(isinstance(f, Weighing) for f in facts_in(path)), "the weighing")
    agent.end(signal.SIGKILL)
    log = tmp_path / "agent.log"
    ups = log.read_text().count("scale SC-1 on")
    start_agent(settings_of(sim, path), **environment(sim))
    wait_for(lambda: log.read_text().count("scale SC-1 on") > ups, "the scale again")
    assert sim.control(do="unload", device="SC-1")["ok"]
    platform_seen_empty(path, "SC-1")
    facts = facts_in(path)
    assert [(str(f.gross_kg), f.flags) for f in facts if isinstance(f, Weighing)] == [("1.500", ())]
    # The third life may ask whether the load that still stands was weighed, and says nothing else.
    said = {f.detail["reason"] for f in facts if isinstance(f, Event) and f.kind != "clock_anchored"}
    assert said <= {"same_as_before"}


@pytest.mark.parametrize("library", ["serialx", "pyserial"])
def test_both_serial_libraries_read_the_same_scale(
    simulate: Callable[..., Any],
    start_agent: Callable[..., Any],
    tmp_path: Path,
    wait_for: Callable[..., Any],
    platform_seen_empty: Callable[..., Any],
    library: str,
) -> None:
    noisy = [{"do": "noise", "at_s": 0, "device": "SC-1", "ratio": 0.2}, {"do": "split", "at_s": 0, "device": "SC-1"}]
    sim = simulate(plan(speed=1, interval_s=60, faults=noisy))
    path = tmp_path / "outbox.db"
    start_agent(settings_of(sim, path) + NOISY + f'library = "{library}"\n', **environment(sim))
    platform_seen_empty(path, "SC-1")
    for mass, expected in (("1.235", ["1.235"]), ("0.62", ["1.235", "0.620"])):
        assert sim.control(do="load", device="SC-1", mass_kg=mass, hold_s=2)["ok"]
        wait_for(
            lambda e=expected: [str(f.gross_kg) for f in facts_in(path) if isinstance(f, Weighing)] == e,
            "the weighing",
        )
    assert json.loads(json.dumps(sim.ready))["ready"]
