"""Every page in both languages: labels, headings, no colour alone, small, nothing from outside, texts escaped."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest

from gateway.records import Actor, Equipment

VOID = {"meta", "link", "input", "br", "img", "hr"}
PATHS = {
    "sites": "/",
    "site": "/sites/PKM-A",
    "equipment": "/sites/PKM-A/equipment/KULKAS-A",
    "quiet": "/sites/PKM-A/equipment/FREEZER-A",
    "limits": "/sites/PKM-A/equipment/KULKAS-A/limits",
    "readings": "/sites/PKM-A/equipment/KULKAS-A/readings",
    "alarms": "/sites/PKM-A/alarms",
    "alarm": "/sites/PKM-A/alarms/HEAT-1",
    "batches": "/sites/PKM-A/batches",
    "batch": "/sites/PKM-A/batches/B1",
    "verdict": "/sites/PKM-A/verdicts/B1.v1",
    "use_first": "/sites/PKM-A/use-first",
    "weighing": "/sites/PKM-A/weighing",
    "report": "/sites/PKM-A/report",
    "smile": "/sites/PKM-A/smile",
    "ledger": "/sites/PKM-A/ledger",
    "quarantine": "/sites/PKM-A/quarantine",
    "audit": "/sites/PKM-A/audit",
    "problem": "/sites/PKM-C",
    "empty": "/sites/PKM-B",
}


class Checked(HTMLParser):
    """Collects what the checks ask, and that every element is closed where it should be."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.fields: list[dict[str, str | None]] = []
        self.labels: set[str | None] = set()
        self.inside_label: list[bool] = []
        self.headings: list[int] = []
        self.addresses: list[str] = []
        self.attributes: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        if "id" in values:
            self.ids.append(str(values["id"]))
        if tag == "label":
            self.labels.add(values.get("for"))
        if tag in {"input", "select", "textarea"} and values.get("type") != "hidden" and "label" not in self.stack:
            self.fields.append(values)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.addresses += [str(v) for n, v in attrs if n in {"href", "src", "action"}]
        if tag not in VOID and "svg" not in self.stack:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        if "svg" in self.stack and tag != "svg":
            return
        if not self.stack or self.stack.pop() != tag:
            self.wrong.append(f"</{tag}>")


@pytest.fixture(autouse=True)
def tied(world: Any) -> None:
    """One weighing is tied, so that the weigh page shows its correction form."""
    probe, day_ms = "LOG-1/temperature_c", 86_400_000
    boss, now = Actor("wiring", "super_admin"), world.clock.now
    world.records.correct_probe(probe, now - day_ms, Decimal("-0.3"), "KAL-17", boss, "certificate", now)
    for hour in (1, 2):
        world.records.mark_readings(probe, now - hour * 3_600_000, now - hour * 3_500_000, boss, "cable", now)
    world.records.take_back_mark(probe, 1, boss, "the wrong hour", now)
    world.records.tie_weighing("W2", "000220112026", Actor("wiring", "operator"), "scanned", world.clock.now)


@pytest.mark.parametrize("language", ["id", "en"])
@pytest.mark.parametrize("name", PATHS)
def test_a_page_is_well_formed_small_and_usable(world: Any, name: str, language: str) -> None:
    answer = world.log_in("manager", language).get(PATHS[name])
    html, seen = answer.text, Checked(answer.text)
    assert answer.status_code == (403 if name == "problem" else 200)
    assert len(answer.content) < 30_000
    assert (seen.wrong, seen.stack) == ([], [])
    assert f'<html lang="{language}">' in html
    assert [i for i, n in Counter(seen.ids).items() if n > 1] == []
    # A label for every field; the skip link's target; one first heading and no level left out.
    assert [f for f in seen.fields if f.get("id") not in seen.labels] == []
    assert "main" in seen.ids
    assert seen.headings.count(1) == 1
    assert seen.headings[0] == 1
    assert all(b - a <= 1 for a, b in zip(seen.headings, seen.headings[1:], strict=False))
    # Nothing from outside, no script, no inline style: the policy would block it anyway.
    assert [a for a in seen.addresses if not a.startswith(("/", "#", "data:,", "?"))] == []
    assert seen.tags["script"] == seen.tags["style"] == 0
    assert seen.attributes["style"] == 0
    assert [n for n in seen.attributes if n.startswith("on")] == []
    # Every form that changes something carries its token.
    assert html.count("<form") - html.count('method="get"') == html.count('name="csrf"')
    # No state by colour alone: each sign stands beside a word.
    assert re.findall(r'class="state [a-z]+">(?:<svg.*?</svg>)?\s*</span>', html) == []
    if language == "id":  # in English it is a word
        assert "None" not in re.sub(r"<[^>]*>", "", html)


def test_the_log_in_page_is_checked_too(world: Any) -> None:
    for language in ("id", "en"):
        answer = world.client().get("/login", params={"lang": language})
        seen = Checked(answer.text)
        assert (seen.wrong, seen.stack, seen.headings) == ([], [], [1])
        assert [f for f in seen.fields if f.get("id") not in seen.labels] == []
        assert f'<html lang="{language}">' in answer.text


def test_what_people_typed_is_shown_and_never_run(world: Any) -> None:
    """A name or comment with markup stays text, in pages and in the picture."""
    bad = '<script>alert("x")</script>&'
    boss, now = Actor("wiring", "super_admin"), world.clock.now
    world.records.upsert_equipment(
        Equipment("KULKAS-A", "PKM-A", bad, "refrigerator", "refrigerator"), boss, "x", now
    )
    asker = world.log_in("manager")
    answer = asker.post("/sites/PKM-A/alarms/HEAT-1/acknowledge", {"comment": bad})
    assert answer.status_code == 303
    for name in ("site", "equipment", "alarms", "batch", "audit"):
        html = asker.get(PATHS[name]).text
        assert "<script" not in html, name
        assert Checked(html).wrong == [], name
    assert "&lt;script&gt;" in asker.get(PATHS["alarms"]).text


def test_the_chosen_language_stays(world: Any) -> None:
    client = world.client()
    assert 'lang="id"' in client.get("/login").text
    assert 'lang="en"' in client.get("/login", params={"lang": "en"}).text
    assert 'lang="en"' in client.get("/login").text
    assert 'lang="en"' in client.get("/login", params={"lang": "<script>"}).text


def test_the_colours_of_texts_have_enough_contrast() -> None:
    """WCAG AA, 4.5 : 1, computed from the style sheet's own colours."""
    from pathlib import Path

    css = (Path(__file__).parents[2] / "api" / "static" / "style.css").read_text("utf-8")
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6})", css))
    for text, ground in (
        ("ink", "paper"), ("ink", "ground"), ("soft", "paper"), ("soft", "ground"), ("brand", "paper"),
        ("brand", "ground"), ("paper", "brand"), ("ok", "ok-ground"), ("alarm", "alarm-ground"),
        ("warn", "warn-ground"), ("unknown", "unknown-ground"), ("paper", "alarm"), ("brand", "alarm-ground"),
    ):  # fmt: skip
        assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert _contrast(colours["strong-edge"], colours["paper"]) >= 3  # edges of fields


def _contrast(one: str, other: str) -> float:
    a, b = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (a + 0.05) / (b + 0.05)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
