"""Bags, weighings, ties."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from gateway.records import (
    Attachment,
    Bag,
    Code,
    Device,
    Refused,
    UnknownRecord,
    WeighingRecord,
)
from gateway.records.waste import bag_day, check_bag, tera_expired, waste_classes

BAG = Bag("000120082026", "S1", "infectious", "A337-1", "yellow", 7, 1)
WEIGHING = WeighingRecord(
    "E1-1", "S1", "SCALE-1", Decimal("13.10"), Decimal("0.70"), Decimal("12.40"), 1_790_000_000_000, "53542c", ("X",)
)


# --- bag codes (smile-and-waste.md 26) and classes (27) ------------------------------------------------------------


def test_a_bag_code_is_a_counter_and_a_day() -> None:
    """smile-and-waste.md 26: "000120082026" is bag 1 of 20 Aug 2026."""
    assert bag_day("000120082026") == date(2026, 8, 20)


@pytest.mark.parametrize(
    "code", ["000132082026", "00120082026", "0001200820260", "000129022027", "00012008202x", "", "٠٠٠١٢٠٠٨٢٠٢٦"]
)
def test_a_bag_code_without_a_real_day_is_refused(code: str) -> None:
    """smile-and-waste.md 26: day 32 and 11 digits are refused."""
    with pytest.raises(Refused) as refused:
        bag_day(code)
    assert refused.value.code is Code.BAD_BAG_CODE


@pytest.mark.parametrize(
    ("classification", "waste_code", "color"),
    [("infectious", "A337-1", "yellow"), ("expired_vaccine", "A337-2", "brown"), ("used_vial", "A337-1", "yellow")],
)
def test_class_code_and_colour_that_agree(classification: str, waste_code: str, color: str) -> None:
    """smile-and-waste.md 27."""
    check_bag(replace(BAG, classification=classification, waste_code=waste_code, color=color))


@pytest.mark.parametrize(
    ("classification", "waste_code", "color", "field"),
    [
        ("infectious", "A337-1", "black", "color"),
        ("expired_vaccine", "A337-1", "yellow", "waste_code"),
        ("used_vial", "A337-2", "brown", "waste_code"),
    ],
)
def test_class_code_and_colour_that_do_not(classification: str, waste_code: str, color: str, field: str) -> None:
    """smile-and-waste.md 27: A337-1 + black is refused."""
    with pytest.raises(Refused) as refused:
        check_bag(replace(BAG, classification=classification, waste_code=waste_code, color=color))
    assert (refused.value.code, refused.value.field) == (Code.CLASS_DISAGREES, field)


def test_an_unknown_class_and_too_many_materials_are_refused() -> None:
    with pytest.raises(Refused):
        check_bag(replace(BAG, classification="glitter"))
    with pytest.raises(Refused):
        check_bag(replace(BAG, material_ids=tuple(range(990000, 990010))))
    assert waste_classes()["radioactive"].decays


def test_radioactive_waste_is_not_weighed_out_before_its_decay(world: Any) -> None:
    """smile-and-waste.md 27: radioactive before decay end is refused."""
    hot = replace(BAG, classification="radioactive", waste_code="-", color="red")
    with pytest.raises(Refused):
        check_bag(hot)
    r = world.records
    r.add_bags([replace(hot, decay_until_ms=WEIGHING.t_ms + 1)], world.sari, "", 1)
    r.save_weighings([WEIGHING], 1)
    with pytest.raises(Refused) as refused:
        r.tie_weighing("E1-1", hot.code, world.sari, "", 2)
    assert refused.value.code is Code.RADIOACTIVE_STILL_IN_STORAGE


def test_a_bag_is_registered_once(world: Any, second_site: Any) -> None:
    """smile-and-waste.md 26: twice is ALREADY_REGISTERED, no change; at two sites both are kept, conflict shown."""
    r = world.records
    r.add_bags([BAG], world.sari, "", 1)
    before = r.newest_change()
    with pytest.raises(Refused) as refused:
        r.add_bags([replace(BAG, code="000220082026"), replace(BAG, bast_no="other")], world.sari, "x", 2)
    assert refused.value.code is Code.ALREADY_REGISTERED
    assert (r.bag("S1", BAG.code), r.newest_change(), len(r.bags("S1"))) == (BAG, before, 1)
    second_site(r)
    r.add_bags([replace(BAG, site="S2", material_ids=(990002, 990003))], world.sari, "", 3)
    assert (r.bag_conflicts("S1"), r.bag_conflicts("S2")) == ({BAG.code: ("S2",)}, {BAG.code: ("S1",)})
    assert r.bag("S2", BAG.code).material_ids == (990002, 990003)


# --- tera (smile-and-waste.md 23) ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("t_ms", "expired"),
    [
        (1_773_154_799_000, False),  # 2026-03-10 23:59:59 in Jayapura is 14:59:59Z
        (1_773_154_800_000, True),  # 2026-03-11 00:00 in Jayapura
    ],
)
def test_a_tera_of_2025_03_10_holds_through_2026_03_10(t_ms: int, expired: bool) -> None:
    """smile-and-waste.md 23, on the site's own calendar."""
    scale = Device("S", "S1", "E1", "stus", tera_on=date(2025, 3, 10), tera_valid_days=365)
    assert tera_expired(scale, t_ms, "Asia/Jayapura") is expired
    assert not tera_expired(replace(scale, tera_on=None), t_ms, "Asia/Jayapura")


