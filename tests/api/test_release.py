"""A release while the excursion goes on, or out of a place in alarm: said, and done knowingly only (requirement 25)."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.records import Actor
from telemetry.errors import NeighbourDownError

MINUTE = 60_000
BATCH = "/sites/PKM-A/batches/B1"
BOSS = Actor("manager", "manager")
RELEASE = {"decision": "released", "reason": "VVM at stage A"}


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def over(world: Any) -> None:
    ended = replace(world.records.finding("HEAT-1"), end_ms=world.clock.now - MINUTE)
    world.records.save_findings([ended], world.clock.now)


def cool(world: Any) -> None:
    now = world.clock.now
    last = world.store.read("LOG-1/temperature_c", now - 60 * MINUTE, now).rows[-1]
    world.store.append([replace(last, t_ms=now - MINUTE, value=Decimal("5.0"), seq=last.seq + 1)])


def test_25_a_release_in_an_alarm_is_said_on_the_form_and_asked_once_more(world: Any) -> None:
    asker = world.log_in("manager")
    page = text_of(asker.get(BATCH).text)
    assert page.index("What led to this still goes on:") < page.index("It stands in Kulkas A: Alarm, 9.3 °C")
    assert page.index("Move the batch to a good place first") < page.index("What happens to this batch?")
    asked = asker.post(f"{BATCH}/decision", RELEASE)
    assert asked.status_code == 200
    assert "It stands in Kulkas A: Alarm, 9.3 °C" in text_of(asked.text)
    assert '<input type="checkbox" name="knowing" value="yes" required>' in asked.text
    assert "VVM at stage A</textarea>" in asked.text
    assert world.records.decision("B1") is None
    assert asker.post(f"{BATCH}/decision", RELEASE | {"knowing": "yes"}).status_code == 303
    assert world.records.decision("B1").decision == "released"
    audited = world.records.audit_of(f"verdict:{world.records.decision('B1').id}")[-1]
    assert audited.new_value["despite"] == [
        {"code": "HEAT", "equipment": "KULKAS-A", "finding": "HEAT-1"},
        {"place": "KULKAS-A", "state": "alarm"},
    ]
    assert world.records.verify_chain("PKM-A").ok
    page_of = f"/sites/PKM-A/verdicts/{world.records.decision('B1').id}"
    shown = text_of(asker.get(page_of).text)
    assert "What still went on at the release:" in shown
    assert "(HEAT-1)" in shown
    assert "Kulkas A: Alarm" in shown


def test_25_an_alarm_that_opened_behind_the_form_is_kept_but_not_told_as_known(world: Any) -> None:
    asker = world.log_in("manager")
    assert "HEAT-2" not in asker.post(f"{BATCH}/decision", RELEASE).text
    world.records.save_findings([replace(world.records.finding("HEAT-1"), id="HEAT-2")], world.clock.now)
    assert asker.post(f"{BATCH}/decision", RELEASE | {"knowing": "yes"}).status_code == 303
    shown = text_of(asker.get(f"/sites/PKM-A/verdicts/{world.records.decision('B1').id}").text)
    assert "(HEAT-2)" in shown
    assert "What still went on at the release:" in shown
    assert "nowing" not in shown


def test_25_by_api_a_release_in_an_alarm_needs_that_the_person_knows(world: Any) -> None:
    asker, path = world.as_role("manager"), "/api/v1/batches/B1/decision"
    refused = asker.post(path, json=RELEASE)
    assert (refused.status_code, refused.json()["reason"]) == (409, "still_in_alarm")
    assert refused.json()["detail"].endswith("HEAT, KULKAS-A")
    assert world.records.decision("B1") is None
    assert asker.post(path, json=RELEASE | {"knowing": True}).json()["decision"] == "released"


def test_25_an_answered_alarm_goes_on_all_the_same(world: Any) -> None:
    world.records.acknowledge("HEAT-1", BOSS, "door was open", world.clock.now)
    assert world.as_role("manager").post("/api/v1/batches/B1/decision", json=RELEASE).status_code == 409


@pytest.mark.parametrize("still_warm", [True, False])
def test_25_what_is_over_and_in_range_again_is_released_without_more_ado(world: Any, still_warm: bool) -> None:
    """The alarm waits for its answer still; it is over. Out of range again is said before it is an alarm."""
    over(world)
    if not still_warm:
        cool(world)
    html = world.log_in("manager").get(BATCH).text
    assert ("What led to this still goes on" in html) is still_warm
    answer = world.as_role("manager").post("/api/v1/batches/B1/decision", json=RELEASE)
    assert answer.status_code == (409 if still_warm else 200)


def test_25_a_discard_is_not_held_up_by_an_alarm(world: Any) -> None:
    body = {"decision": "discarded", "reason": "VVM at stage C"}
    assert world.as_role("manager").post("/api/v1/batches/B1/decision", json=body).status_code == 200


def test_without_the_store_the_records_alarms_still_tell(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any) -> list[str]:
        raise NeighbourDownError("influxdb", "no answer")

    monkeypatch.setattr(world.store, "streams", down)
    page = text_of(world.log_in("manager").get(BATCH).text)
    assert "It stands in Kulkas A: Alarm" in page
    assert "Kulkas B: Unknown" in page


def test_the_places_a_batch_may_be_moved_to_say_how_it_is_there(world: Any) -> None:
    cool(world)
    world.records.add_placement("B2", "KULKAS-B", world.clock.now - 1000, BOSS, "stored", world.clock.now)
    html = world.log_in("operator", "id").get("/sites/PKM-A/batches/B2").text
    assert '<option value="KULKAS-A">Kulkas A: Alarm, 5,0 °C</option>' in html
    assert '<option value="FREEZER-A">Freezer A: Tanpa alat ukur</option>' in html
    assert (
        '<option value="KULKAS-B">Kulkas B: Dalam batas, 4,2 °C</option>'
        in world.log_in("operator", "id").get(BATCH).text
    )


@pytest.mark.parametrize(
    ("place", "words"),
    [("KULKAS-A", "that place is in alarm or out of range"), ("FREEZER-A", "how warm it is there now is not known")],
)
def test_after_a_move_it_is_said_that_the_place_is_not_good(world: Any, place: str, words: str) -> None:
    asker = world.log_in("operator")
    done = asker.post("/sites/PKM-A/batches/B2/placements", {"equipment": place, "reason": "moved"})
    assert done.status_code == 303
    assert words in asker.get(done.headers["location"]).text


def test_after_a_move_to_a_good_place_nothing_more_is_said(world: Any) -> None:
    done = world.log_in("operator").post(f"{BATCH}/placements", {"equipment": "KULKAS-B", "reason": "moved"})
    assert done.headers["location"].endswith("done=placed")
