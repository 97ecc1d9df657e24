"""Tokens and callers: facts/smile-core-api.md section 2, section 11 items 1 and 6."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from firmware_sim.smile_core.settings import LoginLimitStatus, WmsProgram

WRONG = {"username": "managerlab", "password": "wrong-word"}
RIGHT = {"username": "managerlab", "password": "lab-word-manager"}


def _login(lab: Any, body: dict[str, str], **headers: str) -> Any:
    return lab.request("POST", "/core/api/auth/login", json=body, headers=headers)


def test_a_token_ends_after_its_life(lab: Any) -> None:
    lab.login("managerlab")
    lab.advance_s(86_399)
    assert lab.call("GET CORE/api/assets").status_code == 200
    lab.advance_s(1)
    answer = lab.call("GET CORE/api/assets")
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})


def test_two_accounts_do_not_end_each_other(lab: Any) -> None:
    lab.login("managerlab")
    lab.login("vendorlab")
    assert lab.call("GET CORE/api/assets").status_code == 200


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (LoginLimitStatus.CORE, {"message": "Login failed"}),
        (LoginLimitStatus.AUTH, {"message": "Too many requests, please try again after some time"}),
    ],
)
def test_five_failures_lock_the_bucket_for_five_minutes(
    make_lab: Callable[..., Any], status: LoginLimitStatus, body: dict[str, str]
) -> None:
    """Item 1. Core folds the lock into 400; the switch shows the auth service's own 429."""
    lab = make_lab(login_limit_status=status)
    assert [_login(lab, WRONG).json() for _ in range(5)] == [{"message": "Login failed"}] * 5
    locked = _login(lab, RIGHT)
    assert (locked.status_code, locked.json()) == (int(status), body)
    assert _login(lab, RIGHT, **{"x-forwarded-for": "198.51.100.7"}).status_code == 200  # another bucket
    lab.advance_s(301)
    assert _login(lab, RIGHT).status_code == 200


def test_successful_logins_do_not_count(lab: Any) -> None:
    for _ in range(4):
        _login(lab, WRONG)
    assert all(_login(lab, RIGHT).status_code == 200 for _ in range(9))


def test_wms_believes_an_ended_token_until_its_cache_ends(lab: Any) -> None:
    """Section 2: WMS caches token and profile."""
    old = lab.login("wmslab")
    assert lab.call("GET WMS/api/v1/waste", who="wmslab").status_code == 200
    lab.login("wmslab")
    headers = {"authorization": f"Bearer {old}"}
    assert lab.request("GET", "/core/api/assets", headers=headers).status_code == 401
    assert lab.request("GET", "/wms/api/v1/waste", headers=headers).status_code == 200
    lab.advance_s(3601)
    answer = lab.request("GET", "/wms/api/v1/waste", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"status": "fail", "data": "Invalid or expired token"})


@pytest.mark.parametrize(("wms", "status"), [(WmsProgram.EXPRESS, 422), (WmsProgram.ENCORE, 401)])
def test_wms_without_a_token(make_lab: Callable[..., Any], wms: WmsProgram, status: int) -> None:
    """Item 9."""
    answer = make_lab(wms=wms).call("GET WMS/api/v1/waste", who=None)
    assert (answer.status_code, answer.json()) == (status, {"status": "fail", "data": "Authorization token required"})


def test_main_knows_an_account_only_after_its_first_call_to_core(lab: Any) -> None:
    lab.login("newcomer")
    assert lab.call("GET MAIN/stock-qualities", who="newcomer").status_code == 401
    assert lab.call("GET CORE/api/assets", who="newcomer").status_code == 200
    assert lab.call("GET MAIN/stock-qualities", who="newcomer").status_code == 200


def test_main_refuses_an_account_without_a_facility(lab: Any) -> None:
    """Sections 2 and 5.3: a vendor account without an entity gets 401."""
    answer = lab.call("GET MAIN/stock-qualities", who="vendorlab")
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize("program", ["", "x", None])
def test_main_needs_the_program_header_first(lab: Any, program: str | None) -> None:
    """Item 6: before the token and before the path."""
    for path in ("stock-qualities", "no/such/path"):
        answer = lab.call(f"GET MAIN/{path}", who=None, headers={"x-program-id": program})
        assert (answer.status_code, answer.json()["type"]) == (403, "invalid_program")


def test_role_eleven_without_a_facility_cannot_list_loggers_but_can_push(lab: Any) -> None:
    assert lab.call("GET CORE/api/assets", who="roleeleven").status_code == 422
    assert lab.push({}, who="roleeleven").json()["data"]["successful"] == 1


@pytest.mark.parametrize("path", ["/core/api//assets", "/core/api/assets/", "/main/batches/"])
def test_a_double_or_trailing_slash_is_refused(lab: Any, path: str) -> None:
    answer = lab.request("GET", path)
    assert "Id is required" in answer.text
    assert answer.status_code >= 400
