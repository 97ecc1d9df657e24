"""``smile-iot report`` on a data folder: the three forms say the same, and what cannot be told is said."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.records import Actor, Device, Equipment, Role, Site, open_records
from ingest.store import Row, SqliteStore
from smile_iot.__main__ import main
from telemetry.readings import Origin, Quality, Sync

SARI = Actor("Sari", Role.MANAGER)
MIN = 60_000
T0 = 1_790_866_800_000  # 2026-10-02 00:00 in Jayapura
DAY = ("--from", "2026-10-02", "--to", "2026-10-02")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One day of quarters: 5.0, but for four hours at 9.0. Made once: the command only reads."""
    tmp_path = tmp_path_factory.mktemp("report")
    with open_records(tmp_path / "records.db") as records:
        records.upsert_site(Site("S1", "Abepura", "jayapura", "Asia/Jayapura", "s0", "puskesmas"), SARI, "", 0)
        records.upsert_equipment(Equipment("F1", "S1", "Kulkas 1", "refrigerator", "refrigerator"), SARI, "", 0)
        records.upsert_device(Device("LOG-A", "S1", "E1", "ble", "F1", 900), SARI, "", 0)
    store = SqliteStore(tmp_path / "store.db")
    values = [Decimal("9.0" if 40 <= i < 56 else "5.0") for i in range(96)]
    store.append(
        [
            Row(
                "S1", "LOG-A/temperature_c", t, v, Quality.GOOD, Origin.LIVE, None, 0, "E1", "e", n, Sync.SYNCED, 1, t
            )
            for n, v in enumerate(values, 1)
            for t in (T0 + (n - 1) * 15 * MIN,)
        ]
    )
    store.close()
    (tmp_path / "server.toml").write_text(f'[server]\ndata_dir = "{tmp_path}"\n')
    return tmp_path


def test_text_json_and_csv_say_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telemetry.clock.SystemClock.now_ms", lambda _: T0 + 40 * 1440 * MIN)

    def told(*words: str) -> str:
        assert main(["report", "S1", *words, "--config", str(folder / "server.toml")]) == 0
        return capsys.readouterr().out

    (fridge,) = json.loads(told(*DAY, "--json"))["equipment"]
    assert (fridge["time"]["above_ms"], fridge["in_range_percent"]) == (240 * MIN, "83.3")
    rows = {(r["equipment"], r["figure"], r["from"]): r for r in csv.DictReader(io.StringIO(told(*DAY, "--csv")))}
    assert rows["F1", "time.above_min", "2026-10-02"]["value"] == "240.0"
    text = told(*DAY, "--language", "en")
    assert "Kulkas 1: 83.3 % of the known time in range" in text
    assert "Above 8.0 °C: 4 h" in text
    assert "SMILE >8 °C: less than 1 hour: 0; 1 to 10 hours: 1; more than 10 hours: 0" in text
    assert "Data kurang dari separuh" in told("--month", "2026-10")  # one day of 31


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("S9",), "'S9' is not registered"),
        (("S1", "--month", "Oktober"), "give a month as 2026-11"),
        (("S1", "--month", "2026-10", "--from", "2026-10-02"), "not both"),
    ],
)
def test_what_cannot_be_told_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert main(["report", *words, "--config", str(folder / "server.toml")]) == 2
    assert says in capsys.readouterr().err
