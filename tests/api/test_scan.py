"""The scan of a pack: "may I still give it?" at once, registering from the code, who may say what a GTIN is (40)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from alerts.products import load_products
from gateway.records import Actor, Batch, GtinLink, Verdict

BOSS = Actor("manager", "manager")
GTIN = "08991234000015"
PRINTED = "(01)08991234000015(17)271130(10)PB2411A(21)000123"
RAW = "]d2010899123400001517271130" + "10PB2411A\x1d" + "21000123\r\n"


@pytest.fixture
def pack(world: Any) -> Any:
    """Batch PB2411A of Pentabio, judged fine; the GTIN is linked at PKM-A."""
    r, now = world.records, world.clock.now
    r.upsert_batch(
        Batch("P1", "PKM-A", "93001284", "Pentabio", "PB2411A", date(2027, 11, 30), 40), BOSS, "received", now
    )
    r.link_gtin(GtinLink(GTIN, "93001284", "Pentabio", "PKM-A"), BOSS, "read on the carton", now)
    r.add_placement("P1", "KULKAS-B", now - 1000, BOSS, "stored", now)
    r.save_verdicts([Verdict("", "P1", "no_action", (), (), now)], now)
    return world


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def scan(asker: Any, code: str) -> Any:
    return asker.get(f"/api/v1/sites/PKM-A/scan?code={quote(code)}").json()


@pytest.mark.parametrize("code", [PRINTED, RAW], ids=["printed", "raw FNC1"])
def test_req_40_both_forms_find_the_batch_and_say_that_it_may_be_given(pack: Any, code: str) -> None:
    said = scan(pack.as_role("operator"), code)
    assert (said["gtin"], said["batch_number"], said["expires_on"], said["serial"]) == (
        GTIN, "PB2411A", "2027-11-30", "000123",
    )  # fmt: skip
    assert said["word"] == "found"
    assert said["batches"] == [
        {"batch": "P1", "expires_on": "2027-11-30", "expiry": "same", "written_otherwise": False,
         "may_give": True, "why": "first_expiry", "turn": 1, "first": None}
    ]  # fmt: skip
    assert said["product"] == {
        "kfa": ["93001284"], "name": "DTP-HB-Hib (Pentabio)", "vvm_type": "VVM7", "freeze_class": "sensitive",
        "shake_test_valid": True, "low_c": 2, "high_c": 8,
    }  # fmt: skip
    for language, wanted in (("id", "Boleh diberikan"), ("en", "May be given")):
        page = text_of(pack.log_in("operator", language).get(f"/sites/PKM-A/scan?code={quote(code)}").text)
        assert wanted in page
        assert "VVM7" in page


def test_req_40_a_number_in_other_capitals_is_found_and_both_languages_say_so(pack: Any) -> None:
    """GS1 batch numbers are case-sensitive: pb2411a in the records is, by the standard, not the pack's PB2411A."""
    typed = replace(pack.records.batch("P1"), batch_number="pb2411a")
    pack.records.upsert_batch(typed, BOSS, "typed so", pack.clock.now)
    (given,) = scan(pack.as_role("operator"), PRINTED)["batches"]
    assert (given["batch"], given["may_give"], given["written_otherwise"]) == ("P1", True, True)
    for language, wanted in (("id", "dalam catatan tertulis pb2411a"), ("en", "the records say pb2411a")):
        page = pack.log_in("operator", language).get(f"/sites/PKM-A/scan?code={quote(PRINTED)}").text
        assert wanted in text_of(page)


def test_req_40_check_digit_6_is_refused_in_plain_words_and_what_was_typed_stays(pack: Any) -> None:
    wrong = PRINTED.replace("4000015", "4000016")
    answer = pack.as_role("operator").get(f"/api/v1/sites/PKM-A/scan?code={quote(wrong)}")
    assert (answer.status_code, answer.json()["reason"]) == (422, "barcode_check_digit")
    for language, wanted in (("id", "tidak cocok"), ("en", "does not fit")):
        page = pack.log_in("operator", language).get(f"/sites/PKM-A/scan?code={quote(wrong)}").text
        assert f"(01)08991234000016 {wanted}" in text_of(page).replace("“", "").replace("„", "")
        assert f'value="{wrong}"' in page
        assert "PB2411A" not in text_of(page)  # nothing is said of a batch


