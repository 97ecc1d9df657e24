"""The simulator's labelled faults: found, missed, false, by kind.

Two tables. Of the temperature rules the truth is the probe without noise: an excursion, HEAT or FRZE that it shows must
be found on each logger that measures it, and what it does not show must not be said. Of the rules over equipment and
sensors the truth is the label. Runs are ``benchmarks/labelled``, whose ranges were not chosen by our rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from alerts.equipment import DeviceSettings, Settings, judge_equipment, watched_quantities
from alerts.profiles import builtin_profiles
from alerts.rules import Kind as Said
from alerts.rules import Profiles, RuleFinding, StreamSettings, judge
from benchmarks.labelled import EQUIPMENT, LOGGER, NEIGHBOUR, Cause, FaultLabel, Kind, Run, make_run
from benchmarks.labelled.cabinet import GRID_S
from benchmarks.labelled.runs import T0_MS

FIRST_SEED = 200_001  # neither the forecast's tuning seeds nor its test seeds
MIN = 60_000
H = 60 * MIN
AFTER_MS = 6 * H  # a rule that needs time may still speak so long after its fault ended

# Which code says which fault. OFFLINE and CLOCK are words of the device, DISAGREE and DRIFT of two of them.
SAYS: dict[Kind, tuple[str, ...]] = {
    Kind.POWER_LONG: ("POWR",),
    Kind.DOOR_LEFT_OPEN: ("DOOR",),
    Kind.STUCK: ("STUCK",),
    Kind.NOISE: ("NOISE",),
    Kind.STEP: ("DISAGREE", "DRIFT"),
    Kind.SPIKE: ("STEP",),
    Kind.RANGE_BOUND: ("RANGE_BOUND",),
    Kind.DRIFT: ("DRIFT", "DISAGREE"),
    Kind.NO_VALUE: ("SENSOR_FAULT",),
    Kind.LOGGER_LOST: ("OFFLINE",),
    Kind.CLOCK_STEP: ("CLOCK",),
    Kind.BATTERY_LOW: ("BATTERY_LOW",),
}
# (code, limit C, minutes it must last)
TEMPERATURE = (("EXCURSION_HIGH", 8.0, 0), ("WARNING_HIGH", 8.0, 60), ("HEAT", 8.0, 600), ("FRZE", -0.5, 60))
NEAR_C, NEAR_MIN = 0.5, 15  # what lies so near a limit or a duration is neither asked for nor called false


@dataclass(slots=True)
class Count:
    """Of one kind or code."""

    runs: int = 0
    found: int = 0
    missed: int = 0
    false: int = 0
    late_min: list[float] = field(default_factory=list)
    where: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Played:
    """One run: temperature rules by code, the fault's own rule by kind, and what was said falsely by code."""

    kind: Kind
    temperatures: dict[str, Count]
    labels: dict[str, Count]


def played(job: tuple[Kind, int]) -> Played:
    run = make_run(*job)
    return Played(run.kind, _temperatures(run), _labels(run))


# --- temperature rules ------------------------------------------------------------------------------------


