"""What every long-running command shares: settings, log, signals, clock, and a sign of life."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from smile_iot.settings import Settings, load_settings
from telemetry.clock import Clock, clock_from_environment
from telemetry.errors import ConfigError, SmileIotError

ALIVE_EVERY_S = 5.0


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML (docs/settings.md)")


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that the command line's ``--config`` and the environment give."""
    return load_settings(args.config, os.environ)


def set_up_log() -> None:
    """One line a record on stderr; libraries only speak from warnings up."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("httpx", "httpcore", "bleak", "apscheduler", "alembic", "pymodbus", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def alive_file(data_dir: Path, name: str) -> Path:
    """The file whose time of change says that a service still turns its loop (``smile-iot doctor --alive``)."""
    return data_dir / f"{name}.alive"


async def _show_life(path: Path, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await asyncio.to_thread(path.touch)
        try:
            await asyncio.wait_for(stop.wait(), ALIVE_EVERY_S)
        except TimeoutError:
            continue


def serve(name: str, data_dir: Path, run: Callable[[Clock, asyncio.Event], Awaitable[None]]) -> int:
    """Run ``run(clock, stop)`` until SIGTERM or SIGINT; the exit code: 2 for what a person must mend, 1 for try again."""
    set_up_log()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("server.data_dir", f"cannot make {data_dir}: {error.strerror}") from error
    clock = clock_from_environment()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        life = asyncio.create_task(_show_life(alive_file(data_dir, name), stop), name="sign of life")
        try:
            await run(clock, stop)
        finally:
            stop.set()
            await life

    try:
        asyncio.run(main())
    except SmileIotError as error:
        # One sentence that says what to do; the trace is for faults of ours only.
        print(f"smile-iot {name}: {error}", file=sys.stderr)
        return 1 if error.again else 2
    return 0
