"""The destruction of discarded vaccines on page and in JSON: what is missing is said, and closing waits for it (37)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.records import Actor, User

BAG = "000420112026"
CASE = "PKM-A.D1"
PAGE = f"/sites/PKM-A/destructions/{CASE}"
BOSS = Actor("manager", "manager")


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


@pytest.mark.parametrize("language", ["id", "en"])
def test_smile_37_198_of_200_vials_is_said_in_plain_words_and_no_closing_is_offered(
    world: Any, language: str
) -> None:
    world.destruction("opened")
    r, now = world.records, world.clock.now
    r.list_vials(CASE, "B1", 200, BOSS, "the whole batch", now)
    r.put_vials(CASE, BAG, "B1", 198, BOSS, "counted", now)
    r.confirm_damaged(CASE, BOSS, "crushed", now)
    r.bag_destroyed(CASE, BAG, now, BOSS, "burnt", now)
    page = world.log_in("manager", language).get(PAGE).text
    wanted = {"id": "93001284 B1-2411: 2 vial kurang", "en": "93001284 B1-2411: 2 vials are missing"}
    assert wanted[language] in text_of(page)
    assert f'action="{PAGE}/close"' not in page
    answer = world.as_role("manager").post(f"/api/v1/destructions/{CASE}/close", json={"reason": "close enough"})
    assert (answer.status_code, answer.json()["reason"]) == (409, "NOT_COMPLETE")
    said = world.as_role("operator").get(f"/api/v1/destructions/{CASE}").json()
    assert said["missing"] == [{"why": "vials_missing", "subject": "93001284 B1-2411", "count": 2}]


def test_smile_37_an_operator_walks_through_all_steps_and_the_manager_closes(world: Any) -> None:
    """Forms alone: begin, list, bag, confirm, destroy; then closing by a manager, and nothing changes any more."""
    world.destruction("opened")
    nurse = world.log_in("operator")
    for step, form, still in (
        ("lines", {"batch": "B1", "vials": "20"}, "20 vials are missing from the bags"),
        ("bags", {"bag": BAG, "batch": "B1", "vials": "20"}, "Nobody has confirmed"),
        ("damaged", {"reason": "crushed in the bucket"}, f"Bag {BAG} has not been destroyed"),
        ("destroyed", {"bag": BAG, "reason": "incinerator of the hospital"}, "Complete, may be closed"),
    ):
        answer = nurse.post(f"{PAGE}/{step}", form)
        assert answer.status_code == 303, answer.text
        assert still in text_of(nurse.get(PAGE).text)
    page = text_of(nurse.get(PAGE).text)
    assert "The manager of the region closes it" in page
    assert "Together: 6.30 kg" in page
    assert nurse.post(f"{PAGE}/close", {"reason": "done"}).status_code == 403
    manager = world.log_in("manager")
    assert manager.post(f"{PAGE}/close", {"reason": "all there"}).status_code == 303
    assert "Closed by manager" in text_of(manager.get(PAGE).text)
    late = manager.post(f"{PAGE}/lines", {"batch": "B1", "vials": "19"})
    assert (late.status_code, "This destruction is closed" in text_of(late.text)) == (409, True)
    assert world.records.verify_chain("PKM-A").ok


def test_smile_37_the_facility_cannot_close_alone_where_a_third_party_destroys(world: Any) -> None:
    """An operator never; nor a manager who belongs to the facility itself; the region's manager enters the report."""
    world.destruction(third_party="PT Olah")
    own = User("kepala", "manager", site="PKM-A", password_hash="$argon2id$x")
    world.records.upsert_user(own, Actor("wiring", "super_admin"), "head of the facility", world.clock.now)
    head, manager = world.log_in("kepala"), world.log_in("manager")
    assert "The own report of PT Olah is not here" in text_of(head.get(PAGE).text)
    report = {"report_no": "LP-7/2026", "signed_by": "Rudi", "reason": "came by post"}
    refused = head.post(f"{PAGE}/report", report)
    assert (refused.status_code, "cannot close alone" in text_of(refused.text)) == (403, True)
    assert f'action="{PAGE}/close"' not in manager.get(PAGE).text
    assert manager.post(f"{PAGE}/report", report).status_code == 303
    assert "LP-7/2026" in text_of(manager.get(PAGE).text)
    assert head.post(f"{PAGE}/close", {"reason": "done"}).status_code == 403
    assert manager.post(f"{PAGE}/close", {"reason": "report agrees"}).status_code == 303
    assert world.records.destruction(CASE).closed_by == "manager"


