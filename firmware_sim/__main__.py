"""``python -m firmware_sim --plan PLAN.json --out DIR``: run a plan until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from firmware_sim.bus import BusMissingError
from firmware_sim.plan import Plan, PlanError, load_plan
from firmware_sim.service import Simulator


async def run(plan: Plan, folder: Path) -> None:
    """Start everything, say so in one line of JSON on stdout, and stop on SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Simulator(plan, folder) as simulator:
        work = asyncio.create_task(simulator.run(), name="simulator")
        sys.stdout.write(json.dumps(simulator.ready()) + "\n")
        sys.stdout.flush()
        stopped = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if work.done():
            work.result()  # it only ends by itself when something broke: say what
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 after a stop, 2 for a plan or a machine that cannot run it."""
    parser = argparse.ArgumentParser(prog="python -m firmware_sim", description="The devices of a virtual site.")
    parser.add_argument("--plan", type=Path, required=True, help="the plan, JSON (see firmware_sim/README.md)")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for produced.ndjson, the ports and the socket"
    )
    arguments = parser.parse_args(argv)
    try:
        asyncio.run(run(load_plan(arguments.plan), arguments.out))
    except (PlanError, BusMissingError) as error:
        sys.stderr.write(f"firmware_sim: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
