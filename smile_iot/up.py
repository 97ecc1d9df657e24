"""``smile-iot up``: the server side on one machine, each part a process of its own, started again when it dies."""

from __future__ import annotations

import argparse
import fcntl
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from smile_iot.processes import Program, Supervisor
from smile_iot.service import add_config_argument, settings_of
from smile_iot.settings import Settings
from telemetry.errors import ConfigError

PARTS = ("ingest", "alerts", "smile", "api")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    settings = settings_of(args)
    logs = settings.data_dir / "logs"
    try:
        logs.mkdir(parents=True, exist_ok=True)
        lock = (settings.data_dir / "up.lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError("server.data_dir", f"another smile-iot up runs on {settings.data_dir}") from error
    except OSError as error:
        raise ConfigError("server.data_dir", f"cannot write in {settings.data_dir}: {error.strerror}") from error
    with lock:
        return _supervise(settings, ["--config", str(args.config)] if args.config else [], logs)


def _supervise(settings: Settings, config: list[str], logs: Path) -> int:
    programs = [Program(part, [sys.executable, "-m", "smile_iot", part, *config], logs) for part in PARTS]
    supervisor = Supervisor(programs)
    stop = threading.Event()

    def halt(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, halt)
    supervisor.start()
    address = f"http://{settings.text('api.host')}:{settings.number('api.port')}"
    print(f"smile-iot up: starting {', '.join(PARTS)}; pages at {address}; logs in {logs}", flush=True)
    broker_down = False
    host, port = settings.text("mqtt.host"), settings.number("mqtt.port")
    try:
        while not stop.wait(1.0):
            wrong = supervisor.wrongly_set_up()
            if wrong is not None:
                print(f"smile-iot up: {wrong.name} cannot run as it is set up:\n{wrong.tail(3)}", file=sys.stderr)
                return 2
            for name in supervisor.check(time.monotonic()):
                print(f"smile-iot up: {name} ended and was started again (see {logs / name}.log)", file=sys.stderr)
            down = not _answers(host, port)
            if down != broker_down:
                words = "does not answer; what the edges have waits there" if down else "answers again"
                print(f"smile-iot up: the broker {host}:{port} {words}", file=sys.stderr)
                broker_down = down
    finally:
        supervisor.stop()
    return 0


def _answers(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection((host, port), timeout=2.0):
            return True
    except OSError:
        return False
