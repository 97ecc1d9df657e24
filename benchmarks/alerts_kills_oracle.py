"""What must be true of a killed alerts service when it has come to rest. Everything is made anew from the journal.

``compare`` names each fault in a list of its own; all lists empty: nothing lost, doubled or forgotten.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alerts.arrivals import arrivals
from alerts.batch_facts import KnownThen
from alerts.config import Config
from alerts.equipment import RULES as SENSORS
from alerts.explain import explain
from alerts.judgement import judge_told
from alerts.memory import Memory
from alerts.notify import TAKEN_BACK, Notifier
from alerts.registered import Registered
from alerts.rulebook import limits_of, rules_of
from alerts.rules import Level, ReadingFact, judge
from alerts.told import told_now
from api.words import LANGUAGES, Words
from benchmarks.alerts_kills_world import PEOPLE, files
from gateway.journal import SqliteJournal
from gateway.records import Alarm, AlarmState, Finding, FindingKind, Notification, Records
from telemetry.clock import Clock

Claim = tuple[str, str, str, int]
"""A claimed notification: finding, person, channel, which attempt."""
Post = tuple[str, str, str]
"""A message that arrived: person, title, body."""
_SINCE = {"id": "Sejak", "en": "Since"}
_TAKEN_BACK = ("Alarm dicabut", "Alarm taken back")


@dataclass
class Faults:
    facts: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    no_alarm: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    chain: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    def any(self) -> bool:
        return any(vars(self).values())

    def say(self) -> str:
        return "\n".join(f"{name}: {row}" for name, rows in vars(self).items() for row in rows)


@dataclass
class Outcome:
    faults: Faults
    findings: int
    withdrawn: int
    alarms: int
    told: int
    again: int
    """Messages that left just before a kill, were not noted, and left again: the documented case."""
    taken_back: int


def compare(
    folder: Path, records: Records, posts: Collection[Post], cut_off: Collection[Claim], clock: Clock
) -> Outcome:
    """``cut_off``: the claims that stood open when a kill fell."""
    journal_path, _, memory_path = files(folder)
    faults = Faults()
    with tempfile.TemporaryDirectory() as scratch:
        journal = SqliteJournal(journal_path)
        fresh, kept = Memory(Path(scratch) / "fresh.db"), Memory(memory_path)
        try:
            registered = Registered(records, rules_of(Config()).catalogue, 0, clock.now_ms)
            registered.read()
            _read(journal, fresh, registered)
            known, wanted = set(kept.facts()), list(fresh.facts())
            faults.facts += [f"missing {f}" for f in wanted if f not in known]
            faults.facts += [f"too many {f}" for f in known - set(wanted)]
            _findings(records, wanted, registered, clock.now_ms(), faults)
            _verdicts(records, fresh, kept, clock.now_ms(), faults)
        finally:
            fresh.close()
            kept.close()
            journal.close()
    faults.chain += [] if records.verify_chain("S1").ok else ["the audit chain of S1 does not verify"]
    every = records.findings()
    told, again, taken_back = _messages(records, every, posts, cut_off, clock, faults)
    gone = sum(f.kind == FindingKind.WITHDRAWN for f in every)
    return Outcome(faults, len(every), gone, len(records.alarms()), told, again, taken_back)


def _read(journal: SqliteJournal, memory: Memory, registered: Registered) -> None:
    offset = 0
    while entries := journal.after(offset, 500):
        with memory.transaction():
            for at, fact in arrivals(entries, registered.home).facts:
                memory.add((fact,), at)
        offset = entries[-1][0]


def _findings(
    records: Records, facts: list[ReadingFact], registered: Registered, now_ms: int, faults: Faults
) -> None:
    profiles = registered.profiles({f.stream_id for f in facts})
    wanted = {f.finding_id: f for f in judge(facts, profiles, now_ms)}
    said = {f.id: f for f in records.findings(standing=True) if f.batch is None and f.profile != SENSORS}
    ours = {(i, str(f.kind), f.episode_start_ms, f.event_ms, f.end_ms, f.extreme_c) for i, f in said.items()}
    scratch = {(i, str(f.kind), f.episode_start_ms, f.event_ms, f.end_ms, f.extreme_c) for i, f in wanted.items()}
    faults.findings += [f"only from scratch {row}" for row in sorted(scratch - ours, key=str)]
    faults.findings += [f"only in the records {row}" for row in sorted(ours - scratch, key=str)]
    asked = {a.id for a in records.alarms()}
    faults.no_alarm += [i for i, f in wanted.items() if f.level is Level.ALARM and i not in asked]


def _verdicts(records: Records, fresh: Memory, kept: Memory, now_ms: int, faults: Faults) -> None:
    rules = rules_of(Config())
    limits = limits_of(records, rules.catalogue)
    for batch in records.batches():
        told, _ = told_now(records, batch.id, records.registry(), limits.catalogue)
        judged = judge_told(told, KnownThen(fresh).of(told.stays), limits, rules.products, now_ms)
        wanted = (judged.verdict.verdict.value, sorted({r.code for r in judged.verdict.reasons}))
        said = records.verdict(batch.id)
        ours = None if said is None else (str(said.verdict), sorted({str(r["code"]) for r in said.reasons}))
        if ours != wanted:
            faults.verdicts.append(f"{batch.id}: {ours} in the records, {wanted} from scratch")
        stands = {(f.id, str(f.kind), f.end_ms) for f in records.findings(batch=batch.id, standing=True)}
        scratch = {(f.finding_id, str(f.kind), f.end_ms) for f in judged.findings}
        faults.verdicts += [f"{batch.id}: finding {row} differs" for row in sorted(stands ^ scratch, key=str)]
        if said is not None:
            found = explain(records, kept, rules, said.id, now_ms)
            faults.verdicts += [f"{said.id} cannot be explained: {d}" for d in found.differences]


# --- messages -------------------------------------------------------------------------------------------------------


def _messages(
    records: Records,
    every: Iterable[Finding],
    posts: Iterable[Post],
    cut_off: Iterable[Claim],
    clock: Clock,
    faults: Faults,
) -> tuple[int, int, int]:
    """(alarms told to a person, told again in the documented case, taken back)."""
    texts, family = _texts(records, every, clock)
    came: Counter[tuple[str, str]] = Counter()
    taken_back = 0
    for person, title, body in posts:
        if title.startswith(_TAKEN_BACK):
            taken_back += 1
            continue
        told = [text for text in texts[person] if body.startswith(text) or f"\n- {text}" in f"\n{body}"]
        came.update((family[texts[person][text]], person) for text in told)
        if not told:
            faults.strange.append(f"a message of no finding to {person}: {body[:160]!r}")
    rows = [n for n in records.notifications() if not n.channel.endswith(TAKEN_BACK)]
    noted = Counter((family[n.finding], n.person) for n in rows if n.state == "sent")
    open_claims = Counter((family[f], p) for f, p, c, _ in set(cut_off) if not c.endswith(TAKEN_BACK))
    again = 0
    for key in {*came, *noted}:
        more = came[key] - noted[key]
        again += min(max(more, 0), open_claims[key])
        if more > open_claims[key]:
            faults.doubled.append(f"{key}: {came[key]} messages, {noted[key]} noted, {open_claims[key]} cut off")
        if more < 0:
            faults.lost.append(f"{key}: {noted[key]} noted as sent, {came[key]} arrived")
    _open_alarms(records, rows, family, came, faults)
    return sum(noted.values()), again, taken_back


def _open_alarms(
    records: Records,
    rows: Iterable[Notification],
    family: Mapping[str, str],
    came: Counter[tuple[str, str]],
    faults: Faults,
) -> None:
    waiting = {a.id: a for a in records.alarms(states=(AlarmState.OPEN,))}
    for i in waiting:
        faults.lost += [f"{i} was never told to {p}" for p in PEOPLE if not came[family[i], p]]
    stuck = (n for n in rows if n.state != "sent" and n.finding in waiting)
    faults.forgotten += [f"{n.finding} for {n.person} stays {n.state} by {n.channel}" for n in stuck]


def _texts(
    records: Records, every: Iterable[Finding], clock: Clock
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Person -> (beginning of a message -> a finding it tells of), and finding -> its family.

    A family are findings of which a message cannot tell one from the other (the same code, place and beginning), and
    those whose question went from one to the next.
    """
    words = {language: Words(language) for language in LANGUAGES}
    notifier = Notifier(records, clock, dict(words), lambda ms, zone, lang: words[lang].time(ms, zone), "https://iot")
    head: dict[str, str] = {}
    texts: dict[str, dict[str, str]] = defaultdict(dict)

    def root(i: str) -> str:
        while head.setdefault(i, i) != i:
            i = head[i]
        return i

    for finding in every:
        for state in (s.state for s in records.finding_history(finding.id)):
            if state.supersedes is not None and _code(records, state.supersedes) == finding.code:
                head[root(state.supersedes)] = root(finding.id)
            for person, language in PEOPLE.items():
                for text in _beginnings(notifier, state, language):
                    other = texts[person].setdefault(text, finding.id)
                    head[root(other)] = root(finding.id)
    return texts, {i: root(i) for i in list(head)}


def _code(records: Records, finding_id: str) -> str | None:
    return next((s.state.code for s in records.finding_history(finding_id)), None)


def _beginnings(notifier: Notifier, state: Finding, language: str) -> Iterator[str]:
    """How a message of this state begins, and how its line in a list does."""
    _, v = notifier._values(Alarm(state, AlarmState.OPEN, 0), language)
    yield f"{v['code']}: {v['equipment']}, {v['site']}.\n{_SINCE[language]} {v['since']}."
    yield f"{v['code']}: {v['equipment']}, {v['since']} "
