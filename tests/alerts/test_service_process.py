"""``smile-iot alerts`` as a process that is killed again and again while the journal grows."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.records import FindingKind
from telemetry.clock import VirtualClock

ROOT = Path(__file__).parents[2]
MIN = 60_000
HOUR = 60 * MIN


def run_alerts(folder: Path, now_ms: int) -> subprocess.Popen[bytes]:
    config = folder / "server.toml"
    config.write_text(f'[server]\ndata_dir = "{folder}"\n[api]\npublic_url = "https://iot.example"\n')
    clock = VirtualClock(now_ms, time.monotonic_ns(), 1.0)
    with (folder / "alerts.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "smile_iot", "alerts", "--config", str(config)],
            env=os.environ | {"SMILE_IOT_CLOCK": clock.to_environment()},
            cwd=ROOT,
            stderr=log,
        )


def wait_for(what: Callable[[], bool], seconds: float = 90.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.05)
    return False


def heat_posts(sink: Any) -> list[Any]:
    return [post for _, post in sink.posts if "Terlalu panas" in post["title"]]


def test_sigkill_loses_and_doubles_nothing(world: Any, sink: Any, person: Callable[..., Any], start: int) -> None:
    """Five kills at random instants: one HEAT, one verdict chain that verifies, one message, weighings once."""
    person("Sari", sink.chat_url("ward"))
    world.batch("B1")
    world._memories.pop().close()
    dice = random.Random(7)
    parts = [world.temperatures(h, h + 1.75, "8.5") for h in range(0, 12, 2)]
    for i, part in enumerate(parts):
        world.say(*part, world.weighing(f"W{i}", "1.5", start + i))
        process = run_alerts(world.folder, start + 12 * HOUR)
        if i < len(parts) - 1:
            time.sleep(dice.uniform(0.5, 1.6))  # where the kill lands is the point of the test
            process.kill()
            process.wait(60)
    try:
        told = wait_for(lambda: bool(heat_posts(sink)) and len(world.records.weighings()) == len(parts))
        assert told, (world.folder / "alerts.log").read_text()
        assert wait_for(lambda: world.verdict("B1") == ("hold_and_inspect", ["heat_confirmed"]))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    (heat,) = [f for f in world.found("HEAT") if f.kind != FindingKind.WITHDRAWN]
    assert (heat.episode_start_ms, heat.event_ms) == (start, start + 10 * HOUR)
    assert len(heat_posts(sink)) == 1
    assert world.records.verify_chain("S1").ok
    assert "Traceback" not in (world.folder / "alerts.log").read_text()
