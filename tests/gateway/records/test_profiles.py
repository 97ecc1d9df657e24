"""Limits over time: changed by a named person, with a reason, from a date on (cold-chain.md 37; decision 0023)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.records import HOUSE, Actor, Change, Code, Refused

FILE = {"limits": [{"code": "HEAT", "comparator": ">", "limit_c": "8.0", "alarm_after_s": 36000}]}
NINE = {"limits": [{"code": "HEAT", "comparator": ">", "limit_c": "9.0", "alarm_after_s": 36000}]}
NOW = 1_790_000_000_000


def _put(world: Any, reason: str = "new refrigerator of the ministry", **other: Any) -> Any:
    values = {"version": "2026-11", "body": NINE, "from_ms": NOW, "actor": world.budi, "at_ms": NOW} | other
    return world.records.put_profile("refrigerator", reason=reason, **values)


def test_req_37_editing_8_0_to_9_0_without_a_reason_is_refused(world: Any) -> None:
    world.records.keep_profile("refrigerator", "2026.1", FILE, NOW)
    for reason in ("", "  "):
        with pytest.raises(Refused) as refused:
            _put(world, reason)
        assert refused.value.code is Code.REASON_REQUIRED
    with pytest.raises(Refused) as nobody:
        _put(world, actor=Actor.system("alerts"))
    assert nobody.value.code is Code.PERSON_REQUIRED
    assert [v.body for v in world.records.profile_versions("refrigerator")] == [FILE]


def test_req_37_a_change_says_who_when_old_new_and_why_in_the_houses_chain(world: Any) -> None:
    world.records.keep_profile("refrigerator", "2026.1", FILE, NOW)
    made = _put(world)
    assert (made.number, made.version, made.from_ms, made.body) == (2, "2026-11", NOW, NINE)
    row = world.records.audit_of("profile:refrigerator/2")[0]
    assert (row.actor, row.at_ms, row.action, row.reason) == (
        world.budi.name, NOW, "profile_changed", "new refrigerator of the ministry",
    )  # fmt: skip
    assert row.new_value["body"] == NINE
    assert row.site == HOUSE
    assert world.records.verify_chain(HOUSE).ok


def test_req_37_altering_a_stored_version_breaks_the_chain(world: Any, tamper: Any) -> None:
    world.records.keep_profile("refrigerator", "2026.1", FILE, NOW)
    _put(world)
    tamper("UPDATE profile_versions SET body = ? WHERE number = 2", '{"limits":[]}')
    (found,) = world.records.verify_chain(HOUSE).breaks
    assert (found.subject, found.why) == ("profile:refrigerator/2", "the record was altered: body")


def test_limits_are_not_dated_back_nor_put_where_another_version_began(world: Any) -> None:
    world.records.keep_profile("refrigerator", "2026.1", FILE, NOW)
    with pytest.raises(Refused, match="not dated back"):
        _put(world, from_ms=NOW - 1)
    _put(world)
    with pytest.raises(Refused, match="a later date"):
        _put(world, version="3", body=FILE)
    with pytest.raises(Refused) as twice:
        _put(world, body=FILE, from_ms=NOW + 2000)
    assert twice.value.code is Code.ALREADY_REGISTERED


def test_saying_what_stands_is_no_change_and_what_held_before_must_be_known(world: Any) -> None:
    with pytest.raises(Refused, match="not kept yet"):
        _put(world)
    assert world.records.keep_profile("refrigerator", "2026.1", FILE, NOW) is Change.CREATED
    assert world.records.keep_profile("refrigerator", "other", NINE, NOW) is Change.UNCHANGED
    first = _put(world)
    assert _put(world, version="again", from_ms=NOW + 5) == first
    assert len(world.records.profile_versions()) == 2


YEAR = 366 * 86_400_000


def test_limits_are_dated_at_most_a_year_ahead(world: Any) -> None:
    """2126 typed for 2026 would have locked the profile for a hundred years."""
    world.records.keep_profile("refrigerator", "2026.1", FILE, NOW)
    with pytest.raises(Refused, match="at most a year ahead") as refused:
        _put(world, from_ms=NOW + YEAR + 1)
    assert (refused.value.code, refused.value.field) == (Code.BAD_VALUE, "from_ms")
    assert _put(world, from_ms=NOW + YEAR).number == 2


def test_what_has_not_begun_is_superseded_by_a_named_person_with_a_reason_and_stays_in_the_audit(world: Any) -> None:
    world.records.keep_profile("refrigerator", "2026.1", FILE, NOW)
    _put(world, from_ms=NOW + YEAR)
    for wrong in ({"reason": " "}, {"actor": Actor.system("alerts")}):
        with pytest.raises(Refused):
            _put(world, **({"version": "3", "from_ms": NOW + 10, "supersede": True} | wrong))
    with pytest.raises(Refused, match="later date"):  # never unasked
        _put(world, version="3", from_ms=NOW + 10)
    made = _put(world, "the month was wrong", version="3", from_ms=NOW + 10, supersede=True)
    assert (made.number, made.from_ms, made.body) == (3, NOW + 10, NINE)
    assert [v.version for v in world.records.profile_versions("refrigerator")] == ["2026.1", "3"]
    assert world.records.audit_of("profile:refrigerator/2")[0].new_value["from_ms"] == NOW + YEAR
    assert world.records.audit_of("profile:refrigerator/3")[0].reason == "the month was wrong"
    with pytest.raises(Refused, match="is known"):
        _put(world, body=FILE, from_ms=NOW + 20)
    assert _put(world, version="4", body=FILE, from_ms=NOW + 20).number == 4
    assert [v.number for v in world.records.profile_versions("refrigerator")] == [1, 3, 4]
    assert _put(world, version="5", body=FILE, from_ms=NOW + 20, at_ms=NOW + 15).number == 4
    assert world.records.verify_chain(HOUSE).ok


def test_what_has_begun_is_not_superseded(world: Any) -> None:
    world.records.keep_profile("refrigerator", "2026.1", FILE, NOW)
    _put(world, from_ms=NOW + 10)
    with pytest.raises(Refused, match="not dated back"):
        _put(world, version="3", body=FILE, from_ms=NOW + 5, at_ms=NOW + 20, supersede=True)
    with pytest.raises(Refused, match="later date"):
        _put(world, version="3", body=FILE, from_ms=NOW + 10, at_ms=NOW + 10, supersede=True)
    _put(world, version="3", body=FILE, from_ms=NOW + 21, at_ms=NOW + 20)
    assert [v.version for v in world.records.profile_versions("refrigerator")] == ["2026.1", "2026-11", "3"]


def test_a_change_of_limits_is_a_change_of_the_registry(world: Any) -> None:
    world.records.keep_profile("refrigerator", "2026.1", FILE, NOW)
    before = world.records.registry_version()
    _put(world)
    assert world.records.registry_version() > before


def test_the_audit_tells_which_profile_watched_an_equipment_from_when(world: Any) -> None:
    since = world.records.assigned_profiles()["KUL-1"]
    assert [profile for _, profile in since] == ["refrigerator"]
    fridge = world.records.equipment("KUL-1")
    world.records.upsert_equipment(replace(fridge, name="Kulkas baru"), world.budi, "renamed", NOW)
    place = world.records.newest_change()
    world.records.upsert_equipment(replace(fridge, profile="freezer"), world.budi, "it freezes now", NOW + 7)
    assert world.records.assigned_profiles()["KUL-1"] == [*since, (NOW + 7, "freezer")]
    assert world.records.assigned_profiles(place)["KUL-1"] == since
    with pytest.raises(Refused):
        world.records.upsert_equipment(fridge, world.budi, "", NOW + 8)
