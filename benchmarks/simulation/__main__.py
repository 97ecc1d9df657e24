"""``python -m benchmarks.simulation``: many seeds fast, or one with its trace."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import time
from dataclasses import replace

from benchmarks.simulation.schedule import Outcome, Schedule


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="one schedule, with its trace")
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if args.seed is not None:
        outcome = Schedule(args.seed, tracing=True).run()
        print("\n".join(outcome.trace))
        print(replace(outcome, trace=[]))
        return 1 if outcome.broken else 0
    return _many(range(args.first, args.first + args.seeds), args.workers)


def _many(seeds: range, workers: int) -> int:
    began = time.monotonic()
    if workers > 1:
        with multiprocessing.Pool(workers) as pool:
            outcomes = pool.map(play, seeds, chunksize=20)
    else:
        outcomes = [play(seed) for seed in seeds]
    took_s = time.monotonic() - began
    bad = [o for o in outcomes if o.broken]
    for outcome in bad[:20]:
        print(f"seed {outcome.seed}: {outcome.broken[:200]}")
    total = {
        n: sum(getattr(o, n) for o in outcomes) for n in ("accepted", "faults", "uploads", "receipts", "requests")
    }
    rest_s = max(o.rest_ms for o in outcomes) / 1000
    print(
        f"{len(outcomes)} schedules in {took_s:.1f} s ({len(outcomes) / took_s * 60:.0f} a minute), {len(bad)} broken; "
        + ", ".join(f"{name} {n}" for name, n in total.items())
        + f"; destroyed with a restored file {sum(o.destroyed for o in outcomes)}, in quarantine "
        f"{sum(o.quarantined for o in outcomes)}; longest way to rest {rest_s:.0f} s"
    )
    return 1 if bad else 0


def play(seed: int) -> Outcome:
    logging.disable(logging.CRITICAL)
    return Schedule(seed).run()


if __name__ == "__main__":
    sys.exit(main())
