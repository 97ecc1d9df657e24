"""What only the file can do: last over a restart, a SIGKILL, a full disk and a restored backup."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.outbox import EpochReason, SqliteOutbox
from edge.outbox_file import DamagedError
from telemetry.errors import NeighbourDownError
from telemetry.readings import Ranges


def test_everything_lasts_over_a_restart(tmp_path: Path, make: Any) -> None:
    box = SqliteOutbox(tmp_path / "o.db")
    box.append([make.reading(), make.weighing(), make.event()], {"k": "v"})
    box.received(Ranges([(1, 1)]), Ranges())
    epoch, pending, usage = box.epoch, box.pending(9), box.usage()
    box.close()
    again = SqliteOutbox(tmp_path / "o.db")
    assert (again.epoch, again.pending(9), again.hint("k")) == (epoch, pending, "v")
    assert (again.usage().rows, again.usage().numbered_to) == (usage.rows, usage.numbered_to)
    again.close()


def test_two_that_make_the_file_in_the_same_moment_have_one_epoch(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command opens the file while the agent makes it: the later one must not take the numbers' seal away."""
    path, begin = tmp_path / "outbox.db", SqliteOutbox._begin_file
    quicker: list[SqliteOutbox] = []

    def begin_late(self: SqliteOutbox) -> None:
        monkeypatch.undo()
        quicker.append(SqliteOutbox(path))
        quicker[0].append([make.reading()])
        begin(self)

    monkeypatch.setattr(SqliteOutbox, "_begin_file", begin_late)
    with contextlib.closing(SqliteOutbox(path)) as box, contextlib.closing(quicker[0]) as first:
        assert box.epoch == first.epoch
        assert [n.seq for n in box.pending(9)] == [n.seq for n in first.pending(9)] == [1]


def test_it_is_as_durable_as_promised(tmp_path: Path) -> None:
    """data-path.md 4: WAL with synchronous=FULL (2) lost 0 rows in 400 simulated power cuts; NORMAL lost in 96 %."""
    box = SqliteOutbox(tmp_path / "o.db")
    assert box._db.execute("PRAGMA secure_delete").fetchone()[0] == 1  # a salvage must not find what is gone
    assert box._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert box._db.execute("PRAGMA synchronous").fetchone()[0] == 2
    box.close()


def test_a_copy_put_in_its_place_starts_a_new_epoch(tmp_path: Path, make: Any) -> None:
    path, backup = tmp_path / "o.db", tmp_path / "backup.db"
    box = SqliteOutbox(path)
    box.append([make.reading(), make.reading(value="6")])
    box.received(Ranges([(1, 1)]), Ranges())
    epoch = box.epoch
    box.close()
    shutil.copy(path, backup)
    box = SqliteOutbox(path)
    assert box.epoch == epoch
    box.append([make.reading(value="7")])
    box.close()
    backup.replace(path)
    box = SqliteOutbox(path)
    assert box.epoch != epoch
    assert [n.seq for n in box.pending(9)] == [1]
    assert box.last_reading("LOG-1/temperature_c") is not None
    box.close()


def test_two_words_are_kept_once(tmp_path: Path, make: Any) -> None:
    """Rows stay small: stream and boot ids are interned (about 60 to 100 bytes a plain reading)."""
    box = SqliteOutbox(tmp_path / "o.db")
    box.append([make.reading()] * 5000)
    box._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert box.usage().bytes / 5000 < 100
    box.close()


def test_a_full_disk_takes_nothing_and_says_try_again(tmp_path: Path, make: Any) -> None:
    box = SqliteOutbox(tmp_path / "o.db")
    box.append([make.reading()])
    pages = box._db.execute("PRAGMA page_count").fetchone()[0]
    box._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(NeighbourDownError) as caught:
        box.append([make.reading(f"LOG-{i}/temperature_c") for i in range(5000)], {"heard": "x"})
    assert caught.value.again
    assert (box.usage().numbered_to, box.hint("heard")) == (1, None)
    box._db.execute("PRAGMA max_page_count=1000000")
    assert box.append([make.reading("LOG-7/temperature_c")]) == Ranges([(2, 2)])
    assert box.last_reading("LOG-7/temperature_c") is not None
    box.close()


