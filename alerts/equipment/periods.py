"""Rules over records of a period: seconds that a door was open, that mains was there, that a compressor ran.

A record at ``t`` speaks of the ``period_s`` before it (DS01: 15 minutes): DORV ``door_open_s`` and DRCV ``door_openings``,
SVA ``mains_available_s``, CMPR ``compressor_run_s``. What a device says as a state (``door_open``, ``mains_power_on``) is
judged by rows of ``alerts/profiles.toml`` and not here. None of these rules says anything of a temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from alerts.equipment.facts import Moment
from alerts.equipment.rule import About, Episode, Flag, FlagRule, Rule, Scope, joined
from alerts.equipment.thresholds import Thresholds
from alerts.rules.finding import Kind, RuleFinding

DOOR_SECONDS, OPENINGS = "door_open_s", "door_openings"
MAINS_SECONDS, MAINS_ON, HOLD_DAYS = "mains_available_s", "mains_power_on", "holdover_d"
COMPRESSOR_SECONDS = "compressor_run_s"

# --- door -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Doors:
    """The record before: its time, its open seconds, and how long the door had certainly been open at its end if it
    was open then (``tail_s``: its only piece of open time; 0 where there were several, or none)."""

    t_ms: int | None = None
    open_s: int = 0
    tail_s: int = 0
    sure: Episode | None = None
    maybe: Episode | None = None


class Door(Rule[Doors]):
    """``DOOR``: open without a break for more than 300 s, certainly. ``DOOR_POSSIBLE``: it may have been (requirement 30).

    The open seconds of a record are spread over its openings, and over one piece more if the door may have been open
    when the period began. They hold one longer than the limit for certain only if even equal pieces would.
    """

    code = "DOOR"
    scope = Scope.DEVICE
    quantities = frozenset({DOOR_SECONDS, OPENINGS})

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.possible = thresholds.of("DOOR_POSSIBLE")
        self.limit_s, self.period_s = self.data.whole("longer_than_s"), self.data.whole("period_s")
        self.gap_ms = self.data.ms("gap_s")

    def start(self) -> Doors:
        return Doors()

    def see(self, state: Doors, moment: Moment, about: About) -> tuple[Doors, Sequence[RuleFinding]]:
        seconds_m = moment.value_m(DOOR_SECONDS)
        if seconds_m is None:
            return state, ()
        openings_m = moment.value_m(OPENINGS)
        open_s, openings = seconds_m // 1000, None if openings_m is None else openings_m // 1000
        follows = state.t_ms is not None and moment.t_ms - state.t_ms <= self.gap_ms
        certain_s = self._certain_s(state if follows else None, open_s, openings)
        flag = Flag(moment.t_ms, details=(("open_s", str(open_s)),)) if open_s > self.limit_s else None
        flag = flag or (Flag(moment.t_ms) if certain_s > self.limit_s else None)
        sure = flag if certain_s > self.limit_s else None
        sure_episode, sure_ended = joined(state.sure, sure, moment.t_ms, 0)
        maybe_episode, maybe_ended = joined(state.maybe, None if sure else flag, moment.t_ms, 0)
        one_piece = openings in (0, 1) and not (openings == 1 and self._carried(state if follows else None))
        before_s = state.tail_s if follows and openings == 0 else 0
        tail_s = before_s + open_s if open_s and (one_piece or open_s >= self.period_s) else 0
        closed = [self._finding(sure_ended, about, ended=True)] if sure_ended else []
        closed += [self._maybe(maybe_ended, about, ended=True)] if maybe_ended else []
        return Doors(moment.t_ms, open_s, tail_s, sure_episode, maybe_episode), closed

    def _carried(self, before: Doors | None) -> bool:
        """Whether the door may have been open when the period began."""
        return before is None or before.open_s > 0

    def _certain_s(self, before: Doors | None, open_s: int, openings: int | None) -> int:
        """How long at least the longest piece of open time was that ends in this record."""
        if open_s >= self.period_s:
            return open_s
        if not open_s or openings is None:
            return 0
        if openings == 0:  # it was open when the period began, and did not open again
            return open_s + (0 if before is None else before.tail_s)
        pieces = openings + (1 if self._carried(before) else 0)
        return -(-open_s // pieces)

    def standing(self, state: Doors, about: About, now_ms: int) -> Sequence[RuleFinding]:
        found = [self._finding(state.sure, about, ended=False)] if state.sure else []
        return found + ([self._maybe(state.maybe, about, ended=False)] if state.maybe else [])

    def _finding(self, episode: Episode, about: About, *, ended: bool) -> RuleFinding:
        return self.finding(
            about,
            episode.flag.start_ms,
            episode.event_ms,
            episode.good_ms if ended else None,
            details=episode.flag.details,
            readings=episode.grounds,
            comparator=">",
            after_s=self.limit_s,
        )

    def _maybe(self, episode: Episode, about: About, *, ended: bool) -> RuleFinding:
        return self.finding(
            about,
            episode.flag.start_ms,
            episode.event_ms,
            episode.good_ms if ended else None,
            code="DOOR_POSSIBLE",
            level=self.possible.level,
            kind=Kind.POSSIBLE,
            reason="several_openings",
            details=episode.flag.details,
            readings=episode.grounds,
            comparator=">",
            after_s=self.limit_s,
        )


# --- power ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outage:
    """No usable supply from ``start_ms`` to ``last_ms``; ``run_ms`` of it without a missing record; ``gaps``: some miss."""

    start_ms: int
    last_ms: int
    run_ms: int
    unknown_ms: int = 0
    fired_ms: int | None = None
    sure: bool = False


class Power(Rule[Outage | None]):
    """``POWR``: no second of usable mains for more than 24 h (requirement 31); possible where records are missing in it.

    A solar appliance has no SVA and so no seconds: nothing is invented for it.
    """

    code = "POWR"
    scope = Scope.DEVICE
    quantities = frozenset({MAINS_SECONDS})

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.limit_ms, self.period_ms = self.data.ms("longer_than_s"), self.data.ms("period_s")
        self.gap_ms = self.data.ms("gap_s")

    def start(self) -> Outage | None:
        return None

    def see(self, state: Outage | None, moment: Moment, about: About) -> tuple[Outage | None, Sequence[RuleFinding]]:
        available_m, t_ms = moment.value_m(MAINS_SECONDS), moment.t_ms
        if available_m is None:
            return state, ()
        if available_m > 0:
            if state is None or state.fired_ms is None:
                return None, ()
            return None, (self._finding(state, about, t_ms - self.period_ms),)
        if state is None:
            state = Outage(t_ms - self.period_ms, t_ms, self.period_ms)
        else:
            step_ms = t_ms - state.last_ms
            missed_ms = step_ms - self.period_ms if step_ms > self.gap_ms else 0
            run_ms = self.period_ms if missed_ms else state.run_ms + step_ms
            state = replace(state, last_ms=t_ms, run_ms=run_ms, unknown_ms=state.unknown_ms + missed_ms)
        sure = state.sure or state.run_ms > self.limit_ms
        if sure != state.sure or (state.fired_ms is None and t_ms - state.start_ms > self.limit_ms):
            state = replace(state, fired_ms=t_ms, sure=sure)
        return state, ()

    def standing(self, state: Outage | None, about: About, now_ms: int) -> Sequence[RuleFinding]:
        return () if state is None or state.fired_ms is None else (self._finding(state, about, None),)

    def _finding(self, outage: Outage, about: About, end_ms: int | None) -> RuleFinding:
        assert outage.fired_ms is not None  # noqa: S101  (asked for by those that fired only)
        lasted_ms = (outage.last_ms if end_ms is None else end_ms) - outage.start_ms
        return self.finding(
            about,
            outage.start_ms,
            outage.fired_ms,
            end_ms,
            kind=Kind.CONFIRMED if outage.sure else Kind.POSSIBLE,
            reason="" if outage.sure else "gap",
            comparator=">",
            after_s=self.limit_ms // 1000,
            known_s=(lasted_ms - outage.unknown_ms) // 1000,
            unknown_s=outage.unknown_ms // 1000,
        )


@dataclass(frozen=True, slots=True)
class Held:
    """Whether the supply is away, and the last word of how long the cold will hold (thousandths of a day)."""

    out: bool = False
    hold_m: int | None = None
    hold_ms: int = 0


class Holdover(FlagRule[Held]):
    """An outage while the cold holds for less than ``less_than_d``: said at once, with the hours left (requirement 31)."""

    code = "HOLDOVER_LOW"
    scope = Scope.EQUIPMENT
    quantities = frozenset({MAINS_SECONDS, MAINS_ON, HOLD_DAYS})

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.low_m, self.known_ms = self.data.milli("less_than_d"), self.data.ms("known_for_s")

    @property
    def quiet_ms(self) -> int:
        return 0

    def begin(self) -> Held:
        return Held()

    def flag(self, state: Held, moment: Moment, about: About) -> tuple[Held, Flag | None]:
        hold_m = moment.value_m(HOLD_DAYS)
        if hold_m is not None:
            state = replace(state, hold_m=hold_m, hold_ms=moment.t_ms)
        said = [m for m in (moment.value_m(MAINS_SECONDS), moment.value_m(MAINS_ON)) if m is not None]
        if said:
            state = replace(state, out=max(said) == 0)
        old = state.hold_m is None or moment.t_ms - state.hold_ms > self.known_ms
        if not state.out or old or state.hold_m is None or state.hold_m >= self.low_m:
            return state, None
        hours = Decimal(state.hold_m * 24).scaleb(-3).quantize(Decimal("0.1"))
        return state, Flag(moment.t_ms, details=(("hours_left", str(hours)),))


# --- feed -------------------------------------------------------------------------------------------------


class ImpossibleRun(FlagRule[None]):
    """A compressor cannot run longer than there was mains (requirement 32)."""

    code = "FEED"
    scope = Scope.DEVICE
    quantities = frozenset({COMPRESSOR_SECONDS, MAINS_SECONDS})

    def begin(self) -> None:
        return None

    def flag(self, state: None, moment: Moment, about: About) -> tuple[None, Flag | None]:
        ran_m, mains_m = moment.value_m(COMPRESSOR_SECONDS), moment.value_m(MAINS_SECONDS)
        if ran_m is None or mains_m is None or ran_m <= mains_m:
            return None, None
        details = (("ran_s", str(ran_m // 1000)), ("mains_s", str(mains_m // 1000)))
        return None, Flag(moment.t_ms, reason="ran_longer_than_mains", details=details)


@dataclass(frozen=True, slots=True)
class Runs:
    """The last compressor times (seconds), and whether one of exactly 15 came with more mains than 15 s."""

    last: tuple[int, ...] = ()
    strong: int = 0


class RunsInMinutes(FlagRule[Runs]):
    """Twelve records whose compressor never ran for more than 15 (requirement 32): minutes, sent as if seconds?

    Schemas up to 0.7.2 counted minutes. The values stay as they came.
    """

    code = "FEED"
    scope = Scope.DEVICE
    quantities = frozenset({COMPRESSOR_SECONDS, MAINS_SECONDS})

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.records, self.most_s = self.data.whole("records"), self.data.whole("minutes_max_s")

    @property
    def quiet_ms(self) -> int:
        return 0

    def begin(self) -> Runs:
        return Runs()

    def flag(self, state: Runs, moment: Moment, about: About) -> tuple[Runs, Flag | None]:
        ran_m = moment.value_m(COMPRESSOR_SECONDS)
        if ran_m is None:
            return state, None
        mains_m = moment.value_m(MAINS_SECONDS)
        strong = ran_m == self.most_s * 1000 and mains_m is not None and mains_m > ran_m
        if ran_m > self.most_s * 1000:
            return Runs(), None
        last = (*state.last[-(self.records - 1) :], ran_m)
        state = Runs(last, state.strong + int(strong))
        if len(last) < self.records or not any(last):
            return state, None
        return state, Flag(moment.t_ms, reason="minutes_surely" if state.strong else "minutes_perhaps")
