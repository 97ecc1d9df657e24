"""What a user stumbled over: dangerous first choices, words that were not true, lost text, acts without a way back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.records import Actor, Attachment, Bag, Batch, Equipment, Finding, Verdict
from gateway.records.model import SmileStockIds

WHY = {"reason": "asked for by the test"}
BOSS = Actor("wiring", "super_admin")
MINUTE = 60_000
HOUR = 60 * MINUTE
BATCH = "/sites/PKM-A/batches/B1"


def discarded(world: Any, batch: str = "B1") -> None:
    world.records.decide(batch, "discarded", Actor("manager", "manager"), "VVM at stage C", world.clock.now)


def sent(world: Any, kind: str, subject: str, target: str, state: str, reply: str) -> None:
    world.records.save_attachments(
        Attachment(kind, subject, target, "cd" * 32, state, reply, world.clock.now, "PKM-A")
    )


def rule_finding(**changes: Any) -> Finding:
    now = 1_795_161_600_000
    values: dict[str, Any] = {
        "id": "X-1", "rule": "refrigerator/FRZE", "code": "FRZE", "kind": "confirmed", "site": "PKM-A",
        "equipment": "KULKAS-A", "batch": None, "episode_start_ms": now - 3 * HOUR, "event_ms": now - 2 * HOUR,
        "detected_ms": now - 2 * HOUR, "end_ms": now - HOUR, "extreme_c": Decimal("-3.19"),
        "profile": "refrigerator", "profile_version": "1",
    }  # fmt: skip
    return Finding(**(values | changes))


def audit_table(html: str) -> str:
    return html.partition("<tbody>")[2].partition("</tbody>")[0]


# --- 1: choices ---


@pytest.mark.parametrize("path", [BATCH, "/sites/PKM-A/weighing"])
def test_no_choice_is_made_for_a_person(world: Any, path: str) -> None:
    """Every list begins with an empty answer and must be answered."""
    found = re.findall(r"<select[^>]*>.*?</select>", world.log_in("manager").get(path).text, re.DOTALL)
    assert found
    for select in found:
        assert " required" in select.partition(">")[0]
        assert re.match(r'<select[^>]*><option value="">', select)
        assert "selected" not in select


def test_an_answer_left_empty_is_refused_by_name(world: Any) -> None:
    asker = world.log_in("manager", "id")
    moved = asker.post(f"{BATCH}/placements", {"equipment": "", "reason": "pintu rusak"})
    bag = asker.post("/sites/PKM-A/bags", {"code": "000920112026", "waste": ""})
    assert (moved.status_code, bag.status_code) == (422, 422)
    assert "Tempat: pilih salah satu." in moved.text
    assert "Jenis limbah: pilih salah satu." in bag.text
    assert "pintu rusak" in moved.text  # kept, though it cannot be sent without the choice
    assert [p.equipment for p in world.records.placements(batch="B1")] == ["KULKAS-A"]


def test_a_vaccine_is_never_placed_in_a_waste_store(world: Any) -> None:
    """Not offered on the page; refused there and in JSON, whoever sends it, also as history."""
    place = Equipment("GUDANG", "PKM-A", "Gudang limbah", "waste_store", "room")
    world.records.upsert_equipment(place, BOSS, "installed", world.clock.now)
    asker, machine = world.log_in("super_admin"), world.as_role("super_admin")
    html = asker.get(BATCH).text
    assert "Gudang limbah" not in html
    assert 'optgroup label="Vaccine freezer: only for vaccines that may freeze"' in html
    refused = asker.post(f"{BATCH}/placements", {"equipment": "GUDANG", **WHY})
    assert refused.status_code == 409
    assert "A vaccine never stands in a waste store" in refused.text
    past = {"from_ms": world.clock.now - 99 * HOUR, "to_ms": world.clock.now - 98 * HOUR}
    for body in ({"equipment": "GUDANG", **WHY}, {"equipment": "GUDANG", **WHY, **past}):
        told = machine.post("/api/v1/batches/B1/placements", json=body)
        assert (told.status_code, told.json()["reason"]) == (409, "no_place_for_vaccines")
    assert [p.equipment for p in world.records.placements(batch="B1")] == ["KULKAS-A"]


# --- 2, 3: SMILE ---


def test_a_batch_that_is_only_judged_is_never_called_discarded(world: Any) -> None:
    """Also where an older adapter wrote its note under the kind of discards."""
    for kind in ("discard", "verdict"):
        sent(world, kind, "B1", "smile main", "no_field", "SMILE has no field for hold_and_inspect")
    html = world.log_in("manager").get("/sites/PKM-A/smile").text
    assert "Discarded batch" not in html
    assert "SMILE has no field for hold_and_inspect" not in html
    assert "verdict kept here only: Hold and inspect" in html
    assert audit_table(html).count("<tr>") == 1  # the temperatures
    world.records.decide("B1", "released", Actor("manager", "manager"), "VVM is fine", world.clock.now)
    html = world.log_in("manager", "id").get("/sites/PKM-A/smile").text
    assert "penilaian hanya disimpan di sini: Dilepas untuk dipakai" in html
    assert "Tahan dan periksa" not in html


def test_a_discarded_batch_is_sent_and_not_kept_here_only(world: Any) -> None:
    discarded(world)
    # Judged anew since: the decision stands.
    world.records.save_verdicts([Verdict("", "B1", "discard_proposed", (), ("HEAT-1",), 1)], world.clock.now)
    sent(world, "discard", "B1", "smile main", "stored", json.dumps({"outcome": "done", "text": "booked"}))
    html = world.log_in("manager").get("/sites/PKM-A/smile").text
    assert "kept here only:" not in html
    assert "Discarded batch: 1" in html
    assert "DPT-HB-Hib B1-2411" in audit_table(html)
    assert "booked in SMILE" in audit_table(html)
    assert "outcome" not in html
    told = world.as_role("manager").get("/api/v1/sites/PKM-A/attachments").json()
    assert told["verdicts_without_field"] == []


def test_a_weight_is_shown_by_its_bag(world: Any) -> None:
    reply = json.dumps({"outcome": "already", "text": "6.3 kg"})
    sent(world, "weight", "PKM-A.E1.epoch.77", "000120112026", "stored", reply)
    html = world.log_in("manager").get("/sites/PKM-A/smile").text
    assert "<code>000120112026</code>" in html
    assert "PKM-A.E1.epoch.77" not in html
    assert "was in SMILE already" in html


def test_what_smile_has_of_a_logger_is_told_in_words(world: Any) -> None:
    sent(world, "temperatures", "LOG-2", "smile core", "pending", json.dumps({"stored": 12, "waiting": 3}))
    html = world.log_in("manager", "id").get("/sites/PKM-A/smile").text
    assert "diterima SMILE: 12, menunggu: 3" in html


def test_a_discard_that_smile_refused_says_so_and_what_to_do(world: Any) -> None:
    """The VVM was not read: the page names it and leads to the form; the form is open."""
    discarded(world)
    text = "SMILE wants the VVM stage of a temperature-sensitive vaccine (read the VVM on the vials)"
    sent(world, "discard", "B1", "smile main", "refused", json.dumps({"outcome": "refused", "text": text}))
    html = world.log_in("operator", "id").get(BATCH).text
    assert "SMILE menolak pembuangan ini." in html
    assert "Baca VVM pada vial dan catat; pembuangan lalu dikirim lagi." in html
    assert 'href="#vvm"' in html
    assert 'id="vvm"' in html
    assert "temperature-sensitive vaccine" not in html
    assert "<details open><summary>Catat pembacaan VVM" in html


def test_a_manager_is_asked_for_the_vvm_before_a_discard(world: Any) -> None:
    """Warned with a link, not forbidden; silent once it was read or where SMILE does not ask."""
    asker, warning = world.log_in("manager"), "The VVM is not read yet."
    said = {"decision": "discarded", **WHY}
    assert warning in asker.get(BATCH).text
    assert warning in asker.post(f"{BATCH}/decision", said).text
    world.records.observe_vvm("B1", "C", Actor("operator", "operator"), "read", world.clock.now)
    assert warning not in asker.get(BATCH).text
    assert warning not in asker.post(f"{BATCH}/decision", said).text


def test_a_batch_that_smile_holds_as_insensitive_needs_no_vvm(world: Any) -> None:
    batch: Batch = world.records.batch("B1")
    stock = SmileStockIds(1, 12, 70, 170, 8004, 2104, 20, temperature_sensitive=False)
    world.records.upsert_batch(replace(batch, smile=stock), BOSS, "ids entered", world.clock.now)
    assert "The VVM is not read yet." not in world.log_in("manager").get(BATCH).text


# --- 4: placements ---


def test_a_move_has_a_time_in_the_sites_zone(world: Any) -> None:
    """NOW is 17:00 WIT; the batch came 48 h ago."""
    asker = world.log_in("operator")
    assert (
        'type="datetime-local" name="since" value="2026-11-20T17:00" max="2026-11-20T17:00"' in asker.get(BATCH).text
    )
    done = asker.post(f"{BATCH}/placements", {"equipment": "KULKAS-B", "since": "2026-11-20T15:30", **WHY})
    assert done.status_code == 303
    ended, standing = world.records.placements(batch="B1")
    moved_ms = world.clock.now - 90 * MINUTE
    assert (ended.to_ms, standing.from_ms, standing.equipment) == (moved_ms, moved_ms, "KULKAS-B")


@pytest.mark.parametrize("since", ["", "2026-11-20T17:00", None])
def test_a_move_without_another_time_is_now(world: Any, since: str | None) -> None:
    world.clock.now += 42_123  # the form knows minutes: this minute means now
    more = {} if since is None else {"since": since}
    world.log_in("operator").post(f"{BATCH}/placements", {"equipment": "KULKAS-B", **more, **WHY})
    assert world.records.placements(batch="B1")[-1].from_ms == world.clock.now


@pytest.mark.parametrize(
    ("since", "words"),
    [
        ("2026-11-20T17:01", "That time has not come yet"),
        ("2026-11-18T17:00", "That time is before the last recorded move"),
        ("2020-01-01T00:00", "That time is before the last recorded move"),
        ("0001-01-01T00:00", "the date and time are not right"),
        ("yesterday", "the date and time are not right"),
        ("2026-11-20T15:00+07:00", "the date and time are not right"),
    ],
)
def test_a_wrong_time_is_refused_in_words_and_kept(world: Any, since: str, words: str) -> None:
    for equipment in ("KULKAS-B", "-"):
        form = {"equipment": equipment, "since": since, "reason": "pintu rusak"}
        answer = world.log_in("operator").post(f"{BATCH}/placements", form)
        assert answer.status_code == 422
        assert words in answer.text
        assert f'name="equipment" value="{equipment}"' in answer.text
        assert "pintu rusak</textarea>" in answer.text
    (only,) = world.records.placements(batch="B1")
    assert only.to_ms is None


def test_a_batch_can_be_taken_out(world: Any) -> None:
    asker = world.log_in("operator")
    done = asker.post(f"{BATCH}/placements", {"equipment": "-", "since": "2026-11-20T16:00", **WHY})
    assert done.headers["location"].endswith("?done=taken_out")
    (only,) = world.records.placements(batch="B1")
    assert only.to_ms == world.clock.now - HOUR
    assert '<option value="-">' not in asker.get(BATCH).text
    again = asker.post(f"{BATCH}/placements", {"equipment": "-", **WHY})
    assert "The batch is not recorded anywhere" in again.text
    early = asker.post(f"{BATCH}/placements", {"equipment": "KULKAS-B", "since": "2026-11-20T15:59", **WHY})
    assert "before the last recorded move" in early.text
    back = asker.post(f"{BATCH}/placements", {"equipment": "KULKAS-A", **WHY})
    assert back.status_code == 303


def test_json_takes_a_batch_out_too(world: Any) -> None:
    asker, at = world.as_role("operator"), world.clock.now - HOUR
    future = asker.post("/api/v1/batches/B1/placements/end", json={"to_ms": world.clock.now + 1, **WHY})
    assert (future.status_code, future.json()["reason"]) == (422, "future")
    done = asker.post("/api/v1/batches/B1/placements/end", json={"to_ms": at, **WHY})
    assert (done.status_code, done.json()["to_ms"]) == (200, at)
    again = asker.post("/api/v1/batches/B1/placements/end", json=WHY)
    assert (again.status_code, again.json()["reason"]) == (409, "NOT_PLACED")


def test_a_discarded_batch_is_listed_apart_and_stays(world: Any) -> None:
    """It can only be taken out of its refrigerator."""
    discarded(world)
    asker = world.log_in("operator")
    lists = asker.get("/sites/PKM-A/batches").text
    cards, _, gone = lists.partition("<h2>Discarded (1)</h2>")
    assert "B1-2411" in gone
    assert "B1-2411" not in cards
    assert "B2-2411" in cards
    site = asker.get("/sites/PKM-A").text
    assert "B1-2411" not in site
    assert "Discarded batches: 1" in site
    assert "KULKAS-B" not in asker.get(BATCH).text
    moved = asker.post(f"{BATCH}/placements", {"equipment": "KULKAS-B", **WHY})
    assert (moved.status_code, "A discarded batch is not moved any more" in moved.text) == (409, True)
    told = world.as_role("manager").post("/api/v1/batches/B1/placements", json={"equipment": "KULKAS-B", **WHY})
    assert (told.status_code, told.json()["reason"]) == (409, "discarded_stays")
    assert asker.post(f"{BATCH}/placements", {"equipment": "-", **WHY}).status_code == 303


# --- 5: the weigh page ---


def test_a_registered_bag_is_seen_waiting_until_it_is_weighed(world: Any) -> None:
    asker = world.log_in("operator")

    def waiting() -> str:
        html = asker.get("/sites/PKM-A/weighing").text
        return html.partition('<h2 id="waiting">')[2].partition("<h2")[0]

    assert "000120112026" in waiting()
    done = asker.post("/sites/PKM-A/bags", {"code": "000320112026", "waste": "infectious"})
    assert done.headers["location"].endswith("?done=registered&bag=000320112026")
    assert "<code>000320112026</code> Infectious, yellow" in waiting()
    asker.post("/sites/PKM-A/weighings/W1/tie", {"bag": "000320112026"})
    assert "000320112026" not in waiting()


def test_the_bag_registered_just_now_is_on_top_of_many(world: Any) -> None:
    """Newest label first, twenty shown; the bag of this moment always."""
    many = [Bag(f"{n:04}19112026", "PKM-A", "infectious", "A337-1", "yellow", 1, 11) for n in range(1, 60)]
    world.records.add_bags(many, BOSS, "labels printed", world.clock.now)
    asker = world.log_in("operator")
    done = asker.post("/sites/PKM-A/bags", {"code": "000101012020", "waste": "infectious"})
    answer = asker.get(done.headers["location"])
    shown = re.findall(r"<li><code>(\d{12})</code>", answer.text)
    assert shown[:4] == ["000101012020", "000220112026", "000120112026", "005919112026"]
    assert len(shown) == 20
    assert "and 42 more bags" in answer.text
    assert len(answer.content) < 30_000


# --- 6: errors ---


@pytest.mark.parametrize(
    ("path", "form", "kept", "words"),
    [
        (
            "/sites/PKM-A/bags",
            {"code": "12", "waste": "infectious"},
            "12",
            "Kode pada label: harus tepat 12 angka; yang diketik 2.",
        ),
        (
            "/sites/PKM-A/bags",
            {"code": "000132112026", "waste": "infectious"},
            "000132112026",
            "Kode kantong tidak benar",
        ),
        (
            "/sites/PKM-A/weighings/W1/tie",
            {"bag": "009920112026"},
            "009920112026",
            "Tidak ada kantong 009920112026",
        ),
        (
            "/sites/PKM-A/alarms/HEAT-1/acknowledge",
            {"comment": "ab"},
            "ab</textarea>",
            "Jawaban: terlalu pendek, paling sedikit 3 huruf.",
        ),
        (f"{BATCH}/vvm", {"stage": "C", "reason": "ok"}, "ok</textarea>", "Alasan: terlalu pendek"),
        (
            f"{BATCH}/decision",
            {"decision": "released", "reason": "x" * 501},
            "x" * 501 + "</textarea>",
            "Alasan: 501 huruf, paling banyak 500.",
        ),
    ],
)
def test_an_errors_page_keeps_what_was_typed_and_speaks_plainly(
    world: Any, path: str, form: dict[str, str], kept: str, words: str
) -> None:
    asker = world.log_in("manager", "id")
    answer = asker.post(path, form, headers={"referer": "https://smile-iot.test/sites/PKM-A/alarms"})
    assert answer.status_code in (404, 422)
    assert words in answer.text
    assert kept in answer.text
    assert f'<form class="sheet" method="post" action="{path}">' in answer.text
    assert 'name="back" value="/sites/PKM-A/alarms"' in answer.text
    for name in ("waste", "stage", "decision"):
        if name in form:
            assert f'<input type="hidden" name="{name}" value="{form[name]}">' in answer.text
    assert not re.search(r"to \d+ signs|no bag|body\.|query\.", answer.text)
    assert 'lang="en"' not in answer.text.replace('<a href="/?lang=en" hreflang="en" lang="en">', "")


def test_what_was_typed_can_be_sent_again_from_there(world: Any) -> None:
    """Nothing is cut by itself: 501 signs are refused, 500 are kept whole; the way back stays the first page."""
    asker, path = world.log_in("operator"), "/sites/PKM-A/alarms/HEAT-1/acknowledge"
    assert "maxlength" not in asker.get("/sites/PKM-A/alarms").text  # a browser would cut what is pasted
    assert "At most 500 characters." in asker.get("/sites/PKM-A/alarms").text
    assert asker.post(path, {"comment": "y" * 501}).status_code == 422
    form = {"comment": "", "reason": "x", "back": "/sites/PKM-A/alarms"}
    again = asker.post(path, form, headers={"referer": f"https://smile-iot.test{path}"})
    assert '<a href="/sites/PKM-A/alarms">Back</a>' in again.text
    assert asker.post(path, {"comment": "y" * 500, "back": "/"}).status_code == 303
    assert world.records.alarm("HEAT-1").comment == "y" * 500


def test_what_cannot_be_sent_again_is_still_shown(world: Any) -> None:
    """An alarm that another answered: the text is there to copy, without a button that cannot help."""
    asker, path = world.log_in("operator"), "/sites/PKM-A/alarms/HEAT-1/acknowledge"
    asker.post(path, {"comment": "door closed"})
    late = asker.post(path, {"comment": "<b>vaccines moved</b>"})
    assert late.status_code == 409
    assert "&lt;b&gt;vaccines moved&lt;/b&gt;" in late.text
    assert f'action="{path}"' not in late.text
    stale = asker.client.post(path, data={"csrf": "0" * 64, "comment": "sent by a stranger"})
    assert stale.status_code == 403
    assert f'action="{path}"' not in stale.text


def test_every_refusal_of_the_records_has_words_and_help() -> None:
    from api.words import catalogue
    from gateway.records.errors import Code

    assert [c for c in Code if f"problem.{c}" not in catalogue() or f"help.{c}" not in catalogue()] == []


def test_a_bad_address_shows_no_machine_words(world: Any) -> None:
    html = world.log_in("manager", "id").get("/sites/PKM-A/audit?before=x").text
    assert "Isian belum benar" in html
    assert "int_parsing" not in html
    assert "query" not in html


# --- 7: the audit page ---


def test_the_audit_shows_what_people_did_and_all_on_request(world: Any) -> None:
    sent(world, "discard", "B2", "smile main", "refused", "{}")
    asker = world.log_in("manager")
    whole = world.records.changes_after(0, 10_000, site="PKM-A")
    people = [r for r in whole if r.role != "system"]
    assert 0 < len(people) < len(whole)
    html = asker.get("/sites/PKM-A/audit").text
    assert f"<strong>What people did ({len(people)})</strong>" in html
    assert f'<a href="?all=1">Everything, also by the system ({len(whole)})</a>' in html
    assert "(system)" not in audit_table(html)
    everything = asker.get("/sites/PKM-A/audit?all=1").text
    assert "(system)" in audit_table(everything)
    assert f'<a href="?all=0">What people did ({len(people)})</a>' in everything
    assert "SMILE: Refused by SMILE" in everything
    assert "SMILE: refused" not in everything
    assert "judged from: HEAT-1" in everything


@pytest.mark.parametrize("people", [True, False])
def test_the_audit_page_leads_back_to_the_first_row(world: Any, people: bool) -> None:
    for n in range(90):
        place = Equipment("FREEZER-A", "PKM-A", f"Freezer {n}", "freezer", "freezer")
        world.records.upsert_equipment(place, BOSS, f"name {n}", world.clock.now)
        sent(world, "discard", f"B{n}", "smile main", "pending", "")
    asker, walked = world.log_in("admin"), 0
    address: str | None = "/sites/PKM-A/audit" if people else "/sites/PKM-A/audit?all=1"
    while address:
        html = asker.get(address).text
        walked += audit_table(html).count("<tr>")
        older = re.search(r'href="(\?before=[^"]+)"', html)
        address = "/sites/PKM-A/audit" + older[1].replace("&amp;", "&") if older else None
    rows = world.records.changes_after(0, 10_000, site="PKM-A")
    assert walked == sum(r.role != "system" or not people for r in rows) > 90


def test_a_long_audit_is_not_read_for_its_count(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.pages._SHORT_CHAIN", 3)
    html = world.log_in("admin").get("/sites/PKM-A/audit").text
    total = len(world.records.changes_after(0, 10_000, site="PKM-A"))
    assert "<strong>What people did</strong>" in html
    assert f"also by the system ({total})" in html


def test_every_act_in_the_audit_has_words() -> None:
    """The actions that ``gateway.records`` writes by name, read from its source."""
    from pathlib import Path

    import gateway.records
    from api.words import catalogue

    source = "".join(p.read_text("utf-8") for p in Path(gateway.records.__file__).parent.glob("*.py"))
    actions = set(re.findall(r'action(?:: str)? ?= ?"([a-z_]+)"', source))
    assert len(actions) > 8
    assert {a for a in actions if f"action.{a}" not in catalogue()} == set()


# --- 8, 9: words ---


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "Freezing, lowest −3.19 °C"),
        ({"code": "HEAT", "extreme_c": Decimal("9.3")}, "Too warm for too long, highest 9.3 °C"),
        ({"code": "LOW"}, "Too cold, lowest −3.19 °C"),
        ({"code": "NEW_RULE", "evidence": {"comparator": ">="}}, "NEW_RULE, highest −3.19 °C"),
        ({"code": "NEW_RULE", "evidence": {"comparator": "<"}}, "NEW_RULE, lowest −3.19 °C"),
        ({"code": "NEW_RULE"}, "NEW_RULE, reached −3.19 °C"),
    ],
)
def test_an_extreme_is_named_by_its_side(change: dict[str, Any], words: str) -> None:
    from api.present import what
    from api.words import Words

    assert what(Words("en"), rule_finding(**change)) == words


def test_a_finding_is_found_at_a_time(world: Any) -> None:
    html = world.log_in("operator").get("/sites/PKM-A/alarms").text
    assert "found at 20 Nov 2026 16:00 WIT" in html
    assert "known 20 Nov" not in html
    assert "ditemukan 20 Nov" in world.log_in("operator", "id").get("/sites/PKM-A/alarms").text


def test_what_alarmed_stays_an_alarm_in_a_batchs_history(world: Any) -> None:
    """Over and answered does not make it harmless to the vaccine; an excursion is no alarm."""
    now = world.clock.now
    found = [
        rule_finding(),
        rule_finding(id="X-2", code="EXCURSION_LOW", alarms=False),
        rule_finding(id="X-3", code="HEAT", end_ms=None, extreme_c=Decimal("9.3")),
        rule_finding(id="X-4", code="LOW", kind="withdrawn"),
    ]
    world.records.save_findings(found, now)
    world.records.acknowledge("X-1", Actor("operator", "operator"), "moved the vaccines", now)
    verdict = Verdict("", "B1", "shake_test", (), ("X-1", "X-2", "X-3", "X-4"), now)
    world.records.save_verdicts([verdict], now)
    html = world.log_in("manager").get(BATCH).text
    shown = re.findall(r'<li class="box"><span class="state ([a-z]+)"><svg.*?</svg>(.*?)</span>', html)
    assert shown == [("alarm", "Alarm, over"), ("ok", "Closed"), ("alarm", "Alarm"), ("gone", "Withdrawn")]


def test_a_discard_is_asked_once_more(world: Any) -> None:
    """Works without a script: the second page wants the box ticked; the reason typed first is still there."""
    asker, form = world.log_in("manager"), {"decision": "discarded", "reason": "VVM at stage C"}
    asked = asker.post(f"{BATCH}/decision", form)
    assert asked.status_code == 200
    assert "I have checked the batch number B1-2411 on the vaccine." in asked.text
    assert '<input type="checkbox" name="sure" value="yes" required>' in asked.text
    assert "VVM at stage C</textarea>" in asked.text
    assert world.records.decision("B1") is None
    assert asker.post(f"{BATCH}/decision", form | {"sure": "on"}).status_code == 200
    assert world.records.decision("B1") is None
    assert asker.post(f"{BATCH}/decision", form | {"sure": "yes"}).status_code == 303
    assert world.records.decision("B1").decision == "discarded"
    late = asker.post(f"{BATCH}/decision", form)
    assert late.status_code == 409
    assert "already decided" in late.text


def test_a_release_is_not_asked_twice(world: Any) -> None:
    """Where nothing goes on any more (else: test_release.py): its refrigerator's alarm is over, and it stands in another."""
    now = world.clock.now
    world.records.save_findings([replace(world.records.finding("HEAT-1"), end_ms=now)], now)
    world.records.move_batch("B1", "KULKAS-B", now, BOSS, "moved", now)
    done = world.log_in("manager").post(f"{BATCH}/decision", {"decision": "released", "reason": "VVM at stage A"})
    assert done.status_code == 303


