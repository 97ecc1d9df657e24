"""What the pages and the API say of a batch while its newest VVM reading is not judged, and of a release that is over.

Nothing judges in this world: it is as if the judging process were down.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.records import Actor, Verdict

BOSS = Actor("manager", "manager")
OPERATOR = Actor("operator", "operator")
BATCH = "/sites/PKM-A/batches/B2"
PACK_PAGES = (BATCH, "/sites/PKM-A/batches", "/sites/PKM-A")


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def shown(world: Any, path: str, language: str = "en") -> str:
    return text_of(world.log_in("manager", language).get(path).text)


def told(world: Any, batch: str = "B2") -> Any:
    return world.as_role("operator").get(f"/api/v1/sites/PKM-A/batches/{batch}").json()


def judge(world: Any, word: str, *reasons: dict[str, Any], batch: str = "B2") -> None:
    now = world.clock.now
    world.records.save_verdicts([Verdict("", batch, word, reasons, (), now)], now)


@pytest.fixture
def calm(world: Any) -> Any:
    """B2 stands in refrigerator B and may be used."""
    world.records.add_placement("B2", "KULKAS-B", world.clock.now - 1000, BOSS, "stored", world.clock.now)
    judge(world, "no_action")
    return world


@pytest.mark.parametrize("stage", ["C", "D"])
def test_22_stage_c_or_d_forbids_the_batch_before_alerts_has_judged_it(calm: Any, stage: str) -> None:
    for path in PACK_PAGES:
        assert "No action" in shown(calm, path), path
    assert (told(calm)["answer"], told(calm)["judged_anew"]) == ("no_action", False)
    calm.records.observe_vvm("B2", stage, OPERATOR, "read", calm.clock.now)
    for path in PACK_PAGES:
        page = shown(calm, path)
        assert "No action" not in page, path
        assert f"operator read VVM stage {stage}" in page, path
        assert "it is being judged anew" in page, path
    page = shown(calm, BATCH)
    assert "Do not use. A manager decides whether it is discarded." in page
    assert "May be used" not in page
    assert "sedang dinilai ulang" in shown(calm, BATCH, "id")
    assert (told(calm)["answer"], told(calm)["judged_anew"]) == ("discard_proposed", True)
    (listed,) = [b for b in calm.as_role("operator").get("/api/v1/sites/PKM-A/batches").json() if b["id"] == "B2"]
    assert (listed["answer"], listed["judged_anew"], listed["vvm_worst"]["stage"]) == (
        "discard_proposed",
        True,
        stage,
    )
    judge(
        calm, "discard_proposed", {"code": f"vvm_stage_{stage.lower()}", "asks_for": "discard_proposed", "text": "x"}
    )
    assert "it is being judged anew" not in shown(calm, BATCH)
    assert (told(calm)["answer"], told(calm)["judged_anew"]) == ("discard_proposed", False)


def test_22_stage_b_asks_to_use_it_first_before_it_is_judged(calm: Any) -> None:
    calm.records.observe_vvm("B2", "B", OPERATOR, "read", calm.clock.now)
    assert told(calm)["answer"] == "use_first"
    assert "Use first" in shown(calm, "/sites/PKM-A/batches")
    rows = calm.as_role("operator").get("/api/v1/sites/PKM-A/use-first").json()
    assert [(r["batch"], r["turn"], r["why"]) for r in rows if r["batch"] == "B2"] == [("B2", 1, "vvm_b")]


def test_22_a_release_does_not_outlive_a_worse_vvm_and_stage_a_takes_nothing_back(world: Any) -> None:
    """B1 is released on its heat; C is read after that, then A by somebody who looked at another vial."""
    world.records.decide("B1", "released", BOSS, "VVM at A", world.clock.now)
    assert told(world, "B1")["answer"] == "released"
    world.clock.now += 60_000
    world.records.observe_vvm("B1", "C", OPERATOR, "read", world.clock.now)
    world.clock.now += 60_000
    world.records.observe_vvm("B1", "A", BOSS, "another vial", world.clock.now)
    assert told(world, "B1")["answer"] == "discard_proposed"
    html = world.log_in("manager").get("/sites/PKM-A/batches/B1").text
    page = text_of(html)
    assert "Released by manager" in page
    assert "that release no longer holds since" in page
    assert "<strong>Released for use" not in html
    counts = page.index("What counts: stage C, the worst one read")
    assert counts < page.index("Read last: stage A")
    rows = world.as_role("operator").get("/api/v1/sites/PKM-A/use-first").json()
    assert [(r["turn"], r["why"]) for r in rows if r["batch"] == "B1"] == [(None, "vvm_end")]


def test_25_a_release_that_no_longer_holds_says_since_when_and_why(world: Any) -> None:
    world.records.decide("B1", "released", BOSS, "VVM at A", world.clock.now)
    html = world.log_in("manager").get("/sites/PKM-A/batches/B1").text
    assert "<strong>Released for use by manager" in html
    heat = {"code": "heat_confirmed", "asks_for": "hold_and_inspect", "text": "x"}
    went_on = {
        "code": "went_on_after_release",
        "asks_for": "hold_and_inspect",
        "text": "y",
        "released_ms": world.clock.now,
    }
    world.clock.now += 60_000
    judge(world, "hold_and_inspect", heat, went_on, batch="B1")
    html = world.log_in("manager", "id").get("/sites/PKM-A/batches/B1").text
    assert "<strong>Dilepas untuk dipakai" not in html
    assert re.search(
        r"Dilepas oleh manager, [^<]*, tetapi pelepasan itu tidak berlaku lagi sejak [^<]*: Paparan berlanjut", html
    )
    judge(world, "no_action", batch="B1")  # a newer verdict that asks nothing takes the release not back
    assert "<strong>Released for use by manager" in world.log_in("manager").get("/sites/PKM-A/batches/B1").text


def test_the_refusal_of_a_better_stage_promises_no_correction(world: Any) -> None:
    world.records.observe_vvm("B2", "C", OPERATOR, "read", world.clock.now)
    page = text_of(world.log_in("operator", "id").post(f"{BATCH}/vvm", {"stage": "A", "reason": "read"}).text)
    assert "VVM hanya menjadi gelap: yang terburuk tetap berlaku." in page
    assert "diperbaiki" not in page
