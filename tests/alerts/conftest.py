"""A small server side for the alerts service: a real journal, real records, real memory, and a clock set by hand."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from alerts.config import Config
from alerts.memory import Memory
from alerts.rules import Profiles
from alerts.service import Alerts
from benchmarks.hand_clock import HandClock
from gateway.journal import Entry, SqliteJournal
from gateway.records import (
    Actor,
    Batch,
    Device,
    Equipment,
    EquipmentKind,
    Finding,
    Records,
    Role,
    Site,
    SiteLevel,
    User,
    open_records,
)
from telemetry.contract import Upload, encode_upload
from telemetry.readings import Event, Fact, Numbered, Quality, Reading, Stamp, Sync, Weighing

MIN = 60_000
HOUR = 60 * MIN
T0 = 1_790_000_000_000 // (24 * HOUR) * 24 * HOUR  # a midnight in UTC, September 2026
SARI = Actor("Sari", Role.MANAGER)
SECRET = "s3cr3t-word"
PENTABIO, BOPV, IPV = "93001282", "93004968", "93004736"


def reading(
    t_ms: int | None, value: str | None, serial: str = "LOG-A", *, ns: int = 0, boot: str = "b1", channel: str = ""
) -> Reading:
    stream = f"{serial}/temperature_c" + (f"/{channel}" if channel else "")
    stamp = Stamp(boot, ns, t_ms or 0, Sync.UNSYNCED if t_ms is None else Sync.SYNCED)
    number = None if value is None else Decimal(value)
    return Reading(stream, number, t_ms, stamp, quality=Quality.SENSOR_FAULT if value is None else Quality.GOOD)


def anchor(utc_ms: int, ns: int, boot: str = "b1") -> Event:
    return Event("clock_anchored", "E1", utc_ms, Stamp(boot, ns, utc_ms, Sync.SYNCED, 10))


def weighing(name: str, net: str, t_ms: int | None, *, ns: int = 0) -> Weighing:
    kg = Decimal(net)
    return Weighing(name, "SCALE-1", kg, Decimal(0), kg, t_ms, Stamp("b1", ns, t_ms or 0, Sync.UNSYNCED), "0a0b")


@dataclass
class World:
    """``say`` puts facts into the journal; ``alerts`` is the service, ``again`` a new one after a kill."""

    folder: Path
    journal: SqliteJournal
    records: Records
    clock: HandClock = field(default_factory=lambda: HandClock(T0))
    seq: int = 0
    opened: int = 0
    _memories: list[Memory] = field(default_factory=list)

    reading = staticmethod(reading)
    anchor = staticmethod(anchor)
    weighing = staticmethod(weighing)

    def __post_init__(self) -> None:
        self.alerts = self.again(start=False)

    # --- what happens outside ---

    def say(self, *facts: Fact, edge: str = "E1") -> None:
        """One upload per fact kind, as an edge would send them."""
        by_kind: dict[str, list[Numbered]] = {}
        for fact in facts:
            self.seq += 1
            kind = "readings" if isinstance(fact, Reading) else "events" if isinstance(fact, Event) else "weighings"
            by_kind.setdefault(kind, []).append(Numbered(self.seq, fact))
        for kind, numbered in by_kind.items():
            payload = encode_upload(Upload(kind, edge, "ep1", self.clock.wall_ms, tuple(numbered)))
            self.journal.append([Entry("S1", edge, "ep1", kind, self.clock.wall_ms, payload)])

    def temperatures(
        self, start_h: float, end_h: float, value: str, serial: str = "LOG-A", every_min: int = 15
    ) -> list[Reading]:
        """Every ``every_min`` minutes from start to end, both included."""
        times = range(T0 + int(start_h * HOUR), T0 + int(end_h * HOUR) + 1, every_min * MIN)
        return [reading(t_ms, value, serial) for t_ms in times]

    def device(self, serial: str, equipment: str | None, interval_s: int | None = 900) -> None:
        device = Device(serial, "S1", "E1", "ble", equipment, interval_s)
        self.records.upsert_device(device, SARI, "installed", self.clock.wall_ms)

    def batch(self, name: str, kfa: str = PENTABIO, equipment: str | None = "F1", from_h: float = 0) -> None:
        batch = Batch(name, "S1", kfa, "vaccine", "BN1", date(2027, 12, 31), 100)
        self.records.upsert_batch(batch, SARI, "", self.clock.wall_ms)
        if equipment is not None:
            self.records.add_placement(name, equipment, T0 + int(from_h * HOUR), SARI, "came", self.clock.wall_ms)

    # --- the service ---

    def again(self, *, start: bool = True) -> Alerts:
        """A new process: nothing of the old one but its files."""
        for memory in self._memories:
            memory.close()
        config = Config(memory_path=self.folder / "alerts.db", batch_entries=7)
        memory = Memory(config.memory_path)
        self._memories = [memory]
        self.alerts = Alerts(config, self.clock, self.journal, self.records, memory, self._on_alarm)
        if start:
            self.alerts.start()
            self.turn()
        return self.alerts

    def _on_alarm(self) -> None:
        self.opened += 1

    def at(self, hour: float) -> None:
        """The clock goes to this hour and the service looks at everything."""
        self.clock.wall_ms = T0 + int(hour * HOUR)
        self.turn()

    def turn(self) -> None:
        while self.alerts.turn():
            pass

    def close(self) -> None:
        for memory in self._memories:
            memory.close()
        self.records.close()
        self.journal.close()

    # --- what it says ---

    def found(self, code: str, equipment: str | None = "F1", batch: str | None = None) -> list[Finding]:
        kept = self.records.findings(equipment=equipment, batch=batch)
        return sorted((f for f in kept if f.code == code), key=lambda f: f.event_ms)

    def alarms(self) -> list[tuple[str, str | None, str | None, str]]:
        """(code, equipment, batch, state) of all alarms."""
        return sorted(
            ((a.finding.code, a.finding.equipment, a.finding.batch, str(a.state)) for a in self.records.alarms()),
            key=str,
        )

    def verdict(self, batch: str) -> tuple[str, list[str]] | None:
        """(verdict, its reasons' codes)."""
        v = self.records.verdict(batch)
        return None if v is None else (str(v.verdict), [r["code"] for r in v.reasons])


def _register(records: Records) -> None:
    records.upsert_site(
        Site("S1", "Puskesmas Abepura", "jayapura", "Asia/Jayapura", "1", SiteLevel.PUSKESMAS), SARI, "", T0
    )
    for name in ("F1", "F2"):
        fridge = Equipment(name, "S1", f"Kulkas {name}", EquipmentKind.REFRIGERATOR, "refrigerator")
        records.upsert_equipment(fridge, SARI, "", T0)
    for serial, equipment in (("LOG-A", "F1"), ("LOG-B", "F2"), ("SCALE-1", None)):
        records.upsert_device(Device(serial, "S1", "E1", "ble", equipment, 900), SARI, "", T0)


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database with the site's registry, to be copied: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("registered") / "records.db"
    with open_records(str(path)) as records:
        _register(records)
    return path


@pytest.fixture
def world(tmp_path: Path, registered: Path) -> Iterator[World]:
    shutil.copy(registered, tmp_path / "records.db")
    records = open_records(str(tmp_path / "records.db"))
    made = World(tmp_path, SqliteJournal(tmp_path / "journal.db"), records)
    yield made
    made.close()


@pytest.fixture
def person(world: World) -> Callable[..., User]:
    """``person(name, *contacts, language=...)`` of the site; ``site=None``: a manager of another region."""

    def make(name: str, *contacts: str, language: str = "id", site: str | None = "S1") -> User:
        role, region = (Role.OPERATOR, None) if site else (Role.MANAGER, "merauke")
        user = User(name, role, site, region, language, "$argon2id$x", contacts)
        world.records.upsert_user(user, Actor("root", Role.SUPER_ADMIN), "", world.clock.wall_ms)
        return user

    return make


@pytest.fixture(scope="session")
def known_at() -> Callable[[Profiles, int], Profiles]:
    """The limits as they are known at a time: only the changes whose date has come."""

    def known(profiles: Profiles, now_ms: int) -> Profiles:
        assigned = {
            e: tuple(r for r in rows if r.from_ms <= now_ms) or rows[:1] for e, rows in profiles.assigned.items()
        }
        versions = {p: tuple(r for r in rows if r.from_ms <= now_ms) for p, rows in profiles.versions.items()}
        shipments = {e: tuple(at for at in rows if at <= now_ms) for e, rows in profiles.shipments.items()}
        return replace(profiles, assigned=assigned, versions=versions, shipments=shipments)

    return known


@pytest.fixture
def start() -> int:
    """The midnight (UTC) at which every story begins."""
    return T0


@dataclass
class Sink:
    """Servers of one thread: every mail and every chat post they got. ``chat_status`` is what the chat answers."""

    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    posts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    chat_status: int = 200
    mail_port: int = 0
    chat_port: int = 0

    def mail_url(self, to: str) -> str:
        return f"mailto://user:{SECRET}@127.0.0.1:{self.mail_port}?from=iot@site.example&to={to}&mode=insecure"

    def chat_url(self, room: str) -> str:
        return f"json://user:{SECRET}@127.0.0.1:{self.chat_port}/{room}"

    async def smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As much of RFC 5321 as a client needs."""
        writer.write(b"220 sink\r\n")
        while line := (await reader.readline()).decode().strip():
            word = line.split()[0].upper()
            if word == "EHLO":
                writer.write(b"250-sink\r\n250 AUTH PLAIN LOGIN\r\n")
            elif word == "AUTH":
                writer.write(b"235 welcome\r\n")
            elif word == "RCPT":
                self.recipients.append(line.partition("<")[2].partition(">")[0])
                writer.write(b"250 ok\r\n")
            elif word == "DATA":
                writer.write(b"354 go on\r\n")
                raw = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(email.message_from_bytes(raw[:-5], policy=email.policy.default))  # type: ignore[arg-type]
                writer.write(b"250 kept\r\n")
            elif word == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n")
        writer.close()

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(h.split(":")[1]) for h in head.splitlines() if h.lower().startswith("content-length"))
        body = json.loads(await reader.readexactly(length))
        self.posts.append((head.split()[1], body))
        writer.write(f"HTTP/1.1 {self.chat_status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink, ready, stop = Sink(), threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        mail = await asyncio.start_server(sink.smtp, "127.0.0.1", 0)
        chat = await asyncio.start_server(sink.http, "127.0.0.1", 0)
        sink.mail_port = mail.sockets[0].getsockname()[1]
        sink.chat_port = chat.sockets[0].getsockname()[1]
        loops.append(asyncio.get_running_loop())
        ready.set()
        async with mail, chat:
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    yield sink
    loops[0].call_soon_threadsafe(stop.set)
    thread.join(10)
