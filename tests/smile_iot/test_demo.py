"""The whole line, played as a script by ``smile-iot demo --headless``, every neighbour real: plain, with kills,
and with InfluxDB as the store.

The runs take one to two minutes of mostly waiting each, so they are started together and judged one by one. A report is judged
here again from its own numbers, not by the exit code alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from smile_iot.demo.scenario import SAMPLE_S
from telemetry.contract import parse_iso_utc

ROOT = Path(__file__).parents[2]
RUNS = {"plain": [], "kills": ["--kills"], "influx": ["--store", "influx"]}
pytestmark = pytest.mark.timeout(900)


@dataclass
class Run:
    process: subprocess.Popen[bytes]
    folder: Path

    def report(self) -> dict[str, Any]:
        code = self.process.wait(timeout=800)
        said = (self.folder / "said.txt").read_text()
        assert code == 0, said
        body: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return body


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    started: dict[str, Run] = {}
    for name, words in RUNS.items():
        folder = tmp_path_factory.mktemp(name)
        with (folder / "said.txt").open("wb") as said:
            command = [sys.executable, "-m", "smile_iot", "demo", "--headless", "--report", str(folder), *words]
            environment = {k: v for k, v in os.environ.items() if not k.startswith("SMILE_IOT")}
            process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, env=environment)
        started[name] = Run(process, folder)
    yield started
    for run in started.values():
        if run.process.poll() is None:
            run.process.terminate()
            run.process.wait(timeout=30)


@pytest.mark.parametrize("name", RUNS)
def test_every_step_happened_and_the_books_balance(name: str, runs: dict[str, Run]) -> None:
    """Nothing lost, nothing twice, from the sensor's bytes to the store and to SMILE."""
    report = runs[name].report()
    assert report["balanced"], report["problems"]
    assert report["streams"]
    for books in report["streams"].values():
        assert books["produced"] == books["stored"] > 0
        assert books["duplicated"] == books["missing"] == 0
    for counts in report["attachments"]["temperatures"].values():
        assert counts["stored"] == counts["measured"] > 0
        assert counts["duplicated"] == 0
    for weighing in report["weighings"]:
        kilograms = {Decimal(weighing[key]) for key in ("made_net_kg", "record_net_kg", "smile_kg")}
        assert len(kilograms) == 1, weighing
    assert len(report["weighings"]) == 2


def test_the_books_are_the_simulators_own(runs: dict[str, Run]) -> None:
    """``produced`` counts the lines that the simulator itself wrote, between the story's beginning and its end."""
    report = runs["plain"].report()
    lines = [json.loads(line) for line in (runs["plain"].folder / "produced.ndjson").read_text().splitlines()]
    first_ms = parse_iso_utc(report["from"]) - SAMPLE_S * 1000 // 2
    until_ms = parse_iso_utc(report["to"])
    counted = Counter(line["stream"] for line in lines if "stream" in line and first_ms <= line["t_ms"] < until_ms)
    assert {stream: books["produced"] for stream, books in report["streams"].items()} == counted


def test_the_kills_were_fired_in_the_middle(runs: dict[str, Run]) -> None:
    report = runs["kills"].report()
    assert {"edge", "ingest"} <= {k["program"] for k in report["kills"]}
    assert len(report["kills"]) >= 6


def test_heat_is_answered_and_the_batch_was_discarded_by_a_person(runs: dict[str, Run]) -> None:
    report = runs["plain"].report()
    heat = [a for a in report["alarms"] if a["code"] == "HEAT" and a["equipment"] == "fridge-1"]
    assert [a["state"] for a in heat] == ["acknowledged"]
    mine = [v for v in report["verdicts"] if v["batch"] == "PB-2603"]
    assert "hold_and_inspect" in [v["verdict"] for v in mine]
    assert mine[-1]["decision"] == "discarded"
    assert mine[-1]["decided_by"] == "dewi"
    assert "shake_test" in [v["verdict"] for v in report["verdicts"] if v["batch"] == "HB-2602"]


def test_the_alarm_reached_the_operator_once_in_her_language(runs: dict[str, Run]) -> None:
    report = runs["plain"].report()
    heat = [m for m in report["messages"] if "Kulkas vaksin 1" in m["title"] + m["message"]]
    assert len(heat) == 1


def test_every_grafana_panel_shows_rows_of_the_demo(runs: dict[str, Run]) -> None:
    panels = runs["influx"].report()["grafana_panels"]
    conflicts = [title for title in panels if "Conflicts" in title]
    assert len(conflicts) == 1
    assert panels.pop(conflicts[0]) == 0, "a balanced run holds no conflict"
    assert len(panels) >= 9
    assert all(rows > 0 for rows in panels.values()), panels
