"""The history of a batch as the document of a verdict tells it, and its picture. Pure: document and readings in, values out.

The document (``alerts/document.py``) is what the verdict rests on; the readings of the store only draw the line. So which time
was in, out or unknown is the document's word, and a reading that came later never covers what was unknown to the verdict.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from alerts.amended import Amendments, Mark
from alerts.equipment.calibration import Correction
from api.chart import Point, Span

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_WORST_FIRST = ("out", "unknown", "in")
PIXELS = 434  # the width of the plot: what is finer is not to be seen


@dataclass(frozen=True, slots=True)
class Stretch:
    """A span of the batch's history. ``equipment``: where it stood, several where it was split; none: nobody said where."""

    from_ms: int
    to_ms: int
    state: str
    low_c: Decimal | None
    high_c: Decimal | None
    equipment: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stay:
    """Where a batch stood. ``mark`` is the letter of the place in the picture."""

    equipment: str
    from_ms: int
    to_ms: int | None
    said_by: str
    mark: str = ""


def ms_of(text: Any) -> int | None:
    """``2026-11-20T08:00:00.000Z`` as ms since the epoch; None for what is no time with a zone."""
    if isinstance(text, bool) or text is None:
        return None
    if isinstance(text, int):
        return text
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return None if at.tzinfo is None else (at - _EPOCH) // _MS


def number_of(value: Any) -> Decimal | None:
    """A number of the document, which writes it as text or whole number."""
    if value is None or isinstance(value, bool):
        return None
    try:
        made = Decimal(str(value))
    except ArithmeticError:
        return None
    return made if made.is_finite() else None


def stretches_of(document: Mapping[str, Any]) -> list[Stretch]:
    """The document's timeline, in order; a word that is none of the three counts as unknown."""
    made = []
    for row in document.get("timeline", ()):
        from_ms, to_ms = ms_of(row.get("from")), ms_of(row.get("to"))
        if from_ms is None or to_ms is None or to_ms <= from_ms:
            continue
        state = row.get("state") if row.get("state") in _WORST_FIRST else "unknown"
        low, high = number_of(row.get("low_c")), number_of(row.get("high_c"))
        made.append(Stretch(from_ms, to_ms, str(state), low, high, _places(row.get("equipment"))))
    return sorted(made, key=lambda s: (s.from_ms, s.to_ms))


def _places(text: Any) -> tuple[str, ...]:
    return tuple(part for part in str(text or "").split("+") if part)


def joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Neighbours of one state in one place as one, however finely the document cuts them."""
    made: list[Stretch] = []
    for s in stretches:
        last = made[-1] if made else None
        if last is None or (last.to_ms, last.state, last.equipment) != (s.from_ms, s.state, s.equipment):
            made.append(s)
            continue
        low = min((v for v in (last.low_c, s.low_c) if v is not None), default=None)
        high = max((v for v in (last.high_c, s.high_c) if v is not None), default=None)
        made[-1] = replace(last, to_ms=s.to_ms, low_c=low, high_c=high)
    return made


def stays_of(document: Mapping[str, Any]) -> list[Stay]:
    """The placements, oldest first; each equipment has one letter, A for the first."""
    rows = []
    for row in document.get("placements", ()):
        from_ms = ms_of(row.get("from"))
        if from_ms is not None:
            rows.append(
                Stay(str(row.get("equipment")), from_ms, ms_of(row.get("to")), str(row.get("said_by") or "–"))
            )
    rows.sort(key=lambda s: s.from_ms)
    marks: dict[str, str] = {}
    for stay in rows:
        marks.setdefault(stay.equipment, _letter(len(marks)))
    return [replace(stay, mark=marks[stay.equipment]) for stay in rows]


def _letter(n: int) -> str:
    """A to Z, then AA, AB ..."""
    return chr(65 + n) if n < 26 else _letter(n // 26 - 1) + chr(65 + n % 26)


def bounds_of(stretches: Sequence[Stretch]) -> tuple[int, int] | None:
    """From the beginning of the history to its end; None where there is none."""
    return (stretches[0].from_ms, max(s.to_ms for s in stretches)) if stretches else None


def pixels(stretches: Sequence[Stretch], from_ms: int, to_ms: int, width: int = PIXELS) -> list[Span]:
    """The states as spans that can be drawn: of what falls on one pixel the worst counts, so that nothing short is hidden.

    ``text`` of a span is its state. At most ``width`` spans, however long the history.
    """
    step = max(1, -(-(to_ms - from_ms) // width))
    worst = [len(_WORST_FIRST)] * width
    for s in stretches:
        rank = _WORST_FIRST.index(s.state)
        for i in range(max(0, (s.from_ms - from_ms) // step), min(width - 1, (s.to_ms - 1 - from_ms) // step) + 1):
            worst[i] = min(worst[i], rank)
    spans: list[Span] = []
    for i, rank in enumerate(worst):
        state = _WORST_FIRST[rank] if rank < len(_WORST_FIRST) else "unknown"
        low, high = from_ms + i * step, min(to_ms, from_ms + (i + 1) * step)
        if low >= high:
            break
        if spans and spans[-1].text == state:
            spans[-1] = Span(spans[-1].from_ms, high, state)
        else:
            spans.append(Span(low, high, state))
    return spans


def windows(stays: Sequence[Stay], stretches: Sequence[Stretch], equipment: str, to_ms: int) -> list[tuple[int, int]]:
    """When the batch stood in this equipment and the verdict knew its temperature; touching windows are one."""
    known = [(s.from_ms, s.to_ms) for s in stretches if s.state != "unknown"]
    made: list[tuple[int, int]] = []
    for stay in (s for s in stays if s.equipment == equipment):
        end_ms = to_ms if stay.to_ms is None else min(to_ms, stay.to_ms)
        for low, high in known:
            low, high = max(low, stay.from_ms), min(high, end_ms)
            if low >= high:
                continue
            if made and made[-1][1] == low:
                made[-1] = (made[-1][0], high)
            else:
                made.append((low, high))
    return made


def amended_of(document: Mapping[str, Any]) -> Amendments:
    """What people said of the readings, as the document holds it: in order of time, one correction a date."""
    corrections: dict[str, list[Correction]] = {}
    marks: dict[str, list[Mark]] = {}
    for row in document.get("corrections", ()):
        from_ms, offset_c = ms_of(row.get("from")), number_of(row.get("offset_c"))
        if from_ms is not None and offset_c is not None:
            corrections.setdefault(str(row.get("stream")), []).append(Correction(from_ms, offset_c))
    for row in document.get("marks", ()):
        from_ms, to_ms = ms_of(row.get("from")), ms_of(row.get("to"))
        if from_ms is not None and to_ms is not None:
            marks.setdefault(str(row.get("stream")), []).append(Mark(from_ms, to_ms))
    return Amendments(
        {s: tuple(rows) for s, rows in corrections.items()}, {s: tuple(rows) for s, rows in marks.items()}
    )


def drawn(
    t_ms: Sequence[int],
    milli: Sequence[int],
    odd: Collection[int],
    seen: Sequence[tuple[int, int]],
    from_ms: int,
    to_ms: int,
) -> list[Point]:
    """The line of one stream: of each pixel the lowest and the highest good reading within the windows ``seen``.

    ``t_ms`` ascending, ``milli`` in thousandths, ``odd``: places without a good value. A "no value" stands where the line breaks.
    """
    step = max(1, -(-(to_ms - from_ms) // PIXELS))
    line: list[Point] = []
    for low_ms, high_ms in seen:
        line.append(Point(low_ms, None))
        ends: dict[int, tuple[int, int]] = {}  # pixel -> places of the lowest and the highest
        for i in range(bisect_left(t_ms, low_ms), bisect_left(t_ms, high_ms)):
            if i in odd:
                continue
            mine = ends.setdefault((t_ms[i] - from_ms) // step, (i, i))
            if milli[i] < milli[mine[0]]:
                ends[(t_ms[i] - from_ms) // step] = (i, mine[1])
            elif milli[i] > milli[mine[1]]:
                ends[(t_ms[i] - from_ms) // step] = (mine[0], i)
        line += [Point(t_ms[i], Decimal(milli[i]) / 1000) for pair in ends.values() for i in sorted(set(pair))]
    return line
