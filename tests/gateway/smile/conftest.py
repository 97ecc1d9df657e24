"""The stand-in as a process, reached over HTTP only; and a small world of journal, records and adapter around it."""

from __future__ import annotations

import asyncio
import json
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from gateway.journal import Entry, SqliteJournal
from gateway.records import Actor, Bag, Batch, Device, Equipment, Records, Site, open_records
from gateway.records.model import Finding, SmileStockIds, Verdict, WeighingRecord
from gateway.smile.client import Account
from gateway.smile.config import Config
from gateway.smile.door import SmileDoor
from gateway.smile.items import Assumed, Beside, Bounds, item_of
from gateway.smile.outbox import SmileOutbox
from gateway.smile.port import Item, Route
from gateway.smile.service import SmileService
from telemetry.contract import Upload, encode_upload
from telemetry.readings import Numbered, Quality, Reading, Stamp, Sync

T = TypeVar("T")
ROOT = Path(__file__).parents[3]
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# Ids of the stand-in's demo seed (firmware_sim/smile_core/demo.toml).
STOCK = SmileStockIds(1, 12, 70, 170, 8004, 2104, 20, True)
MANAGER = Account("manager", "iot-manager", "demo-word-manager")
VENDOR = Account("vendor", "iot-vendor", "demo-word-vendor")
WARDEN = Actor("Siti Aminah", "manager")


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class StandIn:
    """The stand-in's addresses, and what a tester could do by hand."""

    def __init__(self, addresses: dict[str, Any], zone: str) -> None:
        self.core, self.main, self.wms = addresses["core"], addresses["main"], addresses["wms"]
        self.zone = zone
        self._control = addresses["client"]
        self._control.post("/reset").raise_for_status()
        self.settings(
            server_zone=zone,
            push_mode="v5",
            wms="express",
            dedup_window_s=5,
            token_life_s=86400,
            wms_calls_per_minute=500,
        )

    def settings(self, **changes: Any) -> None:
        self._control.patch("/settings", json=changes).raise_for_status()

    def fault(self, kind: str, **more: Any) -> None:
        self._control.post("/faults", json={"kind": kind, **more}).raise_for_status()

    def heal(self) -> None:
        self._control.delete("/faults").raise_for_status()

    def table(self, name: str) -> list[dict[str, Any]]:
        return list(self._control.get(f"/tables/{name}").raise_for_status().json())

    def requests(self, path: str = "", method: str = "") -> list[dict[str, Any]]:
        found = self._control.get("/requests").raise_for_status().json()
        return [r for r in found if path in r["path"] and method in ("", r["method"])]

    def histories(self) -> list[tuple[str, int, Decimal]]:
        """(serial, stored time, value) in the order of arrival."""
        serials = {row["id"]: row["serial_number"] for row in self.table("loggers")}
        rows = sorted(self.table("histories"), key=lambda r: r["id"])
        return [(serials[r["logger_id"]], r["actual_time_ms"], Decimal(str(r["temperature_c"]))) for r in rows]

    def log_in(self, username: str, password: str) -> dict[str, str]:
        """The header of a fresh token; the account's earlier one is dead from now on."""
        word = {"username": username, "password": password}
        made = self._control.post(f"{self.core}/api/auth/login", json=word).raise_for_status()
        return {"authorization": f"Bearer {made.json()['token_login']}"}

    def register_logger(self, serial: str) -> None:
        body = {
            "type_id": 7,
            "entity_id": 3101,
            "serial_number": serial,
            "name": "x",
            "prod_year": 2026,
            "model_id": 203,
            "manufacture_id": 7101,
            "status": 1,
        }
        header = self.log_in(VENDOR.username, VENDOR.password)
        self._control.post(f"{self.core}/api/assets", json=body, headers=header).raise_for_status()

    def labels(self, count: int = 1) -> list[str]:
        """Bag codes that WMS issued to our facility."""
        header = self.log_in("operator-contoh", "demo-word-operator")
        item = {"healthcareFacilityId": 3101, "wasteSourceId": 22, "wasteClassificationId": 33, "labelCount": count}
        made = self._control.post(f"{self.wms}/api/v1/waste-bag-qrcode", json=[item], headers=header)
        return [row["qrCode"] for row in made.raise_for_status().json()]


@pytest.fixture(scope="session")
def stand_in_addresses() -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "firmware_sim.smile_core", "--port", "0", "--control-port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 30)
        assert ready, "the stand-in did not say that it is ready within 30 s"
        addresses = json.loads(process.stdout.readline())
        with httpx.Client(base_url=addresses["control"], timeout=10, trust_env=False) as client:
            yield {**addresses, "client": client}
    finally:
        process.terminate()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(params=["UTC", "Asia/Jakarta"])
