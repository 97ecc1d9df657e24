"""Ingest killed between any two durable steps, in every combination of two kills: nothing lost, nothing twice.

A small model, tried exhaustively. The durable places (journal, quarantine, ledger's file) count their writes; a kill
falls before or after the n-th write, at every n, and again at every m of the second life. What is in memory is gone then,
the broker sends what was not acknowledged, and the edge re-sends what no receipt named.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.journal import Entry, SqliteJournal
from ingest.check import Arrived
from ingest.intake import Intake
from ingest.ledger import EpochKey, Ledger
from ingest.quarantine import Fault, Waiting
from telemetry.contract import decode_upload
from telemetry.errors import NeighbourDownError
from telemetry.readings import Ranges

KEY = EpochKey("SITE1", "E1", "epoch1")
HOMES = {"T1": "SITE1"}


class Killed(BaseException):
    """SIGKILL: nothing catches it."""


class Steps:
    """Counts durable writes; kills before (``after`` False) or right after the n-th."""

    def __init__(self) -> None:
        self.kill_at: int | None = None
        self.after = False
        self.count = 0

    def write(self, work: Any) -> Any:
        self.count += 1
        if self.count == self.kill_at and not self.after:
            raise Killed
        result = work()
        if self.count == self.kill_at and self.after:
            raise Killed
        return result


class Places:
    """What survives a kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps = Steps()
        self.entries: list[Entry] = []
        self.waiting_items: dict[tuple[str, bytes], Fault] = {}

    # journal
    def append(self, entries: Sequence[Entry]) -> int:
        self.steps.write(lambda: self.entries.extend(entries))
        return len(self.entries)

    def after(self, offset: int, limit: int) -> list[tuple[int, Entry]]:
        return list(enumerate(self.entries, 1))[offset : offset + limit]

    def last_offset(self) -> int:
        return len(self.entries)

    def forget(self, before_offset: int) -> int:
        raise AssertionError(before_offset)

    def skip_to(self, offset: int) -> None:
        raise AssertionError(offset)

    def close(self) -> None:
        return

    # quarantine
    def put(self, faults: Sequence[Fault]) -> None:
        self.steps.write(lambda: [self.waiting_items.setdefault((f.reason, f.payload), f) for f in faults])

    def waiting_serials(self) -> list[str]:
        return []

    def waiting(self, serial: str) -> list[Waiting]:
        raise AssertionError(serial)

    def replayed(self, item_ids: Sequence[str]) -> None:
        raise AssertionError(item_ids)

    def asked(self) -> list[Any]:
        return []

    def refused_again(self, asked: Any, reason: str, detail: str) -> None:
        raise AssertionError(asked)

    def start(self) -> Intake:
        """A process begins: everything it knows it reads."""
        ledger = Ledger(self.folder / "ledger.db")
        write = ledger._transaction
        ledger._transaction = lambda: _counted(self.steps, write)  # type: ignore[method-assign]
        intake = Intake(self, ledger, self, HOMES.get)
        intake.start()
        return intake


class _counted:  # noqa: N801  (a context manager in the place of a function)
    def __init__(self, steps: Steps, transaction: Any) -> None:
        self.steps, self.inner = steps, transaction()

    def __enter__(self) -> None:
        self.steps.count += 1
        if self.steps.count == self.steps.kill_at and not self.steps.after:
            raise Killed
        self.inner.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.inner.__exit__(*error)
        if self.steps.count == self.steps.kill_at and self.steps.after:
            raise Killed


def batches_of(make: Any, maker_class: Any) -> list[list[Arrived]]:
    """New facts, repeats, a conflict, an unknown device, poison, an event that thins, a hello."""
    twin = maker_class()
    thinned = make.event(8, "readings_thinned", "E1", detail={"ranges": "[[7,7]]"})
    return [
        [make.message([make.reading(1), make.reading(2)]), make.message([make.reading(2), make.reading(3)])],
        [twin.message([twin.reading(3, "9.9"), twin.reading(4)]), Arrived(make.address.up("readings"), b"{", 1)],
        [make.message([make.reading(5), make.reading(6, stream="NEW/temperature_c")])],
        [make.message([thinned], "events"), make.hello(8, at_ms=make.t0 + 100_000_000)],
    ]


def live(places: Places, broker: list[list[Arrived]], receipts: list[Ranges]) -> None:
    """One life of ingest: take the broker's batches, acknowledge each when it is kept, tell receipts, now and then flush."""
    intake = places.start()
    while broker:
        intake.take(broker[0])
        told = intake.ledger.receipt(KEY).have
        receipts.append(told)
        _receipt_is_backed(places, told)
        broker.pop(0)
        intake.ledger.flush()
    intake.ledger.close()


def _receipt_is_backed(places: Places, told: Ranges) -> None:
    held = {n for entry in places.entries for n in decode_upload(entry.payload).ranges}
    assert set(told) <= held, "a receipt named what the journal does not hold"


