"""The deployment of ``deploy/`` and ``docker-compose.yml`` run for real on this machine, without containers.

Container hosts and paths become loopback ports and a temporary folder; everything else (commands, broker configuration,
certificates, accounts, settings) is taken from the files as they are. Each replacement must find its text, so a changed
file that these tests no longer stand for makes them fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.broker_accounts import BrokerAccounts, BrokerFiles, new_password, password_hash
from gateway.records import Actor, Edge, Records, Role, Site, open_records
from ingest.store.local_influx import LocalInflux
from smile_iot.processes import Program, free_port, wait_port

ROOT = Path(__file__).parents[2]
T0 = 1_790_000_000_000
SBIN = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
BIN = Path(sys.executable).parent


def need(program: str, package: str) -> str:
    """A neighbour's program, or a failed test that names the package."""
    found = shutil.which(program, path=SBIN)
    if found is None:
        pytest.fail(f"{program} is missing: apt-get install -y --no-install-recommends {package}")
    return found


def _wait_for(condition: Callable[[], bool], what: str, patience_s: float = 90.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {patience_s} s: {what}"
        time.sleep(0.05)


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """``text`` with each first word replaced by its second; every one must be there."""
    for old, new in pairs:
        assert old in text, f"{old!r} is not there any more"
        text = text.replace(old, new)
    return text


@dataclass
class Copy:
    """A copy of what is deployed, with its own secrets."""

    folder: Path

    @property
    def deploy(self) -> Path:
        return self.folder / "deploy"

    @property
    def secrets(self) -> Path:
        return self.deploy / "secrets"

    def script(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.deploy / name), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": SBIN + ":/bin"})

    def compose(self) -> dict[str, Any]:
        """docker-compose.yml as docker-compose itself understands it."""
        command = [need("docker-compose", "docker-compose"), "-f", str(self.folder / "docker-compose.yml"), "config"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        body: dict[str, Any] = yaml.safe_load(done.stdout)
        return body


def make_copy(folder: Path) -> Copy:
    copy = Copy(folder)
    shutil.copytree(ROOT / "deploy", copy.deploy, ignore=shutil.ignore_patterns("secrets"))
    shutil.copytree(ROOT / "dashboards", folder / "dashboards")
    shutil.copy(ROOT / "docker-compose.yml", folder)
    made = copy.script("make-secrets")
    assert made.returncode == 0, made.stderr
    return copy


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """Not to be changed by a test."""
    return make_copy(tmp_path_factory.mktemp("deployed"))


@pytest.fixture(scope="session")
def compose(copy: Copy) -> dict[str, Any]:
    return copy.compose()


@pytest.fixture
def fresh_copy(tmp_path: Path) -> Copy:
    return make_copy(tmp_path / "copy")


# --- neighbours as they are deployed ------------------------------------------------------------------------------


@dataclass
class Broker:
    """Mosquitto with deploy/mosquitto/mosquitto.conf; only its paths and port are this machine's."""

    copy: Copy
    port: int = field(default_factory=free_port)
    own_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def ca(self) -> Path:
        return self.copy.secrets / "mosquitto_ca"

    @property
    def accounts(self) -> Path:
        """The volume that api writes and the broker reads."""
        return self.copy.folder / "accounts"

    @property
    def files(self) -> BrokerFiles:
        return BrokerFiles(
            passwords=self.accounts / "passwords",
            acl=self.accounts / "acl",
            base_passwords=self.copy.secrets / "mosquitto_passwords",
            base_acl=self.copy.deploy / "mosquitto/acl",
        )

    def password(self, account: str) -> str:
        if account in ("ingest", "import"):
            return (self.copy.secrets / f"{account}_password").read_text().strip()
        return self.passwords[account]

    def start(self) -> None:
        """By the container's own command; it listens once the accounts are there (``wait``)."""
        need("mosquitto", "mosquitto")
        self.accounts.mkdir(exist_ok=True)
        data = self.copy.folder / "broker"
        data.mkdir(exist_ok=True)
        text = replaced(
            (self.copy.deploy / "mosquitto/mosquitto.conf").read_text(),
            ("listener 8883", f"listener {self.port} 127.0.0.1"),
            ("listener 8884", f"listener {self.own_port} 127.0.0.1"),
            ("/run/secrets/", f"{self.copy.secrets}/"),
            ("/mosquitto/accounts/", f"{self.accounts}/"),
            ("/mosquitto/data/", f"{data}/"),
        )
        config = self.copy.folder / "mosquitto.conf"
        config.write_text(text + ("user root\n" if os.geteuid() == 0 else ""))
        words = [str(self.copy.deploy / "mosquitto/run"), str(config), str(self.files.passwords), str(self.files.acl)]
        environment = {"PATH": SBIN + ":/bin"}
        with (self.copy.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env=environment)

    def wait(self) -> None:
        wait_port(self.port, "mosquitto")
        wait_port(self.own_port, "mosquitto")

    def port_of(self, account: str | None) -> int:
        """Ours is another one than the Pis'."""
        return self.own_port if account in ("ingest", "import") else self.port

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """With no edge enrolled yet."""
    broker = Broker(make_copy(tmp_path_factory.mktemp("tls")))
    broker.start()
    with open_records(broker.copy.folder / "records.db") as records:
        BrokerAccounts(broker.files, records).sync()
    broker.wait()
    yield broker
    broker.stop()


class Office:
    """The records and the accounts that follow them: invites, enrols and revokes as the api does."""

    def __init__(self, broker: Broker, records: Records) -> None:
        self.broker, self.records = broker, records
        self.accounts = BrokerAccounts(broker.files, records)
        self.boss = Actor("Boss", Role.SUPER_ADMIN)

    def site(self, site: str) -> None:
        made = Site(site, f"Puskesmas {site}", "kab", "Asia/Jakarta", "s0", "puskesmas")
        self.records.upsert_site(made, self.boss, "", T0)

    def enrol(self, site: str, edge: str, machine: str = "pi") -> Edge:
        """Also renews."""
        code = self.records.invite_edge(site, edge, self.boss, "test", T0)
        word = new_password()
        done = self.records.enrol_edge(code.text, machine, T0, password_hash=password_hash(word)).edge
        self.broker.passwords[done.account] = word
        self.accounts.sync()
        return done

    def revoke(self, site: str, edge: str) -> None:
        self.records.revoke_edge(site, edge, self.boss, "stolen", T0)
        self.accounts.sync()


@pytest.fixture(scope="module")
def office(broker: Broker) -> Iterator[Office]:
    with open_records(broker.copy.folder / "records.db") as records:
        yield Office(broker, records)


@dataclass
class Postgres:
    """PostgreSQL with user, database and password as docker-compose.yml gives them to its image."""

    folder: Path
    password_file: Path
    port: int = field(default_factory=free_port)

    def tool(self, name: str) -> str:
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
        if not found:
            pytest.fail(f"{name} is missing: apt-get install -y --no-install-recommends postgresql")
        return str(found[0])

    def run(self, *command: str) -> None:
        as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        subprocess.run([*as_postgres, *command], check=True, cwd="/", stdout=subprocess.DEVNULL)

    def start(self) -> None:
        password = self.folder / "password"
        password.write_text(self.password_file.read_text())
        if os.geteuid() == 0:
            for path in (self.folder, password):
                shutil.chown(path, "postgres", "postgres")
        data = str(self.folder / "data")
        self.run(
            self.tool("initdb"), "-D", data, "-U", "smile", "-A", "scram-sha-256", "--pwfile", str(password), "-N"
        )
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.run(self.tool("pg_ctl"), "-D", data, "-w", "-l", str(self.folder / "log"), "-o", options, "start")
        made = f"postgresql://smile@127.0.0.1:{self.port}/postgres"
        environment = os.environ | {"PGPASSWORD": self.password_file.read_text().strip()}
        create = [self.tool("psql"), made, "-qc", "CREATE DATABASE smile"]
        subprocess.run(create, check=True, env=environment)

    def stop(self) -> None:
        self.run(self.tool("pg_ctl"), "-D", str(self.folder / "data"), "-m", "immediate", "stop")


@dataclass
class Deployed:
    """Everything of docker-compose.yml that can run here: Mosquitto, PostgreSQL, InfluxDB (1.6.7), our services."""

    copy: Copy
    broker: Broker
    postgres: Postgres
    influx: LocalInflux
    compose: dict[str, Any]
    api_port: int
    running: dict[str, Program] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.copy.folder / "data"

    @property
    def config(self) -> Path:
        return self.copy.folder / "server.toml"

    def write_config(self) -> None:
        (self.copy.secrets / "influx_token").write_text(self.influx.token)
        self.config.write_text(
            replaced(
                (self.copy.deploy / "server.toml").read_text(),
                ('data_dir = "/data"', f'data_dir = "{self.data}"'),
                ("/run/secrets/", f"{self.copy.secrets}/"),
                ("/accounts/", f"{self.broker.accounts}/"),
                ("/etc/smile-iot/broker-acl", str(self.copy.deploy / "mosquitto/acl")),
                (
                    'broker_host = "mosquitto"\nbroker_port = 8883',
                    f'broker_host = "localhost"\nbroker_port = {self.broker.port}',
                ),
                ('host = "mosquitto"\nport = 8884', f'host = "localhost"\nport = {self.broker.own_port}'),
                ("@postgres/smile", f"@127.0.0.1:{self.postgres.port}/smile"),
                ("http://influxdb:8086", self.influx.url),
                ('host = "0.0.0.0"\nport = 8080', f'host = "127.0.0.1"\nport = {self.api_port}'),
            )
        )

    def here(self, words: list[str]) -> list[str]:
        """A command of a container with the paths of this machine."""
        assert words[0] == "smile-iot"
        return [
            str(BIN / "smile-iot"),
            *(str(self.config) if w == "/etc/smile-iot/server.toml" else w for w in words[1:]),
        ]

    def smile_iot(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = self.here(["smile-iot", *words, "--config", "/etc/smile-iot/server.toml"])
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.copy.folder)

    def healthy(self, service: str) -> bool:
        kind, *words = self.compose["services"][service]["healthcheck"]["test"]
        assert kind == "CMD"
        return subprocess.run(self.here(words), stdout=subprocess.DEVNULL, check=False, cwd="/").returncode == 0

    def start(self, service: str) -> Program:
        command = self.here(["smile-iot", *self.compose["services"][service]["command"]])
        program = Program(service, command, self.copy.folder / "logs")
        program.start()
        self.running[service] = program
        return program


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("machine")
    copy = make_copy(folder / "copy")
    broker = Broker(copy)
    reachable = Path(
        tempfile.mkdtemp(prefix="smile-iot-deploy-pg-")
    )  # by the database's own user, unlike pytest's folders
    postgres = Postgres(reachable, copy.secrets / "postgres_password")
    influx = LocalInflux(folder / "influx", bucket="smile_iot")
    made = Deployed(copy, broker, postgres, influx, copy.compose(), free_port())
    try:
        broker.start()
        postgres.start()
        influx.start()
        made.write_config()
        yield made
    finally:
        for program in made.running.values():
            program.stop()
        influx.stop()
        postgres.stop()
        shutil.rmtree(reachable, ignore_errors=True)
        broker.stop()


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., None]:
    """``wait_for(condition, what)`` polls a real process until a deadline."""
    return _wait_for
