"""The kill campaign in its short form (``make chaos`` is the long one): real edge, Mosquitto, ingest, SQLite and InfluxDB,
faults at random times, and a control run with a broken promise that the comparison must catch.

The seeds are fixed; a seed fixes the order of the faults, not the machine's timing. The runs are started together.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.neighbour("mosquitto, influxdb, nginx, dbus-daemon"), pytest.mark.timeout(600)]
# What a broker holds while ingest is away, and loses: the faults that a PUBACK does not survive.
LOSING = ["--only", "all it held is gone", "--only", "ingest's link refused", "--only", "ingest SIGKILL"]
RUNS = {
    "sqlite": ["--seed", "101", "--store", "sqlite", "--seconds", "25"],
    "influx": ["--seed", "102", "--store", "influx", "--seconds", "25"],
    "control": ["--seed", "103", "--seconds", "12", "--quiet", "5", "--sabotage", "forget_on_puback", *LOSING],
}


@dataclass
class Run:
    process: subprocess.Popen[bytes]
    said: Path

    def end(self) -> str:
        code = self.process.wait(timeout=380)
        said = self.said.read_text()
        assert code == 0, said
        return said


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    started: dict[str, Run] = {}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SMILE_IOT")}
    for name, words in RUNS.items():
        folder = tmp_path_factory.mktemp(f"c{name[0]}")
        with (folder / "said.txt").open("wb") as said:
            command = [sys.executable, "-m", "benchmarks.chaos", "--gap", "0.8", "--folder", str(folder), *words]
            process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, env=environment)
        started[name] = Run(process, folder / "said.txt")
    yield started
    for run in started.values():
        if run.process.poll() is None:
            run.process.terminate()
            run.process.wait(timeout=60)


@pytest.mark.parametrize("store", ["sqlite", "influx"])
def test_nothing_is_lost_doubled_or_misdated_whatever_fails(runs: dict[str, Run], store: str) -> None:
    said = runs[store].end()
    assert "lost 0, doubled 0, misdated 0, changed 0" in said
    assert ": good" in said


def test_an_edge_that_forgets_on_puback_is_caught(runs: dict[str, Run]) -> None:
    assert "sabotage forget_on_puback: caught" in runs["control"].end()
