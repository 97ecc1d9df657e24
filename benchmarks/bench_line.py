"""The line that is measured: real Mosquitto, the real ``smile-iot ingest``, InfluxDB or SQLite, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench_client import Client
from benchmarks.bench_cpu import threads_s
from benchmarks.bench_messages import SENSORS, Fleet, address, serial
from gateway.records import Actor, Device, Site, open_records
from ingest.store.local_influx import LocalInflux
from smile_iot.demo.mosquitto import Mosquitto
from smile_iot.housekeeping import reader_places
from smile_iot.processes import Program
from smile_iot.settings import load_settings, to_toml
from telemetry.errors import NeighbourDownError
from telemetry.topics import ROOT

ACCOUNT = "bench"
_PATIENCE_S = 180.0


class Broker(Mosquitto):
    """The demo's Mosquitto with one account that may speak for every edge: a broker sees no difference."""

    def _acl(self) -> str:
        bench = f"user {ACCOUNT}\ntopic write {ROOT}/+/+/+/up/+\ntopic read {ROOT}/+/+/+/down/+\ntopic ceiling/#\n"
        return f"{super()._acl()}\n{bench}"


def start_broker(folder: Path) -> Broker:
    broker = Broker(
        folder,
        {ACCOUNT: ("s0", "none")},
        more="log_dest stderr\nlog_type error\nlog_type warning\nlog_type subscribe\n",
    )
    broker.start()
    return broker


def client_of(program: Path, broker: Broker) -> Client:
    return Client(program, broker.port, ACCOUNT, broker.password_files[ACCOUNT].read_text())


def make_records(path: Path, edges: int, now_ms: int) -> Fleet:
    """Records in which every sensor is registered and every edge enrolled; the fleet with its keys."""
    system, person = Actor.system("bench"), Actor("bench", "manager")
    keys: list[bytes] = []
    with open_records(str(path)) as records, records.together():
        for edge in range(edges):
            at = address(edge)
            records.upsert_site(
                Site(at.site, at.site, "bench", "Asia/Jakarta", at.shard, "puskesmas"), system, "", now_ms
            )
            code = records.invite_edge(at.site, at.edge, person, "", now_ms)
            enrolled = records.enrol_edge(code.text, f"machine-{edge}", now_ms, password_hash="-").edge
            keys.append(enrolled.upload_key or b"")
            for sensor in range(SENSORS):
                device = Device(serial(edge, sensor), at.site, at.edge, "bthome", interval_s=60)
                records.upsert_device(device, system, "", now_ms)
    return Fleet(tuple(keys))


@dataclass(slots=True)
class Line:
    """One start of the whole line; ``open_line`` makes it and takes it down."""

    folder: Path
    broker: Broker
    ingest: Program
    influx: LocalInflux | None
    settings_file: Path

    @property
    def ingest_pid(self) -> int:
        return _pid(self.ingest)

    def wait_stored(self) -> None:
        """Until the filler has passed the journal's end. Looks every 50 ms: the exact moment is in the watch."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            with sqlite3.connect(self.folder / "journal.db") as db:
                (last,) = db.execute("SELECT coalesce(max(n), 0) FROM journal").fetchone()
            if stored_to(self.settings_file) >= last > 0:
                return
            if not self.ingest.alive:
                break
            time.sleep(0.05)
        raise NeighbourDownError("ingest", f"did not store everything:\n{self.ingest.tail()}")

    def watched(self) -> dict[str, Any]:
        """What ``bench_ingest`` has noted until now."""
        path = self.folder / "watch.json"
        path.unlink(missing_ok=True)
        os.kill(self.ingest_pid, signal.SIGUSR1)
        deadline = time.monotonic() + 10
        while not path.exists():
            if time.monotonic() > deadline:
                raise NeighbourDownError("ingest", f"wrote no watch:\n{self.ingest.tail()}")
            time.sleep(0.01)
        noted: dict[str, Any] = json.loads(path.read_text())
        return noted

    def cpu(self) -> dict[str, dict[int, float]]:
        """{program: {thread: CPU seconds}} of broker, ingest and database."""
        found = {"broker": threads_s([_pid(self.broker.program)]), "ingest": threads_s([self.ingest_pid])}
        if self.influx is not None:
            pids = self.influx.pids
            found |= {"influxd": threads_s([pids["influxd"]]), "nginx": threads_s([pids["nginx"]])}
        return found


@contextmanager
def open_line(
    folder: Path, records: Path, store: str, settings: dict[str, str | int | float | bool] | None = None
) -> Iterator[Line]:
    """The line started, with ingest subscribed. ``records`` is copied; ``store`` is "influx" or "sqlite"."""
    folder.mkdir(parents=True)
    broker = start_broker(folder / "broker")
    influx = LocalInflux(folder / "influx") if store == "influx" else None
    ingest: Program | None = None
    try:
        values: dict[str, str | int | float | bool] = {
            "server.data_dir": str(folder),
            "mqtt.port": broker.port,
            "mqtt.password_file": str(broker.password_files["ingest"]),
            "store.kind": store,
        }
        if influx is not None:
            influx.start()
            (folder / "token").write_text(influx.token)
            values |= {"store.influx_url": influx.url, "store.influx_org": influx.org}
            values |= {"store.influx_bucket": influx.bucket, "store.influx_token_file": str(folder / "token")}
        (folder / "records.db").write_bytes(records.read_bytes())
        settings_file = folder / "settings.toml"
        settings_file.write_text(to_toml(values | (settings or {})))
        command = [sys.executable, "-m", "benchmarks.bench_ingest", str(folder), "--config", str(settings_file)]
        ingest = Program("ingest", command, folder)
        ingest.start()
        _wait_ready(broker, ingest, settings_file)
        yield Line(folder, broker, ingest, influx, settings_file)
    finally:
        if ingest is not None:
            ingest.stop()
        if influx is not None:
            influx.stop()
        if broker.program is not None:
            broker.program.stop()


def _pid(program: Program | None) -> int:
    assert program is not None
    assert program.process is not None
    return program.process.pid


def stored_to(settings_file: Path) -> int:
    """The journal offset that the filler has committed; -1 as long as it has not even made its table."""
    try:
        return reader_places(load_settings(settings_file, {}))["time series"]
    except NeighbourDownError:
        return -1


def _wait_ready(broker: Broker, ingest: Program, settings_file: Path) -> None:
    """Until ingest hears the topics and its filler runs: starting up is not what is measured."""
    assert broker.program is not None
    deadline = time.monotonic() + 60
    while "smile-iot-ingest-s0 1 " not in broker.program.said() or stored_to(settings_file) < 0:
        if time.monotonic() > deadline or not ingest.alive:
            raise NeighbourDownError("ingest", f"did not subscribe:\n{ingest.tail()}")
        time.sleep(0.02)
