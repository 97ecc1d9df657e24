"""The line from a broker into InfluxDB, with everything on the way killed."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ingest.store.influx import InfluxStore
from ingest.store.local_influx import LocalInflux
from telemetry.readings import Ranges

pytestmark = [pytest.mark.neighbour("mosquitto"), pytest.mark.neighbour("influxdb")]


def test_ingest_and_influxdb_killed_every_reading_is_stored_once_and_receipts_never_wait(
    influx: LocalInflux,
    bucket: str,
    ingest: Any,
    edge: Any,
    open_influx: Callable[..., InfluxStore],
    eventually: Callable[..., None],
) -> None:
    """design.md: a dead database stops neither receipts nor journal; afterwards nothing is lost or doubled."""
    ingest.kill()
    settings = {"url": influx.url, "org": influx.org, "bucket": bucket, "token": influx.token}
    (ingest.folder / "influx.json").write_text(json.dumps(settings))
    ingest.start()
    total = 1_500
    stop = threading.Event()

    def publish() -> None:
        while not stop.is_set():
            with edge.lock:
                pending = [n for n in range(1, total + 1) if n not in edge.have]
            for start in range(0, min(len(pending), 200), 5):
                edge.send([edge.make.reading(n, device_seq=n) for n in pending[start : start + 5]])
            if not pending or stop.wait(0.2):
                return

    publisher = threading.Thread(target=publish)
    publisher.start()
    reader = open_influx(read_only=True)
    stream = "T1/temperature_c"
    try:
        rng = random.Random(3)
        for n in range(4):
            time.sleep(0.4 + rng.random() * 0.4)
            ingest.kill()
            ingest.start()
            if n == 1:
                before = len(edge.have)
                influx.kill_influxd()
                eventually(lambda: len(edge.have) > before, "receipts while InfluxDB is dead")  # noqa: B023
                influx.restart_influxd()
        eventually(lambda: edge.have == Ranges([(1, total)]), "a receipt for every number", 60)
    finally:
        stop.set()
        publisher.join()
        if influx._influxd is None:
            influx.restart_influxd()
    eventually(lambda: reader.count(stream) >= total, "every row in InfluxDB", 30)
    rows = reader.read(stream, 0, 1 << 43).rows
    assert sorted(row.seq for row in rows) == list(range(1, total + 1))
    assert {row.variant for row in rows} == {0}
