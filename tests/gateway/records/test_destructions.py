"""The vaccine side of smile-and-waste.md 8, 37: BAST line <-> bags <-> kg <-> destroying event, as audited commands."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.records import Actor, Bag, Code, Refused, SmileStockIds, User, Verdict, WeighingRecord
from gateway.records.destruction import Open, Problem

ONE, TWO = "000121092026", "000221092026"
BAST = "BAST/2026/017"
KEY = "93005477 PB2411A"


def bag(code: str, classification: str = "expired_vaccine") -> Bag:
    waste = {"expired_vaccine": ("A337-2", "brown"), "infectious": ("A337-1", "yellow")}[classification]
    return Bag(code, "S1", classification, *waste, 7, 1)


@pytest.fixture
def scene(world: Any) -> Any:
    """Batch B1, discarded by Budi; two brown bags, each weighed."""
    r = world.records
    known = replace(r.batch("B1"), doses=200, smile=SmileStockIds(1, 2, 3, 4, 990002, 6))
    r.upsert_batch(known, world.loader, "ids", 1)
    r.save_verdicts([Verdict("", "B1", "discard_proposed", (), (), 1)], 1)
    r.decide("B1", "discarded", world.budi, "frozen", 2)
    r.add_bags([bag(ONE), bag(TWO)], world.sari, "", 3)
    for n, (code, kg) in enumerate(((ONE, "3.40"), (TWO, "2.25"))):
        net = Decimal(kg)
        r.save_weighings([WeighingRecord(f"W{n}", "S1", "SCALE-1", net, Decimal(0), net, 50, "5354")], 50)
        r.tie_weighing(f"W{n}", code, world.sari, "", 51)
    return world


def begin(world: Any, third_party: str = "", listed: int = 200, bagged: tuple[int, int] = (120, 80)) -> str:
    """A destruction up to its bags."""
    r, sari = world.records, world.sari
    case = r.open_destruction("S1", BAST, third_party, sari, "", 10).id
    r.list_vials(case, "B1", listed, sari, "", 11)
    for code, vials in zip((ONE, TWO), bagged, strict=True):
        r.put_vials(case, code, "B1", vials, sari, "", 12)
    return str(case)


def destroy(world: Any, case: str) -> None:
    r, sari = world.records, world.sari
    r.confirm_damaged(case, sari, "vials crushed, labels cut", 60)
    for code in (ONE, TWO):
        r.bag_destroyed(case, code, 70, sari, "burnt", 80)


def test_smile_37_200_of_200_vials_bagged_weighed_damaged_and_destroyed_are_closed_by_a_person(scene: Any) -> None:
    r, case = scene.records, begin(scene)
    destroy(scene, case)
    assert r.destruction_problems(case) == []
    closed = r.close_destruction(case, scene.budi, "all there", 90)
    assert (closed.closed_by, closed.closed_ms, closed.damaged_by) == ("Budi", 90, "Sari")
    done = [row.action for row in r.audit_of(f"destruction:{case}")]
    assert done == ["destruction_opened", "destruction_listed", "destruction_damaged", "destruction_closed"]
    assert r.verify_chain("S1").ok


def test_smile_37_198_of_200_vials_are_2_missing_and_closing_is_refused(scene: Any) -> None:
    r, case = scene.records, begin(scene, bagged=(120, 78))
    destroy(scene, case)
    assert r.destruction_problems(case) == [Problem(Open.VIALS_MISSING, KEY, 2)]
    before = r.newest_change()
    with pytest.raises(Refused, match=f"vials_missing {KEY} 2") as refused:
        r.close_destruction(case, scene.budi, "close enough", 90)
    assert (refused.value.code, r.newest_change()) == (Code.NOT_COMPLETE, before)


def test_smile_37_a_third_party_reports_itself_before_it_may_be_closed(scene: Any) -> None:
    r, case = scene.records, begin(scene, "PT Olah")
    destroy(scene, case)
    assert r.destruction_problems(case) == [Problem(Open.NO_REPORT, "PT Olah")]
    with pytest.raises(Refused) as refused:
        r.close_destruction(case, scene.budi, "done", 90)
    assert refused.value.code is Code.NOT_COMPLETE
    told = r.third_party_report(case, "LP-7/2026", "Rudi of PT Olah", scene.budi, "", 91)
    assert (told.report_no, told.report_signed_by, told.report_entered_by) == ("LP-7/2026", "Rudi of PT Olah", "Budi")
    assert r.close_destruction(case, scene.budi, "done", 92).closed_ms == 92


def test_who_destroys_by_itself_has_no_third_partys_report(scene: Any) -> None:
    with pytest.raises(Refused) as refused:
        scene.records.third_party_report(begin(scene), "LP-7", "Rudi", scene.budi, "", 91)
    assert refused.value.code is Code.NO_THIRD_PARTY


def test_smile_37_nothing_is_destroyed_before_a_person_said_that_it_was_made_unusable(scene: Any) -> None:
    r, case = scene.records, begin(scene)
    with pytest.raises(Refused) as refused:
        r.bag_destroyed(case, ONE, 70, scene.sari, "burnt", 80)
    assert refused.value.code is Code.NOT_DAMAGED
    with pytest.raises(Refused) as refused:
        r.confirm_damaged(case, scene.sari, " ", 60)
    assert refused.value.code is Code.REASON_REQUIRED


def test_smile_37_vials_that_came_after_the_confirmation_are_confirmed_anew(scene: Any) -> None:
    r, case = scene.records, begin(scene, bagged=(120, 78))
    r.confirm_damaged(case, scene.sari, "crushed", 60)
    r.put_vials(case, TWO, "B1", 77, scene.sari, "one fewer", 61)
    assert r.destruction(case).damaged_by == "Sari"
    r.put_vials(case, TWO, "B1", 80, scene.sari, "found three", 62)
    assert Problem(Open.NOT_DAMAGED, "") in r.destruction_problems(case)
    r.confirm_damaged(case, scene.budi, "crushed these too", 63)
    assert r.confirm_damaged(case, scene.sari, "said twice", 64).damaged_by == "Budi"


def test_a_bag_is_destroyed_once(scene: Any) -> None:
    r, case = scene.records, begin(scene)
    destroy(scene, case)
    with pytest.raises(Refused) as refused:
        r.bag_destroyed(case, ONE, 75, scene.sari, "burnt again", 80)
    assert (refused.value.code, r.destruction_bags(case)[0].destroyed_ms) == (Code.ALREADY_DESTROYED, 70)


def test_a_bag_is_weighed_before_it_is_destroyed_and_not_destroyed_in_the_future(scene: Any) -> None:
    r, case = scene.records, begin(scene)
    third = "000321092026"
    r.add_bags([bag(third)], scene.sari, "", 12)
    r.put_vials(case, third, "B1", 1, scene.sari, "", 13)
    r.confirm_damaged(case, scene.sari, "crushed", 60)
    for code, destroyed_ms, wanted in (
        (third, 70, Code.NOT_WEIGHED),
        (ONE, 81, Code.BAD_VALUE),
        (ONE, 49, Code.BAD_VALUE),
    ):
        with pytest.raises(Refused) as refused:
            r.bag_destroyed(case, code, destroyed_ms, scene.sari, "burnt", 80)
        assert refused.value.code is wanted


def test_the_bag_carries_the_bast_number_and_smiles_material_and_belongs_to_one_destruction(scene: Any) -> None:
    r, case = scene.records, begin(scene)
    assert (r.bag("S1", ONE).bast_no, r.bag("S1", ONE).material_ids) == (BAST, (990002,))
    other = r.open_destruction("S1", "BAST/2026/018", "", scene.sari, "", 14).id
    assert other == "S1.D2"
    with pytest.raises(Refused) as refused:
        r.put_vials(other, ONE, "B1", 1, scene.sari, "", 15)
    assert refused.value.code is Code.OTHER_BAST
    with pytest.raises(Refused) as refused:
        r.open_destruction("S1", f" {BAST} ", "", scene.sari, "", 16)
    assert refused.value.code is Code.BAST_TAKEN
    assert [d.id for d in r.destructions("S1")] == [other, case]


def test_smile_27_vials_do_not_go_into_a_bag_of_another_class(scene: Any) -> None:
    r, case = scene.records, begin(scene)
    yellow = "000421092026"
    r.add_bags([bag(yellow, "infectious")], scene.sari, "", 12)
    with pytest.raises(Refused) as refused:
        r.put_vials(case, yellow, "B1", 1, scene.sari, "", 15)
    assert refused.value.code is Code.CLASS_DISAGREES


def test_after_closing_nothing_changes_not_even_the_weight(scene: Any) -> None:
    r, case = scene.records, begin(scene)
    destroy(scene, case)
    r.close_destruction(case, scene.budi, "all there", 90)
    spare = "000521092026"
    r.add_bags([bag(spare)], scene.sari, "", 91)
    for change in (
        lambda: r.list_vials(case, "B1", 1, scene.budi, "x", 95),
        lambda: r.put_vials(case, ONE, "B1", 1, scene.budi, "x", 95),
        lambda: r.confirm_damaged(case, scene.budi, "x", 95),
        lambda: r.close_destruction(case, scene.budi, "x", 95),
        lambda: r.correct_tie("W0", spare, scene.budi, "x", 95),
    ):
        with pytest.raises(Refused) as refused:
            change()
        assert refused.value.code is Code.ALREADY_CLOSED


def test_a_count_after_the_bag_was_destroyed_is_a_correction_with_a_reason(scene: Any) -> None:
    r, case = scene.records, begin(scene)
    destroy(scene, case)
    with pytest.raises(Refused) as refused:
        r.put_vials(case, TWO, "B1", 8, scene.budi, "", 85)
    assert refused.value.code is Code.REASON_REQUIRED
    r.put_vials(case, TWO, "B1", 8, scene.budi, "counted again on the photo", 86)
    assert r.destruction_problems(case) == [Problem(Open.VIALS_MISSING, KEY, 72)]
    r.put_vials(case, TWO, "B1", 80, scene.budi, "I typed 8 for 80", 87)
    assert r.destruction_problems(case) == []
    row = r.audit_of(f"destruction_bag:S1/{TWO}")[-1]
    assert (row.old_value["vials"], row.new_value["vials"], row.actor) == ({"B1": 8}, {"B1": 80}, "Budi")


def test_smile_37_nothing_goes_into_a_destroyed_bag_and_more_vials_are_confirmed_anew(scene: Any) -> None:
    """A complete case of 20, then 70 listed and 50 more put into the bag that is ash: it was closable."""
    r, case = scene.records, begin(scene, listed=20, bagged=(15, 5))
    destroy(scene, case)
    assert r.destruction_problems(case) == []
    r.list_vials(case, "B1", 70, scene.sari, "found a box", 85)
    assert r.destruction_problems(case) == [Problem(Open.VIALS_MISSING, KEY, 50), Problem(Open.NOT_DAMAGED, "")]
    with pytest.raises(Refused) as refused:
        r.put_vials(case, TWO, "B1", 55, scene.budi, "found a box", 86)
    assert (refused.value.code, refused.value.field) == (Code.ALREADY_DESTROYED, "vials")
    assert [b.vials for b in r.destruction_bags(case)] == [{"B1": 15}, {"B1": 5}]


def test_smile_37_a_line_that_grows_takes_the_confirmation_back_and_one_that_shrinks_does_not(scene: Any) -> None:
    r, case = scene.records, begin(scene)
    r.confirm_damaged(case, scene.sari, "crushed", 60)
    assert r.list_vials(case, "B1", 199, scene.sari, "one fewer", 61).damaged_by == "Sari"
    assert r.list_vials(case, "B1", 200, scene.sari, "no, all of them", 62).damaged_by == ""
    assert r.audit_of(f"destruction:{case}")[-1].action == "destruction_damage_withdrawn"


def test_smile_37_what_was_destroyed_was_confirmed_unusable_before_not_afterwards(scene: Any) -> None:
    """Destroyed last week, damaged today."""
    r, case = scene.records, begin(scene)
    r.confirm_damaged(case, scene.sari, "crushed", 75)
    with pytest.raises(Refused) as refused:
        r.bag_destroyed(case, ONE, 74, scene.sari, "burnt", 80)
    assert (refused.value.code, refused.value.field) == (Code.BAD_VALUE, "destroyed_ms")
    assert r.bag_destroyed(case, ONE, 75, scene.sari, "burnt", 80).destroyed_ms == 75


def test_smile_37_what_was_done_last_week_may_be_told_today_with_its_times(scene: Any) -> None:
    r, case = scene.records, begin(scene)
    with pytest.raises(Refused) as refused:
        r.confirm_damaged(case, scene.sari, "crushed", 900, 901)
    assert (refused.value.code, refused.value.field) == (Code.BAD_VALUE, "damaged_ms")
    assert r.confirm_damaged(case, scene.sari, "crushed", 900, 60).damaged_ms == 60
    assert r.bag_destroyed(case, ONE, 70, scene.sari, "burnt", 901).destroyed_ms == 70
    assert [row.at_ms for row in r.audit_of(f"destruction:{case}")][-1] == 900


def test_a_slip_with_a_bag_is_undone_by_taking_its_vials_out_again(scene: Any) -> None:
    r, sari = scene.records, scene.sari
    wrong = r.open_destruction("S1", "BAST/2026/016", "", sari, "", 9).id
    r.put_vials(wrong, ONE, "B1", 120, sari, "", 10)
    r.put_vials(wrong, ONE, "B1", 0, sari, "the wrong BAST", 11)
    assert (r.bag("S1", ONE).bast_no, r.bag("S1", ONE).material_ids) == (None, ())
    assert r.audit_of(f"bag:S1/{ONE}")[-1].action == "destruction_bag_freed"
    right = begin(scene)
    assert r.destruction_bags(wrong) == []
    assert [b.bag for b in r.destruction_bags(right)] == [ONE, TWO]
    assert (r.bag("S1", ONE).bast_no, r.bag("S1", ONE).material_ids) == (BAST, (990002,))
    assert r.verify_chain("S1").ok


def test_a_bag_keeps_the_materials_of_what_is_left_in_it_and_a_destroyed_one_stays(scene: Any) -> None:
    r, sari, case = scene.records, scene.sari, begin(scene)
    other = replace(r.batch("B1"), id="B7", smile=SmileStockIds(1, 2, 3, 4, 990003, 6))
    r.upsert_batch(other, scene.loader, "", 13)
    r.put_vials(case, ONE, "B7", 2, sari, "", 14)
    assert r.bag("S1", ONE).material_ids == (990002, 990003)
    r.put_vials(case, ONE, "B1", 0, sari, "not these", 15)
    assert (r.bag("S1", ONE).bast_no, r.bag("S1", ONE).material_ids) == (BAST, (990003,))
    destroy(scene, case)
    r.put_vials(case, TWO, "B1", 0, scene.budi, "it was empty", 85)
    assert r.bag("S1", TWO).bast_no == BAST


def test_a_vial_is_destroyed_once_over_all_destructions_of_the_site(scene: Any) -> None:
    """BAST-2 listed 1,000,000 vials of a batch whose 200 vials are all in BAST-1, which is closed."""
    r, case = scene.records, begin(scene, listed=190, bagged=(120, 70))
    destroy(scene, case)
    r.close_destruction(case, scene.budi, "all there", 90)
    booked = replace(r.batch("B1"), doses=10)
    r.upsert_batch(booked, scene.loader, "the discard is booked", 91)
    second = r.open_destruction("S1", "BAST/2026/018", "", scene.sari, "", 92).id
    for vials in (1_000_000, 11):
        with pytest.raises(Refused, match=r"at most 200 vials .200 doses, doses per vial not known") as refused:
            r.list_vials(second, "B1", vials, scene.sari, "", 93)
        assert (refused.value.code, refused.value.field) == (Code.MORE_THAN_STOCK, "vials")
    assert r.list_vials(second, "B1", 10, scene.sari, "", 94).lines == {"B1": 10}


def test_doses_are_counted_as_vials_where_the_doses_of_a_vial_are_known(scene: Any) -> None:
    r, case = scene.records, begin(scene, listed=0, bagged=(0, 0))
    ten = replace(r.batch("B1"), smile=SmileStockIds(1, 2, 3, 4, 990002, 6, doses_per_vial=10))
    r.upsert_batch(ten, scene.loader, "ids", 13)
    with pytest.raises(Refused, match=r"at most 20 vials .200 doses, 10 in a vial"):
        r.list_vials(case, "B1", 21, scene.sari, "", 14)
    assert r.list_vials(case, "B1", 20, scene.sari, "", 14).lines == {"B1": 20}


def test_two_sites_whose_names_begin_alike_do_not_share_a_destruction(scene: Any) -> None:
    r, long = scene.records, "PUSKESMAS-" + "X" * 46
    for number, site in enumerate((f"{long}-1", f"{long}-2")):
        r.upsert_site(replace(r.site("S1"), id=site), scene.loader, "", 5)
        r.open_destruction(site, f"B/{number}", "", scene.sari, "", 6)
    assert [[d.id for d in r.destructions(f"{long}-{n}")] for n in (1, 2)] == [[f"{long}.D1"], [f"{long}.D2"]]


def test_smile_37_nobody_of_the_facility_closes_alone_where_a_third_party_destroys(scene: Any) -> None:
    r, case = scene.records, begin(scene, "PT Olah")
    r.upsert_user(
        User("Budi", "manager", site="S1", password_hash="$argon2id$x"), scene.loader, "head of the facility", 13
    )
    r.upsert_user(User("Wati", "manager", region="kab-a", password_hash="$argon2id$x"), scene.loader, "region", 13)
    wati = Actor("Wati", "manager")
    destroy(scene, case)
    with pytest.raises(Refused) as refused:
        r.third_party_report(case, "LP-7", "Rudi", scene.budi, "", 91)
    assert refused.value.code is Code.NOT_ALONE
    r.third_party_report(case, "LP-7", "Rudi", wati, "", 91)
    with pytest.raises(Refused) as refused:
        r.close_destruction(case, scene.budi, "done", 92)
    assert refused.value.code is Code.NOT_ALONE
    assert r.close_destruction(case, wati, "done", 93).closed_by == "Wati"


@pytest.mark.parametrize("vials", [-1, 1_000_001, True])
def test_a_count_is_a_count(scene: Any, vials: int) -> None:
    case = begin(scene)
    with pytest.raises(Refused) as refused:
        scene.records.list_vials(case, "B1", vials, scene.sari, "x", 20)
    assert (refused.value.code, refused.value.field) == (Code.BAD_VALUE, "vials")


def test_no_process_of_ours_destroys_and_no_batch_of_another_site(scene: Any, second_site: Any) -> None:
    r, case = scene.records, begin(scene)
    second_site(r)
    with pytest.raises(Refused) as refused:
        r.close_destruction(case, Actor.system("alerts"), "x", 20)
    assert refused.value.code is Code.PERSON_REQUIRED
    with pytest.raises(Refused) as refused:
        r.open_destruction("S1", "B/2", "", Actor.system("alerts"), "x", 20)
    assert refused.value.code is Code.PERSON_REQUIRED
    with pytest.raises(Refused) as refused:
        r.list_vials(case, "B2", 5, scene.sari, "", 20)
    assert refused.value.code is Code.WRONG_SITE
    assert r.list_vials(case, "B1", 0, scene.sari, "listed by mistake", 21).lines == {}
