"""The real ``smile-iot alerts``, killed with SIGKILL again and again while entries arrive: ``make kill-alerts``.

    four hours a life (3600 times as fast) ─▶ readings into the journal, people's rows into the records
    process ─▶ SIGKILL ─▶ process ─▶ SIGKILL ─▶ ... ─▶ rest ─▶ compare with a judgement from scratch

Where kills fall: in a start, when the first entry is done, at any moment of the work after it, just after an entry was
appended, when a claim of a message stands, when a message has just arrived and is not noted, and when it is noted. The
seed decides what happens and which kind of kill is next; to the instant a kill is not repeatable, for the process is
real. ``--sabotage`` breaks the service in a named way: the comparison must find it and call it by its name.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.alerts_kills_campaign import ROOT, Campaign
from benchmarks.alerts_kills_oracle import Outcome
from benchmarks.alerts_kills_sabotage import NAMED

TABLE = ROOT / "benchmarks" / "alerts_kills.md"
COLUMNS = (
    "seed",
    "broken on purpose",
    "kills",
    "in a start / judging / telling / in between",
    "entries / readings / people's rows",
    "findings / withdrawn",
    "alarms expected / found",
    "messages noted",
    "lost",
    "doubled",
    "forgotten",
    "repeats allowed",
    "other faults",
    "slowest start / stop, s",
    "load",
    "took, s",
)
HEAD = """# Alerts killed while entries arrive

{date} UTC, commit `{commit}`, Python {python}, {cores} cores; what else ran on the machine shows in the column "load"
(1-minute average, least and most of those taken at each kill). Made by `make kill-alerts` (`benchmarks/alerts_kills.py`):
the real process `smile-iot alerts`, real SQLite journal, records and `alerts.db`, a real HTTP server as channel of two
people, four hours a life (3600 times as fast). SIGKILL, a new process, and so on, while readings, late data and people's
rows arrive. At rest all is compared with a judgement from scratch out of the journal. A seed decides what happens; to the
instant the kills are not repeatable.

"""
FOOT = """
{total}

* **Alarms expected / found**: findings that ask a person by the judgement from scratch; how many of them have an alarm.
* **Lost**: an open alarm of which a person got no message, a message noted as sent that never arrived, an alarm that is
  not in the records. **Forgotten**: a claim or a failure that nobody took up again.
* **Doubled**: a message beyond one for each opening of an alarm, person and contact. **Repeats allowed** are counted
  apart: the message had arrived, the kill came before that was noted, so it left again: rather twice than never
  (`alerts/README.md`, "Kills, outages, years"; decision 0028). Which ones these are is seen at each kill, and
  arrived = noted + cut off must hold to the one.
* **Other faults**: facts and findings that differ, verdicts that differ or cannot be explained, a broken audit chain,
  messages of no finding.
* Rows that are broken on purpose are the control (`benchmarks/alerts_kills_sabotage.py`): the same comparison must find
  the fault and call it by its name ({named}).

## Every pair of kill points