@pytest.mark.parametrize("language", ["id", "en"])
def test_the_new_pages_are_well_formed(world: Any, language: str) -> None:
    from html.parser import HTMLParser

    asker = world.log_in("manager", language)
    pages = [
        asker.post(f"{BATCH}/decision", {"decision": "discarded", **WHY}),
        asker.post(f"{BATCH}/decision", {"decision": "released", "reason": "x"}),
        asker.post(f"{BATCH}/placements", {"equipment": "KULKAS-B", "since": "x", "reason": "x"}),
        asker.get("/sites/PKM-A/audit?all=1"),
    ]
    for answer in pages:
        open_tags: list[str] = []

        class Nested(HTMLParser):
            def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
                if tag not in {"meta", "link", "input", "br", "path", "circle"}:
                    open_tags.append(tag)  # noqa: B023

            def handle_endtag(self, tag: str) -> None:
                if tag not in {"path", "circle"}:
                    assert open_tags.pop() == tag  # noqa: B023

        Nested().feed(answer.text)
        assert open_tags == []
        ids = set(re.findall(r'id="([^"]+)"', answer.text))
        assert set(re.findall(r'<label for="([^"]+)"', answer.text)) <= ids
        assert len(answer.content) < 30_000


def test_full_pages_stay_small(world: Any) -> None:
    """The most that a weigh page and a list of batches show, for who sees most of it, in the longer language."""
    now, first = world.clock.now, world.records.weighing("W1")
    world.records.add_bags(
        [Bag(f"{n:04}19112026", "PKM-A", "infectious", "A337-1", "yellow", 1, 11) for n in range(1, 200)],
        BOSS,
        "x",
        now,
    )
    world.records.save_weighings(
        [replace(first, id=f"PKM-A.E1.epoch-1.{n}", flags=("UNDATED",)) for n in range(80)], now
    )
    for n in range(30):
        world.records.tie_weighing(f"PKM-A.E1.epoch-1.{n}", f"{n + 1:04}19112026", BOSS, "scanned", now)
    for n in range(100):
        batch = replace(world.records.batch("B1"), id=f"N{n}", batch_number=f"LONG-NUMBER-{n}")
        world.records.upsert_batch(batch, BOSS, "received", now)
        world.records.save_verdicts([Verdict("", f"N{n}", "hold_and_inspect", (), (), now)], now)
        if n % 2:
            discarded(world, f"N{n}")
    asker = world.log_in("manager", "id")
    sizes = {p: len(asker.get(f"/sites/PKM-A/{p}").content) for p in ("weighing", "batches", "smile", "audit", "")}
    assert {p: size for p, size in sizes.items() if size >= 30_000} == {}


