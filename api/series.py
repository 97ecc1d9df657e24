"""Stored readings as the rules' own columns: those of one stream while its device stood in one equipment."""

from __future__ import annotations

import numpy as np

from alerts.amended import Amendments
from alerts.bulk import NO_SEQ, Points, points_of
from alerts.homes import Spans
from ingest.store.model import Series
from telemetry.readings import Quality


def points_at_home(series: Series, stream_id: str, stays: Spans, equipment: str, amended: Amendments) -> Points:
    """``stays``: where the stream's device stood when (``Homes.spans``). What is not good is unknown.

    ``amended``: what people said of readings.
    """
    t_ms = np.asarray(series.t_ms, dtype=np.int64)
    missing, numbers = np.zeros(t_ms.size, np.bool_), np.full(t_ms.size, NO_SEQ)
    for i, (milli, quality) in series.odd.items():
        missing[i] = milli is None or quality is not Quality.GOOD
    if series.device_seq:
        numbers[list(series.device_seq)] = list(series.device_seq.values())
    here = np.zeros(t_ms.size, dtype=np.bool_)
    for low, high, place in stays:
        if place == equipment:
            here |= (t_ms >= low) & (t_ms < high)
    value_m, missing = amended.columns(stream_id, t_ms, np.asarray(series.milli, dtype=np.int64), missing)
    return points_of(t_ms[here], value_m[here], missing[here], numbers[here] if series.device_seq else None)
