"""What happens on the virtual site, as data: who measures what, what breaks when, what is weighed.

Times are virtual seconds after t0. The story, told at 15-minute sampling (the period of WHO PQS E006/DS01):

* 00:30  the mains of refrigerator 1 fail; it warms above 8 degrees within the hour and stays there
* 11:30+ ten hours above the limit have been shown by readings: HEAT (cold-chain requirement 1)
* 12:40  the mains are back
* meanwhile a waste bag is weighed, and ``--kills`` shoots the edge and ingest in the middle
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

HOUR_S = 3600
SAMPLE_S = 900


@dataclass(frozen=True, slots=True)
class Load:
    """A bag on a scale: put there at ``at_s`` for ``hold_s``."""

    device: str
    at_s: int
    mass_kg: str
    hold_s: int = 1800


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
                for load, bag in zip(self.loads, bags, strict=True)
            ],
        }


def thin_line(seed: int, speed: float, t0_ms: int, *, kills: bool) -> Scenario:
    """One refrigerator with a BTHome logger and one scale: the shortest whole line."""
    rng = random.Random(seed)  # noqa: S311  (a story, not a secret)
    mass_kg = f"{rng.randrange(2000, 6000, 5) / 1000:.3f}"
    return Scenario(
        seed=seed,
        speed=speed,
        t0_ms=t0_ms,
        end_s=13 * HOUR_S,
        equipment=({"id": "fridge-1", "setpoint_c": 4.5, "ambient_c": 31},),
        devices=(
            {
                "serial": "BT-0001",
                "kind": "bthome",
                "address": "A4:C1:38:00:00:01",
                "equipment": "fridge-1",
                "interval_s": SAMPLE_S,
            },
            {
                "serial": "SC-0001",
                "kind": "scale_ascii",
                "capacity_kg": 15,
                "e_kg": "0.005",
                "rate_hz": 5,
                "baud": 9600,
            },
        ),
        faults=({"at_s": HOUR_S // 2, "do": "mains_off", "equipment": "fridge-1", "for_s": 12 * HOUR_S + 600},),
        loads=(Load("SC-0001", 2 * HOUR_S + rng.randrange(600), mass_kg),),
        kills=_kills(rng) if kills else (),
    )


def _kills(rng: random.Random) -> tuple[Kill, ...]:
    """Three shots at the edge and three at ingest, at random times of the hours above the limit."""
    shots = [Kill(rng.randrange(3 * HOUR_S, 11 * HOUR_S), name) for name in ("edge", "ingest") * 3]
    return tuple(sorted(shots, key=lambda k: k.at_s))
