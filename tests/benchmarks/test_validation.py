"""``make validate`` in short, and that it can fail: on the real files, and on exports of devices that are simulated here.

The devices of this file share no code with our rules: they measure every minute and keep their own timers, and log
every few minutes only, with limits, delays, firmware and zone lines of their own.
"""

from __future__ import annotations

import math
import os
import random
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.labelled import Kind
from benchmarks.validation import answers, faults, page
from benchmarks.validation.answers import Answer, Outcome, failures
from benchmarks.validation.files import file_answers
from benchmarks.validation.published import mkt_answers, vvm_answers
from benchmarks.validation.smile import smile_answers

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "fridge-tag"
START = datetime(2025, 6, 1, 21, 3, tzinfo=UTC)


@pytest.fixture
def real() -> Path:
    if not REAL.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"real files absent: {REAL}")
        pytest.skip("not run: real files absent")
    return REAL


@pytest.mark.real_files
def test_no_answer_about_a_real_file_differs_and_most_stamps_of_the_q_tag_are_matched(real: Path) -> None:
    found = file_answers(real)
    assert failures(found) == []
    stamps = [a for a in found if a.subject.startswith("q-tag") and a.what.startswith("alarm")]
    assert [a.outcome for a in stamps].count(Outcome.AGREES) == 5
    assert [a.theirs for a in stamps if a.outcome is Outcome.EXPLAINED] == ["2022-11-08 15:22"]
    days = [a for a in found if a.subject.startswith("fridge-tag-2-") and a.what.startswith("minutes")]
    assert sum(int(a.theirs) for a in days) == 248


@pytest.mark.parametrize("group", [vvm_answers, mkt_answers, lambda: smile_answers(25)])
def test_published_and_recorded_answers_agree(group: object) -> None:
    found: list[Answer] = group()  # type: ignore[operator]
    assert len(found) >= 11
    assert failures(found) == []


# --- devices simulated here -------------------------------------------------------------------------------


@dataclass
class Slot:
    """One alarm slot of a Q-tag and its timer. Strict comparison, as the devices do."""

    number: int
    kind: int  # 1 cold, 2 hot (on end); 3 cold, 4 hot (in all)
    limit_c: float
    after_min: int
    events: list[tuple[int, int | None, int | None]] = field(default_factory=list)  # start, alarm, end
    begun: int | None = None
    total: int = 0
    fired: int | None = None

    def measure(self, minute: int, value_c: float) -> None:
        out = value_c < self.limit_c if self.kind in (1, 3) else value_c > self.limit_c
        if self.kind in (3, 4):
            self.begun = minute if out and self.begun is None else self.begun
            self.total += out
            if self.total >= self.after_min and self.fired is None:
                self.fired = minute
            return
        if out and self.begun is None:
            self.begun = minute
        if out and self.begun is not None and self.fired is None and minute - self.begun >= self.after_min:
            self.fired = minute
        if not out and self.begun is not None:
            self.events.append((self.begun, self.fired, minute))
            self.begun = self.fired = None

    def lines(self) -> list[str]:
        open_one = [] if self.begun is None else [(self.begun, self.fired, None)]
        shown = [e for e in (*self.events, *open_one) if e[1] is not None]
        if not shown:
            return []
        rows = [
            f"   TS S: {at(s)}, t A: {(e or s) - s}, TS A: {at(a)}, TS E: {at(e) if e else ''}" for s, a, e in shown
        ]
        return [f"  {self.number}:", *rows]


def at(minute: int | None) -> str:
    return "" if minute is None else f"{START + timedelta(minutes=minute):%Y-%m-%d %H:%M}"


def signal(seed: int, minutes: int) -> list[float]:
    """A box that is carried about: slow waves, a jump or two, and a little noise; to a tenth."""
    chance = random.Random(f"device/{seed}")
    base, wave, period = chance.uniform(2, 7), chance.uniform(0.5, 3), chance.uniform(60, 400)
    jumps = sorted((chance.randrange(minutes), chance.uniform(-9, 14), chance.randint(20, 400)) for _ in range(3))
    made, level = [], base
    for m in range(minutes):
        aim = base + wave * math.sin(2 * math.pi * m / period)
        aim += sum(size for begin, size, length in jumps if begin <= m < begin + length)
        level += (aim - level) / 12
        made.append(round(level + chance.gauss(0, 0.05), 1))
    return made