def smile(stand_in_addresses: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[StandIn]:
    """The stand-in, empty again, with its server in one zone and then in the other (duty 30)."""
    stand_in = StandIn(stand_in_addresses, request.param)
    yield stand_in
    stand_in.heal()


@dataclass
class Ticker:
    """A clock that moves only when told to; it begins at the wall's time, as the stand-in lives there."""

    at_ms: int = field(default_factory=wall_ms)

    def now_ms(self) -> int:
        return self.at_ms

    def forward(self, ms: int) -> None:
        self.at_ms += ms

    def boot_id(self) -> str:
        return "boot"

    def boottime_ns(self) -> int:
        return self.at_ms * 1_000_000

    def sync(self) -> tuple[Sync, int | None]:
        return Sync.SYNCED, 1

    def real_seconds(self, virtual_s: float) -> float:
        return virtual_s


@pytest.fixture
def ticker() -> Ticker:
    return Ticker()


def config_for(smile: StandIn, tmp_path: Path, **changes: Any) -> Config:
    base = Config(
        core_url=smile.core,
        main_url=smile.main,
        wms_url=smile.wms,
        account=MANAGER,
        outbox_path=tmp_path / "smile.db",
        token_dir=tmp_path / "tokens",
        journal=str(tmp_path / "journal.db"),
        records=str(tmp_path / "records.db"),
        read_timeout_s=2.0,
        connect_timeout_s=2.0,
        attach_every_s=0.0,
    )
    return replace(base, **changes)


@pytest.fixture
def make_config(smile: StandIn, tmp_path: Path) -> Callable[..., Config]:
    return lambda **changes: config_for(smile, tmp_path, **changes)


@pytest.fixture
def config(make_config: Callable[..., Config]) -> Config:
    return make_config()


@pytest.fixture
def with_door(config: Config, ticker: Ticker) -> Callable[..., Any]:
    """``with_door(async function of a door)`` runs it on one open door."""

    def run(use: Callable[[SmileDoor], Awaitable[T]], config: Config = config) -> T:
        async def main() -> T:
            async with SmileDoor(config, ticker.now_ms, ticker.now_ms, lambda: 0.0) as door:
                return await use(door)

        return asyncio.run(main())

    return run


def reading(serial: str, t_ms: int | None, value: str | None, **more: Any) -> Reading:
    quantity = more.pop("quantity", "temperature_c")
    quality = more.pop("quality", Quality.GOOD if value is not None else Quality.SENSOR_FAULT)
    stamp = Stamp("boot", 0, t_ms or 0, Sync.SYNCED, 1)
    number = None if value is None else Decimal(value)
    return Reading(f"{serial}/{quantity}", number, t_ms, stamp, quality=quality, **more)


@pytest.fixture
def make_reading() -> Callable[..., Reading]:
    return reading


@pytest.fixture
def make_item(ticker: Ticker) -> Callable[..., Item]:
    """A whole item of a registered logger of the stand-in; every field may be given."""

    def make(serial: str = "BT-0001", minutes_ago: int = 10, value: str = "4.5", **changes: Any) -> Item:
        item = item_of(
            reading(serial, ticker.at_ms - minutes_ago * MINUTE, value),
            serial,
            beside=Beside(Decimal(55), Decimal(95), Decimal(-70), True, Decimal("-6.48"), Decimal("106.8")),
            assumed=Assumed(),
            bounds=Bounds(),
            now_ms=ticker.at_ms,
            route=changes.pop("route", Route.COLD),
        )
        assert isinstance(item, Item)
        return replace(item, **changes)

    return make


class World:
    """One site with a refrigerator, a batch and a scale; a journal; and the adapter's rounds under our own clock."""

    def __init__(self, config: Config, ticker: Ticker) -> None:
        self.config = config
        self.ticker = ticker
        self.journal = SqliteJournal(config.journal)
        self.records: Records = open_records(config.records)
        self.outbox = SmileOutbox(config.outbox_path, backfill_hold_ms=int(config.backfill_hold_s * 1000))
        self._numbers = 0
        self._register()

    def close(self) -> None:
        self.outbox.close()
        self.records.close()
        self.journal.close()

    def _register(self) -> None:
        r, who, why, now = self.records, WARDEN, "set up", self.ticker.at_ms
        r.upsert_site(Site("PKM", "Puskesmas Contoh", "Kaltim", "Asia/Makassar", "1", "puskesmas"), who, why, now)
        r.upsert_equipment(Equipment("KLK1", "PKM", "Kulkas 1", "refrigerator", "fridge"), who, why, now)
        for serial in ("BT-0001", "BT-0002"):
            r.upsert_device(Device(serial, "PKM", "E1", "bthome", "KLK1"), who, why, now)
        scale = Device("TB-0001", "PKM", "E1", "ascii_scale", smile_scale_asset_id=4101, e_kg=Decimal("0.05"))
        r.upsert_device(scale, who, why, now)
        batch = Batch("B1", "PKM", "93005208", "BCG 20 dosis", "BCG-2604", date(2028, 4, 30), 40, STOCK)
        r.upsert_batch(batch, who, why, now)
        r.add_placement("B1", "KLK1", now - 2 * DAY, who, why, now)

    def register(self, serial: str, **more: Any) -> None:
        device = Device(serial, "PKM", "E1", "bthome", "KLK1", **more)
        self.records.upsert_device(device, WARDEN, "new logger", self.ticker.at_ms)

    def say(self, *readings: Reading) -> None:
        """An upload with these readings arrives in the journal."""
        numbered = tuple(Numbered(self._numbers + n, r) for n, r in enumerate(readings, start=1))
        self._numbers += len(numbered)
        upload = Upload("readings", "E1", "epoch", self.ticker.at_ms, numbered)
        self.journal.append([Entry("PKM", "E1", "epoch", "readings", self.ticker.at_ms, encode_upload(upload))])

    def temperatures(self, serial: str, pairs: Sequence[tuple[int, str]]) -> None:
        self.say(*(reading(serial, t_ms, value) for t_ms, value in pairs))

    def finding(self, code: str = "FRZE", finding_id: str = "F-0001") -> str:
        at = self.ticker.at_ms - HOUR
        finding = Finding(
            finding_id,
            "limit",
            code,
            "confirmed",
            "PKM",
            "KLK1",
            None,
            at,
            at,
            at,
            None,
            Decimal("-1.0"),
            "fridge",
            "1",
        )
        self.records.save_findings([finding], self.ticker.at_ms)
        return finding_id

    def discard(self, code: str = "FRZE", vvm: str | None = "B", reason: str = "frozen solid") -> None:
        """A verdict, a look at the vials, and a named person's decision."""
        verdict = Verdict("", "B1", "discard_proposed", (), (self.finding(code),), self.ticker.at_ms)
        self.records.save_verdicts([verdict], self.ticker.at_ms)
        if vvm is not None:
            self.records.observe_vvm("B1", vvm, WARDEN, "read", self.ticker.at_ms)
        self.records.decide("B1", "discarded", WARDEN, reason, self.ticker.at_ms)

    def weigh(self, code: str, net: str = "12.345", weighing_id: str = "W-0001") -> None:
        """A bag, a weighing, and a person who ties them."""
        now, net_kg = self.ticker.at_ms, Decimal(net)
        bag = Bag(code, "PKM", "pharmaceutical", "A337-2", "brown", 22, 33, "BAST/1", (8004,))
        self.records.add_bags([bag], WARDEN, "new", now)
        weighing = WeighingRecord(
            weighing_id, "PKM", "TB-0001", net_kg + Decimal("0.7"), Decimal("0.7"), net_kg, now, "53540d0a"
        )
        self.records.save_weighings([weighing], now)
        self.records.tie_weighing(weighing_id, code, WARDEN, "seen", now)

    @asynccontextmanager
    async def service(self, config: Config | None = None) -> Any:
        config = config or self.config
        async with SmileDoor(config, self.ticker.now_ms, self.ticker.now_ms, lambda: 0.0) as door:
            args = (
                config,
                self.ticker,
                self.ticker.now_ms,
                self.journal,
                self.records,
                self.outbox,
                door,
                lambda: 0.0,
            )
            service = SmileService(*args)
            service.start()
            yield service

    def rounds(self, count: int = 1, *, every_ms: int = 1_000, config: Config | None = None) -> None:
        """A process of the adapter lives for some rounds, ``every_ms`` of its clock apart."""

        async def main() -> None:
            async with self.service(config) as service:
                for _ in range(count):
                    while await service.step():
                        pass
                    self.ticker.forward(every_ms)

        asyncio.run(main())


@pytest.fixture(scope="session")
def empty_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrating takes longer than a test: done once, copied for each world."""
    path = tmp_path_factory.mktemp("records") / "records.db"
    open_records(str(path)).close()
    return path


@pytest.fixture
def vendor_account() -> Account:
    """An account that may push and may see no history, no stock and no waste."""
    return VENDOR


@pytest.fixture
def world(config: Config, ticker: Ticker, empty_records: Path) -> Iterator[World]:
    shutil.copy(empty_records, config.records)
    world = World(config, ticker)
    yield world
    world.close()


@pytest.fixture
def make_world(
    make_config: Callable[..., Config], ticker: Ticker, empty_records: Path
) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**changes: Any) -> World:
        config = make_config(**changes)
        shutil.copy(empty_records, config.records)
        made.append(World(config, ticker))
        return made[-1]

    yield make
    for one in made:
        one.close()
