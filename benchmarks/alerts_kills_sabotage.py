"""``smile-iot``, broken on purpose: ``python -m benchmarks.alerts_kills_sabotage NAME alerts --config FILE``.

The control of ``benchmarks.alerts_kills``. Each is a fault that somebody could make; ``NAMED`` says by which name the
comparison must call it, ``BITES`` which kind of kill it cannot stand. The gap for that is widened, once a life.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from alerts.memory import Place
from alerts.notify import Message, Notifier, channel_name
from alerts.rules import ReadingFact
from alerts.service import Alerts
from gateway.journal import Entry
from gateway.records import Alarm, Records, User
from smile_iot.__main__ import main

NAMED = {"offset_first": "facts", "noted_first": "lost", "never_reclaimed": "forgotten", "told_again": "doubled"}
BITES = {"offset_first": "done", "noted_first": "noted", "never_reclaimed": "claim", "told_again": "noted"}
_GAP_S = 3.0
_left: list[float] = [_GAP_S]


def _gap() -> None:
    while _left:
        time.sleep(_left.pop())


def offset_first() -> None:
    """The place in the journal is on disk before the facts that it stands for."""
    real = Alerts._keep

    def keep(self: Alerts, entries: Sequence[tuple[int, Entry]]) -> list[ReadingFact]:
        if entries:
            last = entries[-1][0]
            with self._memory.transaction():
                self._memory.set_journal_offset(last)
                self._memory.set_done(Place(last, self._memory.done().audit_id))
            _gap()
        return real(self, entries)

    Alerts._keep = keep  # type: ignore[method-assign]


def never_reclaimed() -> None:
    """A claim of a process that died stands for ever."""
    real = Records.claim_notification

    def claim(self: Records, finding: str, person: str, channel: str, at_ms: int) -> bool:
        return real(self, finding, person, channel, at_ms, again_after_ms=1 << 60)

    Records.claim_notification = claim  # type: ignore[method-assign, assignment]
    really = Notifier._send

    def send(self: Notifier, message: Message, url: str) -> tuple[bool, str]:
        _gap()
        return really(self, message, url)

    Notifier._send = send  # type: ignore[method-assign]


def noted_first() -> None:
    """A message is noted as sent before it leaves."""
    real = Notifier._send

    def send(self: Notifier, message: Message, url: str) -> tuple[bool, str]:
        for n in self.records.notifications():
            if n.state == "claimed":
                self.records.notification_done(n.finding, n.person, n.channel, True, self.clock.now_ms(), "")
        _gap()
        return real(self, message, url)

    Notifier._send = send  # type: ignore[method-assign]


def told_again() -> None:
    """Who was told is asked of the process's own memory alone: each life tells all that is open once more."""
    real = Notifier._claim

    def claim(self: Notifier, alarm: Alarm, person: User, url: str) -> str | None:
        channel = channel_name(url)
        rows = self.records.notifications(finding=alarm.id, person=person.name)
        told = (alarm.id, alarm.opened_ms, person.name, channel) in self._told
        sent = any(n.state == "sent" and n.channel == channel for n in rows)
        return channel if sent and not told else real(self, alarm, person, url)

    Notifier._claim = claim  # type: ignore[method-assign]


if __name__ == "__main__":
    {f.__name__: f for f in (offset_first, never_reclaimed, noted_first, told_again)}[sys.argv.pop(1)]()
    sys.exit(main(sys.argv[1:]))
