"""What the api's process loads: readers of the store and the ledger, never ingest's own machinery (design.md)."""

from __future__ import annotations

import subprocess
import sys


def test_the_api_service_loads_no_receiver_and_no_broker_client() -> None:
    """In a fresh interpreter: the store's reader and the ledger's plain reader bring nothing of the writer along."""
    code = (
        "import sys, api.service\n"
        "from ingest.ledger import read_ledger\n"
        "from ingest.store import open_store\n"
        "print(*sorted(sys.modules), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert {"api.service", "ingest.ledger", "ingest.store"} <= loaded
    unwanted = {f"ingest.{m}" for m in ("service", "receiver", "intake", "filler", "check", "config")}
    unwanted |= {f"alerts.{m}" for m in ("service", "notify", "batches", "memory")}
    unwanted |= {"paho", "aiomqtt", "bleak", "serial", "influxdb_client", "edge", "firmware_sim", "smile_iot"}
    assert loaded & unwanted == set()


def test_the_ledgers_reader_alone_is_light(tmp_path: object) -> None:
    """``smile-iot ledger`` reads the ledger: no broker client, no web framework for that."""
    code = (
        "import sys\n"
        "from ingest.ledger import read_ledger\n"
        f"assert read_ledger({str(tmp_path)!r} + '/none.db') == []\n"
        "print(*sorted(sys.modules), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) & {"paho", "ingest.receiver", "ingest.service", "fastapi", "sqlalchemy"} == set()
