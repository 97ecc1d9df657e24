"""Findings keep all their states; alarms are answered by people."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.records import Code, Refused, UnknownRecord


def test_saving_again_changes_nothing(world: Any) -> None:
    r = world.records
    finding = world.finding()
    saved = r.save_findings([finding], 1000)
    assert (saved.created, saved.opened) == ((finding.id,), (finding.id,))
    before = r.newest_change()
    again = r.save_findings([finding, finding], 2000)
    assert (again.unchanged, again.opened) == ((finding.id,) * 2, ())
    assert r.newest_change() == before
    assert r.findings("S1") == [finding]
    assert len(r.finding_history(finding.id)) == 1


def test_event_time_and_first_detection_are_both_kept(world: Any, times: Any) -> None:
    """cold-chain.md 8: HEAT confirmed with event time 10:00, detection time 13:00; the possible one came first."""
    r, t = world.records, times.t0
    possible = world.finding(kind="possible", detected_ms=t + 10 * times.hour)
    r.save_findings([possible], t + 10 * times.hour)
    confirmed = replace(possible, kind="confirmed", detected_ms=t + 13 * times.hour)
    saved = r.save_findings([confirmed], t + 13 * times.hour)
    assert saved.changed == (possible.id,)
    now = r.finding(possible.id)
    assert (now.kind, now.event_ms, now.detected_ms) == ("confirmed", t + 10 * times.hour, t + 10 * times.hour)
    history = r.finding_history(possible.id)
    assert [(h.number, h.at_ms, h.state.kind) for h in history] == [
        (1, t + 10 * times.hour, "possible"),
        (2, t + 13 * times.hour, "confirmed"),
    ]
    assert history[-1].state == now
    assert history[0].state.extreme_c == Decimal("9.1")


def test_a_withdrawal_is_logged_and_closes_the_alarm(world: Any) -> None:
    """cold-chain.md 8: if they show 5.0, possible HEAT is withdrawn, and the withdrawal logged."""
    r = world.records
    finding = world.finding(kind="possible")
    r.save_findings([finding], 1000)
    r.save_findings([replace(finding, kind="withdrawn")], 2000)
    alarm = r.alarm(finding.id)
    assert (alarm.state, alarm.closed_ms, alarm.acknowledged_by) == ("closed", 2000, None)
    assert r.open_alarms("S1") == []
    assert "possible -> withdrawn" in r.audit_of(f"finding:{finding.id}")[-1].reason
    assert [f.id for f in r.findings("S1")] == [finding.id]
    assert r.findings("S1", standing=True) == []
    with pytest.raises(Refused) as refused:
        r.acknowledge(finding.id, world.sari, "seen", 3000)
    assert refused.value.code is Code.ALARM_CLOSED


def test_kpis_of_an_alarm(world: Any, times: Any) -> None:
    """cold-chain.md 35: alarm 10:00, ack 10:25, resolved 12:00 -> 25 min, 120 min."""
    r, ten = world.records, times.t0 + 10 * times.hour
    finding = world.finding()
    r.save_findings([finding], ten)
    acked = r.acknowledge(finding.id, world.sari, "door was open", ten + 25 * times.minute)
    assert (acked.state, acked.acknowledged_by, acked.comment) == ("acknowledged", "Sari", "door was open")
    r.save_findings([replace(finding, end_ms=ten + 120 * times.minute)], ten + 121 * times.minute)
    alarm = r.alarm(finding.id)
    assert (alarm.answer_ms, alarm.resolve_ms) == (25 * times.minute, 120 * times.minute)
    assert (alarm.state, alarm.closed_ms) == ("closed", ten + 121 * times.minute)


def test_what_is_over_still_waits_for_an_answer(world: Any) -> None:
    """design.md, promise 6: nothing clears itself."""
    r = world.records
    finding = world.finding(end_ms=900_000)
    r.save_findings([finding], 1000)
    assert [a.id for a in r.open_alarms()] == [finding.id]
    assert r.acknowledge(finding.id, world.sari, "ok", 2_000_000_000_000).state == "closed"


def test_an_answer_takes_a_person_and_words(world: Any) -> None:
    r = world.records
    finding = world.finding()
    r.save_findings([finding], 1000)
    for actor, comment, code in (
        (world.alerts, "auto", Code.PERSON_REQUIRED),
        (world.sari, "  ", Code.COMMENT_REQUIRED),
    ):
        with pytest.raises(Refused) as refused:
            r.acknowledge(finding.id, actor, comment, 2000)
        assert refused.value.code is code
    r.acknowledge(finding.id, world.sari, "seen", 2000)
    with pytest.raises(Refused) as refused:
        r.acknowledge(finding.id, world.budi, "me too", 2001)
    assert refused.value.code is Code.ALREADY_ACKNOWLEDGED
    with pytest.raises(UnknownRecord):
        r.acknowledge("nothing", world.sari, "x", 1)


def test_worse_news_asks_again(world: Any) -> None:
    r = world.records
    finding = world.finding(kind="possible")
    r.save_findings([finding], 1000)
    r.acknowledge(finding.id, world.sari, "watching", 1500)
    assert r.save_findings([replace(finding, kind="confirmed")], 2000).opened == (finding.id,)
    alarm = r.alarm(finding.id)
    assert (alarm.state, alarm.opened_ms, alarm.acknowledged_by) == ("open", 2000, None)
    assert [a.new_value.get("acknowledged_by") for a in r.audit_of(f"alarm:{finding.id}")] == [None, "Sari", None]


def test_more_facts_do_not_ask_again(world: Any) -> None:
    r = world.records
    finding = world.finding()
    r.save_findings([finding], 1000)
    r.acknowledge(finding.id, world.sari, "watching", 1500)
    saved = r.save_findings([replace(finding, extreme_c=Decimal("12.0"))], 2000)
    assert (saved.changed, saved.opened) == ((finding.id,), ())
    assert r.alarm(finding.id).state == "acknowledged"


@pytest.mark.parametrize("old_first", [True, False])
def test_an_episode_that_moved_keeps_its_answer(world: Any, old_first: bool) -> None:
    """A moved finding carries ``supersedes``; the person who answered is not asked again."""
    r = world.records
    old = world.finding("HEAT:KUL-1:200", episode_start_ms=200)
    r.save_findings([old], 1000)
    r.acknowledge(old.id, world.sari, "seen", 1100)
    moved = world.finding("HEAT:KUL-1:100", episode_start_ms=100, supersedes=old.id)
    gone = replace(old, kind="withdrawn")
    saved = r.save_findings([gone, moved] if old_first else [moved, gone], 2000)
    assert saved.opened == ()
    alarm = r.alarm(moved.id)
    assert (alarm.state, alarm.acknowledged_by, alarm.opened_ms) == ("acknowledged", "Sari", 1000)
    assert r.alarm(old.id).state == "closed"
    assert r.finding(old.id).superseded_by == moved.id
    assert [f.id for f in r.findings(standing=True)] == [moved.id]


@pytest.mark.parametrize("gone_first", [True, False])
@pytest.mark.parametrize("end_ms", [None, 900])
def test_an_answered_finding_that_grows_over_an_unanswered_one_asks_again(
    world: Any, gone_first: bool, end_ms: int | None
) -> None:
    """design.md, promise 6: late facts join two episodes; nobody answered the second, so its question stays."""
    r = world.records
    first = world.finding("H:100", episode_start_ms=100, end_ms=200)
    second = world.finding("H:500", episode_start_ms=500, end_ms=end_ms)
    r.save_findings([first, second], 1000)
    r.acknowledge(first.id, world.sari, "door was open", 1100)
    joined, gone = replace(first, end_ms=end_ms), replace(second, kind="withdrawn")
    saved = r.save_findings([gone, joined] if gone_first else [joined, gone], 2000)
    assert saved.opened == (first.id,)
    alarm = r.alarm(first.id)
    assert (alarm.state, alarm.acknowledged_by, alarm.opened_ms) == ("open", None, 1000)
    assert r.alarm(second.id).state == "closed"
    last = r.audit_of(f"alarm:{first.id}")[-1]
    assert (last.action, second.id in last.reason) == ("alarm_opened_again", True)
    assert r.save_findings([joined, gone], 3000).opened == ()
    r.acknowledge(first.id, world.sari, "and the power was off", 3100)
    assert r.save_findings([joined, gone], 3200).opened == ()
    assert r.verify_chain("S1").ok


@pytest.mark.parametrize(
    "other",
    [
        {"episode_start_ms": 100, "end_ms": 400},  # over before the withdrawn one began
        {"episode_start_ms": 600},  # began after it
        {"equipment": "KUL-1b"},
        {"batch": "B1"},
        {"rule": "FRZE", "code": "FRZE"},
        {"device": "LOG-9"},
        {"alarms": False},
    ],
)
def test_a_withdrawn_finding_hands_its_question_to_none_but_the_one_that_grew_over_it(
    world: Any, other: dict[str, Any]
) -> None:
    r = world.records
    answered = world.finding("H:100", **({"episode_start_ms": 100} | other))
    gone = world.finding("H:500", episode_start_ms=500)
    r.save_findings([answered, gone], 1000)
    if answered.alarms:
        r.acknowledge(answered.id, world.sari, "seen", 1100)
    saved = r.save_findings([replace(answered, extreme_c=Decimal("12.0")), replace(gone, kind="withdrawn")], 2000)
    assert saved.opened == ()
    assert r.open_alarms() == []


def test_a_superseded_finding_stands_again_when_its_successor_is_withdrawn(world: Any) -> None:
    r = world.records
    old, moved = world.finding("H:200"), world.finding("H:100", supersedes="H:200")
    r.save_findings([moved, old], 1000)  # in any order
    assert r.finding("H:200").superseded_by == "H:100"
    assert [a.id for a in r.open_alarms()] == ["H:100"]
    saved = r.save_findings([replace(moved, kind="withdrawn")], 2000)
    assert r.finding("H:200").superseded_by is None
    assert [a.id for a in r.open_alarms()] == ["H:200"]
    assert saved.opened == ("H:200",)
    assert r.verify_chain("S1").ok


def test_a_finding_that_does_not_alarm_asks_nobody(world: Any) -> None:
    r = world.records
    assert r.save_findings([world.finding(alarms=False)], 1000).opened == ()
    assert r.alarms() == []
    with pytest.raises(UnknownRecord):
        r.alarm(world.finding().id)


def test_a_person_may_say_that_it_is_over(world: Any) -> None:
    r = world.records
    r.save_findings([world.finding()], 1000)
    r.acknowledge(world.finding().id, world.sari, "logger is lost", 1500)
    alarm = r.resolve(world.finding().id, world.budi, "new logger in place", 2000)
    assert (alarm.state, alarm.resolved_ms) == ("closed", 2000)


def test_findings_of_an_unknown_site_are_refused_as_a_whole(world: Any) -> None:
    r = world.records
    with pytest.raises(Refused) as refused:
        r.save_findings([world.finding("ok"), world.finding("bad", site="NOWHERE", equipment=None)], 1000)
    assert refused.value.code is Code.BROKEN_REFERENCE
    assert r.findings() == []


def test_filters(world: Any) -> None:
    r = world.records
    r.save_findings([world.finding("a", event_ms=10), world.finding("b", event_ms=20, equipment="KUL-1b")], 1000)
    assert [f.id for f in r.findings()] == ["b", "a"]
    assert [f.id for f in r.findings(equipment="KUL-1")] == ["a"]
    assert [f.id for f in r.findings(from_ms=10, to_ms=20)] == ["a"]
    assert [f.id for f in r.findings(limit=1)] == ["b"]
    assert [a.id for a in r.alarms("S1", ["open"], limit=1)] == ["a"]


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "a\0b"},
        {"profile": "\ud800"},
        {"event_ms": 1 << 63},
        {"evidence": {"a": 0.1}},
        {"evidence": {"a": "\ud800"}},
        {"extreme_c": Decimal("NaN")},
        {"kind": "perhaps"},
    ],
)
def test_what_cannot_be_kept_exactly_is_refused_on_both(world: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        world.records.save_findings([world.finding(**changes)], 1)
    assert (refused.value.code, refused.value.field) == (Code.BAD_VALUE, next(iter(changes)))
