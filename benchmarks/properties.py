"""The property suites of the rules in their long form, and how many examples each has seen.

    make properties                       prints the table and writes benchmarks/properties.md
    make properties EXAMPLES=100000       more of them
    python -m benchmarks.properties --others 0.1      the first property in full, of the others a tenth

Each suite runs in processes of its own with seeds that are printed, so that a failure can be had again
(``SMILE_IOT_EXAMPLES=N pytest TEST --hypothesis-seed=S``). The counts are Hypothesis' own: examples that passed, and
those that were drawn and thrown away as not valid.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
WORLDS, ORDER = "tests/alerts/properties/test_small_worlds.py", "tests/alerts/test_rules_order.py"
BULK = "tests/alerts/bulk/test_bulk_equals_engine.py"
PEOPLE = "tests/alerts/properties/test_people_and_readings.py"
SENSORS = "tests/alerts/equipment/test_order.py"
_COUNT = re.compile(r"(\d+) passing(?: \w+)?, (\d+) failing(?: \w+)?,? and (\d+) invalid")


@dataclass(frozen=True, slots=True)
class Suite:
    """A property test, its share of the examples asked for, and in how many runs with a seed each."""

    file: str
    test: str
    says: str
    share: float = 1.0
    runs: int = 1


SUITES = (
    Suite(
        WORLDS,
        "test_req_09_req_37_whatever_happens_to_a_small_world_the_findings_are_those_of_its_facts",
        "any permutation, repetition, split into uploads and late arrival, with kills and restores, history forgotten, wake-ups"
        " and limits that change at a date (learnt before, at or after it): incremental = from scratch",
        runs=8,
    ),
    Suite(
        WORLDS,
        "test_req_08_a_restart_from_what_was_said_says_nothing_new",
        "a restart from the records says nothing new and forgets nothing",
        runs=2,
    ),
    Suite(
        WORLDS,
        "test_req_30_words_of_a_door_in_any_order_say_what_judge_says",
        "event-driven words of a door in any order, with changing limits",
        runs=2,
    ),
    Suite(
        PEOPLE,
        "test_req_09_req_12_req_38_whatever_people_say_of_readings_and_when_the_findings_are_those_of_both",
        "readings and what people say of them in any order, through alerts' memory, with kills and forgotten history:"
        " incremental = from scratch",
        share=0.25,
        runs=2,
    ),
    Suite(
        PEOPLE,
        "test_req_12_req_38_columns_are_amended_as_single_readings_are",
        "the same over columns (alerts.bulk) = the engine",
        share=0.25,
    ),
    Suite(
        PEOPLE,
        "test_req_12_req_38_what_a_batch_lived_through_is_that_of_readings_amended_by_hand",
        "what a batch lived through over raw readings and what was said = over readings amended by hand",
        share=0.1,
    ),
    Suite(
        BULK,
        "test_a_series_is_judged_as_the_engine_judges_it",
        "whole series in columns (alerts.bulk) = the engine: repeats, conflicts, moved numbers, faults, gaps, every kind of rule",
        runs=2,
    ),
    Suite(
        BULK,
        "test_limits_that_changed_judge_each_time_by_its_own",
        "the same with limits that change and a door that speaks at changes",
        runs=2,
    ),
    Suite(
        BULK,
        "test_req_26_the_exposure_of_a_batch_is_the_same_over_columns",
        "exposures in columns = alerts.exposure.expose",
        share=0.25,
    ),
    Suite(
        ORDER,
        "test_req_01_heat_agrees_with_a_naive_reading_of_the_conventions",
        "HEAT against an independent, naive reading of the conventions",
        share=0.25,
    ),
    Suite(
        ORDER,
        "test_a_sum_is_reached_when_counting_every_second_says_so",
        "cumulative rules against counting every second",
        share=0.25,
    ),
    Suite(
        ORDER,
        "test_req_09_steps_in_any_order_split_and_repetition_say_what_judge_says",
        "the house's own profiles, histories of up to 112 readings, any order",
        share=0.05,
    ),
    Suite(
        ORDER,
        "test_req_37_dated_limits_say_the_same_in_any_order_of_facts_and_whenever_a_change_is_learnt",
        "the same with the house's profiles changing at dates",
        share=0.05,
    ),
    Suite(
        SENSORS,
        "test_any_order_repetition_and_split_is_the_same_as_from_scratch",
        "all rules over sensors, door, power and feed of one equipment, any order, repetition and split, device numbers and"
        " contradictions among them",
        share=0.1,
    ),
    Suite(
        SENSORS,
        "test_a_track_that_lets_go_of_the_past_and_recalls_it_says_the_same",
        "the same while the past is let go of after each part and recalled for late facts",
        share=0.1,
    ),
)


@dataclass(frozen=True, slots=True)
class Run:
    suite: Suite
    examples: int
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    run: Run
    passed: int
    failed: int
    invalid: int
    seconds: float
    output: str


def runs(examples: int, first_seed: int, others: float = 1.0) -> Iterator[Run]:
    """Every run of every suite, the longest suite first; of all but that one the part ``others``."""
    for suite in SUITES:
        wanted = examples * suite.share * (1.0 if suite is SUITES[0] else others)
        for i in range(suite.runs):
            yield Run(suite, max(1, round(wanted / suite.runs)), first_seed + i)


def do(run: Run) -> Outcome:
    """One process; a failing property fails the run and keeps its words."""
    test = f"{run.suite.file}::{run.suite.test}"
    options = ("-q", "-p", "no:cacheprovider", "--timeout", "0", "--hypothesis-show-statistics")
    command = (sys.executable, "-m", "pytest", test, *options, f"--hypothesis-seed={run.seed}")
    environment = {**os.environ, "SMILE_IOT_EXAMPLES": str(run.examples)}
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    counts = [tuple(map(int, found)) for found in _COUNT.findall(done.stdout)]
    passed, failed, invalid = (sum(c[i] for c in counts) for i in range(3))
    failed = max(failed, int(done.returncode != 0))
    print(f"{run.suite.test} seed {run.seed}: {passed} passed, {failed} failed", flush=True)
    return Outcome(run, passed, failed, invalid, time.perf_counter() - began, done.stdout + done.stderr)


def page(outcomes: list[Outcome], workers: int, command: str) -> str:
    """The table as Markdown."""
    now = datetime.now(UTC)  # noqa: TID251  (the date of a measurement)
    asked = ("git", "rev-parse", "--short", "HEAD")
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    lines = [
        "# Property suites of the rules, long form",
        "",
        f"{now:%d %B %Y}, {workers} at a time on 2 cores (shared with other work), Python {sys.version.split()[0]},"
        f" commit {commit}. Command: `{command}`.",
        "Passed and thrown away (drawn, but not valid) are Hypothesis' own counts.",
        "",
        "| property | examples passed | failed | thrown away | seeds | CPU-wall seconds |",
        "|---|---|---|---|---|---|",
    ]
    for suite in SUITES:
        own = [o for o in outcomes if o.run.suite is suite]
        sums = (sum(o.passed for o in own), sum(o.failed for o in own), sum(o.invalid for o in own))
        seeds = f"{own[0].run.seed}-{own[-1].run.seed}" if len(own) > 1 else str(own[0].run.seed)
        seconds = round(sum(o.seconds for o in own))
        lines.append(
            f"| {suite.says} (`{suite.test}`) | {sums[0]:,} | {sums[1]} | {sums[2]:,} | {seeds} | {seconds:,} |"
        )
    total, failed = sum(o.passed for o in outcomes), sum(o.failed for o in outcomes)
    lines += [f"| **all** | **{total:,}** | **{failed}** | | | |", ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=20_000, help="of the largest suites (default 20000)")
    parser.add_argument("--others", type=float, default=1.0, help="part of it for all suites but the first")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--write", action="store_true", help="write benchmarks/properties.md")
    args = parser.parse_args()
    with ThreadPoolExecutor(args.workers) as pool:
        outcomes = list(pool.map(do, runs(args.examples, args.seed, args.others)))
    for o in outcomes:
        if o.failed:
            print(o.output, file=sys.stderr)
    told = " ".join(sys.argv[1:])
    text = page(outcomes, args.workers, f"python -m benchmarks.properties {told}".strip())
    print(text)
    if args.write:
        (HERE / "properties.md").write_text(text, encoding="utf-8")
    return 1 if any(o.failed for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
