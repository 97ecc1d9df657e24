"""The list "use first" of a site: order, what has no turn, and where it stands."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import Any

from gateway.records import Actor, Verdict

BOSS = Actor("manager", "manager")


def judged_fine(world: Any, *batches: str) -> None:
    now = world.clock.now
    world.records.save_verdicts([Verdict("", b, "no_action", (), (), now) for b in batches], now)


def nowhere(world: Any) -> tuple[Any, ...]:
    last = world.as_role("operator").get("/api/v1/sites/PKM-A/use-first").json()[-1]
    return last["batch"], last["turn"], last["why"]


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_22_the_list_puts_stage_b_before_what_expires_sooner(world: Any) -> None:
    """B3 reads stage B and expires last; B1 waits for a person; B4 is expired on the site's own day."""
    b2, now = world.records.batch("B2"), world.clock.now
    for name, expires in (("B3", date(2029, 1, 1)), ("B4", date(2026, 11, 19))):
        made = replace(b2, id=name, batch_number=f"{name}-2411", expires_on=expires)
        world.records.upsert_batch(made, BOSS, "received", now)
    world.records.observe_vvm("B3", "B", BOSS, "read", now)
    world.records.add_placement("B3", "KULKAS-B", now - 1000, BOSS, "stored", now)
    world.records.add_placement("B2", "KULKAS-A", now - 1000, BOSS, "stored", now)
    judged_fine(world, "B2", "B3")
    rows = world.as_role("operator").get("/api/v1/sites/PKM-A/use-first").json()
    assert [(r["batch"], r["turn"], r["why"]) for r in rows] == [
        ("B3", 1, "vvm_b"),
        ("B2", 2, "first_expiry"),
        ("B4", None, "expired"),
        ("B1", None, "waits"),
    ]
    assert rows[0]["stands"] == ["Kulkas B"]
    for language, wanted in (("id", "Jangan dipakai"), ("en", "Do not use")):
        page = text_of(world.log_in("operator", language).get("/sites/PKM-A/use-first").text)
        assert page.index("B3-2411") < page.index("B2-2411") < page.index(wanted) < page.index("B1-2411")


def test_a_release_puts_a_batch_back_in_its_turn(world: Any) -> None:
    world.records.decide("B1", "released", BOSS, "looked at it", world.clock.now)
    rows = world.as_role("operator").get("/api/v1/sites/PKM-A/use-first").json()
    assert [(r["batch"], r["turn"], r["why"]) for r in rows] == [
        ("B1", 1, "first_expiry"),
        ("B2", None, "not_judged"),
    ]
    judged_fine(world, "B2")
    assert nowhere(world) == ("B2", None, "nowhere")  # judged by its VVM, say; nobody said where it stands
    world.records.add_placement("B2", "KULKAS-B", world.clock.now, BOSS, "stored", world.clock.now)
    rows = world.as_role("operator").get("/api/v1/sites/PKM-A/use-first").json()
    assert [(r["batch"], r["turn"]) for r in rows] == [("B1", 1), ("B2", 2)]
