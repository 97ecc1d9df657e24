"""The products: what a verdict must know of a vaccine, as data (``alerts/products.toml``; cold-chain 2.3 to 2.5). Pure.

A country or a site adds rows in a file of its own (setting ``alerts.products_file``), without code: a row replaces the
house's rows for its KFA codes. Every row says its sources; ``unverified`` names the fields that stand without an official
text (the product's own master record, or the vial, outranks them).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

from alerts.rules.facts import milli
from telemetry.errors import ConfigError
from telemetry.gtin import gtin_problem

LEVELS = ("puskesmas", "kabupaten", "provinsi", "hospital", "bidan_desa")
_VVM = (None, "VVM2", "VVM7", "VVM14", "VVM30")
_KFA = re.compile(r"9[1-4]\d{6}")
_EDGES = ("from_c", "above_c", "to_c", "below_c")


class FreezeClass(StrEnum):
    """``sensitive``: freezing destroys it; ``tolerant``: the dry or oral vaccine may freeze."""

    SENSITIVE = "sensitive"
    TOLERANT = "tolerant"


@dataclass(frozen=True, slots=True)
class Budget:
    """Time a label allows outside its range, added up over the product's life: in a band of temperature, so long.

    The band: at or above ``from_c`` or above ``above_c``; at or below ``to_c`` or below ``below_c`` (None: no such edge).
    """

    code: str
    allowed_s: int
    from_c: Decimal | None = None
    above_c: Decimal | None = None
    to_c: Decimal | None = None
    below_c: Decimal | None = None
    source: str = ""
    verified: bool = True

    def holds(self, value_m: int) -> bool:
        """Whether a temperature (thousandths) lies in the band."""
        return (
            (self.from_c is None or value_m >= milli(self.from_c))
            and (self.above_c is None or value_m > milli(self.above_c))
            and (self.to_c is None or value_m <= milli(self.to_c))
            and (self.below_c is None or value_m < milli(self.below_c))
        )


@dataclass(frozen=True, slots=True)
class LevelRange:
    """The storage range at these levels of the health system."""

    levels: tuple[str, ...]
    low_c: Decimal
    high_c: Decimal
    source: str


@dataclass(frozen=True, slots=True)
class OpenedVial:
    """How long an opened multi-dose vial may be used, by whose rule."""

    hours: int
    by: str
    source: str
    verified: bool = True


@dataclass(frozen=True, slots=True)
class Product:
    """One row. ``vvm_type`` is a starting value; ``freezer_at``: levels of site where it must stand in a freezer.

    ``gtin``: codes on its packs (requirement 40). ``budgets``: what its label allows outside the range; time beyond all
    of them is told too. ``diluent``: what comes with it, which must never freeze.
    """

    name: str
    kfa_codes: tuple[str, ...]
    freeze_class: FreezeClass
    shake_test_valid: bool
    has_diluent: bool
    vvm_type: str | None
    profile: str = "refrigerator"
    sources: tuple[str, ...] = ()
    freezer_at: tuple[str, ...] = ()
    ranges: tuple[LevelRange, ...] = ()
    opened_vial: tuple[OpenedVial, ...] = ()
    diluent: str = ""
    transport: str = ""
    gtin: tuple[str, ...] = ()
    budgets: tuple[Budget, ...] = ()
    unverified: tuple[str, ...] = ()

    def range_at(self, level: str) -> LevelRange | None:
        """The storage range at a level, or None where the table has none of its own."""
        return next((r for r in self.ranges if level in r.levels), None)


UNKNOWN_PRODUCT = Product(
    "unknown product", (), FreezeClass.SENSITIVE, False, False, None, sources=("not in the table: treated with care",)
)


@dataclass(frozen=True, slots=True)
class Products:
    """The table: by KFA code and by GTIN. ``rows``: all of them, those without a code too. ``version``: of each file."""

    by_kfa: Mapping[str, Product] = field(default_factory=dict)
    by_gtin: Mapping[str, Product] = field(default_factory=dict)
    rows: tuple[Product, ...] = ()
    version: str = ""


# --- reading ----------------------------------------------------------------------------------------------------


def builtin_table() -> Products:
    """The table of the house."""
    text = resources.files("alerts").joinpath("products.toml").read_text("utf-8")
    return parse_table(text, "alerts/products.toml")


def builtin_products() -> Mapping[str, Product]:
    """KFA code -> product, of the house."""
    return builtin_table().by_kfa


def load_products(*paths: Path) -> Products:
    """The table of the house with the files' rows over it; raises ConfigError."""
    table = builtin_table()
    for path in paths:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("products", f"{path}: {error}", advice="check the path and that it is UTF-8") from error
        own = parse_table(text, str(path))
        rows = (*(p for p in table.rows if not set(p.kfa_codes) & set(own.by_kfa)), *own.rows)
        gtin = {code: p for code, p in table.by_gtin.items() if not set(p.kfa_codes) & set(own.by_kfa)}
        version = f"{table.version}+{own.version}"
        table = Products({**table.by_kfa, **own.by_kfa}, {**gtin, **own.by_gtin}, rows, version)
    return table


