"""The memory of the alerts service: once, dated as ingest dates, and whole after a commit that failed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alerts.homes import EVER_MS, FOREVER_MS, Spans
from alerts.memory import Memory, Source
from alerts.rules import ReadingFact
from ingest.undated import FillerState
from ingest.undated import Source as IngestSource
from telemetry.errors import NeighbourDownError
from telemetry.readings import Event, Numbered, Quality, Reading, Stamp, Sync, Weighing

S = 1_000_000_000


def in_one(equipment: str) -> Spans:
    return ((EVER_MS, FOREVER_MS, equipment),)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    made = Memory(tmp_path / "alerts.db")
    yield made
    made.close()


def undated(value: str | None, ns: int, boot: str = "b1", stream: str = "L/temperature_c") -> Reading:
    number = None if value is None else Decimal(value)
    quality = Quality.GOOD if value is not None else Quality.SENSOR_FAULT
    return Reading(stream, number, None, Stamp(boot, ns, 0, Sync.UNSYNCED), quality=quality)


def anchored(utc_ms: int, ns: int, boot: str = "b1", sync: Sync = Sync.SYNCED) -> Event:
    return Event("clock_anchored", "E1", utc_ms, Stamp(boot, ns, utc_ms, sync, 10))


def learn(memory: Memory, facts: list[Reading | Event | Weighing]) -> list[tuple[int, Decimal | None]]:
    found: list[ReadingFact] = []
    with memory.transaction():
        for seq, fact in enumerate(facts, 1):
            found += memory.learn(Source("S1", "E1", "ep1", seq), fact)
    return [(f.t_ms, f.value_c) for f in found]


def test_a_fact_is_kept_once_and_comes_back_as_it_was(memory: Memory) -> None:
    facts = [
        ReadingFact("F1", "L/temperature_c", 1000, Decimal("-0.125"), Quality.GOOD, 7),
        ReadingFact("F1", "L/temperature_c", 2000, None, Quality.SENSOR_FAULT),
        ReadingFact("F1", "L/temperature_c", 2000, Decimal("0"), Quality.GOOD),
        ReadingFact("", "M/temperature_c", 1500, Decimal("5.0"), Quality.GOOD),
    ]
    with memory.transaction():
        assert memory.add(facts) == facts
        assert memory.add(facts) == []
    assert set(memory.facts()) == set(facts[:3])
    assert memory.streams() == {"L/temperature_c", "M/temperature_c"}
    assert memory.homeless() == ["M/temperature_c"]
    with memory.transaction():
        _, (housed,) = memory.house("M/temperature_c", in_one("F2"))
    assert housed in list(memory.facts())
    assert memory.homeless() == []


STORIES: dict[str, list[Any]] = {
    "anchor after": [undated("5.0", 10 * S), undated(None, 20 * S), anchored(1_000_000, 30 * S)],
    "anchor before": [anchored(1_000_000, 30 * S), undated("5.0", 40 * S + 999)],
    "the nearest known dates": [
        anchored(1_000_000, 30 * S),
        anchored(2_000_300, 1030 * S),
        undated("5.0", 1000 * S),
        undated("6.0", 40 * S),
    ],
    "a better anchor comes too late": [undated("5.0", 100 * S), anchored(1_000_000, 0), anchored(1_200_000, 101 * S)],
    "another boot": [undated("5.0", 10 * S, "b2"), anchored(1_000_000, 30 * S)],
    "no boot": [undated("5.0", 10 * S, ""), anchored(1_000_000, 30 * S, "")],
    "an anchor of a clock that was not set": [
        undated("5.0", 10 * S),
        anchored(1_000_000, 30 * S, sync=Sync.UNSYNCED),
    ],
    "the same boot time twice": [undated("5.0", 10 * S), undated("5.0", 10 * S), anchored(1_000_000, 30 * S)],
}


@pytest.mark.parametrize("story", STORIES)
def test_dates_are_those_of_the_time_series(memory: Memory, tmp_path: Path, story: str) -> None:
    """What a person sees in the chart and what the alarm says carry the same times."""
    facts = STORIES[story]
    ours = learn(memory, facts)
    filler = FillerState(tmp_path / "filler.db")
    source = IngestSource("S1", "E1", "ep1", 0)
    theirs = filler.learn([(source, Numbered(seq, fact)) for seq, fact in enumerate(facts, 1)], 1_000)
    filler.close()
    # As sets: the series knows an undated reading by its stamp and keeps it once, however often it was numbered.
    assert set(ours) == {(r.t_ms, r.value) for r in theirs}
    assert learn(memory, facts) == []  # the same numbers again: dated once and for ever


def test_an_undated_weighing_waits_until_it_is_marked(memory: Memory) -> None:
    kg = Decimal("1.5")
    weighing = Weighing("W1", "SC", kg, Decimal(0), kg, None, Stamp("b1", 10 * S, 0, Sync.UNSYNCED), "00")
    learn(memory, [weighing])
    assert memory.dated_weighings() == []
    with memory.transaction():
        memory.learn(Source("S1", "E1", "ep1", 2), anchored(1_000_000, 30 * S))
    assert memory.dated_weighings() == [("W1", 980_000)]
    with memory.transaction():
        memory.weighing_done("W1")
    assert memory.dated_weighings() == []


def test_facts_and_offset_are_one(memory: Memory, tmp_path: Path) -> None:
    fact = ReadingFact("F1", "L/temperature_c", 1000, Decimal("5.0"))

    def dies() -> None:
        with memory.transaction():
            memory.add([fact])
            memory.set_journal_offset(7)
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        dies()
    assert (list(memory.facts()), memory.place().journal_offset) == ([], 0)
    with memory.transaction():
        memory.add([fact])
        memory.set_journal_offset(7)
    memory.close()
    again = Memory(tmp_path / "alerts.db")
    assert (len(list(again.facts())), again.place().journal_offset) == (1, 7)
    again.close()


def test_a_commit_that_fails_leaves_a_memory_that_works(memory: Memory, tmp_path: Path) -> None:
    """A reader in the way at COMMIT: said as a neighbour that is down, and the next transaction begins cleanly."""
    memory._db.execute("PRAGMA journal_mode=DELETE")
    memory._db.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(tmp_path / "alerts.db", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT * FROM place").fetchall()
    with pytest.raises(NeighbourDownError, match="alerts' memory"), memory.transaction():
        memory.set_journal_offset(7)
    other.execute("ROLLBACK")
    other.close()
    with memory.transaction():
        memory.set_journal_offset(8)
    assert memory.place().journal_offset == 8


def test_a_file_that_is_no_database_is_a_neighbour_that_is_down(tmp_path: Path) -> None:
    path = tmp_path / "alerts.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(NeighbourDownError, match="broken disk"):
        Memory(path)


def at(t_ms: int, stream: str = "L/temperature_c", equipment: str = "F1", value: str = "5.0") -> ReadingFact:
    return ReadingFact(equipment, stream, t_ms, Decimal(value))


def test_a_range_is_read_from_disk_in_time_order_over_all_streams_of_an_equipment(memory: Memory) -> None:
    facts = [at(t_ms, stream) for t_ms in range(1000, 9000, 1000) for stream in ("L/temperature_c", "L/door_open")]
    with memory.transaction():
        memory.add([*facts[::-1], at(2500, "M/temperature_c", "F2")])
    found = list(memory.facts(equipment="F1", from_ms=3000, to_ms=6000))
    assert [f.t_ms for f in found] == [3000, 3000, 4000, 4000, 5000, 5000]
    assert {f.t_ms for f in memory.facts(quantities={"door_open"})} == set(range(1000, 9000, 1000))
    assert [f.t_ms for f in memory.facts(stream="M/temperature_c")] == [2500]
    assert list(memory.facts(equipment="F3")) == []


def test_a_long_range_comes_in_pages_and_loses_nothing(memory: Memory) -> None:
    facts = [at(i // 2, value=f"{i % 2}.5") for i in range(9001)]  # two values at an instant, over page ends too
    with memory.transaction():
        memory.add(facts)
    assert list(memory.facts(equipment="F1")) == facts


def test_what_was_known_at_a_place_of_the_journal_can_be_read_again(memory: Memory) -> None:
    """Late facts, and facts whose device got its equipment later, are not in what was known before."""
    with memory.transaction():
        memory.add([at(1000), at(3000)], 5)
        memory.add([at(2000)], 9)
        memory.add([at(1000)], 12)  # said again: known since 5
        memory.add([at(1500, "M/temperature_c", "")], 4)
        memory.house("M/temperature_c", in_one("F1"), audit_id=77)

    def known(offset: int | None, audit: int | None = None) -> list[int]:
        return [f.t_ms for f in memory.facts(equipment="F1", up_to_offset=offset, up_to_audit=audit)]

    assert known(4, 76) == []
    assert known(4, 77) == [1500]
    assert known(8, 76) == [1000, 3000]
    assert known(9) == known(None) == [1000, 1500, 2000, 3000]


def test_a_fact_that_moves_is_where_it_was_for_a_question_of_before(memory: Memory) -> None:
    """Review of issue 4, item 1: an explanation of then finds each fact in the equipment that held then."""
    moved = ((EVER_MS, 2000, "F1"), (2000, FOREVER_MS, "F2"))
    with memory.transaction():
        memory.add([at(1000), at(3000), at(4000)], 5)
        assert memory.house("L/temperature_c", moved, 70) == (
            {"F1"},
            [at(3000, equipment="F2"), at(4000, equipment="F2")],
        )
        assert memory.house("L/temperature_c", moved, 71) == (set(), [])
        memory.house("L/temperature_c", ((EVER_MS, 3500, "F1"), (3500, FOREVER_MS, "F2")), 80)

    def known(equipment: str, audit: int | None, offset: int | None = None) -> list[int]:
        return [f.t_ms for f in memory.facts(equipment=equipment, up_to_audit=audit, up_to_offset=offset)]

    assert (known("F1", 69), known("F2", 69)) == ([1000, 3000, 4000], [])
    assert (known("F1", 70), known("F2", 70)) == ([1000], [3000, 4000])
    assert (known("F1", 80), known("F2", 80)) == ([1000, 3000], [4000])
    assert (known("F1", None), known("F2", None)) == ([1000, 3000], [4000])
    assert known("F1", 69, 4) == []


def test_a_transaction_that_came_to_nothing_leaves_no_name_behind(memory: Memory) -> None:
    def dies() -> None:
        with memory.transaction():
            memory.add([at(1000)])
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        dies()
    with memory.transaction():
        memory.add([at(1000, "M/temperature_c"), at(1000)])
    assert {f.stream_id for f in memory.facts(equipment="F1")} == {"L/temperature_c", "M/temperature_c"}


OLD = """
CREATE TABLE place(id INTEGER PRIMARY KEY CHECK(id = 1), journal_offset INTEGER, audit_id INTEGER);
INSERT INTO place VALUES (1, 41, 17);
CREATE TABLE fact(
  stream TEXT NOT NULL, t_ms INTEGER NOT NULL, device_seq INTEGER NOT NULL DEFAULT -1,
  value_m INTEGER NOT NULL DEFAULT -1099511627776, quality TEXT NOT NULL, equipment TEXT NOT NULL,
  PRIMARY KEY(stream, t_ms, device_seq, value_m, quality)) WITHOUT ROWID;
CREATE INDEX fact_homeless ON fact(stream) WHERE equipment = '';
INSERT INTO fact VALUES ('L/temperature_c', 1000, -1, 8125, 'good', 'F1');
INSERT INTO fact VALUES ('L/temperature_c', 2000, 7, -1099511627776, 'sensor_fault', 'F1');
INSERT INTO fact VALUES ('M/temperature_c', 1000, -1, 5000, 'good', '');
"""


def test_a_file_of_the_first_version_is_taken_over_whole(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "alerts.db")
    old.executescript(OLD)
    old.close()
    for _ in range(2):  # and opened a second time
        memory = Memory(tmp_path / "alerts.db")
        assert list(memory.facts(up_to_offset=0)) == [
            at(1000, value="8.125"),
            ReadingFact("F1", "L/temperature_c", 2000, None, Quality.SENSOR_FAULT, 7),
        ]
        assert (memory.place().journal_offset, memory.place().audit_id) == (41, 17)
        assert memory.homeless() == ["M/temperature_c"]
        memory.close()
