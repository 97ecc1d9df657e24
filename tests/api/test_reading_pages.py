"""Readings on page and API: raw and counted, and what people say of them (requirements 37 and 38)."""

from __future__ import annotations

import re
from typing import Any

import pytest

PAGE = "/sites/PKM-A/equipment/KULKAS-A/readings"
CORRECTIONS = "/sites/PKM-A/equipment/KULKAS-A/corrections"
JSON = f"/api/v1{CORRECTIONS}"
NOW = "/api/v1/sites/PKM-A/equipment/KULKAS-A"
STREAM = "LOG-1/temperature_c"
HOUR = 3_600_000


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def body(world: Any, **changes: Any) -> dict[str, Any]:
    told = {"stream": STREAM, "from_ms": world.clock.now - 48 * HOUR, "offset_c": -1.5, "certificate": "KAL-17"}
    return told | {"reason": "certificate came"} | changes


def test_38_a_manager_enters_a_correction_and_the_page_shows_raw_and_counted_values(world: Any) -> None:
    """cold-chain.md 37 and 38: 9.3 C as said, 7.8 C as it counts: in range; who, when, why and which certificate."""
    assert world.as_role("operator").get(NOW).json()["range_state"] == "out"
    form = {"stream": STREAM, "offset_c": "-1,5", "certificate": "KAL-17", "reason": "certificate came"}
    sent = world.log_in("manager", "en").post(CORRECTIONS, form | {"since": "2026-01-05T08:00"})
    assert sent.headers["location"] == f"{PAGE}?done=probe_corrected"
    page = text_of(world.log_in("operator", "en").get(PAGE).text)
    assert "−1.5 °C , since 5 Jan 2026 08:00 WIT" in page
    assert "certificate KAL-17" in page
    assert "by manager," in page
    assert "certificate came" in page
    assert "9.3 7.8" in page
    now = world.as_role("operator").get(NOW).json()
    assert (now["latest"]["value"], now["latest"]["counted"], now["range_state"]) == (9.3, 7.8, "in")
    assert "The sensor said 9.3 °C" in text_of(world.log_in("operator", "en").get(PAGE.rpartition("/")[0]).text)
    assert "9,3 7,8" in text_of(world.log_in("operator", "id").get(PAGE).text)
    assert world.records.verify_chain("PKM-A").ok


def test_38_the_correction_holds_from_its_date_only(world: Any) -> None:
    at = world.clock.now - 2 * HOUR
    made = world.as_role("manager").post(JSON, json=body(world, from_ms=at))
    assert made.status_code == 201
    assert (made.json()["number"], made.json()["said"]["actor"]) == (1, "manager")
    rows = (
        world.as_role("operator")
        .get(f"/api/v1/sites/PKM-A/readings?stream={STREAM}&from_ms={at - HOUR}&to_ms={at + HOUR}")
        .json()["rows"]
    )
    assert {(r["t_ms"] >= at, r["value"], r["counted"]) for r in rows} == {(False, 9.3, 9.3), (True, 9.3, 7.8)}
    told = world.as_role("operator").get(JSON).json()
    assert [(c["stream"], c["from_ms"], c["offset_c"], c["certificate"]) for c in told] == [
        (STREAM, at, -1.5, "KAL-17")
    ]


def test_38_the_hours_out_of_range_are_counted_by_the_corrected_value(world: Any) -> None:
    def beyond() -> int:
        counted = world.as_role("operator").get(NOW).json()["counters"]
        day = next(c for c in counted if c["span"] == "24h")
        return int(next(b["beyond_ms"] for b in day["beyond"] if (b["comparator"], b["limit_c"]) == (">", 8)))

    assert beyond() > 10 * HOUR
    world.as_role("manager").post(JSON, json=body(world))
    assert beyond() == 0


