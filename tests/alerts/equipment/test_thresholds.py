"""The numbers are data: each with its source, all of them read, a mistake told with its place."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from alerts.equipment import ALL, builtin_thresholds, new_track, parse_thresholds
from alerts.equipment.rule import Settings
from alerts.rules import Level
from telemetry.errors import ConfigError
from telemetry.quantities import QUANTITIES

ROOT = Path(__file__).parents[3]
NUMBERS = builtin_thresholds()
REASONS = (
    *(
        "at_upper_bound",
        "at_lower_bound",
        "and_back",
        "numbers_go_back",
        "too_many_readings",
        "several_openings",
        "gap",
    ),
    *("under_1h", "1_to_10h", "over_10h", "less_than_half_of_the_data", "ran_longer_than_mains", "certificate_ended"),
    *("minutes_surely", "minutes_perhaps", "clock_ahead", "clock_behind", "over_range", "under_range", "unstable"),
    *("sensor_fault", "invalid"),
)
ALARMS = {"DOOR", "POWR"}


@pytest.mark.parametrize("code", NUMBERS.rules)
def test_each_rule_says_where_its_numbers_come_from(code: str) -> None:
    data = NUMBERS.of(code)
    assert len(data.source) > 20
    assert data.verified or "our choice" in data.source or "our choices" in data.source


def test_only_what_a_requirement_calls_an_alarm_alarms() -> None:
    assert {code for code, data in NUMBERS.rules.items() if data.level is Level.ALARM} == ALARMS
    assert NUMBERS.of("CLOCK").level_of("refused_level") is Level.ALARM


def test_every_rule_has_its_numbers_and_every_number_is_read() -> None:
    """A key that no rule asks for is a typing mistake."""
    asked: set[tuple[str, str]] = set()

    class Asking(dict[str, Any]):
        def __init__(self, code: str, numbers: Any) -> None:
            super().__init__(numbers)
            self.code = code

        def __getitem__(self, key: str) -> Any:
            asked.add((self.code, key))
            return super().__getitem__(key)

    from dataclasses import replace

    rules = {c: replace(d, numbers=Asking(c, d.numbers)) for c, d in NUMBERS.rules.items()}
    for rule in (kind(replace(NUMBERS, rules=rules)) for kind in ALL):
        getattr(rule, "quiet_ms", 0)
    known = {(code, key) for code, data in NUMBERS.rules.items() for key in data.numbers}
    assert known - asked == {("CLOCK", "refused_level"), ("CLOCK", "refused_quiet_s")}
    assert asked <= known


def test_the_readme_names_every_code() -> None:
    page = (ROOT / "alerts/README.md").read_text()
    assert [code for code in NUMBERS.rules if f"`{code}`" not in page] == []


def test_the_quantities_are_the_houses() -> None:
    assert {q for rule in ALL for q in rule.quantities} <= set(QUANTITIES)
    assert len(new_track(Settings("F1")).rules) == len(ALL)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "Expected"),
        ("[DOOR]\nlevel='alarm'", "says its version"),
        ("version='1'\n[DOOR]\nlevel='alarm'", "says its source"),
        ("version='1'\n[DOOR]\nlevel='loud'\nsource='s'\nverified=true", "loud"),
        ("version='1'\n[DOOR]\nlevel='alarm'\nsource='s'\nverified=true\nquiet_s=1.5", "whole numbers"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_thresholds(text, "here.toml")
    assert said in str(caught.value)
    assert "here.toml" in str(caught.value)


def test_a_number_of_the_wrong_kind_is_told_with_its_rule() -> None:
    data = parse_thresholds("version='1'\n[X]\nlevel='alarm'\nsource='s'\nverified=true\na='b'", "t").of("X")
    with pytest.raises(ConfigError, match="X"):
        data.whole("a")
    with pytest.raises(ConfigError, match="X"):
        data.milli("a")


def test_every_code_has_words_in_both_languages() -> None:
    texts = tomllib.loads((ROOT / "api/texts.toml").read_text())
    for code in NUMBERS.rules:
        assert set(texts["code"][code]) == {"id", "en"}, code
    assert set(texts["advice"]) >= {"CLOCK", "DOOR", "POWR"}
    for reason in REASONS:
        assert set(texts["finding_reason"][reason]) == {"id", "en"}, reason
