"""Proposals come from judging, decisions from people."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from gateway.records import Actor, Code, Refused, UnknownRecord, Verdict, open_records

HOLD = Verdict("", "B1", "hold_and_inspect", ({"code": "HEAT", "text": "10 h above 8.0"},), ("F1",), 1000)
CALM = Verdict("", "B1", "no_action", (), (), 3000)


def test_the_same_judgement_changes_nothing(world: Any) -> None:
    r = world.records
    (first,) = r.save_verdicts([HOLD], 1000)
    assert (first.id, first.site, first.state, first.verdict) == ("B1.v1", "S1", "proposed", "hold_and_inspect")
    assert first.reasons == ({"code": "HEAT", "text": "10 h above 8.0"},)
    before = r.newest_change()
    assert r.save_verdicts([replace(HOLD, judged_ms=2000)], 2000) == [first]
    assert r.newest_change() == before
    assert r.verdict("B1") == first
    assert r.verdict("B-unknown") is None


def test_a_withdrawn_episode_withdraws_the_proposal(world: Any) -> None:
    r = world.records
    r.save_verdicts([HOLD], 1000)
    r.save_verdicts([CALM], 3000)
    assert [(v.verdict, v.state) for v in r.verdict_history("B1")] == [
        ("hold_and_inspect", "withdrawn"),
        ("no_action", "proposed"),
    ]
    assert [v.id for v in r.verdicts("S1")] == ["B1.v2"]
    assert r.verdicts("S1", "withdrawn") == []


def test_a_withdrawn_episode_does_not_withdraw_the_persons_act(world: Any) -> None:
    """design.md, promises 4 and 6."""
    r = world.records
    r.save_verdicts([HOLD], 1000)
    r.decide("B1", "discarded", world.budi, "VVM at C on all vials", 2000)
    r.save_verdicts([CALM], 3000)
    decided = r.decision("B1")
    assert (decided.decision, decided.decided_by, decided.decided_ms) == ("discarded", "Budi", 2000)
    assert (decided.reason, decided.state, decided.verdict) == (
        "VVM at C on all vials",
        "decided",
        "hold_and_inspect",
    )
    assert r.verdict("B1").verdict == "no_action"


def test_a_decision_is_a_command_in_the_feed(world: Any) -> None:
    r = world.records
    r.save_verdicts([HOLD], 1000)
    seen = r.newest_change()
    r.decide("B1", "discarded", world.budi, "spoilt", 2000)
    (row,) = r.changes_after(seen)
    assert (row.action, row.kind, row.key, row.new_value["batch"]) == ("batch_discarded", "verdict", "B1.v1", "B1")
    assert (row.actor, row.role, row.reason) == ("Budi", "manager", "spoilt")
    assert r.verdict_by_id(row.key).decision == "discarded"


@pytest.mark.parametrize(
    ("actor", "reason", "decision", "code"),
    [
        (Actor.system("alerts"), "auto", "released", Code.PERSON_REQUIRED),
        (Actor("  ", "manager"), "why", "released", Code.PERSON_REQUIRED),
        (Actor("Budi", "manager"), "  ", "released", Code.REASON_REQUIRED),
        (Actor("Budi", "manager"), "why", "burnt", Code.BAD_VALUE),
    ],
)
def test_only_a_named_person_with_a_reason_decides(
    world: Any, actor: Actor, reason: str, decision: str, code: Code
) -> None:
    """cold-chain.md 25: release and discard need a named person and a reason."""
    r = world.records
    r.save_verdicts([HOLD], 1000)
    with pytest.raises(Refused) as refused:
        r.decide("B1", decision, actor, reason, 2000)
    assert refused.value.code is code
    assert r.verdict("B1").state == "proposed"


def test_released_may_be_discarded_later_and_discarded_is_final(world: Any) -> None:
    r = world.records
    r.save_verdicts([HOLD], 1000)
    r.decide("B1", "released", world.budi, "VVM at A", 2000)
    with pytest.raises(Refused) as refused:
        r.decide("B1", "released", world.budi, "again", 2001)
    assert refused.value.code is Code.ALREADY_DECIDED
    r.decide("B1", "discarded", world.budi, "box fell", 3000)
    assert [(v.number, v.decision) for v in r.verdict_history("B1")] == [(1, "released"), (2, "discarded")]
    for decision, code in (("released", Code.DISCARDED_IS_FINAL), ("discarded", Code.ALREADY_DECIDED)):
        with pytest.raises(Refused) as refused:
            r.decide("B1", decision, world.budi, "x", 4000)
        assert refused.value.code is code
    assert r.verify_chain("S1").ok


def test_without_a_batch_or_a_verdict_there_is_nothing_to_decide(world: Any) -> None:
    with pytest.raises(UnknownRecord):
        world.records.decide("B404", "released", world.budi, "x", 1)
    with pytest.raises(UnknownRecord):
        world.records.save_verdicts([replace(HOLD, batch="B404")], 1)
    with pytest.raises(Refused) as refused:
        world.records.decide("B1", "released", world.budi, "x", 1)
    assert refused.value.code is Code.NO_VERDICT


@pytest.mark.parametrize("verdict", ["safe", "released", ""])
def test_outcomes_are_limited_to_the_five_words(world: Any, verdict: str) -> None:
    """cold-chain.md 25."""
    with pytest.raises(Refused) as refused:
        world.records.save_verdicts([replace(HOLD, verdict=verdict)], 1000)
    assert refused.value.code is Code.BAD_VALUE


def test_of_several_people_who_decide_at_once_one_does(world: Any, world_url: str) -> None:
    """The site's lock: who comes second is told so, instead of overwriting the first."""
    r = world.records
    rounds, people = 6, 4
    for n in range(rounds):
        r.upsert_batch(replace(r.batch("B1"), id=f"R{n}"), world.loader, "", 1)
        r.save_verdicts([replace(HOLD, batch=f"R{n}")], 1000)
    barrier = threading.Barrier(people)

    def decide(person: int) -> list[str]:
        said = []
        with open_records(world_url) as records:
            for n in range(rounds):
                barrier.wait(30)
                try:
                    records.decide(f"R{n}", "discarded", Actor(f"P{person}", "manager"), "spoilt", 2000)
                    said.append("done")
                except Refused as refused:
                    said.append(refused.code)
        return said

    with ThreadPoolExecutor(people) as threads:
        answers = list(threads.map(decide, range(people)))
    for n in range(rounds):
        assert sorted(a[n] for a in answers) == [Code.ALREADY_DECIDED] * (people - 1) + ["done"]
        assert len([a for a in r.audit_of(f"verdict:R{n}.v1") if a.action == "batch_discarded"]) == 1
    assert r.verify_chain("S1").ok
