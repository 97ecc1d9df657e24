"""``python -m benchmarks.wire``: payload beside entropy, then the real line under capture; the table is ``wire.md``.

Needs root (packet capture, a network namespace of its own) and Mosquitto.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.wire import dataset, entropy, payload, report
from benchmarks.wire.line import Way, measure

TABLE = Path(__file__).parents[1] / "wire.md"
WAYS = (
    Way("JSON, a receipt for each upload, hello each hour", "json", lazy=False, hourly_hello=True),
    Way("compact, a receipt for each upload, hello each hour", "compact", lazy=False, hourly_hello=True),
    Way("compact, a receipt each hour, hello each hour", "compact", lazy=True, hourly_hello=True),
    Way("compact, a receipt each hour, hello at connection", "compact", lazy=True, hourly_hello=False),
    Way("compact, uploads each hour, hello at connection", "compact", lazy=False, hourly_hello=False, readings=600),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--uploads", type=int, default=72, help="uploads of each run (72: half a day)")
    parser.add_argument("--table", action="store_true", help="write benchmarks/wire.md")
    args = parser.parse_args()
    if not args.inside:
        if os.geteuid() != 0:
            print("capturing packets needs root")
            return 2
        return subprocess.call(["unshare", "-n", sys.executable, "-m", "benchmarks.wire", "--inside", *sys.argv[1:]])
    subprocess.run(["ip", "link", "set", "lo", "mtu", "1500", "up"], check=True)
    lines = [report.HEAD.format(
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}",
        command="make bench-wire",
    )]  # fmt: skip
    lines += report.payload_table(
        [
            (
                name,
                streams,
                readings,
                entropy.estimate(table),
                payload.measure(list(dataset.uploads(table, readings))),
            )
            for name in ("polled", "ble")
            for streams, readings in ((8, 480), (10, 100))
            for table in [dataset.rows(name, streams)]
        ],
        _q_tag(),
    )
    measured = []
    for name in ("polled", "ble"):
        table = dataset.rows(name)
        for way in WAYS if name == "polled" else WAYS[-2:]:
            print(f"... {name}: {way.name}", flush=True)
            measured.append((name, measure(table[: args.uploads * way.readings], way)))
    lines += report.line_table(measured)
    text = "\n".join(lines) + "\n"
    print(text)
    if args.table:
        TABLE.write_text(text)
    return 0


def _q_tag() -> tuple[int, payload.Sizes] | None:
    upload = dataset.q_tag()
    return None if upload is None else (len(upload.ranges), payload.measure([upload]))


if __name__ == "__main__":
    sys.exit(main())
