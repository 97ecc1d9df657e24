"""The comparison: what the devices made against what the store holds, reading by reading. Pure.

Three books, none of which takes another's word:

* ``made``: the simulator's ``produced.ndjson``, written before a value went on the air;
* ``accepted``: what stood in the edge's outbox file, seen by a reader of ours from outside every half second. Its stamp's
  boot time is the virtual time itself, whatever the edge's wall clock claimed;
* ``rows``: the store, read when all is quiet.

A made reading without a row is **lost** if the outbox had accepted it, unless it waits in quarantine with a reason or
was thinned by name; else it was **not heard**, which is a fault only where no fault of ours explains it. Two rows of
one reading are **doubled**. A row whose time is further from the truth than it states is **misdated**, a row whose
value nobody made then is **changed**.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

SLACK_MS = 1_000  # virtual: between the instants at which a stamp's three clocks are read on a busy machine
HEARD_SLACK_MS = 20  # virtual: a packet is heard after it was made; boot time is a whole ms, rounded down


@dataclass(frozen=True, slots=True)
class Made:
    """One measurement: ``t_ms`` virtual."""

    stream: str
    t_ms: int
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """One reading as the outbox took it. ``true_ms`` from its boot time; (stream, true_ns) is its identity."""

    stream: str
    true_ns: int
    true_ms: int
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class Stored:
    """One row. ``number`` is (epoch, seq)."""

    stream: str
    t_ms: int
    value: Decimal | None
    max_error_ms: int
    variant: int
    number: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Window:
    """A time (virtual ms) in which the edge could not hear, and why."""

    from_ms: float
    to_ms: float
    why: str


@dataclass(slots=True)
class Verdict:
    """Counts, and the first few of each kind of trouble in words."""

    made: int = 0
    accepted: int = 0
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    misdated: int = 0
    changed: int = 0
    unheard: int = 0
    unheard_unexplained: int = 0
    quarantined: int = 0
    thinned: int = 0
    destroyed: int = 0
    asked_twice: int = 0
    heard_again: int = 0
    examples: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        trouble = self.lost + self.doubled + self.misdated + self.changed + self.unheard_unexplained
        return not trouble and not self.other and self.made > 0

    def say(self, text: str) -> None:
        if len(self.examples) < 40:
            self.examples.append(text)


@dataclass(frozen=True, slots=True)
class Rules:
    """``late_ms``: how long after the measurement a row may be stamped (virtual), by stream; ``gap_ms``: how far from a
    deaf window silence is still its work; ``polled_ms``: the interval of a probe, which measures when it is asked. Asked
    late in one slot of the clock and early in the next, less than half an interval apart, it gives one measurement
    twice: two readings of two polls, rightly (``asked_twice``), as long as it is not asked more often than once a slot."""

    late_ms: Mapping[str, float]
    gap_ms: Mapping[str, float]
    polled_ms: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Books:
    """All that is compared. ``numbers`` links (epoch, seq) to what was accepted under it;
    ``quarantined`` and ``thinned`` hold such numbers."""

    made: Sequence[Made]
    accepted: Iterable[Accepted]
    numbers: Mapping[tuple[str, int], Sequence[Accepted]]
    rows: Sequence[Stored]
    quarantined: frozenset[tuple[str, int]]
    thinned: frozenset[tuple[str, int]]
    destroyed: frozenset[tuple[str, int]]  # identities: they stood, unsent, in a file that a fault of ours replaced
    deaf: Sequence[Window]
    restored: Sequence[float] = ()  # virtual ms at which a backup of the outbox was put back


def judge(books: Books, rules: Rules) -> Verdict:
    verdict = Verdict()
    made, rows = defaultdict(list), defaultdict(list)
    accepted: dict[str, list[Accepted]] = defaultdict(list)
    for m in books.made:
        made[m.stream].append(m)
    for r in books.rows:
        rows[r.stream].append(r)
    for a in books.accepted:
        accepted[a.stream].append(a)
    excused = {
        name: {(a.stream, a.true_ns) for n in numbers for a in books.numbers.get(n, ())}
        for name, numbers in (
            ("quarantined", books.quarantined),
            ("thinned", books.thinned),
        )
    } | {"destroyed": set(books.destroyed)}
    for stream, measured in sorted(made.items()):
        measured.sort(key=lambda m: m.t_ms)
        _judge_stream(stream, measured, accepted[stream], rows[stream], books, excused, rules, verdict)
    return verdict


def _judge_stream(
    stream: str,
    made: list[Made],
    accepted: list[Accepted],
    rows: list[Stored],
    books: Books,
    excused: Mapping[str, set[tuple[str, int]]],
    rules: Rules,
    verdict: Verdict,
) -> None:
    late_ms = rules.late_ms[stream]
    times = [m.t_ms for m in made]
    accepted = sorted(accepted, key=lambda a: a.true_ns)
    heard = _own(made, times, [(a.true_ms, a.value) for a in accepted], late_ms, slack_ms=HEARD_SLACK_MS)
    owner_of = {(a.stream, a.true_ns): i for a, i in zip(accepted, heard, strict=True)}
    hits: Counter[int] = Counter()
    stamps: Counter[tuple[str, int]] = Counter()
    rest: list[Stored] = []
    for row in sorted(rows, key=lambda r: (r.t_ms, r.variant)):
        known = _meant(row, books.numbers.get(row.number, ()))
        if known is None:
            rest.append(row)
            continue
        if row.value != known.value:
            verdict.changed += 1
            verdict.say(f"{stream}: changed: row {row.t_ms} says {row.value}, the outbox took {known.value}")
        if abs(row.t_ms - known.true_ms) > row.max_error_ms + SLACK_MS:
            verdict.misdated += 1
            verdict.say(f"{stream}: misdated: row {row.t_ms}, was taken at {known.true_ms} ({row.number})")
        stamps[known.stream, known.true_ns] += 1
        owner = owner_of.get((known.stream, known.true_ns))
        if owner is None:
            verdict.changed += 1
            verdict.say(f"{stream}: nobody made {known.value} at {known.true_ms} ({row.number})")
        else:
            hits[owner] += 1
    for row, found in zip(rest, _own(made, times, [(r.t_ms, r.value) for r in rest], late_ms, hits), strict=True):
        if found is None:  # neither our reader of the outbox nor the devices know this row
            verdict.changed += 1
            verdict.say(f"{stream}: a row that nobody made: {row.t_ms} {row.value} {row.number}")
        else:
            hits[found] += 1
    for key, count in stamps.items():
        if count > 1:
            verdict.doubled += count - 1
            verdict.say(f"{stream}: doubled: the reading taken at {key[1]} ns stands {count} times")
    twice = [i for i, n in hits.items() if n > 1]
    for i in twice:
        keys = [k for k, o in owner_of.items() if o == i]
        if any(stamps[k] > 1 for k in keys):
            continue  # counted by its stamp
        if len(set(keys)) == hits[i] and _asked_in_turn(keys, accepted, rules.polled_ms.get(stream, 0)):
            verdict.asked_twice += 1
            continue
        if len(set(keys)) == hits[i] and _put_back_between(keys, accepted, books.restored):
            verdict.heard_again += 1
            continue
        verdict.doubled += hits[i] - 1
        verdict.say(f"{stream}: doubled: {made[i].value} made at {made[i].t_ms} stands {hits[i]} times")
    verdict.made += len(made)
    verdict.accepted += len(accepted)
    verdict.stored += sum(1 for i in range(len(made)) if hits[i])
    _judge_missing(stream, made, accepted, owner_of, hits, books.deaf, excused, rules, verdict)


def _meant(row: Stored, readings: Sequence[Accepted]) -> Accepted | None:
    """The reading that a row's number means: one, but for a restored file that gave the number twice."""
    mine = [a for a in readings if a.stream == row.stream]
    return min(mine, key=lambda a: (a.value != row.value, abs(a.true_ms - row.t_ms)), default=None)


