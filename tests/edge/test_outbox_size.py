"""A month without a link at one site, 430,000 readings: every page costs what it gives, not what there is."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.outbox import SqliteOutbox
from telemetry.readings import Ranges, Reading

READINGS = 430_000
T0 = 1_800_000_000_000
STEP_MS = 6_000  # ten streams a minute
STEPS = 100
PAGE = 500
# Instructions of SQLite's machine for one page of 500 rows (13 columns): counted, so that no clock decides.
PAGE_INSTRUCTIONS = 25_000


class Month:
    def __init__(self, path: Path, make: Any) -> None:
        self.box = SqliteOutbox(path)
        template = make.reading()
        for first in range(0, READINGS, 5_000):
            self.box.append(
                [
                    replace(
                        template,
                        stream_id=f"LOG-{i % 10}/temperature_c",
                        sampled_at_ms=T0 + i * STEP_MS,
                        stamp=replace(make.stamp, wall_ms=T0 + i * STEP_MS, boottime_ns=i),
                    )
                    for i in range(first, first + 5_000)
                ]
            )

    def instructions(self, call: Callable[[], Any]) -> int:
        """How much SQLite did in this call, in steps of 100."""
        count = 0

        def tick() -> int:
            nonlocal count
            count += STEPS
            return 0

        self.box._db.set_progress_handler(tick, STEPS)
        call()
        self.box._db.set_progress_handler(None, 0)
        return count


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory, facts_maker: Any) -> Iterator[Month]:
    found = Month(tmp_path_factory.mktemp("month") / "o.db", facts_maker)
    yield found
    found.box.close()


def test_a_page_costs_the_same_at_the_beginning_and_at_the_end(month: Month) -> None:
    box = month.box
    day = 86_400_000
    calls: dict[str, Callable[[], Any]] = {
        "pending": lambda: box.pending(PAGE),
        "pending, at the end": lambda: box.pending(PAGE, READINGS - PAGE),
        "numbers": lambda: box.select(seq=Ranges([(400_000, 430_000)]), limit=PAGE),
        "unreceipted numbers": lambda: box.select(seq=Ranges([(1, 430_000)]), only="unreceipted", limit=PAGE),
        "times": lambda: box.select(from_ms=T0 + 28 * day, to_ms=T0 + 29 * day, limit=PAGE),
        "the last times": lambda: box.select(from_ms=T0 + (READINGS - PAGE) * STEP_MS, limit=PAGE),
        "times in what is left": lambda: box.select(
            seq=Ranges([(420_000, 1 << 62)]), from_ms=T0 + 9 * day, limit=PAGE
        ),
        "no such times": lambda: box.select(from_ms=T0 + 60 * day, to_ms=T0 + 61 * day),
    }
    costs = {name: month.instructions(call) for name, call in calls.items()}
    assert max(costs.values()) < 2 * PAGE_INSTRUCTIONS, costs
    hour = month.instructions(
        lambda: box.reading_times("LOG-3/temperature_c", T0 + 20 * day, T0 + 20 * day + 3_600_000)
    )
    assert hour < 2 * PAGE_INSTRUCTIONS
    assert month.instructions(box.usage) < PAGE_INSTRUCTIONS


def test_it_goes_out_page_by_page_with_little_memory(month: Month) -> None:
    """As the uplink sends it: page, receipt, page; and by time, as a request asks. The last 20,000 of it."""
    box, begin = month.box, READINGS - 20_000
    tracemalloc.start()
    sent, after = 0, begin
    while page := box.pending(PAGE, after):
        sent, after = sent + len(page), page[-1].seq
        end = after - (after % 5_000 == 0)  # every 5,000th is not named
        box.received(Ranges([(after - PAGE + 1, end)]), Ranges())
    assert sent == 20_000
    assert [n.seq for n in box.pending(PAGE, begin)] == [415_000, 420_000, 425_000, 430_000]
    left, asked = Ranges([(1, 1 << 62)]), 0
    while page := box.select(seq=left, from_ms=T0 + begin * STEP_MS, limit=PAGE):
        asked += len(page)
        left -= Ranges([(1, page[-1].seq)])
    assert asked == 20_000
    open_ = box.select(seq=Ranges([(1, 1 << 62)]), from_ms=T0 + begin * STEP_MS, only="unreceipted", limit=PAGE)
    assert [n.seq for n in open_] == [415_000, 420_000, 425_000, 430_000]
    peak_mb = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    assert peak_mb < 5


def test_a_receipt_of_thousands_of_ranges_is_taken_in_and_kept(tmp_path: Path, make: Any) -> None:
    """Every third number received: twenty thousand ranges."""
    box = SqliteOutbox(tmp_path / "o.db")
    reading: Reading = make.reading()
    for _ in range(12):
        box.append([reading] * 5_000)
    have = Ranges([(n, n) for n in range(1, 60_001, 3)])
    box.received(have, Ranges())
    box.received(have, Ranges([(2, 2)]))
    assert box.usage().unreceipted == 40_000 - 1
    assert [n.seq for n in box.pending(4)] == [3, 5, 6, 8]
    assert [n.seq for n in box.pending(2, after=50_000)] == [50_001, 50_003]
    box.close()
    again = SqliteOutbox(tmp_path / "o.db")
    assert again.usage().unreceipted == 40_000 - 1
    assert [n.seq for n in again.select(seq=have, limit=3)] == [1, 4, 7]
    again.close()
