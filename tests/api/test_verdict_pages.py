"""The page and the JSON of a verdict: reasons in both languages, the picture, what it rests on, how it is checked."""

from __future__ import annotations

import hashlib
import json
import re
import xml.etree.ElementTree as ET
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.document import product_json, profile_json
from alerts.products import builtin_table
from alerts.profiles import builtin_profiles
from api.history import Stay, Stretch, drawn, joined, ms_of, pixels, stays_of, windows
from api.verdict_words import Told, history_ticks, picture
from api.words import LANGUAGES, Words
from gateway.records import Verdict
from gateway.records.canonical import canonical
from telemetry.errors import NeighbourDownError

HOUR, MINUTE = 3_600_000, 60_000
OUT_MS = 1_795_161_600_000 - HOUR  # an hour before the clock of the world
PAGE = "/sites/PKM-A/verdicts/B1.v1"


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


@pytest.mark.parametrize(
    ("language", "wanted"),
    [
        (
            "id",
            (
                "Tahan dan periksa", "mengalami alarm panas", "Terlalu panas terlalu lama, tertinggi 9,3 °C",

                "Di atas 8,0 °C selama 10 jam", "1 hari 2 jam", "Perkiraan tidak pernah membebaskan", "4,3 %", "jenis VVM",
                "1 hari 2 jam dari riwayat suhunya tidak diketahui",
            ),
        ),
        (
            "en",
            (
                "Hold and inspect", "lived through a heat alarm", "Too warm for too long, highest 9.3 °C",
                "Above 8.0 °C for 10 h",
                "1 d 2 h", "An estimate never clears a batch", "4.3 %", "VVM type",
                "1 d 2 h of its history are unknown",
            ),
        ),
    ],
)  # fmt: skip
def test_a_verdict_tells_its_reasons_in_plain_words_of_both_languages(
    world: Any, language: str, wanted: tuple[str, ...]
) -> None:
    answer = world.log_in("operator", language).get(PAGE)
    assert answer.status_code == 200
    text = text_of(answer.text)
    assert {w for w in wanted if w.casefold() not in text.casefold()} == set()
    assert len(answer.content) < 30_000  # a bad link


def test_a_verdict_shows_by_what_it_can_be_checked(world: Any, documented: dict[str, Any]) -> None:
    """Rule and version, limit, readings and their digest, as-of places, hash, and the command that recomputes it."""
    text = text_of(world.log_in("admin").get(PAGE).text)
    for part in ("refrigerator/HEAT, version 1", "66 readings", "LOG-1/temperature_c", "132 readings", "ab" * 32, "cd" * 32,
                 "number 4711", "number 815", documented["hash"], "smile-iot explain B1.v1", "stage A", "sari"):  # fmt: skip
        assert part.casefold() in text.casefold(), part


def test_a_code_without_words_is_shown_with_its_facts_and_never_left_out(world: Any) -> None:
    text = text_of(world.log_in("manager", "id").get(PAGE).text)
    assert "seen_by_a_newer_rule: highest_c 9,3 °C" in text


