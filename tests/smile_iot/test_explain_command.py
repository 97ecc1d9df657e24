"""``smile-iot explain``: words and exit codes."""

from __future__ import annotations

import ast
import json
import sqlite3
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

import alerts.explain as explain_module
from alerts.config import Config
from alerts.memory import Memory
from alerts.service import Alerts
from api.words import catalogue
from gateway.journal import Entry, SqliteJournal
from gateway.records import Actor, Batch, Device, Equipment, Role, Site, open_records
from smile_iot.__main__ import main
from telemetry.clock import SystemClock
from telemetry.contract import Upload, encode_upload
from telemetry.readings import Numbered, Reading, Stamp, Sync

SARI = Actor("Sari", Role.MANAGER)
HOUR = 3_600_000


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A site whose refrigerator was at 9 degrees for the last eleven hours, judged once."""
    clock = SystemClock()
    now_ms = clock.now_ms()
    began = now_ms - 11 * HOUR
    journal = SqliteJournal(tmp_path / "journal.db")
    with open_records(tmp_path / "records.db") as records:
        records.upsert_site(Site("S1", "Abepura", "jayapura", "Asia/Jayapura", "s0", "puskesmas"), SARI, "", 0)
        records.upsert_equipment(Equipment("F1", "S1", "Kulkas 1", "refrigerator", "refrigerator"), SARI, "", 0)
        records.upsert_device(Device("LOG-A", "S1", "E1", "ble", "F1", 900), SARI, "", 0)
        batch = Batch("B1", "S1", "93001282", "Pentabio", "PB1", date(2030, 1, 1), 10)
        records.upsert_batch(batch, SARI, "", 0)
        records.add_placement("B1", "F1", began, SARI, "came", began)
        times = range(began, now_ms, HOUR // 4)
        facts = tuple(
            Numbered(n, Reading("LOG-A/temperature_c", Decimal("9.0"), t, Stamp("b", n, t, Sync.SYNCED)))
            for n, t in enumerate(times, 1)
        )
        payload = encode_upload(Upload("readings", "E1", "ep1", now_ms, facts))
        journal.append([Entry("S1", "E1", "ep1", "readings", now_ms, payload)])
        memory = Memory(tmp_path / "alerts.db")
        Alerts(Config(memory_path=tmp_path / "alerts.db"), clock, journal, records, memory).start()
        memory.close()
    journal.close()
    (tmp_path / "server.toml").write_text(f'[server]\ndata_dir = "{tmp_path}"\n')
    return tmp_path / "server.toml"


def test_the_same_is_exit_0_with_the_reasons_in_words(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "B1.v1", "--config", str(settings), "--language", "en"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("B1.v1: Hold and inspect (")
    assert "facts: 44 of LOG-A/temperature_c in Kulkas 1" in text
    assert "the same: recomputed from the stored facts" in text
    assert "with today's facts and rules: Hold and inspect" in text
    assert main(["explain", "B1", "--config", str(settings)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("B1.v1: Tahan dan periksa (")
    assert "data: 44 dari LOG-A/temperature_c di Kulkas 1" in text
    assert "SAMA: dihitung ulang dari data yang tersimpan" in text
    assert "dengan data dan aturan hari ini: Tahan dan periksa" in text


def test_what_differs_is_named_and_exit_1(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(settings.parent / "alerts.db") as db:
        db.execute("UPDATE kept SET value_m = 5000 WHERE t_ms = (SELECT max(t_ms) FROM kept)")
    assert main(["explain", "B1.v1", "--json", "--config", str(settings)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["same"], told["differences"][0]["part"]) == (False, "fact")
    assert told["document"]["hash"] != told["hash_now"]
    assert main(["explain", "B1.v1", "--config", str(settings), "--language", "en"]) == 1
    assert "NOT the same:\n  fact LOG-A/temperature_c (F1): " in capsys.readouterr().out
    assert main(["explain", "B1.v1", "--config", str(settings)]) == 1
    assert "TIDAK SAMA:\n  data LOG-A/temperature_c" in capsys.readouterr().out


def test_an_unknown_verdict_and_a_place_where_alerts_never_ran_are_exit_2(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "B9", "--config", str(settings)]) == 2
    assert "neither a verdict nor a batch" in capsys.readouterr().err
    (tmp_path / "other.toml").write_text(f'[server]\ndata_dir = "{tmp_path}/other"\n')
    assert main(["explain", "B1", "--config", str(tmp_path / "other.toml")]) == 2


def test_every_part_and_every_difference_has_words() -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(Path(explain_module.__file__).read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Difference"
    ]
    thirds = [n.value for call in calls for n in ast.walk(call.args[2]) if isinstance(n, ast.Constant)]
    said = {value for value in thirds if isinstance(value, str)}
    parts = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    assert {"was", "other_hash", "readings_came", "day_count"} <= said
    assert {f"explain_says.{name}" for name in said - {"within"}} <= set(catalogue())
    assert {f"explain_part.{name}" for name in parts} <= set(catalogue())
