"""Master data of the stand-in, read from TOML.

Ids named `*_id` are global (core) unless they begin with `program_`: main has its own ids per program, and seeds keep
the two apart on purpose (facts section 1, "Ids"). Temperatures are floats because the real columns are doubles.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

DEMO_SEED = Path(__file__).with_name("demo.toml")
LAB_SEED = Path(__file__).with_name("lab.toml")

T = TypeVar("T")


class SeedError(ValueError):
    """The seed file does not fit; the message names the table and the row."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role; `kind` is what the device rule of discard looks at (facts 5.3)."""

    id: int
    name: str
    kind: str = "other"  # super_admin, admin, manager, operator, vendor_iot, manufacture, wms, other
    is_disabled_notification: int | None = None  # None (SQL NULL) excludes from notifications too, facts 4.2


@dataclass(frozen=True, slots=True)
class Account:
    """A SMILE account; `entity_id` and `id` are global."""

    id: int
    username: str
    password: str
    role_id: int
    entity_id: int | None = None
    programs: tuple[int, ...] = ()
    status: int = 1
    firstname: str = ""
    lastname: str = ""
    email: str = ""
    phone: str | None = None
    fcm_token: str | None = None
    manufacture_id: int | None = None
    wms_client: bool = False
    keycloak_uuid_stored: bool = True


@dataclass(frozen=True, slots=True)
class Entity:
    """A health facility; `program_entity_id` is its id in main, `id` in core and WMS."""

    id: int
    program_entity_id: int
    name: str
    code: str = ""
    type: int = 3
    type_label: str = "Healthcare facility"
    address: str = ""
    province_name: str = ""
    regency_name: str = ""
    programs: tuple[int, ...] = (1,)
    wms: bool = False


@dataclass(frozen=True, slots=True)
class Manufacture:
    """A maker of vaccines, refrigerators or loggers."""

    id: int
    program_manufacture_id: int
    name: str
    type: int = 1


