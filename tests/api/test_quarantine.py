"""A quarantined message on page and API: explained, repaired, asked for; the original stays."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.quarantine_words import detail_text, explained, shown_payload
from api.words import LANGUAGES, Words, catalogue
from gateway.records import Actor
from gateway.repairs import Repair
from ingest.quarantine import Reason
from telemetry.contract import decode_upload

NOW_MS = 1_795_161_600_000
WHY = {"reason": "looked at by the test"}
GOOD = (
    '{"v":1,"kind":"readings","edge":"E1","epoch":"epoch-1","ranges":[[7,7]],"sent_at":"2026-11-20T07:00:00.000Z",'
    '"streams":[{"id":"LOG-1/temperature_c","origin":"live","boot_id":"b","sync":"synced","max_error_ms":5,"seq":[7],'
    '"t_ms":[1795161600000],"value":[4.6],"quality":{},"boottime_ns":[1000000000],"wall_ms":[1795161600000]}],"mac":null}'
)


def put(world: Any, reason: str, payload: bytes = GOOD.encode()) -> str:
    item = replace(world.records.quarantine_item("Q2"), id="", reason=reason, payload=payload, serials=("LOG-1",))
    (made,) = world.records.quarantine(item)
    return str(made)


def test_every_reason_is_explained_in_both_languages() -> None:
    """Of ingest and of the codec, read from their sources."""
    root = Path(__file__).parents[2] / "telemetry"
    sources = [
        (root / f"{n}.py").read_text() for n in ("contract", "columns", "compact", "topics", "quantities", "mac")
    ]
    reasons = {str(r) for r in Reason} | {r for t in sources for r in re.findall(r'ContractError\(\s*"(\w+)"', t)}
    reasons -= {"bad_receipt", "bad_request"}
    assert len(reasons) > 24
    groups = ("quarantine_reason", "quarantine_means")
    assert {f"{g}.{r}" for g in groups for r in reasons if f"{g}.{r}" not in catalogue()} == set()
    for language in LANGUAGES:
        for reason in reasons:
            said = explained(Words(language), reason)
            assert said.means
            assert said.todo


def test_a_reason_that_nobody_foresaw_is_told_as_it_is() -> None:
    said = explained(Words("en"), "from_the_future")
    assert said.title == "from_the_future"
    assert "could not accept" in said.means


def test_the_page_says_why_what_to_do_and_what_it_holds(world: Any) -> None:
    item = put(world, "clock_ahead")
    page = world.log_in("manager").get(f"/sites/PKM-A/quarantine/{item}").text
    assert "lie ahead of the server" in page
    assert "Accept without a time" in page
    assert "Send through as it is" not in page
    assert "LOG-1/temperature_c" in page
    admin = world.log_in("admin").get(f"/sites/PKM-A/quarantine/{item}").text
    assert "Accept without a time" not in admin
    assert f"/sites/PKM-A/quarantine/{item}" in world.log_in("admin").get("/sites/PKM-A/quarantine").text


def test_the_bahasa_pages_hold_no_english_but_the_helpdesks_detail(world: Any) -> None:
    """What ingest noted is told in the person's language; its own words stand apart, marked as English."""
    item = world.records.quarantine_item(put(world, "wrong_site"))
    (made,) = world.records.quarantine(replace(item, id="", detail="3 readings of LOG-1", epoch="e9"))
    world.records.replay_refused(
        made, "clock_ahead", "3 readings of LOG-1", Actor.system("ingest"), NOW_MS, asked_ms=None
    )
    asker = world.log_in("manager", "id")
    for path in ("/sites/PKM-A/quarantine", f"/sites/PKM-A/quarantine/{made}"):
        html = asker.get(path).text
        assert "Isinya 3 data suhu dari alat LOG-1." in html
        told = re.sub(r'<span lang="en">.*?</span>|<textarea.*?</textarea>|<pre>.*?</pre>', "", html, flags=re.DOTALL)
        for word in ("readings of", "refused again", "registered", "ingest"):
            assert word not in told, word
    assert "pesan ditolak lagi: Jam alat terlalu maju" in html


def test_what_ingest_notes_is_still_written_as_we_read_it() -> None:
    root = Path(__file__).parents[2] / "ingest"
    check, intake = (root / "check.py").read_text(), (root / "intake.py").read_text()
    assert 'f"{len(facts)} {upload.kind} of {serial}"' in check
    assert 'f"upload says edge {upload.edge!r}"' in check
    assert 'f"{len(other)} {checked.kind} under numbers that hold other content"' in intake
    for detail in (
        "12 readings of LOG-1",
        "1 weighings under numbers that hold other content",
        "upload says edge 'E2'",
    ):
        assert detail_text(Words("id"), detail), detail
    assert detail_text(Words("id"), "streams[0]: not a number") == ""