def test_a_full_disk_costs_receipted_facts_oldest_first(tmp_path: Path, make: Any) -> None:
    """design.md, promise 1: receipted ones go first. What is unreceipted stays, and when nothing is left: refused."""
    box = SqliteOutbox(tmp_path / "o.db")
    box.append([make.reading(value=str(i)) for i in range(12_000)])
    box.received(Ranges([(1, 100), (201, 10_000)]), Ranges([(10_001, 10_100)]))
    box._db.execute("VACUUM")  # no page is free now
    pages = box._db.execute("PRAGMA page_count").fetchone()[0]
    box._db.execute(f"PRAGMA max_page_count={pages}")
    more = [make.reading(value=str(i)) for i in range(1000)]
    assert box.append(more, {"heard": "x"}) == Ranges([(12_001, 13_000)])
    assert box.hint("heard") == "x"
    kept = Ranges.of(n.seq for n in box.select(seq=Ranges([(1, 1 << 40)]), limit=1 << 30))
    assert kept == Ranges([(101, 200), (4_101, 13_000)])
    pending = Ranges([(101, 200), (10_101, 13_000)])
    taken: list[Ranges] = []
    with pytest.raises(NeighbourDownError) as caught:
        taken.extend(box.append(more) for _ in range(40))
    assert caught.value.again
    for span in taken:
        pending |= span
    assert Ranges.of(n.seq for n in box.pending(1 << 30)) == pending
    assert box.usage().rows == sum(high - low + 1 for low, high in pending.spans)
    box.close()


