"""How long alerts take to start and how much memory they hold, against days of history: ``make bench-alerts``.

Eight refrigerators with one-minute readings and a batch in each. For each history: a start (rules and tables unchanged),
an idle hour's worth of turns with fresh readings, one fact that comes half the history late. Seconds are of one core
(the machine may be busy). Each in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

from alerts.config import Config
from alerts.memory import Memory
from alerts.rules import ReadingFact
from alerts.service import Alerts
from benchmarks.hand_clock import HandClock
from gateway.journal import Entry, SqliteJournal
from gateway.records import Actor, Batch, Device, Equipment, EquipmentKind, Role, Site, SiteLevel, open_records
from telemetry.contract import Upload, encode_upload
from telemetry.readings import Numbered, Reading, Stamp, Sync

MIN = 60_000
DAY = 1440 * MIN
PLACES = 8
NOW = 1_790_000_000_000
SARI = Actor("Sari", Role.MANAGER)


def value(place: int, minute: int) -> Decimal:
    """4 to 6 degrees; each tenth day a door stands open for an hour, each thirtieth day eleven hours are hot."""
    day, of_day = divmod(minute, 1440)
    if (day + place) % 30 == 0 and of_day < 660:
        return Decimal("9.5")
    if (day + place) % 10 == 0 and of_day < 60:
        return Decimal("8.4")
    return Decimal(4000 + (minute * 37 + place * 11) % 2000).scaleb(-3)


def history(days: int) -> Iterator[ReadingFact]:
    begin = NOW - days * DAY
    for minute in range(days * 1440):
        for place in range(PLACES):
            yield ReadingFact(f"F{place}", f"L{place}/temperature_c", begin + minute * MIN, value(place, minute))


def prepare(folder: Path, days: int) -> None:
    """Records with the site and a memory with the history, as if alerts had judged it all."""
    with open_records(str(folder / "records.db")) as records:
        records.upsert_site(Site("S1", "P", "jayapura", "Asia/Jayapura", "1", SiteLevel.PUSKESMAS), SARI, "", 0)
        for i in range(PLACES):
            fridge = Equipment(f"F{i}", "S1", f"Kulkas {i}", EquipmentKind.REFRIGERATOR, "refrigerator")
            records.upsert_equipment(fridge, SARI, "", 0)
            records.upsert_device(Device(f"L{i}", "S1", "E1", "ble", f"F{i}", 60), SARI, "", 0)
            records.upsert_batch(Batch(f"B{i}", "S1", "93001282", "v", f"BN{i}", date(2027, 1, 1), 100), SARI, "", 0)
            records.add_placement(f"B{i}", f"F{i}", NOW - min(days, 30) * DAY, SARI, "came", 0)
    SqliteJournal(folder / "journal.db").close()
    memory = Memory(folder / "alerts.db")
    with memory.transaction():
        memory.add(history(days), 1)
    memory.close()


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def measure(folder: Path, days: int) -> dict[str, float]:
    clock, journal = HandClock(NOW), SqliteJournal(folder / "journal.db")
    with open_records(str(folder / "records.db")) as records:
        memory = Memory(folder / "alerts.db")
        alerts = Alerts(Config(memory_path=folder / "alerts.db"), clock, journal, records, memory)
        # The first start says all findings of the past and judges all batches; the second is what a restart is.
        begun = time.process_time()
        alerts.start()
        while alerts.turn():
            pass
        alerts.turn()  # which notes that all is done
        first_s = time.process_time() - begun
        found = len(records.findings())
    return {"days": days, "first_s": first_s, "findings": found}


def restart(folder: Path) -> dict[str, float]:
    clock, journal = HandClock(NOW), SqliteJournal(folder / "journal.db")
    with open_records(str(folder / "records.db")) as records:
        memory = Memory(folder / "alerts.db")
        before = rss_mb()
        alerts = Alerts(Config(memory_path=folder / "alerts.db"), clock, journal, records, memory)
        begun = time.process_time()
        alerts.start()
        start_s, started = time.process_time() - begun, rss_mb()
        turn_s, caught_up_s, turns = catch_up(alerts)
        caught_up_mb = rss_mb()
        later_s = 0.0
        for minute in range(1, 61):
            clock.wall_ms = NOW + minute * MIN
            say(journal, clock.wall_ms, [f"L{i}" for i in range(PLACES)], minute * PLACES)
            more = True
            while more:
                begun = time.process_time()
                more = alerts.turn()
                later_s = max(later_s, time.process_time() - begun)
        first_ms = next(iter(memory.facts(stream="L0/temperature_c"))).t_ms
        say(journal, (first_ms + NOW) // 2 // MIN * MIN + 7, ["L0"], 10_000)
        begun = time.process_time()
        alerts.turn()
        late_s = time.process_time() - begun
    return {
        "start_s": start_s,
        "turn_max_s": turn_s,
        "caught_up_s": caught_up_s,
        "turns": turns,
        "caught_up_mb": caught_up_mb,
        "later_max_s": later_s,
        "late_fact_s": late_s,
        "rss_before_mb": before,
        "rss_started_mb": started,
        "rss_max_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def catch_up(alerts: Alerts) -> tuple[float, float, int]:
    """Turns until the rules over sensors have read their look-back: the longest and all of them, in seconds; how many."""
    longest, total, turns, more = 0.0, 0.0, 0, True
    while more:
        begun = time.process_time()
        more = alerts.turn()
        took = time.process_time() - begun
        longest, total, turns = max(longest, took), total + took, turns + 1
    return longest, total, turns


def say(journal: SqliteJournal, t_ms: int, serials: list[str], seq: int) -> None:
    stamp = Stamp("b", 0, t_ms, Sync.SYNCED)
    facts = [Reading(f"{s}/temperature_c", Decimal("5.0"), t_ms, stamp) for s in serials]
    numbered = tuple(Numbered(seq + i, fact) for i, fact in enumerate(facts))
    payload = encode_upload(Upload("readings", "E1", "ep1", t_ms, numbered))
    journal.append([Entry("S1", "E1", "ep1", "readings", t_ms, payload)])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, nargs="+", default=[1, 180, 720])
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        steps = {"prepare": prepare, "measure": measure}
        result = restart(args.folder) if args.step == "restart" else steps[args.step](args.folder, args.days[0])
        print(json.dumps(result))
        return
    print(
        "| days | facts | file, MB | first start, s | start, s | longest turn after it, s | caught up after, s | turns to that"
        " | longest turn then, s | late fact, s | RSS started, MB | most, MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for days in args.days:
        folder = Path(tempfile.mkdtemp(prefix="bench-alerts-"))
        try:
            one, two = [run(step, folder, days) for step in ("prepare", "measure", "restart")][1:]
        finally:
            size_mb = (folder / "alerts.db").stat().st_size / 1e6
            shutil.rmtree(folder)
        cells = (
            f"{days}", f"{days * 1440 * PLACES:,}", f"{size_mb:.0f}", f"{one['first_s']:.1f}", f"{two['start_s']:.1f}",
            f"{two['turn_max_s']:.2f}", f"{two['caught_up_s']:.0f}", f"{two['turns']}",
            f"{two['later_max_s']:.2f}", f"{two['late_fact_s']:.2f}", f"{two['rss_started_mb']:.0f}", f"{two['rss_max_mb']:.0f}",
        )  # fmt: skip
        print("| " + " | ".join(cells) + " |", flush=True)


def run(step: str, folder: Path, days: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.alerts_start", "--step", step, "--folder", str(folder)]
    done = subprocess.run([*command, "--days", str(days)], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1]) or {}
    return found


if __name__ == "__main__":
    main()
