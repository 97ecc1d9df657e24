"""Fixtures of the edge's tests: stamps, clocks by hand, a broker, the simulator and the agent as processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hand_clock import HandClock
from edge.commit import GroupCommit
from edge.limits import Limits
from edge.outbox import MemoryOutbox, Outbox, SqliteOutbox
from telemetry.readings import Event, Reading, Stamp, Sync, Weighing

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


class Make:
    """Facts for tests."""

    stamp = Stamp("boot-1", 5_000_000_000, 1_800_000_000_000, Sync.SYNCED, 20)
    unsynced = Stamp("boot-1", 5_000_000_000, 1_000, Sync.UNSYNCED, None)

    def reading(self, stream: str = "LOG-1/temperature_c", value: str = "5.01", t_ms: int | None = 1000) -> Reading:
        return Reading(stream, Decimal(value), t_ms, self.stamp)

    def undated(self, boottime_ns: int, boot_id: str = "boot-1") -> Reading:
        return replace(
            self.reading(t_ms=None), stamp=replace(self.unsynced, boottime_ns=boottime_ns, boot_id=boot_id)
        )

    def event(self) -> Event:
        return Event("rezero_needed", "SC-1", 1000, self.stamp, {"reason": "rezero"})

    def weighing(self) -> Weighing:
        return Weighing(
            "W-1", "SC-1", Decimal("13.10"), Decimal("0.70"), Decimal("12.40"), 1000, self.stamp, "5354", "preset",
            Decimal("0.05"), ("BELOW_MIN",),
        )  # fmt: skip


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture(scope="module")
def facts_maker() -> Make:
    return Make()


@pytest.fixture(params=["sqlite", "memory", "grouped"])
def outbox(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> Iterator[Outbox]:
    """Every outbox there is. The grouped one has no window here: ``test_commit.py`` opens it."""
    box: Outbox = MemoryOutbox() if request.param == "memory" else SqliteOutbox(tmp_path / "outbox.db")
    if request.param == "grouped":
        box = GroupCommit(box, clock, 0, Limits())
    yield box
    box.close()


def wait_for(met: Callable[[], Any], what: str, deadline_s: float = 90) -> Any:
    """Poll with a deadline; what ``met`` gave."""
    until = time.monotonic() + deadline_s
    while True:
        found = met()
        if found:
            return found
        assert time.monotonic() < until, f"never saw {what}"
        time.sleep(0.02)


@pytest.fixture(name="wait_for")
def wait_for_fixture() -> Callable[..., Any]:
    return wait_for


@pytest.fixture
def platform_seen_empty() -> Callable[[Path, str], None]:
    """Wait until the agent has seen this scale at zero: only then a load that stands is a new one (requirement 19)."""

    def armed(path: Path, serial: str) -> bool:
        if not path.exists():
            return False
        box = SqliteOutbox(path)
        try:
            return box.hint(f"scale:{serial}") == "armed:"
        finally:
            box.close()

    return lambda path, serial: wait_for(lambda: armed(path, serial), f"{serial} empty")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """Mosquitto with a password file, on a free port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.password_file = folder / "edge.password"
        self.password_file.write_text("a-test-password\n")
        passwords = folder / "passwords"
        subprocess.run(
            ["mosquitto_passwd", "-b", "-c", str(passwords), "edge", "a-test-password"],
            check=True,
            capture_output=True,
        )
        passwords.chmod(0o644)
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\nuser root\n"
            "persistence false\nmax_queued_messages 0\n"
        )
        self._command = ["mosquitto", "-c", str(config)]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def up() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for(up, "the broker's port")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def toml(self) -> str:
        return (
            f'[mqtt]\nhost = "127.0.0.1"\nport = {self.port}\nusername = "edge"\n'
            f'password_file = "{self.password_file}"\nreceipt_timeout_s = 2.0\nreconnect_max_s = 1.0\n'
        )


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    running = Broker(folder)
    yield running
    running.stop()


def make_certificate(folder: Path) -> None:
    """``cert.pem`` and ``key.pem`` of an authority that is the server too."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture
def tls_broker(broker: Broker) -> Broker:
    """The same with TLS; its authority is ``cert.pem`` in its folder."""
    make_certificate(broker.folder)
    config = broker.folder / "mosquitto.conf"
    config.write_text(config.read_text() + f"certfile {broker.folder}/cert.pem\nkeyfile {broker.folder}/key.pem\n")
    broker.stop()
    broker.start()
    return broker


class Simulator:
    """``python -m firmware_sim``: reached by bytes and its own files only."""

    def __init__(self, plan: dict[str, Any], folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "plan.json").write_text(json.dumps(plan))
        command = [sys.executable, "-m", "firmware_sim", "--plan", str(folder / "plan.json"), "--out", str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the simulator did not start"
        self.ready: dict[str, Any] = json.loads(line)

    def control(self, **command: object) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(self.ready["control"])
            link.sendall(json.dumps(command).encode() + b"\n")
            with link.makefile() as lines:
                answer: dict[str, Any] = json.loads(lines.readline())
        return answer

    def produced(self) -> list[dict[str, Any]]:
        path = self.folder / "produced.ndjson"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def clock(self) -> str:
        return f"{self.ready['t0_ms']}:{self.ready['m0_ns']}:{self.ready['speed']}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def simulate(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Simulator]]:
    running: list[Simulator] = []

    def start(plan: dict[str, Any]) -> Simulator:
        running.append(Simulator(plan, tmp_path / f"sim-{len(running)}"))
        return running[-1]

    yield start
    for simulator in running:
        simulator.stop()


_AGENT = """
import asyncio, logging, sys
from pathlib import Path
from edge.config import load
from edge.service import run
from telemetry.clock import clock_from_environment
logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(levelname)s %(name)s %(message)s")
logging.getLogger("bleak").setLevel(logging.INFO)
async def main():
    stop = asyncio.Event()
    import signal
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run(load(Path(sys.argv[1])), clock_from_environment(), stop)
asyncio.run(main())
"""


class AgentProcess:
    """The agent, as it runs on a Pi, with its log in a file."""

    def __init__(self, config: Path, log: Path, environment: dict[str, str]) -> None:
        self._log = log.open("a")
        self.process = subprocess.Popen(
            [sys.executable, "-c", _AGENT, str(config)],
            cwd=ROOT,
            env=os.environ | environment,
            stderr=self._log,
            stdout=self._log,
        )

    def end(self, number: int) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        self._log.close()
        return code


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[..., AgentProcess]]:
    """Write the config, start the agent; killed at the end."""
    running: list[AgentProcess] = []

    def start(toml: str, **environment: str) -> AgentProcess:
        config = tmp_path / "edge.toml"
        config.write_text(toml)
        running.append(AgentProcess(config, tmp_path / "agent.log", environment))
        return running[-1]

    yield start
    for agent in running:
        agent.end(signal.SIGKILL)