def test_req_40_an_expiry_that_differs_is_shown_as_a_conflict_and_the_answer_is_no(pack: Any) -> None:
    code = PRINTED.replace("271130", "271031")
    said = scan(pack.as_role("operator"), code)
    assert said["word"] == "expiry_differs"
    assert [(b["may_give"], b["why"], b["expires_on"]) for b in said["batches"]] == [
        (False, "expiry_differs", "2027-11-30")
    ]
    page = text_of(pack.log_in("operator").get(f"/sites/PKM-A/scan?code={quote(code)}").text)
    assert "Do not give yet" in page
    assert "On the pack 31 Oct 2027 In the records 30 Nov 2027" in page


@pytest.mark.parametrize(
    ("verdict", "why"),
    [("hold_and_inspect", "waits"), ("discard_proposed", "waits"), ("shake_test", "waits"), (None, "not_judged")],
)
def test_what_waits_for_a_person_or_was_never_judged_is_not_given(pack: Any, verdict: str | None, why: str) -> None:
    r, now = pack.records, pack.clock.now
    if verdict is None:
        code = PRINTED.replace("PB2411A", "PB2411Z")
        r.upsert_batch(
            Batch("P2", "PKM-A", "93001284", "Pentabio", "PB2411Z", date(2027, 11, 30), 40), BOSS, "received", now
        )
    else:
        code = PRINTED
        r.save_verdicts([Verdict("", "P1", verdict, (), (), now)], now)
    (given,) = scan(pack.as_role("operator"), code)["batches"]
    assert (given["may_give"], given["why"], given["turn"]) == (False, why, None)


def test_a_later_batch_may_be_given_and_the_earlier_is_named(pack: Any) -> None:
    r, now = pack.records, pack.clock.now
    r.upsert_batch(Batch("P0", "PKM-A", "93001284", "Pentabio", "PB10", date(2027, 1, 31), 40), BOSS, "in", now)
    r.add_placement("P0", "KULKAS-B", now - 1000, BOSS, "stored", now)
    r.save_verdicts([Verdict("", "P0", "no_action", (), (), now)], now)
    (given,) = scan(pack.as_role("operator"), PRINTED)["batches"]
    assert (given["may_give"], given["why"], given["turn"], given["first"]) == (True, "not_first", 2, "P0")
    assert "use PB10 first" in text_of(pack.log_in("operator").get(f"/sites/PKM-A/scan?code={quote(PRINTED)}").text)


def test_req_26_what_stands_nowhere_now_is_not_given(pack: Any) -> None:
    """It was taken out and nobody said where to: "unknown placement is unknown, not safe" (issue 4)."""
    pack.records.end_placement("P1", pack.clock.now - 500, BOSS, "to the session", pack.clock.now)
    (given,) = scan(pack.as_role("operator"), PRINTED)["batches"]
    assert (given["may_give"], given["why"], given["turn"]) == (False, "nowhere", None)
    for language, wanted in (("id", "Catat dulu tempatnya."), ("en", "Record its place first.")):
        page = text_of(pack.log_in("operator", language).get(f"/sites/PKM-A/scan?code={quote(PRINTED)}").text)
        assert wanted in page
        listed = text_of(pack.log_in("operator", language).get("/sites/PKM-A/use-first").text)
        assert {"id": "Tempatnya tidak dicatat", "en": "Not recorded where it stands"}[language] in listed


def test_an_unknown_gtin_says_so_and_offers_the_link_to_whom_may_make_it(pack: Any) -> None:
    code = "(01)08991234000022(10)PB2411A"
    assert scan(pack.as_role("operator"), code)["word"] == "unknown_gtin"
    address = f"/sites/PKM-A/scan?code={quote(code)}"
    nurse = pack.log_in("operator").get(address).text
    assert "Ask the manager" in text_of(nurse)
    assert 'action="/sites/PKM-A/gtins"' not in nurse
    assert 'action="/sites/PKM-A/gtins"' in pack.log_in("manager").get(address).text


def test_a_linked_gtin_is_found_at_once_and_the_audit_says_who_linked_it(pack: Any) -> None:
    asker, code = pack.log_in("manager"), "(01)08991234000022(17)271130(10)PB2411A"
    form = {"gtin": "08991234000022", "product": "93001284", "reason": "the box of ten", "scanned": code}
    answer = asker.post("/sites/PKM-A/gtins", form)
    assert answer.status_code == 303
    assert "May be given" in text_of(asker.get(answer.headers["location"]).text)
    (row,) = pack.records.audit_of("gtin:08991234000022/PKM-A")
    assert (row.actor, row.action, row.reason, row.new_value["product_kfa"]) == (
        "manager", "gtin_created", "the box of ten", "93001284",
    )  # fmt: skip