def _own(
    made: list[Made],
    times: list[int],
    seen: list[tuple[int, Decimal | None]],
    late_ms: float,
    taken: Mapping[int, int] | None = None,
    slack_ms: int = SLACK_MS,
) -> list[int | None]:
    """For each (time, value) the newest measurement not later than it, of equal value and not taken yet; when all
    fitting ones are taken, the newest of them (a double); None where none fits."""
    used = set(taken or ())
    found: list[int | None] = []
    for t_ms, value in seen:
        end = bisect_right(times, t_ms + slack_ms)
        fitting = []
        for i in range(end - 1, -1, -1):
            if t_ms - times[i] > late_ms:
                break
            if made[i].value == value:
                fitting.append(i)
        free = [i for i in fitting if i not in used]
        # One that is not later goes before one within the slack: what was heard late, just before the next, is its own.
        free.sort(key=lambda i, t_ms=t_ms: (times[i] > t_ms, -i))
        chosen = free[0] if free else (fitting[0] if fitting else None)
        if chosen is not None:
            used.add(chosen)
        found.append(chosen)
    return found


def _judge_missing(
    stream: str,
    made: list[Made],
    accepted: list[Accepted],
    owner_of: Mapping[tuple[str, int], int | None],
    hits: Mapping[int, int],
    deaf: Sequence[Window],
    excused: Mapping[str, set[tuple[str, int]]],
    rules: Rules,
    verdict: Verdict,
) -> None:
    taken: dict[int, tuple[str, int]] = {}
    for a in accepted:
        owner = owner_of[a.stream, a.true_ns]
        if owner is not None:
            taken.setdefault(owner, (a.stream, a.true_ns))
    silent: list[int] = []
    for i, m in enumerate(made):
        if hits.get(i):
            continue
        key = taken.get(i)
        if key is None:
            silent.append(i)
        elif key in excused["quarantined"]:
            verdict.quarantined += 1
        elif key in excused["thinned"]:
            verdict.thinned += 1
        elif key in excused["destroyed"]:
            verdict.destroyed += 1
        else:
            verdict.lost += 1
            verdict.say(f"{stream}: lost: {m.value} made at {m.t_ms}, taken at {key[1]} ns, is not in the store")
    for run in _runs(silent):
        verdict.unheard += len(run)
        first, last = made[run[0]].t_ms, made[run[-1]].t_ms
        margin = rules.gap_ms[stream]
        if not _deaf(deaf, first, margin, last):
            verdict.unheard_unexplained += len(run)
            verdict.say(f"{stream}: {len(run)} not heard from {first} to {last}, and no fault of ours explains it")