# --- found in the demo: fields of refusals, the language link ---

MARK = "/sites/PKM-A/equipment/KULKAS-A/marks"


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2026-11-20T10:00:00", "2026-11-20T09:00:00", "Sampai: harus sesudah waktu mulai."),
        ("2026-11-20T10:00:00", "2026-11-20T18:00:00", "Sampai: waktu itu belum terjadi."),
        ("2026-11-18T10:00:00", "2026-11-20T09:00:00", "Sampai: paling lama satu hari"),
    ],
)
def test_what_the_records_refuse_names_the_field_of_the_form_and_why(
    world: Any, first: str, last: str, words: str
) -> None:
    """The form to send again has all its fields, with the inputs they have on their own page."""
    form = {"stream": "LOG-1/temperature_c", "first": first, "last": last, "reason": "the cable was loose"}
    answer = world.log_in("manager", "id").post(MARK, form)
    assert answer.status_code == 422
    assert words in answer.text
    for name, value in (("first", first), ("last", last)):
        assert re.search(rf'name="{name}" type="datetime-local"[^>]* required value="{value}"', answer.text)


def test_a_field_that_came_empty_is_in_the_form_to_send_again(world: Any) -> None:
    form = {
        "stream": "LOG-1/temperature_c",
        "first": "2026-11-20T10:00:00",
        "last": "2026-11-20T11:00:00",
        "reason": "",
    }
    answer = world.log_in("manager", "id").post(MARK, form)
    assert "Alasan: wajib diisi." in answer.text
    assert '<textarea id="typed-reason" name="reason"' in answer.text


def test_the_link_to_the_other_language_keeps_what_the_page_was_asked(world: Any) -> None:
    html = world.log_in("operator", "id").get("/sites/PKM-A/scan", params={"code": "(10)A&B", "done": "placed"}).text
    assert 'href="/sites/PKM-A/scan?code=%2810%29A%26B&amp;lang=en"' in html