@dataclass(frozen=True, slots=True)
class NamedRow:
    """An id with a name: asset types, activities, stock qualities."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """One temperature range of an asset model, degrees Celsius."""

    id: int
    min_c: float
    max_c: float


@dataclass(frozen=True, slots=True)
class AssetModel:
    """A model of refrigerator, room or logger, with its temperature capacities."""

    id: int
    name: str
    type_id: int
    manufacture_id: int
    capacities: tuple[Capacity, ...] = ()


@dataclass(frozen=True, slots=True)
class Asset:
    """A refrigerator, freezer or room (asset inventory)."""

    id: int
    serial_number: str
    name: str
    type_id: int
    entity_id: int
    model_id: int | None = None
    created_by: int | None = None
    is_room: bool = False
    own_min_c: float = 0.0
    own_max_c: float = 0.0
    active_capacity_id: int | None = None
    working_status_id: int = 1


@dataclass(frozen=True, slots=True)
class Logger:
    """A registered logger (RTMD); `asset_id` None means not linked."""

    id: int
    serial_number: str
    type_id: int
    model_id: int
    manufacture_id: int
    entity_id: int
    created_by: int
    asset_id: int | None = None
    prod_year: int = 2024
    status_id: int = 1


@dataclass(frozen=True, slots=True)
class EntityActivity:
    """Link of a facility (program id) to an activity."""

    id: int
    program_entity_id: int
    activity_id: int


@dataclass(frozen=True, slots=True)
class Material:
    """A vaccine on level 3 (variant); `id` is the program id."""

    id: int
    global_id: int
    parent_id: int
    name: str
    parent_name: str = ""
    kfa: str = ""
    is_temperature_sensitive: int = 1
    consumption_unit_per_distribution_unit: int = 1
    min_temperature: int = 0
    max_temperature: int = 0
    is_managed_in_batch: int = 1
    is_open_vial: int = 0
    unit_of_consumption: str = "dosis"


@dataclass(frozen=True, slots=True)
class Batch:
    """A vaccine batch; dates `YYYY-MM-DD`."""

    id: int
    code: str
    material_id: int
    expired_date: str
    production_date: str | None = None
    program_manufacture_id: int | None = None


@dataclass(frozen=True, slots=True)
class Stock:
    """Doses of one batch at one facility for one activity, all program ids."""

    id: int
    batch_id: int
    activity_id: int
    program_entity_id: int
    qty: int
    allocated_qty: int = 0
    stock_quality_id: int | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """A transaction reason; ids differ between installations (facts 5.2)."""

    id: int
    title_en: str
    title_id: str
    transaction_type_id: int
    is_other: int = 0
    status: int = 1


@dataclass(frozen=True, slots=True)
class WasteSource:
    """Where a waste bag comes from."""

    id: int
    source: str
    source_type: str = "INTERNAL"


@dataclass(frozen=True, slots=True)
class WasteClassification:
    """Type, group and characteristic of waste with its bag colour (facts 6.5)."""

    id: int
    type: str
    group: str
    characteristic: str
    characteristic_en: str
    waste_code: str
    waste_bag_color_code: str
    cold_storage_max_hours: int = 2160
    temp_storage_max_hours: int = 48
    minimum_decay_day: int = 0


@dataclass(frozen=True, slots=True)
class Scale:
    """A waste scale of a facility (SMILE asset type 40)."""

    id: int
    name: str
    entity_id: int


@dataclass(frozen=True, slots=True)
class FirstIds:
    """First ids given out, so that recorded replies can be reproduced."""

    history: int = 1
    instruction: int = 1
    waste_bag: int = 1
    qr_counter: int = 1


@dataclass(frozen=True, slots=True)
class Seed:
    """All master data of one stand-in."""

    roles: tuple[Role, ...] = ()
    accounts: tuple[Account, ...] = ()
    entities: tuple[Entity, ...] = ()
    manufactures: tuple[Manufacture, ...] = ()
    asset_types: tuple[NamedRow, ...] = ()
    asset_models: tuple[AssetModel, ...] = ()
    assets: tuple[Asset, ...] = ()
    loggers: tuple[Logger, ...] = ()
    room_threshold: Capacity | None = None
    activities: tuple[NamedRow, ...] = ()
    entity_activities: tuple[EntityActivity, ...] = ()
    materials: tuple[Material, ...] = ()
    batches: tuple[Batch, ...] = ()
    stocks: tuple[Stock, ...] = ()
    reasons: tuple[Reason, ...] = ()
    stock_qualities: tuple[NamedRow, ...] = ()
    waste_sources: tuple[WasteSource, ...] = ()
    waste_classifications: tuple[WasteClassification, ...] = ()
    scales: tuple[Scale, ...] = ()
    first_ids: FirstIds = field(default_factory=FirstIds)


_TABLES: dict[str, type[Any]] = {
    "roles": Role,
    "accounts": Account,
    "entities": Entity,
    "manufactures": Manufacture,
    "asset_types": NamedRow,
    "asset_models": AssetModel,
    "assets": Asset,
    "loggers": Logger,
    "activities": NamedRow,
    "entity_activities": EntityActivity,
    "materials": Material,
    "batches": Batch,
    "stocks": Stock,
    "reasons": Reason,
    "stock_qualities": NamedRow,
    "waste_sources": WasteSource,
    "waste_classifications": WasteClassification,
    "scales": Scale,
}


def load_seed(path: Path = DEMO_SEED) -> Seed:
    """Read a seed file. Raises SeedError naming the table and row that does not fit, OSError if unreadable."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SeedError(f"{path}: not TOML: {error}") from error
    return seed_from(data, str(path))


def seed_from(data: dict[str, Any], name: str = "seed") -> Seed:
    """Build a Seed from parsed TOML; `name` goes into error messages."""
    unknown = set(data) - set(_TABLES) - {"first_ids", "room_threshold"}
    if unknown:
        raise SeedError(f"{name}: unknown tables {sorted(unknown)}")
    rows: dict[str, Any] = {
        table: tuple(_row(kind, row, f"{name}: {table} {number}") for number, row in enumerate(data.get(table, [])))
        for table, kind in _TABLES.items()
    }
    if "first_ids" in data:
        rows["first_ids"] = _row(FirstIds, data["first_ids"], f"{name}: first_ids")
    if "room_threshold" in data:
        rows["room_threshold"] = _row(Capacity, data["room_threshold"], f"{name}: room_threshold")
    return Seed(**rows)


def _row(kind: type[T], row: dict[str, Any], where: str) -> T:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    if kind is AssetModel:
        values["capacities"] = tuple(_row(Capacity, item, where) for item in row.get("capacities", []))
    try:
        return kind(**values)
    except TypeError as error:
        raise SeedError(f"{where}: {error}") from error