def _asked_in_turn(keys: list[tuple[str, int]], accepted: list[Accepted], interval_ms: int) -> bool:
    """Whether about these polls there was no more than one a slot (and one more, for a start of the edge between)."""
    reach = 5
    low, high = min(k[1] for k in keys), max(k[1] for k in keys)
    around_ns = reach * interval_ms * 1_000_000
    polls = sum(1 for a in accepted if low - around_ns <= a.true_ns <= high + around_ns)
    return bool(interval_ms) and polls <= 2 * reach + 3


def _put_back_between(keys: list[tuple[str, int]], accepted: list[Accepted], restored: Sequence[float]) -> bool:
    """Whether a backup was put back between the hearings: it knows nothing of the first, and the advert is still on
    the air. Two hearings at two times, each rightly dated; a reader of the store sees the same value twice."""
    heard_ms = [a.true_ms for a in accepted if (a.stream, a.true_ns) in keys]
    return any(min(heard_ms) <= at_ms <= max(heard_ms) for at_ms in restored)


def _deaf(deaf: Sequence[Window], first_ms: float, margin_ms: float, last_ms: float | None = None) -> bool:
    last_ms = first_ms if last_ms is None else last_ms
    return any(w.from_ms - margin_ms <= last_ms and first_ms <= w.to_ms + margin_ms for w in deaf)


def _runs(numbers: list[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return runs