def test_a_weighing_after_the_tera_is_flagged(world: Any) -> None:
    r = world.records
    r.upsert_device(replace(r.device("SCALE-1"), tera_on=date(2020, 1, 1)), world.loader, "plate read", 1)
    r.save_weighings([WEIGHING], 1)
    assert r.weighing("E1-1").flags == ("X", "TERA_EXPIRED")
    assert r.save_weighings([WEIGHING], 2).unchanged == ("E1-1",)


# --- weighings ------------------------------------------------------------------------------------------------


def test_five_hundred_weighings_sent_twice_are_five_hundred(world: Any) -> None:
    """smile-and-waste.md 40: after reconnecting exactly 500, none twice."""
    r = world.records
    many = [replace(WEIGHING, id=f"E1-{n}", t_ms=1000 + n) for n in range(500)]
    assert len(r.save_weighings(many[:300], 1).created) == 300
    again = r.save_weighings(many[200:], 2)
    assert (len(again.created), len(again.unchanged)) == (200, 100)
    assert [w.id for w in r.weighings("S1")] == [w.id for w in reversed(many)]


def test_decimals_are_kept_as_written(world: Any) -> None:
    """smile-and-waste.md 21: gross 13.10, tare 0.70, net 12.40 exactly; 0.1 + 0.2 gives 0.3."""
    r = world.records
    small = replace(
        WEIGHING,
        id="E1-2",
        gross_kg=Decimal("0.3"),
        tare_kg=Decimal("0.1"),
        net_kg=Decimal("0.2"),
        e_kg=Decimal("0.005"),
    )
    r.save_weighings([WEIGHING, small], 1)
    kept = r.weighing("E1-1")
    assert [str(v) for v in (kept.gross_kg, kept.tare_kg, kept.net_kg)] == ["13.10", "0.70", "12.40"]
    assert r.weighing("E1-2").gross_kg == Decimal("0.1") + Decimal("0.2")
    with pytest.raises(Refused):
        r.save_weighings([replace(WEIGHING, id="E1-3", net_kg=Decimal("12.41"))], 1)


def test_the_same_id_with_another_weight_is_a_conflict_and_the_first_stays(world: Any) -> None:
    r = world.records
    r.save_weighings([WEIGHING], 1)
    other = replace(WEIGHING, gross_kg=Decimal("13.20"), net_kg=Decimal("12.50"))
    assert r.save_weighings([other], 2).conflicts == ("E1-1",)
    assert r.weighing("E1-1").net_kg == Decimal("12.40")


