"""What judging costs: the rules one reading at a time, and whole series in columns (``alerts.bulk``), side by side.

    make bench-rules            prints the table and writes benchmarks/rules.md

The readings: refrigerators with a reading a minute (times some ms late, a saw-tooth of 3 to 7 degrees with noise of
0.03), every fifth day an hour too warm or too cold, every tenth a hole of two hours, some faults. Each is judged by
the refrigerator's profile with a guard band and by SMILE's grace rule: six limits. Every row runs in a process of its
own, so that its peak memory is its own; CPU seconds, because other programs share the machine. What the plain engine
is given less of, for time, is scaled by the number of readings; where both got the same, they must say the same.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from alerts.bulk import Points, expose_points, judge_all, points_of
from alerts.exposure import Placement, expose
from alerts.profiles import builtin_profiles
from alerts.rules import Profiles, ReadingFact, RuleFinding, State, StreamSettings, judge, step
from alerts.rules.facts import degrees
from telemetry.readings import Quality

HERE = Path(__file__).parent
T0 = 1_790_035_200_000  # a midnight UTC
MINUTE = 60_000
DAY = 1_440
YEAR = 365 * DAY
CATALOGUE = builtin_profiles()
Columns = tuple[Any, Any, Any]


def columns(number: int, minutes: int) -> Columns:
    """(t_ms, thousandths, missing) of one stream; the same ones for every way of judging."""
    rng = np.random.default_rng(number)
    at = np.arange(minutes)
    t_ms = T0 + at * MINUTE + number * 37 % 1000 + rng.integers(0, 40, minutes)
    phase = (at + number * 7) % 55
    value_m = np.where(phase < 40, 3000 + 100 * phase, 7000 - 266 * (phase - 40)) + rng.normal(0, 30, minutes)
    missing = np.zeros(minutes, np.bool_)
    missing[rng.integers(0, minutes, max(1, minutes // 20_000))] = True
    keep = np.ones(minutes, np.bool_)
    for day in range(number % 5, minutes // DAY, 5):
        begin = day * DAY + int(rng.integers(0, DAY - 120))
        value_m[begin : begin + int(rng.integers(30, 120))] += rng.choice([6000, -5500])
    for day in range(number % 10, minutes // DAY, 10):
        begin = day * DAY + int(rng.integers(0, DAY - 120))
        keep[begin : begin + 120] = False
    return t_ms[keep], np.round(value_m[keep] / 10).astype(np.int64) * 10, missing[keep]


def facts_of(number: int, made: Columns) -> list[ReadingFact]:
    rows = zip(*(c.tolist() for c in made), strict=True)
    return [
        ReadingFact(
            f"F{number}", f"S{number}/temperature_c", t, *((None, Quality.SENSOR_FAULT) if gone else (degrees(v),))
        )
        for t, v, gone in rows
    ]


def points(number: int, made: Columns) -> dict[tuple[str, str], Points]:
    return {(f"F{number}", f"S{number}/temperature_c"): points_of(*made)}


def profiles(count: int) -> Profiles:
    watched = {f"F{i}": ("refrigerator", "smile_grace") for i in range(count)}
    known = {f"S{i}/temperature_c": StreamSettings(None, Decimal("0.25")) for i in range(count)}
    return Profiles(CATALOGUE, watched, known)


@dataclass(frozen=True)
class Ran:
    """``readings`` judged in ``cpu_s`` (``wall_s``); the process's peak memory, readings and all; what was said."""

    readings: int
    cpu_s: float
    wall_s: float
    peak_mb: float
    findings: int
    said: str


def said(found: list[RuleFinding]) -> str:
    return hashlib.sha256(repr([astuple(f) for f in found]).encode()).hexdigest()[:12]


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(work: Callable[[], list[RuleFinding]], readings: int) -> Ran:
    cpu, wall = time.process_time(), time.perf_counter()
    found = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Ran(readings, cpu, wall, peak_mb(), len(found), said(found))


# --- what runs in a process of its own --------------------------------------------------------------------


def plain(count: int, minutes: int) -> Ran:
    facts = [f for i in range(count) for f in facts_of(i, columns(i, minutes))]
    by, now_ms = profiles(count), T0 + minutes * MINUTE
    return measured(lambda: judge(facts, by, now_ms), len(facts))


def bulk(count: int, minutes: int) -> Ran:
    made = [columns(i, minutes) for i in range(count)]
    by, now_ms = profiles(count), T0 + minutes * MINUTE

    def work() -> list[RuleFinding]:
        found: list[RuleFinding] = []
        for i, one in enumerate(made):
            found += judge_all(points(i, one), by, now_ms)
        return found

    return measured(work, sum(c[0].size for c in made))


def stays() -> list[Placement]:
    return [Placement("B1", "F0", T0 + DAY * MINUTE)]


def plain_exposure(minutes: int) -> Ran:
    facts = facts_of(0, columns(0, minutes))

    def work() -> list[RuleFinding]:
        lived = expose("B1", stays(), facts, profiles(1), CATALOGUE["refrigerator"], T0 + minutes * MINUTE)
        return [] if lived is None else list(lived.findings)

    return measured(work, len(facts))


def bulk_exposure(minutes: int) -> Ran:
    made = columns(0, minutes)

    def work() -> list[RuleFinding]:
        now_ms = T0 + minutes * MINUTE
        lived = expose_points("B1", stays(), points(0, made), profiles(1), CATALOGUE["refrigerator"], now_ms)
        return [] if lived is None else list(lived.summed.findings)

    return measured(work, made[0].size)


