"""The sections of ``make bench``, in the order of the table. Each gives its rows and its raw figures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import bench_broker, bench_edge, bench_influx, bench_latency, bench_rows, bench_throughput
from benchmarks.bench_disk import commits_ms
from benchmarks.bench_introduce import introduce
from benchmarks.bench_line import client_of, open_line
from benchmarks.bench_memory import import_baseline
from benchmarks.bench_messages import COMPACT_50, COMPACT_500, JSON_50, SINGLE, Fleet, Shape, write_messages
from benchmarks.bench_table import Row, at_least, at_most, count_text
from benchmarks.bench_throughput import Result
from smile_iot.settings import load_settings

RATES = (100, 1_000, 5_000)
LINGER_S = 0.05
LINGER_KEY = "ingest.linger_ms"
MB = 1e6


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. ``readings``: of a run of uploads; ``singles``: messages of a run of single readings."""

    runs: int = 3
    edges: int = 100
    ceiling_messages: int = 200_000
    wrk_seconds: int = 3
    bodies: int = 60
    points: int = 20_000
    singles: int = 60_000
    readings: int = 600_000
    live_s: float = 7.0
    warm_up_s: float = 2.0
    disk_s: float = 5.0
    month: int = 430_000
    rates: tuple[int, ...] = RATES

    def scaled(self, share: float) -> Sizes:
        """Runs of fewer readings; live rates, and the month's backlog, stay what they are."""
        return replace(
            self,
            ceiling_messages=round(self.ceiling_messages * share),
            singles=round(self.singles * share),
            readings=round(self.readings * share),
        )


TINY = Sizes(
    1,
    5,
    2_000,
    wrk_seconds=2,
    bodies=2,
    points=1_000,
    singles=200,
    readings=2_000,
    live_s=1.0,
    warm_up_s=0.2,
    disk_s=0.2,
    month=2_000,
    rates=(100,),
)


