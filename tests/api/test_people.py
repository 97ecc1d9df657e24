"""Accounts over the API: secrets stay inside, a change of level takes two, a token is shown once."""

from __future__ import annotations

from typing import Any

from gateway.records import Actor, SessionKind, User

WHY = {"reason": "asked for by the test"}
NEW = {"name": "sari", "role": "operator", "site": "PKM-A", "password": "kata-sandi-sari", **WHY}


def test_an_account_is_made_and_its_secrets_are_never_shown(world: Any) -> None:
    asker = world.as_role("super_admin")
    contacts = ["mailto://secret@example.org"]
    assert asker.post("/api/v1/users", json=NEW | {"contacts": contacts}).json()["change"] == "created"
    shown = asker.get("/api/v1/users").text
    assert '"sari"' in shown
    assert all(secret not in shown for secret in ("argon2", "mailto"))
    assert world.records.user("sari").password_hash.startswith("$argon2id$")
    audit = "".join(f"{row.old}{row.new}" for row in world.records.audit_of("user:sari"))
    assert "argon2" not in audit


def test_a_change_keeps_the_password_unless_a_new_one_comes(world: Any) -> None:
    asker = world.as_role("super_admin")
    asker.post("/api/v1/users", json=NEW)
    before = world.records.user("sari").password_hash
    without = {key: value for key, value in NEW.items() if key != "password"}
    assert asker.post("/api/v1/users", json=without | {"language": "en"}).json()["change"] == "changed"
    assert world.records.user("sari").password_hash == before
    asker.post("/api/v1/users", json=NEW | {"password": "yang-lain-lagi", "language": "en"})
    assert world.records.user("sari").password_hash != before
    nobody = {**without, "name": "nobody"}
    assert asker.post("/api/v1/users", json=nobody).status_code == 422


def test_16_a_role_change_needs_a_second_administrator(world: Any) -> None:
    """smile-and-waste.md 16: one proposes, another confirms, and never the one it is about."""
    asker = world.as_role("super_admin")
    asker.post("/api/v1/users", json=NEW)
    direct = asker.post("/api/v1/users", json=NEW | {"role": "super_admin"})
    assert (direct.status_code, direct.json()["reason"]) == (409, "role_takes_two")
    proposed = asker.post("/api/v1/users/sari/role", json={"role": "admin", **WHY})
    assert (proposed.status_code, proposed.json()["role"]) == (202, "operator")
    alone = asker.post("/api/v1/users/sari/role/confirm")
    assert (alone.status_code, alone.json()["reason"]) == (409, "OWN_ROLE")
    assert world.records.user("sari").role == "operator"
    second = User("second", "super_admin", password_hash=world.records.user("sari").password_hash)
    now = world.clock.now
    world.records.upsert_user(second, Actor("wiring", "super_admin"), "second administrator", now)
    world.records.open_session("second", "t" * 40, now, now + 60_000, SessionKind.TOKEN)
    other = world.client()
    other.headers["authorization"] = "Bearer " + "t" * 40
    assert other.post("/api/v1/users/sari/role/confirm").json()["role"] == "admin"
    assert other.post("/api/v1/users/sari/role/confirm").status_code == 404  # nothing is proposed any more


def test_a_token_opens_the_door_until_its_day(world: Any) -> None:
    made = world.as_role("super_admin").post("/api/v1/users/manager/tokens", json={"label": "SPM", "days": 1}).json()
    machine = world.client()
    machine.headers["authorization"] = f"Bearer {made['token']}"
    assert machine.get("/api/v1/me").json()["name"] == "manager"
    assert all(made["token"] != s.token_hash for s in world.records.sessions("manager"))
    world.clock.now = made["expires_ms"]
    assert machine.get("/api/v1/me").status_code == 401


def test_a_closed_account_gets_no_token(world: Any) -> None:
    old = world.records.user("operator")
    closed = User("operator", "operator", site="PKM-A", password_hash=old.password_hash, active=False)
    world.records.upsert_user(closed, Actor("wiring", "super_admin"), "left", world.clock.now)
    asker = world.as_role("super_admin")
    assert asker.post("/api/v1/users/operator/tokens", json={"label": "x", "days": 1}).status_code == 409
    assert asker.post("/api/v1/users/nobody/tokens", json={"label": "x", "days": 1}).status_code == 404
