"""The shell of ``alerts.forecast``: one ``Watch`` an equipment, fed with all facts, and the latest word in the records.

The records hold one document an equipment, ``{"forecast": ... | null, "silence": {"why", "since_ms"} | null, "holdovers":
[...]}``: what ``api`` shows (a reason of silence that changes again within ten minutes may be passed over), and the
power cuts of before, which our own memory of the last days would not reach back to. A forecast is dropped without harm:
records that do not answer get it with the next look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from heapq import nsmallest
from typing import Any

from alerts.forecast import Forecast, Holdover, Silence, Watch
from alerts.forecast.watch import QUANTITIES
from alerts.rules import Profiles, ReadingFact
from gateway.records import Records
from telemetry.errors import NeighbourDownError

LOOK_BACK_MS = 3 * 24 * 3_600_000  # what is usual is learned from two days
LOOK_EVERY_MS = 60_000
MOST_LOOKS = 50  # in one turn (a few ms each where it warms): no alarm waits for the forecasts of a whole country
_SILENCE_EVERY_MS = 600_000  # a compressor's cycle changes the reason all the time: that alone is no write a minute
_NO_LIMIT = Decimal(1000)
__all__ = ["LOOK_BACK_MS", "QUANTITIES", "Forecaster"]


@dataclass(slots=True)
class _Place:
    """One equipment: what is remembered, when it was looked at, and what the records hold of it."""

    watch: Watch
    looked_ms: int = 0
    stirred: bool = False
    said: Forecast | None = None
    kept: Mapping[str, Any] | None = None
    kept_ms: int = 0


class Forecaster:
    """Belongs to the judging thread of the service."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._places: dict[str, _Place] = {}

    def load(self, facts: Iterable[ReadingFact], profiles: Profiles) -> None:
        """Begin anew: power cuts from the records, then the facts of the last ``LOOK_BACK_MS``, in time order."""
        self._places = {}
        for equipment, document in self._records.forecast_documents().items():
            place = self._place(equipment, profiles)
            place.watch.remember(_holdover(h) for h in document.get("holdovers", ()))
            place.kept, place.stirred = document, True
        self.add(facts, profiles)

    def add(self, facts: Iterable[ReadingFact], profiles: Profiles) -> None:
        """Take in new facts, of any quantity. Facts without an equipment are nobody's."""
        for fact in facts:
            if fact.equipment:
                place = self._place(fact.equipment, profiles)
                place.watch.add((fact,))
                place.stirred = True

    def read_again(self, equipment: str, facts: Iterable[ReadingFact], profiles: Profiles) -> None:
        """Something else is said of this equipment's facts now: its own begin anew, as ``load`` begins."""
        before = self._places.pop(equipment, None)
        if before is not None:
            place = self._place(equipment, profiles)
            place.watch.remember(before.watch.holdovers())
            place.kept, place.stirred = before.kept, True
        self.add(facts, profiles)

    def look(self, profiles: Profiles, now_ms: int) -> None:
        """Forecast where something is new, and where a forecast stands that may have grown old; save what changed."""
        changed: dict[str, dict[str, Any]] = {}
        due = [
            (place.looked_ms, equipment)
            for equipment, place in self._places.items()
            if (place.stirred or place.said is not None) and not 0 <= now_ms - place.looked_ms < LOOK_EVERY_MS
        ]
        for _, equipment in nsmallest(MOST_LOOKS, due):
            place = self._places[equipment]
            document = self._document(equipment, place, profiles, now_ms)
            if _says_more(document, place.kept, now_ms - place.kept_ms):
                changed[equipment] = document
        if not changed:
            return
        try:
            self._records.save_forecasts(changed, now_ms)
        except NeighbourDownError:
            return  # the findings' way tells of it; the next look saves what holds then
        for equipment, document in changed.items():
            self._places[equipment].kept = document
            self._places[equipment].kept_ms = now_ms

    def _document(self, equipment: str, place: _Place, profiles: Profiles, now_ms: int) -> dict[str, Any]:
        place.looked_ms, place.stirred = now_ms, False
        high_c = profiles.of(equipment)[0].high_c
        found = None
        if high_c is not None:
            place.watch.limit_c = high_c
            settings = {s: profiles.settings(s) for s in place.watch.streams()}
            found = place.watch.look(now_ms, settings)
        place.said = found if isinstance(found, Forecast) else None
        return {
            "forecast": None if place.said is None else _forecast(place.said),
            "silence": _silence(found, place.kept, now_ms) if isinstance(found, Silence) else None,
            "holdovers": [_kept(h) for h in place.watch.holdovers()],
        }

    def _place(self, equipment: str, profiles: Profiles) -> _Place:
        place = self._places.get(equipment)
        if place is None:
            limit_c = profiles.of(equipment)[0].high_c
            place = self._places[equipment] = _Place(Watch(_NO_LIMIT if limit_c is None else limit_c))
        return place


def _silence(why: Silence, kept: Mapping[str, Any] | None, now_ms: int) -> dict[str, Any]:
    before = (kept or {}).get("silence")
    return dict(before) if before and before["why"] == why.value else {"why": why.value, "since_ms": now_ms}


def _says_more(document: Mapping[str, Any], kept: Mapping[str, Any] | None, age_ms: int) -> bool:
    """Whether it is worth a write: it is not for another reason of silence, a moment after the last."""
    if kept is None or document == kept or not 0 <= age_ms < _SILENCE_EVERY_MS:
        return document != kept
    return any(document[name] != kept.get(name) for name in ("forecast", "holdovers"))


def _forecast(f: Forecast) -> dict[str, Any]:
    return {
        "code": f.code,
        "limit_c": str(f.limit_c),
        "low_min": f.low_min,
        "likely_min": f.likely_min,
        "high_min": f.high_min,
        "basis": f.basis.value,
        "made_ms": f.made_ms,
        "value_c": str(f.value_c),
    }


def _kept(item: tuple[str, Holdover]) -> dict[str, Any]:
    stream, h = item
    return {
        "stream": stream,
        "began_ms": h.began_ms,
        "ended_ms": h.ended_ms,
        "limit_m": h.limit_m,
        "held_ms": h.held_ms,
        "passed": h.passed,
        "curve": [list(point) for point in h.curve],
    }


def _holdover(kept: Mapping[str, Any]) -> tuple[str, Holdover]:
    numbers = {name: int(kept[name]) for name in ("began_ms", "ended_ms", "limit_m", "held_ms")}
    curve = tuple((int(t), int(v)) for t, v in kept["curve"])
    return str(kept["stream"]), Holdover(**numbers, passed=bool(kept["passed"]), curve=curve)
