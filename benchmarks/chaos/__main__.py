"""``python -m benchmarks.chaos``: runs from seeds, one line each, and the table ``benchmarks/chaos.md``."""

from __future__ import annotations

import argparse
import platform
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chaos.judge import Verdict
from benchmarks.chaos.run import Run
from benchmarks.chaos.sabotage import SABOTAGES
from benchmarks.chaos.table import write_table

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "benchmarks" / "chaos.md"


@dataclass(frozen=True, slots=True)
class Done:
    run: Run
    verdict: Verdict
    took_s: float


def main() -> int:
    args = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a run that is ended takes its programs along
    seeds = args.seed or [random.SystemRandom().randrange(1, 1_000_000) for _ in range(args.runs)]
    done: list[Done] = []
    bad = 0
    earlier = TABLE.read_text() if TABLE.exists() else ""
    for number, seed in enumerate(seeds):
        store = args.store if args.store != "both" else ("sqlite", "influx")[number % 2]
        result = _one(args, seed, store)
        done.append(result)
        bad += not result.verdict.good
        sys.stdout.flush()
        if args.table:  # after each run, so that a campaign that is ended early leaves its table
            write_table(TABLE, [(d.run, d.verdict, d.took_s) for d in done], _command(args, seeds), earlier)
    faults: Counter[str] = sum((d.run.counts for d in done), Counter())
    print(f"{len(done)} runs, {faults.total()} faults, {bad} runs not good")
    if args.sabotage:
        caught = bad > 0
        print(f"sabotage {args.sabotage}: {'caught' if caught else 'NOT CAUGHT'}")
        return 0 if caught else 1
    return 1 if bad else 0


def _one(args: argparse.Namespace, seed: int, store: str) -> Done:
    folder = args.folder / f"{seed}-{store}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"seed {seed}, store {store}{', sabotage ' + args.sabotage if args.sabotage else ''}", flush=True)
    say = print if args.loud else (lambda _: None)
    began = time.monotonic()
    run = Run(folder, seed, args.seconds, args.gap, store, args.sabotage or "", args.quiet, tuple(args.only), say)
    verdict = run.go()
    v = verdict
    print(
        f"seed {seed}: {run.counts.total()} faults; made {v.made}, accepted {v.accepted}, stored {v.stored}; "
        f"lost {v.lost}, doubled {v.doubled}, misdated {v.misdated}, changed {v.changed}; "
        f"not heard {v.unheard} (unexplained {v.unheard_unexplained}), quarantined {v.quarantined}, "
        f"thinned {v.thinned}, gone with a replaced file {v.destroyed}; at rest after {run.quiet_took_s:.1f} s: "
        f"{'good' if v.good else 'NOT GOOD'}",
        flush=True,
    )
    for text in [*v.other, *v.examples]:
        print(f"    {text}")
    if not v.good:
        print(f"    kept: {folder}")
    return Done(run, verdict, time.monotonic() - began)


def _command(args: argparse.Namespace, seeds: list[int]) -> str:
    words = f"--seconds {args.seconds:g} --gap {args.gap:g} --store {args.store}"
    return f"python -m benchmarks.chaos {words} " + " ".join(f"--seed {s}" for s in seeds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, action="append", help="repeat for several runs; default: random ones")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120.0, help="real seconds of faults in a run")
    parser.add_argument("--gap", type=float, default=1.0, help="mean real seconds between two faults")
    parser.add_argument("--store", choices=("sqlite", "influx", "both"), default="sqlite")
    parser.add_argument("--sabotage", choices=sorted(SABOTAGES), help="break a promise; good means: caught")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/smile-iot-chaos"))
    parser.add_argument("--table", action="store_true", help=f"write {TABLE.relative_to(ROOT)}")
    parser.add_argument("--quiet", type=float, default=120.0, help="real seconds in which the line must come to rest")
    parser.add_argument("--only", action="append", default=[], help="faults whose name holds this text; repeat")
    parser.add_argument("--loud", action="store_true", help="print every fault")
    return parser


if __name__ == "__main__":
    if platform.system() != "Linux":
        sys.exit("the campaign needs Linux")
    sys.exit(main())
