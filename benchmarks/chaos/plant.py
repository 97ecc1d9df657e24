"""The line of one run: devices, edge, broker, ingest and store as real processes, with our proxies between them."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.chaos.judge import Rules
from benchmarks.chaos.proxy import Database, Link, Loop
from ingest.ledger import EdgeSummary, read_ledger
from ingest.store import Row, open_store
from ingest.store.local_influx import LocalInflux
from ingest.undated import read_place
from smile_iot.demo.mosquitto import Mosquitto
from smile_iot.parts import ingest_config, store_config
from smile_iot.processes import Program, free_port, wait_port
from smile_iot.settings import Settings, Value, load_settings, to_toml
from telemetry.clock import ENVIRONMENT_KEY, VirtualClock
from telemetry.errors import NeighbourDownError

T0_MS = 1_780_272_000_000  # 2026-06-01
SITE, EDGE, SHARD = "pkm-chaos", "edge-1", "s0"
SPEED = 10.0
PROBES, PROBE_S = 6, 3  # virtual seconds: ten polls in three real seconds
LOGGERS, LOGGER_S = 2, 15
LATE_PROBE = f"MB-{PROBES}"  # nobody registered it when the run begins
LATE_REAL_S = 1.5  # how late a row may be stamped on a busy machine, beyond the device's own way of speaking
DISK_MB = {"edge": 48, "data": 96}


@dataclass
class Plant:
    """``start`` and ``stop``. ``sabotage`` names a patch of ``benchmarks.chaos.sabotage`` for edge and ingest."""

    folder: Path
    seed: int
    store_kind: str = "sqlite"
    sabotage: str = ""
    speed: float = SPEED
    probe_s: int = PROBE_S
    logger_s: int = LOGGER_S
    noise_c: float = 2.0  # makes neighbouring values differ, so that a row tells which measurement it is
    late_real_s: float = LATE_REAL_S
    plan_faults: tuple[dict[str, Any], ...] = ()
    loop: Loop = field(default_factory=Loop)
    programs: dict[str, Program] = field(default_factory=dict)
    mounted: list[Path] = field(default_factory=list)
    small_disks: bool = False
    m0_ns: int = 0
    influx: LocalInflux | None = None
    database: Database | None = None
    simulator: dict[str, Any] = field(default_factory=dict)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def outbox(self) -> Path:
        return self.folder / "edge" / "outbox.db"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def now_ms(self) -> float:
        """Virtual time, ms since the epoch."""
        return T0_MS + (time.monotonic_ns() - self.m0_ns) / 1e6 * self.speed

    def clock_text(self, how: str = "synced") -> str:
        """The edge's clock from its next start on (steps: ``telemetry.clock``). It never lies about being synced."""
        now_ms = int(self.now_ms())
        wrong_ms = {"1970": -T0_MS, "2038": 2_147_483_647_000 - T0_MS, "behind": -7_200_000}
        steps = {
            "1970 until NTP": f"0:{-T0_MS}:unsynced,{now_ms + 25_000}:{T0_MS}:synced",
            "jump and back": f"{now_ms + 20_000}:7200000:unsynced,{now_ms + 40_000}:-7200000:synced",
        }
        if how in wrong_ms:
            steps[how] = f"0:{wrong_ms[how]}:unsynced"
        claim = "unsynced" if how == "unsynced" else "synced"
        return f"{T0_MS}:{self.m0_ns}:{self.speed}:{claim}" + (f";steps={steps[how]}" if how in steps else "")

    # --- start -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        self.small_disks = all(self._mount(name, size) for name, size in DISK_MB.items())
        self.m0_ns = time.monotonic_ns()
        self.broker_port = free_port()
        self.edge_link = Link(self.loop, self.broker_port)
        self.ingest_link = Link(self.loop, self.broker_port)
        self.edge_link.start()
        self.ingest_link.start()
        self._write_broker()
        self.start_broker()
        if self.store_kind == "influx":
            self.influx = LocalInflux(self.folder / "influx")
            self.influx.start()
            self.database = Database(self.loop, self.influx.port)
            self.database.start()
        self._write_server()
        self.register([d for d in self.devices() if d["serial"] != LATE_PROBE], first=True)
        self._program("ingest", ["smile_iot", "ingest", "--config", str(self.server_toml)], self._common_clock())
        self.programs["ingest"].start()
        self._start_devices()
        self._write_edge()
        self.start_edge()
        self._wait_said("edge", " runs: ", 60)

    def _mount(self, name: str, megabytes: int) -> bool:
        """A small disk of its own, so that it can be filled; False where we may not mount."""
        place = self.folder / name
        place.mkdir(parents=True, exist_ok=True)
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "chaos", str(place)],
            check=False,
            capture_output=True,
        )
        if made.returncode == 0:
            self.mounted.append(place)
        return made.returncode == 0

    @property
    def clock(self) -> VirtualClock:
        """The clock of all its programs, without the steps of the edge's."""
        return VirtualClock(T0_MS, self.m0_ns, self.speed)

    def _common_clock(self) -> dict[str, str]:
        return {ENVIRONMENT_KEY: self.clock.to_environment()}

    def _program(self, name: str, words: list[str], environment: dict[str, str]) -> Program:
        module = ["-m", *words]
        if self.sabotage and name in ("edge", "ingest"):
            module = ["-m", "benchmarks.chaos.sabotage", self.sabotage, *words]
        command = [sys.executable, *module]
        environment = {"PYTHONUNBUFFERED": "1", **environment}
        self.programs[name] = Program(name, command, self.logs, environment)
        return self.programs[name]

    def _write_broker(self) -> None:
        folder = self.folder / "broker"
        folder.mkdir(exist_ok=True)
        (folder / "mosquitto.conf").write_text(
            f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\nuser root\n"
            f"persistence true\npersistence_location {folder}/\nautosave_interval 4\n"
            "max_queued_messages 100000\nset_tcp_nodelay true\nlog_dest stdout\n"
        )
        binary = Mosquitto.binary()
        if binary is None:
            raise NeighbourDownError("mosquitto", "is not installed", advice="apt-get install mosquitto")
        self.programs["broker"] = Program("broker", [binary, "-c", str(folder / "mosquitto.conf")], self.logs)

    def start_broker(self) -> None:
        self.programs["broker"].start()

    def wipe_broker(self) -> None:
        (self.folder / "broker" / "mosquitto.db").unlink(missing_ok=True)

    def _write_server(self) -> None:
        values: dict[str, Value] = {
            "server.data_dir": str(self.data),
            "server.shard": SHARD,
            "mqtt.port": self.ingest_link.port,
            "store.kind": self.store_kind,
        }
        if self.influx is not None and self.database is not None:
            token = self.folder / "influx.token"
            token.write_text(self.influx.token)
            values |= {
                "store.influx_url": self.database.url,
                "store.influx_org": self.influx.org,
                "store.influx_bucket": self.influx.bucket,
                "store.influx_token_file": str(token),
            }
        self.server_toml = self.folder / "server.toml"
        self.server_toml.write_text(to_toml(values))

    def register(self, devices: list[dict[str, Any]], *, first: bool) -> None:
        """Load devices into the records; raises NeighbourDownError when the records cannot be written now."""
        parts = []
        if first:
            parts.append(
                f'[[site]]\nid = "{SITE}"\nname = "Chaos"\nregion = "kab"\nzone = "Asia/Jakarta"\n'
                f'shard = "{SHARD}"\nlevel = "puskesmas"\n[[equipment]]\nid = "fridge"\nsite = "{SITE}"\n'
                'name = "Kulkas"\nkind = "refrigerator"\nprofile = "refrigerator"\n'
            )
        parts += [
            f'[[device]]\nserial = "{d["serial"]}"\nsite = "{SITE}"\nedge = "{EDGE}"\nequipment = "fridge"\n'
            f'driver = "{_DRIVERS[d["kind"]]}"\ninterval_s = {d["interval_s"]}\n'
            for d in devices
        ]
        path = self.folder / f"site-{time.monotonic_ns()}.toml"
        path.write_text("\n".join(parts))
        command = [sys.executable, "-m", "smile_iot", "gateway", "load", str(path), "--config", str(self.server_toml)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=90)
        if done.returncode:
            raise NeighbourDownError("records", f"{done.stdout}{done.stderr}")

    def devices(self) -> list[dict[str, Any]]:
        probes = [
            {"serial": f"MB-{i}", "kind": "modbus", "equipment": "fridge", "interval_s": self.probe_s, "baud": 38400}
            for i in range(1, PROBES + 1)
        ]
        loggers = [
            {"serial": f"BT-{i}", "kind": "bthome", "equipment": "fridge", "interval_s": self.logger_s}
            | {"address": f"A4:C1:38:00:00:{i:02d}"}
            for i in range(1, LOGGERS + 1)
        ]
        return probes + loggers

    def rules(self) -> Rules:
        slack = self.late_real_s * 1000 * self.speed
        late, gap, polled = {}, {}, {}
        for d in self.devices():
            logger = d["kind"] == "bthome"
            names = ("temperature_c", "mains_power_on", "door_open", "battery_percent") if logger else (
                "temperature_c", "humidity_percent"
            )  # fmt: skip
            for name in names:
                # A logger repeats its packet until the next one: whoever listens anew hears it that much later.
                late[f"{d['serial']}/{name}"] = slack + (d["interval_s"] * 1000 if logger else 0)
                gap[f"{d['serial']}/{name}"] = 3_000 * self.speed
                if not logger:
                    polled[f"{d['serial']}/{name}"] = d["interval_s"] * 1000
        return Rules(late, gap, polled)

    def _start_devices(self) -> None:
        folder = self.folder / "sim"
        folder.mkdir(exist_ok=True)
        plan = {
            "seed": self.seed,
            "clock": {"t0_ms": T0_MS, "m0_ns": self.m0_ns, "speed": self.speed},
            "end_s": 10_000_000,
            "equipment": [{"id": "fridge", "setpoint_c": 5, "ambient_c": 25, "noise_c": self.noise_c}],
            "devices": self.devices(),
            "faults": list(self.plan_faults),
        }
        (folder / "plan.json").write_text(json.dumps(plan))
        program = self._program(
            "devices", ["firmware_sim", "--plan", str(folder / "plan.json"), "--out", str(folder)], {}
        )
        program.start()
        self.simulator = program.wait_ready()

    def _write_edge(self, outbox: Path | None = None, name: str = "edge") -> Path:
        parts = [
            f'[edge]\nid = "{EDGE}"\nsite = "{SITE}"\nshard = "{SHARD}"\noutbox = "{outbox or self.outbox}"\n'
            "anchor_every_s = 1\ncommit_after_s = 0.6\n"
            f'[mqtt]\nhost = "127.0.0.1"\nport = {self.edge_link.port}\nreceipt_timeout_s = 1.5\n'
            f"reconnect_max_s = 1.5\nkeepalive_s = 5\nhello_every_s = 10.0\nwindow_facts = 600\nflush_facts = 100\n"
            f"flush_after_s = 0.4\nreceipt_every_s = {self.seed % 2 * 2.0}\n"
            "[ble]\nwatchdog_s = 6.0\nreconnect_max_s = 1.5\n"
        ]
        if outbox is None:
            for d in self.devices():
                place = f'address = "{d["address"]}"' if "address" in d else (
                    f'port = "{self.simulator["serial"][d["serial"]]}"\nbaudrate = {d["baud"]}'
                )  # fmt: skip
                parts.append(
                    f'[[device]]\nserial = "{d["serial"]}"\ndriver = "{_DRIVERS[d["kind"]]}"\n{place}\n'
                    f"interval_s = {d['interval_s']}\n"
                )
        path = self.folder / f"{name}.toml"
        path.write_text("".join(parts))
        return path

    def start_edge(self, clock: str = "synced") -> None:
        environment = {str(k): str(v) for k, v in self.simulator["env"].items()}
        environment[ENVIRONMENT_KEY] = self.clock_text(clock)
        config = str(self.folder / "edge.toml")
        self._program("edge", ["smile_iot", "edge", "--config", config], environment).start()

    def start_alerts(self) -> None:
        self._program(
            "alerts", ["smile_iot", "alerts", "--config", str(self.server_toml)], self._common_clock()
        ).start()

    def start_clone(self, outbox: Path) -> None:
        """A second Pi from a copy of the card: the same name and account, an outbox that is a copy, no devices."""
        config = self._write_edge(outbox, "clone")
        environment = {ENVIRONMENT_KEY: self.clock_text()}
        self._program("clone", ["smile_iot", "edge", "--config", str(config)], environment).start()

    def _wait_said(self, name: str, words: str, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        program = self.programs[name]
        while words not in program.said():
            if not program.alive or time.monotonic() > deadline:
                raise NeighbourDownError(name, f"did not get ready:\n{program.tail()}")
            time.sleep(0.05)

    # --- what faults need ------------------------------------------------------------------------------------

    def send(self, name: str, number: signal.Signals) -> None:
        process = self.programs[name].process
        if process is not None and process.poll() is None:
            process.send_signal(number)

    def kill(self, name: str) -> None:
        self.send(name, signal.SIGKILL)
        process = self.programs[name].process
        if process is not None:
            process.wait()

    def copy_outbox(self, to: Path) -> None:
        """The outbox's files as they stand (the edge is dead or stopped now: what a power cut leaves)."""
        to.parent.mkdir(parents=True, exist_ok=True)
        for suffix in ("", "-wal"):
            source = Path(f"{self.outbox}{suffix}")
            target = Path(f"{to}{suffix}")
            target.unlink(missing_ok=True)
            if source.exists():
                shutil.copyfile(source, target)

    def restore_outbox(self, backup: Path, *, over: bool) -> None:
        """Put a copy back while the edge is dead: ``over`` writes into the old file, else a new file takes its place."""
        for suffix in ("-wal", "-shm"):
            Path(f"{self.outbox}{suffix}").unlink(missing_ok=True)
        for suffix in ("", "-wal"):
            source = Path(f"{backup}{suffix}")
            if not source.exists():
                continue
            if over:
                shutil.copyfile(source, f"{self.outbox}{suffix}")
            else:
                fresh = Path(f"{self.outbox}{suffix}.new")
                shutil.copyfile(source, fresh)
                fresh.replace(f"{self.outbox}{suffix}")

    def fill_disk(self, name: str, leave_bytes: int) -> None:
        place = self.folder / name
        free = shutil.disk_usage(place).free - leave_bytes
        if free > 0:
            with contextlib.suppress(OSError), (place / "ballast").open("wb") as ballast:
                block = b"\0" * (1 << 20)
                while free > 0:
                    ballast.write(block[: min(free, len(block))])
                    free -= len(block)

    def free_disk(self, name: str) -> None:
        (self.folder / name / "ballast").unlink(missing_ok=True)

    # --- questions -------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        return load_settings(self.server_toml, {})

    def ledger(self) -> list[EdgeSummary]:
        return read_ledger(self.data / "ledger.db")

    def journal_left(self) -> int:
        """Entries that the filler has not passed."""
        place = ingest_config(self.settings).filler_file
        done = read_place(place)
        with closing(sqlite3.connect(f"file:{self.data / 'journal.db'}?mode=ro", uri=True, timeout=5)) as db:
            return int(db.execute("SELECT count(*) FROM journal WHERE n > ?", (done,)).fetchone()[0])

    def rows(self, streams: list[str]) -> list[Row]:
        """Every row of these streams, whatever its time."""
        store = open_store(store_config(self.settings), read_only=True)
        try:
            found: list[Row] = []
            for stream in streams:
                page = store.read(stream, 0, 1 << 42, limit=5000, after=None)
                found += page.rows
                while page.next is not None:
                    page = store.read(stream, 0, 1 << 42, limit=5000, after=page.next)
                    found += page.rows
            return found
        finally:
            store.close()

    # --- end -------------------------------------------------------------------------------------------------

    def stop(self, *, keep: bool) -> None:
        for name in ("clone", "edge", "alerts", "ingest", "devices", "broker"):
            if name in self.programs:
                self.send(name, signal.SIGCONT)
                self.programs[name].stop()
        if self.influx is not None:
            self.influx.stop()
        self.loop.close()
        for place in self.mounted:
            self.free_disk(place.name)
            if keep:
                shutil.copytree(place, place.with_name(f"{place.name}-kept"), dirs_exist_ok=True)
            subprocess.run(["umount", "-l", str(place)], check=False)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


_DRIVERS = {"modbus": "modbus_probe", "bthome": "bthome"}


def port_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


__all__ = ["Plant", "port_open", "wait_port"]
