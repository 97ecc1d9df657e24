"""A small world in real records and a real store: two regions, three sites, one fridge in trouble, all levels."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from alerts.products import builtin_table
from alerts.profiles import builtin_profiles
from api.accounts import hash_password
from api.app import create_app
from api.config import Enrolment, Settings, WasteIds
from api.questions import LedgerBook
from api.security import LANGUAGE_COOKIE, SESSION_COOKIE, csrf_token
from gateway.broker_accounts import BrokerFiles
from gateway.records import (
    Actor,
    Attachment,
    Bag,
    Batch,
    Device,
    Equipment,
    Finding,
    QuarantineItem,
    Records,
    Role,
    SessionKind,
    Site,
    User,
    Verdict,
    WeighingRecord,
    open_records,
)
from ingest.ledger import EdgeSummary
from ingest.store import Row, SqliteStore
from telemetry.readings import Origin, Quality, Ranges, Sync

NOW_MS = 1_795_161_600_000  # 2026-11-20T08:00:00Z = 15:00 WIB
MINUTE = 60_000
HOUR = 60 * MINUTE
PASSWORD = "rahasia-sekali"
BOSS = Actor("wiring", Role.SUPER_ADMIN)
ROLES = ("operator", "manager", "admin", "super_admin")
# One hash for all: Argon2 takes its time by design.
_HASH = hash_password(PASSWORD)


@dataclass
class FakeClock:
    """Stands still until told; sessions see real seconds."""

    now: int = NOW_MS
    speed: float = 1.0

    def now_ms(self) -> int:
        return self.now

    def boot_id(self) -> str:
        return "boot"

    def boottime_ns(self) -> int:
        return self.now * 1_000_000

    def sync(self) -> tuple[Sync, int | None]:
        return Sync.SYNCED, 1

    def real_seconds(self, virtual_s: float) -> float:
        return virtual_s / self.speed


@dataclass
class World:
    """Everything a test may want to look at."""

    records: Records
    store: SqliteStore
    clock: FakeClock
    app: FastAPI
    tokens: dict[str, str] = field(default_factory=dict)
    ledger: list[EdgeSummary] = field(default_factory=list)
    sessions: int = 0

    def client(self) -> Client:
        return Client(self.app)

    def as_role(self, role: str) -> Asker:
        """A machine's token of that level."""
        client = self.client()
        client.headers["authorization"] = f"Bearer {self.tokens[role]}"
        return Asker(client, "")

    def log_in(self, name: str, language: str = "en") -> Asker:
        """A browser with a session (how one gets it: test_login.py)."""
        client, secret = self.client(), f"session-of-{name}-{self._next()}-0123456789"
        self.records.open_session(name, secret, self.clock.now, self.clock.now + HOUR)
        client.cookies.set(SESSION_COOKIE, secret)
        client.cookies.set(LANGUAGE_COOKIE, language)
        return Asker(client, csrf_token(secret))

    def destruction(self, upto: str = "complete", third_party: str = "") -> str:
        """20 vials of B1 under BAST/1 at PKM-A, told up to one of: opened, listed, bagged, damaged, complete."""
        r, now, bag_code = self.records, self.clock.now, "000420112026"
        r.decide("B1", "discarded", BOSS, "warm for eleven hours", now)
        r.add_bags([Bag(bag_code, "PKM-A", "expired_vaccine", "A337-2", "brown", 1, 11)], BOSS, "label", now)
        r.tie_weighing("W1", bag_code, BOSS, "on the scale", now)
        case = r.open_destruction("PKM-A", "BAST/1", third_party, BOSS, "", now).id
        steps = {
            "listed": lambda: r.list_vials(case, "B1", 20, BOSS, "", now),
            "bagged": lambda: r.put_vials(case, bag_code, "B1", 20, BOSS, "", now),
            "damaged": lambda: r.confirm_damaged(case, BOSS, "crushed", now),
            "complete": lambda: r.bag_destroyed(case, bag_code, now, BOSS, "burnt", now),
        }
        for name in list(steps)[: ["opened", *steps].index(upto)]:
            steps[name]()
        return case

    def _next(self) -> int:
        self.sessions += 1
        return self.sessions


class Client:
    """A browser or machine that keeps its cookies and follows nothing by itself."""

    def __init__(self, app: FastAPI) -> None:
        transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 50000))
        self._client = httpx.AsyncClient(transport=transport, base_url="https://smile-iot.test")
        self.headers, self.cookies = self._client.headers, self._client.cookies

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._client.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)


@dataclass
class Asker:
    """A client that knows its CSRF token."""

    client: Client
    csrf: str

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> httpx.Response:
        if "json" in options:
            return self.client.post(path, **options)
        return self.client.post(path, data={"csrf": self.csrf, **(data or {})}, **options)


