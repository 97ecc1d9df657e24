"""Reading profiles from TOML: ``alerts/profiles.toml`` and files that a country or a site adds.

This module reads files; the rules get the values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from importlib import resources
from pathlib import Path
from typing import Any

from alerts.rules.facts import milli
from alerts.rules.finding import Level
from alerts.rules.limits import TEMPERATURE, Comparator, Limit, Mode, Profile
from alerts.tables import versioned_tables
from telemetry.errors import ConfigError
from telemetry.quantities import QUANTITIES

_ID = re.compile(r"[a-z][a-z0-9_]{0,47}")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
_PROFILE_KEYS = {
    "label",
    "low_c",
    "high_c",
    "sources",
    "limits",
    "extends",
    "max_gap_s",
    "ignore_first_s",
    "lasts_at_most_s",
    "version",
    "hysteresis_c",
}
_LIMIT_KEYS = {
    "code",
    "comparator",
    "limit_c",
    "alarm_after_s",
    "mode",
    "level",
    "window_s",
    "repeats",
    "guard_code",
    "source",
    "verified",
    "quantity",
    "limit",
    "longer_than",
}


def builtin_profiles() -> dict[str, Profile]:
    """The profiles of the house, by id."""
    return parse_profiles(
        resources.files("alerts").joinpath("profiles.toml").read_text("utf-8"), "alerts/profiles.toml"
    )


def load_profiles(*paths: Path) -> dict[str, Profile]:
    """The profiles of the house plus those of files; a file may extend or replace by id. Raises ConfigError."""
    known = builtin_profiles()
    for path in paths:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("profiles", f"{path}: {error}", advice="check the path and that it is UTF-8") from error
        known |= parse_profiles(text, str(path), known)
    return known


def parse_profiles(text: str, where: str, known: Mapping[str, Profile] | None = None) -> dict[str, Profile]:
    """The profiles of one TOML text. ``extends`` may name one above in the text or one of ``known``.

    Raises ConfigError with the place and what to write there.
    """
    version, body = versioned_tables(text, "profiles", where)
    made: dict[str, Profile] = {}
    for name, table in body.items():
        at = f"{where} [{name}]"
        if not _ID.fullmatch(name) or not isinstance(table, dict):
            raise ConfigError(name, f"{at}: an id is lower-case letters, digits and _, and heads a table")
        made[name] = _profile(name, table, version, at, {**(known or {}), **made})
    return made


def profile_of_table(profile: str, version: str, table: Mapping[str, Any]) -> Profile:
    """The profile of a table that was kept (``table_of``). Raises ConfigError for one that is none."""
    at = f"{profile} {version}"
    if not _ID.fullmatch(profile) or not version:
        raise ConfigError("profile", f"{at}: an id is lower-case letters, digits and _, and a version has a name")
    return _profile(profile, {**table, "version": version}, version, at, {})


def table_of(profile: Profile) -> dict[str, Any]:
    """The profile as plain JSON values, as its table in a file has them; ``profile_of_table`` reads it back.

    Without ``hysteresis_c``: what is kept and dated is what rules judge by.
    """
    table: dict[str, Any] = {
        "label": profile.label,
        "low_c": None if profile.low_c is None else str(profile.low_c),
        "high_c": None if profile.high_c is None else str(profile.high_c),
        "max_gap_s": profile.max_gap_s,
        "ignore_first_s": profile.ignore_first_s,
        "lasts_at_most_s": profile.lasts_at_most_s,
        "sources": list(profile.sources),
        "limits": [_row_of(limit) for limit in profile.limits],
    }
    return {key: value for key, value in table.items() if value is not None}


def _row_of(limit: Limit) -> dict[str, Any]:
    row: dict[str, Any] = {
        "code": limit.code,
        "comparator": limit.comparator.value,
        _limit_key(limit.quantity): str(limit.limit_c),
        "alarm_after_s": limit.alarm_after_s,
        "mode": limit.mode.value,
        "level": limit.level.value,
        "window_s": limit.window_s,
        "repeats": limit.repeats,
        "guard_code": limit.guard_code,
        "source": limit.source,
        "verified": limit.verified,
        "quantity": limit.quantity,
        "longer_than": limit.longer_than,
    }
    return {key: value for key, value in row.items() if value is not None}


def _limit_key(quantity: str) -> str:
    """A limit in degrees says so in its name."""
    return "limit_c" if quantity.endswith("_c") else "limit"


def _profile(name: str, table: dict[str, Any], version: str, at: str, known: Mapping[str, Profile]) -> Profile:
    _only(table, _PROFILE_KEYS, at)
    base = None
    if "extends" in table:
        base = known.get(table["extends"])
        if base is None:
            raise ConfigError("extends", f"{at}: {table['extends']!r} is not known above")
    own = tuple(_limit(row, at) for row in _list(table, "limits", at))
    own_codes = {x.code for x in own}
    if len(own_codes) != len(own):
        raise ConfigError("limits", f"{at}: a code stands twice")
    limits = own if base is None else (*(x for x in base.limits if x.code not in own_codes), *own)
    if not limits:
        raise ConfigError("limits", f"{at}: at least one limit")
    sources = tuple(str(s) for s in _list(table, "sources", at)) or (base.sources if base else ())
    if not sources:
        raise ConfigError("sources", f"{at}: say where the numbers come from")
    low_c = _maybe_c(table, "low_c", at, base.low_c if base else None)
    high_c = _maybe_c(table, "high_c", at, base.high_c if base else None)
    if low_c is not None and high_c is not None and low_c >= high_c:
        raise ConfigError("low_c", f"{at}: {low_c} is not below {high_c}")
    hysteresis_c = _maybe_c(table, "hysteresis_c", at, base.hysteresis_c if base else None)
    if hysteresis_c is not None and hysteresis_c < 0:
        raise ConfigError("hysteresis_c", f"{at}: {hysteresis_c} is below 0")
    gap_s = _whole(table, "max_gap_s", at, base.max_gap_s if base else None, 1)
    return Profile(
        name,
        str(table.get("version", version)),
        low_c,
        high_c,
        limits,
        str(table.get("label", base.label if base else name)),
        gap_s,
        _whole(table, "ignore_first_s", at, base.ignore_first_s if base else 0, 0) or 0,
        sources,
        hysteresis_c,
        _whole(table, "lasts_at_most_s", at, base.lasts_at_most_s if base else None, 1),
    )


def _limit(row: object, at: str) -> Limit:
    if not isinstance(row, dict):
        raise ConfigError("limits", f"{at}: each limit is a table")
    _only(row, _LIMIT_KEYS, at)
    code = row.get("code")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise ConfigError("code", f"{at}: {code!r} is not upper-case letters, digits and _")
    at = f"{at} {code}"
    quantity = row.get("quantity", TEMPERATURE)
    if quantity not in QUANTITIES:
        raise ConfigError("quantity", f"{at}: {quantity!r}; known are {', '.join(sorted(QUANTITIES))}")
    key = _limit_key(quantity)
    if ({"limit_c", "limit"} - {key}) & set(row):
        raise ConfigError(key, f"{at}: the limit of {quantity} is written {key}")
    limit_c = _maybe_c(row, key, at, None)
    after_s = _whole(row, "alarm_after_s", at, None, 0)
    if limit_c is None or after_s is None:
        raise ConfigError(key if limit_c is None else "alarm_after_s", f"{at}: missing")
    try:
        comparator = Comparator(str(row.get("comparator")))
        mode = Mode(row.get("mode", "single"))
        level = Level(row.get("level", "alarm"))
    except ValueError as error:
        raise ConfigError("limits", f"{at}: {error}") from error
    if mode is Mode.CUMULATIVE and after_s == 0:
        raise ConfigError("alarm_after_s", f"{at}: a cumulative rule needs a time")
    if row.get("repeats") and after_s == 0:
        raise ConfigError("alarm_after_s", f"{at}: a repeating rule needs a time")
    if not isinstance(row.get("source"), str) or not row["source"]:
        raise ConfigError("source", f"{at}: say where the number comes from")
    return Limit(
        code,
        comparator,
        limit_c,
        after_s,
        mode,
        level,
        _whole(row, "window_s", at, None, 1),
        bool(row.get("repeats", False)),
        row.get("guard_code"),
        row["source"],
        bool(row.get("verified", True)),
        quantity,
        bool(row.get("longer_than", False)),
    )


def _only(table: dict[str, Any], keys: set[str], at: str) -> None:
    unknown = sorted(set(table) - keys)
    if unknown:
        raise ConfigError(unknown[0], f"{at}: unknown key; known are {', '.join(sorted(keys))}")


def _list(table: dict[str, Any], key: str, at: str) -> list[Any]:
    value = table.get(key, [])
    if not isinstance(value, list):
        raise ConfigError(key, f"{at}: {key} is a list")
    return value


def _whole(table: dict[str, Any], key: str, at: str, default: int | None, low: int) -> int | None:
    value = table.get(key, default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(key, f"{at}: {key} is a whole number of seconds, at least {low}")
    return value


def _maybe_c(table: dict[str, Any], key: str, at: str, default: Decimal | None) -> Decimal | None:
    """A temperature, written as a text so that no float comes near it."""
    value = table.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise ConfigError(key, f'{at}: write {key} as a text, as in "8.0"')
    try:
        number = Decimal(value)
        milli(number)
    except (InvalidOperation, ValueError) as error:
        raise ConfigError(key, f"{at}: {value!r} is not degrees with at most three places") from error
    return number
