"""The document of a verdict is sealed by the audited row, and old verdicts go without."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from gateway.records import UnknownRecord, Verdict, canonical

HOLD = Verdict("", "B1", "hold_and_inspect", ({"code": "HEAT"},), ("F1",), 1000, journal_offset=7, audit_id=3)
BODY = {"v": 1, "word": "hold_and_inspect", "exposure": {"min_c": "2.1", "known_s": 60}, "timeline": []}


def test_a_document_is_kept_under_its_hash_and_the_row_carries_it(world: Any) -> None:
    r = world.records
    (kept,) = r.save_verdicts([HOLD], 1000, documents={"B1": BODY})
    document = r.verdict_document("B1.v1")
    rest = {k: v for k, v in document.items() if k != "hash"}
    assert rest == {**BODY, "verdict": "B1.v1"}
    assert document["hash"] == kept.document_hash == hashlib.sha256(canonical(rest).encode()).hexdigest()
    assert (kept.journal_offset, kept.audit_id) == (7, 3)
    (row,) = r.audit_of("verdict:B1.v1")
    assert row.new_value["document_hash"] == kept.document_hash
    assert r.verify_chain("S1").ok


def test_the_same_judgement_again_keeps_the_document_it_had(world: Any) -> None:
    r = world.records
    r.save_verdicts([HOLD], 1000, documents={"B1": BODY})
    before = r.verdict_document("B1.v1")
    later = replace(HOLD, judged_ms=2000, journal_offset=9)
    (kept,) = r.save_verdicts([later], 2000, documents={"B1": {**BODY, "judged_at": "later"}})
    assert (kept.id, kept.journal_offset, r.verdict_document("B1.v1")) == ("B1.v1", 7, before)


def test_a_second_decision_shows_the_document_of_the_judgement_it_is_about(world: Any) -> None:
    r = world.records
    r.save_verdicts([HOLD], 1000, documents={"B1": BODY})
    r.decide("B1", "released", world.budi, "VVM at A", 2000)
    second = r.decide("B1", "discarded", world.budi, "broken", 3000)
    assert second.id == "B1.v2"
    assert r.verdict_document("B1.v2") == r.verdict_document("B1.v1")
    assert r.verify_chain("S1").ok


def test_a_verdict_from_before_documents_stays_readable(world: Any) -> None:
    r = world.records
    (kept,) = r.save_verdicts([replace(HOLD, journal_offset=None, audit_id=None)], 1000)
    assert (kept.document_hash, r.verdict_document("B1.v1")) == (None, None)
    assert r.verify_chain("S1").ok
    with pytest.raises(UnknownRecord):
        r.verdict_document("B1.v9")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE verdict_documents SET document = replace(document, '2.1', '2.2')", "was altered"),
        ("DELETE FROM verdict_documents", "is gone"),
    ],
)
def test_an_altered_document_breaks_the_check_of_the_chain(world: Any, tamper: Any, change: str, why: str) -> None:
    world.records.save_verdicts([HOLD], 1000, documents={"B1": BODY})
    tamper(change)
    (found,) = world.records.verify_chain("S1").breaks
    assert (found.subject, found.why) == ("verdict:B1.v1", f"the document of the verdict {why}")


def test_the_history_of_a_batch_is_the_newest_one_and_leaves_no_audit_row(world: Any) -> None:
    r = world.records
    assert r.batch_history("B1") is None
    before = r.newest_change()
    r.save_history("B1", BODY, 1000)
    r.save_history("B1", {**BODY, "word": "no_action"}, 2000)
    assert (r.batch_history("B1")["word"], r.newest_change()) == ("no_action", before)
    with pytest.raises(UnknownRecord):
        r.save_history("B9", BODY, 1000)


def test_a_float_has_no_place_in_a_document(world: Any) -> None:
    with pytest.raises(TypeError):
        world.records.save_verdicts([HOLD], 1000, documents={"B1": {"min_c": 2.1}})
    assert world.records.verdict("B1") is None
