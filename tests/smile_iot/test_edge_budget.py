"""``smile-iot edge budget``: plain words, JSON, and what was really used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.outbox import SqliteOutbox
from smile_iot.__main__ import main

_CONFIG = """
[edge]
id = "E1"
site = "PKM-0001"
outbox = "{folder}/outbox.db"
[mqtt]
tls = true
[[device]]
serial = "LOG-1"
driver = "bthome"
address = "A4:C1:38:00:00:01"
interval_s = 60
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(_CONFIG.format(folder=tmp_path))
    return path


def test_it_says_what_the_settings_use_and_what_would_save(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edge", "budget", "--config", str(config)]) == 0
    said = capsys.readouterr().out
    for words in ("receipts", "in all", "The next megabyte goes into", "flush_after_s = 600.0", "all together"):
        assert words in said
    assert "nothing yet: the agent has not run here" in said
    assert main(["edge", "--config", str(config), "budget"]) == 0
    assert capsys.readouterr().out == said


def test_json_has_bytes_and_what_was_used_in_each_month(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outbox = SqliteOutbox(config.parent / "outbox.db")
    outbox.append([], {"data_package:2026-11": "[1000, 200, 520]"})
    outbox.close()
    assert main(["edge", "budget", "--config", str(config), "--json", "--weighings", "0"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["forecast_bytes"] == pytest.approx(sum(row["bytes"] for row in said["rows"]), abs=9)
    assert said["used"]["2026-11"] == {"sent": 1000, "received": 200, "headers_estimated": 520, "total": 1720}
    assert said["assumed_a_day"]["weighings"] == 0
    assert main(["edge", "budget", "--config", str(config)]) == 0
    assert "2026-11" in capsys.readouterr().out


def test_without_a_configuration_it_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edge", "budget"]) == 2
    assert "--config" in capsys.readouterr().err
    assert main(["edge"]) == 2