def test_a_manager_links_for_sites_in_reach_and_only_a_super_admin_for_all(pack: Any) -> None:
    body = {"gtin": GTIN, "product_kfa": "93001284", "product_name": "Pentabio", "reason": "as on the box"}
    manager = pack.as_role("manager")
    assert manager.post("/api/v1/gtins", json=body | {"site": "PKM-C"}).json()["reason"] == "region"
    assert manager.post("/api/v1/gtins", json=body | {"site": None}).json()["reason"] == "role"
    asker = pack.log_in("manager")
    form = {"gtin": GTIN, "product": "93001284", "reason": "as on the box", "everywhere": "yes"}
    assert asker.post("/sites/PKM-A/gtins", form).status_code == 403
    assert pack.as_role("super_admin").post("/api/v1/gtins", json=body | {"site": None}).status_code == 200
    rows = pack.as_role("operator").get("/api/v1/sites/PKM-A/gtins").json()
    assert [(r["gtin"], r["site"]) for r in rows] == [(GTIN, None), (GTIN, "PKM-A")]
    wrong = body | {"site": "PKM-A", "gtin": "08991234000016"}
    assert manager.post("/api/v1/gtins", json=wrong).json()["reason"] == "BAD_VALUE"


def test_links_that_contradict_each_other_are_shown_and_nothing_is_said_of_the_batch(pack: Any) -> None:
    pack.records.link_gtin(GtinLink(GTIN, "93005477", "HepB"), BOSS, "country list", pack.clock.now)
    said = scan(pack.as_role("operator"), PRINTED)
    assert (said["word"], said["batches"], said["product"]) == ("disputed_gtin", [], None)
    page = text_of(pack.log_in("operator").get(f"/sites/PKM-A/scan?code={quote(PRINTED)}").text)
    assert "record: Pentabio (KFA 93001284)" in page
    assert "By the record for all sites: HepB" in page
    assert "May be given" not in page


def test_a_batch_is_registered_from_its_code_and_where_it_stands(pack: Any) -> None:
    asker, code = pack.log_in("manager"), PRINTED.replace("PB2411A", "PB2412C")
    found = asker.get(f"/sites/PKM-A/scan?code={quote(code)}").text
    assert "not registered at this site" in text_of(found)
    (address,) = re.findall(r'href="(/sites/PKM-A/register-batch\?code=[^"]+)"', found)
    form = asker.get(address).text
    assert 'value="PB2412C"' in form
    assert 'value="2027-11-30"' in form
    assert re.findall(r'<option value="(9\d{7})">', form) == ["93001284"]
    sent = {
        "product": "93001284", "batch_number": "PB2412C", "expires_on": "2027-11-30", "doses": "40",
        "equipment": "KULKAS-B", "scanned": code,
    }  # fmt: skip
    answer = asker.post("/sites/PKM-A/batches", sent)
    assert answer.headers["location"].startswith("/sites/PKM-A/batches/PKM-A.PB2412C?")
    made = pack.records.batch("PKM-A.PB2412C")
    assert (made.product_kfa, made.batch_number, made.expires_on, made.doses) == (
        "93001284", "PB2412C", date(2027, 11, 30), 40,
    )  # fmt: skip
    assert [p.equipment for p in pack.records.placements(batch=made.id)] == ["KULKAS-B"]
    (row,) = pack.records.audit_of(f"batch:{made.id}")
    assert (row.actor, code in row.reason) == ("manager", True)
    again = asker.post("/sites/PKM-A/batches", sent)
    assert again.status_code == 409
    assert "registered here already" in text_of(again.text)


def test_a_batch_that_cannot_be_placed_is_not_registered_either(pack: Any) -> None:
    asker, before = pack.log_in("manager"), pack.records.newest_change()
    sent = {"product": "93001284", "batch_number": "N1", "expires_on": "2027-11-30", "doses": "40"}
    assert asker.post("/sites/PKM-A/batches", sent | {"equipment": "KULKAS-C"}).status_code == 409
    wrong = asker.post("/sites/PKM-A/batches", sent | {"expires_on": "30-11-2027"})
    assert (wrong.status_code, 'value="N1"' in wrong.text) == (422, True)
    assert asker.post("/sites/PKM-A/batches", sent | {"product": "93009999"}).status_code == 422
    assert pack.records.newest_change() == before


def test_an_id_that_another_site_has_taken_gets_a_counter(pack: Any) -> None:
    pack.records.upsert_batch(
        Batch("PKM-A.N1", "PKM-C", "93005477", "HepB", "N1", date(2027, 1, 1), 1), BOSS, "in", pack.clock.now
    )
    sent = {"product": "93001284", "batch_number": "N1", "expires_on": "2027-11-30", "doses": "40"}
    answer = pack.log_in("manager").post("/sites/PKM-A/batches", sent)
    assert "/batches/PKM-A.N1.2?" in answer.headers["location"]


