"""Walking one stream forward in time: episodes, chains and rules of each threshold.

    state of a threshold      in reading           out reading                     unknown reading
    nothing open              -                    open run and chain              hold ends
    run open, no longer gap   close run and chain  extend run, fire rules          hold ends
    run open, longer gap      close run and chain  close run, new run, same chain  close run (sensor lost)

A change of limits (``Plan.changes``) is made at its instant, before the first sample at or after it. So is the beginning
of a shipment: a settling time begins anew, and so do the sums of a box; a batch takes its sums along.

A walker is copied, never shared, once it has moved: chunks keep the one they start from (``stream.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import pairwise

from alerts.rules.facts import Point, degrees
from alerts.rules.finding import Grounds, Kind, Level, RuleFinding, finding_id
from alerts.rules.interval import Learner, max_gap_ms
from alerts.rules.limits import SILENCE_INTERVALS, Limit, Plan, Threshold, same_rule

SILENT = "SILENT"
CONFLICT = "CONFLICT"
LOGGER_LOST = "logger_lost_in_excursion"
LIMIT_CHANGED = "limit_changed"
SHIPMENT_OVER = "shipment_over"
SENSOR_LOST = "sensor_lost"
_NOT_YET = 1 << 62


Fired = tuple[int, int, Threshold]  # when a rule fired, the reading by which it did, the limits that held then


class Side(IntEnum):
    """A point as one threshold sees it."""

    IN = 0
    OUT = 1
    UNKNOWN = 2


def classify(threshold: Threshold, low_m: int | None, high_m: int | None, unknown: bool) -> Side:
    """Out if any good value is beyond (the worse variant counts); unknown if any value is; else in."""
    value = high_m if threshold.comparator.high else low_m
    if value is not None and threshold.comparator.beyond(value, threshold.limit_m):
        return Side.OUT
    return Side.UNKNOWN if unknown or value is None else Side.IN


@dataclass(slots=True)
class Run:
    """An episode: out-of-limit readings without a longer gap, the last at ``last_out_ms``.

    ``fired``/``timer``/``timer_count`` go with the single rules: (event, deciding reading), since when, and how many
    readings the episode had before that.
    """

    start_ms: int
    end_ms: int
    extreme_m: int
    known_ms: int
    fired: list[Fired | None]
    timer: list[int]
    timer_count: list[int]
    last_out_ms: int
    extreme_ms: int
    count: int = 0

    def copy(self) -> Run:
        return Run(
            self.start_ms,
            self.end_ms,
            self.extreme_m,
            self.known_ms,
            self.fired[:],
            self.timer[:],
            self.timer_count[:],
            self.last_out_ms,
            self.extreme_ms,
            self.count,
        )


@dataclass(slots=True)
class Chain:
    """Runs joined by longer gaps only. ``settled[i]``: rule i was confirmed by one of its runs."""

    start_ms: int
    end_ms: int
    extreme_m: int
    known_ms: int
    gaps: int
    fired: list[Fired | None]
    settled: list[bool]
    last_out_ms: int
    extreme_ms: int
    count: int = 0

    def copy(self) -> Chain:
        return Chain(
            self.start_ms,
            self.end_ms,
            self.extreme_m,
            self.known_ms,
            self.gaps,
            self.fired[:],
            self.settled[:],
            self.last_out_ms,
            self.extreme_ms,
            self.count,
        )


@dataclass(slots=True)
class Total:
    """A cumulative rule: out-of-limit holds inside the window, and what it has fired."""

    holds: tuple[tuple[int, int], ...] = ()
    first_ms: int | None = None  # first hold of the finding that stands open
    event_ms: int = 0
    at_event_ms: int = 0
    extreme_m: int | None = None
    extreme_ms: int = 0
    first_out_ms: int = 0  # the readings that the holds came of: first, last, how many
    last_out_ms: int = 0
    deciding_ms: int = 0
    count: int = 0
    by: Threshold | None = None  # the limits by which it fired

    def copy(self) -> Total:
        return Total(
            self.holds,
            self.first_ms,
            self.event_ms,
            self.at_event_ms,
            self.extreme_m,
            self.extreme_ms,
            self.first_out_ms,
            self.last_out_ms,
            self.deciding_ms,
            self.count,
            self.by,
        )

    def saw(self, t_ms: int, value: int, high: bool, readings: int) -> None:
        """An out-of-limit sample."""
        if self.extreme_m is None:
            self.extreme_m, self.extreme_ms, self.first_out_ms, self.count = value, t_ms, t_ms, 0
        elif (value > self.extreme_m) if high else (value < self.extreme_m):
            self.extreme_m, self.extreme_ms = value, t_ms
        self.last_out_ms = t_ms
        self.count += readings


@dataclass(slots=True)
class Watch:
    """One threshold's memory while walking. ``settling``: holds within the settling time, not summed up so far."""

    last_ms: int = 0
    last_side: Side | None = None
    last_known_ms: int | None = None
    run: Run | None = None
    chain: Chain | None = None
    totals: list[Total] = field(default_factory=list)
    settling: tuple[tuple[int, int], ...] = ()
    first_ms: int | None = None  # of a limit that began to hold later: the first reading it saw

    def copy(self) -> Watch:
        return Watch(
            self.last_ms,
            self.last_side,
            self.last_known_ms,
            None if self.run is None else self.run.copy(),
            None if self.chain is None else self.chain.copy(),
            [t.copy() for t in self.totals],
            self.settling,
            self.first_ms,
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One step of a walk: the point's extremes, how long the sample before was held, and the gap in force."""

    t_ms: int
    low_m: int | None
    high_m: int | None
    unknown: bool
    held_ms: int
    max_gap_ms: int
    breaks: bool = False  # a longer gap lies before this sample, whatever the times say (merged streams)
    lost: bool = False  # nothing at all was heard before it, for so long that the sensor counts as lost
    readings: int = 1  # of a run without a gap it stands for this many, as the last of them (alerts.bulk)


class Walker:
    """All thresholds of one plan, those of the time it has walked to. ``advance`` appends closed findings to a list
    of the caller.
    """

    __slots__ = ("changed", "first_ms", "plan", "thresholds", "watches")

    def __init__(
        self,
        plan: Plan,
        first_ms: int,
        watches: list[Watch] | None = None,
        thresholds: tuple[Threshold, ...] | None = None,
        changed: int = 0,
    ) -> None:
        self.plan = plan
        self.first_ms = first_ms
        self.thresholds = plan.thresholds if thresholds is None else thresholds
        self.watches = watches or [_fresh(t) for t in self.thresholds]
        self.changed = changed  # how many of the plan's changes lie behind

    def copy(self) -> Walker:
        return Walker(self.plan, self.first_ms, [w.copy() for w in self.watches], self.thresholds, self.changed)

    def under(self, plan: Plan, last_ms: int) -> Walker | None:
        """The walker with another plan, where both plans are the same up to the last reading it saw; else None."""
        n = self.changed
        same = (plan.thresholds, plan.changes[:n]) == (self.plan.thresholds, self.plan.changes[:n])
        if not same or len(plan.changes) < n or any(at <= last_ms for at, _ in plan.changes[n:]):
            return None
        return Walker(plan, self.first_ms, [w.copy() for w in self.watches], self.thresholds, n)

    def next_change_ms(self) -> int | None:
        """When the limits change next."""
        changes = self.plan.changes
        return changes[self.changed][0] if self.changed < len(changes) else None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Walker)
            and self.first_ms == other.first_ms
            and self.changed == other.changed
            and (self.plan is other.plan or self.plan == other.plan)
            and self.watches == other.watches
        )

    __hash__ = None  # type: ignore[assignment]  # mutable

    def advance(self, sample: Sample, closed: list[RuleFinding]) -> None:
        if self.plan.changes:
            self.change_until(sample.t_ms, sample.held_ms, closed)
        for threshold, watch in zip(self.thresholds, self.watches, strict=True):
            _advance(self.plan, threshold, watch, sample, self.first_ms, closed)

    def change_until(self, t_ms: int, held_ms: int, closed: list[RuleFinding]) -> None:
        """Go to the limits of ``t_ms``. What ends with its limit was held for ``held_ms`` after the last reading."""
        while (at := self.next_change_ms()) is not None and at <= t_ms:
            self.watches = self._changed(self.plan.changes[self.changed][1], at, held_ms, closed)
            self.thresholds = self.plan.changes[self.changed][1]
            self.changed += 1

    def _changed(
        self, new: tuple[Threshold, ...], at_ms: int, held_ms: int, closed: list[RuleFinding]
    ) -> list[Watch]:
        """The watches of the new thresholds; what has the same border goes on, what has none ends now."""
        left = list(zip(self.thresholds, self.watches, strict=True))
        made: list[Watch] = []
        for threshold in new:
            like = [pair for pair in left if pair[0].border == threshold.border]
            pair = min(like, key=lambda p: p[0].profile != threshold.profile, default=None)
            if pair is None:
                made.append(_fresh(threshold, later=True))
            else:
                left.remove(pair)
                made.append(_carried(self.plan, *pair, threshold, at_ms, held_ms, closed))
        for threshold, watch in left:
            following = next((p for p in zip(new, made, strict=True) if threshold.goes_before(p[0])), None)
            takes = (
                following is not None and self.plan.batch is not None and _rules(following[0]) == _rules(threshold)
            )
            heir = following[1] if following is not None and takes else None
            reason = LIMIT_CHANGED if following is None else SHIPMENT_OVER
            _end_with_limit(self.plan, threshold, watch, at_ms, held_ms, self.first_ms, closed, reason, heir)
        return made

    def open_findings(self, held_ms: int = 0, *, lost: bool = False) -> list[RuleFinding]:
        """Findings of episodes that go on; ``held_ms``: how long the last reading is known to have held.

        ``lost``: nothing was heard for so long that the episodes ended with what is known of them.
        """
        found: list[RuleFinding] = []
        driven, reason = self.plan.event_driven, SENSOR_LOST if lost else ""
        for threshold, watch in zip(self.thresholds, self.watches, strict=True):
            held = watch
            if held_ms and watch.last_side is Side.OUT:
                held = watch.copy()
                _hold(threshold, held, held.last_ms + held_ms, held_ms, self.first_ms, by_holding=driven)
            over = lost and threshold.max_gap_ms is None  # SMILE's timer knows no gaps
            now, why = (held, reason) if over or driven else (watch, "")
            _close_run(self.plan, threshold, now.run, found, ended=over, reason=why)
            _close_chain(self.plan, threshold, now.chain, found, ended=over, reason=why)
            for rule, total in zip(threshold.cumulatives, held.totals, strict=True):
                _close_total(self.plan, threshold, rule, total, None, found)
        return found

    def has_open_episode(self) -> bool:
        """Whether anything is open that ends when the sensor is lost."""
        watched = zip(self.thresholds, self.watches, strict=True)
        return any(t.max_gap_ms is None and (w.run is not None or w.chain is not None) for t, w in watched)

    def due_ms(self) -> list[int]:
        """When the rules of what stands out now fire if nothing else is said (event-driven streams only)."""
        return [
            at + rule.need_ms
            for threshold, watch in zip(self.thresholds, self.watches, strict=True)
            if watch.last_side is Side.OUT and watch.run is not None
            for rule, at, fired in zip(threshold.singles, watch.run.timer, watch.run.fired, strict=True)
            if fired is None and not rule.repeats
        ]

    def reached_ms(self, held_ms: int) -> list[int]:
        """When sums will be reached if the last reading, beyond its limit, is held so long."""
        times: list[int] = []
        for threshold, watch in zip(self.thresholds, self.watches, strict=True):
            if threshold.cumulatives and watch.last_side is Side.OUT:
                held = watch.copy()
                _hold(threshold, held, held.last_ms + held_ms, held_ms, self.first_ms)
                pairs = zip(watch.totals, held.totals, strict=True)
                times += [now.event_ms for was, now in pairs if was.first_ms is None and now.first_ms is not None]
        return times

    def in_excursion(self) -> bool:
        """Whether the last reading was beyond a limit that alarms or leads to an alarm."""
        return any(w.last_side is Side.OUT and w.run is not None for w in self.watches)