def test_the_file_stops_growing_while_the_disk_can_still_take_a_deletion(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found on a real full disk (tmpfs): with no byte left the deletion is refused as well, for want of a WAL."""
    free = [1 << 30]
    monkeypatch.setattr("edge.outbox_sqlite.shutil.disk_usage", lambda path: SimpleNamespace(free=free[0], path=path))
    box = SqliteOutbox(tmp_path / "o.db")
    box.append([make.reading()] * 5000)
    box.received(Ranges([(1, 5000)]), Ranges())
    box._db.execute("VACUUM")  # no page is free now
    free[0] = 1 << 20
    assert box.append([make.reading()] * 1000) == Ranges([(5001, 6000)])
    assert box.usage().rows == 2000
    with pytest.raises(NeighbourDownError):
        box.append([make.reading()] * 9000)
    assert (box.usage().rows, box.usage().unreceipted) == (1000, 1000)
    free[0] = 1 << 30
    assert box.append([make.reading()] * 9000) == Ranges([(6001, 15_000)])
    box.close()


def test_a_full_disk_costs_an_earlier_epochs_rows_first(tmp_path: Path, make: Any) -> None:
    box = SqliteOutbox(tmp_path / "o.db")
    box.append([make.reading(value=str(i), t_ms=i) for i in range(6_000)])
    box.received(Ranges([(1, 6_000)]), Ranges())
    box.renew()
    box.append([make.reading(t_ms=9_000 + i) for i in range(100)])
    box.received(Ranges([(1, 100)]), Ranges())
    pages = box._db.execute("PRAGMA page_count").fetchone()[0]
    box._db.execute(f"PRAGMA max_page_count={pages}")
    box.append([make.reading(t_ms=9_500)] * 1000)
    times = box.reading_times("LOG-1/temperature_c", 0, 9_100)
    assert times == [*range(4_000, 6_000), *range(9_000, 9_100)]
    box.close()


def test_a_folder_that_is_a_file_is_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "o.db").mkdir()
    with pytest.raises(NeighbourDownError, match="restart the agent"):
        SqliteOutbox(tmp_path / "o.db")


_WRITER = """
import sys
from decimal import Decimal
from pathlib import Path
from edge.outbox import EpochReason, SqliteOutbox
from telemetry.readings import Reading, Stamp, Sync
box = SqliteOutbox(Path(sys.argv[1]))
stamp = Stamp("b", 1, 1, Sync.SYNCED, 1)
while True:
    span = box.append([Reading("L/temperature_c", Decimal(5), 1, stamp)] * 3, {"n": str(box.usage().numbered_to + 3)})
    print(span.spans[0][1], flush=True)
"""


def test_sigkill_loses_nothing_that_was_told(tmp_path: Path, wait_for: Callable[..., Any]) -> None:
    """Five kills in the middle of writing: each told number is there, no gap, and the hint fits the facts."""
    path = tmp_path / "o.db"
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
        writer.wait()
        writer.stdout.close()
        box = SqliteOutbox(path)
        numbers = [n.seq for n in box.pending(1 << 20)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert numbers[-1] >= told[-1]
        assert box.hint("n") == str(numbers[-1])
        box.close()


_VERSION_1 = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE hint(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE word(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE last(stream INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE fact(seq INTEGER PRIMARY KEY, state INTEGER NOT NULL, kind TEXT NOT NULL, stream INTEGER NOT NULL,
  t_ms INTEGER, value TEXT, boot INTEGER NOT NULL, boottime_ns INTEGER NOT NULL, wall_ms INTEGER NOT NULL,
  synced INTEGER NOT NULL, max_error_ms INTEGER, extra TEXT);
CREATE INDEX fact_pending ON fact(seq) WHERE state = 0;
INSERT INTO meta VALUES('version','1'),('epoch','0123456789abcdef'),('numbered_to','9');
INSERT INTO hint VALUES('heard:LOG-1','x');
INSERT INTO word VALUES(1,'LOG-1/temperature_c'),(2,'boot-1'),(3,'SC-1');
INSERT INTO fact VALUES(-1,1,'r',1,50,'4.5',2,7,1800000000000,1,20,NULL),(4,1,'r',1,100,'5',2,7,1800000000000,1,20,NULL),
  (5,2,'r',1,200,'6',2,7,1800000000000,1,20,NULL),(6,0,'r',1,300,'7',2,7,1800000000000,1,20,'{"origin":"memory"}'),
  (7,1,'r',1,400,'8',2,7,1800000000000,1,20,NULL),
  (8,0,'e',3,NULL,NULL,2,7,1800000000000,0,NULL,'{"kind":"rezero_needed","detail":{"reason":"x"}}');
"""


def test_a_file_of_version_1_goes_on_with_its_epoch_numbers_and_receipts(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(_VERSION_1)
        db.execute("INSERT INTO meta VALUES('inode',?)", (str(path.stat().st_ino),))
        db.commit()
    box = SqliteOutbox(path)
    assert (box.epoch, box.usage().numbered_to, box.usage().unreceipted) == ("0123456789abcdef", 9, 2)
    assert [n.seq for n in box.pending(9)] == [6, 8]
    assert [n.seq for n in box.select(seq=Ranges([(1, 99)]))] == [4, 5, 6, 7, 8]
    assert box.hint("heard:LOG-1") == "x"
    assert box.reading_times("LOG-1/temperature_c", 0, 900) == [50, 100, 200, 300, 400]
    assert box.append([box.pending(1)[0].fact]) == Ranges([(10, 10)])
    box.close()
    again = SqliteOutbox(path)
    assert (again.epoch, again.usage().numbered_to) == ("0123456789abcdef", 10)
    assert [p.name for p in tmp_path.iterdir() if "rebuil" in p.name] == []
    again.close()


def test_a_copied_file_of_version_1_starts_a_new_epoch(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(_VERSION_1)
        db.execute("INSERT INTO meta VALUES('inode','1')")
        db.commit()
    box = SqliteOutbox(path)
    assert box.identity().reason is EpochReason.COPIED
    assert box.identity().previous_epoch == "0123456789abcdef"
    box.close()


def test_a_card_cloned_into_another_machine_starts_a_new_epoch(tmp_path: Path, make: Any) -> None:
    """dd keeps the inode: only the machine tells."""
    path = tmp_path / "o.db"
    box = SqliteOutbox(path, machine="pi-1")
    box.append([make.reading(), make.reading(value="6")])
    box.received(Ranges([(1, 1)]), Ranges())
    first = box.identity()
    box.close()
    for machine in ("pi-1", ""):  # a tool that looks at the file without saying who it is changes nothing
        same = SqliteOutbox(path, machine=machine)
        assert same.identity() == first
        same.close()
    other = SqliteOutbox(path, machine="pi-2")
    found = other.identity()
    assert (found.reason, found.previous_epoch, found.machine) == (EpochReason.MOVED, first.epoch, "pi-2")
    assert other.produced() == {"LOG-1/temperature_c": 1}
    other.close()


def test_a_restored_backup_says_so(tmp_path: Path, make: Any) -> None:
    box = SqliteOutbox(tmp_path / "o.db")
    box.append([make.reading()])
    epoch = box.epoch
    box.received(Ranges([(1, 7)]), Ranges())
    assert (box.identity().reason, box.identity().previous_epoch) == (EpochReason.RESTORED, epoch)
    box.close()


def test_produced_counts_each_stream_over_restarts_and_deletions(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "o.db"
    for part in range(3):
        box = SqliteOutbox(path)
        box.append([make.reading(f"LOG-{i % 2}/temperature_c") for i in range(901)] + [make.event()])
        assert box.produced() == {
            "LOG-0/temperature_c": 451 * (part + 1),
            "LOG-1/temperature_c": 450 * (part + 1),
        }
        box.received(Ranges([(1, 902 * (part + 1))]), Ranges())
        if part == 1:
            assert box.forget_receipted(1 << 50) == 1804
        box.close()


def test_a_receipt_waits_for_the_next_commit_and_a_close_keeps_it(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "o.db"
    box = SqliteOutbox(path)
    box.append([make.reading()] * 10)
    written = box._db.total_changes
    box.received(Ranges([(1, 5)]), Ranges())
    assert box._db.total_changes == written
    box.close()
    again = SqliteOutbox(path)
    assert again.usage().unreceipted == 5
    again.close()


def test_receipts_that_a_full_disk_cannot_keep_are_known_and_make_room(tmp_path: Path, make: Any) -> None:
    box = SqliteOutbox(tmp_path / "o.db")
    box.append([make.reading() for _ in range(6000)])
    box._db.execute("PRAGMA max_page_count=1")  # raised by SQLite to the pages that there are
    scattered = [(n, n) for n in range(3002, 6000, 2)]  # so many spans need pages of their own
    box.received(Ranges([(1, 3000), *scattered]), Ranges())
    assert box.usage().unreceipted == 1501
    assert box.append([make.reading() for _ in range(50)]) == Ranges([(6001, 6050)])
    usage = box.usage()
    assert (usage.unreceipted, usage.refused) == (1551, 0), "nothing was thinned: what was receipted went first"
    assert usage.rows < 3050
    box.close()
    again = SqliteOutbox(tmp_path / "o.db")
    assert again.usage().unreceipted == 1551
    again.close()


def test_damage_that_salvage_does_not_heal_is_told_as_the_disks_fault(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else came out of it would end the agent, not only the part that asked."""
    box = SqliteOutbox(tmp_path / "o.db")
    box.append([make.reading()], {"key": "value"})

    def broken(_text: str) -> int:
        raise DamagedError("a bad sector")

    monkeypatch.setattr("edge.outbox_rows.word_of", broken)
    monkeypatch.setattr(SqliteOutbox, "_salvage", lambda self, why: None)
    with pytest.raises(NeighbourDownError, match="a bad sector"):
        box.hint("key")
    monkeypatch.undo()
    box.close()
