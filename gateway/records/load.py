"""One TOML file makes or changes a site with all that stands in it (``site.example.toml`` shows every table).

First everything is read and checked, and all problems are told at once, each with its line; then everything is
written in one transaction. Loading the same file again changes nothing and leaves no audit rows.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.records.checks import check_batch, check_device, check_equipment, check_gtin, check_site, check_user
from gateway.records.errors import Refused, UnknownRecord
from gateway.records.kinds import BAG, BATCH, DEVICE, EQUIPMENT, GTIN, SITE, USER
from gateway.records.model import (
    HOUSE,
    Actor,
    Bag,
    Batch,
    Change,
    Device,
    Equipment,
    GtinLink,
    Language,
    Placement,
    Role,
    Site,
    SmileStockIds,
    User,
)
from gateway.records.records import Records
from gateway.records.tx import Kind
from gateway.records.waste import check_bag
from telemetry.errors import SmileIotError


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where: ``line`` of the table's header in the file, ``where`` as in ``device LOG-1``."""

    line: int
    where: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.where}: {self.message}"


class LoadError(SmileIotError):
    """The file was not loaded; nothing was changed. ``problems`` are all that was found."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("nothing was loaded:\n" + "\n".join(f"  {p}" for p in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What the load did, as subjects (``device:LOG-1``). ``waiting``: quarantine items of the devices in the file."""

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