def parse_table(text: str, where: str) -> Products:
    """The table of one TOML text; raises ConfigError with what is wrong."""
    try:
        body = tomllib.loads(text)
        bands = {name: _budgets(name, table) for name, table in body.get("budget", {}).items()}
        rows = tuple(_product(row, bands) for row in body.get("product", []))
        version = str(body.get("version", "unnumbered"))
    except (tomllib.TOMLDecodeError, KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise ConfigError("product", f"{where}: {error!r}") from error
    by_kfa: dict[str, Product] = {}
    by_gtin: dict[str, Product] = {}
    for product in rows:
        for code in product.kfa_codes:
            if code in by_kfa or not _KFA.fullmatch(code):
                raise ConfigError(
                    "kfa", f"{where}: {code!r} stands twice or is not 8 digits that begin with 91 to 94"
                )
            by_kfa[code] = product
        for code in product.gtin:
            if code in by_gtin or gtin_problem(code):
                raise ConfigError("gtin", f"{where}: {code!r} stands twice or {gtin_problem(code) or 'is none'}")
            by_gtin[code] = product
    return Products(by_kfa, by_gtin, rows, version)


_KEYS = {
    *("name", "kfa", "gtin", "freeze_class", "shake_test_valid", "has_diluent", "diluent", "vvm_type", "profile"),
    *("freezer_at", "ranges", "opened_vial", "transport", "budget", "sources", "unverified"),
}


def _product(row: Mapping[str, Any], bands: Mapping[str, tuple[Budget, ...]]) -> Product:
    unknown = sorted(set(row) - _KEYS)
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}")
    if row.get("vvm_type") not in _VVM:
        raise ValueError(f"vvm_type {row.get('vvm_type')!r}")
    product = Product(
        name=str(row["name"]),
        kfa_codes=_texts(row["kfa"]),
        freeze_class=FreezeClass(row["freeze_class"]),
        shake_test_valid=bool(row["shake_test_valid"]),
        has_diluent=bool(row["has_diluent"]),
        vvm_type=row.get("vvm_type"),
        profile=str(row.get("profile", "refrigerator")),
        sources=_texts(row["sources"]),
        freezer_at=_texts(row.get("freezer_at", ())),
        ranges=tuple(_range(r) for r in row.get("ranges", ())),
        opened_vial=tuple(_opened(o) for o in row.get("opened_vial", ())),
        diluent=str(row.get("diluent", "")),
        transport=str(row.get("transport", "")),
        gtin=_texts(row.get("gtin", ())),
        budgets=bands[row["budget"]] if "budget" in row else (),
        unverified=_texts(row.get("unverified", ())),
    )
    _agrees(product)
    return product


def _agrees(p: Product) -> None:
    """Raises ValueError for a row that contradicts itself."""
    if not p.sources:
        raise ValueError(f"{p.name}: say where the row comes from")
    if p.freezer_at and p.freeze_class is not FreezeClass.TOLERANT:
        raise ValueError(f"{p.name}: a freeze-sensitive vaccine cannot need a freezer")
    if p.shake_test_valid and p.freeze_class is FreezeClass.TOLERANT:
        raise ValueError(f"{p.name}: a shake test says nothing of a freeze-tolerant vaccine")
    if p.diluent and not p.has_diluent:
        raise ValueError(f"{p.name}: names a diluent and has none")
    frozen = {level for r in p.ranges if r.high_c < 0 for level in r.levels}
    if p.ranges and frozen != set(p.freezer_at):
        raise ValueError(f"{p.name}: freezer_at and ranges disagree")
    strange = set(p.unverified) - _KEYS
    if strange:
        raise ValueError(f"{p.name}: unverified {sorted(strange)[0]!r} is no field")


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(f"{value!r} is not a list")
    return tuple(str(item) for item in value)


def _c(row: Mapping[str, Any], key: str) -> Decimal | None:
    if key not in row:
        return None
    if not isinstance(row[key], str):
        raise TypeError(f'write {key} as a text, as in "8.0"')
    value = Decimal(row[key])
    milli(value)
    return value


def _range(row: Mapping[str, Any]) -> LevelRange:
    low_c, high_c = _c(row, "low_c"), _c(row, "high_c")
    levels = _texts(row["levels"])
    if low_c is None or high_c is None or low_c >= high_c:
        raise ValueError("a range has low_c below high_c")
    if not levels or set(levels) - set(LEVELS):
        raise ValueError(f"levels {levels} are not all of {LEVELS}")
    return LevelRange(levels, low_c, high_c, str(row["source"]))


def _opened(row: Mapping[str, Any]) -> OpenedVial:
    hours = row["hours"]
    if isinstance(hours, bool) or not isinstance(hours, int) or hours <= 0:
        raise ValueError(f"hours {hours!r}")
    return OpenedVial(hours, str(row["by"]), str(row["source"]), bool(row.get("verified", True)))


def _budgets(name: str, table: Mapping[str, Any]) -> tuple[Budget, ...]:
    made = []
    for row in table["uses"]:
        edges = {key: _c(row, key) for key in _EDGES}
        lows, highs = [edges["from_c"], edges["above_c"]], [edges["to_c"], edges["below_c"]]
        low = next((v for v in lows if v is not None), None)
        high = next((v for v in highs if v is not None), None)
        if None not in lows or None not in highs or (low is None and high is None):
            raise ValueError(f"budget {name}: one edge below (from_c or above_c) and one above (to_c or below_c)")
        if low is not None and high is not None and low >= high:
            raise ValueError(f"budget {name}: {low} is not below {high}")
        allowed_s = row["allowed_s"]
        if isinstance(allowed_s, bool) or not isinstance(allowed_s, int) or allowed_s < 0:
            raise ValueError(f"budget {name}: allowed_s {allowed_s!r}")
        code, source = str(row["code"]), str(row["source"])
        made.append(Budget(code, allowed_s, **edges, source=source, verified=bool(row.get("verified", True))))
    if not made:
        raise ValueError(f"budget {name}: is empty")
    return tuple(made)
