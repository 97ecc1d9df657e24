"""What the report of a site costs: ``python -m benchmarks.report`` (decision 0030).

Eight refrigerators with a reading a minute, in a real SQLite store and real records, over a month and over the longest
span. CPU time of this process, the second of two (the first also loads code), with the JSON and the CSV made of it.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from alerts.profiles import builtin_profiles
from alerts.report import MOST_DAYS, Period
from api.report_out import as_csv, as_json
from api.reports import period_of, read_report
from gateway.records import Actor, Device, Equipment, Records, Role, Site, open_records
from ingest.store import Row, SqliteStore, Store
from telemetry.readings import Origin, Quality, Sync

STREAMS, MINUTE = 8, 60_000
LAST = date(2026, 11, 30)
ZONE = "Asia/Jayapura"
NOW_MS = 1_796_050_800_000  # after LAST there
SARI = Actor("Sari", Role.MANAGER)


def main() -> None:
    with tempfile.TemporaryDirectory() as name, open_records(Path(name) / "records.db") as records:
        store = SqliteStore(Path(name) / "store.db")
        period = period_of(ZONE, NOW_MS, first=str(LAST - timedelta(days=MOST_DAYS - 1)), last=str(LAST))
        _furnish(records, store, period)
        for days in (30, MOST_DAYS):
            asked = period_of(ZONE, NOW_MS, first=str(LAST - timedelta(days=days - 1)), last=str(LAST))
            costs = [_cost_s(records, store, asked) for _ in range(2)]
            print(f"{days} days, {days * 1440 * STREAMS:,} readings: {costs[-1]:.2f} s of a core")
        store.close()


def _furnish(records: Records, store: SqliteStore, period: Period) -> None:
    records.upsert_site(Site("S1", "Abepura", "jayapura", ZONE, "s0", "puskesmas"), SARI, "", 0)
    chance = random.Random(30)
    for k in range(STREAMS):
        fridge = Equipment(f"F{k}", "S1", f"Kulkas {k}", "refrigerator", "refrigerator")
        records.upsert_equipment(fridge, SARI, "", 0)
        records.upsert_device(Device(f"L{k}", "S1", "E1", "ble", f"F{k}", 60), SARI, "", 0)
        times = range(period.from_ms, period.to_ms, MINUTE)
        for begin in range(0, len(times), 20_000):
            store.append([_row(k, t, begin + i, chance) for i, t in enumerate(times[begin : begin + 20_000])])
    while store.tidy():
        pass


def _row(k: int, t_ms: int, n: int, chance: random.Random) -> Row:
    """A value between 2 and 9 degrees, a second or two off the minute."""
    value, at_ms = Decimal(chance.randrange(20, 90)) / 10, t_ms + chance.randrange(2_000)
    stream = f"L{k}/temperature_c"
    return Row(
        "S1", stream, at_ms, value, Quality.GOOD, Origin.LIVE, None, 0, "E1", f"e{k}", n + 1, Sync.SYNCED, 1, at_ms
    )


def _cost_s(records: Records, store: Store, period: Period) -> float:
    begun = time.process_time()
    made = read_report(records, store, builtin_profiles(), records.site("S1"), period)
    json.dumps(as_json(made))
    as_csv(made)
    return time.process_time() - begun


if __name__ == "__main__":
    main()
