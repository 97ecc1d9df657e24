"""When to say something, what, and when to be silent."""

from __future__ import annotations

from alerts.forecast import curve
from alerts.forecast.holdover import Expected, expected
from alerts.forecast.model import CODE, Basis, Forecast, Readings, Silence, Situation
from alerts.rules.facts import degrees, milli

MIN = 60_000
WINDOW_MS = 180 * MIN  # of a rise no more than this is looked at: what was before teaches little of now
SETTLE_MS = 10 * MIN  # after a door or mains changed: air and probe follow late
LEAST_READINGS = 4
LEAST_SPAN_MS = 20 * MIN
LEAST_SPAN_ON_MS = 30 * MIN  # with mains on: warm stock that was put in rises as steeply, and is over by then
LEAST_RISE_M = 400
SIGMAS_OF_RISE = 5  # a rise smaller than the noise makes is none
USUAL_MARGIN_M = 300
SIGMAS_OF_USUAL = 3
MOST_ERROR_C = 0.35
SLOWEST_LATE = 0.55  # the second half of the rise against the first
MOST_SPANS = 6.0  # not further ahead than this many times the rise that was seen
FASTEST_LATE = 2.5  # a rise that gathers speed (the ice is gone, the probe follows late): only its end counts
SLOWEST_TAU_S = 10 * 3600.0  # a slower approach to the room is held by ice or a load that may yet end: 0037
FURTHEST_MIN = 4 * 60  # by a curve; the ice and the day's course of the room lie beyond
WIDEST = 4.0  # latest / earliest, when it is more than an hour
MODEL_LOW, MODEL_HIGH = 0.72, 1.20  # what no fit knows: ice that ends, warm stock, a day's course of the room
BAND_MIN = 5


def forecast(situation: Situation, now_ms: int) -> Forecast | None:
    """What lies ahead if nothing changes; None when it cannot be good (``look`` says why)."""
    found = look(situation, now_ms)
    return found if isinstance(found, Forecast) else None


