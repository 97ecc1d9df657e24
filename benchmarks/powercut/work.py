"""The programs under test on the disk that will lose its power, and the judge of what it held afterwards.

Everything that must last says so in a *mark* after its call returned; the judge holds what it finds against the marks
before the cut.

    outbox    every fact that append() returned for is there or was dropped by the rules; numbers, epoch and hints fit
    journal   append() returned -> there, once, in order; the ledger is never ahead of the journal
    store     append() returned -> there, once, the same value
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from edge import outbox_file
from edge.outbox import EpochReason, Quota, SqliteOutbox
from edge.thinning import THINNED, ranges_in
from gateway.journal import Entry, SqliteJournal
from ingest.epochs import Change, EpochKey
from ingest.ledger import Ledger
from ingest.store.config import StoreConfig, StoreKind
from ingest.store.model import Row
from ingest.store.opening import open_store
from ingest.store.sqlite import SqliteStore
from telemetry.readings import Event, Fact, Origin, Quality, Ranges, Reading, Stamp, Sync

START_MS = 1_790_000_000_000
MINUTE_MS = 60_000
ALL = Ranges([(1, 1 << 40)])
AGE_MS = 300 * MINUTE_MS
STREAM = "LOG-{}/temperature_c"
KEY = EpochKey("S1", "E1", "epoch1")


def fact_of(number: int) -> Fact:
    """The ``number``-th fact of the campaign; its boot time is its name."""
    at_ms = START_MS + number * 20_000
    stamp = Stamp("boot", number * 1_000_000, at_ms, Sync.SYNCED, 20)
    if number % 97 == 0:
        return Event("rezero_needed", "SC-1", at_ms, stamp, {"reason": "x" * (number % 500)})
    value = Decimal(900 if number % 50 == 0 else 300 + number % 400) / 100
    return Reading(STREAM.format(number % 5), value, at_ms, stamp)


class Marks:
    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY)

    def say(self, *words: object) -> None:
        os.pwrite(self._file, " ".join(str(w) for w in words).encode(), 0)


def quota() -> Quota:
    return Quota(max_age_ms=AGE_MS)


class OutboxWork:
    def __init__(self, folder: Path, marks: Marks, rng: random.Random) -> None:
        self._path, self._marks, self._rng = folder / "outbox.db", marks, rng
        self._next = 1
        self._box = SqliteOutbox(self._path, quota=quota())
        marks.say("outbox epoch", self._box.epoch)

    def step(self) -> None:
        rng, box = self._rng, self._box
        count = rng.choice((1, 10, 10, 10, 50, 200))
        facts = [fact_of(n) for n in range(self._next, self._next + count)]
        taken = box.append(facts, {"n": str(self._next + count - 1), "k": "x" * rng.randrange(200)})
        ((low, high),) = taken.spans
        self._marks.say("outbox took", self._next, self._next + count - 1, low, high)
        self._next += count
        chance = rng.random()
        if chance < 0.3:
            top = box.usage().numbered_to
            end = rng.randrange(1, top + 1)
            self._marks.say("outbox receipt", 1, end)
            box.received(Ranges([(1, end)]), Ranges())
        elif chance < 0.36:
            box.forget_receipted(facts[-1].stamp.wall_ms - rng.randrange(100) * MINUTE_MS)
        elif chance < 0.42:
            box.keep_age(facts[-1].stamp)
        elif chance < 0.45:
            box.close()
            self._box = SqliteOutbox(self._path, quota=quota())

    def close(self) -> None:
        self._box.close()


class JournalWork:
    def __init__(self, folder: Path, marks: Marks, rng: random.Random) -> None:
        self._journal = SqliteJournal(folder / "journal.db")
        self._ledger = Ledger(folder / "ledger.db")
        self._marks, self._rng, self._next = marks, rng, 1

    def step(self) -> None:
        count = self._rng.choice((1, 3, 20))
        numbers = range(self._next, self._next + count)
        payloads = [f"{n}:{'p' * self._rng.randrange(400)}".encode() for n in numbers]
        offset = self._journal.append([Entry(*KEY, "readings", START_MS, payload) for payload in payloads])
        self._marks.say("journal took", numbers[-1])
        self._ledger.commit([Change(KEY, START_MS, received=Ranges([(numbers[0], numbers[-1])]))], offset)
        if self._rng.random() < 0.3:
            self._ledger.flush()
        self._next += count

    def close(self) -> None:
        self._ledger.close()
        self._journal.close()


class StoreWork:
    def __init__(self, folder: Path, marks: Marks, rng: random.Random) -> None:
        self._store = SqliteStore(folder / "store.db")
        self._marks, self._rng, self._next = marks, rng, 1

    def step(self) -> None:
        if self._rng.random() < 0.25:  # the filler's housekeeping comes when it comes
            self._store.seal()
        count = self._rng.choice((1, 50, 500))
        self._store.append([row_of(n) for n in range(self._next, self._next + count)])
        self._next += count
        self._marks.say("store took", self._next - 1)

    def close(self) -> None:
        self._store.close()


def row_of(n: int) -> Row:
    return Row("S1", STREAM.format(n % 3), START_MS + n * MINUTE_MS, Decimal(n % 700) / 100, Quality.GOOD, Origin.LIVE,
               None, 0, "E1", "epoch1", n, Sync.SYNCED, 20, START_MS + n * MINUTE_MS + 5000)  # fmt: skip


PARTS = {"outbox": OutboxWork, "journal": JournalWork, "store": StoreWork}


def work(folder: Path, mark: Path, seed: int, steps: int, parts: list[str]) -> None:
    marks, rng = Marks(mark), random.Random(seed)
    running = [PARTS[name](folder, marks, rng) for name in parts]
    marks.say("begin")
    for _ in range(steps):
        rng.choice(running).step()
    marks.say("end")
    for part in running:
        part.close()


# --- the judge ---------------------------------------------------------------------------------------------


def complaints(folder: Path, marks: list[str]) -> Iterator[str]:
    """Everything on this disk that is not as the marks say."""
    for name, judge in (("outbox", judge_outbox), ("journal", judge_journal), ("store", judge_store)):
        said = [mark.split()[1:] for mark in marks if mark.startswith(name)]
        if (folder / f"{name}.db").exists():
            yield from (f"{name}: {text}" for text in judge(folder, said))
        elif said:
            yield f"{name}: the file is gone"


def judge_outbox(folder: Path, said: list[list[str]]) -> Iterator[str]:
    box = SqliteOutbox(folder / "outbox.db", quota=quota())
    try:
        if list(folder.glob("*.damaged-*")) or box.identity().reason is not EpochReason.NEW:
            yield f"the epoch was renewed: {box.identity()}"
            return
        held = box.select(seq=ALL, limit=1 << 30)
        numbers = {n.seq: n.fact for n in held}
        yield from _outbox_promises(box, numbers, said)
    finally:
        box.close()


def _outbox_promises(box: SqliteOutbox, numbers: dict[int, Fact], said: list[list[str]]) -> Iterator[str]:
    epochs = [words[1] for words in said if words[0] == "epoch"]
    if epochs and box.epoch != epochs[0]:
        yield f"epoch {box.epoch} in place of {epochs[0]}"
    thinned = Ranges()
    for fact in numbers.values():
        if isinstance(fact, Event) and fact.kind == THINNED:
            thinned |= ranges_in(fact)
    top = box.usage().numbered_to
    receipted = max((int(words[2]) for words in said if words[0] == "receipt"), default=0)
    for words in said:
        if words[0] == "took":
            first, last, low, high = map(int, words[1:])
            if high > top:
                yield f"facts {first}..{last} were accepted as {low}..{high} and are gone: numbered to {top}"
                continue
            for place, number in enumerate(range(low, high + 1)):
                fact = numbers.get(number)
                if fact is None and number > receipted and number not in thinned:
                    yield f"number {number} is missing"
                elif fact is not None and fact != fact_of(first + place):
                    yield f"number {number} holds another fact: {fact}"
    if any(number in thinned for number in numbers):
        yield "a thinned number is there again"
    named = [f.stamp.boottime_ns for f in numbers.values() if not isinstance(f, Event) or f.kind != THINNED]
    if len(named) != len(set(named)):
        yield "a fact is there twice"
    missing = (Ranges([(1, top)]) if top else Ranges()) - Ranges.of(numbers) - thinned
    if missing and missing.spans[-1][1] > receipted:
        yield f"numbers {missing} are in no place"
    hint = int(box.hint("n") or 0)
    ours = [number for fact in numbers.values() if fact == fact_of(number := fact.stamp.boottime_ns // 1_000_000)]
    newest = max(ours, default=hint)
    if newest > hint:
        yield f"fact {newest} without its hint ({hint})"


def judge_journal(folder: Path, said: list[list[str]]) -> Iterator[str]:
    journal = SqliteJournal(folder / "journal.db")
    told = max((int(words[1]) for words in said), default=0)
    found = journal.after(0, 1 << 30)
    numbers = [int(entry.payload.partition(b":")[0]) for _, entry in found]
    if numbers != list(range(1, len(numbers) + 1)):
        yield "entries are missing, doubled or out of order"
    if len(numbers) < told:
        yield f"{told} entries were accepted and {len(numbers)} are there"
    last = journal.last_offset()
    journal.close()
    if (folder / "ledger.db").exists():
        ledger = Ledger(folder / "ledger.db")
        if ledger.offset > last:
            yield f"the ledger is at {ledger.offset}, the journal at {last}"
        have = ledger.state(KEY).have
        if have and have.spans[-1][1] > len(numbers):
            yield f"the ledger has {have}, the journal {len(numbers)} entries"
        ledger.close()


def judge_store(folder: Path, said: list[list[str]]) -> Iterator[str]:
    store = open_store(StoreConfig(kind=StoreKind.SQLITE, path=folder / "store.db"))
    told = max((int(words[1]) for words in said), default=0)
    for stream in range(3):
        name = STREAM.format(stream)
        rows, after = [], None
        while True:
            page = store.read(name, 0, 1 << 60, after=after)
            rows += page.rows
            if page.next is None:
                break
            after = page.next
        numbers = [row.seq for row in rows]
        wanted = [n for n in range(1, max([told, *numbers]) + 1) if n % 3 == stream]
        if numbers != wanted:
            yield f"{name}: {len(numbers)} rows of {len(wanted)}"
        if any((row.value, row.t_ms) != (row_of(row.seq).value, row_of(row.seq).t_ms) for row in rows):
            yield f"{name}: another value than was written"
        if store.append([row_of(n) for n in numbers[-20:]]).committed:
            yield f"{name}: a row was stored twice"
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("mark", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--parts", default="outbox,journal,store")
    parser.add_argument("--synchronous", default="FULL", help="a negative control: NORMAL or OFF must be found out")
    args = parser.parse_args()
    if args.synchronous != "FULL":
        connect = outbox_file.connect

        def careless(path: Path):
            db = connect(path)
            db.execute(f"PRAGMA synchronous={args.synchronous}")
            return db

        outbox_file.connect = careless
    work(args.folder, args.mark, args.seed, args.steps, args.parts.split(","))


if __name__ == "__main__":
    main()