def _fresh(threshold: Threshold, *, later: bool = False) -> Watch:
    return Watch(totals=[Total() for _ in threshold.cumulatives], first_ms=_NOT_YET if later else None)


def _carried(
    plan: Plan, old: Threshold, watch: Watch, new: Threshold, at_ms: int, held_ms: int, closed: list[RuleFinding]
) -> Watch:
    """The watch of a border that stays, under the rules that hold from ``at_ms`` on.

    A code that fired in an open episode stays fired until the episode ends: a person was asked already. A code that
    did not is judged by its new delay, counted from the episode's start. A code that is gone ends with its limit. A
    sum whose rule changed begins anew.
    """
    if _rules(old) == _rules(new):
        return watch
    was = {rule.code: i for i, rule in enumerate(old.singles)}
    keep = [was.get(rule.code) for rule in new.singles]
    end_ms = min(at_ms, watch.last_ms + held_ms) if watch.last_side is Side.OUT else None
    if (run := watch.run) is not None:
        ended = replace(run.copy(), fired=[None if i in keep else fired for i, fired in enumerate(run.fired)])
        _close_run(plan, old, ended, closed, ended=True, reason=LIMIT_CHANGED, end_ms=end_ms)
        run.fired = [None if i is None else run.fired[i] for i in keep]
        run.timer = [run.start_ms if i is None else run.timer[i] for i in keep]
        run.timer_count = [0 if i is None else run.timer_count[i] for i in keep]
    if (links := watch.chain) is not None:
        over = replace(links.copy(), fired=[None if i in keep else fired for i, fired in enumerate(links.fired)])
        _close_chain(plan, old, over, closed, ended=True, reason=LIMIT_CHANGED, end_ms=end_ms)
        links.fired = [None if i is None else links.fired[i] for i in keep]
        links.settled = [i is not None and links.settled[i] for i in keep]
    totals = dict(
        zip((r.code for r in old.cumulatives), zip(old.cumulatives, watch.totals, strict=True), strict=True)
    )
    kept: list[Total] = []
    for rule in new.cumulatives:
        before = totals.get(rule.code)
        if before is not None and same_rule(before[0], rule):
            kept.append(totals.pop(rule.code)[1])
        else:
            kept.append(Total())
    for rule, total in totals.values():
        _close_total(plan, old, rule, total, at_ms, closed, reason=LIMIT_CHANGED)
    watch.totals = kept
    return watch