def incremental(days: int) -> tuple[float, float, float, float]:
    """Microseconds (newest reading; late by an hour; late by a day), MB of a state that holds these days."""
    by = profiles(1)
    facts = facts_of(0, columns(0, (days + 1) * DAY))
    held = peak_mb()
    cut_ms = T0 + days * DAY * MINUTE
    old = [f for f in facts if f.t_ms < cut_ms]
    newest = [f for f in facts if f.t_ms >= cut_ms][:1000]
    late = {ago: [f for f in old if cut_ms - (ago + 60) * MINUTE < f.t_ms][:60] for ago in (60, DAY)}
    missing = {f.t_ms for group in late.values() for f in group}
    state = step(State(), [f for f in old if f.t_ms not in missing], by, cut_ms).state
    grown = peak_mb() - held

    def each(rows: list[ReadingFact]) -> float:
        nonlocal state
        times = []
        for f in rows:
            start = time.process_time_ns()
            state = step(state, [f], by, max(cut_ms, f.t_ms)).state
            times.append((time.process_time_ns() - start) / 1000)
        return statistics.median(times)

    out = (each(late[60][::-1]), each(late[DAY][::-1]), each(newest))
    return out[2], out[0], out[1], grown


def forgetting(days: int) -> float:
    """MB of a state that is fed day by day and forgets what is older than two days."""
    by, state = profiles(1), State()
    made = columns(0, days * DAY)
    rows = list(zip(*(c.tolist() for c in made), strict=True))
    before = peak_mb()
    for begin in range(0, len(rows), DAY):
        part = rows[begin : begin + DAY]
        facts = [ReadingFact("F0", "S0/temperature_c", t, None if gone else degrees(v)) for t, v, gone in part]
        state = step(state, facts, by, facts[-1].t_ms).state.forget(facts[-1].t_ms - 2 * DAY * MINUTE)
    return peak_mb() - before


def alone(work: Callable[..., Any], *args: int) -> Any:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


# --- the page ---------------------------------------------------------------------------------------------


def row(what: str, slow: Ran, fast: Ran, goal: str) -> str:
    us = [r.cpu_s * 1e6 / r.readings for r in (slow, fast)]
    if slow.readings == fast.readings:
        assert slow.said == fast.said, f"{what}: bulk and engine differ"
        same = "the same"
    else:
        same = f"engine: {slow.readings:,} readings"
    return (
        f"| {what} | {fast.readings:,} | {us[0]:.2f} | {us[1]:.3f} | {us[0] / us[1]:.0f} x | {fast.cpu_s:.2f} /"
        f" {fast.wall_s:.2f} | {goal} | {slow.peak_mb:.0f} / {fast.peak_mb:.0f} | {fast.findings:,} | {same} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the rules and write benchmarks/rules.md.")
    parser.add_argument("--out", type=Path, default=HERE / "rules.md")
    parser.add_argument("--quick", action="store_true", help="a twelfth of everything: to see that it runs")
    args = parser.parse_args()
    part = 12 if args.quick else 1
    load = os.getloadavg()[0]
    year, month = YEAR // part, 30 * DAY // part
    rows = [
        row("one stream, one year", alone(plain, 1, year), alone(bulk, 1, year), "-"),
        row("a site's year: 8 streams", alone(plain, 8, month), alone(bulk, 8, year), "< 2 s"),
        row("1,000 equipment, a day", alone(plain, 50 // part, DAY), alone(bulk, 1000 // part, DAY), "< 10 s"),
        row("a batch's year (exposure)", alone(plain_exposure, year // 4), alone(bulk_exposure, year), "-"),
        row("a batch's quarter (exposure)", alone(plain_exposure, year // 4), alone(bulk_exposure, year // 4), "-"),
    ]
    spans = [2, 30, 90] if part == 1 else [2, 5]
    steps = {days: alone(incremental, days) for days in spans}
    kept = {days: alone(forgetting, days) for days in spans}
    now = datetime.fromtimestamp(os.stat(__file__).st_mtime, UTC)  # noqa: PTH116
    lines = [
        "# What judging costs",
        "",
        f"`make bench-rules`, {now:%Y-%m-%d} code, {os.cpu_count()} cores, Python {platform.python_version()}, load"
        f" {load:.1f} at the start. What is measured and why so: the head of `benchmarks/rules.py`.",
        "",
        "Whole series, engine against columns in one run:",
        "",
        "| what | readings | engine us/reading | columns us/reading | ratio | columns CPU / wall s | goal"
        " | peak MB, engine / columns | findings | findings of both |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "The goals are of a machine of two cores of its own; with a load above 2, wall times say little and CPU times"
        " are more than they would be.",
        "",
        "One reading at a time (`alerts.rules.step`; CPU, median), and what a stream's state holds in memory:",
        "",
        "| history | newest reading, us | late by an hour, us | late by a day, us | MB, all kept | MB, two days kept |",
        "|---|---|---|---|---|---|",
        *(
            f"| {d} days | {s[0]:.0f} | {s[1]:.0f} | {s[2]:.0f} | {s[3]:.1f} | {kept[d]:.1f} |"
            for d, s in steps.items()
        ),
        "",
    ]
    print("\n".join(lines))
    if not args.quick:
        args.out.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