def look(situation: Situation, now_ms: int) -> Forecast | Silence:
    """The forecast, or the reason for silence."""
    s = situation
    readings = tuple(r for r in s.readings if r[0] <= now_ms)
    if not readings or now_ms - readings[-1][0] > max(2 * s.interval_ms, 16 * MIN):
        return Silence.NO_READINGS
    limit_m = milli(s.limit_c)
    newest_m = sorted(v for _, v in readings[-3:])[len(readings[-3:]) // 2]
    if readings[-1][1] > limit_m:
        return Silence.ABOVE
    if s.door_open or (s.door_ms is not None and now_ms - s.door_ms < SETTLE_MS):
        return Silence.DOOR  # an open door leads to no temperature that a curve of the closed one would know
    by_curve = _by_curve(s, readings, newest_m, now_ms)
    before = _before(s, limit_m, newest_m, now_ms)
    if before is None:
        return by_curve
    basis, span = before
    if isinstance(by_curve, Forecast) and by_curve.high_min * MIN >= span.low_ms:
        return by_curve  # both say the same, and the curve says it more exactly
    return _made(s, span.low_ms, span.likely_ms, span.high_ms, basis, readings[-1][1], now_ms)


def _before(s: Situation, limit_m: int, newest_m: int, now_ms: int) -> tuple[Basis, Expected] | None:
    """What is known of this cut from before it: the appliance's own word, else the cuts before."""
    if s.mains_off_ms is None:
        return None
    if s.hold_until_ms is not None and s.hold_until_ms > now_ms:
        left = float(s.hold_until_ms - now_ms)
        return Basis.HOLD, Expected(left * 0.6, left, left * 1.4)
    seen = expected(s.holdovers, limit_m, s.mains_off_ms, now_ms, newest_m)
    return None if seen is None else (Basis.HOLDOVER, seen)


def _by_curve(s: Situation, readings: Readings, newest_m: int, now_ms: int) -> Forecast | Silence:
    since = _since_change(s, readings, now_ms)
    rise = since[_lowest(since) :]
    noise_m = noise(rise)
    if s.mains_off_ms is None:
        if s.mains_on_ms is not None and now_ms - s.mains_on_ms < 3 * SETTLE_MS:
            return Silence.POWER_BACK
        margin_m = max(USUAL_MARGIN_M, SIGMAS_OF_USUAL * noise_m)
        if s.usual_high_m is None or newest_m <= s.usual_high_m + margin_m:
            return Silence.USUAL
    least_ms = LEAST_SPAN_MS if s.mains_off_ms is not None else LEAST_SPAN_ON_MS
    if not _enough(rise, least_ms):
        return Silence.NOT_RISING if _enough(since, least_ms) else Silence.TOO_FEW
    best: Forecast | Silence = Silence.UNEVEN
    while _enough(rise, least_ms):
        best = _of_rise(s, rise, noise_m, now_ms)
        if best is not Silence.UNEVEN:
            return best
        rise = rise[len(rise) // 2 :]
    return best


def noise(readings: Readings) -> float:
    """The sensor's noise, learned from the readings (what a certificate states is no noise): the median bend between
    three neighbours, scaled to a standard deviation. A smooth curve bends little between neighbours.
    """
    values = [v for _, v in readings]
    bends = sorted(abs(a - 2 * b + c) for a, b, c in zip(values, values[1:], values[2:], strict=False))
    return 1.4826 * bends[len(bends) // 2] / 6**0.5 if bends else 0.0


def _enough(rise: Readings, least_ms: int) -> bool:
    return len(rise) >= LEAST_READINGS and rise[-1][0] - rise[0][0] >= least_ms


def _since_change(s: Situation, readings: Readings, now_ms: int) -> Readings:
    """The readings since the last change of door or mains."""
    begin = now_ms - WINDOW_MS
    if s.mains_off_ms is not None:
        begin = max(begin, s.mains_off_ms)
    if s.door_ms is not None:
        begin = max(begin, s.door_ms + SETTLE_MS)
    return tuple(r for r in readings if r[0] >= begin)


def _lowest(readings: Readings) -> int:
    """Where the rise begins: the last of the coldest."""
    return min(range(len(readings)), key=lambda i: (readings[i][1], -i), default=0)


def _of_rise(s: Situation, rise: Readings, noise_m: float, now_ms: int) -> Forecast | Silence:
    room_c = None if s.room_c is None else float(s.room_c)
    limit_c = float(s.limit_c)
    if room_c is not None and room_c < limit_c + 2:
        return Silence.COLD_ROOM
    if rise[-1][1] - rise[0][1] < max(LEAST_RISE_M, SIGMAS_OF_RISE * noise_m):
        return Silence.NOT_RISING
    start_ms = rise[0][0]
    made = curve.fit([(t - start_ms) / 1000 for t, _ in rise], [v / 1000 for _, v in rise], limit_c, room_c)
    if made is None:
        return Silence.NOT_RISING
    if made.error_c > max(MOST_ERROR_C, 2.5 * noise_m / 1000) or made.late_over_early > FASTEST_LATE:
        return Silence.UNEVEN
    if made.late_over_early < SLOWEST_LATE:
        return Silence.LEVELLING
    if made.tau_s > SLOWEST_TAU_S:
        return Silence.HELD
    if made.likely_s > MOST_SPANS * (rise[-1][0] - start_ms) / 1000:
        return Silence.TOO_FAR
    age_ms = now_ms - rise[-1][0]
    low, likely, high = (x * 1000 - age_ms for x in (made.low_s, made.likely_s, made.high_s))
    return _made(s, low * MODEL_LOW, likely, high * MODEL_HIGH, Basis.CURVE, rise[-1][1], now_ms)


def _made(
    s: Situation, low_ms: float, likely_ms: float, high_ms: float, basis: Basis, value_m: int, now_ms: int
) -> Forecast | Silence:
    likely_min = max(0, round(likely_ms / MIN))
    low_min = max(0, min(round(low_ms / MIN), likely_min - BAND_MIN))
    high_min = max(round(high_ms / MIN), likely_min + BAND_MIN)
    if basis is Basis.CURVE and likely_min > FURTHEST_MIN:
        return Silence.TOO_FAR
    if high_min - low_min > 60 and high_min > WIDEST * max(low_min, 1):
        return Silence.TOO_WIDE
    return Forecast(CODE, s.limit_c, low_min, likely_min, high_min, basis, now_ms, degrees(value_m))
