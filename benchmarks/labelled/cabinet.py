"""A refrigerator under conditions that change: ``firmware_sim.thermal.step``, with ice and with faults of the cold.

The thermal model is the simulator's, unchanged. Added round it:

* a compressor that is broken gets no current, though the room has mains;
* a thermostat that somebody turned is another set point;
* ice (an ice-lined refrigerator): while no cold is made, the ice takes up the heat that leaks in, and the air goes to
  ``plateau_c`` instead of to the room's temperature; each degree-second of leak melts some, and a running compressor
  makes it anew (``ems-data-simulator``'s holdover, cold-chain 1.5: t = C_ice M_ice / (C_leak (T_ext - T_int)));
* heat put in at once: warm stock, or a defrost heater.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from firmware_sim.thermal import Air, Equipment, ambient_at, step

GRID_S = 30


@dataclass(frozen=True, slots=True)
class Conditions:
    """What holds at one instant. ``heat_c_s``: degrees a second that something warm adds."""

    mains_on: bool = True
    compressor_ok: bool = True
    door_open: bool = False
    setpoint_shift_c: float = 0.0
    heat_c_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Cabinet:
    """An appliance. ``ice_c_s`` 0: none; else the degree-seconds of leak that its full ice takes up."""

    equipment: Equipment
    plateau_c: float = 5.0
    ice_c_s: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """One grid point: the air and the probe, and how much ice is left (degree-seconds)."""

    air: Air
    ice_c_s: float


class History:
    """All grid points of a run. Times are seconds from the run's beginning."""

    def __init__(
        self, cabinet: Cabinet, first: Air, conditions: Callable[[float], Conditions], length_s: float
    ) -> None:
        self.cabinet = cabinet
        self.conditions = conditions
        self._states = [State(first, cabinet.ice_c_s)]
        for i in range(math.ceil(length_s / GRID_S)):
            at_s = float(i * GRID_S)
            self._states.append(_next(cabinet, self._states[-1], conditions(at_s), at_s))

    def at(self, at_s: float) -> State:
        """The last grid point not after ``at_s``."""
        return self._states[min(len(self._states) - 1, max(0, int(at_s // GRID_S)))]

    def crosses_s(self, at_s: float, limit_c: float, horizon_s: float) -> float | None:
        """When the probe, without noise, first passes the limit if the conditions of ``at_s`` stay as they are.

        None: not within the horizon. The room goes on with its day.
        """
        state, now = self.at(at_s), self.conditions(at_s)
        then_s = at_s // GRID_S * GRID_S
        while then_s < at_s + horizon_s:
            if state.air.probe_c > limit_c:
                return max(at_s, then_s)
            state = _next(self.cabinet, state, now, then_s)
            then_s += GRID_S
        return None

    def probe_c(self, times_s: Sequence[float]) -> list[float]:
        return [self.at(t).air.probe_c for t in times_s]


@lru_cache(maxsize=64)
def _turned(unit: Equipment, shift_c: float) -> Equipment:
    return replace(unit, setpoint_c=unit.setpoint_c + shift_c)


def _next(cabinet: Cabinet, state: State, now: Conditions, at_s: float) -> State:
    unit = _turned(cabinet.equipment, now.setpoint_shift_c) if now.setpoint_shift_c else cabinet.equipment
    room_c = ambient_at(unit, at_s)
    powered = now.mains_on and now.compressor_ok
    ice_c_s, room_felt_c = state.ice_c_s, room_c
    if cabinet.ice_c_s and not powered and not now.door_open and ice_c_s > 0:
        room_felt_c = cabinet.plateau_c
        ice_c_s = max(0.0, ice_c_s - max(0.0, room_c - state.air.air_c) * GRID_S)
    air = step(unit, state.air, room_felt_c, powered, now.door_open, GRID_S)
    if cabinet.ice_c_s and powered and air.compressor_on:
        ice_c_s = min(cabinet.ice_c_s, ice_c_s + unit.cooling_c * GRID_S * 0.3)
    if now.heat_c_s:
        air = replace(air, air_c=air.air_c + now.heat_c_s * GRID_S)
    return State(air, ice_c_s)
