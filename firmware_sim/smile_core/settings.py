"""Switches of the stand-in: what differs between one real installation and another."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class PushMode(StrEnum):
    """Which program answers the push: today's code, or the documented 3.0 one (facts 3.3)."""

    V5 = "v5"
    V3_0 = "3.0"


class WmsProgram(StrEnum):
    """Which of the two WMS programs is meant (facts 6.8)."""

    EXPRESS = "express"
    ENCORE = "encore"


class LoginLimitStatus(IntEnum):
    """How a locked-out login is answered.

    Core folds the lock of the auth service into 400 "Login failed" (facts section 2); the auth service itself says
    429 (facts 8.2, 11 item 1).
    """

    CORE = 400
    AUTH = 429


def wall_clock_ms() -> int:
    """Milliseconds since the Unix epoch, UTC, by this machine's clock."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Settings:
    """Everything that may be switched; the control interface changes a running one in place."""

    server_zone: str = "UTC"
    push_mode: PushMode = PushMode.V5
    wms: WmsProgram = WmsProgram.EXPRESS
    login_limit_status: LoginLimitStatus = LoginLimitStatus.CORE
    dedup_window_s: float = 5.0  # REDIS_DEDUP_WINDOW_SECONDS, facts 5.3
    token_life_s: float = 86_400.0  # docs: 24 hours, facts section 2
    wms_token_cache_s: float = 3_600.0  # EXPIRED_TOKEN, facts section 2
    wms_calls_per_minute: int = 500  # facts 6.1
    login_failures: int = 5  # facts section 2
    login_window_s: float = 300.0
    now: Callable[[], int] = field(default=wall_clock_ms)
