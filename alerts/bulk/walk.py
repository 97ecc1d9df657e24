"""The rules' own walker over arrays, given only the readings that can change what it says.

Each threshold is walked alone: no threshold knows of another. A walker is fed

* every reading beyond the limit, the one before a run of them, the one after, and the next known one: what lies
  between is in range or unknown while nothing is open, and changes nothing;
* of a long run beyond the limit without a gap: its first, its worst and its last reading, and each by which a rule
  fires; the hold of those between is added up in one (they hold without a hole, so the sum is the same);
* the reading at which a sum in a sliding window falls below its limit.

So a fault in the choice could only leave out a reading too many; what is said of those fed is said by
``alerts.rules.fold`` alone. Feeding more is always right, only slower. ``tests/alerts/bulk`` holds both equal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alerts.bulk.points import Flags, Whole
from alerts.rules.finding import RuleFinding
from alerts.rules.fold import Sample, Walker, Watch
from alerts.rules.limits import Comparator, Plan, Threshold

NO_GAP_MS = 1 << 60


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """Samples as columns (``fold.Sample``): ``held_ms`` is how long the one before was held, ``breaks`` may be absent.

    ``low_m``/``high_m`` mean something where ``known``. ``gap_ms`` must be exact only where the time since the last
    known sample is longer than the least gap.
    """

    t_ms: Whole
    low_m: Whole
    high_m: Whole
    known: Flags
    unknown: Flags
    held_ms: Whole
    gap_ms: Whole
    breaks: Flags | None = None

    def sample(self, i: int) -> Sample:
        known = bool(self.known[i])
        return Sample(
            int(self.t_ms[i]),
            int(self.low_m[i]) if known else None,
            int(self.high_m[i]) if known else None,
            bool(self.unknown[i]),
            int(self.held_ms[i]),
            int(self.gap_ms[i]),
            self.breaks is not None and bool(self.breaks[i]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Walked:
    """What a walk over a track said, and the walker of each threshold after its last sample."""

    closed: list[RuleFinding]
    walkers: tuple[Walker, ...]

    def open_findings(self, held_ms: int = 0) -> list[RuleFinding]:
        return [f for walker in self.walkers for f in walker.open_findings(held_ms)]

    def due_ms(self) -> list[int]:
        return [at for walker in self.walkers for at in walker.due_ms()]

    def watches(self) -> list[Watch]:
        return [watch for walker in self.walkers for watch in walker.watches]


def walk(track: Track, plan: Plan, first_ms: int) -> Walked:
    """Walk all thresholds of a plan over a track."""
    closed: list[RuleFinding] = []
    walkers = tuple(_walk_one(track, plan, threshold, first_ms, closed) for threshold in plan.thresholds)
    return Walked(closed, walkers)


def beyond(threshold: Threshold, low_m: Whole, high_m: Whole, known: Flags) -> Flags:
    """Where the worst good value is out of the limit."""
    match threshold.comparator:
        case Comparator.GT:
            out = high_m > threshold.limit_m
        case Comparator.GE:
            out = high_m >= threshold.limit_m
        case Comparator.LT:
            out = low_m < threshold.limit_m
        case Comparator.LE:
            out = low_m <= threshold.limit_m
    return out & known


def last_known_before(known: Flags) -> Whole:
    """For each place the last known one before it, -1 where there is none."""
    places = np.where(known, np.arange(known.size), -1)
    return np.concatenate(([-1], np.maximum.accumulate(places)[:-1])) if known.size else places


def _walk_one(track: Track, plan: Plan, threshold: Threshold, first_ms: int, closed: list[RuleFinding]) -> Walker:
    walker = Walker(replace(plan, thresholds=(threshold,)), first_ms)
    out = beyond(threshold, track.low_m, track.high_m, track.known)
    feeder = _Feeder(track, threshold, walker, closed)
    if bool(out.any()):
        known = out | (track.known & ~track.unknown)
        joined = _joined(track, threshold, out, first_ms + threshold.ignore_first_ms)
        for begin, end in _stretches(out, known, joined):
            feeder.until_sums_fell(begin)
            feeder.feed(begin)
            if end > begin:
                feeder.run(begin, end)
    feeder.finish(out)
    return walker


def _joined(track: Track, threshold: Threshold, out: Flags, settled_ms: int) -> Flags:
    """Where a reading beyond the limit only goes on with the one before: held without a hole, and after settling."""
    difference = np.diff(track.t_ms)
    on = out[1:] & out[:-1] & (track.held_ms[1:] == difference) & (track.t_ms[:-1] >= settled_ms)
    if threshold.max_gap_ms is not None:
        on &= difference <= threshold.max_gap_ms
    if track.breaks is not None:
        on &= ~track.breaks[1:]
    return np.concatenate(([False], on))


def _stretches(out: Flags, known: Flags, joined: Flags) -> list[tuple[int, int]]:
    """(first, last) of what must be fed: single readings, and joined runs beyond the limit."""
    needed = out.copy()
    needed[1:] |= out[:-1]  # its hold ends there
    needed[:-1] |= out[1:]  # what a window has forgotten by then
    before = last_known_before(known)
    needed |= known & (before >= 0) & out[before]  # the first that is known again
    begins = np.flatnonzero(needed & ~joined)
    last = np.append(~joined[1:], True)
    runs_end = np.flatnonzero(last)
    ends = runs_end[np.searchsorted(runs_end, begins)]
    return list(zip(begins.tolist(), ends.tolist(), strict=True))


class _Feeder:
    """Gives a one-threshold walker its samples, in order of time."""

    __slots__ = ("at", "closed", "threshold", "track", "walker", "windowed")

    def __init__(self, track: Track, threshold: Threshold, walker: Walker, closed: list[RuleFinding]) -> None:
        self.track = track
        self.threshold = threshold
        self.walker = walker
        self.closed = closed
        self.windowed = any(rule.window_s is not None for rule in threshold.cumulatives)
        self.at = -1

    def feed(self, i: int) -> None:
        self.walker.advance(self.track.sample(i), self.closed)
        self.at = i

    def finish(self, out: Flags) -> None:
        """The last samples, so that the walker ends where a walk over all would end."""
        n = out.size
        self.until_sums_fell(n)
        known = np.flatnonzero(out | (self.track.known & ~self.track.unknown))
        for i in (*known[-1:].tolist(), n - 1):
            if i > self.at:
                self.feed(i)

    # --- a run beyond the limit ---

    def run(self, begin: int, end: int) -> None:
        """The joined readings after ``begin`` (fed) up to ``end``."""
        t_ms = self.track.t_ms
        worst = begin + self._worst(begin, end)
        while self.at < end:
            due = [end]
            if self.at < worst:
                due.append(worst)
            due += (int(np.searchsorted(t_ms, at_ms)) for at_ms in self._due_ms())
            if self.threshold.max_gap_ms is not None:
                reach_ms = int(t_ms[self.at]) + self.threshold.max_gap_ms
                due.append(int(np.searchsorted(t_ms, reach_ms, side="right")) - 1)
            following = min(i for i in due if i > self.at)
            held_ms = int(t_ms[following] - t_ms[self.at])
            sample = replace(self.track.sample(following), held_ms=held_ms, max_gap_ms=NO_GAP_MS)
            self.walker.advance(sample, self.closed)
            self.at = following

    def _worst(self, begin: int, end: int) -> int:
        """The first of the worst values."""
        if self.threshold.comparator.high:
            return int(self.track.high_m[begin : end + 1].argmax())
        return int(self.track.low_m[begin : end + 1].argmin())

    def _due_ms(self) -> list[int]:
        """The times at which a rule would fire, if a reading stood there (a sliding sum fires in the hold itself)."""
        (watch,) = self.walker.watches
        due: list[int] = []
        for i, rule in enumerate(self.threshold.singles):
            after_ms = rule.need_ms
            if watch.run is not None and watch.run.fired[i] is None:
                due.append(watch.run.timer[i] + after_ms)
            if watch.chain is not None and watch.chain.gaps and watch.chain.fired[i] is None:
                due.append(watch.chain.start_ms + after_ms)
        for rule, total in zip(self.threshold.cumulatives, watch.totals, strict=True):
            if rule.window_s is None and total.first_ms is None:
                missing_ms = rule.alarm_after_s * 1000 - sum(b - a for a, b in total.holds)
                due.append(int(self.track.t_ms[self.at]) + missing_ms)
        return due

    # --- sums in a window ---

    def until_sums_fell(self, before: int) -> None:
        """Feed the readings before place ``before`` at which a sum that had been reached is reached no more."""
        while self.windowed:
            due = [i for i in map(self._falls_at, self._fell_ms()) if self.at < i < before]
            if not due:
                return
            self.feed(min(due))

    def _falls_at(self, fell_ms: int) -> int:
        return max(self.at + 1, int(np.searchsorted(self.track.t_ms, fell_ms, side="right")))

    def _fell_ms(self) -> list[int]:
        """For each open sum the last instant at which its window still holds enough, if nothing is added."""
        (watch,) = self.walker.watches
        out: list[int] = []
        for rule, total in zip(self.threshold.cumulatives, watch.totals, strict=True):
            if rule.window_s is None or total.first_ms is None:
                continue
            missing_ms = rule.alarm_after_s * 1000
            since_ms = 0
            for a, b in reversed(total.holds):
                since_ms = a
                if b - a >= missing_ms:
                    since_ms = b - missing_ms
                    break
                missing_ms -= b - a
            out.append(since_ms + rule.window_s * 1000)
        return out
