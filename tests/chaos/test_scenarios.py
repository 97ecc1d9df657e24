"""Two stories by name, real processes in fast virtual time: both about a minute, so they are started together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.neighbour("mosquitto, influxdb, nginx, dbus-daemon"), pytest.mark.timeout(600)]
NAMES = ("database_away_for_a_day", "broker_away_for_a_week")


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SMILE_IOT")}
    started = {
        name: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.chaos.scenarios", name, str(tmp_path_factory.mktemp("s"))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        for name in NAMES
    }
    yield started
    for process in started.values():
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def told(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=380)
    assert process.returncode == 0, said
    return said


def test_a_database_away_for_a_day_costs_nothing_and_alarms_go_on(stories: dict[str, subprocess.Popen[str]]) -> None:
    """HEAT begins and is raised while InfluxDB is dead; afterwards it holds every reading once."""
    said = told(stories["database_away_for_a_day"])
    assert "HEAT was raised" in said
    assert "lost 0, doubled 0, misdated 0, changed 0" in said


def test_a_broker_away_for_a_week_with_all_it_held_costs_nothing(stories: dict[str, subprocess.Popen[str]]) -> None:
    assert "lost 0, doubled 0, misdated 0, changed 0" in told(stories["broker_away_for_a_week"])
