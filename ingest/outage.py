"""Log an outage once and its end once (house style: errors)."""

from __future__ import annotations

import logging

_log = logging.getLogger("ingest")


class Outage:
    """Remembers whether a neighbour is down, so that retries are not log lines."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_down = False

    def down(self, error: object) -> None:
        if not self.is_down:
            self.is_down = True
            _log.warning("%s does not answer, trying on: %s", self._name, error)

    def up(self) -> None:
        if self.is_down:
            self.is_down = False
            _log.warning("%s answers again", self._name)
