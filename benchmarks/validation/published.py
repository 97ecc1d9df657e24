"""Numbers that others published: Nexleaf's VVM constants, the standard's life table, USP's and the facts' MKT values.

Sources: facts/cold-chain.md 2.1, 2.2 and 6 (19 to 21), which name theirs.
"""

from __future__ import annotations

from decimal import Decimal

from alerts.mkt import ExcursionRule, mkt_of
from alerts.rules import Segment
from alerts.vvm import Model, rate_per_day, used_fraction
from benchmarks.validation.answers import Answer, number, same

H_MS = 3_600_000
NEXLEAF_37 = {"VVM2": 0.5689053, "VVM7": 0.1646515, "VVM14": 0.08232575, "VVM30": 0.03847373}
LIVES_C = (2.0, 5.0, 8.0, 15.0, 25.0, 30.0, 37.0, 40.0)
LIVES = {  # days to the end point by model A, as cold-chain 2.1 computed them (three digits)
    "VVM2": (371, 225, 138, 45.9, 10.4, 5.16, 2.00, 1.35),
    "VVM7": (2507, 1429, 824, 239, 45.0, 20.4, 7.00, 4.50),
    "VVM14": (5014, 2858, 1649, 478, 90.0, 40.7, 14.0, 8.99),
    "VVM30": (10769, 6137, 3540, 1025, 193, 87.3, 30.0, 19.3),
}
USED = {"VVM2": (83.96, 98.85), "VVM7": (20.41, 25.11), "VVM14": (10.20, 12.56), "VVM30": (4.76, 5.87)}
Parts = tuple[tuple[float, float], ...]
# (hours, C), MKT, parts of the USP-type rule that fail (requirement 20: MKT of 24 h <= 8, peak <= 15, above for < 24 h)
MKTS: tuple[tuple[Parts, float, tuple[str, ...]], ...] = (
    (((24, 5),), 5.000, ()),
    (((20, 5), (4, 15)), 7.705, ()),
    (((21, 5), (3, 15)), 7.107, ()),
    (((18, 4), (6, 14.9)), 8.272, ("mkt",)),
    (((23, 5), (1, 25)), 7.757, ("peak",)),
    (((22, 5), (2, 25)), 9.825, ("mkt", "peak")),
    (((12, 5), (12, 10)), 7.869, ()),
    (((23, 5), (1, -5)), 4.758, ()),
)
ALLOWED_H = ((12.0, 7.92), (15.0, 4.52), (25.0, 1.11))


def history(parts: Parts) -> list[Segment]:
    """(hours, C) one after the other."""
    made, at = [], 0
    for hours, c in parts:
        end = at + round(hours * H_MS)
        made.append(Segment(at, end, round(c * 1000), round(c * 1000)))
        at = end
    return made


def vvm_answers() -> list[Answer]:
    nexleaf = "Nexleaf's test values (cold-chain 2.1)"
    made = [
        number(nexleaf, f"{kind}, life lost a day at 37 C", k, float(rate_per_day(kind, Model.B, [37.0])[0]), 1e-6, 8)
        for kind, k in NEXLEAF_37.items()
    ]
    lost = used_fraction("VVM2", Model.B, [37.0] * 288, [600.0] * 288) * 100
    made.append(number(nexleaf, "VVM2, 288 ten-minute samples at 37 C, % lost", 113.78, lost, 0.005, 2))
    life = "Life table of the two-point fit (cold-chain 2.1)"
    for kind, days in LIVES.items():
        ours = 1 / rate_per_day(kind, Model.A, LIVES_C)
        worst = max(range(len(days)), key=lambda i: abs(ours[i] / days[i] - 1))
        what = f"{kind}, days at {', '.join(f'{c:g}' for c in LIVES_C)} C; furthest at {LIVES_C[worst]:g}"
        made.append(number(life, what, days[worst], float(ours[worst]), days[worst] * 0.006, 2))
    worked = "Worked exposure 30 d at 5, 3 d at 30, 6 h at 37 (req 21)"
    weights = [30 * 86_400.0, 3 * 86_400.0, 6 * 3_600.0]
    for kind, percents in USED.items():
        for model, percent in zip(Model, percents, strict=True):
            ours_percent = used_fraction(kind, model, [5.0, 30.0, 37.0], weights) * 100
            made.append(number(worked, f"{kind}, model {model}, % used", percent, ours_percent, 0.005, 2))
    quarter = used_fraction("VVM2", Model.A, [37.0], [12 * 3600.0]) * 100
    made.append(number("Twelve hours at 37 C (req 21)", "VVM2, model A, % used", 25.0, quarter, 0.005, 2))
    return made


def mkt_answers() -> list[Answer]:
    table, usp = "Worked MKT values (cold-chain 2.2, req 19)", "USP-type rule (req 20)"
    made: list[Answer] = []
    for parts, theirs, fails in MKTS:
        name = " + ".join(f"{h:g} h at {c:g}" for h, c in parts)
        made.append(_mkt(table, name, theirs, parts))
        verdict = " and ".join(fails) or "passes"
        made.append(same(usp, name, verdict, " and ".join(ExcursionRule().failures(history(parts))) or "passes"))
    equal: Parts = ((1, 25), (1, 37), (1, 8))
    made.append(_mkt("Published check value 29.2 (cold-chain 2.2)", "equal parts at 25, 37 and 8", 29.223, equal))
    for hot, hours in ALLOWED_H:
        just = [mkt_of(history(((24 - h, 5), (h, hot)))) for h in (hours - 0.02, hours + 0.02)]
        said = "passes 8 between" if just[0] is not None and just[1] is not None and just[0] <= 8 < just[1] else just
        made.append(
            same(
                "Time allowed in 24 h (cold-chain 2.2)", f"{hours} h at {hot:g} C, -+0.02 h", "passes 8 between", said
            )
        )
    return made


def _mkt(subject: str, name: str, theirs: float, parts: Parts) -> Answer:
    ours = mkt_of(history(parts), Decimal("83.144"))
    return number(subject, f"MKT of {name}", theirs, None if ours is None else float(ours), 0.01)