def test_the_json_is_the_document_itself_so_that_its_hash_can_be_computed(
    world: Any, documented: dict[str, Any]
) -> None:
    asker = world.as_role("operator")
    whole = asker.get("/api/v1/sites/PKM-A/verdicts/B1.v1").json()
    assert (whole["verdict"]["id"], whole["document"]) == ("B1.v1", documented)
    alone = asker.get("/api/v1/sites/PKM-A/verdicts/B1.v1/document")
    assert alone.text == canonical(documented)
    assert json.loads(alone.text) == documented
    unsealed = {key: value for key, value in json.loads(alone.text).items() if key != "hash"}
    text = json.dumps(unsealed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == documented["hash"].removeprefix("sha256:")


def test_a_verdict_from_before_documents_were_kept_still_has_its_page(world: Any) -> None:
    page = world.log_in("admin").get("/sites/PKM-C/verdicts/B9.v1").text
    assert "made before its basis was kept" in page
    assert "lived through a heat alarm" in page
    assert world.as_role("admin").get("/api/v1/sites/PKM-C/verdicts/B9.v1").json()["document"] is None
    assert world.as_role("admin").get("/api/v1/sites/PKM-C/verdicts/B9.v1/document").status_code == 404


def test_a_withdrawn_verdict_says_so_and_points_to_the_latest(world: Any) -> None:
    """History: nothing is overwritten; who decided what on which verdict stays to be read."""
    reasons = ({"code": "freeze_shake_test", "asks_for": "shake_test", "text": "x"},)
    world.records.save_verdicts([Verdict("", "B1", "shake_test", reasons, (), world.clock.now)], world.clock.now)
    world.as_role("manager").post(
        "/api/v1/batches/B1/decision", json={"decision": "released", "reason": "shake test passed", "knowing": True}
    )
    old = text_of(world.log_in("manager").get(PAGE).text)
    assert "This verdict was withdrawn" in old
    assert "Latest verdict: Shake test" in old
    new = text_of(world.log_in("manager").get("/sites/PKM-A/verdicts/B1.v2").text)
    assert "Released for use by manager" in new
    assert "shake test passed" in new
    rows = world.as_role("operator").get("/api/v1/sites/PKM-A/batches/B1/verdicts").json()
    assert [(r["id"], r["state"], r["decision"]) for r in rows] == [
        ("B1.v1", "withdrawn", None),
        ("B1.v2", "decided", "released"),
    ]
    assert "All verdicts on this batch (2)" in world.log_in("manager").get("/sites/PKM-A/batches/B1").text


def test_the_picture_hatches_what_is_unknown_and_names_its_states(world: Any) -> None:
    """Never by colour alone: hatching and chequers, a word for each piece, letters for places, a sentence for all."""
    html = world.log_in("manager").get(PAGE).text
    svg = re.search(r'<svg class="chart" viewBox="0 0 480 304".*?</svg>', html, re.DOTALL)
    assert svg is not None
    root = ET.fromstring(svg[0])
    lanes = [e for e in root.iter() if e.get("class", "").startswith("lane")]
    assert [e.get("class") for e in lanes] == [
        "lane unknown", "lane in", "lane unknown", "lane in", "lane out", "lane place",
    ]  # fmt: skip
    assert [e.get("fill") for e in lanes if e.get("class") == "lane unknown"] == ["url(#hatch)"] * 2
    assert [e.get("fill") for e in lanes if e.get("class") == "lane out"] == ["url(#chequer)"]
    assert all(next(iter(e)).text for e in lanes)
    line = next(e for e in root.iter() if e.get("class") == "line")
    assert line.get("d", "").count("M") == 2  # nothing is drawn through the hole
    assert "Out of range 10 h 55 min, unknown 1 d 2 h of 2 d" in text_of(html)


def test_without_the_store_the_page_still_stands(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The document tells lowest and highest of each span."""

    def down(*_: Any) -> Any:
        raise NeighbourDownError("store", "gone")

    monkeypatch.setattr(type(world.store), "read_columns", down)
    html = world.log_in("manager").get(PAGE).text
    assert html.count('class="extent"') == 3


def test_a_document_that_lacks_parts_is_shown_as_far_as_it_goes(world: Any) -> None:
    made = {
        "v": 1,
        "verdict": "B1.v1",
        "reasons": [{"code": "heat_confirmed"}],
        "findings": [{"id": "X"}],
        "hash": None,
    }
    world.records.verdict_document = {"B1.v1": made}.get
    assert world.log_in("manager").get(PAGE).status_code == 200


def test_a_verdict_of_another_site_is_not_reached_through_ones_own_address(world: Any) -> None:
    asker = world.as_role("manager")
    for path in ("/api/v1/sites/PKM-A/verdicts/B9.v1", "/api/v1/sites/PKM-A/verdicts/B9.v1/document",
                 "/api/v1/sites/PKM-A/batches/B9/verdicts", "/api/v1/sites/PKM-A/verdicts/B1.v7"):  # fmt: skip
        assert asker.get(path).status_code == 404, path
    assert world.log_in("manager").get("/sites/PKM-A/verdicts/B9.v1").status_code == 404


# --- the history behind the picture ---------------------------------------------------------------------------------


def test_times_of_a_document_are_read_exactly() -> None:
    assert ms_of("2026-11-20T08:00:00.123Z") == 1_795_161_600_123
    assert [ms_of(x) for x in (None, "", "yesterday", "2026-11-20T08:00:00", True)] == [None] * 5


def test_each_place_has_one_letter() -> None:
    rows = [{"equipment": e, "from": f"2026-01-0{n}T00:00:00Z", "to": None} for n, e in enumerate("XYX", 1)]
    assert [s.mark for s in stays_of({"placements": rows})] == ["A", "B", "A"]


@given(
    st.lists(
        st.tuples(st.integers(1, 90 * 60_000), st.sampled_from(["in", "out", "unknown"])), min_size=1, max_size=80
    )
)
def test_the_worst_state_of_a_pixel_is_drawn_so_that_nothing_short_is_hidden(pieces: list[tuple[int, str]]) -> None:
    at, made = 0, []
    for length, state in pieces:
        made.append(Stretch(at, at + length, state, None, None, ("E",)))
        at += length
    spans = pixels(made, 0, at)
    assert (spans[0].from_ms, spans[-1].to_ms) == (0, at)
    assert all(a.to_ms == b.from_ms for a, b in pairwise(spans))
    assert ("out" in {s.text for s in spans}) == ("out" in {s.state for s in made})
    for s in made:
        over = [x for x in spans if x.from_ms < s.to_ms and x.to_ms > s.from_ms]
        if s.state == "out":
            assert {x.text for x in over} == {"out"}
        elif s.state == "unknown":
            assert "in" not in {x.text for x in over}


def test_a_reading_of_unknown_time_or_another_place_is_not_drawn() -> None:
    """A late reading does not cover what the verdict did not know; nor does one from before the batch came."""
    stays = [Stay("E", 10, 50, "x"), Stay("F", 50, None, "x")]
    known = [
        Stretch(a, b, state, None, None, ("E",))
        for a, b, state in ((0, 20, "in"), (20, 30, "unknown"), (30, 90, "out"))
    ]
    seen = windows(stays, known, "E", 90)
    assert seen == [(10, 20), (30, 50)]
    times = list(range(0, 90, 5))
    points = drawn(times, [t * 1000 for t in times], {7}, seen, 0, 90)
    assert [p.t_ms for p in points if p.value is not None] == [10, 15, 30, 40, 45]
    assert [p.t_ms for p in points if p.value is None] == [10, 30]


def test_a_year_of_minutes_stays_small_and_keeps_its_peaks() -> None:
    times = range(0, 365 * 24 * HOUR, MINUTE)
    values = [5000] * len(times)
    values[100_000], values[400_000] = 12_700, -900
    points = drawn(times, values, (), [(0, times[-1] + 1)], 0, times[-1] + 1)
    assert len(points) < 900
    assert {Decimal("12.7"), Decimal("-0.9")} <= {p.value for p in points}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("days", [1, 2, 3, 14, 90, 800])
def test_the_marks_below_a_picture_are_few(language: str, days: int) -> None:
    marks = history_ticks(Words(language), "Asia/Jayapura", 1_795_161_600_000 - days * 24 * HOUR, 1_795_161_600_000)
    assert 2 <= len(marks) <= 8


def test_a_history_told_by_the_hour_is_listed_by_what_changed() -> None:
    made = [Stretch(n, n + 1, "out" if n == 4 else "in", Decimal(n), Decimal(n + 1), ("E",)) for n in range(8)]
    rows = joined(made)
    assert [(s.from_ms, s.to_ms, s.state, s.low_c, s.high_c) for s in rows] == [
        (0, 4, "in", 0, 4),
        (4, 5, "out", 4, 5),
        (5, 8, "in", 5, 8),
    ]


def test_out_of_range_too_shortly_for_an_alarm_is_not_called_no_exposure() -> None:
    def said(below_s: int) -> str:
        return Told(Words("id"), "Asia/Jakarta", {}, {"exposure": {"below_s": below_s}}).no_reason()

    assert said(60) == "Suhu di luar batas, belum cukup lama untuk alarm; tetap diawasi."
    assert said(0) == "Tidak ada paparan di luar batas."


# --- found by a new user in the demo --------------------------------------------------------------------------------


def stood_in_a_freezer(document: dict[str, Any], kfa: str) -> dict[str, Any]:
    """The document as it would be of this product, which stood in KULKAS-A, a freezer of a puskesmas."""
    product = product_json(builtin_table().by_kfa[kfa])
    limits = profile_json(builtin_profiles()["refrigerator"])
    return document | {
        "product": product,
        "places": {"KULKAS-A": {"level": "puskesmas", "freezes": True, "chills": False}},
        "rules": document["rules"] | {"profiles": [limits]},
    }


def test_27_the_limits_shown_are_those_of_the_place_where_frost_does_no_harm(documented: Any) -> None:
    """cold-chain.md 6, 27: OPV in a puskesmas's freezer is judged by its high side alone; the picture's band agrees."""
    for language, wanted in (
        ("id", ("Batas yang dipakai, Freezer", "sampai 8,0 °C; beku tidak merusak vaksin ini")),
        ("en", ("Limits used, Freezer", "up to 8.0 °C; frost does this vaccine no harm")),
    ):
        told = Told(
            Words(language), "Asia/Jakarta", {"KULKAS-A": "Freezer"}, stood_in_a_freezer(documented, "93004968")
        )
        assert told.product()[-1] == wanted
        made = picture(told, "OPV", [], Decimal(2), Decimal(8))
        assert made is not None
        assert re.findall(r'limit-text"[^>]*>([^<]*)<', made[0]) == ["8 °C"]


def test_a_vaccine_that_must_never_freeze_keeps_its_own_limits_in_a_freezer(documented: Any) -> None:
    told = Told(Words("en"), "Asia/Jakarta", {}, stood_in_a_freezer(documented, "93001284"))
    assert told.product()[-1] == ("Limits used", "Refrigerator +2 to +8 °C")


@pytest.mark.parametrize(("to_ms", "wanted"), [(None, "Take it out now"), (OUT_MS, "stood in a freezer from")])
def test_what_was_taken_out_is_told_in_the_past_with_its_times(
    documented: Any, to_ms: int | None, wanted: str
) -> None:
    """By the records of now: the document was made while it still stood there."""
    start = documented["placements"][0]["from"]
    wrong = documented["findings"][0] | {"id": "W-1", "code": "WRONG_STORAGE", "from": start, "to": None}
    reason = {"code": "wrong_storage_freezer", "asks_for": "hold_and_inspect", "findings": ["W-1"], "params": {}}
    made = documented | {"findings": [wrong], "reasons": [reason]}
    ended = {} if to_ms is None else {ms_of(start): to_ms}
    told = Told(Words("en"), "Asia/Jakarta", {}, made, ended)  # type: ignore[arg-type]
    (said,) = told.reasons()
    assert wanted in said["text"]
    assert (to_ms is None) == ("Take it out" in said["text"])
