"""A reading belongs to the equipment its device stood in at its time, whenever it comes (review of issue 4, 1, 2 and 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alerts.explain import explain
from alerts.homes import EVER_MS, FOREVER_MS, Homes
from alerts.profiles import builtin_profiles, table_of
from alerts.rulebook import Rules
from gateway.records import Actor, Role, SiteLevel

MIN = 60_000
HOUR = 60 * MIN
SARI = Actor("Sari", Role.MANAGER)
S = "LOG-A/temperature_c"


def test_the_first_equipment_holds_since_ever_and_between_two_there_is_none() -> None:
    homes = Homes({"LOG-A": [(5, ""), (10, "F1"), (20, ""), (30, "F2")], "LOG-B": [(5, "")]})
    assert [homes.at(S, t) for t in (0, 19, 20, 29, 30)] == ["F1", "F1", "", "", "F2"]
    assert homes.spans(S) == ((EVER_MS, 20, "F1"), (20, 30, ""), (30, FOREVER_MS, "F2"))
    assert (homes.at("LOG-B/temperature_c", 9), homes.spans("X/temperature_c")) == ("", ((EVER_MS, FOREVER_MS, ""),))


def test_the_audit_tells_where_a_device_stood_and_what_is_said_later_wins(world: Any, start: int) -> None:
    first = world.records.assigned_equipment()["LOG-A"]
    assert first == [(start, "F1")]
    place = world.records.newest_change()
    device = world.records.device("LOG-A")
    world.records.upsert_device(replace(device, equipment="F2"), SARI, "moved", start + 14 * HOUR)
    assert world.records.assigned_equipment()["LOG-A"] == [*first, (start + 14 * HOUR, "F2")]
    world.records.upsert_device(replace(device, equipment=None), SARI, "no: taken out at noon", start + 12 * HOUR)
    assert world.records.assigned_equipment()["LOG-A"] == [*first, (start + 12 * HOUR, "")]
    assert world.records.assigned_equipment(place)["LOG-A"] == first


def test_a_move_told_late_with_its_date_is_the_same_as_one_told_in_time(world: Any, start: int) -> None:
    """LOG-A stood in F2 from noon on; somebody says so at 14:00, and the readings of between are F2's from then on."""
    world.batch("B1")
    world.batch("B2", equipment="F2")
    world.alerts.start()
    world.say(*world.temperatures(0, 11.75, "5.0"), *world.temperatures(12, 14, "-1.0"))
    world.at(14)
    assert [f.kind for f in world.found("FRZE", "F1")] == ["confirmed"]
    assert world.verdict("B1")[0] == "shake_test"
    moved = replace(world.records.device("LOG-A"), equipment="F2", since_ms=start + 12 * HOUR)
    world.records.upsert_device(moved, SARI, "moved at noon", start + 14 * HOUR)
    world.turn()
    assert [f.kind for f in world.found("FRZE", "F1")] == ["withdrawn"]
    assert [(f.kind, f.event_ms) for f in world.found("FRZE", "F2")] == [("confirmed", start + 13 * HOUR)]
    assert ("freeze_shake_test" in world.verdict("B1")[1], world.verdict("B2")[0]) == (False, "shake_test")
    plain = replace(moved, interval_s=600, since_ms=None)
    world.records.upsert_device(plain, SARI, "another interval", start + 15 * HOUR)
    assert world.records.assigned_equipment()["LOG-A"][-1] == (start + 12 * HOUR, "F2")


def said(world: Any) -> dict[str, Any]:
    found = (f for f in world.records.findings(standing=True) if f.code != "SILENT" and f.profile != "sensor_rules")
    return {
        "findings": sorted(
            (f.id, f.equipment or "", f.batch or "", str(f.kind), f.event_ms, f.end_ms) for f in found
        ),
        "verdicts": {b: world.verdict(b) for b in ("B1", "B2")},
    }


def night(world: Any) -> list[Any]:
    """F1 at 9.0 from 02:15 to 14:00; F2 is well."""
    return [
        *world.temperatures(0, 14, "5.0", "LOG-B"),
        *world.temperatures(0, 2, "5.0"),
        *world.temperatures(2.25, 14, "9.0"),
    ]


def move(world: Any, start: int) -> None:
    world.clock.wall_ms = start + 14 * HOUR + 6 * MIN
    world.device("LOG-A", "F2")


@pytest.fixture
def delivered_before(world: Any, start: int) -> dict[str, Any]:
    """Told and judged before the move, in a world of its own."""
    return _story(world, start, before=True)


def _story(world: Any, start: int, *, before: bool, running: bool = True) -> dict[str, Any]:
    world.batch("B1")
    world.batch("B2", equipment="F2")
    if running:
        world.alerts.start()
        world.turn()
    if before:
        world.say(*night(world))
        world.at(14.05)
    move(world, start)
    if running:
        world.turn()
    if not before:
        world.say(*night(world))
    world.say(*world.temperatures(14.25, 16, "5.0"), *world.temperatures(14.25, 16, "5.0", "LOG-B"))
    if not running:
        world.clock.wall_ms = start + 16 * HOUR
        world.alerts.start()
    world.at(16)
    return said(world)