def test_a_chosen_repair_is_kept_and_asked_for(world: Any) -> None:
    item = put(world, "clock_ahead")
    asker = world.log_in("manager")
    sent = asker.post(f"/sites/PKM-A/quarantine/{item}/correct", {"repair": "undated", "payload": "", **WHY})
    assert sent.status_code == 303, sent.text
    kept = world.records.quarantine_item(item)
    assert (kept.repair, kept.asked_by, kept.payload) == ("undated", "manager", GOOD.encode())
    assert kept.corrected is not None
    assert decode_upload(kept.corrected).facts[0].fact.sampled_at_ms is None
    page = asker.get(f"/sites/PKM-A/quarantine/{item}").text
    assert "manager asked to send it through" in page
    assert "Correction: Accept without a time" in page
    assert [r.action for r in world.records.audit_of(f"quarantine:{item}")] == [
        "quarantine_corrected",
        "quarantine_replay_asked",
    ]


def test_a_person_may_write_the_message_as_it_should_be(world: Any) -> None:
    item = put(world, "out_of_bounds", GOOD.replace("4.6", "999999").encode())
    asker, path = world.log_in("manager"), f"/sites/PKM-A/quarantine/{item}/correct"
    empty = asker.post(path, {"repair": "supplied", "payload": " ", **WHY})
    assert empty.status_code == 422
    broken = asker.post(path, {"repair": "supplied", "payload": "{oops", **WHY})
    assert broken.status_code == 422
    assert "This correction cannot be used" in broken.text
    assert "{oops" in broken.text  # what was typed stays
    assert world.records.quarantine_item(item).corrected is None
    assert asker.post(path, {"repair": "supplied", "payload": GOOD, **WHY}).status_code == 303
    assert world.records.quarantine_item(item).corrected == GOOD.encode()


@pytest.mark.parametrize("reason", ["no_mac", "bad_mac", "edge_revoked", "unknown_edge"])
def test_a_wrong_signature_is_explained_and_only_put_aside(world: Any, reason: str) -> None:
    item = put(world, reason)
    asker = world.log_in("manager")
    page = asker.get(f"/sites/PKM-A/quarantine/{item}").text
    assert "/correct" not in page
    assert "/discard" in page
    for repair in Repair:
        sent = asker.post(f"/sites/PKM-A/quarantine/{item}/correct", {"repair": repair, "payload": GOOD, **WHY})
        assert sent.status_code == 422
    refused = world.as_role("manager").post(f"/api/v1/quarantine/{item}/replay", json=WHY)
    assert (refused.status_code, refused.json()["reason"]) == (409, "NOT_REPLAYABLE")
    assert asker.post(f"/sites/PKM-A/quarantine/{item}/discard", WHY).status_code == 303


def test_machines_correct_and_replay_in_two_steps(world: Any) -> None:
    item, asker = put(world, "out_of_bounds", GOOD.replace("4.6", "999999").encode()), world.as_role("manager")
    early = asker.post(f"/api/v1/quarantine/{item}/replay", json=WHY)
    assert (early.status_code, early.json()["reason"]) == (409, "not_replayable")
    body = {"repair": "supplied", "payload": GOOD, **WHY}
    assert asker.post(f"/api/v1/quarantine/{item}/correct", json=body).status_code == 200
    assert asker.post(f"/api/v1/quarantine/{item}/replay", json=WHY).status_code == 202
    shown = asker.get(f"/api/v1/quarantine/{item}").json()
    assert b64decode(shown["payload"]) == GOOD.replace("4.6", "999999").encode()
    assert b64decode(shown["corrected"]) == GOOD.encode()
    assert (shown["repair"], shown["repairs"], shown["asked_by"]) == ("supplied", ["supplied"], "manager")
    assert world.records.verify_chain("PKM-A").ok


def test_bytes_that_are_no_text_are_shown_in_hex(world: Any) -> None:
    item = put(world, "unknown_encoding", b"\x01\xff\xfe" + bytes(3000))
    page = world.log_in("manager").get(f"/sites/PKM-A/quarantine/{item}")
    assert page.status_code == 200
    assert "01 ff fe" in page.text
    assert len(page.text) < 30_000
    assert shown_payload("é".encode() * 2000)[1]
    assert not shown_payload(b"\xff")[1]


def test_a_message_of_markup_is_shown_as_text(world: Any) -> None:
    item = put(world, "not_json", b"<script>alert(1)</script>")
    page = world.log_in("manager").get(f"/sites/PKM-A/quarantine/{item}").text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
