"""A weight to a bag: scanned first, posted once, compared (duties 22 to 27)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.records import Actor
from gateway.smile.port import BagLabel, BagWeight, GlobalId, Outcome, PostResult, ProgramId, ScaleLink
from gateway.smile.weights import WeightBody, WeightRules, weight_body
from telemetry.errors import ContractError

T = 1_772_382_902_000
BAG = BagLabel("000101032026", "PKM", 22, 33, "BAST/1", (ProgramId(8004),))
WEIGHT = BagWeight("W-1", Decimal("12.345"), T, (), ScaleLink.INTERNET, 4101, T + 1)


def body_of(bag=BAG, weight=WEIGHT, rules=WeightRules()):  # noqa: B008
    return weight_body(bag, weight, rules)


def refusal(**changes):
    bag_changes = {k: v for k, v in changes.items() if k in ("bast_no", "material_ids")}
    weight_changes = {k: v for k, v in changes.items() if k not in bag_changes}
    result = body_of(replace(BAG, **bag_changes), replace(WEIGHT, **weight_changes))
    return result.text if isinstance(result, PostResult) else ""


@given(st.integers(1, 99_999_999), st.sampled_from([2, 3]))
def test_duty_23_rounding_is_ours_and_shown_beside_the_raw_value(grams, places):
    raw = Decimal(grams) / 1000
    made = body_of(weight=replace(WEIGHT, net_kg=raw), rules=WeightRules(places=places))
    if isinstance(made, PostResult):
        assert raw < Decimal("0.005")
        assert places == 2
        return
    assert made.raw_kg == raw
    assert abs(made.sent_kg - raw) <= Decimal(5).scaleb(-places - 1)
    assert Decimal(str(made.body["weight"])) == made.sent_kg


@pytest.mark.parametrize(
    ("net", "places", "sent"),
    [("1.2345", 3, "1.235"), ("3.0005", 3, "3.001"), ("1.235", 2, "1.24"), ("0.1", 3, "0.100")],
)
def test_duty_23_half_goes_up_as_wms_does(net, places, sent):
    made = body_of(weight=replace(WEIGHT, net_kg=Decimal(net)), rules=WeightRules(places=places))
    assert isinstance(made, WeightBody)
    assert made.sent_kg == Decimal(sent)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"net_kg": Decimal(0)}, "store nothing"),
        ({"net_kg": Decimal("-0.05")}, "store nothing"),
        ({"net_kg": Decimal("0.0004")}, "weigh again"),
        ({"flags": ("UNSTABLE",)}, "UNSTABLE"),
        ({"flags": ("OVERLOAD",)}, "OVERLOAD"),
        ({"flags": ("TERA_EXPIRED",)}, "TERA_EXPIRED"),
        ({"calibrated_until_ms": T - 1}, "calibration had expired"),
        ({"sampled_at_ms": None}, "calibration had expired"),
        ({"scale_asset_id": None}, "no SMILE asset id"),
        ({"material_ids": ()}, "no materials"),
        ({"material_ids": tuple(ProgramId(10_000 + n) for n in range(11))}, "longer than 64"),
        ({"bast_no": "B" * 65}, "longer than 64"),
    ],
)
def test_duty_23_24_25_what_must_not_go_out_is_refused_with_advice(changes, words):
    assert words in refusal(**changes)


def test_duty_24_on_the_last_day_of_its_calibration_a_scale_may_still_weigh():
    assert refusal(calibrated_until_ms=T) == ""


@pytest.mark.parametrize("link", list(ScaleLink))
def test_duty_24_the_scale_method_is_the_link_never_manual(link):
    made = body_of(weight=replace(WEIGHT, link=link))
    assert made.body["scaleMethod"] == link.value != "manual"
    assert made.body["assetId"] == 4101


def test_duty_25_bast_and_materials_go_together():
    assert (body_of().body["bastNo"], body_of().body["materialIds"]) == ("BAST/1", "8004")
    plain = body_of(replace(BAG, bast_no=None)).body
    assert "bastNo" not in plain
    assert "materialIds" not in plain


def test_duty_25_sixty_four_signs_are_allowed():
    ids = tuple(ProgramId(1000 + n) for n in range(13))  # 13 x 4 digits and 12 commas
    assert len(body_of(replace(BAG, material_ids=ids)).body["materialIds"]) == 64


def test_duty_28_a_global_material_id_is_refused():
    with pytest.raises(ContractError, match="id_mixed_up"):
        body_of(replace(BAG, material_ids=(GlobalId(9004),)))


# --- with the stand-in ---------------------------------------------------------------------------------------


@pytest.fixture
def bag(smile):
    (code,) = smile.labels()
    return replace(BAG, code=code)


def test_duty_22_scan_then_post_once(smile, with_door, bag):
    async def use(door):
        return await door.post_weight(bag, WEIGHT), await door.post_weight(bag, WEIGHT)

    first, second = with_door(use)
    assert (first.outcome, second.outcome) == (Outcome.DONE, Outcome.ALREADY)
    assert first.detail == {"raw_kg": "12.345", "sent_kg": "12.345", "rounded": False}
    paths = [r["path"].split("/v1/")[1].split("/")[1] for r in smile.requests("/wms/api/v1/mobile")]
    assert paths == ["scan-qr-code", "enter-weight", "scan-qr-code"]


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("lost_answer", Outcome.ALREADY),
        ("cut", Outcome.LOST),
        ("error_500", Outcome.AGAIN),
        ("error_503", Outcome.AGAIN),
    ],
)
def test_duty_22_after_a_lost_answer_or_a_500_the_scan_decides(smile, with_door, bag, kind, first):
    smile.fault(kind, path="/enter-weight")

    async def use(door):
        return (await door.post_weight(bag, WEIGHT)).outcome, (await door.post_weight(bag, WEIGHT)).outcome

    outcomes = with_door(use)
    assert outcomes[0] is first
    assert outcomes[1].done
    (row,) = smile.table("bags")
    assert row["weight_in_kgs"] == "12.345"


def test_duty_22_another_weight_on_the_bag_is_an_alarm_not_an_overwrite(smile, with_door, bag):
    """A health worker has typed 11 kg already."""

    async def use(door):
        await door.post_weight(bag, replace(WEIGHT, net_kg=Decimal(11)))
        return await door.post_weight(bag, WEIGHT)

    result = with_door(use)
    assert result.outcome is Outcome.CONFLICT
    assert result.detail["stored_kg"] == "11.000"
    assert not result.outcome.again


def test_duty_22_a_code_that_smile_never_issued_is_refused(smile, with_door):
    """WMS itself would accept it."""
    result = with_door(lambda door: door.post_weight(BAG, WEIGHT))
    assert result.outcome is Outcome.REFUSED
    assert smile.table("bags") == []


def test_duty_22_a_label_of_another_class_is_refused(smile, with_door, bag):
    result = with_door(lambda door: door.post_weight(replace(bag, waste_classification_id=31), WEIGHT))
    assert result.outcome is Outcome.REFUSED
    assert "label says" in result.text


def test_duty_23_the_rewrite_keeps_two_places(smile, with_door, make_config, bag):
    smile.settings(wms="encore")
    config = make_config(weight_rules=WeightRules(places=2))
    result = with_door(lambda door: door.post_weight(bag, WEIGHT), config)
    assert result.outcome is Outcome.DONE
    assert result.detail == {"raw_kg": "12.345", "sent_kg": "12.35", "rounded": True}


def test_duty_23_three_places_into_the_rewrite_show_as_a_conflict(smile, with_door, bag):
    """The wrong setting cannot pass unseen: what SMILE holds is compared with what was sent."""
    smile.settings(wms="encore")
    assert with_door(lambda door: door.post_weight(bag, WEIGHT)).outcome is Outcome.CONFLICT


def test_duty_24_a_scale_that_smile_does_not_know_is_refused(smile, with_door, bag):
    result = with_door(lambda door: door.post_weight(bag, replace(WEIGHT, scale_asset_id=9)))
    assert result.outcome is Outcome.REFUSED
    assert "[4101, 4102]" in result.text


def test_duty_27_after_a_429_no_call_goes_out_for_the_rest_of_the_minute(smile, with_door, bag, ticker):
    smile.settings(wms_calls_per_minute=1)

    async def use(door):
        results = [(await door.post_weight(bag, WEIGHT)).outcome for _ in range(5)]
        calls = len(smile.requests("/mobile/"))
        smile.settings(wms_calls_per_minute=500)
        ticker.forward(60_001)
        return results, calls, (await door.post_weight(bag, WEIGHT)).outcome

    results, calls, last = with_door(use)
    assert set(results) == {Outcome.BUSY}
    assert calls == 2
    assert last is Outcome.DONE


def test_duty_26_what_wms_has_no_field_for_stays_with_us(smile, world):
    """Gross, tare, raw frame, time and the person who tied it."""
    (code,) = smile.labels()
    world.weigh(code)
    world.rounds(2)
    kept = world.records.weighing("W-0001")
    assert (kept.gross_kg, kept.tare_kg, kept.raw_frame) == (Decimal("13.045"), Decimal("0.7"), "53540d0a")
    assert (kept.tied_by, kept.t_ms is not None, kept.smile_state) == ("Siti Aminah", True, "stored")


def test_duty_22_a_weight_lost_on_the_way_is_posted_by_a_later_round(smile, world):
    (code,) = smile.labels()
    smile.fault("cut", path="/enter-weight")
    world.weigh(code)
    world.rounds(1)
    assert world.records.weighing("W-0001").smile_state == "uncertain"
    world.rounds(6, every_ms=60_000)
    assert world.records.weighing("W-0001").smile_state == "stored"
    assert len(smile.table("bags")) == 1


def test_duty_24_a_scale_registered_late_gets_its_weight_through(smile, world):
    (code,) = smile.labels()
    scale = world.records.device("TB-0001")
    who = Actor("Siti Aminah", "manager")
    world.records.upsert_device(replace(scale, smile_scale_asset_id=None), who, "unknown", world.ticker.at_ms)
    world.weigh(code)
    world.rounds(2)
    assert world.records.weighing("W-0001").smile_state == "refused"
    world.records.upsert_device(scale, who, "known now", world.ticker.at_ms)
    world.ticker.forward(3_600_000)
    world.rounds(2)
    assert world.records.weighing("W-0001").smile_state == "stored"
