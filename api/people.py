"""Accounts, levels and machine tokens: the super admin's, and a change of level takes two of them (requirement 16)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from api.accounts import hash_password, new_secret
from api.desk import actor_of, desk_of, need
from api.problems import ProblemError
from api.roles import Right
from api.security import Visitor
from api.shapes import ChangedOut, RoleIn, TokenIn, TokenOut, UserIn, UserOut
from gateway.records import SessionKind, User

router = APIRouter(prefix="/api/v1/users", tags=["people"])
_DAY_MS = 86_400_000

Boss = Annotated[Visitor, Depends(need(Right.PEOPLE))]
Name = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("")
def users(request: Request, _visitor: Boss) -> list[UserOut]:
    """All accounts, without their secrets."""
    return [UserOut.model_validate(u) for u in desk_of(request).records.users()]


@router.post("")
def put_user(request: Request, visitor: Boss, body: UserIn) -> ChangedOut:
    """Create an account, or change anything of it but its level."""
    desk = desk_of(request)
    old = desk.records.find_user(body.name)
    if old is None and body.password is None:
        raise ProblemError(422, "bad_input", "a new account needs a password", "Give one of 8 to 200 signs.")
    if old is not None and old.role != body.role:
        raise ProblemError(
            409,
            "role_takes_two",
            f"{body.name} is {old.role}",
            "Propose the level; a second super admin confirms it.",
        )
    base = old or User(body.name, body.role)
    made = replace(
        base,
        site=body.site,
        region=body.region,
        language=body.language,
        active=body.active,
        password_hash=base.password_hash if body.password is None else hash_password(body.password),
        contacts=base.contacts if body.contacts is None else tuple(body.contacts),
    )
    change = desk.records.upsert_user(made, actor_of(visitor.person), body.reason, desk.clock.now_ms())
    return ChangedOut(id=body.name, change=change.value)


@router.post("/{name}/role", status_code=202)
def propose_role(request: Request, visitor: Boss, name: Name, body: RoleIn) -> UserOut:
    """The first half of a change of level; nothing changes until another person confirms."""
    desk = desk_of(request)
    desk.records.propose_role(name, body.role, actor_of(visitor.person), body.reason, desk.clock.now_ms())
    return UserOut.model_validate(desk.records.user(name))


@router.post("/{name}/role/confirm")
def confirm_role(request: Request, visitor: Boss, name: Name) -> UserOut:
    """The second half, by another super admin than who proposed and than who gets the level; sessions end."""
    desk = desk_of(request)
    return UserOut.model_validate(desk.records.confirm_role(name, actor_of(visitor.person), desk.clock.now_ms()))


@router.post("/{name}/tokens", status_code=201)
def issue_token(request: Request, _visitor: Boss, name: Name, body: TokenIn) -> TokenOut:
    """A bearer token for a machine, with the rights of this account."""
    desk = desk_of(request)
    user, now_ms = desk.records.user(name), desk.clock.now_ms()
    if not user.active:
        raise ProblemError(409, "account_closed", f"{name} is closed", "Open the account first.")
    token, expires_ms = new_secret(), now_ms + body.days * _DAY_MS
    desk.records.open_session(user.name, token, now_ms, expires_ms, SessionKind.TOKEN, body.label)
    return TokenOut(token=token, expires_ms=expires_ms)
