"""The books of a run: what the devices made against what the store, the records and SMILE hold.

``produced`` is the simulator's own file, written before anything went on the air; ``stored`` is counted by reading
the store afterwards; what SMILE got is read back by GET. Nothing here takes a service's word for it.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from ingest.store import Row, Store

LATE_INTERVALS = 1


@dataclass(frozen=True, slots=True)
class Made:
    """One measurement of a device."""

    t_ms: int
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class Produced:
    """``produced.ndjson``: readings by stream, and weighings, in the order they were made."""

    readings: Mapping[str, Sequence[Made]]
    weighings: Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class StreamBooks:
    """One stream's balance. ``unexplained``: stored rows that no measurement explains (must be 0)."""

    produced: int = 0
    stored: int = 0
    duplicated: int = 0
    missing: int = 0
    late: int = 0
    unexplained: int = 0
    missing_at: list[int] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "produced": self.produced,
            "stored": self.stored,
            "duplicated": self.duplicated,
            "missing": self.missing,
            "late": self.late,
        }
        if self.unexplained:
            body["unexplained"] = self.unexplained
        if self.missing_at:
            body["missing_at_ms"] = self.missing_at
        return body


def read_produced(path: Path, from_ms: int, until_ms: int) -> Produced:
    """What the devices made in [from, until): a probe that is asked before the story begins answers then too."""
    readings: dict[str, list[Made]] = defaultdict(list)
    weighings: list[dict[str, Any]] = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if not from_ms <= row["t_ms"] < until_ms:
            continue
        if row["kind"] == "reading":
            value = None if row["value"] is None else Decimal(str(row["value"]))
            readings[row["stream"]].append(Made(row["t_ms"], value))
        elif row["kind"] == "weighing":
            weighings.append(row)
    for rows in readings.values():
        rows.sort(key=lambda made: made.t_ms)
    return Produced(readings, weighings)


def stored_rows(store: Store, stream_id: str, from_ms: int, to_ms: int) -> list[Row]:
    """All rows of a stream in [from, to), page by page."""
    rows: list[Row] = []
    page = store.read(stream_id, from_ms, to_ms, limit=1000, after=None)
    while True:
        rows += page.rows
        if page.next is None:
            return rows
        page = store.read(stream_id, from_ms, to_ms, limit=1000, after=page.next)


def explain(
    made: Sequence[Made], times: Sequence[int], t_ms: int, value: Decimal | None, interval_ms: int
) -> int | None:
    """The index of the measurement that a row belongs to, or None.

    A logger that repeats one advert until its next sample is heard somewhat after the sample: the newest measurement
    not later than the row. A record of a device's memory carries the device's own idea of time, which may be early by
    seconds: then the next one, if it is nearer than half an interval. The values must agree.
    """
    index = bisect_right(times, t_ms) - 1
    if index >= 0 and made[index].value == value:
        return index
    after = index + 1
    if after < len(made) and made[after].t_ms - t_ms <= interval_ms // 2 and made[after].value == value:
        return after
    return None


def owners(
    made: Sequence[Made], rows: Iterable[tuple[int, Decimal | None]], interval_ms: int, grace_ms: int = 0
) -> list[int | None]:
    """The measurement (its index) that each row belongs to, or None. ``grace_ms``: so early may a row stand."""
    times = [m.t_ms - grace_ms for m in made]
    return [explain(made, times, t_ms, value, interval_ms) for t_ms, value in rows]


def hits_of(made: Sequence[Made], owned: Iterable[int | None]) -> list[int]:
    """How many rows belong to each measurement."""
    counted = Counter(owned)
    return [counted[index] for index in range(len(made))]


def balance(made: Sequence[Made], rows: Sequence[Row], interval_ms: int) -> StreamBooks:
    """Match stored rows to measurements, each way."""
    owned = owners(made, ((row.t_ms, row.value) for row in rows), interval_ms)
    hits = hits_of(made, owned)
    stored = sum(1 for h in hits if h)
    known = [row for row, owner in zip(rows, owned, strict=True) if owner is not None]
    return StreamBooks(
        produced=len(made),
        stored=stored,
        duplicated=sum(h - 1 for h in hits if h > 1),
        missing=len(made) - stored,
        late=sum(1 for row in known if row.received_at_ms - row.t_ms > LATE_INTERVALS * interval_ms),
        unexplained=owned.count(None),
        missing_at=[m.t_ms for m, h in zip(made, hits, strict=True) if not h],
    )
