"""The ledger's page: where an edge's numbers are, why some are not here, and what a person should look at."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from api.present import ledger_item, ledger_notes
from api.questions import LedgerBook
from api.words import Words
from ingest.edge_clock import ClockOff
from ingest.epochs import SILENT_MS, EdgeSummary, StreamSummary
from ingest.identities import Identity, IdentityKind
from telemetry.readings import Ranges

NOW_MS = 1_790_000_000_000
ZONE = "Asia/Jayapura"
STREAM = StreamSummary("T1/temperature_c", 100, 80, 5, 1, 3, 7_200_000, NOW_MS)
LINE = EdgeSummary(
    *("S", "E1", "e"), True, 1_000_000, 999_985, 1, 5, 2, NOW_MS - 60_000, Ranges([(11, 13)]),
    lost={"corrupt_file": Ranges([(20, 25)])}, late=3, worst_late_ms=7_200_000, wire_bytes=2_500_000, streams=(STREAM,),
)  # fmt: skip


def item(line: EdgeSummary = LINE, language: str = "en", now_ms: int = NOW_MS) -> dict[str, Any]:
    return ledger_item(Words(language), line, now_ms, ZONE)


def test_the_bar_is_whole_and_even_one_number_in_a_million_is_seen() -> None:
    bar = item()["bar"]
    assert [name for name, _, _ in bar] == ["received", "thinned", "quarantined", "lost", "missing"]
    assert all(width >= 0.4 for _, _, width in bar)
    assert sum(width for _, _, width in bar) == pytest.approx(100, abs=0.1)
    assert all(a[1] + a[2] == pytest.approx(b[1], abs=0.02) for a, b in itertools.pairwise(bar))


def test_an_epoch_of_which_nothing_is_known_has_no_bar() -> None:
    assert item(EdgeSummary("S", "E1", "e", True, 0, 0, 0, 0, 0, 0, Ranges()))["bar"] == []


def test_what_is_not_here_has_its_reason_in_words() -> None:
    assert item()["absent"] == [
        "6 lost at the edge (a damaged file): 20–25",
        "3 missing, asked for again: 11–13",
        "1 wait in the data quarantine",
    ]
    silent = item(now_ms=NOW_MS + SILENT_MS)["absent"][1]
    assert silent.startswith("3 missing, the edge is silent since 21 Sep 2026")
    ended = item(replace(LINE, current=False))["absent"][1]
    assert ended.startswith("3 missing of an epoch that has ended")


def test_what_was_lost_is_not_called_complete() -> None:
    assert item(replace(LINE, missing=Ranges()))["kind"] == "out"
    assert item(replace(LINE, missing=Ranges(), lost={}))["kind"] == "ok"


@pytest.mark.parametrize("language", ["id", "en"])
def test_every_note_has_words(language: str) -> None:
    identities = [Identity("S", "E1", kind, "b", "a", NOW_MS, NOW_MS) for kind in IdentityKind]
    clocks = [ClockOff("S", "E1", off, NOW_MS, synced=True) for off in (300_000, -300_000)]
    notes = ledger_notes(Words(language), LedgerBook([], clocks, identities), ZONE)
    assert len(set(notes)) == len(IdentityKind) + 2
    assert all(note.startswith("E1: ") for note in notes)


def test_the_page_shows_streams_and_notes(world: Any) -> None:
    world.ledger[0] = replace(world.ledger[0], streams=(STREAM,), wire_bytes=2_500_000)
    page = world.log_in("admin").get("/sites/PKM-A/ledger").text
    assert "T1/temperature_c" in page
    assert "not told yet" not in page
    world.ledger[0] = replace(world.ledger[0], streams=(replace(STREAM, produced=0),))
    page = world.log_in("admin", "id").get("/sites/PKM-A/ledger").text
    assert "belum dilaporkan" in page
    assert "Kotak pengirim menghitung sendiri" in page
    page = world.log_in("admin").get("/sites/PKM-A/ledger").text
    assert '<rect class="received"' in page


def test_json_tells_the_same(world: Any) -> None:
    world.ledger[0] = replace(world.ledger[0], streams=(STREAM,), lost=LINE.lost)
    line = world.as_role("admin").get("/api/v1/sites/PKM-A/ledger").json()[0]
    assert {(a["cause"], a["count"], a["detail"]) for a in line["absent"]} == {
        ("lost", 6, "corrupt_file"), ("asked_for", 9, ""), ("quarantine", 1, ""),
    }  # fmt: skip
    assert (line["streams"][0]["not_here"], line["clock_off_ms"], line["identities"]) == (15, 0, [])
