"""``benchmarks/chaos.md``: what a campaign found, written by the campaign."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from telemetry.clock import SystemClock
from telemetry.contract import iso_utc

if TYPE_CHECKING:
    from benchmarks.chaos.judge import Verdict
    from benchmarks.chaos.run import Run

_FIELDS = ("made", "accepted", "stored", "lost", "doubled", "misdated", "changed")
_APART = ("unheard", "unheard_unexplained", "quarantined", "thinned", "destroyed", "heard_again")


def write_table(path: Path, runs: list[tuple[Run, Verdict, float]], command: str, earlier: str = "") -> None:
    """``earlier`` is what the file held before this campaign: kept below, so that a bad one is not forgotten."""
    faults: Counter[str] = sum((run.counts for run, _, _ in runs), Counter())
    total = {name: sum(getattr(v, name) for _, v, _ in runs) for name in (*_FIELDS, *_APART)}
    minutes = sum(took for _, _, took in runs) / 60
    when = iso_utc(SystemClock().now_ms())[:16].replace("T", " ")
    lines = [
        "# Kill campaign",
        "",
        f"Written by `make chaos` (or the command below) on {when} UTC, commit {_commit()}, {_machine()}.",
        f"{len(runs)} runs, {minutes:.0f} minutes, **{faults.total()} faults**; {total['made']} readings made, "
        f"{total['accepted']} accepted by the outbox: **lost {total['lost']}, doubled {total['doubled']}, misdated "
        f"{total['misdated']}, changed {total['changed']}**. What the words mean and what this cannot show: `docs/proof.md`.",
        "",
        f"    {command}",
        "",
        "| seed | store | faults | made | accepted | stored | lost | doubled | misdated | changed | at rest after, s | verdict |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run, v, _ in runs:
        cells = [run.seed, run.store, run.counts.total(), *(getattr(v, name) for name in _FIELDS)]
        cells += [f"{run.quiet_took_s:.0f}", "good" if v.good else "not good"]
        lines.append("| " + " | ".join(str(c) for c in cells) + " |")
    lines += [
        "",
        "Made and not in the store for another reason (all runs): "
        f"not heard, because the edge was dead, stopped or its disk full {total['unheard']} (without such a reason "
        f"{total['unheard_unexplained']}); in quarantine with a reason {total['quarantined']}; thinned by name "
        f"{total['thinned']}; unsent in an outbox file that a restored backup replaced {total['destroyed']}. "
        "Heard once more, and stored at both "
        f"times, because a backup that was put back knew nothing of the first hearing: {total['heard_again']}.",
        "",
        "| fault | times |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in sorted(faults.items())),
        "",
    ]
    notes = [(run.seed, text) for run, v, _ in runs if not v.good for text in [*v.other, *v.examples][:5]]
    if notes:
        lines += ["Runs that were not good:", "", *(f"- seed {seed}: {text}" for seed, text in notes), ""]
    if earlier:
        lines += ["## Before this", "", *(line for line in earlier.splitlines() if not line.startswith("# ")), ""]
    path.write_text("\n".join(lines))


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _machine() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return f"{os.cpu_count()} x {names[0] if names else 'unknown'}"
