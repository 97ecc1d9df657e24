"""A country's history judged on two workers is what one process says (issue 4; decision 0024)."""

from __future__ import annotations

import json
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.records import Actor, Batch, Device, Equipment, Role, Site, open_records
from ingest.store import Row, SqliteStore
from smile_iot.__main__ import main
from smile_iot.country import each_site
from telemetry.clock import SystemClock
from telemetry.errors import ConfigError
from telemetry.readings import Origin, Quality, Sync

SARI = Actor("Sari", Role.MANAGER)
MIN, DAY = 60_000, 86_400_000
SITES = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three sites with a refrigerator each, too warm for longer and longer, and a batch that was moved between two."""
    now_ms = SystemClock().now_ms()
    store = SqliteStore(tmp_path / "store.db")
    with open_records(tmp_path / "records.db") as records:
        for n in range(SITES):
            records.upsert_site(Site(f"S{n}", f"Site {n}", "papua", "Asia/Jayapura", "s0", "puskesmas"), SARI, "", 0)
            fridge = Equipment(f"F{n}", f"S{n}", f"Kulkas {n}", "refrigerator", "refrigerator")
            records.upsert_equipment(fridge, SARI, "", 0)
            records.upsert_device(Device(f"LOG-{n}", f"S{n}", f"E{n}", "ble", f"F{n}", 900), SARI, "", 0)
            times = range(now_ms - 3 * DAY, now_ms, 15 * MIN)
            values = (Decimal("9.1") if 40 < i < 40 + 30 * (n + 1) else Decimal("5.0") for i in range(len(times)))
            stream, kept = f"LOG-{n}/temperature_c", (Quality.GOOD, Origin.LIVE, None, 0, f"E{n}", "ep1")
            store.append(
                [
                    Row(f"S{n}", stream, t, v, *kept, seq, Sync.SYNCED, 1, now_ms)
                    for seq, (t, v) in enumerate(zip(times, values, strict=True), 1)
                ]
            )
        records.upsert_batch(Batch("B1", "S1", "93001282", "Pentabio", "PB1", date(2030, 1, 1), 10), SARI, "", 0)
        records.add_placement("B1", "F1", now_ms - 3 * DAY, SARI, "came", now_ms - 3 * DAY)
    store.close()
    (tmp_path / "server.toml").write_text(f'[server]\ndata_dir = "{tmp_path}"\n')
    return tmp_path


@pytest.mark.filterwarnings("default")  # Dask's own
def test_two_workers_say_what_one_process_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(*words: str) -> dict[str, Any]:
        config = ("--config", str(folder / "server.toml"), "--from", "store", "--profile", "freezer", "--json")
        assert main(["replay", *config, *words]) == 0
        told = json.loads(capsys.readouterr().out)
        return {k: v for k, v in told.items() if k not in ("from", "to")}

    one = ask()
    assert [e["site"] for e in one["equipment"]] == [f"S{n}" for n in range(SITES)]
    assert [e["alarms"]["as_is"] for e in one["equipment"]] == [0, 1, 1]
    assert one["batches"][0]["as_is"]["verdict"] == "hold_and_inspect"
    assert ask("--workers", "2") == one


def twice(n: int) -> int:
    return 2 * n


def test_without_the_extra_it_says_what_to_install_and_one_process_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert list(each_site(twice, [1, 2])) == [2, 4]
    with pytest.raises(ConfigError, match="Dask is not installed") as told:
        list(each_site(twice, [1, 2], workers=2))
    assert "country" in told.value.advice