def _rules(threshold: Threshold) -> tuple[Limit, ...]:
    return tuple(replace(r, source="", verified=True) for r in (*threshold.singles, *threshold.cumulatives))


def _end_with_limit(
    plan: Plan,
    threshold: Threshold,
    watch: Watch,
    at_ms: int,
    held_ms: int,
    first_ms: int,
    closed: list[RuleFinding],
    reason: str,
    heir: Watch | None,
) -> None:
    """What stood open under a limit that holds no longer; the last reading counts until then. ``heir`` takes the sums."""
    held_ms = min(held_ms, at_ms - watch.last_ms)
    if watch.last_side is Side.OUT and held_ms > 0:
        _hold(threshold, watch, watch.last_ms + held_ms, held_ms, first_ms, by_holding=plan.event_driven)
    _close_run(plan, threshold, watch.run, closed, ended=True, reason=reason)
    _close_chain(plan, threshold, watch.chain, closed, ended=True, reason=reason)
    if heir is not None:
        heir.totals = watch.totals
        return
    for rule, total in zip(threshold.cumulatives, watch.totals, strict=True):
        _close_total(plan, threshold, rule, total, at_ms, closed, reason=reason)


def _advance(
    plan: Plan, threshold: Threshold, watch: Watch, s: Sample, first_ms: int, closed: list[RuleFinding]
) -> None:
    side = classify(threshold, s.low_m, s.high_m, s.unknown)
    if watch.first_ms is not None:
        watch.first_ms = first_ms = min(watch.first_ms, s.t_ms)
    if watch.last_side is Side.OUT and s.held_ms:
        _hold(threshold, watch, watch.last_ms + s.held_ms, s.held_ms, first_ms, by_holding=plan.event_driven)
    gap_ms = threshold.max_gap_ms or s.max_gap_ms
    if side is not Side.UNKNOWN:
        known_ms = watch.last_known_ms
        broke = known_ms is not None and (s.t_ms - known_ms > gap_ms or (s.breaks and threshold.max_gap_ms is None))
        watch.last_known_ms = s.t_ms
        settled_ms = first_ms + threshold.ignore_first_ms
        if watch.run is not None and (side is Side.IN or broke):
            _end_run(
                plan,
                threshold,
                watch,
                settled_ms,
                closed,
                SENSOR_LOST if s.lost and threshold.max_gap_ms is None else "",
            )
        if side is Side.IN:
            _close_chain(plan, threshold, watch.chain, closed, ended=True)
            watch.chain = None
        else:
            value = s.high_m if threshold.comparator.high else s.low_m
            assert value is not None  # noqa: S101  (classify says OUT only for a value)
            _out(plan, threshold, watch, s, value, broke, settled_ms, closed)
    elif watch.run is not None and watch.last_known_ms is not None and s.t_ms - watch.last_known_ms > gap_ms:
        # Faults only, for longer than the gap rule bridges: whatever is read next, this episode is over.
        _end_run(plan, threshold, watch, first_ms + threshold.ignore_first_ms, closed, SENSOR_LOST)
    watch.last_ms, watch.last_side = s.t_ms, side
    for rule, total in zip(threshold.cumulatives, watch.totals, strict=True):
        _leave_window(plan, threshold, rule, total, s.t_ms, closed)
        if not total.holds and side is not Side.OUT:
            total.extreme_m = None


