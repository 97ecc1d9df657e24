"""Everything the stand-in remembers, in memory: the seed's rows made changeable, and what callers wrote."""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from firmware_sim.smile_core.excursion import Abnormal
from firmware_sim.smile_core.faults import FaultBox
from firmware_sim.smile_core.seed import Account, Asset, Batch, Entity, Logger, Material, Reason, Role, Seed, Stock
from firmware_sim.smile_core.settings import Settings

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One stored reading. `actual_time_ms` is what the table holds (+7 h for refrigerators), None for SQL NULL."""

    id: int
    logger_id: int
    temperature_c: float
    humidity: float
    battery: float
    signal: float
    latitude: float
    longitude: float
    device_status: bool
    is_power_connected: bool
    capacity_id: int | None
    actual_time_ms: int | None
    created_at_ms: int


@dataclass(slots=True)
class LoggerRow:
    """A logger with its link and its last inserted history row."""

    seed: Logger
    asset_id: int | None
    latest_history_id: int | None = None
    abnormal: Abnormal | None = None
    history: list[HistoryRow] = field(default_factory=list)


@dataclass(slots=True)
class StockRow:
    """A stock with its changing quantity (doses) and quality label."""

    seed: Stock
    qty: int
    stock_quality_id: int | None


@dataclass(frozen=True, slots=True)
class DiscardRow:
    """One `ws_transactions` row of type 4; `change_qty` is negative as stored."""

    id: int
    stock_id: int
    program_entity_id: int
    activity_id: int
    entity_activity_id: int
    material_id: int
    reason_id: int
    other_reason: str | None
    stock_quality_id: int | None
    opening_qty: int
    change_qty: int
    device_type: str
    created_by: int
    created_at_ms: int


@dataclass(slots=True)
class DisposalStockRow:
    """Discarded and received doses of one stock for one reason, waiting for a disposal."""

    id: int
    stock_id: int
    reason_id: int
    discard_qty: int = 0
    received_qty: int = 0


@dataclass(slots=True)
class InstructionRow:
    """A disposal instruction; status 1 created, 2 cancelled. `lines` are (disposal_stock_id, discard, received)."""

    id: int
    bast_no: str
    activity_id: int
    program_customer_id: int
    instruction_type_id: int
    comment: str | None
    lines: tuple[tuple[int, int, int], ...]
    created_by: int
    created_at_ms: int
    status: int = 1
    cancel_comment: str | None = None


@dataclass(slots=True)
class BastRow:
    """A handover letter in WMS: PENDING, APPROVED or REJECTED."""

    bast_no: str
    body: Json
    created_at_ms: int
    status: str = "PENDING"
    reason: str | None = None
    receiver: Json | None = None


@dataclass(frozen=True, slots=True)
class QrLabel:
    """An issued bag label."""

    id: int
    qr_code: str
    healthcare_facility_id: int
    waste_source_id: int
    waste_classification_id: int
    created_at_ms: int


@dataclass(slots=True)
class WasteBagRow:
    """A weighed bag; `weight_in_kgs` is the decimal text the column holds, None for SQL NULL."""

    id: int
    qr_code: str
    healthcare_facility_id: int | None
    waste_source_id: int
    waste_classification_id: int
    weight_in_kgs: str | None
    scale_method: str
    iot_method: str | None
    asset_id: int | None
    bin_number: str | None
    bast_no: str | None
    material_ids: str | None
    created_by: int
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class Token:
    """A live token of one account."""

    value: str
    account_id: int
    expires_at_ms: int


class State:
    """The tables of one stand-in. All access is from one event loop, so a handler without `await` is atomic."""

    def __init__(self, seed: Seed, settings: Settings, faults: FaultBox | None = None) -> None:
        self.settings = settings
        self.faults = faults if faults is not None else FaultBox()
        self.requests: deque[Json] = deque(maxlen=10_000)
        self.reset(seed)

    def reset(self, seed: Seed) -> None:
        """Begin again from a seed: forgets everything callers wrote and all tokens."""
        self.seed = seed
        self.accounts = {row.id: row for row in seed.accounts}
        self.roles = {row.id: row for row in seed.roles}
        self.entities = {row.id: row for row in seed.entities}
        self.program_entities = {row.program_entity_id: row for row in seed.entities}
        self.assets: dict[int, Asset] = {row.id: row for row in seed.assets}
        self.materials: dict[int, Material] = {row.id: row for row in seed.materials}
        self.batches: dict[int, Batch] = {row.id: row for row in seed.batches}
        self.reasons: dict[int, Reason] = {row.id: row for row in seed.reasons}
        self.loggers = {row.id: LoggerRow(row, row.asset_id) for row in seed.loggers}
        self.stocks = {row.id: StockRow(row, row.qty, row.stock_quality_id) for row in seed.stocks}
        self._reset_written(seed)

    def _reset_written(self, seed: Seed) -> None:
        self.tokens: dict[int, Token] = {}
        self.wms_tokens: dict[str, tuple[int, int]] = {}
        self.wms_calls: dict[str, tuple[int, int]] = {}
        self.login_failures: dict[str, list[int]] = {}
        self.keycloak_known = {row.id for row in seed.accounts if row.keycloak_uuid_stored}
        self.recent_bodies: dict[str, int] = {}
        self.notifications: list[Json] = []
        self.next_history_id = seed.first_ids.history
        self.discards: list[DiscardRow] = []
        self.disposal_stocks: dict[int, DisposalStockRow] = {}
        self.instructions: dict[int, InstructionRow] = {}
        self.next_instruction_id = seed.first_ids.instruction
        self.basts: dict[str, BastRow] = {}
        self.labels: dict[str, QrLabel] = {}
        self.qr_day = ""
        self.qr_counter = 0
        self.bags: dict[str, WasteBagRow] = {}
        self.next_bag_id = seed.first_ids.waste_bag

    @property
    def now_ms(self) -> int:
        """The stand-in's clock, ms since the epoch."""
        return self.settings.now()

    @property
    def server_zone(self) -> ZoneInfo:
        """The zone in which date texts without offset are read."""
        return ZoneInfo(self.settings.server_zone)

    def role(self, account: Account) -> Role:
        """The account's role; an unknown role id is a role of its own without rights."""
        return self.roles.get(account.role_id) or Role(account.role_id, f"ROLE {account.role_id}")

    def entity(self, account: Account) -> Entity | None:
        """The account's facility."""
        return self.entities.get(account.entity_id) if account.entity_id is not None else None

    def logger_by_serial(self, serial: str) -> LoggerRow | None:
        """The logger registered under exactly this serial."""
        return next((row for row in self.loggers.values() if row.seed.serial_number == serial), None)


def account_uuid(account: Account) -> str:
    """The Keycloak id of an account: stable for a user name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"keycloak/{account.username}"))
