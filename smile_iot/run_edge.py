"""``smile-iot edge``: the agent of one Pi; and what a person does at the Pi beside it (``enrol``, ``budget``)."""

from __future__ import annotations

import argparse
import asyncio
import importlib
from pathlib import Path

from smile_iot.service import serve
from telemetry.clock import Clock
from telemetry.errors import ConfigError

# action: (module, one line of help); a module offers add_arguments(parser) and run(args), as a command does.
ACTIONS: dict[str, tuple[str, str]] = {
    "enrol": ("smile_iot.edge_enrol", "use a one-time code: get this Pi's account, password and key from the server"),
    "budget": ("smile_iot.edge_budget", "tell the megabytes a month: of these settings, and really used"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="edge.toml (edge/edge.example.toml)")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", help="without one: run the agent")
    for name, (module, line) in ACTIONS.items():
        below = actions.add_parser(name, help=line, description=line)
        importlib.import_module(module).add_arguments(below)


def run(args: argparse.Namespace) -> int:
    if args.action:
        return int(importlib.import_module(ACTIONS[args.action][0]).run(args))
    if args.config is None:
        raise ConfigError("--config", "is missing", advice="smile-iot edge --config /etc/smile-iot/edge.toml")
    return _run_agent(args.config)


def _run_agent(file: Path) -> int:
    from edge import service

    config = service.load(file)

    async def agent(clock: Clock, stop: asyncio.Event) -> None:
        await service.run(config, clock, stop)

    return serve("edge", Path(config.edge.outbox).parent, agent)
