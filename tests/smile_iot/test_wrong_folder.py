"""A command that only looks refuses a folder where nothing ever ran: "nothing waits" would be a false calm."""

from __future__ import annotations

from pathlib import Path

import pytest

from smile_iot.__main__ import main
from smile_iot.settings import to_toml


@pytest.mark.parametrize(
    "words",
    [["ledger", "--streams"], ["quarantine", "list"], ["explain", "B1"], ["replay", "--days", "90"]],
    ids=lambda words: words[0],
)
def test_looking_at_an_empty_folder_is_refused_and_makes_no_file(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new user's `ledger` without --config said "No readings have been received yet." beside a running server."""
    data = tmp_path / "var"
    config = tmp_path / "server.toml"
    config.write_text(to_toml({"server.data_dir": str(data)}))
    assert main([*words, "--config", str(config)]) == 2
    assert "never ran here" in capsys.readouterr().err
    assert not list(data.glob("*"))
