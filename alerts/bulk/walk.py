"""The rules' own walker over arrays, given only the readings that can change what it says.

Each threshold is walked alone: no threshold knows of another. A walker is fed

* every reading beyond the limit, the one before a run of them, the one after, and the next known one: what lies
  between is in range or unknown while nothing is open, and changes nothing;
* of a long run beyond the limit without a gap: its first and its last reading, those by which a rule fires, and the worst between
  these; the hold of those between is added up in one (they hold without a hole, so the sum is the same);
* the reading at which a sum in a sliding window falls below its limit.

So a fault in the choice could only leave out a reading too many; what is said of those fed is said by
``alerts.rules.fold`` alone. Feeding more is always right, only slower. ``tests/alerts/bulk`` holds both equal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alerts.bulk.points import Flags, Whole
from alerts.rules.finding import RuleFinding
from alerts.rules.fold import Sample, Walker
from alerts.rules.limits import Comparator, Plan, Threshold

NO_GAP_MS = 1 << 60


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """Samples as columns (``fold.Sample``): ``held_ms`` is how long the one before was held; the last two may be absent.

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
    lost: Flags | None = None

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
            self.lost is not None and bool(self.lost[i]),
        )


def walk(track: Track, plan: Plan, first_ms: int, closed: list[RuleFinding]) -> Walker:
    """The walker after all samples of a track. Appends the findings that closed."""
    walker = Walker(plan, first_ms)
    done, n = 0, int(track.t_ms.size)
    for changes_ms, _ in (*plan.changes, (None, ())):
        stop = n if changes_ms is None else int(np.searchsorted(track.t_ms, changes_ms))
        if done < stop:
            _walk_era(track, walker, done, stop, closed)
            done = stop
        if done < n and (next_ms := walker.next_change_ms()) is not None and next_ms <= track.t_ms[done]:
            walker.advance(track.sample(done), closed)  # the limits change before this one
            done += 1
    return walker


def _walk_era(track: Track, walker: Walker, begin: int, end: int, closed: list[RuleFinding]) -> None:
    """The samples from ``begin`` to before ``end``, in which the limits stay as they are."""
    alone = replace(walker.plan, changes=())
    for threshold, watch in zip(walker.thresholds, walker.watches, strict=True):
        one = Walker(replace(alone, thresholds=(threshold,)), walker.first_ms, [watch])
        _walk_one(track, threshold, one, begin, end, closed)


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


def _walk_one(
    track: Track, threshold: Threshold, walker: Walker, begin: int, end: int, closed: list[RuleFinding]
) -> None:
    out = beyond(threshold, track.low_m, track.high_m, track.known)
    known = out | (track.known & ~track.unknown)
    feeder = _Feeder(track, threshold, walker, closed, begin - 1)
    if bool(out[max(begin - 1, 0) : end].any()) or walker.watches[0].chain is not None:
        (watch,) = walker.watches
        settled_ms = (walker.first_ms if watch.first_ms is None else watch.first_ms) + threshold.ignore_first_ms
        joined = _joined(track, threshold, out, settled_ms)
        joined[begin] = False
        for first, last in _stretches(track, threshold, out, known, joined, begin, end):
            feeder.until_sums_fell(first)
            feeder.feed(first)
            if last > first:
                feeder.run(last)
    feeder.finish(known, end)


def _joined(track: Track, threshold: Threshold, out: Flags, settled_ms: int) -> Flags:
    """Where a reading beyond the limit only goes on with the one before: held without a hole, and after settling."""
    difference = np.diff(track.t_ms)
    on = out[1:] & out[:-1] & (track.held_ms[1:] == difference) & (track.t_ms[:-1] >= settled_ms)
    if threshold.max_gap_ms is not None:
        on &= difference <= threshold.max_gap_ms
    if track.breaks is not None:
        on &= ~track.breaks[1:]
    return np.concatenate(([False], on))


