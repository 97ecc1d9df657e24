"""The latest forecast of each equipment: written over and over, sealed by nothing, told to nobody by itself.

A forecast is no finding and no record of what was: it is for the page that shows it, and for the service that made it
to go on from (``alerts/forecaster.py`` says what the document holds). So it has no audit rows and no history.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select

from gateway.records import tables
from gateway.records.canonical import canonical
from gateway.records.part import Part

Document = Mapping[str, Any]


class ForecastsPart(Part):
    """One document an equipment."""

    def save_forecasts(self, documents: Mapping[str, Document], at_ms: int) -> None:
        """Put these in the place of what was said of the same equipment before."""
        if not documents:
            return
        t = tables.forecasts
        rows = [{"equipment": e, "at_ms": at_ms, "document": canonical(dict(d))} for e, d in documents.items()]
        with self._write() as tx:
            tx.connection.execute(delete(t).where(t.c.equipment.in_(list(documents))))
            tx.connection.execute(insert(t), rows)

    def forecast(self, equipment: str) -> dict[str, Any] | None:
        """What lies ahead of it: ``{"code", "limit_c", "low_min", "likely_min", "high_min", "basis", "made_ms",
        "value_c"}``, minutes counted from ``made_ms``; None where nothing is forecast.
        """
        found = self.forecast_documents(equipment).get(equipment, {}).get("forecast")
        return None if found is None else dict(found)

    def forecast_silence(self, equipment: str) -> dict[str, Any] | None:
        """Why nothing is forecast of it, ``{"why", "since_ms"}``; None where something is, or nobody looked."""
        found = self.forecast_documents(equipment).get(equipment, {}).get("silence")
        return None if found is None else dict(found)

    def forecast_documents(self, equipment: str | None = None) -> dict[str, dict[str, Any]]:
        """equipment -> the whole document."""
        t = tables.forecasts
        query = select(t.c.equipment, t.c.document)
        if equipment is not None:
            query = query.where(t.c.equipment == equipment)
        with self._db.read() as connection:
            return {row.equipment: json.loads(row.document) for row in connection.execute(query).all()}
