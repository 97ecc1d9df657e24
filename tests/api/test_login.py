"""Log-in, sessions, CSRF, tokens and the limit on wrong passwords, through the real application."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from api import accounts
from api.config import Settings
from api.security import SESSION_COOKIE, LoginLimiter
from gateway.records import Actor, User
from telemetry.errors import ConfigError

PASSWORD = "rahasia-sekali"
BOSS = Actor("wiring", "super_admin")


def csrf_in(html: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', html)
    assert found, html[:2000]
    return found[1]


def log_in(client: Any, name: str, password: str = PASSWORD, next_path: str = "/") -> Any:
    page = client.get("/login", params={"next": next_path})
    form = {"name": name, "password": password, "csrf": csrf_in(page.text), "next": next_path}
    return client.post("/login", data=form)


def test_the_right_password_opens_a_session_that_scripts_cannot_read(world: Any) -> None:
    client = world.client()
    answer = log_in(client, "operator")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(SESSION_COOKIE))
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Secure", "Path=/"))
    assert client.get("/").headers["location"] == "/sites/PKM-A"
    # The records keep a digest only.
    secret = client.cookies[SESSION_COOKIE]
    assert all(secret not in (s.token_hash, s.label) for s in world.records.sessions("operator"))


@pytest.mark.parametrize(
    ("name", "password"), [("operator", "wrong-password"), ("nobody", PASSWORD), ("", ""), ("x" * 64, "y" * 201)]
)
def test_wrong_name_and_wrong_password_get_the_same_answer(world: Any, name: str, password: str) -> None:
    answer = log_in(world.client(), name, password)
    assert answer.status_code == 401
    assert "Nama pengguna atau kata sandi salah." in answer.text
    assert SESSION_COOKIE not in "".join(answer.headers.get_list("set-cookie"))


def test_five_wrong_passwords_close_the_door_for_five_minutes(world: Any) -> None:
    """As SMILE's own limiter does (smile-and-waste.md 2.1), also while the clock runs sixty times as fast."""
    world.clock.speed = 60.0
    client = world.client()
    assert [log_in(client, "operator", "wrong-one").status_code for _ in range(5)] == [401] * 5
    assert log_in(client, "operator").status_code == 429
    assert log_in(client, "manager").status_code == 303  # a colleague behind the same address still gets in
    world.clock.now += 299 * 60 * 1000
    assert log_in(world.client(), "operator").status_code == 429
    world.clock.now += 2 * 60 * 1000
    assert log_in(world.client(), "operator").status_code == 303


def test_the_limiter_forgets_after_its_window_and_is_bounded() -> None:
    limiter = LoginLimiter(2, 10)
    limiter.failed("a", 0.0)
    limiter.failed("a", 5.0)
    assert limiter.blocked("a", 9.9)
    assert not limiter.blocked("a", 10.0)
    for n in range(20_000):
        limiter.failed(f"key {n}", 20.0)
    assert len(limiter._tracked) <= 10_000


def test_a_form_without_the_right_token_is_refused(world: Any) -> None:
    """Cross-site request forgery: the cookie alone changes nothing, neither in forms nor in JSON."""
    asker = world.log_in("operator")
    other = world.log_in("manager")
    path, body = "/sites/PKM-A/alarms/HEAT-1/acknowledge", {"comment": "door closed"}
    for token in (None, "", "0" * 64, other.csrf):
        data = body if token is None else {**body, "csrf": token}
        assert asker.client.post(path, data=data).status_code == 403
    for headers in ({}, {"x-csrf-token": other.csrf}):
        answer = asker.client.post("/api/v1/alarms/HEAT-1/acknowledge", json=body, headers=headers)
        assert (answer.status_code, answer.json()["reason"]) == (403, "csrf")
    assert world.records.alarm("HEAT-1").acknowledged_by is None
    headers = {"x-csrf-token": asker.csrf}
    assert asker.client.post("/api/v1/alarms/HEAT-1/acknowledge", json=body, headers=headers).status_code == 200


def test_a_log_in_form_from_elsewhere_is_refused(world: Any) -> None:
    answer = world.client().post("/login", data={"name": "operator", "password": PASSWORD, "csrf": "0" * 64})
    assert answer.status_code == 403
    assert "Formulir sudah kedaluwarsa" in answer.text


def test_logging_out_ends_the_session_in_the_records(world: Any) -> None:
    client = world.client()
    log_in(client, "operator")
    secret = client.cookies[SESSION_COOKIE]
    page = client.get("/sites/PKM-A")
    assert client.post("/logout", data={"csrf": csrf_in(page.text)}).status_code == 303
    client.cookies.set(SESSION_COOKIE, secret)  # the cookie kept by somebody is worth nothing
    assert client.get("/sites/PKM-A").headers["location"] == "/login?next=/sites/PKM-A"