def _end_run(
    plan: Plan, threshold: Threshold, watch: Watch, settled_ms: int, closed: list[RuleFinding], reason: str
) -> None:
    if watch.run is not None and watch.run.last_out_ms < settled_ms:
        watch.chain = None  # it settled, or was lost sight of before it could
    _close_run(plan, threshold, watch.run, closed, ended=True, reason=reason)
    watch.run, watch.settling = None, ()


def _hold(
    threshold: Threshold, watch: Watch, end_ms: int, held_ms: int, first_ms: int, *, by_holding: bool = False
) -> None:
    """The last out-of-limit reading was held until ``end_ms``. Of the settling time nothing is summed up yet."""
    for episode in (watch.run, watch.chain):
        if episode is not None:
            episode.end_ms = end_ms
            episode.known_ms += held_ms
    if by_holding and watch.run is not None:
        _shown_by_holding(threshold, watch.run, end_ms)
    if watch.first_ms is not None:
        first_ms = watch.first_ms
    if not watch.totals:
        return
    settled_ms = first_ms + threshold.ignore_first_ms
    if watch.last_ms < settled_ms:
        watch.settling = (*watch.settling, (watch.last_ms, min(end_ms, settled_ms)))
    from_ms = max(watch.last_ms, settled_ms)
    if from_ms >= end_ms:
        return
    for rule, total in zip(threshold.cumulatives, watch.totals, strict=True):
        if total.first_ms is not None and rule.window_s is None:
            continue  # fired, and nothing ever leaves: no more need be remembered
        if total.holds and total.holds[-1][1] == from_ms:
            total.holds = (*total.holds[:-1], (total.holds[-1][0], end_ms))
        else:
            total.holds = (*total.holds, (from_ms, end_ms))
        _reach(threshold, rule, total, len(total.holds) - 1)


