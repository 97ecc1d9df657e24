"""Telling people of alarms: once per person and channel, in their language, through Apprise.

Apprise (a well-kept library) speaks the channels: a contact is one of its URLs (``mailto://...``, ``tgram://...``,
``json://...``). Which people is the records' answer (``people_to_tell``); that each is told once is the records' word
(``claim_notification``): claim, send, note. A claim of a process that died, or a sending that failed, is tried again
after five minutes: rather twice than never. The words come from the one catalogue, handed in by the wiring.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.records import Alarm, Records, User
from telemetry.clock import Clock

log = logging.getLogger(__name__)

Say = Callable[..., str]
"""``say("message.title", equipment=...)``: a text of one language."""


@dataclass(frozen=True, slots=True)
class Message:
    title: str
    body: str


Send = Callable[[str, Message], bool]
"""Send a message to one Apprise URL; False (or an exception of the library) means: not sent."""
TellTime = Callable[[int, str, str], str]
"""(ms, zone, language) -> the site's wall clock in that language."""


def apprise_send(url: str, message: Message) -> bool:
    """Through Apprise; the URL holds secrets and is never logged."""
    import apprise

    channel = apprise.Apprise()
    return bool(channel.add(url)) and bool(channel.notify(title=message.title, body=message.body))


def channel_name(url: str) -> str:
    """A name for a contact that gives no secret away: ``mailto-3f2a91``."""
    return f"{url.partition(':')[0]}-{hashlib.sha256(url.encode()).hexdigest()[:6]}"


@dataclass(slots=True)
class Notifier:
    """``tell`` is one round over the open alarms; call it after each judgement."""

    records: Records
    clock: Clock
    languages: Mapping[str, Say]
    tell_time: TellTime
    public_url: str
    send: Send = apprise_send
    _told: set[tuple[str, str, str]] = field(default_factory=set)

    def __call__(self) -> bool:
        """True when a message was sent."""
        sent = False
        for alarm in self.records.open_alarms():
            for person in self.records.people_to_tell(alarm.finding.site):
                for url in person.contacts:
                    sent |= self._tell(alarm, person, url)
        return sent

    def _tell(self, alarm: Alarm, person: User, url: str) -> bool:
        channel = channel_name(url)
        key = (alarm.id, person.name, channel)
        if key in self._told:
            return False
        now_ms = self.clock.now_ms()
        if not self.records.claim_notification(*key, now_ms):
            if any(
                n.channel == channel and n.state == "sent"
                for n in self.records.notifications(finding=alarm.id, person=person.name)
            ):
                self._told.add(key)
            return False
        try:
            ok = self.send(url, self.compose(alarm, str(person.language)))
            detail = "" if ok else "the channel refused"
        except Exception as error:  # noqa: BLE001  (a channel's fault must not stop the rules)
            ok, detail = False, type(error).__name__
        self.records.notification_done(*key, ok, now_ms, detail)
        if ok:
            self._told.add(key)
        else:
            log.warning("alarm %s could not be told to %s by %s: %s", alarm.id, person.name, channel, detail)
        return ok

    def compose(self, alarm: Alarm, language: str) -> Message:
        """The message of one alarm in one language."""
        finding = alarm.finding
        say = self.languages[language]
        site = self.records.site(finding.site)
        registry = self.records.registry(finding.site)
        equipment = registry.equipment.get(finding.equipment or "")
        values = {
            "site": site.name,
            "equipment": equipment.name if equipment else (finding.equipment or finding.batch or "-"),
            "code": finding.code,
            "extreme": "–" if finding.extreme_c is None else str(finding.extreme_c),
            "since": self.tell_time(finding.episode_start_ms, site.zone, language),
            "at": self.tell_time(finding.event_ms, site.zone, language),
            "url": f"{self.public_url}/alarms",
        }
        return Message(say("message.title", **values), say("message.body", **values))
