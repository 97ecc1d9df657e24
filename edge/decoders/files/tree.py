"""The text that Berlinger's loggers write: ``key: value`` lines nested by one space, and tables led by a tab.

Conf:
 Serial: 130400191542
 Alarm:
  0:
   T AL: -0.5, t AL: 60        <- several pairs on one line, joined by ", "
Data:
<TAB>2022-05-02 04:44<TAB>26.3<TAB>x
Cert: ...
Sig: <hex>                      <- the last line: without it the file may be cut off or edited

An editor or a mail program may have turned the tabs of a table into spaces, or dropped them: under ``Data:`` a row is
known by its time. What stands there and is no row is an error, as is a row that stands elsewhere: none goes unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from edge.decoders.files.dates import HEADING
from edge.decoders.files.model import COPY_AGAIN, ISO_DATES, SET_TO_C, LoggerFileError, is_nothing, local_ms
from edge.decoders.files.signature import TWO_NUMBERS

_PAIR = re.compile(r",[ \t]+(?=[A-Za-z][A-Za-z ]{0,24}:)")
_SIGNATURE = re.compile(TWO_NUMBERS)
_TIMESTAMP = re.compile(r"(\d{4})-(\d{2})-(\d{2})[ T](\d{2}):(\d{2})(?::(\d{2}))?")
_CLOCK = re.compile(r"(\d{2}):(\d{2})")
_DATE_LED = re.compile(r"[ \t]*\d{1,4}([./-])\d{1,2}\1\d{1,4}[ T]+\d{1,2}:")
_ROW = re.compile(r"[ \t]*(\d[\d./-]{7,9}[ T]\d{2}:\d{2}(?::\d{2})?)[ \t]+(\S+)(?:[ \t]+([xX]))?[ \t]*")
_WHOLE_VALUE = re.compile(r"[+-]?\d+[.,]\d+|--[.,]-")
_ONCE = frozenset({"device", "conf", "hist", "res", "marker", "data", "cert", "sig cert", "sig"})
_MAX_DEPTH = 16


@dataclass(slots=True)
class Node:
    """One line: its pairs, in order, and the lines nested below it. ``key`` is the first pair's."""

    line: int
    depth: int
    pairs: list[tuple[str, str]]
    children: list[Node] = field(default_factory=list)
    rows: list[tuple[int, list[str]]] = field(default_factory=list)  # lines of a table: (line, cells)

    @property
    def key(self) -> str:
        return self.pairs[0][0]

    @property
    def value(self) -> str:
        return self.pairs[0][1]

    def get(self, key: str) -> str | None:
        """The value of a key on this line or directly below it; None when absent or empty."""
        for k, v in self._all_pairs():
            if k.casefold() == key.casefold():
                return v or None
        return None

    def need(self, key: str) -> str:
        """As ``get``; raises LoggerFileError when absent."""
        value = self.get(key)
        if value is None:
            raise LoggerFileError(f"{self.key or 'the file'} has no {key!r}", line=self.line, advice="is it cut off?")
        return value

    def exact(self) -> dict[str, str]:
        """All pairs of this line and of those directly below, by exact key (``T AL`` and ``t AL`` differ in case)."""
        return dict(self._all_pairs())

    def child(self, key: str) -> Node | None:
        for node in self.children:
            if node.key.casefold() == key.casefold():
                return node
        return None

    def below(self) -> Iterator[Node]:
        """All lines below this one, at any depth."""
        for node in self.children:
            yield node
            yield from node.below()

    def numbered(self) -> Iterator[tuple[int, Node]]:
        """The children headed by a number, such as alarm slots and days."""
        for node in self.children:
            if node.key.isdecimal() and len(node.key) < 9:
                yield int(node.key), node

    def _all_pairs(self) -> Iterator[tuple[str, str]]:
        yield from self.pairs
        for node in self.children:
            yield from node.pairs


def parse_tree(text: str) -> Node:
    """The whole file as a node without a key. Raises LoggerFileError for a line that is none of these."""
    root = Node(0, -1, [("", "")])
    stack = [root]
    for line, raw in enumerate(text.splitlines(), 1):
        if not raw.strip():
            continue
        block = stack[1 if len(stack) > 1 else 0]
        cells = _table_cells(raw, line, block)
        if cells is not None:
            block.rows.append((line, cells))
            continue
        depth = len(raw) - len(raw.lstrip(" "))
        if depth > _MAX_DEPTH:
            raise LoggerFileError(f"indented by {depth}", line=line, advice="the file is spoiled")
        while stack[-1].depth >= depth:
            stack.pop()
        node = Node(line, depth, _pairs(raw.strip(), line))
        stack[-1].children.append(node)
        stack.append(node)
    return root


def _table_cells(raw: str, line: int, block: Node) -> list[str] | None:
    """The cells of a table's line, None for a line that is none. Raises LoggerFileError for a row out of place."""
    if block.key.casefold() != "data":
        if _DATE_LED.match(raw):
            raise LoggerFileError(f"a row of readings stands outside the Data block: {raw.strip()[:40]!r}", line=line)
        return [c.strip() for c in raw.lstrip("\t").split("\t")] if raw[0] == "\t" else None
    row = _ROW.fullmatch(raw)
    if row is not None:
        return [cell for cell in row.groups() if cell is not None]
    if raw[0] == "\t":
        return [c.strip() for c in raw.lstrip("\t").split("\t")]
    heading = HEADING.match(raw)
    if heading is not None:
        return [heading[0].strip()]
    if _DATE_LED.match(raw) or len(raw) - len(raw.lstrip(" ")) > block.depth:
        raise LoggerFileError(f"{raw.strip()[:40]!r} is not a row of the table", line=line, advice="is it cut off?")
    return None


