"""Telling people of alarms: once per person and channel, in their language, through Apprise.

Apprise (a well-kept library) speaks the channels: a contact is one of its URLs (``mailto://...``, ``tgram://...``,
``json://...``). Which people is the records' answer (``people_to_tell``); that each is told once is the records' word
(``claim_notification``): claim, send, note. A claim of a process that died, or a sending that failed, is tried again
after five minutes: rather twice than never. The words come from the one catalogue, handed in by the wiring.

Once means: once for each time that an alarm opens. One that opened again (it came back, or possible became
confirmed) is told again; one that only moved (late data found an earlier beginning) is not.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from gateway.records import Alarm, FindingKind, Notification, Records, UnknownRecord, User
from telemetry.clock import Clock
from telemetry.errors import NeighbourDownError

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

    _hush()
    channel = apprise.Apprise()
    if not channel.add(url):
        return False
    return bool(channel.notify(title=message.title, body=message.body, body_format=apprise.NotifyFormat.TEXT))


def _hush() -> None:
    """The library's own lines quote URLs, and urllib3 the path with a bot's token in it: neither may reach a log.

    What went wrong is told by the outcome, in ``notifications`` and in our own line.
    """
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def channel_name(url: str) -> str:
    """A name for a contact that gives no secret away: ``mailto-3f2a91``."""
    return f"{url.partition(':')[0]}-{hashlib.sha256(url.encode()).hexdigest()[:6]}"


@dataclass(slots=True)
class Notifier:
    """One call is one round over the open alarms. Belongs to one thread; sending may take its time there."""

    records: Records
    clock: Clock
    languages: Mapping[str, Say]
    tell_time: TellTime
    public_url: str
    send: Send = apprise_send
    _told: set[tuple[str, int, str, str]] = field(default_factory=set)

    def __call__(self) -> bool:
        """True when a message was sent."""
        sent = False
        people: dict[str, list[User]] = {}
        for alarm in self.records.open_alarms():
            site = alarm.finding.site
            if site not in people:
                people[site] = self.records.people_to_tell(site)
            for person in people[site]:
                for url in dict.fromkeys(person.contacts):
                    sent |= self._tell(alarm, person, url)
        return sent

    def _tell(self, alarm: Alarm, person: User, url: str) -> bool:
        channel = channel_name(url)
        opening = (alarm.id, alarm.opened_ms, person.name, channel)
        if opening in self._told:
            return False
        before = self._before(alarm, person.name, channel)
        if any(_is_sent(n) and n.at_ms >= alarm.opened_ms for n in before):
            self._told.add(opening)
            return False
        if any(_is_sent(n) and n.finding == alarm.id and n.channel == channel for n in before):
            channel = f"{channel}@{alarm.opened_ms}"  # told when it opened the first time; this is another time
        now_ms = self.clock.now_ms()
        if not self.records.claim_notification(alarm.id, person.name, channel, now_ms):
            return False
        ok, detail = self._send(alarm, person, url)
        self.records.notification_done(alarm.id, person.name, channel, ok, self.clock.now_ms(), detail)
        if ok:
            self._told.add(opening)
        else:
            log.warning("alarm %s could not be told to %s by %s: %s", alarm.id, person.name, channel, detail)
        return ok

    def _send(self, alarm: Alarm, person: User, url: str) -> tuple[bool, str]:
        try:
            ok = self.send(url, self.compose(alarm, str(person.language)))
            return ok, "" if ok else "the channel refused"
        except NeighbourDownError:
            raise  # the records, not the channel
        except Exception as error:  # noqa: BLE001  (a channel's fault must not stop the others)
            return False, type(error).__name__  # its words may quote the URL

    def _before(self, alarm: Alarm, person: str, channel: str) -> list[Notification]:
        """What this person was told on this channel of the alarm, or of the one whose question it took over."""
        told = self.records.notifications(finding=alarm.id, person=person)
        moved = alarm.finding.supersedes
        seen = {alarm.id}
        while moved is not None and moved not in seen:
            seen.add(moved)
            try:
                earlier = self.records.alarm(moved)
            except UnknownRecord:
                break
            if earlier.opened_ms > alarm.opened_ms or not self._same_question(earlier, alarm):
                break
            told += self.records.notifications(finding=moved, person=person)
            moved = earlier.finding.supersedes
        return [n for n in told if n.channel.partition("@")[0] == channel]

    def _same_question(self, earlier: Alarm, now: Alarm) -> bool:
        """Whether the finding that fell had said the same (code and kind) while it stood, and nobody answered it."""
        states = [s.state for s in self.records.finding_history(earlier.id)]
        stood = [s for s in states if s.kind != FindingKind.WITHDRAWN]
        return bool(stood) and (stood[-1].code, stood[-1].kind) == (now.finding.code, now.finding.kind)

    # --- words ---

    def compose(self, alarm: Alarm, language: str) -> Message:
        """The message of one alarm in one language: what, where, since when, what to do now, where to answer."""
        finding = alarm.finding
        if language not in self.languages:
            language = next(iter(self.languages))
        say = self.languages[language]
        site = self.records.site(finding.site)
        code = _known(say, f"code.{finding.code}", finding.code)
        if finding.kind == FindingKind.POSSIBLE:
            code = say("message.possible", text=code)
        values = {
            "site": site.name,
            "equipment": self._subject(alarm, say),
            "code": code,
            "extreme": _number(finding.extreme_c, language),
            "since": self.tell_time(finding.episode_start_ms, site.zone, language),
            "at": self.tell_time(finding.event_ms, site.zone, language),
            "advice": _known(say, f"advice.{finding.code}", _known(say, "advice.any", "")),
            "url": f"{self.public_url.rstrip('/')}/sites/{site.id}/alarms",
        }
        body = "message.body" if finding.extreme_c is not None else "message.body_no_value"
        return Message(say("message.title", **values), say(body, **values))

    def _subject(self, alarm: Alarm, say: Say) -> str:
        finding = alarm.finding
        try:
            if finding.equipment is not None:
                return self.records.equipment(finding.equipment).name
            if finding.batch is not None:
                batch = self.records.batch(finding.batch)
                return say("message.batch", product=batch.product_name, number=batch.batch_number)
        except UnknownRecord:
            pass
        return finding.equipment or finding.batch or finding.device or "–"


def _is_sent(notification: Notification) -> bool:
    return notification.state == "sent"


def _known(say: Say, key: str, otherwise: str) -> str:
    try:
        return say(key)
    except KeyError:
        return otherwise


def _number(value: Decimal | None, language: str) -> str:
    """``4,25`` in Bahasa Indonesia, ``4.25`` in English."""
    if value is None:
        return "–"
    text = f"{value:f}".replace("-", "−")
    return text.replace(".", ",") if language == "id" else text
