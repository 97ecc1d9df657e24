"""Fixtures of the simulator's tests: plans, and the simulator as a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FRIDGE = {"id": "fridge-1", "setpoint_c": 4.5, "ambient_c": 30}
LOGGER = {
    "serial": "BT-0001",
    "kind": "bthome",
    "address": "A4:C1:38:00:00:01",
    "equipment": "fridge-1",
    "interval_s": 900,
}
SCALE = {
    "serial": "SC-0001",
    "kind": "scale_ascii",
    "capacity_kg": 15,
    "e_kg": "0.005",
    "rate_hz": 20,
    "baud": 57600,
    "stable_s": 0.4,
}


@pytest.fixture
def plan() -> dict[str, Any]:
    """A small plan that each test changes as it likes."""
    return {
        "seed": 1,
        "clock": {"t0_ms": 1_767_225_600_000, "speed": 450},
        "equipment": [dict(FRIDGE)],
        "devices": [dict(LOGGER), dict(SCALE)],
    }


class RunningSim:
    """``python -m firmware_sim`` in a process of its own."""

    def __init__(self, plan: dict[str, Any], folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "plan.json"
        path.write_text(json.dumps(plan))
        command = [sys.executable, "-m", "firmware_sim", "--plan", str(path), "--out", str(folder)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.stderr.read())
        self.ready: dict[str, Any] = json.loads(line)

    def control(self, **command: object) -> dict[str, Any]:
        """One command, one answer."""
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(self.ready["control"])
            link.sendall(json.dumps(command).encode() + b"\n")
            answer: dict[str, Any] = json.loads(link.makefile().readline())
            return answer

    def produced(self) -> list[dict[str, Any]]:
        """The ledger so far."""
        return [json.loads(line) for line in (self.folder / "produced.ndjson").read_text().splitlines()]

    def wait_for(self, met: Callable[[], bool], what: str, deadline_s: float = 60) -> None:
        """Poll with a deadline."""
        until = time.monotonic() + deadline_s
        while not met():
            assert self.process.poll() is None, f"the simulator ended while waiting for {what}"
            assert time.monotonic() < until, f"never saw {what}"
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def start_sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, Any]], RunningSim]]:
    """Start the simulator with a plan; the bus address is set for this process's bleak too."""
    running: list[RunningSim] = []

    def start(plan: dict[str, Any]) -> RunningSim:
        sim = RunningSim(plan, tmp_path / f"sim{len(running)}")
        running.append(sim)
        for key, value in sim.ready["env"].items():
            monkeypatch.setenv(key, value)
        return sim

    yield start
    for sim in running:
        sim.stop(signal.SIGKILL)
