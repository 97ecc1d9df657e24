"""The site of the kill campaign: what its sensors say and when it arrives, what people do, and a chat server.

All from one ``random.Random``: the same seed gives the same readings, the same late data and the same people's rows.
"""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gateway.journal import Entry, SqliteJournal
from gateway.records import (
    Actor,
    AlarmState,
    Batch,
    Device,
    Equipment,
    EquipmentKind,
    Records,
    Refused,
    Role,
    Site,
    SiteLevel,
    User,
)
from telemetry.contract import Upload, encode_upload
from telemetry.readings import Numbered, Reading, Stamp, Sync

MIN = 60_000
HOUR = 60 * MIN
START_MS = 1_790_000_000_000 // (24 * HOUR) * 24 * HOUR
EVERY_MS = 15 * MIN
PLACES = ("F1", "F2", "F3", "F4")
PEOPLE = {"Sari": "id", "Wati": "en"}
SITE_NAME = "Puskesmas Abepura"
PENTABIO, BOPV = "93001282", "93004968"
SARI = Actor("Sari", Role.MANAGER)
_ANSWER_S = 0.03
_SAY_AGAIN = 0.1
_PATIENCE_S = 300


@dataclass(frozen=True, slots=True)
class Arrival:
    """A reading and when the server gets it."""

    at_ms: int
    stream: str
    t_ms: int
    value: Decimal


def episode(dice: random.Random, among: Sequence[str]) -> list[tuple[float, str, bool]]:
    """(hours, degrees, comes late) of one piece of a refrigerator's life."""
    hot, cold = f"{dice.uniform(8.3, 11):.1f}", f"{dice.uniform(-4, -0.6):.1f}"
    calm = (dice.uniform(0.5, 3), f"{dice.uniform(3, 6):.1f}", False)
    return {
        "one long": [calm, (dice.uniform(10.25, 12), hot, False)],
        "two that late data join": [calm, (4, hot, False), (dice.uniform(1, 3), hot, True), (5, hot, False)],
        "possible, then withdrawn": [calm, (4, hot, False), (3, "5.0", True), (4, hot, False)],
        "freezes": [calm, (dice.uniform(1.25, 3), cold, False)],
        "froze, told late": [calm, (dice.uniform(1.25, 2), cold, True), (1, "4.0", False)],
        "hot, nobody knew": [calm, (dice.uniform(10.25, 11), hot, True), (2, "5.0", False)],
    }[dice.choice(among)]


EPISODES = (
    "one long",
    "two that late data join",
    "possible, then withdrawn",
    "freezes",
    "froze, told late",
    "hot, nobody knew",
)


def life(dice: random.Random, place: str, among: Sequence[str]) -> Iterator[Arrival]:
    """An endless life of one refrigerator, in the order of its own time."""
    t_ms, stream = START_MS, f"LOG-{place}/temperature_c"
    while True:
        for hours, degrees, late in episode(dice, among):
            held_ms = int(dice.uniform(3, 9) * HOUR) if late else 0
            end_ms = t_ms + int(hours * HOUR)
            while t_ms < end_ms:
                arrives_ms = max(t_ms, end_ms + held_ms) if late else t_ms
                yield Arrival(arrives_ms, stream, t_ms, Decimal(degrees))
                if dice.random() < _SAY_AGAIN:  # an edge sends again what was not acknowledged
                    yield Arrival(arrives_ms + HOUR, stream, t_ms, Decimal(degrees))
                t_ms += EVERY_MS


@dataclass
class Sensors:
    """What arrives by a time, each piece once."""

    dice: random.Random
    among: Sequence[str] = EPISODES
    count: int = 0
    _lives: list[Iterator[Arrival]] = field(default_factory=list)
    _next: list[Arrival] = field(default_factory=list)
    _held: list[Arrival] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lives = [life(random.Random(self.dice.random()), place, self.among) for place in PLACES]
        self._next = [next(one) for one in self._lives]

    def until(self, now_ms: int, *, all_held: bool = False) -> list[Arrival]:
        """What arrives now. ``all_held``: what was still held back too, for the end of the story."""
        for i, one in enumerate(self._lives):
            while self._next[i].t_ms <= now_ms:
                self._held.append(self._next[i])
                self._next[i] = next(one)
        found = [a for a in self._held if all_held or a.at_ms <= now_ms]
        self._held = [] if all_held else [a for a in self._held if a.at_ms > now_ms]
        self.count += len(found)
        return found


def append_hello(journal: SqliteJournal, now_ms: int) -> int:
    """An entry that says nothing of any refrigerator; its offset. Who has done it has looked at everything before."""
    payload = encode_upload(Upload("hello", "E1", "ep1", now_ms, ()))
    return journal.append([Entry("S1", "E1", "ep1", "hello", now_ms, payload)])


def append(journal: SqliteJournal, arrived: Sequence[Arrival], seq: int, now_ms: int) -> int:
    """One upload of them as one entry of the journal; returns the next number."""
    facts = []
    for a in arrived:
        stamp = Stamp("b1", (a.t_ms - START_MS) * 1_000_000, a.t_ms, Sync.SYNCED)
        facts.append(Numbered(seq, Reading(a.stream, a.value, a.t_ms, stamp)))
        seq += 1
    if facts:
        payload = encode_upload(Upload("readings", "E1", "ep1", now_ms, tuple(facts)))
        journal.append([Entry("S1", "E1", "ep1", "readings", now_ms, payload)])
    return seq


