"""What must be remembered of one equipment to forecast: a few hours of readings, its usual cycle, its power cuts.

Bounded: 3 hours of readings a stream, 48 hourly maxima, 8 power cuts of at most 64 points. Fed with facts in any
order; old facts that come late go into what they still can change. No finding rests on it, so that it is not the same
for every order of arrival matters to nobody: a forecast is forgotten with the next one.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from statistics import median

from alerts.forecast.decide import WINDOW_MS, look
from alerts.forecast.holdover import KEEP, Holdover, holdover
from alerts.forecast.model import Forecast, Silence, Situation
from alerts.rules.facts import ReadingFact, milli, value_of
from alerts.rules.limits import StreamSettings
from telemetry.quantities import parse_stream_id

HOUR_MS = 3_600_000
USUAL_HOURS = 48
LEAST_HOURS = 8
RECENT_HOURS = 2  # of the rise itself, not of what is usual
USUAL_SHARE = 0.9
MOST_READINGS = 240
MOST_CUT_READINGS = 256
ROOM_FRESH_MS = 2 * HOUR_MS
UNKNOWN = StreamSettings()
MAINS = frozenset({"mains_power_on", "mains_available_s"})  # DS01's SVA: none in a period is no mains
DOOR = frozenset({"door_open", "door_open_s"})
QUANTITIES = frozenset({"temperature_c", "ambient_temperature_c", "holdover_d"}) | MAINS | DOOR
HOLD_KNOWN_MS = 24 * HOUR_MS  # a HOLD told longer before the cut says nothing of this one


@dataclass(slots=True)
class _Switch:
    """A thing that is on or off, by samples: the first and the last of each run of equal ones, the newest runs only."""

    samples: list[tuple[int, bool]] = field(default_factory=list)

    def add(self, t_ms: int, on: bool) -> None:
        i = bisect_left(self.samples, (t_ms, False))
        if i < len(self.samples) and self.samples[i][0] == t_ms:
            return
        self.samples.insert(i, (t_ms, on))
        for k in (i + 1, i, i - 1):
            if (
                0 < k < len(self.samples) - 1
                and self.samples[k - 1][1] == self.samples[k][1] == self.samples[k + 1][1]
            ):
                del self.samples[k]
        del self.samples[:-64]

    def now(self, now_ms: int) -> tuple[bool, int, bool] | None:
        """(on, since when by samples, whether a change to it was seen); None before the first sample."""
        known = [s for s in self.samples if s[0] <= now_ms]
        if not known:
            return None
        since_ms, on = known[-1]
        for t_ms, was in reversed(known):
            if was is not on:
                return on, since_ms, True
            since_ms = t_ms
        return on, since_ms, False


@dataclass(slots=True)
class _Stream:
    """One thermometer."""

    readings: list[tuple[int, int]] = field(default_factory=list)
    hourly: dict[int, int] = field(default_factory=dict)
    cut: list[tuple[int, int]] = field(default_factory=list)
    holdovers: list[Holdover] = field(default_factory=list)

    def add(self, t_ms: int, value_m: int, cut_since_ms: int | None) -> None:
        at = (t_ms, value_m)
        i = bisect_left(self.readings, (t_ms, -(1 << 40)))
        if i < len(self.readings) and self.readings[i][0] == t_ms:
            self.readings[i] = max(at, self.readings[i])  # of a conflict the warmer
        else:
            self.readings.insert(i, at)
        newest_ms = self.readings[-1][0]
        while len(self.readings) > MOST_READINGS or self.readings[0][0] < newest_ms - WINDOW_MS:
            del self.readings[0]
        hour = t_ms // HOUR_MS
        self.hourly[hour] = max(value_m, self.hourly.get(hour, value_m))
        if len(self.hourly) > USUAL_HOURS + RECENT_HOURS + 2:
            for old in [h for h in self.hourly if h < newest_ms // HOUR_MS - USUAL_HOURS - RECENT_HOURS]:
                del self.hourly[old]
        if cut_since_ms is not None and t_ms >= cut_since_ms:
            insort(self.cut, at)
            if len(self.cut) > MOST_CUT_READINGS:
                del self.cut[1::2]

    def usual_high_m(self, limit_m: int, now_ms: int) -> int | None:
        """The warmest of the usual cycle: nine tenths of the hours of two days, in range, stayed below it."""
        newest = now_ms // HOUR_MS - RECENT_HOURS
        hours = [v for h, v in self.hourly.items() if newest - USUAL_HOURS <= h < newest]
        inside = sorted(v for v in hours if v <= limit_m)
        if len(inside) < max(LEAST_HOURS, len(hours) / 2):
            return None
        return inside[min(len(inside) - 1, int(USUAL_SHARE * len(inside)))]

    def interval_ms(self) -> int:
        last = [b[0] - a[0] for a, b in pairwise(self.readings[-17:])]
        return int(median(last)) if last else 900_000

    def end_cut(self, began_ms: int, ended_ms: int, limit_m: int) -> None:
        made = holdover(self.cut, began_ms, ended_ms, limit_m)
        self.cut = []
        if made is not None:
            self.remember(made)

    def remember(self, made: Holdover) -> None:
        """Of a cut that is told twice (replayed from the facts) the newer telling stands."""
        others = [h for h in self.holdovers if h.ended_ms <= made.began_ms or made.ended_ms <= h.began_ms]
        self.holdovers = sorted([*others, made], key=lambda h: h.began_ms)[-KEEP:]


class Watch:
    """The memory of one equipment; ``limit_c`` is the upper end of its range (what it holds below in a power cut)."""

    def __init__(self, limit_c: Decimal) -> None:
        self.limit_c = limit_c
        self._streams: dict[str, _Stream] = {}
        self._mains = _Switch()
        self._door = _Switch()
        self._room: tuple[int, int] | None = None
        self._hold: tuple[int, int] | None = None
        self._cut_since_ms: int | None = None
        self._newest_ms = 0
        self._quantity: dict[str, str] = {}

    def streams(self) -> list[str]:
        """The thermometers that spoke."""
        return sorted(self._streams)

    def holdovers(self) -> list[tuple[str, Holdover]]:
        """(stream, power cut) of all that is remembered, for a shell to keep."""
        return [(name, h) for name in self.streams() for h in self._streams[name].holdovers]

    def remember(self, known: Iterable[tuple[str, Holdover]]) -> None:
        """Give back what ``holdovers`` gave."""
        for name, made in known:
            self._streams.setdefault(name, _Stream()).remember(made)

    def add(self, facts: Iterable[ReadingFact]) -> None:
        """Take in facts of this equipment, of any quantity; best in time order."""
        for fact in facts:
            quantity = self._quantity.get(fact.stream_id)
            if quantity is None:
                quantity = self._quantity[fact.stream_id] = parse_stream_id(fact.stream_id).quantity
            value_m = value_of(fact) if quantity in QUANTITIES else None
            if value_m is None:
                continue
            self._newest_ms = max(self._newest_ms, fact.t_ms)
            match quantity:
                case "temperature_c":
                    self._streams.setdefault(fact.stream_id, _Stream()).add(fact.t_ms, value_m, self._cut_since_ms)
                case "ambient_temperature_c":
                    self._room = max((fact.t_ms, value_m), self._room or (0, 0))
                case "holdover_d":
                    self._hold = max((fact.t_ms, value_m), self._hold or (0, 0))
                case _ if quantity in DOOR:
                    self._door.add(fact.t_ms, value_m != 0)
                case _:
                    self._mains.add(fact.t_ms, value_m != 0)
                    self._follow_mains()

    def _hold_until_ms(self, mains_off_ms: int | None) -> int | None:
        """Until when the appliance says that it holds: DS01's HOLD counts from its record, or from the cut after it."""
        if mains_off_ms is None or self._hold is None or self._hold[0] < mains_off_ms - HOLD_KNOWN_MS:
            return None
        told_ms, thousandths_d = self._hold
        return max(told_ms, mains_off_ms) + thousandths_d * 24 * HOUR_MS // 1000

    def _follow_mains(self) -> None:
        found = self._mains.now(self._newest_ms)
        if found is None:
            return
        on, since_ms, seen = found
        if not on and seen and self._cut_since_ms is None:
            self._cut_since_ms = since_ms
            for stream in self._streams.values():
                stream.cut = [r for r in stream.readings if r[0] >= since_ms]
        elif on and self._cut_since_ms is not None:
            for stream in self._streams.values():
                stream.end_cut(self._cut_since_ms, since_ms, milli(self.limit_c))
            self._cut_since_ms = None

    def situation(self, stream_id: str, now_ms: int, settings: StreamSettings = UNKNOWN) -> Situation:
        """What one stream's forecast may know now. Raises KeyError for a stream that never spoke."""
        stream = self._streams[stream_id]
        mains, door = self._mains.now(now_ms), self._door.now(now_ms)
        room = self._room if self._room is not None and now_ms - self._room[0] <= ROOM_FRESH_MS else None
        off_ms = mains[1] if mains is not None and not mains[0] else None
        return Situation(
            tuple(stream.readings),
            self.limit_c,
            stream.interval_ms() if settings.interval_s is None else settings.interval_s * 1000,
            stream.usual_high_m(milli(self.limit_c), now_ms),
            off_ms,
            mains[1] if mains is not None and mains[0] and mains[2] else None,
            door[1] if door is not None and (door[2] or door[0]) else None,
            door is not None and door[0],
            None if room is None else Decimal(room[1]).scaleb(-3),
            tuple(stream.holdovers),
            self._hold_until_ms(off_ms),
        )

    def look(self, now_ms: int, settings: Mapping[str, StreamSettings] | None = None) -> Forecast | Silence:
        """The equipment's forecast: the earliest of its streams, when no other fresh one says that all is as usual."""
        known = settings or {}
        found = [look(self.situation(s, now_ms, known.get(s, UNKNOWN)), now_ms) for s in self.streams()]
        made = [f for f in found if isinstance(f, Forecast)]
        quiet = [f for f in found if isinstance(f, Silence)]
        if not made:
            return min(quiet, key=_weight, default=Silence.NO_READINGS)
        if Silence.ABOVE in quiet:
            return Silence.ABOVE
        if Silence.USUAL in quiet or Silence.NOT_RISING in quiet:
            return Silence.DISAGREE
        return min(made, key=lambda f: (f.likely_min, f.low_min))


def _weight(silence: Silence) -> int:
    """Of several reasons the one that says most: a stream without readings says least."""
    return list(Silence).index(silence) if silence is not Silence.NO_READINGS else len(Silence)
