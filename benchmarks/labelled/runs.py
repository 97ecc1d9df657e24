"""One labelled run from a kind and a seed. All ranges stand here; none was chosen by what our rules make of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from alerts.rules import ReadingFact
from benchmarks.labelled.cabinet import Cabinet, Conditions, History
from benchmarks.labelled.kinds import Cause, FaultLabel, Kind
from benchmarks.labelled.sensors import Sample, SensorFault, read
from firmware_sim.thermal import Air, Equipment, ambient_at

EQUIPMENT, LOGGER, NEIGHBOUR = "F1", "LOG-A", "LOG-B"
T0_MS = 1_767_225_600_000  # 2026-01-01 00:00 UTC
_H = 3600.0
_DAY = 86_400.0
_BESIDE_S = 300  # room, mains, door and battery are said no oftener


@dataclass(frozen=True, slots=True)
class Run:
    """The facts of one equipment with two loggers in it, in time order by the loggers' clocks, and the truth.

    ``sigma_c`` is the stated noise of a healthy sensor, ``interval_s`` what both loggers are set to.
    """

    kind: Kind
    seed: int
    facts: tuple[ReadingFact, ...]
    labels: tuple[FaultLabel, ...]
    sigma_c: Decimal
    interval_s: int
    end_ms: int
    history: History

    def crosses_ms(self, at_ms: int, limit_c: Decimal, horizon_s: float = 48 * _H) -> int | None:
        """When the true temperature of the probe first passes the limit if nothing changes after ``at_ms``."""
        at_s = self.history.crosses_s((at_ms - T0_MS) / 1000, float(limit_c), horizon_s)
        return None if at_s is None else T0_MS + round(at_s * 1000)


def make_run(kind: Kind, seed: int) -> Run:
    """The run of this kind and seed. The same everywhere: chance is seeded with both."""
    chance = random.Random(f"labelled/{kind}/{seed}")
    cabinet = _cabinet(chance)
    interval_s = chance.choice((60, 300, 600, 900))
    sigma_c = chance.choice((Decimal("0.03"), Decimal("0.05"), Decimal("0.10"), Decimal("0.20")))
    resolution_c = chance.choice((Decimal("0.01"), Decimal("0.1")))
    length_s = {Kind.DRIFT: 14, Kind.POWER_CUT: 8}.get(kind, 5) * _DAY
    labels, conditions = _cold(kind, chance, cabinet, length_s)
    first_c = cabinet.equipment.setpoint_c + chance.uniform(-0.8, 0.8) * cabinet.equipment.hysteresis_c
    history = History(cabinet, Air(first_c, first_c, chance.random() < 0.5), conditions, length_s)
    fault = _sensor_fault(kind, chance, length_s)
    if fault is not None:
        labels = (FaultLabel(kind, LOGGER, _ms(fault.from_s), _ms(fault.to_s), fault.size),)
    facts = _facts(history, fault, interval_s, sigma_c, resolution_c, length_s, chance)
    return Run(kind, seed, facts, labels, sigma_c, interval_s, _ms(length_s), history)


def _ms(at_s: float) -> int:
    return T0_MS + round(at_s * 1000)


def _cabinet(chance: random.Random) -> Cabinet:
    """A household-type refrigerator, or (every third) an ice-lined one with 6 to 36 hours of ice."""
    room_c = chance.uniform(22.0, 37.0)
    leak_s = chance.uniform(2.5, 9.0) * _H
    ice = chance.random() < 1 / 3
    unit = Equipment(
        EQUIPMENT,
        setpoint_c=chance.uniform(3.6, 5.8),
        ambient_c=room_c,
        hysteresis_c=chance.uniform(0.3, 1.2),
        leak_tau_s=leak_s,
        door_tau_s=chance.uniform(0.5, 2.0) * _H,
        cooling_c=(room_c - 3.0) * chance.uniform(1.5, 3.0),
        probe_tau_s=chance.uniform(30.0, 900.0),
        ambient_swing_c=chance.uniform(0.5, 4.0),
    )
    plateau_c = unit.setpoint_c + unit.hysteresis_c + chance.uniform(-1.0, 0.6)
    return Cabinet(unit, plateau_c, chance.uniform(6, 36) * _H * (room_c - plateau_c) if ice else 0.0)


# --- the cold ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Window:
    from_s: float
    to_s: float
    size: float = 0.0

    def covers(self, at_s: float) -> bool:
        return self.from_s <= at_s < self.to_s


def _cold(
    kind: Kind, chance: random.Random, cabinet: Cabinet, length_s: float
) -> tuple[tuple[FaultLabel, ...], Callable[[float], Conditions]]:
    """The label of a fault of the equipment, and the conditions at any instant (with what daily use brings)."""
    windows = _fault_windows(kind, chance, cabinet, length_s) if kind.cause is Cause.EQUIPMENT else []
    doors, warm, defrost = _daily_use(chance, length_s)
    labels = tuple(FaultLabel(kind, EQUIPMENT, _ms(w.from_s), _ms(min(w.to_s, length_s)), w.size) for w in windows)
    return labels, partial(_conditions, kind, windows, doors, warm, defrost)


def _conditions(
    kind: Kind,
    windows: list[_Window],
    doors: list[_Window],
    warm: list[_Window],
    defrost: tuple[float, float, float] | None,
    at_s: float,
) -> Conditions:
    fault = next((w for w in windows if w.covers(at_s)), None)
    heat = next((w.size for w in warm if w.covers(at_s)), 0.0)
    mains_on = fault is None or kind not in (Kind.POWER_CUT, Kind.POWER_LONG)
    if defrost is not None and mains_on and at_s % defrost[0] < defrost[1]:
        heat += defrost[2]
    return Conditions(
        mains_on=mains_on,
        compressor_ok=fault is None or kind is not Kind.COMPRESSOR_FAILURE,
        door_open=any(w.covers(at_s) for w in doors) or (fault is not None and kind is Kind.DOOR_LEFT_OPEN),
        setpoint_shift_c=fault.size if fault is not None else 0.0,
        heat_c_s=heat,
    )


def _fault_windows(kind: Kind, chance: random.Random, cabinet: Cabinet, length_s: float) -> list[_Window]:
    begin = chance.uniform(2.0, 2.6) * _DAY
    setpoint_c = cabinet.equipment.setpoint_c
    match kind:
        case Kind.POWER_CUT:
            starts = (begin, begin + chance.uniform(1.3, 1.7) * _DAY, begin + chance.uniform(3.2, 4.0) * _DAY)
            longer = cabinet.ice_c_s / _H / 30 if cabinet.ice_c_s else 0.0
            return [_Window(s, s + (chance.uniform(3, 14) + min(longer, 8)) * _H) for s in starts]
        case Kind.POWER_LONG:
            return [_Window(begin, begin + chance.uniform(26, 34) * _H)]
        case Kind.DOOR_LEFT_OPEN:
            return [_Window(begin, begin + chance.uniform(25, 150) * 60)]
        case Kind.THERMOSTAT_WARM:
            return [_Window(begin, length_s, chance.uniform(9.0, 11.5) - setpoint_c)]
        case Kind.THERMOSTAT_COLD:
            return [_Window(begin, length_s, chance.uniform(-4.0, -2.0) - setpoint_c)]
        case _:
            return [_Window(begin, length_s)]


def _daily_use(
    chance: random.Random, length_s: float
) -> tuple[list[_Window], list[_Window], tuple[float, float, float] | None]:
    """No faults: the door for 10 to 90 seconds, warm stock now and then, and in every fourth unit a defrost heater."""
    doors: list[_Window] = []
    warm: list[_Window] = []
    for day in range(int(length_s // _DAY)):
        for _ in range(chance.randint(0, 5)):
            at_s = day * _DAY + chance.uniform(0, 10) * _H
            doors.append(_Window(at_s, at_s + chance.uniform(10, 90)))
        if chance.random() < 0.25:
            at_s = day * _DAY + chance.uniform(1, 9) * _H
            warm.append(_Window(at_s, at_s + 600, chance.uniform(0.5, 2.0) / 600))
            doors.append(_Window(at_s, at_s + 60))
    defrost = None
    if chance.random() < 0.25:
        defrost = (chance.choice((6, 8, 12)) * _H, chance.uniform(10, 20) * 60, chance.uniform(0.8, 1.8) / 900)
    return doors, warm, defrost


# --- the sensors ------------------------------------------------------------------------------------------


def _sensor_fault(kind: Kind, chance: random.Random, length_s: float) -> SensorFault | None:
    if kind.cause is not Cause.SENSOR:
        return None
    begin = chance.uniform(2.0, 2.6) * _DAY
    sign = chance.choice((-1, 1))
    match kind:
        case Kind.STUCK:
            return SensorFault(kind, begin, begin + chance.uniform(18, 40) * _H, 0.0)
        case Kind.NOISE:
            return SensorFault(kind, begin, begin + chance.uniform(12, 36) * _H, chance.uniform(1.0, 2.0))
        case Kind.STEP:
            return SensorFault(kind, begin, length_s, sign * chance.uniform(2.0, 5.0))
        case Kind.SPIKE:
            return SensorFault(kind, begin, begin + 24 * _H, sign * chance.uniform(16.0, 40.0))
        case Kind.RANGE_BOUND:
            return SensorFault(kind, begin, begin + chance.uniform(3, 12) * _H, chance.choice((-55.0, 60.0)))
        case Kind.DRIFT:
            return SensorFault(kind, begin, length_s, sign * chance.uniform(0.15, 0.4))
        case Kind.CLOCK_STEP:
            return SensorFault(kind, begin, begin + chance.uniform(6, 24) * _H, chance.uniform(2.0, 26.0))
        case _:
            return SensorFault(kind, begin, begin + chance.uniform(6, 30) * _H, 0.0)


def _facts(
    history: History,
    fault: SensorFault | None,
    interval_s: int,
    sigma_c: Decimal,
    resolution_c: Decimal,
    length_s: float,
    chance: random.Random,
) -> tuple[ReadingFact, ...]:
    found: list[ReadingFact] = []
    for serial, trouble, phase_s in ((LOGGER, fault, 0.0), (NEIGHBOUR, None, chance.uniform(0, interval_s))):
        times = [phase_s + i * interval_s for i in range(int((length_s - phase_s) // interval_s))]
        samples = read(times, history.probe_c(times), float(sigma_c), resolution_c, trouble, chance)
        found += [_fact(serial, "temperature_c", s) for s in samples]
    beside_s = max(interval_s, _BESIDE_S)
    times = [float(i * beside_s) for i in range(int(length_s // beside_s))]
    lost = fault if fault is not None and fault.kind is Kind.LOGGER_LOST else None
    low = fault if fault is not None and fault.kind is Kind.BATTERY_LOW else None
    for at_s in times:
        if lost is not None and lost.covers(at_s):
            continue
        now = history.conditions(at_s)
        room_c = ambient_at(history.cabinet.equipment, at_s) + chance.gauss(0.0, 0.3)
        cell = Decimal(4 if low is not None and low.covers(at_s) else 97)
        for quantity, value in (
            ("ambient_temperature_c", Decimal(repr(room_c)).quantize(Decimal("0.1"))),
            ("mains_power_on", Decimal(int(now.mains_on))),
            ("door_open", Decimal(int(now.door_open))),
            ("battery_percent", cell),
        ):
            found.append(_fact(LOGGER, quantity, Sample(at_s, value)))
    return tuple(sorted(found, key=lambda f: (f.t_ms, f.stream_id)))


def _fact(serial: str, quantity: str, sample: Sample) -> ReadingFact:
    return ReadingFact(EQUIPMENT, f"{serial}/{quantity}", _ms(sample.at_s), sample.value_c, sample.quality)
