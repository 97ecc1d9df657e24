"""``smile-iot gateway limits``: a person changes a limit with a reason, and anybody sees who, when and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.records import open_records
from smile_iot.__main__ import main
from telemetry.clock import clock_from_environment
from telemetry.contract import iso_utc


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "server.toml"
    path.write_text(f'[server]\ndata_dir = "{tmp_path}"\n')
    return str(path)


def test_req_37_a_limit_is_changed_with_a_reason_and_shown_with_it(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change = (
        "gateway",
        "limits",
        "set",
        "refrigerator",
        "HEAT",
        "--limit",
        "9.0",
        "--version",
        "2",
        "--config",
        config,
    )
    assert main([*change, "--actor", "Budi", "--reason", "circular 7"]) == 0
    assert "refrigerator 2 holds from" in capsys.readouterr().out
    assert main(["gateway", "limits", "show", "refrigerator", "--config", config]) == 0
    said = capsys.readouterr().out
    assert "by Budi: circular 7" in said
    assert "HEAT.limit_c: 8.0 -> 9.0" in said
    with open_records(tmp_path / "records.db") as records:
        assert [v.version for v in records.profile_versions("refrigerator")][1:] == ["2"]
        assert records.verify_chain("-").ok
    assert main([*change[:-4], "--config", config, "--actor", "Budi", "--reason", "again"]) == 0
    assert "nothing changed" in capsys.readouterr().out


def test_words_that_mean_nothing_are_said(config: str) -> None:
    words = ["--reason", "r", "--config", config]
    for wrong in (["fridge", "HEAT", "--limit", "9"], ["refrigerator", "HOT", "--limit", "9"]):
        assert main(["gateway", "limits", "set", *wrong, *words]) != 0
    assert main(["gateway", "limits", "set", "refrigerator", "HEAT", "--limit", "warm", *words]) != 0
    assert main(["gateway", "limits", "set", "refrigerator", "HEAT", *words]) != 0


def test_an_unsound_limit_is_refused_as_on_the_page(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """FRZE <= 9.0 lies above HEAT > 8.0: every reading would be beyond one of them."""
    words = ["--reason", "r", "--config", config]
    assert main(["gateway", "limits", "set", "refrigerator", "FRZE", "--limit", "9.0", *words]) == 2
    assert "does not fit the other limits" in capsys.readouterr().err
    assert main(["gateway", "limits", "set", "refrigerator", "HEAT", "--after-s", "-1", *words]) == 2


def test_a_version_with_a_mistyped_date_is_superseded_and_only_when_asked(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change = ["gateway", "limits", "set", "refrigerator", "HEAT", "--config", config, "--actor", "Budi"]
    far = ["--limit", "9.0", "--from", "2126-12-01T00:00:00Z", "--reason", "circular 7"]
    assert main([*change, *far]) != 0
    assert "at most a year ahead" in capsys.readouterr().err
    clock = clock_from_environment()
    later = ["--limit", "9.0", "--from", iso_utc(clock.now_ms() + 300 * 86_400_000), "--reason", "circular 7"]
    assert main([*change, *later]) == 0
    now = ["--limit", "9.0", "--reason", "circular 7, the year was wrong"]
    assert main([*change, *now]) != 0
    assert main([*change, *now, "--supersede"]) == 0
    assert main(["gateway", "limits", "show", "refrigerator", "--config", config]) == 0
    assert capsys.readouterr().out.count("by Budi") == 1
