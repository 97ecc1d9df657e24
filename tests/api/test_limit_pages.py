"""Limits on page and API: what holds since when, who changed it and why (requirement 37); "what if the limit were ..."."""

from __future__ import annotations

import re
from typing import Any

import pytest

from api import heavy

PAGE = "/sites/PKM-A/equipment/KULKAS-A/limits"
JSON = f"/api/v1{PAGE}"
WHAT_IF = "/api/v1/sites/PKM-A/equipment/KULKAS-A/what-if"
HOUR = 3_600_000


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_37_a_limit_is_changed_by_a_named_person_with_a_reason_from_now_on(world: Any) -> None:
    """cold-chain.md 37: actor, time, old and new value, reason; the page says since when and what it was before."""
    asker = world.log_in("super_admin", "en")
    form = {"rule": "HEAT", "limit_c": "9,5", "after_min": "300", "reason": "new list of vaccines", "since": ""}
    sent = asker.post(PAGE, form)
    assert sent.headers["location"] == f"{PAGE}?done=limit_changed"
    page = text_of(world.log_in("operator", "en").get(PAGE).text)
    assert "by super_admin, because: new list of vaccines" in page
    assert "Too warm for too long: was above 8.0 °C for 10 h; became above 9.5 °C for 5 h" in page
    told = world.as_role("operator").get(JSON).json()
    heat = next(x for x in told["limits"] if x["code"] == "HEAT")
    assert (heat["limit_c"], heat["alarm_after_s"], told["since_ms"]) == (9.5, 18_000, world.clock.now)
    assert [(v["from_ms"], v["changed"], v["said"] and v["said"]["actor"]) for v in told["versions"]] == [
        (world.clock.now, ["HEAT"], "super_admin"),
        (0, [], None),
    ]
    assert world.records.verify_chain("PKM-A").ok
    page = text_of(world.log_in("operator", "id").get(PAGE).text)
    assert "dulu di atas 8,0 °C selama 10 jam; menjadi di atas 9,5 °C selama 5 jam" in page
    assert "diubah oleh super_admin, berlaku sejak 20 Nov 2026 17.00 WIT, karena: new list of vaccines" in page
    assert "WHO PQS E003: terbuka terus lebih dari 5 menit" in page
    assert "[S" not in page  # a number in the house's list of documents tells a nurse nothing


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"code": "HEAT", "limit_c": 9, "alarm_after_s": 60, "reason": "  "}, "bad_input"),
        ({"code": "HEAT", "limit_c": 9, "alarm_after_s": 60}, "bad_input"),
        ({"code": "HEAT", "limit_c": 9, "alarm_after_s": 60, "reason": "x y z", "from_ms": 1}, "limit_in_the_past"),
        ({"code": "HEAT", "limit_c": -3, "alarm_after_s": 60, "reason": "x y z"}, "unsound_limit"),
        ({"code": "DOOR", "limit_c": 1, "alarm_after_s": 60, "reason": "x y z"}, "bad_input"),
    ],
)
def test_a_limit_without_reason_or_sense_or_dated_back_is_refused(
    world: Any, body: dict[str, Any], reason: str
) -> None:
    before = world.records.newest_change()
    answer = world.as_role("super_admin").post(JSON, json=body)
    assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    assert world.records.newest_change() == before


def test_a_form_with_a_number_that_is_none_says_so_and_keeps_what_was_typed(world: Any) -> None:
    asker = world.log_in("super_admin", "id")
    sent = asker.post(PAGE, {"rule": "HEAT", "limit_c": "sembilan", "after_min": "5", "reason": "alasan"})
    assert sent.status_code == 422
    assert "Batas dalam °C: angka dari −120 sampai 80." in sent.text
    assert 'value="sembilan"' in sent.text
    assert 'name="rule" value="HEAT"' in sent.text


def test_what_if_the_limit_were_another_is_answered_and_changes_nothing(world: Any) -> None:
    """The fridge stood at 9.3 °C for eleven hours: HEAT by 8.0 for 10 h, none by 9.5."""
    before = world.records.newest_change()
    asker = world.as_role("operator")
    kept = asker.get(f"{WHAT_IF}?code=HEAT&limit_c=8&after_min=600").json()
    assert (kept["as_is"], kept["then"], kept["gone"], kept["new"]) == (1, 1, [], [])
    raised = asker.get(f"{WHAT_IF}?code=HEAT&limit_c=9.5&after_min=600").json()
    assert (raised["as_is"], raised["then"], len(raised["gone"])) == (1, 0, 1)
    sooner = asker.get(f"{WHAT_IF}?code=HEAT&limit_c=8&after_min=60").json()
    assert (sooner["as_is"], sooner["then"]) == (1, 1)
    ((was_ms, would_ms),) = sooner["moved"]
    assert was_ms - would_ms == 9 * HOUR
    page = text_of(world.log_in("operator").get(f"{PAGE}?code=HEAT&limit_c=9,5&after_min=600&days=3").text)
    assert "Alarms by the limits that held: 1. By this one: 0." in page
    assert "Would not have been: Too warm for too long" in page
    assert world.records.newest_change() == before


