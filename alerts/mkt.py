"""Mean kinetic temperature (USP <1079>, <1079.2>; cold-chain 2.2 and 6, 19). Report only: it never clears anything.

MKT = (dH/R) / -ln( sum(w exp(-dH/(R T))) / sum(w) ), T in kelvin, w the time each value held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np

from alerts.rules.spans import Segment

ENERGY_KJ_MOL = Decimal("83.144")  # USP's default; some devices use 83.0 and say so
GAS_CONSTANT = 8.3144  # J/mol/K
KELVIN = 273.15
WINDOW_2_8_MS = 24 * 3_600_000  # 2-8 C products: 24 h including the excursion
_PLACES = Decimal("0.001")


def mkt_c(
    values_c: Sequence[float], weights_s: Sequence[float], energy_kj_mol: Decimal = ENERGY_KJ_MOL
) -> Decimal | None:
    """Time-weighted MKT in C, three places; None without known time. Raises ValueError for unequal lengths."""
    if len(values_c) != len(weights_s):
        raise ValueError(f"{len(values_c)} values, {len(weights_s)} weights")
    kelvin = np.asarray(values_c, dtype=float) + KELVIN
    weights = np.asarray(weights_s, dtype=float)
    total = weights.sum() if weights.size else 0.0
    if total <= 0:
        return None
    theta = float(energy_kj_mol) * 1000 / GAS_CONSTANT
    # Shifted by the largest exponent: at -80 C the terms alone would leave a double's range.
    exponents = -theta / kelvin
    top = exponents.max()
    mean_log = top + np.log((weights * np.exp(exponents - top)).sum() / total)
    return Decimal(float(-theta / mean_log - KELVIN)).quantize(_PLACES, ROUND_HALF_EVEN)


def _arrays(made: Iterable[Segment]) -> tuple[list[float], list[float]]:
    known = [(s.high_m / 1000, s.length_ms / 1000) for s in made if s.high_m is not None and s.length_ms > 0]
    return [v for v, _ in known], [w for _, w in known]


def mkt_of(made: Iterable[Segment], energy_kj_mol: Decimal = ENERGY_KJ_MOL) -> Decimal | None:
    """MKT over the known time of a history (of a conflict the warmer value)."""
    values, weights = _arrays(made)
    return mkt_c(values, weights, energy_kj_mol)


def sliding_mkt_max(
    made: Sequence[Segment], window_ms: int = WINDOW_2_8_MS, energy_kj_mol: Decimal = ENERGY_KJ_MOL
) -> Decimal | None:
    """The highest MKT of any full window; of a shorter history the MKT of the whole.

    A window is clock time, weighted by what is known in it. Its MKT is highest where it begins or ends at an edge of
    a stretch: between those, rate and known time both change linearly, so their quotient has no maximum inside.
    """
    theta = float(energy_kj_mol) * 1000 / GAS_CONSTANT
    known = [s for s in made if s.high_m is not None and s.length_ms > 0]
    if not known:
        return None
    origin_ms = known[0].from_ms
    starts = np.array([s.from_ms - origin_ms for s in known], dtype=float)
    ends = np.array([s.to_ms - origin_ms for s in known], dtype=float)
    rates = np.exp(-theta / (np.array([s.high_m for s in known], dtype=float) / 1000 + KELVIN))
    # Both sums as functions of time: linear inside a stretch, level in unknown time.
    at = np.column_stack((starts, ends)).ravel()
    time = np.concatenate(([0.0], np.repeat(np.cumsum(ends - starts), 2)[:-1]))
    rate = np.concatenate(([0.0], np.repeat(np.cumsum(rates * (ends - starts)), 2)[:-1]))
    length = min(float(window_ms), ends[-1])
    edges = np.unique(at)
    begin = np.unique(np.concatenate((edges, edges - length)))
    begin = begin[(begin >= 0) & (begin + length <= ends[-1])]
    time_in = np.interp(begin + length, at, time) - np.interp(begin, at, time)
    rate_in = np.interp(begin + length, at, rate) - np.interp(begin, at, rate)
    seen = time_in > 0
    best = float((rate_in[seen] / time_in[seen]).max())
    return Decimal(float(-theta / np.log(best) - KELVIN)).quantize(_PLACES, ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class ExcursionRule:
    """The USP-type rule (cold-chain 6, 20): MKT of any 24 h, peak, and time above, all three must pass."""

    mkt_max_c: Decimal = Decimal(8)
    peak_max_c: Decimal = Decimal(15)
    above_c: Decimal = Decimal(8)
    above_under_s: int = 24 * 3600
    energy_kj_mol: Decimal = ENERGY_KJ_MOL

    def failures(self, made: Sequence[Segment]) -> tuple[str, ...]:
        """Names of the parts that fail (``mkt``, ``peak``, ``time_above``), none when it passes. Blind to a freeze."""
        known = [s for s in made if s.high_m is not None]
        peak = max((s.high_m for s in known if s.high_m is not None), default=0)
        above = sum(s.length_ms for s in known if s.high_m is not None and s.high_m > int(self.above_c * 1000))
        mkt = sliding_mkt_max(made, energy_kj_mol=self.energy_kj_mol)
        failed = (
            ("mkt", mkt is not None and mkt > self.mkt_max_c),
            ("peak", peak > int(self.peak_max_c * 1000)),
            ("time_above", above >= self.above_under_s * 1000),
        )
        return tuple(name for name, bad in failed if bad)
