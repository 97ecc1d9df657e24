"""`python -m firmware_sim.smile_core`: serve the stand-in, say where on one line of JSON, stop at SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from firmware_sim.smile_core.seed import DEMO_SEED, SeedError, load_seed
from firmware_sim.smile_core.server import Addresses, serve_until_signal
from firmware_sim.smile_core.settings import PushMode, Settings, WmsProgram
from firmware_sim.smile_core.state import State


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m firmware_sim.smile_core", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="SMILE port; 0 takes a free one")
    parser.add_argument("--control-port", type=int, default=0, help="control port; 0 takes a free one")
    parser.add_argument("--server-zone", default="UTC", help="zone of the server, e.g. UTC or Asia/Jakarta")
    parser.add_argument("--seed-file", type=Path, default=DEMO_SEED, help="master data (TOML)")
    parser.add_argument("--wms", type=WmsProgram, choices=list(WmsProgram), default=WmsProgram.EXPRESS)
    parser.add_argument("--push-mode", type=PushMode, choices=list(PushMode), default=PushMode.V5)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 after SIGTERM, 2 when the seed, the zone or a port does not serve."""
    args = _arguments(argv)
    settings = Settings(server_zone=args.server_zone, push_mode=args.push_mode, wms=args.wms)
    try:
        state = State(load_seed(args.seed_file), settings)
        _ = state.server_zone  # an unknown zone fails now, not at the first reading
        asyncio.run(serve_until_signal(state, args.port, args.control_port, _announce))
    except (SeedError, OSError, KeyError, ValueError) as error:
        sys.stderr.write(f"smile_core: {error}\n")
        return 2
    return 0


def _announce(addresses: Addresses) -> None:
    sys.stdout.write(json.dumps({"ready": True, **addresses.as_dict()}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
