"""What became of an alarm that a person saw (requirement 8), and its times (requirement 35)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from api.alarm_words import Fate, became, replaced_by
from gateway.records import Actor
from gateway.records.model import Finding

HOUR, MINUTE = 3_600_000, 60_000
SARI = Actor("sari", "operator")


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def heat(world: Any, name: str, **changes: Any) -> Finding:
    return replace(world.records.finding("HEAT-1"), id=name, **changes)


def withdrawn(world: Any, name: str = "HEAT-1") -> Finding:
    return replace(world.records.finding(name), kind="withdrawn")


def save(world: Any, *findings: Finding) -> None:
    world.records.save_findings(list(findings), world.clock.now + HOUR)


def fate(world: Any, name: str) -> tuple[Fate, tuple[str, ...]]:
    what = became(world.records.finding(name), replaced_by(world.records.findings("PKM-A")).get(name, []))
    return what.fate, what.by


@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        ("stands", (Fate.STANDS, ())),
        ("withdrawn", (Fate.WITHDRAWN, ())),
        ("moved", (Fate.MOVED, ("N-1",))),
        ("merged", (Fate.MERGED, ("N-1",))),
        ("split", (Fate.SPLIT, ("N-1", "N-2"))),
    ],
)
def test_8_an_alarm_that_a_person_saw_says_what_became_of_it(world: Any, case: str, wanted: Any) -> None:
    """cold-chain.md 8: late data open, move, merge, split or withdraw; the alarm stays with what became of it."""
    world.records.acknowledge("HEAT-1", SARI, "door closed", world.clock.now)
    old = world.records.finding("HEAT-1")
    first, second = old.episode_start_ms - HOUR, old.episode_start_ms + 2 * HOUR
    if case == "withdrawn":
        save(world, withdrawn(world))
    if case == "moved":
        save(world, heat(world, "N-1", episode_start_ms=first, evidence={"supersedes": ["HEAT-1"]}), withdrawn(world))
    if case == "merged":
        save(world, heat(world, "HEAT-2", episode_start_ms=second))
        both = heat(world, "N-1", supersedes="HEAT-1", evidence={"supersedes": ["HEAT-1", "HEAT-2"]})
        save(world, both, withdrawn(world), withdrawn(world, "HEAT-2"))
        assert fate(world, "HEAT-2") == wanted
    if case == "split":
        parts = [
            heat(world, f"N-{n}", episode_start_ms=at, evidence={"supersedes": ["HEAT-1"]})
            for n, at in ((1, first), (2, second))
        ]
        save(world, *parts, withdrawn(world))
    assert fate(world, "HEAT-1") == wanted
    told = world.as_role("operator").get("/api/v1/sites/PKM-A/alarms/HEAT-1").json()
    assert (told["fate"], [f["id"] for f in told["by"]]) == (wanted[0], list(wanted[1]))
    assert told["alarm"]["comment"] == "door closed"
    page = text_of(world.log_in("operator").get("/sites/PKM-A/alarms/HEAT-1").text)
    assert "door closed" in page
    assert ("What became of this alarm" in page) is (case != "stands")
    listed = text_of(world.log_in("operator").get("/sites/PKM-A/alarms").text)
    words = {"moved": "Moved.", "merged": "Merged.", "split": "Split.", "withdrawn": "Withdrawn."}
    assert case == "stands" or words[case] in listed


def test_35_the_times_of_event_detection_answer_and_end_stand_beside_each_other(world: Any) -> None:
    """cold-chain.md 35: event to detection, alarm to answer, alarm to resolve."""
    world.clock.now += 12 * MINUTE
    world.records.acknowledge("HEAT-1", SARI, "door closed", world.clock.now)
    world.clock.now += 30 * MINUTE
    over = replace(world.records.finding("HEAT-1"), end_ms=world.clock.now - 2 * MINUTE)
    world.records.save_findings([over], world.clock.now)
    told = world.as_role("operator").get("/api/v1/sites/PKM-A/alarms/HEAT-1").json()
    assert (told["detect_ms"], told["answer_ms"], told["resolve_ms"]) == (5000, 12 * MINUTE, 40 * MINUTE)
    assert [s["state"]["end_ms"] for s in told["history"]] == [None, over.end_ms]
    page = text_of(world.log_in("operator").get("/sites/PKM-A/alarms/HEAT-1").text)
    for part in ("(5 s after the time limit)", "(12 min after the alarm)", "(40 min after the alarm)"):
        assert part in page


def test_an_alarm_from_late_data_says_that_it_was_found_late(world: Any) -> None:
    late = heat(world, "HEAT-2", detected_ms=world.clock.now, event_ms=world.clock.now - HOUR)
    world.records.save_findings([late], world.clock.now)
    page = text_of(world.log_in("operator", "id").get("/sites/PKM-A/alarms/HEAT-2").text)
    assert "Ditemukan terlambat" in page
    assert world.as_role("operator").get("/api/v1/sites/PKM-A/alarms/HEAT-2").json()["found_late"] is True


def test_an_alarm_of_another_site_is_not_reached_through_ones_own_address(world: Any) -> None:
    assert world.as_role("manager").get("/api/v1/sites/PKM-A/alarms/HEAT-9").status_code == 404
    assert world.log_in("manager").get("/sites/PKM-A/alarms/HEAT-9").status_code == 404


def test_a_withdrawn_alarm_stands_apart_without_a_green_tick_and_does_not_go_on(world: Any) -> None:
    world.records.acknowledge("HEAT-1", SARI, "door closed", world.clock.now)
    save(world, withdrawn(world))
    asker = world.log_in("operator", "id")
    listed = asker.get("/sites/PKM-A/alarms").text
    answered, _, apart = listed.partition("<h2>Ditarik</h2>")
    assert "HEAT-1" not in answered
    assert "HEAT-1" in apart
    assert '<span class="state gone">' in apart
    page = text_of(asker.get("/sites/PKM-A/alarms/HEAT-1").text)
    assert "Kejadian berakhir –" in page
    assert "masih berlangsung" not in page


def test_an_alarm_closed_by_a_changed_limit_says_who_changed_it_and_is_never_green_while_it_is_out(
    world: Any,
) -> None:
    """The fridge stands at 9.3 degrees when HEAT is raised: its alarm ends, the temperature does not come back."""
    limits = {"code": "HEAT", "limit_c": 12, "alarm_after_s": 36_000, "reason": "by the test"}
    assert (
        world.as_role("super_admin").post("/api/v1/sites/PKM-A/equipment/KULKAS-A/limits", json=limits).status_code
        == 201
    )
    world.records.acknowledge("HEAT-1", SARI, "door closed", world.clock.now)
    evidence = {**world.records.finding("HEAT-1").evidence, "reason": "limit_changed"}
    save(world, heat(world, "HEAT-1", end_ms=world.clock.now, evidence=evidence))
    asker = world.log_in("operator", "id")
    for address in ("alarms", "alarms/HEAT-1", "equipment/KULKAS-A"):
        page = asker.get(f"/sites/PKM-A/{address}").text
        assert "Ditutup karena batas diubah oleh super_admin; suhu masih di luar batas" in text_of(page)
        assert 'state ok"' not in page.partition("Ditutup karena")[0][-400:]
