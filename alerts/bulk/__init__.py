"""The rules over whole series: the same findings and exposures as the engine, for years of readings. Pure, numpy.

The engine (``alerts.rules``) takes readings one by one and remembers; this walks columns and gives the engine's own
walker only the readings that can change what it says (``walk.py``). Use it to judge anew: ``smile-iot replay``, a
country's history, a site's year.
"""

from alerts.bulk.judging import judge_all, judge_points, judge_series
from alerts.bulk.lived import Lived, expose_points
from alerts.bulk.points import NO_SEQ, Columns, Points, columns_by_stream, points_by_stream, points_of

__all__ = [
    "NO_SEQ",
    "Columns",
    "Lived",
    "Points",
    "columns_by_stream",
    "expose_points",
    "judge_all",
    "judge_points",
    "judge_series",
    "points_by_stream",
    "points_of",
]
