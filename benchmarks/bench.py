"""``make bench``: how fast, how lean and how exact the data path is, in one table from one run on this machine.

Ceilings first (a C client on the broker, wrk on InfluxDB), then ours end to end, so that ratios compare what was
measured within minutes on the same two cores. Writes ``bench.md`` and ``bench.json`` into ``--out``.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.bench_client import build
from benchmarks.bench_line import make_records
from benchmarks.bench_sections import SECTIONS, TINY, Bench, Sizes
from benchmarks.bench_table import Row, markdown
from telemetry.clock import SystemClock

HERE = Path(__file__).parent
COMMAND = "make bench"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="where bench.md and bench.json go")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"sections, of {','.join(SECTIONS)}")
    parser.add_argument("--runs", type=int, default=3, help="runs a figure is the median of")
    parser.add_argument("--share", type=float, default=1.0, help="share of the readings of each run (a slow machine)")
    parser.add_argument(
        "--tiny", action="store_true", help="the smallest sizes: shows that it works, measures nothing"
    )
    parser.add_argument("--keep", action="store_true", help="leave the folder of the runs for a look")
    args = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="smile-iot-bench-"))
    sizes = TINY if args.tiny else Sizes(runs=args.runs).scaled(args.share)
    began = time.monotonic()
    try:
        rows, raw = run(folder, sizes, args.only.split(","))
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    told = " ".join(sys.argv[1:] if arguments is None else arguments)
    head = about(time.monotonic() - began, sizes, f"{COMMAND} BENCH_ARGS='{told}'" if told else COMMAND)
    args.out.mkdir(parents=True, exist_ok=True)
    page = markdown(rows, head)
    (args.out / "bench.md").write_text(page)
    (args.out / "bench.json").write_text(
        json.dumps({"about": head, "rows": [_plain(r) for r in rows], "raw": raw}, indent=1)
    )
    print(page)
    return 0


def run(folder: Path, sizes: Sizes, only: Sequence[str]) -> tuple[list[Row], dict[str, object]]:
    """All rows of the named sections, grouped by section."""
    now_ms = SystemClock().now_ms()
    fleet = make_records(folder / "records.db", sizes.edges, now_ms)
    bench = Bench(folder, build(folder), folder / "records.db", fleet, sizes, now_ms, _say)
    rows = [row for name, section in SECTIONS.items() if name in only for row in section(bench)]
    order = list(dict.fromkeys(row.section for row in rows))
    return sorted(rows, key=lambda row: order.index(row.section)), bench.raw


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _plain(row: Row) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__slots__}


def about(seconds: float, sizes: Sizes, command: str) -> dict[str, str]:
    """Where and how: without it a figure means nothing."""
    cpu = next(
        (x.split(":", 1)[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), "?"
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    return {
        "date": datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "machine": f"{cpu}, {_cores()} cores, {memory} MB, {platform.system()} {platform.release()}, everything on loopback",
        "load when it ended": Path("/proc/loadavg").read_text().split()[0]
        + " (other work on the machine shows here)",
        "versions": ", ".join(_versions()),
        "commit": _told(["git", "-C", str(HERE), "describe", "--always", "--dirty"]),
        "took": f"{seconds / 60:.0f} min; medians of {sizes.runs} runs of {sizes.readings} readings",
    }


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


def _versions() -> list[str]:
    packages = [f"{name} {version(name)}" for name in ("paho-mqtt", "influxdb-client")]
    programs = (["/usr/sbin/mosquitto", "-h"], ["influxd", "version"], ["/usr/sbin/nginx", "-v"])
    return [f"Python {platform.python_version()}", *packages, *map(_told, programs)]


def _told(command: list[str]) -> str:
    """The first line a program says."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10, check=False
        )
    except OSError:
        return "not there"
    return (done.stdout.strip().splitlines() or ["?"])[0]


if __name__ == "__main__":
    sys.exit(main())