# --- from TOML to values ----------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text in quotes")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError(f"{value!r} is not a number")
    return Decimal(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is not true or false")
    return value


def _day(value: Any) -> date:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError(f"{value!r} is not a date like 2027-11-30 (without quotes)")
    return value


def _time_ms(value: Any) -> int:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError(f"{value!r} is not a time with an offset, like 2026-11-20T08:00:00+07:00 (without quotes)")
    return round(value.timestamp() * 1000)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return tuple(_text(item) for item in value)


def _wholes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return tuple(_whole(item) for item in value)


Converter = Callable[[Any], Any]


def _stock_ids(value: Any) -> SmileStockIds:
    if not isinstance(value, dict):
        raise TypeError("is not a table of ids")
    converters: dict[str, Converter] = {
        **dict.fromkeys(
            ("program_id", "entity_id", "activity_id", "entity_activity_id", "material_id", "stock_id"), _whole
        ),
        "doses_per_vial": _whole,
        "temperature_sensitive": _flag,
    }
    missing = [k for k in list(converters)[:6] if k not in value]
    unknown = sorted(set(value) - set(converters))
    if missing or unknown:
        raise ValueError(f"missing {missing}, unknown {unknown}")
    return SmileStockIds(**{key: converters[key](item) for key, item in value.items()})


@dataclass(frozen=True)
class _Table:
    """A kind of table in the file: a converter for each key, and the field's name where it differs from the key's."""

    needed: Mapping[str, Converter]
    optional: Mapping[str, Converter] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    name_key: str = "id"


_SITE = _Table(dict.fromkeys(("id", "name", "region", "zone", "shard", "level"), _text), {"smile_entity_id": _whole})
_EQUIPMENT = _Table(
    dict.fromkeys(("id", "site", "name", "kind", "profile"), _text),
    {"smile_asset_id": _whole, "since": _time_ms},
    {"since": "since_ms"},
)
_DEVICE = _Table(
    dict.fromkeys(("serial", "site", "edge", "driver"), _text),
    {
        "equipment": _text,
        "interval_s": _whole,
        "smile_serial": _text,
        "e_kg": _decimal,
        "max_kg": _decimal,
        "smile_scale_asset_id": _whole,
        "calibrated_until": _time_ms,
        "calibration_error_c": _decimal,
        "tera_on": _day,
        "tera_valid_days": _whole,
        "since": _time_ms,
        "in_service": _time_ms,
    },
    {"calibrated_until": "calibrated_until_ms", "since": "since_ms", "in_service": "in_service_ms"},
    "serial",
)
_BATCH = _Table(
    {
        **dict.fromkeys(("id", "site", "product_kfa", "product_name", "batch_number"), _text),
        "expires_on": _day,
        "doses": _whole,
    },
    {"smile": _stock_ids, "came_from": _text, "left": _time_ms},
    {"left": "left_ms"},
)
_GTIN = _Table(dict.fromkeys(("gtin", "product_kfa", "product_name"), _text), {"site": _text}, name_key="gtin")
_PLACEMENT = _Table(
    {"batch": _text, "equipment": _text, "from": _time_ms},
    {"to": _time_ms},
    {"from": "from_ms", "to": "to_ms"},
    "batch",
)
_BAG = _Table(
    {
        **dict.fromkeys(("code", "site", "classification", "waste_code", "color"), _text),
        "source_id": _whole,
        "classification_id": _whole,
    },
    {"bast_no": _text, "material_ids": _wholes, "decay_until": _time_ms},
    {"decay_until": "decay_until_ms"},
    "code",
)
_USER = _Table(
    {"name": _text, "role": _text},
    {
        "site": _text,
        "region": _text,
        "language": _text,
        "password_file": _text,
        "password_hash": _text,
        "contacts": _texts,
        "contacts_file": _text,
        "active": _flag,
    },
    name_key="name",
)

TABLES: dict[str, _Table] = {
    "site": _SITE,
    "equipment": _EQUIPMENT,
    "device": _DEVICE,
    "batch": _BATCH,
    "gtin": _GTIN,
    "placement": _PLACEMENT,
    "bag": _BAG,
    "user": _USER,
}


@dataclass(frozen=True, slots=True)
class _Row:
    """One table of the file, converted."""

    kind: str
    line: int
    name: str
    values: dict[str, Any]

    def problem(self, message: str) -> Problem:
        return Problem(self.line, f"{self.kind} {self.name}", message)


def _lines(text: str) -> dict[tuple[str, int], int]:
    """{(table name, its number from 0): line of its [[header]]}."""
    found: dict[tuple[str, int], int] = {}
    count: Counter[str] = Counter()
    for line, content in enumerate(text.splitlines(), start=1):
        header = content.split("#")[0].strip()
        if header.startswith("[["):
            name = header.strip("[] \t")
            found[(name, count[name])] = line
            count[name] += 1
    return found


def _rows(text: str, problems: list[Problem]) -> list[_Row]:
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise LoadError((Problem(0, "file", f"is not TOML: {error}"),)) from error
    lines = _lines(text)
    rows = []
    for kind, tables in document.items():
        if kind not in TABLES or not isinstance(tables, list):
            problems.append(Problem(0, kind, f"is none of [[{']], [['.join(TABLES)}]]"))
            continue
        for number, table in enumerate(tables):
            rows.append(_convert(kind, lines.get((kind, number), 0), table, problems))
    order = list(TABLES)
    return sorted(rows, key=lambda r: order.index(r.kind))


def _convert(kind: str, line: int, table: dict[str, Any], problems: list[Problem]) -> _Row:
    spec = TABLES[kind]
    row = _Row(kind, line, str(table.get(spec.name_key, "?")), {})
    converters = {**spec.needed, **spec.optional}
    problems += [row.problem(f"{key} is missing") for key in spec.needed if key not in table]
    for key, value in table.items():
        if key not in converters:
            problems.append(row.problem(f"unknown key {key!r}; known: {', '.join(converters)}"))
            continue
        try:
            row.values[spec.fields.get(key, key)] = converters[key](value)
        except (TypeError, ValueError) as error:
            problems.append(row.problem(f"{key}: {error}"))
    return row


_KINDS: dict[str, Kind[Any]] = {k.name: k for k in (SITE, EQUIPMENT, DEVICE, BATCH, GTIN, BAG, USER)}


# --- checking ---------------------------------------------------------------------------------------------------


@dataclass
class _Load:
    """One load on its way: the values by kind, and who does it."""

    records: Records
    folder: Path
    actor: Actor
    reason: str
    at_ms: int
    rows: list[_Row]
    problems: list[Problem]
    values: list[tuple[_Row, Any]] = field(default_factory=list)

    def check(self) -> None:
        """Make all values; all problems of all tables are noted."""
        for row in self.rows:
            try:
                self.values.append((row, self._value(row)))
            except (Refused, UnknownRecord) as error:
                self.problems.append(row.problem(str(error)))
            except (ValueError, TypeError, OSError) as error:
                self.problems.append(row.problem(str(error)))
        self._check_twice()
        self._check_references()

    def _value(self, row: _Row) -> Any:
        values = row.values
        match row.kind:
            case "site":
                value: Any = Site(**values)
                check_site(value)
            case "equipment":
                value = Equipment(**values)
                check_equipment(value)
            case "device":
                value = Device(**values)
                check_device(value)
            case "batch":
                value = Batch(**values)
                check_batch(value)
            case "gtin":
                value = GtinLink(**values)
                check_gtin(value)
            case "bag":
                value = Bag(**values)
                check_bag(value)
            case "placement":
                to_ms = values.get("to_ms")
                if to_ms is not None and to_ms <= values["from_ms"]:
                    raise ValueError("to is not after from")
                value = Placement(
                    "", values["batch"], values["equipment"], values["from_ms"], to_ms, self.actor.name, ""
                )
            case _:
                value = self._user(values)
                check_user(value)
        if row.kind in _KINDS:
            _KINDS[row.kind].row(value)  # words of a choice, decimals: refused here, before anything is written
        return value

    def _user(self, values: dict[str, Any]) -> User:
        given = dict(values)
        file, contacts_file = given.pop("password_file", None), given.pop("contacts_file", None)
        if (file is None) == ("password_hash" not in given):
            raise ValueError("needs either password_file or password_hash")
        given["role"] = Role(given["role"])
        given["language"] = Language(given.get("language", Language.ID))
        if file is not None:
            given["password_hash"] = self._hash(given["name"], self._read(file))
        if contacts_file is not None:
            lines = (line.strip() for line in self._read(contacts_file).splitlines())
            more = tuple(line for line in lines if line and not line.startswith("#"))
            given["contacts"] = (*given.get("contacts", ()), *more)
        return User(**given)

    def _read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8").strip("\r\n")

    def _hash(self, name: str, password: str) -> str:
        """The hash that is kept already if it fits the password (hashes are salted: a new one is always another)."""
        if not password:
            raise ValueError("password_file is empty")
        old = self.records.find_user(name)
        if old is not None:
            try:
                if PasswordHasher().verify(old.password_hash, password):
                    return old.password_hash
            except (VerificationError, InvalidHashError):
                pass
        return PasswordHasher().hash(password)

    def _check_twice(self) -> None:
        seen: dict[tuple[object, ...], _Row] = {}
        for row, value in self.values:
            key: tuple[object, ...] = (row.kind, row.name)
            if isinstance(value, Placement):
                key = (*key, value.from_ms)
            elif isinstance(value, Bag | GtinLink):
                key = (*key, value.site)
            first = seen.setdefault(key, row)
            if first is not row:
                self.problems.append(row.problem(f"stands in the file twice (first in line {first.line})"))

    def _check_references(self) -> None:
        """Whatever a table refers to is in the file or in the records."""
        registry = self.records.registry()
        known = {
            "site": set(registry.sites),
            "equipment": set(registry.equipment),
            "batch": {b.id for b in self.records.batches()},
        }
        for row, _ in self.values:
            if row.kind in known:
                known[row.kind].add(row.name)
        for row in self.rows:
            for key, there in known.items():
                name = row.values.get(key)
                if isinstance(name, str) and name not in there:
                    self.problems.append(row.problem(f"{key} {name!r} is neither in the file nor in the records"))

    # --- writing ---

    def write(self) -> LoadReport:
        """All of it in one transaction; raises LoadError with the table that was refused."""
        done: dict[Change, list[str]] = {change: [] for change in Change}
        waiting: list[str] = []
        with self.records.together():
            self.records.hold_sites({v.id if isinstance(v, Site) else v.site or HOUSE for _, v in self.values})
            for row, value in self._in_order():
                try:
                    change = self._put(value, waiting)
                except (Refused, UnknownRecord) as error:
                    raise LoadError((row.problem(str(error)),)) from error
                done[change].append(f"{row.kind}:{row.name}")
        return LoadReport(
            tuple(done[Change.CREATED]), tuple(done[Change.CHANGED]), tuple(done[Change.UNCHANGED]), tuple(waiting)
        )

    def _in_order(self) -> list[tuple[_Row, Any]]:
        """As in the file by kind; placements by time, so that a later one moves the batch."""
        rest = [pair for pair in self.values if not isinstance(pair[1], Placement)]
        placements = [pair for pair in self.values if isinstance(pair[1], Placement)]
        return rest + sorted(placements, key=lambda pair: (pair[1].batch, pair[1].from_ms))

    def _put(self, value: Any, waiting: list[str]) -> Change:
        act = (self.actor, self.reason, self.at_ms)
        records = self.records
        match value:
            case Site():
                return records.upsert_site(value, *act)
            case Equipment():
                return records.upsert_equipment(value, *act)
            case Device():
                registered = records.upsert_device(value, *act)
                waiting += registered.waiting
                return registered.change
            case Batch():
                return records.upsert_batch(value, *act)
            case GtinLink():
                return records.link_gtin(value, *act)
            case Bag():
                return records.upsert_bag(value, *act)
            case User():
                return records.upsert_user(value, *act)
            case _:
                return self._place(value)

    def _place(self, wanted: Placement) -> Change:
        """Add, move or end. A placement that people have ended since is left as they left it."""
        act = (self.actor, self.reason, self.at_ms)
        there = self.records.placements(wanted.batch)
        same = [p for p in there if (p.equipment, p.from_ms) == (wanted.equipment, wanted.from_ms)]
        if same and (same[0].to_ms is not None or wanted.to_ms is None):
            return Change.UNCHANGED
        if same and wanted.to_ms is not None:
            self.records.end_placement(wanted.batch, wanted.to_ms, *act)
            return Change.CHANGED
        if any(p.to_ms is None and p.from_ms < wanted.from_ms for p in there):
            self.records.move_batch(wanted.batch, wanted.equipment, wanted.from_ms, *act)
            if wanted.to_ms is not None:
                self.records.end_placement(wanted.batch, wanted.to_ms, *act)
            return Change.CREATED
        self.records.add_placement(wanted.batch, wanted.equipment, wanted.from_ms, *act, to_ms=wanted.to_ms)
        return Change.CREATED


def load_toml(records: Records, source: Path | str, actor: Actor, reason: str, at_ms: int) -> LoadReport:
    """Load a file (``Path``) or a TOML text (``str``; its files are then looked up in the working directory).

    Raises LoadError with every problem found; then nothing was changed.
    """
    text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    folder = source.parent if isinstance(source, Path) else Path()
    problems: list[Problem] = []
    load = _Load(records, folder, actor, reason, at_ms, _rows(text, problems), problems)
    if not problems:
        load.check()
    if problems:
        raise LoadError(tuple(problems))
    return load.write()