def test_one_what_if_is_answered_at_a_time_and_the_others_are_told_to_wait(
    world: Any, taken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = world.as_role("operator")
    with monkeypatch.context() as busy:
        busy.setattr(heavy, "_ASKING", taken)
        answer = asker.get(f"{WHAT_IF}?code=HEAT&limit_c=8&after_min=600")
        page = world.log_in("operator").get(f"{PAGE}?code=HEAT&limit_c=9,5&after_min=600&days=3")
    assert (answer.status_code, answer.json()["reason"]) == (503, "busy")
    assert (page.status_code, page.headers["retry-after"]) == (503, "5")
    assert "Try again in a moment" in page.text
    assert 'value="9,5"' in page.text  # the question is still there
    assert asker.get(f"{WHAT_IF}?code=HEAT&limit_c=8&after_min=600").status_code == 200


def test_a_limit_announced_for_a_wrong_date_is_put_right_when_asked_for(world: Any) -> None:
    asker = world.as_role("super_admin")
    change = {"code": "HEAT", "limit_c": 9, "alarm_after_s": 60, "reason": "x y z"}
    assert asker.post(JSON, json={**change, "from_ms": world.clock.now + 400 * 24 * HOUR}).status_code == 422
    assert asker.post(JSON, json={**change, "from_ms": world.clock.now + 300 * 24 * HOUR}).status_code == 201
    assert asker.post(JSON, json=change).status_code == 422
    told = asker.post(JSON, json={**change, "supersede": True})
    assert [v["from_ms"] for v in told.json()["versions"]] == [world.clock.now, 0]


def test_only_who_may_sees_the_form(world: Any) -> None:
    assert "Save the new limit" in world.log_in("super_admin").get(PAGE).text
    assert "Save the new limit" not in world.log_in("manager").get(PAGE).text
    assert "Only a super admin" in world.log_in("manager").get(PAGE).text


def _change(world: Any, code: str, limit_c: float, after_s: int, from_ms: int | None = None) -> Any:
    body = {"code": code, "limit_c": limit_c, "alarm_after_s": after_s, "from_ms": from_ms, "reason": "by the test"}
    return world.as_role("super_admin").post(JSON, json=body)


def test_a_later_change_is_made_upon_the_one_that_is_scheduled_before_it(world: Any) -> None:
    """Both hold in the end: the second is not made of what held when the form was sent."""
    assert _change(world, "HEAT", 9, 3600, world.clock.now + HOUR).status_code == 201
    assert _change(world, "FRZE", -1, 3600, world.clock.now + 2 * HOUR).status_code == 201
    world.clock.now += 3 * HOUR
    told = world.as_role("operator").get(JSON).json()
    now = {x["code"]: x["limit_c"] for x in told["limits"]}
    assert (now["HEAT"], now["FRZE"]) == (9.0, -1.0)
    assert [v["changed"] for v in told["versions"]] == [["FRZE"], ["HEAT"], []]


def test_a_change_that_changes_nothing_makes_no_version(world: Any) -> None:
    before = world.records.newest_change()
    answer = _change(world, "HEAT", 8, 36_000)
    assert (answer.status_code, answer.json()["reason"]) == (422, "nothing_changes")
    assert world.records.newest_change() == before
    assert _change(world, "HEAT", 9, 36_000, world.clock.now + HOUR).status_code == 201
    assert _change(world, "HEAT", 9, 36_000, world.clock.now + 2 * HOUR).json()["reason"] == "nothing_changes"


def test_a_change_before_a_scheduled_one_is_refused_with_its_time_and_a_way_out(world: Any) -> None:
    assert _change(world, "HEAT", 9, 3600, world.clock.now + HOUR).status_code == 201
    form = {"rule": "HEAT", "limit_c": "10", "after_min": "60", "reason": "too soon", "since": ""}
    sent = world.log_in("super_admin", "id").post(PAGE, form)
    assert sent.status_code == 422
    page = text_of(sent.text)
    assert "Sudah ada perubahan terjadwal mulai 20 Nov 2026 18.00 WIT." in page
    assert "Pilih waktu sesudahnya, atau batalkan dulu perubahan itu." in page
    assert 'name="since"' in sent.text
    boss = world.log_in("super_admin", "id")
    assert "Batalkan perubahan yang terjadwal mulai 20 Nov 2026 18.00 WIT" in boss.get(PAGE).text
    back = {**form, "limit_c": "8", "after_min": "600", "supersede": "yes"}
    assert boss.post(PAGE, back).status_code == 303
    assert world.as_role("operator").get(JSON).json()["versions"][0]["from_ms"] == world.clock.now


def test_the_time_of_a_change_is_empty_until_somebody_gives_one(world: Any) -> None:
    """Filled with the minute of loading, a slow typist would be told that limits are never dated back."""
    page = world.log_in("super_admin", "id").get(PAGE).text
    field = re.search(r'<input id="since"[^>]*>', page)
    assert field is not None
    assert "value=" not in field[0]
    assert "Kosong = mulai sekarang" in page


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("limit_c=9&after_min=600&days=99", "Berapa hari terakhir: angka dari 1 sampai 31."),
        ("limit_c=hangat&after_min=600&days=3", "Batas dalam °C: angka dari −120 sampai 80."),
        ("limit_c=-3&after_min=600&days=3", "Batas ini tidak cocok dengan batas lain."),
    ],
)
def test_a_what_if_that_cannot_be_asked_keeps_the_question_and_names_the_field(
    world: Any, asked: str, said: str
) -> None:
    sent = world.log_in("operator", "id").get(f"{PAGE}?code=HEAT&{asked}")
    assert sent.status_code == 422
    assert said in text_of(sent.text)
    assert f'value="{asked.partition("=")[2].partition("&")[0]}"' in sent.text


def test_4_the_audit_page_of_a_site_shows_the_changes_of_limits_that_its_equipment_uses(world: Any) -> None:
    assert _change(world, "HEAT", 9, 3600).status_code == 201
    page = text_of(world.log_in("manager", "id").get("/sites/PKM-A/audit").text)
    assert "super_admin (super admin) batas diubah profile:refrigerator/2 by the test" in page
