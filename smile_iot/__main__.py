"""``smile-iot``: one command for every part. A part's code is loaded only when its command is called."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol

from telemetry.errors import SmileIotError

# command: (module, one line of help). A module offers add_arguments(parser) and run(args) -> exit code.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("smile_iot.demo.command", "play the whole line on a virtual site, every neighbour real"),
    "up": ("smile_iot.up", "run the server side on one machine: ingest, alerts, smile, api"),
    "edge": ("smile_iot.run_edge", "run the agent of one Pi"),
    "ingest": ("smile_iot.run_ingest", "receive, check, journal, receipt, and fill the time series"),
    "alerts": ("smile_iot.run_alerts", "judge the readings and tell people"),
    "smile": ("smile_iot.run_smile", "hand temperatures, discards and weights to the SMILE core"),
    "api": ("smile_iot.run_api", "serve the pages and the API"),
    "gateway": ("smile_iot.gateway_command", "load sites, equipment, devices, batches from a TOML file"),
    "evaluate": ("smile_iot.evaluate", "judge a logger's own export with the same rules, no service"),
    "replay": (
        "smile_iot.replay",
        "judge stored readings again: which alarms, messages and verdicts changed limits would make",
    ),
    "explain": (
        "smile_iot.explain_command",
        "recompute a verdict from what was stored, and say whether it is the same",
    ),
    "report": ("smile_iot.report_command", "a site's month: availability, time out of range, alarms, doors, power"),
    "import": ("smile_iot.import_command", "send a logger's export down the live line"),
    "doctor": ("smile_iot.doctor", "look whether this machine has what it needs, and say what to do"),
    "ledger": ("smile_iot.ledger_command", "what each edge numbered, what the journal holds, what is missing"),
    "quarantine": (
        "smile_iot.quarantine_command",
        "what was not accepted and why; repair it, send it through, put it aside",
    ),
    "settings": ("smile_iot.settings_command", "list every setting with its default and meaning"),
}


class Command(Protocol):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


def _overview() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS)) + 2
    parser = argparse.ArgumentParser(
        prog="smile-iot",
        description="Open telemetry gateway and cold-chain monitor: from a sensor's bytes to SMILE.",
        epilog="commands:\n" + "\n".join(f"  {name:<{width}}{line}" for name, (_, line) in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the commands below")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 a step failed, 2 called or set up wrongly."""
    words = list(sys.argv[1:] if argv is None else argv)
    overview = _overview()
    if not words:
        overview.print_help()
        return 2
    name = overview.parse_args(words[:1]).command
    module, line = COMMANDS[name]
    command: Command = importlib.import_module(module)
    parser = argparse.ArgumentParser(prog=f"smile-iot {name}", description=line)
    command.add_arguments(parser)
    try:
        return command.run(parser.parse_args(words[1:]))
    except SmileIotError as error:
        print(f"smile-iot {name}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Who read our words has left (``| head``): that is not a fault.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
