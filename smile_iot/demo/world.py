"""The virtual site's processes: the broker, SMILE's stand-in, the devices, the edge and the server side.

Every one is a process of its own that runs the very code of a real site; they share nothing but bytes, files and
the numbers of the virtual clock. ``World`` starts and stops them; it judges nothing.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smile_iot.demo.amqtt_broker import choose_broker
from smile_iot.demo.mosquitto import Mosquitto
from smile_iot.demo.scenario import Scenario
from smile_iot.demo.secret_file import write_secret
from smile_iot.processes import Program, free_port, wait_port
from smile_iot.settings import Value, to_toml
from telemetry.clock import ENVIRONMENT_KEY, VirtualClock
from telemetry.errors import NeighbourDownError

if TYPE_CHECKING:
    from ingest.store.local_influx import LocalInflux

EDGE = "edge-1"
SHARD = "1"
_SET_UP_BEFORE_MS = 86_400_000  # the site was set up the day before the story
_LINE = ("edge", "api", "smile", "alerts", "ingest", "devices")


@dataclass(slots=True)
class World:
    """One run in one folder. ``clock``: of the set-up (the day before, at real speed) until ``set_time``, then the story's."""

    folder: Path
    scenario: Scenario
    site: str
    store_kind: str = "sqlite"
    then_speed: float = 30.0
    programs: dict[str, Program] = field(default_factory=dict)
    broker: Mosquitto | None = None
    clock: VirtualClock = field(init=False)
    smile: dict[str, str] = field(default_factory=dict)
    simulator: dict[str, Any] = field(default_factory=dict)
    api_port: int = 0
    influx: LocalInflux | None = None
    closers: list[Callable[[], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = VirtualClock(self.scenario.t0_ms - _SET_UP_BEFORE_MS, time.monotonic_ns(), 1.0)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def produced_file(self) -> Path:
        return self.folder / "sim" / "produced.ndjson"

    def python(self, name: str, *words: str, environment: dict[str, str] | None = None) -> Program:
        """A Python program of ours by module, not yet started."""
        settings = {"PYTHONUNBUFFERED": "1", **(environment or {}), ENVIRONMENT_KEY: self.clock.to_environment()}
        program = Program(name, [sys.executable, "-m", *words], self.logs, settings)
        self.programs[name] = program  # a new start in the same log
        return program

    # --- neighbours ------------------------------------------------------------------------------------

    def start_smile(self) -> None:
        """The stand-in of the SMILE core, reached over HTTP only."""
        program = self.python("smile-core", "firmware_sim.smile_core", "--port", "0", "--control-port", "0")
        program.start()
        self.smile = program.wait_ready()

    def start_broker(self) -> None:
        self.broker = choose_broker(self.folder / "broker", {})  # the edge gets its account when it enrols
        self.broker.start()
        if self.broker.program is not None:
            self.programs["mosquitto"] = self.broker.program

    def set_time(self, in_s: float) -> None:
        """Virtual second 0 will be in ``in_s`` real seconds: time enough for everybody to start and listen."""
        self.clock = VirtualClock(
            self.scenario.t0_ms,
            time.monotonic_ns() + int(in_s * 1e9),
            self.scenario.speed,
            until_ms=self.scenario.end_ms,
            then_speed=self.then_speed,
        )

    def start_devices(self, bags: list[str]) -> None:
        folder = self.folder / "sim"
        folder.mkdir(parents=True, exist_ok=True)
        plan = folder / "plan.json"
        plan.write_text(json.dumps(self.scenario.plan(self.clock.m0_ns, self.then_speed, bags), indent=1))
        program = self.python("devices", "firmware_sim", "--plan", str(plan), "--out", str(folder))
        program.start()
        self.simulator = program.wait_ready()

    def start_influx(self) -> None:
        """Debian's InfluxDB 1.6.7 behind a rewrite, so that influxdb-client speaks to it as to a 2.x."""
        from ingest.store.local_influx import LocalInflux, missing_programs

        missing = missing_programs()
        if missing:
            raise NeighbourDownError(
                "influxdb", f"missing: {', '.join(missing)}", advice="apt-get install influxdb nginx"
            )
        self.influx = LocalInflux(self.folder / "influx")
        self.influx.start()
        self.closers.append(self.influx.stop)

    # --- ours ------------------------------------------------------------------------------------------

    def write_server_config(self, smile_username: str, smile_password: str) -> Path:
        if self.broker is None:
            raise RuntimeError("the broker starts first")
        self.data.mkdir(parents=True, exist_ok=True)
        password = write_secret(self.folder / "smile.password", smile_password)
        self.api_port = self.api_port or free_port()
        values: dict[str, Value] = {
            "server.data_dir": str(self.data),
            "server.shard": SHARD,
            "mqtt.port": self.broker.port,
            "mqtt.password_file": str(self.broker.password_files["ingest"]),
            "ingest.require_edge_keys": True,
            "enrol.broker_host": "127.0.0.1",
            "enrol.broker_port": self.broker.port,
            "broker.passwords_file": str(self.broker.files.passwords),
            "broker.acl_file": str(self.broker.files.acl),
            "broker.base_passwords_file": str(self.broker.files.base_passwords),
            "broker.base_acl_file": str(self.broker.files.base_acl),
            "broker.pid_file": str(self.broker.files.pid_file or ""),
            "store.kind": self.store_kind,
            "smile.core_url": self.smile["core"],
            "smile.main_url": self.smile["main"],
            "smile.wms_url": self.smile["wms"],
            "smile.username": smile_username,
            "smile.password_file": str(password),
            "api.port": self.api_port,
            "api.public_url": f"http://127.0.0.1:{self.api_port}",
            "api.waste_file": str(self._write_waste_ids()),
        }
        if self.influx is not None:
            token = write_secret(self.folder / "influx.token", self.influx.token)
            values |= {
                "store.influx_url": self.influx.url,
                "store.influx_org": self.influx.org,
                "store.influx_bucket": self.influx.bucket,
                "store.influx_token_file": str(token),
            }
        path = self.folder / "server.toml"
        path.write_text(to_toml(values))
        return path

    def _write_waste_ids(self) -> Path:
        """The stand-in's ids of two classes, as a person would copy them from SMILE."""
        path = self.folder / "waste.toml"
        path.write_text("sharps = { source_id = 21, classification_id = 31 }\n")
        return path

    def start_services(self, config: Path) -> None:
        for name in ("ingest", "alerts", "smile", "api"):
            self.python(name, "smile_iot", name, "--config", str(config)).start()
        wait_port(self.api_port, "api")

    def remember(self) -> None:
        """Keep the server's data as they are before the line starts."""
        shutil.copytree(self.data, self.folder / "data.before")

    def forget_line(self) -> None:
        """Back to what ``remember`` kept. Nobody may have the files open."""
        shutil.rmtree(self.data)
        shutil.copytree(self.folder / "data.before", self.data)

    @property
    def pi(self) -> Path:
        """The Pi's folder of secrets (/etc/smile-iot on a real one)."""
        return self.folder / "pi-etc"

    def enrol_edge(self, config: Path, code: str) -> None:
        """By the Pi's own command, at an api that runs for it alone."""
        api = self.python("api", "smile_iot", "api", "--config", str(config))
        api.start()
        try:
            wait_port(self.api_port, "api")
            words = ("--server", f"http://127.0.0.1:{self.api_port}", "--code", code, "--config", str(self.pi))
            self.run_once("edge-enrol", "smile_iot", "edge", "enrol", *words)
        finally:
            api.stop()
            del self.programs["api"]

    def start_edge(self, config: Path, patience_s: float = 60.0) -> None:
        """Start the agent and wait until it says that it runs."""
        environment = {str(k): str(v) for k, v in self.simulator.get("env", {}).items()}
        program = self.python("edge", "smile_iot", "edge", "--config", str(config), environment=environment)
        program.start()
        deadline = time.monotonic() + patience_s
        while " runs: " not in program.said():
            if not program.alive or time.monotonic() > deadline:
                raise NeighbourDownError("edge", f"did not get ready:\n{program.tail()}")
            time.sleep(0.05)

    def run_once(self, name: str, *words: str) -> None:
        """Run a command of ours to its end; raises NeighbourDownError with its words when it fails."""
        program = self.python(name, *words)
        del self.programs[name]
        program.start()
        if program.process is None or program.process.wait(60) != 0:
            raise NeighbourDownError(name, f"failed:\n{program.tail()}")

    def kill_and_restart(self, name: str) -> None:
        """SIGKILL and at once a new start, as a power cut and systemd would."""
        self.programs[name].kill()
        self.programs[name].start()

    def check_alive(self) -> None:
        """Raises NeighbourDownError with the log's end when a program died by itself."""
        for program in self.programs.values():
            if not program.alive:
                raise NeighbourDownError(program.name, f"{program.how_it_ended}\n{program.tail()}")

    def stop_line(self) -> None:
        """Stop what ``start_services``, ``start_devices`` and ``start_edge`` started."""
        for name in _LINE:
            if name in self.programs:
                self.programs[name].stop()

    def stop(self) -> None:
        self.stop_line()
        for name in ("smile-core", "mosquitto"):
            if name in self.programs:
                self.programs[name].stop()
        for close in self.closers:
            close()


def new_password() -> str:
    """A random log-in for one run."""
    return secrets.token_urlsafe(9)