def _stretches(
    track: Track, threshold: Threshold, out: Flags, known: Flags, joined: Flags, begin: int, end: int
) -> list[tuple[int, int]]:
    """(first, last) of what must be fed of [begin, end): single readings, and joined runs beyond the limit."""
    needed = out.copy()
    needed[1:] |= out[:-1]  # its hold ends there
    needed[:-1] |= out[1:]  # what a window has forgotten by then
    before = last_known_before(known)
    after_out = (before >= 0) & out[before]
    needed |= known & after_out  # the first that is known again
    needed |= _first_given_up(track, threshold, ~known & after_out, before)
    first = begin + int(known[begin:end].argmax())  # what an earlier era left open ends here
    if first < end:
        needed[first] = True
    begins = begin + np.flatnonzero(needed[begin:end] & ~joined[begin:end])
    runs_end = begin + np.flatnonzero(np.append(~joined[begin + 1 : end], True))
    ends = runs_end[np.searchsorted(runs_end, begins)]
    return list(zip(begins.tolist(), ends.tolist(), strict=True))


def _first_given_up(track: Track, threshold: Threshold, lost: Flags, before: Whole) -> Flags:
    """Of unknown readings after one beyond the limit the first that is further from it than the gap rule bridges."""
    gap_ms = track.gap_ms if threshold.max_gap_ms is None else threshold.max_gap_ms
    given_up = lost & (track.t_ms - track.t_ms[before] > gap_ms)
    again = np.concatenate(([False], given_up[:-1] & (before[1:] == before[:-1])))
    return given_up & ~again


class _Feeder:
    """Gives a one-threshold walker its samples, in order of time."""

    __slots__ = ("at", "closed", "threshold", "track", "walker", "windowed")

    def __init__(
        self, track: Track, threshold: Threshold, walker: Walker, closed: list[RuleFinding], at: int
    ) -> None:
        self.track = track
        self.threshold = threshold
        self.walker = walker
        self.closed = closed
        self.windowed = any(rule.window_s is not None for rule in threshold.cumulatives)
        self.at = at

    def feed(self, i: int) -> None:
        self.walker.advance(self.track.sample(i), self.closed)
        self.at = i

    def finish(self, known: Flags, end: int) -> None:
        """The last samples before ``end``, so that the walker ends where a walk over all would end."""
        self.until_sums_fell(end)
        start = self.at + 1
        last_known = np.flatnonzero(known[start:end])[-1:] + start
        for i in (*last_known.tolist(), end - 1):
            if i > self.at:
                self.feed(i)

    # --- a run beyond the limit ---

    def run(self, end: int) -> None:
        """The joined readings after the one fed last, up to ``end``."""
        t_ms = self.track.t_ms
        reached_ms = self.walker.reached_ms(int(t_ms[end] - t_ms[self.at]))
        while self.at < end:
            due = [end]
            for at_ms in (
                *self._due_ms(),
                *reached_ms,
            ):  # the reading that shows it, and the one before, which decides
                i = int(np.searchsorted(t_ms, at_ms))
                due += (i - 1, i)
            if self.threshold.max_gap_ms is not None:
                reach_ms = int(t_ms[self.at]) + self.threshold.max_gap_ms
                due.append(int(np.searchsorted(t_ms, reach_ms, side="right")) - 1)
            following = min(i for i in due if i > self.at)
            self._go_on(self._worst(self.at + 1, following))
            if self.at < following:
                self._go_on(following)

    def _go_on(self, i: int) -> None:
        """Feed a reading for all those since the last one that was fed."""
        held_ms = int(self.track.t_ms[i] - self.track.t_ms[self.at])
        sample = replace(self.track.sample(i), held_ms=held_ms, max_gap_ms=NO_GAP_MS, readings=i - self.at)
        self.walker.advance(sample, self.closed)
        self.at = i

    def _worst(self, begin: int, end: int) -> int:
        """The first of the worst values from ``begin`` to ``end``."""
        if self.threshold.comparator.high:
            return begin + int(self.track.high_m[begin : end + 1].argmax())
        return begin + int(self.track.low_m[begin : end + 1].argmin())

    def _due_ms(self) -> list[int]:
        """The times at which a rule would fire, if a reading stood there."""
        (watch,) = self.walker.watches
        due: list[int] = []
        for i, rule in enumerate(self.threshold.singles):
            after_ms = rule.need_ms
            if watch.run is not None and watch.run.fired[i] is None:
                due.append(watch.run.timer[i] + after_ms)
            if watch.chain is not None and watch.chain.gaps and watch.chain.fired[i] is None:
                due.append(watch.chain.start_ms + after_ms)
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
