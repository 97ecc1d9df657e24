"""``smile-iot``, broken on purpose: ``python -m benchmarks.alerts_kills_sabotage NAME alerts --config FILE``.

The control of ``benchmarks.alerts_kills``. Each is a fault that somebody could make; the gap into which a kill must
fall is widened, so that a few kills are enough.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from alerts.memory import Place
from alerts.notify import Message, Notifier
from alerts.rules import ReadingFact
from alerts.service import Alerts
from gateway.journal import Entry
from gateway.records import Records
from smile_iot.__main__ import main

_GAP_S = 0.2


def offset_first() -> None:
    """The place in the journal is on disk before the facts that it stands for."""
    real = Alerts._keep

    def keep(self: Alerts, entries: Sequence[tuple[int, Entry]]) -> list[ReadingFact]:
        if entries:
            last = entries[-1][0]
            with self._memory.transaction():
                self._memory.set_journal_offset(last)
                self._memory.set_done(Place(last, self._memory.done().audit_id))
            time.sleep(_GAP_S)
        return real(self, entries)

    Alerts._keep = keep  # type: ignore[method-assign]


def never_reclaimed() -> None:
    """A claim of a process that died stands for ever."""
    real = Records.claim_notification

    def claim(self: Records, finding: str, person: str, channel: str, at_ms: int) -> bool:
        return real(self, finding, person, channel, at_ms, again_after_ms=1 << 60)

    Records.claim_notification = claim  # type: ignore[method-assign, assignment]


def noted_first() -> None:
    """A message is noted as sent before it leaves."""
    real = Notifier._send

    def send(self: Notifier, message: Message, url: str) -> tuple[bool, str]:
        for n in self.records.notifications():
            if n.state == "claimed":
                self.records.notification_done(n.finding, n.person, n.channel, True, self.clock.now_ms(), "")
        time.sleep(_GAP_S)
        return real(self, message, url)

    Notifier._send = send  # type: ignore[method-assign]


if __name__ == "__main__":
    {f.__name__: f for f in (offset_first, never_reclaimed, noted_first)}[sys.argv.pop(1)]()
    sys.exit(main(sys.argv[1:]))
