"""The simulated server: the real check, intake, ledger, answers, gaps and filler on a journal that can be killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.simulation.models import MemoryJournal, MemoryQuarantine, Peril, Perilous
from benchmarks.simulation.process import Process
from benchmarks.simulation.world import BrokenError, Broker, Connection, World
from ingest.answers import Answer, Answers
from ingest.check import Arrived
from ingest.config import Config
from ingest.filler import Filler
from ingest.gaps import GapWatch
from ingest.intake import Intake
from ingest.ledger import Ledger
from ingest.service import fill_again_after_a_restore
from ingest.store import SqliteStore
from ingest.undated import FillerState
from telemetry.contract import Receipt, decode_upload, encode_receipt, encode_request
from telemetry.errors import NeighbourDownError
from telemetry.readings import Ranges
from telemetry.topics import EdgeAddress


@dataclass
class Server(Process):
    """``journal``, ``quarantine`` and the files in ``folder`` outlive the process."""

    world: World
    broker: Broker
    folder: Path
    homes: dict[str, str]
    linger_ms: int
    name: str = "ingest"
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    quarantine: MemoryQuarantine = field(default_factory=MemoryQuarantine)
    peril: Peril = field(default_factory=Peril)
    fill_peril: Peril = field(default_factory=Peril)
    alive: bool = False
    link: bool = True
    life: int = 0
    receipts: int = 0
    requests: int = 0
    dead_for_ms: int = 15_000

    def __post_init__(self) -> None:
        self.connection: Connection | None = None
        self.inbox: list[tuple[Arrived, int, Connection]] = []
        self._closers: list[Callable[[], None]] = []
        self._in_journal: dict[tuple[str, str, str], Ranges] = {}
        self._checked_to = 0
        self._request_ids = 0

    # --- life and death ----------------------------------------------------------------------------------------

    def start(self) -> None:
        self.life += 1
        self.world.say("ingest: starts")
        self.alive, self.inbox, self.filler, self.turning = True, [], None, False
        ledger = Ledger(self.folder / "ledger.db")
        self._closers.append(ledger._db.close)
        journal: Any = Perilous(self.journal, self.peril, "journal", ("append",))
        quarantine: Any = Perilous(self.quarantine, self.peril, "quarantine", ("put", "replayed"))
        watched: Any = Perilous(ledger, self.peril, "ledger", ("commit", "flush"))
        self.ledger = ledger
        self.intake = Intake(journal, watched, quarantine, self.homes.get)
        self.answers = Answers(self.linger_ms, GapWatch(new_id=self._new_id))
        life = self.life
        self.guard(life, self._begin)
        self.world.at(self.world.rng.randrange(20, 500), lambda: self._connect(life))
        self.every(2_000, life, self._housekeep)
        self.every(self.world.rng.choice((2_000, 9_000)), life, self._fill)

    def _begin(self) -> None:
        ended_at = self.journal.last_offset()
        self.intake.start()
        fill_again_after_a_restore(self.journal, Config(filler_path=self.folder / "store.db"), ended_at)  # type: ignore[arg-type]

    def _new_id(self) -> str:
        self._request_ids += 1
        return f"request-{self._request_ids}"

    def die(self, why: str) -> None:
        if self.alive:
            self.world.say(f"ingest: dies ({why})")
            self.alive = False
            for close in self._closers:
                close()
            self._closers.clear()
            if self.connection is not None:
                self.connection.end()
                self.connection = None

    # --- the link ----------------------------------------------------------------------------------------------

    def _connect(self, life: int) -> None:
        if not self.alive or life != self.life or self.connection is not None:
            return
        self.connection = self.broker.connect(self, ("/up/",), reachable=self.link)
        if self.connection is None:
            self.world.at(self.world.rng.randrange(1_000, 5_000), lambda: self._connect(life))
            return
        self.answers.connected()
        self._wake()

    def on_disconnect(self, connection: Connection) -> None:
        if connection is self.connection:
            self.connection = None
            life = self.life
            self.world.at(self.world.rng.randrange(1_000, 5_000), lambda: self._connect(life))

    def on_message(self, connection: Connection, topic: str, payload: bytes, retained: bool, ack: int) -> None:
        del retained  # nobody retains an upload
        if self.alive and connection is self.connection:
            self.inbox.append((Arrived(topic, payload, self.world.now_ms), ack, connection))
            self._wake()

    def _wake(self) -> None:
        if not self.turning:
            self.turning, life = True, self.life

            def turn() -> None:
                if life == self.life:
                    self.turning = False
                self.guard(life, self._turn)

            self.world.at(self.world.rng.choice((0, 1, 30)), turn)

    # --- the loop of ingest/receiver.py ------------------------------------------------------------------------

    def _turn(self) -> None:
        if self.inbox:
            batch = self.inbox[: self.world.rng.randrange(1, 6)]
            try:
                lazy = self.intake.take([arrived for arrived, _, _ in batch])
            except NeighbourDownError as error:
                self.world.say(f"ingest: cannot keep: {error.neighbour}")
                life = self.life
                self.world.at(1_000, lambda: self.guard(life, self._turn))
                return
            self.answers.taken(lazy, self._now_ms())
            del self.inbox[: len(batch)]
            for _, ack, connection in batch:
                if connection is self.connection:
                    connection.carry("up", lambda ack=ack: self.broker.acknowledged(self.name, ack))  # type: ignore[misc]
        if self.world.rng.random() < 0.2:
            self.ledger_flush()
        self._tell()
        if self.inbox:
            self._wake()

    def ledger_flush(self) -> None:
        self.peril.step("ledger", self.ledger.flush)

    def _housekeep(self) -> None:
        self.ledger_flush()
        replayed = self.intake.sweep()
        self.answers.taken(dict.fromkeys(replayed, False), self._now_ms())
        self._tell()
        if self.connection is not None:
            for answer in self.answers.requests(self.ledger, self._now_ms()):
                self.requests += 1
                self._publish(answer)
        if self.inbox:
            self._wake()

    def _now_ms(self) -> int:
        return self.world.now_ms - self.world.begin_ms

    def _tell(self) -> None:
        if self.connection is None:
            return
        for answer in self.answers.receipts(self.ledger, self._now_ms(), pressed=bool(self.inbox)):
            assert isinstance(answer.body, Receipt)
            self.receipts += 1
            self._check_receipt(answer)
            self._publish(answer)

    def _publish(self, answer: Answer) -> None:
        address = EdgeAddress(answer.shard, answer.key.site, answer.key.edge)
        if isinstance(answer.body, Receipt):
            topic, payload = address.down("receipt"), encode_receipt(answer.body)
            self.world.say(f"ingest: tells {answer.body.have.to_lists()} of {answer.key.epoch[:4]}")
        else:
            topic, payload = address.down("request"), encode_request(answer.body)
            self.world.say(f"ingest: asks for {answer.body.seq}")
        connection = self.connection
        assert connection is not None
        connection.carry("up", lambda: self.broker.publish(topic, payload, retain=answer.retain))

    def _check_receipt(self, answer: Answer) -> None:
        """The first promise: a receipt never names what the journal lacks."""
        body, key = answer.body, answer.key
        assert isinstance(body, Receipt)
        for offset, entry in self.journal.after(self._checked_to, 1 << 30):
            self._checked_to = offset
            held = (entry.site, entry.edge, entry.epoch)
            self._in_journal[held] = self._in_journal.get(held, Ranges()) | decode_upload(entry.payload).ranges
        lacking = body.have - self._in_journal.get(tuple(key), Ranges())
        if lacking:
            raise BrokenError(f"a receipt names {lacking.to_lists()} of {key.epoch}, which the journal lacks")

    # --- the filler --------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        if "store" in self.fill_peril.down and self.filler is None:
            return  # ingest/service.py opens the store before the filler begins
        if self.filler is None:
            state = FillerState(self.folder / "store.db")
            store = SqliteStore(self.folder / "store.db")
            self._closers += [state._db.close, store.close, store._db.close]
            safe_store: Any = Perilous(store, self.fill_peril, "store", ("append", "append_columns"))
            safe_state: Any = Perilous(state, self.fill_peril, "filler", ("learn", "done"))
            quarantine: Any = self.quarantine
            self.filler = Filler(Config(), self.journal, safe_store, safe_state, quarantine)
            self.filler.start()
            self._filled_to = -1
        while self._filled_to != self.journal.last_offset():
            seen = self.journal.last_offset()
            if not self.filler.step():
                self._filled_to = seen

    # --- backups -----------------------------------------------------------------------------------------------

    def restore_journal(self, backup: MemoryJournal) -> None:
        """Dead now: an older copy of the journal takes its place."""
        self.world.say(f"ingest: journal restored to {backup.last_offset()} of {self.journal.last_offset()}")
        self.journal = backup.copy()
        self._in_journal, self._checked_to = {}, 0
