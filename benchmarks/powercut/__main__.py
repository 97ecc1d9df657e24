"""Power cuts below the file system: written-but-unsynced data are really thrown away.

    make powercut       hundreds of cuts, and benchmarks/powercut.md
    python -m benchmarks.powercut --cuts 12     the short form of the tests

ext4 on a loop device on a file of our own FUSE file system (``disk.py``) logs every block write and flush in order.
The outbox, the journal with its ledger and the embedded store run on it (``work.py``) and mark what was accepted. A cut
is any place in the log: all writes before the last flush are on the medium; of each later one, as the seed says, all,
nothing, or some of its sectors of 512 bytes. Those bytes are mounted as they are (ext4 mends itself by its journal),
the files opened by our own code, and what they hold is compared with the marks before the cut.

*Negative control*: the same with the outbox at synchronous=OFF and NORMAL must be found out, or the test proves nothing.
Ends with 1 if anything accepted is missing, doubled or changed, or if a control is not found out; with 3 if this
machine has no /dev/fuse or we are not root (said, not hidden).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.powercut.disk import FLUSH, HEAD, TOLD, WRITE
from benchmarks.powercut.work import complaints
from telemetry.clock import SystemClock

HERE = Path(__file__).parent
IMAGE_BYTES = 48 << 20
SECTOR = 512
NOT_RUN = 3


@dataclass
class Campaign:
    """What one recorded run and its cuts gave."""

    name: str
    seed: int
    cuts: int = 0
    writes: int = 0
    flushes: int = 0
    marks: int = 0
    torn: int = 0
    dropped: int = 0
    spoiled: int = 0
    complaints: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Op:
    kind: bytes
    offset: int
    data: bytes


def log_of(path: Path) -> list[Op]:
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        kind, offset, length = HEAD.unpack_from(data, at)
        at += HEAD.size
        found.append(Op(kind, offset, data[at : at + length]))
        at += length
    return found


@contextmanager
def recorded(scratch: Path) -> Iterator[tuple[Path, Path, Path]]:
    """The file system for the work, its marks and the log; unmounted at the end."""
    image, log, fuse, place = scratch / "image", scratch / "log", scratch / "fuse", scratch / "ext4"
    fuse.mkdir()
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-J", "size=4", "-E", "lazy_itable_init=0,nodiscard", image], check=True)
    serve = [sys.executable, "-m", "benchmarks.powercut.disk", image, log, fuse]
    server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        if server.stdout.readline() != "ready\n":
            raise RuntimeError("the disk did not start")
        subprocess.run(["mount", "-o", "loop,noatime", fuse / "disk", place], check=True)
        try:
            yield place, fuse / "mark", log
        finally:
            subprocess.run(["umount", place], check=False)
    finally:
        subprocess.run(["umount", fuse], check=False)
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)
        server.kill()
        server.wait()


def record(scratch: Path, seed: int, steps: int, synchronous: str, parts: str) -> list[Op]:
    with recorded(scratch) as (place, mark, log):
        command = [sys.executable, "-m", "benchmarks.powercut.work", place, mark, "--seed", str(seed)]
        command += ["--steps", str(steps), "--synchronous", synchronous, "--parts", parts]
        subprocess.run(command, check=True)
    return log_of(log)


class Medium:
    """What is surely on the disk, as the log goes on."""

    def __init__(self, image: Path, ops: list[Op]) -> None:
        self._bytes = bytearray(image.read_bytes())
        self._ops = ops
        self._place = 0
        self._waiting: list[Op] = []
        self.marks: list[str] = []

    def go_to(self, cut: int) -> None:
        for op in self._ops[self._place : cut]:
            if op.kind == WRITE:
                self._waiting.append(op)
            elif op.kind == FLUSH:
                for write in self._waiting:
                    self._bytes[write.offset : write.offset + len(write.data)] = write.data
                self._waiting.clear()
            else:
                self.marks.append(op.data.decode())
        self._place = cut

    def cut(self, rng: random.Random, campaign: Campaign) -> bytearray:
        """The bytes after a cut here: of each write since the last flush all, nothing, or some sectors."""
        after = bytearray(self._bytes)
        keep = rng.choice((0.0, 0.1, 0.5, 0.5, 0.9))
        for write in self._waiting:
            chance = rng.random()
            if chance < keep:
                after[write.offset : write.offset + len(write.data)] = write.data
                continue
            if chance < keep + (1 - keep) * 0.6:
                campaign.dropped += 1
                continue
            campaign.torn += 1
            for at in range(0, len(write.data), SECTOR):
                if rng.random() < 0.5:
                    part = write.data[at : at + SECTOR]
                    after[write.offset + at : write.offset + at + len(part)] = part
        return after


def judged(scratch: Path, after: bytearray, marks: list[str]) -> list[str]:
    """Mount what is left and look."""
    image, place = scratch / "after", scratch / "look"
    place.mkdir(exist_ok=True)
    image.write_bytes(after)
    mounted = subprocess.run(
        ["mount", "-o", "loop,noatime", image, place], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        return [f"ext4 cannot be mounted: {mounted.stderr.strip()}"]
    try:
        return list(complaints(place, marks))
    finally:
        subprocess.run(["umount", place], check=True)


def run(name: str, seed: int, steps: int, cuts: int, synchronous: str, parts: str) -> Campaign:
    campaign = Campaign(name, seed)
    with tempfile.TemporaryDirectory(prefix="powercut-", dir="/var/tmp") as folder:
        scratch = Path(folder)
        ops = record(scratch, seed, steps, synchronous, parts)
        campaign.writes = sum(op.kind == WRITE for op in ops)
        campaign.flushes = sum(op.kind == FLUSH for op in ops)
        campaign.marks = sum(op.kind == TOLD for op in ops)
        medium, rng = _begun(scratch, ops), random.Random(seed)
        begin = next(place for place, op in enumerate(ops) if op.data.startswith(b"outbox epoch"))
        end = max(place for place, op in enumerate(ops) if op.data == b"end")
        for cut in _places(ops, begin, end, cuts, rng):
            medium.go_to(cut)
            found = judged(scratch, medium.cut(rng, campaign), medium.marks)
            campaign.cuts += 1
            campaign.spoiled += bool(found)
            campaign.complaints += [f"seed {seed}, cut at {cut}: {text}" for text in found[:3]]
            if found and synchronous != "FULL" and campaign.spoiled >= 3:
                break  # found out
    return campaign


def _places(ops: list[Op], begin: int, end: int, cuts: int, rng: random.Random) -> list[int]:
    """Four of five right after a write that no flush has followed yet: most other moments have nothing to lose."""
    open_ = [place + 1 for place in range(begin, end) if ops[place].kind == WRITE]
    return sorted(
        rng.choice(open_) if open_ and rng.random() < 0.8 else rng.randrange(begin, end + 1) for _ in range(cuts)
    )


def _begun(scratch: Path, ops: list[Op]) -> Medium:
    """The image as mkfs left it is the medium before the first write."""
    return Medium(scratch / "image", ops)


def possible() -> str:
    """Why it cannot run here, "" if it can."""
    if os.geteuid() != 0:
        return "not root"
    missing = [name for name in ("/dev/fuse", "/dev/loop-control") if not Path(name).exists()]
    missing += [name for name in ("mkfs.ext4", "mount") if shutil.which(name) is None]
    return f"no {', '.join(missing)}" if missing else ""


def table(campaigns: list[Campaign]) -> str:
    date = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC).strftime("%Y-%m-%d")
    lines = [
        "# Power cuts below the file system",
        "",
        f"{date}, `make powercut`: ext4 on a block device that throws away what was not flushed.",
        "*spoiled*: cuts after which anything accepted was missing, doubled or changed. The controls must be spoiled.",
        "",
        "| campaign | seed | accepted calls | block writes | flushes | cuts | writes dropped | torn | spoiled |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {c.name} | {c.seed} | {c.marks} | {c.writes} | {c.flushes} | {c.cuts} | {c.dropped} | {c.torn} | {c.spoiled} |"
        for c in campaigns
    ]
    ours = [c for c in campaigns if not c.name.startswith("control")]
    lines += ["", f"Ours: {sum(c.cuts for c in ours)} cuts, {sum(c.spoiled for c in ours)} spoiled."]
    lines += [f"- {text}" for c in campaigns for text in c.complaints[:2]]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=40, help="cuts of each recorded run")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", default="outbox,journal,store")
    parser.add_argument("--controls", default="OFF,NORMAL")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="also write benchmarks/powercut.md")
    args = parser.parse_args()
    why = possible()
    if why:
        print(f"not run: {why}")
        return NOT_RUN
    campaigns = []
    for seed in range(args.seed, args.seed + args.runs):
        campaigns.append(run("outbox, journal, store", seed, args.steps, args.cuts, "FULL", args.parts))
        print(asdict(campaigns[-1]) if not args.json else "", file=sys.stderr)
    campaigns += [
        run(f"control: outbox at {control}", args.seed, args.steps, args.cuts, control, "outbox")
        for control in filter(None, args.controls.split(","))
    ]
    print(json.dumps([asdict(c) for c in campaigns]) if args.json else table(campaigns))
    if args.write:
        (HERE.parent / "powercut.md").write_text(table(campaigns))
    good = all((c.spoiled > 0) == c.name.startswith("control") for c in campaigns)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