def test_38_readings_without_a_certificate_in_force_stay_and_are_marked(world: Any) -> None:
    from dataclasses import replace

    from gateway.records import Actor

    boss = Actor("boss", "super_admin")
    device = world.records.device("LOG-1")
    known = replace(device, calibrated_until_ms=world.clock.now - 2 * HOUR)
    world.records.upsert_device(known, boss, "its certificate", world.clock.now - 30 * 24 * HOUR)
    page = text_of(world.log_in("operator", "en").get(PAGE).text)
    assert page.count("uncalibrated") == 12  # of 24 shown, six an hour
    assert page.count("9.3 9.3") == 24


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reason": "  "}, "bad_input"),
        ({"certificate": " "}, "bad_input"),
        ({"offset_c": 5.5}, "bad_input"),
        ({"stream": "LOG-9/temperature_c"}, "bad_input"),
        ({"stream": "LOG-1/humidity_percent"}, "BAD_VALUE"),
        ({"from_ms": 1 << 42}, "BAD_VALUE"),
    ],
)
def test_37_a_correction_without_reason_certificate_or_sense_is_refused(
    world: Any, changes: dict[str, Any], reason: str
) -> None:
    before = world.records.newest_change()
    answer = world.as_role("manager").post(JSON, json=body(world, **changes))
    assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    assert world.records.newest_change() == before


def test_only_who_may_sees_the_form(world: Any) -> None:
    assert "Record the correction" in world.log_in("manager").get(PAGE).text
    assert "Record the correction" not in world.log_in("operator").get(PAGE).text
    assert "A manager or super admin" in world.log_in("operator").get(PAGE).text


def test_an_older_day_is_shown_when_asked_for(world: Any) -> None:
    asker = world.log_in("operator", "en")
    assert "No reading in the 24 hours" in asker.get(f"{PAGE}?stream={STREAM}&until=2020-01-01T00:00").text
    assert asker.get(f"{PAGE}?stream={STREAM}&until=tomorrow").status_code == 422


MARKS = "/sites/PKM-A/equipment/KULKAS-A/marks"