Point = tuple[int, bool]
"""(which durable write from the beginning of a life, whether the kill falls after it)."""


def lives(places: Places, broker: list[list[Arrived]], plan: Sequence[Point]) -> int:
    """Ingest lives until the broker has nothing left, killed as planned; how many kills fell into the work."""
    receipts: list[Ranges] = []
    for fell, (kill_at, after) in enumerate([*plan, (0, False)]):
        places.steps.kill_at = places.steps.count + kill_at if kill_at else None
        places.steps.after = after
        try:
            live(places, broker, receipts)
        except Killed:
            continue
        return fell
    raise AssertionError("the last life is not killed")


@pytest.mark.timeout(600)
def test_whatever_two_kills_fall_between_nothing_is_lost_and_nothing_twice(
    tmp_path: Path, make: Any, maker_class: Any
) -> None:
    numbers = itertools.count()

    def tried(*plan: Point) -> tuple[Places, int]:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        places = Places(folder)
        fell = lives(places, batches_of(make, maker_class), plan)
        nothing_is_lost_and_nothing_twice(places, plan)
        return places, fell

    writes = tried()[0].steps.count
    points = [(n, after) for n in range(1, writes + 1) for after in (False, True)]
    assert all(tried(point)[1] == 1 for point in points)
    twice = [tried(*plan)[1] for plan in itertools.product(points, points)]
    assert twice.count(2) > len(points) ** 2 // 2, "the kills did not fall into the work"


def nothing_is_lost_and_nothing_twice(places: Places, plan: Sequence[Point]) -> None:
    ledger = Ledger(places.folder / "ledger.db")
    state = ledger.state(KEY)
    uploads = [decode_upload(entry.payload) for entry in places.entries]
    held = {n for upload in uploads for n in upload.ranges}
    contents = {repr(n.fact) for upload in uploads for n in upload.facts}
    assert state.have == Ranges([(1, 5), (8, 8)]), plan
    assert held == set(state.have), plan
    assert len(contents) == len(held), f"two contents under one number in the journal: {plan}"
    # A hello has no number: said again it is journaled again, and changes nothing.
    assert sum(e.kind != "hello" for e in places.entries) == 5, f"journaled more than once: {plan}"
    assert (state.quarantined, state.missing) == (Ranges([(6, 6)]), Ranges()), plan
    assert state.streams["T1/temperature_c"].received == 5, plan
    reasons = sorted(reason for reason, _ in places.waiting_items)
    assert reasons == ["not_json", "number_conflict", "unknown_device"], plan
    ledger.close()


@pytest.mark.parametrize("place", ["journal", "quarantine", "registry"])
def test_a_place_that_is_full_or_away_takes_the_batch_back_whole(pipeline: Any, make: Any, place: str) -> None:
    """Disk full: no acknowledgement, no receipt, nothing half; when there is room the same batch goes through."""

    def down(*_: Any) -> Any:
        raise NeighbourDownError(place, "disk full")

    owner, name = {
        "journal": (pipeline.journal, "append"),
        "quarantine": (pipeline.quarantine, "put"),
        "registry": (pipeline.intake, "_registry"),
    }[place]
    works = getattr(owner, name)
    batch = [make.message([make.reading(1), make.reading(2, stream="NEW/temperature_c")]), make.hello(2)]
    setattr(owner, name, down)
    for _ in range(3):
        with pytest.raises(NeighbourDownError):
            pipeline.intake.take(batch)
        assert pipeline.ledger.states == {}
        assert pipeline.journal.last_offset() == 0
    setattr(owner, name, works)
    assert pipeline.intake.take(batch) == {KEY: False}
    assert pipeline.journal.last_offset() == 2
    assert len(pipeline.quarantine.rows()) == 1


def test_a_full_disk_under_the_ledger_alone_delays_its_file_and_nothing_else(pipeline: Any, make: Any) -> None:
    def full() -> Any:
        raise NeighbourDownError("ledger", "disk full")

    writes = pipeline.ledger._transaction
    pipeline.ledger._transaction = full
    assert pipeline.intake.take([make.message([make.reading(1)])]) == {KEY: False}
    with pytest.raises(NeighbourDownError):
        pipeline.ledger.flush()
    pipeline.ledger._transaction = writes
    pipeline.ledger.flush()
    pipeline.restart()
    assert pipeline.ledger.receipt(KEY).have == Ranges([(1, 1)])


def test_sqlites_own_word_for_a_full_disk_is_an_outage_of_the_journal(tmp_path: Path, make: Any) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    journal._db.execute("PRAGMA max_page_count = 4")
    entry = Entry("S", "E", "e", "readings", 1, make.message([make.reading(1)]).payload * 20)
    with pytest.raises(NeighbourDownError, match="full"):
        journal.append([entry] * 10)
    assert journal.last_offset() == 0
    journal._db.execute("PRAGMA max_page_count = 10000")
    assert journal.append([entry]) == 1
    journal.close()
