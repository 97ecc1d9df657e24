"""An edge is invited by a person, enrolled by a code used once, and revoked by a person; secrets stay out of the audit."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.records import Actor, Code, EdgeState, Refused, Role, Site, UnknownRecord, open_records
from gateway.records.codes import InviteCode
from gateway.records.edges import CODE_LIFE_MS, KEY_OVERLAP_MS, MAX_TRIES, REPEAT_MS

T0 = 1_790_000_000_000
PI, OTHER_PI = "machine-a", "machine-b"
HASH = "$7$101$c2FsdA==$aGFzaA=="


def invite(world: Any, edge: str = "E1", reason: str = "new Pi", at_ms: int = T0) -> InviteCode:
    code: InviteCode = world.records.invite_edge("S1", edge, world.loader, reason, at_ms)
    return code


def enrol(world: Any, code: InviteCode, machine: str = PI, at_ms: int = T0 + 1000, password_hash: str = HASH) -> Any:
    return world.records.enrol_edge(code.text, machine, at_ms, password_hash=password_hash)


def refusal(world: Any, code: InviteCode | str, machine: str = PI, at_ms: int = T0 + 1000) -> Code:
    text = code if isinstance(code, str) else code.text
    with pytest.raises(Refused) as refused:
        world.records.enrol_edge(text, machine, at_ms, password_hash=HASH)
    return refused.value.code


def test_a_code_enrols_the_edge_it_was_made_for(world: Any) -> None:
    code = invite(world)
    invited = world.records.find_edge("S1", "E1")
    assert (invited.state, invited.account, invited.shard) == (EdgeState.INVITED, "S1.E1", "s0")
    assert invited.code_expires_ms == T0 + CODE_LIFE_MS
    assert invited.keys_at(T0) == ()
    done = enrol(world, code)
    edge = world.records.find_edge("S1", "E1")
    assert done.edge == edge
    assert not done.again
    assert (edge.state, edge.machine, edge.password_hash) == (EdgeState.ENROLLED, PI, HASH)
    assert edge.code_expires_ms is None
    (key,) = edge.keys_at(T0)
    assert len(key) == 32
    assert world.records.edges("S1") == [edge]


def test_every_change_is_in_the_chain_and_no_secret_is(world: Any) -> None:
    code = invite(world)
    enrol(world, code)
    enrol(world, invite(world, at_ms=T0 + 2000), at_ms=T0 + 3000)
    keys = world.records.find_edge("S1", "E1").keys_at(T0 + 3000)
    world.records.revoke_edge("S1", "E1", world.budi, "stolen", T0 + 4000)
    rows = [r for r in world.records.changes_after(0, site="S1") if r.kind == "edge"]
    said = ["edge_invited", "edge_enrolled", "edge_invited", "edge_enrolled", "edge_revoked"]
    assert [r.action for r in rows] == said
    assert [r.actor for r in rows] == ["Loader", "enrolment", "Loader", "enrolment", "Budi"]
    text = json.dumps([[r.old, r.new, r.reason] for r in rows])
    assert len(keys) == 2
    for secret in (code.secret, code.text, code.digest, HASH, *(key.hex() for key in keys)):
        assert secret not in text
    assert world.records.verify_chain("S1").ok


def test_a_change_behind_our_back_breaks_the_chain(world: Any, tamper: Any) -> None:
    enrol(world, invite(world))
    tamper("UPDATE edges SET upload_key = ?", b"x" * 32)
    assert [b.subject for b in world.records.verify_chain("S1").breaks] == ["edge:S1/E1"]


def test_a_code_is_used_once_by_another_machine_never(world: Any) -> None:
    code = invite(world)
    enrol(world, code)
    assert refusal(world, code, OTHER_PI) is Code.CODE_USED
    assert refusal(world, code, PI, T0 + 1000 + REPEAT_MS + 1) is Code.CODE_USED


def test_the_same_machine_may_repeat_its_code_for_a_while_and_gets_the_same_key(world: Any) -> None:
    code = invite(world)
    first = enrol(world, code)
    again = enrol(world, code, at_ms=T0 + 60_000, password_hash="$7$another")
    assert again.again
    assert again.edge.upload_key == first.edge.upload_key
    assert world.records.find_edge("S1", "E1").password_hash == "$7$another"


def test_a_code_expires(world: Any) -> None:
    code = invite(world)
    assert refusal(world, code, at_ms=T0 + CODE_LIFE_MS + 1) is Code.CODE_EXPIRED
    assert enrol(world, code, at_ms=T0 + CODE_LIFE_MS).edge.state == EdgeState.ENROLLED


def test_a_newer_invitation_voids_the_older_code(world: Any) -> None:
    old = invite(world)
    new = invite(world, reason="the paper was lost")
    assert refusal(world, old) is Code.CODE_REFUSED
    assert enrol(world, new).edge.machine == PI


def test_wrong_tries_are_counted_and_end_the_code(world: Any) -> None:
    code = invite(world)
    wrong = InviteCode(code.id, "0" * 16)
    for _ in range(MAX_TRIES - 1):
        assert refusal(world, wrong) is Code.CODE_REFUSED
    assert refusal(world, wrong) is Code.CODE_REFUSED
    assert refusal(world, code) is Code.CODE_REFUSED
    assert world.records.find_edge("S1", "E1").state == EdgeState.INVITED
    assert world.records.verify_chain("S1").ok


@pytest.mark.parametrize("text", ["", "x", "0000-0000-0000-0000-0000", "%" * 20, "A" * 10_000])
def test_what_is_no_code_of_ours_is_refused(world: Any, text: str) -> None:
    invite(world)
    assert refusal(world, text) is Code.CODE_REFUSED


def test_of_many_at_once_one_machine_wins(world: Any) -> None:
    code = invite(world)

    def attempt(number: int) -> str:
        try:
            return str(enrol(world, code, f"machine-{number}").edge.machine)
        except Refused as refused:
            return str(refused.code)

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(attempt, range(6)))
    assert answers.count("CODE_USED") == 5
    assert world.records.find_edge("S1", "E1").machine in answers


def test_the_same_machines_old_key_lives_on_for_a_week_after_a_new_code(world: Any) -> None:
    old = enrol(world, invite(world)).edge.upload_key
    new = enrol(world, invite(world, at_ms=T0 + 2000), at_ms=T0 + 3000).edge
    assert new.keys_at(T0 + 3000) == (new.upload_key, old)
    assert new.keys_at(T0 + 3000 + KEY_OVERLAP_MS) == (new.upload_key,)


def test_another_machine_takes_the_edge_over_and_the_old_key_is_dead_at_once(world: Any) -> None:
    old = enrol(world, invite(world)).edge.upload_key
    new = enrol(world, invite(world, reason="Pi broken", at_ms=T0 + 2000), OTHER_PI, T0 + 3000).edge
    assert new.machine == OTHER_PI
    assert old not in new.keys_at(T0 + 3000)


def test_an_enrolled_edge_goes_on_until_its_new_code_is_used(world: Any) -> None:
    first = enrol(world, invite(world)).edge
    invite(world, at_ms=T0 + 2000)
    waiting = world.records.find_edge("S1", "E1")
    assert waiting.state == EdgeState.ENROLLED
    assert waiting.keys_at(T0 + 2000) == (first.upload_key,)


def test_a_revoked_edge_has_no_key_no_account_and_cannot_come_back_with_an_old_code(world: Any) -> None:
    used = invite(world)
    enrol(world, used)
    still_open = invite(world, at_ms=T0 + 2000)
    gone = world.records.revoke_edge("S1", "E1", world.budi, "stolen", T0 + 3000)
    assert (gone.state, gone.keys_at(T0 + 3000), gone.password_hash) == (EdgeState.REVOKED, (), "")
    assert refusal(world, used, PI, T0 + 3500) is Code.CODE_REFUSED
    assert refusal(world, still_open, PI, T0 + 3500) is Code.CODE_REFUSED
    with pytest.raises(Refused) as refused:
        world.records.revoke_edge("S1", "E1", world.budi, "stolen", T0 + 4000)
    assert refused.value.code is Code.ALREADY_REVOKED
    back = invite(world, reason="found again", at_ms=T0 + 5000)
    edge = world.records.find_edge("S1", "E1")
    assert (edge.state, edge.enrolled_ms) == (EdgeState.INVITED, T0 + 1000)
    assert enrol(world, back, at_ms=T0 + 6000).edge.upload_key not in (None, b"")


def test_people_invite_and_revoke_with_a_reason(world: Any) -> None:
    r = world.records
    with pytest.raises(Refused) as refused:
        r.invite_edge("S1", "E1", world.alerts, "auto", T0)
    assert refused.value.code is Code.PERSON_REQUIRED
    invite(world, reason="")  # a first creation may go without
    with pytest.raises(Refused) as refused:
        invite(world, reason=" ")
    assert refused.value.code is Code.REASON_REQUIRED
    for actor, reason, code in ((world.alerts, "x", Code.PERSON_REQUIRED), (world.budi, "", Code.REASON_REQUIRED)):
        with pytest.raises(Refused) as refused:
            r.revoke_edge("S1", "E1", actor, reason, T0)
        assert refused.value.code is code


def test_only_a_known_site_and_an_edge_that_can_stand_in_a_topic(world: Any) -> None:
    with pytest.raises(UnknownRecord):
        world.records.invite_edge("S9", "E1", world.loader, "", T0)
    for edge in ("", "+", "E1/up", "E1\ntopic write #", "#", "x" * 65):
        with pytest.raises(Refused) as refused:
            invite(world, edge)
        assert refused.value.code is Code.BAD_VALUE
    with pytest.raises(UnknownRecord):
        world.records.revoke_edge("S1", "E9", world.budi, "x", T0)


def test_two_edges_never_share_an_account(world: Any) -> None:
    """S1 with edge x.E1 and site S1.x with edge E1 would both be S1.x.E1."""
    invite(world, "x.E1")
    boss = Actor("Boss", Role.SUPER_ADMIN)
    world.records.upsert_site(Site("S1.x", "X", "kab-a", "Asia/Jakarta", "s0", "puskesmas"), boss, "", T0)
    with pytest.raises(Refused) as refused:
        world.records.invite_edge("S1.x", "E1", boss, "", T0)
    assert refused.value.code is Code.ACCOUNT_TAKEN


def test_the_version_rises_with_each_change_of_an_edge_only(world: Any) -> None:
    r = world.records
    before = r.edges_version()
    code = invite(world)
    invited = r.edges_version()
    assert invited > before
    refusal(world, "0000-0000-0000-0000-0000")
    assert r.edges_version() == invited
    enrol(world, code)
    assert r.edges_version() > invited


def test_a_new_sqlite_file_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "records.db"
    with open_records(file) as records:
        records.newest_change()
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert modes["records.db"] == 0o600
    assert set(modes.values()) == {0o600}
