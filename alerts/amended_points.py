"""A stream's columns as people's words make them, judged as the service judges it (decision 0029). Pure.

    readings ─┬─▶ corrected, marked is unknown ▶ rules ─▶ counted ─┬▶ laid_over ─▶ named
              └─▶ corrected ───────────────────▶ rules ─▶ raw ─────┘

``alerts.streams`` does the same bit by bit; this is for what is judged anew from all readings.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.amended import Amendments, laid_over
from alerts.bulk import Points, judge_points
from alerts.rules import RuleFinding
from alerts.rules.limits import Plan


@dataclass(frozen=True, slots=True, eq=False)
class AmendedPoints:
    """``counted``: marked readings are unknown. ``unmarked``: as if nothing were marked; None where nothing of it is."""

    counted: Points
    unmarked: Points | None = None

    def before(self, t_ms: int) -> AmendedPoints:
        """What lies before an instant."""
        return AmendedPoints(self.counted.before(t_ms), None if self.unmarked is None else self.unmarked.before(t_ms))


def judge_amended(points: AmendedPoints, plan: Plan, now_ms: int, amended: Amendments) -> list[RuleFinding]:
    """The findings of one stream, naming what people said of its readings, in no order.

    ``amended`` is what the points were made with.
    """
    found = judge_points(points.counted, plan, now_ms)
    if points.unmarked is not None:
        found = laid_over(judge_points(points.unmarked, plan, now_ms), found)
    return [amended.named(f) for f in found]
