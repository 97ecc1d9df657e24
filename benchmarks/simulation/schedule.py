"""One schedule: a seed draws the settings, the faults and their times; then peace, and the final account."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from benchmarks.simulation.edge_side import MAX_ERROR_MS, STREAMS, Key, Pi
from benchmarks.simulation.server_side import Server
from benchmarks.simulation.world import BrokenError, Broker, World
from edge import uplink
from edge.config import MqttSettings
from ingest.store import SqliteStore
from telemetry.contract import decode_upload
from telemetry.errors import ContractError
from telemetry.readings import Reading

RAGE_MS = 100_000
PEACE_MS = 4 * 3_600_000
AFTER_MS = 2 * 3_600_000
_MEMORY = Path("/dev/shm")


@dataclass
class Outcome:
    """What a schedule came to; ``broken`` is empty when every promise held."""

    seed: int
    broken: str = ""
    accepted: int = 0
    uploads: int = 0
    receipts: int = 0
    requests: int = 0
    faults: int = 0
    destroyed: int = 0
    quarantined: int = 0
    rest_ms: int = 0
    trace: list[str] = field(default_factory=list)


class Schedule:
    """``run`` plays it. ``sabotage`` (for negative controls) is called with the schedule before it begins."""

    def __init__(
        self, seed: int, *, tracing: bool = False, sabotage: Callable[[Schedule], None] | None = None
    ) -> None:
        self.world = World(seed, trace=[] if tracing else None)
        self._sabotage = sabotage
        rng = self.world.rng
        self.broker = Broker(self.world)
        policy = MqttSettings(
            window_facts=rng.choice((4, 20, 200)),
            flush_facts=rng.choice((1, 3, 10, 50)),
            flush_after_s=rng.choice((0.0, 2.0, 30.0)),
            receipt_timeout_s=rng.choice((3.0, 20.0)),
            receipt_every_s=rng.choice((0.0, 10.0, 600.0)),
            hello_every_s=rng.choice((300.0, 3600.0)),
        )
        window_s = rng.choice((0.0, 1.0, 5.0))
        with self._chance_of_its_own():
            self.pi = Pi(self.world, self.broker, policy, window_s)
        self.homes = {"A": "S"} if rng.random() < 0.4 else {"A": "S", "B": "S"}
        self.folder = Path(tempfile.mkdtemp(prefix="simulate-", dir=_MEMORY if _MEMORY.is_dir() else None))
        self.server = Server(self.world, self.broker, self.folder, self.homes, rng.choice((5_000, 3_600_000)))
        self.outcome = Outcome(seed)
        self._backup = self.pi.backup()
        self._journal_backup = self.server.journal.copy()
        self._expect_conflicts = False
        self._at_peace = False
        self._journal_went_back = False
        self._rested_at = -1

    def run(self) -> Outcome:
        now_s, uplink._now_s = uplink._now_s, self.pi._now_s
        try:
            with self._chance_of_its_own():
                self._play()
        except BrokenError as broken:
            self.outcome.broken = str(broken)
        except Exception as error:
            self.outcome.broken = f"{type(error).__name__}: {error}"
        finally:
            uplink._now_s = now_s
            self.pi.die("end")
            self.server.die("end")
            shutil.rmtree(self.folder, ignore_errors=True)
        self.outcome.accepted = len(self.pi.accepted)
        self.outcome.uploads, self.outcome.receipts = self.pi.uploads, self.server.receipts
        self.outcome.requests, self.outcome.destroyed = self.server.requests, len(self.pi.destroyed)
        self.outcome.trace = self.world.trace or []
        return self.outcome

    @contextmanager
    def _chance_of_its_own(self) -> Iterator[None]:
        """Epochs are random ids: here they come from the seed, too."""
        really = secrets.token_hex
        secrets.token_hex = lambda n=8: f"{self.world.rng.getrandbits(8 * (n or 8)):0{2 * (n or 8)}x}"
        try:
            yield
        finally:
            secrets.token_hex = really

    def _play(self) -> None:
        if self._sabotage is not None:
            self._sabotage(self)
        world, rng = self.world, self.world.rng
        self.server.start()
        self.pi.start(reboot=True, synced=rng.random() < 0.7, off_ms=rng.choice((-1_700_000_000_000, 7_80_000)))
        self._measure_until(world.now_ms + RAGE_MS)
        for _ in range(rng.randrange(2, 10)):
            at_ms = rng.randrange(1_000, RAGE_MS)
            kind = rng.choice(_FAULTS)
            world.at(at_ms, lambda kind=kind: self._fault(kind))  # type: ignore[misc]
        self._every(15_000, world.now_ms + RAGE_MS, self.broker.save)
        world.run_until(world.now_ms + RAGE_MS)
        self._peace()
        began = world.now_ms
        self._every(5_000, began + PEACE_MS, self._note_rest)
        world.run_until(began + PEACE_MS, lambda: self._rested_at >= 0)
        self.outcome.rest_ms = world.now_ms - began
        self._account()
        self._stays_quiet()

    def _measure_until(self, end_ms: int) -> None:
        def once() -> None:
            self.pi.measure()
            if self.world.now_ms < end_ms:
                self.world.at(self.world.rng.choice((200, 1_500, 4_000)), once)

        self.world.at(500, once)

    def _every(self, ms: int, until_ms: int, what: Callable[[], None]) -> None:
        def again() -> None:
            what()
            if self.world.now_ms < until_ms and self._rested_at < 0:
                self.world.at(ms, again)

        self.world.at(ms, again)

    # --- faults ------------------------------------------------------------------------------------------------

    def _fault(self, kind: str) -> None:
        self.outcome.faults += 1
        self.world.say(f"fault: {kind}")
        getattr(self, f"_do_{kind}")()

    def _later(self, what: Callable[[], None], longest_ms: int = 20_000) -> None:
        """What ends a fault, or its second half: never after peace has been made."""

        def do() -> None:
            if not self._at_peace:
                what()

        self.world.at(self.world.rng.randrange(100, longest_ms), do)

    def _do_edge_killed(self) -> None:
        self.pi.die("killed")
        rng = self.world.rng
        reboot = rng.random() < 0.5
        synced, off_ms = rng.random() < 0.5, rng.choice((-1_700_000_000_000, 7_200_000, -5_000))
        self._later(lambda: None if self.pi.alive else self.pi.start(reboot=reboot, synced=synced, off_ms=off_ms))

    def _do_edge_dies_at_a_step(self) -> None:
        self.pi.peril.fuse, self.pi.peril.after = self.world.rng.randrange(6), self.world.rng.random() < 0.5

    def _do_edge_synced(self) -> None:
        self.pi.clock.synced = True

    def _do_ingest_killed(self) -> None:
        self.server.die("killed")
        self._later(lambda: None if self.server.alive else self.server.start())

    def _do_ingest_dies_at_a_step(self) -> None:
        self.server.peril.fuse, self.server.peril.after = self.world.rng.randrange(8), self.world.rng.random() < 0.5

    def _do_filler_dies_at_a_step(self) -> None:
        self.server.fill_peril.fuse = self.world.rng.randrange(6)
        self.server.fill_peril.after = self.world.rng.random() < 0.5

    def _do_broker_forgets(self) -> None:
        self.broker.die(forget=True)
        self._later(self._broker_up)

    def _do_broker_goes_back(self) -> None:
        self.broker.die(forget=False)
        self._later(self._broker_up)

    def _broker_up(self) -> None:
        self.broker.up = True

    def _do_edge_link_down(self) -> None:
        self.pi.link = False
        if self.pi.connection is not None:
            self.pi.connection.end()
        self._later(lambda: setattr(self.pi, "link", True), 50_000)

    def _do_ingest_link_down(self) -> None:
        self.server.link = False
        if self.server.connection is not None:
            self.server.connection.end()
        self._later(lambda: setattr(self.server, "link", True), 50_000)

    def _do_edge_link_cut(self) -> None:
        if self.pi.connection is not None:
            self.pi.connection.end()

    def _half_open(self, client: Pi | Server) -> None:
        connection, way = client.connection, self.world.rng.choice(("up", "down"))
        if connection is None:
            return
        connection.hold(way, True)

        def over() -> None:
            if self.world.rng.random() < 0.5:
                connection.end()
            else:
                connection.hold(way, False)

        self._later(over, 30_000)

    def _do_edge_half_open(self) -> None:
        self._half_open(self.pi)

    def _do_ingest_half_open(self) -> None:
        self._half_open(self.server)

    def _refuses(self, down: set[str], name: str) -> None:
        down.add(name)
        self._later(lambda: down.discard(name))

    def _do_outbox_full(self) -> None:
        self._refuses(self.pi.peril.down, "outbox")

    def _do_journal_full(self) -> None:
        self._refuses(self.server.peril.down, "journal")

    def _do_quarantine_down(self) -> None:
        self._refuses(self.server.peril.down, "quarantine")

    def _do_store_down(self) -> None:
        down = self.server.fill_peril.down
        down.add("store")
        self._later(lambda: down.discard("store"), 80_000)

    def _do_outbox_restored(self) -> None:
        """A backup of now is put back some time later."""
        backup, over = self.pi.backup(), self.world.rng.random() < 0.5

        def put_back() -> None:
            self.pi.die("killed for a restore")
            self.pi.restore(backup, over=over)
            self._expect_conflicts = True
            self._later(lambda: None if self.pi.alive else self.pi.start(), 20_000)

        self._later(put_back, 30_000)

    def _do_journal_restored(self) -> None:
        backup = self.server.journal.copy()

        def put_back() -> None:
            self.server.die("killed for a restore")
            self.server.restore_journal(backup)
            self._journal_went_back = True
            self._later(lambda: None if self.server.alive else self.server.start(), 10_000)

        self._later(put_back, 30_000)

    def _do_ledger_lost(self) -> None:
        self.server.die("killed, its ledger file is lost")
        for path in self.folder.glob("ledger.db*"):
            path.unlink()
        self._later(lambda: None if self.server.alive else self.server.start(), 10_000)

    def _do_device_registered(self) -> None:
        self.homes["B"] = "S"

    # --- peace -------------------------------------------------------------------------------------------------

    def _peace(self) -> None:
        """Every fault is mended: everything runs, every link is there, the clock is right, every device is known."""
        self.world.say("peace")
        self._at_peace = True
        self.homes["B"] = "S"
        self.broker.up = self.pi.link = self.server.link = True
        for peril in (self.pi.peril, self.server.peril, self.server.fill_peril):
            peril.fuse = -1
            peril.down.clear()
        for client in (self.pi, self.server):
            if client.connection is not None:
                client.connection.hold("up", False)
                client.connection.hold("down", False)
        self.pi.clock.synced = True
        if not self.pi.alive:
            self.pi.start()
        if not self.server.alive:
            self.server.start()

    def _left(self) -> str:
        left = self.pi.disk.usage().unreceipted
        if left or self.pi.group.waiting:
            return f"{left} facts have no receipt, {self.pi.group.waiting} wait for their commit"
        missing = {k: s.missing for k, s in self.server.ledger.states.items() if self.server.ledger.is_current(k)}
        if any(missing.values()):
            return f"the ledger misses {[(k.epoch[:4], m.to_lists()) for k, m in missing.items() if m]}"
        place = self.server.filler._state.offset if self.server.filler else 0
        if self.server.journal.after(place, 1):
            return "the filler is behind the journal"
        serials = self.server.quarantine.waiting_serials()
        return f"quarantine holds {serials} though registered" if serials else ""

    def _note_rest(self) -> None:
        if self._rested_at < 0 and not self._left():
            self._rested_at = self.world.now_ms

    def _account(self) -> None:
        """Everything accepted is in the store exactly once, at its time."""
        left = self._left()
        if left:
            raise BrokenError(f"no rest after {PEACE_MS // 3_600_000} h: {left}")
        found = self._stored()
        quarantined = self._quarantined()
        self.outcome.quarantined = 0
        for key, true_ms in self.pi.accepted.items():
            times = found.pop(key, [])
            if len(times) > 1:
                raise BrokenError(f"doubled: {key} stands at {times}, made at {true_ms}")
            if not times:
                self._excuse(key, quarantined)
            elif abs(times[0] - true_ms) > MAX_ERROR_MS + 2:
                raise BrokenError(f"misdated: {key} stands at {times[0]}, made at {true_ms}")
        if found:
            raise BrokenError(f"stored and never accepted: {list(found)[:3]}")

    def _excuse(self, key: Key, quarantined: set[Key]) -> None:
        """Why an accepted reading may be missing in the store: each reason is one that a person can see."""
        if key in quarantined and self._expect_conflicts:
            self.outcome.quarantined += 1
            return
        if key in self.pi.destroyed:
            return
        if self._expect_conflicts and self._journal_went_back:
            # Both sides went back: the ledger names the numbers as missing in an epoch that the edge has left, and asks
            # nobody (docs/proof.md, what falls short). The edge still has them and sends them when asked by time.
            return
        if self.pi.boot_of[key] in self.pi.unanchored:
            return  # its boot never got a good clock: it waits, undated, in a table of its own
        raise BrokenError(f"lost: {key} was accepted, made at {self.pi.accepted[key]}")

    def _stored(self) -> dict[Key, list[int]]:
        found: dict[Key, list[int]] = {}
        with closing(SqliteStore(self.folder / "store.db", read_only=True)) as store:
            for stream in STREAMS:
                for row in store.read(stream, 0, 1 << 42, limit=1 << 20).rows:
                    assert row.value is not None
                    found.setdefault((stream, Decimal(row.value).normalize() + 0), []).append(row.t_ms)
        return found

    def _quarantined(self) -> set[Key]:
        keys: set[Key] = set()
        for fault, waits in self.server.quarantine.items.values():
            try:
                upload = decode_upload(fault.payload)
            except ContractError:
                continue
            if waits:
                readings = (n.fact for n in upload.facts if isinstance(n.fact, Reading))
                keys |= {(r.stream_id, r.value.normalize() + 0) for r in readings if r.value is not None}
        return keys

    def _stays_quiet(self) -> None:
        """What is received is not sent again, and an idle line costs its hellos only."""
        bound = 60 + 8 * len(self.pi.accepted) + 40 * self.outcome.faults
        if self.pi.uploads > bound:
            raise BrokenError(f"{self.pi.uploads} uploads for {len(self.pi.accepted)} readings")
        self.world.calm = 30
        uploads, hellos = self.pi.uploads, self.pi.hellos
        self.world.run_until(self.world.now_ms + AFTER_MS)
        hours = AFTER_MS / 3_600_000
        if self.pi.uploads > uploads + 1:
            raise BrokenError(f"{self.pi.uploads - uploads} uploads in {hours:g} h of peace with nothing to send")
        allowed = AFTER_MS / 1000 / self.pi.policy.hello_every_s + 5
        if self.pi.hellos - hellos > allowed:
            raise BrokenError(f"{self.pi.hellos - hellos} hellos in {hours:g} h of peace")


_FAULTS = tuple(name.removeprefix("_do_") for name in dir(Schedule) if name.startswith("_do_"))