def test_a_count_in_a_destroyed_bag_is_a_managers_correction_with_a_reason(world: Any) -> None:
    world.destruction()
    form = {"bag": BAG, "batch": "B1", "vials": "19"}
    assert world.log_in("operator").post(f"{PAGE}/bags", form).status_code == 403
    manager = world.log_in("manager")
    assert manager.post(f"{PAGE}/bags", form).status_code == 422
    assert manager.post(f"{PAGE}/bags", form | {"reason": "counted on the photo"}).status_code == 303
    assert world.records.audit_of(f"destruction_bag:PKM-A/{BAG}")[-1].reason == "counted on the photo"


@pytest.mark.parametrize("language", ["id", "en"])
def test_more_vials_than_the_batch_ever_had_are_refused_in_plain_words(world: Any, language: str) -> None:
    world.destruction("opened")
    asker = world.log_in("operator", language)
    refused = asker.post(f"{PAGE}/lines", {"batch": "B1", "vials": "201"})
    wanted = {"id": "Vial lebih banyak daripada stok batch ini", "en": "More vials than this batch ever had"}
    assert (refused.status_code, wanted[language] in text_of(refused.text)) == (422, True)


def test_a_bag_destroyed_in_the_minute_of_the_confirmation_is_destroyed_after_it(world: Any) -> None:
    """The form knows minutes, the confirmation milliseconds."""
    world.clock.now += 30_000
    world.destruction("damaged")
    minute = datetime.fromtimestamp(world.clock.now // 1000, ZoneInfo("Asia/Jayapura")).strftime("%Y-%m-%dT%H:%M")
    world.clock.now += 300_000
    sent = {"bag": BAG, "since": minute, "reason": "burnt"}
    assert world.log_in("operator").post(f"{PAGE}/destroyed", sent).status_code == 303
    assert world.records.destruction_bags(CASE)[0].destroyed_ms == world.clock.now - 300_000


def test_what_was_done_yesterday_is_told_today_on_page_and_in_json(world: Any) -> None:
    world.destruction("bagged")
    minute = world.clock.now // 60_000 * 60_000
    world.clock.now += 86_400_000
    local = datetime.fromtimestamp(minute // 1000, ZoneInfo("Asia/Jayapura")).strftime("%Y-%m-%dT%H:%M")
    told = {"since": local, "reason": "crushed"}
    assert world.log_in("operator").post(f"{PAGE}/damaged", told).status_code == 303
    assert world.records.destruction(CASE).damaged_ms == minute
    late = {"damaged_ms": world.clock.now + 1, "reason": "tomorrow"}
    world.records.list_vials(CASE, "B1", 21, BOSS, "one more", world.clock.now)
    answer = world.as_role("operator").post(f"/api/v1/destructions/{CASE}/damaged", json=late)
    assert (answer.status_code, answer.json()["reason"]) == (422, "BAD_VALUE")


def test_what_was_not_decided_is_not_offered_and_would_keep_it_open(world: Any) -> None:
    world.destruction("opened")
    page = world.log_in("operator").get(PAGE).text
    assert re.findall(r'<option value="(B\d)">', page) == ["B1"]
    said = world.as_role("operator").post(
        f"/api/v1/destructions/{CASE}/lines", json={"batch": "B2", "vials": 5, "reason": "too early"}
    )
    assert {"why": "not_decided", "subject": "93001284 B2-2411", "count": 0} in said.json()["missing"]


def test_a_destruction_is_found_from_the_weigh_page_and_from_discarded_batches(world: Any) -> None:
    world.destruction("listed")
    asker = world.log_in("operator")
    for path in ("/sites/PKM-A/weighing", "/sites/PKM-A/batches"):
        assert 'href="/sites/PKM-A/destructions"' in asker.get(path).text
    listed = asker.get("/sites/PKM-A/destructions").text
    assert "BAST/1" in listed
    assert "things are missing" in text_of(listed)
    again = asker.post("/sites/PKM-A/destructions", {"bast_no": "BAST/1"})
    assert (again.status_code, 'value="BAST/1"' in again.text) == (409, True)


def test_every_reason_that_keeps_one_open_has_words() -> None:
    from api.words import catalogue
    from gateway.records.destruction import Open

    assert {str(why) for why in Open if f"missing.{why}" not in catalogue()} == set()
