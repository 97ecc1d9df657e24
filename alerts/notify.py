"""Telling people of alarms: once per person and channel, in their language, through Apprise.

Apprise (a well-kept library) speaks the channels: a contact is one of its URLs (``mailto://...``, ``tgram://...``,
``json://...``). Which people is the records' answer (``people_to_tell``); that each is told once is the records' word
(``claim_notification``): claim, send, note. A claim of a process that died, or a sending that failed, is tried again
after five minutes: rather twice than never. The words come from the one catalogue, handed in by the wiring.

Once means: once for each time that an alarm opens. One that opened again (it came back, or possible became
confirmed) is told again; one that only moved (late data found an earlier beginning) is not.

When, and who first, is ``alerts.manners``: what goes on is told at once, what was long over when it was found by day and
in one list a site; who stands next is told when nobody answered. Who was told of an alarm that late data took back is
told that too, by day.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from alerts.manners import Asked, Manners, by_day, due, may_be_one_trouble, recovery_c, rungs
from gateway.records import Alarm, FindingKind, Notification, Records, UnknownRecord, User
from telemetry.clock import Clock
from telemetry.errors import NeighbourDownError
from telemetry.numbers import written
from telemetry.quantities import parse_stream_id

log = logging.getLogger(__name__)
TAKEN_BACK = "taken_back"
"""Marks the channel of a message that takes an alarm back."""
_LATELY_MS = 30 * 86_400_000

Say = Callable[..., str]
"""``say("message.title", equipment=...)``: a text of one language."""


@dataclass(frozen=True, slots=True)
class Message:
    title: str
    body: str


Words = Callable[[Alarm, str], Message]
Send = Callable[[str, Message], bool]
"""Send a message to one Apprise URL; False (or an exception of the library) means: not sent."""
TellTime = Callable[[int, str, str], str]
"""(ms, zone, language) -> the site's wall clock in that language."""
Values = Callable[[str, str, int, int], Sequence[Decimal]]
"""(equipment, stream, from_ms, to_ms) -> its good values. Raises NeighbourDownError."""


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
    """One call is one round over the open alarms. Belongs to one thread; sending may take its time there.

    ``is_halted``: the process was told to stop, so nothing more is claimed. Who is cut off between sending and noting
    leaves a message that will leave again; an orderly stop need not do that with a whole round.
    """

    records: Records
    clock: Clock
    languages: Mapping[str, Say]
    tell_time: TellTime
    public_url: str
    send: Send = apprise_send
    manners: Manners = field(default_factory=Manners)
    values: Values = lambda *_: ()
    is_halted: Callable[[], bool] = lambda: False
    _told: set[tuple[str, int, str, str]] = field(default_factory=set)

    def __call__(self) -> bool:
        """True when a message was sent."""
        now_ms = self.clock.now_ms()
        lists: dict[tuple[str, str, str], list[Alarm]] = {}
        people: dict[str, User] = {}
        ladders: dict[str, Sequence[Sequence[User]]] = {}
        sent = False
        alarms = self.records.open_alarms()
        standing = {(a.id, a.opened_ms) for a in alarms}
        self._told = {t for t in self._told if t[:2] in standing}  # of the others nobody asks again
        for alarm in alarms:
            site = alarm.finding.site
            if site not in ladders:
                ladders[site] = rungs(self.records.people_to_tell(site))
            manners = self.manners.under(alarm.finding.profile)
            zone, asked = self.records.site(site).zone, self._asked(alarm, alarms, manners)
            for number, rung in enumerate(ladders[site]):
                said = due(asked, number, manners, zone, now_ms)
                if said.at_ms > now_ms:
                    continue
                for person, url in ((p, u) for p in rung for u in dict.fromkeys(p.contacts)):
                    if said.by_day:
                        people[person.name] = person
                        lists.setdefault((site, person.name, url), []).append(alarm)
                    else:
                        sent |= self._tell([alarm], person, url, self.compose)
        for (_, name, url), found in lists.items():
            sent |= self._tell(found, people[name], url, None)
        return sent | self._take_back(now_ms)

    def _asked(self, alarm: Alarm, alarms: Sequence[Alarm], manners: Manners) -> Asked:
        """As ``manners`` asks: with the end of the like episode before it that somebody was told of and nobody answered.

        One that nobody was told of yet (a past that waits for the day) does not make the next one old news.
        """
        f = alarm.finding
        ends = [
            (a.finding.end_ms, a.id)
            for a in alarms
            if a.id != alarm.id
            and a.finding.end_ms is not None
            and 0 <= f.episode_start_ms - a.finding.end_ms <= manners.flap_delay_s * 1000
            and (a.finding.code, a.finding.equipment, a.finding.batch) == (f.code, f.equipment, f.batch)
        ]
        told = (end for end, id_ in sorted(ends, reverse=True) if any(map(_is_sent, self.records.notifications(id_))))
        recovered_c = self._recovered(alarm, alarms) if manners.hysteresis_c > 0 else None
        return Asked(alarm.opened_ms, f.episode_start_ms, f.end_ms, next(told, None), recovered_c)

    def _tell(self, alarms: Sequence[Alarm], person: User, url: str, words: Words | None) -> bool:
        """One message of these alarms (``words`` None: as a list) to one contact; True when it was sent."""
        claimed = [(a, channel) for a in alarms if (channel := self._claim(a, person, url)) is not None]
        if not claimed:
            return False
        found, language = [a for a, _ in claimed], str(person.language)
        message = self.compose_list(found, language) if words is None else words(found[0], language)
        ok, detail = self._send(message, url)
        for alarm, channel in claimed:
            self.records.notification_done(alarm.id, person.name, channel, ok, self.clock.now_ms(), detail)
            if ok:
                self._told.add((alarm.id, alarm.opened_ms, person.name, channel_name(url)))
            else:
                log.warning("alarm %s could not be told to %s by %s: %s", alarm.id, person.name, channel, detail)
        return ok

    def _claim(self, alarm: Alarm, person: User, url: str) -> str | None:
        """The channel's name where this contact is to be told of this opening now, and by us."""
        if self.is_halted():
            return None
        channel = channel_name(url)
        opening = (alarm.id, alarm.opened_ms, person.name, channel)
        if opening in self._told:
            return None
        before = self._before(alarm, person.name, channel)
        if any(_is_sent(n) and n.at_ms >= alarm.opened_ms for n in before):
            self._told.add(opening)
            return None
        if any(_is_sent(n) and n.finding == alarm.id and n.channel == channel for n in before):
            channel = f"{channel}@{alarm.opened_ms}"  # told when it opened the first time; this is another time
        return (
            channel if self.records.claim_notification(alarm.id, person.name, channel, self.clock.now_ms()) else None
        )

    def _take_back(self, now_ms: int) -> bool:
        """Tell those who were told of an alarm, when late data took it back and nothing stands in its place; by day."""
        sent = False
        for told in self.records.told_and_withdrawn(now_ms - _LATELY_MS):
            if self.is_halted():
                break
            alarm, person = self.records.alarm(told.finding), self.records.find_user(told.person)
            base = told.channel.partition("@")[0]
            url = next((u for u in person.contacts if channel_name(u) == base), None) if person else None
            if person is None or url is None or not person.active or alarm.finding.superseded_by is not None:
                continue
            if str(alarm.finding.evidence.get("reason", "")).startswith("superseded"):
                continue
            if by_day(now_ms, self.records.site(alarm.finding.site).zone, self.manners) > now_ms:
                continue
            channel = f"{base}@{TAKEN_BACK}"
            if not self.records.claim_notification(told.finding, person.name, channel, now_ms):
                continue
            ok, detail = self._send(self.compose_taken_back(alarm, str(person.language)), url)
            self.records.notification_done(told.finding, person.name, channel, ok, self.clock.now_ms(), detail)
            sent |= ok
        return sent

    def _recovered(self, alarm: Alarm, alarms: Sequence[Alarm]) -> Decimal | None:
        """How far the value came back since the last like episode whose alarm was told and waits for an answer.

        None, so that the alarm is told, wherever this is not known.
        """
        f = alarm.finding
        stream, limit_c = f.evidence.get("stream"), f.evidence.get("limit_c")
        if f.equipment is None or f.batch is not None or not stream or limit_c is None:
            return None
        if not parse_stream_id(str(stream)).quantity.endswith("temperature_c"):
            return None
        like = (f.rule, f.equipment, stream, limit_c)
        ends = (
            a.finding.end_ms
            for a in alarms
            if a.id != alarm.id
            and (
                a.finding.rule,
                a.finding.equipment,
                a.finding.evidence.get("stream"),
                a.finding.evidence.get("limit_c"),
            )
            == like
            and may_be_one_trouble(a.finding.end_ms, a.finding.evidence.get("reason"), f.episode_start_ms)
            and any(_is_sent(n) for n in self.records.notifications(finding=a.id))
        )
        end_ms = max((end for end in ends if end is not None), default=None)
        if end_ms is None:
            return None
        try:
            values = self.values(f.equipment, str(stream), end_ms, f.episode_start_ms)
        except NeighbourDownError as error:
            log.warning("how far %s came back is not known, so it is told: %s", f.equipment, error)
            return None
        return recovery_c(values, Decimal(str(limit_c)), str(f.evidence.get("comparator")))

    def _send(self, message: Message, url: str) -> tuple[bool, str]:
        try:
            ok = self.send(url, message)
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
        of_channel = (n for n in told if n.channel.partition("@")[0] == channel)
        return [n for n in of_channel if not n.channel.endswith(f"@{TAKEN_BACK}")]

    def _same_question(self, earlier: Alarm, now: Alarm) -> bool:
        """Whether the finding that fell had said the same (code and kind) while it stood, and nobody answered it."""
        states = [s.state for s in self.records.finding_history(earlier.id)]
        stood = [s for s in states if s.kind != FindingKind.WITHDRAWN]
        return bool(stood) and (stood[-1].code, stood[-1].kind) == (now.finding.code, now.finding.kind)

    # --- words ---

    def compose(self, alarm: Alarm, language: str) -> Message:
        """The message of one alarm in one language: what, where, since when, what to do now, where to answer."""
        say, values = self._values(alarm, language)
        body = "message.body" if alarm.finding.extreme_c is not None else "message.body_no_value"
        return Message(say("message.title", **values), say(body, **values))

    def compose_list(self, alarms: Sequence[Alarm], language: str) -> Message:
        """What can wait for the day: alarms of one site, oldest first, each with its span and when we learned of it."""
        lines = []
        for alarm in sorted(alarms, key=lambda a: a.finding.event_ms):
            say, values = self._values(alarm, language)
            lines.append("- " + say("message.list_line", **values))
        say, values = self._values(alarms[0], language)
        values |= {"count": str(len(alarms)), "lines": "\n".join(lines)}
        return Message(say("message.list_title", **values), say("message.list_body", **values))

    def compose_taken_back(self, alarm: Alarm, language: str) -> Message:
        say, values = self._values(alarm, language)
        return Message(say("message.taken_back_title", **values), say("message.taken_back_body", **values))

    def _values(self, alarm: Alarm, language: str) -> tuple[Say, dict[str, str]]:
        """The words of a language, and what they may speak of."""
        finding = alarm.finding
        if language not in self.languages:
            language = next(iter(self.languages))
        say = self.languages[language]
        site = self.records.site(finding.site)
        code = _known(say, f"code.{finding.code}", finding.code)
        if finding.kind == FindingKind.POSSIBLE:
            code = say("message.possible", text=code)

        def time(ms: int) -> str:
            return self.tell_time(ms, site.zone, language)

        return say, {
            "site": site.name,
            "equipment": self._subject(alarm, say),
            "code": code,
            "extreme": "–" if finding.extreme_c is None else written(finding.extreme_c, comma=language == "id"),
            "since": time(finding.episode_start_ms),
            "until": say("message.goes_on") if finding.end_ms is None else time(finding.end_ms),
            "at": time(finding.event_ms),
            "found": time(finding.detected_ms),
            "advice": _known(say, f"advice.{finding.code}", _known(say, "advice.any", "")),
            "url": f"{self.public_url.rstrip('/')}/sites/{site.id}/alarms",
        }

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
