"""``smile-iot edge``: the agent of one Pi."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from smile_iot.service import serve
from telemetry.clock import Clock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="edge.toml (edge/edge.example.toml)"
    )


def run(args: argparse.Namespace) -> int:
    from edge import service

    config = service.load(args.config)

    async def agent(clock: Clock, stop: asyncio.Event) -> None:
        await service.run(config, clock, stop)

    return serve("edge", Path(config.edge.outbox).parent, agent)
