"""Questions that read weeks of readings: one at a time, so that many visitors do not take the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from api.problems import ProblemError

_ASKING = Lock()
_WAIT_S = 5.0


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Raises ProblemError 503 (busy) where others take too long."""
    if not _ASKING.acquire(timeout=_WAIT_S):
        raise ProblemError(503, "busy", "others ask of weeks of readings", "Try again in a minute, or fewer days.")
    try:
        yield
    finally:
        _ASKING.release()