@pytest.mark.parametrize("running", [True, False], ids=["running", "down meanwhile"])
def test_readings_delivered_after_a_move_go_where_the_device_stood(
    world: Any, start: int, delivered_before: dict[str, Any], tmp_path: Path, registered: Path, running: bool
) -> None:
    """Review of issue 4, item 1: both orders of arrival, the same findings and the same verdicts."""
    heat = [(f[1], f[4] - start) for f in delivered_before["findings"] if f[0].startswith("HEAT") and not f[2]]
    assert heat == [("F1", int(12.25 * HOUR))]
    assert "heat_confirmed" in delivered_before["verdicts"]["B1"][1]
    assert delivered_before["verdicts"]["B2"] == ("no_action", [])
    other = _another(world, tmp_path, registered)
    assert _story(other, start, before=False, running=running) == delivered_before
    other.close()


def _another(world: Any, tmp_path: Path, registered: Path) -> Any:
    import shutil

    from gateway.journal import SqliteJournal
    from gateway.records import open_records

    folder = tmp_path / "other"
    folder.mkdir()
    shutil.copy(registered, folder / "records.db")
    return type(world)(folder, SqliteJournal(folder / "journal.db"), open_records(str(folder / "records.db")))


def test_readings_that_came_before_the_move_was_told_are_housed_again(world: Any, start: int) -> None:
    """A correction with a reason: the device stood in F2 from 01:00 on. What was said stays explainable."""
    world.batch("B1")
    world.batch("B2", equipment="F2", from_h=0)
    world.alerts.start()
    world.turn()
    world.clock.wall_ms = start + 14 * HOUR
    world.say(*world.temperatures(0, 0.75, "5.0"), *world.temperatures(1, 13.75, "9.0"))
    world.say(*world.temperatures(0, 13.75, "5.0", "LOG-B"))
    world.turn()
    assert world.verdict("B1") == ("hold_and_inspect", ["heat_confirmed"])
    (first,) = world.records.verdict_history("B1")
    device = world.records.device("LOG-A")
    world.records.upsert_device(replace(device, equipment="F2"), SARI, "stood in F2 from 01:00 on", start + HOUR)
    world.turn()
    assert {str(f.kind) for f in world.found("HEAT")} == {"withdrawn"}
    assert [str(f.kind) for f in world.found("HEAT", "F2")] == ["confirmed"]
    assert "heat_confirmed" in world.verdict("B2")[1]
    assert "heat_confirmed" not in world.verdict("B1")[1]
    rules = world.alerts._batches
    known = Rules(builtin_profiles(), rules._products, rules._products_version)
    told = explain(world.records, world._memories[0], known, first.id, world.clock.wall_ms)
    assert (told.same, told.rebuilt["hash"]) == (True, told.document["hash"])
    for verdict in (world.records.verdict("B1"), world.records.verdict("B2")):
        assert explain(world.records, world._memories[0], known, verdict.id, world.clock.wall_ms).same
    standing = said(world)
    world.again()
    assert said(world) == standing


class Killed(BaseException):
    """As a SIGKILL."""


def test_a_kill_after_an_anchor_dated_undated_readings_forgets_no_verdict(world: Any, start: int) -> None:
    """Review of issue 4, item 2."""
    world.batch("B2", equipment="F2")
    world.alerts.start()
    world.turn()
    world.clock.wall_ms = start + 11 * HOUR
    step_ns = 15 * MIN * 1_000_000
    world.say(*(world.reading(None, "9.5", "LOG-B", ns=i * step_ns) for i in range(43)))
    world.turn()
    world.say(world.anchor(start + 11 * HOUR, 44 * step_ns))
    whole = world.alerts._keep

    def dies(entries: Any) -> None:
        whole(entries)
        raise Killed

    world.alerts._keep = dies
    with pytest.raises(Killed):
        world.turn()
    world.again()
    world.turn()
    assert [str(f.kind) for f in world.found("HEAT", "F2")] == ["confirmed"]
    assert world.verdict("B2") == ("hold_and_inspect", ["heat_confirmed"])


def judged(world: Any, start: int, change: Callable[[], None]) -> list[str]:
    """The batches that are judged for a change, once everything was calm."""
    world.batch("B1")
    world.batch("B2", equipment="F2")
    world.alerts.start()
    world.say(*world.temperatures(0, 6, "5.0"), *world.temperatures(0, 6, "5.0", "LOG-B"))
    world.at(6)
    seen: list[str] = []
    batches, real = world.alerts._batches, world.alerts._batches._judge_one

    def counted(batch: Any, now_ms: int) -> bool:
        seen.append(batch.id)
        return bool(real(batch, now_ms))

    batches._judge_one = counted
    change()
    world.turn()
    return sorted(seen)


def test_a_site_that_changes_its_level_has_its_batches_judged_again(world: Any, start: int) -> None:
    """Review of issue 4, item 6."""

    def change() -> None:
        site = replace(world.records.site("S1"), level=SiteLevel.KABUPATEN)
        world.records.upsert_site(site, SARI, "it is the kabupaten's store", world.clock.wall_ms)

    assert judged(world, start, change) == ["B1", "B2"]


@pytest.mark.parametrize(("name", "who"), [("refrigerator", ["B1", "B2"]), ("freezer", [])])
def test_a_profile_that_changes_has_those_batches_judged_again_that_it_judges(
    world: Any, start: int, name: str, who: list[str]
) -> None:
    """Review of issue 4, item 6: those whose product or place it watches, and no other."""

    def change() -> None:
        now_ms = world.clock.wall_ms
        profile = builtin_profiles()[name]
        world.records.keep_profile(name, profile.version, table_of(profile), now_ms)
        table = table_of(profile)
        rows = [{**r, "alarm_after_s": 3600} if r["code"] == "HEAT" else r for r in table["limits"]]
        world.records.put_profile(name, "next", {**table, "limits": rows}, now_ms, SARI, "stricter", now_ms)

    assert judged(world, start, change) == who