def row(stream: str, t_ms: int, value: str | None, quality: Quality = Quality.GOOD, site: str = "PKM-A") -> Row:
    return Row(
        site=site,
        stream_id=stream,
        t_ms=t_ms,
        value=None if value is None else Decimal(value),
        quality=quality,
        origin=Origin.LIVE,
        device_seq=None,
        variant=0,
        edge="E1",
        epoch="e1",
        seq=t_ms // 1000,
        sync=Sync.SYNCED,
        max_error_ms=5,
        received_at_ms=t_ms + 2000,
    )


def finding(finding_id: str, site: str = "PKM-A", equipment: str | None = "KULKAS-A", **changes: Any) -> Finding:
    values: dict[str, Any] = {
        "id": finding_id,
        "rule": "refrigerator/HEAT",
        "code": "HEAT",
        "kind": "confirmed",
        "site": site,
        "equipment": equipment,
        "batch": None,
        "episode_start_ms": NOW_MS - 11 * HOUR,
        "event_ms": NOW_MS - HOUR,
        "detected_ms": NOW_MS - HOUR + 5000,
        "end_ms": None,
        "extreme_c": Decimal("11.3"),
        "profile": "refrigerator",
        "profile_version": "1",
    }
    return Finding(**(values | changes))


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world's two files, made once; each test gets copies."""
    folder = tmp_path_factory.mktemp("furnished")
    with open_records(folder / "records.db") as records:
        store = SqliteStore(folder / "store.db")
        _registry(records)
        _people(records)
        _events(records, store)
        store.close()
    return folder


class Taken:
    """A lock that somebody holds; whoever would wait for it fails."""

    def acquire(self, *, blocking: bool) -> bool:
        assert not blocking
        return False


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.fixture
def world(tmp_path: Path, furnished: Path) -> Iterator[World]:
    shutil.copytree(furnished, tmp_path / "world")
    records = open_records(tmp_path / "world" / "records.db")
    store = SqliteStore(tmp_path / "world" / "store.db")
    clock = FakeClock()
    ledger: list[EdgeSummary] = []
    settings = Settings(
        waste={
            "infectious": WasteIds(source_id=1, classification_id=11),
            "expired_vaccine": WasteIds(source_id=1, classification_id=12),
        }
    )
    app = create_app(
        records,
        store,
        clock,
        settings,
        profiles=builtin_profiles(),
        products=builtin_table(),
        read_ledger=lambda: LedgerBook(ledger),
        enrolment=_enrolment(tmp_path / "world"),
    )
    ledger.append(EdgeSummary("PKM-A", "E1", "epoch-1", True, 500, 490, 1, 0, 3, NOW_MS - MINUTE, Ranges([(11, 19)])))
    yield World(records, store, clock, app, {role: _token(role) for role in ROLES}, ledger)
    store.close()
    records.close()


def _enrolment(folder: Path) -> Enrolment:
    (folder / "base_passwords").write_text("ingest:hash\n")
    (folder / "base_acl").write_text("user ingest\n")
    names = ("passwords", "acl", "base_passwords", "base_acl")
    return Enrolment(
        server_url="https://smile-iot.test",
        broker_host="broker.test",
        broker_port=8883,
        broker_ca="-----BEGIN CERTIFICATE-----\nYnJva2Vy\n-----END CERTIFICATE-----\n",
        server_ca="-----BEGIN CERTIFICATE-----\nc2VydmVy\n-----END CERTIFICATE-----\n",
        files=BrokerFiles(**{name: folder / name for name in names}),
    )


def _registry(records: Records) -> None:
    for site_id, name, region, zone in (
        ("PKM-A", "Puskesmas Sentani", "papua.jayapura", "Asia/Jayapura"),
        ("PKM-B", "Puskesmas Genyem", "papua.jayapura", "Asia/Jayapura"),
        ("PKM-C", "Puskesmas Depok", "jabar.depok", "Asia/Jakarta"),
    ):
        records.upsert_site(Site(site_id, name, region, zone, "s1", "puskesmas"), BOSS, "opened", NOW_MS)
    for equipment_id, site, name, kind, profile in (
        ("KULKAS-A", "PKM-A", "Kulkas A", "refrigerator", "refrigerator"),
        ("KULKAS-B", "PKM-A", "Kulkas B", "refrigerator", "refrigerator"),
        ("FREEZER-A", "PKM-A", "Freezer A", "freezer", "freezer"),
        ("KULKAS-C", "PKM-C", "Kulkas C", "refrigerator", "refrigerator"),
    ):
        records.upsert_equipment(Equipment(equipment_id, site, name, kind, profile), BOSS, "installed", NOW_MS)
    for serial, site, driver, equipment in (
        ("LOG-1", "PKM-A", "bthome", "KULKAS-A"),
        ("LOG-2", "PKM-A", "ruuvi", "KULKAS-B"),
        ("SCALE-1", "PKM-A", "scale_st_us", None),
        ("LOG-9", "PKM-C", "bthome", "KULKAS-C"),
    ):
        device = Device(serial, site, "E1", driver, equipment, 600 if equipment else None)
        records.upsert_device(device, BOSS, "installed", NOW_MS)
    for batch_id, site in (("B1", "PKM-A"), ("B2", "PKM-A"), ("B9", "PKM-C")):
        batch = Batch(batch_id, site, "93001284", "DPT-HB-Hib", f"{batch_id}-2411", date(2027, 11, 30), 200)
        records.upsert_batch(batch, BOSS, "received", NOW_MS)