@dataclass(slots=True)
class Bench:
    """What the sections share: a folder, the client, the sizes, the ceilings once they are known."""

    folder: Path
    program: Path
    records: Path
    fleet: Fleet
    sizes: Sizes
    now_ms: int
    say: Callable[[str], None]
    raw: dict[str, Any] = field(default_factory=dict)
    broker_per_s: dict[str, float] = field(default_factory=dict)
    influx_per_s: float = 0.0
    ours_per_s: float = 0.0

    def messages(self, shape: Shape, readings: int) -> Path:
        """A file of messages, made once."""
        count = max(1, readings // shape.readings)
        path = self.folder / f"{shape.name.replace(' ', '-')}-{count}"
        if not path.exists():
            self.say(f"making {count} messages: {shape.name}")
            write_messages(path, self.fleet, shape, count, self.now_ms)
        return path


# --- ceilings -------------------------------------------------------------------------------------------------


def broker_ceiling(bench: Bench) -> list[Row]:
    rows: list[Row] = []
    for shape in (SINGLE, JSON_50):
        size = bench.messages(shape, 100 * shape.readings).stat().st_size // 100
        per_s, us = bench_broker.ceiling(
            bench.folder / f"ceiling-{shape.readings}",
            bench.program,
            size,
            bench.sizes.ceiling_messages,
            bench.sizes.runs,
        )
        bench.broker_per_s[shape.name] = per_s
        bench.raw[f"broker ceiling, {shape.name}"] = {"per_s": per_s, "us": us, "bytes": size}
        note = f"{us:.1f} us of broker a message, C client on both sides"
        rows.append(
            Row(
                "Ceilings",
                f"Mosquitto, {size} B messages ({shape.name})",
                f"{count_text(per_s)} messages/s",
                note=note,
            )
        )
    return rows


def influx_ceiling(bench: Bench) -> list[Row]:
    sizes = bench.sizes
    points = sizes.points
    bare = list(bench_influx.bare_bodies(sizes.bodies, points, bench.now_ms))
    ours = bench_influx.our_bodies(bench.folder, max(2, sizes.bodies // 3), points, bench.now_ms)
    rows: list[Row] = []
    for name, bodies, direct in (
        ("bare points", bare, True),
        ("bare points through nginx", bare, False),
        ("our store's own lines through nginx", ours, False),
    ):
        found = bench_influx.ceiling(
            bench.folder / name.replace(" ", "-"), bodies, sizes.runs, sizes.wrk_seconds, direct=direct
        )
        bench.raw[f"influx ceiling, {name}"] = asdict(found)
        if direct:
            bench.influx_per_s = found.per_s
        elif bodies is ours:
            bench.ours_per_s = found.per_s
        size = len(bodies[0]) / (bodies[0].count(b"\n") + 1)
        note = f"{found.us:.1f} us of influxd a point, {size:.0f} B a point, {points} points a body"
        rows.append(Row("Ceilings", f"InfluxDB, {name} (wrk)", f"{count_text(found.per_s)} points/s", note=note))
    return rows


# --- ours -----------------------------------------------------------------------------------------------------


def throughput(bench: Bench) -> list[Row]:
    rows: list[Row] = []
    for shape, store in (
        *((s, "influx") for s in (SINGLE, JSON_50, COMPACT_50, COMPACT_500)),
        *((s, "sqlite") for s in (SINGLE, JSON_50, COMPACT_50)),
    ):
        what = f"{shape.name} -> {store}"
        if not shape.possible:
            rows.append(Row("End to end", what, "not measured", note="the contract has no compact encoding yet"))
            continue
        readings = bench.sizes.singles if shape is SINGLE else bench.sizes.readings
        results = [_run(bench, shape, readings, store, f"{what} {n + 1}") for n in range(bench.sizes.runs)]
        bench.raw[f"end to end, {what}"] = [asdict(result) for result in results]
        rows += _throughput_rows(bench, shape, store, results)
    return rows


def _run(bench: Bench, shape: Shape, readings: int, store: str, name: str) -> Result:
    bench.say(name)
    folder = bench.folder / name.replace(" ", "-").replace("->", "to")
    result = bench_throughput.run(
        folder, bench.records, bench.program, bench.fleet, shape, bench.messages(shape, readings), store
    )
    shutil.rmtree(folder)
    return result


def _throughput_rows(bench: Bench, shape: Shape, store: str, results: list[Result]) -> list[Row]:
    what = f"{shape.name} -> {store}"
    per_s = median(r.per_s for r in results)
    parts = {part: median(r.us.get(part, 0.0) for r in results) for part in results[0].us}
    ingest = median(r.ingest_us for r in results)
    lost, doubled, wrong = (sum(getattr(r.count, key) for r in results) for key in ("lost", "doubled", "wrong"))
    rows = [
        Row(
            "End to end",
            what,
            f"{count_text(per_s)} readings/s",
            note=f"all receipted and stored; {results[0].readings} readings, {results[0].journal_commits} journal commits,"
            f" {results[0].store_commits} of the store",
        ),
        Row(
            "End to end",
            f"{what}: lost / doubled / wrong",
            f"{lost} / {doubled} / {wrong}",
            "0 / 0 / 0",
            not lost + doubled + wrong,
        ),
    ]
    limit = _limit(parts)
    if shape is SINGLE and bench.broker_per_s:
        ratio = per_s / bench.broker_per_s[shape.name]
        rows.append(at_least("End to end", f"{what}: of the broker's ceiling", ratio, (0.25,), limit))
    if store == "influx" and shape is not SINGLE and bench.influx_per_s:
        goals = (0.45, 0.55)
        ratio = per_s / bench.influx_per_s
        rows.append(at_least("End to end", f"{what}: of InfluxDB's ceiling, bare points", ratio, goals, limit))
        if bench.ours_per_s:
            ratio = per_s / bench.ours_per_s
            rows.append(at_least("End to end", f"{what}: of its ceiling, our own lines", ratio, goals))
    told = ", ".join(f"{part} {us:.2f}" for part, us in sorted(parts.items()))
    rows.append(Row("CPU, microseconds a reading", what, f"{ingest:.2f} ingest", note=told))
    if "influxd" in parts and shape is not SINGLE:
        ratio = ingest / parts["influxd"]
        rows.append(at_most("CPU, microseconds a reading", f"{what}: ingest over influxd", ratio, 0.8, "", digits=2))
    return rows


def _limit(parts: Mapping[str, float]) -> str:
    """What the CPU of all programs together, and of ingest (one interpreter, one core), allows at most."""
    everything, cores = sum(parts.values()), os.cpu_count() or 1
    ingest = sum(us for part, us in parts.items() if part.startswith("ingest"))
    return (
        f"ingest's {ingest:.1f} us allow {count_text(1e6 / ingest)}/s on its one core; "
        f"all {everything:.1f} us together {count_text(cores * 1e6 / everything)}/s on {cores}"
    )


def disk_floor(bench: Bench) -> list[Row]:
    """One synced append by itself, at the messages a second of the live runs."""
    rows: list[Row] = []
    for shape, per_s in ((SINGLE, 100), (JSON_50, 20), (JSON_50, 100)):
        bench.say(f"disk: {per_s} commits a second")
        size = bench.messages(shape, 100 * shape.readings).stat().st_size // 100
        found = commits_ms(bench.folder / f"disk-{shape.readings}-{per_s}", size, per_s, bench.sizes.disk_s)
        bench.raw[f"disk, {size} B, {per_s}/s"] = found
        p50, p99 = bench_latency.p50_p99(found)
        what = f"disk: {size} B appended and synced, {per_s} a second, p50 / p99"
        note = f"{len(found)} commits; a lone reading waits for two before it is stored"
        rows.append(Row("Ceilings", what, f"{p50:.1f} / {p99:.1f} ms", note=note))
    return rows


def live(bench: Bench) -> list[Row]:
    """Latencies and memory at fixed rates."""
    rows: list[Row] = []
    shapes = [(SINGLE, rate) for rate in bench.sizes.rates] + [(JSON_50, r) for r in bench.sizes.rates if r >= 1000]
    for linger_s in (0.0, LINGER_S):
        if linger_s and LINGER_KEY not in load_settings(None, {}).values:
            rows.append(
                Row("Publish to stored, p50 / p99", "with linger", "not measured", note="no such setting yet")
            )
            continue
        for shape, rate in shapes:
            what = f"{shape.name}, {rate}/s" + (f", linger {linger_s * 1000:.0f} ms" if linger_s else "")
            bench.say(f"live: {what}")
            rows += _live(bench, shape, rate, linger_s, what)
    return rows


def _live(bench: Bench, shape: Shape, rate: int, linger_s: float, what: str) -> list[Row]:
    settings = {LINGER_KEY: round(linger_s * 1000)} if linger_s else {}
    folder = bench.folder / what.replace(" ", "-").replace("/", "-")
    messages = bench.messages(shape, max(round(rate * bench.sizes.live_s), shape.readings * bench.sizes.edges))
    with open_line(folder, bench.records, "influx", settings) as line:
        client = client_of(bench.program, line.broker)
        introduce(line, client, bench.fleet, shape, messages)
        found = bench_latency.measure(line, client, bench.fleet, messages, rate, bench.sizes.warm_up_s)
        modules = line.watched()["modules"]
    shutil.rmtree(folder)
    bench.raw[f"live, {what}"] = asdict(found)
    share, commits = found.ingest_share * 100, found.store_commits_per_s
    note = f"{found.messages} messages; ingest takes {share:.0f} % of a core; {commits:.0f} commits/s of the store"
    p50, p99 = found.receipt_ms
    rows = [Row("Publish to receipt, p50 / p99", what, f"{p50:.1f} / {p99:.1f} ms", note=note)]
    p50, p99 = found.stored_ms
    goal = 60 if linger_s else 10
    rows.append(
        Row("Publish to stored, p50 / p99", what, f"{p50:.1f} / {p99:.1f} ms", f"p99 <= {goal} ms", p99 <= goal, note)
    )
    if not linger_s:
        over = (found.rss - import_baseline(modules)) / MB
        text = f"{found.rss / MB:.0f} MB in all"
        rows.append(at_most("Memory over the import baseline", f"ingest, {what}", over, 30, "MB", text))
    return rows


def edge_memory(bench: Bench) -> list[Row]:
    rows: list[Row] = []
    with open_line(bench.folder / "edge-line", bench.records, "sqlite") as line:
        for rate in bench.sizes.rates:
            bench.say(f"edge agent at {rate}/s")
            rss, baseline = bench_edge.rss_live(
                bench.folder / f"edge-{rate}", line.broker.port, "bench", line.broker.password_files["bench"], rate,
                bench.sizes.live_s,
            )  # fmt: skip
            bench.raw[f"edge memory, {rate}/s"] = {"rss": rss, "baseline": baseline}
            over = (rss - baseline) / MB
            text = f"{rss / MB:.0f} MB in all"
            rows.append(
                at_most("Memory over the import baseline", f"edge agent, {rate} readings/s", over, 30, "MB", text)
            )
    return rows


def backlog(bench: Bench) -> list[Row]:
    """A month of one site that comes at once: ten edges' fleets are not asked for, one edge sends it all."""
    rows: list[Row] = []
    for shape in (JSON_50, COMPACT_500):
        if not shape.possible:
            continue
        bench.say(f"a month's backlog as {shape.name}")
        path = bench.folder / f"month-{shape.readings}"
        one = bench.fleet.first(1)
        readings = write_messages(path, one, shape, max(1, bench.sizes.month // shape.readings), bench.now_ms)
        seconds = []
        for store in ("sqlite", "influx"):
            folder = bench.folder / f"month-{store}"
            result = bench_throughput.run(folder, bench.records, bench.program, one, shape, path, store)
            shutil.rmtree(folder)
            bench.raw[f"backlog, {shape.name} -> {store}"] = asdict(result)
            seconds.append(max(result.stored_s, result.receipted_s))
            what = f"{readings} readings of one edge, {shape.name} -> {store}"
            exact = "" if result.count.exact else f"COUNT WRONG: {result.count}"
            rows.append(at_most("A month's backlog", what, seconds[-1], 10, "s", exact))
    return rows


SECTIONS: dict[str, Callable[[Bench], list[Row]]] = {
    "broker": broker_ceiling,
    "influx": influx_ceiling,
    "disk": disk_floor,
    "throughput": throughput,
    "live": live,
    "edge": edge_memory,
    "backlog": backlog,
    "others": lambda bench: bench_rows.rows(bench.folder, tiny=bench.sizes is TINY),
}