def _out(
    plan: Plan,
    threshold: Threshold,
    watch: Watch,
    s: Sample,
    value: int,
    broke: bool,
    settled_ms: int,
    closed: list[RuleFinding],
) -> None:
    t_ms, high = s.t_ms, threshold.comparator.high
    rules = threshold.singles
    n = len(rules)
    chain = watch.chain
    if chain is None:
        chain = watch.chain = Chain(t_ms, t_ms, value, 0, 0, [None] * n, [False] * n, t_ms, t_ms)
    elif broke:
        chain.gaps += 1
    run = watch.run
    if run is None:
        run = watch.run = Run(t_ms, t_ms, value, 0, [None] * n, [t_ms] * n, [0] * n, t_ms, t_ms)
    for episode in (run, chain):
        episode.end_ms = episode.last_out_ms = t_ms
        episode.count += s.readings
        if (value > episode.extreme_m) if high else (value < episode.extreme_m):
            episode.extreme_m, episode.extreme_ms = value, t_ms
    for total in watch.totals:
        total.saw(t_ms, value, high, s.readings)
    if t_ms < settled_ms:
        return  # what comes back into range within the settling time says nothing
    if watch.settling:
        _outlasted(threshold, watch)
    for i, rule in enumerate(rules):
        after_ms = rule.need_ms
        if run.fired[i] is None and t_ms - run.timer[i] >= after_ms:
            chain.settled[i] = True
            if rule.repeats:
                closed.append(_repeat(plan, threshold, rule, run, run.timer[i], run.timer_count[i], t_ms))
                run.timer[i], run.timer_count[i] = t_ms, run.count - 1
            else:
                run.fired[i] = (t_ms, t_ms, threshold)
        elif chain.gaps and not chain.settled[i] and chain.fired[i] is None and t_ms - chain.start_ms >= after_ms:
            chain.fired[i] = (t_ms, t_ms, threshold)


