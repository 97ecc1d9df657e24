"""The SMILE port of design.md: the values that go through it, and what each thing sent became.

A neighbour other than SMILE (or a fake in a test) is reached by implementing ``SmilePort``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from telemetry.errors import ContractError


class Outcome(StrEnum):
    """What one call to SMILE came to: a reason, and whether the same call may succeed later (``again``)."""

    DONE = "done"
    ALREADY = "already"  # SMILE has it already; nothing was sent
    UNREACHABLE = "unreachable"  # no connection: nothing was sent
    AGAIN = "again"  # 5xx, or a 422 that is no data fault: nothing was stored
    BUSY = "busy"  # 429: nothing was stored; no Retry-After exists
    LOST = "lost"  # sent, and the answer never came: stored or not, nobody knows
    LOGIN = "login"  # 401, or no login allowed yet
    DATA = "data"  # 400, 422: what we sent is wrong
    FORBIDDEN = "forbidden"  # 403: the account may not; a person must change the configuration
    NOT_FOUND = "not_found"  # 404
    CONFLICT = "conflict"  # SMILE holds another value than we sent: an alarm
    REFUSED = "refused"  # refused by our own checks before anything was sent
    HELD = "held"  # maybe stored, and it cannot be read back: a person decides

    @property
    def again(self) -> bool:
        """True when the same call may succeed later without a change by a person."""
        return self in _AGAIN

    @property
    def done(self) -> bool:
        return self in (Outcome.DONE, Outcome.ALREADY)


_AGAIN = frozenset({Outcome.UNREACHABLE, Outcome.AGAIN, Outcome.BUSY, Outcome.LOST, Outcome.LOGIN})


class PushStatus(StrEnum):
    """What became of one pushed reading. ``not_sent``: nothing reached SMILE, it stays in the outbox."""

    STORED = "stored"
    REFUSED = "refused"
    UNKNOWN_DEVICE = "unknown_device"
    UNCERTAIN = "uncertain"
    NOT_SENT = "not_sent"
    FAILED = "failed"  # SMILE could not insert this one item; tried again a few times, then refused


class Route(StrEnum):
    """SMILE's two doors for temperatures; they treat the time differently (smile-core-api 3.2)."""

    COLD = "cold"
    ROOM = "room"


@dataclass(frozen=True, slots=True)
class Item:
    """One reading as SMILE takes it. ``assumed`` names the fields that no device measured (duty 4)."""

    device_id: str
    sampled_at_ms: int
    temperature_c: Decimal
    humidity_percent: Decimal
    battery_percent: Decimal
    signal_percent: Decimal
    mains_power_on: bool
    device_ok: bool = True
    lat: Decimal = Decimal(0)
    lon: Decimal = Decimal(0)
    assumed: tuple[str, ...] = ()
    route: Route = Route.COLD

    @property
    def key(self) -> tuple[str, int]:
        """(device, second): what SMILE can tell apart (its clock has whole seconds, smile-core-api 3.2)."""
        return (self.device_id, self.sampled_at_ms // 1000)


@dataclass(frozen=True, slots=True)
class PushResult:
    """What became of one item: its key, the status, SMILE's own words, and the call's outcome."""

    key: tuple[str, int]
    status: PushStatus
    text: str = ""
    outcome: Outcome = Outcome.DONE


@dataclass(frozen=True, slots=True)
class ProgramId:
    """An id of SMILE main: valid in one program only (duty 28). Never compare it with a ``GlobalId``."""

    value: int


@dataclass(frozen=True, slots=True)
class GlobalId:
    """An id of SMILE core, one for all programs; main shows it as ``global_id``."""

    value: int


def program_value(name: str, given: ProgramId) -> int:
    """The number of a per-program id; raises ContractError("id_mixed_up") for anything else."""
    if not isinstance(given, ProgramId):
        raise ContractError("id_mixed_up", f"{name} is {given!r}, wanted an id of the program")
    return given.value


class Cause(StrEnum):
    """Why a batch is discarded, in the only words SMILE has a reason for (duty 21)."""

    FREEZE = "freeze"
    HEAT = "heat"


@dataclass(frozen=True, slots=True)
class StockIds:
    """Where a batch stands in SMILE main. All ids are of the program. ``vvm`` is the label A..D, or None."""

    entity_id: ProgramId
    activity_id: ProgramId
    entity_activity_id: ProgramId
    material_id: ProgramId
    stock_id: ProgramId
    batch_code: str
    doses: int
    vvm: str | None = None


@dataclass(frozen=True, slots=True)
class DiscardOrder:
    """A person's decision to discard one batch, ready to be drafted. ``order_id`` is ours and stays the same."""

    order_id: str
    incident_id: str
    site: str
    stock: StockIds
    cause: Cause
    decided_by: str
    decided_ms: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A discard as SMILE would get it; a person sees it before it is posted. ``body`` is the whole JSON."""

    order: DiscardOrder
    body: dict[str, Any]
    reason_title: str
    doses_per_vial: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """Who decides, by name; the adapter's account posts, the name goes in the text."""

    name: str
    role: str = ""


@dataclass(frozen=True, slots=True)
class BagLabel:
    """A waste bag as WMS knows it. ``bast_no`` and ``material_ids`` tie it to a SMILE disposal (duty 25)."""

    code: str
    site: str
    waste_source_id: int
    waste_classification_id: int
    bast_no: str | None = None
    material_ids: tuple[ProgramId, ...] = ()
    bin_number: str | None = None


@dataclass(frozen=True, slots=True)
class BagWeight:
    """One weighing tied to a bag, with its scale. ``link`` says how the value left the scale (duty 24)."""

    weighing_id: str
    net_kg: Decimal
    sampled_at_ms: int | None
    flags: tuple[str, ...]
    link: ScaleLink
    scale_asset_id: int | None
    calibrated_until_ms: int | None


class ScaleLink(StrEnum):
    """WMS's two words for a weight that no hand typed."""

    INTERNET = "internet"
    BLUETOOTH = "bluetooth"


@dataclass(frozen=True, slots=True)
class PostResult:
    """What a discard or a weight came to. ``detail`` holds what SMILE said or holds, for the record."""

    outcome: Outcome
    text: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


class SmilePort(Protocol):
    """The door to SMILE (design.md, "SMILE port")."""

    async def push(self, items: Sequence[Item]) -> list[PushResult]: ...

    async def draft_discard(self, order: DiscardOrder) -> Draft: ...

    async def post_discard(self, draft: Draft, person: Person) -> PostResult: ...

    async def post_weight(self, bag: BagLabel, weighing: BagWeight) -> PostResult: ...
