"""How many bytes a reading costs the flash: rounds of ten streams through group commit into a real outbox.

    make bench-flash        prints the table and writes benchmarks/flash.md

Two meters. *process*: ``write_bytes`` of /proc/self/io, what the process caused to be written to the page cache's
store. *device*: sectors written to a block device of our own (an ext4 image on a loop device, root needed), which
counts the file system's journal too and is what a card sees. Each case runs in a process and on a file system of
its own; the first rounds, in which the log grows to its size, are counted apart.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from edge.collect import RECENT, Heard, dump_heard
from edge.commit import GroupCommit
from edge.limits import Limits
from edge.outbox import SqliteOutbox
from telemetry.clock import SystemClock
from telemetry.readings import Ranges, Reading, Stamp, Sync

HERE = Path(__file__).parent
START_MS = 1_790_000_000_000
MINUTE_MS = 60_000
GOAL_BYTES = 1_000


@dataclass(frozen=True)
class Case:
    """``group``: readings a commit; ``receipts``: a receipt every ten rounds; ``retention``: rounds kept."""

    name: str
    group: int = 10
    receipts: bool = True
    retention: int = 120
    old: bool = False


CASES = (
    Case("one by one", group=1),
    Case("rounds of ten"),
    Case("rounds of ten, no receipts, nothing dropped", receipts=False, retention=0),
    Case("rounds of fifty (ten devices of five quantities)", group=50),
)
ROUNDS, WARM_UP = 3_000, 1_000
STREAMS = 10


def stamp_of(number: int) -> Stamp:
    at_ms = START_MS + number * MINUTE_MS
    return Stamp("5f0c7a3e-6a54-4b0e-9d4f-0a86a1f0c1de", number * 60 * 10**9, at_ms, Sync.SYNCED, 20)


def heard_of(stream: int, number: int) -> str:
    """The hint of a device that has been heard for long."""
    tokens = tuple(
        f"{i % 256}:{hashlib.sha256(f'{stream}{i}'.encode()).hexdigest()[:8]}" for i in range(number - RECENT, number)
    )
    stamp = stamp_of(number)
    return dump_heard(Heard(tokens, stamp.boot_id, stamp.boottime_ns, stamp.wall_ms))


def run(case: Case, folder: Path, rounds: int) -> dict[str, float]:
    """Write that many rounds; bytes a reading by the process' own meter, in the beginning and later."""
    box = GroupCommit(SqliteOutbox(folder / "outbox.db"), SystemClock(), 3600, Limits())
    devices = STREAMS
    each = max(1, case.group // devices)
    meters = [(meter_process(), meter_device(folder), 0)]
    readings = 0
    for number in range(rounds):
        stamp = stamp_of(number)
        for device in range(devices):
            facts = [
                Reading(f"LOG-{device:02}/temperature_c/{q}" if q else f"LOG-{device:02}/temperature_c",
                        Decimal(400 + (number * 7 + device * 13 + q) % 100) / 100, stamp.wall_ms, stamp)
                for q in range(each)
            ]  # fmt: skip
            box.append(facts, {f"heard:LOG-{device:02}": heard_of(device, number)})
            readings += len(facts)
            if case.group == 1:
                box.flush()
        box.flush()
        if case.receipts and number % 10 == 9:
            box.received(Ranges([(1, readings)]), Ranges())
        if case.retention and number % 60 == 59:
            box.forget_receipted(stamp.wall_ms - case.retention * MINUTE_MS)
        if number + 1 in (min(WARM_UP, rounds // 3), rounds):
            if number + 1 == rounds:
                box.close()
            os.sync()
            meters.append((meter_process(), meter_device(folder), readings))
    (p0, d0, _), (p1, d1, n1), (p2, d2, n2) = meters
    return {
        "first_process": (p1 - p0) / n1,
        "first_device": (d1 - d0) / n1,
        "process": (p2 - p1) / (n2 - n1),
        "device": (d2 - d1) / (n2 - n1),
    }


def meter_process() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"])


def meter_device(folder: Path) -> int:
    """Bytes written to the block device that the folder is on, if it is a loop device of ours."""
    number = folder.stat().st_dev
    stat = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat")
    return int(stat.read_text().split()[6]) * 512 if os.major(number) == 7 else 0


def on_a_device(name: str, rounds: int) -> dict[str, float]:
    """The case in a process of its own, on an ext4 image of its own where we may mount one."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        image, place = Path(scratch) / "image", Path(scratch) / "mnt"
        place.mkdir()
        with image.open("wb") as file:
            file.truncate(256 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        mounted = (
            os.geteuid() == 0 and subprocess.run(["mount", "-o", "loop", image, place], check=False).returncode == 0
        )
        try:
            command = [
                sys.executable,
                "-m",
                "benchmarks.flash",
                "--case",
                name,
                "--folder",
                str(place),
                "--rounds",
                str(rounds),
            ]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        finally:
            if mounted:
                subprocess.run(["umount", place], check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def table(results: dict[str, dict[str, float]], rounds: int) -> str:
    date = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC).strftime("%Y-%m-%d")
    lines = [
        "# What a reading costs the flash",
        "",
        f"Bytes written a reading; {STREAMS} streams, {rounds} rounds, {date}; `make bench-flash`.",
        "*process*: `write_bytes` of /proc/self/io. *device*: what reached the block device, the journal of ext4 with it.",
        f"*first*: the first {WARM_UP} rounds after the file was made, while the log grows to its size of 4 MB.",
        "",
        "| case | process | device | first, process | first, device |",
        "|---|---|---|---|---|",
    ]
    for name, r in results.items():
        cells = [
            f"{r[key]:,.0f}" if r[key] else "-" for key in ("process", "device", "first_process", "first_device")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    goal = results["rounds of ten"]
    met = "met" if goal["process"] <= GOAL_BYTES else "missed"
    lines += ["", f"Goal: at most 1 KB a reading in rounds of ten: {met} ({goal['process']:,.0f} bytes)."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", default="")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", action="store_true", help="also write benchmarks/flash.md")
    args = parser.parse_args()
    if args.case:
        case = next(c for c in CASES if c.name == args.case)
        print(json.dumps(run(case, args.folder, args.rounds)))
        return
    text = table({case.name: on_a_device(case.name, args.rounds) for case in CASES}, args.rounds)
    print(text)
    if args.write:
        (HERE / "flash.md").write_text(text)


if __name__ == "__main__":
    main()
