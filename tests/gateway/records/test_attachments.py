"""What SMILE got."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.records import Attachment

DISCARD = Attachment("discard", "B1.v1", "main", "sha256:aa", "pending", "", 10, "S1")


def test_the_newest_state_of_each_subject_is_kept(world: Any) -> None:
    r = world.records
    temperatures = Attachment("temperatures", "LOG-1:1-100", "main", "sha256:bb", "stored", "100 ok", 20, "S1")
    r.save_attachments([DISCARD, temperatures])
    r.save_attachments(replace(DISCARD, state="stored", reply="204", at_ms=30))
    assert r.attachment("discard", "B1.v1", "main").state == "stored"
    assert r.attachment("discard", "nothing", "main") is None
    assert [a.subject for a in r.attachments()] == ["B1.v1", "LOG-1:1-100"]
    assert [a.subject for a in r.attachments("temperatures", states=["stored"])] == ["LOG-1:1-100"]
    assert r.attachment_counts("S1") == {"discard": {"stored": 1}, "temperatures": {"stored": 1}}


def test_discards_and_weights_are_audited_temperatures_are_not(world: Any) -> None:
    r = world.records
    begun = r.newest_change()
    r.save_attachments([DISCARD, replace(DISCARD, kind="temperatures"), replace(DISCARD, kind="weight")])
    r.save_attachments(replace(DISCARD, kind="temperatures", state="stored"))
    assert [a.key for a in r.changes_after(begun)] == ["discard/B1.v1/main", "weight/B1.v1/main"]
    assert r.verify_chain("S1").ok
