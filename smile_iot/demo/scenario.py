"""What happens on the virtual site, as data: who measures what, what breaks when, what is weighed.

Times are virtual seconds after t0. The story, told at 15-minute sampling (the period of WHO PQS E006/DS01):

* 00:00  the thermostat of refrigerator 2 is set wrongly: an hour at or below -0.5 degrees is FRZE (requirement 2)
* 00:30  the mains of refrigerator 1 fail; it warms above 8 degrees within the hour and stays there
* 02:45  the logger of the store room, unknown until now, is registered: what it said waits in quarantine and is replayed
* 04:00  the tag in refrigerator 2 is out of radio range for two hours; its memory is read back afterwards
* 11:00  ten hours above the limit have been shown by readings: HEAT (requirement 1)
* 11:40  the mains are back
* meanwhile two bags are weighed, one on a scale that tares, and ``--kills`` shoots the edge and ingest
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

HOUR_S = 3600
SAMPLE_S = 900
LATE_LOGGER, LATE_ROOM = "BT-0002", "room-1"  # nobody registered them when the story begins


@dataclass(frozen=True, slots=True)
class Load:
    """A bag on a scale: put there at ``at_s`` for ``hold_s``. ``mass_kg`` is gross; ``tare_kg`` of it is tared away."""

    device: str
    at_s: int
    mass_kg: str
    hold_s: int = 1800
    tare_kg: str | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL for one of our processes at a virtual second."""

    at_s: int
    program: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything the simulator's plan, the registry and the script share."""

    seed: int
    speed: float
    t0_ms: int
    end_s: int
    equipment: tuple[dict[str, Any], ...]
    devices: tuple[dict[str, Any], ...]
    faults: tuple[dict[str, Any], ...]
    loads: tuple[Load, ...]
    kills: tuple[Kill, ...]

    @property
    def end_ms(self) -> int:
        return self.t0_ms + self.end_s * 1000

    def plan(self, m0_ns: int, then_speed: float, bags: Sequence[str]) -> dict[str, Any]:
        """The plan of ``python -m firmware_sim`` (``firmware_sim/README.md``); ``bags``: a label for each load."""
        return {
            "seed": self.seed,
            "clock": {
                "t0_ms": self.t0_ms,
                "m0_ns": m0_ns,
                "speed": self.speed,
                "until_s": self.end_s,
                "then_speed": then_speed,
            },
            "equipment": list(self.equipment),
            "devices": list(self.devices),
            "faults": list(self.faults),
            "loads": [
                {"at_s": load.at_s, "device": load.device, "mass_kg": load.mass_kg, "hold_s": load.hold_s, "bag": bag}
                | ({} if load.tare_kg is None else {"tare_kg": load.tare_kg})
                for load, bag in zip(self.loads, bags, strict=True)
            ],
        }


def whole_site(seed: int, speed: float, t0_ms: int, *, kills: bool) -> Scenario:
    """Two refrigerators, a freezer and two scales; each device speaks another language."""
    rng = random.Random(seed)  # noqa: S311  (a story, not a secret)
    first_kg, second_kg = (f"{rng.randrange(2000, 6000, 5) / 1000:.3f}" for _ in range(2))
    return Scenario(
        seed=seed,
        speed=speed,
        t0_ms=t0_ms,
        end_s=12 * HOUR_S,
        equipment=(
            {"id": "fridge-1", "setpoint_c": 4.5, "ambient_c": 31},
            {"id": "fridge-2", "setpoint_c": -2.5, "ambient_c": 30},
            {"id": "freezer-1", "setpoint_c": -20, "ambient_c": 30, "cooling_c": 80},
            {"id": LATE_ROOM, "setpoint_c": 25, "ambient_c": 29},
        ),
        devices=(
            {"serial": "BT-0001", "kind": "bthome", "address": "A4:C1:38:00:00:01"} | _in("fridge-1"),
            {"serial": "RV-0001", "kind": "ruuvi", "address": "C6:01:02:03:04:05"} | _in("fridge-2"),
            {"serial": "MB-0001", "kind": "modbus"} | _in("freezer-1"),
            {"serial": LATE_LOGGER, "kind": "bthome", "address": "A4:C1:38:00:00:02"} | _in(LATE_ROOM),
            {"serial": "SC-0001", "kind": "scale_ascii"} | _SCALE,
            {"serial": "SC-0002", "kind": "mt_sics"} | _SCALE,
        ),
        faults=(
            {"at_s": HOUR_S // 2, "do": "mains_off", "equipment": "fridge-1", "for_s": 11 * HOUR_S + 600},
            {"at_s": 4 * HOUR_S, "do": "out_of_range", "device": "RV-0001", "for_s": 2 * HOUR_S},
        ),
        loads=(
            Load("SC-0001", 2 * HOUR_S + rng.randrange(600), first_kg),
            Load("SC-0002", 3 * HOUR_S + rng.randrange(600), second_kg, tare_kg="0.350"),
        ),
        kills=_kills(rng) if kills else (),
    )


_SCALE: dict[str, Any] = {"capacity_kg": 15, "e_kg": "0.005", "rate_hz": 5, "baud": 9600}


def _in(equipment: str) -> dict[str, Any]:
    return {"equipment": equipment, "interval_s": SAMPLE_S}


def _kills(rng: random.Random) -> tuple[Kill, ...]:
    """Three shots at the edge and three at ingest, at random times of the hours above the limit."""
    shots = [Kill(rng.randrange(3 * HOUR_S, 11 * HOUR_S), name) for name in ("edge", "ingest") * 3]
    return tuple(sorted(shots, key=lambda k: k.at_s))
