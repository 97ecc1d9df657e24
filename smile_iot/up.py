"""``smile-iot up``: the server side on one machine, each part a process of its own, started again when it dies."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from types import FrameType

from smile_iot.processes import Program, Supervisor
from smile_iot.service import add_config_argument, settings_of

PARTS = ("ingest", "alerts", "smile", "api")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    settings = settings_of(args)
    config = ["--config", str(args.config)] if args.config else []
    logs = settings.data_dir / "logs"
    programs = [Program(part, [sys.executable, "-m", "smile_iot", part, *config], logs) for part in PARTS]
    supervisor = Supervisor(programs)
    stop = threading.Event()

    def halt(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, halt)
    supervisor.start()
    print(f"smile-iot up: {', '.join(PARTS)} run; logs in {logs}; pages at {settings.text('api.public_url')}")
    while not stop.wait(1.0):
        for name in supervisor.check(time.monotonic()):
            print(f"smile-iot up: {name} ended and was started again (see {logs / name}.log)", file=sys.stderr)
    supervisor.stop()
    return 0