{pairs}
"""
NO_PAIRS = "Not run for this table (`make kill-alerts` does)."
PAIRS = """The service in one process, killed before each of its durable steps (commits of `alerts.db`, writes into the
records, a message that leaves), and in the life after that before each step again (`tests/alerts/test_kill_points.py`).
{done}, no alarm lost, doubled or forgotten; {played:,} of the pairs were played to their end, the
others left what another pair had left (all rows compared; the order in which the audit was written aside). {when}."""
WHOLE = "All {kills} single kills and all {pairs:,} pairs"
SOME = "Broken off: {some} of {of} different first kills, {kills} single kills and {pairs:,} pairs"
TOTAL = "The whole service: {kills} kills, {told} messages, {again} repeats allowed; rows that are not as they must be: {bad}."


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    kills: int
    sabotage: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """``is_good``: nothing found, or, where the service is broken on purpose, what had to be found."""

    plan: Plan
    kills: int
    outcome: Outcome
    line: str
    is_good: bool


def row(c: Campaign, o: Outcome, seconds: float) -> str:
    f, w = o.faults, c.where
    cells = (
        c.seed,
        c.sabotage or "no",
        c.kills,
        f"{w['start']} / {w['judging']} / {w['telling']} / {w['between']}",
        f"{c.entries:,} / {c.sensors.count:,} / {c.people.done}",
        f"{o.findings} / {o.withdrawn}",
        f"{o.alarms} / {o.found}",
        o.told,
        len(f.lost) + len(f.no_alarm),
        len(f.doubled),
        len(f.forgotten),
        o.again,
        sum(map(len, (f.facts, f.findings, f.verdicts, f.chain, f.strange))),
        f"{c.slowest_start_s:.1f} / {c.slowest_stop_s:.1f}",
        f"{min(c.loads):.1f} to {max(c.loads):.1f}",
        f"{seconds:.0f}",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def run(plan: Plan) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        made = (
            Campaign.broken(Path(folder), plan.seed, plan.sabotage)
            if plan.sabotage
            else Campaign(Path(folder), plan.seed)
        )
        campaign, began = made, time.monotonic()
        try:
            outcome = campaign.run(plan.kills)
        finally:
            campaign.close()
    faults = outcome.faults
    is_good = bool(vars(faults)[NAMED[plan.sabotage]]) if plan.sabotage else not faults.any()
    line = row(campaign, outcome, time.monotonic() - began)
    print("\n".join([line, faults.say()]).strip(), flush=True)
    return Result(plan, campaign.kills, outcome, line, is_good)


def page(results: list[Result], pairs: Path | None, now: datetime) -> str:
    commit, date = _commit(), f"{now.day} {now:%B %Y, %H:%M}"
    head = HEAD.format(date=date, commit=commit, python=sys.version.split()[0], cores=os.cpu_count())
    top = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    whole = [r for r in results if not r.plan.sabotage]
    total = TOTAL.format(
        kills=sum(r.kills for r in whole),
        told=sum(r.outcome.told for r in whole),
        again=sum(r.outcome.again for r in whole),
        bad=sum(not r.is_good for r in results),
    )
    named = ", ".join(f"`{sabotage}`: {name}" for sabotage, name in NAMED.items())
    foot = FOOT.format(total=total, named=named, pairs=NO_PAIRS if pairs is None else _counted(pairs))
    return head + "\n".join([*top, *(r.line for r in results)]) + "\n" + foot


def _counted(pairs: Path) -> str:
    """In words; one line of the file is a first kill with all the second ones."""
    lines = [json.loads(line) for line in pairs.read_text().splitlines()]
    kills, count = sum(n["kills"] for n in lines), sum(n["kills"] * n["seconds"] for n in lines)
    made = datetime.fromtimestamp(pairs.stat().st_mtime, UTC)
    form = WHOLE if len(lines) == lines[0]["of"] else SOME
    return PAIRS.format(
        done=form.format(kills=kills, pairs=count, some=len(lines), of=lines[0]["of"]),
        played=sum(n["played"] for n in lines),
        when=f"{made.day} {made:%B %Y, %H:%M} UTC",
    )


def _commit() -> str:
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", help="seeds; without them four new ones")
    parser.add_argument("--kills", type=int, default=30, help="kills a seed")
    parser.add_argument("--sabotage", choices=("", "all", *NAMED), default="", help="break the service, too")
    parser.add_argument("--jobs", type=int, default=1, help="campaigns at once")
    parser.add_argument("--pairs", type=Path, help="counts of the pairs of kill points, for the table")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    args = parser.parse_args()
    seeds = args.seeds or [random.randrange(1 << 32) for _ in range(4)]
    plans = [Plan(seed, args.kills) for seed in seeds]
    chosen = tuple(NAMED) if args.sabotage == "all" else (args.sabotage,) if args.sabotage else ()
    plans += [Plan(seeds[0], min(args.kills, 3), name) for name in chosen]
    with ProcessPoolExecutor(args.jobs) as pool:
        results = list(pool.map(run, plans))
    if args.write:
        now = datetime.now(UTC)  # noqa: TID251  (the date of a measurement)
        TABLE.write_text(page(results, args.pairs, now))
    return 0 if all(r.is_good for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
