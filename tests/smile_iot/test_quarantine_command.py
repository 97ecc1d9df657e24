"""``smile-iot quarantine``: list, show in both languages, correct, replay, discard."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from gateway.records import Actor, QuarantineItem, Role, Site, open_records
from smile_iot.__main__ import main
from smile_iot.settings import to_toml
from telemetry.contract import decode_upload

T0 = 1_790_000_000_000
GOOD = (
    b'{"v":1,"kind":"readings","edge":"E1","epoch":"ep1","ranges":[[7,7]],"sent_at":"2026-11-20T07:00:00.000Z",'
    b'"streams":[{"id":"LOG-1/temperature_c","origin":"live","boot_id":"b","sync":"synced","max_error_ms":5,"seq":[7],'
    b'"t_ms":[1795161600000],"value":[4.6],"quality":{},"boottime_ns":[1000000000],"wall_ms":[1795161600000]}],"mac":null}'
)
TOPIC = "smile-iot/v1/s0/S1/E1/up/readings"


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "server.toml"
    file.write_text(to_toml({"server.data_dir": str(tmp_path)}))
    with open_records(tmp_path / "records.db") as records:
        boss = Actor("Boss", Role.SUPER_ADMIN)
        records.upsert_site(Site("S1", "x", "kab", "Asia/Jakarta", "s0", "puskesmas"), boss, "", T0)
        records.quarantine(QuarantineItem("aaa1", "S1", "E1", "ep1", TOPIC, "clock_ahead", "d", T0, GOOD))
        records.quarantine(QuarantineItem("aaa2", "S1", "E1", "ep1", TOPIC, "bad_mac", "d", T0 + 1, GOOD))
    return str(file)


def item(config: str, key: str) -> QuarantineItem:
    with open_records(Path(config).parent / "records.db") as records:
        return records.quarantine_item(key)


def test_what_waits_is_listed(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quarantine", "list", "--language", "en", "--config", config]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["id", "aaa1", "aaa2"]
    assert main(["quarantine", "list", "--site", "S9", "--language", "en", "--config", config]) == 0
    assert "No message waits" in capsys.readouterr().out


def test_a_message_is_explained_in_both_languages(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quarantine", "show", "aaa1", "--language", "en", "--config", config]) == 0
    said = capsys.readouterr().out
    for words in ("ahead of the server's clock", "--repair undated", "--repair supplied", "LOG-1/temperature_c"):
        assert words in said
    assert main(["quarantine", "show", "aaa2", "--language", "id", "--config", config]) == 0
    said = capsys.readouterr().out
    assert "berubah di jalan" in said
    assert "tidak pernah dapat dikirim ulang" in said


def test_correct_then_replay(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    act = ["--reason", "clock was wrong", "--language", "en", "--config", config]
    assert main(["quarantine", "correct", "aaa1", "--repair", "undated", *act]) == 0
    assert main(["quarantine", "replay", "aaa1", *act]) == 0
    kept = item(config, "aaa1")
    assert kept.corrected is not None
    assert decode_upload(kept.corrected).facts[0].fact.sampled_at_ms is None
    assert kept.payload == GOOD
    assert kept.asked_by == getpass.getuser()
    capsys.readouterr()
    assert main(["quarantine", "list", "--language", "en", "--config", config]) == 0
    assert "asked for" in capsys.readouterr().out


def test_a_corrected_message_may_come_from_a_file(config: str, tmp_path: Path) -> None:
    file = tmp_path / "right.json"
    file.write_bytes(GOOD.replace(b"4.6", b"4.7"))
    act = ["--reason", "read again", "--language", "en", "--config", config]
    assert main(["quarantine", "correct", "aaa1", "--file", str(file), *act]) == 0
    assert item(config, "aaa1").corrected == file.read_bytes()
    file.write_text("{oops")
    assert main(["quarantine", "correct", "aaa1", "--file", str(file), *act]) == 2
    assert main(["quarantine", "correct", "aaa1", "--file", str(tmp_path / "none"), *act]) == 2


def test_what_cannot_be_done_is_said(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    act = ["--reason", "please", "--language", "en", "--config", config]
    assert main(["quarantine", "replay", "aaa2", *act]) == 2
    assert main(["quarantine", "correct", "aaa2", "--repair", "as_is", *act]) == 2
    assert main(["quarantine", "correct", "aaa1", "--repair", "import", *act]) == 2
    assert main(["quarantine", "show", "aaa", "--language", "en", "--config", config]) == 2
    assert "2 messages have an id" in capsys.readouterr().err
    assert main(["quarantine", "discard", "aaa2", *act]) == 0
    assert item(config, "aaa2").state == "discarded"


def test_every_action_answers_in_the_language_asked_for(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    act = ["--reason", "please", "--config", config]
    for language, wanted in (("id", "keadaan"), ("en", "state")):
        assert main(["quarantine", "list", "--language", language, "--config", config]) == 0
        assert wanted in capsys.readouterr().out.splitlines()[0]
    assert main(["quarantine", "discard", "aaa2", "--language", "en", *act]) == 0
    assert "put aside" in capsys.readouterr().out
    assert main(["quarantine", "discard", "aaa1", *act]) == 0
    assert "disisihkan" in capsys.readouterr().out


def test_times_are_told_on_the_sites_clock_with_its_zone(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """T0 is 14:13:20 UTC: 21:13 WIB at the site; a message that names no site we know is told in UTC, and says so."""
    with open_records(Path(config).parent / "records.db") as records:
        records.quarantine(QuarantineItem("bbb1", "S9", "E1", "ep1", TOPIC, "bad_mac", "d", T0, GOOD))
    assert main(["quarantine", "list", "--language", "en", "--config", config]) == 0
    said = capsys.readouterr().out.splitlines()
    assert ["21 Sep 2026 21:13 WIB" in line for line in said[1:]] == [True, False, True]
    assert "21 Sep 2026 14:13 UTC" in said[2]
    assert main(["quarantine", "show", "aaa1", "--config", config]) == 0
    assert "diterima 21 Sep 2026 21.13 WIB" in capsys.readouterr().out
