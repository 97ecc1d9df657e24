"""Who asks: log-in, server-side sessions, machine tokens, CSRF, and the limit on wrong passwords.

A session is a random secret in an HttpOnly cookie; the records keep only its SHA-256. Its CSRF token is an HMAC under
that secret, so it needs no place of its own. SameSite is Lax, for a person comes in by a link in an alarm's message;
every change needs the token as well. Before log-in the token is bound to a short-lived cookie of its own.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from fastapi import Request
from fastapi.responses import Response

from api.accounts import new_secret, password_fits
from api.config import Settings
from api.roles import Person, Role
from gateway.records import Records, SessionKind, User
from telemetry.clock import Clock

SESSION_COOKIE = "smile_iot_session"
ANONYMOUS_COOKIE = "smile_iot_form"
LANGUAGE_COOKIE = "smile_iot_language"
CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"
_MAX_TRACKED = 10_000
_SECRET_SIGNS = (20, 200)


class Via(StrEnum):
    """How the asker was recognised: a browser sends its cookie by itself, a token must be put there on purpose."""

    COOKIE = "cookie"
    BEARER = "bearer"


@dataclass(frozen=True, slots=True)
class Visitor:
    """A recognised asker. ``csrf`` is "" for a machine's token."""

    person: Person
    via: Via
    csrf: str = ""


class LoginAnswer(StrEnum):
    """What became of a log-in."""

    OK = "ok"
    WRONG = "wrong"
    TOO_MANY = "too_many"


class LoginLimiter:
    """At most ``failures`` wrong passwords per key in ``window_s``; time is an argument (seconds)."""

    def __init__(self, failures: int, window_s: int) -> None:
        self._failures, self._window_s = failures, window_s
        self._tracked: dict[str, deque[float]] = {}

    def blocked(self, key: str, now_s: float) -> bool:
        """Whether the key has used up its attempts."""
        times = self._tracked.get(key)
        if times is None:
            return False
        while times and times[0] <= now_s - self._window_s:
            times.popleft()
        if not times:
            del self._tracked[key]
        return len(times) >= self._failures

    def failed(self, key: str, now_s: float) -> None:
        """Count a wrong password."""
        if len(self._tracked) >= _MAX_TRACKED and key not in self._tracked:
            self._tracked.pop(next(iter(self._tracked)))
        self._tracked.setdefault(key, deque()).append(now_s)

    def cleared(self, key: str) -> None:
        """Forget the key's failures after a right password."""
        self._tracked.pop(key, None)


class Gate:
    """Recognises visitors and lets them in and out."""

    def __init__(self, records: Records, clock: Clock, settings: Settings) -> None:
        self._records, self._clock, self.settings = records, clock, settings
        self._by_name = LoginLimiter(settings.login_failures, settings.login_window_s)
        # Many people may sit behind one address; it gets a wider limit than one name does.
        self._by_address = LoginLimiter(settings.login_failures * 4, settings.login_window_s)
        self._codes = LoginLimiter(settings.login_failures * 4, settings.login_window_s)

    def may_try_code(self, address: str) -> bool:
        """Whether this address may try an enrolment code; wrong ones are also counted per code, in the records."""
        return not self._codes.blocked(address, self._real_s())

    def wrong_code(self, address: str) -> None:
        """Count a wrong enrolment code."""
        self._codes.failed(address, self._real_s())

    def _real_s(self) -> float:
        """Real seconds that pass as the wall does, also where the clock is a virtual one that runs faster."""
        return self._clock.now_ms() / 1000 * self._clock.real_seconds(1.0)

    def _lifetime_ms(self) -> int:
        return int(self.settings.session_s * 1000 / self._clock.real_seconds(1.0))

    def recognise(self, request: Request) -> Visitor | None:
        """The visitor behind a bearer token or a session cookie; None for nobody."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme:
            person = self._person(token.strip()) if scheme.lower() == "bearer" else None
            return None if person is None else Visitor(person, Via.BEARER)
        secret = request.cookies.get(SESSION_COOKIE, "")
        person = self._person(secret)
        return None if person is None else Visitor(person, Via.COOKIE, csrf_token(secret))

    def _person(self, secret: str) -> Person | None:
        if not _SECRET_SIGNS[0] <= len(secret) <= _SECRET_SIGNS[1]:
            return None
        # The level is read at every request: a changed or closed account counts at once.
        user = self._records.session_user(secret, self._clock.now_ms())
        return None if user is None else _person_of(user)

    def log_in(self, name: str, password: str, address: str) -> tuple[LoginAnswer, str, Person | None]:
        """(answer, session secret, person). The secret is "" unless the answer is OK."""
        now_s = self._real_s()
        by_name = f"{address} {name.lower()}"
        if self._by_name.blocked(by_name, now_s) or self._by_address.blocked(address, now_s):
            return LoginAnswer.TOO_MANY, "", None
        user = self._records.find_user(name)
        if user is None or not user.active:
            password_fits(None, password)
            fits = False
        else:
            fits = password_fits(user.password_hash or None, password)
        if user is None or not fits:
            self._by_name.failed(by_name, now_s)
            self._by_address.failed(address, now_s)
            return LoginAnswer.WRONG, "", None
        self._by_name.cleared(by_name)
        secret, now_ms = new_secret(), self._clock.now_ms()
        self._records.forget_sessions(now_ms)
        self._records.open_session(
            user.name, secret, now_ms, now_ms + self._lifetime_ms(), SessionKind.SESSION, "page"
        )
        return LoginAnswer.OK, secret, _person_of(user)

    def log_out(self, request: Request) -> None:
        """End the session behind the request's cookie."""
        secret = request.cookies.get(SESSION_COOKIE, "")
        if secret:
            self._records.close_session(secret)

    def set_cookie(self, response: Response, name: str, value: str, max_age_s: int) -> None:
        """A cookie that scripts cannot read and other sites cannot send with a change."""
        response.set_cookie(
            name,
            value,
            max_age=max_age_s,
            httponly=True,
            samesite="lax",
            secure=self.settings.secure_cookies,
            path="/",
        )


def _person_of(user: User) -> Person | None:
    try:
        role = Role(user.role)
    except ValueError:  # our own processes ("system") do not log in
        return None
    return Person(user.name, role, user.site, user.region, str(user.language))


def csrf_token(secret: str) -> str:
    """The form token that belongs to a secret."""
    return hmac.new(secret.encode(), b"smile-iot form", hashlib.sha256).hexdigest()


def csrf_fits(expected: str, given: object) -> bool:
    """Whether a form or header carries the right token; an empty expectation never fits."""
    return bool(expected) and isinstance(given, str) and hmac.compare_digest(expected.encode(), given.encode())