def test_the_field_is_reached_by_keyboard_and_sends_by_enter_without_a_script(pack: Any) -> None:
    """A scanner types and ends with Enter: one field in a form with one button, first in the page, with the focus."""
    page = pack.log_in("operator").get("/sites/PKM-A/scan").text
    (form,) = re.findall(r'<form class="row box" method="get" action="/sites/PKM-A/scan".*?</form>', page, re.DOTALL)
    assert form.count("<input") == form.count("<button") == form.count("autofocus") == 1
    assert "<script" not in page
    assert 'action="/sites/PKM-A/scan"' in pack.log_in("operator").get("/sites/PKM-A/batches").text


def test_a_text_of_any_length_is_answered_and_never_an_error_of_ours(pack: Any) -> None:
    asker = pack.log_in("operator")
    for code in ("x" * 300, "(01)", "\u241d", "%00", "(10)<script>alert(1)</script>"):
        answer = asker.get("/sites/PKM-A/scan", params={"code": code})
        assert answer.status_code == 200
        assert "<script" not in answer.text


def test_a_batchs_page_says_what_it_lived_through_since_the_verdict_too(world: Any, documented: Any) -> None:
    """The verdict's document is of its own time; the batch's history goes on (decision 0027)."""
    later = documented | {"exposure": documented["exposure"] | {"max_c": "9.7", "above_s": 43_200}}
    world.records.save_history("B1", later, world.clock.now)
    page = text_of(world.log_in("operator").get("/sites/PKM-A/batches/B1").text)
    assert "What it lived through until" in page
    assert "not judged since" in page
    assert "until now" not in page
    assert "Too warm 12 h" in page
    assert "Highest 9.7 °C" in page


def test_smile_26_a_bag_code_of_two_sites_is_shown_as_a_conflict_at_both(world: Any) -> None:
    bag = world.records.bag("PKM-A", "000120112026")
    asker = world.log_in("operator")
    assert "at another site too" not in asker.get("/sites/PKM-A/weighing").text
    world.records.add_bags([replace(bag, site="PKM-C")], BOSS, "labels printed", world.clock.now)
    assert "000120112026 : PKM-C" in text_of(asker.get("/sites/PKM-A/weighing").text)


def test_a_gtin_of_the_countrys_products_file_needs_no_persons_link(world: Any, tmp_path: Path) -> None:
    """Setting ``alerts.products_file``: a row with several pack sizes finds the batch of either."""
    file = tmp_path / "products.toml"
    file.write_text(
        'version = "x"\n[[product]]\nname = "Pentabio"\nkfa = ["93001283", "93001284"]\ngtin = ["08991234000015"]\n'
        'freeze_class = "sensitive"\nshake_test_valid = true\nhas_diluent = false\nvvm_type = "VVM14"\n'
        'sources = ["the country"]\n'
    )
    world.app.state.desk = replace(world.app.state.desk, products=load_products(file))
    said = scan(world.as_role("operator"), "(01)08991234000015(17)271130(10)B2-2411")
    assert [x["source"] for x in said["links"]] == ["table", "table"]
    assert (said["word"], [b["batch"] for b in said["batches"]], said["product"]["vvm_type"]) == (
        "found",
        ["B2"],
        "VVM14",
    )


def test_27_a_scan_names_the_range_of_the_place_the_vaccine_stands_in(pack: Any) -> None:
    """OPV in a puskesmas's freezer: its cold side is not judged there, so the answer names none."""
    r, now = pack.records, pack.clock.now
    fridge = r.equipment("KULKAS-B")
    r.upsert_equipment(replace(fridge, kind="freezer", name="Freezer"), BOSS, "it is one", now)
    r.upsert_batch(replace(r.batch("P1"), product_kfa="93004968"), BOSS, "read again", now)
    r.link_gtin(GtinLink(GTIN, "93004968", "bOPV", "PKM-A"), BOSS, "read again", now)
    for language, wanted in (
        ("id", "di Freezer sampai 8,0 °C; beku tidak merusak vaksin ini"),
        ("en", "in Freezer up to 8.0 °C; frost does this vaccine no harm"),
    ):
        page = text_of(pack.log_in("operator", language).get(f"/sites/PKM-A/scan?code={quote(PRINTED)}").text)
        assert wanted in page
