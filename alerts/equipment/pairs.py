"""Rules over two probes of one equipment: do they tell the same story?

Both are compared by means of ``bucket_s`` (a quarter of an hour), so that probes that measure at other times compare
too. Of two that disagree nobody can say here which is right: the finding names both.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations
from statistics import median_high

from alerts.equipment.facts import Moment
from alerts.equipment.rule import CHAMBER, About, Episode, Flag, Rule, Scope, joined
from alerts.equipment.thresholds import Thresholds
from alerts.rules.facts import degrees
from alerts.rules.finding import RuleFinding

Pair = tuple[str, str]
Mean = tuple[str, int, int]  # stream, sum in thousandths, count
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Two:
    """What is remembered of a pair. ``today``: the differences of the day that fills; ``days``: medians of full ones."""

    last_ms: int = 0
    since_ms: int = 0
    today: tuple[int, ...] = ()
    days: tuple[int, ...] = ()
    moved_m: int = 0
    episode: Episode | None = None


@dataclass(frozen=True, slots=True)
class Together:
    """The bucket that fills, and all pairs (sorted)."""

    bucket_ms: int = -1
    sums: tuple[Mean, ...] = ()
    pairs: tuple[tuple[Pair, Two], ...] = ()


class PairRule(Rule[Together]):
    """Fills buckets, then judges each pair of streams that has a mean in the same bucket."""

    scope = Scope.EQUIPMENT
    quantities = CHAMBER

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.bucket_ms = thresholds.of("DISAGREE").ms("bucket_s")
        self.quiet_ms = self.data.ms("quiet_s")

    def start(self) -> Together:
        return Together()

    def see(self, state: Together, moment: Moment, about: About) -> tuple[Together, Sequence[RuleFinding]]:
        bucket_ms = moment.t_ms - moment.t_ms % self.bucket_ms
        closed: list[RuleFinding] = []
        sums, pairs = state.sums, state.pairs
        if bucket_ms != state.bucket_ms:
            if len(sums) > 1:
                pairs = self._full(state, about, closed)
            sums = ()
        fresh = {s.stream_id: s.value_m for s in moment.samples if s.value_m is not None}
        added = [(k, total + fresh.pop(k, 0), n + 1) if k in fresh else (k, total, n) for k, total, n in sums]
        if fresh:
            added = sorted((*added, *((k, value_m, 1) for k, value_m in fresh.items())))
        return Together(bucket_ms, tuple(added), pairs), closed

    def _full(self, state: Together, about: About, closed: list[RuleFinding]) -> tuple[tuple[Pair, Two], ...]:
        means = {name: total // n for name, total, n in state.sums}
        pairs = dict(state.pairs)
        for pair in combinations(sorted(means), 2):
            two, flag = self.compare(pairs.get(pair, Two()), state.bucket_ms, means[pair[0]] - means[pair[1]])
            end_ms = state.bucket_ms + self.bucket_ms
            if flag is not None:
                flag = replace(flag, details=(("other", pair[1]), *flag.details), stream_id=pair[0])
            episode, ended = joined(two.episode, flag, end_ms, self.quiet_ms)
            if ended is not None:
                closed.append(self._finding(ended, pair, about, ended=True))
            pairs[pair] = Two(state.bucket_ms, two.since_ms, two.today, two.days, two.moved_m, episode)
        return tuple(sorted(pairs.items(), key=_pair))

    @abstractmethod
    def compare(self, two: Two, bucket_ms: int, difference_m: int) -> tuple[Two, Flag | None]:
        """What is remembered after one more common bucket, and what is wrong."""

    def standing(self, state: Together, about: About, now_ms: int) -> Sequence[RuleFinding]:
        return [self._finding(two.episode, pair, about, ended=False) for pair, two in state.pairs if two.episode]

    def _finding(self, episode: Episode, pair: Pair, about: About, *, ended: bool) -> RuleFinding:
        return self.finding(
            about,
            episode.flag.start_ms,
            episode.event_ms,
            episode.good_ms if ended else None,
            subject=" ".join(pair),
            stream_id=pair[0],
            reason=episode.flag.reason,
            details=episode.flag.details,
            readings=episode.grounds,
        )


def _pair(item: tuple[Pair, Two]) -> Pair:
    return item[0]


def said_c(difference_m: int) -> str:
    """A difference as people read it, to a tenth of a degree."""
    return str(degrees(difference_m).quantize(Decimal("0.1")))


class Disagree(PairRule):
    """Two probes more than ``difference_c`` apart, for ``after_s`` of buckets one after the other."""

    code = "DISAGREE"

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.apart_m, self.after_ms = self.data.milli("difference_c"), self.data.ms("after_s")

    def compare(self, two: Two, bucket_ms: int, difference_m: int) -> tuple[Two, Flag | None]:
        if abs(difference_m) <= self.apart_m:
            return replace(two, since_ms=0), None
        goes_on = two.since_ms and bucket_ms - two.last_ms <= 2 * self.bucket_ms
        since_ms = two.since_ms if goes_on else bucket_ms
        two = replace(two, since_ms=since_ms)
        if bucket_ms + self.bucket_ms - since_ms < self.after_ms:
            return two, None
        return two, Flag(since_ms, details=(("difference_c", said_c(difference_m)),))


class Drift(PairRule):
    """The difference between two probes is no longer what it was.

    Its median over the last day is held against that of the first ``learn_days`` of the days remembered; a day counts
    with at least ``day_buckets``. After ``days`` days the new difference is the usual one, and the finding ends.
    """

    code = "DRIFT"

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.drift_m, self.day_buckets = self.data.milli("drift_c"), self.data.whole("day_buckets")
        self.learn, self.remembered = self.data.whole("learn_days"), self.data.whole("days")

    def compare(self, two: Two, bucket_ms: int, difference_m: int) -> tuple[Two, Flag | None]:
        if two.today and bucket_ms // _DAY_MS != two.last_ms // _DAY_MS:
            two = self._day_over(two)
        two = replace(two, today=(*two.today, difference_m))
        if abs(two.moved_m) <= self.drift_m:
            return two, None
        return two, Flag(bucket_ms, details=(("moved_c", said_c(two.moved_m)),))

    def _day_over(self, two: Two) -> Two:
        if len(two.today) < self.day_buckets:
            return replace(two, today=())
        days = (*two.days[-(self.remembered - 1) :], median_high(two.today))
        moved_m = days[-1] - median_high(days[: self.learn]) if len(days) > self.learn else 0
        return replace(two, today=(), days=days, moved_m=moved_m)