def _token(role: str) -> str:
    return f"token-of-{role}-0123456789abcdef"


def _people(records: Records) -> None:
    places: dict[str, dict[str, str]] = {
        "operator": {"site": "PKM-A"},
        "manager": {"region": "papua.jayapura"},
        "admin": {},
        "super_admin": {},
    }
    for role, place in places.items():
        user = User(role, role, password_hash=_HASH, **place)
        records.upsert_user(user, BOSS, "account asked for", NOW_MS)
        records.open_session(role, _token(role), NOW_MS, NOW_MS + 1000 * HOUR, SessionKind.TOKEN, "test")
    other = User("operator_b", "operator", site="PKM-B", password_hash=_HASH)
    records.upsert_user(other, BOSS, "account asked for", NOW_MS)


def _events(records: Records, store: SqliteStore) -> None:
    # Fridge A: 5 C, then warm for eleven hours, with a hole of two hours; fridge B quiet.
    rows = []
    for minute in range(0, 24 * 60, 10):
        t_ms = NOW_MS - 24 * HOUR + minute * MINUTE + 5 * MINUTE
        if 6 * 60 <= minute < 8 * 60:
            continue
        rows.append(row("LOG-1/temperature_c", t_ms, "5.1" if minute < 13 * 60 else "9.3"))
        rows.append(row("LOG-2/temperature_c", t_ms, "4.2"))
    store.append(rows)
    store.append([row("LOG-9/temperature_c", NOW_MS - HOUR, "4.0", site="PKM-C")])
    records.save_findings([finding("HEAT-1"), finding("HEAT-9", "PKM-C", "KULKAS-C")], NOW_MS)
    reasons: tuple[Any, ...] = (
        {"code": "heat_confirmed", "asks_for": "hold_and_inspect", "text": "heat alarm in its history"},
    )
    for batch in ("B1", "B9"):
        records.add_placement(
            batch, "KULKAS-A" if batch == "B1" else "KULKAS-C", NOW_MS - 48 * HOUR, BOSS, "stored", NOW_MS
        )
        found = ("HEAT-1",) if batch == "B1" else ("HEAT-9",)
        made = Verdict("", batch, "hold_and_inspect", reasons, found, NOW_MS)
        records.save_verdicts([made], NOW_MS, documents={"B1": document_of()} if batch == "B1" else None)
    records.save_weighings([weighing("W1", "6.30"), weighing("W2", "4.85")], NOW_MS)
    records.add_bags([bag("000120112026"), bag("000220112026")], BOSS, "labels printed", NOW_MS)
    records.quarantine(
        [quarantined("Q1", "unknown_device", ("LOG-77",)), quarantined("Q2", "clock_ahead", ("LOG-1",))]
    )
    for site, edge in (("PKM-A", "E1"), ("PKM-C", "E9")):
        code = records.invite_edge(site, edge, BOSS, "new Pi", NOW_MS)
        records.enrol_edge(code.text, "machine-of-e1", NOW_MS, password_hash="$7$101$c2FsdA==$aGFzaA==")
    records.save_attachments(
        Attachment("temperatures", "LOG-1/100", "core", "ab" * 32, "stored", "12 stored", NOW_MS - HOUR, "PKM-A")
    )


def weighing(weighing_id: str, net: str, site: str = "PKM-A") -> WeighingRecord:
    tare = Decimal("0.70")
    return WeighingRecord(
        weighing_id, site, "SCALE-1", Decimal(net) + tare, tare, Decimal(net), NOW_MS - 5 * MINUTE, "5354"
    )


def bag(code: str, site: str = "PKM-A") -> Bag:
    return Bag(code, site, "infectious", "A337-1", "yellow", 1, 11)


