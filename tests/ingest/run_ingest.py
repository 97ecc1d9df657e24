"""Ingest as a process of its own, for tests that kill it: ``python run_ingest.py FOLDER PORT``.

Devices are registered at SITE1 unless their serial begins with NEW; ``FOLDER/registered`` lists late ones.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

from ingest.config import BrokerConfig, Config, StoreConfig, StoreKind
from ingest.service import run
from telemetry.clock import SystemClock

sys.path.insert(0, str(Path(__file__).parent))
from sqlite_quarantine import SqliteQuarantine


def store_for(folder: Path) -> StoreConfig:
    """SQLite, unless ``FOLDER/influx.json`` names an InfluxDB."""
    influx = folder / "influx.json"
    if not influx.exists():
        return StoreConfig(path=folder / "store.db")
    return StoreConfig(kind=StoreKind.INFLUX, index_path=folder / "index.db", **json.loads(influx.read_text()))


def config_for(folder: Path, port: int) -> Config:
    return Config(
        journal=str(folder / "journal.db"),
        ledger_path=folder / "ledger.db",
        broker=BrokerConfig(port=port),
        store=store_for(folder),
        batch_messages=50,
        sweep_s=0.2,
        gap_wait_s=1.0,
        gap_again_s=2.0,
        poll_s=0.05,
        retry_s=0.1,
    )


async def main(folder: Path, port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    def registry(serial: str) -> str | None:
        late = folder / "registered"
        known = not serial.startswith("NEW") or (late.exists() and serial in late.read_text().split())
        return "SITE1" if known else None

    await run(config_for(folder, port), SystemClock(), registry, SqliteQuarantine(folder / "quarantine.db"), stop)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