def _pairs(text: str, line: int) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for part in _PAIR.split(text):
        key, colon, value = part.partition(":")
        if not colon:
            raise LoggerFileError(f"{text[:40]!r} is not 'key: value'", line=line, advice="is the file cut off?")
        pairs.append((key.strip(), value.strip()))
    return pairs


def check_whole(root: Node, text: str) -> list[str]:
    """Notes on the file as a whole. Raises LoggerFileError for two exports in one file and for a broken last line.

    A file without its signature may be cut off or edited; what it holds is judged all the same, with a note. Whether
    a signature fits is ``signature.check_signature``'s part.
    """
    _check_once(root)
    last = root.children[-1] if root.children else root
    certified = any(n.key.casefold() == "cert" for n in root.children)
    if certified and last.key.casefold() == "sig" and _SIGNATURE.fullmatch(last.value):
        return []
    _check_last_line(root, text)
    return [NO_SIGNATURE]


NO_SIGNATURE = "no valid signature block: the file may be cut off or edited"


def _check_once(root: Node) -> None:
    seen: dict[str, int] = {}
    for node in root.children:
        key = node.key.casefold()
        if key in _ONCE and key in seen:
            what = "a second export begins here" if key == "device" else f"a second {node.key} block"
            advice = "put each export into a file of its own"
            raise LoggerFileError(f"{what}; the first is on line {seen[key]}", line=node.line, advice=advice)
        seen[key] = node.line


def _check_last_line(root: Node, text: str) -> None:
    """A last line without a newline must be whole: a number that lost its end would pass for another number."""
    end = text.rsplit("\n", 1)[-1]
    if not end.strip() or not root.children:
        return
    last = root.children[-1]
    if last.rows and (not last.children or last.rows[-1][0] > last.children[-1].line):
        line, cells = last.rows[-1]
        whole = len(cells) > 1 and _WHOLE_VALUE.fullmatch(cells[1]) is not None
        whole = whole or last.key.casefold() != "data" or not any(c.isdigit() for c in cells[0])
    else:
        node = list(root.below())[-1]
        line, whole = node.line, bool(node.pairs[-1][1]) or node.key.casefold() in ("sig", "sig cert", "cert")
    if not whole:
        raise LoggerFileError(
            f"the file ends within a line: {end.strip()[:40]!r}: it is cut off",
            line=line,
            advice="copy it from the logger again",
        )


def timestamp(text: str | None, line: int) -> int | None:
    """``yyyy-MM-dd hh:mm`` as local milliseconds; None for an empty one, or one of dashes (``----.--.-- --:--``)."""
    return None if text is None or not text.strip(" -.:/") else moment(text, line)


def moment(text: str, line: int) -> int:
    """As ``timestamp``, for a text that must be one."""
    match = _TIMESTAMP.fullmatch(text.strip())
    if match is None:
        raise LoggerFileError(f"{text[:40]!r} is not a time, wanted yyyy-MM-dd hh:mm", line=line, advice=COPY_AGAIN)
    year, month, day, hour, minute = (int(x) for x in match.groups()[:5])
    return local_ms(year, month, day, hour, minute, int(match[6] or 0), line)


def clock_ms(text: str, line: int) -> int:
    """``hh:mm`` as milliseconds of the day."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise LoggerFileError(f"{text[:40]!r} is not a time of day", line=line, advice=COPY_AGAIN)
    return (int(match[1]) * 60 + int(match[2])) * 60_000


# --- the table under Data: --------------------------------------------------------------------------------


def table_rows(data: Node) -> Iterator[tuple[int, int, str, bool]]:
    """(line, local ms, temperature text, marked out of limits) of each row. Raises LoggerFileError.

    A row with a second number is refused: which sensor or quantity it is of, nobody told us, and none may go unseen.
    """
    rows = data.rows
    if rows and not any(c.isdigit() for c in rows[0][1][0]):
        _check_heading(*rows[0])
        rows = rows[1:]
    for line, cells in rows:
        if len(cells) < 2 or _TIMESTAMP.fullmatch(cells[0]) is None:
            raise LoggerFileError(f"{' '.join(cells)[:40]!r} is not a row of the table", line=line, advice=COPY_AGAIN)
        more = [c for c in cells[2:] if c]
        if len(more) > 1 or any(c.isdigit() for c in "".join(more)) or any(is_nothing(c) for c in more):
            advice = "judge each sensor by itself: write time and temperature of one as CSV (docs/evaluate.md)"
            raise LoggerFileError(
                f"the row has more than one value: {' '.join(cells)[:60]!r}", line=line, advice=advice
            )
        yield line, moment(cells[0], line), cells[1], bool(more)


def _check_heading(line: int, cells: list[str]) -> None:
    """The heading's time must be one that is known (dates.py), its temperature not in Fahrenheit."""
    if HEADING.fullmatch(cells[0]) is None:
        raise LoggerFileError(f"unknown time format {cells[0][:40]!r}", line=line, advice=ISO_DATES)
    if any(re.search(r"(°|\[|\()\s*F\b|fahrenheit", c, re.IGNORECASE) for c in cells[1:]):
        raise LoggerFileError(f"the table is in Fahrenheit: {' '.join(cells[1:])[:40]!r}", line=line, advice=SET_TO_C)