def test_an_undated_weighing_is_dated_once(world: Any) -> None:
    r = world.records
    undated = replace(WEIGHING, t_ms=None)
    r.save_weighings([undated], 1)
    assert r.weighings("S1")[0].t_ms is None
    assert r.save_weighings([WEIGHING], 2).dated == ("E1-1",)
    assert r.save_weighings([undated], 3).unchanged == ("E1-1",)
    assert r.weighing("E1-1").t_ms == WEIGHING.t_ms


def test_an_unregistered_scale_is_named(world: Any) -> None:
    with pytest.raises(UnknownRecord) as unknown:
        world.records.save_weighings([replace(WEIGHING, device="SCALE-X")], 1)
    assert (unknown.value.kind, unknown.value.key) == ("device", "SCALE-X")


# --- ties -----------------------------------------------------------------------------------------------------


def test_one_weighing_one_bag(world: Any) -> None:
    r = world.records
    r.add_bags([BAG, replace(BAG, code="000220082026")], world.sari, "", 1)
    r.save_weighings([WEIGHING, replace(WEIGHING, id="E1-2", t_ms=2)], 1)
    tied = r.tie_weighing("E1-1", BAG.code, world.sari, "", 50)
    assert (tied.bag, tied.tied_by, tied.tied_ms) == (BAG.code, "Sari", 50)
    assert r.tie_weighing("E1-1", BAG.code, world.budi, "", 60) == tied
    for weighing, bag, code in (
        ("E1-1", "000220082026", Code.ALREADY_TIED),
        ("E1-2", BAG.code, Code.BAG_ALREADY_WEIGHED),
    ):
        with pytest.raises(Refused) as refused:
            r.tie_weighing(weighing, bag, world.sari, "x", 70)
        assert refused.value.code is code
    with pytest.raises(Refused) as refused:
        r.tie_weighing("E1-2", "000220082026", world.alerts, "x", 70)
    assert refused.value.code is Code.PERSON_REQUIRED
    with pytest.raises(UnknownRecord):
        r.tie_weighing("E1-2", "000920082026", world.sari, "x", 70)
    assert [w.id for w in r.weighings("S1", tied=False)] == ["E1-2"]
    assert [w.id for w in r.weighings("S1", BAG.code)] == ["E1-1"]
    assert r.audit_of("weighing:E1-1")[-1].action == "weighing_tied"


def test_a_wrong_tie_takes_a_correction_record(world: Any) -> None:
    """smile-and-waste.md 40: a correction is a new record pointing to the old one, with reason and person."""
    r = world.records
    r.add_bags([BAG, replace(BAG, code="000220082026")], world.sari, "", 1)
    r.save_weighings([WEIGHING], 1)
    with pytest.raises(Refused) as refused:
        r.correct_tie("E1-1", BAG.code, world.budi, "x", 2)
    assert refused.value.code is Code.NOT_TIED
    r.tie_weighing("E1-1", BAG.code, world.sari, "", 2)
    with pytest.raises(Refused) as refused:
        r.correct_tie("E1-1", "000220082026", world.budi, " ", 3)
    assert refused.value.code is Code.REASON_REQUIRED
    assert r.correct_tie("E1-1", "000220082026", world.budi, "wrong label scanned", 3).bag == "000220082026"
    (correction,) = r.corrections("E1-1")
    assert (correction.old_bag, correction.new_bag) == (BAG.code, "000220082026")
    assert (correction.by, correction.reason) == ("Budi", "wrong label scanned")
    assert r.verify_chain("S1").ok


def test_the_state_in_smile_comes_from_the_attachment(world: Any) -> None:
    r = world.records
    r.save_weighings([WEIGHING], 1)
    assert r.weighing("E1-1").smile_state == "none"
    r.save_attachments(Attachment("weight", "E1-1", "wms", "sha256:00", "uncertain", "", 5, "S1"))
    assert r.weighing("E1-1").smile_state == "uncertain"
    r.save_attachments(Attachment("weight", "E1-1", "wms", "sha256:00", "stored", "id 4", 6, "S1"))
    assert r.weighings("S1")[0].smile_state == "stored"
    assert r.verify_chain("S1").ok