def quarantined(item_id: str, reason: str, serials: tuple[str, ...], site: str = "PKM-A") -> QuarantineItem:
    topic = f"smile-iot/v1/s1/{site}/E1/up/readings"
    return QuarantineItem(
        item_id, site, "E1", "epoch-1", topic, reason, "LOG-77 is not registered", NOW_MS - HOUR, b'{"v":1}',
        serials=serials,
    )  # fmt: skip


def iso(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def document_of() -> dict[str, Any]:
    """The document of a verdict in the pinned shape: a day before any reading, a hole, eleven warm hours."""
    day = NOW_MS - 24 * HOUR
    spans = [
        (NOW_MS - 48 * HOUR, day + 5 * MINUTE, "unknown", None, None),
        (day + 5 * MINUTE, day + 6 * HOUR + 5 * MINUTE, "in", "5.1", "5.1"),
        (day + 6 * HOUR + 5 * MINUTE, day + 8 * HOUR + 5 * MINUTE, "unknown", None, None),
        (day + 8 * HOUR + 5 * MINUTE, day + 13 * HOUR + 5 * MINUTE, "in", "5.1", "5.1"),
        (day + 13 * HOUR + 5 * MINUTE, NOW_MS, "out", "9.3", "9.3"),
    ]
    start, fired = iso(day + 13 * HOUR + 5 * MINUTE), iso(NOW_MS - HOUR)
    return {
        "v": 1,
        "batch": {"id": "B1", "site": "PKM-A", "product_kfa": "93001284", "product_name": "DPT-HB-Hib",
                  "batch_number": "B1-2411", "expires_on": "2027-11-30", "doses": 200},
        "product": {"name": "DTwP-HepB-Hib", "freeze_class": "sensitive", "shake_test_valid": True,
                    "has_diluent": False, "vvm_type": "VVM14", "profile": "refrigerator", "sources": ["WHO TRS 1025"]},
        "judged_at": iso(NOW_MS),
        "as_of": {"journal_offset": 4711, "audit_id": 815},
        "word": "hold_and_inspect",
        "reasons": [
            {"code": "heat_confirmed", "asks_for": "hold_and_inspect", "findings": ["HEAT-1"], "params": {}},
            {"code": "unknown_exposure", "asks_for": "hold_and_inspect", "findings": [],
             "params": {"unknown_s": 93_900}},
            {"code": "seen_by_a_newer_rule", "asks_for": "no_action", "findings": [], "params": {"highest_c": "9.3"}},
        ],
        "placements": [{"id": "P1", "equipment": "KULKAS-A", "from": iso(NOW_MS - 48 * HOUR), "to": None,
                        "said_by": "sari"}],
        "vvm_readings": [{"stage": "A", "at": iso(NOW_MS - 2 * HOUR), "by": "sari"}],
        "exposure": {"from": iso(NOW_MS - 48 * HOUR), "to": iso(NOW_MS), "known_s": 78_900, "unknown_s": 93_900,
                     "above_s": 39_300, "below_s": 0, "freezing_s": 0, "freeze_possible_s": 0,
                     "min_c": "5.1", "max_c": "9.3", "mkt_c": "7.432", "mkt_24h_max_c": "7.5",
                     "vvm": [{"model": "A", "used_percent": "4.31"}, {"model": "B", "used_percent": "3.9"}],
                     "budgets": [{"code": "CTC_4D", "used_s": 0, "allowed_s": 259_200, "source": "label"}]},
        "timeline": [{"from": iso(a), "to": iso(b), "state": state, "low_c": low, "high_c": high,
                      "equipment": "KULKAS-A"} for a, b, state, low, high in spans],
        "findings": [{"id": "HEAT-1", "code": "HEAT", "kind": "confirmed", "rule": "refrigerator/HEAT",
                      "profile_version": "1", "limit_c": "8.0", "comparator": ">", "from": start, "fired": fired,
                      "to": None, "extreme_c": "9.3", "after_s": 36_000, "mode": "single",
                      "readings": {"count": 66, "first": start, "deciding": fired, "last": iso(NOW_MS - 5 * MINUTE)}}],
        "facts": [{"stream": "LOG-1/temperature_c", "equipment": "KULKAS-A", "count": 132,
                   "first": iso(day + 5 * MINUTE), "last": iso(NOW_MS - 5 * MINUTE), "sha256": "ab" * 32}],
        "rules": {"engine": "1", "profiles": [{"id": "refrigerator", "version": "1", "sha256": "cd" * 32}],
                  "products": "1"},
    }  # fmt: skip


@pytest.fixture
def documented(world: World) -> dict[str, Any]:
    """The document of B1's first verdict, as it was kept."""
    made = world.records.verdict_document("B1.v1")
    assert made is not None
    return made
