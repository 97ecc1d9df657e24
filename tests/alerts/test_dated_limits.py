"""Limits over time through the records and the service: who changed them, from when, and what it meant (decision 0023)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alerts.dated import limits_over_time, not_followed, read_limits
from alerts.profiles import builtin_profiles, load_profiles, profile_of_table, table_of
from gateway.records import Actor, ProfileVersion, Role

BUDI = Actor("Budi", Role.ADMIN)
HOUSE = builtin_profiles()


def nine() -> dict[str, Any]:
    """The refrigerator's table with HEAT above 9.0."""
    table = table_of(HOUSE["refrigerator"])
    return {**table, "limits": [{**r, "limit_c": "9.0"} if r["code"] == "HEAT" else r for r in table["limits"]]}


@pytest.mark.parametrize("name", sorted(HOUSE))
def test_a_profile_is_kept_as_its_table_and_read_back_the_same(name: str) -> None:
    profile = HOUSE[name]
    assert profile_of_table(name, profile.version, table_of(profile)) == profile


def test_req_37_a_limit_changed_at_noon_judges_from_noon_on(world: Any, start: int) -> None:
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "8.5"))
    world.at(11.9)
    assert [(f.event_ms - start) // 3_600_000 for f in world.found("HEAT")] == [10]
    world.clock.wall_ms = start + 12 * 3_600_000
    world.records.put_profile(
        "refrigerator", "2026-9", nine(), world.clock.wall_ms, BUDI, "new vaccine list", world.clock.wall_ms
    )
    world.say(*world.temperatures(11.25, 23.75, "8.5"))
    world.at(24)
    (heat,) = world.found("HEAT")
    assert (heat.end_ms, heat.kind, heat.profile_version) == (start + 12 * 3_600_000, "confirmed", "2026.1")
    assert heat.evidence["reason"] == "limit_changed"
    again = world.again()
    again.turn()
    assert world.found("HEAT") == [heat]


def test_req_37_a_limit_edited_today_leaves_yesterdays_findings_as_they_are(world: Any, start: int) -> None:
    """Yesterday 8.5 for eleven hours was HEAT above 8.0. Today's 9.0 changes no word of it: not now, not after a start,
    and late readings of yesterday are judged by yesterday's 8.0 too (F2); the same 8.5 is no HEAT from today on."""
    world.alerts.start()
    world.say(*world.temperatures(0, 11, "8.5"), *world.temperatures(11.25, 30, "5.0"))
    world.say(*world.temperatures(22, 30, "5.0", "LOG-B"))
    world.at(30)
    (yesterday,) = world.found("HEAT")
    assert (str(yesterday.kind), yesterday.profile_version) == ("confirmed", "2026.1")
    rows = [(s.number, s.state) for s in world.records.finding_history(yesterday.id)]
    world.records.put_profile(
        "refrigerator", "2026-9", nine(), world.clock.wall_ms, BUDI, "new vaccine list", world.clock.wall_ms
    )
    world.say(*world.temperatures(30.25, 42, "8.5"), *world.temperatures(0, 11, "8.5", "LOG-B"))
    world.at(42)
    assert world.found("HEAT") == [yesterday]
    (late,) = world.found("HEAT", "F2")
    assert (late.profile_version, late.evidence["limit_c"], late.event_ms) == ("2026.1", "8.0", yesterday.event_ms)
    world.again()
    world.at(42.1)
    assert world.found("HEAT") == [yesterday]
    assert world.found("HEAT", "F2") == [late]
    assert [(s.number, s.state) for s in world.records.finding_history(yesterday.id)] == rows


def test_a_profile_is_kept_as_its_file_has_it_when_it_is_first_used(world: Any) -> None:
    world.alerts.start()
    kept = {v.profile: v for v in world.records.profile_versions()}
    assert set(kept) == {"refrigerator", "smile_grace"}
    assert kept["refrigerator"].from_ms == 0
    assert kept["refrigerator"].body == table_of(HOUSE["refrigerator"])


def test_a_file_that_says_other_numbers_later_is_not_followed_but_said(
    world: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world.alerts.start()
    file = tmp_path / "country.toml"
    limit = '{code="HEAT", comparator=">", limit_c="9.0", alarm_after_s=36000, source="s"}'
    file.write_text(f'version="2"\n[refrigerator]\nextends="refrigerator"\nsources=["s"]\nlimits=[{limit}]\n')
    limits = read_limits(world.records, load_profiles(file), world.clock.wall_ms)
    assert {x.limit_c for x in limits.catalogue["refrigerator"].limits if x.code == "HEAT"} == {Decimal("8.0")}
    assert "smile-iot gateway limits adopt" in caplog.text


def test_an_equipment_that_changes_its_profile_is_judged_by_each_in_its_time(world: Any, start: int) -> None:
    world.alerts.start()
    world.say(*world.temperatures(0, 6, "5.0"))
    world.at(6)
    fridge = world.records.equipment("F1")
    world.records.upsert_equipment(replace(fridge, profile="freezer"), BUDI, "it freezes now", world.clock.wall_ms)
    world.say(*world.temperatures(6.25, 17, "5.0"))
    world.at(17)
    (heat,) = world.found("HEAT")
    assert (heat.profile, heat.episode_start_ms - start) == ("freezer", 6 * 3_600_000)
    assert world.found("EXCURSION_HIGH")[0].episode_start_ms == heat.episode_start_ms


def test_limits_of_unknown_form_are_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    rows = [ProfileVersion("refrigerator", 2, "x", 5, {"limits": [{"code": "?"}]})]
    made = limits_over_time(HOUSE, rows, {"F1": [(0, "refrigerator"), (7, "nobody_knows")]})
    assert made.versions == {}
    assert "cannot be read" in caplog.text
    assert [a.profiles for a in made.assigned["F1"]] == [("refrigerator", "smile_grace")]
    assert not_followed(HOUSE, rows) == {"refrigerator"}
