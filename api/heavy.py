"""Questions that read weeks of readings: one at a time, and nobody waits for his turn: whoever waited would hold one of the
threads that answer everybody (40), so that an alarm could not be acknowledged either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from api.problems import ProblemError

_ASKING = Lock()
_RETRY_AFTER_S = 5


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Raises ProblemError 503 (busy) at once where another one is being answered."""
    if not _ASKING.acquire(blocking=False):
        raise ProblemError(
            503,
            "busy",
            "another asks of weeks of readings",
            "Try again in a moment, or ask for fewer days.",
            retry_after_s=_RETRY_AFTER_S,
        )
    try:
        yield
    finally:
        _ASKING.release()
