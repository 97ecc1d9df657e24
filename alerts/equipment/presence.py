"""Rules over what is not there: a device that says nothing, and days of which too little is known.

``SILENT`` of ``alerts.rules`` alarms when a stream falls silent; these put the gap into SMILE's classes and count the
data of a day. Both say "unknown", never "in range".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from alerts.counters import local_day, midnight_ms
from alerts.equipment.facts import Moment
from alerts.equipment.rule import CHAMBER, About, Rule, Scope
from alerts.equipment.thresholds import Thresholds
from alerts.rules.finding import RuleFinding
from alerts.rules.interval import LEARN_FROM, interval_ms

Differences = tuple[int, ...]


def gap_class(gap_ms: int, short_ms: int = 3_600_000, long_ms: int = 36_000_000) -> str:
    """SMILE's class of a gap, by its whole minutes: under an hour, 1 to 10 h, over 10 h (smile-and-waste 8, 14)."""
    minutes = gap_ms // 60_000
    if minutes < short_ms // 60_000:
        return "under_1h"
    return "1_to_10h" if minutes <= long_ms // 60_000 else "over_10h"


@dataclass(frozen=True, slots=True)
class Heard:
    """When a device last spoke, and its last differences."""

    last_ms: int | None = None
    differences: Differences = ()

    def after(self, t_ms: int) -> Heard:
        if self.last_ms is None:
            return Heard(t_ms)
        return Heard(t_ms, (*self.differences[-(LEARN_FROM - 1) :], t_ms - self.last_ms))


class Offline(Rule[Heard]):
    """A device that said no temperature for 3 x its push interval (requirement 13); the class of the gap is the reason.

    While it lasts, what edges hold back is added before it is said.
    """

    code = "OFFLINE"
    scope = Scope.DEVICE
    quantities = CHAMBER

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.intervals = self.data.whole("intervals")
        self.short_ms, self.long_ms = self.data.ms("short_s"), self.data.ms("long_s")

    def start(self) -> Heard:
        return Heard()

    def see(self, state: Heard, moment: Moment, about: About) -> tuple[Heard, Sequence[RuleFinding]]:
        last_ms, t_ms = state.last_ms, moment.t_ms
        after = state.after(t_ms)
        if last_ms is None or t_ms - last_ms < self._allowed_ms(state, about):
            return after, ()
        return after, (self._gap(about, last_ms, t_ms - last_ms, state, t_ms),)

    def _allowed_ms(self, state: Heard, about: About) -> int:
        device = about.device
        declared_ms = None if device.interval_s is None else device.interval_s * 1000
        return self.intervals * max(interval_ms(declared_ms, state.differences), (device.push_s or 0) * 1000)

    def standing(self, state: Heard, about: About, now_ms: int) -> Sequence[RuleFinding]:
        if state.last_ms is None:
            return ()
        gap_ms = now_ms - state.last_ms
        if gap_ms < self._allowed_ms(state, about) + about.device.held_back_s * 1000:
            return ()
        return (self._gap(about, state.last_ms, gap_ms, state, None),)

    def _gap(self, about: About, last_ms: int, gap_ms: int, state: Heard, end_ms: int | None) -> RuleFinding:
        allowed_ms = self._allowed_ms(state, about)
        return self.finding(
            about,
            last_ms,
            last_ms + allowed_ms,
            end_ms,
            reason=gap_class(gap_ms, self.short_ms, self.long_ms),
            after_s=allowed_ms // 1000,
            known_s=0,
            unknown_s=0 if end_ms is None else gap_ms // 1000,
        )


# --- data availability ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BadDays:
    """Days one after the other with too little data."""

    start_ms: int
    first_end_ms: int
    percent: int
    expected_ms: int
    covered_ms: int


@dataclass(frozen=True, slots=True)
class Covered:
    """The day that fills: [``from_ms``, ``to_ms``) of it is looked at, ``covered_ms`` is known up to the last reading."""

    last_ms: int | None = None
    differences: Differences = ()
    from_ms: int = 0
    to_ms: int = 0
    covered_ms: int = 0
    bad: BadDays | None = None


