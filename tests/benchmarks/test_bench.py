"""``make bench`` at its smallest size: the table has its rows and every count is exact. Speed is never asserted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.neighbour("mosquitto, influxdb, nginx, wrk, gcc"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "benchmarks.bench", "--tiny", "--out", str(out)]
    only = ["--only", "broker,influx,disk,throughput,live,edge,backlog"]
    done = subprocess.run([*command, *only], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    page = (out / "bench.md").read_text()
    assert page in done.stdout
    told: dict[str, Any] = json.loads((out / "bench.json").read_text())
    return told | {"page": page}


def test_every_section_has_its_rows(told: dict[str, Any]) -> None:
    sections = {row["section"] for row in told["rows"]}
    assert sections >= {
        "Ceilings",
        "End to end",
        "CPU, microseconds a reading",
        "Publish to receipt, p50 / p99",
        "Publish to stored, p50 / p99",
        "Memory over the import baseline",
        "A month's backlog",
    }
    for row in told["rows"]:
        assert f"| {row['what']} | {row['figure']} |" in told["page"]


def test_every_reading_is_in_the_store_once_and_as_it_was_sent(told: dict[str, Any]) -> None:
    runs = [run for name, each in told["raw"].items() if name.startswith("end to end") for run in each]
    runs += [run for name, run in told["raw"].items() if name.startswith("backlog")]
    assert len(runs) >= 6
    for run in runs:
        readings = run["readings"] + run["introduced"]
        assert run["introduced"] > 0
        assert run["count"] == {"expected": readings, "lost": 0, "doubled": 0, "wrong": 0}


def test_each_goal_is_told_as_met_or_not(told: dict[str, Any]) -> None:
    for row in told["rows"]:
        assert (row["met"] is None) == (row["goal"] == ""), row


def test_the_page_says_where_when_and_how(told: dict[str, Any]) -> None:
    assert re.search(r"- date: \d{4}-\d\d-\d\d \d\d:\d\d UTC", told["page"])
    for key in ("machine", "versions", "commit", "command"):
        assert told["about"][key]