def test_a_session_ends_after_its_time_in_real_seconds(world: Any) -> None:
    world.clock.speed = 60.0
    client = world.client()
    log_in(client, "operator")
    world.clock.now += 12 * 3600 * 60 * 1000 - 1
    assert client.get("/sites/PKM-A").status_code == 200
    world.clock.now += 1
    assert client.get("/sites/PKM-A").status_code == 303


def test_a_closed_or_changed_account_counts_at_once(world: Any) -> None:
    asker = world.log_in("manager")
    old = world.records.user("manager")
    changed = User("manager", "operator", site="PKM-B", password_hash=old.password_hash)
    world.records.upsert_user(changed, BOSS, "moved", world.clock.now)
    assert asker.get("/sites/PKM-A/ledger").status_code in (303, 403)
    closed = User("operator", "operator", site="PKM-A", password_hash=old.password_hash, active=False)
    asker = world.log_in("operator")
    world.records.upsert_user(closed, BOSS, "left", world.clock.now)
    assert asker.get("/sites/PKM-A").status_code == 303
    assert log_in(world.client(), "operator").status_code == 401


def test_a_token_works_as_bearer_only_while_it_lives(world: Any) -> None:
    asker = world.as_role("manager")
    assert asker.get("/api/v1/me").json()["role"] == "manager"
    world.clock.now += 2000 * 3_600_000
    answer = asker.get("/api/v1/me")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Bearer ", "Bearer x", "Basic b3BlcmF0b3I6eA==", "Bearer " + "a" * 500])
def test_other_authorizations_are_nobody(world: Any, header: str) -> None:
    asker = world.log_in("operator")
    asker.client.headers["authorization"] = header  # a header that is there counts, and the cookie does not
    assert asker.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize("target", ["https://evil.test/x", "//evil.test", "javascript:alert(1)", "/\\evil.test", ""])
def test_after_log_in_nobody_is_sent_away(world: Any, target: str) -> None:
    """An open redirect would lend our name to another's page."""
    location = log_in(world.client(), "operator", next_path=target).headers["location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


def test_every_answer_carries_the_security_headers(world: Any) -> None:
    asker = world.log_in("manager")
    for path in (
        "/login",
        "/",
        "/sites/PKM-A",
        "/sites/NONE",
        "/nowhere",
        "/health",
        "/api/v1/sites",
        "/static/style.css",
    ):
        headers = asker.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "script" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["strict-transport-security"]
        assert ("immutable" in headers["cache-control"]) == (path == "/static/style.css")


def test_a_body_too_large_is_refused_before_it_is_read(world: Any) -> None:
    answer = world.as_role("manager").post("/api/v1/bags", content=b"x" * (64 * 1024 + 1))
    assert (answer.status_code, answer.json()["reason"]) == (413, "too_large")


def test_a_body_that_hides_its_length_is_bounded_too(world: Any) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b"x" * 1024

    answer = world.as_role("manager").post("/api/v1/bags", content=endless())
    assert (answer.status_code, answer.json()["reason"]) == (413, "too_large")


def test_health_says_when_a_neighbour_is_down(world: Any) -> None:
    assert world.client().get("/health").json() == {"status": "ok", "checks": {"records": "ok", "store": "ok"}}
    world.store.close()
    answer = world.client().get("/health")
    assert (answer.status_code, answer.json()["checks"]["store"]) == (503, "down")
    assert world.client().get("/health/live").status_code == 200


def test_a_neighbour_that_is_down_is_named_and_to_be_tried_again(world: Any) -> None:
    asker = world.as_role("manager")
    world.store.close()
    answer = asker.get("/api/v1/sites/PKM-A/equipment")
    assert (answer.status_code, answer.json()["again"], answer.headers["retry-after"]) == (503, True, "30")


def test_passwords_are_argon2id_and_bounded() -> None:
    stored = accounts.hash_password("sandi-yang-panjang")
    assert stored.startswith("$argon2id$")
    assert accounts.password_fits(stored, "sandi-yang-panjang")
    assert not accounts.password_fits(stored, "sandi-yang-lain")
    assert not accounts.password_fits(None, "sandi-yang-panjang")
    assert not accounts.password_fits("not a hash", "sandi-yang-panjang")
    for bad in ("short", "x" * 201):
        with pytest.raises(ValueError, match="8 to 200"):
            accounts.hash_password(bad)


def test_the_command_prints_a_hash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("sandi-yang-panjang\n"))
    assert accounts.main() == 0
    assert accounts.password_fits(capsys.readouterr().out.strip(), "sandi-yang-panjang")
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    assert accounts.main() == 2


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="session_s"):
        Settings(session_s=0)
