"""Rules over one stream: is what this sensor says believable? They say so; the reading stays and counts as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median_high

from alerts.equipment.facts import Moment
from alerts.equipment.rule import About, Flag, FlagRule
from alerts.equipment.thresholds import Thresholds

Ring = tuple[int, ...]


def _pushed(ring: Ring, value: int, length: int) -> Ring:
    return (*ring[-(length - 1) :], value)


class SensorFault(FlagRule[None]):
    """The device says that it has no value (requirement 11): unknown time, and a fault of the device."""

    code = "SENSOR_FAULT"

    def begin(self) -> None:
        return None

    def flag(self, state: None, moment: Moment, about: About) -> tuple[None, Flag | None]:
        (sample,) = moment.samples
        return None, Flag(moment.t_ms, reason=sample.fault) if sample.fault else None


class RangeBound(FlagRule[None]):
    """A value at or beyond the end of what a sensor can say (requirement 12). It still counts."""

    code = "RANGE_BOUND"

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.low_m, self.high_m = self.data.milli("low_c"), self.data.milli("high_c")
        self.deep_m = self.data.milli("deep_low_c")

    def begin(self) -> None:
        return None

    def flag(self, state: None, moment: Moment, about: About) -> tuple[None, Flag | None]:
        (sample,) = moment.samples
        low_m = self.deep_m if about.settings.deep else self.low_m
        if sample.high_m is not None and sample.high_m >= self.high_m:
            return None, Flag(moment.t_ms, sample.high_m, "at_upper_bound")
        if sample.low_m is not None and sample.low_m <= low_m:
            return None, Flag(moment.t_ms, sample.low_m, "at_lower_bound")
        return None, None


@dataclass(frozen=True, slots=True)
class Jump:
    """``base_m``: the last value before the jump; ``at_ms``/``peak_m``: the first value after it, and the worst."""

    base_m: int
    at_ms: int
    peak_m: int


@dataclass(frozen=True, slots=True)
class Stepping:
    t_ms: int = 0
    value_m: int | None = None
    jump: Jump | None = None


class Step(FlagRule[Stepping]):
    """More than ``step_c`` from one reading to the next, and as much back again soon (requirement 12).

    No cold room does that: the sensor or its cable did. It still counts unless a person says otherwise.
    """

    code = "STEP"

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.step_m = self.data.milli("step_c")
        self.within_ms, self.back_ms = self.data.ms("within_s"), self.data.ms("back_s")

    def begin(self) -> Stepping:
        return Stepping()

    def flag(self, state: Stepping, moment: Moment, about: About) -> tuple[Stepping, Flag | None]:
        value_m, t_ms = moment.samples[0].value_m, moment.t_ms
        if value_m is None:
            return state, None
        last_m, jump = state.value_m, state.jump
        if last_m is None:
            return Stepping(t_ms, value_m), None
        if jump is not None and t_ms - jump.at_ms > self.back_ms:
            jump = None
        if jump is not None:
            if abs(value_m - jump.base_m) <= self.step_m // 2 and abs(value_m - last_m) > self.step_m:
                return Stepping(t_ms, value_m), Flag(jump.at_ms, jump.peak_m, "and_back")
            farther = abs(value_m - jump.base_m) > abs(jump.peak_m - jump.base_m)
            peak_m = value_m if farther else jump.peak_m
            return Stepping(t_ms, value_m, replace(jump, peak_m=peak_m)), None
        if abs(value_m - last_m) > self.step_m and t_ms - state.t_ms <= self.within_ms:
            jump = Jump(last_m, t_ms, value_m)
        return Stepping(t_ms, value_m, jump), None


@dataclass(frozen=True, slots=True)
class Repeating:
    """The value that repeats, since when, how often; and how long the runs of this sensor were before (readings)."""

    value_m: int | None = None
    from_ms: int = 0
    last_ms: int = 0
    count: int = 0
    stuck: bool = False
    usual: Ring = ()


class Stuck(FlagRule[Repeating]):
    """One value far longer than this sensor ever repeats itself. What usual is, it learns from its own past runs."""

    code = "STUCK"

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.min_readings, self.min_ms = self.data.whole("min_readings"), self.data.ms("min_s")
        self.times_usual, self.usual_runs = self.data.whole("times_usual"), self.data.whole("usual_runs")
        self.known_runs = self.data.whole("known_runs")
        self.new_readings, self.new_ms = self.data.whole("new_readings"), self.data.ms("new_s")

    def begin(self) -> Repeating:
        return Repeating()

    def flag(self, state: Repeating, moment: Moment, about: About) -> tuple[Repeating, Flag | None]:
        value_m, t_ms = moment.samples[0].value_m, moment.t_ms
        if value_m is None:
            return state, None
        if value_m != state.value_m or t_ms - state.last_ms > self.min_ms:
            usual = state.usual
            if state.count and not state.stuck:
                usual = _pushed(usual, state.count, self.usual_runs)
            return Repeating(value_m, t_ms, t_ms, 1, usual=usual), None
        state = Repeating(value_m, state.from_ms, t_ms, state.count + 1, state.stuck, state.usual)
        if not state.stuck and not self._too_long(state):
            return state, None
        return replace(state, stuck=True), Flag(state.from_ms, value_m)

    def _too_long(self, state: Repeating) -> bool:
        lasted_ms = state.last_ms - state.from_ms
        if len(state.usual) < self.known_runs:
            return state.count >= self.new_readings and lasted_ms >= self.new_ms
        need = max(self.min_readings, self.times_usual * max(state.usual))
        return state.count >= need and lasted_ms >= self.min_ms


@dataclass(frozen=True, slots=True)
class Shaking:
    """The last two values; the last second differences; medians of earlier, calm blocks of them."""

    last: tuple[tuple[int, int], ...] = ()
    bends: Ring = ()
    in_block: int = 0
    usual: Ring = ()


class Noise(FlagRule[Shaking]):
    """The values jump about more than this sensor's own past, measured by second differences.

    A second difference a - 2b + c takes warming, cooling and a thermostat's slow wave out and leaves the noise; the
    median over ``window`` of them does not see a door or two. Silent until the sensor's usual noise is known, except
    for noise that no refrigerator makes (``always_c``).
    """

    code = "NOISE"

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.floor_m, self.always_m = self.data.milli("floor_c"), self.data.milli("always_c")
        self.times_usual, self.window = self.data.whole("times_usual"), self.data.whole("window")
        self.known_blocks, self.usual_blocks = self.data.whole("known_blocks"), self.data.whole("usual_blocks")

    def begin(self) -> Shaking:
        return Shaking()

    def flag(self, state: Shaking, moment: Moment, about: About) -> tuple[Shaking, Flag | None]:
        value_m, t_ms = moment.samples[0].value_m, moment.t_ms
        if value_m is None:
            return state, None
        here = (t_ms, value_m)
        if len(state.last) < 2:
            return replace(state, last=(*state.last, here)), None
        (a_ms, a), (b_ms, b) = state.last
        last, bends = ((b_ms, b), here), state.bends
        first_ms, second_ms = b_ms - a_ms, t_ms - b_ms
        if max(first_ms, second_ms) > 2 * min(first_ms, second_ms):
            return Shaking(last, bends, state.in_block, state.usual), None  # a gap: no bend can be told
        bends = _pushed(bends, abs(a - 2 * b + value_m), self.window)
        state = Shaking(last, bends, state.in_block + 1, state.usual)
        if len(bends) < self.window:
            return state, None
        now_m = median_high(bends)
        if self._too_much(now_m, state.usual):
            return replace(state, in_block=0), Flag(t_ms)
        if state.in_block >= self.window:
            state = replace(state, in_block=0, usual=_pushed(state.usual, now_m, self.usual_blocks))
        return state, None

    def _too_much(self, now_m: int, usual: Ring) -> bool:
        if len(usual) < self.known_blocks:
            return now_m > self.always_m
        return now_m > max(self.floor_m, self.times_usual * max(usual))


class BatteryLow(FlagRule[bool]):
    """The battery is low; over when it was changed."""

    code = "BATTERY_LOW"
    quantities = frozenset({"battery_percent"})

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.low_m, self.clear_m = self.data.milli("low_percent"), self.data.milli("clear_percent")

    def begin(self) -> bool:
        return False

    def flag(self, state: bool, moment: Moment, about: About) -> tuple[bool, Flag | None]:
        sample = moment.samples[0]
        if sample.low_m is None:
            return state, Flag(moment.t_ms) if state else None
        low = sample.low_m <= self.low_m or (state and sample.low_m < self.clear_m)
        if not low:
            return False, None
        return True, Flag(moment.t_ms, details=(("percent", str(sample.low_m // 1000)),))


@dataclass(frozen=True, slots=True)
class Counting:
    """The last device number; of the last moments, which went back (1) and which not; and the last times."""

    seq: int | None = None
    back: Ring = ()
    times: Ring = ()


class ClockBack(FlagRule[Counting]):
    """The logger's clock was set back: its numbers go on while its times repeat a span that it told before.

    Seen in the order of time, numbers that go back (``back_count`` of the last ``back_window``); where a device gives
    none, more readings than its declared interval allows (``crowd_readings`` in less than ``crowd_percent`` of their time).
    """

    code = "CLOCK"

    def __init__(self, thresholds: Thresholds) -> None:
        super().__init__(thresholds)
        self.back_count, self.back_window = self.data.whole("back_count"), self.data.whole("back_window")
        self.readings, self.percent = self.data.whole("crowd_readings"), self.data.whole("crowd_percent")

    def begin(self) -> Counting:
        return Counting()

    def flag(self, state: Counting, moment: Moment, about: About) -> tuple[Counting, Flag | None]:
        sample, t_ms = moment.samples[0], moment.t_ms
        if sample.seq is not None:
            went_back = state.seq is not None and sample.seq < state.seq
            state = Counting(sample.seq, _pushed(state.back, int(went_back), self.back_window))
            found = went_back and sum(state.back) >= self.back_count
            return state, Flag(t_ms, reason="numbers_go_back") if found else None
        times = _pushed(state.times, t_ms, self.readings + 1)
        interval_s = about.device.interval_s
        if interval_s is None or len(times) <= self.readings:
            return Counting(state.seq, state.back, times), None
        allowed_ms = self.readings * interval_s * 1000 * self.percent // 100
        crowded = t_ms - times[0] < allowed_ms
        flag = Flag(times[0], reason="too_many_readings") if crowded else None
        return Counting(state.seq, state.back, times), flag
