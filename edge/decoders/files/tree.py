"""The text that Berlinger's loggers write: ``key: value`` lines nested by one space, and tab-led tables.

Conf:
 Serial: 130400191542
 Alarm:
  0:
   T AL: -0.5, t AL: 60        <- several pairs on one line, joined by ", "
Data:
<TAB>2022-05-02 04:44<TAB>26.3<TAB>x
Cert: ...
Sig: <hex>                      <- the last line: without it the file is cut off
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from edge.decoders.files.model import LoggerFileError, local_ms

_PAIR = re.compile(r",[ \t]+(?=[A-Za-z][A-Za-z ]{0,24}:)")
_SIGNATURE = re.compile(r"[0-9A-Fa-f]{64,}")
_TIMESTAMP = re.compile(r"(\d{4})-(\d{2})-(\d{2})[ T](\d{2}):(\d{2})(?::(\d{2}))?")
_CLOCK = re.compile(r"(\d{2}):(\d{2})")
_MAX_DEPTH = 16


@dataclass(slots=True)
class Node:
    """One line: its pairs, in order, and the lines nested below it. ``key`` is the first pair's."""

    line: int
    depth: int
    pairs: list[tuple[str, str]]
    children: list[Node] = field(default_factory=list)
    rows: list[tuple[int, list[str]]] = field(default_factory=list)  # tab-led lines: (line, cells)

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
        if raw[0] == "\t":
            stack[1 if len(stack) > 1 else 0].rows.append((line, [c.strip() for c in raw.strip("\t").split("\t")]))
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


def _pairs(text: str, line: int) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for part in _PAIR.split(text):
        key, colon, value = part.partition(":")
        if not colon:
            raise LoggerFileError(f"{text[:40]!r} is not 'key: value'", line=line, advice="is the file cut off?")
        pairs.append((key.strip(), value.strip()))
    return pairs


def check_complete(root: Node) -> None:
    """The last line is the signature; a file that ends before it is cut off. (Whether it is genuine only the maker
    can tell: WHO PQS part 11 claims need the vendor's verifier.)
    """
    last = root.children[-1] if root.children else root
    if last.key.casefold() != "sig" or not _SIGNATURE.fullmatch(last.value):
        raise LoggerFileError(
            "the file ends before its signature: it is cut off",
            line=last.line,
            advice="copy it from the logger again",
        )


def timestamp(text: str | None, line: int) -> int | None:
    """``yyyy-MM-dd hh:mm`` as local milliseconds; None for an empty one."""
    if text is None or not text.strip():
        return None
    match = _TIMESTAMP.fullmatch(text.strip())
    if match is None:
        raise LoggerFileError(f"{text[:40]!r} is not a time", line=line)
    year, month, day, hour, minute = (int(x) for x in match.groups()[:5])
    return local_ms(year, month, day, hour, minute, int(match[6] or 0), line)


def clock_ms(text: str, line: int) -> int:
    """``hh:mm`` as milliseconds of the day."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise LoggerFileError(f"{text[:40]!r} is not a time of day", line=line)
    return (int(match[1]) * 60 + int(match[2])) * 60_000


# --- the table under Data: --------------------------------------------------------------------------------

_TOKENS = {
    "yyyy": r"(?P<y>\d{4})",
    "mm": r"(?P<mi>\d{2})",
    "dd": r"(?P<d>\d{2})",
    "hh": r"(?P<h>\d{2})",
    "ss": r"(?P<s>\d{2})",
}
_DEFAULT_HEADER = "yyyy-MM-dd hh:mm"


def row_time_pattern(header: str) -> re.Pattern[str]:
    """The pattern of a table's first column from its heading, as ``yyyy-MM-dd hh:mm`` or ``dd.MM.yyyy HH:mm``."""
    out = re.escape(header).replace("MM", r"(?P<mo>\d{2})")
    for token, pattern in _TOKENS.items():
        out = re.sub(token, pattern.replace("\\", r"\\"), out, count=1, flags=re.IGNORECASE)
    return re.compile(out)


def table_rows(data: Node) -> Iterator[tuple[int, int, str, bool]]:
    """(line, local ms, temperature text, marked out of limits) of each row; the heading row names the order."""
    header, rows = _DEFAULT_HEADER, data.rows
    if rows and "yyyy" in rows[0][1][0].casefold():
        header, rows = rows[0][1][0], rows[1:]
    try:
        pattern = row_time_pattern(header)
    except re.error as error:
        raise LoggerFileError(f"unknown time format {header[:40]!r}", line=data.line) from error
    if not {"y", "mo", "d", "h", "mi"} <= set(pattern.groupindex):
        raise LoggerFileError(f"unknown time format {header[:40]!r}", line=data.line)
    for line, cells in rows:
        match = pattern.fullmatch(cells[0])
        if match is None or len(cells) < 2:
            raise LoggerFileError(f"{' '.join(cells)[:40]!r} is not a row of the table", line=line)
        g = match.groupdict()
        second = int(g.get("s") or 0)
        at = local_ms(int(g["y"]), int(g["mo"]), int(g["d"]), int(g["h"]), int(g["mi"]), second, line)
        yield line, at, cells[1], len(cells) > 2 and cells[2].casefold() == "x"
