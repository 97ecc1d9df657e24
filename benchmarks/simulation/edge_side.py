"""The simulated Pi: the real outbox contract, group commit, anchors and uplink core on a simulated clock and link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from benchmarks.simulation.models import Peril, copy_of
from benchmarks.simulation.process import Process
from benchmarks.simulation.world import BrokenError, Broker, Connection, World
from edge.anchor import Anchorer
from edge.commit import GroupCommit
from edge.config import MqttSettings
from edge.limits import Limits
from edge.outbox import MemoryOutbox
from edge.supervisor import Outage
from edge.uplink import Uplink
from edge.uplink_core import Hello, Publish, Reconnect, Wait
from telemetry.clock import stamp
from telemetry.contract import Upload, decode_receipt, decode_request, encode_upload
from telemetry.readings import Fact, Ranges, Reading, Sync
from telemetry.topics import EdgeAddress

SITE, EDGE, SHARD = "S", "E", "s0"
ADDRESS = EdgeAddress(SHARD, SITE, EDGE)
STREAMS = ("A/temperature_c", "B/temperature_c")
MAX_ERROR_MS = 20
ANCHOR_EVERY_MS = 5_000
Key = tuple[str, Decimal]
"""A reading's identity in the simulation: stream and value; values are never given twice."""


@dataclass
class PiClock:
    """The Pi's clocks: boot time is right, the wall is wrong by ``off_ms`` until it is synced."""

    world: World
    boot: str = "boot-0"
    booted_ms: int = 0
    off_ms: int = 0
    synced: bool = True

    def now_ms(self) -> int:
        """A synced clock wanders within what it states, as NTP's do."""
        wander_ms = hash((self.world.seed, self.world.now_ms // 7_000)) % 21 - 10
        return max(0, self.world.now_ms + (wander_ms if self.synced else self.off_ms))

    def boot_id(self) -> str:
        return self.boot

    def boottime_ns(self) -> int:
        return (self.world.now_ms - self.booted_ms) * 1_000_000

    def sync(self) -> tuple[Sync, int | None]:
        return (Sync.SYNCED, MAX_ERROR_MS) if self.synced else (Sync.UNSYNCED, None)

    def real_seconds(self, virtual_s: float) -> float:
        return virtual_s


class WatchedOutbox:
    """The disk's outbox with its dangers; notes what was accepted and guards that nothing is forgotten unnamed."""

    def __init__(self, machine: Pi) -> None:
        self._pi = machine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pi.disk, name)

    def append(self, facts: Sequence[Fact], hints: Mapping[str, str] | None = None) -> Ranges:
        def take() -> Ranges:
            taken = self._pi.disk.append(facts, hints or {})
            self._pi.note(facts)
            return taken

        taken: Ranges = self._pi.peril.step("outbox", take)
        return taken

    def received(self, have: Ranges, quarantined: Ranges) -> None:
        before = self._pi.pending_keys()
        epoch = self._pi.disk.epoch
        self._pi.peril.step("outbox", lambda: self._pi.disk.received(have, quarantined))
        gone = before - self._pi.pending_keys()
        allowed = self._pi.by_number(have | quarantined, before) if self._pi.disk.epoch == epoch else set()
        if gone - allowed:
            raise BrokenError(f"the outbox forgot {sorted(gone - allowed)[:3]}, which no receipt named")


@dataclass
class Pi(Process):
    """``disk`` outlives the process; everything below ``start`` does not."""

    world: World
    broker: Broker
    policy: MqttSettings
    window_s: float
    name: str = "edge"
    disk: MemoryOutbox = field(default_factory=MemoryOutbox)
    peril: Peril = field(default_factory=Peril)
    accepted: dict[Key, int] = field(default_factory=dict)  # -> true time
    destroyed: set[Key] = field(default_factory=set)
    unanchored: set[str] = field(default_factory=set)
    boot_of: dict[Key, str] = field(default_factory=dict)
    uploads: int = 0
    hellos: int = 0
    alive: bool = False
    link: bool = True
    life: int = 0
    boots: int = 0
    measured: int = 0
    listening: bool = True
    dead_for_ms: int = 20_000

    def __post_init__(self) -> None:
        self.clock = PiClock(self.world, booted_ms=self.world.now_ms)
        self.connection: Connection | None = None

    # --- what is on the disk -----------------------------------------------------------------------------------

    def note(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            if isinstance(fact, Reading) and fact.value is not None:
                key = (fact.stream_id, fact.value)
                self.accepted[key] = self._made[key]
                self.boot_of[key] = fact.stamp.boot_id

    def pending_keys(self) -> set[Key]:
        return {_key(n.fact) for n in self.disk.pending(1 << 30) if isinstance(n.fact, Reading)}

    def by_number(self, numbers: Ranges, of: set[Key]) -> set[Key]:
        facts = self.disk.select(seq=numbers, limit=1 << 30) if numbers else []
        return {_key(n.fact) for n in facts if isinstance(n.fact, Reading)} & of

    _made: dict[Key, int] = field(default_factory=dict)

    # --- life and death ----------------------------------------------------------------------------------------

    def start(self, *, reboot: bool = False, synced: bool = True, off_ms: int = 0) -> None:
        self.life += 1
        if reboot:
            self.boots += 1
            self.clock = PiClock(self.world, f"boot-{self.boots}", self.world.now_ms, off_ms, synced)
        self.alive, self.busy, self.wanted_ms = True, False, -1
        self.world.say(
            f"{self.name}: starts (boot {self.clock.boot}, {'synced' if self.clock.synced else 'unsynced'})"
        )
        box: Any = WatchedOutbox(self)
        self.group = GroupCommit(box, self.clock, self.window_s, Limits(), committed=self.wake)
        outage = Outage("sim")
        self.uplink = Uplink(ADDRESS, self.policy, self.clock, self.group, outage, {})
        self.core = self.uplink._core
        self.anchorer = Anchorer(EDGE, self.clock, self.group)
        life = self.life
        self.every(ANCHOR_EVERY_MS, life, self._look_at_clock)
        self.world.at(self.world.rng.randrange(50, 2_000), lambda: self._connect(life))

    def die(self, why: str) -> None:
        if self.alive:
            self.world.say(f"{self.name}: dies ({why})")
            self.alive = False
            if self.connection is not None:
                self.connection.end()
                self.connection = None

    def _look_at_clock(self) -> None:
        if self.anchorer.look(self.uplink.sent_to):
            self.wake()
        if self.clock.synced:
            self.unanchored.discard(self.clock.boot)

    # --- measuring ---------------------------------------------------------------------------------------------

    def measure(self) -> None:
        """A device is heard; the reading is accepted when it is on disk."""
        if not self.alive:
            return
        self.measured += 1
        stream = STREAMS[self.world.rng.randrange(len(STREAMS))]
        value = (Decimal(self.measured) / 1000).normalize() + 0
        at = stamp(self.clock)
        self._made[stream, value] = self.world.now_ms
        synced = at.sync is Sync.SYNCED
        if not synced:
            self.unanchored.add(at.boot_id)
        reading = Reading(stream, value, at.wall_ms if synced else None, at)
        life = self.life
        self.guard(life, lambda: self.group.append([reading]))
        self.world.at(self.window_s * 1000 + 1, lambda: self.guard(life, self._commit_due))

    def _commit_due(self) -> None:
        self.group.commit_due(self.clock.boottime_ns())
        self.wake()

    # --- the link ----------------------------------------------------------------------------------------------

    def _connect(self, life: int) -> None:
        if not self.alive or life != self.life or self.connection is not None:
            return
        self.connection = self.broker.connect(
            self, (ADDRESS.down("receipt"), ADDRESS.down("request")), reachable=self.link
        )
        if self.connection is None:
            self.world.at(self.world.rng.randrange(500, 8_000), lambda: self._connect(life))
            return
        self.world.say(f"{self.name}: connected")
        self.busy = False
        self.guard(life, lambda: self.core.connected(self._now_s()))
        self.wake()

    def on_disconnect(self, connection: Connection) -> None:
        if connection is self.connection:
            self._lose()

    def _lose(self) -> None:
        if self.connection is not None:
            old, self.connection = self.connection, None
            old.end()
        if self.alive:
            self.core.disconnected()
            life = self.life
            self.world.at(self.world.rng.randrange(200, 5_000), lambda: self._connect(life))

    def _now_s(self) -> float:
        return (self.world.now_ms - self.world.begin_ms) / 1000

    def wake(self) -> None:
        life = self.life
        self.world.at(0, lambda: self.guard(life, self._pump))

    def _pump(self) -> None:
        """The shell of ``edge/uplink.py``: one message at a time, each waits for its PUBACK."""
        while self.alive and self.connection is not None and not self.busy:
            action = self.core.step(self._now_s())
            match action:
                case Wait(until_s):
                    self._sleep_until(until_s)
                    return
                case Reconnect():
                    self.world.say(f"{self.name}: reconnects ({action.why})")
                    self._lose()
                    return
                case Hello(epoch):
                    self.hellos += 1
                    hello = Upload("hello", EDGE, epoch, self.clock.now_ms(), info=self.uplink._hello_info())
                    self._send(hello, f"hello {self.disk.usage().numbered_to} of {epoch[:4]} ({action.why})")
                case Publish(kind, epoch, facts, lazy):
                    self.uplink._note_undated(action)
                    self.uploads += 1
                    upload = Upload(kind, EDGE, epoch, self.clock.now_ms(), facts, lazy=lazy)
                    text = f"{kind} {upload.ranges.to_lists()} of {epoch[:4]}{' lazy' if lazy else ''} ({action.why})"
                    self._send(upload, text)

    def _sleep_until(self, until_s: float | None) -> None:
        if until_s is None:
            return
        at_ms = round(until_s * 1000) + self.world.begin_ms + 1
        if self.wanted_ms > self.world.now_ms and self.wanted_ms <= at_ms:
            return  # it will wake before
        self.wanted_ms, life = at_ms, self.life
        self.world.at(at_ms - self.world.now_ms, lambda: self.guard(life, self._pump))

    def _send(self, upload: Upload, text: str) -> None:
        self.world.say(f"{self.name}: sends {text}")
        connection, payload, topic = self.connection, encode_upload(upload), ADDRESS.up(upload.kind)
        assert connection is not None
        self.busy = True

        def puback() -> None:
            if connection is self.connection:
                life = self.life

                def go_on() -> None:
                    self.busy = False
                    self.core.published(self._now_s())
                    self._pump()

                self.guard(life, go_on)

        def at_broker() -> None:
            self.broker.publish(topic, payload, retain=False)
            connection.carry("down", puback)

        connection.carry("up", at_broker)
        timeout_ms = self.policy.receipt_timeout_s * 1000

        def too_late() -> None:
            if connection is self.connection and self.busy and self._sending == number:
                self.world.say(f"{self.name}: no PUBACK, disconnects")
                self._lose()

        self._sending = number = getattr(self, "_sending", 0) + 1
        self.world.at(timeout_ms, too_late)

    def on_message(self, connection: Connection, topic: str, payload: bytes, retained: bool, ack: int) -> None:
        if connection is not self.connection or not self.alive:
            return

        def hear() -> None:
            # aiomqtt: paho acknowledges as soon as the message is in its queue, before anybody handled it.
            connection.carry("up", lambda: self.broker.acknowledged(self.name, ack))
            if topic == ADDRESS.down("receipt"):
                receipt = decode_receipt(payload)
                kept = "retained " if retained else ""
                self.world.say(f"{self.name}: hears {kept}receipt {receipt.have.to_lists()} of {receipt.epoch[:4]}")
                self.core.receipt(receipt, self._now_s(), retained=retained)
            else:
                request = decode_request(payload)
                self.world.say(f"{self.name}: hears request {request.seq}")
                self.core.request(request, self._now_s())
            self._pump()

        self.guard(self.life, hear)

    # --- the card ----------------------------------------------------------------------------------------------

    def backup(self) -> tuple[MemoryOutbox, set[Key]]:
        return copy_of(self.disk), set(self.accepted)

    def restore(self, backup: tuple[MemoryOutbox, set[Key]], *, over: bool) -> None:
        """Dead now. What was pending and is not in the backup goes with the old file."""
        self.destroyed |= self.pending_keys() - backup[1]
        self.disk = copy_of(backup[0])
        if not over:  # another inode, as SqliteOutbox sees at open
            self.disk.renew()
        self.world.say(f"{self.name}: outbox restored, {'written over' if over else 'a new file'}")


def _key(fact: Reading) -> Key:
    assert fact.value is not None
    return fact.stream_id, fact.value


def numbered_to(pi: Pi) -> int:
    return pi.disk.usage().numbered_to
