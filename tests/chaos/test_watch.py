"""The campaign's reader of the outbox file: a backup written over the file gives numbers out a second time."""

from __future__ import annotations

import shutil
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from benchmarks.chaos.watch import Watch
from edge.outbox import SqliteOutbox
from telemetry.readings import Reading, Stamp, Sync


def reading(value: str, boottime_s: int) -> Reading:
    stamp = Stamp("boot", boottime_s * 1_000_000_000, boottime_s * 1000, Sync.SYNCED, 50)
    return Reading("MB-1/temperature_c", Decimal(value), boottime_s * 1000, stamp)


def test_a_number_that_a_restored_file_gives_again_means_both_facts(tmp_path: Path) -> None:
    """Seed 330756: the fact of the second life was not seen, and its row was taken for a changed, misdated first one."""
    path, backup = tmp_path / "outbox.db", tmp_path / "backup"
    with closing(SqliteOutbox(path)) as outbox:
        outbox.append([reading("4.1", 1)])
    shutil.copy(path, backup)
    with closing(SqliteOutbox(path)) as outbox:
        outbox.append([reading("4.2", 2), reading("4.3", 3)])
        watch = Watch(path, 0)
        assert watch.look()
    path.write_bytes(backup.read_bytes())
    watch.read_again()
    watch.look()  # the old file still, as far as the watch can tell: all is seen once more
    with closing(SqliteOutbox(path)) as outbox:
        epoch = outbox.epoch
        outbox.append([reading("9.9", 9)])
        assert watch.look()
    assert [a.value for a in watch.numbers[epoch, 2]] == [Decimal("4.2"), Decimal("9.9")]
