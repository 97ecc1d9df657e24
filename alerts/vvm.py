"""Vaccine vial monitors: life used by two published models (cold-chain 2.1 and 6, 21). The eye outranks them.

Model A, the two points WHO/PQS/E006/IN05.3 table 1a fixes for each type: life(T) = d1 exp(E (1/T - 1/T1)).
Model B, Nexleaf's constants (after Goldwood and Diesburg, Vaccine 2018): fraction of life lost per day k exp(-E/T).
Used = sum(dt / life(T)), dt in days. Cold adds almost nothing: a VVM cannot show freezing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from math import log

import numpy as np
import numpy.typing as npt

from alerts.rules.spans import Segment

KELVIN = 273.15
_DAY_S = 86_400
_PLACES = Decimal("0.01")


class Model(StrEnum):
    """``A`` two-point fit, ``B`` Nexleaf's constants (faster, so more careful)."""

    A = "A"
    B = "B"


# type -> ((days, C), (days, C)): the two points of the standard.
POINTS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "VVM2": ((2, 37), (225, 5)),
    "VVM7": ((7, 37), (45, 25)),
    "VVM14": ((14, 37), (90, 25)),
    "VVM30": ((30, 37), (193, 25)),
}
# type -> (k per day, E in kelvin)
NEXLEAF: dict[str, tuple[float, float]] = {
    "VVM2": (1.4422e17, 12429),
    "VVM7": (2.1532e18, 13652),
    "VVM14": (1.0766e18, 13652),
    "VVM30": (5.1131e17, 13657),
}


def rate_per_day(vvm_type: str, model: Model, values_c: Sequence[float]) -> npt.NDArray[np.float64]:
    """Fraction of life lost per day at each temperature. Raises KeyError for a type without published constants."""
    kelvin = np.asarray(values_c, dtype=float) + KELVIN
    if model is Model.B:
        k, energy = NEXLEAF[vvm_type]
        return np.asarray(k * np.exp(-energy / kelvin), dtype=float)
    (d1, c1), (d2, c2) = POINTS[vvm_type]
    t1, t2 = c1 + KELVIN, c2 + KELVIN
    energy = log(d2 / d1) / (1 / t2 - 1 / t1)
    return np.asarray(1 / (d1 * np.exp(energy * (1 / kelvin - 1 / t1))), dtype=float)


def used_fraction(vvm_type: str, model: Model, values_c: Sequence[float], weights_s: Sequence[float]) -> float:
    """Life used by these temperatures held this long. Raises ValueError for unequal lengths."""
    if len(values_c) != len(weights_s):
        raise ValueError(f"{len(values_c)} values, {len(weights_s)} weights")
    if not values_c:
        return 0.0
    return float((rate_per_day(vvm_type, model, values_c) * np.asarray(weights_s, dtype=float) / _DAY_S).sum())


@dataclass(frozen=True, slots=True)
class VvmUse:
    """Life used, in percent with two places, by one model over the known time of a history."""

    vvm_type: str
    model: Model
    used_percent: Decimal


def used(vvm_type: str, made: Iterable[Segment]) -> tuple[VvmUse, ...]:
    """Both models over the known time (of a conflict the warmer value). Unknown time is not in it: say so."""
    known = [(s.high_m / 1000, s.length_ms / 1000) for s in made if s.high_m is not None]
    values, weights = [v for v, _ in known], [w for _, w in known]
    percents = ((m, used_fraction(vvm_type, m, values, weights) * 100) for m in Model)
    return tuple(VvmUse(vvm_type, m, Decimal(p).quantize(_PLACES, ROUND_HALF_EVEN)) for m, p in percents)


def used_percent(vvm_type: str, made: Iterable[Segment]) -> Decimal:
    """The worse of both models, for the verdict."""
    return max(u.used_percent for u in used(vvm_type, made))
