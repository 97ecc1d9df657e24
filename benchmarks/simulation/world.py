"""Time, chance and the record of a schedule; the network and the broker."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field


class CrashError(Exception):
    """The process ends here, between two instructions."""


class BrokenError(AssertionError):
    """An invariant does not hold. The message says which, and the trace how it came."""


@dataclass
class World:
    """``at`` plans, ``run_until`` lets time pass. Times are ms of the simulation; they are also the true time of day."""

    seed: int
    now_ms: int = 1_800_000_000_000
    trace: list[str] | None = None
    rng: random.Random = field(init=False)
    events: int = 0
    calm: int = 1  # by how much what is done every so often is done more rarely
    _heap: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _order: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.begin_ms = self.now_ms

    def say(self, text: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{(self.now_ms - self.begin_ms) / 1000:10.3f}  {text}")

    def at(self, after_ms: float, what: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (self.now_ms + max(0, round(after_ms)), self._order, what))

    def run_until(self, end_ms: int, done: Callable[[], bool] = lambda: False) -> None:
        while self._heap and self._heap[0][0] <= end_ms:
            at_ms, _, what = heapq.heappop(self._heap)
            self.now_ms = max(self.now_ms, at_ms)
            self.events += 1
            if self.events > 400_000:
                raise BrokenError("endless: 400,000 events")
            what()
            if done():
                return
        self.now_ms = max(self.now_ms, end_ms)


@dataclass
class Connection:
    """One TCP connection of a client to the broker: order is kept, an end loses what is under way."""

    world: World
    broker: Broker
    client: Client
    alive: bool = True
    held: dict[str, bool] = field(default_factory=lambda: {"up": False, "down": False})
    _free_ms: dict[str, float] = field(default_factory=lambda: {"up": 0.0, "down": 0.0})
    _waiting: dict[str, list[Callable[[], None]]] = field(default_factory=lambda: {"up": [], "down": []})

    def carry(self, way: str, what: Callable[[], None]) -> None:
        """Do ``what`` at the other end, some time later, in order, if the connection still is."""
        at_ms = max(self._free_ms[way], self.world.now_ms + self.world.rng.choice((1, 5, 40, 400)))
        self._free_ms[way] = at_ms

        def arrive() -> None:
            if self.alive and self.held[way]:
                self._waiting[way].append(what)
            elif self.alive:
                what()

        self.world.at(at_ms - self.world.now_ms, arrive)

    def hold(self, way: str, on: bool) -> None:
        """A half open link: bytes wait, and nobody is told."""
        self.held[way] = on
        if not on:
            waiting, self._waiting[way] = self._waiting[way], []
            for what in waiting:
                if self.alive:
                    what()

    def end(self) -> None:
        if self.alive:
            self.alive = False
            self.broker.gone(self)
            self.world.at(self.world.rng.choice((1, 2_000)), lambda: self.client.on_disconnect(self))


class Client:
    """What a connection needs of its client."""

    name = ""

    def on_message(self, connection: Connection, topic: str, payload: bytes, retained: bool, ack: int) -> None:
        raise NotImplementedError

    def on_disconnect(self, connection: Connection) -> None:
        raise NotImplementedError


@dataclass
class Session:
    """A persistent session: what is not acknowledged is sent again over the next connection."""

    filters: tuple[str, ...] = ()
    connection: Connection | None = None
    waiting: list[tuple[int, str, bytes, bool]] = field(default_factory=list)


@dataclass
class Broker:
    """MQTT 3.1.1 at QoS 1 as far as it matters: sessions, retained messages, and the right to forget it all."""

    world: World
    up: bool = True
    sessions: dict[str, Session] = field(default_factory=dict)
    retained: dict[str, bytes] = field(default_factory=dict)
    open: bool = True
    _ids: int = 0
    _saved: tuple[dict[str, Session], dict[str, bytes]] = field(default_factory=lambda: ({}, {}))

    def connect(self, client: Client, filters: tuple[str, ...], *, reachable: bool) -> Connection | None:
        if not self.up or not reachable:
            return None
        connection = Connection(self.world, self, client)
        session = self.sessions.setdefault(client.name, Session())
        if session.connection is not None:
            session.connection.end()  # taken over
        session.connection, session.filters = connection, filters
        for topic, payload in self.retained.items():
            if _matches(topic, filters):
                self._to(session, topic, payload, True)
        for ack, topic, payload, retained in session.waiting:
            self._send(connection, ack, topic, payload, retained)
        return connection

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        if retain:
            self.retained[topic] = payload
        for session in self.sessions.values():
            if _matches(topic, session.filters):
                ack = self._to(session, topic, payload, False)
                if session.connection is not None:
                    self._send(session.connection, ack, topic, payload, False)

    def _to(self, session: Session, topic: str, payload: bytes, retained: bool) -> int:
        self._ids += 1
        session.waiting.append((self._ids, topic, payload, retained))
        return self._ids

    def _send(self, connection: Connection, ack: int, topic: str, payload: bytes, retained: bool) -> None:
        connection.carry("down", lambda: connection.client.on_message(connection, topic, payload, retained, ack))

    def acknowledged(self, name: str, ack: int) -> None:
        session = self.sessions.get(name)
        if session is not None:
            session.waiting = [m for m in session.waiting if m[0] != ack]

    def gone(self, connection: Connection) -> None:
        for session in self.sessions.values():
            if session.connection is connection:
                session.connection = None

    def save(self) -> None:
        """The autosave: what a killed broker comes back with."""
        kept = {name: Session(s.filters, None, list(s.waiting)) for name, s in self.sessions.items()}
        self._saved = (kept, dict(self.retained))

    def die(self, *, forget: bool) -> None:
        self.up = False
        for session in list(self.sessions.values()):
            if session.connection is not None:
                session.connection.end()
        saved, retained = ({}, {}) if forget else self._saved
        self.sessions = {name: Session(s.filters, None, list(s.waiting)) for name, s in saved.items()}
        self.retained = dict(retained)
        if forget:
            self._saved = ({}, {})


def _matches(topic: str, filters: tuple[str, ...]) -> bool:
    return any(part in topic for part in filters)
