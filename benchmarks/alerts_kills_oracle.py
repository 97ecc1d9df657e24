"""What must be true of a killed alerts service when it has come to rest. Everything is made anew from the journal.

``compare`` names each fault in a list of its own; all lists empty: nothing lost, doubled or forgotten.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from alerts.arrivals import arrivals
from alerts.batch_facts import KnownThen
from alerts.config import Config
from alerts.equipment import RULES as SENSORS
from alerts.explain import explain
from alerts.judgement import judge_told
from alerts.memory import Memory
from alerts.registered import Registered
from alerts.rulebook import limits_of, rules_of
from alerts.rules import Level, ReadingFact, judge
from alerts.told import told_now
from benchmarks import alerts_kills_messages as messages
from benchmarks.alerts_kills_messages import Claim, Post
from benchmarks.alerts_kills_world import files
from gateway.journal import SqliteJournal
from gateway.records import FindingKind, Records
from telemetry.clock import Clock


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
    """``alarms``: findings that ask a person, by the judgement from scratch, and ``found`` of them in the records.

    ``told``: messages noted as sent, one an opening, person and contact. ``again``: messages that a kill kept from
    being noted, so that they left again.
    """

    faults: Faults
    findings: int
    withdrawn: int
    alarms: int
    found: int
    told: int
    again: int


def compare(
    folder: Path, records: Records, posts: Collection[Post], killed: Collection[Claim], clock: Clock
) -> Outcome:
    """``killed``: the claims whose message had arrived when a kill kept it from being noted."""
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
            alarms = _findings(records, wanted, registered, clock.now_ms(), faults)
            _verdicts(records, fresh, kept, clock.now_ms(), faults)
        finally:
            fresh.close()
            kept.close()
            journal.close()
    faults.chain += [] if records.verify_chain("S1").ok else ["the audit chain of S1 does not verify"]
    told = _messages(records, posts, killed, clock, faults)
    sent = {(n.finding, n.person, n.channel) for n in records.notifications() if n.state == "sent"}
    every = records.findings()
    return Outcome(
        faults,
        len(every),
        sum(f.kind == FindingKind.WITHDRAWN for f in every),
        alarms,
        alarms - len(faults.no_alarm),
        told,
        sum(claim[:3] in sent for claim in killed),
    )


def _messages(
    records: Records, posts: Collection[Post], killed: Collection[Claim], clock: Clock, faults: Faults
) -> int:
    now = messages.tally(records, posts, clock)
    lost, forgotten = messages.lost_and_forgotten(records, now)
    faults.lost += [*lost, *messages.never_arrived(now, killed)]
    faults.forgotten += forgotten
    faults.doubled += [*messages.doubled(now, killed), *messages.told_too_often(records)]
    faults.strange += now.strange
    return sum(count for (_, _, back), count in now.noted.items() if not back)


def _read(journal: SqliteJournal, memory: Memory, registered: Registered) -> None:
    offset = 0
    while entries := journal.after(offset, 500):
        with memory.transaction():
            for at, fact in arrivals(entries, registered.home).facts:
                memory.add((fact,), at)
        offset = entries[-1][0]


def _findings(records: Records, facts: list[ReadingFact], registered: Registered, now_ms: int, faults: Faults) -> int:
    """How many alarms there are from scratch."""
    profiles = registered.profiles({f.stream_id for f in facts})
    wanted = {f.finding_id: f for f in judge(facts, profiles, now_ms)}
    said = {f.id: f for f in records.findings(standing=True) if f.batch is None and f.profile != SENSORS}
    ours = {(i, str(f.kind), f.episode_start_ms, f.event_ms, f.end_ms, f.extreme_c) for i, f in said.items()}
    scratch = {(i, str(f.kind), f.episode_start_ms, f.event_ms, f.end_ms, f.extreme_c) for i, f in wanted.items()}
    faults.findings += [f"only from scratch {row}" for row in sorted(scratch - ours, key=str)]
    faults.findings += [f"only in the records {row}" for row in sorted(ours - scratch, key=str)]
    asked = {a.id for a in records.alarms()}
    alarms = [i for i, f in wanted.items() if f.level is Level.ALARM]
    faults.no_alarm += [i for i in alarms if i not in asked]
    return len(alarms)


def _verdicts(records: Records, fresh: Memory, kept: Memory, now_ms: int, faults: Faults) -> None:
    rules = rules_of(Config())
    limits = limits_of(records, rules.catalogue)
    for batch in records.batches():
        told, _ = told_now(records, batch.id, records.registry(), limits.catalogue, fresh.homes())
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
