"""``smile-iot ledger`` on ledgers that ingest's own ``Ledger`` wrote."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import pytest

from api.words import catalogue
from ingest.epochs import Cause, HelloInfo
from ingest.identities import IdentityKind
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


@pytest.fixture(autouse=True)
def soon_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands five minutes after the last message."""
    monkeypatch.setenv("SMILE_IOT_CLOCK", f"{T0 + 360_000}:{time.monotonic_ns()}:1")


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
    assert main(["ledger", "--language", "en", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = "site edge epoch numbered received thinned quarantined lost missing doubled late last heard"
    assert lines[0].split() == head.split()
    assert " ".join(lines[1].split()) == "SITE1 E1 now 23 17 1 1 0 4 4 0 2026-09-21T14:14:20Z"
    assert " ".join(lines[2].split()) == "SITE1 E1 old (earlier) 5 4 0 0 0 1 0 0 2026-09-21T14:13:20Z"
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


def test_before_any_edge_was_heard_it_says_so(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger(tmp_path / "ledger.db").close()  # ingest runs, and nobody spoke yet
    assert main(["ledger", "--language", "en", "--config", str(config)]) == 0
    assert "No edge has been heard yet" in capsys.readouterr().out
    assert main(["ledger", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_many_holes_are_cut_short(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        odd = Ranges.of(range(1, 60, 2))
        ledger.commit([Change(EpochKey("S", "E", "e"), T0, received=odd, numbered_to=60, hello=True)], 1)
    assert main(["ledger", "--language", "en", "--config", str(config)]) == 0
    assert "missing 2, 4, 6, 8, 10, 12, 14, 16 and 22 ranges more" in capsys.readouterr().out


def said(config: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["ledger", "--language", "en", "--config", str(config), *options]) == 0
    return capsys.readouterr().out


def test_every_absence_is_told_with_its_cause(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        key = EpochKey("S", "E", "e")
        lost = {"corrupt_file": Ranges([(3, 4)])}
        ledger.commit([Change(key, T0, Ranges([(1, 2)]), Ranges([(5, 5)]), numbered_to=9, hello=True, lost=lost)], 1)
    text = said(config, capsys)
    assert "S/E e: lost at the edge 3-4 (corrupt_file)" in text
    assert "S/E e: missing 6-9 (asked for again)" in text
    assert "S/E e: 1 wait in quarantine" in text
    monkeypatch.setenv("SMILE_IOT_CLOCK", f"{T0 + 86_400_000}:{time.monotonic_ns()}:1")
    assert "S/E e: missing 6-9 (the edge is silent since 2026-09-21T14:13:20Z)" in said(config, capsys)


def test_streams_stand_one_a_line_with_what_the_edge_counted(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        key, day = EpochKey("S", "E", "e"), 86_400_000
        tallies = (("T1/temperature_c", 7, 2, 3 * day, 0, T0),)
        info = HelloInfo(9, produced={"T1/temperature_c": 9, "T2/temperature_c": 4})
        ledger.commit([Change(key, T0, Ranges([(1, 7)]), tallies=tallies), Change(key, T0, hello=True, info=info)], 1)
    lines = said(config, capsys, "--streams").splitlines()
    assert " ".join(lines[1].split()) == "S E T1/temperature_c 9 7 0 2 2 3 d 2026-09-21T14:13:20Z"
    assert " ".join(lines[2].split()) == "S E T2/temperature_c 4 0 0 4 0 0 s never"
    (row,) = json.loads(said(config, capsys, "--json"))
    assert [(s["stream"], s["not_here"]) for s in row["streams"]] == [
        ("T1/temperature_c", 2),
        ("T2/temperature_c", 4),
    ]
    assert "2 readings came more than 15 minutes after they were sampled, at worst 3 d after" in said(config, capsys)


def test_a_count_that_the_edge_did_not_tell_yet_is_said_so_in_words(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        tallies = (("T1/temperature_c", 7, 0, 0, 0, T0),)
        ledger.commit([Change(EpochKey("S", "E", "e"), T0, Ranges([(1, 7)]), tallies=tallies)], 1)
    text = " ".join(said(config, capsys, "--streams").split())
    assert "S E T1/temperature_c not told 7 0 0 0 " in text
    assert "until the first such hello it is not told" in text


@pytest.mark.parametrize(
    ("reason", "word"),
    [("new", "its card was made anew"), ("restored", "restored backup"), ("copied", "copied card"),
     ("moved", "in another machine"), ("salvaged", "outbox damaged")],
)  # fmt: skip
def test_cards_and_machines_are_told_plainly(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], reason: str, word: str
) -> None:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        for n, (epoch, why) in enumerate([("a", "new"), ("b", reason)]):
            info = HelloInfo(machine="m", epoch_reason=why, sent_at_ms=n + 1)
            ledger.commit([Change(EpochKey("S", "E", epoch), T0 + n, hello=True, info=info)], n + 1)
    text = said(config, capsys)
    assert "S/E: since 2026-09-21T14:13:20Z" in text
    assert word in text


def test_every_kind_of_identity_has_words() -> None:
    assert {f"ledger_identity.{kind}" for kind in IdentityKind} <= set(catalogue())


def test_every_cause_of_an_absence_has_words() -> None:
    assert {f"ledger_absent.{cause}" for cause in Cause} <= set(catalogue())


def test_it_answers_in_bahasa_unless_english_is_asked_for(
    config: Path, ledger: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ledger", "--config", str(config)]) == 0
    text = capsys.readouterr().out
    assert text.split()[:3] == ["lokasi", "kotak", "periode"]
    assert "SITE1/E1 now: kurang 12-13, 22-23 (sudah diminta lagi)" in text
    assert main(["ledger", "--streams", "--config", str(config)]) == 0
    assert "Belum ada data yang diterima." in capsys.readouterr().out


def test_a_clock_that_is_off_is_told_with_its_claim(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        for n in (1, 2):
            change = Change(EpochKey("S", "E", "e"), T0, Ranges([(n, n)]), sent_at_ms=T0 + 250_000, synced=True)
            ledger.commit([change], n)
    text = said(config, capsys)
    assert "S/E: its clock is 4 min ahead of ours since 2026-09-21T14:13:20Z, and it says it is synchronised" in text