# --- people ---------------------------------------------------------------------------------------------------------


def register(records: Records, chat_port: int) -> None:
    site = Site("S1", SITE_NAME, "jayapura", "Asia/Jayapura", "1", SiteLevel.PUSKESMAS)
    records.upsert_site(site, SARI, "", START_MS)
    for place in PLACES:
        fridge = Equipment(place, "S1", f"Kulkas {place}", EquipmentKind.REFRIGERATOR, "refrigerator")
        records.upsert_equipment(fridge, SARI, "", START_MS)
        records.upsert_device(Device(f"LOG-{place}", "S1", "E1", "ble", place, 900), SARI, "", START_MS)
    for name, language in PEOPLE.items():
        role, at, region = (Role.OPERATOR, "S1", None) if name == "Sari" else (Role.MANAGER, None, "jayapura")
        # On a loaded machine an answer takes long; a message that was given up would leave again without any kill.
        url = f"json://127.0.0.1:{chat_port}/{name}?cto={_PATIENCE_S}&rto={_PATIENCE_S}"
        user = User(name, role, at, region, language, "$argon2id$x", (url,))
        records.upsert_user(user, Actor("root", Role.SUPER_ADMIN), "", START_MS)
    for name, kfa, place in (("B1", PENTABIO, "F1"), ("B2", BOPV, "F2")):
        records.upsert_batch(
            Batch(name, "S1", kfa, "vaccine", f"N-{name}", date(2027, 12, 31), 100), SARI, "", START_MS
        )
        records.add_placement(name, place, START_MS, SARI, "came", START_MS)


@dataclass
class People:
    """Every two hours or so somebody does something."""

    records: Records
    dice: random.Random
    done: int = 0
    _due_ms: int = START_MS + 2 * HOUR

    def until(self, now_ms: int) -> None:
        while self._due_ms <= now_ms:
            self._due_ms += int(self.dice.uniform(1, 3) * HOUR)
            self._act(self.dice.choice(("move", "vvm", "answer", "answer", "profile", "rename")), now_ms)

    def _act(self, what: str, now_ms: int) -> None:
        batch, place = self.dice.choice(("B1", "B2")), self.dice.choice(PLACES)
        try:
            match what:
                case "move":
                    self.records.move_batch(batch, place, now_ms, SARI, "makes room", now_ms)
                case "vvm":
                    self.records.observe_vvm(batch, "A", SARI, "looked", now_ms)
                case "answer":
                    self._answer(now_ms)
                case _:
                    self._change(place, what, now_ms)
        except Refused:
            return  # it stands there already, or the VVM was read at this instant
        self.done += 1

    def _answer(self, now_ms: int) -> None:
        """Only what all were told: so the count at the end may ask for everybody."""
        for alarm in self.records.alarms(states=(AlarmState.OPEN,)):
            sent = {n.person for n in self.records.notifications(finding=alarm.id) if n.state == "sent"}
            if sent == set(PEOPLE):
                self.records.acknowledge(alarm.id, SARI, "saw to it", now_ms)
                return

    def _change(self, place: str, what: str, now_ms: int) -> None:
        old = self.records.equipment(place)
        other = "refrigerator_low_alarm" if old.profile == "refrigerator" else "refrigerator"
        profile = other if what == "profile" else old.profile
        made = Equipment(place, "S1", old.name, EquipmentKind.REFRIGERATOR, profile)
        self.records.upsert_equipment(made, SARI, "asked for it", now_ms)


# --- a channel ------------------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    """Counts the requests that are being read or answered."""

    busy = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        self.busy += 1  # in the one thread that accepts
        super().process_request(request, client_address)


@dataclass
class Chat:
    """A real HTTP server that keeps what it got. ``arrived`` is set by each post, before it is answered."""

    posts: list[tuple[str, str, str]] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    _server: _Server | None = None
    _ended: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                whole = self.rfile.read(length)
                if len(whole) < length:
                    return  # who sent it was killed in the middle of it
                body: dict[str, Any] = json.loads(whole)
                chat.posts.append((self.path.strip("/").partition("?")[0], body["title"], body["message"]))
                chat.arrived.set()
                threading.Event().wait(_ANSWER_S)  # a network's time: a kill may fall between message and answer
                self._answer()

            def do_GET(self) -> None:
                self._answer()

            def _answer(self) -> None:
                self.close_connection = True
                try:
                    self.send_response(200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    return  # the one who asked was killed

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:
                    return
                finally:
                    with chat._lock:
                        chat._ended += 1

            def log_message(self, *_: object) -> None:
                return

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def drain(self) -> None:
        """Until all that was sent before is among the posts: its sender is dead, and connections are taken in order."""
        assert self._server is not None
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=_PATIENCE_S):
            pass
        end = time.monotonic() + _PATIENCE_S
        while self._ended < self._server.busy and time.monotonic() < end:
            time.sleep(0.005)

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def files(folder: Path) -> tuple[Path, Path, Path]:
    """(journal, records, memory of alerts)."""
    return folder / "journal.db", folder / "records.db", folder / "alerts.db"
