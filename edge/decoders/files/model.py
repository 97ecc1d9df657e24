"""What a logger's export says, whatever its maker.

Times are the device's wall clock: ``local_ms`` counts milliseconds since 1970-01-01 00:00 on that clock, as if it
were UTC. ``offset_min`` is the clock's offset from UTC where each row states it; else a person must name the zone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

from edge.decoders.files.signature import Signature
from telemetry.errors import SmileIotError
from telemetry.quantities import QUANTITIES

MAX_BYTES = 64 << 20
MAX_LINE = 4096  # signs; the longest line of a real export, a signature, has some 140
COPY_AGAIN = "is the file spoiled? copy it from the logger again"
ISO_DATES = "export it again with dates as yyyy-MM-dd"
SET_TO_C = "set the logger to C and export again"


class LoggerFileError(SmileIotError):
    """A file cannot be read as a logger's export. ``line`` is its line number, or None."""

    def __init__(self, message: str, *, line: int | None = None, advice: str = "") -> None:
        super().__init__(message if line is None else f"line {line}: {message}", advice=advice)
        self.line = line


@dataclass(frozen=True, slots=True)
class FileReading:
    """One row; ``value_c`` None where the device wrote that it has no value (``--.-``)."""

    local_ms: int
    value_c: Decimal | None
    offset_min: int | None = None

    @property
    def instant_ms(self) -> int:
        """UTC where the row states its offset; else the wall clock itself, good for order only."""
        return self.local_ms - (self.offset_min or 0) * 60_000


@dataclass(frozen=True, slots=True)
class DeviceLimit:
    """An alarm slot as configured in the device. Devices compare strictly (cold-chain 1.2)."""

    slot: int
    high: bool
    limit_c: Decimal
    after_s: int
    cumulative: bool


@dataclass(frozen=True, slots=True)
class DeviceAlarm:
    """The device says its slot fired then. ``continued``: a day's stamp of 00:00 for an alarm of the day before."""

    slot: int
    local_ms: int
    continued: bool = False


@dataclass(frozen=True, slots=True)
class DaySummary:
    """A day as the device summed it up; seconds beyond its own limits, None where it has no such limit."""

    date: str
    min_c: Decimal | None
    max_c: Decimal | None
    mean_c: Decimal | None
    above_s: int | None
    below_s: int | None
    timeout_s: int = 0


@dataclass(frozen=True, slots=True)
class LoggerFile:
    """One export. ``readings`` is empty for loggers that keep daily summaries only; none are ever made up.

    ``start_local_ms``/``end_local_ms``: the span the file speaks of, where it says so.
    ``stated`` holds what the device computed itself (min_c, max_c, mean_c, mkt_c), ``notes`` what a reader must know.
    """

    format: str
    device: str
    serial: str | None
    interval_s: int | None
    readings: tuple[FileReading, ...]
    limits: tuple[DeviceLimit, ...] = ()
    alarms: tuple[DeviceAlarm, ...] = ()
    days: tuple[DaySummary, ...] = ()
    start_local_ms: int | None = None
    end_local_ms: int | None = None
    mkt_energy_kj_mol: Decimal | None = None
    stated: tuple[tuple[str, Decimal], ...] = ()
    notes: tuple[str, ...] = ()
    signature: Signature | None = None  # None: a format without one

    @property
    def summary_only(self) -> bool:
        return not self.readings


_BOUNDS = QUANTITIES["temperature_c"]
_NUMBER = re.compile(r"[+-]?[0-9]{1,6}(?:[.,][0-9]{1,12})?")
_NOTHING = re.compile(r"[-\u2013]*[.,:]?[-\u2013]*|n/?a|nan|null|none|inf|err(or)?", re.IGNORECASE)
_MINUS = str.maketrans({"\u2212": "-", "\u00a0": " "})
_PLACES = Decimal("0.001")


