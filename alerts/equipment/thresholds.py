"""The numbers of ``thresholds.toml`` as values. The file is read once, through importlib.resources; no other I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib import resources

from alerts.rules.facts import milli
from alerts.rules.finding import Level
from alerts.tables import versioned_tables
from telemetry.errors import ConfigError

RULES = "sensor_rules"
"""What stands as ``profile`` in the findings of these rules."""

_SAID = {"level", "source", "verified"}


@dataclass(frozen=True, slots=True)
class RuleData:
    """One rule's numbers. ``verified`` is False where they are our own choice."""

    code: str
    level: Level
    source: str
    verified: bool
    numbers: Mapping[str, int | str]

    def whole(self, key: str) -> int:
        """A count, or seconds, or percent."""
        value = self.numbers[key]
        if not isinstance(value, int):
            raise ConfigError(key, f"{self.code}: {value!r} is not a whole number")
        return value

    def level_of(self, key: str) -> Level:
        """A level beside the rule's own, for what a requirement calls otherwise."""
        try:
            return Level(str(self.numbers[key]))
        except ValueError as error:
            raise ConfigError(key, f"{self.code}: {error}") from error

    def ms(self, key_s: str) -> int:
        """Seconds as milliseconds."""
        return self.whole(key_s) * 1000

    def milli(self, key: str) -> int:
        """A number with up to three places, in thousandths of its unit."""
        try:
            return milli(Decimal(str(self.numbers[key])))
        except (InvalidOperation, ValueError) as error:
            raise ConfigError(key, f"{self.code}: {self.numbers[key]!r} is not a number") from error


@dataclass(frozen=True, slots=True)
class Thresholds:
    """All rules' numbers, by code, and the version that findings carry."""

    version: str
    rules: Mapping[str, RuleData]

    def of(self, code: str) -> RuleData:
        return self.rules[code]


def parse_thresholds(text: str, where: str) -> Thresholds:
    """Raises ConfigError with the rule and what is missing there."""
    version, body = versioned_tables(text, "thresholds", where)
    made: dict[str, RuleData] = {}
    for code, table in body.items():
        if not isinstance(table, dict) or not table.get("source") or not isinstance(table.get("verified"), bool):
            raise ConfigError(code, f"{where}: [{code}] says its source, and verified = true or false")
        try:
            level = Level(str(table.get("level")))
        except ValueError as error:
            raise ConfigError("level", f"{where}: [{code}] {error}") from error
        numbers = {k: v for k, v in table.items() if k not in _SAID}
        wrong = [k for k, v in numbers.items() if isinstance(v, bool) or not isinstance(v, int | str)]
        if wrong:
            raise ConfigError(wrong[0], f'{where}: [{code}] whole numbers, or a text as in "0.5"')
        made[code] = RuleData(code, level, str(table["source"]), table["verified"], numbers)
    return Thresholds(version, made)


@cache
def builtin_thresholds() -> Thresholds:
    """Those of the house."""
    text = resources.files("alerts").joinpath("equipment/thresholds.toml").read_text("utf-8")
    return parse_thresholds(text, "alerts/equipment/thresholds.toml")