def q_tag(seed: int, minutes: int = 1500) -> str:
    chance = random.Random(f"slots/{seed}")
    every = chance.choice((5, 6, 10, 15))
    slots = [
        Slot(1, 2, chance.choice((8.0, 10.0, 7.5)), chance.choice((30, 60, 120))),
        Slot(2, 4, chance.choice((8.0, 9.5)), chance.choice((60, 180))),
        Slot(4, 3, chance.choice((2.0, 3.0)), chance.choice((60, 90))),
        Slot(5, 1, chance.choice((2.0, 0.0, -0.5)), chance.choice((30, 60))),
    ]
    values = signal(seed, minutes)
    for m, v in enumerate(values):
        for slot in slots:
            slot.measure(m, v)
    for slot in slots:
        if slot.kind in (3, 4) and slot.fired is not None and slot.begun is not None:
            slot.events, slot.begun, slot.fired = [(slot.begun, slot.fired, None)], None, None
    kelvin = [83_000 / 8.3144 / (v + 273.15) for v in values]
    mkt = 83_000 / 8.3144 / -math.log(sum(math.exp(-k) for k in kelvin) / len(kelvin)) - 273.15
    rows = [(m, values[m]) for m in range(0, minutes, every)]
    out = {m for m, v in rows if any((v < s.limit_c) if s.kind in (1, 3) else (v > s.limit_c) for s in slots)}
    conf = [" Serial: MADE0001", " MKT Energy: 83.0", f" Logging Interval: {every}", " Alarm:"]
    if seed % 2:
        conf.insert(1, " Zone: 7.00")
    for slot in slots:
        conf += [f"  {slot.number}:", f"   Type: {slot.kind}, T AL: {slot.limit_c}, t AL: {slot.after_min}"]
    res = [
        f" TS Start: {at(0)}",
        f" TS Stop: {at(minutes - 1)}",
        f" Min T: {min(values)}, TS Min T: {at(values.index(min(values)))}",
        f" Max T: {max(values)}, TS Max T: {at(values.index(max(values)))}",
        f" MKT: {mkt:.1f}",
        f" Avrg T: {sum(values) / len(values):.1f}",
        " Alarm:",
        *(line for slot in slots for line in slot.lines()),
    ]
    data = ["\tyyyy-MM-dd hh:mm\tT\tOut of limits", *(f"\t{at(m)}\t{v}\t{'x' if m in out else ''}" for m, v in rows)]
    head = ["Device: Q-tag CLm doc LR", "Vers: 2.0", "Fw Vers: 5.1.00", "Sensor: 1", "Conf:"]
    tail = ["Cert:", " Vers: 1.0", "Sig Cert: " + "ab" * 32, "Sig: " + "cd" * 32]
    return "\n".join([*head, *conf, "Res:", *res, "Data:", *data, *tail]) + "\n"


def judged(tmp_path: Path, text: str) -> list[Answer]:
    (tmp_path / "made.txt").write_text(text)
    return file_answers(tmp_path)


@pytest.mark.parametrize("seed", range(1, 25))
def test_a_device_that_measures_finer_than_it_logs_is_matched_or_explained(tmp_path: Path, seed: int) -> None:
    found = judged(tmp_path, q_tag(seed))
    assert failures(found) == []
    assert {a.what.split(",")[0] for a in found} >= {"MKT", "mean", "coldest", "warmest"}


def test_most_alarms_of_these_devices_are_matched_and_not_explained_away(tmp_path: Path) -> None:
    outcomes = [
        a.outcome
        for seed in range(1, 25)
        for a in judged(tmp_path, q_tag(seed))
        if a.what.startswith(("alarm", "our alarm"))
    ]
    assert len(outcomes) >= 25
    assert outcomes.count(Outcome.AGREES) >= 0.7 * len(outcomes)


@pytest.mark.parametrize(
    ("pattern", "said", "what"),
    [
        (r"TS A: 2025-06-0\d \d\d:\d\d, TS E: 2", "TS A: 2025-06-02 21:59, TS E: 2", "alarm of slot"),
        (r" MKT: [-\d.]+", " MKT: 29.5", "MKT"),
        (r" Max T: [-\d.]+", " Max T: 60.0", "warmest"),
    ],
)
def test_a_device_that_says_something_else_fails(tmp_path: Path, pattern: str, said: str, what: str) -> None:
    changed, count = re.subn(pattern, said, q_tag(3), count=1)
    assert count == 1
    assert any(a.what.startswith(what) for a in failures(judged(tmp_path, changed)))


# --- labelled runs ----------------------------------------------------------------------------------------


def test_labelled_faults_are_found_and_the_page_says_so() -> None:
    runs = [faults.played((kind, faults.FIRST_SEED + 2)) for kind in (Kind.CALM, Kind.THERMOSTAT_COLD, Kind.NO_VALUE)]
    assert page.fails(runs) == []
    total = faults.added(r.temperatures for r in runs)
    assert total["FRZE"].found >= 2
    text = page.page([("Numbers", [answers.number("x", "y", 1.0, 1.2, 0.1)])], runs)
    assert "| Numbers | 1 | 0 | 0 | 0 | 0 | 1 |" in text
    assert "| no_value | SENSOR_FAULT | 1 | 1 | 0 |" in text


def test_a_missed_fault_fails() -> None:
    missed = faults.Played(Kind.STUCK, {"HEAT": faults.Count(missed=1)}, {"stuck": faults.Count(runs=1, missed=1)})
    assert len(page.fails([missed])) == 3