def decode_text(data: bytes) -> str:
    """The file's text: UTF-8, UTF-16 with its mark, else Windows-1252. Raises LoggerFileError for what is no text."""
    if not data.strip():
        raise LoggerFileError("the file is empty", advice="export it from the logger again")
    if len(data) > MAX_BYTES:
        raise LoggerFileError(f"{len(data)} bytes are more than any logger writes")
    if data[:5] == b"%PDF-":
        raise LoggerFileError("this is a PDF report", advice="take the .txt or .csv file that lies beside it")
    wide = utf_16(data)
    try:
        text = data.decode(wide or "utf-8-sig")
    except UnicodeDecodeError:
        if wide:
            raise LoggerFileError("the text is cut off or spoiled", advice="export it again") from None
        text = data.decode("cp1252", errors="replace")
    if "\0" in text or text.count("\ufffd") > 8:
        raise LoggerFileError("this is not a text file", advice="take the .txt or .csv export of the logger")
    text = text.rstrip("\x1a").translate(_MINUS).replace("\r\n", "\n").replace("\r", "\n")
    if max(map(len, text.split("\n"))) > MAX_LINE:
        advice = "take the .txt or .csv export of the logger"
        raise LoggerFileError(f"a line has more than {MAX_LINE} signs: this is no logger's export", advice=advice)
    return text


def utf_16(data: bytes) -> str | None:
    """The UTF-16 codec of a text that begins with its mark, or, without one, with plain letters in that width."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    head = data[:64]
    pairs = len(head) // 2
    return next(
        (
            codec
            for codec, zeros, letters in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2]))
            if pairs > 3 and zeros.count(0) == len(zeros) and 0 not in letters and letters.isascii()
        ),
        None,
    )


def is_nothing(text: str | None) -> bool:
    """Whether the device wrote that it has no value: empty, ``--.-``, ``--:--``, ``N/A``."""
    return text is None or _NOTHING.fullmatch(text.strip()) is not None


def number(text: str, line: int, what: str) -> Decimal:
    """A decimal with point or comma; raises LoggerFileError."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        raise LoggerFileError(f"{what} is {text[:40]!r}, wanted a number", line=line, advice=COPY_AGAIN)
    return Decimal(text.replace(",", "."))


def temperature(text: str, line: int, what: str = "temperature") -> Decimal | None:
    """Degrees of at most three places (rounded to even), or None where the device says it has none."""
    if is_nothing(text):
        return None
    return number(text, line, what).quantize(_PLACES).normalize() + Decimal(0)


def plausible(value: Decimal | None) -> Decimal | None:
    """The value, or None for one that no sensor here can measure (an error value such as -127, a spoiled digit)."""
    return value if value is not None and _BOUNDS.low <= value <= _BOUNDS.high else None


def beyond_note(count: int) -> list[str]:
    """The note on values that ``plausible`` took out."""
    return [f"{count} values outside {_BOUNDS.low}..{_BOUNDS.high} C count as no value"] if count else []


def whole(text: str, line: int, what: str) -> int:
    """A whole number that is not negative; raises LoggerFileError."""
    text = text.strip()
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise LoggerFileError(f"{what} is {text[:40]!r}, wanted a whole number", line=line, advice=COPY_AGAIN)
    return int(text)


def local_ms(year: int, month: int, day: int, hour: int, minute: int, second: int, line: int, ms: int = 0) -> int:
    """A wall-clock time as milliseconds; raises LoggerFileError for a date that does not exist."""
    try:
        at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise LoggerFileError(f"{error}", line=line, advice="is the line cut off?") from error
    if not 1990 <= year <= 2200:
        raise LoggerFileError(f"the year {year} cannot be meant", line=line)
    return round(at.timestamp()) * 1000 + ms


def _order_note(found: Sequence[FileReading]) -> str:
    steps = [b.instant_ms - a.instant_ms for a, b in pairwise(found)]
    if all(x <= 0 for x in steps):
        return "the rows were not in order of time, newest first: sorted"
    back = [i for i, x in enumerate(steps) if x < 0]
    a, b = (datetime.fromtimestamp(r.local_ms / 1000, UTC) for r in found[back[0] : back[0] + 2])
    where = f"{len(back)} steps back, the first from {a:%Y-%m-%d %H:%M} to {b:%Y-%m-%d %H:%M}"
    return (
        f"the rows were not in order of time ({where}): sorted;"
        " if the logger's clock was set back there, what is said of the time around it is not sure"
    )


def in_order(found: Sequence[FileReading]) -> tuple[tuple[FileReading, ...], list[str]]:
    """The rows in order of time, each once, with a note of whatever was mended: nothing is reordered silently."""
    notes: list[str] = []
    order = sorted(found, key=lambda r: r.instant_ms)
    if order != list(found):
        notes.append(_order_note(found))
    once = list(dict.fromkeys(order))
    if len(once) < len(order):
        notes.append(f"{len(order) - len(once)} rows are repeated: counted once")
    twice = len(once) - len({r.instant_ms for r in once})
    if twice:
        notes.append(f"{twice} rows give another value for a time already given: the worse one counts")
    return tuple(once), notes
