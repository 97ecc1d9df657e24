"""What people say of readings: corrections by certificate, followed and never changed; marks, which may be taken back."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.records import Actor, Refused, Role, UnknownRecord
from gateway.records.errors import Code
from gateway.records.probes import MOST_MARKS

SARI = Actor("Sari", Role.MANAGER)
STREAM = "LOG-1/temperature_c"
DAY = 86_400_000


@pytest.fixture
def r(world: Any) -> Any:
    return world.records


def said(r: Any, offset_c: str = "-0.3", from_ms: int = DAY, **changes: Any) -> Any:
    told = {"stream": STREAM, "certificate": "KAL-17", "actor": SARI, "reason": "certificate came", "at_ms": 10 * DAY}
    return r.correct_probe(from_ms=from_ms, offset_c=Decimal(offset_c), **(told | changes))


def test_req_38_a_correction_is_kept_with_who_when_and_why_and_the_registry_is_to_be_read_again(r: Any) -> None:
    version = r.registry_version()
    made = said(r)
    assert (made.number, made.offset_c, made.said_by, made.site) == (1, Decimal("-0.3"), "Sari", "S1")
    assert r.probe_corrections() == r.probe_corrections([STREAM]) == [made]
    assert r.probe_corrections(["LOG-2/temperature_c"]) == []
    (row,) = r.audit_of(f"probe_correction:{STREAM}/1")
    assert (row.action, row.actor, row.reason, row.at_ms) == ("probe_corrected", "Sari", "certificate came", 10 * DAY)
    assert r.registry_version() > version
    assert r.verify_chain("S1").ok


def test_req_38_a_mistake_is_put_right_by_another_row_and_the_same_again_is_no_change(r: Any) -> None:
    said(r)
    rows = r.newest_change()
    assert said(r, reason="sent twice").number == 1
    assert r.newest_change() == rows
    assert said(r, "0.3", reason="the sign was wrong").number == 2
    assert [c.offset_c for c in r.probe_corrections()] == [Decimal("-0.3"), Decimal("0.3")]
    assert said(r, "-0.3").number == 3  # once more the first: that is a change now
    audit_id = r.audit_of(f"probe_correction:{STREAM}/2")[0].id
    then = r.states_at("probe_correction", audit_id, prefix="LOG-1/")
    assert [(c.number, c.offset_c) for c in then] == [(1, Decimal("-0.3")), (2, Decimal("0.3"))]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"actor": Actor.system("alerts")}, Code.PERSON_REQUIRED),
        ({"reason": " "}, Code.REASON_REQUIRED),
        ({"certificate": ""}, Code.BAD_VALUE),
        ({"offset_c": "5.001"}, Code.BAD_VALUE),
        ({"offset_c": "0.0001"}, Code.BAD_VALUE),
        ({"offset_c": "NaN"}, Code.BAD_VALUE),
        ({"from_ms": 400 * DAY}, Code.BAD_VALUE),
        ({"from_ms": -1}, Code.BAD_VALUE),
        ({"stream": "LOG-1/door_open"}, Code.BAD_VALUE),
        ({"stream": "LOG-1"}, Code.BAD_VALUE),
    ],
)
def test_req_37_what_cannot_be_meant_is_refused(r: Any, changes: dict[str, Any], code: Code) -> None:
    with pytest.raises(Refused) as refused:
        said(r, **changes)
    assert refused.value.code == code
    assert r.probe_corrections() == []


def test_a_device_that_nobody_registered_has_no_correction(r: Any) -> None:
    with pytest.raises(UnknownRecord):
        said(r, stream="LOG-7/temperature_c")


def marked(r: Any, from_ms: int = DAY, to_ms: int = DAY + 1, **changes: Any) -> Any:
    told = {"stream": STREAM, "actor": SARI, "reason": "a jump by the cable", "at_ms": 10 * DAY}
    return r.mark_readings(from_ms=from_ms, to_ms=to_ms, **(told | changes))


def test_req_12_a_mark_is_kept_with_who_when_and_why_and_may_be_taken_back(r: Any) -> None:
    version = r.registry_version()
    made = marked(r)
    assert (made.number, made.said_by, made.site, made.taken_back) == (1, "Sari", "S1", False)
    assert marked(r, reason="sent twice") == made
    with pytest.raises(Refused) as refused:
        r.take_back_mark(STREAM, 1, SARI, " ", 11 * DAY)
    assert refused.value.code == Code.REASON_REQUIRED
    back = r.take_back_mark(STREAM, 1, SARI, "it was that warm", 11 * DAY)
    assert r.reading_marks() == r.reading_marks([STREAM]) == [back]
    assert back.taken_back
    rows = r.audit_of(f"reading_mark:{STREAM}/1")
    assert [(row.action, row.reason) for row in rows] == [
        ("readings_marked", "a jump by the cable"),
        ("mark_taken_back", "it was that warm"),
    ]
    assert [m.taken_back for m in r.states_at("reading_mark", rows[0].id, prefix="LOG-1/")] == [False]
    assert marked(r).number == 2  # another mark: the first one stays taken back
    assert r.registry_version() > version
    assert r.verify_chain("S1").ok


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"actor": Actor.system("alerts")}, Code.PERSON_REQUIRED),
        ({"reason": ""}, Code.REASON_REQUIRED),
        ({"to_ms": DAY}, Code.BAD_VALUE),
        ({"to_ms": 2 * DAY + 1}, Code.BAD_VALUE),
        ({"from_ms": 10 * DAY, "to_ms": 10 * DAY + 300_001}, Code.BAD_VALUE),
        ({"stream": "LOG-1/door_open"}, Code.BAD_VALUE),
    ],
)
def test_req_12_a_mark_that_cannot_be_meant_is_refused(r: Any, changes: dict[str, Any], code: Code) -> None:
    with pytest.raises(Refused) as refused:
        marked(r, **changes)
    assert refused.value.code == code
    assert r.reading_marks() == []


def test_req_12_a_mark_is_taken_back_by_a_person(r: Any) -> None:
    marked(r)
    with pytest.raises(Refused) as refused:
        r.take_back_mark(STREAM, 1, Actor.system("alerts"), "no", 11 * DAY)
    assert refused.value.code == Code.PERSON_REQUIRED
    with pytest.raises(UnknownRecord):
        r.take_back_mark(STREAM, 2, SARI, "no", 11 * DAY)


def test_req_12_a_mark_is_of_the_site_in_which_the_device_stood_then(r: Any, times: Any) -> None:
    """LOG-1 goes from S1 to S2: of each site are its own readings, in its own audit chain, and none of both."""
    move_ms = times.t0 + DAY
    r.upsert_site(replace(r.site("S1"), id="S2"), SARI, "opened", times.t0)
    r.upsert_device(replace(r.device("LOG-1"), site="S2", equipment=None), SARI, "moved", move_ms)
    before, after = (move_ms - 9, move_ms), (move_ms, move_ms + 9)
    later = {"at_ms": move_ms + DAY}
    assert marked(r, *before, **later).site == "S1"
    assert marked(r, *after, site="S2", **later).site == "S2"
    for span, site in ((before, "S2"), (after, "S1"), ((before[0], after[1]), None)):
        with pytest.raises(Refused) as refused:
            marked(r, *span, site=site, **later)
        assert refused.value.code == Code.BAD_VALUE
    with pytest.raises(UnknownRecord):
        r.take_back_mark(STREAM, 1, SARI, "no", move_ms + DAY, "S2")
    assert r.take_back_mark(STREAM, 1, SARI, "it was that warm", move_ms + DAY, "S1").taken_back
    assert [row.site for row in r.audit_of(f"reading_mark:{STREAM}/1")] == ["S1", "S1"]
    assert r.verify_chain("S1").ok
    assert r.verify_chain("S2").ok


def test_req_12_so_many_marks_of_one_stream_stand_and_no_more(r: Any) -> None:
    for i in range(MOST_MARKS):
        marked(r, DAY + 2 * i, DAY + 2 * i + 1)
    with pytest.raises(Refused) as refused:
        marked(r, 2 * DAY, 2 * DAY + 1)
    assert refused.value.code == Code.BAD_VALUE
    r.take_back_mark(STREAM, 1, SARI, "it was that warm", 11 * DAY)
    assert marked(r, 2 * DAY, 2 * DAY + 1).number == MOST_MARKS + 1