def test_12_an_operator_marks_a_reading_and_it_is_unknown_until_the_mark_is_taken_back(world: Any) -> None:
    """The newest reading said 9.3 C; marked with a reason it tells nothing of now, and stays to be seen."""
    last_ms = world.as_role("operator").get(NOW).json()["latest"]["t_ms"]
    asker = world.log_in("operator", "en")
    page = asker.get(f"{PAGE}?stream={STREAM}&at={last_ms}").text
    (at,) = set(re.findall(r'name="(?:first|last)" value="([^"]+)"', page))
    form = {"stream": STREAM, "first": at, "last": at, "reason": "the cable was loose"}
    sent = asker.post(MARKS, form)
    assert sent.headers["location"].startswith(f"{PAGE}?done=readings_marked")
    now = world.as_role("operator").get(NOW).json()
    assert (now["latest"]["value"], now["latest"]["counted"], now["range_state"]) == (9.3, None, "unknown")
    shown = text_of(asker.get(PAGE).text)
    assert "9.3 – marked: not counted" in shown
    rows = asker.get(f"{PAGE}?stream={STREAM}").text
    assert "#mark" in rows
    assert f"at={last_ms}#mark" not in rows  # what is marked is not offered to be marked again
    assert "the cable was loose" in shown
    equipment = text_of(asker.get(PAGE.rpartition("/")[0]).text)
    assert "The sensor said 9.3 °C; a person marked it as not counted" in equipment
    sent = asker.post(MARKS, {"stream": STREAM, "mark": "1", "reason": "it was that warm"})
    assert sent.headers["location"].startswith(f"{PAGE}?done=mark_taken_back")
    assert world.as_role("operator").get(NOW).json()["range_state"] == "out"
    (told,) = world.as_role("operator").get(f"/api/v1{MARKS}").json()
    assert (told["taken_back"], [s["reason"] for s in told["said"]]) == (
        True,
        ["the cable was loose", "it was that warm"],
    )
    assert "taken back" in text_of(asker.get(PAGE).text)
    assert world.records.verify_chain("PKM-A").ok


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reason": " "}, "bad_input"),
        ({"to_ms": 0}, "BAD_VALUE"),
        ({"to_ms": 1 << 42}, "BAD_VALUE"),
        ({"stream": "LOG-9/temperature_c"}, "bad_input"),
    ],
)
def test_12_a_mark_without_reason_or_sense_is_refused(world: Any, changes: dict[str, Any], reason: str) -> None:
    body = {"stream": STREAM, "from_ms": 1, "to_ms": 2, "reason": "the cable was loose"} | changes
    before = world.records.newest_change()
    answer = world.as_role("operator").post(f"/api/v1{MARKS}", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    assert world.records.newest_change() == before


def test_12_a_form_without_a_time_marks_nothing(world: Any) -> None:
    form = {"stream": STREAM, "first": "", "last": "", "reason": "the cable was loose"}
    assert world.log_in("operator").post(MARKS, form).status_code == 422
    assert world.records.reading_marks() == []


def test_12_the_page_of_an_alarm_leads_to_its_readings_and_says_what_people_said_of_them(world: Any) -> None:
    from dataclasses import replace

    found = world.records.finding("HEAT-1")
    at_ms = found.event_ms
    evidence = {"stream": STREAM, "readings": {"extreme_ms": at_ms}, "details": {"not_counted": "2"}}
    world.records.save_findings([replace(found, evidence=evidence)], world.clock.now)
    asker = world.log_in("operator", "en")
    page = asker.get("/sites/PKM-A/alarms/HEAT-1").text
    assert "marks of readings that are not counted: 2" in page
    (link,) = re.findall(r'href="(/sites/PKM-A/equipment/KULKAS-A/readings[^"]*)"', page)
    shown = asker.get(link.replace("&amp;", "&"))
    assert shown.status_code == 200
    assert f"at={at_ms}" in link


def test_12_38_the_picture_of_a_verdict_draws_what_was_judged(world: Any, documented: dict[str, Any]) -> None:
    """Raw 5.1 and 9.3; by its document with -1.5 for the last three hours; and with all of them marked."""
    from decimal import Decimal

    from api.verdict_pages import lines_of

    def drawn(**said: Any) -> set[Decimal]:
        (line,) = lines_of(world.app.state.desk.questions, documented | said)
        return {p.value for p in line.points if p.value is not None and p.t_ms >= world.clock.now - 2 * HOUR}

    def at(hours_ago: int) -> str:
        from telemetry.contract import iso_utc

        return iso_utc(world.clock.now - hours_ago * HOUR)

    corrections = [{"stream": STREAM, "from": at(3), "offset_c": "-1.5", "certificate": "K", "by": "sari"}]
    marks = [{"stream": STREAM, "from": at(24), "to": at(-1), "by": "sari"}]
    assert drawn() == {Decimal("9.3")}
    assert drawn(corrections=corrections) == {Decimal("7.8")}
    assert lines_of(world.app.state.desk.questions, documented | {"marks": marks}) == []


def test_12_readings_are_seen_and_marked_at_the_site_at_which_they_were_read(world: Any) -> None:
    """LOG-9 moves from PKM-C to PKM-A: what it said at PKM-C is PKM-C's to see and to mark, and nobody's at PKM-A."""
    from dataclasses import replace
    from decimal import Decimal

    from gateway.records import Actor

    said_ms, stream = world.clock.now - HOUR, "LOG-9/temperature_c"
    world.clock.now += HOUR
    moved = replace(world.records.device("LOG-9"), site="PKM-A", equipment="KULKAS-A")
    world.records.upsert_device(moved, Actor("boss", "super_admin"), "moved", world.clock.now)
    here, boss = world.as_role("operator"), world.as_role("super_admin")
    body = {"stream": stream, "from_ms": said_ms, "to_ms": said_ms + 1, "reason": "the cable was loose"}
    (old,) = world.store.latest([stream]).values()
    world.store.append([replace(old, t_ms=world.clock.now, seq=old.seq + 1, value=Decimal("5.5"), site="PKM-A")])
    refused = here.post(f"/api/v1{MARKS}", json=body)
    assert (refused.status_code, refused.json()["reason"]) == (422, "BAD_VALUE")
    shown = text_of(world.log_in("operator", "en").get(f"{PAGE}?stream={stream}").text)
    assert " 5.5 5.5 " in shown
    assert " 4 4 " not in shown
    there, page = (path.replace("PKM-A", "PKM-C").replace("KULKAS-A", "KULKAS-C") for path in (MARKS, PAGE))
    assert boss.post(f"/api/v1{there}", json=body).status_code == 201
    (row,) = world.records.audit_of(f"reading_mark:{stream}/1")
    assert row.site == "PKM-C"
    assert here.get(f"/api/v1{MARKS}").json() == []
    back = {"stream": stream, "number": 1, "reason": "it was that warm"}
    assert here.post(f"/api/v1{MARKS}/take-back", json=back).status_code == 404
    shown = text_of(world.log_in("super_admin", "en").get(f"{page}?stream={stream}").text)
    assert " 4 – marked: not counted" in shown
    assert "5.5" not in shown
    assert world.records.verify_chain("PKM-C").ok