class NoData(Rule[Covered]):
    """Local days with data for less than half of their periods (requirement 14), joined where they follow each other.

    A good reading stands for one interval; so twenty readings in one hour are an hour's data and not a day's.
    """

    code = "NO_DATA"
    quantities = CHAMBER

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.percent, self.least_ms = self.data.whole("percent"), self.data.ms("min_window_s")

    def start(self) -> Covered:
        return Covered()

    def see(self, state: Covered, moment: Moment, about: About) -> tuple[Covered, Sequence[RuleFinding]]:
        t_ms = moment.t_ms
        if moment.samples[0].low_m is None:
            return state, ()
        if state.last_ms is None:
            return Covered(t_ms, (), t_ms, _day_end_ms(t_ms, about)), ()
        closed: list[RuleFinding] = []
        step_ms = t_ms - state.last_ms
        state = self._until(state, t_ms, about, closed)
        differences = (*state.differences[-(LEARN_FROM - 1) :], step_ms)
        return Covered(t_ms, differences, state.from_ms, state.to_ms, state.covered_ms, state.bad), closed

    def _until(self, state: Covered, t_ms: int, about: About, closed: list[RuleFinding]) -> Covered:
        """Walk to ``t_ms`` with the hold of the last reading, over all midnights between."""
        assert state.last_ms is not None  # noqa: S101  (a first reading came before)
        declared = about.device.interval_s
        interval = interval_ms(None if declared is None else declared * 1000, state.differences)
        held_to_ms = min(t_ms, state.last_ms + interval)
        if t_ms < state.to_ms:  # nearly always: no midnight between
            covered_ms = state.covered_ms + held_to_ms - state.last_ms
            return Covered(state.last_ms, state.differences, state.from_ms, state.to_ms, covered_ms, state.bad)
        for day_from_ms, day_to_ms in _days(t_ms, state, about):
            covered_ms = max(0, min(held_to_ms, day_to_ms) - max(state.last_ms, day_from_ms))
            if day_to_ms != state.to_ms:
                state = replace(state, from_ms=day_from_ms, to_ms=day_to_ms, covered_ms=0)
            state = replace(state, covered_ms=state.covered_ms + covered_ms)
            if day_to_ms <= t_ms:
                state = self._day_over(state, about, closed)
                state = replace(state, from_ms=day_to_ms, to_ms=_day_end_ms(day_to_ms, about), covered_ms=0)
        return state

    def _day_over(self, state: Covered, about: About, closed: list[RuleFinding]) -> Covered:
        window_ms = state.to_ms - state.from_ms
        if window_ms < self.least_ms:
            return state
        if state.covered_ms * 100 >= self.percent * window_ms:
            if state.bad is not None:
                closed.append(self._finding(state.bad, about, state.from_ms))
            return replace(state, bad=None)
        bad = state.bad
        if bad is None:
            share = state.covered_ms * 100 // window_ms
            return replace(state, bad=BadDays(state.from_ms, state.to_ms, share, window_ms, state.covered_ms))
        expected_ms, covered_ms = bad.expected_ms + window_ms, bad.covered_ms + state.covered_ms
        return replace(state, bad=replace(bad, expected_ms=expected_ms, covered_ms=covered_ms))

    def standing(self, state: Covered, about: About, now_ms: int) -> Sequence[RuleFinding]:
        if state.last_ms is None:
            return ()
        closed: list[RuleFinding] = []
        later_ms = now_ms - about.device.held_back_s * 1000
        if later_ms > state.last_ms:
            state = self._until(state, later_ms, about, closed)
        return closed + ([self._finding(state.bad, about, None)] if state.bad else [])

    def _finding(self, bad: BadDays, about: About, end_ms: int | None) -> RuleFinding:
        return self.finding(
            about,
            bad.start_ms,
            bad.first_end_ms,
            end_ms,
            reason="less_than_half_of_the_data",
            details=(("percent", str(bad.percent)),),
            known_s=bad.covered_ms // 1000,
            unknown_s=(bad.expected_ms - bad.covered_ms) // 1000,
        )


def _day_end_ms(t_ms: int, about: About) -> int:
    """The midnight after an instant, in the site's zone (requirement 36)."""
    zone = about.settings.zone
    day = local_day(t_ms, zone)
    end_ms = midnight_ms(day.fromordinal(day.toordinal() + 1), zone)
    return end_ms if end_ms > t_ms else midnight_ms(day.fromordinal(day.toordinal() + 1), zone, fold=1)


def _days(to_ms: int, state: Covered, about: About) -> Iterator[tuple[int, int]]:
    """The day that fills, as far as it is looked at, and those after it up to ``to_ms``."""
    day_from_ms, day_to_ms = state.from_ms, state.to_ms
    while True:
        yield day_from_ms, day_to_ms
        if day_to_ms > to_ms:
            return
        day_from_ms, day_to_ms = day_to_ms, _day_end_ms(day_to_ms, about)
