"""A journal restored from a backup: no reader's place may hide what comes afterwards (found by the simulation, seed 23)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from gateway.journal import SqliteJournal
from ingest.config import Config
from ingest.filler import Filler
from ingest.ledger import Ledger
from ingest.service import fill_again_after_a_restore
from ingest.store import SqliteStore
from ingest.undated import FillerState
from telemetry.readings import Ranges


def copy_of(path: Path) -> Path:
    """A copy of a SQLite file whose writer has closed it."""
    return Path(shutil.copyfile(path, path.with_suffix(".backup")))


def put_back(backup: Path, path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copyfile(backup, path)


def begin(pipeline: Any, folder: Path) -> None:
    """A new process, as ``ingest.service`` starts it."""
    journal = SqliteJournal(folder / "journal.db")
    ended_at = journal.last_offset()
    journal.close()
    pipeline.restart()
    fill_again_after_a_restore(pipeline.journal, Config(filler_path=folder / "store.db"), ended_at)


def test_what_came_out_of_quarantine_and_went_with_the_journal_is_missed(
    pipeline: Any, make: Any, tmp_path: Path
) -> None:
    """Found by the simulation (seed 38): the ledger's file, half a second old, still called the numbers quarantined, the
    quarantine called them replayed, and the restored journal had neither."""
    pipeline.intake.take(
        [make.message([make.reading(1)]), make.message([make.reading(2, stream="NEW/temperature_c")])]
    )
    pipeline.journal.close()
    backup = copy_of(tmp_path / "journal.db")
    pipeline.restart()
    pipeline.homes["NEW"] = "SITE1"
    pipeline.intake.sweep()
    pipeline.journal.close()  # killed: nothing is flushed any more
    put_back(backup, tmp_path / "journal.db")
    begin(pipeline, tmp_path)
    pipeline.intake.take([make.hello(2)])
    (key,) = pipeline.ledger.states
    assert pipeline.ledger.states[key].missing == Ranges([(2, 2)])


def fill(pipeline: Any, store: SqliteStore, state: FillerState) -> None:
    filler = Filler(Config(), pipeline.journal, store, state, pipeline.quarantine)
    filler.start()
    while filler.step():
        pass


def test_a_filler_that_begins_when_the_journal_has_grown_again_misses_nothing(
    pipeline: Any, make: Any, tmp_path: Path
) -> None:
    store, state = SqliteStore(tmp_path / "store.db"), FillerState(tmp_path / "store.db")
    pipeline.intake.take([make.message([make.reading(1)])])
    pipeline.journal.close()
    backup = copy_of(tmp_path / "journal.db")
    pipeline.restart()
    for n in (2, 3, 4):
        pipeline.intake.take([make.message([make.reading(n)])])
    fill(pipeline, store, state)
    pipeline.ledger.flush()
    pipeline.journal.close()

    put_back(backup, tmp_path / "journal.db")
    begin(pipeline, tmp_path)
    for n in (5, 6, 7, 8):  # as many as were lost, and one more, before the filler looks
        pipeline.intake.take([make.message([make.reading(n)])])
    fill(pipeline, store, state)

    (key,) = pipeline.ledger.states
    assert pipeline.ledger.states[key].have == Ranges([(1, 1), (5, 8)])
    assert store.count("T1/temperature_c") == 8


def test_a_ledger_that_lags_behind_the_filler_is_no_excuse(pipeline: Any, make: Any, tmp_path: Path) -> None:
    """The ledger's file follows twice a second: a kill leaves it behind, and the restored journal seems to fit it."""
    store, state = SqliteStore(tmp_path / "store.db"), FillerState(tmp_path / "store.db")
    pipeline.intake.take([make.message([make.reading(1)])])
    pipeline.ledger.flush()
    pipeline.journal.close()
    backup = copy_of(tmp_path / "journal.db")
    pipeline.journal = SqliteJournal(tmp_path / "journal.db")
    pipeline.intake._journal = pipeline.journal
    pipeline.intake.take([make.message([make.reading(2)])])
    fill(pipeline, store, state)
    pipeline.journal.close()

    put_back(backup, tmp_path / "journal.db")
    pipeline.ledger = Ledger(tmp_path / "ledger.db")
    begin(pipeline, tmp_path)
    pipeline.intake.take([make.message([make.reading(3)])])
    fill(pipeline, store, state)
    assert store.count("T1/temperature_c") == 3


def test_what_only_the_backup_holds_is_filled_too(pipeline: Any, make: Any, tmp_path: Path) -> None:
    """Two restores (seed 58): the older backup, put back last, holds entries that the filler never came to."""
    store, state = SqliteStore(tmp_path / "store.db"), FillerState(tmp_path / "store.db")
    path = tmp_path / "journal.db"
    pipeline.intake.take([make.message([make.reading(1)])])
    pipeline.journal.close()
    small = Path(shutil.copyfile(path, tmp_path / "small"))
    pipeline.restart()
    pipeline.intake.take([make.message([make.reading(2)])])
    pipeline.journal.close()
    large = Path(shutil.copyfile(path, tmp_path / "large"))
    pipeline.ledger.flush()
    put_back(small, path)
    begin(pipeline, tmp_path)
    pipeline.intake.take([make.message([make.reading(3)])])
    fill(pipeline, store, state)
    pipeline.ledger.flush()
    pipeline.journal.close()
    put_back(large, path)
    begin(pipeline, tmp_path)
    fill(pipeline, store, state)
    assert store.count("T1/temperature_c") == 3
