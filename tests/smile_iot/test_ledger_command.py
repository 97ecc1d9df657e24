"""``smile-iot ledger`` on ledgers that ingest's own ``Ledger`` wrote."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from ingest.ledger import Change, EpochKey, Ledger
from smile_iot.__main__ import main
from smile_iot.settings import to_toml
from telemetry.readings import Ranges

T0 = 1_790_000_000_000


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "server.toml"
    path.write_text(to_toml({"server.data_dir": str(tmp_path)}))
    return path


@pytest.fixture
def ledger(tmp_path: Path) -> None:
    """Edge E1: an old epoch that lost 3, and the one it lives in with two holes, a quarantined and thinned numbers."""
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        old, now = EpochKey("SITE1", "E1", "old"), EpochKey("SITE1", "E1", "now")
        ledger.commit([Change(old, T0, received=Ranges([(1, 2), (4, 5)]), numbered_to=5, hello=True)], 1)
        ledger.commit(
            [
                Change(
                    now,
                    T0 + 60_000,
                    received=Ranges([(1, 10), (14, 20)]),
                    quarantined=Ranges([(21, 21)]),
                    thinned=Ranges([(11, 11)]),
                    duplicates=4,
                    numbered_to=23,
                    hello=True,
                )
            ],
            2,
        )


def test_the_table_counts_each_epoch_and_says_what_is_missing(
    config: Path, ledger: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ledger", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == (
        [
            "site",
            "edge",
            "epoch",
            "numbered",
            "received",
            "quarantined",
            "thinned",
            "missing",
            "duplicates",
            "last",
            "heard",
        ]
    )
    assert lines[1].split() == ["SITE1", "E1", "now", "23", "17", "1", "1", "4", "4", "2026-09-21T14:14:20Z"]
    assert lines[2].split() == [
        "SITE1",
        "E1",
        "old",
        "(earlier)",
        "5",
        "4",
        "0",
        "0",
        "1",
        "0",
        "2026-09-21T14:13:20Z",
    ]
    assert "SITE1/E1 now: missing 12-13, 22-23 (asked for again)" in lines
    assert any(line.startswith("SITE1/E1 old: missing 3 (the edge has begun a new epoch") for line in lines)


def test_json_gives_the_same_numbers(config: Path, ledger: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "--config", str(config), "--json"]) == 0
    now, old = json.loads(capsys.readouterr().out)
    assert (now["epoch"], now["current"], old["epoch"], old["current"]) == ("now", True, "old", False)
    assert {k: now[k] for k in ("numbered", "received", "quarantined", "thinned", "missing", "duplicates")} == {
        "numbered": 23, "received": 17, "quarantined": 1, "thinned": 1, "missing": 4, "duplicates": 4,
    }  # fmt: skip
    assert now["missing_ranges"] == [[12, 13], [22, 23]]
    assert now["numbered"] == now["received"] + now["quarantined"] + now["thinned"] + now["missing"]


def test_before_any_edge_was_heard_it_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "--config", str(config)]) == 0
    assert "No edge has been heard yet" in capsys.readouterr().out
    assert main(["ledger", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_many_holes_are_cut_short(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        odd = Ranges.of(range(1, 60, 2))
        ledger.commit([Change(EpochKey("S", "E", "e"), T0, received=odd, numbered_to=60, hello=True)], 1)
    assert main(["ledger", "--config", str(config)]) == 0
    assert "missing 2, 4, 6, 8, 10, 12, 14, 16 and 22 ranges more" in capsys.readouterr().out
