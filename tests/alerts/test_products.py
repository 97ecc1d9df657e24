"""The product table is data with sources; a site or country adds rows without code (cold-chain 2.3 to 2.5)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alerts.exposure import OUTSIDE_LABEL, BudgetUse, Placement, budgets_used, expose
from alerts.gs1 import parse_barcode
from alerts.judgement import BatchInfo, Judged, Told, judge_told
from alerts.products import FreezeClass, Products, builtin_products, builtin_table, load_products, parse_table
from alerts.profiles import builtin_profiles
from alerts.rules import Profiles, ReadingFact, StreamSettings
from alerts.storage import Place
from alerts.verdicts import VerdictWord
from telemetry.errors import ConfigError

MIN = 60_000
H = 60 * MIN
CATALOGUE = builtin_profiles()
PRODUCTS = builtin_products()
MRNA = next(p for p in builtin_table().rows if "Comirnaty" in p.name)
BCG, HEPB, BOPV = "93005208", "93005477", "93004968"


def test_the_programmes_vaccines_are_there_with_sources_ranges_and_what_is_unverified() -> None:
    names = {p.name for p in builtin_table().rows}
    assert {"HepB", "BCG", "bOPV", "IPV", "DTP-HB-Hib (Pentabio)", "MR", "DT", "Td", "PCV", "HPV"} <= names
    assert {"Rotavirus (liquid)", "JE (live, freeze-dried)", "Influenza (inactivated)", "Diluent"} <= names
    for product in builtin_table().rows:
        assert product.sources
        at_puskesmas = product.range_at("puskesmas")
        assert at_puskesmas is not None
        assert (at_puskesmas.low_c, at_puskesmas.high_c) == (2, 8)
        assert all(o.source for o in product.opened_vial)
        assert all(b.source for b in product.budgets)
    assert PRODUCTS["93001641"].unverified == ("vvm_type", "opened_vial")
    assert [o.hours for o in PRODUCTS[BCG].opened_vial] == [3, 6]
    assert "never frozen" in PRODUCTS[BCG].diluent


def test_req_27_ranges_by_level() -> None:
    """bOPV: -25..-15 at provinsi and kabupaten, 2..8 at puskesmas; HepB 2..8 everywhere."""
    for level in ("provinsi", "kabupaten"):
        frozen = PRODUCTS[BOPV].range_at(level)
        assert frozen is not None
        assert frozen.low_c <= -18 <= frozen.high_c
        hepb = PRODUCTS[HEPB].range_at(level)
        assert hepb is not None
        assert not hepb.low_c <= -18
    assert PRODUCTS[BOPV].range_at("bidan_desa") is None


# --- budgets ------------------------------------------------------------------------------------------------


def judged(product: Any, *parts: tuple[int, str]) -> Judged:
    """(minutes, value) one after the other at one place, every 5 minutes."""
    facts, now = [], 0
    for minutes, value in parts:
        facts += [
            ReadingFact("F1", "S1/temperature_c", t, Decimal(value)) for t in range(now, now + minutes * MIN, 5 * MIN)
        ]
        now += minutes * MIN
    batch = BatchInfo("B1", "S1", "93009999", "x", "1", date(2030, 1, 1), 1)
    told = Told(batch, (Placement("B1", "F1", 0),), devices={"S1": StreamSettings(300)})
    return judge_told(told, facts, CATALOGUE, {"93009999": product}, now)


def uses(made: Judged) -> dict[str, tuple[int, bool]]:
    return {b.code: (b.used_s // 60, b.over) for b in made.budgets}


def codes(made: Judged) -> list[str]:
    return [r.code for r in made.verdict.reasons]


def test_label_budget_24_hours_at_minus_3_to_2_and_4_hours_at_8_to_30() -> None:
    made = judged(
        MRNA, (60, "5.0"), (120, "1.9"), (60, "2.0"), (120, "12.0"), (60, "8.0"), (115, "30.0"), (60, "5.0")
    )
    assert uses(made) == {"COLD_24H": (120, False), "WARM_4H": (235, False), OUTSIDE_LABEL: (0, False)}
    assert made.verdict.verdict is VerdictWord.NO_ACTION
    used_up = judged(MRNA, (60, "5.0"), (240, "12.0"), (60, "5.0"))
    assert uses(used_up)["WARM_4H"] == (240, False)  # exactly what is allowed


def test_a_budget_that_is_used_up_over_two_episodes_holds_the_batch() -> None:
    made = judged(MRNA, (60, "5.0"), (120, "12.0"), (600, "5.0"), (125, "12.0"), (60, "5.0"))
    assert uses(made)["WARM_4H"] == (245, True)
    assert (made.verdict.verdict, codes(made)) == (VerdictWord.HOLD_AND_INSPECT, ["budget_over"])
    assert made.verdict.reasons[0].params == {"budget": "WARM_4H", "used_s": 14700, "allowed_s": 14400}


def test_time_beyond_every_band_is_outside_the_label_at_once() -> None:
    made = judged(MRNA, (60, "5.0"), (5, "30.1"), (60, "5.0"))
    assert uses(made)[OUTSIDE_LABEL] == (5, True)
    assert codes(made) == ["budget_over"]


def test_req_25_a_budget_with_time_left_clears_nothing() -> None:
    ctc = parse_table(
        'version="1"\n[budget.x]\nuses=[{code="CTC", above_c="8.0", to_c="40.0", allowed_s=345600, source="s"}]\n'
        '[[product]]\nname="M"\nkfa=["93009999"]\nfreeze_class="tolerant"\nshake_test_valid=false\nhas_diluent=false\n'
        'budget="x"\nsources=["s"]\n',
        "test",
    ).by_kfa["93009999"]
    made = judged(ctc, (60, "5.0"), (660, "39.0"), (60, "5.0"))
    assert uses(made)["CTC"] == (660, False)
    assert codes(made) == ["heat_confirmed"]


def test_unknown_time_uses_no_budget_and_is_said_as_unknown() -> None:
    made = judged(MRNA, (60, "12.0"))
    later = judge_told(made.told, made.facts, CATALOGUE, {"93009999": MRNA}, 9 * H)
    assert uses(later)["WARM_4H"] == (60, False)
    assert "unknown_exposure" in codes(later)


def test_a_product_without_budgets_has_none_to_use() -> None:
    assert budgets_used([], PRODUCTS[HEPB].budgets, CATALOGUE["refrigerator"]) == ()
    assert BudgetUse("X", 5, 5, "s", verified=True).over is False


# --- freezing and its guard band ------------------------------------------------------------------------------


def test_req_24_minutes_at_the_freezing_limit_with_and_without_the_guard_band() -> None:
    facts = [ReadingFact("F1", "S1/temperature_c", t, Decimal("-0.2")) for t in range(0, H, 5 * MIN)]
    facts += [ReadingFact("F1", "S1/temperature_c", t, Decimal("-0.5")) for t in range(H, 2 * H, 5 * MIN)]
    for sigma, possible_s in ((None, 3600), ("0.25", 7200)):
        sensor = StreamSettings(300, None if sigma is None else Decimal(sigma))
        profiles = Profiles(CATALOGUE, streams={"S1/temperature_c": sensor})
        made = expose("B", [Placement("B", "F1", 0)], facts, profiles, CATALOGUE["refrigerator"], 2 * H)
        assert made is not None
        assert (made.freezing_s, made.freeze_possible_s, made.below_s) == (3600, possible_s, 7200)


def test_req_27_cold_in_its_right_place_counts_as_in_range() -> None:
    facts = [ReadingFact("Z", "Z/temperature_c", t, Decimal("-18")) for t in range(0, 5 * H, 15 * MIN)]
    batch = BatchInfo("B1", "S1", BOPV, "bOPV", "1", date(2030, 1, 1), 1)
    stays = (Placement("B1", "Z", 0),)
    for level, freezes, below_s in (("kabupaten", True, 0), ("puskesmas", False, 5 * 3600)):
        told = Told(batch, stays, places={"Z": Place(level, freezes=freezes, chills=not freezes)})
        made = judge_told(told, facts, CATALOGUE, PRODUCTS, 5 * H)
        assert made.exposure is not None
        assert (made.exposure.below_s, made.exposure.freezing_s) == (below_s, below_s)
        assert made.exposure.min_c == -18
        assert (made.exposure.known_s, made.exposure.unknown_s) == (5 * 3600, 0)


# --- files of a country or a site -----------------------------------------------------------------------------

SITE_FILE = """
version = "papua-3"

