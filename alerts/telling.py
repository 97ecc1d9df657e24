"""The thread that tells people: it waits for news, outlives what a channel or the records do to it, and never judges."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from telemetry.errors import NeighbourDownError

log = logging.getLogger(__name__)

Notify = Callable[[], bool]
"""One round of telling people; True when something was sent."""


def tell(notify: Notify, halt: threading.Event, news: threading.Event, poll_s: float) -> None:
    """Call ``notify`` at every news and every ``poll_s`` until halted; what it raises is said once and outlived."""
    trouble = ""
    while not halt.is_set():
        news.clear()
        try:
            notify()
            if trouble:
                log.info("people are told again")
            trouble = ""
        except Exception as error:  # noqa: BLE001  (nobody would be told any more if this thread ended)
            said = str(error) if isinstance(error, NeighbourDownError) else type(error).__name__
            if said != trouble:
                log.warning("people cannot be told now: %s", said)
            trouble = said
        news.wait(poll_s)