def _shown_by_holding(threshold: Threshold, run: Run, end_ms: int) -> None:
    """A device that speaks at changes only: what it said holds, and the time it held counts without a reading."""
    for i, rule in enumerate(threshold.singles):
        if run.fired[i] is None and not rule.repeats and end_ms - run.timer[i] >= rule.need_ms:
            run.fired[i] = (run.timer[i] + rule.alarm_after_s * 1000, run.last_out_ms, threshold)


def _outlasted(threshold: Threshold, watch: Watch) -> None:
    """The excursion goes on after the settling time: it was none of settling, and counts from its first reading."""
    for rule, total in zip(threshold.cumulatives, watch.totals, strict=True):
        total.holds = (*watch.settling, *total.holds)
        _reach(threshold, rule, total, 0)
    watch.settling = ()


def _reach(threshold: Threshold, rule: Limit, total: Total, since_hold: int) -> None:
    """Fire a cumulative rule whose sum was reached in a hold from ``since_hold`` on, at that very instant."""
    after_ms = rule.alarm_after_s * 1000
    if total.first_ms is not None or after_ms <= 0:
        return
    reached_ms = _reached_ms(total.holds, after_ms, rule.window_s, since_hold)
    if reached_ms is not None:
        since = None if rule.window_s is None else reached_ms - rule.window_s * 1000
        first_ms = next(a if since is None else max(a, since) for a, b in total.holds if since is None or b > since)
        total.first_ms, total.event_ms, total.at_event_ms = first_ms, reached_ms, after_ms
        total.deciding_ms, total.by = total.last_out_ms, threshold


def _reached_ms(
    holds: tuple[tuple[int, int], ...], after_ms: int, window_s: int | None, since_hold: int = 0
) -> int | None:
    """When the holds first made up ``after_ms`` within the window that ends then; they are in order of time."""
    if window_s is None:
        missing = after_ms
        for a, b in holds:
            if b - a >= missing:
                return a + missing
            missing -= b - a
        return None
    window_ms = window_s * 1000
    for n, (a, b) in enumerate(holds[since_hold:], since_hold + 1):
        until = holds[:n]
        if _inside(until, b, window_ms) < after_ms:
            continue
        # While a hold goes on its own part grows as the clock does; between these stops the older ones are level, or
        # shrink as fast: the sum is level or grows as the clock does, and is largest at the hold's end.
        stops = sorted({a, b} | {t + window_ms for hold in until for t in hold if a < t + window_ms < b})
        for low, high in pairwise(stops):
            if _inside(until, high, window_ms) >= after_ms:
                return low + max(0, after_ms - _inside(until, low, window_ms))
    return None


def _inside(holds: tuple[tuple[int, int], ...], t_ms: int, window_ms: int) -> int:
    """How much of the holds lies in the window that ends at ``t_ms``."""
    return sum(max(0, min(b, t_ms) - max(a, t_ms - window_ms)) for a, b in holds)