def _temperatures(run: Run) -> dict[str, Count]:
    healthy = (NEIGHBOUR,) if run.kind.cause is Cause.SENSOR else (LOGGER, NEIGHBOUR)
    streams = {f"{s}/temperature_c" for s in healthy}
    facts = [f for f in run.facts if f.stream_id in streams]
    settings = {s: StreamSettings(run.interval_s) for s in streams}
    found = judge(facts, Profiles(builtin_profiles(), {EQUIPMENT: ("refrigerator",)}, settings), run.end_ms)
    made: dict[str, Count] = {}
    for code, limit_c, minutes in TEMPERATURE:
        sure = _episodes(run, limit_c, NEAR_C, minutes + NEAR_MIN + 2 * run.interval_s // 60)
        maybe = _episodes(run, limit_c, -NEAR_C, minutes - NEAR_MIN - 2 * run.interval_s // 60)
        count = made.setdefault(code, Count())
        for stream in streams:
            said = [f for f in found if f.code == code and f.stream_id == stream and f.kind is not Said.WITHDRAWN]
            for begin, end in sure:
                hit = any(f.episode_start_ms < end and begin < (f.end_ms or run.end_ms) for f in said)
                count.found, count.missed = count.found + hit, count.missed + (not hit)
                if not hit:
                    count.where.append(f"{run.kind} {run.seed}")
            false = [
                f for f in said if not any(b < (f.end_ms or run.end_ms) and f.episode_start_ms < e for b, e in maybe)
            ]
            count.false += len(false)
            count.where += [f"{run.kind} {run.seed} (false)"] * bool(false)
    return made


def _episodes(run: Run, limit_c: float, margin_c: float, minutes: float) -> list[tuple[int, int]]:
    """Spans in which the true probe is beyond the limit by the margin for so many minutes."""
    high = limit_c > 0
    made: list[tuple[int, int]] = []
    begin: int | None = None
    last = (run.end_ms - T0_MS) // 1000 // GRID_S
    for i in range(int(last) + 1):
        c = run.history.at(i * GRID_S).air.probe_c
        out = c > limit_c + margin_c if high else c < limit_c - margin_c
        at = T0_MS + i * GRID_S * 1000
        if out and begin is None:
            begin = at
        if begin is not None and (not out or i == last):
            if at - begin >= minutes * MIN:
                made.append((begin, at))
            begin = None
    return made


# --- equipment and sensors --------------------------------------------------------------------------------


def _labels(run: Run) -> dict[str, Count]:
    settings = Settings(EQUIPMENT, devices=tuple((s, DeviceSettings(run.interval_s)) for s in (LOGGER, NEIGHBOUR)))
    watched = watched_quantities()
    facts = [f for f in run.facts if f.stream_id.split("/")[1] in watched]
    found = [f for f in judge_equipment(facts, settings, run.end_ms) if f.kind is not Said.WITHDRAWN]
    streams = {s: StreamSettings(run.interval_s) for s in {f.stream_id for f in run.facts}}
    profiles = Profiles(builtin_profiles(), {EQUIPMENT: ("refrigerator",)}, streams)
    switches = [f for f in run.facts if f.stream_id.split("/")[1] in ("door_open", "mains_power_on")]
    found += [f for f in judge(switches, profiles, run.end_ms) if f.code in ("DOOR", "POWR")]
    made: dict[str, Count] = {}
    wanted = SAYS.get(run.kind, ())
    count = made.setdefault(str(run.kind), Count(runs=1))
    for label in run.labels if wanted else ():
        hits = [f for f in found if f.code in wanted and _of(f, label, run)]
        count.found, count.missed = count.found + bool(hits), count.missed + (not hits)
        count.late_min += [max(0.0, (min(f.event_ms for f in hits) - label.from_ms) / MIN)] if hits else []
        if not hits:
            count.where.append(f"{run.kind} {run.seed}")
    for f in found:
        if f.code in _SPOKEN and not any(_of(f, label, run) for label in run.labels):
            made.setdefault(f"false {f.code}", Count()).false += 1
            made[f"false {f.code}"].where.append(f"{run.kind} {run.seed}")
    return made


_SPOKEN = frozenset(code for codes in SAYS.values() for code in codes)


def _of(f: RuleFinding, label: FaultLabel, run: Run) -> bool:
    """Whether a finding speaks of the fault's time: a fault of a sensor may well make it disagree, or noisy, too.

    Times are the logger's own: one whose clock went back tells of its fault in the hours before the label.
    """
    begin_ms = label.from_ms - (round(label.size * H) if label.kind is Kind.CLOCK_STEP else 0)
    end_ms = run.end_ms if f.end_ms is None else f.end_ms
    return f.episode_start_ms < label.to_ms + AFTER_MS and begin_ms < end_ms + run.interval_s * 1000


# --- sums -------------------------------------------------------------------------------------------------


def jobs(each: int) -> list[tuple[Kind, int]]:
    return [(kind, FIRST_SEED + i) for kind in Kind for i in range(each)]


def added(parts: Iterable[dict[str, Count]]) -> dict[str, Count]:
    total: dict[str, Count] = {}
    for part in parts:
        for name, c in part.items():
            t = total.setdefault(name, Count())
            t.runs, t.found, t.missed, t.false = (
                t.runs + c.runs,
                t.found + c.found,
                t.missed + c.missed,
                t.false + c.false,
            )
            t.late_min += c.late_min
            t.where += c.where
    return total


def days(wanted: Sequence[tuple[Kind, int]]) -> int:
    """Days in all these runs."""
    length = Counter(kind for kind, _ in wanted)
    return sum(n * {Kind.DRIFT: 14, Kind.POWER_CUT: 8}.get(kind, 5) for kind, n in length.items())
