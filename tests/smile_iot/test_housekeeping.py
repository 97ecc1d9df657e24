"""Housekeeping: the journal forgets only what all readers passed and what is old; expired log-ins go."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from alerts.memory import Memory, Place
from gateway.journal import Entry, SqliteJournal
from gateway.records import Actor, Role, User
from gateway.smile.outbox import SmileOutbox
from ingest.ledger import Ledger
from ingest.undated import FillerState
from smile_iot import housekeeping
from smile_iot.parts import open_records
from smile_iot.settings import Settings, load_settings, to_toml
from telemetry.clock import VirtualClock
from telemetry.errors import NeighbourDownError

DAY_MS = 86_400_000
T0 = 1_790_000_000_000
NOW = T0 + 100 * DAY_MS


@dataclass
class Machine:
    """A data folder with ten entries, one a day from T0, and readers that stand where a test puts them."""

    folder: Path

    def settings(self, **more: str | int) -> Settings:
        file = self.folder / "server.toml"
        values = {"server.data_dir": str(self.folder), "smile.core_url": "http://127.0.0.1:9"}
        file.write_text(to_toml(values | {k.replace("__", "."): v for k, v in more.items()}))
        return load_settings(file, {})

    def journal(self) -> SqliteJournal:
        return SqliteJournal(self.folder / "journal.db")

    def left(self) -> list[int]:
        with closing(self.journal()) as journal:
            return [n for n, _ in journal.after(0, 100)]

    def ledger(self, offset: int) -> None:
        with closing(Ledger(self.folder / "ledger.db")) as ledger:
            ledger.commit([], offset)

    def filler(self, offset: int) -> None:
        with closing(FillerState(self.folder / "store.db")) as state:
            state.done(offset, [])

    def alerts(self, offset: int) -> None:
        with closing(Memory(self.folder / "alerts.db")) as memory, memory.transaction():
            memory.set_done(Place(offset, 0))

    def smile(self, offset: int) -> None:
        with closing(SmileOutbox(self.folder / "smile.db")) as outbox:
            outbox.set_position("journal", offset)

    @property
    def readers(self) -> dict[str, Callable[[int], None]]:
        return {"ledger": self.ledger, "filler": self.filler, "alerts": self.alerts, "smile": self.smile}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    with closing(machine.journal()) as journal:
        journal.append([Entry("S", "E", "e", "readings", T0 + i * DAY_MS, b"{}") for i in range(10)])
    return machine


def test_what_all_readers_passed_and_is_old_goes(machine: Machine) -> None:
    for read_to in machine.readers.values():
        read_to(10)
    now_ms = T0 + 34 * DAY_MS  # entries 1 to 4 are older than 30 days, 5 is exactly as old
    assert housekeeping.forget_journal(machine.settings(), now_ms) == 4
    assert machine.left() == [5, 6, 7, 8, 9, 10]
    assert housekeeping.forget_journal(machine.settings(), now_ms) == 0


@pytest.mark.parametrize("slow", ["ledger", "filler", "alerts", "smile"])
def test_the_slowest_reader_holds_everything_after_its_place(machine: Machine, slow: str) -> None:
    """design.md: an entry is dropped only after the readers passed it, however old it is."""
    for name, read_to in machine.readers.items():
        read_to(3 if name == slow else 10)
    assert housekeeping.forget_journal(machine.settings(), NOW) == 3
    assert machine.left() == [4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("absent", ["ledger", "filler", "alerts", "smile"])
def test_a_reader_that_never_ran_has_read_nothing(machine: Machine, absent: str) -> None:
    for name, read_to in machine.readers.items():
        if name != absent:
            read_to(10)
    assert housekeeping.forget_journal(machine.settings(), NOW) == 0
    assert len(machine.left()) == 10


def test_without_smile_nobody_waits_for_it(machine: Machine) -> None:
    for name, read_to in machine.readers.items():
        if name != "smile":
            read_to(10)
    assert housekeeping.forget_journal(machine.settings(smile__core_url=""), NOW) == 10


def test_the_retention_is_a_setting(machine: Machine) -> None:
    for read_to in machine.readers.values():
        read_to(10)
    assert housekeeping.forget_journal(machine.settings(journal__keep_days=99), NOW) == 1
    assert housekeeping.forget_journal(machine.settings(journal__keep_days=0), NOW) == 9


def test_expired_log_ins_go_and_the_others_stay(machine: Machine) -> None:
    settings = machine.settings()
    with open_records(settings) as records:
        boss = User("sari", Role.SUPER_ADMIN, password_hash="$argon2id$x")
        records.upsert_user(boss, Actor("root", Role.SUPER_ADMIN), "set-up", T0)
        records.open_session("sari", "old", T0, T0 + 1000)
        records.open_session("sari", "new", T0, T0 + 5000)
    assert housekeeping.forget_sessions(settings, T0 + 1000) == 1
    with open_records(settings) as records:
        assert records.session_user("new", T0 + 1000) is not None
        assert [s.expires_ms for s in records.sessions("sari")] == [T0 + 5000]


def test_both_jobs_are_on_the_clock(machine: Machine) -> None:
    clock = VirtualClock(T0, 0, 1.0)
    scheduler = housekeeping.start(machine.settings(), clock)
    try:
        jobs = {job.id: job for job in scheduler.get_jobs()}
        assert set(jobs) == {"journal entries", "expired log-ins"}
        assert {job.trigger.interval for job in jobs.values()} == {housekeeping.EVERY}
        assert all(job.args[3] is clock for job in jobs.values())
    finally:
        scheduler.shutdown()


def test_a_neighbour_that_is_down_is_said_and_tried_again(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    def broken(settings: Settings, now_ms: int) -> int:
        raise NeighbourDownError("journal", "no answer")

    with caplog.at_level(logging.INFO):
        housekeeping.tell(broken, "journal entries", machine.settings(), VirtualClock(T0, 0, 1.0))
        housekeeping.tell(lambda s, now_ms: 7, "journal entries", machine.settings(), VirtualClock(T0, 0, 1.0))
    assert [r.getMessage() for r in caplog.records] == [
        "housekeeping: journal entries stay for now: journal: no answer",
        "housekeeping: 7 journal entries dropped",
    ]
