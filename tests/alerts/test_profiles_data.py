"""Profiles are data: every number has a source, and a wrong file is refused with its place."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from alerts.profiles import builtin_profiles, load_profiles, parse_profiles, table_of
from alerts.rules import Profiles, ReadingFact, judge
from telemetry.errors import ConfigError


def test_req_28_all_profiles_of_the_house_are_there_with_sources() -> None:
    known = builtin_profiles()
    assert set(known) >= {
        "refrigerator",
        "freezer",
        "cold_room",
        "freezer_room",
        "cold_box",
        "ultra_cold",
        "transport_1",
        "transport_2",
        "room",
        "smile_grace",
    }
    for profile in known.values():
        assert profile.sources
        assert profile.version
        assert all(limit.source for limit in profile.limits)


def test_the_refrigerators_alarm_set_is_whos() -> None:
    rows = {
        x.code: (x.comparator.value, x.limit_c, x.alarm_after_s) for x in builtin_profiles()["refrigerator"].limits
    }
    assert rows["HEAT"] == (">", Decimal("8.0"), 600 * 60)
    assert rows["FRZE"] == ("<=", Decimal("-0.5"), 60 * 60)


def test_unofficial_delays_say_so() -> None:
    freezer = {x.code: x.verified for x in builtin_profiles()["freezer"].limits}
    assert freezer["HEAT"] is False
    assert freezer["WARNING_HIGH"] is False


SITE = """
version = "site-1"
[our_fridge]
extends = "refrigerator"
sources = ["decision of the site, 2026-11-01"]
limits = [{ code = "HEAT", comparator = ">", limit_c = "8.0", alarm_after_s = 7200, source = "site" }]
"""


def test_a_site_adds_a_profile_without_code(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(SITE)
    ours = load_profiles(path)["our_fridge"]
    after = {x.code: x.alarm_after_s for x in ours.limits}
    assert after["HEAT"] == 7200
    assert after["FRZE"] == 3600
    assert (ours.version, ours.low_c) == ("site-1", Decimal("2.0"))


COUNTRY = """
version = "idn-2026"
[idn_cold_box]
extends = "cold_box"
label = "Kotak dingin"
sources = ["circular of the ministry"]
limits = [
  { code = "HEAT", comparator = ">", limit_c = "8.0", alarm_after_s = 3600, source = "circular" },
  { code = "DOOR", quantity = "door_open", comparator = ">", limit = "0", alarm_after_s = 60, longer_than = true, source = "c" },
]
"""


def test_req_28_a_country_and_a_site_over_it_add_profiles_that_judge_without_code(tmp_path: Path) -> None:
    """The site's file extends the country's, which extends the house's; a new equipment is judged by it."""
    country, site = tmp_path / "idn.toml", tmp_path / "site.toml"
    country.write_text(COUNTRY)
    site.write_text(
        'version="s1"\n[our_box]\nextends="idn_cold_box"\nsources=["s"]\n'
        'limits=[{code="LOW",comparator="<",limit_c="2.0",alarm_after_s=1800,source="site"}]\n'
    )
    profiles = Profiles(load_profiles(country, site), equipment={"BOX": ("our_box",)})
    warm = [ReadingFact("BOX", "L/temperature_c", i * 900_000, Decimal("8.1")) for i in range(5)]
    cold = [ReadingFact("BOX", "L/temperature_c", (10 + i) * 900_000, Decimal("1.9")) for i in range(3)]
    door = [ReadingFact("BOX", "L/door_open", i * 60_000, Decimal(1)) for i in range(3)]
    found = {
        f.code: f.event_ms
        for f in judge([*warm, *cold, *door], profiles, 12 * 900_000)
        if f.code != "SILENT" and f.alarms
    }
    assert found == {"HEAT": 3_600_000, "LOW": 12 * 900_000, "DOOR": 120_000}


@pytest.mark.parametrize("profile", sorted(builtin_profiles()))
def test_what_has_no_official_text_says_so_and_smiles_rule_is_labelled(profile: str) -> None:
    """Numbers the facts mark as unverified, or for which no official value was found, are verified = false."""
    for limit in builtin_profiles()[profile].limits:
        if "no official" in limit.source or "from memory" in limit.source:
            assert not limit.verified, limit
    if profile == "smile_grace":
        assert "SMILE" in builtin_profiles()[profile].label
        assert {x.level for x in builtin_profiles()[profile].limits} == {"notice"}


LIMIT = 'code="A",comparator=">",limit_c="1",alarm_after_s=0,source="s"'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "version"),
        ("version = 1", "version"),
        ("version = [", "test"),
        ('version = "1"\n[Fridge]\n', "lower-case"),
        ('version = "1"\n[x]\nsources=["s"]\n', "at least one limit"),
        ('version = "1"\n[x]\nextends="nope"\n', "nope"),
        ('version = "1"\n[x]\nlow="2"\n', "unknown key"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_profiles(text, "test")


@pytest.mark.parametrize(
    ("limit", "more", "says"),
    [
        (LIMIT, "low_c=2.0", "as a text"),
        (LIMIT, 'low_c="two"', "degrees"),
        (LIMIT, 'low_c="8"\nhigh_c="2"', "not below"),
        (LIMIT, "sources=[]", "where the numbers"),
        (LIMIT.replace('">"', '"=>"'), "", "=>"),
        (LIMIT.replace("_s=0", "_s=-1"), "", "at least 0"),
        (LIMIT.replace("_s=0", "_s=true"), "", "whole number"),
        (LIMIT.replace(',source="s"', ""), "", "source"),
        (LIMIT.replace('"A"', '"a"'), "", "upper-case"),
        (LIMIT + ',mode="cumulative"', "", "needs a time"),
        (LIMIT + ",repeats=true", "", "needs a time"),
    ],
)
def test_a_wrong_limit_is_refused_with_what_is_wrong(limit: str, more: str, says: str) -> None:
    sources = "" if more.startswith("sources") else 'sources=["s"]'
    text = f'version = "1"\n[x]\n{sources}\n{more}\nlimits=[{{{limit}}}]\n'
    with pytest.raises(ConfigError, match=says):
        parse_profiles(text, "test")


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        load_profiles(tmp_path / "nowhere.toml")


def test_an_equipment_with_an_unknown_profile_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="fridgo"):
        Profiles(builtin_profiles(), equipment={"F1": ("fridgo",)})


BAND = """
version = "site-1"
[refrigerator]
extends = "refrigerator"
hysteresis_c = "0.5"
[ward_fridge]
extends = "refrigerator"
"""


def test_a_profiles_hysteresis_is_data_that_moves_messages_and_nothing_else(tmp_path: Path) -> None:
    """It goes on to what extends it; profiles that differ in it alone are equal, and it is not among what is dated."""
    (tmp_path / "site.toml").write_text(BAND)
    known = load_profiles(tmp_path / "site.toml")
    fridge = known["refrigerator"]
    assert (fridge.hysteresis_c, known["ward_fridge"].hysteresis_c) == (Decimal("0.5"), Decimal("0.5"))
    assert known["freezer"].hysteresis_c is None
    house = builtin_profiles()["refrigerator"]
    assert fridge == replace(house, version="site-1")
    assert table_of(fridge) == table_of(house)
    with pytest.raises(ConfigError, match="hysteresis_c"):
        parse_profiles(BAND.replace("0.5", "-0.5"), "site.toml", builtin_profiles())
