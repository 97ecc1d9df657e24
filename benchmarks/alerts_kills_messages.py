"""Which messages arrived, which are noted, and which of them should not be. Counted, never believed.

    a post ─▶ its first line ─▶ the findings it may speak of (a group: a message cannot tell them apart) ─▶ came
    a row of ``notifications`` that is sent ────────────────▶ the group of its finding ──────────────────▶ noted
    arrived, and killed before it was noted (seen at each kill, when all that was sent has been read) ───▶ unnoted

At rest ``came = noted + unnoted`` holds for each group, person and kind of message, to the one. The only repeat that is
allowed is of an ``unnoted`` one (alerts/README.md, "Kills, outages, years": rather twice than never). That the rows
themselves are not too many is asked of the alarms' own history: one row an opening.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from alerts.notify import TAKEN_BACK, Notifier
from api.words import LANGUAGES, Words
from benchmarks.alerts_kills_world import PEOPLE
from gateway.records import Alarm, AlarmState, Finding, FindingKind, Notification, Records
from telemetry.clock import Clock

Claim = tuple[str, str, str, int]
"""A claimed notification: finding, person, channel, which attempt."""
Post = tuple[str, str, str]
"""A message that arrived: person, title, body."""
Key = tuple[str, str, bool]
"""Group, person, whether it takes an alarm back."""
_SINCE = {"id": "Sejak", "en": "Since"}
_BACK = ("Alarm dicabut", "Alarm taken back")


@dataclass(frozen=True, slots=True)
class Tally:
    """What came and what is noted, by group; ``strange`` are posts that speak of no finding."""

    came: Counter[Key]
    noted: Counter[Key]
    group: Callable[[str], str]
    strange: list[str]

    def key(self, finding: str, person: str, channel: str) -> Key:
        return (self.group(finding), person, is_back(channel))


def is_back(channel: str) -> bool:
    return channel.endswith(f"@{TAKEN_BACK}")


def claims(records: Records) -> set[Claim]:
    """The notifications that are claimed and neither sent nor failed."""
    rows = (n for n in records.notifications() if n.state == "claimed")
    return {(n.finding, n.person, n.channel, n.attempts) for n in rows}


def tally(records: Records, posts: Iterable[Post], clock: Clock) -> Tally:
    texts, heads = _texts(records, clock)
    came: Counter[Key] = Counter()
    strange = []
    for person, title, body in posts:
        back = title.startswith(_BACK)
        told = Counter[str]()
        for (text, takes_back), i in texts[person].items():
            if takes_back == back:
                told[i] += _count(text, title, body)
        for i, times in (+told).items():
            came[_root(heads, i), person, back] += times
        if not +told:
            strange.append(f"a message of no finding to {person}: {title!r} {body[:160]!r}")
    found = Tally(came, Counter(), lambda i: _root(heads, i), strange)
    sent = (n for n in records.notifications() if n.state == "sent")
    found.noted.update(found.key(n.finding, n.person, n.channel) for n in sent)
    return found


def unnoted(records: Records, posts: Iterable[Post], clock: Clock, before: Collection[Claim]) -> set[Claim]:
    """Of the claims that stand open, after a kill, those whose message has arrived; ``before``: of earlier kills."""
    standing = claims(records) - set(before)
    if not standing:
        return set()
    now = tally(records, posts, clock)
    more = now.came - now.noted - Counter(now.key(f, p, c) for f, p, c, _ in before)
    found = set()
    for claim in sorted(standing):
        key = now.key(*claim[:3])
        if more[key] > 0:
            more[key] -= 1
            found.add(claim)
    return found


def doubled(now: Tally, killed: Collection[Claim]) -> Iterator[str]:
    """Messages beyond those that are noted and those that a kill kept from being noted."""
    allowed = Counter(now.key(f, p, c) for f, p, c, _ in killed)
    for key in sorted({*now.came, *now.noted}):
        if now.came[key] > now.noted[key] + allowed[key]:
            yield f"{key}: {now.came[key]} messages, {now.noted[key]} noted, {allowed[key]} cut off before that"


def never_arrived(now: Tally, killed: Collection[Claim]) -> Iterator[str]:
    """Messages that are noted as sent, or were seen at a kill, and are not there."""
    allowed = Counter(now.key(f, p, c) for f, p, c, _ in killed)
    for key in sorted({*now.came, *now.noted}):
        if now.came[key] < now.noted[key] + allowed[key]:
            yield f"{key}: {now.noted[key]} noted as sent, {now.came[key]} arrived"


def told_too_often(records: Records) -> Iterator[str]:
    """Rows beyond one an opening, the like question that an alarm took over included."""
    sent = [n for n in records.notifications() if n.state == "sent" and not is_back(n.channel)]
    seen: dict[tuple[str, str, str, int], str] = {}
    for n in sorted(sent, key=lambda n: (n.at_ms, n.channel)):
        base, _, at = n.channel.partition("@")
        openings = _openings(records, n.finding)
        opened = [o for o in openings if o == int(at)] if at else [o for o in openings if o <= n.at_ms][-1:]
        if not opened:
            yield f"{n.finding} to {n.person} by {n.channel}: it did not open then, but at {openings}"
            continue
        for finding in lineage(records, n.finding):
            before = seen.get((finding, n.person, base, opened[0]))
            if before is not None:
                yield f"{n.finding} to {n.person} by {n.channel}: {finding} was told by {before} for the same opening"
        seen[n.finding, n.person, base, opened[0]] = n.channel


def lineage(records: Records, finding: str) -> list[str]:
    """The finding, and those whose like question (code and kind while they stood) it took over."""
    found = [finding]
    while True:
        now = records.finding(found[-1])
        if now.supersedes is None or now.supersedes in found:
            return found
        if _question(records, now.supersedes) != _question(records, now.id):
            return found
        found.append(now.supersedes)


def _question(records: Records, finding: str) -> tuple[str, str] | None:
    stood = [s.state for s in records.finding_history(finding) if s.state.kind != FindingKind.WITHDRAWN]
    return (stood[-1].code, str(stood[-1].kind)) if stood else None


def _openings(records: Records, finding: str) -> list[int]:
    return sorted({int(row.new_value["opened_ms"]) for row in records.audit_of(f"alarm:{finding}")})


def lost_and_forgotten(records: Records, now: Tally) -> tuple[list[str], list[str]]:
    """Open alarms of which a person has no message; claims and failures that nobody took up again."""
    rows: list[Notification] = records.notifications()
    waiting = [a.id for a in records.alarms(states=(AlarmState.OPEN,))]
    lost = [
        f"{i} was never told to {p}"
        for i in waiting
        for p in PEOPLE
        if not any(now.came[now.group(f), p, False] for f in lineage(records, i))
    ]
    stuck = (n for n in rows if n.state != "sent" and n.finding in waiting)
    return lost, [f"{n.finding} for {n.person} stays {n.state} by {n.channel}" for n in stuck]


# --- which message speaks of which finding --------------------------------------------------------------------------


def _texts(records: Records, clock: Clock) -> tuple[dict[str, dict[tuple[str, bool], str]], dict[str, str]]:
    """Person -> ((how a message begins, whether it takes back) -> a finding it tells of), and what groups findings."""
    words = {language: Words(language) for language in LANGUAGES}
    notifier = Notifier(records, clock, dict(words), lambda ms, zone, lang: words[lang].time(ms, zone), "https://iot")
    heads: dict[str, str] = {}
    texts: dict[str, dict[tuple[str, bool], str]] = defaultdict(dict)
    for finding in records.findings():
        for state in (s.state for s in records.finding_history(finding.id)):
            for person, language in PEOPLE.items():
                for text in _beginnings(notifier, state, language):
                    other = texts[person].setdefault(text, finding.id)
                    heads[_root(heads, other)] = _root(heads, finding.id)
    return texts, heads


def _root(heads: dict[str, str], i: str) -> str:
    while heads.setdefault(i, i) != i:
        i = heads[i]
    return i


def _beginnings(notifier: Notifier, state: Finding, language: str) -> Iterator[tuple[str, bool]]:
    """How a message of this state begins, how its line in a list does, and the message that takes it back."""
    alarm = Alarm(state, AlarmState.OPEN, 0)
    _, v = notifier._values(alarm, language)
    yield f"{v['code']}: {v['equipment']}, {v['site']}.\n{_SINCE[language]} {v['since']}.", False
    yield f"{v['code']}: {v['equipment']}, {v['since']} ", False
    back = notifier.compose_taken_back(alarm, language)
    yield f"{back.title}\n{back.body}", True


def _count(text: str, title: str, body: str) -> int:
    """How often a message says this: as its own beginning, title and all, or as lines of a list."""
    return int(body.startswith(text) or f"{title}\n{body}" == text) + f"\n{body}".count(f"\n- {text}")
