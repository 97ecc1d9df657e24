"""One equipment walked forward in time by all rules, so that facts may come in any order and be let go.

    instants  ──────┬─────────────┬─────────────┬───────▶ newest
    marks           M             M             M        states of all rules after that instant
    kept            (forgotten: on disk)   │ kept in memory

A new instant at the end costs one step. A late one is walked on from the last mark before it; where the instants after
that mark were forgotten, ``take`` says from when they are needed (``Track.missing``) and ``recall`` brings them back.
States are values: what is found is a function of the set of facts, whatever order they came in.

Stated windows (all facts are judged from scratch by ``judge_equipment``; a track that forgets keeps to these): instants
stay ``KEEP_MS``, marks one a day for a week and one a week for ``MARKS_MS``. A fact older than the oldest mark is not
judged here any more. A repeat of a device number is known while its instant is kept.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from alerts.equipment.facts import Moment, Sample, Table
from alerts.equipment.rule import About, Rule, Scope, Settings
from alerts.rules.facts import ReadingFact
from alerts.rules.finding import RuleFinding

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
KEEP_MS = 12 * HOUR_MS
MARKS_MS = 60 * DAY_MS
_MARK_EVERY = 64

Key = tuple[int, str]  # (which rule, what it looks at)


@dataclass(frozen=True, slots=True)
class Mark:
    """All states after every instant up to ``t_ms``. Never changed."""

    t_ms: int
    states: dict[Key, Any]


@dataclass(slots=True)
class Track:
    """One equipment. Not shared between threads; ``now_ms`` is always an argument.

    ``mark_every``: instants from one mark to the next while they are kept.
    """

    settings: Settings
    rules: Sequence[Rule[Any]]
    version: str
    keep_ms: int = KEEP_MS
    mark_every: int = _MARK_EVERY
    tables: dict[str, Table] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)
    states: dict[Key, Any] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    closed: list[tuple[int, RuleFinding]] = field(default_factory=list)  # (instant at which it ended, finding)
    kept_from_ms: int | None = None  # instants before it were forgotten
    missing: int | None = None  # recall instants from here before ``findings``
    _dirty_ms: int | None = None
    _since_mark: int = 0
    _abouts: dict[str, About] = field(default_factory=dict)
    _wanted: dict[tuple[Scope, tuple[str, ...]], list[tuple[int, Rule[Any]]]] = field(default_factory=dict)

    # --- taking in ---

    def take(self, facts: Iterable[ReadingFact]) -> int:
        """Facts of this equipment, in any order, any number of times; how many were too old to be judged."""
        too_old = 0
        for fact in facts:
            if self._before_all_marks(fact.t_ms):
                too_old += 1
                continue
            if self.kept_from_ms is not None and fact.t_ms < self.kept_from_ms:
                self._need(fact.t_ms)
                continue
            self._put(fact)
        return too_old

    def recall(self, facts: Iterable[ReadingFact]) -> None:
        """The facts from ``missing`` on, as they are on disk (those that ``take`` did not keep are among them)."""
        since_ms = self.begin_recall()
        if since_ms is None:
            return
        for fact in facts:
            if fact.t_ms >= since_ms:
                self._put(fact)

    def begin_recall(self) -> int | None:
        """``recall`` in slices: give all facts on disk from this instant on to ``take``, then ask for ``findings``."""
        since_ms, self.missing = self.missing, None
        if since_ms is not None:
            self.kept_from_ms = since_ms if self.kept_from_ms is None else min(since_ms, self.kept_from_ms)
            self._dirty(since_ms)
        return since_ms

    def _before_all_marks(self, t_ms: int) -> bool:
        return (
            self.kept_from_ms is not None
            and t_ms < self.kept_from_ms
            and (not self.marks or t_ms <= self.marks[0].t_ms)
        )

    def _need(self, t_ms: int) -> None:
        """Walking on from the last mark before ``t_ms`` needs all instants after that mark."""
        mark = self.marks[bisect_left(self.marks, t_ms, key=_when) - 1]
        since_ms = mark.t_ms + 1
        self.missing = since_ms if self.missing is None else min(self.missing, since_ms)

    def _put(self, fact: ReadingFact) -> None:
        table = self.tables.get(fact.stream_id)
        if table is None:
            table = self.tables[fact.stream_id] = Table(fact.stream_id)
        for t_ms in table.take(fact):
            i = bisect_left(self.times, t_ms)
            if i == len(self.times) or self.times[i] != t_ms:
                self.times.insert(i, t_ms)
            elif t_ms not in table.at and not any(t_ms in x.at for x in self.tables.values()):
                del self.times[i]  # its device number turned out to be of an earlier instant
            self._dirty(t_ms)

    def _dirty(self, t_ms: int) -> None:
        self._dirty_ms = t_ms if self._dirty_ms is None else min(self._dirty_ms, t_ms)

    # --- walking ---

    def walk(self, before_ms: int | None = None) -> int | None:
        """Bring the states up to date; the instant from which on they were walked anew, None where nothing was new.

        ``before_ms``: no further than this, because facts from there on are still being read; the next call goes on.
        """
        since_ms = self._dirty_ms
        if since_ms is None or (before_ms is not None and since_ms >= before_ms):
            return None
        self._dirty_ms = None
        i = bisect_left(self.marks, since_ms, key=_when)
        walked_to_ms = self._walked_to_ms()
        if walked_to_ms is not None and since_ms <= walked_to_ms:
            del self.marks[i:]
            self.states = dict(self.marks[-1].states) if self.marks else {}
            self._since_mark = 0
            from_ms = self.marks[-1].t_ms + 1 if self.marks else None
            if from_ms is None:
                self.closed.clear()
            else:
                self.closed = [(t, f) for t, f in self.closed if t < from_ms]
        else:
            from_ms = None if walked_to_ms is None else walked_to_ms + 1
        start = 0 if from_ms is None else bisect_left(self.times, from_ms)
        stop = len(self.times) if before_ms is None else bisect_left(self.times, before_ms)
        for t_ms in self.times[start:stop]:
            self._step(t_ms)
        if stop < len(self.times):
            self._dirty(self.times[stop])
        return since_ms

    def _walked_to_ms(self) -> int | None:
        return self.states.get(_WALKED)

    def _step(self, t_ms: int) -> None:
        samples = [s for s in (self.tables[n].sample(t_ms) for n in sorted(self.tables)) if s is not None]
        for scope, name, shown in _scopes(samples):
            wanted = self._rules_of(scope, tuple(s.quantity for s in shown))
            if not wanted:
                continue
            about, whole = self._about(name), Moment(t_ms, shown)
            for i, rule in wanted:
                moment = whole if len(shown) == 1 else whole.only(rule.quantities)
                state = self.states.get((i, name))
                self.states[i, name], ended = rule.see(rule.start() if state is None else state, moment, about)
                self.closed.extend((t_ms, f) for f in ended)
        self.states[_WALKED] = t_ms
        self._since_mark += 1
        if self._since_mark >= self.mark_every:
            self._since_mark = 0
            self.marks.append(Mark(t_ms, dict(self.states)))

    def _rules_of(self, scope: Scope, quantities: tuple[str, ...]) -> list[tuple[int, Rule[Any]]]:
        found = self._wanted.get((scope, quantities))
        if found is None:
            found = [
                (i, rule)
                for i, rule in enumerate(self.rules)
                if rule.scope is scope and not rule.quantities.isdisjoint(quantities)
            ]
            self._wanted[scope, quantities] = found
        return found

    def _about(self, name: str) -> About:
        about = self._abouts.get(name)
        if about is None:
            about = self._abouts[name] = About(self.settings, name, self.version)
        return about

    # --- what is found ---

    def findings(self, now_ms: int) -> list[RuleFinding]:
        """Everything that stands, in order of event. Ended ones stay as long as their marks do."""
        self.walk()
        found = {f.finding_id: f for _, f in self.closed}
        for (i, name), state in self.states.items():
            if i >= 0:
                found |= {f.finding_id: f for f in self.rules[i].standing(state, self._about(name), now_ms)}
        return sorted(found.values(), key=lambda f: (f.event_ms, f.finding_id))

    # --- letting go ---

    def forget(self, now_ms: int) -> None:
        """Let go of instants older than ``keep_ms``, of most marks before them, and of all older than ``MARKS_MS``.

        Not while ``missing`` stands: the mark that it goes on from must stay.
        """
        if self.missing is not None:
            return
        self.walk()
        newest_ms = min(now_ms, self.times[-1]) if self.times else now_ms
        cut = bisect_left(self.marks, newest_ms - self.keep_ms, key=_when) - 1
        if cut < 0:
            return
        cut_ms = self.marks[cut].t_ms
        if self.kept_from_ms is None or cut_ms >= self.kept_from_ms:
            self.kept_from_ms = cut_ms + 1
            for table in self.tables.values():
                table.forget(cut_ms + 1)
            del self.times[: bisect_right(self.times, cut_ms)]
        self.marks = [*_thinned(self.marks[:cut], newest_ms), *self.marks[cut:]]
        self.closed = [(t, f) for t, f in self.closed if t >= newest_ms - MARKS_MS]

    def horizon_ms(self) -> int | None:
        """What ended before this is history: it is no longer among the findings. None: nothing was let go of."""
        return self.marks[0].t_ms if self.kept_from_ms is not None and self.marks else None


_WALKED: Any = (-1, "")


def _when(mark: Mark) -> int:
    return mark.t_ms


def _thinned(marks: Sequence[Mark], newest_ms: int) -> list[Mark]:
    """The last mark of each of the last seven days, then of each week, as far back as marks are kept."""
    kept: dict[tuple[int, int], Mark] = {}
    for m in marks:
        if m.t_ms >= newest_ms - MARKS_MS:
            day = m.t_ms // DAY_MS
            kept[(1, day) if m.t_ms >= newest_ms - 7 * DAY_MS else (0, day // 7)] = m
    return [kept[k] for k in sorted(kept)]


def _scopes(samples: Sequence[Sample]) -> Iterator[tuple[Scope, str, tuple[Sample, ...]]]:
    """(scope, name, samples) of each stream, each device, and the equipment."""
    devices: dict[str, list[Sample]] = {}
    for sample in samples:
        yield Scope.STREAM, sample.stream_id, (sample,)
        devices.setdefault(sample.serial, []).append(sample)
    for serial, shown in devices.items():
        yield Scope.DEVICE, serial, tuple(shown)
    yield Scope.EQUIPMENT, "", tuple(samples)