[[product]]
name = "HepB (other maker)"
kfa = ["93005477"]
gtin = ["08991234000015"]
freeze_class = "sensitive"
shake_test_valid = true
has_diluent = false
vvm_type = "VVM14"
sources = ["product master of the province, 2026"]

[[product]]
name = "BCG diluent"
kfa = ["93009991"]
freeze_class = "sensitive"
shake_test_valid = false
has_diluent = false
sources = ["own stock code"]
"""


@pytest.fixture
def with_file(tmp_path: Path) -> Products:
    path = tmp_path / "products.toml"
    path.write_text(SITE_FILE)
    return load_products(path)


def test_a_sites_row_goes_before_the_houses_and_the_version_names_both(with_file: Products) -> None:
    assert with_file.by_kfa[HEPB].vvm_type == "VVM14"
    assert with_file.by_kfa[BCG] == PRODUCTS[BCG]
    assert [p.name for p in with_file.rows if HEPB in p.kfa_codes] == ["HepB (other maker)"]
    assert with_file.version == f"{builtin_table().version}+papua-3"


def test_req_40_batch_and_gtin_link_to_the_product_that_carries_vvm_type_freeze_class_and_ranges(
    with_file: Products,
) -> None:
    read = parse_barcode("(01)08991234000015(17)271130(10)PB2411A(21)000123")
    assert read.gtin is not None
    product = with_file.by_gtin[read.gtin]
    assert (product.vvm_type, product.freeze_class, read.batch_number) == ("VVM14", FreezeClass.SENSITIVE, "PB2411A")
    assert product.kfa_codes == (HEPB,)


def test_req_23_bcg_in_a_frozen_place_is_no_action_and_the_diluent_line_there_is_held(with_file: Products) -> None:
    facts = [ReadingFact("F1", "S1/temperature_c", t, Decimal("5.0")) for t in range(0, H, 5 * MIN)]
    facts += [ReadingFact("F1", "S1/temperature_c", H + t, Decimal("-1.0")) for t in range(0, 70 * MIN, 5 * MIN)]
    words = {}
    for kfa in (BCG, "93009991"):
        batch = BatchInfo("B1", "S1", kfa, "x", "1", date(2030, 1, 1), 1)
        told = Told(batch, (Placement("B1", "F1", 0),), devices={"S1": StreamSettings(300)})
        words[kfa] = judge_told(told, facts, CATALOGUE, with_file.by_kfa, H + 70 * MIN).verdict.verdict
    assert words == {BCG: VerdictWord.NO_ACTION, "93009991": VerdictWord.HOLD_AND_INSPECT}


_ROW = '[[product]]\nname="X"\nkfa=["93009999"]\nfreeze_class="tolerant"\nshake_test_valid=false\nhas_diluent=false\n'


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("", "sources"),
        ('sources=["s"]\ncolour="red"', "colour"),
        ('sources="s"', "is not a list"),
        ('sources=["s"]\nranges=[{levels=["moon"], low_c="2.0", high_c="8.0", source="s"}]', "moon"),
        (
            'sources=["s"]\nranges=[{levels=["provinsi"], low_c="8.0", high_c="2.0", source="s"}]',
            "low_c below high_c",
        ),
        ('sources=["s"]\nranges=[{levels=["provinsi"], low_c="-25.0", high_c="-15.0", source="s"}]', "disagree"),
        ('sources=["s"]\ngtin=["08991234000016"]', "must be 5"),
        ('sources=["s"]\nbudget="none"', "none"),
        ('sources=["s"]\nunverified=["taste"]', "taste"),
        ('sources=["s"]\nopened_vial=[{hours=0, by="x", source="s"}]', "hours"),
        ('sources=["s"]\n[budget.b]\nuses=[{code="A", allowed_s=5, source="s"}]', "one edge"),
        (
            'sources=["s"]\n[budget.b]\nuses=[{code="A", from_c="3.0", to_c="2.0", allowed_s=5, source="s"}]',
            "not below",
        ),
        (
            'sources=["s"]\n[budget.b]\nuses=[{code="A", from_c=3.0, to_c="9.0", allowed_s=5, source="s"}]',
            "as a text",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_with_what_is_wrong(more: str, wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        parse_table(_ROW + more + "\n", "test")


def test_a_missing_file_is_a_setting_to_mend(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="check the path"):
        load_products(tmp_path / "none.toml")