def _leave_window(
    plan: Plan, threshold: Threshold, rule: Limit, total: Total, t_ms: int, closed: list[RuleFinding]
) -> None:
    """Drop what lies before the window; a finding whose sum fell below the limit has ended."""
    if rule.window_s is None:
        return
    if total.holds:
        since = t_ms - rule.window_s * 1000
        if total.holds[0][0] < since:
            total.holds = tuple((max(a, since), b) for a, b in total.holds if b > since)
    if total.first_ms is not None and sum(b - a for a, b in total.holds) < rule.alarm_after_s * 1000:
        _close_total(plan, threshold, rule, total, t_ms, closed)
        total.first_ms = None


# --- findings ---------------------------------------------------------------------------------------------


def _finding(
    plan: Plan, threshold: Threshold, rule: Limit, first_ms: int, event_ms: int, reason: str = ""
) -> RuleFinding:
    """``threshold``: the limits in force when the rule fired; of its rules the one of this code gives the numbers."""
    own = (*threshold.singles, *threshold.cumulatives)
    rule = next((r for r in own if r.code == rule.code), rule)
    return RuleFinding(
        finding_id(f"{threshold.profile}/{rule.code}", plan.subject, first_ms),
        rule.code,
        rule.level,
        Kind.POSSIBLE if threshold.guard else Kind.CONFIRMED,
        plan.equipment,
        plan.stream_id,
        plan.batch,
        threshold.profile,
        threshold.version,
        degrees(threshold.limit_m),
        threshold.comparator.value,
        rule.alarm_after_s,
        rule.mode.value,
        first_ms,
        event_ms,
        None,
        None,
        0,
        0,
        reason=reason or ("guard_band" if threshold.guard else ""),
    )


def _close_run(
    plan: Plan,
    threshold: Threshold,
    run: Run | None,
    into: list[RuleFinding],
    *,
    ended: bool,
    reason: str = "",
    end_ms: int | None = None,
) -> None:
    if run is None:
        return
    for rule, fired in zip(threshold.singles, run.fired, strict=True):
        if fired is not None:
            into.append(
                replace(
                    _finding(plan, fired[2], rule, run.start_ms, fired[0], reason),
                    readings=Grounds(run.start_ms, fired[1], run.last_out_ms, run.extreme_ms, run.count),
                    end_ms=(end_ms or run.end_ms) if ended else None,
                    extreme_c=degrees(run.extreme_m),
                    known_s=run.known_ms // 1000,
                    unknown_s=(run.end_ms - run.start_ms - run.known_ms) // 1000,
                )
            )


def _close_chain(
    plan: Plan,
    threshold: Threshold,
    chain: Chain | None,
    into: list[RuleFinding],
    *,
    ended: bool,
    reason: str = "",
    end_ms: int | None = None,
) -> None:
    if chain is None:
        return
    for rule, fired in zip(threshold.singles, chain.fired, strict=True):
        if fired is not None:
            into.append(
                replace(
                    _finding(plan, fired[2], rule, chain.start_ms, fired[0]),
                    readings=Grounds(chain.start_ms, fired[1], chain.last_out_ms, chain.extreme_ms, chain.count),
                    kind=Kind.POSSIBLE,
                    end_ms=(end_ms or chain.end_ms) if ended else None,
                    extreme_c=degrees(chain.extreme_m),
                    known_s=chain.known_ms // 1000,
                    unknown_s=(chain.end_ms - chain.start_ms - chain.known_ms) // 1000,
                    reason=reason or ("guard_band" if threshold.guard else "unknown_time"),
                )
            )


def _repeat(
    plan: Plan, threshold: Threshold, rule: Limit, run: Run, timer_ms: int, count_before: int, t_ms: int
) -> RuleFinding:
    return replace(
        _finding(plan, threshold, rule, timer_ms, t_ms),
        end_ms=t_ms,
        extreme_c=degrees(run.extreme_m),
        known_s=(t_ms - timer_ms) // 1000,
        readings=Grounds(timer_ms, t_ms, t_ms, run.extreme_ms, run.count - count_before),
    )


