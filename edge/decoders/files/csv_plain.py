"""Plain CSV: a heading with ``time`` and ``temperature_c``, one row per reading.

Comma, semicolon or tab between cells; a decimal comma where cells are parted otherwise, or the cell is quoted.
Times are ``yyyy-MM-dd hh:mm[:ss[.fff]]``, with ``T`` or a space; an offset (``Z``, ``+07:00``) stands in every row or in
none. A row with more cells than the heading is refused: a decimal comma may have parted a number.
``5.0 C`` is 5.0; an empty cell at the end of every row is left out; ``+07`` and ``+0700`` are offsets too. Order and
repeated rows do not matter; what was mended is noted.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal

from edge.decoders.files.model import (
    FileReading,
    LoggerFile,
    LoggerFileError,
    beyond_note,
    in_order,
    local_ms,
    number,
    plausible,
    temperature,
)

_TIME_NAMES = frozenset({"time", "timestamp", "datetime", "date_time", "date time", "waktu", "t"})
_VALUE_NAMES = frozenset({"temperature_c", "temperature", "temp_c", "temp", "suhu_c", "suhu", "temperature (c)"})
_TIME = re.compile(
    r"(\d{4})[-/](\d{2})[-/](\d{2})[ T](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?[ ]?(Z|[+-]\d{2}(?::?\d{2})?)?",
    re.IGNORECASE,
)
_UNIT = re.compile(r"(?<=[0-9.-])\s*(?:°\s*)?C$", re.IGNORECASE)


def looks_like(text: str) -> bool:
    """Whether the first line is a heading, or a row, of this format."""
    first = _first_line(text)
    cells = _cells(first, _delimiter(first))
    return _columns(cells) is not None or bool(len(cells) > 1 and _TIME.fullmatch(cells[0]))


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip() and not _is_remark(line)), "")


def _is_remark(line: str) -> bool:
    """``#`` lines, and the ``sep=;`` that Excel writes and wants."""
    return line.lstrip().startswith("#") or re.fullmatch(r"sep=.?,?", line.strip(), re.IGNORECASE) is not None


def _delimiter(line: str) -> str:
    return next((d for d in ("\t", ";") if d in line), ",")


def _cells(line: str, delimiter: str) -> list[str]:
    return [c.strip().strip('"').strip() for c in line.split(delimiter)]


def _columns(cells: list[str]) -> tuple[int, int] | None:
    names = [re.sub(r"\s*[\[(]?°?c[\])]?$", "", c.casefold()) if "°" in c else c.casefold() for c in cells]
    time = next((i for i, n in enumerate(names) if n in _TIME_NAMES), None)
    value = next((i for i, n in enumerate(names) if n in _VALUE_NAMES), None)
    return None if time is None or value is None else (time, value)


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    first = _first_line(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(first))
    try:
        for cells in reader:
            if any(c.strip() for c in cells) and not _is_remark(",".join(cells)):
                yield reader.line_num, [c.strip() for c in cells]
    except csv.Error as error:
        raise LoggerFileError(str(error), line=reader.line_num) from error


def decode(text: str) -> LoggerFile:
    """A plain CSV export; raises LoggerFileError with the line."""
    rows = _rows(text)
    line, cells = next(rows, (0, []))
    columns = _columns([c.strip('"') for c in cells])
    width = len(cells)
    found: list[FileReading] = []
    notes: list[str] = []
    beyond = rounded = 0
    trailing: list[int] = []
    heading = cells
    if columns is None:
        columns, heading = (0, 1), []
        notes.append("the file has no heading: taken as time and temperature")
        rows = _chained((line, cells), rows)
    for line, cells in rows:
        if cells == heading and found:
            advice = "put each export into a file of its own"
            raise LoggerFileError("the heading stands here again: a second export", line=line, advice=advice)
        if len(cells) > width and not any(cells[width:]):
            trailing.append(line)  # a comma after the last cell: taken where every row has it
            cells = cells[:width]
        if len(cells) > width:
            advice = "write decimals with a point, or part the cells by semicolons"
            raise LoggerFileError(f"{len(cells)} cells where the heading has {width}", line=line, advice=advice)
        reading, exact = _reading(cells, columns, line)
        beyond += exact is not None and reading.value_c is None
        rounded += exact is not None and reading.value_c not in (None, exact)
        found.append(reading)
    if not found:
        raise LoggerFileError("the file has a heading and no readings", advice="export it again")
    if 0 < len(trailing) < len(found):
        advice = "write decimals with a point, and the same number of cells in every row"
        raise LoggerFileError(
            "an empty cell at the end, which other rows do not have", line=trailing[0], advice=advice
        )
    notes += beyond_note(beyond)
    if rounded:
        notes.append(f"{rounded} values have more than three places: rounded to three")
    if len({r.offset_min is None for r in found}) > 1:
        raise LoggerFileError(
            "some times have an offset and some have none", advice="write it in all rows or in none"
        )
    readings, mended = in_order(found)
    return LoggerFile("csv", "CSV", None, None, readings, notes=(*notes, *mended))


def _chained(first: tuple[int, list[str]], rest: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rest


def _reading(cells: list[str], columns: tuple[int, int], line: int) -> tuple[FileReading, Decimal | None]:
    """(the reading, its value as written); the reading has no value where the written one cannot be a temperature."""
    if len(cells) <= max(columns):
        raise LoggerFileError(f"{','.join(cells)[:60]!r} has too few cells", line=line, advice="is the file cut off?")
    at, offset_min = _time(cells[columns[0]], line)
    cell = _without_unit(cells[columns[1]])
    value = temperature(cell, line)
    if value is None:
        return FileReading(at, None, offset_min), None
    return FileReading(at, plausible(value), offset_min), number(cell, line, "temperature")


def _without_unit(cell: str) -> str:
    """``5.0 C`` and ``5,0 °C`` as a number; any other unit stays and is refused."""
    return _UNIT.sub("", cell)


def _time(text: str, line: int) -> tuple[int, int | None]:
    match = _TIME.fullmatch(text)
    if match is None:
        advice = "write times as 2026-01-31 23:59:00 or with an offset, 2026-01-31T23:59:00+07:00"
        raise LoggerFileError(f"{text[:40]!r} is not a time", line=line, advice=advice)
    year, month, day, hour, minute = (int(x) for x in match.groups()[:5])
    ms = int(((match[7] or "") + "000")[:3])
    at = local_ms(year, month, day, hour, minute, int(match[6] or 0), line, ms)
    zone = match[8]
    if zone is None:
        return at, None
    if zone in ("Z", "z"):
        return at, 0
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 14 or minutes > 59:
        raise LoggerFileError(f"offset {zone} cannot be meant", line=line)
    return at, (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)
