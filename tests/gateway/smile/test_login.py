"""When a login may be tried and where the token lies (duties 14 and 15)."""

from __future__ import annotations

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smile.login import (
    MAX_TRIES,
    WINDOW_MS,
    LoginState,
    TokenFile,
    login_failed,
    login_succeeded,
    login_tried,
    next_login_ms,
)
from gateway.smile.port import Outcome
from telemetry.errors import ConfigError


@given(st.lists(st.tuples(st.integers(0, 90_000), st.booleans()), max_size=80), st.floats(0, 1))
def test_duty_14_never_more_than_three_tries_in_five_minutes(steps, jitter):
    """Whatever is asked and however it ends: SMILE locks at five failures in five minutes."""
    state, now, tries = LoginState(), 0, []
    for ahead, good in steps:
        now += ahead
        if next_login_ms(state, now) > now:
            continue
        state = login_tried(state, now)
        tries.append(now)
        state = login_succeeded(state, "t", now, 0) if good else login_failed(state, now, jitter)
    for n in range(len(tries)):
        assert len([t for t in tries[n:] if t < tries[n] + WINDOW_MS]) <= MAX_TRIES


def test_duty_14_after_a_login_none_follows_within_the_interval():
    state = login_succeeded(login_tried(LoginState(), 1000), "t", 1000, 60_000)
    assert next_login_ms(state, 60_999) == 61_000
    assert next_login_ms(state, 61_000) <= 61_000


def test_duty_14_pauses_after_failures_grow_and_end():
    state, pauses = LoginState(), []
    for _ in range(8):
        state = login_failed(state, 0, 0.0)
        pauses.append(state.not_before_ms)
    assert pauses == [60_000, 120_000, 240_000, 480_000, 960_000, 1_800_000, 1_800_000, 1_800_000]


def test_duty_14_a_clock_set_back_does_not_lock_us_out():
    assert next_login_ms(LoginState(not_before_ms=10**15), 1000) == 1000 + 1_800_000


def test_duty_14_the_token_lies_safely_on_disk_and_survives(tmp_path):
    file = TokenFile(tmp_path / "t" / "a.json", "a")
    file.save(LoginState("secret", (1, 2), 3, 4))
    file.close()
    path = tmp_path / "t" / "a.json"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    again = TokenFile(path, "a")
    assert again.load() == LoginState("secret", (1, 2), 3, 4)
    again.close()
    other = TokenFile(path, "b")
    assert other.load() == LoginState()
    path.write_text("{broken")
    assert other.load() == LoginState()
    other.close()


def test_duty_14_a_second_process_on_one_account_is_refused(tmp_path):
    first = TokenFile(tmp_path / "a.json", "a")
    with pytest.raises(ConfigError, match="another process"):
        TokenFile(tmp_path / "a.json", "a")
    first.close()
    TokenFile(tmp_path / "a.json", "a").close()


# --- with the stand-in ---------------------------------------------------------------------------------------


def test_duty_14_one_login_serves_many_calls_and_the_next_process(smile, with_door, make_item):
    for minutes in (30, 20, 10):
        with_door(lambda door, m=minutes: door.push([make_item(minutes_ago=m)]))
    assert len(smile.requests("/auth/login")) == 1
    assert len(smile.histories()) == 3


def test_duty_14_a_dead_token_is_renewed_once_and_the_call_repeated(smile, with_door, make_item, ticker):
    """Someone else logs in with our account: our token is dead, one login brings a new one, nothing is lost."""

    async def use(door):
        await door.push([make_item(minutes_ago=30)])
        smile.log_in("iot-manager", "demo-word-manager")
        ticker.forward(61_000)
        return await door.push([make_item(minutes_ago=20)])

    (result,) = with_door(use)
    assert result.outcome is Outcome.DONE
    assert len(smile.requests("/auth/login")) == 3
    assert [r["status"] for r in smile.requests("/histories/push")] == [200, 401, 200]
    assert len(smile.histories()) == 2


def test_duty_14_within_the_interval_no_second_login_is_tried(smile, with_door, make_item):
    async def use(door):
        await door.push([make_item(minutes_ago=30)])
        smile.log_in("iot-manager", "demo-word-manager")
        return await door.push([make_item(minutes_ago=20)])

    (result,) = with_door(use)
    assert (result.outcome, result.status) == (Outcome.LOGIN, "not_sent")
    assert len(smile.requests("/auth/login")) == 2


def test_duty_14_401_for_ever_does_not_become_a_login_loop(smile, with_door, make_item, ticker):
    """A hundred tries in ten minutes: at most three logins in any five."""
    smile.settings(token_life_s=0)

    async def use(door):
        for _ in range(100):
            await door.push([make_item()])
            ticker.forward(6_000)

    with_door(use)
    assert len(smile.requests("/auth/login")) <= 7
    assert smile.histories() == []


def test_duty_15_a_refused_login_waits_and_says_what_to_do(smile, with_door, make_config, make_item, ticker, caplog):
    from gateway.smile.client import Account

    config = make_config(account=Account("x", "iot-manager", "wrong word"))

    async def use(door):
        results = []
        for _ in range(50):
            results += await door.push([make_item()])
            ticker.forward(6_000)
        return results

    results = with_door(use, config)
    assert {r.outcome for r in results} == {Outcome.LOGIN}
    assert len(smile.requests("/auth/login")) <= 3
    assert "check the password" in caplog.text
    assert "wrong word" not in caplog.text


def test_duty_15_the_token_is_read_from_token_login(smile, with_door, make_item, config):
    with_door(lambda door: door.push([make_item()]))
    (file,) = config.token_dir.glob("*.json")
    assert '"token": "' in file.read_text()
    assert len(smile.histories()) == 1
