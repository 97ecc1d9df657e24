"""design.md's verdict table; cold-chain 6, 22 to 25."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from alerts.exposure import Placement, expose
from alerts.products import builtin_products, parse_table
from alerts.profiles import builtin_profiles
from alerts.rules import Comparator, Limit, Profile, Profiles, ReadingFact, StreamSettings
from alerts.verdicts import (
    BatchVerdict,
    VerdictWord,
    VvmSeen,
    VvmStage,
    judge_batch,
)
from telemetry.errors import ConfigError

MIN = 60_000
H = 60 * MIN
PRODUCTS = builtin_products()
CALM = "5.0"


def readings(*parts: tuple[int, str]) -> list[ReadingFact]:
    """(minutes, value) one after the other, every 5 minutes."""
    facts, at = [], 0
    for minutes, value in parts:
        times = range(at, at + minutes * MIN, 5 * MIN)
        facts += [ReadingFact("F1", "S1/temperature_c", t, Decimal(value)) for t in times]
        at += minutes * MIN
    return facts


def verdict(
    kfa: str,
    parts: list[tuple[int, str]],
    seen: list[VvmSeen] | None = None,
    used: str | None = None,
    sigma: str | None = None,
    now_ms: int | None = None,
    own: Profile | None = None,
) -> BatchVerdict:
    sensor = StreamSettings(300, None if sigma is None else Decimal(sigma))
    profiles = Profiles(builtin_profiles(), streams={"S1/temperature_c": sensor})
    product = PRODUCTS.get(kfa)
    now = sum(m for m, _ in parts) * MIN if now_ms is None else now_ms
    profile = profiles.catalogue[product.profile if product else "refrigerator"]
    profile = profile if own is None else own
    exposure = expose("B1", [Placement("B1", "F1", 0)], readings(*parts), profiles, profile, now)
    return judge_batch("B1", product, exposure, seen or [], now, None if used is None else Decimal(used))


def codes(v: BatchVerdict) -> list[str]:
    return [r.code for r in v.reasons]


PENTABIO, HEPB, IPV, ROTA, BOPV, BCG, MR, TD = (
    "93001284",
    "93005477",
    "93004736",
    "93001652",
    "93004968",
    "93005208",
    "93005779",
    "93001641",
)
FROZEN = [(60, CALM), (70, "-1.0"), (60, CALM)]
HOT = [(60, CALM), (660, "9.0"), (60, CALM)]


def test_no_excursion_no_action() -> None:
    v = verdict(PENTABIO, [(600, CALM)])
    assert (v.verdict, v.reasons) == (VerdictWord.NO_ACTION, ())


def test_heat_confirmed_is_hold_and_inspect_with_its_finding() -> None:
    v = verdict(PENTABIO, HOT)
    assert (v.verdict, codes(v)) == (VerdictWord.HOLD_AND_INSPECT, ["heat_confirmed"])
    assert v.findings[0].startswith("HEAT-")


def test_req_07_unknown_exposure_is_never_safe() -> None:
    v = verdict(PENTABIO, [(60, CALM)], now_ms=5 * H)
    assert (v.verdict, codes(v)) == (VerdictWord.HOLD_AND_INSPECT, ["unknown_exposure"])


@pytest.mark.parametrize("kfa", [PENTABIO, HEPB, TD, "93001619", "93001623", "93001642"])
def test_req_23_sensitive_with_valid_shake_test(kfa: str) -> None:
    v = verdict(kfa, FROZEN)
    assert v.verdict is VerdictWord.SHAKE_TEST
    assert codes(v) == ["freeze_shake_test", "freeze_possible"]  # the stock check beside it holds the batch


@pytest.mark.parametrize("kfa", [IPV, "93004947", ROTA, "93001653"])
def test_req_23_sensitive_without_shake_test_is_held(kfa: str) -> None:
    v = verdict(kfa, FROZEN)
    assert v.verdict is VerdictWord.HOLD_AND_INSPECT
    assert "freeze_no_shake_test" in codes(v)


def test_an_alarm_at_a_low_limit_by_any_code_holds_the_batch() -> None:
    """A site's own FREEZE_30, LOW of the low alarm, COLD of the ultra-cold store."""
    fridge, low = builtin_profiles()["refrigerator"], builtin_profiles()["refrigerator_low_alarm"]
    freeze_30 = Limit("FREEZE_30", Comparator.LE, Decimal("-0.5"), 1800, source="the site")
    own = replace(fridge, limits=(*(x for x in fridge.limits if x.code.endswith("HIGH")), freeze_30))
    v = verdict(PENTABIO, [(60, CALM), (45, "-1.0"), (60, CALM)], own=own)
    assert (v.verdict, codes(v)) == (VerdictWord.HOLD_AND_INSPECT, ["cold_confirmed"])
    v = verdict(PENTABIO, [(60, CALM), (90, "1.0"), (60, CALM)], own=low)
    assert (v.verdict, codes(v)) == (VerdictWord.HOLD_AND_INSPECT, ["cold_confirmed"])
    v = verdict(BOPV, [(60, "-70.0"), (90, "-95.0"), (60, "-70.0")], own=builtin_profiles()["ultra_cold"])
    assert (v.verdict, codes(v)) == (VerdictWord.HOLD_AND_INSPECT, ["cold_confirmed"])


@pytest.mark.parametrize(("kfa", "diluent"), [(BOPV, False), (BCG, True), (MR, True), ("93001639", True)])
def test_req_23_tolerant_no_action_but_the_diluent_is_held(kfa: str, diluent: bool) -> None:
    v = verdict(kfa, FROZEN)
    assert v.verdict is VerdictWord.NO_ACTION
    assert ("diluent_hold" in codes(v)) is diluent


