"""Login and token checks (facts section 2): one live token per account, and what each program makes of a token."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from firmware_sim.smile_core.jsvalue import iso_z
from firmware_sim.smile_core.seed import Account, Entity
from firmware_sim.smile_core.settings import LoginLimitStatus, WmsProgram
from firmware_sim.smile_core.state import Json, State, Token
from firmware_sim.smile_core.wire import ApiError, field_errors, read_json, unprocessable

INACTIVE = "Your account is currently inactive. Please contact support for assistance."
TOO_MANY = "Too many requests, please try again after some time"
VENDOR_IOT = 15


def unauthorized() -> ApiError:
    """The one answer to a missing, wrong, old or expired token."""
    return ApiError(401, {"message": "Unauthorized"})


async def login(state: State, request: Request) -> Response:
    """`POST CORE/api/auth/login`: the flat reply with `token_login`; every failure is 400 "Login failed"."""
    body = await read_json(request)
    fields = body if isinstance(body, dict) else {}
    if errors := field_errors(request, fields, [("username", "string"), ("password", "string")]):
        raise unprocessable(request, errors)
    _refuse_locked(state, request)
    account = next((row for row in state.accounts.values() if row.username == fields["username"]), None)
    if account is None or not secrets.compare_digest(account.password.encode(), fields["password"].encode()):
        _failures(state, request).append(state.now_ms)
        raise ApiError(400, {"message": "Login failed"})
    return JSONResponse(_login_reply(state, account, new_token(state, account)))


def new_token(state: State, account: Account) -> str:
    """A fresh token; the account's earlier one is dead from now on."""
    life_ms = int(state.settings.token_life_s * 1000)
    token = Token(secrets.token_urlsafe(32), account.id, state.now_ms + life_ms)
    state.tokens[account.id] = token
    return token.value


def _failures(state: State, request: Request) -> list[int]:
    """Times of failed logins of this bucket; without x-forwarded-for everybody shares the empty one."""
    bucket = request.headers.get("x-forwarded-for", "")
    oldest_ms = state.now_ms - int(state.settings.login_window_s * 1000)
    kept = [at_ms for at_ms in state.login_failures.get(bucket, []) if at_ms > oldest_ms]
    state.login_failures[bucket] = kept
    return kept


def _refuse_locked(state: State, request: Request) -> None:
    if len(_failures(state, request)) < state.settings.login_failures:
        return
    if state.settings.login_limit_status is LoginLimitStatus.AUTH:
        raise ApiError(429, {"message": TOO_MANY})
    raise ApiError(400, {"message": "Login failed"})


def _login_reply(state: State, account: Account, token: str) -> Json:
    now = iso_z(state.now_ms)
    entity = state.entity(account)
    return {
        "id": str(account.id),
        "username": account.username,
        "email": account.email,
        "firstname": account.firstname,
        "lastname": account.lastname,
        "gender": None,
        "date_of_birth": None,
        "role": state.role(account).name,
        "token_login": token,
        "village_id": None,
        "entity_id": None if account.entity_id is None else str(account.entity_id),
        "timezone_id": None,
        "status": account.status,
        "view_only": 0,
        "change_password": 0,
        "entity": None if entity is None else _entity(entity),
        "manufacture": _manufacture(state, account.manufacture_id),
        "last_login": now,
        "updated_at": now,
    }


def _entity(entity: Entity) -> Json:
    return {
        "id": str(entity.id),
        "name": entity.name,
        "code": entity.code,
        "type": entity.type,
        "address": entity.address,
        "status": 1,
    }


def _manufacture(state: State, manufacture_id: int | None) -> Json | None:
    row = next((row for row in state.seed.manufactures if row.id == manufacture_id), None)
    if row is None:
        return None
    empty = dict.fromkeys(("reference_id", "description", "contact_name", "phone_number", "email", "address"))
    return {"id": row.id, "name": row.name, **empty, "status": 1, "type": row.type, "is_asset": 0}


def bearer(request: Request) -> str | None:
    """The token of the Authorization header, or None."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None


def _live(state: State, token: str | None) -> Account | None:
    for row in state.tokens.values():
        if row.value == token and row.expires_at_ms > state.now_ms:
            return state.accounts.get(row.account_id)
    return None


def core_account(state: State, request: Request) -> Account:
    """The caller of a core route: 401 without a live token, 403 when inactive. Stores the Keycloak id."""
    account = _live(state, bearer(request))
    if account is None:
        raise unauthorized()
    if account.status != 1:
        raise ApiError(403, {"message": INACTIVE})
    state.keycloak_known.add(account.id)
    return account


@dataclass(frozen=True, slots=True)
class MainCaller:
    """Who calls main, for which facility, from which kind of device."""

    account: Account
    entity: Entity
    device_type: str


def main_caller(state: State, request: Request) -> MainCaller:
    """The caller of a main route with its program (facts section 1, `x-program-id`, and section 2, token check)."""
    program = program_id(request)
    account = api_account(state, request)
    entity = state.entity(account)
    if entity is None:
        raise unauthorized()
    if program not in account.programs:
        raise ApiError(403, {"message": "auth.not_access_program"})
    if program not in entity.programs:
        raise unauthorized()
    return MainCaller(account, entity, request.headers.get("device-type", "web"))


def program_id(request: Request) -> int:
    """The program header as a number, or 403; checked before anything else, even for unknown paths."""
    value = request.headers.get("x-program-id", "")
    if not value.isdecimal():
        raise ApiError(403, {"message": "Invalid program", "type": "invalid_program"})
    return int(value)


def api_account(state: State, request: Request) -> Account:
    """The caller of main's `/api` routes, which know no program."""
    account = _live(state, bearer(request))
    if account is None or account.id not in state.keycloak_known:
        raise unauthorized()
    if account.status != 1:
        raise ApiError(403, {"message": INACTIVE})
    return account


def wms_account(state: State, request: Request) -> Account:
    """The caller of WMS; a token seen once is believed until WMS's own cache ends, even after logout."""
    token = bearer(request)
    if token is None:
        status = 401 if state.settings.wms is WmsProgram.ENCORE else 422
        raise ApiError(status, {"status": "fail", "data": "Authorization token required"})
    account_id, until_ms = state.wms_tokens.get(token, (0, 0))
    if until_ms > state.now_ms:
        return state.accounts[account_id]
    account = _live(state, token)
    if account is None or account.status != 1:
        raise ApiError(401, {"status": "fail", "data": "Invalid or expired token"})
    state.keycloak_known.add(account.id)  # WMS asks CORE/account/profile
    state.wms_tokens[token] = (account.id, state.now_ms + int(state.settings.wms_token_cache_s * 1000))
    return account
