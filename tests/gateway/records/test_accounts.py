"""People, log-ins, and telling each of them once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.records import Actor, Code, Refused, UnknownRecord, User

SARI = User("sari", "operator", "S1", password_hash="$argon2id$x", contacts=("json://127.0.0.1:9/x",))
BUDI = User("budi", "manager", None, "kab-a", "en", "$argon2id$y", ("json://127.0.0.1:9/y",))


def test_users_come_back_and_who_is_responsible_is_told(world: Any) -> None:
    r = world.records
    for user in (SARI, BUDI, User("pusat", "admin", password_hash="$z", contacts=("json://x/z",))):
        r.upsert_user(user, world.loader, "", 1)
    assert r.user("sari") == SARI
    assert r.find_user("nobody") is None
    assert [u.name for u in r.people_to_tell("S1")] == ["budi", "sari"]
    r.upsert_user(replace(SARI, active=False), world.loader, "left", 2)
    assert [u.name for u in r.people_to_tell("S1")] == ["budi"]
    assert [u.name for u in r.users(role="manager")] == ["budi"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"site": None}, "site"),
        ({"role": "system"}, "role"),
        ({"password_hash": "secret"}, "password_hash"),
        ({"role": "manager", "site": None}, "region"),
        ({"name": "a b"}, "name"),
        ({"language": "fr"}, "language"),
    ],
)
def test_a_bad_user_is_refused_by_field(world: Any, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as refused:
        world.records.upsert_user(replace(SARI, **changes), world.loader, "", 1)
    assert refused.value.field == field


def test_a_change_of_role_takes_two(world: Any) -> None:
    """smile-and-waste.md 16: a role change needs a second administrator."""
    r = world.records
    r.upsert_user(SARI, world.loader, "", 1)
    with pytest.raises(Refused) as refused:
        r.upsert_user(replace(SARI, role="manager"), Actor("sari", "operator"), "me", 2)
    assert refused.value.code is Code.OWN_ROLE
    first, second = Actor("admin1", "super_admin"), Actor("admin2", "super_admin")
    with pytest.raises(UnknownRecord):
        r.confirm_role("sari", second, 3)
    r.propose_role("sari", "manager", first, "promoted", 3)
    for actor in (first, Actor("sari", "super_admin")):
        with pytest.raises(Refused) as refused:
            r.confirm_role("sari", actor, 4)
        assert refused.value.code is Code.OWN_ROLE
    assert r.confirm_role("sari", second, 5).role == "manager"
    row = r.audit_of("user:sari")[-1]
    assert (row.action, row.actor, row.reason) == ("user_role_changed", "admin2", "promoted (proposed by admin1)")
    with pytest.raises(UnknownRecord):
        r.confirm_role("sari", second, 6)


def test_a_token_is_known_by_its_hash_until_it_expires(world: Any, tamper: Any) -> None:
    r = world.records
    r.upsert_user(SARI, world.loader, "", 1)
    session = r.open_session("sari", "long-random-token", 100, 200, label="phone")
    assert "long-random-token" not in str(session.token_hash)
    assert r.session_user("long-random-token", 199) == SARI
    assert r.session_user("long-random-token", 200) is None
    assert r.session_user("other", 150) is None
    assert r.sessions("sari") == [session]
    r.open_session("sari", "second", 100, 300, "token")
    assert r.forget_sessions(200) == 1
    r.close_session("second")
    assert r.session_user("second", 150) is None
    with pytest.raises(UnknownRecord):
        r.open_session("nobody", "t", 1, 2)


def test_switching_a_user_off_ends_the_sessions(world: Any) -> None:
    r = world.records
    r.upsert_user(SARI, world.loader, "", 1)
    r.open_session("sari", "tok", 100, 200)
    r.upsert_user(replace(SARI, active=False), world.loader, "left", 2)
    assert r.session_user("tok", 150) is None
    assert r.sessions("sari") == []


def test_a_person_is_told_once(world: Any) -> None:
    r = world.records
    r.save_findings([world.finding()], 1)
    one = (world.finding().id, "sari", "mail")
    assert r.claim_notification(*one, 1000)
    assert not r.claim_notification(*one, 1001)  # another process is at it
    r.notification_done(*one, sent=False, at_ms=2000, detail="refused")
    assert not r.claim_notification(*one, 2001)
    assert r.claim_notification(*one, 302_000)  # failed five minutes ago: try again
    r.notification_done(*one, sent=True, at_ms=302_001)
    assert not r.claim_notification(*one, 9_999_999)
    assert r.claim_notification(one[0], "sari", "chat", 9_999_999)
    (mail, _chat) = r.notifications(one[0])
    assert (mail.state, mail.attempts, mail.detail) == ("sent", 2, "")


def test_a_claim_of_a_process_that_died_is_taken_over(world: Any) -> None:
    r = world.records
    r.save_findings([world.finding()], 1)
    one = (world.finding().id, "sari", "mail")
    assert r.claim_notification(*one, 1000)
    assert not r.claim_notification(*one, 300_999)
    assert r.claim_notification(*one, 301_000)
