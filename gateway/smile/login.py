"""When to log in, and where the token lies.

Theory. Every login ends the account's other session, so two processes on one account knock each other out for ever;
five failed tries in five minutes lock the login for everybody behind the same address (facts/smile-core-api.md 2).
So: one process per account (a lock on the token file), a login only when a 401 asks for one, at most one per
interval, after a failure a growing pause with jitter, and never more than three tries in five minutes (duty 14). The
times of the tries are kept on disk beside the token, or a process that crashes in a loop would lock the account.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from telemetry.errors import ConfigError

WINDOW_MS = 300_000  # smile-core-api 2: the limiter's window
MAX_TRIES = 3  # smile-and-waste item 10: at most 3 of the server's 5
_FIRST_PAUSE_MS = 60_000  # after a refused login: 1, 2, 4 ... 30 min (duty 15: retry slowly)
_LONGEST_PAUSE_MS = 1_800_000


@dataclass(frozen=True, slots=True)
class LoginState:
    """What a process must remember of its logins, over a restart too."""

    token: str | None = None
    tries_ms: tuple[int, ...] = ()
    failures: int = 0
    not_before_ms: int = 0


def next_login_ms(state: LoginState, now_ms: int) -> int:
    """The earliest time a login may be tried; ``<= now_ms`` means now."""
    recent = sorted(t for t in state.tries_ms if now_ms - WINDOW_MS < t <= now_ms)
    window_ms = recent[-MAX_TRIES] + WINDOW_MS if len(recent) >= MAX_TRIES else 0
    # A clock set back must not lock us out for years: no pause is longer than the longest one.
    return max(min(state.not_before_ms, now_ms + _LONGEST_PAUSE_MS), window_ms)


def login_tried(state: LoginState, now_ms: int) -> LoginState:
    """Written down before the request leaves, so that a crash in between still counts."""
    kept = tuple(t for t in state.tries_ms if now_ms - WINDOW_MS < t <= now_ms)
    return replace(state, tries_ms=(*kept, now_ms))


def login_succeeded(state: LoginState, token: str, now_ms: int, interval_ms: int) -> LoginState:
    return replace(state, token=token, failures=0, not_before_ms=now_ms + interval_ms)


def login_failed(state: LoginState, now_ms: int, jitter: float) -> LoginState:
    """``jitter`` in 0..1 adds up to half of the pause."""
    pause_ms = min(_LONGEST_PAUSE_MS, _FIRST_PAUSE_MS * 2 ** min(state.failures, 10))
    later = now_ms + min(_LONGEST_PAUSE_MS, int(pause_ms * (1 + jitter / 2)))
    return replace(state, token=None, failures=state.failures + 1, not_before_ms=later)


class TokenFile:
    """One account's ``LoginState`` in one file of mode 0600; holds a lock on it as long as it lives.

    Raises ConfigError when another process holds the account.
    """

    def __init__(self, path: Path, account: str) -> None:
        self._path = path
        self._account = account
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ConfigError(
                "smile.account",
                f"another process uses the SMILE account {account!r} ({path})",
                advice="SMILE allows one session per account: stop the other process or give each its own account",
            ) from error

    def load(self) -> LoginState:
        """The state kept, or an empty one when there is none, it is another account's, or it is damaged."""
        try:
            body: Any = json.loads(self._path.read_text())
            if body["account"] != self._account:
                return LoginState()
            token = body["token"]
            return LoginState(
                token if isinstance(token, str) and token else None,
                tuple(int(t) for t in body["tries_ms"]),
                int(body["failures"]),
                int(body["not_before_ms"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return LoginState()

    def save(self, state: LoginState) -> None:
        """Atomic: a new file of mode 0600 moved over the old one."""
        body = {
            "account": self._account,
            "token": state.token,
            "tries_ms": list(state.tries_ms),
            "failures": state.failures,
            "not_before_ms": state.not_before_ms,
        }
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".token-")  # mkstemp makes 0600
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(body, file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def close(self) -> None:
        os.close(self._lock)
