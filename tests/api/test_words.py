"""The catalogue is complete, the templates use only what it has, times and numbers are written as people do."""

from __future__ import annotations

import re
import string
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from api.present import wrong_text
from api.problems import Wrong
from api.words import LANGUAGES, Words, catalogue, pick_language
from gateway.records.errors import Code
from gateway.records.waste import waste_classes

API = Path(__file__).parents[2] / "api"
SOURCES = sorted([*API.glob("templates/*.html"), *API.glob("*.py"), *API.parent.glob("smile_iot/*.py")])


def _names(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", catalogue())
def test_every_text_is_in_both_languages_with_the_same_names(key: str) -> None:
    texts = catalogue()[key]
    assert set(texts) == set(LANGUAGES)
    assert all(text.strip() for text in texts.values())
    assert _names(texts["id"]) == _names(texts["en"])


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_every_key_that_is_used_is_in_the_catalogue(path: Path) -> None:
    used = re.findall(r"""\b(?:w|words)\(\s*["']([a-z_]+\.[A-Za-z_]+)["']\s*[,)]""", path.read_text("utf-8"))
    missing = [key for key in used if key not in catalogue()]
    assert missing == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_every_group_that_is_joined_to_a_code_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    groups = re.findall(r"""(?:w|words)\.known\(\s*["']([a-z_]+)["']""", text)
    groups += re.findall(r"""\b(?:w|words)\(\s*f?["']([a-z_]+)\.["'{]""", text)
    known = {key.split(".")[0] for key in catalogue()}
    assert set(groups) <= known


def test_what_people_meet_most_has_words_of_its_own() -> None:
    """Codes of rules, refusals on pages, classes of waste: none shows as a bare code."""
    from alerts.profiles import builtin_profiles

    codes = {limit.code for profile in builtin_profiles().values() for limit in profile.limits} | {
        "SILENT",
        "CONFLICT",
    }
    assert {code for code in codes if f"code.{code}" not in catalogue()} == set()
    assert {p for p in builtin_profiles() if f"profile_name.{p}" not in catalogue()} == set()
    sources = {limit.source for profile in builtin_profiles().values() for limit in profile.limits}
    said = {key.removeprefix("limit_source.") for key in catalogue() if key.startswith("limit_source.")}
    assert said == sources  # and none of a row that is gone
    assert {name for name in waste_classes() if f"waste.{name}" not in catalogue()} == set()
    on_pages = {
        Code.ALREADY_ACKNOWLEDGED,
        Code.ALREADY_DECIDED,
        Code.ALREADY_TIED,
        Code.BAD_BAG_CODE,
        Code.NO_VERDICT,
    }
    assert {code for code in on_pages if f"problem.{code}" not in catalogue()} == set()


def test_every_reason_of_a_verdict_has_words() -> None:
    """The codes that ``alerts.verdicts`` can give, read from its source."""
    import alerts.verdicts

    source = Path(alerts.verdicts.__file__).read_text("utf-8")
    codes = set(re.findall(r'Reason\(\s*"([a-z_]+)"', source)) | {"heat_confirmed", "heat_possible"}
    codes |= {f"vvm_stage_{s}" for s in "bcd"}
    assert len(codes) > 8
    assert {code for code in codes if f"why.{code}" not in catalogue()} == set()


def test_every_budget_of_a_label_has_words() -> None:
    from alerts.exposure import OUTSIDE_LABEL
    from alerts.products import builtin_table

    codes = {b.code for row in builtin_table().rows for b in row.budgets} | {OUTSIDE_LABEL}
    assert len(codes) > 3
    assert {code for code in codes if f"budget.{code}" not in catalogue()} == set()


@pytest.mark.parametrize(
    ("zone", "wanted"),
    [
        ("Asia/Jakarta", "3 Jan 2024 23:32 WIB"),
        ("Asia/Makassar", "4 Jan 2024 00:32 WITA"),
        ("Asia/Jayapura", "4 Jan 2024 01:32 WIT"),
    ],
)
def test_36_times_are_written_in_the_sites_zone_with_its_name(zone: str, wanted: str) -> None:
    """cold-chain.md 36: 20240103T163228Z is 3 Jan 23:32 WIB, 4 Jan 00:32 WITA, 4 Jan 01:32 WIT."""
    assert Words("en").time(1_704_299_548_000, zone) == wanted


def test_numbers_and_days_are_written_as_each_language_does() -> None:
    assert Words("id").number(Decimal("-0.50")) == "−0,50"
    assert Words("en").number(Decimal("4.25"), 1) == "4.2"
    assert Words("en").number(None) == "–"
    assert Words("id").date(date(2026, 8, 17)) == "17 Agu 2026"
    assert Words("id").time(1_704_299_548_000, "Asia/Jakarta") == "3 Jan 2024 23.32 WIB"
    assert [Words("en").span(ms) for ms in (0, 59_000, 60_000, 3_600_000, 5_400_000, 86_400_000)] == [
        "0 s", "59 s", "1 min", "1 h", "1 h 30 min", "1 d",
    ]  # fmt: skip


def test_bounds_of_a_refused_number_are_written_as_the_language_writes_them() -> None:
    wrong = Wrong("number", "offset_c", {"low": Decimal("-0.5"), "high": Decimal("0.5")})
    assert wrong_text(Words("id"), wrong).endswith("angka dari −0,5 sampai 0,5.")
    assert wrong_text(Words("en"), wrong).endswith("a number from −0.5 to 0.5.")


@pytest.mark.parametrize(
    ("wishes", "wanted"),
    [
        ((None, None), "id"),
        (("en",), "en"),
        (("xx", "en-GB,id;q=0.8"), "en"),
        (("fr,in;q=0.9",), "id"),
        (("../../etc",), "id"),
    ],
)
def test_the_first_language_we_speak_is_taken(wishes: tuple[str | None, ...], wanted: str) -> None:
    assert pick_language(*wishes) == wanted


def test_no_english_text_tells_a_count_of_one_as_many_times_nor_a_clock_behind_of_ours() -> None:
    """A catalogue has no singular forms: where 1 can stand, the words are neutral ("Times: 1")."""
    odd = [key for key, texts in catalogue().items() if re.search(r"\} times\b|behind of\b", texts["en"])]
    assert odd == []
