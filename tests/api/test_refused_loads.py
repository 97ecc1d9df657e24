"""Who puts a bag on the scale sees that it was refused, when, why, and what to do; the count stands where such counts do."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edge.weighing
from api.words import catalogue
from gateway.records import ScaleRefusal

MINUTE = 60_000


def refuse(world: Any, reason: str, ago_min: float, *, dated: bool = True) -> None:
    at_ms = world.clock.now - int(ago_min * MINUTE)
    made = ScaleRefusal(f"{reason}-{ago_min}", "PKM-A", "E1", "SCALE-1", reason, at_ms if dated else None, at_ms)
    world.records.save_scale_refusals([made], world.clock.now)


def test_every_reason_of_a_scale_has_its_words_and_what_to_do() -> None:
    """The reasons are those in the source of ``edge.weighing``."""
    calls = [n for n in ast.walk(ast.parse(Path(edge.weighing.__file__).read_text())) if isinstance(n, ast.Call)]
    made = {"_refuse": 1, "Refused": 0}
    places = [c.args[made[c.func.id]] for c in calls if isinstance(c.func, ast.Name) and c.func.id in made and c.args]
    reasons = {
        n.value for p in places for n in ast.walk(p) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }
    assert {"same_as_before", "load_left", "set_zero", "unstable"} < reasons
    assert {f"{group}.{r}" for r in reasons for group in ("refused_why", "refused_do")} <= set(catalogue())


@pytest.mark.parametrize(
    ("language", "why", "todo"),
    [
        ("id", "Beban lama masih di atas timbangan.", "tunggu angka nol, lalu letakkan satu kantong."),
        ("en", "An old load still stands on the scale.", "wait for zero, then put one bag on."),
    ],
)
def test_the_weigh_station_says_that_a_load_was_refused_when_why_and_what_to_do(
    world: Any, language: str, why: str, todo: str
) -> None:
    """The furnished scale weighed five minutes ago; the refusal came after it."""
    assert "refused" not in world.log_in("operator", language).get("/sites/PKM-A/weighing").text
    refuse(world, "load_left", 1)
    html = world.log_in("operator", language).get("/sites/PKM-A/weighing").text
    assert why in html
    assert todo in html
    assert "SCALE-1" in html
    assert catalogue()["refused.badge"][language] in html  # its sign is a word too, never colour alone


def test_one_that_was_weighed_since_is_told_as_such_and_no_longer_counted_on_the_sites_page(world: Any) -> None:
    refuse(world, "unstable", 10)
    weighed, site = catalogue()["refused.weighed_since"]["en"], "/weighing#refused"
    asker = world.log_in("operator")
    assert weighed in asker.get("/sites/PKM-A/weighing").text
    assert site not in asker.get("/sites/PKM-A").text
    refuse(world, "same_as_before", 2)
    assert site in asker.get("/sites/PKM-A").text


def test_one_without_a_date_says_when_it_was_received_and_one_of_yesterday_is_gone(world: Any) -> None:
    refuse(world, "overload", 3, dated=False)
    refuse(world, "rezero", 24 * 60 + 1)
    html = world.log_in("operator").get("/sites/PKM-A/weighing").text
    assert "its time is not known yet, received" in html
    assert "less than zero" not in html


def test_the_ledger_counts_them_by_scale_and_reason_over_30_days(world: Any) -> None:
    for ago in (1, 2, 60 * 24 * 5):
        refuse(world, "unstable", ago)
    refuse(world, "load_left", 7)
    refuse(world, "overload", 60 * 24 * 31)
    html = world.log_in("manager").get("/sites/PKM-A/ledger").text
    assert "SCALE-1: 4 refused" in html
    assert html.index("Times: 3. The weight never came to rest.") < html.index("Times: 1. An old load")
    assert "more than the scale" not in html


def test_the_ledger_shows_the_20_commonest_lines_and_says_how_many_more_there_are(world: Any) -> None:
    for n in range(25):
        refuse(world, f"odd{n:02}", 1)
    refuse(world, "unstable", 1)
    refuse(world, "unstable", 2)
    html = world.log_in("manager").get("/sites/PKM-A/ledger").text
    assert "SCALE-1: 27 refused" in html
    assert html.count("<li>Times: ") == 20
    assert "Times: 2. The weight never came to rest." in html
    assert "More lines, not shown: 6" in html


def test_the_sites_page_counts_all_that_were_refused_and_not_only_those_that_are_shown(world: Any) -> None:
    for n in range(33):
        refuse(world, "unstable", n / 30)
    assert "with none weighed since: 33." in world.log_in("operator").get("/sites/PKM-A").text


def test_weighings_without_a_date_neither_hide_the_dated_ones_nor_clear_a_refusal(world: Any) -> None:
    """The furnished scale weighed five minutes ago: one refusal is older, the other newer."""
    refuse(world, "unstable", 10)
    refuse(world, "load_left", 2)
    newest = replace(world.records.weighing("W1"), t_ms=None, received_ms=world.clock.now)
    world.records.save_weighings([replace(newest, id=f"undated{n}") for n in range(50)], world.clock.now)
    asker = world.log_in("operator")
    assert "with none weighed since: 1." in asker.get("/sites/PKM-A").text
    html = asker.get("/sites/PKM-A/weighing").text
    assert html.count(catalogue()["refused.weighed_since"]["en"]) == 1
    assert html.count(catalogue()["refused.badge"]["en"]) == 1


def test_another_sites_refusals_are_not_told_here(world: Any) -> None:
    made = ScaleRefusal("x", "PKM-B", "E1", "SCALE-9", "overload", world.clock.now, world.clock.now)
    world.records.save_scale_refusals([made, replace(made, id="y", site="")], world.clock.now)
    assert "SCALE-9" not in world.log_in("operator").get("/sites/PKM-A/weighing").text


def test_a_reason_of_a_newer_edge_is_shown_by_its_name_and_with_the_common_advice(world: Any) -> None:
    refuse(world, "too_hot<b>", 1)
    html = world.log_in("operator").get("/sites/PKM-A/weighing").text
    assert "too_hot&lt;b&gt;" in html
    assert "wait for zero, and weigh again" in html