def test_req_23_a_product_not_in_the_table_is_held_after_a_freeze() -> None:
    v = verdict("93009999", FROZEN)
    assert v.verdict is VerdictWord.HOLD_AND_INSPECT
    assert "unknown_product" in codes(v)


def test_req_24_guard_band_holds_a_sensitive_batch_and_asks_for_no_shake_test() -> None:
    v = verdict(HEPB, [(60, CALM), (65, "-0.2"), (60, CALM)], sigma="0.25")
    assert (v.verdict, codes(v)) == (VerdictWord.HOLD_AND_INSPECT, ["freeze_possible"])
    assert verdict(HEPB, [(60, CALM), (65, "-0.2"), (60, CALM)]).verdict is VerdictWord.NO_ACTION


def test_req_05_pieces_of_cold_ask_to_look_at_sensitive_stock() -> None:
    v = verdict(HEPB, [(60, CALM), (45, "-0.6"), (15, "0.2"), (45, "-0.6"), (60, CALM)])
    assert (v.verdict, codes(v)) == (VerdictWord.HOLD_AND_INSPECT, ["freeze_possible"])


def saw(stage: str, at_ms: int = 0) -> VvmSeen:
    return VvmSeen(VvmStage(stage), at_ms, "Siti")


@pytest.mark.parametrize("stage", ["C", "D"])
def test_req_22_stage_c_and_d_outrank_any_model_and_any_calm(stage: str) -> None:
    v = verdict(PENTABIO, [(600, CALM)], [saw(stage)], used="3.0")
    assert v.verdict is VerdictWord.DISCARD_PROPOSED
    assert "Siti" in v.reasons[0].text


def test_req_22_stage_b_is_used_first() -> None:
    assert verdict(PENTABIO, [(600, CALM)], [saw("B")]).verdict is VerdictWord.USE_FIRST


def test_req_22_model_over_100_with_stage_a_is_held_and_not_discarded() -> None:
    v = verdict(PENTABIO, [(600, CALM)], [saw("A")], used="113.78")
    assert (v.verdict, codes(v)) == (VerdictWord.HOLD_AND_INSPECT, ["vvm_model_over"])


def test_req_22_model_below_100_clears_nothing() -> None:
    assert verdict(PENTABIO, HOT, [saw("A")], used="1.0").verdict is VerdictWord.HOLD_AND_INSPECT


def test_a_vvm_only_darkens_a_later_better_reading_does_not_take_c_back() -> None:
    assert verdict(PENTABIO, [(600, CALM)], [saw("C", 1), saw("A", 2)]).verdict is VerdictWord.DISCARD_PROPOSED


def test_a_better_reading_after_a_worse_one_is_flagged_and_the_worse_one_counts() -> None:
    after_c = verdict(PENTABIO, [(600, CALM)], [saw("C", 1), saw("A", 2)])
    assert codes(after_c) == ["vvm_stage_c", "vvm_went_back"]
    after_b = verdict(PENTABIO, [(600, CALM)], [saw("A", 3), saw("B", 1)])
    assert (after_b.verdict, codes(after_b)) == (VerdictWord.USE_FIRST, ["vvm_stage_b", "vvm_went_back"])
    assert codes(verdict(PENTABIO, [(600, CALM)], [saw("A", 1), saw("B", 2), saw("B", 3)])) == ["vvm_stage_b"]


def test_req_25_only_five_outcomes_and_none_of_them_releases_or_discards() -> None:
    assert [w.value for w in VerdictWord] == [
        "no_action",
        "use_first",
        "hold_and_inspect",
        "shake_test",
        "discard_proposed",
    ]


def test_the_strongest_wins_and_all_reasons_stay() -> None:
    v = verdict(HEPB, [*HOT, (70, "-1.0"), (60, CALM)], [saw("B")])
    assert v.verdict is VerdictWord.SHAKE_TEST
    assert {"freeze_shake_test", "heat_confirmed", "vvm_stage_b"} <= set(codes(v))
    assert [r.asks_for.strength for r in v.reasons] == sorted((r.asks_for.strength for r in v.reasons), reverse=True)


def test_the_same_facts_give_the_same_verdict_id_and_other_facts_another() -> None:
    assert verdict(HEPB, FROZEN).verdict_id == verdict(HEPB, FROZEN).verdict_id != verdict(HEPB, HOT).verdict_id


def test_products_cover_the_programme_and_bad_tables_are_refused() -> None:
    assert {PRODUCTS[k].name for k in (PENTABIO, HEPB, IPV, ROTA, BOPV, BCG, MR, TD)} == {
        "DTP-HB-Hib (Pentabio)",
        "HepB",
        "IPV",
        "Rotavirus (liquid)",
        "bOPV",
        "BCG",
        "MR",
        "Td",
    }
    row = '[[product]]\nname="X"\nkfa=["{}"]\nfreeze_class="{}"\nshake_test_valid={}\nhas_diluent=false\n'
    row += 'sources=["s"]\n'
    for bad in (
        row.format("9300", "sensitive", "true"),
        row.format("93009999", "perhaps", "true"),
        row.format("93009999", "tolerant", "true"),
        row.format("93009999", "sensitive", "true") * 2,
        "[[product]]\nname='X'",
        "product = 3",
        "not toml",
    ):
        with pytest.raises(ConfigError):
            parse_table(bad, "test")