def _close_total(
    plan: Plan,
    threshold: Threshold,
    rule: Limit,
    total: Total,
    end_ms: int | None,
    into: list[RuleFinding],
    reason: str = "",
) -> None:
    if total.first_ms is None:
        return
    into.append(
        replace(
            _finding(plan, total.by or threshold, rule, total.first_ms, total.event_ms, reason),
            end_ms=end_ms,
            extreme_c=None if total.extreme_m is None else degrees(total.extreme_m),
            known_s=total.at_event_ms // 1000,
            readings=Grounds(total.first_out_ms, total.deciding_ms, total.last_out_ms, total.extreme_ms, total.count),
        )
    )


def silence(
    plan: Plan, now: Sequence[Threshold], last_ms: int, interval: int, lost: bool, end_ms: int | None
) -> RuleFinding:
    """No reading for 3 x interval after ``last_ms`` (design.md; cold-chain 6, 13; smile-and-waste 14)."""
    after_ms = SILENCE_INTERVALS * interval
    first = now[0] if now else None
    return RuleFinding(
        finding_id(SILENT, plan.subject, last_ms),
        SILENT,
        Level.ALARM,
        Kind.CONFIRMED,
        plan.equipment,
        plan.stream_id,
        plan.batch,
        first.profile if first else "",
        first.version if first else "",
        None,
        "",
        after_ms // 1000,
        "single",
        last_ms,
        last_ms + after_ms,
        end_ms,
        None,
        0,
        0 if end_ms is None else (end_ms - last_ms) // 1000,
        reason=LOGGER_LOST if lost else "",
        readings=Grounds(last_ms, last_ms, last_ms, None, 1),
    )


def conflict(plan: Plan, now: Sequence[Threshold], p: Point) -> RuleFinding:
    """The same identity with different values: both kept, flagged, the worse one counts (cold-chain 6, 9)."""
    found = silence(plan, now, p.t_ms, 0, lost=False, end_ms=p.t_ms)
    return replace(
        found,
        finding_id=finding_id(CONFLICT, plan.subject, p.t_ms),
        code=CONFLICT,
        level=Level.NOTICE,
        readings=Grounds(p.t_ms, p.t_ms, p.t_ms, None, sum(len(values) for _, values in p.entries)),
    )


class StreamWalker:
    """A walker with the gap rule of one stream: turns points into samples."""

    __slots__ = ("last", "learner", "walker")

    def __init__(self, walker: Walker, learner: Learner, last: Point | None = None) -> None:
        self.walker = walker
        self.learner = learner
        self.last = last

    def copy(self) -> StreamWalker:
        learner = self.learner
        return StreamWalker(self.walker.copy(), Learner(learner.declared_ms, learner.warm, learner.last), self.last)

    def same_as(self, other: StreamWalker) -> bool:
        """Whether both will say the same of all that follows."""
        if self is other:
            return True
        return (
            (None if self.last is None else self.last.t_ms) == (None if other.last is None else other.last.t_ms)
            and (self.last is None or other.last is None or self.last.unknown == other.last.unknown)
            and self.learner.last == other.learner.last
            and self.learner.warm == other.learner.warm
            and self.walker == other.walker
        )

    def advance_all(self, points: Sequence[Point], closed: list[RuleFinding]) -> None:
        for p in points:
            self.advance(p, closed)

    def advance(self, p: Point, closed: list[RuleFinding]) -> None:
        held_ms, gap_ms, lost = 0, max_gap_ms(self.learner.interval_ms()), False
        if self.last is not None:
            difference = p.t_ms - self.last.t_ms
            interval = self.learner.interval_ms()
            plan = self.walker.plan
            if plan.event_driven:
                gap_ms = difference
            held_ms = difference if difference <= gap_ms else interval
            long = difference >= SILENCE_INTERVALS * interval
            lost = long and difference > gap_ms
            if plan.silence and long:
                out = self.walker.in_excursion()
                closed.append(silence(plan, self.walker.thresholds, self.last.t_ms, interval, out, p.t_ms))
            self.learner.saw(difference)
        if p.conflict:
            closed.append(conflict(self.walker.plan, self.walker.thresholds, p))
        self.walker.advance(Sample(p.t_ms, p.low_m, p.high_m, p.unknown, held_ms, gap_ms, lost=lost), closed)
        self.last = p
