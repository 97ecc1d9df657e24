"""``python -m benchmarks.labelled [KIND] [--seed N] [--csv]``: look at labelled runs."""

from __future__ import annotations

import argparse
import csv
import sys
from datetime import UTC, datetime

from benchmarks.labelled import Kind, Run, make_run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labelled", description=__doc__)
    parser.add_argument("kind", nargs="?", type=Kind, help=", ".join(Kind))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--csv", action="store_true", help="the facts: time, stream, value, quality")
    args = parser.parse_args()
    runs = [make_run(kind, args.seed) for kind in ([args.kind] if args.kind else Kind)]
    for run in runs:
        if args.csv:
            _csv(run)
        else:
            _say(run)
    return 0


def _say(run: Run) -> None:
    ice = "ice-lined, " if run.history.cabinet.ice_c_s else ""
    print(f"{run.kind} seed {run.seed}: {ice}every {run.interval_s} s, sigma {run.sigma_c} C, {len(run.facts)} facts")
    for label in run.labels:
        print(f"  {label.target} {_time(label.from_ms)} to {_time(label.to_ms)}, size {label.size:.2f}")


def _csv(run: Run) -> None:
    out = csv.writer(sys.stdout)
    out.writerow(("time", "stream", "value", "quality"))
    for f in run.facts:
        out.writerow((_time(f.t_ms), f.stream_id, "" if f.value_c is None else f.value_c, f.quality.value))


def _time(t_ms: int) -> str:
    return datetime.fromtimestamp(t_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    sys.exit(main())
