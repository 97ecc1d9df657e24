"""A refrigerator: the air and the probe in it, on a fixed grid of virtual time. Pure, and no clock.

    compressor on/off by a thermostat with hysteresis; heat leaks in from the room all the time, faster with the
    door open:

        T'  = T_eq + (T - T_eq) x exp(-dt / tau)          tau = leak_tau_s, or door_tau_s with the door open
        T_eq = ambient - pull x tau                        pull = cooling_c / leak_tau_s while the compressor runs

    the probe follows the air with a lag of ``probe_tau_s``.

With the defaults a refrigerator at 4.5 C in a 30 C room passes 8 C within an hour of losing mains and creeps to
the room's temperature; the grid (10 s) makes each value a function of (plan, virtual time), whatever the
machine's load.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from firmware_sim.faults import FaultBook, FaultKind

GRID_S = 10


@dataclass(frozen=True, slots=True)
class Equipment:
    """A refrigerator or freezer. Temperatures in C, times in virtual seconds."""

    id: str
    setpoint_c: float
    ambient_c: float
    hysteresis_c: float = 0.8
    leak_tau_s: float = 18_000.0
    door_tau_s: float = 3_600.0
    cooling_c: float = 65.0
    probe_tau_s: float = 120.0
    ambient_swing_c: float = 1.0
    noise_c: float = 0.03


@dataclass(frozen=True, slots=True)
class Air:
    """The state at one grid point."""

    air_c: float
    probe_c: float
    compressor_on: bool


def start(equipment: Equipment, seed: int) -> Air:
    """Somewhere in the thermostat's band, chosen by the seed."""
    chance = random.Random(f"{seed}/{equipment.id}/start")
    air_c = equipment.setpoint_c + equipment.hysteresis_c * chance.uniform(-0.8, 0.8)
    return Air(air_c, air_c, chance.random() < 0.5)


def ambient_at(equipment: Equipment, at_s: float) -> float:
    """The room: warmest in the afternoon of a day that begins at t0."""
    return equipment.ambient_c + equipment.ambient_swing_c * math.sin(2 * math.pi * at_s / 86_400)


def step(equipment: Equipment, air: Air, ambient_c: float, mains_on: bool, door_open: bool, dt_s: float) -> Air:
    """The air ``dt_s`` later."""
    if air.air_c > equipment.setpoint_c + equipment.hysteresis_c:
        wants_cold = True
    elif air.air_c < equipment.setpoint_c - equipment.hysteresis_c:
        wants_cold = False
    else:
        wants_cold = air.compressor_on
    running = wants_cold and mains_on
    tau_s = equipment.door_tau_s if door_open else equipment.leak_tau_s
    pull_c_s = equipment.cooling_c / equipment.leak_tau_s if running else 0.0
    rest_c = ambient_c - pull_c_s * tau_s
    air_c = rest_c + (air.air_c - rest_c) * math.exp(-dt_s / tau_s)
    lag = math.exp(-dt_s / equipment.probe_tau_s) if equipment.probe_tau_s > 0 else 0.0
    return Air(air_c, air_c + (air.probe_c - air_c) * lag, wants_cold)


class ThermalModel:
    """One equipment's history, computed as far as it has been asked for."""

    def __init__(self, equipment: Equipment, seed: int, book: FaultBook) -> None:
        self.equipment = equipment
        self._book = book
        self._grid: list[Air] = [start(equipment, seed)]

    def mains_on(self, at_s: float) -> bool:
        """Is there mains power at this virtual second?"""
        return not self._book.is_on(FaultKind.MAINS_OFF, self.equipment.id, at_s)

    def door_open(self, at_s: float) -> bool:
        """Is the door open at this virtual second?"""
        return self._book.is_on(FaultKind.DOOR_OPEN, self.equipment.id, at_s)

    def at(self, at_s: float) -> Air:
        """The state at the last grid point not after ``at_s`` (before t0: the start)."""
        index = max(0, int(at_s // GRID_S))
        while len(self._grid) <= index:
            then_s = float((len(self._grid) - 1) * GRID_S)
            ambient_c = ambient_at(self.equipment, then_s)
            last = self._grid[-1]
            self._grid.append(
                step(self.equipment, last, ambient_c, self.mains_on(then_s), self.door_open(then_s), GRID_S)
            )
        return self._grid[index]
